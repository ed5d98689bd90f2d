#include "load/memory_latency.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "load/workload.h"
#include "platform/clock.h"
#include "platform/contract.h"

#define LINE_BYTES 64u
#define HUGE_PAGE_BYTES ((size_t)2 << 20)
#define ACCESSES 2000000u

struct line {
    uint32_t next;
    unsigned char unused[LINE_BYTES - sizeof(uint32_t)];
};

static void must(bool has_memory)
{
    if (!has_memory) {
        (void)fprintf(stderr, "no memory to measure it\n");
        exit(1);
    }
}

/* One circle through all lines, in random order: S. Sattolo, "An algorithm to generate a random cyclic permutation", 1986. */
static void link_lines(struct line *lines, size_t count)
{
    uint64_t random = 88172645463325252u;

    for (size_t i = 0; i < count; i++)
        lines[i].next = (uint32_t)i;
    for (size_t i = count - 1; i > 0; i--) {
        size_t other = (size_t)(workload_random(&random) % i);
        uint32_t next = lines[i].next;

        lines[i].next = lines[other].next;
        lines[other].next = next;
    }
}

double memory_latency_ns(size_t bytes)
{
    struct line *lines = aligned_alloc(HUGE_PAGE_BYTES, bytes);
    uint64_t begin_ns;
    uint64_t took_ns;
    uint32_t at = 0;

    REQUIRE(bytes >= HUGE_PAGE_BYTES && bytes % HUGE_PAGE_BYTES == 0);
    must(lines != NULL);
    (void)madvise(lines, bytes, MADV_HUGEPAGE);
    link_lines(lines, bytes / sizeof *lines);
    begin_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < ACCESSES; i++)
        at = *(const volatile uint32_t *)&lines[at].next;
    took_ns = clock_monotonic_ns() - begin_ns;
    REQUIRE(at < bytes / sizeof *lines);
    free(lines);
    return (double)took_ns / ACCESSES;
}
