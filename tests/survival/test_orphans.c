/* What a dead server left behind: processes that were stopped, and so could not hear of its death. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/survival_support.h"

#define CHILDREN_MAX 64u

TestSuite(orphans, .timeout = 120);

struct orphaned {
    struct server server;
    char port[16];
    pid_t orphan;
};

/* Its master is dead; one worker, which has the listening sockets too, was stopped before. */
static void leave_an_orphan(struct orphaned *left)
{
    pid_t children[CHILDREN_MAX];
    struct client client;

    server_start(&left->server, "--discard=no", "--bind", "127.0.0.1");
    (void)snprintf(left->port, sizeof left->port, "%u", server_port(&left->server, 0));
    client_connect(&client, &left->server);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_close(&client);
    cr_assert_gt(server_children(&left->server, children, CHILDREN_MAX), 0);
    left->orphan = children[0];
    cr_assert_eq(kill(left->orphan, SIGSTOP), 0);
    eventually(process_is_stopped(left->orphan));
    server_signal(&left->server, SIGKILL);
    (void)server_wait(&left->server);
    server_forget(&left->server);
    cr_assert(process_is_stopped(left->orphan));
}

Test(orphans, do_not_keep_the_ports_from_the_next_server)
{
    struct orphaned left;
    struct client client;

    leave_an_orphan(&left);
    server_start(&left.server, "--name", left.server.name, "--discard=no", "--bind", "127.0.0.1", "--port", left.port);
    cr_assert(server_has_said(&left.server, "Ended process"));
    eventually(!driver_process_lives(left.orphan));
    client_connect(&client, &left.server);
    client_expect(&client, "GET a", "{\"status\": \"Ok\", \"result\": \"1\"}");
    client_close(&client);
    server_stop(&left.server);
    server_unlink_segment(&left.server);
}

Test(orphans, do_not_keep_a_dead_servers_pairs_from_a_dump)
{
    struct orphaned left;
    struct run run;

    leave_an_orphan(&left);
    run = server_run("--inspect", left.server.name, "--dump");
    cr_assert_eq(run.exit_status, 0, "%s", run.errors.data);
    cr_assert_str_eq(run.output.data, "{\"key\": \"a\", \"value\": \"1\"}\n");
    cr_assert(process_is_stopped(left.orphan));
    run_deinit(&run);
    cr_assert_eq(kill(left.orphan, SIGKILL), 0);
    server_unlink_segment(&left.server);
}
