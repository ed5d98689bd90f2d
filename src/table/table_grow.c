/* How a page makes room: split, rehash or fill on. Recipe S in README.md. */
#include "table/table.h"

#include "table_internal.h"

/* Other shards' holders raise it too. */
void directory_level_raise(struct table *table, uint32_t depth)
{
    uint32_t level = atomic_load_explicit(&table_root(table)->directory_level, memory_order_relaxed);

    while (level < depth && !atomic_compare_exchange_weak(&table_root(table)->directory_level, &level, depth))
        ;
}

/* A level's nodes whose left children are first to last; none where that is one right child. */
void directory_derive(struct table *table, size_t first, size_t last)
{
    for (unsigned level = table->directory_depth; level > 0; level--) {
        first = (first + 1) / 2;
        last = last / 2;
        for (size_t node = first; node <= last; node++) {
            uint32_t entry = atomic_load_explicit(&table->directory[2 * node], memory_order_relaxed);

            atomic_store_explicit(&table->directory[node], entry, memory_order_release);
        }
    }
}

void directory_set_range(struct table *table, unsigned shard, struct chunk_ref chunk)
{
    const struct page *page = page_at(table->segment, chunk);
    size_t count = (size_t)1 << (table->directory_depth - page->depth);
    size_t first = directory_first_node(table, shard) + page->prefix * count;
    uint32_t entry = page->depth << DIRECTORY_NUMBER_BITS | chunk.number;

    directory_level_raise(table, page->depth);
    for (size_t i = 0; i < count; i++)
        atomic_store_explicit(&table->directory[first + i], entry, memory_order_release);
    directory_derive(table, first, first + count - 1);
}

/* A new, unpublished page with those of the source's entries that belong to it. */
static struct chunk_ref page_derive(struct table *table, unsigned shard, const struct page *source, uint32_t depth,
                                    uint32_t prefix)
{
    struct chunk_ref chunk = chunk_claim(table->segment, CHUNK_PAGE, 0, shard);

    if (!chunk_ref_is_none(chunk)) {
        page_init(page_at(table->segment, chunk), depth, prefix);
        page_copy(source, page_at(table->segment, chunk));
    }
    return chunk;
}

/* S2 to S4: from the store of replaced_by on, the new pages are the truth. */
static void page_replace_by(struct table *table, unsigned shard, struct chunk_ref old, struct chunk_ref left,
                            struct chunk_ref right)
{
    atomic_store_explicit(&page_at(table->segment, old)->replaced_by, (uint64_t)left.number << 32 | right.number,
                          memory_order_release);
    directory_set_range(table, shard, left);
    directory_set_range(table, shard, right);
    chunk_release(table->segment, old);
}

static bool page_split(struct table *table, unsigned shard, struct chunk_ref chunk)
{
    const struct page *page = page_at(table->segment, chunk);
    struct chunk_ref left;
    struct chunk_ref right;

    if (page->depth >= table->directory_depth)
        return false;
    left = page_derive(table, shard, page, page->depth + 1, page->prefix * 2);
    if (chunk_ref_is_none(left))
        return false;
    right = page_derive(table, shard, page, page->depth + 1, page->prefix * 2 + 1);
    if (chunk_ref_is_none(right)) {
        chunk_release(table->segment, left);
        return false;
    }
    page_replace_by(table, shard, chunk, left, right);
    atomic_fetch_add_explicit(&table_shard(table, shard)->page_count, 1, memory_order_relaxed);
    return true;
}

static bool page_rehash(struct table *table, unsigned shard, struct chunk_ref chunk)
{
    const struct page *page = page_at(table->segment, chunk);
    struct chunk_ref copy = page_derive(table, shard, page, page->depth, page->prefix);

    if (chunk_ref_is_none(copy))
        return false;
    page_replace_by(table, shard, chunk, copy, copy);
    return true;
}

static bool page_has_room_for(const struct page *page, unsigned count)
{
    return page->key_count + page->removed_count + count <= PAGE_ENTRIES_NORMAL;
}

bool table_has_room(const struct table *table, unsigned shard, uint64_t hash, unsigned count)
{
    return page_has_room_for(table_page_of(table, shard, hash), count);
}

enum status table_make_room(struct table *table, unsigned shard, uint64_t hash, unsigned count, bool *is_done)
{
    struct chunk_ref chunk = directory_load(directory_place(table, hash)).chunk;
    const struct page *page = page_at(table->segment, chunk);
    bool is_grown;

    *is_done = page_has_room_for(page, count);
    if (*is_done)
        return STATUS_OK;
    /* Removed entries alone do not justify a split. */
    if (page->key_count + count <= PAGE_ENTRIES_NORMAL * 3 / 4)
        is_grown = page_rehash(table, shard, chunk);
    else
        is_grown = page_split(table, shard, chunk) ||
                   (page->removed_count > PAGE_ENTRIES_NORMAL / 4 && page_rehash(table, shard, chunk));
    if (is_grown)
        return STATUS_OK;
    *is_done = page->key_count + count <= PAGE_ENTRIES_FULL;
    return *is_done ? STATUS_OK : STATUS_OUT_OF_MEMORY;
}
