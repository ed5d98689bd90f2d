/* Shards and their directories; finding, publishing and ending of versions.
 * Growth is in table_grow.c, the clean-up in table_clean.c, repair and checks in
 * table_rebuild.c. */
#include "table/table.h"

#include "table_internal.h"

#define SHARD_BYTES_TYPICAL ((size_t)4 << 20)
#define BLOCK_BYTES_SMALLEST 48u

unsigned table_shard_count_for(size_t bytes)
{
    unsigned count = 1;

    while (count < SHARD_COUNT_MAX && (size_t)count * 2 * SHARD_BYTES_TYPICAL <= bytes)
        count *= 2;
    return count;
}

/* Deep enough for a shard full of the smallest keys on pages that just split,
 * and three bits more for the luck of the hash. */
static unsigned directory_depth_for(size_t bytes, unsigned shard_count)
{
    size_t pages = bytes / shard_count / BLOCK_BYTES_SMALLEST / (PAGE_ENTRIES_NORMAL / 2) + 1;
    unsigned depth = 3;

    while (depth < PAGE_DEPTH_MAX && (size_t)1 << (depth - 3) < pages)
        depth++;
    return depth;
}

/* What a table of so many shards needs, with a directory of that depth; all its levels have twice the deepest one's entries. */
static size_t root_bytes_of(unsigned shard_count, unsigned directory_depth)
{
    return sizeof(struct table_root) + shard_count * (sizeof(struct shard) + (2 * sizeof(uint32_t) << directory_depth));
}

size_t table_root_bytes(size_t bytes, unsigned shard_count)
{
    return root_bytes_of(shard_count, directory_depth_for(bytes, shard_count));
}

/* Alignment hides from a shard's size that it has a field more. */
uint64_t table_fingerprint(void)
{
    return sizeof(struct shard) * 31 + sizeof(struct version) * 37 + sizeof(struct page) * 41 + PAGE_ENTRIES +
           offsetof(struct shard, key_count) * 43;
}

static enum status shard_init(struct table *table, unsigned number)
{
    struct shard *shard = table_shard(table, number);
    struct chunk_ref chunk = chunk_claim(table->segment, CHUNK_PAGE, 0, number);

    if (chunk_ref_is_none(chunk))
        return STATUS_OUT_OF_MEMORY;
    robust_mutex_init(&shard->mutex);
    allocator_init(&shard->allocator);
    page_init(page_at(table->segment, chunk), 0, 0);
    atomic_store(&shard->page_count, 1);
    directory_set_range(table, number, chunk);
    return STATUS_OK;
}

/* The handle on a table of that shape. */
static struct table table_of(struct segment *segment, unsigned shard_count, unsigned directory_depth)
{
    struct shard *shards = (struct shard *)(void *)(segment->root + sizeof(struct table_root));

    return (struct table){
        .segment = segment,
        .shards = shards,
        .directory = (_Atomic uint32_t *)(void *)(shards + shard_count),
        .shard_count = shard_count,
        .shard_bits = (unsigned)__builtin_ctz(shard_count),
        .directory_depth = directory_depth,
    };
}

enum status table_create(struct table *table, struct segment *segment, unsigned shard_count)
{
    unsigned depth = 0;

    REQUIRE(shard_count >= 1 && shard_count <= SHARD_COUNT_MAX && (shard_count & (shard_count - 1)) == 0);
    /* The root may be a few bytes smaller than the whole segment would ask for now: its own size decides. */
    while (root_bytes_of(shard_count, depth + 1) <= segment->header->root_bytes)
        depth++;
    *table = table_of(segment, shard_count, depth);
    table_root(table)->shard_count = shard_count;
    table_root(table)->directory_depth = depth;
    for (unsigned shard = 0; shard < shard_count; shard++)
        if (shard_init(table, shard) != STATUS_OK)
            return STATUS_OUT_OF_MEMORY;
    return STATUS_OK;
}

bool table_attach(struct table *table, struct segment *segment)
{
    const struct table_root *root = (const struct table_root *)(void *)segment->root;
    uint64_t root_bytes = segment->header->root_bytes;

    if (root_bytes < sizeof(*root) || root->shard_count < 1 || root->shard_count > SHARD_COUNT_MAX ||
        (root->shard_count & (root->shard_count - 1)) != 0 || root->directory_depth > PAGE_DEPTH_MAX)
        return false;
    *table = table_of(segment, root->shard_count, root->directory_depth);
    return root_bytes_of(table->shard_count, table->directory_depth) <= root_bytes;
}

struct page *table_page_of(const struct table *table, unsigned shard, uint64_t hash)
{
    REQUIRE(table_shard_of(table, hash) == shard);
    return page_at(table->segment, directory_load(directory_place(table, hash)).chunk);
}

uint64_t table_page_last_hash(const struct table *table, unsigned shard, const struct page *page)
{
    return table_tag_last_hash(table, shard, page_last_tag(page));
}

struct block_ref table_reserve(struct table *table, unsigned shard, struct bytes key, size_t value_size)
{
    struct block_ref used = garbage_reuse(table, shard, key, value_size);

    return block_ref_is_none(used) ? table_reserve_free(table, shard, key, value_size) : used;
}

struct block_ref table_reserve_free(struct table *table, unsigned shard, struct bytes key, size_t value_size)
{
    return version_reserve(table->segment, &table_shard(table, shard)->allocator, shard, key, value_size);
}

void table_unreserve(struct table *table, unsigned shard, struct block_ref version)
{
    version_release(table->segment, &table_shard(table, shard)->allocator, version);
}

void membership_touch(struct shard *shard, uint64_t time)
{
    if (atomic_load_explicit(&shard->membership_time, memory_order_relaxed) < time)
        atomic_store_explicit(&shard->membership_time, time, memory_order_release);
}

void garbage_push(const struct segment *segment, struct shard *shard, struct block_ref ref)
{
    shard->garbage_count++;
    version_at(segment, ref)->garbage_next = 0;
    if (shard->garbage_tail == 0)
        shard->garbage_head = ref.units;
    else
        version_at(segment, (struct block_ref){shard->garbage_tail})->garbage_next = ref.units;
    shard->garbage_tail = ref.units;
}

static void counter_add(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

/* Steps P1 to P4 of src/table/README.md, each a store, all idempotent: of a key that has no entry, */
static inline void publish_new(const struct table *table, const struct table_place *place, struct block_ref ref, uint64_t time)
{
    version_at(table->segment, ref)->begin = time;
    membership_touch(place->shard, time);
    page_insert(place->page, place->tag, ref);
}

/* and of one that has. Returns whether it was deleted. */
static inline bool publish_over(const struct table *table, const struct table_place *place, struct block_ref ref, uint64_t time)
{
    struct version *version = version_at(table->segment, ref);
    struct version *older = version_at(table->segment, place->newest);
    bool was_deleted = atomic_load_explicit(&older->end, memory_order_relaxed) < time;

    INVARIANT(older->begin < time);
    version->begin = time;
    atomic_store_explicit(&version->older, place->newest.units, memory_order_relaxed);
    if (was_deleted)
        membership_touch(place->shard, time);
    else
        atomic_store_explicit(&older->end, time, memory_order_release);
    page_replace(place->page, place->index, place->tag, ref);
    return was_deleted;
}

void table_publish(struct table *table, unsigned shard, uint64_t hash, struct block_ref version, uint64_t time)
{
    struct table_place place;

    table_find_place(table, shard, hash, version_key(version_at(table->segment, version)), &place);
    table_publish_at(table, &place, version, time);
}

void table_publish_at(const struct table *table, const struct table_place *place, struct block_ref version, uint64_t time)
{
    struct shard *shard = place->shard;

    if (block_ref_is_none(place->newest)) {
        publish_new(table, place, version, time);
        counter_add(&shard->key_count, 1);
        counter_add(&shard->entry_count, 1);
    } else if (publish_over(table, place, version, time)) {
        counter_add(&shard->key_count, 1);
    } else {
        garbage_push(table->segment, shard, place->newest);
    }
}

/* What a record of a sound segment always has: a place in its shard, above what is there. */
static bool redo_makes_sense(const struct table *table, const struct table_place *place, struct block_ref ref, uint64_t time)
{
    if (block_ref_is_none(place->newest))
        return atomic_load(&version_at(table->segment, ref)->older) == 0 && page_has_room(place->page);
    return place->newest.units == ref.units || version_at(table->segment, place->newest)->begin < time;
}

bool table_redo_publish(struct table *table, unsigned shard, struct block_ref ref, uint64_t time)
{
    struct version *version = version_at(table->segment, ref);
    uint64_t hash = table_hash(table, version_key(version));
    struct table_place place;

    if (table_shard_of(table, hash) != shard)
        return false;
    table_find_place(table, shard, hash, version_key(version), &place);
    if (!redo_makes_sense(table, &place, ref, time))
        return false;
    if (block_ref_is_none(place.newest))
        publish_new(table, &place, ref, time);
    else if (place.newest.units == ref.units)
        version->begin = time; /* all else was done */
    else
        (void)publish_over(table, &place, ref, time);
    return true;
}

void table_redo_end(struct table *table, unsigned shard, struct block_ref ref, uint64_t time)
{
    membership_touch(table_shard(table, shard), time);
    atomic_store_explicit(&version_at(table->segment, ref)->end, time, memory_order_release);
}

void table_end(struct table *table, unsigned shard_number, struct block_ref ref, uint64_t time)
{
    struct version *version = version_at(table->segment, ref);
    struct shard *shard = table_shard(table, shard_number);

    INVARIANT(atomic_load_explicit(&version->end, memory_order_relaxed) == TIME_INFINITE);
    table_redo_end(table, shard_number, ref, time);
    version->is_deleted = 1;
    counter_add(&shard->key_count, UINT64_MAX);
    garbage_push(table->segment, shard, ref);
}
