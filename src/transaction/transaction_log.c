#include "transaction/transaction_log.h"

#include <stdlib.h>

#define LOG_INDEX_CAPACITY_FIRST 16u
#define LOG_BYTES_KEPT 16384u
#define RECORD_ALIGNMENT 8u

struct log_record {
    uint32_t value_size;
    uint32_t value_capacity;
    uint16_t key_size;
    uint16_t kind;
    uint32_t unused;
};

_Static_assert(sizeof(struct log_record) + 1024 <= CHUNK_BYTES, "a record's header and key fit one chunk");

static unsigned char *stream_at(const struct transaction_log *log, const struct segment *segment, uint64_t position)
{
    struct chunk_ref chunk = {log->chunks[position / CHUNK_BYTES]};

    return chunk_at(segment, chunk) + position % CHUNK_BYTES;
}

static struct log_record *record_at(const struct transaction_log *log, const struct segment *segment,
                                    uint64_t position)
{
    return (struct log_record *)(void *)stream_at(log, segment, position);
}

static struct bytes record_key(const struct log_record *record)
{
    return bytes_from(record + 1, record->key_size);
}

static struct log_index_entry *index_place(const struct transaction_log *log, const struct segment *segment,
                                           uint64_t hash, struct bytes key)
{
    size_t place = (size_t)hash & (log->index_capacity - 1);

    for (;; place = (place + 1) & (log->index_capacity - 1)) {
        struct log_index_entry *entry = &log->index[place];

        if (entry->position == 0)
            return entry;
        if (entry->hash == hash && bytes_equal(record_key(record_at(log, segment, entry->position - 1)), key))
            return entry;
    }
}

static enum status index_grow(struct transaction_log *log)
{
    size_t capacity = log->index_capacity == 0 ? LOG_INDEX_CAPACITY_FIRST : log->index_capacity * 2;
    struct log_index_entry *index = calloc(capacity, sizeof(*index));

    if (index == NULL)
        return STATUS_INTERNAL;
    for (size_t i = 0; i < log->index_capacity; i++) {
        size_t place = (size_t)log->index[i].hash & (capacity - 1);

        if (log->index[i].position == 0)
            continue;
        while (index[place].position != 0)
            place = (place + 1) & (capacity - 1);
        index[place] = log->index[i];
    }
    free(log->index);
    log->index = index;
    log->index_capacity = capacity;
    return STATUS_OK;
}

static enum status chunk_list_grow(struct transaction_log *log)
{
    size_t capacity = log->chunk_capacity == 0 ? 8 : log->chunk_capacity * 2;
    uint32_t *chunks = realloc(log->chunks, capacity * sizeof(*chunks));

    if (chunks == NULL)
        return STATUS_INTERNAL;
    log->chunks = chunks;
    log->chunk_capacity = capacity;
    return STATUS_OK;
}

static void chunks_truncate(struct transaction_log *log, struct segment *segment, size_t count)
{
    while (log->chunk_count > count)
        chunk_release(segment, (struct chunk_ref){log->chunks[--log->chunk_count]});
}

/* Chunks up to (not including) the stream's position end; all or none. */
static enum status chunks_reserve(struct transaction_log *log, struct segment *segment, unsigned slot, uint64_t end)
{
    size_t count_before = log->chunk_count;
    size_t count = (size_t)((end + CHUNK_BYTES - 1) / CHUNK_BYTES);

    while (log->chunk_count < count) {
        struct chunk_ref chunk = {0};
        enum status status = STATUS_OK;

        if (log->chunk_count == log->chunk_capacity)
            status = chunk_list_grow(log);
        if (status == STATUS_OK) {
            chunk = chunk_claim(segment, CHUNK_LOG, 0, slot);
            status = chunk_ref_is_none(chunk) ? STATUS_OUT_OF_MEMORY : STATUS_OK;
        }
        if (status != STATUS_OK) {
            chunks_truncate(log, segment, count_before);
            return status;
        }
        log->chunks[log->chunk_count++] = chunk.number;
    }
    return STATUS_OK;
}

struct bytes transaction_log_piece(const struct transaction_log *log, const struct segment *segment,
                                   uint64_t position, size_t size)
{
    size_t in_chunk = CHUNK_BYTES - (size_t)(position % CHUNK_BYTES);

    if (size == 0)
        return bytes_from(NULL, 0);
    return bytes_from(stream_at(log, segment, position), size < in_chunk ? size : in_chunk);
}

static void value_write(const struct transaction_log *log, const struct segment *segment, uint64_t position,
                        struct bytes value)
{
    while (value.size > 0) {
        struct bytes piece = transaction_log_piece(log, segment, position, value.size);

        memcpy(stream_at(log, segment, position), value.data, piece.size);
        value = bytes_slice(value, piece.size, value.size - piece.size);
        position += piece.size;
    }
}

static uint64_t value_position_of(uint64_t record, size_t key_size)
{
    return record + sizeof(struct log_record) + key_size;
}

/* Where a record with such a key can begin: aligned, header and key in one chunk. */
static uint64_t record_position(const struct transaction_log *log, size_t key_size)
{
    uint64_t position = (log->end + RECORD_ALIGNMENT - 1) / RECORD_ALIGNMENT * RECORD_ALIGNMENT;

    if (position % CHUNK_BYTES + sizeof(struct log_record) + key_size > CHUNK_BYTES)
        position = (position / CHUNK_BYTES + 1) * CHUNK_BYTES;
    return position;
}

static enum status record_append(struct transaction_log *log, struct segment *segment, unsigned slot,
                                 enum redo_kind kind, struct bytes key, struct bytes value, size_t capacity,
                                 uint64_t *position)
{
    uint64_t record_begin = record_position(log, key.size);
    uint64_t value_begin = value_position_of(record_begin, key.size);
    enum status status = chunks_reserve(log, segment, slot, value_begin + capacity);
    struct log_record *record;

    if (status != STATUS_OK)
        return status;
    record = record_at(log, segment, record_begin);
    *record = (struct log_record){
        .value_size = (uint32_t)value.size,
        .value_capacity = (uint32_t)capacity,
        .key_size = (uint16_t)key.size,
        .kind = (uint16_t)kind,
    };
    memcpy(record + 1, key.data, key.size);
    value_write(log, segment, value_begin, value);
    log->end = value_begin + capacity;
    *position = record_begin;
    return STATUS_OK;
}

/* A key that is written again and again with growing values gets room in
 * doublings, so that the log stays within a small multiple of the data. */
static size_t capacity_for(const struct log_record *before, size_t value_size)
{
    size_t doubled = before == NULL ? 0 : (size_t)before->value_capacity * 2;

    return doubled > value_size && doubled <= UINT32_MAX ? doubled : value_size;
}

enum status transaction_log_append(struct transaction_log *log, struct segment *segment, unsigned slot,
                                   enum redo_kind kind, uint64_t hash, struct bytes key, struct bytes value)
{
    struct log_record *before = NULL;
    struct log_index_entry *entry;
    uint64_t position = 0;
    enum status status;

    REQUIRE(kind == REDO_PUT || (kind == REDO_DEL && value.size == 0));
    if ((log->count + 1) * 4 > log->index_capacity * 3) {
        status = index_grow(log);
        if (status != STATUS_OK)
            return status;
    }
    entry = index_place(log, segment, hash, key);
    if (entry->position != 0)
        before = record_at(log, segment, entry->position - 1);
    if (before != NULL && value.size <= before->value_capacity) {
        before->kind = (uint16_t)kind;
        before->value_size = (uint32_t)value.size;
        value_write(log, segment, value_position_of(entry->position - 1, key.size), value);
        return STATUS_OK;
    }
    status = record_append(log, segment, slot, kind, key, value, capacity_for(before, value.size), &position);
    if (status == STATUS_OUT_OF_MEMORY && before != NULL)
        status = record_append(log, segment, slot, kind, key, value, value.size, &position);
    if (status != STATUS_OK)
        return status;
    log->count += entry->position == 0;
    entry->hash = hash;
    entry->position = position + 1;
    return STATUS_OK;
}

static struct log_write write_at(const struct transaction_log *log, const struct segment *segment,
                                 const struct log_index_entry *entry)
{
    const struct log_record *record = record_at(log, segment, entry->position - 1);

    return (struct log_write){
        .kind = (enum redo_kind)record->kind,
        .key = record_key(record),
        .hash = entry->hash,
        .value_position = value_position_of(entry->position - 1, record->key_size),
        .value_size = record->value_size,
    };
}

bool transaction_log_find(const struct transaction_log *log, const struct segment *segment, uint64_t hash,
                          struct bytes key, struct log_write *write)
{
    const struct log_index_entry *entry;

    if (log->count == 0)
        return false;
    entry = index_place(log, segment, hash, key);
    if (entry->position == 0)
        return false;
    *write = write_at(log, segment, entry);
    return true;
}

static int by_hash(const void *left, const void *right)
{
    uint64_t left_hash = ((const struct log_write *)left)->hash;
    uint64_t right_hash = ((const struct log_write *)right)->hash;

    return (left_hash > right_hash) - (left_hash < right_hash);
}

void transaction_log_sorted(const struct transaction_log *log, const struct segment *segment,
                            struct log_write *writes)
{
    size_t count = 0;

    for (size_t i = 0; i < log->index_capacity; i++)
        if (log->index[i].position != 0)
            writes[count++] = write_at(log, segment, &log->index[i]);
    ENSURE(count == log->count);
    if (count > 1)
        qsort(writes, count, sizeof(*writes), by_hash);
}

void transaction_log_clear(struct transaction_log *log, struct segment *segment)
{
    if (log->index_capacity * sizeof(*log->index) + log->chunk_capacity * sizeof(*log->chunks) > LOG_BYTES_KEPT) {
        transaction_log_deinit(log, segment);
        return;
    }
    chunks_truncate(log, segment, 0);
    if (log->count > 0)
        memset(log->index, 0, log->index_capacity * sizeof(*log->index));
    log->count = 0;
    log->end = 0;
}

void transaction_log_deinit(struct transaction_log *log, struct segment *segment)
{
    chunks_truncate(log, segment, 0);
    free(log->chunks);
    free(log->index);
    memset(log, 0, sizeof(*log));
}
