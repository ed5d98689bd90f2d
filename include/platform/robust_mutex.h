/* A process-shared mutex that survives the death of its holder.
 * MUTEX_INHERITED: you hold it, but the data behind it is suspect.
 * Repair, then mark consistent; unlocking first closes it for good.
 *
 * Waiting is done in slices of 50 ms, retried: a waiter that was stopped
 * (SIGSTOP) has been seen to swallow the wake-up of everybody else.
 * Source: pthread_mutexattr_setrobust(3), futex(2), kernel robust-futexes.rst. */
#ifndef HAUSKV_PLATFORM_ROBUST_MUTEX_H
#define HAUSKV_PLATFORM_ROBUST_MUTEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum mutex_result {
    MUTEX_LOCKED,    /* you hold it and the data is good */
    MUTEX_INHERITED, /* you hold it, its last holder died inside */
    MUTEX_BUSY,      /* trylock only: somebody (perhaps you) holds it */
    MUTEX_CLOSED     /* an heir unlocked it unrepaired: nobody gets it again */
};

/* Shared memory; its first word is the futex. Fields are nobody's business. */
struct robust_mutex {
    pthread_mutex_t mutex;
};

/* Any process that maps the memory may call these. A thread never locks one it
 * holds: that waits for ever (trylock says MUTEX_BUSY). */
void robust_mutex_init(struct robust_mutex *mutex);
enum mutex_result robust_mutex_lock(struct robust_mutex *mutex);
enum mutex_result robust_mutex_trylock(struct robust_mutex *mutex);
/* Makes it one that nobody ever gets (MUTEX_CLOSED). Only where nobody else can have it or wait for it. */
void robust_mutex_init_closed(struct robust_mutex *mutex);
/* Only for the holder, after MUTEX_INHERITED and repair, before unlock. */
void robust_mutex_mark_consistent(struct robust_mutex *mutex);
void robust_mutex_unlock(struct robust_mutex *mutex);

/* If dead_thread still holds the mutex, makes it one to be inherited and says
 * true. The kernel does so at a holder's end; but a process that the OOM killer
 * chose can lose the memory in which the kernel looks before it looks. Only for
 * the parent of the dead, after waitid(..., WNOWAIT) told of its death and
 * before it is reaped: until then nobody else is given its number. */
bool robust_mutex_bury(struct robust_mutex *mutex, pid_t dead_thread);

/* Whether nobody holds it at this moment, nor died holding it, nor closed it. Any process; after true, all that was stored
 * before it was given back is seen. */
static inline bool robust_mutex_is_free(const struct robust_mutex *mutex)
{
    /* A closed one is given back too (glibc's word is 0): its owner then is a number that no thread has. */
    return __atomic_load_n((const uint32_t *)(const void *)mutex, __ATOMIC_ACQUIRE) == 0 &&
           __atomic_load_n(&mutex->mutex.__data.__owner, __ATOMIC_RELAXED) == 0;
}

/* The thread that holds it at this moment; 0: nobody, or one that died. Any process; a look, nothing more. */
pid_t robust_mutex_holder(const struct robust_mutex *mutex);

/* Whether that thread holds it at this moment. Any process; a look, nothing more. */
bool robust_mutex_is_held_by(const struct robust_mutex *mutex, pid_t thread);

#endif
