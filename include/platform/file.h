/* Files, of a disk or of shared memory, by descriptor. Every function returns 0
 * or the number of the error (errno.h) and leaves its results untouched on one;
 * a signal never interrupts any of them halfway. Descriptors are closed by
 * exec(2) and owned by the caller, who closes them with file_close. */
#ifndef HAUSKV_PLATFORM_FILE_H
#define HAUSKV_PLATFORM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/bytes.h"

enum file_access {
    FILE_READ,
    FILE_READ_WRITE
};

/* What decides whether a file can be trusted, and whether two are the same. */
struct file_identity {
    dev_t device;
    ino_t inode;
    uid_t owner;
    mode_t permissions; /* the bits of 07777 */
    bool is_regular;
    unsigned links;     /* how many names it has */
};

/* Creates the file, empty, with exactly these permissions (whatever the umask),
 * open for reading and writing. EEXIST: there is one, or a symbolic link. */
int file_create(const char *path, mode_t permissions, int *descriptor);

/* The same in this directory and without a name: it goes with its last descriptor unless file_link gives it one. EOPNOTSUPP:
 * the file system has no such files. */
int file_create_nameless(const char *directory, mode_t permissions, int *descriptor);

/* Gives the open file this name too. EEXIST: something has it; ENOENT: the directory is not there, or the file once had
 * names and has none any more: Linux gives it none again. Needs /proc, or Linux 6.10, or to be root. */
int file_link(int descriptor, const char *path);

/* Opens a file that exists. ENOENT; ELOOP: it is a symbolic link. Never waits,
 * not even for a writer of a FIFO; file_identify tells what was opened. */
int file_open(const char *path, enum file_access access, int *descriptor);

int file_identify(int descriptor, struct file_identity *identity);
int file_size(int descriptor, uint64_t *size_bytes);

/* Makes the file at least size_bytes (1 or more) long, with storage behind
 * every byte, so that no later store to its memory fails with SIGBUS. ENOSPC,
 * EFBIG; the file may have grown then. All signals are blocked meanwhile (one
 * that arrived would make tmpfs give everything back), and it takes its time:
 * the system clears every page of shared memory here. */
int file_reserve(int descriptor, uint64_t size_bytes);

/* Takes the whole-file lock of flock(2), which belongs to the open file: forked
 * children share it, and it ends when the last of them closed it. Never waits;
 * EWOULDBLOCK: another open file has it. */
int file_lock(int descriptor);

/* Takes the record lock of fcntl(2) on the whole file, which belongs to this process: no child inherits it, and it ends
 * with the process, or as soon as the process closes *any* descriptor of the file. Never waits; EWOULDBLOCK: another
 * process has it. */
int file_record_lock(int descriptor);

/* Whether another process has the record lock. *holder (may be NULL) is its pid, 0 where this process cannot see it: in a
 * container of its own. */
bool file_is_record_locked(int descriptor, pid_t *holder);

/* Reads from the file's position until size bytes are there or the file ends;
 * *read_bytes tells how many. EAGAIN: a descriptor that does not wait had no more. */
int file_read(int descriptor, void *buffer, size_t size, size_t *read_bytes);

/* Writes all of bytes. On an error a part may have been written. */
int file_write(int descriptor, struct bytes bytes);

/* Closes *descriptor and makes it -1, whatever the result; EIO, ENOSPC, EDQUOT
 * tell that earlier writes were lost. Closing -1 does nothing. */
int file_close(int *descriptor);

#endif
