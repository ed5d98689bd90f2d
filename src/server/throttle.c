/* Free tries, then doubling delays. */
#include "server/throttle.h"

unsigned throttle_failed(struct throttle *throttle, uint64_t now_ms)
{
    unsigned delay_ms = THROTTLE_DELAY_MIN_MS;

    throttle->failures++;
    if (throttle->failures <= throttle->free_failures)
        return 0;
    for (unsigned i = throttle->free_failures + 1; i < throttle->failures && delay_ms < THROTTLE_DELAY_MAX_MS; i++)
        delay_ms *= 2;
    if (delay_ms > THROTTLE_DELAY_MAX_MS)
        delay_ms = THROTTLE_DELAY_MAX_MS;
    throttle->until_ms = now_ms + delay_ms;
    return delay_ms;
}

void throttle_succeeded(struct throttle *throttle)
{
    throttle->failures = 0;
    throttle->until_ms = 0;
}

unsigned throttle_left_ms(const struct throttle *throttle, uint64_t now_ms)
{
    return throttle->until_ms > now_ms ? (unsigned)(throttle->until_ms - now_ms) : 0;
}
