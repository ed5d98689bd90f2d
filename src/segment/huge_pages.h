/* Huge pages for a segment; private to this layer.
 *
 * Most systems give shared memory no huge pages on their own (shmem_enabled is `never`), and none to be reserved without
 * an administrator. But since Linux 6.1 a process may ask for its own ranges (madvise(2), MADV_COLLAPSE), whatever that
 * setting says unless it says `deny`. Asked before the memory is there, that costs no copying and is quicker than clearing
 * it in small pages (spec/performance.md). Where it fails, pages of 4 KiB serve as well, only slower. */
#ifndef HAUSKV_SEGMENT_HUGE_PAGES_H
#define HAUSKV_SEGMENT_HUGE_PAGES_H

#include <stdbool.h>
#include <stddef.h>

#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define HUGE_PAGES_TEXT_BYTES 64u

/* Bytes of the pages that the file's directory gives: 4096, or those of a hugetlbfs. */
size_t huge_pages_file_page_bytes(int descriptor);

/* Fills the new and empty file of `bytes` with as many huge pages as can be had; what is missing, up to everything, is left
 * to be reserved. Never fails. */
void huge_pages_fill(int descriptor, size_t bytes);

/* As mmap(2) for reading and writing (MAP_FAILED with errno), at an address where huge pages of the file can be mapped.
 * descriptor -1: anonymous memory. flags: MAP_SHARED or MAP_PRIVATE. */
void *huge_pages_map(int descriptor, size_t bytes, int flags);

/* What was had, in words for people. Reads a byte of each huge page: for a process that owns the segment. */
void huge_pages_describe(int descriptor, const unsigned char *base, size_t bytes, char text[HUGE_PAGES_TEXT_BYTES]);

#endif
