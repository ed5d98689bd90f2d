#include "histories/live_run.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "histories/live_client.h"
#include "support/process.h"

/* One client's errand; in shared memory. */
struct errand {
    struct live_round *round;
    unsigned number;
    unsigned wanted;
    struct history_transaction *transactions;
    size_t count;
};

static double seconds_since(uint64_t begin_ns)
{
    return (double)(clock_monotonic_ns() - begin_ns) / 1e9;
}

/* --- the server --- */

/* The server that answers times stands in the folder times/ beside the other. */
static void choose_server(const struct live_plan *plan, char path[PATH_MAX])
{
    const char *told = getenv("HAUSKV_SERVER");
    char folder[PATH_MAX / 2] = "build";
    char *end;
    int ups = told == NULL ? 2 : 1;

    if (told != NULL)
        (void)snprintf(folder, sizeof(folder), "%s", told);
    else if (readlink("/proc/self/exe", folder, sizeof(folder) - 1) < 0)
        driver_fail(NULL, "there is no /proc");
    for (; ups > 0; ups--) {
        end = strrchr(folder, '/');
        if (end != NULL)
            *end = '\0';
    }
    (void)snprintf(path, PATH_MAX, "%s/%shauskv-server", folder, plan->has_times ? "times/" : "");
}

static void start_server(struct server *server, const struct live_plan *plan)
{
    char path[PATH_MAX];
    char *former = getenv("HAUSKV_SERVER");

    choose_server(plan, path);
    former = former == NULL ? NULL : strdup(former);
    (void)setenv("HAUSKV_SERVER", path, 1);
    server_start(server, "--min-spare", "24", "--memory", "32m");
    if (former == NULL)
        (void)unsetenv("HAUSKV_SERVER");
    else
        (void)setenv("HAUSKV_SERVER", former, 1);
    free(former);
}

static bool is_offered(const struct server *server, const struct live_plan *plan)
{
    for (unsigned i = 0; i < LIVE_LEVELS_MAX && plan->levels[i].option != NULL; i++) {
        if (!live_server_offers(server, plan->levels[i].option))
            return false;
    }
    return true;
}

/* --- a round --- */

static int client_process(void *context)
{
    struct errand *errand = context;
    struct live_client client;

    live_client_init(&client, errand->round, errand->number, errand->transactions);
    process_gate_wait(&errand->round->gate);
    while (client.count < errand->wanted)
        live_client_step(&client);
    errand->count = client.count;
    live_client_deinit(&client);
    return 0;
}

static void run_clients(struct live_round *round, struct errand *errands)
{
    unsigned count = round->plan->client_count;
    pid_t *children = calloc(count, sizeof(*children));

    REQUIRE(children != NULL);
    for (unsigned i = 0; i < count; i++)
        children[i] = process_start(client_process, &errands[i]);
    process_gate_open(&round->gate);
    for (unsigned i = 0; i < count; i++) {
        int end = process_wait(children[i]);

        if (end != 0)
            driver_fail(round->server, "%s: client %u ended with %#x", round->plan->name, i, (unsigned)end);
    }
    free(children);
}

/* Moves what the clients wrote together, and reads what is left. */
static void gather(struct live_round *round, const struct errand *errands, struct history *history)
{
    struct live_client client;

    history->count = 0;
    for (unsigned i = 0; i < round->plan->client_count; i++) {
        memmove(history->transactions + history->count, errands[i].transactions,
                errands[i].count * sizeof(struct history_transaction));
        history->count += errands[i].count;
    }
    live_client_init(&client, round, round->plan->client_count, history->transactions + history->count);
    history->count += live_client_read_all(&client);
    live_client_deinit(&client);
}

/* A client's last step may be two transactions. */
static size_t room_of_client(unsigned wanted)
{
    return wanted + (size_t)2;
}

static void run_round(struct live_round *round, struct history *history, unsigned wanted)
{
    unsigned count = round->plan->client_count;
    struct errand *errands = process_shared_memory(count * sizeof(*errands));

    for (unsigned i = 0; i < count; i++) {
        errands[i] = (struct errand){
            .round = round,
            .number = i,
            .wanted = wanted,
            .transactions = history->transactions + i * room_of_client(wanted),
        };
    }
    run_clients(round, errands);
    gather(round, errands, history);
    (void)munmap(errands, count * sizeof(*errands));
}

/* --- the judgement --- */

static void count_outcomes(const struct history *history, struct live_report *report)
{
    report->transactions += history->count;
    for (size_t i = 0; i < history->count; i++) {
        enum status outcome = history->transactions[i].outcome;

        report->committed += outcome == STATUS_OK;
        report->rolled_back += outcome == STATUS_ABORTED;
        report->unknown += outcome == STATUS_OUTCOME_UNKNOWN;
        report->conflicts += outcome != STATUS_OK && outcome != STATUS_ABORTED && outcome != STATUS_OUTCOME_UNKNOWN;
    }
}

static void judge(const struct live_plan *plan, const struct history *history, unsigned number,
                  struct live_judgement *judgement, bool wants_refusal)
{
    const struct checker *checker = &checkers[number];
    uint64_t begin_ns = clock_monotonic_ns();
    struct history_opinion opinion;
    enum history_verdict verdict = checker->check(history, &opinion);
    char path[FAILURE_PATH_BYTES];

    judgement->seconds += seconds_since(begin_ns);
    judgement->effort += opinion.effort;
    if (verdict == HISTORY_ACCEPTED || judgement->verdict == HISTORY_REFUSED)
        return;
    judgement->verdict = verdict;
    judgement->opinion = opinion;
    if (!wants_refusal)
        checker_keep_failure(checker, history, plan->name, &opinion, path);
}

static bool is_judged(const struct live_plan *plan, const struct live_report *report)
{
    for (unsigned i = 0; i < CHECKER_COUNT; i++) {
        if (plan->judges[i] && report->judgements[i].verdict != HISTORY_REFUSED)
            return false;
    }
    return true;
}

static void print_figures(const struct live_plan *plan, uint64_t seed, const struct live_report *report)
{
    (void)fprintf(stderr,
                  "figures: %s, seed %" PRIu64 ": %zu transactions of %u clients in %.1f s: %zu committed, "
                  "%zu conflicts, %zu rolled back, %zu unknown (%u workers killed, %u hung up)",
                  plan->name, seed, report->transactions, plan->client_count, report->seconds, report->committed,
                  report->conflicts, report->rolled_back, report->unknown, report->kills, report->hang_ups);
    for (unsigned i = 0; i < CHECKER_COUNT; i++) {
        const struct live_judgement *judgement = &report->judgements[i];

        if (plan->judges[i])
            (void)fprintf(stderr, "; %s: %s, %" PRIu64 " %s in %.1f s", checkers[i].name,
                          history_verdict_name(judgement->verdict), judgement->effort, checkers[i].effort,
                          judgement->seconds);
    }
    (void)fputc('\n', stderr);
}

/* --- all of it --- */

static void run_rounds(const struct live_plan *plan, const struct server *server, uint64_t seed, bool wants_refusal,
                       struct live_report *report)
{
    unsigned wanted =
        (unsigned)store_environment_number("HAUSKV_TEST_STEPS", (uint64_t)plan->client_count * plan->transactions) /
        plan->client_count;
    struct live_round *round = process_shared_memory(sizeof(*round));
    struct history history = {
        .capacity = plan->client_count * room_of_client(wanted) + HISTORY_KEYS_MAX,
        .key_count = plan->key_count,
        .has_stamps = plan->habit == LIVE_STAMPS,
        .seed = seed,
    };

    history.transactions = process_shared_memory(history.capacity * sizeof(struct history_transaction));
    for (unsigned number = 0; number < plan->rounds && !(wants_refusal && is_judged(plan, report)); number++) {
        uint64_t begin_ns = clock_monotonic_ns();

        *round = (struct live_round){.plan = plan, .server = server, .seed = seed, .number = number};
        run_round(round, &history, wanted);
        report->seconds += seconds_since(begin_ns);
        report->kills += atomic_load(&round->kills);
        report->hang_ups += atomic_load(&round->hang_ups);
        count_outcomes(&history, report);
        for (unsigned i = 0; i < CHECKER_COUNT; i++) {
            if (plan->judges[i])
                judge(plan, &history, i, &report->judgements[i], wants_refusal);
        }
    }
    (void)munmap(history.transactions, history.capacity * sizeof(struct history_transaction));
    (void)munmap(round, sizeof(*round));
}

struct live_report live_run(const struct live_plan *plan, uint64_t seed, bool wants_refusal)
{
    struct live_report report = {.was_run = false};
    struct server server;

    start_server(&server, plan);
    if (is_offered(&server, plan)) {
        report.was_run = true;
        run_rounds(plan, &server, seed, wants_refusal, &report);
        print_figures(plan, seed, &report);
    }
    server_stop(&server);
    return report;
}

const char *live_report_complaint(const struct live_report *report, const struct live_plan *plan, bool wants_refusal)
{
    for (unsigned i = 0; i < CHECKER_COUNT; i++) {
        const struct live_judgement *judgement = &report->judgements[i];

        if (!plan->judges[i])
            continue;
        if (wants_refusal && judgement->verdict != HISTORY_REFUSED)
            return "believed what is wrong";
        if (!wants_refusal && judgement->verdict != HISTORY_ACCEPTED)
            return judgement->opinion.reason;
    }
    return "";
}
