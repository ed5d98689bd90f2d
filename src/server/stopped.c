/* Who of the holders is stopped, as /proc tells, and since when. */
#include "server/stopped.h"

#include "platform/clock.h"
#include "server/process_look.h"
#include "store/shared_store.h"

static bool is_stopped(pid_t pid)
{
    struct process_look look;

    return process_look(pid, &look) && look.is_stopped;
}

static uint64_t seen_since(const struct stopped_watch *watch, pid_t pid, uint64_t now_ms)
{
    for (unsigned i = 0; i < watch->count; i++)
        if (watch->processes[i].pid == pid)
            return watch->processes[i].since_ms;
    return now_ms;
}

pid_t stopped_find(struct stopped_watch *watch, struct store *store, uint64_t timeout_ms)
{
    static pid_t holders[STOPPED_HOLDERS_MAX];
    struct stopped_watch seen = {0};
    uint64_t now_ms = clock_monotonic_ms();
    unsigned count = shared_store_holders(store, holders, STOPPED_HOLDERS_MAX);
    pid_t found = 0;

    for (unsigned i = 0; i < count && seen.count < STOPPED_MAX; i++) {
        struct stopped_process process = {.pid = holders[i]};

        if (!is_stopped(process.pid))
            continue;
        process.since_ms = seen_since(watch, process.pid, now_ms);
        if (found == 0 && now_ms - process.since_ms >= timeout_ms) {
            found = process.pid;
            process.since_ms = now_ms; /* perhaps nobody can kill it: the next one gets its turn */
        }
        seen.processes[seen.count++] = process;
    }
    *watch = seen;
    return found;
}
