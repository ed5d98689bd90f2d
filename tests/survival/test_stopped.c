/* Processes of a living server that are stopped or die: a stopped one that others
 * may wait for is killed after --lock-holder-timeout, one that is merely stopped
 * is left alone, the housekeeper is replaced, and a dead worker costs its own
 * client and nobody else. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "support/store_random.h"
#include "survival/survival_support.h"

#define TIMEOUT "300ms"
#define STOPPED_WORDS "was stopped for 300 ms"

TestSuite(stopped, .timeout = 120);

/* Connects a client, opens a transaction that has read, and stops its worker: it pins a snapshot. */
static pid_t stop_inside_transaction(struct client *client, const struct server *server)
{
    pid_t worker;

    client_connect(client, server);
    worker = client_worker(client);
    client_expect(client, "START", REPLY_OK);
    client_expect(client, "PUT mine 1", REPLY_OK);
    client_expect_error(client, "GET nothing", "not_found");
    cr_assert_eq(kill(worker, SIGSTOP), 0);
    return worker;
}

static void expect_that_it_goes_on(struct client *client)
{
    client_expect(client, "START", REPLY_OK);
    client_expect(client, "PUT others go-on", REPLY_OK);
    client_expect(client, "COMMIT", REPLY_OK);
    client_expect(client, "GET others", REPLY_VALUE("go-on"));
}

Test(stopped, worker_with_open_transaction_is_killed_and_others_go_on)
{
    struct server server;
    struct client victim;
    struct client other;
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", TIMEOUT);
    client_connect(&other, &server);
    worker = stop_inside_transaction(&victim, &server);

    expect_that_it_goes_on(&other);
    eventually(!driver_process_lives(worker));
    server_expect_said(&server, STOPPED_WORDS);
    client_expect_end(&victim);
    expect_that_it_goes_on(&other);
    client_expect_error(&other, "GET mine", "not_found");

    client_close(&victim);
    client_close(&other);
    server_stop(&server);
}

/* The second one is the proof that the first would have been found. */
Test(stopped, worker_that_holds_nothing_is_left_alone)
{
    struct server server;
    struct client idle;
    struct client victim;
    pid_t idle_worker;

    server_start(&server, "--lock-holder-timeout", TIMEOUT);
    client_connect(&idle, &server);
    client_expect(&idle, "PUT a 1", REPLY_OK);
    idle_worker = client_worker(&idle);
    cr_assert_eq(kill(idle_worker, SIGSTOP), 0);
    (void)stop_inside_transaction(&victim, &server);

    client_expect_end(&victim);

    cr_assert(process_is_stopped(idle_worker));
    cr_assert_eq(kill(idle_worker, SIGCONT), 0);
    client_expect(&idle, "GET a", REPLY_VALUE("1"));
    cr_assert_eq(server_count_said(&server, STOPPED_WORDS), 1);
    client_close(&victim);
    client_close(&idle);
    server_stop(&server);
}

Test(stopped, worker_that_goes_on_in_time_keeps_its_transaction)
{
    struct server server;
    struct client client;
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", "60s");
    worker = stop_inside_transaction(&client, &server);
    eventually(process_is_stopped(worker));

    cr_assert_eq(kill(worker, SIGCONT), 0);

    client_expect(&client, "COMMIT", REPLY_OK);
    client_expect(&client, "GET mine", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&server);
}

Test(stopped, timeout_0_kills_nobody)
{
    struct server server;
    struct client client;
    struct client other;
    uint64_t rounds = 0;
    pid_t housekeeper;
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", "0");
    worker = stop_inside_transaction(&client, &server);
    /* A new housekeeper has surely looked at it. */
    eventually((housekeeper = server_housekeeper(&server)) != 0);
    cr_assert_eq(kill(housekeeper, SIGKILL), 0);
    client_connect(&other, &server);
    for (; rounds < 100; rounds++)
        expect_that_it_goes_on(&other);

    cr_assert(process_is_stopped(worker));
    cr_assert_eq(kill(worker, SIGCONT), 0);
    client_expect(&client, "COMMIT", REPLY_OK);
    client_close(&client);
    client_close(&other);
    server_stop(&server);
}

/* More sessions hold something than are watched at a time. */
Test(stopped, one_of_a_hundred_that_hold_something_is_found)
{
    static struct client holders[100];
    struct server server;
    struct client victim;
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", TIMEOUT);
    for (unsigned i = 0; i < 100; i++) {
        client_connect(&holders[i], &server);
        client_expect(&holders[i], "START", REPLY_OK);
        client_expect_error(&holders[i], "GET nothing", "not_found");
    }
    worker = stop_inside_transaction(&victim, &server);

    eventually(!driver_process_lives(worker));

    client_expect_end(&victim);
    for (unsigned i = 0; i < 100; i++) {
        client_expect(&holders[i], "COMMIT", REPLY_OK);
        client_close(&holders[i]);
    }
    client_close(&victim);
    server_stop(&server);
}

/* Stopped at any instruction of a command, perhaps with locks in its hands. */
Test(stopped, worker_stopped_at_work_stops_others_for_a_while_only)
{
    struct store_random random = {store_environment_number("HAUSKV_TEST_SEED", clock_monotonic_ns())};
    struct server server;
    struct client other;

    fprintf(stderr, "stopped at work, HAUSKV_TEST_SEED=%ju\n", (uintmax_t)random.state);
    server_start(&server, "--lock-holder-timeout", TIMEOUT, "--memory", "32m");
    client_connect(&other, &server);
    for (unsigned round = 0; round < 12; round++) {
        struct client busy;
        struct text lines = {0};
        pid_t worker;
        char line[64];

        client_connect(&busy, &server);
        worker = client_worker(&busy);
        for (unsigned i = 0; i < 20000; i++)
            text_format(&lines, "PUT key%u %u\n", i, round);
        (void)client_send_without_reading(&busy, text_bytes(&lines), 50);
        (void)usleep((useconds_t)store_random_below(&random, 3000));
        (void)kill(worker, SIGSTOP);
        for (unsigned i = 0; i < 200; i++) { /* every shard */
            (void)snprintf(line, sizeof line, "PUT key%u other", i);
            client_expect(&other, line, REPLY_OK);
        }
        if (driver_process_lives(worker))
            (void)kill(worker, SIGCONT);
        client_close(&busy);
        text_deinit(&lines);
    }
    client_close(&other);
    server_stop(&server);
}

/* --- the housekeeper --- */

static void is_replaced_after(int signal_number)
{
    struct server server;
    struct client client;
    pid_t first;

    server_start(&server);
    client_connect(&client, &server);
    eventually((first = server_housekeeper(&server)) != 0);

    cr_assert_eq(kill(first, signal_number), 0);

    eventually(server_housekeeper(&server) != 0 && server_housekeeper(&server) != first);
    expect_that_it_goes_on(&client);
    client_close(&client);
    server_stop(&server);
}

Test(housekeeper, killed_it_is_forked_anew)
{
    is_replaced_after(SIGKILL);
}

Test(housekeeper, crashed_it_is_forked_anew)
{
    is_replaced_after(SIGSEGV);
}

Test(housekeeper, stopped_it_is_replaced)
{
    is_replaced_after(SIGSTOP);
}

/* --- dead workers --- */

static void costs_only_its_own_client(int signal_number)
{
    struct server server;
    struct client victim;
    struct client other;
    pid_t worker;

    server_start(&server);
    client_connect(&victim, &server);
    client_connect(&other, &server);
    client_expect(&other, "START", REPLY_OK);
    client_expect(&other, "PUT others 1", REPLY_OK);
    client_expect(&victim, "PUT committed 1", REPLY_OK);
    client_expect(&victim, "START", REPLY_OK);
    client_expect(&victim, "PUT lost 1", REPLY_OK);
    worker = client_worker(&victim);

    cr_assert_eq(kill(worker, signal_number), 0);

    client_expect_end(&victim);
    client_expect(&other, "COMMIT", REPLY_OK);
    client_expect(&other, "GET others", REPLY_VALUE("1"));
    client_expect(&other, "GET committed", REPLY_VALUE("1"));
    client_expect_error(&other, "GET lost", "not_found");
    client_close(&victim);
    client_connect(&victim, &server);
    expect_that_it_goes_on(&victim);
    eventually(client_statistic(&other, "connections.open") == 2);
    client_close(&victim);
    client_close(&other);
    server_stop(&server);
}

Test(death, killed_worker_costs_only_its_own_client)
{
    costs_only_its_own_client(SIGKILL);
}

Test(death, crashed_worker_costs_only_its_own_client)
{
    costs_only_its_own_client(SIGSEGV);
}
