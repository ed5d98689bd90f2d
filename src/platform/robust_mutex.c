/* The only file that names pthread_mutex_*. What these functions can return
 * beside the results of robust_mutex.h would be a bug of ours: a contract.
 *
 * pthread_mutex_trylock is not used: glibc's (seen in 2.36) answers
 * ENOTRECOVERABLE for a closed robust mutex but keeps it, so that the next to
 * ask waits for ever. A clocklock whose time is over does the same without. */
#include "platform/robust_mutex.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "platform/contract.h"

#define SLICE_NS (50L * 1000 * 1000)
#define SECOND_NS (1000L * 1000 * 1000)

/* Before the clock began: glibc then does not even ask the kernel to wait. */
static const struct timespec time_is_over = {.tv_sec = -1};

static enum mutex_result result_of(int error);
static struct timespec end_of_slice(void);

void robust_mutex_init(struct robust_mutex *mutex)
{
    pthread_mutexattr_t attributes;
    int error = pthread_mutexattr_init(&attributes);

    INVARIANT(error == 0);
    error = pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    INVARIANT(error == 0);
    error = pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    INVARIANT(error == 0);
    error = pthread_mutex_init(&mutex->mutex, &attributes);
    INVARIANT(error == 0);
    (void)pthread_mutexattr_destroy(&attributes);
}

/* As if its holder had died just now, and the next one had given it back unrepaired. */
void robust_mutex_init_closed(struct robust_mutex *mutex)
{
    enum mutex_result result;

    robust_mutex_init(mutex);
    __atomic_store_n((uint32_t *)(void *)mutex, FUTEX_OWNER_DIED, __ATOMIC_RELAXED);
    result = robust_mutex_lock(mutex);
    INVARIANT(result == MUTEX_INHERITED);
    robust_mutex_unlock(mutex);
}

enum mutex_result robust_mutex_lock(struct robust_mutex *mutex)
{
    int error = pthread_mutex_clocklock(&mutex->mutex, CLOCK_MONOTONIC, &time_is_over);

    while (error == ETIMEDOUT) {
        struct timespec end = end_of_slice();

        error = pthread_mutex_clocklock(&mutex->mutex, CLOCK_MONOTONIC, &end);
    }
    return result_of(error);
}

enum mutex_result robust_mutex_trylock(struct robust_mutex *mutex)
{
    return result_of(pthread_mutex_clocklock(&mutex->mutex, CLOCK_MONOTONIC, &time_is_over));
}

void robust_mutex_mark_consistent(struct robust_mutex *mutex)
{
    int error = pthread_mutex_consistent(&mutex->mutex);

    REQUIRE(error == 0);
}

void robust_mutex_unlock(struct robust_mutex *mutex)
{
    int error = pthread_mutex_unlock(&mutex->mutex);

    REQUIRE(error == 0);
}

/* What the kernel does for every mutex of a thread that ends
 * (kernel/futex/core.c, handle_futex_death). */
bool robust_mutex_bury(struct robust_mutex *mutex, pid_t dead_thread)
{
    uint32_t *word = (uint32_t *)(void *)mutex;
    uint32_t seen = __atomic_load_n(word, __ATOMIC_RELAXED);

    do {
        if ((seen & FUTEX_TID_MASK) != (uint32_t)dead_thread)
            return false;
    } while (!__atomic_compare_exchange_n(word, &seen, (seen & FUTEX_WAITERS) | FUTEX_OWNER_DIED, false,
                                          __ATOMIC_ACQ_REL, __ATOMIC_RELAXED));
    (void)syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
    return true;
}

pid_t robust_mutex_holder(const struct robust_mutex *mutex)
{
    uint32_t seen = __atomic_load_n((const uint32_t *)(const void *)mutex, __ATOMIC_RELAXED);

    return (seen & FUTEX_OWNER_DIED) != 0 ? 0 : (pid_t)(seen & FUTEX_TID_MASK);
}

bool robust_mutex_is_held_by(const struct robust_mutex *mutex, pid_t thread)
{
    uint32_t seen = __atomic_load_n((const uint32_t *)(const void *)mutex, __ATOMIC_RELAXED);

    return (seen & FUTEX_TID_MASK) == (uint32_t)thread;
}

static enum mutex_result result_of(int error)
{
    switch (error) {
    case 0:
        return MUTEX_LOCKED;
    case EOWNERDEAD:
        return MUTEX_INHERITED;
    case ETIMEDOUT:
        return MUTEX_BUSY;
    default:
        INVARIANT(error == ENOTRECOVERABLE);
        return MUTEX_CLOSED;
    }
}

static struct timespec end_of_slice(void)
{
    struct timespec end;
    int error = clock_gettime(CLOCK_MONOTONIC, &end);

    INVARIANT(error == 0);
    end.tv_nsec += SLICE_NS;
    if (end.tv_nsec >= SECOND_NS) {
        end.tv_nsec -= SECOND_NS;
        end.tv_sec++;
    }
    return end;
}
