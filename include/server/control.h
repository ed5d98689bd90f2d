/* The control socket: how --inspect and --dump look at a living server. It is
 * the Unix socket hauskv-NAME.control in the segment's directory, opened by the
 * master once it owns the segment, and accepted by the workers like any other
 * listener. So no process beside the server's own is ever inside the segment.
 *
 * Only the server's own user, and root, is answered. A control connection takes
 * none of --max-clients; SCOREBOARD_CONTROLS_MAX of them are served at a time,
 * for which there are workers beside those of the clients.
 *
 * The conversation is in spec/protocol.md, "The control socket": one line asks,
 * pieces of output answer, and an end that is not part of the output says
 * whether it is whole. */
#ifndef HAUSKV_SERVER_CONTROL_H
#define HAUSKV_SERVER_CONTROL_H

#include <signal.h>
#include <stdbool.h>

#include "server/inheritance.h"
#include "server/listener.h"

#define CONTROL_GREETING "hauskv-control 1 "
#define CONTROL_LINE_BYTES 256u
#define CONTROL_PIECE_BYTES ((size_t)64 << 10)

/* How long whoever asks waits for the begin of an answer, and for the next piece of it. */
#define CONTROL_ANSWER_MS 5000u
#define CONTROL_SILENCE_MS 60000u

/* Where the socket of a server lies. */
struct control_place {
    const char *segment_directory; /* empty: that of POSIX shared memory */
    const char *name;
};

/* Listens. False: standard error was told why, nothing is open.
 * The master, which owns the segment of that name. */
bool control_open(struct control_listener *control, const struct control_place *place);

/* Nobody can connect any more; the path is gone. The master. */
void control_shut(const struct control_listener *control);

/* Closes this process's descriptors. Any process. */
void control_close(struct control_listener *control);

/* What a worker serves one control connection with. */
struct control_service {
    const struct inheritance *inheritance;
    struct store_session *session;    /* the worker's own; nothing is open in it */
    int descriptor;                   /* accepted; stays open */
    const volatile sig_atomic_t *stop; /* set by a handler that also shuts the descriptor's reading side down */
    bool is_refused;                  /* too many are served */
};

/* Serves it to its end. Whoever asked is closed when late, as a client is (write_watch.h); no lock is held
 * while it is waited for. Never raises SIGPIPE. A worker. */
void control_serve(const struct control_service *service);

enum control_answer {
    CONTROL_NOBODY,   /* nobody listens there */
    CONTROL_ANSWERED, /* whole; *exit_status is what the server said */
    CONTROL_FAILED    /* standard error was told why */
};

/* Asks the server for "inspect" or "dump" and copies its answer to standard output; what it says at the end goes to standard
 * error. Waits for no longer than the limits above. Any process but the server's. */
enum control_answer control_ask(const struct control_place *place, const char *request, int *exit_status);

#endif
