/* open(2) and its family, with EINTR and the umask taken care of. */
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/signals.h"

static int open_path(const char *path, int flags, mode_t permissions, int *descriptor);

static int permit(int descriptor, mode_t permissions)
{
    return fchmod(descriptor, permissions) == 0 ? 0 : errno;
}

int file_create(const char *path, mode_t permissions, int *descriptor)
{
    int created = -1;
    int error = open_path(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, permissions, &created);

    if (error != 0)
        return error;
    error = permit(created, permissions);
    if (error != 0) {
        (void)unlink(path);
        (void)file_close(&created);
        return error;
    }
    *descriptor = created;
    return 0;
}

int file_create_nameless(const char *directory, mode_t permissions, int *descriptor)
{
    int created = -1;
    int error = open_path(directory, O_RDWR | O_TMPFILE, permissions, &created);

    if (error != 0)
        return error;
    error = permit(created, permissions);
    if (error != 0) {
        (void)file_close(&created);
        return error;
    }
    *descriptor = created;
    return 0;
}

int file_link(int descriptor, const char *path)
{
    char self[32];

    (void)snprintf(self, sizeof(self), "/proc/self/fd/%d", descriptor);
    if (linkat(AT_FDCWD, self, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    if (errno != ENOENT)
        return errno;
    /* Where there is no /proc; allowed to who opened the file since Linux 6.10, before to root only. */
    return linkat(descriptor, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0 ? 0 : errno;
}

int file_open(const char *path, enum file_access access, int *descriptor)
{
    return open_path(path, (access == FILE_READ ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOFOLLOW, 0, descriptor);
}

int file_identify(int descriptor, struct file_identity *identity)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0)
        return errno;
    *identity = (struct file_identity){
        .device = status.st_dev,
        .inode = status.st_ino,
        .owner = status.st_uid,
        .permissions = status.st_mode & 07777,
        .is_regular = S_ISREG(status.st_mode),
        .links = (unsigned)status.st_nlink,
    };
    return 0;
}

int file_size(int descriptor, uint64_t *size_bytes)
{
    struct stat status;

    if (fstat(descriptor, &status) != 0)
        return errno;
    *size_bytes = (uint64_t)status.st_size;
    return 0;
}

int file_reserve(int descriptor, uint64_t size_bytes)
{
    sigset_t previous;
    int error;

    REQUIRE(size_bytes > 0);
    if (size_bytes > INT64_MAX)
        return EFBIG;
    signals_block_all(&previous);
    do {
        error = posix_fallocate(descriptor, 0, (off_t)size_bytes);
    } while (error == EINTR);
    signals_restore(&previous);
    return error;
}

int file_lock(int descriptor)
{
    return flock(descriptor, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
}

int file_record_lock(int descriptor)
{
    const struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(descriptor, F_SETLK, &whole) == 0)
        return 0;
    return errno == EACCES || errno == EAGAIN ? EWOULDBLOCK : errno;
}

bool file_is_record_locked(int descriptor, pid_t *holder)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(descriptor, F_GETLK, &whole) != 0 || whole.l_type == F_UNLCK)
        return false;
    if (holder != NULL)
        *holder = whole.l_pid > 0 ? whole.l_pid : 0;
    return true;
}

int file_read(int descriptor, void *buffer, size_t size, size_t *read_bytes)
{
    size_t done = 0;

    while (done < size) {
        ssize_t count = read(descriptor, (unsigned char *)buffer + done, size - done);

        if (count == 0)
            break;
        if (count > 0)
            done += (size_t)count;
        else if (errno != EINTR)
            return errno;
    }
    *read_bytes = done;
    return 0;
}

int file_write(int descriptor, struct bytes bytes)
{
    size_t done = 0;

    while (done < bytes.size) {
        ssize_t count = write(descriptor, bytes.data + done, bytes.size - done);

        if (count >= 0)
            done += (size_t)count;
        else if (errno != EINTR)
            return errno;
    }
    return 0;
}

int file_close(int *descriptor)
{
    int closing = *descriptor;

    *descriptor = -1;
    if (closing == -1 || close(closing) == 0)
        return 0;
    /* Linux frees the number even then; closing again would hit somebody else's. */
    return errno == EINTR ? 0 : errno;
}

static int open_path(const char *path, int flags, mode_t permissions, int *descriptor)
{
    int opened;

    do {
        opened = open(path, flags | O_CLOEXEC | O_NOCTTY, permissions);
    } while (opened == -1 && errno == EINTR);
    if (opened == -1)
        return errno;
    *descriptor = opened;
    return 0;
}
