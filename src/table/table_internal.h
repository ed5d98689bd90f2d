/* What the table's source files share with each other and with nobody else. */
#ifndef HAUSKV_TABLE_INTERNAL_H
#define HAUSKV_TABLE_INTERNAL_H

#include "table/table.h"

/* A shard's directory: 2^directory_depth entries, each the number of a page's chunk, and above it the page's depth. So a key's
 * place on its page is known before anything of the page is there. */
#define DIRECTORY_NUMBER_BITS 27u

_Static_assert(((uint64_t)REFERENCE_UNIT_BYTES << 32) / CHUNK_BYTES <= (uint64_t)1 << DIRECTORY_NUMBER_BITS,
               "every chunk's number fits");
_Static_assert(PAGE_DEPTH_MAX < 1u << (32 - DIRECTORY_NUMBER_BITS), "every depth fits");

struct page_entry_point {
    struct chunk_ref chunk;
    uint32_t depth;
};

/* Behind the last shard, those of all shards in order: so a hash's first bits are an index in all of them. */
static inline _Atomic uint32_t *directories_of(const struct table *table)
{
    return (_Atomic uint32_t *)(void *)table_shard(table, table->shard_count);
}

static inline _Atomic uint32_t *directory_of(const struct table *table, unsigned shard)
{
    return directories_of(table) + ((size_t)shard << table->directory_depth);
}

static inline struct page_entry_point directory_load(const _Atomic uint32_t *place)
{
    uint32_t entry = atomic_load_explicit(place, memory_order_relaxed);

    return (struct page_entry_point){
        .chunk = {entry & ((1u << DIRECTORY_NUMBER_BITS) - 1)},
        .depth = entry >> DIRECTORY_NUMBER_BITS,
    };
}

/* Where the directory of its shard speaks of a hash. */
static inline const _Atomic uint32_t *directory_place(const struct table *table, uint64_t hash)
{
    return directories_of(table) + (hash >> 1 >> (63 - table->shard_bits - table->directory_depth));
}

/* What the directory says of the page for tag. */
static inline struct page_entry_point directory_look(const struct table *table, unsigned shard, uint32_t tag)
{
    return directory_load(directory_of(table, shard) + ((uint64_t)tag >> (32 - table->directory_depth)));
}

/* The chunk of the page for tag. */
struct chunk_ref page_chunk_of(const struct table *table, unsigned shard, uint32_t tag);

/* Enters a page in the directory everywhere in its range. */
void directory_set_range(struct table *table, unsigned shard, struct chunk_ref chunk);

/* Raises the time of the last insert or delete. */
void membership_touch(struct shard *shard, uint64_t time);

/* Queues a version that has ended. */
void garbage_push(struct table *table, unsigned shard_number, struct block_ref ref);

#endif
