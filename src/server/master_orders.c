/* What the master is told, and stopping. */
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "master_internal.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "server/spinning.h"
#include "store/shared_store.h"
#include "server/control.h"

static void obey(struct master *master, int signal_number);
static void fulfil_kill_wish(struct master *master);
static void fulfil_spin_wish(struct master *master);

void master_take_orders(struct master *master)
{
    struct signalfd_siginfo information;
    uint64_t calls;

    while (read(master->inheritance.signals, &information, sizeof information) == (ssize_t)sizeof information)
        obey(master, (int)information.ssi_signo);
    (void)!read(master->inheritance.pool_event, &calls, sizeof calls);
    fulfil_kill_wish(master);
    fulfil_spin_wish(master);
}

/* The housekeeper looks, only the master kills, and only its own children. */
static void fulfil_kill_wish(struct master *master)
{
    pid_t pid = atomic_exchange(&master->inheritance.scoreboard.common->kill_wish, 0);

    if (pid != 0 && pool_kill(master->pool, pid))
        diagnostic_warning("A worker, pid %d, was stopped for %u ms while others may wait for it: killed "
                           "(--lock-holder-timeout)",
                           (int)pid, master->inheritance.config->lock_holder_timeout_ms);
}

/* Counted before it is ended: whoever gets the lock then looks at the count. */
static void fulfil_spin_wish(struct master *master)
{
    uint64_t wish = atomic_exchange(&master->inheritance.scoreboard.common->spin_wish, 0);
    pid_t pid = spinning_wish_pid(wish);
    bool is_counted;

    if (wish == 0 || !pool_has(master->pool, pid))
        return;
    is_counted = shared_store_blame(master->inheritance.store, pid, spinning_wish_part(wish));
    if (pool_kill(master->pool, pid))
        diagnostic_error("A worker, pid %d, spun for %u ms with a lock that others may wait for: killed "
                         "(--lock-holder-timeout)%s",
                         (int)pid, master->inheritance.config->lock_holder_timeout_ms,
                         is_counted ? "; it is counted against its part of the store" : "");
}

static bool is_echo(const struct master *master, int signal_number)
{
    return signal_number == master->stop_signal && clock_monotonic_ms() - master->stopped_ms < MASTER_ECHO_MS;
}

static void obey(struct master *master, int signal_number)
{
    if (signal_number == SIGCHLD)
        master->has_dead = true; /* one may stand for several deaths */
    if (signal_number == SIGCHLD || is_echo(master, signal_number))
        return;
    if (master->phase == MASTER_STOPPING) {
        diagnostic_warning("%s, again: ending at once", strsignal(signal_number));
        master_kill(master);
        return;
    }
    diagnostic_info("%s: stopping", strsignal(signal_number));
    master->stop_signal = signal_number;
    master->stopped_ms = clock_monotonic_ms();
    master_stop(master, MASTER_DONE);
}

static void signal_others(const struct master *master, int signal_number)
{
    if (master->housekeeper.pid != 0)
        (void)kill(master->housekeeper.pid, signal_number);
    if (master->loader.pid != 0)
        (void)kill(master->loader.pid, signal_number);
}

/* The workers hear of it first, so that they do not wonder about the sockets. */
void master_stop(struct master *master, int exit_status)
{
    REQUIRE(master->phase != MASTER_STOPPING);
    master->phase = MASTER_STOPPING;
    master->exit_status = exit_status;
    master->stop_by_ms = clock_monotonic_ms() + MASTER_STOP_MS;
    pool_signal(master->pool, SIGTERM);
    signal_others(master, SIGTERM);
    listeners_shut(&master->inheritance.listeners);
    control_shut(&master->inheritance.control);
}

void master_kill(struct master *master)
{
    if (!master_has_children(master))
        return;
    pool_signal(master->pool, SIGKILL);
    signal_others(master, SIGKILL);
    master->has_killed = true;
    master->exit_status = MASTER_FAILED;
    master->stop_by_ms = clock_monotonic_ms() + MASTER_STOP_MS;
}
