/* A start that finds a segment of another build: it is copied if it is whole, and
 * kept if it is not. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/survival_support.h"
#include "table/table.h"

TestSuite(conversion, .timeout = 120);

#define KEYS 2000u
#define LARGE_BYTES 1000000u
#define OTHER 0x1234u /* any bits of a fingerprint */

static void put_keys(const struct server *server)
{
    struct client client;
    struct text lines = {0};

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++)
        text_format(&lines, "PUT key%04u value%u\n", i, i);
    client_send(&client, text_bytes(&lines));
    client_expect_ok_times(&client, KEYS);
    text_clear(&lines);
    text_format(&lines, "PUT large ");
    text_append_repeated(&lines, 'l', LARGE_BYTES);
    client_expect_bytes(&client, text_bytes(&lines), REPLY_OK);
    client_expect(&client, "DEL key0000", REPLY_OK);
    text_deinit(&lines);
    client_close(&client);
}

static void expect_keys(const struct server *server)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "COUNT", REPLY_NUMBER("2000"));
    client_expect_error(&client, "GET key0000", "not_found");
    for (unsigned i = 1; i < KEYS; i += 111) {
        char line[32];
        char reply[64];

        (void)snprintf(line, sizeof line, "GET key%04u", i);
        (void)snprintf(reply, sizeof reply, "{\"status\": \"Ok\", \"result\": \"value%u\"}", i);
        client_expect(&client, line, reply);
    }
    cr_assert_gt(strlen(client_say(&client, "GET large")), LARGE_BYTES);
    client_close(&client);
}

static uint64_t fingerprint_of(const struct server *server)
{
    struct segment_file file = segment_file_map(server);
    uint64_t fingerprint = segment_file_header(&file)->fingerprint;

    segment_file_unmap(&file);
    return fingerprint;
}

/* What a server of another build leaves, as far as a start can tell. Returns this build's fingerprint. */
static uint64_t leave_of_another_build(struct server *server, bool is_killed)
{
    struct segment_file file;
    uint64_t ours;

    server_start(server, "--discard=no", "--memory", "16m");
    put_keys(server);
    if (is_killed) {
        server_kill_all(server);
    } else {
        server_signal(server, SIGTERM);
        cr_assert_eq(server_wait(server), 0);
    }
    file = segment_file_map(server);
    ours = segment_file_header(&file)->fingerprint;
    segment_file_header(&file)->fingerprint ^= OTHER;
    segment_file_unmap(&file);
    return ours;
}

static void copies_segment_of_server_that(bool is_killed)
{
    struct server server;
    struct server next;
    uint64_t ours = leave_of_another_build(&server, is_killed);

    server_start(&next, "--name", server.name, "--discard=no");
    cr_assert(server_has_said(&next, "which a build with another layout had made: 2000 keys"));
    expect_keys(&next);
    cr_assert_eq(fingerprint_of(&next), ours);
    server_kill_all(&next);
    server_forget(&next);

    server_start(&next, "--name", server.name);
    cr_assert(server_has_said(&next, "Took over the segment"));
    expect_keys(&next);
    server_stop(&next);
    server_forget(&server);
}

Test(conversion, of_a_segment_whose_server_ended)
{
    copies_segment_of_server_that(false);
}

Test(conversion, of_a_segment_whose_server_was_killed)
{
    copies_segment_of_server_that(true);
}

Test(conversion, into_another_size)
{
    struct server server;
    struct server next;
    struct client client;

    (void)leave_of_another_build(&server, false);

    server_start(&next, "--name", server.name, "--memory", "32m");
    expect_keys(&next);
    client_connect(&client, &next);
    cr_assert_gt(client_statistic(&client, "memory.limit_bytes"), 17u << 20);
    client_close(&client);
    server_stop(&next);
    server_forget(&server);
}

static void is_refused_and_kept(const struct server *server, const char *words, const char *memory)
{
    struct server next = {0};
    uint64_t sum = segment_file_sum(server);

    cr_assert_eq(server_start_in_vain(&next, "--name", server->name, "--discard=no", "--memory", memory), 1);
    if (!server_has_said(&next, words))
        driver_fail(&next, "the server has not said '%s'", words);
    cr_assert_eq(segment_file_sum(server), sum, "it was changed");
    server_forget(&next);
}

Test(conversion, that_does_not_fit_is_refused)
{
    struct server server;

    (void)leave_of_another_build(&server, false);

    is_refused_and_kept(&server, "the data of the segment does not fit the memory given", "1m");

    server_unlink_segment(&server);
    server_forget(&server);
}

Test(conversion, of_a_damaged_segment_is_refused_and_a_dump_saves_the_rest)
{
    struct server server;
    struct segment_file file;
    unsigned char *key;
    struct run run;

    (void)leave_of_another_build(&server, false);
    file = segment_file_map(&server);
    key = memmem(file.bytes, file.size, "key0777", 7);
    memset(key - sizeof(struct version) + offsetof(struct version, value_size), 0xff, 4);
    segment_file_unmap(&file);

    is_refused_and_kept(&server, "of another build, and damaged", "16m");
    run = server_run("--inspect", server.name, "--dump");
    cr_assert_eq(run.exit_status, 3);
    cr_assert_not_null(strstr(run.errors.data, "1999 pairs could be read"), "%s", run.errors.data);

    run_deinit(&run);
    server_unlink_segment(&server);
    server_forget(&server);
}
