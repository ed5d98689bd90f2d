#include "huge_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "platform/file.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of Linux 6.1; the headers of Debian 12 lack it */
#endif

#define PAGE_BYTES ((size_t)4096)
#define ROLLUP_BYTES_MAX 4096u

size_t huge_pages_file_page_bytes(int descriptor)
{
    struct statfs file_system;

    if (fstatfs(descriptor, &file_system) != 0 || file_system.f_bsize < (long)PAGE_BYTES)
        return PAGE_BYTES;
    return (size_t)file_system.f_bsize;
}

static bool is_of_small_pages(int descriptor)
{
    return descriptor < 0 || huge_pages_file_page_bytes(descriptor) == PAGE_BYTES;
}

/* What will not fit is not begun: reserving it will say so. */
static bool has_room(int descriptor, size_t bytes)
{
    struct statfs file_system;

    return fstatfs(descriptor, &file_system) == 0 &&
           (file_system.f_blocks == 0 || (uint64_t)file_system.f_bavail * PAGE_BYTES >= bytes);
}

/* A range without any page cannot be collapsed. Not by touching the memory: a full file system would answer with SIGBUS. */
static bool place_first_pages(int descriptor, size_t bytes)
{
    for (size_t offset = 0; offset < bytes; offset += HUGE_PAGE_BYTES)
        while (fallocate(descriptor, 0, (off_t)offset, (off_t)PAGE_BYTES) != 0)
            if (errno != EINTR)
                return false;
    return true;
}

void huge_pages_fill(int descriptor, size_t bytes)
{
    size_t whole_bytes = bytes / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    void *base;

    if (whole_bytes == 0 || !is_of_small_pages(descriptor) || !has_room(descriptor, bytes) ||
        ftruncate(descriptor, (off_t)bytes) != 0 || !place_first_pages(descriptor, whole_bytes))
        return;
    base = huge_pages_map(descriptor, whole_bytes, MAP_SHARED);
    if (base == MAP_FAILED)
        return;
    (void)madvise(base, whole_bytes, MADV_COLLAPSE);
    munmap(base, whole_bytes);
}

/* An address space with room to choose from, of which only the part that fits is kept. */
void *huge_pages_map(int descriptor, size_t bytes, int flags)
{
    int map_flags = descriptor < 0 ? flags | MAP_ANONYMOUS : flags;
    size_t reserved_bytes = bytes + HUGE_PAGE_BYTES;
    unsigned char *reserved;
    unsigned char *base;
    size_t before;

    if (bytes < HUGE_PAGE_BYTES || !is_of_small_pages(descriptor))
        return mmap(NULL, bytes, PROT_READ | PROT_WRITE, map_flags, descriptor, 0);
    reserved = mmap(NULL, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED)
        return MAP_FAILED;
    before = (HUGE_PAGE_BYTES - (uintptr_t)reserved % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    base = mmap(reserved + before, bytes, PROT_READ | PROT_WRITE, map_flags | MAP_FIXED, descriptor, 0);
    if (base == MAP_FAILED) {
        int error = errno;

        munmap(reserved, reserved_bytes);
        errno = error;
        return MAP_FAILED;
    }
    if (before > 0)
        munmap(reserved, before);
    bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    munmap(base + bytes, HUGE_PAGE_BYTES - before);
    return base;
}

/* Of everything that this process has mapped. */
static uint64_t mapped_huge_kib(void)
{
    char text[ROLLUP_BYTES_MAX] = "";
    const char *field;
    size_t size = 0;
    int descriptor;

    if (file_open("/proc/self/smaps_rollup", FILE_READ, &descriptor) != 0)
        return 0;
    (void)file_read(descriptor, text, sizeof(text) - 1, &size);
    (void)file_close(&descriptor);
    field = strstr(text, "ShmemPmdMapped:");
    return field == NULL ? 0 : strtoull(field + strlen("ShmemPmdMapped:"), NULL, 10);
}

void huge_pages_describe(int descriptor, const unsigned char *base, size_t bytes, char text[HUGE_PAGES_TEXT_BYTES])
{
    uint64_t huge_kib;

    if (!is_of_small_pages(descriptor)) {
        (void)snprintf(text, HUGE_PAGES_TEXT_BYTES, "hugetlbfs");
        return;
    }
    for (size_t offset = 0; offset < bytes; offset += HUGE_PAGE_BYTES)
        (void)*(const volatile unsigned char *)(base + offset);
    huge_kib = mapped_huge_kib();
    if (huge_kib == 0)
        (void)snprintf(text, HUGE_PAGES_TEXT_BYTES, "none");
    else
        (void)snprintf(text, HUGE_PAGES_TEXT_BYTES, "transparent, %" PRIu64 " of %zu MiB", huge_kib >> 10, bytes >> 20);
}
