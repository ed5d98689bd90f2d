/* When the master may fork again. A process that cannot be forked, or a worker
 * that dies on its first connection, is tried again at once for a few times and
 * then more and more slowly, so that neither a broken program nor a full system
 * makes the master spin; one success and all is as before. */
#ifndef HAUSKV_SERVER_THROTTLE_H
#define HAUSKV_SERVER_THROTTLE_H

#include <stdint.h>

#define THROTTLE_DELAY_MIN_MS 100u
#define THROTTLE_DELAY_MAX_MS 1000u

/* Only the first is set at the beginning. Times are of clock_monotonic_ms. */
struct throttle {
    unsigned free_failures; /* in a row, that cost nothing */
    unsigned failures;      /* in a row */
    uint64_t until_ms;
};

/* One more failure; returns for how long nothing must be tried, 0: not at all. */
unsigned throttle_failed(struct throttle *throttle, uint64_t now_ms);
void throttle_succeeded(struct throttle *throttle);

/* Milliseconds until the next try; 0: now. */
unsigned throttle_left_ms(const struct throttle *throttle, uint64_t now_ms);

#endif
