/* Watching for processes that were stopped (SIGSTOP, a debugger) while they hold
 * a lock, pin old data or are inside a command: others wait for them, perhaps
 * for ever. The housekeeper looks once a round, and asks the master, who alone
 * kills, for the end of one that stays so for --lock-holder-timeout. */
#ifndef HAUSKV_SERVER_STOPPED_H
#define HAUSKV_SERVER_STOPPED_H

#include <stdint.h>
#include <sys/types.h>

#include "store/store.h"

#define STOPPED_MAX 64u            /* watched at a time */
#define STOPPED_HOLDERS_MAX 65536u /* looked at in a round: as many as there can be sessions */

struct stopped_watch {
    unsigned count;
    struct stopped_process {
        pid_t pid;
        uint64_t since_ms; /* when it was first seen stopped, of clock_monotonic_ms */
    } processes[STOPPED_MAX];
};

/* Looks; returns a process of the store that others may wait for and that has been stopped for timeout_ms or more, else
 * 0. That one's time begins anew, so that whom nobody kills hides nobody else. Only one thread of a process. */
pid_t stopped_find(struct stopped_watch *watch, struct store *store, uint64_t timeout_ms);

#endif
