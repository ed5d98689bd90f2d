/* Open addressing inside one chunk; see the header for what an entry is. */
#include "page_internal.h"

static size_t place_of(const struct page *page, uint32_t tag)
{
    return place_at_depth(tag, page->depth);
}

static size_t previous_place(size_t place)
{
    return place == 0 ? PAGE_ENTRIES - 1 : place - 1;
}

static void entry_store(struct page *page, size_t place, uint64_t entry)
{
    atomic_store_explicit(&page->entries[place], entry, memory_order_release);
}

void page_init(struct page *page, uint32_t depth, uint32_t prefix)
{
    REQUIRE(depth <= PAGE_DEPTH_MAX);
    memset(page, 0, sizeof(*page));
    page->depth = depth;
    page->prefix = prefix;
}

void page_insert(struct page *page, uint32_t tag, struct block_ref version)
{
    size_t place = place_of(page, tag);
    size_t probes = 0;

    while (!block_ref_is_none(entry_version(entry_load(page, place)))) {
        bool has_room = ++probes < PAGE_ENTRIES;

        INVARIANT(has_room);
        place = next_place(place);
    }
    page->removed_count -= entry_load(page, place) == ENTRY_REMOVED;
    page->key_count++;
    entry_store(page, place, entry_of(tag, version));
}

bool page_has_room(const struct page *page)
{
    for (size_t place = 0; place < PAGE_ENTRIES; place++)
        if (block_ref_is_none(entry_version(entry_load(page, place))))
            return true;
    return false;
}

/* An entry before an empty place need not be remembered as removed, nor need
 * the removed ones before it: no probe passes them. */
void page_remove(struct page *page, size_t index)
{
    page->key_count--;
    if (entry_load(page, next_place(index)) != ENTRY_EMPTY) {
        entry_store(page, index, ENTRY_REMOVED);
        page->removed_count++;
        return;
    }
    entry_store(page, index, ENTRY_EMPTY);
    for (size_t place = previous_place(index); entry_load(page, place) == ENTRY_REMOVED;
         place = previous_place(place)) {
        entry_store(page, place, ENTRY_EMPTY);
        page->removed_count--;
    }
}

bool page_covers(const struct page *page, uint32_t tag)
{
    return (page->depth == 0 ? 0 : tag >> (32 - page->depth)) == page->prefix;
}

uint32_t page_first_tag(const struct page *page)
{
    return page->depth == 0 ? 0 : page->prefix << (32 - page->depth);
}

uint32_t page_last_tag(const struct page *page)
{
    return page_first_tag(page) | (uint32_t)(UINT32_MAX >> page->depth);
}

void page_copy(const struct page *source, struct page *target)
{
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        uint64_t entry = entry_load(source, place);

        if (!block_ref_is_none(entry_version(entry)) && page_covers(target, entry_tag(entry)))
            page_insert(target, entry_tag(entry), entry_version(entry));
    }
}

/* The entries come nearly sorted, so insertion is the right sort. */
static void entries_sort(uint64_t *entries, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        uint64_t entry = entries[i];
        size_t j = i;

        for (; j > 0 && entries[j - 1] > entry; j--)
            entries[j] = entries[j - 1];
        entries[j] = entry;
    }
}

/* Probes that went around the end stand at the page's begin although their tags
 * are its greatest: they are collected last, so that the sort stays short. */
size_t page_collect(const struct page *page, uint32_t from, uint64_t *entries)
{
    size_t start = 0;
    size_t count = 0;

    while (start < PAGE_ENTRIES && entry_load(page, start) != ENTRY_EMPTY)
        start++;
    for (size_t i = 0; i < PAGE_ENTRIES; i++) {
        size_t place = (start + i) % PAGE_ENTRIES;
        uint64_t entry = entry_load(page, place);

        if (!block_ref_is_none(entry_version(entry)) && entry_tag(entry) >= from)
            entries[count++] = entry;
    }
    entries_sort(entries, count);
    return count;
}

void page_rebuild(struct page *page)
{
    page->key_count = 0;
    page->removed_count = 0;
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        uint64_t entry = entry_load(page, place);

        page->key_count += !block_ref_is_none(entry_version(entry));
        page->removed_count += entry == ENTRY_REMOVED;
    }
}

/* No empty place between where an entry belongs and where it is. */
static bool entry_is_reached(const struct page *page, size_t place)
{
    size_t probe = place_of(page, entry_tag(entry_load(page, place)));

    for (; probe != place; probe = next_place(probe))
        if (entry_load(page, probe) == ENTRY_EMPTY)
            return false;
    return true;
}

bool page_is_valid(const struct page *page, const char **reason)
{
    uint32_t key_count = 0;
    uint32_t removed_count = 0;

    *reason = NULL;
    if (page->depth > PAGE_DEPTH_MAX || (uint64_t)page->prefix >> page->depth != 0)
        *reason = "a page's depth or prefix is out of range";
    for (size_t place = 0; *reason == NULL && place < PAGE_ENTRIES; place++) {
        uint64_t entry = entry_load(page, place);

        if (entry == ENTRY_EMPTY)
            continue;
        removed_count += entry == ENTRY_REMOVED;
        if (block_ref_is_none(entry_version(entry))) {
            if (entry != ENTRY_REMOVED)
                *reason = "an entry is neither empty nor removed nor a version";
            continue;
        }
        key_count++;
        if (!page_covers(page, entry_tag(entry)))
            *reason = "an entry is on the wrong page";
        else if (!entry_is_reached(page, place))
            *reason = "an entry is behind an empty place";
    }
    if (*reason == NULL && (key_count != page->key_count || removed_count != page->removed_count))
        *reason = "a page's counts are wrong";
    return *reason == NULL;
}
