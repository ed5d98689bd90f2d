#include "survival/storm_operator.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/process.h"
#include "survival/storm_client.h"
#include "survival/survival_support.h"

#define STOPPED_WITHIN_US 6000u /* of its start; by then it may have been served */
#define EXIT_WHOLE 0
#define EXIT_FAILED 1

static void begin(struct storm_operator *operator, struct storm_request *request, const char *name, bool is_dump)
{
    request->output = memfd_create("output", MFD_CLOEXEC);
    request->errors = memfd_create("errors", MFD_CLOEXEC);
    if (request->output < 0 || request->errors < 0)
        driver_fail(NULL, "memfd_create");
    request->is_dump = is_dump;
    request->is_stopped = false;
    request->process = server_launch_writing(request->output, request->errors,
                                             (const char *const[]){"--inspect", name, is_dump ? "--dump" : NULL, NULL});
    operator->dumps += is_dump;
    operator->reports += !is_dump;
}

/* A moment of the bank: no coin is missing, none was made. */
static void count_coins(const char *dump)
{
    static const char mark[] = "{\"key\": \"account";
    unsigned accounts = 0;
    int64_t coins = 0;

    for (const char *line = strstr(dump, mark); line != NULL; line = strstr(line + 1, mark)) {
        const char *value = strstr(line, "\"value\": \"");

        accounts++;
        coins += value == NULL ? 0 : strtol(value + strlen("\"value\": \""), NULL, 10);
    }
    if (accounts != STORM_ACCOUNTS || coins != (int64_t)STORM_ACCOUNTS * STORM_COINS_AT_FIRST)
        driver_fail(NULL, "a whole dump has %u accounts with %" PRId64 " coins", accounts, coins);
}

static void ended(struct storm_operator *operator, struct storm_request *request, int status)
{
    struct text output = descriptor_read_all(request->output);
    struct text errors = descriptor_read_all(request->errors);

    request->process = 0;
    if (status == EXIT_WHOLE) {
        operator->whole += request->is_dump;
        if (request->is_dump)
            count_coins(output.data);
    } else if (status == EXIT_FAILED) {
        operator->ended_early++;
    } else if (status != PROCESS_SIGNAL(SIGKILL)) {
        driver_fail(NULL, "a %s ended with status %#x: %s", request->is_dump ? "dump" : "report", (unsigned)status,
                    errors.data);
    }
    text_deinit(&output);
    text_deinit(&errors);
}

/* False: it goes on. */
static bool collect(struct storm_operator *operator, struct storm_request *request)
{
    int status;

    if (waitpid(request->process, &status, WNOHANG) != request->process)
        return false;
    ended(operator, request, WIFSIGNALED(status) ? PROCESS_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status));
    return true;
}

/* It may have ended before the signal came. */
static void stop(struct storm_operator *operator, struct storm_request *request)
{
    int status;

    (void)kill(request->process, SIGSTOP);
    if (waitpid(request->process, &status, WUNTRACED) != request->process)
        driver_fail(NULL, "waitpid");
    request->is_stopped = WIFSTOPPED(status);
    operator->stopped += request->is_stopped;
    if (!request->is_stopped)
        ended(operator, request, WIFSIGNALED(status) ? PROCESS_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status));
}

static void let_go(struct storm_operator *operator, struct storm_request *request, bool lives)
{
    operator->killed += !lives;
    (void)kill(request->process, lives ? SIGCONT : SIGKILL);
    request->is_stopped = false;
}

void storm_operator_act(struct storm_operator *operator, struct store_random *random, const struct server *server)
{
    struct storm_request *request = &operator->requests[store_random_below(random, STORM_REQUESTS)];

    if (request->process == 0) {
        begin(operator, request, server->name, store_random_one_in(random, 2));
        if (store_random_one_in(random, 2)) {
            long pause_us = (long)store_random_below(random, STOPPED_WITHIN_US);

            (void)nanosleep(&(struct timespec){.tv_nsec = pause_us * 1000}, NULL);
            stop(operator, request);
        }
    } else if (request->is_stopped) {
        let_go(operator, request, !store_random_one_in(random, 3));
    } else if (!collect(operator, request)) {
        if (store_random_one_in(random, 4))
            let_go(operator, request, false);
        else
            stop(operator, request);
    }
}

void storm_operator_finish(struct storm_operator *operator, const struct server *server)
{
    unsigned whole;

    for (unsigned i = 0; i < STORM_REQUESTS; i++) {
        if (operator->requests[i].process == 0)
            continue;
        let_go(operator, &operator->requests[i], true);
        ended(operator, &operator->requests[i], process_wait(operator->requests[i].process));
    }
    whole = operator->whole;
    begin(operator, &operator->requests[0], server->name, true);
    ended(operator, &operator->requests[0], process_wait(operator->requests[0].process));
    if (operator->whole != whole + 1)
        driver_fail(server, "the dump after the storm is not whole");
}
