/* Repair after a death, and the proof that a shard is whole. Both walk the same
 * way: directory, pages, chains, down to the first version at or below the
 * horizon, and mark every block that they reach. */
#include "table/table.h"

#include <sys/mman.h>

#include "platform/progress.h"
#include "table_internal.h"

#define MARK_REACHED 1u
#define MARK_GARBAGE 2u

#define DIRECTORY_DISAGREES "a page's depth and prefix disagree with the directory"

static uint32_t chunk_mark_index(const struct segment *segment, struct chunk_ref chunk)
{
    return (uint32_t)((size_t)(chunk_at(segment, chunk) - segment->base) / REFERENCE_UNIT_BYTES);
}

/* All marks zero again, and their memory back with the system. */
static void marks_clear(const struct segment *segment)
{
    int result = madvise(segment->scratch, segment->bytes / REFERENCE_UNIT_BYTES, MADV_DONTNEED);

    INVARIANT(result == 0);
}

static uint32_t tag_at(const struct table *table, size_t index)
{
    return table->directory_depth == 0 ? 0 : (uint32_t)(index << (32 - table->directory_depth));
}

/* The directory's index behind the page's last one. */
static size_t page_end_index(const struct table *table, const struct page *page)
{
    return (size_t)(page->prefix + 1) << (table->directory_depth - page->depth);
}

/* The chunk of the page for tag. */
static struct chunk_ref page_chunk_of(const struct table *table, unsigned shard, uint32_t tag)
{
    return directory_look(table, shard, tag).chunk;
}

void table_forget_level(struct table *table)
{
    atomic_store(&table_root(table)->directory_level, 0);
}

void table_repair_directory(struct table *table, unsigned shard)
{
    size_t count = (size_t)1 << table->directory_depth;
    size_t first = directory_first_node(table, shard);

    for (size_t index = 0; index < count; index++) {
        struct chunk_ref chunk = page_chunk_of(table, shard, tag_at(table, index));
        uint64_t successors = atomic_load(&page_at(table->segment, chunk)->replaced_by);
        unsigned splits = 0;

        progress_note(shard + 1);
        while (successors != 0) {
            struct chunk_ref left = {(uint32_t)(successors >> 32)};
            struct chunk_ref right = {(uint32_t)successors};

            chunk = page_covers(page_at(table->segment, left), tag_at(table, index)) ? left : right;
            splits++;
            INVARIANT(splits <= PAGE_DEPTH_MAX); /* one, as each is finished before the next begins */
            directory_set_range(table, shard, chunk);
            successors = atomic_load(&page_at(table->segment, chunk)->replaced_by);
        }
        directory_level_raise(table, page_at(table->segment, chunk)->depth);
    }
    directory_derive(table, first, first + count - 1);
}

static void version_mark(struct segment *segment, struct block_ref ref)
{
    const struct version *version = version_at(segment, ref);

    allocator_mark(segment->scratch, ref);
    for (uint32_t i = 0; i < version_chunk_count(version); i++)
        segment->scratch[chunk_mark_index(segment, version_chunk(version, i))] = MARK_REACHED;
}

/* Marks a chain and queues what has ended. Returns whether its key is there. */
static bool chain_rebuild(struct table *table, unsigned shard, struct block_ref newest, uint64_t horizon)
{
    bool is_there = atomic_load(&version_at(table->segment, newest)->end) == TIME_INFINITE;
    uint64_t newer_begin = TIME_INFINITE;

    for (struct block_ref ref = newest; !block_ref_is_none(ref);) {
        struct version *version = version_at(table->segment, ref);
        uint64_t end = atomic_load(&version->end);

        /* Reachable twice, in a damaged segment only: queued twice it would make the queue endless. */
        if (table->segment->scratch[ref.units] != 0)
            break;
        progress_note(shard + 1); /* each version once at most, so this ends */
        version_mark(table->segment, ref);
        version->is_deleted = end != newer_begin;
        if (end != TIME_INFINITE)
            garbage_push(table->segment, table_shard(table, shard), ref);
        if (version->begin <= horizon)
            break;
        newer_begin = version->begin;
        ref.units = atomic_load(&version->older);
    }
    return is_there;
}

/* So many entries ahead of the one that is looked at, its version and mark begin to be fetched: they lie anywhere, and one after the
 * other each would be waited for. */
#define REBUILD_AHEAD 12u

static void rebuild_prefetch(const struct segment *segment, const struct page *page, size_t place)
{
    struct block_ref ref = {0};

    if (place < PAGE_ENTRIES)
        ref = entry_version(atomic_load_explicit(&page->entries[place], memory_order_relaxed));
    if (block_ref_is_none(ref))
        return;
    __builtin_prefetch(version_at(segment, ref));
    __builtin_prefetch(segment->scratch + ref.units, 1);
}

struct tally {
    uint64_t keys;
    uint64_t entries;
};

static void page_rebuild_chains(struct table *table, unsigned shard_number, struct chunk_ref chunk, uint64_t horizon,
                                struct tally *tally)
{
    struct page *page = page_at(table->segment, chunk);

    table->segment->scratch[chunk_mark_index(table->segment, chunk)] = MARK_REACHED;
    page_rebuild(page);
    for (size_t place = 0; place < REBUILD_AHEAD; place++)
        rebuild_prefetch(table->segment, page, place);
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        struct block_ref newest = entry_version(atomic_load_explicit(&page->entries[place], memory_order_relaxed));

        rebuild_prefetch(table->segment, page, place + REBUILD_AHEAD);
        if (block_ref_is_none(newest))
            continue;
        tally->entries++;
        tally->keys += chain_rebuild(table, shard_number, newest, horizon);
    }
}

static uint64_t garbage_end(const struct segment *segment, uint32_t units)
{
    return atomic_load(&version_at(segment, (struct block_ref){units})->end);
}

static uint32_t *garbage_next(const struct segment *segment, uint32_t units)
{
    return &version_at(segment, (struct block_ref){units})->garbage_next;
}

static uint32_t garbage_merge(const struct segment *segment, uint32_t left, uint32_t right)
{
    uint32_t merged = 0;
    uint32_t *link = &merged;

    while (left != 0 && right != 0) {
        uint32_t *first = garbage_end(segment, left) <= garbage_end(segment, right) ? &left : &right;

        *link = *first;
        link = garbage_next(segment, *first);
        *first = *link;
    }
    *link = left != 0 ? left : right;
    return merged;
}

/* Takes the first `count` of a queue off it and returns them in the order of their ends. */
static uint32_t garbage_take_sorted(const struct segment *segment, unsigned shard, uint32_t *queue, uint32_t count)
{
    uint32_t taken = *queue;

    if (count == 0)
        return 0;
    progress_note(shard + 1);
    if (count > 1) {
        taken = garbage_take_sorted(segment, shard, queue, count / 2);
        return garbage_merge(segment, taken, garbage_take_sorted(segment, shard, queue, count - count / 2));
    }
    *queue = *garbage_next(segment, taken);
    *garbage_next(segment, taken) = 0;
    return taken;
}

/* It was queued page by page; but the cleaner stops at the first version that somebody may still see. */
static void garbage_sort(const struct table *table, unsigned shard_number)
{
    const struct segment *segment = table->segment;
    struct shard *shard = table_shard(table, shard_number);
    uint32_t queue = shard->garbage_head;

    shard->garbage_head = garbage_take_sorted(segment, shard_number, &queue, shard->garbage_count);
    for (uint32_t units = shard->garbage_head; units != 0; units = *garbage_next(segment, units))
        shard->garbage_tail = units;
}

/* Pages and value chunks that nothing reaches go back. */
static void chunks_sweep(struct table *table, unsigned shard)
{
    struct segment *segment = table->segment;
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);

        progress_note(shard + 1);
        if ((word == chunk_owner_word(CHUNK_PAGE, 0, shard) || word == chunk_owner_word(CHUNK_VALUE, 0, shard)) &&
            segment->scratch[chunk_mark_index(segment, chunk)] == 0)
            chunk_release(segment, chunk);
    }
}

void table_rebuild(struct table *table, unsigned shard_number)
{
    struct shard *shard = table_shard(table, shard_number);
    uint64_t horizon = atomic_load(&table->segment->header->horizon);
    size_t count = (size_t)1 << table->directory_depth;
    uint32_t page_count = 0;
    struct tally tally = {0};

    marks_clear(table->segment);
    shard->garbage_head = 0;
    shard->garbage_tail = 0;
    shard->garbage_count = 0;
    for (size_t index = 0; index < count;) {
        struct chunk_ref chunk = page_chunk_of(table, shard_number, tag_at(table, index));
        size_t end;

        progress_note(shard_number + 1);
        page_rebuild_chains(table, shard_number, chunk, horizon, &tally);
        page_count++;
        end = page_end_index(table, page_at(table->segment, chunk));
        INVARIANT(end > index);
        index = end;
    }
    atomic_store(&shard->key_count, tally.keys);
    atomic_store(&shard->entry_count, tally.entries);
    atomic_store(&shard->page_count, page_count);
    garbage_sort(table, shard_number);
    chunks_sweep(table, shard_number);
    allocator_rebuild(table->segment, &shard->allocator, shard_number, table->segment->scratch);
    marks_clear(table->segment);
}

/* --- validity --- */

struct census {
    const struct table *table;
    unsigned shard;
    uint64_t horizon;
    uint64_t clock;
    uint64_t key_count;
    uint64_t entry_count;
    uint32_t page_count;
    const char *reason;
};

static bool refuse(struct census *census, const char *reason)
{
    if (census->reason == NULL)
        census->reason = reason;
    return false;
}

/* Marks; false if something was marked before: it would be reachable twice. */
static bool mark_once(struct census *census, uint32_t index, unsigned char mark)
{
    unsigned char *marks = census->table->segment->scratch;

    if ((marks[index] & mark) != 0)
        return refuse(census, "a block or chunk is reachable twice");
    marks[index] |= mark;
    return true;
}

static bool version_count(struct census *census, struct block_ref ref)
{
    const struct segment *segment = census->table->segment;
    const struct version *version = version_at(segment, ref);

    if (!mark_once(census, ref.units, MARK_REACHED))
        return false;
    for (uint32_t i = 0; i < version_chunk_count(version); i++)
        if (!mark_once(census, chunk_mark_index(segment, version_chunk(version, i)), MARK_REACHED))
            return false;
    return true;
}

/* Queued versions first: what has ended must be among them. */
static bool garbage_count(struct census *census)
{
    const struct segment *segment = census->table->segment;
    const struct shard *shard = table_shard(census->table, census->shard);
    struct block_ref ref = {shard->garbage_head};
    uint64_t last_end = 0;
    uint32_t last = 0;
    uint32_t count = 0;

    for (; !block_ref_is_none(ref); ref.units = version_at(segment, ref)->garbage_next) {
        if (!version_is_valid(segment, census->shard, ref))
            return refuse(census, "a queued version is damaged");
        if (!mark_once(census, ref.units, MARK_GARBAGE))
            return false;
        if (garbage_end(segment, ref.units) > census->clock)
            return refuse(census, "a queued version has not ended");
        if (garbage_end(segment, ref.units) < last_end)
            return refuse(census, "the queue of ended versions is not in their order");
        last_end = garbage_end(segment, ref.units);
        last = ref.units;
        count++;
    }
    if (count != shard->garbage_count || last != shard->garbage_tail)
        return refuse(census, "the queue of ended versions has a wrong count or end");
    return true;
}

/* Queued versions that no chain reaches must be over for every snapshot; they hold memory until they are cleaned. */
static bool garbage_count_unreached(struct census *census)
{
    const struct segment *segment = census->table->segment;
    struct block_ref ref = {table_shard(census->table, census->shard)->garbage_head};

    for (; !block_ref_is_none(ref); ref.units = version_at(segment, ref)->garbage_next) {
        if ((segment->scratch[ref.units] & MARK_REACHED) != 0)
            continue;
        if (atomic_load(&version_at(segment, ref)->end) > census->horizon)
            return refuse(census, "a version that a snapshot may need is not reachable");
        if (!version_count(census, ref))
            return false;
    }
    return true;
}

static bool chain_count(struct census *census, struct block_ref newest, struct bytes key)
{
    const struct segment *segment = census->table->segment;
    uint64_t newer_begin = TIME_INFINITE;

    for (struct block_ref ref = newest; !block_ref_is_none(ref);) {
        const struct version *version;
        uint64_t end;

        if (!version_is_valid(segment, census->shard, ref))
            return refuse(census, "a version is damaged or in a foreign shard");
        version = version_at(segment, ref);
        end = atomic_load(&version->end);
        if (!bytes_equal(version_key(version), key))
            return refuse(census, "a chain holds two keys");
        if (version->begin == 0 || version->begin >= newer_begin || version->begin > census->clock)
            return refuse(census, "a chain's times do not descend");
        if (end <= version->begin || end > newer_begin || (end == TIME_INFINITE && ref.units != newest.units))
            return refuse(census, "a version ends at a wrong time");
        if (end != TIME_INFINITE && (segment->scratch[ref.units] & MARK_GARBAGE) == 0)
            return refuse(census, "an ended version is not queued");
        if (version->is_deleted != (end != newer_begin))
            return refuse(census, "a version's deleted flag is wrong");
        if (!version_count(census, ref))
            return false;
        if (version->begin <= census->horizon)
            break;
        newer_begin = version->begin;
        ref.units = atomic_load(&version->older);
    }
    census->entry_count++;
    census->key_count += atomic_load(&version_at(segment, newest)->end) == TIME_INFINITE;
    return true;
}

/* Before any is looked up: a probe compares the keys of all entries on its way. */
static bool page_versions_are_valid(struct census *census, const struct page *page)
{
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        struct block_ref newest = entry_version(atomic_load(&page->entries[place]));

        if (!block_ref_is_none(newest) && !version_is_valid(census->table->segment, census->shard, newest))
            return refuse(census, "an entry names a damaged version");
    }
    return true;
}

static bool page_count_chains(struct census *census, const struct page *page)
{
    const struct table *table = census->table;

    if (!page_versions_are_valid(census, page))
        return false;
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        uint64_t entry = atomic_load(&page->entries[place]);
        struct block_ref newest = entry_version(entry);
        struct bytes key;
        uint64_t hash;

        if (block_ref_is_none(newest))
            continue;
        key = version_key(version_at(table->segment, newest));
        hash = table_hash(table, key);
        if (table_shard_of(table, hash) != census->shard || table_tag_of(table, hash) != entry_tag(entry))
            return refuse(census, "a key is in the wrong shard or under a wrong tag");
        if (page_find(table->segment, page, page->depth, entry_tag(entry), key) != place)
            return refuse(census, "a key has two entries");
        if (!chain_count(census, newest, key))
            return false;
    }
    return true;
}

/* N2. */
static bool directory_levels_are_valid(struct census *census)
{
    const struct table *table = census->table;
    size_t first = table->shard_count + census->shard;

    if (atomic_load(&table_root(table)->directory_level) > table->directory_depth)
        return refuse(census, "there is no such level of the directory");
    for (size_t count = 1; count < (size_t)1 << table->directory_depth; count *= 2, first *= 2)
        for (size_t node = first; node < first + count; node++)
            if (atomic_load(&table->directory[node]) != atomic_load(&table->directory[2 * node]))
                return refuse(census, "a level of the directory disagrees with the one below it");
    return true;
}

static bool directory_range_is_valid(const struct census *census, struct chunk_ref chunk, size_t from, size_t to)
{
    uint32_t depth = page_at(census->table->segment, chunk)->depth;

    for (size_t index = from; index < to; index++) {
        struct page_entry_point at = directory_look(census->table, census->shard, tag_at(census->table, index));

        if (at.chunk.number != chunk.number || at.depth != depth)
            return false;
    }
    return true;
}

static bool pages_count(struct census *census)
{
    const struct table *table = census->table;
    size_t count = (size_t)1 << table->directory_depth;

    for (size_t index = 0; index < count;) {
        struct chunk_ref chunk = page_chunk_of(table, census->shard, tag_at(table, index));
        const struct page *page;

        if (!chunk_ref_is_inside(table->segment, chunk) ||
            chunk_owner(table->segment, chunk) != chunk_owner_word(CHUNK_PAGE, 0, census->shard))
            return refuse(census, "the directory names a chunk that is no page of the shard");
        page = page_at(table->segment, chunk);
        if (!page_is_valid(page, &census->reason))
            return false;
        if (page->depth > table->directory_depth || atomic_load(&page->replaced_by) != 0 ||
            (size_t)page->prefix << (table->directory_depth - page->depth) != index ||
            !directory_range_is_valid(census, chunk, index, page_end_index(table, page)))
            return refuse(census, DIRECTORY_DISAGREES);
        if (page->depth > atomic_load(&table_root(table)->directory_level))
            return refuse(census, "a page is deeper than the level of the directory that is asked");
        if (!mark_once(census, chunk_mark_index(table->segment, chunk), MARK_REACHED) ||
            !page_count_chains(census, page))
            return false;
        census->page_count++;
        index = page_end_index(table, page);
    }
    return true;
}

static bool chunks_are_reached(struct census *census)
{
    const struct segment *segment = census->table->segment;
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);

        if ((word == chunk_owner_word(CHUNK_PAGE, 0, census->shard) ||
             word == chunk_owner_word(CHUNK_VALUE, 0, census->shard)) &&
            segment->scratch[chunk_mark_index(segment, chunk)] == 0)
            return refuse(census, "a page or value chunk is owned but not reachable");
    }
    return true;
}

static bool counts_are_valid(struct census *census)
{
    const struct shard *shard = table_shard(census->table, census->shard);

    if (atomic_load(&shard->key_count) != census->key_count ||
        atomic_load(&shard->entry_count) != census->entry_count ||
        atomic_load(&shard->page_count) != census->page_count)
        return refuse(census, "a shard's counts are wrong");
    if (atomic_load(&shard->membership_time) > census->clock)
        return refuse(census, "a shard changed in the future");
    return true;
}

bool table_shard_is_valid(const struct table *table, unsigned shard, const char **reason)
{
    struct census census = {
        .table = table,
        .shard = shard,
        .horizon = atomic_load(&table->segment->header->horizon),
        .clock = atomic_load(&table->segment->header->clock),
    };
    bool is_valid;

    marks_clear(table->segment);
    is_valid = garbage_count(&census) && pages_count(&census) && directory_levels_are_valid(&census) &&
               garbage_count_unreached(&census) && chunks_are_reached(&census) && counts_are_valid(&census) &&
               allocator_is_valid(table->segment, &table_shard(table, shard)->allocator, shard,
                                  table->segment->scratch, &census.reason);
    marks_clear(table->segment);
    *reason = census.reason;
    return is_valid;
}

/* --- repairability: what a restart asks before it lets the heir's functions loose --- */

static bool chunk_is_page(const struct census *census, struct chunk_ref chunk)
{
    const struct segment *segment = census->table->segment;

    return chunk_ref_is_inside(segment, chunk) &&
           chunk_owner(segment, chunk) == chunk_owner_word(CHUNK_PAGE, 0, census->shard);
}

/* Down to where the rebuild stops. Times that descend end every chain. */
static bool chain_is_repairable(struct census *census, struct block_ref newest)
{
    const struct segment *segment = census->table->segment;
    uint64_t newer_begin = TIME_INFINITE;

    for (struct block_ref ref = newest; !block_ref_is_none(ref);) {
        const struct version *version;

        if (!version_is_valid(segment, census->shard, ref))
            return refuse(census, "a version is damaged or in a foreign shard");
        version = version_at(segment, ref);
        if (version->begin == 0 || version->begin >= newer_begin || version->begin > census->clock)
            return refuse(census, "a chain's times do not descend");
        if (version->begin <= census->horizon)
            break;
        newer_begin = version->begin;
        ref.units = atomic_load(&version->older);
    }
    return true;
}

static bool page_is_repairable(struct census *census, struct chunk_ref chunk, size_t index)
{
    const struct table *table = census->table;
    const struct page *page = page_at(table->segment, chunk);

    if (page->depth > table->directory_depth || !page_covers(page, tag_at(table, index)))
        return refuse(census, DIRECTORY_DISAGREES);
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        uint64_t entry = atomic_load(&page->entries[place]);

        if (!block_ref_is_none(entry_version(entry)) && !chain_is_repairable(census, entry_version(entry)))
            return false;
    }
    return true;
}

/* A page that was replaced and those that replaced it: one step, as a split is finished before the next begins. */
static bool successors_are_repairable(struct census *census, struct chunk_ref chunk, size_t index)
{
    const struct table *table = census->table;
    uint64_t successors = atomic_load(&page_at(table->segment, chunk)->replaced_by);
    struct chunk_ref sides[2] = {{(uint32_t)(successors >> 32)}, {(uint32_t)successors}};
    bool is_covered = false;

    if (successors == 0)
        return true;
    for (unsigned i = 0; i < 2; i++) {
        const struct page *page;

        if (!chunk_is_page(census, sides[i]) || sides[i].number == chunk.number)
            return refuse(census, "a page was replaced by a chunk that is no page");
        page = page_at(table->segment, sides[i]);
        if (atomic_load(&page->replaced_by) != 0 || page->depth > table->directory_depth ||
            !page_is_repairable(census, sides[i], page_end_index(table, page) - 1))
            return refuse(census, "a page was replaced by a damaged one");
        is_covered = is_covered || page_covers(page, tag_at(table, index));
    }
    return is_covered || refuse(census, "a page was replaced by others of another range");
}

bool table_shard_is_repairable(const struct table *table, unsigned shard, const char **reason)
{
    struct census census = {
        .table = table,
        .shard = shard,
        .horizon = atomic_load(&table->segment->header->horizon),
        .clock = atomic_load(&table->segment->header->clock),
    };
    size_t count = (size_t)1 << table->directory_depth;
    bool is_repairable = true;
    uint32_t previous = 0;

    for (size_t index = 0; is_repairable && index < count; index++) {
        struct page_entry_point at = directory_look(table, shard, tag_at(table, index));

        if (!chunk_is_page(&census, at.chunk))
            is_repairable = refuse(&census, "the directory names a chunk that is no page of the shard");
        else if (at.depth != page_at(table->segment, at.chunk)->depth)
            is_repairable = refuse(&census, DIRECTORY_DISAGREES);
        else if (at.chunk.number != previous || !page_covers(page_at(table->segment, at.chunk), tag_at(table, index)))
            is_repairable = page_is_repairable(&census, at.chunk, index) && successors_are_repairable(&census, at.chunk, index);
        previous = at.chunk.number;
    }
    *reason = census.reason;
    return is_repairable;
}
