/* A segment's names while its server lives and when it ends: looking, restoring, and the copy where there is nothing left
 * to restore. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "huge_pages.h"
#include "ownership.h"
#include "platform/file.h"

static unsigned links_of(int descriptor)
{
    struct file_identity identity;

    return file_identify(descriptor, &identity) == 0 ? identity.links : 0;
}

/* Links a name that is free; whether it leads to the file afterwards, and whether it did not before. */
static bool name_have(const char *path, int descriptor, bool *is_restored)
{
    enum name_target target = name_target_of(path, descriptor);

    *is_restored = target == NAME_IS_FREE && file_link(descriptor, path) == 0;
    return target == NAME_IS_OURS || *is_restored;
}

/* Nothing leads to the segment any more. A start looks for the second name, and is refused by the lock behind it. */
static void guard_keep(struct segment *segment)
{
    char reason[SEGMENT_REASON_BYTES];

    if (segment->guard >= 0 && name_target_of(segment->names.keep, segment->guard) == NAME_IS_OURS)
        return;
    (void)file_close(&segment->guard);
    if (file_create_nameless(segment->names.directory, 0600, &segment->guard) != 0)
        return;
    if (ownership_begin(segment->guard, reason) != STATUS_OK || file_link(segment->guard, segment->names.keep) != 0)
        (void)file_close(&segment->guard);
}

enum segment_names_state segment_names_look(struct segment *segment)
{
    bool is_restored = false;
    bool keep_is_restored = false;
    bool is_named;

    if (segment->descriptor < 0)
        return SEGMENT_NAMES_KEPT;
    is_named = name_have(segment->names.path, segment->descriptor, &is_restored);
    (void)name_have(segment->names.keep, segment->descriptor, &keep_is_restored);
    if (is_named)
        return is_restored ? SEGMENT_NAMES_RESTORED : SEGMENT_NAMES_KEPT;
    if (links_of(segment->descriptor) > 0)
        return SEGMENT_NAMES_TAKEN;
    guard_keep(segment);
    return SEGMENT_NAMES_LOST;
}

/* --- the copy --- */

static int reserve(int descriptor, size_t offset, size_t bytes)
{
    while (fallocate(descriptor, 0, (off_t)offset, (off_t)bytes) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/* By mapping, as hugetlbfs has no write(2). */
static int piece_write(int descriptor, size_t offset, const unsigned char *from, size_t bytes)
{
    int error = reserve(descriptor, offset, bytes);
    void *to;

    if (error != 0)
        return error;
    to = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)offset);
    if (to == MAP_FAILED)
        return errno;
    memcpy(to, from, bytes);
    munmap(to, bytes);
    return 0;
}

/* Piece by piece, each given back when it is copied: there may be no room for the segment twice. */
static int contents_move(const struct segment *segment, int target)
{
    size_t page_bytes = huge_pages_file_page_bytes(segment->descriptor);
    size_t piece_bytes = page_bytes > HUGE_PAGE_BYTES ? page_bytes : HUGE_PAGE_BYTES;
    int error = 0;

    for (size_t offset = 0; error == 0 && offset < segment->mapped_bytes; offset += piece_bytes) {
        size_t left = segment->mapped_bytes - offset;
        size_t bytes = left < piece_bytes ? left : piece_bytes;

        error = piece_write(target, offset, segment->base + offset, bytes);
        if (error == 0)
            (void)fallocate(segment->descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)bytes);
    }
    return error;
}

/* Into a file that gets a name: the first that is free. */
static enum segment_names_state copy_into_new_file(const struct segment *segment)
{
    enum segment_names_state state = SEGMENT_NAMES_LOST;
    int target = -1;
    int error = file_create_nameless(segment->names.directory, 0600, &target);

    if (error == 0)
        error = contents_move(segment, target);
    if (error == 0 && file_link(target, segment->names.path) == 0)
        state = SEGMENT_NAMES_RESTORED;
    if (segment->guard >= 0)
        (void)name_remove(segment->names.keep, segment->guard);
    if (error == 0 && state == SEGMENT_NAMES_LOST && file_link(target, segment->names.keep) == 0)
        state = SEGMENT_NAMES_TAKEN;
    (void)file_close(&target);
    return state;
}

enum segment_names_state segment_names_leave(struct segment *segment)
{
    enum segment_names_state state = segment_names_look(segment);

    if (segment->descriptor < 0)
        return SEGMENT_NAMES_KEPT;
    if (state == SEGMENT_NAMES_LOST)
        return segment->base == NULL ? SEGMENT_NAMES_LOST : copy_into_new_file(segment);
    if (state == SEGMENT_NAMES_TAKEN)
        return SEGMENT_NAMES_TAKEN;
    (void)name_remove(segment->names.keep, segment->descriptor);
    return SEGMENT_NAMES_KEPT;
}
