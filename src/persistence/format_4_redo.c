/* Commits that were past their commit point and not published in every shard: what a restart would finish. */
#include "format_4_internal.h"

#include <stdlib.h>

static void entry_add(const struct format_4 *segment, struct f4_redo_list *list, size_t offset, uint64_t time,
                      uint64_t pending)
{
    struct f4_redo entry = {
        .time = time,
        .units = f4_load_32(segment->bytes, offset),
        .shard = f4_load_16(segment->bytes, offset + 4),
        .kind = f4_load_16(segment->bytes, offset + 6),
    };
    struct f4_version version;

    if (entry.shard >= segment->shard_count) {
        list->logs_damaged++;
        return;
    }
    /* A shard that is published may have freed by now what the entry names. */
    if ((pending >> entry.shard & 1) == 0 || entry.kind == 0)
        return;
    if (entry.kind > F4_REDO_DEL || !f4_version_find(segment, entry.shard, entry.units, &version)) {
        list->logs_damaged++;
        return;
    }
    if (list->count == list->capacity) {
        size_t capacity = list->capacity == 0 ? 64 : list->capacity * 2;
        struct f4_redo *grown = realloc(list->entries, capacity * sizeof *grown);

        list->is_memory_short = list->is_memory_short || grown == NULL;
        if (grown == NULL)
            return;
        list->entries = grown;
        list->capacity = capacity;
    }
    entry.hash = version.hash;
    entry.key = version.key;
    list->entries[list->count++] = entry;
    list->shards |= (uint64_t)1 << entry.shard;
}

/* The entries of one slot that do not fit into it. */
static void chain_collect(const struct format_4 *segment, struct f4_redo_list *list, unsigned slot, size_t slot_offset,
                          uint32_t count)
{
    size_t per_chunk = (segment->chunk_bytes - F4_REDO_CHUNK_ENTRIES) / F4_REDO_BYTES;
    uint64_t time = f4_load_64(segment->bytes, slot_offset + F4_SLOT_WORD) >> 1;
    uint64_t pending = f4_load_64(segment->bytes, slot_offset + F4_SLOT_PENDING);
    uint32_t number = f4_load_32(segment->bytes, slot_offset + F4_SLOT_REDO_CHUNK);

    while (count > 0) {
        size_t offset = f4_chunk_offset(segment, number);

        /* Each chunk is of one list only: more of them are a cycle. */
        if (list->chunks_visited++ >= segment->chunk_count || !f4_is_chunk(segment, number) ||
            f4_owner(segment, number) != f4_owner_word(F4_KIND_LOG, slot & 0xffffu)) {
            list->logs_damaged++;
            return;
        }
        for (size_t i = 0; i < per_chunk && count > 0; i++, count--)
            entry_add(segment, list, offset + F4_REDO_CHUNK_ENTRIES + i * F4_REDO_BYTES, time, pending);
        number = f4_load_32(segment->bytes, offset);
    }
}

static void slot_collect(const struct format_4 *segment, struct f4_redo_list *list, unsigned slot, size_t offset)
{
    uint64_t word = f4_load_64(segment->bytes, offset + F4_SLOT_WORD);
    uint64_t pending = f4_load_64(segment->bytes, offset + F4_SLOT_PENDING);
    uint32_t count = f4_load_32(segment->bytes, offset + F4_SLOT_REDO_COUNT);

    if (word == 0)
        return;
    if ((word & 1) == 0 || word >> 1 == 0 || word >> 1 > segment->clock) {
        list->logs_damaged++;
        return;
    }
    for (uint32_t i = 0; i < count && i < F4_REDO_BUILT_IN; i++)
        entry_add(segment, list, offset + F4_SLOT_REDO_BUILT_IN + (size_t)i * F4_REDO_BYTES, word >> 1, pending);
    if (count > F4_REDO_BUILT_IN && pending != 0)
        chain_collect(segment, list, slot, offset, count - F4_REDO_BUILT_IN);
}

/* The chunk with the slots of a block, by its own word: for a block that the header does not name any more. 0: none. */
static uint32_t slot_chunk_search(const struct format_4 *segment, unsigned block)
{
    for (uint32_t number = 1; number <= segment->chunk_count; number++)
        if (f4_owner(segment, number) == f4_owner_word(F4_KIND_SLOT, block))
            return number;
    return 0;
}

static void block_collect(const struct format_4 *segment, struct f4_redo_list *list, unsigned block, uint32_t number)
{
    size_t per_block = segment->chunk_bytes / F4_SLOT_BYTES;

    for (size_t i = 0; i < per_block; i++)
        slot_collect(segment, list, (unsigned)(block * per_block + i),
                     f4_chunk_offset(segment, number) + i * F4_SLOT_BYTES);
}

static uint32_t slot_block(const struct format_4 *segment, size_t block)
{
    return f4_load_32(segment->bytes, F4_HEADER_SLOT_BLOCKS + block * sizeof(uint32_t));
}

static int by_shard_and_hash(const void *left, const void *right)
{
    const struct f4_redo *a = left;
    const struct f4_redo *b = right;

    if (a->shard != b->shard)
        return a->shard < b->shard ? -1 : 1;
    if (a->hash != b->hash)
        return a->hash < b->hash ? -1 : 1;
    if (a->time != b->time)
        return a->time > b->time ? -1 : 1;
    return (a->units > b->units) - (a->units < b->units);
}

void f4_redo_collect(const struct format_4 *segment, struct f4_redo_list *list)
{
    size_t blocks = segment->chunk_bytes / F4_UNIT_BYTES;
    unsigned searches = 0;

    while (blocks > 0 && slot_block(segment, blocks - 1) == 0)
        blocks--;
    for (size_t block = 0; block < blocks; block++) {
        uint32_t number = slot_block(segment, block);

        if (!f4_is_chunk(segment, number) || f4_owner(segment, number) != f4_owner_word(F4_KIND_SLOT, (unsigned)block)) {
            list->slots_damaged++;
            number = searches++ < F4_SHARD_COUNT_MAX ? slot_chunk_search(segment, (unsigned)block) : 0;
        }
        if (number != 0)
            block_collect(segment, list, (unsigned)block, number);
    }
    /* Every server has slots. */
    if (blocks == 0 && slot_chunk_search(segment, 0) != 0) {
        list->slots_damaged++;
        block_collect(segment, list, 0, slot_chunk_search(segment, 0));
    }
    if (list->count > 1)
        qsort(list->entries, list->count, sizeof *list->entries, by_shard_and_hash);
}

void f4_redo_deinit(struct f4_redo_list *list)
{
    free(list->entries);
    list->entries = NULL;
}

/* The first entry at or behind a shard's hash. */
static size_t redo_search(const struct f4_redo_list *list, unsigned shard, uint64_t hash)
{
    size_t low = 0;

    for (size_t high = list->count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct f4_redo *entry = &list->entries[middle];

        if (entry->shard < shard || (entry->shard == shard && entry->hash < hash))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct f4_redo *f4_redo_find(struct f4_redo_list *list, unsigned shard, uint64_t hash, struct bytes key)
{
    struct f4_redo *newest = NULL;

    if ((list->shards >> shard & 1) == 0)
        return NULL;
    for (size_t i = redo_search(list, shard, hash); i < list->count; i++) {
        struct f4_redo *entry = &list->entries[i];

        if (entry->shard != shard || entry->hash != hash)
            break;
        if (entry->is_done || !bytes_equal(entry->key, key))
            continue;
        entry->is_done = true;
        newest = newest == NULL ? entry : newest;
    }
    return newest;
}
