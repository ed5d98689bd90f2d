/* Going through shards, pages and entries. */
#include "format_4_internal.h"

#include <stdlib.h>

/* What can be wrong with a shard, besides values that are lost, each of which is told of by its key. */
enum fault {
    FAULT_QUARANTINED,
    FAULT_DIRECTORY,
    FAULT_PAGE,
    FAULT_CHUNK,
    FAULT_TIMES,
    FAULT_TWICE,
    FAULT_RANGE,
    FAULT_ENTRY,
    FAULT_MISSING,
    FAULT_COUNT
};

static const struct {
    const char *what;
    bool is_lost;
} faults[FAULT_COUNT] = {
    [FAULT_QUARANTINED] = {"it was quarantined, as its repair had failed: what is there may not be what was committed last", false},
    [FAULT_DIRECTORY] = {"entries of its directory are damaged; their page was found without", false},
    [FAULT_PAGE] = {"headers of pages are damaged", false},
    [FAULT_CHUNK] = {"pairs lie in a chunk that is said to be another's", false},
    [FAULT_TIMES] = {"keys have impossible times, so it is not sure whether they had been deleted", false},
    [FAULT_TWICE] = {"keys have two entries", false},
    [FAULT_RANGE] = {"parts of its directory name no page: the keys there are lost", true},
    [FAULT_ENTRY] = {"entries name no pair of this shard: their keys are lost", true},
    [FAULT_MISSING] = {"keys that it counted are not there", true},
};

struct walk {
    const struct format_4 *segment;
    const struct format_4_visitor *visitor;
    struct format_4_result *result;
    struct f4_redo_list redo;
    unsigned shard;
    uint64_t found[F4_SHARD_COUNT_MAX]; /* keys that are there, their values lost or not */
    uint64_t faults[FAULT_COUNT];       /* of this shard */
    uint64_t *entries;                  /* of a page; room for all */
    struct page_place *pages;           /* of this shard, by their own words: sorted, once it was needed */
    size_t page_count;
    bool has_pages;
};

/* A page that says what it covers. */
struct page_place {
    uint32_t depth;
    uint32_t prefix;
    uint32_t number;
    uint32_t versions;
};

/* The hashes behind the shard's bits that begin so. */
struct range {
    uint32_t prefix;
    uint32_t depth;
};

static bool range_has(const struct range *range, uint32_t tag)
{
    return range->depth == 0 || tag >> (32 - range->depth) == range->prefix;
}

static void tell(const struct walk *walk, int shard, const char *what, bool is_lost, struct bytes key, uint64_t count)
{
    const struct format_4_damage damage = {.shard = shard, .what = what, .key = key, .count = count, .is_lost = is_lost};

    walk->result->damages++;
    walk->visitor->damage(walk->visitor->context, &damage);
}

/* --- a pair --- */

static void pair_visit(struct walk *walk, const struct f4_version *version)
{
    struct format_4_pair pair;
    bool is_foreign = false;
    const char *complaint = f4_value_find(walk->segment, walk->shard, version, &pair, &is_foreign);

    walk->found[walk->shard]++;
    if (complaint != NULL) {
        tell(walk, (int)walk->shard, complaint, true, version->key, 1);
        return;
    }
    walk->faults[FAULT_CHUNK] += is_foreign;
    if (walk->visitor->pair(walk->visitor->context, &pair))
        walk->result->pairs++;
    else
        walk->result->is_stopped = true;
}

static bool times_are_possible(const struct walk *walk, const struct f4_version *version)
{
    return version->begin > 0 && version->begin <= walk->segment->clock &&
           (version->end == F4_TIME_INFINITE || (version->end > version->begin && version->end <= walk->segment->clock));
}

/* The newest version of a key that the table has, and what a commit that was not published says of the key. */
static void key_visit(struct walk *walk, const struct f4_version *newest)
{
    const struct f4_redo *redo = f4_redo_find(&walk->redo, walk->shard, newest->hash, newest->key);
    bool is_published = redo == NULL || (redo->units != newest->units && newest->begin >= redo->time);
    struct f4_version version = *newest;
    bool is_there = newest->end == F4_TIME_INFINITE || newest->end <= newest->begin; /* what makes no sense is shown */

    if (!is_published && redo->kind == F4_REDO_DEL)
        return;
    if (!is_published) {
        if (f4_version_find(walk->segment, walk->shard, redo->units, &version))
            pair_visit(walk, &version);
        return;
    }
    walk->faults[FAULT_TIMES] += !times_are_possible(walk, newest);
    if (is_there)
        pair_visit(walk, &version);
}

/* New keys of commits that were not published: the table knows nothing of them. */
static void redo_rest_visit(struct walk *walk)
{
    for (size_t i = 0; i < walk->redo.count && !walk->result->is_stopped; i++) {
        struct f4_redo *entry = &walk->redo.entries[i];
        struct f4_version version;

        if (entry->is_done || entry->shard != walk->shard)
            continue;
        entry = f4_redo_find(&walk->redo, walk->shard, entry->hash, entry->key);
        if (entry != NULL && entry->kind == F4_REDO_PUT &&
            f4_version_find(walk->segment, walk->shard, entry->units, &version))
            pair_visit(walk, &version);
    }
}

/* --- a page --- */

static int by_number(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return (a > b) - (a < b);
}

/* Whether one of the `count` entries before this one, all with its tag, is of the same key. */
static bool is_seen(const struct walk *walk, size_t index, size_t count, const struct f4_version *version)
{
    for (size_t i = index - count; i < index; i++) {
        struct f4_version other;

        if (f4_version_find(walk->segment, walk->shard, (uint32_t)walk->entries[i], &other) &&
            bytes_equal(other.key, version->key))
            return true;
    }
    return false;
}

static void entry_visit(struct walk *walk, const struct range *range, size_t index, size_t alike)
{
    uint64_t entry = walk->entries[index];
    uint32_t tag = (uint32_t)(entry >> 32);
    struct f4_version version;

    if (!f4_version_find(walk->segment, walk->shard, (uint32_t)entry, &version)) {
        walk->faults[FAULT_ENTRY]++;
        return;
    }
    if (!walk->segment->is_hash_key_damaged && f4_tag_of(walk->segment, version.hash) != tag) {
        walk->found[walk->shard]++;
        tell(walk, (int)walk->shard, "its key or its entry is damaged", true, version.key, 1);
    } else if (!range_has(range, tag)) {
        walk->faults[FAULT_ENTRY]++;
    } else if (is_seen(walk, index, alike, &version)) {
        walk->faults[FAULT_TWICE]++;
    } else {
        key_visit(walk, &version);
    }
}

static void page_visit(struct walk *walk, uint32_t number, const struct range *range)
{
    size_t offset = f4_chunk_offset(walk->segment, number) + F4_PAGE_ENTRIES;
    size_t count = 0;
    size_t alike = 0;

    for (size_t i = 0; i < f4_page_entries(walk->segment); i++) {
        uint64_t entry = f4_load_64(walk->segment->bytes, offset + i * sizeof entry);

        if ((uint32_t)entry != 0)
            walk->entries[count++] = entry;
    }
    if (count > 1)
        qsort(walk->entries, count, sizeof *walk->entries, by_number);
    for (size_t i = 0; i < count && !walk->result->is_stopped; i++) {
        alike = i > 0 && walk->entries[i - 1] >> 32 == walk->entries[i] >> 32 ? alike + 1 : 0;
        entry_visit(walk, range, i, alike);
    }
}

/* --- finding pages --- */

static struct range range_of(const struct format_4 *segment, size_t index, uint32_t depth)
{
    return (struct range){.prefix = (uint32_t)(index >> (segment->directory_depth - depth)), .depth = depth};
}

static bool is_page_of(const struct walk *walk, uint32_t number)
{
    return f4_is_chunk(walk->segment, number) &&
           f4_owner(walk->segment, number) == f4_owner_word(F4_KIND_PAGE, walk->shard);
}

static uint64_t page_successors(const struct walk *walk, uint32_t number)
{
    return f4_load_64(walk->segment->bytes, f4_chunk_offset(walk->segment, number) + F4_PAGE_REPLACED_BY);
}

/* What a page says of itself. False: nothing that fits the directory. */
static bool page_range(const struct walk *walk, uint32_t number, struct range *range)
{
    size_t offset = f4_chunk_offset(walk->segment, number);

    range->prefix = f4_load_32(walk->segment->bytes, offset + F4_PAGE_PREFIX);
    range->depth = f4_load_32(walk->segment->bytes, offset + F4_PAGE_DEPTH);
    return range->depth <= walk->segment->directory_depth && (uint64_t)range->prefix >> range->depth == 0;
}

static bool page_covers(const struct walk *walk, uint32_t number, size_t index, struct range *range)
{
    return page_range(walk, number, range) &&
           range->prefix == range_of(walk->segment, index, range->depth).prefix;
}

/* From a page that was replaced to the one that has its keys at index now; a split is finished before the next begins, but
 * each is deeper than the last in any case. False: it cannot be found. */
static bool page_follow(const struct walk *walk, uint32_t *number, size_t index, struct range *range)
{
    for (unsigned steps = 0; steps <= F4_DIRECTORY_DEPTH_MAX; steps++) {
        uint64_t successors;

        if (!is_page_of(walk, *number) || !page_covers(walk, *number, index, range))
            return false;
        successors = page_successors(walk, *number);
        if (successors == 0)
            return true;
        *number = (uint32_t)(successors >> 32);
        if (!is_page_of(walk, *number) || !page_covers(walk, *number, index, range))
            *number = (uint32_t)successors;
    }
    return false;
}

static int by_range(const void *left, const void *right)
{
    const struct page_place *a = left;
    const struct page_place *b = right;

    if (a->depth != b->depth)
        return a->depth < b->depth ? -1 : 1;
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    return (a->versions < b->versions) - (a->versions > b->versions); /* the fullest first */
}

static uint32_t versions_count(const struct walk *walk, uint32_t number)
{
    size_t offset = f4_chunk_offset(walk->segment, number) + F4_PAGE_ENTRIES;
    uint32_t count = 0;

    for (size_t i = 0; i < f4_page_entries(walk->segment); i++)
        count += f4_load_32(walk->segment->bytes, offset + i * sizeof(uint64_t)) != 0;
    return count;
}

/* Every page of the shard that was not replaced, as the chunks' own words have it. */
static void pages_collect(struct walk *walk)
{
    size_t capacity = 0;

    walk->has_pages = true;
    walk->page_count = 0;
    for (uint32_t number = 1; number <= walk->segment->chunk_count; number++) {
        struct range range;

        if (!is_page_of(walk, number) || page_successors(walk, number) != 0 || !page_range(walk, number, &range))
            continue;
        if (walk->page_count == capacity) {
            struct page_place *grown;

            capacity = capacity == 0 ? 64 : capacity * 2;
            grown = realloc(walk->pages, capacity * sizeof *grown);
            walk->result->is_memory_short = walk->result->is_memory_short || grown == NULL;
            if (grown == NULL)
                break;
            walk->pages = grown;
        }
        walk->pages[walk->page_count++] =
            (struct page_place){range.depth, range.prefix, number, versions_count(walk, number)};
    }
    if (walk->page_count > 1)
        qsort(walk->pages, walk->page_count, sizeof *walk->pages, by_range);
}

/* The page of that range that has most. 0: there is none. */
static uint32_t page_search(const struct walk *walk, const struct range *range)
{
    size_t low = 0;

    for (size_t high = walk->page_count; low < high;) {
        size_t middle = low + (high - low) / 2;
        const struct page_place *page = &walk->pages[middle];

        if (page->depth < range->depth || (page->depth == range->depth && page->prefix < range->prefix))
            low = middle + 1;
        else
            high = middle;
    }
    if (low == walk->page_count || walk->pages[low].depth != range->depth || walk->pages[low].prefix != range->prefix)
        return 0;
    return walk->pages[low].number;
}

/* Without the directory. The shallowest goes first: a deeper one may be the copy that a split had not finished. */
static uint32_t page_search_any(struct walk *walk, size_t index, struct range *range)
{
    if (!walk->has_pages)
        pages_collect(walk);
    for (uint32_t depth = 0; depth <= walk->segment->directory_depth; depth++) {
        uint32_t number;

        *range = range_of(walk->segment, index, depth);
        number = page_search(walk, range);
        if (number != 0)
            return number;
    }
    return 0;
}

/* The page for a directory's index, and the range of it that counts; 0: it is lost. The directory and the page say the same, or
 * one of them is damaged. */
static uint32_t page_find(struct walk *walk, size_t index, struct range *range)
{
    uint32_t entry = f4_directory_entry(walk->segment, walk->shard, index);
    uint32_t number = f4_entry_chunk(entry);
    uint32_t depth = f4_entry_depth(entry);
    uint32_t found;

    if (is_page_of(walk, number)) {
        found = number;
        if (page_follow(walk, &found, index, range))
            return found;
    }
    found = page_search_any(walk, index, range);
    if (found != 0) {
        walk->faults[FAULT_DIRECTORY]++;
        return found;
    }
    /* Keys prove themselves, so whatever the directory names can be tried. */
    if (!f4_is_chunk(walk->segment, number) || depth > walk->segment->directory_depth || walk->segment->is_hash_key_damaged)
        return 0;
    walk->faults[FAULT_PAGE]++;
    *range = range_of(walk->segment, index, depth);
    return number;
}

/* --- a shard --- */

/* Nobody died with its lock: then what it counts is true. */
static bool counts_are_true(const struct walk *walk)
{
    size_t offset = f4_shard_offset(walk->segment, walk->shard);

    return f4_load_32(walk->segment->bytes, offset) == 0 &&
           f4_load_32(walk->segment->bytes, offset + F4_MUTEX_OWNER) == 0 &&
           f4_load_32(walk->segment->bytes, offset + F4_SHARD_SET_ASIDE) == 0 &&
           (walk->redo.shards >> walk->shard & 1) == 0;
}

static void shard_tell(struct walk *walk)
{
    size_t offset = f4_shard_offset(walk->segment, walk->shard);
    uint64_t counted = f4_load_64(walk->segment->bytes, offset + F4_SHARD_KEY_COUNT);
    uint64_t found = walk->found[walk->shard] + walk->faults[FAULT_ENTRY];

    walk->faults[FAULT_QUARANTINED] = f4_load_32(walk->segment->bytes, offset + F4_SHARD_SET_ASIDE) != 0;
    if (counts_are_true(walk) && counted > found && counted <= UINT32_MAX)
        walk->faults[FAULT_MISSING] = counted - found;
    for (unsigned fault = 0; fault < FAULT_COUNT; fault++)
        if (walk->faults[fault] != 0)
            tell(walk, (int)walk->shard, faults[fault].what, faults[fault].is_lost, bytes_from(NULL, 0),
                 walk->faults[fault]);
}

static void shard_visit(struct walk *walk)
{
    size_t count = (size_t)1 << walk->segment->directory_depth;

    memset(walk->faults, 0, sizeof walk->faults);
    walk->has_pages = false;
    for (size_t index = 0; index < count && !walk->result->is_stopped;) {
        struct range range;
        uint32_t number = page_find(walk, index, &range);

        if (number == 0) {
            walk->faults[FAULT_RANGE]++;
            index++;
            continue;
        }
        page_visit(walk, number, &range);
        index = (size_t)(range.prefix + 1) << (walk->segment->directory_depth - range.depth);
    }
    redo_rest_visit(walk);
    if (!walk->result->is_stopped)
        shard_tell(walk);
}

static void segment_tell(const struct walk *walk)
{
    const struct format_4 *segment = walk->segment;
    const struct bytes none = bytes_from(NULL, 0);

    if (segment->header_words_damaged > 0)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "words of the header are damaged", false, none, segment->header_words_damaged);
    if (segment->bytes.size < segment->segment_bytes)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "the file is shorter than the segment: bytes are missing", false, none,
             segment->segment_bytes - segment->bytes.size);
    if (segment->is_root_damaged)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "the table's root is damaged; what it said was found without", false, none, 1);
    if (segment->is_hash_key_damaged)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "the hash key is damaged, so damaged keys are not noticed", false, none, 1);
    if (walk->redo.slots_damaged > 0)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "blocks of slots are damaged; a commit that was not published everywhere may be lost",
             false, none, walk->redo.slots_damaged);
    if (walk->redo.logs_damaged > 0)
        tell(walk, FORMAT_4_WHOLE_SEGMENT, "writes of commits that were not published everywhere are lost", true, none,
             walk->redo.logs_damaged);
}

struct format_4_result format_4_read(const struct format_4 *segment, const struct format_4_visitor *visitor)
{
    struct format_4_result result = {0};
    struct walk walk = {.segment = segment, .visitor = visitor, .result = &result};

    walk.entries = malloc(f4_page_entries(segment) * sizeof *walk.entries);
    result.is_memory_short = walk.entries == NULL;
    if (!result.is_memory_short) {
        f4_redo_collect(segment, &walk.redo);
        segment_tell(&walk);
    }
    for (; !result.is_memory_short && !result.is_stopped && walk.shard < segment->shard_count; walk.shard++)
        shard_visit(&walk);
    result.is_memory_short = result.is_memory_short || walk.redo.is_memory_short;
    f4_redo_deinit(&walk.redo);
    free(walk.pages);
    free(walk.entries);
    return result;
}
