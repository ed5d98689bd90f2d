/* A session on a socket: read, serve, write, until it ends.
 *
 * All complete lines of one read are answered with one write; only where their
 * replies grow past CONNECTION_OUTPUT_BYTES is the output written in between. A
 * reply is always sent whole, however many writes that takes.
 *
 * A client may send a long pipeline before it reads. So while a write waits,
 * what it sends is still taken in and served, until CONNECTION_BACKLOG_BYTES of
 * replies wait; then up to one --max-command is taken in and kept; then nothing
 * more. A client that does not read at all stops its own connection only, and
 * after write_timeout_ms without progress that ends.
 *
 * A session that is holding (session.h) gets its replies out when more came, or
 * nothing did for FRAMING_SILENCE_MS. */
#ifndef HAUSKV_SESSION_CONNECTION_H
#define HAUSKV_SESSION_CONNECTION_H

#include <signal.h>

#include "session/session.h"

#define CONNECTION_OUTPUT_BYTES ((size_t)256 << 10)
#define CONNECTION_BACKLOG_BYTES ((size_t)4 << 20)

/* A client that was quiet so long gets by with little memory. */
#define CONNECTION_REST_MS 1000u

/* How long a connection that the server ends waits for the client to do the same. */
#define CONNECTION_DRAIN_MS 100u

/* How long a client that does not read can hold up a server that is stopping. */
#define CONNECTION_STOP_WRITE_MS 1000u

struct connection_config {
    int descriptor; /* a connected stream socket in blocking mode; stays open */
    unsigned idle_timeout_ms;  /* without a byte from the client; 0: for ever. Late by up to CONNECTION_REST_MS */
    unsigned write_timeout_ms; /* without a byte taken by the client; 0: for ever */
    /* Set by a signal handler: what was read is still served, then the loop ends. The handler also shuts the
     * socket's reading side down, which ends a read that waits. NULL: never. */
    const volatile sig_atomic_t *stop;
};

enum connection_end {
    CONNECTION_ENDED_BY_CLIENT, /* end of input; an unfinished last line was dropped */
    CONNECTION_ENDED_BY_COMMAND, /* EXIT, QUIT, a browser, or no private memory */
    CONNECTION_STOPPED,
    CONNECTION_IDLE,       /* idle_timeout_ms */
    CONNECTION_NOT_READING, /* write_timeout_ms */
    CONNECTION_FAILED      /* the socket failed; errno says how (ECONNRESET, EPIPE: the client went away) */
};

/* Serves a session that was just initialized until the connection ends. The
 * caller deinitializes the session, which rolls back, and closes the descriptor.
 * Never raises SIGPIPE. */
enum connection_end connection_serve(struct session *session, const struct connection_config *config);

/* Says that nothing more will be sent and throws away what still comes, until
 * the client closes or time is over: closing with unread bytes would make the
 * system discard the replies that are under way. */
void connection_drain(int descriptor, unsigned timeout_ms);

#endif
