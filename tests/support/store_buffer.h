/* Where tests keep what a store hands out: a value, or the keys of a scan.
 * Private memory; they abort where the system has none. Zeroed is empty. */
#ifndef HAUSKV_TESTS_STORE_BUFFER_H
#define HAUSKV_TESTS_STORE_BUFFER_H

#include "store/store.h"

struct store_buffer {
    unsigned char *data;
    size_t size;
    size_t capacity;
};

void store_buffer_append(struct store_buffer *buffer, struct bytes bytes);
void store_buffer_deinit(struct store_buffer *buffer);
struct bytes store_buffer_bytes(const struct store_buffer *buffer);

/* A sink that appends every piece. */
struct store_sink store_buffer_sink(struct store_buffer *buffer);

/* store_get into a buffer, which is emptied first. */
enum status store_buffer_get(struct store_buffer *buffer, struct store_session *session, store_transaction transaction,
                             struct bytes key);

struct store_keys {
    struct store_buffer bytes; /* one behind the other */
    size_t *ends;
    size_t count;
    size_t capacity;
};

void store_keys_clear(struct store_keys *keys);
void store_keys_deinit(struct store_keys *keys);
struct bytes store_keys_at(const struct store_keys *keys, size_t index);
bool store_keys_equal(const struct store_keys *left, const struct store_keys *right);

/* How often a key is among them. */
size_t store_keys_number_of(const struct store_keys *keys, struct bytes key);

/* One store_scan call from *cursor on, which is moved; the keys are appended. */
enum status store_keys_scan(struct store_keys *keys, struct store_session *session, store_transaction transaction,
                            uint64_t *cursor, struct bytes prefix, unsigned limit);

#endif
