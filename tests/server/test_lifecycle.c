/* A server's beginning and end: what it says, whom it names, what it leaves. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "server/master.h"
#include "support/process.h"
#include "support/server_driver.h"

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}"

TestSuite(lifecycle, .timeout = 120);

/* Sockets of the test itself, to be in the way. */

static int listen_on_free_port(unsigned *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(listen(descriptor, 1), 0);
    cr_assert_eq(getsockname(descriptor, (struct sockaddr *)&address, &size), 0);
    *port = ntohs(address.sin_port);
    return descriptor;
}

/* Another test's client may have the port for a moment, as its own. */
static bool is_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    bool is_bound;

    address.sin_port = htons((uint16_t)port);
    cr_assert_eq(setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    is_bound = bind(descriptor, (struct sockaddr *)&address, sizeof address) == 0 && listen(descriptor, 1) == 0;
    (void)close(descriptor);
    return is_bound;
}

static int bind_path(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    cr_assert_eq(bind(descriptor, (struct sockaddr *)&address, sizeof address), 0);
    return descriptor;
}

static void socket_path(char path[64])
{
    (void)snprintf(path, 64, "/tmp/hauskv-test-%d.sock", (int)getpid());
    (void)unlink(path);
}

static void expect_pong(const struct server *server, const char *address)
{
    struct client client;

    client_connect_to(&client, server, address);
    client_expect(&client, "PING", PONG);
    client_close(&client);
}

static void says_this(const struct server *server, const char *text)
{
    if (!server_has_said(server, text))
        driver_fail(server, "the server has not said '%s'", text);
}

/* The end. */

static void ends_cleanly_on(int signal_number)
{
    struct server server;

    server_start(&server);
    expect_pong(&server, server.listeners[0]);
    server_signal(&server, signal_number);

    cr_assert_eq(server_wait(&server), 0);

    says_this(&server, ": stopping");
    says_this(&server, "Stopped");
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
}

Test(lifecycle, terminate_ends_it_cleanly)
{
    ends_cleanly_on(SIGTERM);
}

Test(lifecycle, interrupt_ends_it_cleanly)
{
    ends_cleanly_on(SIGINT);
}

Test(lifecycle, hang_up_ends_it_cleanly)
{
    ends_cleanly_on(SIGHUP);
}

Test(lifecycle, stop_closes_idle_connections_and_rolls_back)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    client_expect(&client, "PUT a 1", REPLY_OK);

    server_stop(&server);

    client_expect_end(&client);
    client_close(&client);
}

Test(lifecycle, stop_answers_what_runs_with_whole_replies)
{
    struct server server;
    struct client client;
    unsigned replies = 0;
    const char *reply;

    server_start(&server);
    client_connect(&client, &server);
    for (unsigned i = 0; i < 1000; i++)
        client_send_text(&client, "PUT a 1\nGET a\nPUT b 2\nGET b\n");
    client_expect(&client, NULL, REPLY_OK);

    server_signal(&server, SIGTERM);

    /* A reset may cut off what was not received yet, but every line that came is a reply. */
    while ((reply = client_read_line(&client)) != NULL && ++replies < 4000)
        cr_assert(strncmp(reply, "{\"status\": \"Ok\"", 15) == 0, "%s", reply);
    cr_assert_eq(server_wait(&server), 0);
    client_close(&client);
    server_forget(&server);
}

Test(lifecycle, nobody_can_connect_while_it_stops)
{
    struct server server;
    struct client client;
    pid_t worker;

    server_start(&server);
    client_connect(&client, &server);
    worker = client_worker(&client);
    cr_assert_eq(kill(worker, SIGSTOP), 0);
    server_signal(&server, SIGTERM);
    server_expect_said(&server, ": stopping");

    eventually(!client_can_connect(server.listeners[0]));

    cr_assert_eq(kill(worker, SIGCONT), 0);
    cr_assert_eq(server_wait(&server), 0);
    client_close(&client);
    server_forget(&server);
}

Test(lifecycle, second_signal_ends_it_at_once)
{
    struct server server;
    struct client client;
    pid_t worker;

    server_start(&server);
    client_connect(&client, &server);
    worker = client_worker(&client);
    cr_assert_eq(kill(worker, SIGSTOP), 0);
    server_signal(&server, SIGTERM);
    server_expect_said(&server, ": stopping");
    server_signal(&server, SIGINT);

    cr_assert_eq(server_wait(&server), 1);

    says_this(&server, "ending at once");
    cr_assert_not(driver_process_lives(worker));
    cr_assert_not(server_has_segment(&server));
    client_close(&client);
    server_forget(&server);
}

/* Whether both signals were sent within a moment; the test may have been held up. */
static bool terminate_twice(const struct server *server)
{
    uint64_t begin_ms = clock_monotonic_ms();

    server_signal(server, SIGTERM);
    server_signal(server, SIGTERM);
    return clock_monotonic_ms() - begin_ms < MASTER_ECHO_MS / 2;
}

/* timeout(1) signals the process and then its group. */
Test(lifecycle, same_signal_twice_in_a_moment_is_one)
{
    struct server server;
    bool were_quick;
    int end;

    do {
        server_start(&server);
        were_quick = terminate_twice(&server);
        end = server_wait(&server);
        cr_assert(!were_quick || server_count_said(&server, "at once") == 0);
        server_forget(&server);
    } while (!were_quick);

    cr_assert_eq(end, 0);
}

Test(lifecycle, worker_that_does_not_end_is_killed_after_a_while)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    cr_assert_eq(kill(client_worker(&client), SIGSTOP), 0);
    server_signal(&server, SIGTERM);

    cr_assert_eq(server_wait(&server), 1);

    says_this(&server, "1 workers have not ended");
    client_close(&client);
    server_forget(&server);
}

Test(lifecycle, broken_pipes_kill_nobody)
{
    struct server server;
    pid_t children[16];
    unsigned count;

    server_start(&server, "--min-spare", "2");
    count = server_children(&server, children, 16);
    server_signal(&server, SIGPIPE);
    for (unsigned i = 0; i < count; i++)
        cr_assert_eq(kill(children[i], SIGPIPE), 0);

    expect_pong(&server, server.listeners[0]);

    cr_assert_eq(server_count_said(&server, "killed by signal"), 0);
    server_stop(&server);
}

Test(lifecycle, ctrl_c_of_a_terminal_is_the_masters_business_alone)
{
    struct server server;
    struct client client;

    server_start(&server);
    client_connect(&client, &server);
    cr_assert_eq(kill(client_worker(&client), SIGINT), 0);

    client_expect(&client, "PING", PONG);

    client_close(&client);
    server_stop(&server);
}

Test(lifecycle, children_of_a_killed_master_end_and_free_the_port)
{
    struct server server;
    struct client client;
    static pid_t children[64];
    unsigned count;

    server_start(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    count = server_children(&server, children, 64);
    cr_assert_geq(count, 9);
    server_signal(&server, SIGKILL);
    cr_assert_eq(server_wait(&server), PROCESS_SIGNAL(SIGKILL));

    for (unsigned i = 0; i < count && i < 64; i++)
        eventually(!driver_process_lives(children[i]));

    client_expect_end(&client);
    client_close(&client);
    eventually(is_free(server_port(&server, 0)));
    cr_assert(server_has_segment(&server), "the data outlives its server");
    server_unlink_segment(&server);
    server_forget(&server);
}

/* The beginning. */

Test(lifecycle, free_port_is_the_same_on_both_loopback_addresses)
{
    struct server server;

    server_start(&server);

    cr_assert_geq(server.listener_count, 1);
    cr_assert_eq(strncmp(server.listeners[0], "127.0.0.1:", 10), 0);
    if (server.listener_count == 2) {
        cr_assert_eq(strncmp(server.listeners[1], "[::1]:", 6), 0);
        cr_assert_eq(server_port(&server, 0), server_port(&server, 1));
        expect_pong(&server, server.listeners[1]);
    } else {
        says_this(&server, "::1: this machine has no such address");
    }
    server_stop(&server);
}

Test(lifecycle, every_address_is_served_at_every_port)
{
    struct server server;

    server_start(&server, "--bind", "127.0.0.1", "--bind", "127.0.0.2", "--port", "0", "--port", "0");

    cr_assert_eq(server.listener_count, 4);
    cr_assert_eq(server_port(&server, 0), server_port(&server, 1));
    cr_assert_eq(server_port(&server, 2), server_port(&server, 3));
    cr_assert_neq(server_port(&server, 0), server_port(&server, 2));
    for (unsigned i = 0; i < 4; i++)
        expect_pong(&server, server.listeners[i]);
    server_stop(&server);
}

Test(lifecycle, unknown_option_is_status_2)
{
    struct server server;

    cr_assert_eq(server_start_in_vain(&server, "--no-such-option"), 2);

    says_this(&server, "--no-such-option");
    says_this(&server, "try --help");
    server_forget(&server);
}

Test(lifecycle, foreign_holder_of_a_port_is_named)
{
    struct server server;
    unsigned port;
    int listener = listen_on_free_port(&port);
    char option[16];
    char complaint[128];

    (void)snprintf(option, sizeof option, "%u", port);
    cr_assert_eq(server_start_in_vain(&server, "--port", option), 1);

    (void)snprintf(complaint, sizeof complaint, "Cannot listen on 127.0.0.1:%u: pid %d", port, (int)getpid());
    says_this(&server, complaint);
    cr_assert_not(server_has_segment(&server));
    server_forget(&server);
    (void)close(listener);
}

Test(lifecycle, other_server_on_a_port_is_named_by_its_master)
{
    struct server first;
    struct server second;
    char option[16];
    char complaint[128];

    server_start(&first);
    (void)snprintf(option, sizeof option, "%u", server_port(&first, 0));
    cr_assert_eq(server_start_in_vain(&second, "--port", option), 1);

    (void)snprintf(complaint, sizeof complaint, "pid %d (hauskv-server) has the port", (int)first.process);
    says_this(&second, complaint);
    expect_pong(&first, first.listeners[0]);
    server_forget(&second);
    server_stop(&first);
}

Test(lifecycle, segment_of_a_living_server_is_refused_and_its_master_named)
{
    struct server first;
    struct server second;
    char complaint[64];

    server_start(&first);
    cr_assert_eq(server_start_in_vain(&second, "--name", first.name, "--fresh"), 1);

    (void)snprintf(complaint, sizeof complaint, "pid %d", (int)first.process);
    says_this(&second, complaint);
    expect_pong(&first, first.listeners[0]);
    server_forget(&second);
    server_stop(&first);
}

Test(lifecycle, fresh_discards_the_segment_of_a_dead_server)
{
    struct server dead;
    struct server next;
    struct client client;

    server_start(&dead);
    client_connect(&client, &dead);
    client_expect(&client, "PUT a 1", REPLY_OK);
    client_close(&client);
    server_signal(&dead, SIGKILL);
    (void)server_wait(&dead);

    server_start(&next, "--name", dead.name, "--fresh");

    client_connect(&client, &next);
    client_expect(&client, "COUNT", "{\"status\": \"Ok\", \"result\": 0}");
    client_close(&client);
    server_stop(&next);
    server_forget(&dead);
}

Test(lifecycle, failing_start_with_fresh_discards_nothing)
{
    struct server dead;
    struct server next;
    unsigned port;
    int listener = listen_on_free_port(&port);
    char option[16];

    server_start(&dead);
    server_signal(&dead, SIGKILL);
    (void)server_wait(&dead);
    (void)snprintf(option, sizeof option, "%u", port);

    cr_assert_eq(server_start_in_vain(&next, "--name", dead.name, "--fresh", "--port", option), 1);

    cr_assert(server_has_segment(&dead));
    server_unlink_segment(&dead);
    server_forget(&dead);
    server_forget(&next);
    (void)close(listener);
}

/* Unix sockets. */

Test(lifecycle, unix_socket_is_its_owners_and_goes_with_the_server)
{
    struct server server;
    struct stat status;
    char path[64];

    socket_path(path);
    server_start(&server, "--unix", path);

    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode, S_IFSOCK | 0600);
    cr_assert_str_eq(server.listeners[server.listener_count - 1], path);
    expect_pong(&server, path);
    server_stop(&server);
    cr_assert_neq(stat(path, &status), 0);
}

Test(lifecycle, socket_file_of_a_dead_server_is_replaced)
{
    struct server server;
    char path[64];

    socket_path(path);
    (void)close(bind_path(path));

    server_start(&server, "--unix", path);

    says_this(&server, "which a dead server left behind");
    expect_pong(&server, path);
    server_stop(&server);
}

Test(lifecycle, socket_file_of_a_living_server_is_refused)
{
    struct server first;
    struct server second;
    char path[64];
    char complaint[128];

    socket_path(path);
    server_start(&first, "--unix", path);

    cr_assert_eq(server_start_in_vain(&second, "--unix", path), 1);

    (void)snprintf(complaint, sizeof complaint, "Cannot listen on %s: pid %d (hauskv-server) does", path,
                   (int)first.process);
    says_this(&second, complaint);
    expect_pong(&first, path);
    server_forget(&second);
    server_stop(&first);
}

Test(lifecycle, file_that_is_no_socket_is_refused_and_kept)
{
    struct server server;
    struct stat status;
    char path[64];

    socket_path(path);
    (void)close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));

    cr_assert_eq(server_start_in_vain(&server, "--unix", path), 1);

    says_this(&server, "is no socket");
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(unlink(path), 0);
    server_forget(&server);
}

Test(lifecycle, socket_file_that_somebody_replaced_is_left_alone)
{
    struct server server;
    struct stat status;
    char path[64];

    socket_path(path);
    server_start(&server, "--unix", path);
    cr_assert_eq(unlink(path), 0);
    (void)close(bind_path(path));

    server_stop(&server);

    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(unlink(path), 0);
}
