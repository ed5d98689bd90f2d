/* The worker's life. */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "store/shared_store.h"
#include "worker_internal.h"

static bool prepare(struct worker *worker, uint64_t birth);
static void come_up(const struct worker *worker);

void worker_run(const struct inheritance *inheritance, unsigned number, uint64_t birth)
{
    struct worker worker = {
        .inheritance = inheritance,
        .number = number,
        .line = &inheritance->scoreboard.lines[number],
    };
    struct address peer;
    int descriptor;

    worker_signals_init();
    if (!prepare(&worker, birth))
        _exit(WORKER_FAILED);
    come_up(&worker);
    while ((descriptor = worker_wait(&worker, &peer)) >= 0)
        worker_serve(&worker, descriptor, &peer);

    store_session_close(worker.store_session);
    _exit(WORKER_DONE);
}

static bool prepare(struct worker *worker, uint64_t birth)
{
    const struct sched_param no_priority = {0};
    enum status status;

    atomic_store(&worker->line->pid, getpid());
    /* One wakeup per request is the price of a process per connection; as a batch job it comes cheaper, and it is no
     * harm where it is not allowed. */
    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
    shared_store_count_deaths(worker->inheritance->store);
    shared_store_expect_place(worker->inheritance->store, worker->number);
    status = store_session_open(worker->inheritance->store, &worker->store_session);
    if (status != STATUS_OK) {
        diagnostic_error("A worker found no place in the store: %s", status_message(status));
        return false;
    }
    worker->counters = worker_counters_take(worker->store_session, worker->number, birth);
    if (worker_wait_init(worker))
        return true;
    diagnostic_error("A worker cannot wait for connections: %s", strerror(errno));
    store_session_close(worker->store_session);
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
