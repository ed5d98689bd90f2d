/* Where the parts of a segment lie. The header says it twice over: each of its
 * numbers follows from the others, so a few damaged ones are found out. */
#include "format_4_internal.h"

#include "platform/siphash.h"

/* The words of the header that say where things lie, computed or found. */
struct layout {
    uint64_t bytes;
    uint64_t root_offset;
    uint64_t root_bytes;
    uint64_t owners_offset;
    uint64_t infos_offset;
    uint64_t chunks_offset;
    uint64_t chunk_count;
    size_t chunk_bytes;
};

#define LAYOUT_WORDS 7u
#define LAYOUT_WORDS_MIN 4u /* that must agree */

#define SAMPLE_ENTRIES 1000u
#define SAMPLE_ENTRIES_MIN 8u

uint32_t format_4_version(struct bytes bytes)
{
    return f4_load_64(bytes, F4_HEADER_MAGIC) == F4_MAGIC ? f4_load_32(bytes, F4_HEADER_FORMAT_VERSION) : 0;
}

uint64_t format_4_fingerprint(struct bytes bytes)
{
    return f4_load_64(bytes, F4_HEADER_MAGIC) == F4_MAGIC ? f4_load_64(bytes, F4_HEADER_FINGERPRINT) : 0;
}

static size_t header_bytes(size_t chunk_bytes)
{
    size_t slot_blocks = chunk_bytes / F4_UNIT_BYTES * sizeof(uint32_t);
    size_t buckets = chunk_bytes >= F4_CHUNK_BYTES_USUAL ? F4_KEY_LOCK_BUCKETS_USUAL : F4_KEY_LOCK_BUCKETS_SMALL;

    return f4_round_up(F4_HEADER_SLOT_BLOCKS + slot_blocks, F4_SECTION_ALIGNMENT) + F4_HEADER_TAIL_BYTES +
           buckets * sizeof(uint32_t);
}

static struct layout layout_of(size_t chunk_bytes, uint64_t chunk_count, uint64_t root_bytes)
{
    struct layout layout = {.chunk_bytes = chunk_bytes, .chunk_count = chunk_count, .root_bytes = root_bytes};
    size_t count = (size_t)chunk_count + 1; /* chunks are numbered from 1 */

    layout.root_offset = f4_round_up(header_bytes(chunk_bytes), F4_SECTION_ALIGNMENT);
    layout.owners_offset = layout.root_offset + f4_round_up((size_t)root_bytes, F4_SECTION_ALIGNMENT);
    layout.infos_offset = layout.owners_offset + f4_round_up(count * sizeof(uint32_t), F4_SECTION_ALIGNMENT);
    layout.chunks_offset = f4_round_up((size_t)layout.infos_offset + count * F4_INFO_BYTES, chunk_bytes);
    layout.bytes = layout.chunks_offset + chunk_count * chunk_bytes;
    return layout;
}

static struct layout layout_load(struct bytes bytes)
{
    return (struct layout){
        .bytes = f4_load_64(bytes, F4_HEADER_BYTES),
        .root_offset = f4_load_64(bytes, F4_HEADER_ROOT_OFFSET),
        .root_bytes = f4_load_64(bytes, F4_HEADER_ROOT_BYTES),
        .owners_offset = f4_load_64(bytes, F4_HEADER_OWNERS_OFFSET),
        .infos_offset = f4_load_64(bytes, F4_HEADER_INFOS_OFFSET),
        .chunks_offset = f4_load_64(bytes, F4_HEADER_CHUNKS_OFFSET),
        .chunk_count = f4_load_32(bytes, F4_HEADER_CHUNK_COUNT),
    };
}

static unsigned words_that_agree(const struct layout *left, const struct layout *right)
{
    return (unsigned)(left->bytes == right->bytes) + (left->root_offset == right->root_offset) +
           (left->root_bytes == right->root_bytes) + (left->owners_offset == right->owners_offset) +
           (left->infos_offset == right->infos_offset) + (left->chunks_offset == right->chunks_offset) +
           (left->chunk_count == right->chunk_count);
}

/* How many chunks a segment of so many bytes has, as the engine computes it. */
static uint64_t chunk_count_for(uint64_t bytes, size_t chunk_bytes, uint64_t root_bytes)
{
    uint64_t count = bytes / chunk_bytes;

    if (bytes > F4_SEGMENT_BYTES_MAX || root_bytes > bytes)
        return 0;
    while (count >= F4_CHUNK_COUNT_MIN && layout_of(chunk_bytes, count, root_bytes).bytes > bytes) {
        uint64_t excess = layout_of(chunk_bytes, count, root_bytes).bytes - bytes;
        uint64_t chunks_over = excess / (chunk_bytes + sizeof(uint32_t) + F4_INFO_BYTES);

        count -= chunks_over == 0 ? 1 : (chunks_over < count ? chunks_over : count);
    }
    return count;
}

static void layout_compare(const struct layout *said, size_t chunk_bytes, uint64_t chunk_count, uint64_t root_bytes,
                           struct layout *best, unsigned *agreed)
{
    struct layout layout;
    unsigned agree;

    if (root_bytes > F4_SEGMENT_BYTES_MAX || chunk_count > F4_SEGMENT_BYTES_MAX / chunk_bytes ||
        chunk_count < F4_CHUNK_COUNT_MIN)
        return;
    layout = layout_of(chunk_bytes, chunk_count, root_bytes);
    agree = words_that_agree(&layout, said);
    if (agree > *agreed) {
        *agreed = agree;
        *best = layout;
    }
}

/* Tries what the words say and what follows from others, for one size of chunks. */
static void layout_try(const struct layout *said, uint64_t file_bytes, size_t chunk_bytes, struct layout *best,
                       unsigned *agreed)
{
    uint64_t root_offset = f4_round_up(header_bytes(chunk_bytes), F4_SECTION_ALIGNMENT);
    const uint64_t root_bytes[] = {said->root_bytes, said->owners_offset - root_offset};

    for (size_t i = 0; i < sizeof root_bytes / sizeof *root_bytes; i++) {
        const uint64_t chunk_counts[] = {
            said->chunk_count,
            chunk_count_for(said->bytes, chunk_bytes, root_bytes[i]),
            chunk_count_for(file_bytes, chunk_bytes, root_bytes[i]),
        };

        for (size_t j = 0; j < sizeof chunk_counts / sizeof *chunk_counts; j++)
            layout_compare(said, chunk_bytes, chunk_counts[j], root_bytes[i], best, agreed);
    }
}

static bool layout_find(struct format_4 *segment)
{
    struct layout said = layout_load(segment->bytes);
    struct layout best = {0};
    unsigned agreed = 0;

    layout_try(&said, segment->bytes.size, F4_CHUNK_BYTES_USUAL, &best, &agreed);
    for (size_t chunk_bytes = F4_CHUNK_BYTES_MIN; chunk_bytes <= F4_CHUNK_BYTES_MAX; chunk_bytes *= 2)
        layout_try(&said, segment->bytes.size, chunk_bytes, &best, &agreed);
    /* A short file loses chunks; what says where they are has to be there. */
    if (agreed < LAYOUT_WORDS_MIN || best.chunks_offset > segment->bytes.size)
        return false;
    segment->header_words_damaged = LAYOUT_WORDS - agreed;
    segment->chunk_bytes = best.chunk_bytes;
    segment->chunk_count = (uint32_t)best.chunk_count;
    segment->root_offset = (size_t)best.root_offset;
    segment->root_bytes = (size_t)best.root_bytes;
    segment->owners_offset = (size_t)best.owners_offset;
    segment->chunks_offset = (size_t)best.chunks_offset;
    segment->segment_bytes = (size_t)best.bytes;
    return true;
}

/* The depth of the directory that fills the root, as the engine computes it. */
static unsigned depth_of(const struct format_4 *segment, unsigned shard_count)
{
    size_t shards = F4_ROOT_BYTES + (size_t)shard_count * F4_SHARD_BYTES;
    unsigned depth = 0;

    while (depth < F4_DIRECTORY_DEPTH_MAX && shards + ((size_t)shard_count * 2 * sizeof(uint32_t) << (depth + 1)) <=
                                                  segment->root_bytes)
        depth++;
    return depth;
}

static void shape_set(struct format_4 *segment, unsigned shard_count)
{
    segment->shard_count = shard_count;
    segment->shard_bits = (unsigned)__builtin_ctz(shard_count);
    segment->directory_depth = depth_of(segment, shard_count);
}

/* How many shards' directories begin with a page of theirs, more often than not. */
static unsigned shards_that_begin(const struct format_4 *segment)
{
    unsigned good = 0;

    for (unsigned shard = 0; shard < segment->shard_count; shard++) {
        uint32_t number = f4_entry_chunk(f4_directory_entry(segment, shard, 0));

        good += f4_is_chunk(segment, number) && f4_owner(segment, number) == f4_owner_word(F4_KIND_PAGE, shard);
    }
    return good;
}

/* The root's two numbers follow from each other; where they do not, the directory shows which number of shards makes sense. */
static void shape_find(struct format_4 *segment)
{
    uint32_t shard_count = f4_load_32(segment->bytes, segment->root_offset + F4_ROOT_SHARD_COUNT);
    uint32_t depth = f4_load_32(segment->bytes, segment->root_offset + F4_ROOT_DIRECTORY_DEPTH);
    unsigned best = 1;
    unsigned best_good = 0;

    if (shard_count >= 1 && shard_count <= F4_SHARD_COUNT_MAX && (shard_count & (shard_count - 1)) == 0) {
        shape_set(segment, shard_count);
        if (segment->directory_depth == depth)
            return;
    }
    segment->is_root_damaged = true;
    for (unsigned count = 1; count <= F4_SHARD_COUNT_MAX; count *= 2) {
        unsigned good;

        shape_set(segment, count);
        good = shards_that_begin(segment);
        if (good > best_good) {
            best_good = good;
            best = count;
        }
    }
    shape_set(segment, best);
}

/* Whether most keys contradict the hash key. */
static bool hash_key_is_damaged(const struct format_4 *segment)
{
    unsigned seen = 0;
    unsigned right = 0;

    for (uint32_t number = 1; number <= segment->chunk_count && seen < SAMPLE_ENTRIES; number++) {
        uint32_t owner = f4_owner(segment, number);
        struct format_4 trusting = *segment;

        if (f4_owner_kind(owner) != F4_KIND_PAGE)
            continue;
        trusting.is_hash_key_damaged = true; /* so that all are found */
        for (size_t i = 0; i < f4_page_entries(segment) && seen < SAMPLE_ENTRIES; i++) {
            uint64_t entry = f4_load_64(segment->bytes, f4_chunk_offset(segment, number) + F4_PAGE_ENTRIES + i * 8);
            struct f4_version version;

            if ((uint32_t)entry == 0 || !f4_version_find(&trusting, 0, (uint32_t)entry, &version))
                continue;
            seen++;
            right += f4_shard_of(segment, version.hash) == (owner & 0xffffu) &&
                     f4_tag_of(segment, version.hash) == (uint32_t)(entry >> 32);
        }
    }
    return seen >= SAMPLE_ENTRIES_MIN && right < seen / 2;
}

enum format_4_outcome format_4_open(struct format_4 *segment, struct bytes bytes)
{
    uint64_t magic = f4_load_64(bytes, F4_HEADER_MAGIC);
    uint32_t version = f4_load_32(bytes, F4_HEADER_FORMAT_VERSION);

    *segment = (struct format_4){.bytes = bytes};
    if (magic == F4_MAGIC && version != F4_VERSION)
        return FORMAT_4_OTHER;
    segment->clock = f4_load_64(bytes, F4_HEADER_CLOCK);
    if (magic == 0 && segment->clock == 0 && f4_is_inside(bytes, 0, F4_HEADER_SLOT_BLOCKS))
        return FORMAT_4_UNFINISHED;
    if (version != F4_VERSION || !layout_find(segment))
        return FORMAT_4_NONE;
    segment->header_words_damaged += magic != F4_MAGIC;
    memcpy(segment->hash_key, bytes.data + F4_HEADER_HASH_KEY, sizeof segment->hash_key);
    shape_find(segment);
    segment->is_hash_key_damaged = hash_key_is_damaged(segment);
    return FORMAT_4_OPENED;
}
