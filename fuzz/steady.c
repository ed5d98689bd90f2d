/* What would differ from run to run. The linker puts these in the place of the
 * functions of that name (--wrap), in fuzz targets only. */
#include "platform/clock.h"
#include "platform/siphash.h"
#include "support/store_random.h"

#define NS_PER_LOOK UINT64_C(1000000000)

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker wants these names. */
__typeof__(siphash_key_random) __wrap_siphash_key_random;
__typeof__(clock_monotonic_ns) __wrap_clock_monotonic_ns;
__typeof__(clock_monotonic_ms) __wrap_clock_monotonic_ms;

/* Every segment has the same hash key. */
void __wrap_siphash_key_random(unsigned char key[SIPHASH_KEY_BYTES])
{
    store_content_fill(key, SIPHASH_KEY_BYTES, 1);
}

/* A second has gone by whenever somebody looks: who waits for a key waits in vain, and does not sleep. */
uint64_t __wrap_clock_monotonic_ns(void)
{
    static uint64_t now_ns;

    now_ns += NS_PER_LOOK;
    return now_ns;
}

/* Nobody is idle for long. */
uint64_t __wrap_clock_monotonic_ms(void)
{
    return 1;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */
