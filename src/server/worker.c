/* The worker's life. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/progress.h"
#include "store/shared_store.h"
#include "worker_internal.h"

#define NO_PLACE_SILENCE_MS 60000u

static bool prepare(struct worker *worker);
static void leave_place(const struct worker *worker);
static void come_up(const struct worker *worker);

void worker_run(const struct inheritance *inheritance, unsigned number)
{
    struct worker worker = {
        .inheritance = inheritance,
        .number = number,
        .line = &inheritance->scoreboard.lines[number],
    };
    struct address peer;
    int descriptor;

    worker_signals_init();
    if (!prepare(&worker))
        _exit(WORKER_FAILED);
    come_up(&worker);
    while ((descriptor = worker_wait(&worker, &peer)) >= 0)
        worker_serve(&worker, descriptor, &peer);

    leave_place(&worker);
    _exit(WORKER_DONE);
}

static bool prepare(struct worker *worker)
{
    const struct sched_param no_priority = {0};

    atomic_store(&worker->line->pid, getpid());
    /* One wakeup per request is the price of a process per connection; as a batch job it comes cheaper, and it is no
     * harm where it is not allowed. */
    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
    progress_show(&worker->line->progress);
    shared_store_count_deaths(worker->inheritance->store);
    shared_store_expect_place(worker->inheritance->store, worker->number);
    worker->counters = &worker->inheritance->scoreboard.counts[worker->number].session;
    (void)worker_has_place(worker);
    if (worker_wait_init(worker))
        return true;
    diagnostic_error("A worker cannot wait for connections: %s", strerror(errno));
    leave_place(worker);
    return false;
}

static void leave_place(const struct worker *worker)
{
    if (worker->store_session != NULL)
        store_session_close(worker->store_session);
}

bool worker_has_place(struct worker *worker)
{
    struct scoreboard_common *common = worker->inheritance->scoreboard.common;
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t said_ms = atomic_load(&common->no_place_said_ms);
    enum status status;

    if (worker->store_session != NULL)
        return true;
    status = store_session_open(worker->inheritance->store, &worker->store_session);
    if (status == STATUS_OK)
        return true;
    worker->store_session = NULL;
    /* One of those who find none says so for all. */
    if ((said_ms == 0 || now_ms - said_ms >= NO_PLACE_SILENCE_MS) &&
        atomic_compare_exchange_strong(&common->no_place_said_ms, &said_ms, now_ms))
        diagnostic_error("A worker found no place in the store, so it refuses its clients: %s", status_message(status));
    return false;
}

/* The master counted it as spare since it was forked. */
static void come_up(const struct worker *worker)
{
    atomic_store(&worker->line->is_up, 1);
    worker_call_master(worker);
}

void worker_call_master(const struct worker *worker)
{
    const uint64_t one = 1;

    /* It fails only if the master has not looked for 2^64 calls. */
    (void)!write(worker->inheritance->pool_event, &one, sizeof one);
}
