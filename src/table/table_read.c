/* Finding and reading: where on its page a key is, which version of a chain a reader sees, with the shard's lock and without;
 * and hints of what to fetch. "Reading" in README.md. All in one file, so that a look calls nothing. */
#include "page_internal.h"
#include "table/table.h"
#include "table_internal.h"

#define CACHE_LINE_BYTES 64u
/* A walk without the lock goes so far: behind it, the lock is no great matter. */
#define LOOK_VERSIONS_MAX 64u

/* --- where it is --- */

static inline bool is_version_of(const struct segment *segment, struct block_ref ref, struct bytes key, bool has_lock)
{
    return (has_lock || version_is_inside(segment, ref, key.size)) &&
           bytes_equal(version_key(version_at(segment, ref)), key);
}

/* The key's place, and the version that its entry names: of one load, so they fit each other whatever happens meanwhile.
 * PAGE_ENTRIES: it has none. */
static size_t page_probe_around(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag,
                                struct bytes key, bool has_lock, struct block_ref *version)
{
    size_t place = place_at_depth(tag, depth);

    for (size_t probes = 0; probes < PAGE_ENTRIES; probes++) {
        uint64_t entry = entry_load(page, place);

        if (entry == ENTRY_EMPTY)
            break;
        *version = entry_version(entry);
        if (entry_tag(entry) == tag && !block_ref_is_none(*version) && is_version_of(segment, *version, key, has_lock))
            return place;
        place = next_place(place);
    }
    *version = (struct block_ref){0};
    return PAGE_ENTRIES;
}

static inline bool is_short_version_of(const struct segment *segment, struct block_ref ref, struct bytes key, bool has_lock)
{
    struct bytes other;

    if (!has_lock && !version_is_inside(segment, ref, key.size))
        return false;
    other = version_key(version_at(segment, ref));
    return other.size == key.size && bytes_equal_in_words(other.data, key.data, key.size);
}

/* The same for nearly all keys: those that are compared without a call, on the places up to the page's last. As nothing is called,
 * nothing has to be saved first. False: to be looked for by page_probe_around. */
static inline bool page_probe_ahead(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag,
                                    struct bytes key, bool has_lock, size_t *index, struct block_ref *version)
{
    if (!bytes_are_few_words(key))
        return false;
    for (size_t place = place_at_depth(tag, depth); place < PAGE_ENTRIES; place++) {
        uint64_t entry = entry_load(page, place);

        *version = entry_version(entry);
        *index = place;
        if (entry_tag(entry) == tag && !block_ref_is_none(*version) &&
            is_short_version_of(segment, *version, key, has_lock))
            return true;
        *index = PAGE_ENTRIES;
        if (entry == ENTRY_EMPTY)
            return true;
    }
    return false;
}

static inline size_t page_probe(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag,
                                struct bytes key, bool has_lock, struct block_ref *version)
{
    size_t index;

    return page_probe_ahead(segment, page, depth, tag, key, has_lock, &index, version)
               ? index
               : page_probe_around(segment, page, depth, tag, key, has_lock, version);
}

size_t page_find(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag, struct bytes key)
{
    struct block_ref version;

    return page_probe(segment, page, depth, tag, key, true, &version);
}

size_t page_look(const struct segment *segment, const struct page *page, uint32_t depth, uint32_t tag, struct bytes key,
                 struct block_ref *version)
{
    return page_probe(segment, page, depth, tag, key, false, version);
}

static void place_find_around(const struct segment *segment, struct table_place *place, uint32_t depth, struct bytes key)
{
    place->index = page_probe_around(segment, place->page, depth, place->tag, key, true, &place->newest);
}

/* A function of its own, for what its caller had to save is back before the search, not behind it: what comes behind a search that
 * misses the caches should be little (spec/performance.md). */
static __attribute__((noinline)) void place_find(const struct segment *segment, struct table_place *place, uint32_t depth,
                                                 struct bytes key)
{
    if (!page_probe_ahead(segment, place->page, depth, place->tag, key, true, &place->index, &place->newest))
        place_find_around(segment, place, depth, key);
}

void table_find_place(const struct table *table, unsigned shard, uint64_t hash, struct bytes key, struct table_place *place)
{
    struct page_entry_point at = directory_load(directory_place(table, hash));

    REQUIRE(table_shard_of(table, hash) == shard);
    place->shard = table_shard(table, shard);
    place->page = page_at(table->segment, at.chunk);
    place->tag = table_tag_of(table, hash);
    place_find(table->segment, place, at.depth, key);
}

struct block_ref table_find(const struct table *table, unsigned shard, uint64_t hash, struct bytes key)
{
    struct table_place place;

    table_find_place(table, shard, hash, key, &place);
    return place.newest;
}

/* --- what is seen of it --- */

/* Holding the lock, whoever follows `older` goes from above the horizon (T6) and down (T2), so it ends. A chain that is none would
 * keep the shard for ever: better this process dies, and the shard is blamed. */
static inline void version_step_check(const struct segment *segment, uint64_t begin, uint64_t newer_begin)
{
    bool may_go_on = begin < newer_begin &&
                     begin > atomic_load_explicit(&segment->header->horizon, memory_order_relaxed);

    INVARIANT(may_go_on);
}

/* The version that a reader at snapshot sees, or none. With the lock always true; without, it never leaves the segment, ends,
 * and false says that it gave up (table_look). */
static inline bool version_walk(const struct segment *segment, struct block_ref ref, uint64_t snapshot, bool has_lock,
                                struct block_ref *visible)
{
    uint64_t newer_begin = TIME_INFINITE;

    for (unsigned steps = 0; !block_ref_is_none(ref); steps++) {
        const struct version *version = version_at(segment, ref);
        uint64_t begin;

        if (!has_lock && (steps == LOOK_VERSIONS_MAX || !version_is_inside(segment, ref, 0)))
            return false;
        begin = __atomic_load_n(&version->begin, __ATOMIC_RELAXED);
        if (begin <= snapshot) {
            uint64_t end = atomic_load_explicit(&version->end, memory_order_relaxed);

            *visible = end > snapshot || end == TIME_INFINITE ? ref : (struct block_ref){0};
            return true;
        }
        if (has_lock) {
            version_step_check(segment, begin, newer_begin);
            walk_note(steps);
        }
        newer_begin = begin;
        ref.units = atomic_load_explicit(&version->older, memory_order_relaxed);
    }
    *visible = ref;
    return true;
}

struct block_ref version_visible_at(const struct segment *segment, struct block_ref newest, uint64_t snapshot)
{
    struct block_ref visible;

    (void)version_walk(segment, newest, snapshot, true, &visible);
    return visible;
}

bool version_look(const struct segment *segment, struct block_ref newest, uint64_t snapshot, struct block_ref *visible)
{
    return version_walk(segment, newest, snapshot, false, visible);
}

/* Each size is one load, and was checked before it is used: no matter what else it was. */
static inline bool value_copy(const struct segment *segment, struct block_ref ref, unsigned char *copy, size_t *size)
{
    const struct version *version = version_at(segment, ref);
    uint32_t value_size = __atomic_load_n(&version->value_size, __ATOMIC_RELAXED);
    size_t fixed = sizeof(*version) + version_key(version).size;

    if (value_size > VALUE_COPIED_BYTES_MAX || fixed + value_size > CHUNK_BYTES ||
        (size_t)ref.units * REFERENCE_UNIT_BYTES + fixed + value_size > segment->bytes)
        return false;
    bytes_copy_few(copy, (const unsigned char *)version + fixed, value_size);
    *size = value_size;
    return true;
}

bool version_copy_value(const struct segment *segment, struct block_ref ref, unsigned char *copy, size_t *size)
{
    return value_copy(segment, ref, copy, size);
}

/* --- without the lock --- */

/* What the directory says of a key's page; page is NULL where that leads nowhere, as a shard that is set aside may say anything. */
struct page_seen {
    const struct page *page;
    uint32_t depth;
    uint32_t tag;
};

static inline struct page_seen page_see(const struct table *table, uint64_t hash)
{
    struct page_entry_point at = directory_load(directory_place(table, hash));
    bool is_inside = chunk_ref_is_inside(table->segment, at.chunk);

    return (struct page_seen){is_inside ? page_at(table->segment, at.chunk) : NULL, at.depth, table_tag_of(table, hash)};
}

/* The newest version of a key, or none. False: it gave up. */
static inline bool newest_look(const struct table *table, uint64_t hash, struct bytes key, struct block_ref *newest)
{
    struct page_seen seen = page_see(table, hash);

    if (seen.page == NULL)
        return false;
    (void)page_probe(table->segment, seen.page, seen.depth, seen.tag, key, false, newest);
    return true;
}

bool table_look(const struct table *table, uint64_t hash, struct bytes key, uint64_t snapshot, struct block_ref *visible)
{
    struct block_ref newest;

    return newest_look(table, hash, key, &newest) && version_walk(table->segment, newest, snapshot, false, visible);
}

enum status table_look_value(const struct table *table, uint64_t hash, struct bytes key, unsigned char *copy, size_t *size)
{
    struct block_ref newest;
    struct block_ref visible;

    if (!newest_look(table, hash, key, &newest) ||
        !version_walk(table->segment, newest, TIME_INFINITE, false, &visible))
        return STATUS_TOO_LARGE;
    if (block_ref_is_none(visible))
        return STATUS_NOT_FOUND;
    return value_copy(table->segment, visible, copy, size) ? STATUS_OK : STATUS_TOO_LARGE;
}

void table_prefetch_directory(const struct table *table, uint64_t hash)
{
    unsigned shard = table_shard_of(table, hash);

    __builtin_prefetch((const void *)directory_place(table, hash));
    /* Its lock and its counts, likely in another processor's cache. */
    __builtin_prefetch(table_shard(table, shard), 1);
    __builtin_prefetch(&table_shard(table, shard)->entry_count, 1);
}

/* What the directory says is not checked: nothing is read there, and a hint may point anywhere. */
void table_prefetch_place(const struct table *table, uint64_t hash)
{
    struct page_entry_point at = directory_load(directory_place(table, hash));
    size_t offset = offsetof(struct page, entries) + place_at_depth(table_tag_of(table, hash), at.depth) * sizeof(uint64_t);

    __builtin_prefetch((const void *)((uintptr_t)page_at(table->segment, at.chunk) + offset));
}

/* Of the entries in one cache line the first with the key's tag: what a page says here may be old or nonsense. */
static struct block_ref version_guess(const struct page_seen *seen)
{
    size_t place = place_at_depth(seen->tag, seen->depth);

    for (size_t probes = 0; probes < CACHE_LINE_BYTES / sizeof(uint64_t); probes++) {
        uint64_t entry = entry_load(seen->page, place);

        if (entry == ENTRY_EMPTY)
            break;
        if (entry_tag(entry) == seen->tag)
            return entry_version(entry);
        place = next_place(place);
    }
    return (struct block_ref){0};
}

static inline void version_prefetch(const struct segment *segment, struct block_ref ref)
{
    const struct version *version = version_at(segment, ref);

    if (block_ref_is_none(ref))
        return;
    __builtin_prefetch(version);
    __builtin_prefetch((const unsigned char *)version + CACHE_LINE_BYTES);
}

void table_prefetch_version(const struct table *table, uint64_t hash)
{
    const struct shard *shard = table_shard(table, table_shard_of(table, hash));
    struct page_seen seen = page_see(table, hash);

    if (seen.page != NULL)
        version_prefetch(table->segment, version_guess(&seen));
    /* Whose block the next PUT of the shard will take (garbage_reuse). */
    version_prefetch(table->segment, (struct block_ref){__atomic_load_n(&shard->garbage_head, __ATOMIC_RELAXED)});
}
