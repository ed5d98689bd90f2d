#include "platform/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform/contract.h"

#define SECOND_NS UINT64_C(1000000000)

void futex_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    struct timespec deadline = {
        .tv_sec = (time_t)(deadline_ns / SECOND_NS),
        .tv_nsec = (long)(deadline_ns % SECOND_NS),
    };
    /* The one operation whose time is a point of CLOCK_MONOTONIC. */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET, expected,
                          deadline_ns == FUTEX_NO_DEADLINE ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY);

    INVARIANT(result == 0 || errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT);
}

void futex_wake(const _Atomic uint32_t *word)
{
    long result = syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);

    INVARIANT(result >= 0);
}
