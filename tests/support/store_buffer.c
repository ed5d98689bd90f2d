#include "support/store_buffer.h"

#include <stdlib.h>

void store_buffer_append(struct store_buffer *buffer, struct bytes bytes)
{
    if (bytes.size == 0)
        return;
    if (buffer->capacity - buffer->size < bytes.size) {
        buffer->capacity = 2 * buffer->capacity + bytes.size;
        buffer->data = realloc(buffer->data, buffer->capacity);
        REQUIRE(buffer->data != NULL);
    }
    memcpy(buffer->data + buffer->size, bytes.data, bytes.size);
    buffer->size += bytes.size;
}

void store_buffer_deinit(struct store_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}

struct bytes store_buffer_bytes(const struct store_buffer *buffer)
{
    return bytes_from(buffer->data, buffer->size);
}

static void buffer_write(void *context, struct bytes piece)
{
    store_buffer_append(context, piece);
}

struct store_sink store_buffer_sink(struct store_buffer *buffer)
{
    struct store_sink sink = {.write = buffer_write, .context = buffer};

    return sink;
}

enum status store_buffer_get(struct store_buffer *buffer, struct store_session *session, store_transaction transaction,
                             struct bytes key)
{
    struct store_sink sink = store_buffer_sink(buffer);

    buffer->size = 0;
    return store_get(session, transaction, key, &sink);
}

void store_keys_clear(struct store_keys *keys)
{
    keys->bytes.size = 0;
    keys->count = 0;
}

void store_keys_deinit(struct store_keys *keys)
{
    store_buffer_deinit(&keys->bytes);
    free(keys->ends);
    memset(keys, 0, sizeof(*keys));
}

struct bytes store_keys_at(const struct store_keys *keys, size_t index)
{
    size_t begin = index == 0 ? 0 : keys->ends[index - 1];

    REQUIRE(index < keys->count);
    return bytes_slice(store_buffer_bytes(&keys->bytes), begin, keys->ends[index] - begin);
}

bool store_keys_equal(const struct store_keys *left, const struct store_keys *right)
{
    if (left->count != right->count)
        return false;
    for (size_t i = 0; i < left->count; i++) {
        if (!bytes_equal(store_keys_at(left, i), store_keys_at(right, i)))
            return false;
    }
    return true;
}

size_t store_keys_number_of(const struct store_keys *keys, struct bytes key)
{
    size_t number = 0;

    for (size_t i = 0; i < keys->count; i++)
        number += bytes_equal(store_keys_at(keys, i), key);
    return number;
}

static void keys_add(void *context, struct bytes key)
{
    struct store_keys *keys = context;

    if (keys->count == keys->capacity) {
        keys->capacity = 2 * keys->capacity + 16;
        keys->ends = realloc(keys->ends, keys->capacity * sizeof(*keys->ends));
        REQUIRE(keys->ends != NULL);
    }
    store_buffer_append(&keys->bytes, key);
    keys->ends[keys->count++] = keys->bytes.size;
}

enum status store_keys_scan(struct store_keys *keys, struct store_session *session, store_transaction transaction,
                            uint64_t *cursor, struct bytes prefix, unsigned limit)
{
    struct store_scan scan = {.cursor = *cursor, .prefix = prefix, .limit = limit, .key = keys_add, .context = keys};
    enum status status = store_scan(session, transaction, &scan);

    if (status == STATUS_OK)
        *cursor = scan.cursor;
    return status;
}
