/* Deaths at every instruction of every operation (explorer.h), on all processors at once.
 *
 *   HAUSKV_CRASH_LEVEL=2       level two from every state of every operation (make soak); 1: level one only
 *   HAUSKV_CRASH_ONLY=commit   only operations with that in their name
 *
 * And two processes that meet at every point (meeting.h). */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "crash/explorer.h"
#include "crash/meeting.h"
#include "support/process.h"
#include "support/store_random.h"

#define WORKERS_MAX 16
#define JOBS_MAX 128u

/* What the workers share. */
struct board {
    _Atomic size_t next; /* operation or meeting that nobody took yet */
    struct exploration results[JOBS_MAX];
    struct encounter encounters[JOBS_MAX];
    _Atomic int is_done[JOBS_MAX]; /* operations, then meetings */
};

static bool is_wanted(const char *name)
{
    const char *only = getenv("HAUSKV_CRASH_ONLY");

    return only == NULL || strstr(name, only) != NULL;
}

static unsigned level_two_every_for(const struct operation *operation)
{
    switch (store_environment_number("HAUSKV_CRASH_LEVEL", 0)) {
    case 1:
        return 0;
    case 2:
        return EXPLORER_LEVEL_TWO_ALL;
    default:
        return operation->level_two_every;
    }
}

static void result_print(const struct operation *operation, const struct exploration *result, double seconds)
{
    char line[1024];
    int size = snprintf(line, sizeof(line),
                        "%-32s %8ld instructions %6ld states %7ld recoveries %2ld violations  %.1f s\n",
                        operation->name, result->instructions, result->states, result->recoveries, result->violations,
                        seconds);

    if (result->states_gone_on_from > 0)
        size += snprintf(line + size, sizeof(line) - (size_t)size,
                         "    level two from %ld of them: %ld writes of recoverers, %ld states\n",
                         result->states_gone_on_from, result->recoverer_writes, result->recoverer_states);
    if (result->violations > 0)
        size += snprintf(line + size, sizeof(line) - (size_t)size, "    VIOLATION: %s\n", result->first_violation);
    (void)!write(STDOUT_FILENO, line, (size_t)size);
}

static double seconds_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Tracer and child take turns, so one processor is right for both. */
static void stay_on_processor(unsigned index)
{
    cpu_set_t all;
    cpu_set_t one;

    CPU_ZERO(&one);
    if (sched_getaffinity(0, sizeof(all), &all) != 0)
        return;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &all) && index-- == 0)
            CPU_SET(cpu, &one);
    if (CPU_COUNT(&one) == 1)
        (void)sched_setaffinity(0, sizeof(one), &one);
}

static void operation_explore(struct board *board, size_t i)
{
    double begin = seconds_now();

    explore(&operations[i], level_two_every_for(&operations[i]), &board->results[i]);
    result_print(&operations[i], &board->results[i], seconds_now() - begin);
}

static void meeting_hold(struct board *board, size_t i)
{
    struct encounter *encounter = &board->encounters[i];
    double begin = seconds_now();
    char line[1024];
    int size;

    meeting_run(&meetings[i], encounter);
    size = snprintf(line, sizeof(line), "%-32s %8ld meetings %54ld violations  %.1f s\n", meetings[i].name,
                    encounter->points, encounter->violations, seconds_now() - begin);
    if (encounter->violations > 0)
        size += snprintf(line + size, sizeof(line) - (size_t)size, "    VIOLATION: %s\n", encounter->first_violation);
    (void)!write(STDOUT_FILENO, line, (size_t)size);
}

static const char *job_name(size_t job)
{
    return job < operation_count ? operations[job].name : meetings[job - operation_count].name;
}

struct job {
    struct board *board;
    size_t number;
};

static int job_do(void *context)
{
    const struct job *job = context;

    if (job->number < operation_count)
        operation_explore(job->board, job->number);
    else
        meeting_hold(job->board, job->number - operation_count);
    return EXIT_SUCCESS;
}

/* A process for each job: what one leaves behind, locks of its scene too, the next does not meet. */
static int work(void *context)
{
    struct job job = {.board = context};

    for (;;) {
        int end;

        job.number = atomic_fetch_add(&job.board->next, 1);
        if (job.number >= operation_count + meeting_count)
            return EXIT_SUCCESS;
        if (!is_wanted(job_name(job.number)))
            continue;
        end = process_run(job_do, &job);
        if (end == EXIT_SUCCESS)
            atomic_store(&job.board->is_done[job.number], 1);
        else
            printf("%s: its process ended with %#x\n", job_name(job.number), (unsigned)end);
        (void)fflush(stdout);
    }
}

static void exploration_add(struct exploration *total, const struct exploration *result)
{
    total->instructions += result->instructions;
    total->states += result->states;
    total->states_gone_on_from += result->states_gone_on_from;
    total->recoverer_writes += result->recoverer_writes;
    total->recoverer_states += result->recoverer_states;
    total->recoveries += result->recoveries;
    total->violations += result->violations;
}

static int total_print(const struct board *board)
{
    struct exploration total = {0};
    long points = 0;
    unsigned passed = 0;
    unsigned failed = 0;

    for (size_t job = 0; job < operation_count + meeting_count; job++) {
        long violations = job < operation_count ? board->results[job].violations
                                                : board->encounters[job - operation_count].violations;
        bool is_done = atomic_load(&board->is_done[job]) != 0;

        if (!is_wanted(job_name(job)))
            continue;
        passed += is_done && violations == 0;
        failed += !is_done || violations != 0;
        if (job < operation_count)
            exploration_add(&total, &board->results[job]);
        else
            points += board->encounters[job - operation_count].points;
        total.violations += job < operation_count ? 0 : violations;
    }
    printf("figures: level one: %ld instructions stepped, %ld distinct states\n"
           "figures: level two: %ld writes of recoverers, %ld distinct states, from %ld states\n"
           "figures: %ld recoveries checked, %ld meetings, %ld violations\n%u passed, %u failed\n",
           total.instructions, total.states, total.recoverer_writes, total.recoverer_states, total.states_gone_on_from,
           total.recoveries, points, total.violations, passed, failed);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(void)
{
    const struct rlimit no_core = {0, 0};
    struct board *board = process_shared_memory(sizeof(*board));
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    pid_t workers[WORKERS_MAX];
    int count = processors < 1 ? 1 : processors > WORKERS_MAX ? WORKERS_MAX : (int)processors;

    if (*stepper_is_impossible() != '\0') {
        printf("[SKIP] crash stepper: %s\n1 passed, 0 failed\n", stepper_is_impossible());
        return EXIT_SUCCESS;
    }
    REQUIRE(operation_count + meeting_count <= JOBS_MAX);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    for (int i = 0; i < count; i++) {
        workers[i] = fork();
        REQUIRE(workers[i] >= 0);
        if (workers[i] == 0) {
            stay_on_processor((unsigned)i);
            _exit(work(board));
        }
    }
    for (int i = 0; i < count; i++)
        (void)process_wait(workers[i]);
    return total_print(board);
}
