/* How often times occurred, in buckets that grow with the time, as HdrHistogram
 * has them: every percentile is right to within 1.6 %, whatever its size, and
 * adding one costs a few instructions. */
#ifndef HAUSKV_TESTS_LOAD_HISTOGRAM_H
#define HAUSKV_TESTS_LOAD_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_STEPS_LOG 5 /* each power of two has 32 buckets */
#define HISTOGRAM_BUCKETS ((64u - HISTOGRAM_STEPS_LOG + 1u) << HISTOGRAM_STEPS_LOG)

struct histogram {
    uint64_t total;
    uint64_t counts[HISTOGRAM_BUCKETS];
};

void histogram_clear(struct histogram *histogram);
void histogram_add(struct histogram *histogram, uint64_t time_ns);

/* The time, in ns, that this share (0 to 1) of all did not exceed; 0 if there are none. */
double histogram_percentile(const struct histogram *histogram, double share);

#endif
