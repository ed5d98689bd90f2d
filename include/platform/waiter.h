/* What a wait that may be long asks of whoever began it: whether it is still worth
 * it. A layer that waits need not know why it might not be. */
#ifndef HAUSKV_PLATFORM_WAITER_H
#define HAUSKV_PLATFORM_WAITER_H

#include <stdbool.h>
#include <stddef.h>

struct waiter {
    /* Called before the first sleep, now and then during the wait (WAITER_LOOK_MS_MAX), after a signal, and when the wait has
     * had its turn. False: give up. It must not wait itself, nor call back whoever asks. */
    bool (*goes_on)(void *context);
    void *context;
};

/* The pauses between two calls: the first, and what they grow to by doubling. */
#define WAITER_LOOK_MS_MIN 50u
#define WAITER_LOOK_MS_MAX 1000u

/* waiter: NULL: the wait goes on whatever happens. */
static inline bool waiter_goes_on(const struct waiter *waiter)
{
    return waiter == NULL || waiter->goes_on(waiter->context);
}

#endif
