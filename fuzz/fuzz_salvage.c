/* The reader of damaged segments. The input edits an image of one, or is the
 * bytes themselves; whatever they are, the reader ends, stays inside of them, and
 * every pair that it shows can be read to its end.
 *
 * Input: the image (1 byte; from 0xe0 on: what follows is the segment), how much of the file is there (3; 0: all), then edits
 * of 4 to 11 bytes: what and where (1: see edit_apply), offset (2), value. */
#include "harness.h"

#include <stdlib.h>

#include "persistence/format_4.h"
#include "segment/segment.h"
#include "segment_image.h"

#define EDITS_MAX 64u
#define RAW 0xe0u

struct counting {
    const struct format_4 *segment;
    uint64_t pairs;
    size_t bytes;
};

static bool pair_read(void *context, const struct format_4_pair *pair)
{
    struct counting *counting = context;
    size_t offset = 0;

    ENSURE(pair->key.size >= 1);
    counting->bytes += pair->key.data[pair->key.size - 1];
    while (offset < pair->value_size) {
        struct bytes piece = format_4_piece(counting->segment, pair, offset);

        ENSURE(piece.size > 0 && piece.size <= pair->value_size - offset);
        counting->bytes += piece.data[0] + (size_t)piece.data[piece.size - 1];
        offset += piece.size;
    }
    counting->pairs++;
    return true;
}

static void damage_read(void *context, const struct format_4_damage *damage)
{
    struct counting *counting = context;

    ENSURE(damage->count > 0 && damage->what[0] != '\0');
    for (size_t i = 0; i < damage->key.size; i++)
        counting->bytes += damage->key.data[i];
}

static void salvage(struct bytes bytes, bool is_unchanged)
{
    struct format_4 segment;
    struct counting counting = {.segment = &segment};
    const struct format_4_visitor visitor = {pair_read, damage_read, &counting};
    struct format_4_result result;

    if (format_4_open(&segment, bytes) != FORMAT_4_OPENED) {
        ENSURE(!is_unchanged);
        return;
    }
    result = format_4_read(&segment, &visitor);
    ENSURE(result.pairs == counting.pairs && !result.is_stopped);
    ENSURE(!is_unchanged || (result.damages == 0 && result.pairs > 0));
}

/* --- editing --- */

struct place {
    size_t offset;
    size_t size;
};

/* The index-th chunk of a kind in the image; the whole image if there is none. */
static struct place chunk_place(const struct segment_image *image, enum chunk_kind kind, unsigned index)
{
    const struct segment_header *header = (const struct segment_header *)(const void *)image->data;
    const _Atomic uint32_t *owners = (const _Atomic uint32_t *)(const void *)(image->data + header->owners_offset);

    for (uint32_t number = 1; number <= header->chunk_count; number++)
        if (chunk_owner_kind(atomic_load(&owners[number])) == kind && index-- == 0)
            return (struct place){header->chunks_offset + (size_t)(number - 1) * CHUNK_BYTES, CHUNK_BYTES};
    return (struct place){0, image->size};
}

static struct place place_choose(const struct segment_image *image, unsigned place, unsigned index)
{
    const struct segment_header *header = (const struct segment_header *)(const void *)image->data;
    static const enum chunk_kind kinds[] = {CHUNK_SLOT, CHUNK_PAGE, CHUNK_BLOCK, CHUNK_LOG};

    switch (place) {
    case 0:
        return (struct place){0, 336}; /* to the first slot block */
    case 1:
        return (struct place){header->root_offset, header->root_bytes};
    case 2:
        return (struct place){header->owners_offset, header->infos_offset - header->owners_offset};
    case 3:
        return (struct place){0, image->size};
    default:
        return chunk_place(image, kinds[place % 4], index);
    }
}

/* One byte, four, eight, or a word that is raised or lowered; words at their alignment. */
static void edit_apply(unsigned char *bytes, size_t kept, const struct segment_image *image, struct input *input)
{
    static const size_t sizes[] = {1, 4, 8, 4};
    uint8_t what = input_byte(input);
    uint64_t offset = input_number(input, 2);
    unsigned operation = what / 8 % 4;
    size_t size = sizes[operation];
    struct place where = place_choose(image, what % 8, what / 32);
    size_t place = where.offset + (size_t)(offset * (where.size > UINT16_MAX ? 4 : 1) % where.size) / size * size;
    uint64_t value = input_number(input, operation == 3 ? 1 : size);
    uint32_t word;

    if (place + size > kept)
        return;
    if (operation == 3) {
        memcpy(&word, bytes + place, sizeof(word));
        word += value < 128 ? (uint32_t)value : (uint32_t)value - 256u;
        memcpy(bytes + place, &word, sizeof(word));
    } else {
        memcpy(bytes + place, &value, size); /* little endian, as all of the segment */
    }
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct input input = input_from(data, size);
    uint8_t which = input_byte(&input);
    const struct segment_image *image = segment_image(which % SEGMENT_IMAGE_COUNT);
    size_t kept = (size_t)input_number(&input, 3);
    unsigned edits = 0;
    unsigned char *bytes;

    if (which >= RAW) {
        salvage(bytes_from(data + (size > 0), size - (size > 0)), false);
        return 0;
    }
    if (kept == 0 || kept > image->size)
        kept = image->size;
    bytes = malloc(kept); /* exactly so much, so that who reads past the end is seen to */
    REQUIRE(bytes != NULL);
    memcpy(bytes, image->data, kept);
    for (; edits < EDITS_MAX && !input_is_empty(&input); edits++)
        edit_apply(bytes, kept, image, &input);
    salvage(bytes_from(bytes, kept), edits == 0 && kept == image->size);
    free(bytes);
    return 0;
}
