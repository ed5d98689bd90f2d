/* Blocks of size classes; see the header for the rules. */
#include "segment/allocator.h"

#include <string.h>

#include "platform/progress.h"

#define BLOCK_BYTES_MIN 48u

static uint32_t round_down_to_unit(size_t bytes)
{
    return (uint32_t)(bytes / REFERENCE_UNIT_BYTES * REFERENCE_UNIT_BYTES);
}

static void size_class_add(struct size_classes *classes, uint32_t bytes)
{
    INVARIANT(classes->count < SIZE_CLASS_COUNT_MAX);
    classes->bytes[classes->count] = bytes;
    classes->blocks_per_chunk[classes->count] = (uint16_t)(CHUNK_BYTES / bytes);
    classes->count++;
}

/* An eighth of the doubling that bytes lies in, at least a unit. */
static uint32_t step_at(uint32_t bytes)
{
    uint32_t doubling = REFERENCE_UNIT_BYTES * 8;

    while (doubling * 2 <= bytes)
        doubling *= 2;
    return doubling / 8;
}

void size_classes_init(struct size_classes *classes)
{
    uint32_t bytes = BLOCK_BYTES_MIN;
    unsigned class = 0;

    memset(classes, 0, sizeof(*classes));
    for (; bytes <= CHUNK_BYTES / 16; bytes += step_at(bytes))
        size_class_add(classes, bytes);
    for (size_t parts = 15; parts >= 1; parts--) {
        bytes = round_down_to_unit(CHUNK_BYTES / parts);
        if (bytes > classes->bytes[classes->count - 1])
            size_class_add(classes, bytes);
    }
    for (size_t units = 0; units <= CHUNK_BYTES / REFERENCE_UNIT_BYTES; units++) {
        while (classes->bytes[class] < units * REFERENCE_UNIT_BYTES)
            class++;
        classes->class_of_units[units] = (uint8_t)class;
    }
}

void allocator_init(struct allocator *allocator)
{
    memset(allocator, 0, sizeof(*allocator));
}

static unsigned size_class_of(const struct segment *segment, size_t bytes)
{
    REQUIRE(bytes >= 1 && bytes <= CHUNK_BYTES);
    return segment->classes.class_of_units[(bytes + REFERENCE_UNIT_BYTES - 1) / REFERENCE_UNIT_BYTES];
}

size_t allocator_block_bytes(const struct segment *segment, size_t bytes)
{
    return segment->classes.bytes[size_class_of(segment, bytes)];
}

/* The link of a free block: index + 1 of the next one. */
static uint16_t *free_link(const struct segment *segment, struct chunk_ref chunk, unsigned class, unsigned index)
{
    return (uint16_t *)(void *)(chunk_at(segment, chunk) + (size_t)index * segment->classes.bytes[class]);
}

static void partial_push(struct segment *segment, struct allocator *allocator, unsigned class, uint32_t number)
{
    uint32_t next = allocator->partial[class];

    segment->infos[number].next = next;
    segment->infos[number].previous = 0;
    if (next != 0)
        segment->infos[next].previous = number;
    allocator->partial[class] = number;
}

static void partial_remove(struct segment *segment, struct allocator *allocator, unsigned class, uint32_t number)
{
    const struct chunk_info *info = &segment->infos[number];

    if (info->previous != 0)
        segment->infos[info->previous].next = info->next;
    else
        allocator->partial[class] = info->next;
    if (info->next != 0)
        segment->infos[info->next].previous = info->previous;
}

/* Claims a chunk and threads the free list through all of its blocks. */
static uint32_t chunk_carve(struct segment *segment, struct allocator *allocator, unsigned owner, unsigned class)
{
    struct chunk_ref chunk = chunk_claim(segment, CHUNK_BLOCK, class, owner);
    unsigned count = segment->classes.blocks_per_chunk[class];

    if (chunk_ref_is_none(chunk))
        return 0;
    for (unsigned i = 0; i < count; i++)
        *free_link(segment, chunk, class, i) = (uint16_t)(i + 1 < count ? i + 2 : 0);
    segment->infos[chunk.number].free_head = 1;
    segment->infos[chunk.number].free_count = (uint16_t)count;
    partial_push(segment, allocator, class, chunk.number);
    allocator->chunk_count++;
    return chunk.number;
}

struct block_ref allocator_take(struct segment *segment, struct allocator *allocator, unsigned owner, size_t bytes)
{
    unsigned class = size_class_of(segment, bytes);
    struct chunk_ref chunk = {allocator->partial[class]};
    struct block_ref block = {0};
    struct chunk_info *info;
    unsigned index;

    if (chunk.number == 0)
        chunk.number = chunk_carve(segment, allocator, owner, class);
    if (chunk.number == 0)
        return block;
    info = &segment->infos[chunk.number];
    INVARIANT(info->free_head != 0 && info->free_head <= segment->classes.blocks_per_chunk[class]);
    index = info->free_head - 1u;
    info->free_head = *free_link(segment, chunk, class, index);
    info->free_count--;
    if (info->free_count == 0)
        partial_remove(segment, allocator, class, chunk.number);
    allocator->block_count++;
    block.units = (uint32_t)((segment->chunks_offset + (size_t)(chunk.number - 1) * CHUNK_BYTES +
                              (size_t)index * segment->classes.bytes[class]) /
                             REFERENCE_UNIT_BYTES);
    return block;
}

/* 32 bits: they are divided, by every block that is given back. */
static uint32_t offset_in_chunk(const struct segment *segment, struct block_ref block)
{
    return (uint32_t)(((size_t)block.units * REFERENCE_UNIT_BYTES - segment->chunks_offset) % CHUNK_BYTES);
}

void allocator_give(struct segment *segment, struct allocator *allocator, struct block_ref block)
{
    struct chunk_ref chunk = block_chunk(segment, block);
    uint32_t word;
    unsigned class;
    unsigned index;
    struct chunk_info *info;

    REQUIRE(!chunk_ref_is_none(chunk));
    word = chunk_owner(segment, chunk);
    REQUIRE(chunk_owner_kind(word) == CHUNK_BLOCK);
    class = chunk_owner_class(word);
    index = offset_in_chunk(segment, block) / segment->classes.bytes[class];
    info = &segment->infos[chunk.number];
    *free_link(segment, chunk, class, index) = info->free_head;
    info->free_head = (uint16_t)(index + 1);
    info->free_count++;
    allocator->block_count--;
    if (info->free_count == 1)
        partial_push(segment, allocator, class, chunk.number);
    if (info->free_count == segment->classes.blocks_per_chunk[class]) {
        partial_remove(segment, allocator, class, chunk.number);
        allocator->chunk_count--;
        chunk_release(segment, chunk);
    }
}

bool allocator_block_is_valid(const struct segment *segment, unsigned owner, struct block_ref block)
{
    struct chunk_ref chunk = block_chunk(segment, block);
    uint32_t word;
    uint32_t offset;
    unsigned class;

    if (chunk_ref_is_none(chunk) || !chunk_ref_is_inside(segment, chunk))
        return false;
    word = chunk_owner(segment, chunk);
    class = chunk_owner_class(word);
    if (chunk_owner_kind(word) != CHUNK_BLOCK || chunk_owner_owner(word) != owner || class >= segment->classes.count)
        return false;
    offset = offset_in_chunk(segment, block);
    return offset % segment->classes.bytes[class] == 0 &&
           offset / segment->classes.bytes[class] < segment->classes.blocks_per_chunk[class];
}

static uint32_t chunk_first_unit(const struct segment *segment, struct chunk_ref chunk)
{
    return (uint32_t)((segment->chunks_offset + (size_t)(chunk.number - 1) * CHUNK_BYTES) / REFERENCE_UNIT_BYTES);
}

static bool block_is_marked(const struct segment *segment, struct chunk_ref chunk, unsigned class, unsigned index,
                            const unsigned char *marks)
{
    uint32_t units = segment->classes.bytes[class] / REFERENCE_UNIT_BYTES;

    return marks[chunk_first_unit(segment, chunk) + index * units] != 0;
}

/* Threads the unmarked blocks of one chunk; returns their number. */
static unsigned chunk_rebuild(struct segment *segment, struct chunk_ref chunk, unsigned class,
                              const unsigned char *marks)
{
    struct chunk_info *info = &segment->infos[chunk.number];

    info->free_head = 0;
    info->free_count = 0;
    for (unsigned i = segment->classes.blocks_per_chunk[class]; i-- > 0;) {
        if (block_is_marked(segment, chunk, class, i, marks))
            continue;
        *free_link(segment, chunk, class, i) = info->free_head;
        info->free_head = (uint16_t)(i + 1);
        info->free_count++;
    }
    return info->free_count;
}

void allocator_rebuild(struct segment *segment, struct allocator *allocator, unsigned owner,
                       const unsigned char *marks)
{
    struct chunk_ref chunk;

    allocator_init(allocator);
    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);
        unsigned class = chunk_owner_class(word);
        unsigned free_count;

        progress_note(owner + 1);
        if (chunk_owner_kind(word) != CHUNK_BLOCK || chunk_owner_owner(word) != owner)
            continue;
        free_count = chunk_rebuild(segment, chunk, class, marks);
        if (free_count == segment->classes.blocks_per_chunk[class]) {
            chunk_release(segment, chunk);
            continue;
        }
        if (free_count > 0)
            partial_push(segment, allocator, class, chunk.number);
        allocator->chunk_count++;
        allocator->block_count += segment->classes.blocks_per_chunk[class] - free_count;
    }
}

/* Every block of the chunk is on its free list or marked, and not both. Counts the marked. */
static bool chunk_is_valid(const struct segment *segment, struct chunk_ref chunk, unsigned class,
                           const unsigned char *marks, uint32_t *marked)
{
    unsigned char is_free[CHUNK_BYTES / BLOCK_BYTES_MIN + 1] = {0};
    const struct chunk_info *info = &segment->infos[chunk.number];
    unsigned count = segment->classes.blocks_per_chunk[class];
    unsigned found = 0;

    for (unsigned link = info->free_head; link != 0; link = *free_link(segment, chunk, class, link - 1)) {
        if (link > count || is_free[link - 1] != 0)
            return false;
        is_free[link - 1] = 1;
        found++;
    }
    for (unsigned i = 0; i < count; i++) {
        bool is_marked = block_is_marked(segment, chunk, class, i, marks);

        if (is_marked == (is_free[i] != 0))
            return false;
        *marked += is_marked;
    }
    return found == info->free_count && found < count;
}

/* The list of a class holds exactly the owner's chunks of that class that have a free block. */
static bool partial_list_is_valid(const struct segment *segment, const struct allocator *allocator, unsigned owner,
                                  unsigned class, uint32_t *length)
{
    uint32_t previous = 0;

    for (uint32_t number = allocator->partial[class]; number != 0; number = segment->infos[number].next) {
        struct chunk_ref chunk = {number};

        if (!chunk_ref_is_inside(segment, chunk) || segment->infos[number].previous != previous ||
            segment->infos[number].free_count == 0 ||
            chunk_owner(segment, chunk) != chunk_owner_word(CHUNK_BLOCK, class, owner) ||
            *length > segment->chunk_count)
            return false;
        previous = number;
        ++*length;
    }
    return true;
}

bool allocator_is_valid(const struct segment *segment, const struct allocator *allocator, unsigned owner,
                        const unsigned char *marks, const char **reason)
{
    uint32_t chunks = 0;
    uint32_t chunks_with_room = 0;
    uint32_t listed = 0;
    uint32_t blocks = 0;
    struct chunk_ref chunk;

    *reason = NULL;
    for (unsigned class = 0; class < segment->classes.count; class++)
        if (!partial_list_is_valid(segment, allocator, owner, class, &listed)) {
            *reason = "a list of chunks with room is broken";
            return false;
        }
    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);

        if (chunk_owner_kind(word) != CHUNK_BLOCK || chunk_owner_owner(word) != owner)
            continue;
        chunks++;
        chunks_with_room += segment->infos[chunk.number].free_count > 0;
        if (!chunk_is_valid(segment, chunk, chunk_owner_class(word), marks, &blocks)) {
            *reason = "a block is neither reachable nor free, or both";
            return false;
        }
    }
    if (chunks != allocator->chunk_count || blocks != allocator->block_count)
        *reason = "an allocator's counts are wrong";
    else if (listed != chunks_with_room)
        *reason = "a chunk with room is not listed";
    return *reason == NULL;
}
