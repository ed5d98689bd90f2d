/* LOCKING with real clients: who wants a key that a transaction has waits, and
 * gets it when that ends, however it ends. Whether somebody waits is seen where
 * the system sees it: its worker sleeps on a futex, not on its socket. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/process.h"

#define CLIENTS_MAX 10u
#define RAISERS 50u
#define RAISES 20u

TestSuite(locking, .timeout = 300);

struct scene {
    struct server server;
    struct client clients[CLIENTS_MAX];
    pid_t workers[CLIENTS_MAX]; /* asked for before anybody waits */
    unsigned count;
};

/* --- the stage --- */

#define SCENE_BEGIN(scene, count, ...) \
    scene_begin((scene), (count), \
                (const char *const[]){"--isolation", "locking", "--transaction-timeout", "0", __VA_ARGS__, NULL})

static void scene_begin(struct scene *scene, unsigned count, const char *const *arguments)
{
    server_start_with(&scene->server, arguments);
    scene->count = count;
    for (unsigned i = 0; i < count; i++) {
        client_connect(&scene->clients[i], &scene->server);
        scene->workers[i] = client_worker(&scene->clients[i]);
    }
}

static void scene_end(struct scene *scene)
{
    for (unsigned i = 0; i < scene->count; i++)
        client_close(&scene->clients[i]);
    server_expect_unharmed(&scene->server, 0);
    server_stop(&scene->server);
}

static bool waits_for_a_key(pid_t worker)
{
    char path[64];
    char line[256] = "";
    bool waits = false;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/syscall", (int)worker); /* its number first; else "running" */
    file = fopen(path, "r");
    if (file == NULL)
        return false;
    if (fgets(line, sizeof line, file) != NULL)
        waits = strtol(line, NULL, 10) == SYS_futex;
    (void)fclose(file);
    return waits;
}

static void say(struct scene *scene, unsigned client, const char *line, const char *reply_or_code)
{
    client_expect_either(&scene->clients[client], line, reply_or_code);
}

/* The client says a line and gets no reply yet. */
static void say_and_wait(struct scene *scene, unsigned client, const char *line)
{
    client_send_text(&scene->clients[client], line);
    client_send_text(&scene->clients[client], "\n");
    eventually(waits_for_a_key(scene->workers[client]));
}

static void hear(struct scene *scene, unsigned client, const char *reply_or_code)
{
    client_expect_either(&scene->clients[client], NULL, reply_or_code);
}

/* --- pairs --- */

Test(locking, the_second_client_waits_then_sees_what_was_committed)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--dialect", "default");
    say(&scene, 0, "PUT key before", REPLY_OK);
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key after", REPLY_OK);
    say(&scene, 1, "START", REPLY_OK);
    say_and_wait(&scene, 1, "GET key");
    say(&scene, 0, "COMMIT", REPLY_OK);
    hear(&scene, 1, REPLY_VALUE("after"));
    say(&scene, 1, "COMMIT", REPLY_OK);
    scene_end(&scene);
}

Test(locking, the_second_client_waits_then_sees_that_all_was_rolled_back)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--dialect", "default");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key after", REPLY_OK);
    say_and_wait(&scene, 1, "GET key"); /* a single command waits too */
    say(&scene, 0, "ROLLBACK", REPLY_OK);
    hear(&scene, 1, REPLY_NOT_FOUND);
    scene_end(&scene);
}

Test(locking, commits_of_the_other_levels_wait_and_snapshots_do_not)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 4, "--dialect", "default");
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say(&scene, 1, "START SERIALIZABLE", REPLY_OK);
    say(&scene, 1, "PUT key 2", REPLY_OK);
    say(&scene, 2, "START READ COMMITTED", REPLY_OK);
    say(&scene, 2, "PUT key 3", REPLY_OK);
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "GET key", REPLY_VALUE("1"));
    say_and_wait(&scene, 1, "COMMIT");
    say_and_wait(&scene, 2, "COMMIT");
    say(&scene, 3, "START SERIALIZABLE", REPLY_OK);
    say(&scene, 3, "GET key", REPLY_VALUE("1"));
    say(&scene, 3, "COMMIT", REPLY_OK);
    say(&scene, 0, "GET key", REPLY_VALUE("1"));
    say(&scene, 0, "COMMIT", REPLY_OK);
    hear(&scene, 1, REPLY_OK);
    hear(&scene, 2, REPLY_OK);
    say(&scene, 3, "GET key", REPLY_VALUE("3")); /* in the order in which they came */
    scene_end(&scene);
}

Test(locking, an_error_gives_the_keys_up_at_once)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--dialect", "default");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say_and_wait(&scene, 1, "PUT key 2");
    say(&scene, 0, "COUNT", "denied");
    hear(&scene, 1, REPLY_OK);
    say(&scene, 0, "COMMIT", "aborted");
    say(&scene, 0, "GET key", REPLY_VALUE("2"));
    scene_end(&scene);
}

Test(locking, who_waits_too_long_is_told_and_changes_nothing)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--lock-timeout", "50ms");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say(&scene, 1, "PUT key 2", "timeout");
    say(&scene, 1, "START", REPLY_OK);
    say(&scene, 1, "PUT other 2", REPLY_OK);
    say(&scene, 1, "GET key", "timeout");
    say(&scene, 1, "GET other", "aborted");
    say(&scene, 0, "PUT other 1", REPLY_OK); /* an aborted one has no keys */
    say(&scene, 0, "COMMIT", REPLY_OK);
    say(&scene, 1, "ROLLBACK", REPLY_OK);
    say(&scene, 1, "GET key", REPLY_VALUE("1"));
    say(&scene, 1, "GET other", REPLY_VALUE("1"));
    scene_end(&scene);
}

Test(locking, a_commit_that_waits_too_long_names_the_key)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--lock-timeout", "50ms");
    say(&scene, 1, "START READ COMMITTED", REPLY_OK);
    say(&scene, 1, "PUT free 2", REPLY_OK);
    say(&scene, 1, "PUT key 2", REPLY_OK);
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say(&scene, 1, "COMMIT",
        "{\"status\": \"Error\", \"mesg\": \"Waited 50 ms for the key key, which a transaction has locked "
        "(--lock-timeout); nothing was changed\", \"code\": \"timeout\"}");
    say(&scene, 1, "GET free", REPLY_NOT_FOUND);
    say(&scene, 1, "COMMIT", "no_transaction");
    scene_end(&scene);
}

/* --- deadlocks --- */

/* Each has a key and asks for the next one's; the last closes the circle and is told so, all the others come through. */
static void go_round(unsigned count)
{
    struct scene scene;
    char line[64];

    SCENE_BEGIN(&scene, count, "--lock-timeout", "0");
    for (unsigned i = 0; i < count; i++) {
        say(&scene, i, "START", REPLY_OK);
        (void)snprintf(line, sizeof line, "PUT key%u %u", i, i);
        say(&scene, i, line, REPLY_OK);
    }
    for (unsigned i = 0; i + 1 < count; i++) {
        (void)snprintf(line, sizeof line, "PUT key%u %u", i + 1, i);
        say_and_wait(&scene, i, line);
    }
    (void)snprintf(line, sizeof line, "PUT key0 %u", count - 1);
    say(&scene, count - 1, line, "deadlock");
    for (unsigned i = count - 1; i-- > 0;) {
        hear(&scene, i, REPLY_OK);
        say(&scene, i, "COMMIT", REPLY_OK);
    }
    say(&scene, count - 1, "COMMIT", "aborted");
    say(&scene, 0, "GET key0", REPLY_VALUE("0"));
    for (unsigned i = 1; i < count; i++) {
        char reply[96];

        (void)snprintf(line, sizeof line, "GET key%u", i);
        (void)snprintf(reply, sizeof reply, REPLY_VALUE("%u"), i - 1);
        say(&scene, 0, line, reply);
    }
    scene_end(&scene);
}

Test(locking, a_deadlock_of_two_has_one_victim)
{
    go_round(2);
}

Test(locking, a_deadlock_of_three_has_one_victim)
{
    go_round(3);
}

Test(locking, a_deadlock_of_ten_has_one_victim)
{
    go_round(10);
}

Test(locking, a_connection_does_not_wait_for_itself)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 1, "--lock-timeout", "0");
    say(&scene, 0, "BEGIN", REPLY_BEGUN("1"));
    say(&scene, 0, "BEGIN", REPLY_BEGUN("2"));
    say(&scene, 0, "PUT key 1 1", REPLY_OK);
    say(&scene, 0, "PUT key 2", "deadlock");
    say(&scene, 0, "GET key 2", "deadlock");
    say(&scene, 0, "COMMIT 2", "aborted");
    say(&scene, 0, "COMMIT 1", REPLY_OK);
    say(&scene, 0, "GET key", REPLY_VALUE("1"));
    scene_end(&scene);
}

/* --- ends of every kind --- */

Test(locking, a_client_that_goes_away_gives_its_keys_up)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--lock-timeout", "0");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say_and_wait(&scene, 1, "GET key");
    client_close(&scene.clients[0]);
    hear(&scene, 1, REPLY_NOT_FOUND);
    client_close(&scene.clients[1]);
    scene.count = 0;
    scene_end(&scene);
}

Test(locking, killed_owners_and_waiters_block_nobody)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 4, "--lock-timeout", "0");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say_and_wait(&scene, 1, "PUT key 2");
    say_and_wait(&scene, 2, "PUT key 3");
    say_and_wait(&scene, 3, "GET key");
    (void)kill(scene.workers[1], SIGKILL);
    (void)kill(scene.workers[0], SIGKILL);
    client_expect_end(&scene.clients[0]);
    client_expect_end(&scene.clients[1]);
    hear(&scene, 2, REPLY_OK);
    hear(&scene, 3, REPLY_VALUE("3"));
    for (unsigned i = 0; i < scene.count; i++)
        client_close(&scene.clients[i]);
    server_stop(&scene.server);
}

Test(locking, a_transaction_that_expired_has_no_keys)
{
    struct server server;
    struct client owner;
    struct client waiter;

    server_start(&server, "--isolation", "locking", "--transaction-timeout", "1s", "--lock-timeout", "0");
    client_connect(&owner, &server);
    client_connect(&waiter, &server);
    client_expect(&owner, "START", REPLY_OK);
    client_expect(&owner, "PUT key 1", REPLY_OK);
    client_expect(&waiter, "GET key", REPLY_NOT_FOUND); /* after a second, not before */
    client_expect_error(&owner, "PUT key 2", "timeout");
    client_expect_error(&owner, "COMMIT", "aborted");
    client_close(&owner);
    client_close(&waiter);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(locking, a_server_that_is_told_to_end_does_not_wait_for_who_waits)
{
    struct scene scene;

    SCENE_BEGIN(&scene, 2, "--lock-timeout", "0");
    say(&scene, 0, "START", REPLY_OK);
    say(&scene, 0, "PUT key 1", REPLY_OK);
    say_and_wait(&scene, 1, "PUT key 2");
    server_stop(&scene.server);
    for (unsigned i = 0; i < scene.count; i++)
        client_close(&scene.clients[i]);
}

/* --- many --- */

struct raisers {
    struct process_gate gate;
    const struct server *server;
};

/* Reads the counter and puts one more, each time in a transaction; nothing may fail. */
static int raise_counter(void *context)
{
    struct raisers *raisers = context;
    struct client client;

    client_connect(&client, raisers->server);
    process_gate_wait(&raisers->gate);
    for (unsigned i = 0; i < RAISES; i++) {
        char line[64];
        int64_t value;

        client_expect(&client, "START", REPLY_OK);
        value = reply_integer(&client, client_say(&client, "GET counter"));
        (void)snprintf(line, sizeof line, "PUT counter %" PRId64, value + 1);
        client_expect(&client, line, REPLY_OK);
        client_expect(&client, "COMMIT", REPLY_OK);
    }
    client_close(&client);
    return 0;
}

Test(locking, fifty_clients_raise_one_counter_without_a_conflict)
{
    struct raisers *raisers = process_shared_memory(sizeof *raisers);
    struct server server;
    struct client client;
    pid_t children[RAISERS];
    int64_t value;

    server_start(&server, "--isolation", "locking", "--lock-timeout", "0", "--max-clients", "100");
    raisers->server = &server;
    client_connect(&client, &server);
    client_expect(&client, "PUT counter 0", REPLY_OK);
    for (unsigned i = 0; i < RAISERS; i++)
        children[i] = process_start(raise_counter, raisers);
    process_gate_open(&raisers->gate);
    for (unsigned i = 0; i < RAISERS; i++)
        cr_expect_eq(process_wait(children[i]), 0, "client %u failed", i);
    value = reply_integer(&client, client_say(&client, "GET counter"));
    cr_expect_eq(value, (int64_t)RAISERS * RAISES, "the counter is %" PRId64, value);
    (void)printf("figures: %u clients raised a counter %u times each under LOCKING: no error, none lost\n", RAISERS,
                 RAISES);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
