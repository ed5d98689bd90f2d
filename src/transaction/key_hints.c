#include "transaction/key_hints.h"

#include <string.h>

static const struct key_hint *hint_at(const struct key_hints *hints, unsigned number)
{
    return &hints->ring[number % KEY_HINT_COUNT];
}

void key_hints_add(struct key_hints *hints, struct bytes key, uint64_t hash)
{
    struct key_hint *hint = &hints->ring[hints->added_count % KEY_HINT_COUNT];

    hint->hash = hash;
    hint->key_size = key.size <= KEY_HINT_BYTES_MAX ? (uint32_t)key.size : 0;
    memcpy(hint->key, key.data, hint->key_size);
    hints->added_count++;
    if (hints->added_count - hints->taken_count > KEY_HINT_COUNT)
        hints->taken_count = hints->added_count - KEY_HINT_COUNT;
}

bool key_hints_find(struct key_hints *hints, struct bytes key, uint64_t *hash)
{
    REQUIRE(key.size >= 1);
    for (unsigned number = hints->taken_count; number != hints->added_count; number++) {
        const struct key_hint *hint = hint_at(hints, number);

        if (hint->key_size != key.size || memcmp(hint->key, key.data, key.size) != 0)
            continue;
        *hash = hint->hash;
        hints->taken_count = number + 1;
        return true;
    }
    return false;
}

bool key_hints_hash(const struct key_hints *hints, unsigned age, uint64_t *hash)
{
    REQUIRE(age < KEY_HINT_COUNT);
    if (hints->added_count <= age)
        return false;
    *hash = hint_at(hints, hints->added_count - 1 - age)->hash;
    return true;
}
