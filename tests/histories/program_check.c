/* Judges histories, of files or of a live server, by hand.
 *
 *   histories-check                       the examples of tests/histories/examples, as `make test` does
 *   histories-check --check FILE [NAME]   a file, by the checker of that name or by all
 *   histories-check --live PLAN [SEED]    a plan of live_plan.c; HAUSKV_SERVER=FILE is the server
 *   histories-check --refused PLAN [SEED] the same, and every judge must refuse
 *
 * The last line is a total; the exit status is 0 if nothing failed. */
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "histories/brute_force.h"
#include "histories/history_file.h"
#include "histories/live_run.h"

#define EXAMPLES "tests/histories/examples/*.history"

struct total {
    unsigned passed;
    unsigned failed;
};

static void count(struct total *total, bool has_passed)
{
    total->passed += has_passed;
    total->failed += !has_passed;
}

static bool open_history(const char *path, struct history *history)
{
    FILE *file = fopen(path, "re");
    const char *what = "";
    unsigned line = 0;
    bool is_read;

    if (file == NULL) {
        (void)printf("%s: %s\n", path, strerror(errno));
        return false;
    }
    is_read = history_read(history, file, &line, &what);
    (void)fclose(file);
    if (!is_read)
        (void)printf("%s:%u: %s\n", path, line, what);
    return is_read;
}

/* --- examples: a line `# expect CHECKER VERDICT [words of the reason]` for each checker that is asked; `definition` is
 * the brute force --- */

static bool is_as_expected(const char *path, const struct history *history, const char *expectation)
{
    char name[32];
    char verdict[32];
    int reason_at = 0;
    struct history_opinion opinion = {.effort = 0};
    history_checker check;
    const char *said;

    if (sscanf(expectation, "%31s %31s %n", name, verdict, &reason_at) < 2) {
        (void)printf("%s: not understood: %s\n", path, expectation);
        return false;
    }
    if (strcmp(name, "definition") != 0 && checker_find(name) == NULL) {
        (void)printf("%s: there is no checker called %s\n", path, name);
        return false;
    }
    check = checker_find(name) != NULL ? checker_find(name)->check : history_brute_force;
    said = history_verdict_name(check(history, &opinion));
    if (strcmp(said, verdict) == 0 && strstr(opinion.reason, expectation + reason_at) != NULL)
        return true;
    (void)printf("%s: %s: %s, %s; expected: %s\n", path, name, said, opinion.reason, expectation);
    return false;
}

static void check_example(const char *path, struct total *total)
{
    struct history history;
    unsigned expectations = 0;
    char line[512];
    FILE *file;

    if (!open_history(path, &history)) {
        count(total, false);
        return;
    }
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "# expect ", 9) != 0)
            continue;
        expectations++;
        count(total, is_as_expected(path, &history, line + 9));
    }
    if (file != NULL)
        (void)fclose(file);
    if (expectations == 0) {
        (void)printf("%s: expects nothing\n", path);
        count(total, false);
    }
    free(history.transactions);
}

static void check_examples(struct total *total)
{
    glob_t files;

    if (glob(EXAMPLES, 0, NULL, &files) != 0) {
        (void)printf("there is no " EXAMPLES "\n");
        count(total, false);
        return;
    }
    for (size_t i = 0; i < files.gl_pathc; i++)
        check_example(files.gl_pathv[i], total);
    (void)printf("figures: %u verdicts on %zu histories written by hand\n", total->passed + total->failed,
                 files.gl_pathc);
    globfree(&files);
}

/* --- one file --- */

static void check_file(const char *path, const char *name, struct total *total)
{
    struct history history;

    if (!open_history(path, &history)) {
        count(total, false);
        return;
    }
    for (unsigned i = 0; i < CHECKER_COUNT; i++) {
        struct history_opinion opinion = {.effort = 0};
        enum history_verdict verdict;

        if (name != NULL && strcmp(name, checkers[i].name) != 0)
            continue;
        verdict = checkers[i].check(&history, &opinion);
        (void)printf("%s: %s, %" PRIu64 " %s. %s\n", checkers[i].name, history_verdict_name(verdict), opinion.effort,
                     checkers[i].effort, opinion.reason);
        count(total, verdict == HISTORY_ACCEPTED);
    }
    if (total->passed + total->failed == 0) {
        (void)printf("there is no checker called %s\n", name);
        count(total, false);
    }
    free(history.transactions);
}

/* --- a live server --- */

static void run_plan(const char *name, const char *seed, bool wants_refusal, struct total *total)
{
    const struct live_plan *plan = live_plan_find(name);
    struct live_report report;
    const char *complaint;

    if (plan == NULL) {
        (void)printf("there is no plan called %s; there are:\n", name);
        for (plan = live_plans; plan->name != NULL; plan++)
            (void)printf("  %s\n", plan->name);
        count(total, false);
        return;
    }
    report = live_run(plan, seed == NULL ? 1 : strtoull(seed, NULL, 0), wants_refusal);
    complaint = live_report_complaint(&report, plan, wants_refusal);
    (void)printf("%s: %s\n", name, !report.was_run ? "not offered by this server" : complaint);
    for (unsigned i = 0; i < CHECKER_COUNT && wants_refusal; i++) {
        if (plan->judges[i])
            (void)printf("%s: %s\n", checkers[i].name, report.judgements[i].opinion.reason);
    }
    count(total, report.was_run && *complaint == '\0');
}

int main(int argument_count, char **arguments)
{
    const char *what = argument_count > 1 ? arguments[1] : "";
    const char *object = argument_count > 2 ? arguments[2] : "";
    const char *detail = argument_count > 3 ? arguments[3] : NULL;
    struct total total = {0};

    if (strcmp(what, "--check") == 0)
        check_file(object, detail, &total);
    else if (strcmp(what, "--live") == 0 || strcmp(what, "--refused") == 0)
        run_plan(object, detail, strcmp(what, "--refused") == 0, &total);
    else
        check_examples(&total);
    (void)printf("%u passed, %u failed\n", total.passed, total.failed);
    return total.failed == 0 ? 0 : 1;
}
