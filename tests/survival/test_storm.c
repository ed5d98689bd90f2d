/* A live server under load while its processes are killed and stopped at random:
 * workers, the housekeeper, now and then the master; and so are the programs of
 * an operator who dumps and inspects. Whoever asks for all money sees all of it,
 * at any time; what was acknowledged is there at the end, what a
 * conflict refused is not, and what nobody knows is there whole or not at all.
 * Then everything is killed, restarted and looked at once more.
 *
 *   HAUSKV_TEST_SEED    another seed
 *   SOAK_STORM_STRIKES  how often somebody is killed or stopped, such as 10000
 *   SOAK_STORM_MEMORY   for many strikes; the records of all clients must fit, such as 1g
 *   SOAK_STORM_STRIKES=10000 SOAK_STORM_MEMORY=1g build/tests/survival -j1 --filter storm/'*' */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "support/store_random.h"
#include "survival/storm_client.h"
#include "survival/storm_operator.h"
#include "survival/survival_support.h"

#define STRIKES_USUAL 150u
#define STRIKE_PAUSE_MS_MAX 20u
#define MASTER_ONE_IN 60u
#define HOUSEKEEPER_ONE_IN 16u
#define CHILDREN_MAX 1024u
#define OPERATOR_ONE_IN 2u
#define STOPPED_MAX 24u /* at a time; who is stopped for longest is then killed or goes on */
#define BATCH 500u

struct strikes {
    unsigned total;
    unsigned killed;  /* SIGKILL */
    unsigned crashed; /* SIGSEGV */
    unsigned stopped; /* SIGSTOP */
    unsigned housekeepers; /* of the killed, crashed and stopped */
    unsigned masters;
};

struct striker {
    struct storm *storm;
    bool stops; /* some are stopped, not only killed */
    struct server server;
    const char *memory;
    struct store_random random;
    struct strikes strikes;
    pid_t stopped[STOPPED_MAX];
    struct storm_operator operator;
    uint64_t late_us; /* the longest that this process itself was late after a sleep: what the machine alone costs */
    unsigned delays;  /* how often a server said that it forks no worker for a while */
    uint64_t restart_ms; /* the longest, from the kill of a master until its heir served */
};

TestSuite(storm, .timeout = 7200);

/* --- strikes --- */

static void start_server(struct striker *striker)
{
    char name[SERVER_NAME_BYTES];

    memcpy(name, striker->server.name, sizeof name);
    if (name[0] == '\0') {
        (void)snprintf(name, sizeof name, "test-storm-%d", (int)getpid());
        memcpy(striker->server.name, name, sizeof name);
        server_unlink_segment(&striker->server); /* of one that had this number before, and crashed */
    }
    server_start(&striker->server, "--name", name, "--discard=no", "--memory", striker->memory, "--lock-holder-timeout",
                 "500ms", "--bind", "127.0.0.1");
    atomic_store(&striker->storm->port, server_port(&striker->server, 0));
}

static void note_victim(struct storm *storm, pid_t pid)
{
    unsigned count = atomic_load(&storm->victim_count);

    atomic_store(&storm->victims[count % STORM_VICTIMS], pid);
    atomic_store(&storm->victim_count, count + 1);
}

/* Some go on, some are killed: who is stopped and holds nothing is left alone by the server. */
static void let_go(struct striker *striker, unsigned place)
{
    pid_t pid = striker->stopped[place];

    striker->stopped[place] = 0;
    if (pid != 0 && server_has_child(&striker->server, pid))
        (void)kill(pid, store_random_one_in(&striker->random, 2) ? SIGCONT : SIGKILL);
}

static void stop(struct striker *striker, pid_t pid)
{
    unsigned place = (unsigned)store_random_below(&striker->random, STOPPED_MAX);

    let_go(striker, place);
    if (kill(pid, SIGSTOP) == 0)
        striker->stopped[place] = pid;
    striker->strikes.stopped++;
}

static void strike_child(struct striker *striker, pid_t pid)
{
    uint64_t choice = store_random_below(&striker->random, 10);

    note_victim(striker->storm, pid);
    striker->strikes.total++;
    if (choice < 3 && striker->stops) {
        stop(striker, pid);
    } else if (choice < 5) {
        (void)kill(pid, SIGSEGV);
        striker->strikes.crashed++;
    } else {
        (void)kill(pid, SIGKILL);
        striker->strikes.killed++;
    }
}

static void end_log(struct striker *striker)
{
    striker->delays += server_count_said(&striker->server, ": forking none for ");
    server_forget(&striker->server);
}

/* The children end by themselves, but for the stopped. */
static void strike_master(struct striker *striker)
{
    uint64_t begin_ms = clock_monotonic_ms();

    for (unsigned place = 0; place < STOPPED_MAX; place++)
        let_go(striker, place);
    atomic_fetch_add(&striker->storm->birth, 1);
    server_signal(&striker->server, SIGKILL);
    (void)server_wait(&striker->server);
    end_log(striker);
    start_server(striker);
    atomic_fetch_add(&striker->storm->birth, 1);
    striker->strikes.masters++;
    if (clock_monotonic_ms() - begin_ms > striker->restart_ms)
        striker->restart_ms = clock_monotonic_ms() - begin_ms;
}

static void strike(struct striker *striker)
{
    static pid_t children[CHILDREN_MAX];
    unsigned count;
    pid_t housekeeper;

    if (store_random_one_in(&striker->random, MASTER_ONE_IN)) {
        striker->strikes.total++;
        strike_master(striker);
        return;
    }
    if (store_random_one_in(&striker->random, HOUSEKEEPER_ONE_IN) &&
        (housekeeper = server_housekeeper(&striker->server)) != 0) {
        striker->strikes.housekeepers++;
        strike_child(striker, housekeeper);
        return;
    }
    count = server_children(&striker->server, children, CHILDREN_MAX);
    count = count < CHILDREN_MAX ? count : CHILDREN_MAX;
    if (count > 0)
        strike_child(striker, children[store_random_below(&striker->random, count)]);
}

static void fail_if_one_ended(const pid_t clients[STORM_CLIENTS], const struct striker *striker)
{
    for (unsigned i = 0; i < STORM_CLIENTS; i++) {
        if (waitpid(clients[i], NULL, WNOHANG) == 0)
            continue;
        driver_fail(&striker->server, "client %u of the storm has failed, HAUSKV_TEST_SEED=%" PRIu64, i,
                    striker->storm->seed);
    }
}

static void rest(struct striker *striker)
{
    uint64_t pause_us = 1000 * (1 + store_random_below(&striker->random, STRIKE_PAUSE_MS_MAX));
    uint64_t begin_ns = clock_monotonic_ns();
    uint64_t late_us;

    (void)nanosleep(&(struct timespec){.tv_nsec = (long)pause_us * 1000}, NULL);
    late_us = (clock_monotonic_ns() - begin_ns) / 1000 - pause_us;
    if (late_us > striker->late_us)
        striker->late_us = late_us;
}

/* Between two strikes a stopped one may go on. */
static void strike_again_and_again(struct striker *striker, const pid_t clients[STORM_CLIENTS], unsigned times)
{
    while (striker->strikes.total < times) {
        rest(striker);
        strike(striker);
        if (store_random_one_in(&striker->random, OPERATOR_ONE_IN))
            storm_operator_act(&striker->operator, &striker->random, &striker->server);
        if (store_random_one_in(&striker->random, 4))
            let_go(striker, (unsigned)store_random_below(&striker->random, STOPPED_MAX));
        fail_if_one_ended(clients, striker);
    }
}

/* --- what must be there --- */

static void open_accounts(const struct server *server)
{
    struct client client;
    char line[64];

    client_connect(&client, server);
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++) {
        (void)snprintf(line, sizeof line, "PUT account%u %d", i, STORM_COINS_AT_FIRST);
        client_expect(&client, line, REPLY_OK);
    }
    client_close(&client);
}

static void check_record(const char *reply, const struct storm *storm, unsigned client, unsigned number,
                         int64_t coins[STORM_ACCOUNTS])
{
    enum storm_outcome outcome = storm->ledgers[client].outcomes[number];
    struct storm_record record;
    bool is_there = strcmp(reply, REPLY_NOT_FOUND) != 0;

    if (is_there && !storm_record_read(reply, client, number, &record))
        driver_fail(NULL, "record %u.%u is %s, HAUSKV_TEST_SEED=%" PRIu64, client, number, reply, storm->seed);
    if (is_there ? outcome == OUTCOME_REFUSED || outcome == OUTCOME_NONE : outcome == OUTCOME_DONE)
        driver_fail(NULL, "record %u.%u is %s, its outcome was %d, HAUSKV_TEST_SEED=%" PRIu64, client, number,
                    is_there ? "there" : "missing", (int)outcome, storm->seed);
    if (!is_there)
        return;
    coins[record.source] -= record.amount;
    coins[record.target] += record.amount;
}

static void check_records(struct client *observer, const struct storm *storm, unsigned client,
                          int64_t coins[STORM_ACCOUNTS])
{
    unsigned count = atomic_load(&storm->ledgers[client].count);
    struct text lines = {0};

    for (unsigned begin = 0; begin < count; begin += BATCH) {
        unsigned end = begin + BATCH < count ? begin + BATCH : count;

        text_clear(&lines);
        for (unsigned number = begin; number < end; number++)
            text_format(&lines, "GET %u.%u\n", client, number);
        client_send(observer, text_bytes(&lines));
        for (unsigned number = begin; number < end; number++)
            check_record(client_read_line(observer), storm, client, number, coins);
    }
    text_deinit(&lines);
}

/* Nobody else is there. */
static void check_all(const struct striker *striker)
{
    int64_t coins[STORM_ACCOUNTS];
    struct client observer;
    char line[64];
    char reply[96];

    client_connect(&observer, &striker->server);
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++)
        coins[i] = STORM_COINS_AT_FIRST;
    for (unsigned client = 0; client < STORM_CLIENTS; client++)
        check_records(&observer, striker->storm, client, coins);
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++) {
        (void)snprintf(line, sizeof line, "GET account%u", i);
        (void)snprintf(reply, sizeof reply, REPLY_VALUE("%" PRId64), coins[i]);
        client_expect(&observer, line, reply);
    }
    client_close(&observer);
}

static void expect_valid_segment(const struct server *server)
{
    struct run run = server_run("--inspect", server->name);

    cr_assert_eq(run.exit_status, 0, "%s%s", run.output.data, run.errors.data);
    cr_assert_not_null(strstr(run.output.data, "valid: yes"), "%s", run.output.data);
    run_deinit(&run);
}

static void print(const struct striker *striker, uint64_t begin_ms)
{
    const struct strikes *strikes = &striker->strikes;
    struct storm_ledger sum = {.commits = 0};
    const struct storm_operator *operator = &striker->operator;
    uint64_t passed_ms = clock_monotonic_ms() - begin_ms;

    for (unsigned i = 0; i < STORM_CLIENTS; i++) {
        const struct storm_ledger *ledger = &striker->storm->ledgers[i];

        sum.commits += ledger->commits;
        sum.conflicts += ledger->conflicts;
        sum.audits += ledger->audits;
        sum.reconnects += ledger->reconnects;
        sum.unknown += ledger->unknown;
        sum.silences += ledger->silences;
        sum.stall_us = ledger->stall_us > sum.stall_us ? ledger->stall_us : sum.stall_us;
        sum.connect_us = ledger->connect_us > sum.connect_us ? ledger->connect_us : sum.connect_us;
    }
    fprintf(stderr,
            "figures: storm of kills%s, HAUSKV_TEST_SEED=%" PRIu64 ", %" PRIu64 ".%" PRIu64 " s: %u strikes (%u SIGKILL, %u "
            "SIGSEGV, %u SIGSTOP; %u of them at the housekeeper; %u masters killed)\n"
            "storm, %u clients: %" PRIu64 " commits, %" PRIu64 " conflicts, %" PRIu64 " audits, %" PRIu64
            " connections, %" PRIu64 " unknown outcomes, %" PRIu64 " replies given up\n"
            "storm, operator: %u dumps and %u reports, of which %u were stopped for a while and %u killed; %u dumps were "
            "whole, with every coin; %u ended early with their server\n"
            "storm, longest wait of one whose worker was not struck: %" PRIu64 ".%" PRIu64 " ms for a reply, %" PRIu64
            ".%" PRIu64 " ms for a new connection's (%u times no worker was forked for a while); longest restart after "
            "a master's death: %" PRIu64 " ms; the machine let this process wait up to %" PRIu64 ".%" PRIu64 " ms\n",
            striker->stops ? " and stops" : "", striker->storm->seed, passed_ms / 1000, passed_ms % 1000 / 100,
            strikes->total, strikes->killed, strikes->crashed, strikes->stopped, strikes->housekeepers,
            strikes->masters, STORM_CLIENTS, sum.commits, sum.conflicts, sum.audits, sum.reconnects, sum.unknown,
            sum.silences, operator->dumps, operator->reports, operator->stopped, operator->killed, operator->whole,
            operator->ended_early, sum.stall_us / 1000, sum.stall_us % 1000 / 100, sum.connect_us / 1000,
            sum.connect_us % 1000 / 100, striker->delays, striker->restart_ms, striker->late_us / 1000,
            striker->late_us % 1000 / 100);
}

static void survives(bool stops)
{
    static struct striker striker;
    static struct storm_client_job jobs[STORM_CLIENTS];
    struct storm *storm = process_shared_memory(sizeof *storm);
    unsigned times = (unsigned)store_environment_number("SOAK_STORM_STRIKES", STRIKES_USUAL);
    uint64_t begin_ms = clock_monotonic_ms();
    pid_t clients[STORM_CLIENTS];

    storm->seed = store_environment_number("HAUSKV_TEST_SEED", begin_ms);
    fprintf(stderr, "storm begins, HAUSKV_TEST_SEED=%" PRIu64 "\n", storm->seed);
    striker.storm = storm;
    striker.stops = stops;
    striker.random.state = storm->seed;
    striker.memory = getenv("SOAK_STORM_MEMORY") == NULL ? "128m" : getenv("SOAK_STORM_MEMORY");
    start_server(&striker);
    open_accounts(&striker.server);
    for (unsigned i = 0; i < STORM_CLIENTS; i++) {
        jobs[i] = (struct storm_client_job){storm, i};
        clients[i] = process_start(storm_client_run, &jobs[i]);
    }

    strike_again_and_again(&striker, clients, times);
    atomic_store(&storm->is_over, 1);
    for (unsigned i = 0; i < STORM_CLIENTS; i++)
        cr_assert_eq(process_wait(clients[i]), 0, "client %u, HAUSKV_TEST_SEED=%" PRIu64, i, storm->seed);
    storm_operator_finish(&striker.operator, &striker.server);
    cr_assert_gt(striker.operator.stopped, 0);
    server_kill_all(&striker.server);
    end_log(&striker);
    print(&striker, begin_ms);

    expect_valid_segment(&striker.server);
    start_server(&striker);
    check_all(&striker);
    server_kill_all(&striker.server);
    expect_valid_segment(&striker.server);
    server_unlink_segment(&striker.server);
    server_forget(&striker.server);
}

/* The longest wait of a bystander is that behind a recovery. */
Test(storm, of_kills_loses_no_commit_and_no_coin)
{
    survives(false);
}

/* Here it can be that of --lock-holder-timeout. */
Test(storm, of_kills_and_stops_loses_no_commit_and_no_coin)
{
    survives(true);
}
