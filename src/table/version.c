#include "table/version.h"

/* Where the parts of a version of these sizes lie. */
struct version_shape {
    size_t chunks_offset; /* from the block's begin */
    size_t chunk_count;
    size_t rest_offset; /* from the block's begin */
    size_t block_bytes;
};

static size_t align_number(size_t bytes)
{
    return (bytes + sizeof(uint32_t) - 1) / sizeof(uint32_t) * sizeof(uint32_t);
}

/* It has no value chunks: what most are, and easier to say. */
static inline bool is_one_block(size_t key_size, size_t value_size)
{
    return sizeof(struct version) + key_size + value_size <= CHUNK_BYTES;
}

static struct version_shape shape_of(size_t key_size, size_t value_size)
{
    struct version_shape shape = {0};
    size_t fixed = sizeof(struct version) + key_size;
    size_t rest;

    if (is_one_block(key_size, value_size)) {
        shape.rest_offset = fixed;
        shape.block_bytes = fixed + value_size;
        return shape;
    }
    shape.chunks_offset = align_number(fixed);
    shape.chunk_count = value_size / CHUNK_BYTES;
    rest = value_size % CHUNK_BYTES;
    if (shape.chunks_offset + shape.chunk_count * sizeof(uint32_t) + rest > CHUNK_BYTES) {
        shape.chunk_count++;
        rest = 0;
    }
    shape.rest_offset = shape.chunks_offset + shape.chunk_count * sizeof(uint32_t);
    shape.block_bytes = shape.rest_offset + rest;
    return shape;
}

static struct version_shape shape(const struct version *version)
{
    return shape_of(version->key_size, version->value_size);
}

static uint32_t *chunk_numbers(const struct version *version, const struct version_shape *shape)
{
    return (uint32_t *)(void *)((unsigned char *)(uintptr_t)version + shape->chunks_offset);
}

uint32_t version_chunk_count(const struct version *version)
{
    return (uint32_t)shape(version).chunk_count;
}

struct chunk_ref version_chunk(const struct version *version, uint32_t i)
{
    struct version_shape parts = shape(version);

    return (struct chunk_ref){chunk_numbers(version, &parts)[i]};
}

static bool chunks_take(struct segment *segment, unsigned shard, uint32_t *numbers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct chunk_ref chunk = chunk_claim(segment, CHUNK_VALUE, 0, shard);

        if (chunk_ref_is_none(chunk)) {
            while (i-- > 0)
                chunk_release(segment, (struct chunk_ref){numbers[i]});
            return false;
        }
        numbers[i] = chunk.number;
    }
    return true;
}

static inline void version_init(struct version *version, struct bytes key, size_t value_size)
{
    version->begin = 0;
    atomic_store_explicit(&version->end, TIME_INFINITE, memory_order_relaxed);
    atomic_store_explicit(&version->older, 0, memory_order_relaxed);
    version->garbage_next = 0;
    version->value_size = (uint32_t)value_size;
    version->key_size = (uint16_t)key.size;
    version->is_deleted = 0;
    bytes_copy_few((unsigned char *)(version + 1), key.data, key.size);
}

struct block_ref version_reserve(struct segment *segment, struct allocator *allocator, unsigned shard,
                                 struct bytes key, size_t value_size)
{
    struct version_shape parts = shape_of(key.size, value_size);
    struct block_ref ref;
    struct version *version;

    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX && value_size <= VALUE_BYTES_MAX);
    ref = allocator_take(segment, allocator, shard, parts.block_bytes);
    if (block_ref_is_none(ref))
        return ref;
    version = version_at(segment, ref);
    if (!chunks_take(segment, shard, chunk_numbers(version, &parts), parts.chunk_count)) {
        allocator_give(segment, allocator, ref);
        return (struct block_ref){0};
    }
    version_init(version, key, value_size);
    return ref;
}

bool version_has_room_for(const struct segment *segment, struct block_ref ref, size_t key_size, size_t value_size)
{
    const struct version *version = version_at(segment, ref);
    size_t old_bytes = sizeof(*version) + version->key_size + version->value_size;
    size_t new_bytes = sizeof(*version) + key_size + value_size;

    if (!is_one_block(version->key_size, version->value_size) || !is_one_block(key_size, value_size))
        return false;
    return old_bytes == new_bytes ||
           allocator_block_bytes(segment, old_bytes) == allocator_block_bytes(segment, new_bytes);
}

void version_reuse(const struct segment *segment, struct block_ref ref, struct bytes key, size_t value_size)
{
    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX && is_one_block(key.size, value_size));
    version_init(version_at(segment, ref), key, value_size);
}

struct bytes version_piece(const struct segment *segment, const struct version *version, size_t offset)
{
    struct version_shape parts = shape(version);
    size_t left = version->value_size - offset;
    size_t in_chunks = parts.chunk_count * CHUNK_BYTES;

    REQUIRE(offset <= version->value_size);
    if (offset < in_chunks) {
        struct chunk_ref chunk = {chunk_numbers(version, &parts)[offset / CHUNK_BYTES]};
        size_t in_chunk = CHUNK_BYTES - offset % CHUNK_BYTES;

        return (struct bytes){chunk_at(segment, chunk) + offset % CHUNK_BYTES, in_chunk < left ? in_chunk : left};
    }
    return (struct bytes){(const unsigned char *)version + parts.rest_offset + (offset - in_chunks), left};
}

static inline void block_fill(unsigned char *place, struct bytes bytes)
{
    if (bytes.size <= VALUE_COPIED_BYTES_MAX)
        bytes_copy_few(place, bytes.data, bytes.size);
    else
        memcpy(place, bytes.data, bytes.size);
}

void version_fill(struct segment *segment, struct block_ref ref, size_t offset, struct bytes bytes)
{
    const struct version *version = version_at(segment, ref);

    REQUIRE(offset <= version->value_size && bytes.size <= version->value_size - offset);
    if (is_one_block(version->key_size, version->value_size)) {
        block_fill((unsigned char *)version_at(segment, ref) + sizeof(*version) + version->key_size + offset, bytes);
        return;
    }
    while (bytes.size > 0) {
        struct bytes piece = version_piece(segment, version, offset);
        size_t size = piece.size < bytes.size ? piece.size : bytes.size;

        memcpy((unsigned char *)(uintptr_t)piece.data, bytes.data, size);
        bytes = bytes_slice(bytes, size, bytes.size - size);
        offset += size;
    }
}

void version_release(struct segment *segment, struct allocator *allocator, struct block_ref ref)
{
    const struct version *version = version_at(segment, ref);

    if (!is_one_block(version->key_size, version->value_size)) {
        struct version_shape parts = shape(version);

        for (size_t i = 0; i < parts.chunk_count; i++)
            chunk_release(segment, (struct chunk_ref){chunk_numbers(version, &parts)[i]});
    }
    allocator_give(segment, allocator, ref);
}

bool version_is_valid(const struct segment *segment, unsigned shard, struct block_ref ref)
{
    const struct version *version;
    struct version_shape parts;

    if (!allocator_block_is_valid(segment, shard, ref))
        return false;
    version = version_at(segment, ref);
    if (version->key_size < 1 || version->key_size > KEY_BYTES_MAX || version->value_size > VALUE_BYTES_MAX)
        return false;
    parts = shape(version);
    if (allocator_block_bytes(segment, parts.block_bytes) !=
        segment->classes.bytes[chunk_owner_class(chunk_owner(segment, block_chunk(segment, ref)))])
        return false;
    for (size_t i = 0; i < parts.chunk_count; i++) {
        struct chunk_ref chunk = {chunk_numbers(version, &parts)[i]};

        if (!chunk_ref_is_inside(segment, chunk) ||
            chunk_owner(segment, chunk) != chunk_owner_word(CHUNK_VALUE, 0, shard))
            return false;
    }
    return true;
}
