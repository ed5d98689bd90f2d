/* A conversation: lines in, replies out, transactions in between. It knows no
 * socket; connection.h gives it one, tests and fuzzers feed it bytes. What it
 * answers depends on the bytes (and the store) alone, not on the pieces in which
 * they came - except under FRAMING_AUTO, where it depends on both, and on where
 * there was silence. One process and one thread. */
#ifndef HAUSKV_SESSION_SESSION_H
#define HAUSKV_SESSION_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/waiter.h"
#include "protocol/buffer.h"
#include "protocol/dialect.h"
#include "protocol/framing.h"
#include "protocol/json_writer.h"
#include "protocol/line_reader.h"
#include "protocol/message.h"
#include "protocol/telnet.h"
#include "session/counters.h"
#include "session/session_transactions.h"
#include "store/store.h"

/* What a session is given. All of it must live as long as the session. */
struct session_config {
    struct store *store;
    struct store_session *store_session; /* stays the caller's; has no open transaction */
    _Atomic uint64_t *last_transaction_id; /* shared by all sessions of a server; 0 at its start */
    struct session_counters *counters;
    enum isolation isolation; /* of START and BEGIN that name none */
    size_t command_bytes_max; /* --max-command: 1 to LINE_BYTES_LIMIT, a line without its end */
    unsigned lock_timeout_ms; /* the store's; only told to clients */
    size_t reads_bytes_max;   /* the same */
    enum framing framing;
    enum dialect dialect;
    /* Writes the object that STATS answers. NULL: an empty one. */
    void (*write_stats)(void *context, struct json_writer *writer);
    void *stats_context;
};

/* Fields are nobody's business but session.c's and execute.c's. What every line needs stands together: among a thousand
 * processes, each finds its own memory cold. */
struct session {
    struct session_config config;
    struct line_reader lines;
    struct telnet telnet;
    struct framer framer;
    struct buffer output;
    bool has_begun;  /* a line that was not blank was answered */
    bool is_closing; /* EXIT, QUIT, a browser, no private memory, or a wait that was given up: nothing is served any more */
    bool gives_up;   /* the waiter said so */
    size_t reply_offset; /* in output, of the line that is answered */
    size_t output_taken; /* of output, while a command waited */
    const struct waiter *waiter; /* the connection's */
    struct waiter store_waiter;  /* what the store asks */
    struct session_transactions transactions;
    struct message message; /* of the line that is answered; not on the stack, where it would lie between what is needed */
};

enum session_state {
    SESSION_WAITING, /* every complete line is answered */
    SESSION_HOLDING, /* the same, but keep the output: more must come, or session_silence be called */
    SESSION_FULL,    /* the output is large: take it, then serve on */
    SESSION_CLOSING  /* take the output, then close; bytes that are left or still come are dropped */
};

bool session_is_valid(const struct session *session);

/* Takes no private memory before the first byte. */
void session_init(struct session *session, const struct session_config *config);

/* Rolls back whatever is open. */
void session_deinit(struct session *session);

/* Answers the lines that were received, until output_bytes_max bytes or more are
 * waiting to be taken (the last reply is always whole). */
enum session_state session_serve(struct session *session, size_t output_bytes_max);

/* Where to receive bytes, and how many fit (0: lines must be served first, or
 * there is no memory); then how many were received, in one read. */
unsigned char *session_room(struct session *session, size_t *size);
void session_received(struct session *session, size_t size);

/* SESSION_HOLDING, and nothing came for FRAMING_SILENCE_MS, or the input has ended. Then it is to be served again. */
void session_silence(struct session *session);

/* The replies so far; valid until the session is served again. */
struct bytes session_output(const struct session *session);

/* So many bytes of them were taken: the rest is what session_output returns from now on. */
void session_output_taken(struct session *session, size_t size);

/* All were taken; their memory is used again. */
void session_output_clear(struct session *session);

/* Whoever serves the session is asked when one of its commands waits for a key, until it says something else (NULL:
 * nobody is asked). Where it gives up the command does not run, everything is rolled back, and the session closes. */
void session_set_waiter(struct session *session, const struct waiter *waiter);

/* Only for the waiter, while it is asked: replies that could be sent now (session_output_taken), valid until it returns.
 * None under FRAMING_AUTO, unless it is in line mode: there the replies of a burst are one write. */
struct bytes session_ready_output(const struct session *session);

/* The whole conversation without a socket: copies bytes in and serves them all.
 * The output grows until it is taken. Where there is no private memory for the
 * bytes, the session closes. */
void session_feed(struct session *session, struct bytes bytes);

/* Whether it holds more memory than a quiet client needs; and giving that back,
 * as far as it is empty. */
bool session_is_large(const struct session *session);
void session_shrink(struct session *session);

/* Rolls everything back; whatever else was received is not served. */
void session_close(struct session *session);

#endif
