/* Steps from place to place that page.c and table_read.c share. */
#ifndef HAUSKV_TABLE_PAGE_INTERNAL_H
#define HAUSKV_TABLE_PAGE_INTERNAL_H

#include "table/page.h"

static inline size_t place_at_depth(uint32_t tag, uint32_t depth)
{
    uint64_t behind_prefix = (uint32_t)((uint64_t)tag << depth);

    return (size_t)(behind_prefix * PAGE_ENTRIES >> 32);
}

static inline size_t next_place(size_t place)
{
    return place + 1 == PAGE_ENTRIES ? 0 : place + 1;
}

static inline uint64_t entry_load(const struct page *page, size_t place)
{
    return atomic_load_explicit(&page->entries[place], memory_order_relaxed);
}

#endif
