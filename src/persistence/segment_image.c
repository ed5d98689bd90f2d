/* A segment's file as bytes. */
#include "persistence/segment_image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "platform/file.h"
#include "segment/segment.h"

static enum status refuse(char reason[SEGMENT_IMAGE_REASON_BYTES], enum status status, const char *sentence, int error)
{
    (void)snprintf(reason, SEGMENT_IMAGE_REASON_BYTES, "%s%s%s", sentence, error == 0 ? "" : ": ",
                   error == 0 ? "" : strerror(error));
    return status;
}

static enum status map(struct segment_image *image, char reason[SEGMENT_IMAGE_REASON_BYTES])
{
    struct file_identity identity;
    uint64_t size = 0;
    void *bytes;
    int error = file_identify(image->descriptor, &identity);

    if (error == 0)
        error = file_size(image->descriptor, &size);
    if (error != 0)
        return refuse(reason, STATUS_INTERNAL, "cannot look at the segment's file", error);
    if (!identity.is_regular)
        return refuse(reason, STATUS_DENIED, "the segment's file is no file", 0);
    if (identity.owner != geteuid() && geteuid() != 0)
        return refuse(reason, STATUS_DENIED, "the segment's file belongs to another user", 0);
    if (size == 0)
        return refuse(reason, STATUS_DENIED, "the segment's file is empty", 0);
    bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, image->descriptor, 0);
    if (bytes == MAP_FAILED)
        return refuse(reason, STATUS_INTERNAL, "cannot map the segment's file", errno);
    image->bytes = bytes_from(bytes, (size_t)size);
    return STATUS_OK;
}

enum status segment_image_open(const char *directory, const char *name, struct segment_image *image,
                               char reason[SEGMENT_IMAGE_REASON_BYTES])
{
    const struct segment_options options = {.name = name, .directory = directory};
    enum status status;
    int error;

    *image = (struct segment_image){.descriptor = -1};
    error = segment_file_open(&options, FILE_READ, &image->descriptor);
    if (error == ENAMETOOLONG)
        return refuse(reason, STATUS_DENIED, "the segment's path is too long", 0);
    if (error == ENOENT)
        return refuse(reason, STATUS_NOT_FOUND, "there is no segment of that name", 0);
    if (error != 0)
        return refuse(reason, STATUS_DENIED, "cannot open the segment", error);
    status = map(image, reason);
    if (status != STATUS_OK)
        (void)file_close(&image->descriptor);
    return status;
}

void segment_image_close(struct segment_image *image)
{
    (void)munmap((void *)(uintptr_t)image->bytes.data, image->bytes.size);
    (void)file_close(&image->descriptor);
}
