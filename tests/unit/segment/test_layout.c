/* Where the parts of a segment lie: each behind the one before it, at a place that its atomic words need, whatever the
 * size of the upper layer's root. */
#include <criterion/criterion.h>

#include "segment/segment.h"

#define CACHE_LINE_BYTES 64u
#define CHUNKS 64u

static struct segment *segment;

static void open_segment(size_t root_bytes)
{
    struct segment_options options = {.bytes = CHUNK_BYTES * CHUNKS};
    char reason[SEGMENT_REASON_BYTES] = "";

    cr_assert_eq(segment_create(&options, root_bytes, 1, &segment, reason), STATUS_OK, "%s", reason);
}

static size_t offset_of(const void *part)
{
    return (size_t)((const unsigned char *)part - segment->base);
}

Test(layout, is_aligned_and_in_order_for_roots_of_any_size, .timeout = 60)
{
    for (size_t root_bytes = 1; root_bytes <= 200; root_bytes++) {
        open_segment(root_bytes);
        cr_assert_eq(offset_of(segment->root) % CACHE_LINE_BYTES, 0, "root of %zu bytes", root_bytes);
        cr_assert_eq(offset_of(segment->owners) % CACHE_LINE_BYTES, 0, "root of %zu bytes", root_bytes);
        cr_assert_eq(offset_of(segment->infos) % CACHE_LINE_BYTES, 0, "root of %zu bytes", root_bytes);
        cr_assert_eq(segment->chunks_offset % CHUNK_BYTES, 0);
        cr_assert_geq(offset_of(segment->root), sizeof(struct segment_header));
        cr_assert_geq(offset_of(segment->owners), offset_of(segment->root) + root_bytes);
        cr_assert_geq(offset_of(segment->infos), offset_of(&segment->owners[segment->chunk_count + 1]));
        cr_assert_geq(segment->chunks_offset, offset_of(&segment->infos[segment->chunk_count + 1]));
        cr_assert_eq(segment->bytes, segment->chunks_offset + (size_t)segment->chunk_count * CHUNK_BYTES);
        cr_assert_leq(segment->bytes, CHUNK_BYTES * CHUNKS);
        segment_detach(segment);
    }
}
