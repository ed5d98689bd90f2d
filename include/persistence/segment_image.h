/* The bytes of a segment's file, to be read by who trusts nothing of them. */
#ifndef HAUSKV_PERSISTENCE_SEGMENT_IMAGE_H
#define HAUSKV_PERSISTENCE_SEGMENT_IMAGE_H

#include "platform/bytes.h"
#include "platform/status.h"

#define SEGMENT_IMAGE_REASON_BYTES 512u

struct segment_image {
    struct bytes bytes;
    int descriptor;
};

/* Maps the file hauskv-NAME of the directory (NULL: that of POSIX shared memory), read only; what a server does to it meanwhile
 * is seen. STATUS_NOT_FOUND: there is none. STATUS_DENIED: it is no regular file, empty, or of another user (root may read all).
 * STATUS_INTERNAL: the system refused. Then reason has a sentence. Any process. */
enum status segment_image_open(const char *directory, const char *name, struct segment_image *image,
                               char reason[SEGMENT_IMAGE_REASON_BYTES]);

void segment_image_close(struct segment_image *image);

#endif
