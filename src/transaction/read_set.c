#include "transaction/read_set.h"

#include <stdlib.h>

#define READ_SET_CAPACITY_FIRST 64u
#define READ_SET_BYTES_KEPT 65536u

static struct read_entry *place_of(const struct read_set *set, uint64_t hash, struct bytes key)
{
    size_t place = (size_t)hash & (set->capacity - 1);

    while (set->entries[place].key_size != 0 &&
           !(set->entries[place].hash == hash && bytes_equal(read_set_key(set, &set->entries[place]), key)))
        place = (place + 1) & (set->capacity - 1);
    return &set->entries[place];
}

static bool budget_allows(const struct read_set *set, size_t more)
{
    return set->budget == NULL || more <= set->budget->bytes_max - set->budget->bytes;
}

static void budget_take(const struct read_set *set, size_t more)
{
    if (set->budget != NULL)
        set->budget->bytes += more;
}

static size_t bytes_of(const struct read_set *set)
{
    return set->capacity * sizeof(struct read_entry) + set->keys_capacity;
}

static enum status entries_grow(struct read_set *set)
{
    struct read_set grown = *set;
    size_t more;

    grown.capacity = set->capacity == 0 ? READ_SET_CAPACITY_FIRST : set->capacity * 2;
    more = (grown.capacity - set->capacity) * sizeof(struct read_entry);
    if (grown.capacity * sizeof(struct read_entry) > READ_SET_BYTES_MAX || !budget_allows(set, more))
        return STATUS_TOO_LARGE;
    grown.entries = calloc(grown.capacity, sizeof(struct read_entry));
    if (grown.entries == NULL)
        return STATUS_INTERNAL;
    budget_take(set, more);
    for (size_t i = 0; i < set->capacity; i++)
        if (set->entries[i].key_size != 0)
            *place_of(&grown, set->entries[i].hash, read_set_key(set, &set->entries[i])) = set->entries[i];
    free(set->entries);
    *set = grown;
    return STATUS_OK;
}

static enum status keys_grow(struct read_set *set, size_t size)
{
    size_t capacity = set->keys_capacity == 0 ? 4096 : set->keys_capacity;
    unsigned char *keys;

    while (capacity - set->keys_size < size)
        capacity *= 2;
    if (capacity == set->keys_capacity)
        return STATUS_OK;
    if (capacity > READ_SET_BYTES_MAX || !budget_allows(set, capacity - set->keys_capacity))
        return STATUS_TOO_LARGE;
    keys = realloc(set->keys, capacity);
    if (keys == NULL)
        return STATUS_INTERNAL;
    budget_take(set, capacity - set->keys_capacity);
    set->keys = keys;
    set->keys_capacity = capacity;
    return STATUS_OK;
}

enum status read_set_add(struct read_set *set, uint64_t hash, struct bytes key, bool was_there)
{
    struct read_entry *entry;
    enum status status;

    REQUIRE(key.size >= 1 && key.size <= UINT16_MAX);
    if ((set->count + 1) * 4 > set->capacity * 3) {
        /* What is remembered needs no room. */
        if (set->capacity > 0 && place_of(set, hash, key)->key_size != 0)
            return STATUS_OK;
        status = entries_grow(set);
        if (status != STATUS_OK)
            return status;
    }
    entry = place_of(set, hash, key);
    if (entry->key_size != 0)
        return STATUS_OK;
    status = keys_grow(set, key.size);
    if (status != STATUS_OK)
        return status;
    memcpy(set->keys + set->keys_size, key.data, key.size);
    entry->hash = hash;
    entry->key_offset = set->keys_size;
    entry->key_size = (uint16_t)key.size;
    entry->was_there = was_there;
    set->keys_size += key.size;
    set->count++;
    return STATUS_OK;
}

void read_set_clear(struct read_set *set)
{
    if (bytes_of(set) > READ_SET_BYTES_KEPT) {
        read_set_deinit(set);
        return;
    }
    if (set->count > 0)
        memset(set->entries, 0, set->capacity * sizeof(struct read_entry));
    set->count = 0;
    set->keys_size = 0;
}

void read_set_deinit(struct read_set *set)
{
    if (set->budget != NULL)
        set->budget->bytes -= bytes_of(set);
    free(set->entries);
    free(set->keys);
    *set = (struct read_set){.budget = set->budget};
}
