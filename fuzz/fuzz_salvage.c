/* The reader of damaged segments. The input edits an image of one, or is the
 * bytes themselves; whatever they are, the reader ends, stays inside of them, and
 * every pair that it shows can be read to its end.
 *
 * Input: the image (1 byte; from 0xe0 on: what follows is the segment), how much of the file is there (3), then edits of 4
 * to 12 bytes: where (3: of the whole file), what (1), value. */
#include "harness.h"

#include <stdlib.h>

#include "persistence/format_4.h"
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

/* One byte, four, eight, or a word that is raised or lowered. */
static void edit_apply(unsigned char *bytes, size_t bytes_size, struct input *input)
{
    static const size_t sizes[] = {1, 4, 8, 4};
    size_t place = (size_t)input_number(input, 3);
    unsigned operation = input_byte(input) % 4;
    size_t size = sizes[operation];
    uint64_t value = input_number(input, operation == 3 ? 1 : size);
    uint32_t word;

    place = place % (bytes_size + 1) / size * size;
    if (place + size > bytes_size)
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
        edit_apply(bytes, kept, &input);
    salvage(bytes_from(bytes, kept), edits == 0 && kept == image->size);
    free(bytes);
    return 0;
}
