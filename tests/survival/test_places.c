/* Places in the store for the server's processes: a full store turns no client
 * away, whatever has filled it. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "segment/process_table.h"
#include "survival/survival_support.h"

#define CLIENTS 40u

TestSuite(places, .timeout = 120);

/* Puts values of ever smaller sizes, until not even the smallest fits. */
static void fill(const struct server *server)
{
    static const size_t sizes[] = {12000, 1000, 100, 1};
    struct client client;
    struct text line = {0};

    client_connect(&client, server);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned number = 0;
        const char *reply;

        do {
            text_clear(&line);
            text_format(&line, "PUT fill%zu.%u ", i, number++);
            text_append_repeated(&line, 'v', sizes[i]);
            text_append(&line, bytes_from("\n", 1));
            client_send(&client, text_bytes(&line));
            reply = client_read_line(&client);
        } while (strcmp(reply, REPLY_OK) == 0);
        cr_assert_not_null(strstr(reply, "\"out_of_memory\""), "%s", reply);
    }
    text_deinit(&line);
    client_close(&client);
}

/* As many as there may be. The places of those who went before are free when only the first has one. */
static void expect_clients(const struct server *server, struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        client_connect(&clients[i], server);
        client_expect(&clients[i], "PING", REPLY_PONG);
        if (i == 0)
            eventually(client_statistic(&clients[0], "connections.open") == 1);
    }
}

static void close_clients(struct client *clients, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_close(&clients[i]);
}

Test(places, full_store_turns_no_client_away)
{
    static struct client clients[CLIENTS];
    struct server server;

    server_start(&server, "--memory", "2m", "--max-clients", "40", "--min-spare", "2");
    fill(&server);

    expect_clients(&server, clients, CLIENTS);

    client_expect(&clients[CLIENTS - 1], "DEL fill0.0", REPLY_OK);
    close_clients(clients, CLIENTS);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(places, full_store_that_is_taken_over_serves_as_many_as_it_can)
{
    static struct client clients[CLIENTS];
    struct server server;
    struct server next;
    unsigned most = 0;

    server_start(&server, "--memory", "2m", "--max-clients", "4", "--min-spare", "2", "--discard=no");
    fill(&server);
    server_kill_all(&server);
    server_forget(&server);

    server_start(&next, "--memory", "2m", "--max-clients", "500", "--min-spare", "2", "--name", server.name);

    if (!server_has_said(&next, "clients in place of 500 (--max-clients): the segment"))
        driver_fail(&next, "the server has not said that it has fewer places");
    for (bool is_served = true; is_served && most < CLIENTS; most += is_served) {
        client_connect(&clients[most], &next);
        is_served = strcmp(client_say(&clients[most], "PING"), REPLY_PONG) == 0;
        if (!is_served)
            client_close(&clients[most]);
    }
    cr_assert_geq(most, 14);
    cr_assert_lt(most, CLIENTS);
    close_clients(clients, most);
    server_stop(&next);
}

Test(places, more_clients_than_the_memory_has_places_for_are_refused)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--memory", "2m", "--max-clients", "3000"), 1);

    cr_assert(server_has_said(&server, "--max-clients 3000 and --min-spare 8 need "));
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
}

/* Holds every place that nobody has, as processes would that cannot be got rid of; returns how many. */
static unsigned hold_free_places(const struct segment_file *file)
{
    const struct segment_header *header = segment_file_header(file);
    unsigned held = 0;

    for (unsigned block = 0; block < SEGMENT_SLOT_BLOCKS_MAX; block++) {
        uint32_t chunk = atomic_load(&header->slot_blocks[block]);

        for (unsigned i = 0; chunk != 0 && i < SLOTS_PER_BLOCK; i++) {
            struct process_slot *slot = (struct process_slot *)(void *)segment_file_chunk(file, chunk) + i;

            held += robust_mutex_trylock(&slot->life) == MUTEX_LOCKED;
        }
    }
    return held;
}

#define NO_PLACE \
    "{\"status\": \"Error\", \"mesg\": \"Too many clients: the store has no place for another\", " \
    "\"code\": \"too_many_clients\"}"

Test(places, client_without_a_place_is_told_so)
{
    static struct client clients[CLIENTS];
    struct server server;
    struct segment_file file;
    const char *reply = REPLY_PONG;
    unsigned count = 0;
    unsigned held = 0;

    server_start(&server, "--memory", "2m", "--max-clients", "40", "--min-spare", "1", "--max-spare", "1");
    fill(&server);
    file = segment_file_map(&server);
    while (strcmp(reply, REPLY_PONG) == 0 && count < CLIENTS) {
        held += hold_free_places(&file);
        client_connect(&clients[count], &server);
        reply = client_say(&clients[count++], "PING");
    }
    cr_assert_gt(held, 0);

    cr_assert_str_eq(reply, NO_PLACE);
    client_expect_end(&clients[count - 1]);
    for (unsigned i = 0; i < 3; i++) {
        client_close(&clients[count - 1]);
        client_connect(&clients[count - 1], &server);
        client_expect(&clients[count - 1], "PING", NO_PLACE);
    }
    cr_assert_eq(server_count_said(&server, "A worker found no place in the store"), 1);
    client_expect(&clients[0], "PING", REPLY_PONG);
    close_clients(clients, count);
    server_stop(&server);
    segment_file_unmap(&file);
}

/* The next server may be of a build with other verbs, for which the numbers would mean something else. */
Test(places, counts_begin_with_the_server)
{
    struct server server;
    struct server next;
    struct client client;

    server_start(&server, "--discard=no");
    client_connect(&client, &server);
    for (unsigned i = 0; i < 3; i++)
        client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "START", REPLY_OK);
    server_kill_all(&server);
    client_close(&client);
    server_forget(&server);
    server_start(&next, "--name", server.name);
    client_connect(&client, &next);

    cr_assert_eq(client_statistic(&client, "keys"), 1);
    cr_assert_eq(client_statistic(&client, "commands.PUT"), 0);
    cr_assert_eq(client_statistic(&client, "transactions.started"), 0);
    cr_assert_eq(client_statistic(&client, "transactions.rolled_back"), 0);
    client_close(&client);
    server_stop(&next);
}
