/* Clients as they come: slow, silent, greedy, mistaken, many. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/server_driver.h"

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}"
#define PIPELINED 100000u
#define KEYS 1000u

TestSuite(connections, .timeout = 200);

static void append(char **end, const char *text)
{
    size_t size = strlen(text);

    memcpy(*end, text, size);
    *end += size;
}

/* Lines that may be cut anywhere. */

Test(connections, half_a_line_waits_for_its_other_half_and_disturbs_nobody)
{
    struct server server;
    struct client slow;
    struct client other;

    server_start(&server);
    client_connect(&slow, &server);
    client_connect(&other, &server);
    client_send_text(&slow, "PUT gre");
    client_expect(&other, "PUT a 1", REPLY_OK);
    client_expect(&other, "COUNT", "{\"status\": \"Ok\", \"result\": 1}");

    client_expect(&slow, "eting hello", REPLY_OK);

    client_expect(&other, "GET greeting", "{\"status\": \"Ok\", \"result\": \"hello\"}");
    client_close(&slow);
    client_close(&other);
    server_stop(&server);
}

Test(connections, half_closed_client_gets_all_replies_and_then_the_end)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_send_text(&client, "PUT a 1\r\nGET a\nPUT b 2");
    client_end_input(&client);

    client_expect(&client, NULL, REPLY_OK);
    client_expect(&client, NULL, "{\"status\": \"Ok\", \"result\": \"1\"}");
    client_expect_end(&client);

    client_close(&client);
    client_connect(&client, &server);
    client_expect_error(&client, "GET b", "not_found"); /* a line without its end is never run */
    client_close(&client);
    server_stop(&server);
}

Test(connections, hundred_thousand_pipelined_commands_are_all_answered_in_order)
{
    struct server server;
    struct client client;
    char *commands = malloc((size_t)PIPELINED * 64);
    char *end = commands;
    char line[96];

    cr_assert_not_null(commands);
    for (unsigned i = 0; i < PIPELINED / 2; i++) {
        (void)snprintf(line, sizeof line, "PUT key%u value%u\nGET key%u\n", i % KEYS, i, i % KEYS);
        append(&end, line);
    }
    server_start(&server);
    client_connect(&client, &server);
    client_send(&client, bytes_from(commands, (size_t)(end - commands)));

    for (unsigned i = 0; i < PIPELINED / 2; i++) {
        (void)snprintf(line, sizeof line, "{\"status\": \"Ok\", \"result\": \"value%u\"}", i);
        client_expect(&client, NULL, REPLY_OK);
        client_expect(&client, NULL, line);
    }
    cr_assert_eq(client_statistic(&client, "keys"), KEYS);
    free(commands);
    client_close(&client);
    server_stop(&server);
}

/* Clients that do not do their part. */

Test(connections, client_that_does_not_read_is_closed_and_holds_nobody_up)
{
    struct server server;
    struct client greedy;
    struct client other;
    static char big[200000];
    static const char get[] = "GET big\n";

    memset(big, 'x', sizeof big);
    memcpy(big, "PUT big ", 8);
    big[sizeof big - 1] = '\n';
    server_start(&server, "--write-timeout", "1s", "--log-level", "debug");
    client_connect(&greedy, &server);
    client_connect(&other, &server);
    client_send(&other, bytes_from(big, sizeof big));
    client_expect(&other, NULL, REPLY_OK);

    for (unsigned i = 0; i < 1000; i++)
        (void)client_send_without_reading(&greedy, bytes_from(get, sizeof get - 1), 0);
    client_expect(&other, "PING", PONG);

    server_expect_said(&server, "closed: the client took less than 32 KiB of its replies in 1000 ms (--write-timeout)");
    eventually(client_statistic(&other, "connections.open") == 1);
    client_close(&greedy);
    client_close(&other);
    server_stop(&server);
}

Test(connections, silent_client_is_closed_if_that_was_asked_for)
{
    struct server server;
    struct client client;

    server_start(&server, "--idle-timeout", "1s");
    client_connect(&client, &server);
    client_expect(&client, "PING", PONG);

    client_expect_end(&client);

    server_expect_said(&server, "closed: no byte came for 1000 ms (--idle-timeout)");
    client_close(&client);
    server_stop(&server);
}

Test(connections, silent_transaction_is_rolled_back_and_its_client_told)
{
    struct server server;
    struct client client;

    server_start(&server, "--transaction-timeout", "1s");
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT a 1", REPLY_OK);

    server_expect_said(&server, "Expired 1 transactions that were idle for 1000 ms (--transaction-timeout)");

    client_expect_error(&client, "PUT b 2", "timeout");
    client_expect_error(&client, "PUT c 3", "aborted");
    client_expect(&client, "ROLLBACK", REPLY_OK);
    client_expect(&client, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
    cr_assert_eq(client_statistic(&client, "transactions.timed_out"), 1);
    cr_assert_eq(client_statistic(&client, "transactions.open"), 0);
    client_close(&client);
    server_stop(&server);
}

Test(connections, browser_is_shown_out)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_send_text(&client, "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nPUT a 1\r\n");

    client_expect_error(&client, NULL, "syntax");
    client_expect_end(&client);

    client_close(&client);
    client_connect(&client, &server);
    client_expect_error(&client, "GET a", "not_found");
    client_close(&client);
    server_stop(&server);
}

Test(connections, client_that_resets_is_forgotten)
{
    struct server server;
    struct client client;
    struct client other;
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    server_start(&server);
    client_connect(&other, &server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    cr_assert_eq(setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
    client_close(&client);

    eventually(client_statistic(&other, "connections.open") == 1);
    cr_assert_eq(client_statistic(&other, "transactions.open"), 0);
    client_close(&other);
    server_stop(&server);
}

static unsigned local_port(const struct client *client)
{
    struct sockaddr_in address = {.sin_port = 0};
    socklen_t size = sizeof address;

    cr_assert_eq(getsockname(client->descriptor, (struct sockaddr *)&address, &size), 0);
    return ntohs(address.sin_port);
}

/* The timer of a connection, which the server has as [local, remote]: 2 is keepalive. Lines of /proc/net/tcp are
 * "  0: 0100007F:26A0 0100007F:C350 01 00000000:00000000 02:000003E8 ...". */
static char timer_of(unsigned local, unsigned remote)
{
    FILE *file = fopen("/proc/net/tcp", "re");
    char line[512];
    char ports[64];
    char timer = '0';

    cr_assert_not_null(file);
    (void)snprintf(ports, sizeof ports, "0100007F:%04X 0100007F:%04X ", local, remote);
    while (fgets(line, sizeof line, file) != NULL) {
        const char *found = strstr(line, ports);

        if (found != NULL && strlen(found) > 52)
            timer = found[strlen("0100007F:26A0 0100007F:C350 01 00000000:00000000 0")];
    }
    (void)fclose(file);
    return timer;
}

Test(connections, vanished_peers_will_be_found)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "PING", PONG);

    /* Just after a reply the timer is that of its retransmission. */
    eventually(timer_of(server_port(&server, 0), local_port(&client)) == '2');

    client_close(&client);
    server_stop(&server);
}

/* Many. */

Test(connections, thousand_clients_at_once_have_a_process_each)
{
    static struct client clients[1000];
    static pid_t workers[1000];
    struct server server;

    server_start(&server);
    for (unsigned i = 0; i < 1000; i++)
        client_connect(&clients[i], &server);
    for (unsigned i = 0; i < 1000; i++)
        client_send_text(&clients[i], "PING\n");
    for (unsigned i = 0; i < 1000; i++)
        client_expect(&clients[i], NULL, PONG);

    cr_assert_eq(client_statistic(&clients[0], "connections.open"), 1000);
    for (unsigned i = 0; i < 1000; i++)
        workers[i] = client_worker(&clients[i]);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert(driver_process_lives(workers[i]));
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(workers[i], workers[j]);
    }

    for (unsigned i = 1; i < 1000; i++)
        client_close(&clients[i]);
    eventually(server_children(&server, workers, 1000) <= 34); /* 32 spare ones, the first client's, the housekeeper */
    eventually(client_statistic(&clients[0], "workers.spare") == 32);
    cr_assert_eq(client_statistic(&clients[0], "connections.open"), 1);
    client_close(&clients[0]);
    server_stop(&server);
}
