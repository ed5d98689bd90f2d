/* Who is still there: real sockets on this machine. Its kernel brings the end of one to the other at once, unless it has much to
 * do. */
#include "platform/peer.h"

#include <criterion/criterion.h>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/server_driver.h"

static int client;
static int server;

static void connect_unix(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client = pair[0];
    server = pair[1];
}

static void connect_to(struct sockaddr *address, socklen_t size)
{
    int listener = socket(address->sa_family, SOCK_STREAM, 0);

    cr_assert_eq(bind(listener, address, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, address, &size), 0);
    client = socket(address->sa_family, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, address, size), 0);
    server = accept(listener, NULL, NULL);
    cr_assert_geq(server, 0);
    (void)close(listener);
}

static void connect_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    connect_to((struct sockaddr *)&address, sizeof address);
}

static void connect_tcp6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};

    connect_to((struct sockaddr *)&address, sizeof address);
}

static void (*const connects[])(void) = {connect_unix, connect_tcp, connect_tcp6};

#define CONNECTS (sizeof connects / sizeof *connects)

TestSuite(peer, .timeout = 60);

Test(peer, one_that_is_connected_is_there)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        connects[i]();
        cr_assert_not(peer_is_gone(server));
    }
}

Test(peer, one_that_ended_its_input_is_there)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        connects[i]();
        cr_assert_eq(send(client, "PING\n", 5, 0), 5);
        cr_assert_eq(shutdown(client, SHUT_WR), 0);
        cr_assert_not(peer_is_gone(server), "%u", i);
        cr_assert_eq(send(server, "PONG\n", 5, MSG_NOSIGNAL), 5);
        cr_assert_not(peer_is_gone(server), "%u", i);
    }
}

Test(peer, one_that_closed_is_gone)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        connects[i]();
        cr_assert_eq(send(client, "PING\n", 5, 0), 5);
        (void)close(client);
        eventually(peer_is_gone(server));
    }
}

Test(peer, one_that_ended_its_input_and_closed_later_is_gone)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        connects[i]();
        cr_assert_eq(shutdown(client, SHUT_WR), 0);
        cr_assert_not(peer_is_gone(server), "%u", i);
        (void)close(client);
        eventually(peer_is_gone(server));
    }
}

Test(peer, one_that_closed_with_unread_bytes_is_gone)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        connects[i]();
        cr_assert_eq(send(server, "PONG\n", 5, MSG_NOSIGNAL), 5);
        (void)close(client);
        eventually(peer_is_gone(server));
    }
}

Test(peer, one_whose_socket_another_process_has_too_is_there)
{
    for (unsigned i = 0; i < CONNECTS; i++) {
        int other;

        connects[i]();
        other = dup(client);
        (void)close(client);
        cr_assert_not(peer_is_gone(server), "%u", i);
        (void)close(other);
        eventually(peer_is_gone(server));
    }
}

Test(peer, has_taken_what_it_has_read)
{
    char bytes[1000] = "";

    connect_unix();
    cr_assert_eq(peer_untaken_bytes(server), 0);
    cr_assert_eq(send(server, bytes, sizeof bytes, 0), (ssize_t)sizeof bytes);
    cr_assert_geq(peer_untaken_bytes(server), sizeof bytes);
    cr_assert_eq(recv(client, bytes, sizeof bytes, MSG_WAITALL), (ssize_t)sizeof bytes);
    cr_assert_eq(peer_untaken_bytes(server), 0);
}

Test(peer, nothing_is_known_of_what_is_no_socket)
{
    int pipe_ends[2];

    cr_assert_eq(pipe(pipe_ends), 0);
    cr_assert_eq(peer_untaken_bytes(pipe_ends[1]), 0);
    cr_assert_not(peer_is_gone(pipe_ends[1]));
}
