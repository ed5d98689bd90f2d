/* Which server has a name and its data: starts that race, names that vanish, starts that die before they have begun.
 *
 *   SOAK_TAKEOVERS  how many races between two or three starts, such as 1000:
 *   SOAK_TAKEOVERS=1000 build/tests/survival -j1 --filter ownership/starts'*' */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "support/store_random.h"
#include "survival/survival_support.h"

#define RACES_USUAL 40u
#define STARTS_MAX 3u
#define KEYS 200u

TestSuite(ownership, .timeout = 120);

/* --- sentences --- */

static void path_of(const struct server *server, const char *before, const char *after, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "/dev/shm/%shauskv-%s%s", before, server->name, after);
}

static bool has_file(const struct server *server, const char *before, const char *after)
{
    char path[PATH_MAX];

    path_of(server, before, after, path);
    return access(path, F_OK) == 0;
}

static void remove_file(const struct server *server, const char *before, const char *after)
{
    char path[PATH_MAX];

    path_of(server, before, after, path);
    if (unlink(path) != 0)
        driver_fail(server, "cannot remove %s", path);
}

static void put_file_in_the_names_place(const struct server *server)
{
    char path[PATH_MAX];
    int file;

    path_of(server, "", "", path);
    file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0 || write(file, "another", 7) != 7 || close(file) != 0)
        driver_fail(server, "cannot make %s", path);
}

/* The same server again, as a start that is not waited for. Its log is a file of its own. */
static void launch(struct server *start, const struct server *server, const char *memory, const char *discard)
{
    *start = (struct server){.log = memfd_create("log", MFD_CLOEXEC)};
    (void)fcntl(start->log, F_SETFL, O_APPEND);
    memcpy(start->name, server->name, sizeof start->name);
    start->process = server_launch(start->log, (const char *const[]){"--name", start->name, "--port", "0", "--memory",
                                                                     memory, discard, NULL});
}

/* Whether it says "ready", and where its first listener is. */
static bool is_ready(struct server *start)
{
    char *log = server_log(start);
    char *ready = strstr(log, "ready: ");
    char *end = ready == NULL ? NULL : strchr(ready, '\n');

    if (end != NULL) {
        *end = '\0';
        (void)snprintf(start->listeners[0], SERVER_ADDRESS_BYTES, "%s", ready + 7);
        start->listener_count = 1;
    }
    free(log);
    return end != NULL;
}

static bool is_decided(struct server *start)
{
    return is_ready(start) || !driver_process_lives(start->process);
}

static void put_keys(const struct server *server)
{
    struct client client;
    struct text lines = {0};

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++)
        text_format(&lines, "PUT key%u value%u\n", i, i);
    client_send(&client, text_bytes(&lines));
    client_expect_ok_times(&client, KEYS);
    client_close(&client);
    text_deinit(&lines);
}

static void expect_keys(const struct server *server)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "COUNT key", REPLY_NUMBER("200"));
    client_expect(&client, "GET key7", REPLY_VALUE("value7"));
    client_close(&client);
}

static void start_again(struct server *server, const char *discard)
{
    struct server old = *server;

    server_start_with(server, (const char *const[]){"--name", old.name, discard, NULL});
}

/* A start beside the living server must be refused, at once or as soon as anybody looks. */
static void expect_no_other_server(const struct server *server)
{
    struct server second;

    launch(&second, server, "16m", "--discard=no");
    eventually(is_decided(&second));
    if (is_ready(&second)) {
        (void)kill(second.process, SIGTERM);
        driver_fail(&second, "two servers have the name");
    }
    cr_assert_eq(process_wait(second.process), 1);
    if (!server_has_said(&second, "is in use by the server with pid"))
        driver_fail(&second, "it has not said who has the name");
    server_forget(&second);
}

static int end_by_term(struct server *server)
{
    int status;

    server_signal(server, SIGTERM);
    status = server_wait(server);
    return status;
}

static void text_of_statistic(const struct server *server, char text[32])
{
    struct client client;
    char *found;

    client_connect(&client, server);
    found = client_statistic_text(&client, "segment_file");
    (void)snprintf(text, 32, "%s", found);
    free(found);
    client_close(&client);
}

static bool segment_file_is(const struct server *server, const char *expected)
{
    char text[32];

    text_of_statistic(server, text);
    return strcmp(text, expected) == 0;
}

/* --- starts that race --- */

struct race {
    struct server last; /* who had the name, and is dead */
    struct client old_client;
    struct server starts[STARTS_MAX];
    unsigned start_count;
    unsigned winner;
    struct store_random random;
    unsigned number;
};

/* Every process of it at once, or the master only: its workers notice, and hold their locks until then. */
static void kill_last(struct race *race)
{
    pid_t children[64];
    unsigned count = server_children(&race->last, children, 64);

    if (race->number % 2 == 0) {
        server_kill_all(&race->last);
    } else {
        server_signal(&race->last, SIGKILL);
        (void)server_wait(&race->last);
    }
    server_forget(&race->last);
    client_close(&race->old_client);
    if (race->number % 4 == 3)
        for (unsigned i = 0; i < count && i < 64; i++)
            eventually(!driver_process_lives(children[i]));
}

/* Two or three, 0 to 100 ms apart, each with the old size or another. */
static void start_all(struct race *race)
{
    static const unsigned gaps_ms[] = {0, 1, 3, 10, 30, 100, 5, 0};
    static const char *const memory[] = {"16m", "16m", "20m"};

    race->start_count = 2 + race->number % 2;
    for (unsigned i = 0; i < race->start_count; i++) {
        if (i > 0)
            (void)usleep(1000 * gaps_ms[store_random_below(&race->random, 8)]);
        launch(&race->starts[i], &race->last, memory[store_random_below(&race->random, 3)], "--discard=no");
    }
}

static unsigned find_winner(struct race *race)
{
    for (unsigned i = 0; i < race->start_count; i++)
        if (is_ready(&race->starts[i]))
            return i;
    return STARTS_MAX;
}

/* While others still try, the winner's client has a transaction open. */
static void expect_one_server(struct race *race)
{
    struct client client;
    char line[64];

    eventually((race->winner = find_winner(race)) < STARTS_MAX);
    client_connect(&client, &race->starts[race->winner]);
    client_expect(&client, "START", REPLY_OK);
    (void)snprintf(line, sizeof line, "PUT round%u %u", race->number, race->number);
    client_expect(&client, line, REPLY_OK);

    for (unsigned i = 0; i < race->start_count; i++) {
        struct server *start = &race->starts[i];

        if (i == race->winner)
            continue;
        eventually(is_decided(start));
        if (is_ready(start))
            driver_fail(start, "race %u: two servers have the name", race->number);
        if (process_wait(start->process) != 1 ||
            (!server_has_said(start, "in use by") && !server_has_said(start, "another server")))
            driver_fail(start, "race %u: the loser does not say why", race->number);
        if (server_has_said(start, "Ended process") && race->number % 2 == 0)
            driver_fail(start, "race %u: the loser has ended somebody", race->number);
        server_forget(start);
    }
    client_expect(&client, "COMMIT", REPLY_OK);
    client_close(&client);
}

static void expect_nothing_lost(const struct race *race)
{
    const struct server *winner = &race->starts[race->winner];
    struct client client;
    char reply[64];

    client_connect(&client, winner);
    (void)snprintf(reply, sizeof reply, "{\"status\": \"Ok\", \"result\": %u}", race->number + 1);
    client_expect(&client, "COUNT round", reply);
    client_expect(&client, "COUNT key", REPLY_NUMBER("200"));
    client_close(&client);
    if (server_has_said(winner, "was killed by signal"))
        driver_fail(winner, "race %u: a process of the living server was ended", race->number);
}

Test(ownership, starts_that_race_leave_one_server_and_everything, .timeout = 3600)
{
    unsigned races = (unsigned)store_environment_number("SOAK_TAKEOVERS", RACES_USUAL);
    struct race race = {.random = {store_environment_number("HAUSKV_TEST_SEED", clock_monotonic_ns())}};

    fprintf(stderr, "seed %llu\n", (unsigned long long)race.random.state);
    server_start(&race.last, "--discard=no");
    put_keys(&race.last);
    for (race.number = 0; race.number < races; race.number++) {
        client_connect(&race.old_client, &race.last);
        client_expect(&race.old_client, "START", REPLY_OK);
        client_expect(&race.old_client, "PUT key0 never", REPLY_OK);
        kill_last(&race);
        start_all(&race);
        expect_one_server(&race);
        expect_nothing_lost(&race);
        race.last = race.starts[race.winner];
    }
    fprintf(stderr, "figures: %u races between two or three starts\n", races);
    server_kill(&race.last);
}

/* The first of two starts has its lock already when the second looks: nobody of it is the second's to end. */
Test(ownership, start_beside_a_living_server_ends_nobody)
{
    struct server server;
    struct client client;

    server_start(&server);
    put_keys(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT key0 new", REPLY_OK);

    expect_no_other_server(&server);

    client_expect(&client, "COMMIT", REPLY_OK);
    client_expect(&client, "GET key0", REPLY_VALUE("new"));
    client_close(&client);
    cr_assert_not(server_has_said(&server, "was killed by"));
    server_stop(&server);
}

static int makes_a_pid_namespace(void *context)
{
    (void)context;
    (void)execlp("unshare", "unshare", "-pf", "--mount-proc", "--kill-child", "true", (char *)NULL);
    return 1;
}

/* In a pid namespace of its own, as in a container that shares /dev/shm: the pid in its header says nothing here. Made one
 * that nobody has outside, or the server of before would have been refused by luck. */
Test(ownership, server_of_another_container_is_in_nobodys_way)
{
    const char *program = getenv("HAUSKV_SERVER");
    char command[PATH_MAX + 256];
    struct server server = {.log = memfd_create("log", MFD_CLOEXEC)};
    struct server second;
    struct client client;

    if (process_run(makes_a_pid_namespace, NULL) != 0)
        cr_skip_test("not run: pid namespaces can be made by root only");
    (void)snprintf(server.name, sizeof server.name, "container-%d", (int)getpid());
    (void)snprintf(command, sizeof command,
                   "echo $(($(cat /proc/sys/kernel/pid_max) - 700)) >/proc/sys/kernel/ns_last_pid; '%s' --name %s --port 0 "
                   "--memory 16m --discard & wait", program == NULL ? "build/hauskv-server" : program, server.name);
    server.process = fork();
    if (server.process == 0) {
        (void)dup2(server.log, STDERR_FILENO);
        (void)execlp("unshare", "unshare", "-pf", "--mount-proc", "--kill-child", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    eventually(is_ready(&server));
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT key0 new", REPLY_OK);

    launch(&second, &server, "16m", "--discard=no");
    eventually(is_decided(&second));
    cr_assert_not(is_ready(&second));
    cr_assert_eq(process_wait(second.process), 1);
    cr_assert(server_has_said(&second, "in use by"));
    server_forget(&second);

    client_expect(&client, "COMMIT", REPLY_OK);
    client_close(&client);
    cr_assert_not(server_has_said(&server, "was killed by"));
    (void)process_kill(server.process);
    server_unlink_segment(&server);
    server_forget(&server);
}

/* --- names that vanish --- */

Test(ownership, name_that_was_removed_is_restored_and_nobody_begins_meanwhile)
{
    struct server server;

    server_start(&server, "--discard=no");
    put_keys(&server);
    for (unsigned round = 1; round <= 3; round++) {
        remove_file(&server, "", "");
        expect_no_other_server(&server);
        eventually(has_file(&server, "", ""));
        eventually(server_count_said(&server, "had been removed: restored") == round);
    }
    remove_file(&server, ".", ".keep");
    eventually(has_file(&server, ".", ".keep"));
    cr_assert(segment_file_is(&server, "named"));

    cr_assert_eq(end_by_term(&server), 0);
    server_forget(&server);
    cr_assert(has_file(&server, "", ""));
    cr_assert_not(has_file(&server, ".", ".keep"), "a clean end leaves one name");
    start_again(&server, "--discard=no");
    expect_keys(&server);
    server_kill(&server);
}

Test(ownership, data_are_found_by_the_second_name_alone)
{
    struct server server;

    server_start(&server, "--discard=no");
    put_keys(&server);
    server_kill_all(&server); /* nobody restores the name */
    remove_file(&server, "", "");
    server_forget(&server);
    cr_assert_not(has_file(&server, "", ""));

    start_again(&server, "--discard=no");
    expect_keys(&server);
    server_kill(&server);
}

Test(ownership, data_that_lost_both_names_are_saved_by_a_clean_end)
{
    struct server server;

    server_start(&server, "--discard=no");
    put_keys(&server);
    process_stop(server.process);
    remove_file(&server, "", "");
    remove_file(&server, ".", ".keep");
    process_continue(server.process);
    server_expect_said(&server, "was removed, and its second name too");
    cr_assert(segment_file_is(&server, "lost"));
    expect_no_other_server(&server);
    put_keys(&server);

    cr_assert_eq(end_by_term(&server), 0);
    cr_assert(server_has_said(&server, "wrote the data to a new one"));
    server_forget(&server);
    cr_assert_not(has_file(&server, ".", ".keep"));
    start_again(&server, "--discard=no");
    expect_keys(&server);
    server_kill(&server);
}

Test(ownership, data_whose_name_another_file_has_stay_behind_the_second)
{
    struct server server;
    struct server second;

    server_start(&server, "--discard=no");
    put_keys(&server);
    process_stop(server.process);
    remove_file(&server, "", "");
    put_file_in_the_names_place(&server);
    process_continue(server.process);
    server_expect_said(&server, "was replaced by another file");
    cr_assert(segment_file_is(&server, "taken"));

    cr_assert_eq(end_by_term(&server), 1, "not as if nothing had happened");
    server_forget(&server);
    launch(&second, &server, "16m", "--discard=no");
    cr_assert_eq(process_wait(second.process), 1);
    cr_assert(server_has_said(&second, "there are two segments of that name"));
    server_forget(&second);
    remove_file(&server, "", "");
    start_again(&server, "--discard=no");
    expect_keys(&server);
    server_kill(&server);
}

Test(ownership, discarding_server_removes_no_file_but_its_own)
{
    struct server server;

    server_start(&server, "--discard");
    process_stop(server.process);
    remove_file(&server, "", "");
    put_file_in_the_names_place(&server);
    process_continue(server.process);

    cr_assert_eq(end_by_term(&server), 0);
    cr_assert(has_file(&server, "", ""), "it was another's");
    cr_assert_not(has_file(&server, ".", ".keep"));
    remove_file(&server, "", "");
    server_forget(&server);
}

Test(ownership, another_size_leaves_one_file_with_two_names)
{
    struct server server;
    struct server old;

    server_start(&server, "--discard=no");
    put_keys(&server);
    server_kill_all(&server);
    server_forget(&server);
    old = server;
    server_start(&server, "--name", old.name, "--discard=no", "--memory", "24m");

    remove_file(&server, "", "");
    expect_no_other_server(&server);
    eventually(has_file(&server, "", ""));
    expect_keys(&server);
    server_kill(&server);
}

/* --- starts that die before they have begun --- */

/* Killed while the file has its second name only: the room of the segment is being reserved. */
static bool kill_while_it_makes_the_segment(const struct server *server)
{
    struct server start;
    bool is_half_made;

    launch(&start, server, "128m", "--discard=no");
    do {
        is_half_made = has_file(server, ".", ".keep");
    } while (!is_half_made && driver_process_lives(start.process));
    (void)process_kill(start.process);
    server_forget(&start);
    is_half_made = has_file(server, ".", ".keep") && !has_file(server, "", "");
    if (!is_half_made)
        server_unlink_segment(server);
    return is_half_made;
}

Test(ownership, start_that_was_killed_while_it_made_the_segment_is_in_nobodys_way)
{
    struct server server = {.process = 0};
    struct client client;
    uint64_t begin_ms = clock_monotonic_ms();

    (void)snprintf(server.name, sizeof server.name, "half-made-%d", (int)getpid());
    while (!kill_while_it_makes_the_segment(&server))
        driver_look_again_later(begin_ms, "the start was killed at that moment", __FILE__, __LINE__);

    start_again(&server, "--discard=no");
    cr_assert(server_has_said(&server, "holds nothing"));
    client_connect(&client, &server);
    client_expect(&client, "COUNT", REPLY_NUMBER("0"));
    client_close(&client);
    server_kill(&server);
}

static void begins_with_a_file_of(off_t bytes)
{
    struct server server = {.process = 0};
    char path[PATH_MAX];
    int file;

    (void)snprintf(server.name, sizeof server.name, "empty-%d", (int)getpid());
    path_of(&server, "", "", path);
    file = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    cr_assert(file >= 0 && ftruncate(file, bytes) == 0);
    (void)close(file);

    start_again(&server, "--discard=no");
    cr_assert(server_has_said(&server, "holds nothing"));
    put_keys(&server);
    expect_keys(&server);
    server_kill(&server);
}

Test(ownership, file_that_holds_nothing_is_in_nobodys_way)
{
    begins_with_a_file_of(0);
    begins_with_a_file_of(100);
    begins_with_a_file_of(4 << 20);
}

/* --- where it may lie --- */

Test(ownership, directory_on_a_disk_has_to_be_insisted_on)
{
    char folder[] = "/tmp/hauskv-on-disk-XXXXXX";
    struct server server;

    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(server_start_in_vain(&server, "--segment-dir", "/proc/self", "--memory", "16m"), 1);
    cr_assert(server_has_said(&server, "--segment-on-disk"));
    server_forget(&server);

    server_start(&server, "--segment-dir", folder, "--segment-on-disk", "--memory", "8m");
    put_keys(&server);
    expect_keys(&server);
    server_stop(&server);
    cr_assert_eq(rmdir(folder), 0, "it left something there");
}
