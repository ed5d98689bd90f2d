#include "ownership.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "header.h"
#include "orphans.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/file.h"

#define ORPHANS_WAIT_MS 2000u
#define ORPHANS_POLL_US 20000u

static const char replaced[] = "another server has just taken or replaced the segment";

enum status ownership_check(int descriptor, const char *path, char reason[SEGMENT_REASON_BYTES])
{
    struct file_identity identity;
    int error = file_identify(descriptor, &identity);

    if (error != 0)
        return segment_refuse(reason, STATUS_INTERNAL, "cannot look at the segment's file", error);
    if (!identity.is_regular) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s is no file: remove it, or take another --name", path);
        return STATUS_DENIED;
    }
    if (identity.owner != geteuid()) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES,
                       "%s belongs to another user (uid %u, this is %u): run as that user, or take another --name", path,
                       (unsigned)identity.owner, (unsigned)geteuid());
        return STATUS_DENIED;
    }
    if (identity.permissions != 0600) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES,
                       "%s has another mode than 0600 (%04o), so others may have written to it: where that is excluded, "
                       "`chmod 600 %s`; else remove it, or take another --name",
                       path, (unsigned)identity.permissions, path);
        return STATUS_DENIED;
    }
    return STATUS_OK;
}

/* --- the locks of one file --- */

static enum status refuse_used(const char *path, pid_t holder, char reason[SEGMENT_REASON_BYTES])
{
    if (holder > 0)
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s is in use by the server with pid %d", path, (int)holder);
    else
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s is in use by a server that cannot be seen from here (it is of "
                                                     "another container, or has just ended)", path);
    return STATUS_DENIED;
}

/* W1. */
static enum status record_lock(int descriptor, const char *path, char reason[SEGMENT_REASON_BYTES])
{
    pid_t holder = 0;
    int error = file_record_lock(descriptor);

    if (error == EWOULDBLOCK) {
        (void)file_is_record_locked(descriptor, &holder);
        return refuse_used(path, holder, reason);
    }
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot lock the segment", error);
}

static int flock_within(int descriptor, uint64_t wait_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + wait_ms;
    int error = file_lock(descriptor);

    while (error == EWOULDBLOCK && clock_monotonic_ms() < end_ms) {
        (void)usleep(ORPHANS_POLL_US);
        error = file_lock(descriptor);
    }
    return error;
}

/* A server of a build before there was the record lock; 0: none. Who has the record lock knows that a pid in the header is no
 * newer build's. */
static pid_t older_master(int descriptor)
{
    struct file_header found;
    pid_t master;

    if (!file_header_read(descriptor, &found) || found.header.magic != SEGMENT_MAGIC)
        return 0;
    master = (pid_t)found.header.master_pid;
    return process_maps_file(master, descriptor) ? master : 0;
}

/* W2 and W3. The processes of a server that just died are inside until they notice: they get a moment. Those that are left
 * then cannot notice any more (they were stopped), and are ended. */
static enum status flock_take(int descriptor, const char *path, bool ends_orphans, char reason[SEGMENT_REASON_BYTES])
{
    int error = file_lock(descriptor);

    if (error == EWOULDBLOCK && older_master(descriptor) == 0 && ends_orphans) {
        error = flock_within(descriptor, ORPHANS_WAIT_MS);
        if (error == EWOULDBLOCK && older_master(descriptor) == 0 && orphans_end(descriptor) > 0)
            error = flock_within(descriptor, ORPHANS_WAIT_MS);
    }
    if (error == EWOULDBLOCK)
        return refuse_used(path, older_master(descriptor), reason);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot lock the segment", error);
}

bool ownership_has_master(int descriptor)
{
    if (file_is_record_locked(descriptor, NULL))
        return true;
    return flock_within(descriptor, ORPHANS_WAIT_MS) == EWOULDBLOCK && older_master(descriptor) != 0;
}

enum status ownership_begin(int descriptor, char reason[SEGMENT_REASON_BYTES])
{
    int error = file_record_lock(descriptor);

    if (error == 0)
        error = file_lock(descriptor);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot lock the new segment", error);
}

/* W1 to W4 for the file behind a path. STATUS_NOT_FOUND: there is none. */
static enum status file_own(const char *path, bool ends_orphans, int *descriptor, char reason[SEGMENT_REASON_BYTES])
{
    int opened = -1;
    int error = file_open(path, FILE_READ_WRITE, &opened);
    enum name_target target;
    enum status status;

    if (error == ENOENT)
        return segment_refuse(reason, STATUS_NOT_FOUND, "there is no segment of that name", 0);
    if (error != 0) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "cannot open %s: %s%s", path, strerror(error),
                       error == EACCES ? " (run as the user that it belongs to, or take another --name)"
                                       : " (it is no segment: remove it, or take another --name)");
        return STATUS_DENIED;
    }
    status = ownership_check(opened, path, reason);
    if (status == STATUS_OK)
        status = record_lock(opened, path, reason);
    if (status == STATUS_OK)
        status = flock_take(opened, path, ends_orphans, reason);
    target = name_target_of(path, opened);
    if (status == STATUS_OK && target == NAME_IS_FREE) /* removed while the orphans had their moment */
        status = segment_refuse(reason, STATUS_NOT_FOUND, "the segment's file was removed just now", 0);
    else if (status == STATUS_OK && target != NAME_IS_OURS)
        status = segment_refuse(reason, STATUS_DENIED, replaced, 0);
    if (status == STATUS_OK)
        *descriptor = opened;
    else
        (void)file_close(&opened);
    return status;
}

/* --- the files of one name --- */

enum status ownership_take(const struct segment_names *names, struct owned_files *files,
                           char reason[SEGMENT_REASON_BYTES])
{
    enum status status;

    *files = (struct owned_files){.named = -1, .kept = -1};
    status = file_own(names->path, true, &files->named, reason);
    if (status == STATUS_NOT_FOUND) {
        status = file_own(names->keep, true, &files->named, reason);
        files->is_found_by_keep = true;
        if (status == STATUS_OK && name_target_of(names->path, files->named) != NAME_IS_FREE)
            status = segment_refuse(reason, STATUS_DENIED, replaced, 0);
    } else if (status == STATUS_OK && name_target_of(names->keep, files->named) == NAME_IS_ANOTHERS) {
        /* Not where it is the same file: closing it would end the record lock. */
        status = file_own(names->keep, false, &files->kept, reason);
        if (status == STATUS_NOT_FOUND)
            status = STATUS_OK;
    }
    if (status != STATUS_OK)
        ownership_drop(files);
    return status;
}

void ownership_drop(struct owned_files *files)
{
    (void)file_close(&files->kept);
    (void)file_close(&files->named);
}

static bool is_unfinished(int descriptor)
{
    struct file_header found;

    return file_header_read(descriptor, &found) && file_header_is_unfinished(&found);
}

static bool is_copy(int descriptor)
{
    struct file_header found;

    return file_header_read(descriptor, &found) && file_header_is_copy(&found);
}

static bool is_loading(int descriptor)
{
    struct file_header found;

    return file_header_read(descriptor, &found) && file_header_is_loading(&found);
}

/* Nobody was ever served from it. */
static bool is_of_no_use(int descriptor)
{
    return is_unfinished(descriptor) || is_loading(descriptor);
}

static enum status discard_unfinished(const struct segment_names *names, int descriptor,
                                      char reason[SEGMENT_REASON_BYTES])
{
    int error = name_remove(names->path, descriptor);

    if (error == 0)
        error = name_remove(names->keep, descriptor);
    if (error != 0)
        return segment_refuse(reason, STATUS_INTERNAL, "cannot remove a segment that was never finished", error);
    if (is_loading(descriptor))
        diagnostic_warning("%s holds a part of a file only: the load into it was interrupted, as its server died; removed",
                           names->path);
    else
        diagnostic_warning("%s holds nothing (the start that made it died before it was whole, or it was emptied): removed",
                           names->path);
    return segment_refuse(reason, STATUS_NOT_FOUND, "the segment was never finished", 0);
}

/* The second name leads to the segment's file, or refuse. */
static enum status keep_link(const struct segment_names *names, const struct owned_files *files,
                             char reason[SEGMENT_REASON_BYTES])
{
    int error = 0;

    if (files->kept >= 0 && !is_of_no_use(files->kept) && !is_copy(files->kept)) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES,
                       "there are two segments of that name, %s and %s, which an earlier server had when its name was given "
                       "to the first: remove the one that is not wanted",
                       names->path, names->keep);
        return STATUS_DENIED;
    }
    if (files->kept >= 0)
        error = name_replace(names, names->keep, files->named);
    else if (name_target_of(names->keep, files->named) != NAME_IS_OURS)
        error = file_link(files->named, names->keep);
    if (error == EEXIST)
        return segment_refuse(reason, STATUS_DENIED, replaced, 0);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot give the segment its second name", error);
}

static enum status names_settle(const struct segment_names *names, struct owned_files *files,
                                char reason[SEGMENT_REASON_BYTES])
{
    enum status status;
    int error;

    if (is_of_no_use(files->named)) {
        status = discard_unfinished(names, files->named, reason);
        if (files->kept < 0 || status != STATUS_NOT_FOUND)
            return status;
        (void)file_close(&files->named);
        *files = (struct owned_files){.named = files->kept, .kept = -1, .is_found_by_keep = true};
        return names_settle(names, files, reason);
    }
    status = keep_link(names, files, reason);
    if (status != STATUS_OK)
        return status;
    (void)unlink(names->passing); /* what a death in the middle of a copy left there */
    if (!files->is_found_by_keep)
        return STATUS_OK;
    error = file_link(files->named, names->path);
    if (error != 0)
        return segment_refuse(reason, STATUS_DENIED, error == EEXIST ? replaced : "cannot give the segment its name again",
                              error == EEXIST ? 0 : error);
    diagnostic_warning("%s had been removed while a server had it: restored from %s", names->path, names->keep);
    return STATUS_OK;
}

enum status ownership_take_over(const struct segment_names *names, int *descriptor, char reason[SEGMENT_REASON_BYTES])
{
    struct owned_files files;
    enum status status = ownership_take(names, &files, reason);

    if (status == STATUS_OK)
        status = names_settle(names, &files, reason);
    if (status == STATUS_OK) {
        *descriptor = files.named;
        files.named = -1;
    }
    ownership_drop(&files);
    return status;
}
