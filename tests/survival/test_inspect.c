/* Looking at segments without a server, dumps, and reading them in again. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/storm_client.h"
#include "survival/survival_support.h"

TestSuite(inspect, .timeout = 120);
TestSuite(dump, .timeout = 120);
TestSuite(load, .timeout = 120);

static void expect_text(const struct text *text, const char *part)
{
    if (strstr(text->data, part) == NULL)
        driver_fail(NULL, "'%s' is missing in:\n%s", part, text->data);
}

static unsigned count_lines(const struct text *text)
{
    unsigned count = 0;

    for (size_t i = 0; i < text->size; i++)
        count += text->data[i] == '\n';
    return count;
}

/* --- reports --- */

Test(inspect, living_segment)
{
    struct server server;
    struct client client;
    struct run run;
    char part[64];

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("1"));

    run = server_run("--inspect", server.name);

    cr_assert_eq(run.exit_status, 0);
    expect_text(&run.output, "in use by a living server");
    expect_text(&run.output, "16777216 bytes, format ");
    (void)snprintf(part, sizeof part, "pid %d", (int)client_worker(&client));
    expect_text(&run.output, part);
    expect_text(&run.output, "transaction 1 is idle, pins ");
    expect_text(&run.output, "keys: 1\n");
    expect_text(&run.output, "valid: not asked");
    client_expect(&client, "COMMIT", REPLY_OK);
    run_deinit(&run);
    client_close(&client);
    server_stop(&server);
}

static void inspects_dead_segment_ended_by(bool in_order)
{
    struct server server;
    struct client client;
    struct run run;
    uint64_t sum;

    server_start(&server, "--discard=no");
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT b 1", REPLY_OK);
    if (in_order) {
        server_signal(&server, SIGTERM);
        cr_assert_eq(server_wait(&server), 0);
    } else {
        server_kill_all(&server);
    }
    sum = segment_file_sum(&server);

    run = server_run("--inspect", server.name);

    cr_assert_eq(run.exit_status, 0);
    expect_text(&run.output, "no server has it");
    expect_text(&run.output, in_order ? "ended in order: yes" : "ended in order: no");
    expect_text(&run.output, "valid: yes; a restart finds 1 keys, finishes 0 commits");
    cr_assert_eq(segment_file_sum(&server), sum, "it was changed");
    run_deinit(&run);
    client_close(&client);
    server_unlink_segment(&server);
    server_forget(&server);
}

Test(inspect, segment_of_a_killed_server)
{
    inspects_dead_segment_ended_by(false);
}

Test(inspect, segment_of_a_server_that_ended_in_order)
{
    inspects_dead_segment_ended_by(true);
}

Test(inspect, no_segment)
{
    struct run run = server_run("--inspect", "nobody-has-this-name");

    cr_assert_eq(run.exit_status, 1);
    expect_text(&run.errors, "there is no segment of that name");
    cr_assert_eq(run.output.size, 0);
    run_deinit(&run);
    run = server_run("--inspect", "nobody-has-this-name", "--dump");
    cr_assert_eq(run.exit_status, 1);
    run_deinit(&run);
}

static void fails_on_a_full_disk(const char *const *arguments)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    cr_assert_geq(full, 0);
    cr_assert_eq(process_wait(server_launch(full, arguments)), 1);
    (void)close(full);
}

Test(inspect, report_or_dump_that_cannot_be_written)
{
    struct server server;
    struct client client;

    server_start(&server, "--discard=no");
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_close(&client);

    fails_on_a_full_disk((const char *const[]){"--inspect", server.name, NULL});
    fails_on_a_full_disk((const char *const[]){"--inspect", server.name, "--dump", NULL});
    server_kill_all(&server);
    fails_on_a_full_disk((const char *const[]){"--inspect", server.name, NULL});
    fails_on_a_full_disk((const char *const[]){"--inspect", server.name, "--dump", NULL});
    server_unlink_segment(&server);
    server_forget(&server);
}

struct closed {
    const struct server *server;
    int descriptor;
};

static int dump_without(void *context)
{
    const struct closed *closed = context;
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    if (dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0 || close(closed->descriptor) != 0)
        return 99;
    return process_wait(server_launch(-1, (const char *const[]){"--inspect", closed->server->name, "--dump", NULL}));
}

/* Else the segment would get its number, and the words. */
static void writes_nothing_into_the_segment_without(int descriptor, int exit_status)
{
    struct server server;
    struct client client;
    struct segment_file file;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);

    cr_assert_eq(process_run(dump_without, &(struct closed){&server, descriptor}), exit_status);

    file = segment_file_map(&server);
    cr_assert_null(memmem(file.bytes, file.size, " pairs\n", 7));
    cr_assert_null(memmem(file.bytes, file.size, "{\"key\": ", 8));
    segment_file_unmap(&file);
    client_expect(&client, "GET a", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&server);
}

Test(inspect, closed_standard_error_leaves_the_segment_alone)
{
    writes_nothing_into_the_segment_without(STDERR_FILENO, 0);
}

Test(inspect, closed_standard_output_leaves_the_segment_alone)
{
    writes_nothing_into_the_segment_without(STDOUT_FILENO, 1);
}

/* --- dumps --- */

static const char *const odd_pairs[] = {
    "{\"key\": \"plain\", \"value\": \"3 * 3 = 9\"}",
    "{\"key\": \"empty\", \"value\": \"\"}",
    "{\"key\": \"spaces \", \"value\": \"  at both ends  \"}",
    "{\"key\": \"null\\u0000inside\", \"value\": \"\\u0000\\u0000\"}",
    "{\"key\": \"control\", \"value\": \"\\b\\t\\n\\f\\r\\u0001\\u001f\\u007f\"}",
    "{\"key\": \"quotes\", \"value\": \"\\\"\\\\/\"}",
    "{\"key\": \"umlaut\", \"value\": \"\\u00e4\\u20ac\"}",
    "{\"key\": \"beyond\", \"value\": \"\\ud83d\\ude00\\udbff\\udfff\"}",
};
#define ODD_PAIRS (sizeof odd_pairs / sizeof *odd_pairs)
#define LARGE_BYTES (1u << 20)

static void put_odd_pairs(const struct server *server)
{
    struct client client;
    struct text line = {0};

    client_connect(&client, server);
    for (size_t i = 0; i < ODD_PAIRS; i++) {
        text_clear(&line);
        text_format(&line, "PUT %s", odd_pairs[i]);
        client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        text_clear(&line);
        text_format(&line, "PUT large%u ", i);
        text_append_repeated(&line, (char)('a' + i), LARGE_BYTES);
        client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    }
    text_deinit(&line);
    client_close(&client);
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* In place; the order of a dump has no meaning. Returns how many. */
static size_t sort_lines(struct text *text, char *lines[], size_t max)
{
    size_t count = 0;

    for (char *line = strtok(text->data, "\n"); line != NULL && count < max; line = strtok(NULL, "\n"))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, compare_lines);
    return count;
}

static void expect_same_lines(struct text *left, struct text *right)
{
    char *left_lines[64];
    char *right_lines[64];
    size_t count = sort_lines(left, left_lines, 64);

    cr_assert_eq(sort_lines(right, right_lines, 64), count);
    for (size_t i = 0; i < count; i++)
        cr_assert_str_eq(left_lines[i], right_lines[i]);
}

Test(dump, says_what_was_put)
{
    struct server server;
    struct run run;

    server_start(&server, "--memory", "32m", "--max-command", "2m");
    put_odd_pairs(&server);

    run = server_run("--inspect", server.name, "--dump");

    cr_assert_eq(run.exit_status, 0);
    for (size_t i = 0; i < ODD_PAIRS; i++)
        expect_text(&run.output, odd_pairs[i]);
    cr_assert_eq(count_lines(&run.output), ODD_PAIRS + 3);
    run_deinit(&run);
    server_stop(&server);
}

static struct text dump_of(const struct server *server)
{
    struct run run = server_run("--inspect", server->name, "--dump");

    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    text_deinit(&run.errors);
    return run.output;
}

Test(dump, of_a_dead_server_is_loaded_into_a_new_one_unchanged)
{
    struct server server;
    struct server next;
    struct text living;
    struct text dead;
    struct text loaded;
    char path[128];

    server_start(&server, "--memory", "32m", "--max-command", "2m", "--discard=no");
    put_odd_pairs(&server);
    living = dump_of(&server);
    server_kill_all(&server);
    dead = dump_of(&server);
    write_file(path, sizeof path, text_bytes(&dead));

    server_start(&next, "--memory", "64m", "--load", path);

    cr_assert(server_has_said(&next, ": 11 new keys"));
    loaded = dump_of(&next);
    expect_same_lines(&loaded, &dead);
    text_deinit(&dead);
    dead = dump_of(&server);
    expect_same_lines(&living, &dead);
    text_deinit(&living);
    text_deinit(&dead);
    text_deinit(&loaded);
    (void)unlink(path);
    server_stop(&next);
    server_unlink_segment(&server);
    server_forget(&server);
}

static int64_t coins_of(const struct text *dump)
{
    int64_t sum = 0;
    unsigned accounts = 0;

    for (const char *found = dump->data; (found = strstr(found, "{\"key\": \"account")) != NULL; found++) {
        sum += strtoll(strstr(found, "\"value\": \"") + 10, NULL, 10);
        accounts++;
    }
    cr_assert_eq(accounts, STORM_ACCOUNTS);
    return sum;
}

/* Each transfer puts a record of its own: a dump from several moments would not add up. */
Test(dump, is_one_snapshot_while_others_write)
{
    struct storm *storm = process_shared_memory(sizeof *storm);
    struct storm_client_job jobs[3];
    pid_t clients[3];
    struct server server;
    struct client client;
    char line[64];

    server_start(&server, "--memory", "64m", "--bind", "127.0.0.1");
    storm->seed = 1;
    atomic_store(&storm->port, server_port(&server, 0));
    client_connect(&client, &server);
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++) {
        (void)snprintf(line, sizeof line, "PUT account%u %d", i, STORM_COINS_AT_FIRST);
        client_expect(&client, line, REPLY_OK);
    }
    for (unsigned i = 0; i < 3; i++) {
        jobs[i] = (struct storm_client_job){storm, i};
        clients[i] = process_start(storm_client_run, &jobs[i]);
    }
    for (unsigned i = 0; i < 20; i++) {
        struct text text = dump_of(&server);

        cr_assert_eq(coins_of(&text), (int64_t)STORM_ACCOUNTS * STORM_COINS_AT_FIRST);
        text_deinit(&text);
    }
    atomic_store(&storm->is_over, 1);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(process_wait(clients[i]), 0);
    client_close(&client);
    server_stop(&server);
}

/* --- loading --- */

Test(load, adds_to_what_is_there)
{
    struct server server;
    struct client client;
    char name[SERVER_NAME_BYTES];
    char path[128];

    server_start(&server, "--discard=no");
    memcpy(name, server.name, sizeof name);
    client_connect(&client, &server);
    client_expect(&client, "PUT old 1", REPLY_OK);
    client_expect(&client, "PUT both 1", REPLY_OK);
    client_close(&client);
    server_kill_all(&server);
    server_forget(&server);
    write_file(path, sizeof path,
               bytes_from_string("{\"key\": \"both\", \"value\": \"2\"}\r\n\n\n{\"value\":\"2\" , \"key\":\"new\"}"));

    server_start(&server, "--name", name, "--load", path);

    cr_assert(server_has_said(&server, ": 1 new keys"));
    client_connect(&client, &server);
    client_expect(&client, "GET old", REPLY_VALUE("1"));
    client_expect(&client, "GET both", REPLY_VALUE("2"));
    client_expect(&client, "GET new", REPLY_VALUE("2"));
    client_close(&client);
    (void)unlink(path);
    server_stop(&server);
}

#define GOOD "{\"key\": \"good\", \"value\": \"1\"}\n"

struct bad_file {
    const char *contents;
    size_t size;      /* 0: up to the end of the string */
    unsigned line;
    const char *complaint;
};

static const struct bad_file bad_files[] = {
    {GOOD GOOD "garbage\n", 0, 3, "a pair is "},
    {GOOD "{\"key\": \"k\"}\n", 0, 2, "The JSON form lacks a member"},
    {GOOD "{\"key\": \"k\", \"value\": \"v\"} more\n", 0, 2, ""},
    {GOOD "{\"key\": \"k\", \"value\": 1}\n", 0, 2, ""},
    {GOOD "{\"key\": \"k\", \"value\": \"v\", \"key\": \"k\"}\n", 0, 2, ""},
    {GOOD "{\"key\": \"k\", \"value\": \"v\", \"other\": \"k\"}\n", 0, 2, ""},
    {GOOD "{\"key\": \"\", \"value\": \"v\"}\n", 0, 2, "a key has 1 to 1024 bytes"},
    {GOOD "{\"key\": \"k\", \"value\": \"\\ud83d\"}\n", 0, 2, ""},
    {GOOD "\n\n{\"key\": \"k\", \"value\": \"\xff\"}\n", 0, 4, "this is not UTF-8"},
    {GOOD "{\"key\": \"k\", \"value\": \"cut", 0, 2, ""},
    {GOOD "{\"key\": \"k\", \"value\": \"v\"\0}\n", sizeof GOOD - 1 + 27, 2, ""},
    {"\xef\xbb\xbf" GOOD, 0, 1, "a pair is "},
};

static void refuses_file(const struct bad_file *file)
{
    struct bytes contents =
        file->size > 0 ? bytes_from(file->contents, file->size) : bytes_from_string(file->contents);
    struct server server;
    char place[192];
    char path[128];

    write_file(path, sizeof path, contents);
    (void)snprintf(place, sizeof place, "%s:%u: %s", path, file->line, file->complaint);

    cr_assert_eq(server_start_in_vain(&server, "--discard=no", "--load", path), 1, "%s", file->contents);

    if (!server_has_said(&server, place))
        driver_fail(&server, "the server has not said '%s'", place);
    cr_assert_not(server_has_segment(&server), "a start that failed leaves nothing that it made");
    server_forget(&server);
    (void)unlink(path);
}

Test(load, names_the_line_that_is_no_pair)
{
    for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++)
        refuses_file(&bad_files[i]);
}

Test(load, puts_nothing_of_a_bad_file)
{
    struct server server;
    struct server next;
    struct client client;
    char path[128];

    server_start(&server, "--discard=no");
    server_kill_all(&server);
    server_forget(&server);
    write_file(path, sizeof path, bytes_from_string(GOOD "bad\n"));

    cr_assert_eq(server_start_in_vain(&next, "--discard=no", "--name", server.name, "--load", path), 1);
    server_forget(&next);

    cr_assert(server_has_segment(&server));
    server_start(&next, "--name", server.name);
    client_connect(&client, &next);
    client_expect(&client, "COUNT", REPLY_NUMBER("0"));
    client_close(&client);
    (void)unlink(path);
    server_stop(&next);
}

Test(load, no_such_file)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--load", "/nowhere/at/all"), 1);

    cr_assert(server_has_said(&server, "No such file"));
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
}

Test(load, directory)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--load", "/tmp"), 1);

    cr_assert(server_has_said(&server, "Is a directory"));
    server_forget(&server);
}

/* Reading it twice would find it empty the second time: nothing loaded, and nobody told. */
Test(load, pipe)
{
    struct server server;
    char path[64];
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], GOOD, sizeof GOOD - 1), (ssize_t)sizeof GOOD - 1);
    (void)close(ends[1]);
    (void)snprintf(path, sizeof path, "/proc/%d/fd/%d", (int)getpid(), ends[0]);

    cr_assert_eq(server_start_in_vain(&server, "--load", path), 1);

    cr_assert(server_has_said(&server, "which is read twice and so must be a file"));
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
    (void)close(ends[0]);
}

Test(load, more_than_fits)
{
    struct server server;
    struct text contents = {0};
    char path[128];

    for (unsigned i = 0; i < 20; i++) {
        text_format(&contents, "{\"key\": \"large%u\", \"value\": \"", i);
        text_append_repeated(&contents, 'x', LARGE_BYTES);
        text_append_string(&contents, "\"}\n");
    }
    write_file(path, sizeof path, text_bytes(&contents));

    cr_assert_eq(server_start_in_vain(&server, "--memory", "8m", "--load", path), 1);

    cr_assert(server_has_said(&server, "emory"));
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
    text_deinit(&contents);
    (void)unlink(path);
}
