/* One version, and where its value lies. */
#include "format_4_internal.h"

#include "platform/siphash.h"

bool f4_version_find(const struct format_4 *segment, unsigned shard, uint32_t units, struct f4_version *version)
{
    size_t offset = (size_t)units * F4_UNIT_BYTES;
    size_t chunk_end;
    uint16_t key_size;

    if (offset < segment->chunks_offset || offset >= segment->segment_bytes)
        return false;
    version->units = units;
    version->offset = offset;
    version->chunk = (uint32_t)((offset - segment->chunks_offset) / segment->chunk_bytes) + 1;
    chunk_end = f4_chunk_offset(segment, version->chunk) + segment->chunk_bytes;
    version->room = chunk_end - offset;
    key_size = f4_load_16(segment->bytes, offset + F4_VERSION_KEY_SIZE);
    if (key_size < 1 || key_size > F4_KEY_BYTES_MAX || F4_VERSION_BYTES + (size_t)key_size > version->room ||
        !f4_is_inside(segment->bytes, offset, F4_VERSION_BYTES + (size_t)key_size))
        return false;
    version->key = bytes_from(segment->bytes.data + offset + F4_VERSION_BYTES, key_size);
    version->begin = f4_load_64(segment->bytes, offset + F4_VERSION_BEGIN);
    version->end = f4_load_64(segment->bytes, offset + F4_VERSION_END);
    version->hash = siphash(segment->hash_key, version->key);
    return segment->is_hash_key_damaged || f4_shard_of(segment, version->hash) == shard;
}

unsigned format_4_shard(const struct format_4 *segment, struct bytes key)
{
    return f4_shard_of(segment, siphash(segment->hash_key, key));
}

/* The sizes of blocks, ascending; returns how many there are. */
static unsigned size_classes(size_t chunk_bytes, uint32_t sizes[F4_SIZE_CLASS_COUNT_MAX])
{
    uint32_t bytes = F4_BLOCK_BYTES_MIN;
    uint32_t largest = 0;
    unsigned count = 0;

    while (bytes <= chunk_bytes / 16 && count < F4_SIZE_CLASS_COUNT_MAX) {
        uint32_t doubling = F4_UNIT_BYTES * 8;

        sizes[count++] = largest = bytes;
        while (doubling * 2 <= bytes)
            doubling *= 2;
        bytes += doubling / 8;
    }
    for (size_t parts = 15; parts >= 1 && count < F4_SIZE_CLASS_COUNT_MAX; parts--) {
        bytes = (uint32_t)(chunk_bytes / parts / F4_UNIT_BYTES * F4_UNIT_BYTES);
        if (bytes > largest)
            sizes[count++] = largest = bytes;
    }
    return count;
}

/* Whether a version of so many bytes can be in a block of its chunk, as the owner's word has it. */
static bool fits_its_block(const struct format_4 *segment, const struct f4_version *version, uint32_t owner,
                           size_t block_bytes)
{
    uint32_t sizes[F4_SIZE_CLASS_COUNT_MAX];
    unsigned count = size_classes(segment->chunk_bytes, sizes);
    unsigned class = owner >> 16 & 0xffu;
    size_t at = segment->chunk_bytes - version->room;

    return class < count && block_bytes <= sizes[class] && (class == 0 || block_bytes > sizes[class - 1]) &&
           at % sizes[class] == 0 && at / sizes[class] < segment->chunk_bytes / sizes[class];
}

/* As the engine lays it out: whole in its block; or full chunks apart, and the rest in the block if that has room. */
static void value_shape(const struct format_4 *segment, const struct f4_version *version, struct format_4_pair *pair,
                        size_t *block_bytes)
{
    size_t fixed = F4_VERSION_BYTES + version->key.size;
    size_t numbers = f4_round_up(fixed, sizeof(uint32_t));
    size_t rest;

    pair->chunk_count = 0;
    pair->chunk_numbers_offset = version->offset + numbers;
    pair->rest_offset = version->offset + fixed;
    *block_bytes = fixed + pair->value_size;
    if (*block_bytes <= segment->chunk_bytes)
        return;
    pair->chunk_count = pair->value_size / segment->chunk_bytes;
    rest = pair->value_size % segment->chunk_bytes;
    if (numbers + pair->chunk_count * sizeof(uint32_t) + rest > segment->chunk_bytes) {
        pair->chunk_count++;
        rest = 0;
    }
    numbers += pair->chunk_count * sizeof(uint32_t);
    pair->rest_offset = version->offset + numbers;
    *block_bytes = numbers + rest;
}

static size_t value_bytes_max(const struct format_4 *segment)
{
    return ((segment->chunk_bytes - F4_VERSION_BYTES - F4_KEY_BYTES_MAX) / sizeof(uint32_t) - 1) * segment->chunk_bytes;
}

static uint32_t value_chunk(const struct format_4 *segment, const struct format_4_pair *pair, size_t i)
{
    return f4_load_32(segment->bytes, pair->chunk_numbers_offset + i * sizeof(uint32_t));
}

const char *f4_value_find(const struct format_4 *segment, unsigned shard, const struct f4_version *version,
                          struct format_4_pair *pair, bool *is_foreign)
{
    uint32_t owner = f4_owner(segment, version->chunk);
    size_t block_bytes;

    pair->key = version->key;
    pair->value_size = f4_load_32(segment->bytes, version->offset + F4_VERSION_VALUE_SIZE);
    *is_foreign = f4_owner_kind(owner) != F4_KIND_BLOCK || (owner & 0xffffu) != shard;
    if (pair->value_size > value_bytes_max(segment))
        return "its value's size is impossible";
    value_shape(segment, version, pair, &block_bytes);
    if (block_bytes > version->room || (!*is_foreign && !fits_its_block(segment, version, owner, block_bytes)))
        return "its value's size does not fit its place";
    if (!f4_is_inside(segment->bytes, version->offset, block_bytes))
        return "its value is behind the file's end";
    for (size_t i = 0; i < pair->chunk_count; i++) {
        uint32_t number = value_chunk(segment, pair, i);

        if (!f4_is_chunk(segment, number) || f4_owner(segment, number) != f4_owner_word(F4_KIND_VALUE, shard))
            return "a part of its value is lost";
        if (!f4_is_inside(segment->bytes, f4_chunk_offset(segment, number), segment->chunk_bytes))
            return "a part of its value is behind the file's end";
    }
    return NULL;
}

struct bytes format_4_piece(const struct format_4 *segment, const struct format_4_pair *pair, size_t offset)
{
    size_t in_chunks = pair->chunk_count * segment->chunk_bytes;
    size_t left = pair->value_size - offset;
    size_t place;

    REQUIRE(offset <= pair->value_size);
    if (offset < in_chunks) {
        uint32_t number = value_chunk(segment, pair, offset / segment->chunk_bytes);
        size_t in_chunk = segment->chunk_bytes - offset % segment->chunk_bytes;

        place = f4_is_chunk(segment, number) ? f4_chunk_offset(segment, number) + offset % segment->chunk_bytes : SIZE_MAX;
        left = in_chunk < left ? in_chunk : left;
    } else {
        place = pair->rest_offset + (offset - in_chunks);
    }
    /* The numbers may have changed since they were looked at: then the value ends here. */
    return f4_is_inside(segment->bytes, place, left) ? bytes_from(segment->bytes.data + place, left) : bytes_from(NULL, 0);
}
