/* The server's own processes: whom the master knows, and whom the system ends
 * first when there is no memory. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/survival_support.h"

TestSuite(loader, .timeout = 120);
TestSuite(pressure, .timeout = 120);

static void expect_said(const struct server *server, const char *text)
{
    if (!server_has_said(server, text))
        driver_fail(server, "the server has not said '%s'", text);
}

/* --- loading --- */

#define LOADED_PAIRS 300000u

static void write_pairs(char *path, size_t size)
{
    struct text contents = {0};

    for (unsigned i = 0; i < LOADED_PAIRS; i++)
        text_format(&contents, "{\"key\": \"key%u\", \"value\": \"%u\"}\n", i, i);
    write_file(path, size, text_bytes(&contents));
    text_deinit(&contents);
}

static int log_file(void)
{
    char path[] = "/tmp/hauskv-log-XXXXXX";
    int log = mkstemp(path);

    cr_assert_geq(log, 0);
    (void)unlink(path);
    return log;
}

static bool is_stopped_at_work(const struct server *server, pid_t loader)
{
    if (loader == 0 || kill(loader, SIGSTOP) != 0)
        return false;
    eventually(process_is_stopped(loader) || !driver_process_lives(loader));
    return process_is_stopped(loader) && !server_has_said(server, "Loaded");
}

/* 0: the loader was too quick, and all is as before. */
static pid_t try_to_stop_a_loader(struct server *server, const char *name, const char *path)
{
    pid_t loader = 0;
    bool is_new;

    *server = (struct server){.log = log_file()};
    (void)snprintf(server->name, sizeof server->name, "%s", name);
    is_new = !server_has_segment(server);
    server->process = server_launch(server->log, (const char *const[]){"--name", name, "--port", "0", "--memory", "128m",
                                                                       "--load", path, NULL});
    eventually((loader = server_child_named(server, "hauskv-loader")) != 0 || server_has_said(server, "Loaded"));
    if (is_stopped_at_work(server, loader))
        return loader;
    if (loader != 0)
        (void)kill(loader, SIGCONT);
    server_signal(server, SIGTERM);
    (void)server_wait(server);
    if (is_new)
        server_unlink_segment(server);
    server_forget(server);
    return 0;
}

/* Starts a server that loads, and stops its loader while it is at it. */
static pid_t begin_loading(struct server *server, const char *name, const char *path)
{
    pid_t loader;

    eventually((loader = try_to_stop_a_loader(server, name, path)) != 0);
    return loader;
}

static void own_name(char name[SERVER_NAME_BYTES])
{
    (void)snprintf(name, SERVER_NAME_BYTES, "loader-%d", (int)getpid());
}

Test(loader, master_hears_signals_while_it_loads)
{
    struct server server;
    char name[SERVER_NAME_BYTES];
    char path[128];
    pid_t loader;

    own_name(name);
    write_pairs(path, sizeof path);
    loader = begin_loading(&server, name, path);

    server_signal(&server, SIGTERM);

    server_expect_said(&server, "Terminated: stopping");
    cr_assert(process_is_stopped(loader), "nothing else can have made the master move");
    cr_assert_eq(kill(loader, SIGCONT), 0);
    cr_assert_eq(server_wait(&server), 0);
    expect_said(&server, "told to stop here");
    expect_said(&server, "nothing of it is kept");
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
    (void)unlink(path);
}

Test(loader, second_signal_ends_a_loader_that_is_stopped)
{
    struct server server;
    char name[SERVER_NAME_BYTES];
    char path[128];
    pid_t loader;

    own_name(name);
    write_pairs(path, sizeof path);
    loader = begin_loading(&server, name, path);

    server_signal(&server, SIGTERM);
    server_expect_said(&server, "Terminated: stopping");
    server_signal(&server, SIGINT);

    cr_assert_eq(server_wait(&server), 1);
    cr_assert_not(driver_process_lives(loader));
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
    (void)unlink(path);
}

/* As a child of the system it would go on, holding the segment. */
Test(loader, ends_with_its_master)
{
    struct server server;
    char name[SERVER_NAME_BYTES];
    char path[128];
    pid_t loader;

    own_name(name);
    write_pairs(path, sizeof path);
    loader = begin_loading(&server, name, path);
    server_signal(&server, SIGKILL);
    (void)server_wait(&server);
    cr_assert_eq(kill(loader, SIGCONT), 0);

    eventually(!driver_process_lives(loader));

    cr_assert_not(server_has_said(&server, "Loaded"));
    server_unlink_segment(&server);
    server_forget(&server);
    (void)unlink(path);
}

/* What it was about to change was there before: its keys stay, and the next server has them. */
Test(loader, that_is_killed_leaves_what_was_there)
{
    struct server server;
    struct server next;
    struct client client;
    char path[128];
    pid_t loader;

    server_start(&server, "--memory", "128m", "--discard=no");
    client_connect(&client, &server);
    client_expect(&client, "PUT kept 1", REPLY_OK);
    client_close(&client);
    server_stop(&server);
    write_pairs(path, sizeof path);
    loader = begin_loading(&next, server.name, path);

    cr_assert_eq(kill(loader, SIGKILL), 0);

    cr_assert_eq(server_wait(&next), 1);
    expect_said(&next, "The loader, pid ");
    expect_said(&next, "keeps what was there");
    server_forget(&next);
    server_start(&next, "--name", server.name);
    client_connect(&client, &next);
    client_expect(&client, "GET kept", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&next);
    (void)unlink(path);
}

static bool is_partly_loaded(const struct server *server)
{
    struct segment_file file = segment_file_map(server);
    bool is_partly;

    is_partly = atomic_load(&segment_file_header(&file)->clock) > 1000;
    segment_file_unmap(&file);
    return is_partly;
}

/* Kills the master in the middle of a load into a new segment, when pairs are in it. False: the loader was too quick. */
static bool try_to_kill_a_master_that_loads(struct server *server, const char *name, const char *path)
{
    bool is_killed_in_time;

    *server = (struct server){.log = log_file()};
    (void)snprintf(server->name, sizeof server->name, "%s", name);
    server->process = server_launch(server->log, (const char *const[]){"--name", name, "--port", "0", "--memory", "128m",
                                                                       "--load", path, NULL});
    eventually(server_child_named(server, "hauskv-loader") != 0 || server_has_said(server, "Loaded"));
    eventually(is_partly_loaded(server));
    server_kill_all(server);
    is_killed_in_time = !server_has_said(server, "Loaded");
    if (!is_killed_in_time)
        server_unlink_segment(server);
    server_forget(server);
    return is_killed_in_time;
}

/* Nobody was served from it, and a part of a file must not pass for all of it. */
Test(loader, whose_master_is_killed_leaves_nothing_that_is_served)
{
    struct server server;
    struct client client;
    struct run run;
    char name[SERVER_NAME_BYTES];
    char path[128];

    own_name(name);
    write_pairs(path, sizeof path);
    eventually(try_to_kill_a_master_that_loads(&server, name, path));
    run = server_run("--inspect", name);
    cr_assert_eq(run.exit_status, 0);
    cr_expect_not_null(strstr(run.output.data, "the load into it was interrupted at "), "%s", run.output.data);
    cr_assert_null(strstr(run.output.data, "\nkeys: 0\n"), "%s", run.output.data);
    run_deinit(&run);

    server_start(&server, "--name", name);

    client_connect(&client, &server);
    client_expect(&client, "COUNT", REPLY_NUMBER("0"));
    client_close(&client);
    expect_said(&server, "the load into it was interrupted");
    server_stop(&server);
    cr_assert_not(server_has_segment(&server));
    (void)unlink(path);
}

/* --- memory pressure --- */

static long number_of(pid_t process, const char *file, const char *field)
{
    char path[64];
    char line[256];
    long number = -1;
    FILE *stream;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)process, file);
    stream = fopen(path, "re");
    cr_assert_not_null(stream);
    while (fgets(line, sizeof line, stream) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            number = strtol(line + strlen(field), NULL, 10);
    (void)fclose(stream);
    return number;
}

static long adjustment_of(pid_t process)
{
    return number_of(process, "oom_score_adj", "");
}

Test(pressure, ranks_every_child_before_the_master)
{
    struct server server;
    pid_t children[64];
    unsigned count;
    long master;

    server_start(&server);
    eventually(server_housekeeper(&server) != 0);
    master = adjustment_of(server.process);
    count = server_children(&server, children, 64);

    cr_assert_geq(count, 9);
    for (unsigned i = 0; i < count; i++)
        eventually(adjustment_of(children[i]) > master);
    server_stop(&server);
}

/* What the operator gave the server is where its children are counted from. */
Test(pressure, begins_at_what_the_server_was_given)
{
    struct server server;
    struct client client;
    long own = adjustment_of(getpid());
    FILE *file = fopen("/proc/self/oom_score_adj", "we");

    cr_assert_not_null(file);
    (void)fprintf(file, "%ld", own + 300);
    cr_assert_eq(fclose(file), 0);

    server_start(&server);
    client_connect(&client, &server);

    cr_assert_eq(adjustment_of(client_worker(&client)), own + 500);
    cr_assert_leq(adjustment_of(server.process), own + 300);
    client_close(&client);
    server_stop(&server);
}

/* The segment counts as taken by whoever touched it. */
Test(pressure, master_does_not_take_the_segment)
{
    struct server server;
    struct client client;

    server_start(&server, "--memory", "64m");
    client_connect(&client, &server);
    client_expect(&client, "PUT a 1", REPLY_OK);

    cr_assert_lt(number_of(server.process, "status", "RssShmem:"), 16384); /* KiB */
    client_close(&client);
    server_stop(&server);
}

/* A control group of the test's own that may take so many bytes. */
struct group {
    char folder[256];
    char parent[256]; /* its list of processes */
    const char *events;
};

static bool write_text(const char *folder, const char *name, const char *text)
{
    char path[320];
    FILE *file;
    bool is_written;

    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    file = fopen(path, "we");
    if (file == NULL)
        return false;
    is_written = fputs(text, file) >= 0;
    return fclose(file) == 0 && is_written;
}

/* Version 1 has a tree for memory alone, version 2 one for everything. */
static bool group_make(struct group *group, const char *tree, const char *limit, const char *swap, const char *events)
{
    (void)snprintf(group->parent, sizeof group->parent, "%s", tree);
    (void)snprintf(group->folder, sizeof group->folder, "%s/hauskv-test-%d", tree, (int)getpid());
    group->events = events;
    if (mkdir(group->folder, 0755) != 0)
        return false;
    if (write_text(group->folder, limit, "100663296")) {
        (void)write_text(group->folder, swap, "0");
        return true;
    }
    (void)rmdir(group->folder);
    return false;
}

static bool group_enter(const char *folder)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%d", (int)getpid());
    return write_text(folder, "cgroup.procs", text);
}

static unsigned long group_kills(const struct group *group)
{
    char path[320];
    char line[128];
    unsigned long kills = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/%s", group->folder, group->events);
    file = fopen(path, "re");
    cr_assert_not_null(file);
    while (fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "oom_kill ", 9) == 0)
            kills = strtoul(line + 9, NULL, 10);
    (void)fclose(file);
    return kills;
}

#define HUNGRY_CLIENTS 40u

/* Each has some 8 MiB of replies waiting for it. */
static void be_hungry(struct client *clients, const struct server *server)
{
    for (unsigned i = 0; i < HUNGRY_CLIENTS; i++) {
        client_connect(&clients[i], server);
        (void)client_try_send(&clients[i], bytes_from_string("GET v\nGET v\nGET v\nGET v\n"));
    }
}

Test(pressure, costs_workers_and_not_the_server)
{
    static struct client clients[HUNGRY_CLIENTS];
    struct group group;
    struct server server;
    struct client client;
    struct text line = {0};
    pid_t master;

    if (!group_make(&group, "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.swappiness",
                    "memory.oom_control") &&
        !group_make(&group, "/sys/fs/cgroup", "memory.max", "memory.swap.max", "memory.events"))
        cr_skip_test("not run: no control group for memory can be made here");
    cr_assert(group_enter(group.folder));
    server_start(&server, "--memory", "32m", "--max-command", "4m");
    cr_assert(group_enter(group.parent));
    master = server.process;
    client_connect(&client, &server);
    text_append_string(&line, "PUT v ");
    text_append_repeated(&line, 'x', (4u << 20) - 64);
    client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    client_expect(&client, "PUT keep 1", REPLY_OK);
    client_close(&client);

    be_hungry(clients, &server);
    eventually(group_kills(&group) > 0);

    cr_assert(driver_process_lives(master));
    for (unsigned i = 0; i < HUNGRY_CLIENTS; i++)
        client_close(&clients[i]);
    client_connect(&client, &server);
    client_expect(&client, "GET keep", REPLY_VALUE("1"));
    client_close(&client);
    server_stop(&server);
    text_deinit(&line);
    (void)rmdir(group.folder);
}
