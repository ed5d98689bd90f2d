/* A transaction's writes until COMMIT: bytes in chunks of its process's slot, so
 * that they count against the memory limit, and a private index over them.
 *
 *     record: header | key (in one piece) | value (may run over chunks)
 *
 * The newest write of a key counts; a value that fits where the key's last one
 * stood takes its place. Only the owner reads the log; after its death the drain
 * frees the chunks by their owner word. (What recovery reads is the redo list
 * of the commit record, process_table.h.) */
#ifndef HAUSKV_TRANSACTION_TRANSACTION_LOG_H
#define HAUSKV_TRANSACTION_TRANSACTION_LOG_H

#include "platform/bytes.h"
#include "platform/status.h"
#include "segment/process_table.h"

struct log_index_entry {
    uint64_t hash;
    uint64_t position; /* of the record, plus 1; 0: no entry */
};

/* Private to the process. */
struct transaction_log {
    uint32_t *chunks; /* numbers, in the order of the stream */
    size_t chunk_count;
    size_t chunk_capacity;
    uint64_t end; /* where the next record goes */
    struct log_index_entry *index;
    size_t index_capacity; /* a power of two, or 0 */
    size_t count;          /* keys written */
};

/* One write as the log has it. */
struct log_write {
    enum redo_kind kind;
    struct bytes key;        /* in the segment; until the transaction ends */
    uint64_t hash;
    uint64_t value_position; /* in the stream */
    size_t value_size;
};

/* Notes a PUT or DEL (value empty). STATUS_OUT_OF_MEMORY: no chunk; STATUS_INTERNAL: no private memory; the log is as before. */
enum status transaction_log_append(struct transaction_log *log, struct segment *segment, unsigned slot,
                                   enum redo_kind kind, uint64_t hash, struct bytes key, struct bytes value);

/* The newest write of key; false if there is none. */
bool transaction_log_find(const struct transaction_log *log, const struct segment *segment, uint64_t hash,
                          struct bytes key, struct log_write *write);

/* All writes, ascending by hash: `log->count` of them into writes. */
void transaction_log_sorted(const struct transaction_log *log, const struct segment *segment,
                            struct log_write *writes);

/* The piece of a value at a position of the stream, at most size bytes. */
struct bytes transaction_log_piece(const struct transaction_log *log, const struct segment *segment,
                                   uint64_t position, size_t size);

/* Gives all chunks back; private memory too, but for a little. */
void transaction_log_clear(struct transaction_log *log, struct segment *segment);
void transaction_log_deinit(struct transaction_log *log, struct segment *segment);

#endif
