#include "names.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "header.h"
#include "platform/file.h"

/* False: it is too long. */
static bool path_make(char path[SEGMENT_PATH_BYTES_MAX], const char *directory, const char *before, const char *name,
                      const char *after)
{
    int length = snprintf(path, SEGMENT_PATH_BYTES_MAX, "%s/%shauskv-%s%s", directory, before, name, after);

    return length >= 0 && (size_t)length < SEGMENT_PATH_BYTES_MAX;
}

enum status names_make(struct segment_names *names, const struct segment_options *options,
                       char reason[SEGMENT_REASON_BYTES])
{
    const char *directory = options->directory == NULL ? SEGMENT_DIRECTORY : options->directory;

    if (strlen(options->name) > SEGMENT_NAME_BYTES_MAX || strchr(options->name, '/') != NULL)
        return segment_refuse(reason, STATUS_TOO_LARGE, "the segment's name is too long or has a slash", 0);
    if (!path_make(names->path, directory, "", options->name, "") ||
        !path_make(names->keep, directory, ".", options->name, ".keep") ||
        !path_make(names->passing, directory, "", options->name, "~new"))
        return segment_refuse(reason, STATUS_TOO_LARGE, "the segment's path is too long", 0);
    (void)snprintf(names->directory, sizeof(names->directory), "%s", directory);
    return STATUS_OK;
}

enum status names_check_directory(const struct segment_names *names, const struct segment_options *options,
                                  char reason[SEGMENT_REASON_BYTES])
{
    struct statfs file_system;

    if (statfs(names->directory, &file_system) != 0)
        return segment_refuse(reason, STATUS_INTERNAL, "cannot look at the segment's directory", errno);
    if (options->may_be_on_disk || file_system.f_type == TMPFS_MAGIC || file_system.f_type == HUGETLBFS_MAGIC ||
        file_system.f_type == RAMFS_MAGIC)
        return STATUS_OK;
    (void)snprintf(reason, SEGMENT_REASON_BYTES,
                   "%s is on a disk, or another file system that does not live in memory: after a loss of power the segment "
                   "may be torn and look whole. Choose a tmpfs or hugetlbfs; --segment-on-disk insists",
                   names->directory);
    return STATUS_DENIED;
}

int names_open(const struct segment_names *names, enum file_access access, int *descriptor)
{
    int error = file_open(names->path, access, descriptor);

    return error == ENOENT ? file_open(names->keep, access, descriptor) : error;
}

enum name_target name_target_of(const char *path, int descriptor)
{
    struct file_identity ours;
    struct stat target;

    if (lstat(path, &target) != 0)
        return errno == ENOENT ? NAME_IS_FREE : NAME_IS_ANOTHERS;
    if (file_identify(descriptor, &ours) == 0 && target.st_dev == ours.device && target.st_ino == ours.inode)
        return NAME_IS_OURS;
    return NAME_IS_ANOTHERS;
}

int name_remove(const char *path, int descriptor)
{
    return name_target_of(path, descriptor) != NAME_IS_OURS || unlink(path) == 0 ? 0 : errno;
}

int name_replace(const struct segment_names *names, const char *path, int descriptor)
{
    int error;

    (void)unlink(names->passing); /* of a start that died just here, or of an older build's */
    error = file_link(descriptor, names->passing);
    if (error == 0 && rename(names->passing, path) != 0) {
        error = errno;
        (void)unlink(names->passing);
    }
    return error;
}
