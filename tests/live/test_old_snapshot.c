/* One client that reads now and then in an old transaction, beside others that
 * overwrite: memory is not full for ever. */
#include <criterion/criterion.h>
#include <string.h>

#include "live/live_support.h"

#define VALUE_BYTES 200000u

TestSuite(old_snapshot, .timeout = 120);

static void compose_put(struct text *line)
{
    text_append_string(line, "PUT key ");
    text_append_repeated(line, 'x', VALUE_BYTES);
    text_append_string(line, "\n");
}

/* False: no memory. */
static bool overwrites(struct client *client, const struct text *line)
{
    const char *reply;

    client_send(client, text_bytes(line));
    reply = client_read_line(client);
    cr_assert_not_null(reply);
    if (strcmp(reply, REPLY_OK) == 0)
        return true;
    cr_assert_not_null(strstr(reply, "\"code\": \"out_of_memory\""), "%s", reply);
    return false;
}

/* The reader is never idle for long, so nothing but the age of its snapshot ends it. */
static const char *read_until_it_ends(struct client *reader, struct client *writer, const struct text *line)
{
    const char *reply = NULL;

    do {
        (void)overwrites(writer, line);
        reply = client_say(reader, "GET small");
    } while (strcmp(reply, REPLY_VALUE("v")) == 0);
    return reply;
}

Test(old_snapshot, is_ended_when_others_need_what_it_holds_back)
{
    struct text line = {0};
    struct server server;
    struct client reader;
    struct client writer;

    compose_put(&line);
    server_start(&server, "--memory", "8m", "--snapshot-timeout", "300ms");
    client_connect(&reader, &server);
    client_connect(&writer, &server);
    client_expect(&writer, "PUT small v", REPLY_OK);
    client_expect(&reader, "START", REPLY_OK);
    client_expect(&reader, "GET small", REPLY_VALUE("v"));

    cr_assert_str_eq(read_until_it_ends(&reader, &writer, &line),
                     "{\"status\": \"Error\", \"mesg\": \"The transaction's snapshot was too old, others needed the memory that it "
                     "held back; it is rolled back (--snapshot-timeout)\", \"code\": \"timeout\"}");
    for (unsigned i = 0; i < 100; i++)
        cr_assert(overwrites(&writer, &line), "overwrite %u", i);
    server_expect_said(&server, "ended a transaction: its snapshot was older than 300 ms and held back memory that others "
                                "needed (--snapshot-timeout)");
    client_expect_error(&reader, "COMMIT", "aborted");
    cr_assert_eq(client_statistic(&reader, "transactions.timed_out"), 1);
    client_close(&reader);
    client_close(&writer);
    text_deinit(&line);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* It does not come between two commands, where the others of its kind are told. */
Test(old_snapshot, is_ended_where_its_commit_waits_for_a_key)
{
    const char *reply = NULL;
    struct text line = {0};
    struct server server;
    struct client holder;
    struct client reader;
    struct client writer;

    compose_put(&line);
    server_start(&server, "--memory", "8m", "--snapshot-timeout", "300ms", "--lock-timeout", "0");
    client_connect(&holder, &server);
    client_connect(&reader, &server);
    client_connect(&writer, &server);
    client_expect(&writer, "PUT small v", REPLY_OK);
    client_expect(&holder, "START LOCKING", REPLY_OK);
    client_expect(&holder, "PUT held h", REPLY_OK);
    client_expect(&reader, "START", REPLY_OK);
    client_expect(&reader, "GET small", REPLY_VALUE("v"));
    client_expect(&reader, "PUT held r", REPLY_OK);
    client_send_text(&reader, "COMMIT\n");

    for (bool is_late = true; is_late; reply = client_read_line_within(&reader, 10, &is_late))
        (void)overwrites(&writer, &line);

    cr_assert_not_null(reply);
    cr_assert_not_null(strstr(reply, "(--snapshot-timeout)"), "%s", reply);
    for (unsigned i = 0; i < 100; i++)
        cr_assert(overwrites(&writer, &line), "overwrite %u", i);
    server_expect_said(&server, "ended a transaction: its snapshot was older than 300 ms");
    client_expect(&reader, "GET small", REPLY_VALUE("v"));
    client_expect(&holder, "COMMIT", REPLY_OK);
    client_expect(&reader, "GET held", REPLY_VALUE("h"));
    client_close(&holder);
    client_close(&reader);
    client_close(&writer);
    text_deinit(&line);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
