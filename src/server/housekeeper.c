/* The housekeeper's rounds, and the master's watch over them. */
#include "server/housekeeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/progress.h"
#include "platform/signals.h"
#include "server/control.h"
#include "server/process_look.h"
#include "server/spinning.h"
#include "server/stopped.h"
#include "store/shared_store.h"

static volatile sig_atomic_t is_told_to_stop;

static void go_round(const struct inheritance *inheritance);
static void rest(void);
static bool fork_one(struct housekeeper_watch *watch, const struct inheritance *inheritance, uint64_t now_ms);
static void end_if_silent(struct housekeeper_watch *watch, const struct inheritance *inheritance, uint64_t now_ms);

static void stop(int signal_number)
{
    (void)signal_number;
    is_told_to_stop = 1;
}

void housekeeper_run(const struct inheritance *inheritance)
{
    struct listeners listeners = inheritance->listeners;
    struct control_listener control = inheritance->control;
    sigset_t term = signals_set((const int[]){SIGTERM, 0});

    signals_handle(SIGTERM, stop, SIGNALS_INTERRUPT);
    signals_restore(&term); /* SIGTERM waits for the rest between two rounds */
    listeners_close(&listeners);
    control_close(&control);
    progress_show(&inheritance->scoreboard.common->heartbeat); /* a long rebuild is no silence */
    shared_store_count_deaths(inheritance->store);
    while (is_told_to_stop == 0) {
        go_round(inheritance);
        rest();
    }
    _exit(0);
}

/* A process that was stopped with a lock in its hands stops everybody else who wants it. */
static void wish_for_death_of_stopped(const struct inheritance *inheritance)
{
    static struct stopped_watch watch;
    const uint64_t one = 1;
    unsigned timeout_ms = inheritance->config->lock_holder_timeout_ms;
    pid_t pid = timeout_ms == 0 ? 0 : stopped_find(&watch, inheritance->store, timeout_ms);

    if (pid == 0)
        return;
    atomic_store(&inheritance->scoreboard.common->kill_wish, pid);
    (void)!write(inheritance->pool_event, &one, sizeof one);
}

/* So does one that spins. */
static void wish_for_death_of_spinning(const struct inheritance *inheritance)
{
    static struct spinning_watch watch;
    const uint64_t one = 1;
    unsigned timeout_ms = inheritance->config->lock_holder_timeout_ms;
    uint64_t wish = timeout_ms == 0 ? 0 : spinning_find(&watch, inheritance, timeout_ms);

    if (wish == 0)
        return;
    atomic_store(&inheritance->scoreboard.common->spin_wish, wish);
    (void)!write(inheritance->pool_event, &one, sizeof one);
}

static void go_round(const struct inheritance *inheritance)
{
    unsigned timeout_ms = inheritance->config->transaction_timeout_ms;
    unsigned expired = timeout_ms == 0 ? 0 : shared_store_expire_idle(inheritance->store, timeout_ms);

    if (expired > 0)
        diagnostic_info("Expired %u transactions that were idle for %u ms (--transaction-timeout)", expired,
                        timeout_ms);
    wish_for_death_of_stopped(inheritance);
    wish_for_death_of_spinning(inheritance);
    (void)shared_store_tidy(inheritance->store);
    progress_note(PROGRESS_NO_PART);
}

static void rest(void)
{
    const struct timespec pause = {.tv_nsec = HOUSEKEEPER_ROUND_MS * 1000L * 1000};
    const sigset_t none = signals_set((const int[]){0});

    (void)ppoll(NULL, 0, &pause, &none);
}

void housekeeper_watch_init(struct housekeeper_watch *watch)
{
    *watch = (struct housekeeper_watch){.forks = {.free_failures = HOUSEKEEPER_FREE_DEATHS}};
}

int housekeeper_watch(struct housekeeper_watch *watch, const struct inheritance *inheritance)
{
    uint64_t now_ms = clock_monotonic_ms();
    unsigned left_ms = throttle_left_ms(&watch->forks, now_ms);

    if (watch->pid != 0)
        end_if_silent(watch, inheritance, now_ms);
    else if (left_ms > 0 || !fork_one(watch, inheritance, now_ms))
        return (int)(left_ms > 0 ? left_ms : THROTTLE_DELAY_MIN_MS);
    return watch->suspected_ms != 0 ? HOUSEKEEPER_SUSPICION_MS : HOUSEKEEPER_SILENCE_MS;
}

static bool fork_one(struct housekeeper_watch *watch, const struct inheritance *inheritance, uint64_t now_ms)
{
    pid_t pid = inheritance_fork(inheritance, "hauskv-keeper");

    if (pid == 0)
        housekeeper_run(inheritance);
    if (pid < 0) {
        if (watch->forks.failures == 0)
            diagnostic_warning("Cannot fork the housekeeper, trying again: %s", strerror(errno));
        (void)throttle_failed(&watch->forks, now_ms);
        return false;
    }
    watch->pid = pid;
    watch->changed_ms = now_ms;
    watch->suspected_ms = 0;
    return true;
}

/* If it spins, the shard that it was at is to blame. */
static void end_silent(const struct housekeeper_watch *watch, const struct inheritance *inheritance)
{
    struct process_look look;

    if (process_look(watch->pid, &look) && look.is_running)
        (void)shared_store_blame(inheritance->store, watch->pid, progress_part(watch->heartbeat));
    (void)kill(watch->pid, SIGKILL);
}

static void end_if_silent(struct housekeeper_watch *watch, const struct inheritance *inheritance, uint64_t now_ms)
{
    uint64_t heartbeat = atomic_load(&inheritance->scoreboard.common->heartbeat);

    if (heartbeat != watch->heartbeat) {
        watch->heartbeat = heartbeat;
        watch->changed_ms = now_ms;
        watch->suspected_ms = 0;
        throttle_succeeded(&watch->forks);
    } else if (watch->suspected_ms == 0 && now_ms - watch->changed_ms >= HOUSEKEEPER_SILENCE_MS) {
        watch->suspected_ms = now_ms;
    } else if (watch->suspected_ms != 0 && now_ms - watch->suspected_ms >= HOUSEKEEPER_SUSPICION_MS) {
        diagnostic_error("The housekeeper, pid %d, is silent since %u ms: killing it", (int)watch->pid,
                         (unsigned)(now_ms - watch->changed_ms));
        end_silent(watch, inheritance);
        watch->suspected_ms = now_ms;
    }
}

bool housekeeper_reaped(struct housekeeper_watch *watch, pid_t pid, int status)
{
    if (watch->pid == 0 || watch->pid != pid)
        return false;
    watch->pid = 0;
    if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0)
        (void)throttle_failed(&watch->forks, clock_monotonic_ms());
    return true;
}
