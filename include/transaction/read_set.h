/* The keys that a SERIALIZABLE transaction has read, with whether they were
 * there: what COMMIT validates. Private memory; absent keys count too. Sets that
 * belong together share a budget. */
#ifndef HAUSKV_TRANSACTION_READ_SET_H
#define HAUSKV_TRANSACTION_READ_SET_H

#include "platform/bytes.h"
#include "platform/status.h"

/* A transaction may remember that many bytes of keys, and as many of their index. */
#define READ_SET_BYTES_MAX ((size_t)256 << 20)

/* What several sets may have together, index and keys. A set that grows has half as much again for a moment. */
struct read_budget {
    size_t bytes;     /* that they have; no more than bytes_max */
    size_t bytes_max;
};

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
    struct read_budget *budget; /* NULL: none */
};

/* Remembers a key (once). STATUS_TOO_LARGE: READ_SET_BYTES_MAX or the budget is reached; STATUS_INTERNAL: no private
 * memory. Then the set is as before. */
enum status read_set_add(struct read_set *set, uint64_t hash, struct bytes key, bool was_there);

static inline struct bytes read_set_key(const struct read_set *set, const struct read_entry *entry)
{
    return (struct bytes){set->keys + entry->key_offset, entry->key_size};
}

/* Forgets everything; keeps a little memory for the next one. */
void read_set_clear(struct read_set *set);
/* The same without; the set can be used again, with its budget. */
void read_set_deinit(struct read_set *set);

#endif
