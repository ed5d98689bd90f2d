/* How long it takes until shared memory is there: huge_pages [--quick] [MIB], default 256. In pages of 4 KiB, which
 * fallocate(2) clears; as a segment is filled (src/segment/huge_pages.h); and the same of memory that is there already,
 * which the system has to copy. In turn; "huge pages" is what the last of the rounds had. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../src/segment/huge_pages.h"
#include "load/spread.h"
#include "platform/clock.h"
#include "platform/decimal.h"
#include "platform/file.h"

#define ROUNDS 5u
#define WAYS 3u

static void must(bool is_done)
{
    if (!is_done) {
        (void)fprintf(stderr, "huge_pages: the system has not so much memory\n");
        exit(1);
    }
}

static void describe(int descriptor, size_t bytes, char text[HUGE_PAGES_TEXT_BYTES])
{
    unsigned char *base = huge_pages_map(descriptor, bytes, MAP_SHARED);

    must(base != MAP_FAILED);
    huge_pages_describe(descriptor, base, bytes, text);
    (void)munmap(base, bytes);
}

/* ms. */
static double fill(size_t bytes, bool is_there, bool is_huge, char text[HUGE_PAGES_TEXT_BYTES])
{
    int descriptor = memfd_create("huge-pages", MFD_CLOEXEC);
    uint64_t begin_ns;
    uint64_t took_ns;

    must(descriptor >= 0 && (!is_there || file_reserve(descriptor, bytes) == 0));
    begin_ns = clock_monotonic_ns();
    if (is_huge)
        huge_pages_fill(descriptor, bytes);
    must(file_reserve(descriptor, bytes) == 0);
    took_ns = clock_monotonic_ns() - begin_ns;
    describe(descriptor, bytes, text);
    (void)file_close(&descriptor);
    return (double)took_ns / 1e6;
}

int main(int count, char **arguments)
{
    static const char *const names[WAYS] = {"4 KiB", "huge", "4 KiB, then huge: the second step"};
    uint64_t mebibytes = 256;
    char texts[WAYS][HUGE_PAGES_TEXT_BYTES];
    double times_ms[WAYS][ROUNDS];

    if (count > 1 && strcmp(arguments[1], "--quick") == 0) {
        mebibytes = 16;
    } else if (count > 1 &&
               (!decimal_read(bytes_from_string(arguments[1]), &mebibytes) || mebibytes - 1 >= 1u << 20)) {
        (void)fprintf(stderr, "usage: huge_pages [--quick] [MIB]\n");
        return 2;
    }
    for (unsigned i = 0; i < WAYS * ROUNDS; i++)
        times_ms[i % WAYS][i / WAYS] = fill(mebibytes << 20, i % WAYS == 2, i % WAYS > 0, texts[i % WAYS]);
    printf("| %ju MiB | ms, median of %u (range) | huge pages |\n| --- | --: | --- |\n", (uintmax_t)mebibytes, ROUNDS);
    for (unsigned i = 0; i < WAYS; i++) {
        struct spread spread = spread_of(times_ms[i], ROUNDS);

        printf("| %s | %.1f (%.1f to %.1f) | %s |\n", names[i], spread.median, spread.minimum, spread.maximum,
               texts[i]);
    }
    return 0;
}
