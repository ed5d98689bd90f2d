/* Read, serve, write. */
#include "session/connection.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "platform/clock.h"

struct connection {
    struct session *session;
    const struct connection_config *config;
    bool input_has_ended;
};

/* Whether the loop goes on; if not, why. */
struct outcome {
    bool goes_on;
    enum connection_end end;
};

static const struct outcome go_on = {.goes_on = true};

static struct outcome ends(enum connection_end end);
static struct outcome flush(struct connection *connection);
static struct outcome wait_until_writable(struct connection *connection, uint64_t since_ms);
static struct outcome hold(struct connection *connection);
static struct outcome receive(struct connection *connection);
static ssize_t receive_some(struct connection *connection, int flags);
static void rest(struct connection *connection);
static bool is_stopped(const struct connection *connection);
static void set_idle_timeout(const struct connection_config *config);

enum connection_end connection_serve(struct session *session, const struct connection_config *config)
{
    struct connection connection = {session, config, false};
    struct outcome outcome = go_on;

    set_idle_timeout(config);
    while (outcome.goes_on) {
        enum session_state state = session_serve(session, CONNECTION_OUTPUT_BYTES);

        if (state == SESSION_HOLDING && !is_stopped(&connection))
            outcome = hold(&connection);
        else if (session_output(session).size > 0)
            outcome = flush(&connection);
        else if (state == SESSION_WAITING || state == SESSION_HOLDING)
            outcome = receive(&connection);
        else
            outcome = ends(CONNECTION_ENDED_BY_COMMAND);
    }
    if (outcome.end == CONNECTION_ENDED_BY_COMMAND)
        connection_drain(config->descriptor, CONNECTION_DRAIN_MS);
    return outcome.end;
}

static struct outcome ends(enum connection_end end)
{
    return (struct outcome){.goes_on = false, .end = end};
}

static bool is_stopped(const struct connection *connection)
{
    return connection->config->stop != NULL && *connection->config->stop != 0;
}

/* A read that waits longer fails with EAGAIN: no system call per read for it. */
static void set_idle_timeout(const struct connection_config *config)
{
    struct timeval time = {
        .tv_sec = config->idle_timeout_ms / 1000,
        .tv_usec = (suseconds_t)(config->idle_timeout_ms % 1000) * 1000,
    };

    if (config->idle_timeout_ms > 0)
        (void)setsockopt(config->descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

/* Is there more of the burst? A signal begins the wait anew: it only becomes longer. */
static struct outcome hold(struct connection *connection)
{
    struct pollfd readable = {.fd = connection->config->descriptor, .events = POLLIN};
    int found = connection->input_has_ended ? 0 : poll(&readable, 1, (int)FRAMING_SILENCE_MS);
    ssize_t size;

    if (found == 0)
        session_silence(connection->session);
    if (found <= 0)
        return go_on;
    size = receive_some(connection, MSG_DONTWAIT);
    connection->input_has_ended = size == 0;
    return size >= 0 || errno == EAGAIN || errno == EINTR ? go_on : ends(CONNECTION_FAILED);
}

static struct outcome receive(struct connection *connection)
{
    ssize_t size;

    if (connection->input_has_ended)
        return ends(is_stopped(connection) ? CONNECTION_STOPPED : CONNECTION_ENDED_BY_CLIENT);
    if (session_is_large(connection->session))
        rest(connection);
    do {
        if (is_stopped(connection))
            return ends(CONNECTION_STOPPED);
        size = receive_some(connection, 0);
    } while (size < 0 && errno == EINTR);

    if (size == 0)
        return ends(is_stopped(connection) ? CONNECTION_STOPPED : CONNECTION_ENDED_BY_CLIENT);
    if (size > 0)
        return go_on;
    return ends(errno == EAGAIN ? CONNECTION_IDLE : CONNECTION_FAILED);
}

/* As recv(2); ENOBUFS: there is no room. */
static ssize_t receive_some(struct connection *connection, int flags)
{
    size_t room;
    unsigned char *data = session_room(connection->session, &room);
    ssize_t size;

    if (room == 0) {
        errno = ENOBUFS;
        return -1;
    }
    size = recv(connection->config->descriptor, data, room, flags);
    if (size > 0)
        session_received(connection->session, (size_t)size);
    return size;
}

/* A client that made us large and now says nothing for a while gets us small
 * again; one that goes on finds the memory still there. */
static void rest(struct connection *connection)
{
    struct pollfd readable = {.fd = connection->config->descriptor, .events = POLLIN};

    if (poll(&readable, 1, (int)CONNECTION_REST_MS) == 0)
        session_shrink(connection->session);
}

/* Sends all that is to be sent; while that waits, the output may grow. */
static struct outcome flush(struct connection *connection)
{
    struct outcome outcome = go_on;
    uint64_t stuck_ms = 0; /* since when nothing goes out; 0: it does */
    size_t sent = 0;

    while (outcome.goes_on && sent < session_output(connection->session).size) {
        struct bytes output = session_output(connection->session);
        ssize_t size = send(connection->config->descriptor, output.data + sent, output.size - sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size > 0) {
            sent += (size_t)size;
            stuck_ms = 0;
        } else if (errno == EAGAIN) {
            stuck_ms = stuck_ms == 0 ? clock_monotonic_ms() : stuck_ms;
            outcome = wait_until_writable(connection, stuck_ms);
        } else if (errno != EINTR) {
            outcome = ends(CONNECTION_FAILED);
        }
    }
    if (outcome.goes_on)
        session_output_clear(connection->session);
    return outcome;
}

/* How long a write may wait; 0: for ever. */
static unsigned write_limit_ms(const struct connection *connection)
{
    unsigned limit = connection->config->write_timeout_ms;

    if (is_stopped(connection) && (limit == 0 || limit > CONNECTION_STOP_WRITE_MS))
        return CONNECTION_STOP_WRITE_MS;
    return limit;
}

static int milliseconds_left(unsigned limit_ms, uint64_t since_ms)
{
    uint64_t passed = clock_monotonic_ms() - since_ms;

    if (limit_ms == 0)
        return -1;
    if (passed >= limit_ms)
        return 0;
    return limit_ms - passed > INT_MAX ? INT_MAX : (int)(limit_ms - passed);
}

/* The client does not take our replies. Perhaps it waits until we take what it
 * sends: as long as there is room, we do, and serve it. */
static struct outcome wait_until_writable(struct connection *connection, uint64_t since_ms)
{
    struct pollfd descriptor = {.fd = connection->config->descriptor, .events = POLLOUT};
    size_t room;
    int left_ms = milliseconds_left(write_limit_ms(connection), since_ms);

    if (left_ms == 0)
        return ends(is_stopped(connection) ? CONNECTION_STOPPED : CONNECTION_NOT_READING);
    (void)session_room(connection->session, &room);
    if (room > 0 && !connection->input_has_ended)
        descriptor.events |= POLLIN;
    if (poll(&descriptor, 1, left_ms) <= 0)
        return go_on; /* time is looked at again, and so is a signal that came */
    if (descriptor.revents & descriptor.events & POLLIN) {
        connection->input_has_ended = receive_some(connection, MSG_DONTWAIT) == 0;
        (void)session_serve(connection->session, CONNECTION_BACKLOG_BYTES);
    }
    return go_on;
}

void connection_drain(int descriptor, unsigned timeout_ms)
{
    unsigned char dropped[4096];
    uint64_t begin_ms = clock_monotonic_ms();
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};
    int left_ms;

    if (shutdown(descriptor, SHUT_WR) != 0)
        return;
    while ((left_ms = milliseconds_left(timeout_ms, begin_ms)) > 0) {
        if (poll(&readable, 1, left_ms) <= 0 && errno != EINTR)
            return;
        if (recv(descriptor, dropped, sizeof dropped, MSG_DONTWAIT) == 0)
            return;
    }
}
