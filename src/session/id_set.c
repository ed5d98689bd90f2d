/* Ids, 64 to a block. */
#include "session/id_set.h"

#include <stdlib.h>
#include <string.h>

#include "platform/bytes.h"
#include "platform/contract.h"

#define IDS_PER_BLOCK 64u
#define CAPACITY_MIN 4u

static uint64_t bit_of(uint64_t id)
{
    return UINT64_C(1) << (id % IDS_PER_BLOCK);
}

bool id_set_is_valid(const struct id_set *set)
{
    bool memory_is_there = set->block_count <= set->capacity && set->block_count <= ID_SET_BLOCKS_MAX &&
                           (set->blocks != NULL) == (set->capacity > 0);

    for (size_t i = 0; memory_is_there && i < set->block_count; i++) {
        bool is_in_order = i == 0 || set->blocks[i - 1].number < set->blocks[i].number;

        if (!is_in_order || set->blocks[i].members == 0)
            return false;
    }
    return memory_is_there;
}

void id_set_init(struct id_set *set)
{
    memset(set, 0, sizeof(*set));
}

void id_set_deinit(struct id_set *set)
{
    free(set->blocks);
    id_set_init(set);
}

bool id_set_reserve(struct id_set *set)
{
    size_t capacity = set->capacity == 0 ? CAPACITY_MIN : set->capacity;
    struct id_block *blocks;
    size_t size;

    if (set->block_count < set->capacity || set->block_count == ID_SET_BLOCKS_MAX)
        return true;
    if (set->capacity > 0 && !size_multiply(capacity, 2, &capacity))
        return false;
    if (!size_multiply(capacity, sizeof(*blocks), &size))
        return false;
    blocks = realloc(set->blocks, size);
    if (blocks == NULL)
        return false;
    set->blocks = blocks;
    set->capacity = capacity;
    return true;
}

static bool is_in_last_block(const struct id_set *set, uint64_t id)
{
    return set->block_count > 0 && set->blocks[set->block_count - 1].number >= id / IDS_PER_BLOCK;
}

bool id_set_takes(const struct id_set *set, uint64_t id)
{
    return set->block_count < ID_SET_BLOCKS_MAX || is_in_last_block(set, id);
}

void id_set_add(struct id_set *set, uint64_t id)
{
    uint64_t number = id / IDS_PER_BLOCK;
    struct id_block *last;

    if (!is_in_last_block(set, id)) {
        REQUIRE(set->block_count < set->capacity && set->block_count < ID_SET_BLOCKS_MAX);
        set->blocks[set->block_count++] = (struct id_block){.number = number};
    }
    last = &set->blocks[set->block_count - 1];
    REQUIRE(last->number == number && last->members < bit_of(id));
    last->members |= bit_of(id);
}

bool id_set_contains(const struct id_set *set, uint64_t id)
{
    size_t first = 0;
    size_t end = set->block_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (set->blocks[middle].number < id / IDS_PER_BLOCK)
            first = middle + 1;
        else
            end = middle;
    }
    return first < set->block_count && set->blocks[first].number == id / IDS_PER_BLOCK &&
           (set->blocks[first].members & bit_of(id)) != 0;
}

bool id_set_is_empty(const struct id_set *set)
{
    return set->block_count == 0;
}
