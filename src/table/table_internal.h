/* What the table's source files share with each other and with nobody else. */
#ifndef HAUSKV_TABLE_INTERNAL_H
#define HAUSKV_TABLE_INTERNAL_H

#include "platform/progress.h"
#include "table/table.h"

/* An entry of the directory: the number of a page's chunk, and above it the page's depth. So a key's place on its page is known
 * before anything of the page is there.
 *
 * The directory is a binary tree in the order of a heap, for all shards: node n has the children 2n and 2n + 1, and the node of a
 * prefix of p bits of the hash is that prefix with a 1 before it. Level 0 is that of the shards, with one entry each, level
 * directory_depth has 2^directory_depth for each: N1. there an entry names the page that its hashes are on; N2. on the levels above,
 * an entry is what its left child is. So every level that is not above a page's depth says of that page's hashes what the deepest
 * says, N3. no page is deeper than directory_level, and each level is as dense as it can be: the one that is asked has hardly
 * more entries than there are pages. */
#define DIRECTORY_NUMBER_BITS 27u

_Static_assert(((uint64_t)REFERENCE_UNIT_BYTES << 32) / CHUNK_BYTES <= (uint64_t)1 << DIRECTORY_NUMBER_BITS,
               "every chunk's number fits");
_Static_assert(PAGE_DEPTH_MAX < 1u << (32 - DIRECTORY_NUMBER_BITS), "every depth fits");

struct page_entry_point {
    struct chunk_ref chunk;
    uint32_t depth;
};

/* The node, on the deepest level, of a shard's first hashes; those of its others follow it. */
static inline size_t directory_first_node(const struct table *table, unsigned shard)
{
    return (size_t)(table->shard_count + shard) << table->directory_depth;
}

/* A shard's part of the deepest level: 2^directory_depth entries. */
static inline _Atomic uint32_t *directory_of(const struct table *table, unsigned shard)
{
    return table->directory + directory_first_node(table, shard);
}

static inline struct page_entry_point directory_load(const _Atomic uint32_t *place)
{
    uint32_t entry = atomic_load_explicit(place, memory_order_relaxed);

    return (struct page_entry_point){
        .chunk = {entry & ((1u << DIRECTORY_NUMBER_BITS) - 1)},
        .depth = entry >> DIRECTORY_NUMBER_BITS,
    };
}

/* Which level to ask. Without the lock it may be any number: so it is checked. */
static inline unsigned directory_level(const struct table *table)
{
    uint32_t level = atomic_load_explicit(&table_root(table)->directory_level, memory_order_relaxed);

    return level < table->directory_depth ? level : table->directory_depth;
}

/* Where the directory speaks of a hash. */
static inline const _Atomic uint32_t *directory_place(const struct table *table, uint64_t hash)
{
    uint64_t hash_behind_a_1 = hash >> 1 | (uint64_t)1 << 63;

    return table->directory + (hash_behind_a_1 >> (63 - table->shard_bits - directory_level(table)));
}

/* What the deepest level says of the page for tag. */
static inline struct page_entry_point directory_look(const struct table *table, unsigned shard, uint32_t tag)
{
    return directory_load(directory_of(table, shard) + ((uint64_t)tag >> (32 - table->directory_depth)));
}

/* Enters a page in the directory everywhere in its range, on all levels. */
void directory_set_range(struct table *table, unsigned shard, struct chunk_ref chunk);

/* Sees to N3: before a page of that depth is entered. */
void directory_level_raise(struct table *table, uint32_t depth);

/* Sees to N2 above the nodes first to last of the deepest level. */
void directory_derive(struct table *table, size_t first, size_t last);

/* Raises the time of the last insert or delete. */
void membership_touch(struct shard *shard, uint64_t time);

/* Queues a version that has ended. */
void garbage_push(const struct segment *segment, struct shard *shard, struct block_ref ref);

/* The block of the oldest ended version, made one for this key and value (version_reuse), or none. Recipe G'. */
struct block_ref garbage_reuse(struct table *table, unsigned shard_number, struct bytes key, size_t value_size);

/* One more step of a walk down a chain that must end (T2), with the lock of its shard held. */
#define WALK_TURNS 1024u
static inline void walk_note(unsigned steps)
{
    if (steps % WALK_TURNS == WALK_TURNS - 1)
        progress_note(PROGRESS_NO_PART);
}

#endif
