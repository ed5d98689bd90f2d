/* Looking at a living server: by its control socket, so that no process beside
 * its own is ever inside the segment, and nobody who looks can hurt it. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "server/control.h"
#include "support/process.h"
#include "survival/survival_support.h"

TestSuite(control, .timeout = 120);

#define LARGE_PAIRS 3u
#define LARGE_BYTES (1u << 20)

static void control_path(const struct server *server, char *path, size_t size)
{
    (void)snprintf(path, size, "/dev/shm/hauskv-%s.control", server->name);
}

/* More than pipes and sockets take, so that a dump that nobody reads waits. */
static void put_large_pairs(const struct server *server)
{
    struct client client;
    struct text line = {0};

    client_connect(&client, server);
    for (unsigned i = 0; i < LARGE_PAIRS; i++) {
        text_clear(&line);
        text_format(&line, "PUT large%u ", i);
        text_append_repeated(&line, (char)('a' + i), LARGE_BYTES);
        client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    }
    text_deinit(&line);
    client_close(&client);
}

#define start_with_large_pairs(server, ...) \
    do { \
        server_start((server), "--memory", "32m", "--max-command", "2m", "--bind", "127.0.0.1", __VA_ARGS__); \
        put_large_pairs(server); \
    } while (0)

/* A dump whose output and words go into a pipe. */
struct dump {
    pid_t process;
    int output;
};

static struct dump dump_begin(const struct server *server)
{
    struct dump dump;
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    dump.output = ends[0];
    dump.process = server_launch(ends[1], (const char *const[]){"--inspect", server->name, "--dump", NULL});
    (void)close(ends[1]);
    return dump;
}

/* Until it waits for somebody to read, and the worker that serves it waits for it. */
static void dump_wait_until_stuck(const struct dump *dump)
{
    char byte;

    cr_assert_eq(read(dump->output, &byte, 1), 1, "it has written nothing");
    process_wait_until_asleep(dump->process);
}

/* Reads it to its end; returns its exit status. */
static int dump_end(struct dump *dump, struct text *text)
{
    char piece[65536];
    ssize_t size;

    while ((size = read(dump->output, piece, sizeof piece)) > 0)
        text_append(text, bytes_from(piece, (size_t)size));
    text_append(text, bytes_from("", 1));
    (void)close(dump->output);
    return process_wait(dump->process);
}

static void dump_ends_early(struct dump *dump, const char *words)
{
    struct text text = {0};
    int exit_status = dump_end(dump, &text);
    const char *last = text.size < 1000 ? text.data : text.data + text.size - 1000;

    cr_assert_eq(exit_status, 1);
    cr_assert_not_null(strstr(last, words), "%s", last);
    text_deinit(&text);
}

static struct run inspect(const struct server *server)
{
    return server_run("--inspect", server->name);
}

/* The process whose slot pins a snapshot for a transaction that is open; 0: none. */
static pid_t process_that_pins(const struct server *server)
{
    struct run run = inspect(server);
    const char *transaction = strstr(run.output.data, "  transaction 1 is ");
    const char *slot = NULL;
    pid_t process = 0;

    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    for (const char *next = run.output.data; transaction != NULL && next != NULL && next < transaction;
         next = strstr(next + 1, "slot "))
        slot = next;
    if (slot != NULL && transaction != NULL)
        process = (pid_t)strtol(strstr(slot, "pid ") + 4, NULL, 10);
    run_deinit(&run);
    return process;
}

static bool maps_segment(pid_t process, const struct server *server)
{
    char path[64];
    char wanted[128];
    char line[1024];
    bool is_found = false;
    FILE *maps;

    (void)snprintf(path, sizeof path, "/proc/%d/maps", (int)process);
    (void)snprintf(wanted, sizeof wanted, "hauskv-%s", server->name);
    maps = fopen(path, "re");
    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps) != NULL)
        is_found = is_found || strstr(line, wanted) != NULL;
    (void)fclose(maps);
    return is_found;
}

static void expect_that_others_go_on(const struct server *server)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "START", REPLY_OK);
    for (unsigned i = 0; i < 200; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "PUT other%u x", i); /* in every shard */
        client_expect(&client, line, REPLY_OK);
    }
    client_expect(&client, "COMMIT", REPLY_OK);
    client_close(&client);
}

/* --- nobody inside --- */

Test(control, dump_that_is_stopped_is_not_inside_the_segment)
{
    struct server server;
    struct dump dump;
    struct text text = {0};

    start_with_large_pairs(&server, "--lock-holder-timeout", "0");
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);
    cr_assert_eq(kill(dump.process, SIGSTOP), 0);
    eventually(process_is_stopped(dump.process));

    cr_assert_not(maps_segment(dump.process, &server));
    expect_that_others_go_on(&server);

    cr_assert_eq(kill(dump.process, SIGCONT), 0);
    cr_assert_eq(dump_end(&dump, &text), 0);
    text_deinit(&text);
    server_stop(&server);
}

#define CLIENTS 20u

Test(control, dump_that_outlives_its_server_does_nothing_to_the_next_one)
{
    struct server server;
    struct client clients[CLIENTS];
    struct client writer;
    struct dump dump;
    char name[SERVER_NAME_BYTES];

    start_with_large_pairs(&server, "--discard=no", "--min-spare", "2");
    memcpy(name, server.name, sizeof name);
    client_connect(&writer, &server);
    client_expect(&writer, "PUT k first", REPLY_OK);
    client_close(&writer);
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);
    server_kill_all(&server);
    server_forget(&server);
    cr_assert(driver_process_lives(dump.process));
    server_start(&server, "--name", name, "--max-command", "2m", "--min-spare", "2");
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_connect(&clients[i], &server);
        client_expect(&clients[i], "START", REPLY_OK);
        client_expect(&clients[i], "GET k", REPLY_VALUE("first"));
    }

    dump_ends_early(&dump, "ended early");

    client_connect(&writer, &server);
    for (unsigned i = 0; i < 1000; i++)
        client_expect(&writer, "PUT k other", REPLY_OK);
    for (unsigned i = 0; i < CLIENTS; i++) {
        client_expect(&clients[i], "GET k", REPLY_VALUE("first"));
        client_expect(&clients[i], "COMMIT", REPLY_OK);
        client_close(&clients[i]);
    }
    client_close(&writer);
    server_stop(&server);
}

/* --- complete or failed --- */

Test(control, dump_whose_worker_is_killed_has_failed)
{
    struct server server;
    struct dump dump;
    pid_t worker;

    start_with_large_pairs(&server, "--discard");
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);
    worker = process_that_pins(&server);
    cr_assert_neq(worker, 0);
    cr_assert(server_has_child(&server, worker));

    cr_assert_eq(kill(worker, SIGKILL), 0);

    dump_ends_early(&dump, "ended early");
    expect_that_others_go_on(&server);
    server_stop(&server);
}

Test(control, server_that_ends_ends_its_dumps)
{
    struct server server;
    struct dump dump;

    start_with_large_pairs(&server, "--write-timeout", "0");
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);

    server_stop(&server);

    dump_ends_early(&dump, "ended early");
}

Test(control, dump_that_is_interrupted_costs_its_worker_nothing)
{
    struct server server;
    struct dump dump;

    start_with_large_pairs(&server, "--write-timeout", "0");
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);
    cr_assert_neq(process_that_pins(&server), 0);

    cr_assert_eq(kill(dump.process, SIGINT), 0);

    cr_assert_eq(process_wait(dump.process), PROCESS_SIGNAL(SIGINT));
    eventually(process_that_pins(&server) == 0);
    (void)close(dump.output);
    server_stop(&server);
}

Test(control, dump_that_is_stopped_costs_the_write_timeout_at_most)
{
    struct server server;
    struct dump dump;

    start_with_large_pairs(&server, "--write-timeout", "300ms");
    dump = dump_begin(&server);
    dump_wait_until_stuck(&dump);
    cr_assert_eq(kill(dump.process, SIGSTOP), 0);

    server_expect_said(&server, "closed a control connection");

    cr_assert_eq(process_that_pins(&server), 0);
    cr_assert_eq(kill(dump.process, SIGCONT), 0);
    dump_ends_early(&dump, "ended early");
    server_stop(&server);
}

/* --- always there --- */

/* The client before may be just going. */
static bool is_let_in(struct client *client, const struct server *server)
{
    client_connect(client, server);
    if (strcmp(client_say(client, "PING"), REPLY_PONG) == 0)
        return true;
    client_close(client);
    return false;
}

Test(control, full_server_can_be_looked_at)
{
    struct server server;
    struct client client;
    struct client refused;
    struct run run;

    start_with_large_pairs(&server, "--max-clients", "1", "--min-spare", "1");
    eventually(is_let_in(&client, &server));
    client_connect(&refused, &server);
    client_expect_error(&refused, NULL, "too_many_clients");

    run = inspect(&server);

    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    run_deinit(&run);
    run = server_run("--inspect", server.name, "--dump");
    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    cr_assert_gt(run.output.size, (size_t)LARGE_PAIRS * LARGE_BYTES);
    cr_assert_eq(client_statistic(&client, "connections.open"), 1);
    run_deinit(&run);
    client_close(&client);
    client_close(&refused);
    server_stop(&server);
}

static bool is_looked_at(const struct server *server)
{
    struct run run = inspect(server);
    bool is_answered = run.exit_status == 0;

    run_deinit(&run);
    return is_answered;
}

/* And those who look are too few to keep clients out. */
Test(control, more_than_a_few_that_look_are_refused)
{
    struct dump dumps[SCOREBOARD_CONTROLS_MAX];
    struct server server;
    struct client client;
    struct run run;

    start_with_large_pairs(&server, "--max-clients", "1", "--min-spare", "1");
    for (unsigned i = 0; i < SCOREBOARD_CONTROLS_MAX; i++) {
        dumps[i] = dump_begin(&server);
        dump_wait_until_stuck(&dumps[i]);
    }

    run = inspect(&server);

    cr_assert_eq(run.exit_status, 1);
    cr_assert_not_null(strstr(run.errors.data, "Too many look"), "%s", run.errors.data);
    eventually(is_let_in(&client, &server));
    client_close(&client);
    for (unsigned i = 0; i < SCOREBOARD_CONTROLS_MAX; i++) {
        struct text text = {0};

        cr_assert_eq(dump_end(&dumps[i], &text), 0);
        text_deinit(&text);
    }
    run_deinit(&run);
    eventually(is_looked_at(&server)); /* those that served the dumps may be just done */
    server_stop(&server);
}

static void expect_refusal(const struct server *server, const char *words)
{
    struct run run = inspect(server);

    cr_assert_eq(run.exit_status, 1);
    cr_assert_eq(run.output.size, 0);
    cr_assert_not_null(strstr(run.errors.data, words), "%s", run.errors.data);
    run_deinit(&run);
    run = server_run("--inspect", server->name, "--dump");
    cr_assert_eq(run.exit_status, 1);
    cr_assert_eq(run.output.size, 0);
    cr_assert_not_null(strstr(run.errors.data, words), "%s", run.errors.data);
    run_deinit(&run);
}

/* As a server of an earlier version has none. */
Test(control, server_without_a_socket_is_not_looked_at)
{
    struct server server;
    char path[100];

    server_start(&server, "--bind", "127.0.0.1");
    control_path(&server, path, sizeof path);
    cr_assert_eq(unlink(path), 0);

    expect_refusal(&server, "a server has this segment and cannot be asked");

    server_stop(&server);
}

Test(control, server_that_does_not_answer_is_not_waited_for)
{
    pid_t children[64];
    struct server server;
    struct run run;
    unsigned count;

    server_start(&server, "--bind", "127.0.0.1", "--min-spare", "1", "--max-spare", "1");
    process_stop(server.process);
    count = server_children(&server, children, 64);
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(kill(children[i], SIGSTOP), 0);
        eventually(process_is_stopped(children[i]));
    }

    run = inspect(&server);

    cr_assert_eq(run.exit_status, 1);
    cr_assert_not_null(strstr(run.errors.data, "does not answer"), "%s", run.errors.data);
    run_deinit(&run);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(kill(children[i], SIGCONT), 0);
    server_signal(&server, SIGCONT);
    server_stop(&server);
}

/* --- the socket's file --- */

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert_eq(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(listener, 5), 0);
    return listener;
}

Test(control, socket_is_its_owners_and_goes_with_the_server)
{
    struct server server;
    struct stat status;
    char path[100];

    server_start(&server, "--bind", "127.0.0.1");
    control_path(&server, path, sizeof path);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert(S_ISSOCK(status.st_mode));
    cr_assert_eq(status.st_mode & 07777, 0600);
    cr_assert_eq(server.listener_count, 1, "it is not said to be ready");

    server_stop(&server);

    cr_assert_neq(stat(path, &status), 0);
}

Test(control, socket_of_a_dead_server_is_replaced)
{
    struct server server;
    char name[SERVER_NAME_BYTES];
    char path[100];
    struct run run;

    server_start(&server, "--bind", "127.0.0.1", "--discard=no");
    memcpy(name, server.name, sizeof name);
    control_path(&server, path, sizeof path);
    server_kill_all(&server);
    server_forget(&server);
    cr_assert_eq(access(path, F_OK), 0);
    run = server_run("--inspect", name);
    cr_assert_eq(run.exit_status, 0, "a dead server's segment is looked at: %s", run.errors.data);
    run_deinit(&run);

    server_start(&server, "--name", name, "--bind", "127.0.0.1");

    run = inspect(&server);
    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    run_deinit(&run);
    server_stop(&server);
}

Test(control, socket_of_somebody_living_is_not_replaced)
{
    struct server server = {0};
    char name[SERVER_NAME_BYTES];
    char path[100];
    int listener;

    (void)snprintf(name, sizeof name, "control-%d", (int)getpid());
    (void)snprintf(path, sizeof path, "/dev/shm/hauskv-%s.control", name);
    listener = listen_at(path);

    cr_assert_eq(server_start_in_vain(&server, "--name", name), 1);

    cr_assert(server_has_said(&server, path));
    cr_assert_eq(access(path, F_OK), 0);
    cr_assert_not(server_has_segment(&server));
    (void)close(listener);
    (void)unlink(path);
    server_forget(&server);
}

/* --- who asks, and what --- */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0 ? descriptor : -1;
}

/* Asks; answer takes what comes, to the end. */
static void ask(const char *path, const char *request, char *answer, size_t size)
{
    int descriptor = connect_to(path);
    size_t used = 0;
    ssize_t received;

    cr_assert_geq(descriptor, 0);
    cr_assert_eq(send(descriptor, request, strlen(request), MSG_NOSIGNAL), (ssize_t)strlen(request));
    while (used + 1 < size && (received = recv(descriptor, answer + used, size - used - 1, 0)) > 0)
        used += (size_t)received;
    answer[used] = '\0';
    (void)close(descriptor);
}

Test(control, answers_what_it_knows_and_says_so_otherwise)
{
    struct server server;
    struct client client;
    char path[100];
    char answer[256];

    server_start(&server, "--bind", "127.0.0.1");
    control_path(&server, path, sizeof path);
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);

    ask(path, CONTROL_GREETING "dump\n", answer, sizeof answer);
    cr_assert_str_eq(answer, "output 27\n{\"key\": \"a\", \"value\": \"1\"}\nend 0 1 pairs\n");
    ask(path, CONTROL_GREETING "sing\n", answer, sizeof answer);
    cr_assert_str_eq(answer, "end 1 This server does not know that request\n");
    ask(path, "GET / HTTP/1.0\r\n", answer, sizeof answer);
    cr_assert_str_eq(answer, "end 1 This server does not know that request\n");

    client_expect(&client, "GET a", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&server);
}

static int ask_as_nobody(void *context)
{
    char answer[256];
    int descriptor;
    ssize_t size;

    if (setgid(65534) != 0 || setuid(65534) != 0)
        return 2;
    descriptor = connect_to(context);
    if (descriptor < 0)
        return 3;
    size = recv(descriptor, answer, sizeof answer - 1, 0);
    answer[size < 0 ? 0 : size] = '\0';
    return strcmp(answer, "end 1 Only the server's own user is answered\n") == 0 ? 0 : 4;
}

Test(control, answers_only_its_own_user)
{
    struct server server;
    char path[100];

    if (geteuid() != 0)
        cr_skip_test("only root can be somebody else");
    server_start(&server, "--bind", "127.0.0.1");
    control_path(&server, path, sizeof path);
    cr_assert_eq(process_run(ask_as_nobody, path), 3, "the socket's mode keeps others out");
    cr_assert_eq(chmod(path, 0666), 0);

    cr_assert_eq(process_run(ask_as_nobody, path), 0);

    server_expect_said(&server, "Refused the control connection of another user, uid 65534");
    server_stop(&server);
}

/* In a directory whose path is too long for a socket's address. */
Test(control, far_away_server_can_be_looked_at)
{
    char directory[160] = "/dev/shm/";
    struct server server;
    struct run run;

    (void)snprintf(directory + strlen(directory), sizeof directory - strlen(directory), "control-%d-", (int)getpid());
    memset(directory + strlen(directory), 'x', 150 - strlen(directory));
    cr_assert_eq(mkdir(directory, 0700), 0);
    server_start(&server, "--bind", "127.0.0.1", "--segment-dir", directory);

    run = server_run("--inspect", server.name, "--segment-dir", directory);

    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    cr_assert_not_null(strstr(run.output.data, "in use by a living server"));
    run_deinit(&run);
    server_stop(&server);
    cr_assert_eq(rmdir(directory), 0, "nothing is left in it");
}
