/* What the files of the reader share. Every load is checked against the bytes that there are: outside of them, all is 0. */
#ifndef HAUSKV_PERSISTENCE_FORMAT_4_INTERNAL_H
#define HAUSKV_PERSISTENCE_FORMAT_4_INTERNAL_H

#include <string.h>

#include "format_4_layout.h"
#include "persistence/format_4.h"

static inline bool f4_is_inside(struct bytes bytes, size_t offset, size_t size)
{
    return offset <= bytes.size && bytes.size - offset >= size;
}

static inline uint64_t f4_load_64(struct bytes bytes, size_t offset)
{
    uint64_t word = 0;

    if (f4_is_inside(bytes, offset, sizeof word))
        memcpy(&word, bytes.data + offset, sizeof word);
    return word;
}

static inline uint32_t f4_load_32(struct bytes bytes, size_t offset)
{
    uint32_t word = 0;

    if (f4_is_inside(bytes, offset, sizeof word))
        memcpy(&word, bytes.data + offset, sizeof word);
    return word;
}

static inline uint16_t f4_load_16(struct bytes bytes, size_t offset)
{
    uint16_t word = 0;

    if (f4_is_inside(bytes, offset, sizeof word))
        memcpy(&word, bytes.data + offset, sizeof word);
    return word;
}

static inline size_t f4_round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static inline bool f4_is_chunk(const struct format_4 *segment, uint32_t number)
{
    return number >= 1 && number <= segment->chunk_count;
}

static inline size_t f4_chunk_offset(const struct format_4 *segment, uint32_t number)
{
    return segment->chunks_offset + (size_t)(number - 1) * segment->chunk_bytes;
}

static inline uint32_t f4_owner(const struct format_4 *segment, uint32_t number)
{
    return f4_load_32(segment->bytes, segment->owners_offset + (size_t)number * sizeof(uint32_t));
}

static inline uint32_t f4_owner_word(unsigned kind, unsigned owner)
{
    return (uint32_t)kind << 24 | (uint32_t)owner;
}

static inline unsigned f4_owner_kind(uint32_t word)
{
    return word >> 24;
}

static inline size_t f4_page_entries(const struct format_4 *segment)
{
    return (segment->chunk_bytes - F4_PAGE_ENTRIES) / sizeof(uint64_t);
}

static inline size_t f4_shard_offset(const struct format_4 *segment, unsigned shard)
{
    return segment->root_offset + F4_ROOT_BYTES + (size_t)shard * F4_SHARD_BYTES;
}

/* Of the deepest level of a shard's directory, the entry at index. */
static inline uint32_t f4_directory_entry(const struct format_4 *segment, unsigned shard, size_t index)
{
    size_t node = ((size_t)(segment->shard_count + shard) << segment->directory_depth) + index;

    return f4_load_32(segment->bytes, f4_shard_offset(segment, segment->shard_count) + node * sizeof(uint32_t));
}

static inline uint32_t f4_entry_chunk(uint32_t entry)
{
    return entry & ((1u << F4_DIRECTORY_NUMBER_BITS) - 1);
}

static inline uint32_t f4_entry_depth(uint32_t entry)
{
    return entry >> F4_DIRECTORY_NUMBER_BITS;
}

static inline unsigned f4_shard_of(const struct format_4 *segment, uint64_t hash)
{
    return (unsigned)(hash >> 1 >> (63 - segment->shard_bits));
}

static inline uint32_t f4_tag_of(const struct format_4 *segment, uint64_t hash)
{
    return (uint32_t)(hash << segment->shard_bits >> 32);
}

/* --- versions: format_4_version.c --- */

struct f4_version {
    uint32_t units;
    uint32_t chunk;  /* that it lies in */
    size_t offset;   /* from the segment's begin */
    size_t room;     /* bytes to the chunk's end */
    uint64_t begin;
    uint64_t end;
    uint64_t hash;
    struct bytes key;
};

/* Whether a version with a possible key is there, of that shard by its hash (unless the hash key is damaged). */
bool f4_version_find(const struct format_4 *segment, unsigned shard, uint32_t units, struct f4_version *version);

/* Where its value lies. NULL, or why it cannot be read. *is_foreign: the chunk belongs to somebody else, as its owner's word has it;
 * the key says otherwise. */
const char *f4_value_find(const struct format_4 *segment, unsigned shard, const struct f4_version *version,
                          struct format_4_pair *pair, bool *is_foreign);

/* --- what was committed and is not published: format_4_redo.c --- */

struct f4_redo {
    uint64_t hash;
    uint64_t time;
    uint32_t units;
    uint16_t shard;
    uint16_t kind;
    struct bytes key;
    bool is_done; /* its key was visited */
};

/* Private memory; begins as all zeros. */
struct f4_redo_list {
    struct f4_redo *entries; /* in the order of shard and hash, of equal ones the newest first */
    size_t count;
    size_t capacity;
    uint64_t shards;       /* a bit for each that has one */
    uint64_t slots_damaged; /* blocks of slots that cannot be found */
    uint64_t logs_damaged;  /* entries or lists that cannot be read */
    uint32_t chunks_visited;
    bool is_memory_short;
};

void f4_redo_collect(const struct format_4 *segment, struct f4_redo_list *list);
void f4_redo_deinit(struct f4_redo_list *list);

/* The newest write of a key; NULL: there is none. Marks all writes of it as done. */
struct f4_redo *f4_redo_find(struct f4_redo_list *list, unsigned shard, uint64_t hash, struct bytes key);

#endif
