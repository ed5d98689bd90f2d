/* What a worker remembers for its client outside of --memory is bounded: the ids that it gave, the keys that were read.
 * SOAK_BEGINS: so many BEGINs of a connection, between each two of which others say 64; from 65,537 on the limit is
 * reached. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/store_random.h"

#define BEGINS_USUAL 500u
#define OTHERS_BETWEEN 64u
#define RANGES_MAX 65536u
#define GROWTH_KIB_MAX 3072ul /* 1 MiB of ranges that was 0.5 MiB before, and what the C library keeps */

TestSuite(private_memory, .timeout = 3600);

/* Between two ids of a connection: 64 that others got. */
static void others_begin(struct client *other, uint64_t first_id, struct text *lines)
{
    text_clear(lines);
    for (uint64_t id = first_id; id < first_id + OTHERS_BETWEEN; id++)
        text_format(lines, "BEGIN\nROLLBACK %" PRIu64 "\n", id);
    client_send(other, text_bytes(lines));
    for (unsigned i = 0; i < OTHERS_BETWEEN; i++) {
        char begun[64];

        (void)snprintf(begun, sizeof begun, REPLY_BEGUN("%" PRIu64), first_id + i);
        client_expect(other, NULL, begun);
        client_expect(other, NULL, REPLY_OK);
    }
}

Test(private_memory, of_ids_that_were_given_in_turn_with_others)
{
    uint64_t wanted = store_environment_number("SOAK_BEGINS", BEGINS_USUAL);
    struct server server;
    struct client client;
    struct client other;
    struct text lines = {.data = NULL};
    unsigned long before_kib;
    uint64_t id = 1;
    uint64_t given;

    server_start(&server);
    client_connect(&client, &server);
    before_kib = private_memory_kib(&server, client_worker(&client));
    for (given = 0;; given++, id += 1 + OTHERS_BETWEEN) {
        char reply[64];

        client_send_text(&client, "BEGIN\n");
        if (given == RANGES_MAX || given == wanted)
            break;
        (void)snprintf(reply, sizeof reply, REPLY_BEGUN("%" PRIu64), id);
        client_expect(&client, NULL, reply);
        (void)snprintf(reply, sizeof reply, "ROLLBACK %" PRIu64, id);
        client_expect(&client, reply, REPLY_OK);
        if (given % 1000 == 0) { /* one that goes on would reach the limit itself */
            if (given > 0)
                client_close(&other);
            client_connect(&other, &server);
        }
        others_begin(&other, id + 1, &lines);
    }
    if (given < RANGES_MAX)
        (void)client_read_line(&client);
    else
        client_expect_error(&client, NULL, "too_large");
    cr_assert_lt(private_memory_kib(&server, client_worker(&client)), before_kib + GROWTH_KIB_MAX);

    client_expect_error(&client, "GET a 1", "unknown_transaction"); /* nothing was forgotten */
    client_close(&client);
    client_connect(&client, &server);
    (void)snprintf(lines.data, lines.capacity, REPLY_BEGUN("%" PRIu64), id + 1);
    client_expect(&client, "BEGIN", lines.data);
    if (wanted != BEGINS_USUAL)
        printf("figures: a connection was given %" PRIu64 " ids, %" PRIu64 " in all\n", given, id);
    text_deinit(&lines);
    client_close(&client);
    client_close(&other);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* Eight transactions that together read more than they may: the last one is told so and aborted, the others go on. */
Test(private_memory, of_reads_is_that_of_all_transactions_of_a_connection)
{
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};
    unsigned long before_kib;
    const char *reply = "";

    server_start(&server, "--max-reads", "1m");
    client_connect(&client, &server);
    before_kib = private_memory_kib(&server, client_worker(&client));
    for (unsigned id = 1; id <= 8; id++)
        (void)client_say(&client, "BEGIN");
    for (unsigned i = 0; i < 4000 && strstr(reply, "too_large") == NULL; i++) {
        text_clear(&lines);
        text_format(&lines, "GET %u.", i);
        text_append_repeated(&lines, 'k', 1000);
        text_format(&lines, " %u", 1 + i % 8);
        text_append(&lines, bytes_from("", 1));
        reply = client_say(&client, lines.data);
    }
    cr_assert_not_null(strstr(reply, "the limit is 1048576 bytes to remember them in (--max-reads)"), "%s", reply);
    cr_assert_lt(private_memory_kib(&server, client_worker(&client)), before_kib + GROWTH_KIB_MAX);
    client_expect_error(&client, lines.data, "aborted");
    client_expect(&client, "PUT a 1 1", REPLY_OK);
    client_expect(&client, "COMMIT 1", REPLY_OK);
    text_deinit(&lines);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
