/* A server that gets less than it wants: of memory, processes, descriptors, or of
 * somebody who reads what it says. It says so and ends, or does without; it never
 * crashes, and nobody stalls. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/survival_support.h"

#define OTHER_USER 54321u

TestSuite(resources, .timeout = 120);

static void expect_said(const struct server *server, const char *text)
{
    if (!server_has_said(server, text))
        driver_fail(server, "the server has not said '%s'", text);
}

static void expect_service(const struct server *server)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("1"));
    client_close(&client);
}

/* --- memory --- */

Test(resources, memory_below_the_minimum_is_a_wrong_option)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--memory", "1k"), 2);

    expect_said(&server, "memory");
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
}

Test(resources, least_memory_is_enough_to_serve)
{
    struct server server;

    server_start(&server, "--memory", "1m");
    expect_service(&server);
    server_stop(&server);
}

Test(resources, more_memory_than_there_is_is_refused)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--memory", "63g"), 1);

    expect_said(&server, "--memory 67645734912 is more than there is: ");
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
}

/* A tmpfs of 8 MiB that only this test sees; false: the system does not allow it. */
static bool mount_small(char *directory, size_t size)
{
    const char *folder = getenv("TMPDIR");

    (void)snprintf(directory, size, "%s/hauskv-survival-XXXXXX", folder == NULL ? "/tmp" : folder);
    if (mkdtemp(directory) == NULL)
        return false;
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
        mount("tmpfs", directory, "tmpfs", 0, "size=8m") == 0)
        return true;
    (void)rmdir(directory);
    return false;
}

static void unmount_small(const char *directory)
{
    (void)umount2(directory, MNT_DETACH);
    (void)rmdir(directory);
}

#define SKIP_WITHOUT_MOUNT(directory) \
    if (!mount_small((directory), sizeof(directory))) \
    cr_skip_test("not run: a tmpfs of one's own can be mounted by root only")

Test(resources, more_memory_than_the_directory_has_is_refused)
{
    char directory[128];
    char path[256];
    struct server server;

    SKIP_WITHOUT_MOUNT(directory);

    cr_assert_eq(server_start_in_vain(&server, "--segment-dir", directory, "--memory", "32m"), 1);

    expect_said(&server, "--memory 33554432 is more than there is: 8388608 bytes (free in --segment-dir)");
    (void)snprintf(path, sizeof path, "%s/hauskv-%s", directory, server.name);
    cr_assert_neq(access(path, F_OK), 0);
    server_forget(&server);
    unmount_small(directory);
}

/* The copy has no room beside the old segment, which serves on in its old size. */
Test(resources, resize_that_the_directory_has_no_room_for_keeps_the_data)
{
    char directory[128];
    struct server server;
    struct server next;
    struct client client;

    SKIP_WITHOUT_MOUNT(directory);
    server_start(&server, "--segment-dir", directory, "--memory", "5m", "--discard=no");
    expect_service(&server);
    server_kill_all(&server);
    server_forget(&server);

    cr_assert_eq(server_start_in_vain(&next, "--segment-dir", directory, "--memory", "7m", "--name", server.name,
                                      "--discard=no"),
                 1);
    expect_said(&next, "has not so much shared memory");
    server_forget(&next);
    server_start(&next, "--segment-dir", directory, "--memory", "5m", "--name", server.name);

    client_connect(&client, &next);
    client_expect(&client, "GET a", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&next);
    unmount_small(directory);
}

/* What --fresh is going to discard is room for the new segment, by whichever name it is found. */
Test(resources, fresh_has_the_room_of_a_segment_that_lost_its_name)
{
    char directory[128];
    char path[256];
    struct server server;
    struct server next;

    SKIP_WITHOUT_MOUNT(directory);
    server_start(&server, "--segment-dir", directory, "--memory", "5m", "--discard=no");
    server_kill_all(&server);
    server_forget(&server);
    (void)snprintf(path, sizeof path, "%s/hauskv-%s", directory, server.name);
    cr_assert_eq(unlink(path), 0);

    server_start(&next, "--segment-dir", directory, "--memory", "5m", "--name", server.name, "--fresh");

    expect_service(&next);
    server_stop(&next);
    unmount_small(directory);
}

Test(resources, memory_by_default_is_what_the_directory_has)
{
    char directory[128];
    char path[256];
    char name[64];
    struct server server = {.log = -1};
    struct client client;
    int errors = memfd_create("errors", MFD_CLOEXEC);

    SKIP_WITHOUT_MOUNT(directory);
    (void)snprintf(path, sizeof path, "%s/socket", directory);
    (void)snprintf(name, sizeof name, "default-size-%d", (int)getpid());
    server.process =
        server_launch(errors, (const char *const[]){"--segment-dir", directory, "--unix", path, "--port", "0", "--name",
                                                    name, "--discard", NULL});
    eventually(client_can_connect(path));

    client_connect_to(&client, &server, path);
    client_expect(&client, "PUT a 1", REPLY_OK);
    cr_assert_leq(client_statistic(&client, "memory.limit_bytes"), 8u << 20);
    client_close(&client);
    server_signal(&server, SIGTERM);
    cr_assert_eq(process_wait(server.process), 0);
    unmount_small(directory);
}

/* --- memory under load --- */

struct filler {
    const struct server *server;
    unsigned number;
};

/* Puts until there is no more, and a while longer. */
static int fill(void *context)
{
    const struct filler *filler = context;
    struct client client;
    unsigned refused = 0;
    char line[1200];

    client_connect(&client, filler->server);
    for (unsigned i = 0; refused < 200; i++) {
        const char *reply;

        (void)snprintf(line, sizeof line, "PUT fill%u.%u %01000u", filler->number, i, i);
        reply = client_say(&client, line);
        if (strstr(reply, "\"code\": \"out_of_memory\"") != NULL)
            refused++;
        else if (strcmp(reply, REPLY_OK) != 0)
            return 1;
        (void)snprintf(line, sizeof line, "GET fill%u.0", filler->number);
        if (i > 0 && strstr(client_say(&client, line), "\"status\": \"Ok\"") == NULL)
            return 2;
    }
    client_close(&client);
    return 0;
}

Test(resources, full_memory_is_an_error_of_writes_only)
{
    struct server server;
    struct client client;
    struct filler fillers[6];
    pid_t children[6];

    server_start(&server, "--memory", "4m");
    client_connect(&client, &server);
    client_expect(&client, "PUT before 1", REPLY_OK);
    for (unsigned i = 0; i < 6; i++) {
        fillers[i] = (struct filler){&server, i};
        children[i] = process_start(fill, &fillers[i]);
    }
    for (unsigned i = 0; i < 6; i++)
        cr_assert_eq(process_wait(children[i]), 0);

    client_expect(&client, "GET before", REPLY_VALUE("1"));
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "GET before", REPLY_VALUE("1"));
    client_expect(&client, "ROLLBACK", REPLY_OK);
    client_expect(&client, "DEL before", REPLY_OK);
    for (unsigned i = 0; i < 300; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "DEL fill%u.%u", i % 6, i / 6);
        client_expect(&client, line, REPLY_OK);
    }
    client_expect(&client, "PUT after 1", REPLY_OK);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* The data of a full server is there at the next start. */
Test(resources, full_segment_survives_its_server)
{
    struct server server;
    struct server next;
    struct filler filler = {&server, 1};
    struct client client;
    struct text line = {0};
    char *count;

    server_start(&server, "--memory", "4m", "--discard=no");
    cr_assert_eq(process_run(fill, &filler), 0);
    client_connect(&client, &server);
    count = strdup(client_say(&client, "COUNT"));
    client_close(&client);
    server_kill_all(&server);
    server_forget(&server);

    server_start(&next, "--memory", "4m", "--name", server.name);

    client_connect(&client, &next);
    client_expect(&client, "COUNT", count);
    client_expect(&client, "DEL fill1.1", REPLY_OK);
    text_format(&line, "PUT fill1.1 ");
    text_append_repeated(&line, 'x', 1000);
    client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    text_deinit(&line);
    client_close(&client);
    free(count);
    server_stop(&next);
}

/* --- descriptors and processes --- */

/* In a child, for it may not raise the limit again. */
static int start_with_few_descriptors(void *context)
{
    struct server server;

    (void)context;
    if (setrlimit(RLIMIT_NOFILE, &(struct rlimit){12, 12}) != 0)
        return 1;
    if (server_start_in_vain(&server) != 1)
        return 2;
    if (!server_has_said(&server, " files and may have only 12 (ulimit -n)"))
        return 3;
    return server_has_segment(&server) ? 4 : 0;
}

Test(resources, too_few_descriptors_are_refused)
{
    cr_assert_eq(process_run(start_with_few_descriptors, NULL), 0);
}

Test(resources, low_soft_limit_of_descriptors_is_raised)
{
    struct server server;
    struct rlimit usual;

    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &usual), 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){12, usual.rlim_max}), 0);
    server_start(&server);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &usual), 0);

    expect_service(&server);
    server_stop(&server);
}

/* Whoever is served is served on; the others wait until somebody leaves. The limit is one of the user, so it needs one
 * that has no other processes; root is not bound by it. */
Test(resources, too_few_processes_let_clients_wait)
{
    struct server server;
    struct client clients[12];
    struct run run;
    unsigned served = 0;

    if (setresgid(OTHER_USER, OTHER_USER, OTHER_USER) != 0 || setresuid(OTHER_USER, OTHER_USER, OTHER_USER) != 0)
        cr_skip_test("not run: only root can become a user without processes");
    run = server_run("--version");
    if (run.exit_status == 127)
        cr_skip_test("not run: another user cannot reach the program");
    run_deinit(&run);
    cr_assert_eq(setrlimit(RLIMIT_NPROC, &(struct rlimit){8, 8}), 0);
    server_start(&server, "--min-spare", "4");
    expect_said(&server, "but there can be only 8 (ulimit -u): the others wait");

    for (unsigned i = 0; i < 12; i++) {
        client_connect(&clients[i], &server);
        client_send_text(&clients[i], "PING\n");
    }
    for (unsigned i = 0; i < 12; i++) {
        bool is_late;

        if (client_read_line_within(&clients[i], i < 2 ? DRIVER_PATIENCE_MS : 50, &is_late) != NULL)
            served++;
        else
            cr_assert(is_late);
    }
    cr_assert_geq(served, 2);
    cr_assert_lt(served, 12);
    client_expect(&clients[0], "PUT a 1", REPLY_OK);
    for (unsigned i = 0; i < 11; i++)
        client_close(&clients[i]);
    client_expect(&clients[11], NULL, REPLY_PONG);
    client_close(&clients[11]);
    server_stop(&server);
}

/* --- nobody reads what it says --- */

/* A worker that dies before the master has said that it is ready ends the start. It is past that when it has forked one
 * in place of the worker that was taken, and sleeps again. */
static void wait_until_it_serves(const struct server *server, const char *path)
{
    struct client client;
    pid_t children[16];

    eventually(client_can_connect(path));
    client_connect_to(&client, server, path);
    client_expect(&client, "PING", REPLY_PONG);
    eventually(server_children(server, children, 16) >= 10);
    process_wait_until_asleep(server->process);
    client_close(&client);
}

/* Kills `times` workers, one after the other; each is worth a line. */
static void kill_workers(const struct server *server, const char *path, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        struct client client;
        pid_t worker;

        client_connect_to(&client, server, path);
        worker = client_worker(&client);
        cr_assert_eq(kill(worker, SIGKILL), 0);
        client_expect_end(&client);
        client_close(&client);
    }
}

static void serves_with(int errors)
{
    struct server server = {.log = -1};
    struct client client;
    char path[128];
    char name[64];

    live_socket_path(path, sizeof path);
    (void)snprintf(name, sizeof name, "mute-%d", (int)getpid());
    server.process = server_launch(errors, (const char *const[]){"--name", name, "--unix", path, "--port", "0",
                                                                 "--memory", "16m", "--discard", NULL});
    (void)close(errors);
    wait_until_it_serves(&server, path);

    kill_workers(&server, path, 60);

    client_connect_to(&client, &server, path);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_expect(&client, "GET a", REPLY_VALUE("1"));
    server_signal(&server, SIGTERM);
    cr_assert_eq(process_wait(server.process), 0);
    client_close(&client);
}

/* The pipe is full after some forty lines. */
Test(resources, pipe_that_nobody_reads_stalls_nobody)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);

    serves_with(ends[1]);

    (void)close(ends[0]);
}

Test(resources, pipe_that_is_full_already_stalls_nobody)
{
    int ends[2];
    char page[4096] = {0};

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    cr_assert_eq(fcntl(ends[1], F_SETPIPE_SZ, 4096), 4096);
    cr_assert_eq(write(ends[1], page, sizeof page), (ssize_t)sizeof page);

    serves_with(ends[1]);

    (void)close(ends[0]);
}

Test(resources, pipe_whose_reader_left_harms_nobody)
{
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    (void)close(ends[0]);

    serves_with(ends[1]);
}

Test(resources, full_device_harms_nobody)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

    if (full < 0)
        cr_skip_test("not run: there is no /dev/full");
    serves_with(full);
}
