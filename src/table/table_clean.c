/* Freeing of what ended before every snapshot. Recipe G in README.md. */
#include "table/table.h"

#include "table_internal.h"

/* Cuts the chain above `ref`, which was deleted and later superseded. Below the horizon nobody follows `older` anyway. */
static void chain_cut(const struct segment *segment, struct block_ref newest, struct block_ref ref, uint64_t horizon)
{
    struct version *version = version_at(segment, newest);

    while (version->begin > horizon) {
        struct block_ref older = {atomic_load_explicit(&version->older, memory_order_relaxed)};

        if (block_ref_is_none(older))
            return;
        if (older.units == ref.units) {
            atomic_store_explicit(&version->older, 0, memory_order_release);
            return;
        }
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

/* The horizon is read under the lock, so it is not behind one that freed versions of this shard before. */
unsigned table_clean(struct table *table, unsigned shard_number, unsigned max)
{
    struct shard *shard = table_shard(table, shard_number);
    uint64_t horizon = atomic_load(&table->segment->header->horizon);
    unsigned count = 0;

    for (; shard->garbage_head != 0 && count < max; count++) {
        struct block_ref ref = {shard->garbage_head};
        struct version *version = version_at(table->segment, ref);

        if (atomic_load_explicit(&version->end, memory_order_relaxed) > horizon)
            break;
        shard->garbage_head = version->garbage_next;
        if (shard->garbage_head == 0)
            shard->garbage_tail = 0;
        shard->garbage_count--;
        if (version->is_deleted)
            deleted_unlink(table, shard_number, ref, horizon);
        version_release(table->segment, &shard->allocator, ref);
    }
    return count;
}
