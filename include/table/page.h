/* A page: one chunk of a shard's table, open addressing over references.
 *
 * An entry is {tag, version}: the tag is the 32 bits of the key's hash behind
 * the shard's bits. A page of depth d holds the tags that begin with its d bits
 * of prefix; an entry's place is the tag's next bits scaled to the page, so that
 * places ascend with the hash (a scan needs next to no sorting), and collisions
 * probe onwards, around the end.
 *
 * An entry changes by one store: empty or removed -> version, version -> newer
 * version, version -> removed or empty. A split or rehash copies the page into
 * new ones and then stores replaced_by, which is the moment it counts: until
 * then the copies are unreferenced, from then on whoever finds the old page in
 * the directory (only the heir of a dead process can) goes on to the new ones.
 * Source: R. Fagin et al., "Extendible Hashing", 1979. */
#ifndef HAUSKV_TABLE_PAGE_H
#define HAUSKV_TABLE_PAGE_H

#include "table/version.h"

#define PAGE_ENTRIES ((CHUNK_BYTES - 64) / sizeof(uint64_t))
#define PAGE_DEPTH_MAX 24u
/* Entries, removed ones included, at which a page splits; 70 %. */
#define PAGE_ENTRIES_NORMAL (PAGE_ENTRIES * 7 / 10)
/* Keys that a page takes when there is no memory to split it; 95 %. */
#define PAGE_ENTRIES_FULL (PAGE_ENTRIES * 95 / 100)

#define ENTRY_EMPTY 0u
#define ENTRY_REMOVED 0xffffffff00000000u

struct page {
    _Atomic uint64_t replaced_by; /* 0, or two chunk numbers: left << 32 | right (equal: one page) */
    uint32_t prefix;              /* the tags' first depth bits, as a number */
    uint32_t depth;
    uint32_t key_count;     /* derived: entries that are versions */
    uint32_t removed_count; /* derived: entries that are ENTRY_REMOVED */
    unsigned char unused[64 - 24];
    _Atomic uint64_t entries[PAGE_ENTRIES];
};

_Static_assert(sizeof(struct page) <= CHUNK_BYTES, "a page fits a chunk");

static inline uint32_t entry_tag(uint64_t entry)
{
    return (uint32_t)(entry >> 32);
}

/* None for an empty or removed entry. */
static inline struct block_ref entry_version(uint64_t entry)
{
    return (struct block_ref){(uint32_t)entry};
}

static inline uint64_t entry_of(uint32_t tag, struct block_ref version)
{
    return (uint64_t)tag << 32 | version.units;
}

static inline struct page *page_at(const struct segment *segment, struct chunk_ref chunk)
{
    return (struct page *)(void *)chunk_at(segment, chunk);
}

/* All functions but page_look: the caller holds the shard's lock. */

void page_init(struct page *page, uint32_t depth, uint32_t prefix);

/* The index of key's entry, or PAGE_ENTRIES. depth is the page's, which the caller knows from the directory: the page's header
 * need not be fetched for it. */
size_t page_find(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag, struct bytes key);

/* The same without the lock, and the version that its entry names, of one load: they fit each other whatever happens meanwhile.
 * Whatever the memory holds, and whatever depth (below 32) is said, it ends, stays in the segment, and answers so; see table_look. */
size_t page_look(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag, struct bytes key,
                 struct block_ref *version);

/* Stores a new entry in the first place that is free; there must be one. One store. */
void page_insert(struct page *page, uint32_t tag, struct block_ref version);

/* Whether page_insert finds a place. */
bool page_has_room(const struct page *page);

/* Stores a newer version in an entry, with that tag, that page_find found. One store. */
static inline void page_replace(struct page *page, size_t index, uint32_t tag, struct block_ref version)
{
    atomic_store_explicit(&page->entries[index], entry_of(tag, version), memory_order_release);
}

/* Removes an entry. */
void page_remove(struct page *page, size_t index);

/* Copies every version entry whose tag begins with the target's prefix into target, which is new and unpublished. */
void page_copy(const struct page *source, struct page *target);

/* Copies the version entries with tag >= from into entries (room for PAGE_ENTRIES), ascending; returns their number. */
size_t page_collect(const struct page *page, uint32_t from, uint64_t *entries);

/* Counts the derived data anew. */
void page_rebuild(struct page *page);

/* Whether tag belongs to this page. */
bool page_covers(const struct page *page, uint32_t tag);

/* First and last tag of the page's range. */
uint32_t page_first_tag(const struct page *page);
uint32_t page_last_tag(const struct page *page);

/* Depth, prefix, counts; every entry's tag belongs here and is reached by its probe. Looks at no version. */
bool page_is_valid(const struct page *page, const char **reason);

#endif
