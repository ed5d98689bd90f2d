/* Transactions of one connection. A participant is a process's place among the
 * others: a slot, up to SLOT_TRANSACTIONS_MAX open transactions, one commit at
 * a time. Private to one process and thread.
 *
 * Every function that takes `number` wants that of an open transaction, or
 * TRANSACTION_SINGLE: then the command is a transaction of its own. Besides the
 * outcomes named below, each may answer
 *   STATUS_TIMEOUT      it was expired; only transaction_rollback is left. participant->has_ended_snapshot says whether for its old
 *                       snapshot
 *   STATUS_LOCK_TIMEOUT a LOCKING transaction has the key for longer than this command may wait
 *   STATUS_DEADLOCK     it would wait for a key whose owner waits, over whatever circle, for this participant
 *   STATUS_UNAVAILABLE  a shard is set aside
 *   STATUS_INTERNAL     private memory ran out */
#ifndef HAUSKV_TRANSACTION_TRANSACTION_H
#define HAUSKV_TRANSACTION_TRANSACTION_H

#include "platform/bytes.h"
#include "platform/status.h"
#include "platform/waiter.h"
#include "segment/process_table.h"
#include "transaction/engine.h"
#include "transaction/isolation.h"
#include "transaction/key_hints.h"
#include "transaction/read_set.h"
#include "transaction/transaction_log.h"

#define TRANSACTION_SINGLE 0u
#define TRANSACTION_COUNT_MAX SLOT_TRANSACTIONS_MAX

/* The private side of an open transaction; its public side is a transaction_slot. */
struct transaction {
    bool is_open;
    bool is_snapshot; /* reads only, at its snapshot, and need not remember what */
    enum isolation isolation;
    uint64_t snapshot;
    uint64_t state_word; /* as this process stored it last */
    uint64_t scanned_shards;
    struct transaction_log log;
    struct read_set reads;
};

/* When the last ended transaction or single command read and committed; commit is 0 if it wrote nothing. */
struct transaction_times {
    uint64_t snapshot;
    uint64_t commit;
};

struct participant {
    struct engine *engine;
    struct process_slot *slot;
    unsigned slot_number;
    struct transaction_times times;
    struct key_hints hints; /* of transaction_prefetch */
    bool has_ended_snapshot; /* after STATUS_TIMEOUT */
    const struct waiter *waiter; /* asked while a command waits for a key; NULL: nobody */
    struct read_budget reads; /* of all its transactions */
    struct transaction transactions[TRANSACTION_COUNT_MAX];
    struct bytes conflict_key; /* after STATUS_CONFLICT (empty: a scanned range), of a commit that waited in vain too */
    unsigned char conflict_key_bytes[KEY_BYTES_MAX];
};

/* A value that stays readable until transaction_get_done. */
struct value_view {
    const struct segment *segment;
    const unsigned char *copy;         /* NULL: it stands in log, or in version */
    const struct transaction_log *log; /* NULL: it stands in version */
    struct block_ref version;
    uint64_t position;
    size_t size;
};

/* Keys of a scan, one behind the other in one buffer. */
struct key_list {
    struct key_list_entry {
        uint64_t hash;
        size_t offset;
        uint32_t size;
        uint32_t is_removed;
    } *entries;
    size_t count;
    size_t capacity;
    unsigned char *bytes;
    size_t bytes_size;
    size_t bytes_capacity;
};

/* Takes a slot. STATUS_TOO_MANY_CLIENTS: there is no more room for slots; STATUS_INTERNAL: no private memory. */
enum status participant_open(struct engine *engine, struct participant **result);
/* Rolls back what is open, gives the slot back and frees. */
void participant_close(struct participant *participant);

/* STATUS_TOO_LARGE: as many as can be are open. */
enum status transaction_begin(struct participant *participant, enum isolation isolation, unsigned *number);

/* Opens a transaction that only reads, at one snapshot, as much as it likes: for dumps and copies. Outcomes as above. */
enum status transaction_begin_snapshot(struct participant *participant, unsigned *number);

/* The key will be asked for soon: begins to fetch the memory for it, in three steps, the others at the next two calls. Without
 * any lock; nothing depends on it. key is 1..KEY_BYTES_MAX bytes. */
void transaction_prefetch(struct participant *participant, struct bytes key);

/* On STATUS_OK *view is the value and transaction_get_done must follow, before any other call; not after anything else.
 * STATUS_NOT_FOUND. STATUS_TOO_LARGE: the transaction has read too much. */
enum status transaction_get(struct participant *participant, unsigned number, struct bytes key,
                            struct value_view *view);
/* A single GET. A value of up to VALUE_COPIED_BYTES_MAX bytes is copied, if nobody changes the shard just now: then this
 * stores nothing in shared memory, view->copy is copy, and transaction_get_done need not follow. copy has room for it, the caller owns
 * it, and keeps it as long as the view. Else, and in its outcomes, as transaction_get. */
enum status transaction_get_copy(struct participant *participant, struct bytes key, unsigned char *copy,
                                 struct value_view *view);
void transaction_get_done(struct participant *participant, unsigned number);
/* The value from offset on, as far as it is in one piece. */
struct bytes value_view_piece(const struct value_view *view, size_t offset);

/* STATUS_OUT_OF_MEMORY, STATUS_TOO_LARGE (value above VALUE_BYTES_MAX). key is 1..KEY_BYTES_MAX bytes. */
enum status transaction_put(struct participant *participant, unsigned number, struct bytes key,
                            struct bytes value);
enum status transaction_del(struct participant *participant, unsigned number, struct bytes key);

/* Keys with hash >= cursor that start with prefix, ascending by hash, until `limit` are found (more only where hashes are
 * equal); appended to keys. *next: where to go on, 0 at the end. */
enum status transaction_scan(struct participant *participant, unsigned number, uint64_t cursor,
                             struct bytes prefix, size_t limit, struct key_list *keys, uint64_t *next);
enum status transaction_count(struct participant *participant, unsigned number, struct bytes prefix,
                              uint64_t *count);

/* Ends it, whatever the answer. STATUS_CONFLICT: nothing applied, participant->conflict_key says which key changed.
 * STATUS_OUT_OF_MEMORY: nothing applied. */
enum status transaction_commit(struct participant *participant, unsigned number);
/* As a command that does nothing: the transaction has been idle since now. Nothing if it was expired. */
void transaction_touch(struct participant *participant, unsigned number);
/* Ends it, nothing applied. */
void transaction_rollback(struct participant *participant, unsigned number);

static inline struct bytes key_list_key(const struct key_list *list, size_t i)
{
    return (struct bytes){list->bytes + list->entries[i].offset, list->entries[i].size};
}

/* Private memory; a list starts as all zeros. STATUS_INTERNAL: no memory. */
enum status key_list_add(struct key_list *list, uint64_t hash, struct bytes key);
void key_list_clear(struct key_list *list);
void key_list_deinit(struct key_list *list);

#endif
