/* Who holds which locks, round by round. */
#include "server/spinning.h"

#include <unistd.h>

#include "platform/progress.h"
#include "server/process_look.h"

static uint64_t mix(uint64_t state, uint64_t value)
{
    state = (state ^ value) * 0x9e3779b97f4a7c15u;
    return state ^ state >> 29;
}

/* NULL: there are more than there are locks, which cannot be. */
static struct spinning_process *entry_of(struct spinning_watch *watch, pid_t pid)
{
    for (unsigned i = 0; i < watch->count; i++)
        if (watch->processes[i].pid == pid)
            return &watch->processes[i];
    if (watch->count == SHARED_STORE_LOCKS_MAX)
        return NULL;
    watch->processes[watch->count] = (struct spinning_process){.pid = pid};
    return &watch->processes[watch->count++];
}

/* Everybody who holds a lock, and which. */
static void look_at_locks(struct spinning_watch *watch, const struct inheritance *inheritance)
{
    struct shared_store_hold holds[SHARED_STORE_LOCKS_MAX];
    unsigned count = shared_store_held_locks(inheritance->store, holds);

    watch->count = 0;
    for (unsigned i = 0; i < count; i++) {
        struct spinning_process *process = holds[i].pid == getpid() ? NULL : entry_of(watch, holds[i].pid);

        if (process != NULL)
            process->state = mix(mix(process->state, holds[i].lock), holds[i].turn);
    }
}

/* What it had used when it was seen in this state first. */
static uint64_t used_before(const struct spinning_watch *earlier, const struct spinning_process *process, uint64_t now_ms)
{
    for (unsigned i = 0; i < earlier->count; i++)
        if (earlier->processes[i].pid == process->pid && earlier->processes[i].state == process->state)
            return earlier->processes[i].processor_ms;
    return now_ms;
}

uint64_t spinning_find(struct spinning_watch *watch, const struct inheritance *inheritance, uint64_t timeout_ms)
{
    struct spinning_watch seen;
    uint64_t wish = 0;

    look_at_locks(&seen, inheritance);
    for (unsigned i = 0; i < seen.count; i++) {
        struct spinning_process *process = &seen.processes[i];
        struct process_look look = {0};
        uint64_t progress;

        progress = scoreboard_progress(&inheritance->scoreboard, process->pid);
        process->state = mix(process->state, progress);
        (void)process_look(process->pid, &look);
        process->processor_ms = used_before(watch, process, look.processor_ms);
        if (wish == 0 && look.processor_ms - process->processor_ms >= timeout_ms) {
            wish = spinning_wish(process->pid, progress_part(progress));
            process->processor_ms = look.processor_ms;
        }
    }
    *watch = seen;
    return wish;
}
