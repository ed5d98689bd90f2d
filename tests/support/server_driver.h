/* Drives a real hauskv-server from a test: starts it, reads what it says, speaks
 * to it as many clients, stops it and looks at how it ended.
 *
 *     struct server server;
 *     struct client client;
 *
 *     server_start(&server, "--min-spare", "4");
 *     client_connect(&client, &server);
 *     client_expect(&client, "PUT greeting hello", "{\"status\": \"Ok\"}");
 *     client_close(&client);
 *     server_stop(&server);
 *
 * Nothing here uses Criterion, so forked children and plain programs may call
 * all of it. What a test takes for granted and does not get (no server, no
 * reply, another reply) ends the process: the complaint, the server's own words
 * and abort(3), which Criterion reports as a failed test.
 *
 * Tests run in parallel: every server has a name, a segment and ports of its
 * own, and nothing waits longer than DRIVER_PATIENCE_MS. A server whose test
 * ends first gets SIGTERM from the system, so it takes its segment along. */
#ifndef HAUSKV_TESTS_SUPPORT_SERVER_DRIVER_H
#define HAUSKV_TESTS_SUPPORT_SERVER_DRIVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "platform/bytes.h"
#include "platform/clock.h"

#define DRIVER_PATIENCE_MS 30000u

#define SERVER_LISTENERS_MAX 16u
#define SERVER_ADDRESS_BYTES 128u
#define SERVER_NAME_BYTES 64u

struct server {
    pid_t process; /* the master; 0: it has ended and was waited for */
    char name[SERVER_NAME_BYTES];
    int log; /* what it and its children write to standard error, from the beginning */
    /* From the lines "ready: ...": "127.0.0.1:9888", "[::1]:9888" or a path. */
    char listeners[SERVER_LISTENERS_MAX][SERVER_ADDRESS_BYTES];
    unsigned listener_count;
};

/* Starts build/hauskv-server (of the environment's HAUSKV_SERVER; else next to
 * the folder of the test program) with these arguments, and returns when it is
 * ready. What is not among the arguments is added: a --name of its own,
 * --port 0, --memory 16m, and --discard (which --discard=no takes back, for a
 * test that wants to restart). Arguments are strings: server_start(&server) or
 * server_start(&server, "--max-clients", "3"). */
#define server_start(...) SERVER_DRIVER_STARTS(__VA_ARGS__, (const char *)NULL)
#define SERVER_DRIVER_STARTS(server, ...) server_start_with((server), (const char *const[]){__VA_ARGS__})
void server_start_with(struct server *server, const char *const *arguments);

/* The same for one that is not going to serve: waits for its end and returns its
 * exit status (PROCESS_SIGNAL of process.h for a signal). The log stays readable
 * until server_forget. */
#define server_start_in_vain(...) SERVER_DRIVER_STARTS_IN_VAIN(__VA_ARGS__, (const char *)NULL)
#define SERVER_DRIVER_STARTS_IN_VAIN(server, ...) \
    server_start_in_vain_with((server), (const char *const[]){__VA_ARGS__})
int server_start_in_vain_with(struct server *server, const char *const *arguments);

/* SIGTERM; it must then end with status 0. Forgets it. */
void server_stop(struct server *server);

void server_signal(const struct server *server, int signal_number);

/* Waits for the server's end; returns its exit status or PROCESS_SIGNAL. The log
 * stays readable until server_forget. */
int server_wait(struct server *server);

/* SIGKILL for the master, waits until nothing of the server lives any more, and
 * removes its segment. Forgets it. */
void server_kill(struct server *server);

/* Removes the names of the segment of a server that ended and could not do so, and that of its control socket. */
void server_unlink_segment(const struct server *server);

/* Whether its segment has a name. */
bool server_has_segment(const struct server *server);

/* Whether somebody has its segment's file locked. The dead may, for a moment: who reads of them in /proc meanwhile keeps their
 * memory, and so the file that they had mapped. */
bool server_segment_is_locked(const struct server *server);

/* Closes the log of a server that has ended. */
void server_forget(struct server *server);

/* What the server has said so far, as a string that the caller frees; for a
 * living one, more may come. */
char *server_log(const struct server *server);

/* Whether it has said this, anywhere; how often; and waiting until it did. */
bool server_has_said(const struct server *server, const char *text);
unsigned server_count_said(const struct server *server, const char *text);
void server_expect_said(const struct server *server, const char *text);

/* The port of a listener such as "127.0.0.1:9888". */
unsigned server_port(const struct server *server, unsigned listener);

/* The processes of the server that live now, the master not counted: stores up
 * to max of their numbers and returns how many there are. */
unsigned server_children(const struct server *server, pid_t *children, unsigned max);

/* A connection, and the replies that were received on it and not yet taken. */
struct client {
    int descriptor; /* -1: closed */
    const struct server *server;
    char *input;
    size_t input_begin; /* of what was not taken yet */
    size_t input_end;
    size_t input_capacity;
};

/* Connects to the first listener, another, or any address in the form of the
 * ready lines. They never wait for a reply: a server that has no process free
 * accepts later. */
void client_connect(struct client *client, const struct server *server);
void client_connect_to(struct client *client, const struct server *server, const char *address);

/* Whether somebody listens at the address. */
bool client_can_connect(const char *address);

void client_close(struct client *client);

/* Sends all of the bytes as they are. Replies that come meanwhile are taken in,
 * so that a long pipeline never locks the two sides up. */
void client_send(struct client *client, struct bytes bytes);
void client_send_text(struct client *client, const char *text);
/* False, errno set: the connection has failed. */
bool client_try_send(struct client *client, struct bytes bytes);
/* Takes nothing in meanwhile; returns how many bytes went out before limit_ms passed without one more, or the
 * connection failed. */
size_t client_send_without_reading(struct client *client, struct bytes bytes, unsigned limit_ms);

/* Nothing more will be sent; replies may still come. */
void client_end_input(struct client *client);

/* The next line without its end, valid until the next call for this client. NULL:
 * the server has closed the connection (a part of a line before that fails). */
const char *client_read_line(struct client *client);

/* The same with a limit of one's own; *is_late tells that nothing came in time (then NULL is returned). */
const char *client_read_line_within(struct client *client, unsigned limit_ms, bool *is_late);

/* Sends a line and returns the reply, which must come. */
const char *client_say(struct client *client, const char *line);

/* Sends a line (NULL: nothing) and expects exactly this reply. */
void client_expect(struct client *client, const char *line, const char *reply);

#define REPLY_OK "{\"status\": \"Ok\"}"

/* The same, but only the reply's "code" is looked at. */
void client_expect_error(struct client *client, const char *line, const char *code);

/* The server has closed the connection, or does so now, and sends nothing before. */
void client_expect_end(struct client *client);

/* A number of the object that STATS answers, by its path: "connections.open". */
uint64_t client_statistic(struct client *client, const char *path);
/* A text of it; the caller frees it. */
char *client_statistic_text(struct client *client, const char *path);

/* The process that serves the client. */
pid_t client_worker(struct client *client);

/* Waits until a condition holds, looking again and again; ends the test when
 * patience is over. The one way a test waits for what a server does by itself. */
#define eventually(condition) \
    do { \
        uint64_t eventually_begin_ms = clock_monotonic_ms(); \
        while (!(condition)) \
            driver_look_again_later(eventually_begin_ms, #condition, __FILE__, __LINE__); \
    } while (0)
void driver_look_again_later(uint64_t begin_ms, const char *condition, const char *file, int line);

/* Complains as printf(3) would, with the server's log if there is one, and aborts. */
_Noreturn void driver_fail(const struct server *server, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Whether a process exists and is no zombie. */
bool driver_process_lives(pid_t process);

/* SIGSTOP for any process, and waits until it is stopped. */
void driver_process_stop(pid_t process);

#endif
