/* STATS, and that nothing leaks that it or /proc can see. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "server/config.h"
#include "support/server_driver.h"

#define CONNECTIONS 10000u
#define CHILDREN_MAX 256u

TestSuite(statistics, .timeout = 250);

static void has_numbers(const cJSON *parent, const char *name, const char *const *members)
{
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(parent, name);

    cr_assert(cJSON_IsObject(object), "%s", name);
    for (; *members != NULL; members++)
        cr_assert(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(object, *members)), "%s.%s", name, *members);
}

Test(statistics, has_every_field)
{
    struct server server;
    struct client client;
    cJSON *reply;
    const cJSON *result;
    char segment[128];

    server_start(&server);
    client_connect(&client, &server);
    reply = cJSON_Parse(client_say(&client, "STATS"));
    result = cJSON_GetObjectItemCaseSensitive(reply, "result");
    (void)snprintf(segment, sizeof segment, "hauskv-%s", server.name);

    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(result, "version")->valuestring, SERVER_VERSION);
    cr_assert_str_eq(cJSON_GetObjectItemCaseSensitive(result, "segment")->valuestring, segment);
    cr_assert_eq(cJSON_GetObjectItemCaseSensitive(result, "pid")->valueint, server.process);
    cr_assert(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(result, "uptime_s")));
    cr_assert(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(result, "worker_pid")));
    cr_assert(cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(result, "keys")));
    has_numbers(result, "workers", (const char *const[]){"busy", "spare", NULL});
    has_numbers(result, "connections", (const char *const[]){"open", "accepted", "refused", NULL});
    has_numbers(result, "memory", (const char *const[]){"limit_bytes", "used_bytes", "peak_bytes", NULL});
    has_numbers(result, "transactions", (const char *const[]){"open", "started", "committed", "rolled_back",
                                                              "conflicts", "timed_out", NULL});
    has_numbers(result, "commands", (const char *const[]){"PUT", "GET", "STATS", "QUIT", NULL});
    has_numbers(result, "errors", (const char *const[]){"not_found", "conflict", "too_many_clients", NULL});
    has_numbers(result, "table", (const char *const[]){"shards", "load_factor", NULL});
    cJSON_Delete(reply);
    client_close(&client);
    server_stop(&server);
}

Test(statistics, counts_transactions_by_their_ends)
{
    struct server server;
    struct client first;
    struct client second;

    server_start(&server);
    client_connect(&first, &server);
    client_connect(&second, &server);
    client_expect(&first, "START", REPLY_OK);
    client_expect_error(&first, "GET n", "not_found");
    client_expect(&first, "PUT n 1", REPLY_OK);
    client_expect(&second, "PUT n 2", REPLY_OK);
    client_expect_error(&first, "COMMIT", "conflict");
    client_expect(&first, "START", REPLY_OK);
    client_expect(&first, "COMMIT", REPLY_OK);
    client_expect(&first, "START", REPLY_OK);
    client_expect(&first, "ROLLBACK", REPLY_OK);
    client_expect(&first, "START", REPLY_OK);

    cr_assert_eq(client_statistic(&second, "transactions.started"), 4);
    cr_assert_eq(client_statistic(&second, "transactions.conflicts"), 1);
    cr_assert_eq(client_statistic(&second, "transactions.committed"), 1);
    cr_assert_eq(client_statistic(&second, "transactions.rolled_back"), 1);
    cr_assert_eq(client_statistic(&second, "transactions.open"), 1);
    cr_assert_eq(client_statistic(&second, "errors.conflict"), 1);
    cr_assert_eq(client_statistic(&second, "errors.not_found"), 1);
    client_close(&first);
    client_close(&second);
    server_stop(&server);
}

Test(statistics, totals_survive_the_workers_that_counted)
{
    struct server server;
    struct client client;
    struct client observer;
    pid_t worker;

    server_start(&server, "--min-spare", "1", "--max-spare", "1");
    client_connect(&observer, &server);
    for (unsigned round = 0; round < 10; round++) {
        client_connect(&client, &server);
        client_expect(&client, "PUT a 1", REPLY_OK);
        client_expect(&client, "START", REPLY_OK);
        client_expect(&client, "PUT a 2", REPLY_OK);
        worker = client_worker(&client);
        cr_assert_eq(kill(worker, round % 2 == 0 ? SIGKILL : SIGTERM), 0);
        eventually(!driver_process_lives(worker));
        client_expect_end(&client);
        client_close(&client);
    }

    eventually(client_statistic(&observer, "transactions.open") == 0);
    cr_assert_eq(client_statistic(&observer, "commands.PUT"), 20);
    cr_assert_eq(client_statistic(&observer, "commands.START"), 10);
    cr_assert_eq(client_statistic(&observer, "transactions.started"), 10);
    cr_assert_eq(client_statistic(&observer, "transactions.rolled_back"), 10);
    cr_assert_eq(client_statistic(&observer, "connections.accepted"), 11);
    client_close(&observer);
    server_stop(&server);
}

Test(statistics, transaction_ids_count_up_across_workers)
{
    struct server server;
    struct client first;
    struct client second;

    server_start(&server);
    client_connect(&first, &server);
    client_connect(&second, &server);
    client_expect(&first, "BEGIN", "{\"status\": \"Ok\", \"transaction_id\": 1}");
    client_expect(&second, "BEGIN", "{\"status\": \"Ok\", \"transaction_id\": 2}");
    client_expect(&first, "BEGIN", "{\"status\": \"Ok\", \"transaction_id\": 3}");
    client_close(&first);
    client_close(&second);
    server_stop(&server);
}

/* Leaks. */

static unsigned descriptor_count(pid_t process)
{
    char path[64];
    DIR *folder;
    unsigned count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    folder = opendir(path);
    while (folder != NULL && readdir(folder) != NULL)
        count++;
    if (folder != NULL)
        (void)closedir(folder);
    return count;
}

static unsigned most_descriptors(const struct server *server)
{
    pid_t children[CHILDREN_MAX];
    unsigned count = server_children(server, children, CHILDREN_MAX);
    unsigned most = descriptor_count(server->process);

    for (unsigned i = 0; i < count && i < CHILDREN_MAX; i++) {
        unsigned of_child = descriptor_count(children[i]);

        most = of_child > most ? of_child : most;
    }
    return most;
}

/* Comes, changes something, opens a transaction now and then, and leaves in one of several ways. */
static void visit(const struct server *server, unsigned number)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    if (number % 3 == 0)
        client_expect(&client, "START", REPLY_OK);
    if (number % 5 == 0)
        client_send_text(&client, "PUT b");
    if (number % 7 == 0)
        client_expect(&client, number % 5 == 0 ? " 2" : "PUT b 2", REPLY_OK);
    client_close(&client);
}

/* SOAK_CONNECTIONS in the environment makes it more of them. */
Test(statistics, connections_leave_nothing_behind)
{
    const char *wish = getenv("SOAK_CONNECTIONS");
    unsigned connections = wish == NULL ? CONNECTIONS : (unsigned)strtoul(wish, NULL, 10);
    struct server server;
    struct client observer;
    uint64_t used_before = 0;
    unsigned descriptors_before = 0;
    pid_t children[CHILDREN_MAX];

    server_start(&server, "--min-spare", "4", "--max-spare", "8");
    client_connect(&observer, &server);
    for (unsigned i = 0; i < connections; i++) {
        visit(&server, i);
        if (i != connections / 10)
            continue;
        eventually(client_statistic(&observer, "connections.open") == 1);
        used_before = client_statistic(&observer, "memory.used_bytes");
        descriptors_before = most_descriptors(&server);
    }

    eventually(client_statistic(&observer, "connections.open") == 1);
    eventually(client_statistic(&observer, "memory.used_bytes") <= used_before);
    eventually(most_descriptors(&server) <= descriptors_before);
    eventually(server_children(&server, children, CHILDREN_MAX) <= 10);
    cr_assert_eq(client_statistic(&observer, "connections.accepted"), connections + 1);
    cr_assert_eq(client_statistic(&observer, "transactions.open"), 0);
    client_close(&observer);
    server_stop(&server);
    cr_assert_not(server_has_segment(&server));
}
