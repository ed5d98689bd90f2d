/* The table: keys to chains of versions, in shards.
 *
 * A key's shard is named by the top bits of its keyed hash; inside the shard a
 * directory of 2^depth pages is indexed by the next bits (page.h), and there is
 * one for every smaller depth: who looks for a key asks the smallest that tells
 * all pages apart. They have their final size from birth - under 0.4 % of the
 * memory - so they never grow, only pages split. Nothing here locks: all functions
 * but table_look and the hints want the shard's lock, which the transaction layer
 * takes (and recovers). */
#ifndef HAUSKV_TABLE_TABLE_H
#define HAUSKV_TABLE_TABLE_H

#include "table/page.h"

#define SHARD_COUNT_MAX 64u
#define SHARD_NUMBER_NONE SHARD_COUNT_MAX

/* In shared memory, in the segment's root. Only under the shard's mutex, but for
 * what is atomic. */
struct shard {
    _Alignas(64) struct robust_mutex mutex;
    _Atomic uint64_t membership_time; /* the newest commit that inserted or deleted a key here */
    _Atomic uint32_t is_set_aside;    /* recovery gave up: answers unavailable */
    _Atomic uint32_t deaths;          /* processes that died of it; see deaths_forget */
    _Atomic uint64_t changes;         /* how often its lock was taken, for who looks without it; no matter after a restart */
    /* Derived, made anew by table_rebuild: */
    _Atomic uint64_t key_count; /* keys that are there for a new reader; read without lock for statistics */
    _Atomic uint64_t entry_count;
    _Atomic uint32_t page_count;
    uint32_t garbage_head; /* queue of ended versions, oldest end first; block_ref units */
    uint32_t garbage_tail;
    uint32_t garbage_count;
    struct allocator allocator;
    /* While this is `changes`, the lock's holder changes nothing that is seen without the lock; no matter after a restart. */
    _Atomic uint64_t quiet_at;
};

/* A process's private handle; inherited by fork. */
struct table {
    struct segment *segment;
    struct shard *shards; /* in the segment's root, and so is the directory */
    _Atomic uint32_t *directory;
    unsigned shard_count;
    unsigned shard_bits;
    unsigned directory_depth;
};

/* The root of the segment begins with this; the shards and the directory follow. */
struct table_root {
    uint32_t shard_count;
    uint32_t directory_depth;
    _Atomic uint32_t directory_level; /* of the directory, which to ask: no page is deeper. Only grows */
    unsigned char unused[52];
};

/* How many shards a segment of that size gets: about one per 4 MiB, a power of two up to SHARD_COUNT_MAX. */
unsigned table_shard_count_for(size_t bytes);

/* Bytes of root that a table needs. shard_count is a power of two. */
size_t table_root_bytes(size_t bytes, unsigned shard_count);

/* Goes into the segment's fingerprint. */
uint64_t table_fingerprint(void);

/* Makes an empty table in a new segment's root. STATUS_OUT_OF_MEMORY: no chunk for each shard's first page. */
enum status table_create(struct table *table, struct segment *segment, unsigned shard_count);

/* Finds the table in the root of an existing segment. False: the root is damaged; nothing else is looked at. */
bool table_attach(struct table *table, struct segment *segment);

static inline struct table_root *table_root(const struct table *table)
{
    return (struct table_root *)(void *)table->segment->root;
}

static inline struct shard *table_shard(const struct table *table, unsigned shard)
{
    return table->shards + shard;
}

static inline uint64_t table_hash(const struct table *table, struct bytes key)
{
    return siphash(table->segment->header->hash_key, key);
}

static inline unsigned table_shard_of(const struct table *table, uint64_t hash)
{
    return (unsigned)(hash >> 1 >> (63 - table->shard_bits)); /* twice, as there may be no bits at all */
}

static inline uint32_t table_tag_of(const struct table *table, uint64_t hash)
{
    return (uint32_t)(hash << table->shard_bits >> 32);
}

/* The hashes of a shard, and of a tag in it, are consecutive. */
static inline uint64_t table_shard_first_hash(const struct table *table, unsigned shard)
{
    return table->shard_bits == 0 ? 0 : (uint64_t)shard << (64 - table->shard_bits);
}

static inline uint64_t table_tag_last_hash(const struct table *table, unsigned shard, uint32_t tag)
{
    return table_shard_first_hash(table, shard) | ((uint64_t)tag << 32 | UINT32_MAX) >> table->shard_bits;
}

static inline uint64_t table_shard_last_hash(const struct table *table, unsigned shard)
{
    return table_tag_last_hash(table, shard, UINT32_MAX);
}

/* Where a key is, for a publish under the same lock. Means nothing any more after a table_make_room of the shard. */
struct table_place {
    struct shard *shard;
    struct page *page;       /* that has its entry, or is to have it */
    size_t index;            /* of its entry, where it has one */
    uint32_t tag;
    struct block_ref newest; /* version, ended or not; none: the key has no entry */
};

void table_find_place(const struct table *table, unsigned shard, uint64_t hash, struct bytes key, struct table_place *place);

/* Whether the entry there still names the version that was found. */
static inline bool table_place_is_valid(const struct table_place *place)
{
    return block_ref_is_none(place->newest) ||
           atomic_load_explicit(&place->page->entries[place->index], memory_order_relaxed) ==
               entry_of(place->tag, place->newest);
}

/* The newest version of key, ended or not; none if the key has no entry. */
struct block_ref table_find(const struct table *table, unsigned shard, uint64_t hash, struct bytes key);

/* The version of key that a reader at snapshot sees, for who does not hold the lock. False: it gave up; take the lock. Whatever
 * stands in the segment, it ends and reads nothing outside; the answer counts only if nobody had the lock from before the
 * call until after it, or whoever had it was quiet; which is for the caller to find out ("Reading" in src/table/README.md). */
bool table_look(const struct table *table, uint64_t hash, struct bytes key, uint64_t snapshot, struct block_ref *visible);

/* The value of key that a reader of the latest sees, copied on the same terms: copy has room for VALUE_COPIED_BYTES_MAX.
 * STATUS_NOT_FOUND: there is none. STATUS_TOO_LARGE: it gave up, or the value is longer. */
enum status table_look_value(const struct table *table, uint64_t hash, struct bytes key, unsigned char *copy, size_t *size);

/* Begin to fetch what the next access to a key will look at, one when the one before is there: the shard's entry of the
 * directory; the place on the key's page; its version, and the block that a new one would take. Hints, without the lock. */
void table_prefetch_directory(const struct table *table, uint64_t hash);
void table_prefetch_place(const struct table *table, uint64_t hash);
void table_prefetch_version(const struct table *table, uint64_t hash);

/* Where a page's hashes begin and end; for whoever walks the table or counts inserts per page. */
struct page *table_page_of(const struct table *table, unsigned shard, uint64_t hash);
uint64_t table_page_last_hash(const struct table *table, unsigned shard, const struct page *page);

/* Sees to it that `count` more keys fit into the page of hash: splits or rehashes it, or, without memory, lets it fill up
 * to 95 %. STATUS_OUT_OF_MEMORY: not even that. After STATUS_OK ask table_page_of again: the page may cover less now,
 * and *is_done says whether the room is there for `count` keys in it. */
enum status table_make_room(struct table *table, unsigned shard, uint64_t hash, unsigned count, bool *is_done);

/* Whether table_make_room has nothing to do. */
bool table_has_room(const struct table *table, unsigned shard, uint64_t hash, unsigned count);

/* Memory for a version; see version_reserve. First that of one that is over (recipe G'). */
struct block_ref table_reserve(struct table *table, unsigned shard, struct bytes key, size_t value_size);
/* The same, only memory that is free: nothing is stored that anybody sees without the lock. */
struct block_ref table_reserve_free(struct table *table, unsigned shard, struct bytes key, size_t value_size);
void table_unreserve(struct table *table, unsigned shard, struct block_ref version);

/* Publishes a reserved version as the newest of its key at `time`. If the key has no entry yet, room was made. Recipe
 * P in src/table/README.md. */
void table_publish(struct table *table, unsigned shard, uint64_t hash, struct block_ref version, uint64_t time);

/* The same for a key whose place was found since the shard was locked. */
void table_publish_at(const struct table *table, const struct table_place *place, struct block_ref version, uint64_t time);

/* Ends the newest version at `time`: DEL. Recipe D. */
void table_end(struct table *table, unsigned shard_number, struct block_ref ref, uint64_t time);

/* Frees what ended at or before the segment's horizon, at most `max` versions; returns how many. Recipe G. */
unsigned table_clean(struct table *table, unsigned shard, unsigned max);

/* Whether the heir's functions below can work on a shard that nobody vouches for: every reference that they follow leads to
 * where it may, and no chain runs in a circle. Trusts nothing, looks at no derived data. */
bool table_shard_is_repairable(const struct table *table, unsigned shard, const char **reason);

/* --- for recovery: the heir of the shard's mutex, in this order; each may be begun again after dying inside --- */

/* Finishes page splits that were published but not entered in the directory everywhere, and makes its upper levels anew. */
void table_repair_directory(struct table *table, unsigned shard);
/* Does what table_publish and table_end did for the commit at `time`, where it is not done yet; touches no derived data.
 * False: no commit of this build can have left that record; nothing is changed. */
bool table_redo_publish(struct table *table, unsigned shard, struct block_ref version, uint64_t time);
void table_redo_end(struct table *table, unsigned shard, struct block_ref ref, uint64_t time);
/* Makes all derived data anew and frees what is not reachable. */
void table_rebuild(struct table *table, unsigned shard);

/* At a restart, with nobody else inside and before any shard's repair: which level of the directory to ask is found out anew. */
void table_forget_level(struct table *table);

/* Checks everything of one shard: pages, directory, chains, blocks, counts, garbage. Needs nobody inside. */
bool table_shard_is_valid(const struct table *table, unsigned shard, const char **reason);

#endif
