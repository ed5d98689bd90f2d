/* Growing and shrinking. */
#include "server/pool.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "server/worker.h"

#define FREE_DEATHS 4u

static unsigned count_spare(const struct pool *pool);
static unsigned count_missing(const struct pool *pool, unsigned spare);
static void grow(struct pool *pool, unsigned wanted);
static bool fork_worker(struct pool *pool);
static void shrink(struct pool *pool, unsigned excess);
static unsigned throttled_ms(const struct pool *pool, uint64_t now_ms);
static bool is_doubtful(const struct pool *pool);
static bool find_worker(const struct pool *pool, pid_t pid, unsigned *number);
static void note_early_death(struct pool *pool);

bool pool_is_valid(const struct pool *pool)
{
    unsigned first_free = pool->worker_max;
    unsigned count = 0;

    for (unsigned number = pool->worker_max; number > 0; number--) {
        if (pool->workers[number - 1].pid == 0)
            first_free = number - 1;
        else
            count++;
    }
    return count == pool->count && pool->first_free <= first_free &&
           pool->worker_max == pool->inheritance->scoreboard.worker_max;
}

unsigned pool_worker_max(const struct server_config *config)
{
    return config->clients_max + SCOREBOARD_CONTROLS_MAX + config->spare_workers_min;
}

static size_t bytes_of(unsigned worker_max)
{
    return sizeof(struct pool) + worker_max * sizeof(struct pool_worker);
}

struct pool *pool_create(const struct inheritance *inheritance)
{
    unsigned worker_max = inheritance->scoreboard.worker_max;
    size_t bytes = bytes_of(worker_max);
    struct pool *pool = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pool == MAP_FAILED)
        return NULL;
    /* Every fork changes it: each worker would be left with copies of its own of what it never looks at. */
    (void)madvise(pool, bytes, MADV_DONTFORK);
    pool->inheritance = inheritance;
    pool->worker_max = worker_max;
    pool->last_birth = clock_monotonic_ns();
    pool->deaths.free_failures = FREE_DEATHS;
    ENSURE(pool_is_valid(pool));
    return pool;
}

void pool_destroy(struct pool *pool)
{
    (void)munmap(pool, bytes_of(pool->worker_max));
}

void pool_balance(struct pool *pool)
{
    unsigned spare = count_spare(pool);
    unsigned missing = count_missing(pool, spare);

    if (missing > 0 && throttled_ms(pool, clock_monotonic_ms()) == 0)
        grow(pool, is_doubtful(pool) ? 1 : missing);
    else if (spare > pool->inheritance->config->spare_workers_max)
        shrink(pool, spare - pool->inheritance->config->spare_workers_max);
    ENSURE(pool_is_valid(pool));
}

int pool_wait_ms(const struct pool *pool)
{
    unsigned left_ms = throttled_ms(pool, clock_monotonic_ms());

    return left_ms == 0 || count_missing(pool, count_spare(pool)) == 0 ? -1 : (int)left_ms;
}

/* Those that retire are as good as gone. */
static unsigned count_spare(const struct pool *pool)
{
    const struct scoreboard *scoreboard = &pool->inheritance->scoreboard;
    unsigned number = scoreboard_spare_next(scoreboard, 0);
    unsigned count = 0;

    for (; number < pool->worker_max; number = scoreboard_spare_next(scoreboard, number + 1))
        count += pool->workers[number].pid != 0 && !pool->workers[number].is_retiring;
    return count;
}

static unsigned count_missing(const struct pool *pool, unsigned spare)
{
    unsigned min = pool->inheritance->config->spare_workers_min;
    unsigned missing = spare < min ? min - spare : 0;
    unsigned places = pool->worker_max - pool->count;

    if (missing < pool->owed)
        missing = pool->owed;
    return missing < places ? missing : places;
}

static unsigned throttled_ms(const struct pool *pool, uint64_t now_ms)
{
    unsigned forks_ms = throttle_left_ms(&pool->forks, now_ms);
    unsigned deaths_ms = throttle_left_ms(&pool->deaths, now_ms);

    return forks_ms > deaths_ms ? forks_ms : deaths_ms;
}

/* After a delay one is tried; if it comes up, it calls for the next. */
static bool is_doubtful(const struct pool *pool)
{
    return pool->deaths.failures > pool->deaths.free_failures;
}

static void grow(struct pool *pool, unsigned wanted)
{
    for (; wanted > 0; wanted--) {
        if (!fork_worker(pool))
            return;
        pool->owed -= pool->owed > 0;
    }
    if (pool->forks.failures > 0)
        diagnostic_info("Processes can be forked again");
    throttle_succeeded(&pool->forks);
}

static bool fork_worker(struct pool *pool)
{
    const struct inheritance *inheritance = pool->inheritance; /* the child has no pool */
    const struct scoreboard *scoreboard = &inheritance->scoreboard;
    unsigned number = pool->first_free;
    uint64_t birth = ++pool->last_birth;
    pid_t pid;

    while (number < pool->worker_max && pool->workers[number].pid != 0)
        number++;
    INVARIANT(number < pool->worker_max);
    pool->first_free = number;
    pool->workers[number].finished_before = atomic_load(&scoreboard->lines[number].finished);
    scoreboard_enroll(scoreboard, number, birth);
    pid = inheritance_fork(inheritance, "hauskv-worker");
    if (pid == 0)
        worker_run(inheritance, number);
    if (pid < 0) {
        if (pool->forks.failures == 0)
            diagnostic_warning("Cannot fork a worker, going on with %u of them: %s", pool->count, strerror(errno));
        (void)throttle_failed(&pool->forks, clock_monotonic_ms());
        scoreboard_discharge(scoreboard, number);
        return false;
    }
    pool->workers[number].pid = pid;
    pool->count++;
    return true;
}

/* The last ones go, so that the low numbers, whose lines and seats are warm, stay. */
static void shrink(struct pool *pool, unsigned excess)
{
    for (unsigned number = pool->worker_max; number > 0 && excess > 0; number--) {
        struct pool_worker *worker = &pool->workers[number - 1];

        if (worker->pid == 0 || worker->is_retiring ||
            !scoreboard_is_spare(&pool->inheritance->scoreboard, number - 1))
            continue;
        (void)kill(worker->pid, WORKER_RETIRE);
        worker->is_retiring = true;
        excess--;
    }
}

/* Whether it is the worker that failed, and not somebody who killed it. */
static bool is_its_own_fault(int status)
{
    int signal_number = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    return signal_number == 0 || signal_number == SIGSEGV || signal_number == SIGBUS || signal_number == SIGILL ||
           signal_number == SIGFPE || signal_number == SIGABRT || signal_number == SIGSYS || signal_number == SIGTRAP;
}

enum pool_end pool_reaped(struct pool *pool, pid_t pid, int status)
{
    const struct scoreboard *scoreboard = &pool->inheritance->scoreboard;
    unsigned number;
    bool served_nobody;

    if (!find_worker(pool, pid, &number))
        return POOL_NOT_MINE;
    served_nobody = atomic_load(&scoreboard->lines[number].finished) == pool->workers[number].finished_before;
    scoreboard_discharge(scoreboard, number);
    pool->workers[number] = (struct pool_worker){.pid = 0};
    pool->count--;
    if (number < pool->first_free)
        pool->first_free = number;
    ENSURE(pool_is_valid(pool));
    if (WIFEXITED(status) && WEXITSTATUS(status) == WORKER_DONE)
        return POOL_RETIRED;
    pool->owed++;
    if (served_nobody && is_its_own_fault(status))
        note_early_death(pool);
    return POOL_DIED;
}

static bool find_worker(const struct pool *pool, pid_t pid, unsigned *number)
{
    for (unsigned i = 0; i < pool->worker_max; i++) {
        if (pool->workers[i].pid == pid) {
            *number = i;
            return true;
        }
    }
    return false;
}

/* In a row: no worker has served a client to its end since the last one. */
static void note_early_death(struct pool *pool)
{
    struct scoreboard_sums sums;
    unsigned delay_ms;

    scoreboard_sum(&pool->inheritance->scoreboard, &sums);
    if (sums.finished != pool->finished_at_last_death)
        throttle_succeeded(&pool->deaths);
    pool->finished_at_last_death = sums.finished;
    delay_ms = throttle_failed(&pool->deaths, clock_monotonic_ms());
    if (delay_ms > 0)
        diagnostic_error("%u workers in a row died on their first connection: forking none for %u ms",
                         pool->deaths.failures, delay_ms);
}

bool pool_is_up(const struct pool *pool)
{
    for (unsigned number = 0; number < pool->worker_max; number++) {
        if (atomic_load(&pool->inheritance->scoreboard.lines[number].is_up) != 0)
            return true;
    }
    return false;
}

void pool_signal(const struct pool *pool, int signal_number)
{
    for (unsigned number = 0; number < pool->worker_max; number++) {
        if (pool->workers[number].pid != 0)
            (void)kill(pool->workers[number].pid, signal_number);
    }
}

bool pool_has(const struct pool *pool, pid_t pid)
{
    unsigned number;

    return pid > 0 && find_worker(pool, pid, &number);
}

bool pool_kill(const struct pool *pool, pid_t pid)
{
    unsigned number;

    return pid > 0 && find_worker(pool, pid, &number) && kill(pid, SIGKILL) == 0;
}
