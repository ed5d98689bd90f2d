/* A session on a socket: read, serve, write, until it ends.
 *
 * All complete lines of one read are answered with one write; only where their
 * replies grow past CONNECTION_OUTPUT_BYTES is the output written in between. A
 * reply is always sent whole, however many writes that takes.
 *
 * A client may send a long pipeline before it reads. So while a write waits,
 * what it sends is still taken in and served, until CONNECTION_BACKLOG_BYTES of
 * replies wait; then up to one --max-command is taken in and kept; then nothing
 * more. A client that does not read stops its own connection only, and when it is
 * late (write_watch.h) that ends.
 *
 * A session that is holding (session.h) gets its replies out when more came, or
 * nothing did for FRAMING_SILENCE_MS.
 *
 * A command may have to wait for a key. Then the replies before it are sent first,
 * and from time to time the connection is looked at: when the client is gone
 * (platform/peer.h) or the server stops, the wait is given up, everything is rolled
 * back, and nothing more runs. The same is looked at when its turn has come: a
 * command that has waited runs only for a client that is still there.
 *
 * However the server ends a connection, by EXIT or because of a browser, for want of
 * memory, after idle_timeout_ms or with the server, the replies so far arrive first:
 * see linger.h. Only a client that is late loses what it did not take. */
#ifndef HAUSKV_SESSION_CONNECTION_H
#define HAUSKV_SESSION_CONNECTION_H

#include <signal.h>

#include "session/session.h"

#define CONNECTION_OUTPUT_BYTES ((size_t)256 << 10)
#define CONNECTION_BACKLOG_BYTES ((size_t)4 << 20)

/* A client that was quiet so long gets by with little memory. */
#define CONNECTION_REST_MS 1000u

struct connection_config {
    int descriptor; /* a connected stream socket in blocking mode; stays open */
    unsigned idle_timeout_ms;  /* without a byte from the client; 0: for ever. Late by up to CONNECTION_REST_MS */
    unsigned write_timeout_ms; /* until the client has taken WRITE_WATCH_BYTES, or all; 0: for ever */
    /* Set by a signal handler: what was read is still served, then the loop ends. The handler also calls
     * connection_interrupt, which ends a read that waits. NULL: never. */
    const volatile sig_atomic_t *stop;
};

enum connection_end {
    CONNECTION_ENDED_BY_CLIENT, /* end of input; an unfinished last line was dropped */
    CONNECTION_ENDED_BY_COMMAND, /* EXIT, QUIT, a browser, or no private memory */
    CONNECTION_STOPPED,
    CONNECTION_IDLE,       /* idle_timeout_ms */
    CONNECTION_NOT_READING, /* write_timeout_ms */
    CONNECTION_GONE,        /* the client went away while its command waited for a key; that did not run */
    CONNECTION_FAILED      /* the socket failed; errno says how (ECONNRESET, EPIPE: the client went away) */
};

/* Serves a session that was just initialized until the connection ends. The
 * caller deinitializes the session, which rolls back, and closes the descriptor.
 * Never raises SIGPIPE. */
enum connection_end connection_serve(struct session *session, const struct connection_config *config);

/* For a signal handler, once stop is set: no read of the connection waits any more, neither one that does nor one that
 * is about to. Unlike shutting the reading side down, it leaves what comes to be read: closing with unread bytes would
 * lose replies. */
void connection_interrupt(int descriptor);

#endif
