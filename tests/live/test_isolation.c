/* The textbook's anomalies, with real clients on sockets: A, B and C speak one
 * after the other, line by line, and every reply is known beforehand. Two of the
 * pictures are run in every order that their steps can have. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/store_random.h"

#define OK REPLY_OK
#define HAS(value) REPLY_VALUE(value)
#define NONE REPLY_NOT_FOUND
#define IS(number) REPLY_NUMBER(number)
#define BEGUN(id) REPLY_BEGUN(id)
#define KEYS(keys) "{\"status\": \"Ok\", \"result\": {\"cursor\": \"0\", \"keys\": [" keys "]}}"
#define CONFLICT_OF(key) \
    "{\"status\": \"Error\", \"mesg\": \"The key " key " has changed since it was read, nothing was committed: " \
    "try again\", \"code\": \"conflict\"}"
#define CONFLICT_OF_SCAN \
    "{\"status\": \"Error\", \"mesg\": \"Keys that were scanned or counted have changed, nothing was committed: " \
    "try again\", \"code\": \"conflict\"}"

enum { A, B, C, CLIENTS };

/* A client says a line; the reply is the very line that is wanted, or the code of an error. */
struct step {
    unsigned client;
    const char *line;
    const char *reply;
};

TestSuite(isolation, .timeout = 120);

/* Plays the steps on a fresh server with these arguments. */
#define PLAY(...) play((const char *const[]){NULL}, (const struct step[]){__VA_ARGS__, {0, NULL, NULL}})
#define PLAY_WITH(option, value, ...) \
    play((const char *const[]){(option), (value), NULL}, (const struct step[]){__VA_ARGS__, {0, NULL, NULL}})

static void play(const char *const *arguments, const struct step *steps)
{
    struct server server;
    struct client clients[CLIENTS];

    server_start_with(&server, arguments);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_connect(&clients[i], &server);
    for (; steps->line != NULL; steps++)
        client_expect_either(&clients[steps->client], steps->line, steps->reply);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* Every order of two. */

#define PAIR 2u

/* One of two clients that run the same steps. */
struct runner {
    struct client client;
    unsigned number; /* 0 or 1 */
    unsigned read[PAIR];
    unsigned steps_done;
    bool was_overtaken; /* the other one committed between this one's START and COMMIT */
    bool is_open;
    bool has_committed;
};

typedef void (*runner_step)(struct runner *runner);

static unsigned read_number(struct client *client, const char *line)
{
    return (unsigned)reply_integer(client, client_say(client, line));
}

static void step_start(struct runner *runner)
{
    client_expect(&runner->client, "START", OK);
    runner->is_open = true;
    runner->was_overtaken = false;
    runner->has_committed = false;
}

static void step_commit(struct runner *runner)
{
    client_expect_either(&runner->client, "COMMIT", runner->was_overtaken ? "conflict" : OK);
    runner->has_committed = !runner->was_overtaken;
    runner->is_open = false;
}

/* Bit i of order names the runner of step i. */
static void run_in_order(struct runner *runners, const runner_step *steps, unsigned step_count, unsigned order)
{
    runners[0].steps_done = 0;
    runners[1].steps_done = 0;
    for (unsigned i = 0; i < PAIR * step_count; i++) {
        struct runner *runner = &runners[order >> i & 1];
        struct runner *other = &runners[~order >> i & 1];

        if (runner->steps_done < step_count)
            steps[runner->steps_done++](runner);
        if (runner->steps_done == step_count && runner->has_committed && other->is_open)
            other->was_overtaken = true;
    }
}

/* Runs both clients in each order; prepare and check are told of a third. Returns how many orders there were. */
static unsigned run_in_every_order(const runner_step *steps, unsigned step_count, void (*prepare)(struct client *),
                                   void (*check)(struct client *, const struct runner *))
{
    struct server server;
    struct runner runners[PAIR] = {{.number = 0}, {.number = 1}};
    struct client observer;
    unsigned order_count = 0;

    server_start(&server);
    client_connect(&observer, &server);
    client_connect(&runners[0].client, &server);
    client_connect(&runners[1].client, &server);
    for (unsigned order = 0; order < 1u << PAIR * step_count; order++) {
        if ((unsigned)__builtin_popcount(order) != step_count)
            continue;
        prepare(&observer);
        run_in_order(runners, steps, step_count, order);
        check(&observer, runners);
        order_count++;
    }
    client_close(&runners[0].client);
    client_close(&runners[1].client);
    client_close(&observer);
    server_stop(&server);
    return order_count;
}

/* Lost update: START | GET n | PUT n, one more | COMMIT, twice. */

static void step_read_counter(struct runner *runner)
{
    runner->read[0] = read_number(&runner->client, "GET n");
}

static void step_raise_counter(struct runner *runner)
{
    char line[32];

    (void)snprintf(line, sizeof line, "PUT n %u", runner->read[0] + 1);
    client_expect(&runner->client, line, OK);
}

static void prepare_counter(struct client *observer)
{
    client_expect(observer, "PUT n 0", OK);
}

static void check_counter(struct client *observer, const struct runner *runners)
{
    unsigned commits = (unsigned)runners[0].has_committed + (unsigned)runners[1].has_committed;

    cr_assert_geq(commits, 1);
    cr_assert_eq(read_number(observer, "GET n"), commits);
}

Test(isolation, no_update_is_lost_in_any_order)
{
    const runner_step steps[] = {step_start, step_read_counter, step_raise_counter, step_commit};

    cr_assert_eq(run_in_every_order(steps, 4, prepare_counter, check_counter), 70);
}

/* Write skew: two doctors are on call; each goes off if both are on: START | GET x | GET y | PUT one's own 0 | COMMIT. */

static void step_read_first_doctor(struct runner *runner)
{
    runner->read[0] = read_number(&runner->client, "GET x");
}

static void step_read_second_doctor(struct runner *runner)
{
    runner->read[1] = read_number(&runner->client, "GET y");
}

static void step_go_off_call(struct runner *runner)
{
    bool may_go = runner->read[0] + runner->read[1] == 2;
    char line[32];

    (void)snprintf(line, sizeof line, "PUT %c %c", runner->number == 0 ? 'x' : 'y', may_go ? '0' : '1');
    client_expect(&runner->client, line, OK);
}

static void prepare_doctors(struct client *observer)
{
    client_expect(observer, "PUT x 1", OK);
    client_expect(observer, "PUT y 1", OK);
}

static void check_doctors(struct client *observer, const struct runner *runners)
{
    (void)runners;
    cr_assert_eq(read_number(observer, "GET x") + read_number(observer, "GET y"), 1);
}

Test(isolation, no_write_is_skewed_in_any_order)
{
    const runner_step steps[] = {step_start, step_read_first_doctor, step_read_second_doctor, step_go_off_call,
                                 step_commit};

    cr_assert_eq(run_in_every_order(steps, 5, prepare_doctors, check_doctors), 252);
}

/* What reads see. */

Test(isolation, dirty_data_is_not_read)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {A, "PUT n 2", OK}, {A, "PUT new 2", OK}, {A, "DEL n", OK},
         {A, "PUT n 3", OK}, {B, "GET n", HAS("1")}, {B, "GET new", NONE}, {B, "COUNT", IS("1")},
         {B, "EXISTS new", IS("false")}, {C, "START READ COMMITTED", OK}, {C, "GET n", HAS("1")}, {C, "COUNT", IS("1")},
         {A, "ROLLBACK", OK}, {B, "GET n", HAS("1")}, {C, "GET n", HAS("1")}, {C, "GET new", NONE}, {C, "COMMIT", OK});
}

Test(isolation, own_writes_are_read)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {A, "PUT n 2", OK}, {A, "GET n", HAS("2")}, {A, "PUT n 3", OK},
         {A, "GET n", HAS("3")}, {A, "DEL n", OK}, {A, "GET n", NONE}, {A, "EXISTS n", IS("false")},
         {A, "PUT m 1", OK}, {A, "COUNT", IS("1")}, {A, "SCAN 0", KEYS("\"m\"")}, {B, "SCAN 0", KEYS("\"n\"")},
         {A, "COMMIT", OK}, {B, "SCAN 0", KEYS("\"m\"")}, {B, "GET n", NONE});
}

Test(isolation, reads_are_not_fractured)
{
    PLAY({A, "PUT x 1", OK}, {A, "PUT y 1", OK}, {A, "START", OK}, {A, "GET x", HAS("1")}, {B, "START", OK},
         {B, "PUT x 2", OK}, {B, "PUT y 2", OK}, {B, "COMMIT", OK}, {A, "GET y", HAS("1")}, {C, "START", OK},
         {C, "GET y", HAS("2")}, {C, "GET x", HAS("2")}, {C, "COMMIT", OK}, {A, "COMMIT", OK});
}

Test(isolation, reads_are_repeatable)
{
    PLAY({A, "PUT n 1", OK}, {A, "PUT gone 1", OK}, {A, "START", OK}, {A, "GET n", HAS("1")}, {B, "PUT n 2", OK},
         {B, "DEL gone", OK}, {A, "GET n", HAS("1")}, {A, "GET gone", HAS("1")}, {B, "PUT n 3", OK},
         {A, "GET n", HAS("1")}, {B, "GET n", HAS("3")}, {A, "COMMIT", OK}, {A, "GET n", HAS("3")},
         {A, "GET gone", NONE});
}

/* The snapshot is START's, not that of the first read. */
Test(isolation, snapshot_is_as_old_as_its_start)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {B, "PUT n 2", OK}, {A, "GET n", HAS("1")}, {A, "ROLLBACK", OK},
         {A, "START", OK}, {A, "GET n", HAS("2")}, {A, "COMMIT", OK});
}

Test(isolation, phantoms_do_not_appear)
{
    PLAY({A, "PUT room.1 free", OK}, {A, "START", OK}, {A, "COUNT room.", IS("1")},
         {A, "SCAN 0 room.", KEYS("\"room.1\"")}, {B, "PUT room.2 free", OK}, {A, "COUNT room.", IS("1")},
         {A, "SCAN 0 room.", KEYS("\"room.1\"")}, {A, "EXISTS room.2", IS("false")}, {B, "DEL room.1", OK},
         {A, "COUNT room.", IS("1")}, {A, "SCAN 0 room.", KEYS("\"room.1\"")}, {A, "COMMIT", OK},
         {A, "SCAN 0 room.", KEYS("\"room.2\"")});
}

Test(isolation, writing_on_the_strength_of_a_count_conflicts_with_a_phantom)
{
    PLAY({A, "START", OK}, {B, "START", OK}, {A, "COUNT booking.", IS("0")}, {B, "COUNT booking.", IS("0")},
         {A, "PUT booking.a 1", OK}, {B, "PUT booking.b 1", OK}, {A, "COMMIT", OK}, {B, "COMMIT", CONFLICT_OF_SCAN},
         {C, "COUNT booking.", IS("1")});
}

/* Also one that has another prefix: coarse, and said so. */
Test(isolation, writing_on_the_strength_of_a_count_conflicts_with_any_key_that_came)
{
    PLAY({A, "START", OK}, {A, "COUNT booking.", IS("0")}, {B, "PUT unrelated 1", OK}, {A, "PUT booking.a 1", OK},
         {A, "COMMIT", CONFLICT_OF_SCAN}, {C, "COUNT booking.", IS("0")});
}

Test(isolation, writing_on_the_strength_of_a_scan_conflicts_with_a_key_that_went)
{
    PLAY({A, "PUT lease 1", OK}, {A, "START", OK}, {A, "SCAN 0", KEYS("\"lease\"")}, {B, "DEL lease", OK},
         {A, "PUT renewed 1", OK}, {A, "COMMIT", CONFLICT_OF_SCAN}, {A, "COUNT", IS("0")});
}

/* Fekete, O'Neil, O'Neil: "A read-only transaction anomaly under snapshot isolation", 2004. C sees the deposit and no
 * withdrawal, so the withdrawal comes later and owes the overdraft fee or none: it must look again. */
Test(isolation, read_only_transaction_sees_no_anomaly)
{
    PLAY({A, "PUT checking 0", OK}, {A, "PUT savings 0", OK}, {B, "START", OK}, {B, "GET checking", HAS("0")},
         {B, "GET savings", HAS("0")}, {A, "START", OK}, {A, "GET savings", HAS("0")}, {A, "PUT savings 20", OK},
         {A, "COMMIT", OK}, {C, "START", OK}, {C, "GET checking", HAS("0")}, {C, "GET savings", HAS("20")},
         {C, "COMMIT", OK}, {B, "PUT checking -11", OK}, {B, "COMMIT", CONFLICT_OF("savings")},
         {C, "GET checking", HAS("0")});
}

/* Strict: what was acknowledged before START is seen. */
Test(isolation, acknowledged_commit_is_seen_by_whoever_starts_later)
{
    PLAY({A, "START", OK}, {A, "PUT n 1", OK}, {A, "COMMIT", OK}, {B, "START", OK}, {B, "GET n", HAS("1")},
         {B, "PUT n 2", OK}, {B, "COMMIT", OK}, {C, "BEGIN", BEGUN("1")}, {C, "GET n 1", HAS("2")},
         {C, "ROLLBACK 1", OK}, {A, "GET n", HAS("2")});
}

/* Conflicts. */

Test(isolation, conflict_names_its_key_and_applies_nothing)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {A, "GET m", NONE}, {A, "GET n", HAS("1")}, {A, "PUT o 1", OK},
         {B, "PUT n 2", OK}, {A, "COMMIT", CONFLICT_OF("n")}, {A, "GET o", NONE}, {A, "COMMIT", "no_transaction"},
         {A, "START", OK}, {A, "GET n", HAS("2")}, {A, "PUT o 2", OK}, {A, "COMMIT", OK}, {B, "GET o", HAS("2")});
}

Test(isolation, conflict_names_keys_of_any_characters)
{
    PLAY({A, "START", OK}, {A, "EXISTS {\"key\": \"two words, \\\"quoted\\\" \\u8bf4\"}", IS("false")},
         {A, "PUT x 1", OK}, {B, "PUT {\"key\": \"two words, \\\"quoted\\\" \\u8bf4\", \"value\": \"\"}", OK},
         {A, "COMMIT", CONFLICT_OF("two words, \\\"quoted\\\" \\u8bf4")});
}

Test(isolation, conflict_comes_of_keys_that_came_or_went_or_were_put_back)
{
    PLAY({A, "START", OK}, {A, "GET n", NONE}, {A, "PUT x 1", OK}, {B, "PUT n 1", OK},
         {A, "COMMIT", CONFLICT_OF("n")}, {A, "START", OK}, {A, "GET n", HAS("1")}, {A, "PUT x 1", OK},
         {B, "DEL n", OK}, {A, "COMMIT", CONFLICT_OF("n")}, {A, "PUT n 1", OK}, {A, "START", OK},
         {A, "EXISTS n", IS("true")}, {A, "PUT x 1", OK}, {B, "PUT n 2", OK}, {B, "PUT n 1", OK},
         {A, "COMMIT", CONFLICT_OF("n")}, {A, "GET x", NONE});
}

/* The key that came has gone again: absent then and absent now is no conflict. */
Test(isolation, key_that_came_and_went_is_still_absent)
{
    PLAY({A, "START", OK}, {A, "GET n", NONE}, {A, "PUT x 1", OK}, {B, "PUT n 1", OK}, {B, "DEL n", OK},
         {A, "COMMIT", OK}, {A, "GET x", HAS("1")});
}

Test(isolation, readers_and_blind_writers_never_conflict)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {A, "GET n", HAS("1")}, {A, "COUNT", IS("1")}, {B, "START", OK},
         {B, "PUT n 2", OK}, {B, "DEL m", OK}, {C, "PUT n 3", OK}, {C, "PUT m 3", OK}, {A, "COMMIT", OK},
         {B, "COMMIT", OK}, {C, "GET n", HAS("2")}, {C, "GET m", NONE});
}

Test(isolation, other_keys_do_not_conflict)
{
    PLAY({A, "PUT a 1", OK}, {A, "PUT b 1", OK}, {A, "START", OK}, {B, "START", OK}, {A, "GET a", HAS("1")},
         {B, "GET b", HAS("1")}, {A, "PUT a 2", OK}, {B, "PUT b 2", OK}, {A, "COMMIT", OK}, {B, "COMMIT", OK});
}

/* START and BEGIN on one connection. */

Test(isolation, start_and_begin_are_two_transactions)
{
    PLAY({A, "START", OK}, {A, "BEGIN", BEGUN("1")}, {A, "PUT n start", OK}, {A, "PUT n begin 1", OK},
         {A, "GET n", HAS("start")}, {A, "GET n 1", HAS("begin")}, {B, "GET n", NONE}, {A, "COMMIT 1", OK},
         {A, "GET n", HAS("start")}, {B, "GET n", HAS("begin")}, {A, "COMMIT", OK}, {B, "GET n", HAS("start")},
         {A, "GET n 1", "unknown_transaction"}, {A, "GET n", HAS("start")});
}

Test(isolation, transactions_of_one_connection_conflict_like_any_others)
{
    PLAY({A, "PUT n 1", OK}, {A, "START", OK}, {A, "BEGIN", BEGUN("1")}, {A, "GET n", HAS("1")},
         {A, "GET n 1", HAS("1")}, {A, "PUT n 2", OK}, {A, "PUT n 3 1", OK}, {A, "COMMIT", OK},
         {A, "COMMIT 1", CONFLICT_OF("n")}, {A, "GET n", HAS("2")});
}

Test(isolation, error_in_one_transaction_leaves_the_other_alone)
{
    PLAY({A, "START", OK}, {A, "BEGIN", BEGUN("1")}, {A, "PUT x 1", OK}, {A, "PUT y 1 1", OK},
         {A, "PUT {\"key\": 1} 1", "syntax"}, {A, "GET y 1", "aborted"}, {A, "GET x", HAS("1")}, {A, "COMMIT", OK},
         {A, "COMMIT 1", "aborted"}, {B, "GET x", HAS("1")}, {B, "GET y", NONE});
}

Test(isolation, ids_count_up_for_all_connections_and_belong_to_one)
{
    PLAY({A, "BEGIN", BEGUN("1")}, {B, "BEGIN", BEGUN("2")}, {A, "PUT n 1 1", OK}, {A, "PUT m 2", OK},
         {B, "GET m", HAS("2")}, {B, "COMMIT 1", "unknown_transaction"}, {A, "COMMIT 2", "unknown_transaction"},
         {A, "COMMIT 1", OK}, {B, "GET n", HAS("1")}, {B, "GET n 2", NONE}, {B, "ROLLBACK 2", OK},
         {A, "BEGIN", BEGUN("3")}, {A, "ROLLBACK 3", OK});
}

/* READ COMMITTED. */

Test(isolation, read_committed_sees_the_latest_commit_each_time)
{
    PLAY({A, "PUT n 1", OK}, {A, "START READ COMMITTED", OK}, {A, "GET n", HAS("1")}, {B, "PUT n 2", OK},
         {A, "GET n", HAS("2")}, {B, "PUT m 1", OK}, {A, "COUNT", IS("2")}, {B, "START", OK}, {B, "PUT n 3", OK},
         {A, "GET n", HAS("2")}, {B, "COMMIT", OK}, {A, "GET n", HAS("3")}, {A, "PUT n 4", OK}, {B, "PUT n 5", OK},
         {A, "GET n", HAS("4")}, {A, "COMMIT", OK}, {B, "GET n", HAS("4")});
}

/* What it does not promise: the update of B is lost. */
Test(isolation, read_committed_never_conflicts)
{
    PLAY({A, "PUT n 1", OK}, {A, "BEGIN read committed", BEGUN("1")}, {A, "GET n 1", HAS("1")}, {B, "PUT n 10", OK},
         {A, "PUT n 2 1", OK}, {A, "COMMIT 1", OK}, {C, "GET n", HAS("2")}, {A, "START READ COMMITTED", OK},
         {A, "COUNT", IS("1")}, {B, "PUT m 1", OK}, {A, "PUT o 1", OK}, {A, "COMMIT", OK}, {C, "COUNT", IS("3")});
}

Test(isolation, read_committed_commits_whole_and_makes_others_conflict)
{
    PLAY({A, "START READ COMMITTED", OK}, {A, "PUT x 1", OK}, {A, "PUT y 1", OK}, {B, "START", OK},
         {B, "GET x", NONE}, {B, "PUT z 1", OK}, {A, "COMMIT", OK},
         {B, "COMMIT", CONFLICT_OF("x")}, {C, "START", OK}, {C, "GET x", HAS("1")}, {C, "GET y", HAS("1")},
         {C, "COMMIT", OK});
}

Test(isolation, servers_default_holds_where_none_is_named)
{
    PLAY_WITH("--isolation", "read-committed", {A, "PUT n 1", OK}, {A, "START", OK}, {A, "BEGIN", BEGUN("1")},
              {A, "BEGIN SERIALIZABLE", BEGUN("2")}, {B, "PUT n 2", OK}, {A, "GET n", HAS("2")},
              {A, "GET n 1", HAS("2")}, {A, "GET n 2", HAS("1")}, {A, "COMMIT", OK}, {A, "COMMIT 1", OK},
              {A, "PUT m 1 2", OK}, {A, "COMMIT 2", CONFLICT_OF("n")});
}

/* The end of a connection. */

static void end_by_close(struct client *client)
{
    client_close(client);
}

static void end_by_reset(struct client *client)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    cr_assert_eq(setsockopt(client->descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    client_close(client);
}

static void end_by_quit(struct client *client)
{
    client_send_text(client, "QUIT\nCOMMIT\nCOMMIT 1\n");
    client_expect(client, NULL, OK);
    client_expect_end(client);
    client_close(client);
}

static void end_of_input(struct client *client)
{
    client_end_input(client);
    client_expect_end(client);
    client_close(client);
}

/* A line without its end is never run. */
static void end_inside_of_commit(struct client *client)
{
    client_send_text(client, "COMMIT");
    end_of_input(client);
}

static void end_by_browser(struct client *client)
{
    client_send_text(client, "Host: example.org\nCOMMIT\n");
    client_expect_error(client, NULL, "syntax");
    client_expect_end(client);
    client_close(client);
}

static void rolls_back(void (*end)(struct client *client))
{
    struct server server;
    struct client client;
    struct client observer;

    server_start(&server);
    client_connect(&client, &server);
    client_connect(&observer, &server);
    client_expect(&client, "PUT single 1", OK);
    client_expect(&client, "START", OK);
    client_expect(&client, "PUT x 1", OK);
    client_expect(&client, "BEGIN", BEGUN("1"));
    client_expect(&client, "PUT y 1 1", OK);

    end(&client);

    eventually(client_statistic(&observer, "connections.open") == 1);
    cr_assert_eq(client_statistic(&observer, "transactions.open"), 0);
    cr_assert_eq(client_statistic(&observer, "transactions.rolled_back"), 2);
    client_expect(&observer, "SCAN 0", KEYS("\"single\""));
    client_close(&observer);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(isolation, ended_connection_is_rolled_back)
{
    rolls_back(end_by_close);
    rolls_back(end_by_reset);
    rolls_back(end_by_quit);
    rolls_back(end_of_input);
    rolls_back(end_inside_of_commit);
    rolls_back(end_by_browser);
}

/* The death of a worker. */

#define DEATHS 200u
#define DELAY_NS_MAX ((uint64_t)200 * 1000)

struct outcomes {
    unsigned acknowledged; /* the client heard Ok */
    unsigned silent;       /* it heard nothing, and it was committed all the same */
    unsigned lost;
};

/* Kills the worker at some moment while the transaction comes in; true: COMMIT was answered with Ok. */
static bool is_acknowledged_before_death(struct client *victim, pid_t worker, unsigned number, uint64_t delay_ns)
{
    char lines[64];
    unsigned ok_count = 0;
    const char *reply;
    uint64_t end_ns;

    (void)snprintf(lines, sizeof lines, "START\nPUT x %u\nPUT y %u\nCOMMIT\n", number, number);
    end_ns = clock_monotonic_ns() + delay_ns;
    client_send_text(victim, lines);
    while (clock_monotonic_ns() < end_ns) {
    }
    cr_assert_eq(kill(worker, SIGKILL), 0);
    while ((reply = client_read_line(victim)) != NULL) {
        cr_assert_str_eq(reply, OK);
        ok_count++;
    }
    return ok_count == 4;
}

static void note_outcome(struct outcomes *outcomes, struct client *observer, unsigned *value, unsigned number,
                         bool is_acknowledged)
{
    unsigned found;

    client_expect(observer, "START", OK);
    found = read_number(observer, "GET x");
    cr_assert_eq(read_number(observer, "GET y"), found, "half a commit");
    client_expect(observer, "COMMIT", OK);
    cr_assert(found == number || (found == *value && !is_acknowledged), "%u is there, %u was before, %u was written%s",
              found, *value, number, is_acknowledged ? " and acknowledged" : "");
    if (is_acknowledged)
        outcomes->acknowledged++;
    else if (found == number)
        outcomes->silent++;
    else
        outcomes->lost++;
    *value = found;
}

/* A client whose worker is killed may not hear how its COMMIT went, but all or nothing of it holds; the transactions of
 * others do not notice. */
Test(isolation, killed_worker_commits_all_or_nothing_and_harms_nobody_else)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct outcomes outcomes = {.acknowledged = 0};
    struct server server;
    struct client victim;
    struct client observer;
    struct client bystander;
    unsigned value = 0;

    server_start(&server);
    client_connect(&observer, &server);
    client_connect(&bystander, &server);
    client_expect(&observer, "PUT x 0", OK);
    client_expect(&observer, "PUT y 0", OK);
    client_expect(&bystander, "START", OK);
    client_expect(&bystander, "PUT kept 1", OK);
    client_expect(&bystander, "BEGIN", BEGUN("1"));
    for (unsigned number = 1; number <= DEATHS; number++) {
        bool is_acknowledged;

        client_connect(&victim, &server);
        is_acknowledged = is_acknowledged_before_death(&victim, client_worker(&victim), number,
                                                       store_random_below(&random, DELAY_NS_MAX));
        client_close(&victim);
        note_outcome(&outcomes, &observer, &value, number, is_acknowledged);
        client_expect(&bystander, "GET x 1", HAS("0"));
    }
    fprintf(stderr, "killed workers, HAUSKV_TEST_SEED=%ju: %u commits acknowledged, %u silent, %u lost\n",
            (uintmax_t)seed, outcomes.acknowledged, outcomes.silent, outcomes.lost);

    client_expect(&bystander, "COMMIT 1", OK);
    client_expect(&bystander, "COMMIT", OK);
    client_expect(&observer, "GET kept", HAS("1"));
    eventually(server_count_said(&server, "was killed by signal 9 (Killed)") == DEATHS);
    eventually(client_statistic(&observer, "connections.open") == 2);
    cr_assert_eq(client_statistic(&observer, "transactions.open"), 0);
    cr_assert_eq(server_count_said(&server, " error ["), DEATHS);
    client_close(&observer);
    client_close(&bystander);
    server_stop(&server);
}
