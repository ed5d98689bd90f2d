#include <stdlib.h>

#include "transaction/transaction.h"

static bool grow(void **memory, size_t *capacity, size_t wanted, size_t unit, size_t first)
{
    size_t grown = *capacity == 0 ? first : *capacity;
    void *moved;

    while (grown < wanted)
        grown *= 2;
    if (grown == *capacity)
        return true;
    moved = realloc(*memory, grown * unit);
    if (moved == NULL)
        return false;
    *memory = moved;
    *capacity = grown;
    return true;
}

enum status key_list_add(struct key_list *list, uint64_t hash, struct bytes key)
{
    void *entries = list->entries;
    void *bytes = list->bytes;
    bool has_room = grow(&entries, &list->capacity, list->count + 1, sizeof(*list->entries), 64);

    list->entries = entries;
    has_room = has_room && grow(&bytes, &list->bytes_capacity, list->bytes_size + key.size, 1, 4096);
    list->bytes = bytes;
    if (!has_room)
        return STATUS_INTERNAL;
    memcpy(list->bytes + list->bytes_size, key.data, key.size);
    list->entries[list->count++] =
        (struct key_list_entry){.hash = hash, .offset = list->bytes_size, .size = (uint32_t)key.size};
    list->bytes_size += key.size;
    return STATUS_OK;
}

void key_list_clear(struct key_list *list)
{
    list->count = 0;
    list->bytes_size = 0;
}

void key_list_deinit(struct key_list *list)
{
    free(list->entries);
    free(list->bytes);
    memset(list, 0, sizeof(*list));
}
