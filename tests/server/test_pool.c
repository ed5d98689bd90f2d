/* How many workers there are, and what becomes of a server whose workers die. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/server_driver.h"

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}"
#define TOO_MANY(limit) \
    "{\"status\": \"Error\", \"mesg\": \"Too many clients: the limit is " limit \
    " (--max-clients)\", \"code\": \"too_many_clients\"}"
#define CHILDREN_MAX 64u

TestSuite(pool, .timeout = 120);

static unsigned child_count(const struct server *server)
{
    pid_t children[CHILDREN_MAX];

    return server_children(server, children, CHILDREN_MAX);
}

/* The name that a process gave itself. */
static bool is_called(pid_t process, const char *name)
{
    char path[64];
    char line[64] = "";
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return false;
    (void)!fgets(line, sizeof line, file);
    (void)fclose(file);
    return strncmp(line, name, strlen(name)) == 0;
}

static pid_t child_called(const struct server *server, const char *name)
{
    pid_t children[CHILDREN_MAX];
    unsigned count = server_children(server, children, CHILDREN_MAX);

    for (unsigned i = 0; i < count && i < CHILDREN_MAX; i++) {
        if (is_called(children[i], name))
            return children[i];
    }
    return 0;
}

static void connect_all(struct client *clients, unsigned count, const struct server *server)
{
    for (unsigned i = 0; i < count; i++)
        client_connect(&clients[i], server);
}

static void expect_pong_from_all(struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_expect(&clients[i], "PING", PONG);
}

static void close_all(struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_close(&clients[i]);
}

/* Whether a new client is served; it stays open then. */
static bool is_served(struct client *client, const struct server *server)
{
    const char *reply;

    client_connect(client, server);
    (void)client_try_send(client, bytes_from_string("PING\n"));
    reply = client_read_line(client);
    if (reply != NULL && strcmp(reply, PONG) == 0)
        return true;
    client_close(client);
    return false;
}

/* Size. */

Test(pool, every_connection_has_a_process_of_its_own)
{
    struct server server;
    struct client clients[20];
    pid_t workers[20];

    server_start(&server, "--min-spare", "2", "--max-spare", "3");
    connect_all(clients, 20, &server);

    for (unsigned i = 0; i < 20; i++) {
        workers[i] = client_worker(&clients[i]);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(workers[i], workers[j]);
    }
    cr_assert_eq(client_statistic(&clients[0], "connections.open"), 20);
    eventually(client_statistic(&clients[0], "workers.spare") == 2);
    cr_assert_eq(client_statistic(&clients[0], "workers.busy"), 20);
    close_all(clients, 20);
    server_stop(&server);
}

Test(pool, shrinks_to_its_spare_size)
{
    struct server server;
    struct client clients[20];
    struct client observer;

    server_start(&server, "--min-spare", "2", "--max-spare", "3");
    client_connect(&observer, &server);
    connect_all(clients, 20, &server);
    expect_pong_from_all(clients, 20);

    close_all(clients, 20);

    eventually(child_count(&server) == 5); /* three spare ones, the observer's, the housekeeper */
    /* One that is dead is spare until the master takes it off the list. */
    eventually(client_statistic(&observer, "workers.spare") == 3);
    eventually(client_statistic(&observer, "workers.busy") == 1);
    eventually(client_statistic(&observer, "connections.open") == 1);
    client_close(&observer);
    server_stop(&server);
    cr_assert_eq(server.process, 0);
}

/* Workers retire all the time while connections come: each must be answered. */
Test(pool, shrinking_drops_no_connection)
{
    struct server server;
    struct client clients[12];

    server_start(&server, "--min-spare", "1", "--max-spare", "1");
    for (unsigned wave = 0; wave < 100; wave++) {
        unsigned count = 1 + wave % 12;

        connect_all(clients, count, &server);
        expect_pong_from_all(clients, count);
        close_all(clients, count);
    }
    cr_assert_eq(server_count_said(&server, "error"), 0);
    server_stop(&server);
}

Test(pool, workers_are_batch_processes)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);

    cr_assert_eq(sched_getscheduler(client_worker(&client)), SCHED_BATCH);

    client_close(&client);
    server_stop(&server);
}

/* Too many clients. */

Test(pool, one_client_too_many_is_refused)
{
    struct server server;
    struct client clients[3];
    struct client fourth;

    server_start(&server, "--max-clients", "3");
    connect_all(clients, 3, &server);
    expect_pong_from_all(clients, 3);

    client_connect(&fourth, &server);
    client_expect(&fourth, NULL, TOO_MANY("3"));
    client_expect_end(&fourth);
    client_close(&fourth);

    cr_assert_eq(client_statistic(&clients[0], "connections.refused"), 1);
    cr_assert_eq(client_statistic(&clients[0], "connections.accepted"), 3);
    cr_assert_eq(client_statistic(&clients[0], "connections.open"), 3);
    cr_assert_eq(client_statistic(&clients[0], "errors.too_many_clients"), 1);
    close_all(clients, 3);
    server_stop(&server);
}

Test(pool, place_of_a_client_that_left_is_given_away)
{
    struct server server;
    struct client clients[2];
    struct client next;

    server_start(&server, "--max-clients", "2");
    connect_all(clients, 2, &server);
    expect_pong_from_all(clients, 2);
    cr_assert_not(is_served(&next, &server));

    client_close(&clients[0]);

    eventually(is_served(&next, &server));
    client_close(&next);
    client_close(&clients[1]);
    server_stop(&server);
}

Test(pool, refused_client_that_stays_is_closed_all_the_same)
{
    struct server server;
    struct client served;
    struct client refused[10];

    server_start(&server, "--max-clients", "1", "--min-spare", "1", "--max-spare", "1");
    client_connect(&served, &server);
    client_expect(&served, "PING", PONG);
    for (unsigned i = 0; i < 10; i++) {
        client_connect(&refused[i], &server);
        (void)client_try_send(&refused[i], bytes_from_string("PUT a 1\nPUT b 2\n"));
    }

    for (unsigned i = 0; i < 10; i++) {
        client_expect(&refused[i], NULL, TOO_MANY("1"));
        client_expect_end(&refused[i]);
    }
    client_expect_error(&served, "GET a", "not_found");
    close_all(refused, 10);
    client_close(&served);
    server_stop(&server);
}

/* Death. */

Test(pool, killed_worker_costs_its_own_client_only)
{
    struct server server;
    struct client victim;
    struct client bystander;

    server_start(&server, "--min-spare", "2", "--max-spare", "2");
    client_connect(&victim, &server);
    client_connect(&bystander, &server);
    client_expect(&bystander, "START", REPLY_OK);
    client_expect(&bystander, "PUT a 1", REPLY_OK);
    client_expect(&victim, "START", REPLY_OK);
    client_expect(&victim, "PUT b 1", REPLY_OK);

    cr_assert_eq(kill(client_worker(&victim), SIGKILL), 0);

    client_expect_end(&victim);
    server_expect_said(&server, "was killed by signal 9 (Killed)");
    client_expect(&bystander, "COMMIT", REPLY_OK);
    client_expect_error(&bystander, "GET b", "not_found");
    eventually(client_statistic(&bystander, "connections.open") == 1);
    cr_assert_eq(client_statistic(&bystander, "transactions.open"), 0);
    cr_assert_eq(client_statistic(&bystander, "transactions.started"), 2);
    cr_assert_eq(client_statistic(&bystander, "transactions.rolled_back"), 1);
    eventually(child_count(&server) == 4); /* two spare ones, the bystander's, the housekeeper */
    client_close(&victim);
    client_close(&bystander);
    server_stop(&server);
}

Test(pool, seats_of_killed_workers_are_free_again)
{
    struct server server;
    struct client clients[2];

    server_start(&server, "--max-clients", "2");
    for (unsigned round = 0; round < 5; round++) {
        for (unsigned i = 0; i < 2; i++)
            eventually(is_served(&clients[i], &server));
        for (unsigned i = 0; i < 2; i++)
            cr_assert_eq(kill(client_worker(&clients[i]), SIGKILL), 0);
        for (unsigned i = 0; i < 2; i++)
            client_expect_end(&clients[i]);
        close_all(clients, 2);
    }
    server_stop(&server);
}

Test(pool, killed_spare_workers_are_replaced)
{
    struct server server;
    struct client client;

    server_start(&server, "--min-spare", "3", "--max-spare", "3");
    for (unsigned i = 0; i < 9; i++) {
        pid_t worker;

        eventually((worker = child_called(&server, "hauskv-worker")) != 0); /* we may be quicker than the master */
        cr_assert_eq(kill(worker, SIGKILL), 0);
        eventually(!driver_process_lives(worker));
    }
    eventually(server_count_said(&server, "was killed by signal 9") == 9);
    eventually(child_count(&server) == 4);

    client_connect(&client, &server);
    client_expect(&client, "PING", PONG);
    client_close(&client);
    server_stop(&server);
}

Test(pool, places_in_the_store_of_killed_workers_are_used_again)
{
    struct server server;
    struct client observer;
    struct client victim;
    uint64_t used_before = 0;

    server_start(&server, "--min-spare", "2", "--max-spare", "2");
    client_connect(&observer, &server);
    for (unsigned i = 0; i < 100; i++) {
        client_connect(&victim, &server);
        client_expect(&victim, "START", REPLY_OK);
        client_expect(&victim, "PUT a 1", REPLY_OK);
        cr_assert_eq(kill(client_worker(&victim), SIGKILL), 0);
        client_expect_end(&victim);
        client_close(&victim);
        if (i == 20)
            eventually((used_before = client_statistic(&observer, "memory.used_bytes")) > 0);
    }

    eventually(client_statistic(&observer, "memory.used_bytes") <= used_before);
    cr_assert_eq(client_statistic(&observer, "transactions.started"), 100);
    eventually(client_statistic(&observer, "transactions.rolled_back") == 100);
    client_close(&observer);
    server_stop(&server);
}

Test(pool, workers_that_die_on_their_first_connection_again_and_again_slow_forking_down)
{
    struct server server;
    struct client client;

    server_start(&server, "--min-spare", "2", "--max-spare", "2");
    for (unsigned i = 0; i < 6; i++) {
        client_connect(&client, &server);
        cr_assert_eq(kill(client_worker(&client), SIGSEGV), 0);
        client_expect_end(&client);
        client_close(&client);
    }

    server_expect_said(&server, "workers in a row died on their first connection: forking none for");
    client_connect(&client, &server);
    client_expect(&client, "PING", PONG);
    client_close(&client);
    server_stop(&server);
}

Test(pool, worker_that_dies_on_a_later_connection_slows_nothing_down)
{
    struct server server;
    struct client client;

    server_start(&server, "--min-spare", "1", "--max-spare", "1");
    for (unsigned i = 0; i < 8; i++) {
        client_connect(&client, &server);
        client_expect(&client, "QUIT", REPLY_OK);
        client_expect_end(&client);
        client_close(&client);
        client_connect(&client, &server);
        cr_assert_eq(kill(client_worker(&client), SIGSEGV), 0);
        client_expect_end(&client);
        client_close(&client);
    }

    eventually(server_count_said(&server, "was killed by signal 11") == 8);
    cr_assert_eq(server_count_said(&server, "in a row died"), 0);
    server_stop(&server);
}

Test(pool, killed_housekeeper_is_forked_anew)
{
    struct server server;
    pid_t housekeeper;

    server_start(&server);
    eventually((housekeeper = child_called(&server, "hauskv-keeper")) != 0); /* it takes its name when it runs */
    cr_assert_eq(kill(housekeeper, SIGKILL), 0);

    server_expect_said(&server, "The housekeeper, pid ");
    eventually(child_called(&server, "hauskv-keeper") != 0 && child_called(&server, "hauskv-keeper") != housekeeper);
    server_stop(&server);
}

/* Descriptors: a worker that cannot accept says so, and goes on when it can. */
Test(pool, full_table_of_descriptors_is_waited_out)
{
    struct server server;
    struct client client;
    struct rlimit before;
    struct rlimit none;
    pid_t worker;

    server_start(&server, "--min-spare", "1", "--max-spare", "1");
    worker = child_called(&server, "hauskv-worker");
    cr_assert_eq(prlimit(worker, RLIMIT_NOFILE, NULL, &before), 0);
    none = (struct rlimit){3, before.rlim_max};
    cr_assert_eq(prlimit(worker, RLIMIT_NOFILE, &none, NULL), 0);
    client_connect(&client, &server);
    client_send_text(&client, "PING\n");
    server_expect_said(&server, "Cannot accept a connection, trying again: Too many open files");

    cr_assert_eq(prlimit(worker, RLIMIT_NOFILE, &before, NULL), 0);

    client_expect(&client, NULL, PONG);
    cr_assert_eq(server_count_said(&server, "Cannot accept a connection"), 1);
    client_close(&client);
    server_stop(&server);
}
