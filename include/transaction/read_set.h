/* The keys that a SERIALIZABLE transaction has read, with whether they were
 * there: what COMMIT validates. Private memory; absent keys count too. */
#ifndef HAUSKV_TRANSACTION_READ_SET_H
#define HAUSKV_TRANSACTION_READ_SET_H

#include "platform/bytes.h"
#include "platform/status.h"

/* A transaction may remember that many bytes of keys and their index. */
#define READ_SET_BYTES_MAX ((size_t)256 << 20)

struct read_entry {
    uint64_t hash;
    uint64_t key_offset; /* in keys */
    uint16_t key_size;   /* 0: no entry */
    uint16_t was_there;
};

struct read_set {
    struct read_entry *entries; /* open addressing */
    size_t capacity;            /* a power of two, or 0 */
    size_t count;
    unsigned char *keys;
    size_t keys_size;
    size_t keys_capacity;
};

/* Remembers a key (once). STATUS_TOO_LARGE: READ_SET_BYTES_MAX reached; STATUS_INTERNAL: no private memory. */
enum status read_set_add(struct read_set *set, uint64_t hash, struct bytes key, bool was_there);

static inline struct bytes read_set_key(const struct read_set *set, const struct read_entry *entry)
{
    return (struct bytes){set->keys + entry->key_offset, entry->key_size};
}

/* Forgets everything; keeps a little memory for the next one. */
void read_set_clear(struct read_set *set);
void read_set_deinit(struct read_set *set);

#endif
