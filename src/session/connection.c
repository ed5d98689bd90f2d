/* Read, serve, write. */
#include "session/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "platform/clock.h"
#include "platform/peer.h"
#include "session/linger.h"
#include "session/write_watch.h"

struct connection {
    struct session *session;
    const struct connection_config *config;
    struct write_watch watch;
    int64_t sent; /* bytes in all */
    bool input_has_ended;
    bool is_closing; /* the session is: what comes is dropped */
    bool is_gone;    /* the client, while its command waited for a key */
    bool is_late;    /* the client, in taking its replies */
};

/* Whether the loop goes on; if not, why. */
struct outcome {
    bool goes_on;
    enum connection_end end;
};

static const struct outcome go_on = {.goes_on = true};

static struct outcome ends(enum connection_end end);
static struct outcome serve_on(struct connection *connection);
static void finish(struct connection *connection, enum connection_end end);
static bool still_wanted(void *context);
static struct outcome flush(struct connection *connection);
static ssize_t send_some(struct connection *connection, struct bytes output);
static struct outcome wait_until_writable(struct connection *connection);
static void take_in(struct connection *connection);
static struct outcome hold(struct connection *connection);
static struct outcome receive(struct connection *connection);
static ssize_t receive_some(struct connection *connection, int flags);
static void rest(struct connection *connection);
static bool is_stopped(const struct connection *connection);
static void set_idle_timeout(const struct connection_config *config);

enum connection_end connection_serve(struct session *session, const struct connection_config *config)
{
    struct connection connection = {.session = session, .config = config};
    const struct waiter waiter = {.goes_on = still_wanted, .context = &connection};
    struct outcome outcome = go_on;

    set_idle_timeout(config);
    session_set_waiter(session, &waiter);
    while (outcome.goes_on)
        outcome = serve_on(&connection);
    session_set_waiter(session, NULL);
    finish(&connection, outcome.end);
    return outcome.end;
}

static struct outcome serve_on(struct connection *connection)
{
    enum session_state state = session_serve(connection->session, CONNECTION_OUTPUT_BYTES);

    connection->is_closing = state == SESSION_CLOSING;
    if (connection->is_gone)
        return ends(CONNECTION_GONE);
    if (state == SESSION_HOLDING && !is_stopped(connection))
        return hold(connection);
    if (session_output(connection->session).size > 0)
        return flush(connection);
    if (state == SESSION_WAITING || state == SESSION_HOLDING)
        return receive(connection);
    return ends(is_stopped(connection) ? CONNECTION_STOPPED : CONNECTION_ENDED_BY_COMMAND);
}

/* Where the client ended its input, all of that was read, and the system sees to the replies. Nothing is left for one
 * that is late or gone. */
static void finish(struct connection *connection, enum connection_end end)
{
    const struct connection_config *config = connection->config;
    int saved_errno = errno;

    if (end == CONNECTION_ENDED_BY_CLIENT || connection->is_gone || connection->is_late)
        return;
    session_close(connection->session); /* nobody waits for its transactions meanwhile */
    linger(config->descriptor, &connection->watch, config->write_timeout_ms, config->stop);
    errno = saved_errno;
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

void connection_interrupt(int descriptor)
{
    const struct timeval at_once = {.tv_usec = 1};

    (void)setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &at_once, sizeof at_once);
}

/* A command waits for a key, or has had its turn. Beside its replies there is nothing to be sent, so nothing waits here. */
static bool still_wanted(void *context)
{
    struct connection *connection = context;
    struct bytes ready = session_ready_output(connection->session);

    if (is_stopped(connection))
        return false;
    if (ready.size > 0)
        (void)send_some(connection, ready); /* what failed is seen below */
    connection->is_gone = peer_is_gone(connection->config->descriptor);
    return !connection->is_gone;
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
        return ends(CONNECTION_ENDED_BY_CLIENT);
    if (session_is_large(connection->session))
        rest(connection);
    do {
        if (is_stopped(connection))
            return ends(CONNECTION_STOPPED);
        size = receive_some(connection, 0);
    } while (size < 0 && errno == EINTR);

    if (size == 0)
        return ends(CONNECTION_ENDED_BY_CLIENT);
    if (size > 0)
        return go_on;
    if (is_stopped(connection))
        return ends(CONNECTION_STOPPED);
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

/* Sends what can be sent at once. As send(2). */
static ssize_t send_some(struct connection *connection, struct bytes output)
{
    ssize_t size = send(connection->config->descriptor, output.data, output.size, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (size > 0) {
        session_output_taken(connection->session, (size_t)size);
        connection->sent += size;
    }
    return size;
}

/* Sends all that is to be sent; while that waits, the output may grow, and a command that waits for a key send some of
 * it. */
static struct outcome flush(struct connection *connection)
{
    struct outcome outcome = go_on;

    write_watch_end(&connection->watch);
    while (outcome.goes_on && session_output(connection->session).size > 0) {
        if (send_some(connection, session_output(connection->session)) > 0)
            continue;
        if (errno == EAGAIN)
            outcome = wait_until_writable(connection);
        else if (errno != EINTR)
            outcome = ends(CONNECTION_FAILED);
    }
    if (outcome.goes_on)
        session_output_clear(connection->session);
    return outcome;
}

/* The client does not take our replies. Perhaps it waits until we take what it
 * sends: as long as there is room, we do, and serve it. What it has taken is what was
 * sent but for what its system has not acknowledged: that the socket takes something
 * more says nothing of the client. */
static struct outcome wait_until_writable(struct connection *connection)
{
    const struct write_look look = {
        .now_ms = clock_monotonic_ms(),
        .taken = connection->sent - (int64_t)peer_untaken_bytes(connection->config->descriptor),
        .limit_ms = connection->config->write_timeout_ms,
        .is_stopping = is_stopped(connection),
    };
    struct pollfd descriptor = {.fd = connection->config->descriptor, .events = POLLOUT};
    int left_ms = write_watch_left_ms(&connection->watch, &look);
    size_t room;

    connection->is_late = left_ms == 0;
    if (connection->is_late)
        return ends(is_stopped(connection) ? CONNECTION_STOPPED : CONNECTION_NOT_READING);
    (void)session_room(connection->session, &room);
    if ((room > 0 || connection->is_closing) && !connection->input_has_ended)
        descriptor.events |= POLLIN;
    if (poll(&descriptor, 1, left_ms) > 0 && (descriptor.revents & descriptor.events & POLLIN) != 0)
        take_in(connection);
    if (connection->is_gone)
        return ends(CONNECTION_GONE);
    return go_on; /* time is looked at again, and so is a signal that came */
}

static void take_in(struct connection *connection)
{
    unsigned char dropped[4096];

    if (connection->is_closing) {
        connection->input_has_ended = recv(connection->config->descriptor, dropped, sizeof dropped, MSG_DONTWAIT) == 0;
        return;
    }
    connection->input_has_ended = receive_some(connection, MSG_DONTWAIT) == 0;
    connection->is_closing = session_serve(connection->session, CONNECTION_BACKLOG_BYTES) == SESSION_CLOSING;
}
