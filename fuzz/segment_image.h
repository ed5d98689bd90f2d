/* Images of segments to damage: what a server may leave behind, made the same
 * way by each process that asks. */
#ifndef HAUSKV_FUZZ_SEGMENT_IMAGE_H
#define HAUSKV_FUZZ_SEGMENT_IMAGE_H

#include <stddef.h>

#define SEGMENT_IMAGE_COUNT 6u
#define SEGMENT_IMAGE_BYTES ((size_t)112 << 10)
#define SEGMENT_IMAGE_SHARDS 2u

struct segment_image {
    unsigned char *data;
    size_t size;
};

/* Number 0: ended in order. 1: with open transactions, and versions that only they see. The others: of a server all of
 * whose processes died, one of them in its COMMIT, at different points. Made at the first call, never freed. */
const struct segment_image *segment_image(unsigned number);

#endif
