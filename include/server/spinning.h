/* Watching for processes that spin with a lock of the store: they use the
 * processor, hold the same lock as before, and show no progress (progress.h). A
 * damaged segment can make a walk endless, and nobody else gets the lock then.
 *
 * What counts is the time that the process itself has used, not what went by: a
 * frozen control group or a starved process spins as little as a sleeping one.
 * Long work that is legal, such as a rebuild or a large commit, shows progress
 * all the time. The housekeeper looks once a round and asks the master for the
 * end of one that has spun for --lock-holder-timeout. */
#ifndef HAUSKV_SERVER_SPINNING_H
#define HAUSKV_SERVER_SPINNING_H

#include <stdint.h>
#include <sys/types.h>

#include "server/inheritance.h"
#include "store/shared_store.h"

struct spinning_watch {
    unsigned count;
    struct spinning_process {
        pid_t pid;
        uint64_t state;        /* another when it has got on, or holds another lock */
        uint64_t processor_ms; /* that it had used when it was first seen so */
    } processes[SHARED_STORE_LOCKS_MAX];
};

/* A wish of the housekeeper in one word: the process, and the part of the store that it was last at (progress.h). */
static inline uint64_t spinning_wish(pid_t pid, unsigned part)
{
    return (uint64_t)part << 32 | (uint32_t)pid;
}

static inline pid_t spinning_wish_pid(uint64_t wish)
{
    return (pid_t)(uint32_t)wish;
}

static inline unsigned spinning_wish_part(uint64_t wish)
{
    return (unsigned)(wish >> 32);
}

/* Looks; returns the wish for a process, not the caller's own, that has used timeout_ms or more of the processor in one state,
 * else 0. That one's time begins anew, so that whom nobody kills hides nobody else. Begins with a watch of zeros. */
uint64_t spinning_find(struct spinning_watch *watch, const struct inheritance *inheritance, uint64_t timeout_ms);

#endif
