#include "histories/checkers.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "histories/cycles.h"
#include "histories/history_file.h"
#include "histories/minimise.h"
#include "histories/search.h"
#include "support/history_order.h"

const struct checker checkers[CHECKER_COUNT] = {
    [CHECKER_ORDER] = {"order", history_order, "reads"},
    [CHECKER_SEARCH] = {"search", history_search, "configurations"},
    [CHECKER_CYCLES] = {"cycles", history_cycles, "edges"},
};

const struct checker *checker_find(const char *name)
{
    for (unsigned i = 0; i < CHECKER_COUNT; i++) {
        if (strcmp(checkers[i].name, name) == 0)
            return &checkers[i];
    }
    return NULL;
}

/* build/histories, as seen from build/tests/<program>. */
static void find_folder(char folder[FAILURE_PATH_BYTES / 2])
{
    char program[FAILURE_PATH_BYTES / 2];
    ssize_t size = readlink("/proc/self/exe", program, sizeof(program) - sizeof("/histories"));

    program[size < 0 ? 0 : size] = '\0';
    for (int up = 0; up < 2; up++) {
        char *end = strrchr(program, '/');

        if (end != NULL)
            *end = '\0';
    }
    (void)strcat(program, "/histories");
    memcpy(folder, program, sizeof(program));
    (void)mkdir(folder, 0777);
}

static void make_path(const struct checker *checker, const struct history *history, const char *name,
                      char path[FAILURE_PATH_BYTES])
{
    char folder[FAILURE_PATH_BYTES / 2];

    find_folder(folder);
    (void)snprintf(path, FAILURE_PATH_BYTES, "%s/%s-%s-%" PRIu64 ".history", folder, name, checker->name,
                   history->seed);
}

void checker_keep_failure(const struct checker *checker, const struct history *history, const char *name,
                          const struct history_opinion *opinion, char path[FAILURE_PATH_BYTES])
{
    bool is_refused = checker->check(history, &(struct history_opinion){.effort = 0}) == HISTORY_REFUSED;
    unsigned checks = 0;
    struct history smaller = is_refused ? history_minimise(history, checker->check, &checks) : history_copy(history);
    struct history_opinion smaller_opinion = *opinion;
    char comment[2 * HISTORY_REASON_BYTES + FAILURE_PATH_BYTES];

    if (is_refused)
        (void)checker->check(&smaller, &smaller_opinion);
    make_path(checker, history, name, path);
    (void)snprintf(comment, sizeof(comment), "%s; seed %" PRIu64 "\n%s\nof %zu transactions, minimised: %s\nagain: "
                   "build/tests/histories-check --check %s %s\n", name, history->seed, opinion->reason, history->count,
                   smaller_opinion.reason, path, checker->name);
    if (!history_write_file(&smaller, path, comment))
        (void)fprintf(stderr, "cannot write %s: %s\n", path, strerror(errno));
    (void)fprintf(stderr, "%s: %s\n%zu of its %zu transactions are in %s (%u checks): %s\n", name, opinion->reason,
                  smaller.count, history->count, path, checks, smaller_opinion.reason);
    free(smaller.transactions);
}
