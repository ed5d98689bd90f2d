/* Clients that go away, or whose server stops, while their command waits for a key that another has: for ever, as far as
 * the server is concerned (--lock-timeout 0). */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/process.h"

struct scene {
    struct server server;
    struct client owner; /* has the key `taken` */
    char path[128];      /* of the Unix socket */
};

TestSuite(waiting, .timeout = 120);

static void scene_begin(struct scene *scene)
{
    live_socket_path(scene->path, sizeof scene->path);
    server_start(&scene->server, "--lock-timeout", "0", "--transaction-timeout", "0", "--unix", scene->path,
                 "--bind", "127.0.0.1", "--bind", "::1");
    client_connect(&scene->owner, &scene->server);
    client_expect(&scene->owner, "START LOCKING", REPLY_OK);
    client_expect(&scene->owner, "PUT taken 1", REPLY_OK);
}

static void scene_end(struct scene *scene)
{
    client_close(&scene->owner);
    server_expect_unharmed(&scene->server, 0);
    server_stop(&scene->server);
}

static unsigned listeners(const struct scene *scene)
{
    return scene->server.listener_count;
}

static void connect_over(struct scene *scene, unsigned listener, struct client *client)
{
    client_connect_to(client, &scene->server, scene->server.listeners[listener]);
}

/* What the client that went had is free again, and so is its connection. */
static void expect_gone(struct scene *scene)
{
    eventually(client_statistic(&scene->owner, "connections.open") == 1);
    cr_assert_eq(client_statistic(&scene->owner, "transactions.open"), 1);
}

/* With replies that it has not read: they were sent before its command began to wait, so the system resets. */
Test(waiting, a_client_that_goes_with_unread_replies_gives_its_keys_up)
{
    struct scene scene;
    struct client client;

    scene_begin(&scene);
    for (unsigned listener = 0; listener < listeners(&scene); listener++) {
        connect_over(&scene, listener, &client);
        client_send_text(&client, "START LOCKING\nPUT mine 1\nPUT taken 2\n");
        eventually(client_statistic(&scene.owner, "transactions.open") == 2);
        client_close(&client);
        expect_gone(&scene);
    }
    client_connect(&client, &scene.server);
    client_expect(&client, "PUT mine 2", REPLY_OK);
    client_close(&client);
    client_expect(&scene.owner, "COMMIT", REPLY_OK);
    client_expect(&scene.owner, "GET taken", REPLY_VALUE("1"));
    scene_end(&scene);
}

/* With none: over TCP its end looks like that of its input. */
Test(waiting, a_client_that_goes_with_nothing_unread_runs_nothing_more)
{
    static const char *const commands[] = {"PUT taken 2", "DEL taken", "GET taken", "START READ COMMITTED\nPUT taken 2\nCOMMIT"};
    struct scene scene;
    struct client client;

    scene_begin(&scene);
    for (unsigned listener = 0; listener < listeners(&scene); listener++) {
        for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
            uint64_t waits_from = client_statistic(&scene.owner, "connections.accepted");

            connect_over(&scene, listener, &client);
            client_send_text(&client, commands[i]);
            client_send_text(&client, "\nPUT after 1\n");
            eventually(client_statistic(&scene.owner, "connections.accepted") == waits_from + 1);
            client_close(&client);
            expect_gone(&scene);
        }
    }
    client_expect(&scene.owner, "COMMIT", REPLY_OK);
    client_expect(&scene.owner, "GET taken", REPLY_VALUE("1"));
    client_expect(&scene.owner, "GET after", REPLY_NOT_FOUND);
    scene_end(&scene);
}

/* A script through `nc -N`. */
Test(waiting, a_client_that_ended_its_input_gets_all_of_its_replies)
{
    struct scene scene;
    struct client clients[8];

    scene_begin(&scene);
    for (unsigned listener = 0; listener < listeners(&scene); listener++) {
        connect_over(&scene, listener, &clients[listener]);
        client_send_text(&clients[listener], "PING\nGET taken\nPING\n");
        client_end_input(&clients[listener]);
        client_expect(&clients[listener], NULL, REPLY_PONG); /* before the wait is over */
    }
    client_expect(&scene.owner, "COMMIT", REPLY_OK);
    for (unsigned listener = 0; listener < listeners(&scene); listener++) {
        client_expect(&clients[listener], NULL, REPLY_VALUE("1"));
        client_expect(&clients[listener], NULL, REPLY_PONG);
        client_expect_end(&clients[listener]);
        client_close(&clients[listener]);
    }
    scene_end(&scene);
}

Test(waiting, clients_that_waited_and_went_leave_room_for_others)
{
    struct server server;
    struct client owner;
    struct client client;

    server_start(&server, "--lock-timeout", "0", "--max-clients", "3");
    client_connect(&owner, &server);
    client_expect(&owner, "START LOCKING", REPLY_OK);
    client_expect(&owner, "PUT taken 1", REPLY_OK);
    for (unsigned i = 0; i < 10; i++) {
        client_connect(&client, &server);
        client_send_text(&client, "GET taken\n");
        client_close(&client);
        eventually(client_statistic(&owner, "connections.open") == 1);
    }
    client_connect(&client, &server);
    client_expect(&client, "PING", REPLY_PONG);
    client_close(&client);
    client_close(&owner);
    server_stop(&server);
}

/* Whoever has the key is held up meanwhile: were it told to stop first, it would give the key up, and there would be nothing to
 * wait for. */
Test(waiting, a_server_that_stops_waits_for_no_key)
{
    struct server server;
    struct client owner;
    struct client client;
    pid_t owners_worker;

    server_start(&server, "--lock-timeout", "0", "--lock-holder-timeout", "0");
    client_connect(&owner, &server);
    client_expect(&owner, "START LOCKING", REPLY_OK);
    client_expect(&owner, "PUT taken 1", REPLY_OK);
    owners_worker = client_worker(&owner);
    client_connect(&client, &server);
    client_send_text(&client, "PUT before 1\nPUT taken 2\nPUT after 1\n");
    client_expect(&client, NULL, REPLY_OK); /* so the next one waits, or will */
    driver_process_stop(owners_worker);

    server_signal(&server, SIGTERM);

    client_expect_error(&client, NULL, "timeout");
    client_expect_end(&client);
    client_close(&client);
    cr_assert_eq(kill(owners_worker, SIGCONT), 0);
    cr_assert_eq(server_wait(&server), 0, "somebody had to be killed");
    server_forget(&server);
    client_close(&owner);
}
