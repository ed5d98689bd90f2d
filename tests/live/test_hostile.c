/* Limits, mistakes and malice, each against a server of its own: it answers what
 * it should, and afterwards it serves everybody else as if nothing had been. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/process.h"
#include "support/store_random.h"

#define LIMIT_BYTES ((size_t)1 << 20)
#define PIPELINED 100000u
#define KEYS 1000u

/* What a worker may have besides its connection's 4 MiB of replies and 1 MiB of lines; buffers double, and a new one is
 * filled before the old one goes. */
#define WORKER_KIB_MAX (20ul * 1024)

/* Reply of a line that is too long. */
#define TOO_LARGE(size) \
    "{\"status\": \"Error\", \"mesg\": \"Line of " size " bytes: the limit is 1048576 (--max-command)\", " \
    "\"code\": \"too_large\"}"

TestSuite(hostile, .timeout = 250);

static void expect_nothing_stored(struct client *client)
{
    client_expect(client, "COUNT", REPLY_NUMBER("0"));
}

/* --- text that is none --- */

static const char *const malformed[] = {
    "\x80", "\xbf", "\xc3", "\xe2\x82", "\xf0\x9f\x98",          /* a part of a character */
    "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf",      /* longer than needed */
    "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfc\x84\x80\x80\x80\x80",
    "\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\xbd\xed\xb8\x80",  /* surrogates */
    "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf7\xbf\xbf\xbf",  /* above U+10FFFF */
    "\xfe", "\xff", "\xc3\x28", "\xe2\x28\xa1", "\xf0\x28\x8c\xbc",
};

#define MALFORMED_COUNT (sizeof malformed / sizeof *malformed)

static void expect_with(struct client *client, const char *format, const char *sequence, const char *reply_or_code)
{
    char line[128];

    (void)snprintf(line, sizeof line, format, sequence);
    client_expect_either(client, line, reply_or_code);
}

Test(hostile, malformed_text_is_refused_wherever_it_stands)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    for (unsigned i = 0; i < MALFORMED_COUNT; i++) {
        expect_with(&client, "PUT key %s", malformed[i], "invalid_utf8");
        expect_with(&client, "PUT key before%safter", malformed[i], "invalid_utf8");
        expect_with(&client, "PUT %s value", malformed[i], "invalid_utf8");
        expect_with(&client, "GET %s", malformed[i], "invalid_utf8");
        expect_with(&client, "%s", malformed[i], "invalid_utf8");
        expect_with(&client, "PING %s", malformed[i], "invalid_utf8");
        expect_with(&client, "PUT {\"key\": \"k\", \"value\": \"%s\"}", malformed[i], "syntax");
        expect_with(&client, "DEL {\"key\": \"%s\"}", malformed[i], "syntax");
        client_expect(&client, "PING", REPLY_PONG);
    }
    expect_nothing_stored(&client);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* The one rule: it aborts START's transaction, or the one that its line names. */
Test(hostile, malformed_text_aborts_its_transaction)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "BEGIN", REPLY_BEGUN("1"));
    client_expect(&client, "PUT a 1 1", REPLY_OK);
    client_expect_error(&client, "PUT b \xff", "invalid_utf8");
    client_expect(&client, "PUT c 1 1", REPLY_OK);
    client_expect_error(&client, "COMMIT", "aborted");
    client_expect_error(&client, "PUT d \xff 1", "invalid_utf8");
    client_expect_error(&client, "COMMIT 1", "aborted");
    expect_nothing_stored(&client);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, text_at_the_edges_of_what_is_allowed_comes_back)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "PUT a \x7f\xc2\x80\xdf\xbf\xe0\xa0\x80", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("\\u007f\\u0080\\u07ff\\u0800"));
    client_expect(&client, "PUT a \xed\x9f\xbf\xee\x80\x80\xef\xbf\xbe\xef\xbf\xbf", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("\\ud7ff\\ue000\\ufffe\\uffff"));
    client_expect(&client, "PUT a \xf0\x90\x80\x80\xf4\x8f\xbf\xbf", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("\\ud800\\udc00\\udbff\\udfff"));
    client_expect(&client, "PUT a \xef\xbb\xbf\"\\/\b\f\x01\x1f", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("\\ufeff\\\"\\\\/\\b\\f\\u0001\\u001f"));
    client_expect(&client, "PUT a x\ry", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("x\\ry"));
    client_expect(&client, "PUT \xc2\xa0 \x0b", REPLY_OK);
    client_expect(&client, "GET \xc2\xa0", REPLY_VALUE("\\u000b"));
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

#define BYTES(literal) bytes_from((literal), sizeof(literal) - 1)

Test(hostile, nul_is_a_character_like_any_other)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_expect_bytes(&client, BYTES("PUT a\0b c\0d\0"), REPLY_OK);
    client_expect_bytes(&client, BYTES("GET a\0b"), REPLY_VALUE("c\\u0000d\\u0000"));
    client_expect(&client, "GET {\"key\": \"a\\u0000b\"}", REPLY_VALUE("c\\u0000d\\u0000"));
    client_expect(&client, "GET a", REPLY_NOT_FOUND);
    client_expect_bytes(&client, BYTES("PUT \0 \0"), REPLY_OK);
    client_expect_bytes(&client, BYTES("EXISTS \0"), REPLY_NUMBER("true"));
    client_expect_bytes(&client, BYTES("\0"), "unknown_command");
    client_expect_bytes(&client, BYTES("PING\0"), "unknown_command");
    client_expect_bytes(&client, BYTES("GET {\"key\": \"a\"}\0"), "syntax");
    client_expect_bytes(&client, BYTES("GET {\"key\": \"a\0b\"}"), "syntax");
    client_expect_bytes(&client, BYTES("COUNT a\0"), REPLY_NUMBER("1"));
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- lines at the limit --- */

/* PUT key xxx...: a line of that many bytes, with its end. */
static void compose_put(struct text *line, const char *key, size_t size, const char *line_end)
{
    text_clear(line);
    text_format(line, "PUT %s ", key);
    text_append_repeated(line, 'x', size - line->size);
    text_append_string(line, line_end);
}

static void expect_value_of(struct client *client, const char *key, size_t size)
{
    char line[64];
    const char *reply;

    (void)snprintf(line, sizeof line, "GET %s", key);
    reply = client_say(client, line);
    cr_assert_eq(strlen(reply), size + strlen(REPLY_VALUE("")));
    cr_assert_eq(strspn(reply + strlen("{\"status\": \"Ok\", \"result\": \""), "x"), size);
}

Test(hostile, line_at_the_limit_is_whole_and_one_over_it_is_nothing)
{
    struct server server;
    struct client client;
    struct text line = {.data = NULL};

    server_start(&server);
    client_connect(&client, &server);
    compose_put(&line, "a", LIMIT_BYTES, "\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, REPLY_OK);
    compose_put(&line, "b", LIMIT_BYTES, "\r\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, REPLY_OK);
    compose_put(&line, "c", LIMIT_BYTES + 1, "\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, TOO_LARGE("1048577"));
    compose_put(&line, "d", LIMIT_BYTES + 1, "\r\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, TOO_LARGE("1048577"));

    expect_value_of(&client, "a", LIMIT_BYTES - strlen("PUT a "));
    expect_value_of(&client, "b", LIMIT_BYTES - strlen("PUT b "));
    client_expect(&client, "COUNT", REPLY_NUMBER("2"));
    text_deinit(&line);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* One error for each, however long and whatever is in it; what stands before and behind is served. */
Test(hostile, lines_over_the_limit_get_one_error_each)
{
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};

    server_start(&server);
    client_connect(&client, &server);
    text_append_string(&lines, "PUT a 1\n");
    text_append_repeated(&lines, '\xff', 3 * LIMIT_BYTES);
    text_append_string(&lines, "\nGET a\n");
    text_append_repeated(&lines, '\0', LIMIT_BYTES + 1);
    text_append_string(&lines, "\n\n \t\n");
    text_append_repeated(&lines, ' ', LIMIT_BYTES + 1);
    text_append_string(&lines, "\r\nGET a\n");
    text_append_repeated(&lines, '\r', LIMIT_BYTES + 2);
    text_append_string(&lines, "\nGET a\n");
    client_send(&client, text_bytes(&lines));

    client_expect(&client, NULL, REPLY_OK);
    client_expect(&client, NULL, TOO_LARGE("1572864")); /* two are one, to telnet */
    client_expect(&client, NULL, REPLY_VALUE("1"));
    client_expect(&client, NULL, TOO_LARGE("1048577"));
    client_expect(&client, NULL, TOO_LARGE("1048577"));
    client_expect(&client, NULL, REPLY_VALUE("1"));
    client_expect(&client, NULL, TOO_LARGE("1048577"));
    client_expect(&client, NULL, REPLY_VALUE("1"));
    text_deinit(&lines);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, line_over_the_limit_aborts_the_transaction_that_it_names)
{
    struct server server;
    struct client client;
    struct text line = {.data = NULL};

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "BEGIN", REPLY_BEGUN("1"));
    client_expect(&client, "PUT b 1 1", REPLY_OK);
    compose_put(&line, "b", LIMIT_BYTES, "x 1\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, TOO_LARGE("1048579"));
    client_expect_error(&client, "COMMIT 1", "aborted");
    client_expect(&client, "COMMIT", REPLY_OK);
    client_expect(&client, "START", REPLY_OK);
    compose_put(&line, "b", LIMIT_BYTES + 1, "\n");
    client_send(&client, text_bytes(&line));
    client_expect(&client, NULL, TOO_LARGE("1048577"));
    client_expect_error(&client, "COMMIT", "aborted");
    client_expect(&client, "COUNT", REPLY_NUMBER("1"));
    text_deinit(&line);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, line_without_end_costs_no_memory)
{
    struct server server;
    struct client client;
    struct text piece = {.data = NULL};
    pid_t worker;

    server_start(&server);
    client_connect(&client, &server);
    worker = client_worker(&client);
    text_append_repeated(&piece, 'x', LIMIT_BYTES);
    for (unsigned i = 0; i < 64; i++) {
        client_send(&client, text_bytes(&piece));
        cr_assert_lt(private_memory_kib(&server, worker), WORKER_KIB_MAX);
    }
    client_expect(&client, "", TOO_LARGE("67108864"));
    client_expect(&client, "PING", REPLY_PONG);
    text_deinit(&piece);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, keys_are_limited_and_never_cut)
{
    struct server server;
    struct client client;
    struct text line = {.data = NULL};

    server_start(&server);
    client_connect(&client, &server);
    for (size_t size = 1024; size <= 1025; size++) {
        const char *reply = size == 1024 ? REPLY_OK : "too_large";

        text_clear(&line);
        text_append_string(&line, "PUT ");
        text_append_repeated(&line, 'k', size);
        text_append_string(&line, " 1");
        client_expect_bytes(&client, text_bytes(&line), reply);
        text_clear(&line);
        text_append_string(&line, "DEL {\"key\": \"");
        text_append_repeated(&line, 'd', size);
        text_append_string(&line, "\"}");
        client_expect_bytes(&client, text_bytes(&line), reply);
        text_clear(&line);
        text_append_string(&line, "COUNT ");
        text_append_repeated(&line, 'k', size);
        client_expect_bytes(&client, text_bytes(&line), size == 1024 ? REPLY_NUMBER("1") : "too_large");
    }
    client_expect(&client, "COUNT", REPLY_NUMBER("1"));
    text_deinit(&line);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* A value that no segment of that size can hold, within a line that is allowed. */
Test(hostile, value_that_never_fits_is_refused_and_nothing_else_is_lost)
{
    struct server server;
    struct client client;
    struct text line = {.data = NULL};

    server_start(&server, "--memory", "2m", "--max-command", "8m");
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    compose_put(&line, "b", 7 * LIMIT_BYTES, "");
    client_send(&client, text_bytes(&line));
    cr_assert_not_null(strstr(client_say(&client, ""), "\"status\": \"Error\""));
    client_expect(&client, "GET a", REPLY_VALUE("1"));
    client_expect(&client, "COUNT", REPLY_NUMBER("1"));
    text_deinit(&line);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, full_memory_refuses_writes_and_nothing_else)
{
    struct server server;
    struct client client;
    struct text line = {.data = NULL};
    char put[64];
    unsigned stored = 0;
    const char *reply;

    server_start(&server, "--memory", "4m");
    client_connect(&client, &server);
    for (bool is_full = false; !is_full; stored += !is_full) {
        (void)snprintf(put, sizeof put, "k%u", stored);
        compose_put(&line, put, 10000, "");
        client_send(&client, text_bytes(&line));
        reply = client_say(&client, "");
        is_full = strstr(reply, "\"code\": \"out_of_memory\"") != NULL;
        cr_assert(is_full || strcmp(reply, REPLY_OK) == 0, "%s", reply);
    }
    cr_assert_gt(stored, 100);
    cr_assert_eq(client_statistic(&client, "keys"), stored);
    for (unsigned i = 0; i < stored; i++) {
        (void)snprintf(put, sizeof put, "k%u", i);
        expect_value_of(&client, put, 10000 - strlen("PUT  ") - strlen(put));
    }
    (void)snprintf(put, sizeof put, "%u", stored);
    client_expect(&client, "START", REPLY_OK);
    expect_value_of(&client, "k0", 10000 - strlen("PUT k0 "));
    cr_assert_not_null(strstr(client_say(&client, "COUNT"), put));
    cr_assert_not_null(strstr(client_say(&client, "SCAN 0"), "\"cursor\""));
    client_expect(&client, "ROLLBACK", REPLY_OK);
    client_expect(&client, "DEL k0", REPLY_OK);
    client_expect(&client, "PUT k0 again", REPLY_OK);
    client_expect(&client, "GET k0", REPLY_VALUE("again"));
    text_deinit(&line);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- pipelines --- */

static void fill_keys(const struct server *server, size_t value_bytes)
{
    struct client client;
    struct text lines = {.data = NULL};

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++) {
        text_format(&lines, "PUT k%u %u.", i, i);
        text_append_repeated(&lines, 'x', value_bytes);
        text_append_string(&lines, "\n");
    }
    client_send(&client, text_bytes(&lines));
    client_expect_ok_times(&client, KEYS);
    text_deinit(&lines);
    client_close(&client);
}

/* Each worth value_bytes of reply, all in one go, by a client that reads nothing before the last one is out. */
static void pipeline_and_read_late(size_t value_bytes)
{
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};
    char begin[64];
    pid_t worker;

    server_start(&server);
    fill_keys(&server, value_bytes);
    client_connect(&client, &server);
    worker = client_worker(&client);
    for (unsigned i = 0; i < PIPELINED; i++)
        text_format(&lines, "GET k%u\n", i % KEYS);
    cr_assert_eq(client_send_without_reading(&client, text_bytes(&lines), DRIVER_PATIENCE_MS), lines.size);
    server_expect_unharmed(&server, 1);
    process_wait_until_asleep(worker); /* it can do no more before somebody reads */
    cr_assert_lt(private_memory_kib(&server, worker), WORKER_KIB_MAX);

    for (unsigned i = 0; i < PIPELINED; i++) {
        const char *reply = client_read_line(&client);

        (void)snprintf(begin, sizeof begin, "{\"status\": \"Ok\", \"result\": \"%u.", i % KEYS);
        cr_assert_not_null(reply, "after %u replies", i);
        cr_assert_eq(strncmp(reply, begin, strlen(begin)), 0, "%u: %s", i, reply);
        cr_assert_eq(strlen(reply), strlen(begin) + value_bytes + strlen("\"}"));
    }
    client_expect(&client, "PING", REPLY_PONG);
    text_deinit(&lines);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, hundred_thousand_commands_are_answered_to_a_client_that_reads_late)
{
    pipeline_and_read_late(10);
}

/* 100 MB of replies: far more than the server keeps for anybody. */
Test(hostile, hundred_thousand_long_replies_wait_for_a_client_that_reads_late)
{
    pipeline_and_read_late(1000);
}

/* More than the system keeps for either side: 5 MB of replies, then 10 MB of lines with short replies. Whoever writes all
 * before he reads must not wait for ever. */
Test(hostile, client_that_reads_nothing_before_all_is_written_can_write_all)
{
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};

    server_start(&server);
    fill_keys(&server, 1000);
    client_connect(&client, &server);
    for (unsigned i = 0; i < 5000; i++)
        text_format(&lines, "GET k%u\n", i % KEYS);
    for (unsigned i = 0; i < 20000; i++) {
        text_append_string(&lines, "PUT a ");
        text_append_repeated(&lines, 'x', 500);
        text_append_string(&lines, "\n");
    }
    cr_assert_eq(client_send_without_reading(&client, text_bytes(&lines), DRIVER_PATIENCE_MS), lines.size);

    for (unsigned i = 0; i < 5000; i++)
        cr_assert_not_null(client_read_line(&client));
    client_expect_ok_times(&client, 20000);
    client_expect(&client, "PING", REPLY_PONG);
    text_deinit(&lines);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, readers_that_stop_hold_nobody_up_and_lose_nothing)
{
    static struct client stopped[20];
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};

    server_start(&server);
    fill_keys(&server, 1000);
    for (unsigned i = 0; i < 10000; i++)
        text_format(&lines, "GET k%u\n", i % KEYS);
    text_append_string(&lines, "PING\n");
    for (unsigned i = 0; i < 20; i++) {
        client_connect(&stopped[i], &server);
        cr_assert_eq(client_send_without_reading(&stopped[i], text_bytes(&lines), DRIVER_PATIENCE_MS), lines.size);
    }
    client_connect(&client, &server);
    for (unsigned i = 0; i < 100; i++)
        client_expect(&client, "PUT a 1", REPLY_OK);
    server_expect_unharmed(&server, 21);

    for (unsigned i = 0; i < 10; i++) {
        for (unsigned line = 0; line < 10000; line++)
            cr_assert_not_null(client_read_line(&stopped[i]));
        client_expect(&stopped[i], NULL, REPLY_PONG);
    }
    for (unsigned i = 0; i < 20; i++)
        client_close(&stopped[i]);
    client_close(&client);
    text_deinit(&lines);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- halves --- */

Test(hostile, half_lines_and_silence_hold_nobody_up)
{
    static struct client silent[100];
    struct server server;
    struct client client;
    char line[32];

    server_start(&server);
    for (unsigned i = 0; i < 100; i++) {
        (void)snprintf(line, sizeof line, "PUT half%u ", i);
        client_connect(&silent[i], &server);
        client_send_text(&silent[i], line);
    }
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "COUNT", REPLY_NUMBER("1"));
    server_expect_unharmed(&server, 101);

    for (unsigned i = 0; i < 50; i++)
        client_expect(&silent[i], "other half", REPLY_OK);
    for (unsigned i = 0; i < 100; i++)
        client_close(&silent[i]);
    client_expect(&client, "COUNT half", REPLY_NUMBER("50"));
    client_expect(&client, "GET half49", REPLY_VALUE("other half"));
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, half_closed_sockets_get_all_that_they_asked_for)
{
    struct server server;
    struct client client;
    struct text lines = {.data = NULL};

    server_start(&server);
    fill_keys(&server, 1000);
    for (unsigned i = 0; i < 20000; i++)
        text_format(&lines, "GET k%u\n", i % KEYS);
    text_append_string(&lines, "PUT last 1\nPUT never 1");
    client_connect(&client, &server);
    cr_assert_eq(client_send_without_reading(&client, text_bytes(&lines), DRIVER_PATIENCE_MS), lines.size);
    client_end_input(&client);
    server_expect_unharmed(&server, 1);
    for (unsigned i = 0; i < 20000; i++)
        cr_assert_not_null(client_read_line(&client));
    client_expect(&client, NULL, REPLY_OK);
    client_expect_end(&client);
    client_close(&client);

    client_connect(&client, &server);
    client_end_input(&client);
    client_expect_end(&client);
    client_close(&client);

    /* Who will not read either: the commands run all the same. */
    client_connect(&client, &server);
    (void)shutdown(client.descriptor, SHUT_RD);
    client_send_text(&client, "PUT deaf 1\n");
    client_end_input(&client);
    client_close(&client);
    client_connect(&client, &server);
    eventually(strcmp(client_say(&client, "EXISTS deaf"), REPLY_NUMBER("true")) == 0);
    client_expect(&client, "EXISTS last", REPLY_NUMBER("true"));
    client_expect(&client, "EXISTS never", REPLY_NUMBER("false"));
    client_close(&client);
    text_deinit(&lines);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- other protocols --- */

static void expect_shown_out(const struct server *server, struct bytes request, unsigned replies_before)
{
    struct client client;

    client_connect(&client, server);
    client_send(&client, request);
    for (unsigned i = 0; i < replies_before; i++)
        cr_assert_not_null(client_read_line(&client));
    client_expect_error(&client, NULL, "syntax");
    client_expect_end(&client);
    client_close(&client);
}

Test(hostile, browsers_store_nothing)
{
    struct server server;
    struct client client;
    struct text request = {.data = NULL};

    server_start(&server);
    expect_shown_out(&server, BYTES("GET / HTTP/1.1\r\nHost: localhost:9888\r\n\r\nPUT a 1\n"), 0);
    expect_shown_out(&server, BYTES("POST /x HTTP/1.0\r\nContent-Length: 9\r\n\r\nPUT a 1\r\n"), 0);
    expect_shown_out(&server, BYTES("\r\n\r\nPUT / HTTP/1.1\r\n\r\nPUT a 1\n"), 0);
    expect_shown_out(&server, BYTES("OPTIONS / HTTP/2.0\r\nHOST:x\r\n\r\nPUT a 1\n"), 1);
    expect_shown_out(&server, BYTES("START\nPUT a 1\nhost: x\nCOMMIT\n"), 2);
    text_append_string(&request, "GET /");
    text_append_repeated(&request, 'x', 2 * LIMIT_BYTES);
    text_append_string(&request, " HTTP/1.1\r\n\r\nPUT a 1\n");
    expect_shown_out(&server, text_bytes(&request), 0);
    text_clear(&request);
    text_append_string(&request, "Host: ");
    text_append_repeated(&request, 'x', 2 * LIMIT_BYTES);
    text_append_string(&request, "\r\n\r\nPUT a 1\n");
    expect_shown_out(&server, text_bytes(&request), 0);

    client_connect(&client, &server);
    expect_nothing_stored(&client);
    client_expect(&client, "PUT page HTTP/1.1 in a later line is data", REPLY_OK);
    client_expect(&client, "PUT page GET / HTTP/1.1", REPLY_OK);
    client_close(&client);
    text_deinit(&request);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* What telnet may send for an interrupt, with an urgent byte: the line is dropped, the mark is answered. */
Test(hostile, telnet_that_is_interrupted_goes_on)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_send(&client, BYTES("PUT a\xff\xf4"));
    cr_assert_eq(send(client.descriptor, "\xff", 1, MSG_OOB | MSG_NOSIGNAL), 1);
    client_send(&client, BYTES("\xfd\x06\r\nPUT b 1\r\n"));
    client_expect(&client, NULL, "\xff\xfb\x06" REPLY_OK);
    client_expect(&client, "GET a", REPLY_NOT_FOUND);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- noise --- */

/* How many replies the bytes must get: one for each line that is not blank. */
static unsigned count_lines(struct bytes bytes)
{
    unsigned count = 0;
    bool is_blank = true;

    for (size_t i = 0; i < bytes.size; i++) {
        bool is_line_end = bytes.data[i] == '\n';
        bool is_dropped = bytes.data[i] == '\r' && i + 1 < bytes.size && bytes.data[i + 1] == '\n';

        count += is_line_end && !is_blank;
        if (is_line_end)
            is_blank = true;
        else if (bytes.data[i] != ' ' && bytes.data[i] != '\t' && !is_dropped)
            is_blank = false;
    }
    return count;
}

static void expect_reply_is_sound(const char *reply, uint64_t seed)
{
    cJSON *object = cJSON_Parse(reply);
    const cJSON *status = cJSON_GetObjectItemCaseSensitive(object, "status");

    cr_assert(cJSON_IsString(status), "HAUSKV_TEST_SEED=%" PRIu64 ": %s", seed, reply);
    cr_assert_eq(cJSON_HasObjectItem(object, "code"), strcmp(status->valuestring, "Error") == 0);
    cJSON_Delete(object);
}

/* In pieces of any size. */
static void send_noise(struct client *client, struct bytes noise, struct store_random *random)
{
    while (noise.size > 0) {
        size_t size = 1 + store_random_below(random, 4096);

        size = size < noise.size ? size : noise.size;
        client_send(client, bytes_slice(noise, 0, size));
        noise = bytes_slice(noise, size, noise.size - size);
    }
}

static void expect_answers_to_noise(const struct server *server, struct bytes noise, struct store_random *random,
                                    uint64_t seed)
{
    struct client client;
    unsigned replies = 0;
    const char *reply;

    client_connect(&client, server);
    send_noise(&client, noise, random);
    client_end_input(&client);
    for (; (reply = client_read_line(&client)) != NULL; replies++)
        expect_reply_is_sound(reply, seed);
    cr_assert_eq(replies, count_lines(noise), "HAUSKV_TEST_SEED=%" PRIu64, seed);
    client_close(&client);
}

/* Any bytes, but with so many line ends. */
static void compose_bytes(struct text *noise, struct store_random *random)
{
    size_t size = store_random_below(random, 20000);
    uint64_t line_bytes = 2 + store_random_below(random, 100);

    text_clear(noise);
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)store_random_below(random, 256);

        if (store_random_one_in(random, line_bytes))
            byte = '\n';
        if (byte == 0xff)
            byte = 0xfe; /* telnet's commands take part in no line */
        text_append(noise, bytes_from(&byte, 1));
    }
}

static const char *const tokens[] = {
    "PUT", "get", "DEL", "exists", "COUNT", "SCAN", "START", "begin", "COMMIT", "ROLLBACK", "PING", "HELP", "STATS",
    " ", " ", " ", " ", "\t", "\r", "\n", "\n", "\n", "\r\n", "0", "1", "2", "3", "-1", "01", "18446744073709551616",
    "a", "b", "c", "SERIALIZABLE", "READ", "COMMITTED", "LOCKING", "{", "}", "\"", "\\", "\\u0000", "\\ud800", ":", ",",
    "{\"key\": \"a\"}", "{\"key\": \"a\", \"value\": \"b\"}", "{\"prefix\": \"\"}", "\xe8\xaf\xb4", "\xff", "\xc2\xa0",
};

static void compose_tokens(struct text *noise, struct store_random *random)
{
    size_t count = store_random_below(random, 4000);

    text_clear(noise);
    for (size_t i = 0; i < count; i++) {
        text_append_string(noise, tokens[store_random_below(random, sizeof tokens / sizeof *tokens)]);
        if (store_random_one_in(random, 2))
            text_append_string(noise, " ");
    }
}

static void answers_noise(void (*compose)(struct text *, struct store_random *), unsigned rounds)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct server server;
    struct text noise = {.data = NULL};

    server_start(&server);
    for (unsigned round = 0; round < rounds; round++) {
        compose(&noise, &random);
        expect_answers_to_noise(&server, text_bytes(&noise), &random, seed);
    }
    fprintf(stderr, "noise, HAUSKV_TEST_SEED=%" PRIu64 ": %u rounds\n", seed, rounds);
    text_deinit(&noise);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(hostile, random_bytes_are_answered_line_by_line)
{
    answers_noise(compose_bytes, 200);
}

Test(hostile, random_words_are_answered_line_by_line)
{
    answers_noise(compose_tokens, 200);
}

/* --- comings and goings --- */

Test(hostile, clients_that_go_at_once_leave_nothing_behind)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct server server;
    struct client client;

    server_start(&server, "--min-spare", "2", "--max-spare", "4");
    for (unsigned i = 0; i < 1000; i++) {
        client_connect(&client, &server);
        if (i % 2 == 0)
            client_send_text(&client, "START\nPUT a 1\nBEGIN\nGET a\nPUT b");
        if (i % 3 == 0)
            cr_assert_eq(setsockopt(client.descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), 0);
        client_close(&client);
    }
    client_connect(&client, &server);
    eventually(client_statistic(&client, "connections.open") == 1);
    cr_assert_eq(client_statistic(&client, "transactions.open"), 0);
    expect_nothing_stored(&client);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* A Unix socket carries descriptors beside bytes; nobody asked for them. */
static void send_with_descriptor(const struct client *client, const char *text, int descriptor)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof descriptor)] = {0};
    struct iovec piece = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr message = {
        .msg_iov = &piece, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof descriptor);
    memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
    cr_assert_eq(sendmsg(client->descriptor, &message, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

Test(hostile, descriptors_sent_along_are_not_taken)
{
    struct server server;
    struct client client;
    char path[100];
    char byte;
    int ends[2];

    live_socket_path(path, sizeof path);
    server_start(&server, "--unix", path);
    client_connect_to(&client, &server, path);
    cr_assert_eq(pipe(ends), 0);
    send_with_descriptor(&client, "PING\n", ends[1]);
    client_expect(&client, NULL, REPLY_PONG);
    (void)close(ends[1]);

    cr_assert_eq(read(ends[0], &byte, 1), 0, "the server still has the other end");

    (void)close(ends[0]);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
