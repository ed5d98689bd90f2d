#include "load/histogram.h"

#include <string.h>

#define STEPS (1u << HISTOGRAM_STEPS_LOG)

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

static unsigned shift_of(uint64_t time_ns)
{
    unsigned highest_bit = 63u - (unsigned)__builtin_clzll(time_ns | 1);

    return highest_bit > HISTOGRAM_STEPS_LOG ? highest_bit - HISTOGRAM_STEPS_LOG : 0;
}

void histogram_add(struct histogram *histogram, uint64_t time_ns)
{
    uint64_t shift = shift_of(time_ns);

    histogram->counts[shift * STEPS + (time_ns >> shift)]++;
    histogram->total++;
}

/* The first two rows of buckets are one ns wide each; later ones lie in the upper half of their row. */
static double middle_of(unsigned bucket)
{
    unsigned shift = bucket < 2 * STEPS ? 0 : bucket / STEPS - 1;
    double lowest = (double)(bucket - shift * STEPS) * (double)(1ull << shift);

    return lowest + (double)(1ull << shift) / 2 - 0.5;
}

double histogram_percentile(const struct histogram *histogram, double share)
{
    uint64_t seen = 0;

    for (unsigned bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        seen += histogram->counts[bucket];
        if (seen > 0 && (double)seen >= share * (double)histogram->total)
            return middle_of(bucket);
    }
    return 0;
}
