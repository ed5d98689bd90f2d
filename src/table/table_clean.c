/* Freeing of what ended before every snapshot. Recipe G in README.md. */
#include "table/table.h"

#include "platform/progress.h"
#include "table_internal.h"

/* Progress is shown every so many, and never in the few of a commit. */
#define CLEAN_TURNS 64u

/* Cuts the chain above `ref`, which was deleted and later superseded. Below the horizon nobody follows `older` anyway. */
static void chain_cut(const struct segment *segment, struct block_ref newest, struct block_ref ref, uint64_t horizon)
{
    struct version *version = version_at(segment, newest);
    uint64_t newer_begin = TIME_INFINITE;

    for (unsigned steps = 0; version->begin > horizon; steps++) {
        struct block_ref older = {atomic_load_explicit(&version->older, memory_order_relaxed)};

        if (block_ref_is_none(older))
            return;
        if (older.units == ref.units) {
            atomic_store_explicit(&version->older, 0, memory_order_release);
            return;
        }
        INVARIANT(version->begin < newer_begin); /* or it would not end */
        walk_note(steps);
        newer_begin = version->begin;
        version = version_at(segment, older);
    }
}

/* Makes a deleted version unreachable: its entry goes if it is the newest, else the reference to it. */
static void deleted_unlink(struct table *table, unsigned shard_number, struct block_ref ref, uint64_t horizon)
{
    struct shard *shard = table_shard(table, shard_number);
    struct bytes key = version_key(version_at(table->segment, ref));
    uint64_t hash = table_hash(table, key);
    struct page *page = table_page_of(table, shard_number, hash);
    size_t index = page_find(table->segment, page, page->depth, table_tag_of(table, hash), key);
    struct block_ref newest;

    if (index == PAGE_ENTRIES)
        return;
    newest = entry_version(atomic_load_explicit(&page->entries[index], memory_order_relaxed));
    if (newest.units != ref.units) {
        chain_cut(table->segment, newest, ref, horizon);
        return;
    }
    page_remove(page, index);
    atomic_fetch_sub_explicit(&shard->entry_count, 1, memory_order_relaxed);
}

/* G1, before it or behind it nobody else looks. */
static inline void garbage_pop(struct shard *shard, const struct version *first)
{
    INVARIANT(shard->garbage_count > 0); /* or the queue goes round */
    shard->garbage_head = first->garbage_next;
    if (shard->garbage_head == 0)
        shard->garbage_tail = 0;
    shard->garbage_count--;
}

/* A deleted version may still be what its key's entry names. The horizon: as below. */
static inline bool is_over(const struct table *table, const struct version *version)
{
    return version->is_deleted == 0 &&
           atomic_load_explicit(&version->end, memory_order_relaxed) <= atomic_load(&table->segment->header->horizon);
}

struct block_ref garbage_reuse(struct table *table, unsigned shard_number, struct bytes key, size_t value_size)
{
    struct shard *shard = table_shard(table, shard_number);
    struct block_ref ref = {shard->garbage_head};

    if (block_ref_is_none(ref) || !is_over(table, version_at(table->segment, ref)) ||
        !version_has_room_for(table->segment, ref, key.size, value_size))
        return (struct block_ref){0};
    garbage_pop(shard, version_at(table->segment, ref));
    version_reuse(table->segment, ref, key, value_size);
    return ref;
}

/* The horizon is read under the lock, so it is not behind one that freed versions of this shard before. */
unsigned table_clean(struct table *table, unsigned shard_number, unsigned max)
{
    struct shard *shard = table_shard(table, shard_number);
    uint64_t horizon = atomic_load(&table->segment->header->horizon);
    uint32_t queued = shard->garbage_count;
    unsigned count = 0;

    for (; shard->garbage_head != 0 && count < max; count++) {
        struct block_ref ref = {shard->garbage_head};
        struct version *version = version_at(table->segment, ref);

        if (atomic_load_explicit(&version->end, memory_order_relaxed) > horizon)
            break;
        if (count < queued && count % CLEAN_TURNS == CLEAN_TURNS - 1)
            progress_note(shard_number + 1);
        garbage_pop(shard, version);
        if (version->is_deleted)
            deleted_unlink(table, shard_number, ref, horizon);
        version_release(table->segment, &shard->allocator, ref);
    }
    return count;
}
