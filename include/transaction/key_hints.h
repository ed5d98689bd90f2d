/* The keys that were looked at ahead of their commands (transaction_prefetch), with their hashes: a command for one of
 * them need not hash it again. They are known by their bytes, so a wrong or stale one is only never taken. */
#ifndef HAUSKV_TRANSACTION_KEY_HINTS_H
#define HAUSKV_TRANSACTION_KEY_HINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"

#define KEY_HINT_COUNT 4u      /* one more than lines are looked at ahead */
#define KEY_HINT_BYTES_MAX 36u /* longer keys are hashed twice */

struct key_hint {
    uint64_t hash;
    uint32_t key_size; /* 0: it was too long, only its hash is known */
    unsigned char key[KEY_HINT_BYTES_MAX];
};

/* Zeroes: none. One process, one thread. */
struct key_hints {
    unsigned added_count; /* ever, as the next one; ring[i % KEY_HINT_COUNT] are the last */
    unsigned taken_count; /* those before are not taken any more */
    struct key_hint ring[KEY_HINT_COUNT];
};

/* Adds a key (of 1 byte or more) as the newest, in place of the oldest where all are taken up. */
void key_hints_add(struct key_hints *hints, struct bytes key, uint64_t hash);

/* Whether the key (of 1 byte or more) is among those; then *hash is its hash, and it and those before it are not there any more. */
bool key_hints_find(struct key_hints *hints, struct bytes key, uint64_t *hash);

static inline bool key_hints_take(struct key_hints *hints, struct bytes key, uint64_t *hash)
{
    return hints->taken_count != hints->added_count && key_hints_find(hints, key, hash);
}

/* The hash of the newest but `age` (less than KEY_HINT_COUNT), taken or not; false: there were not so many. */
bool key_hints_hash(const struct key_hints *hints, unsigned age, uint64_t *hash);

#endif
