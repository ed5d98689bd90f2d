/* What the tests with live clients share, besides the driver. Like the driver it
 * uses no Criterion: what is not as it should be ends the process. */
#ifndef HAUSKV_TESTS_LIVE_SUPPORT_H
#define HAUSKV_TESTS_LIVE_SUPPORT_H

#include "support/server_driver.h"

#define REPLY_VALUE(value) "{\"status\": \"Ok\", \"result\": \"" value "\"}"
#define REPLY_NUMBER(number) "{\"status\": \"Ok\", \"result\": " number "}"
#define REPLY_BEGUN(id) "{\"status\": \"Ok\", \"transaction_id\": " id "}"
#define REPLY_NOT_FOUND "{\"status\": \"Error\", \"mesg\": \"Key not found\", \"code\": \"not_found\"}"
#define REPLY_PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}"

/* Bytes that are put together; zeroed is empty. Private memory. */
struct text {
    char *data;
    size_t size;
    size_t capacity;
};

void text_append(struct text *text, struct bytes bytes);
void text_append_string(struct text *text, const char *string);
void text_append_repeated(struct text *text, char character, size_t count);
void text_format(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_clear(struct text *text);
void text_deinit(struct text *text);
struct bytes text_bytes(const struct text *text);

/* Expects a reply: the very line if it begins with {, else an error of that code. line NULL: nothing is sent. */
void client_expect_either(struct client *client, const char *line, const char *reply_or_code);

/* Sends bytes and their line end, and expects the same. */
void client_expect_bytes(struct client *client, struct bytes line, const char *reply_or_code);

/* The integer in a GET's reply, which must be one. */
int64_t reply_integer(const struct client *client, const char *reply);

/* Waits until the server has taken every byte that was sent. Only for a client of a Unix socket, where the system
 * counts what the other side has not read yet; over TCP it counts what has not arrived. */
void client_wait_until_taken(const struct client *client);

/* Takes `count` replies, each of which must be REPLY_OK. */
void client_expect_ok_times(struct client *client, unsigned count);

/* The server serves a new client, nothing is left open but the connections that the test still has, no process of it
 * has died and none has complained. */
void server_expect_unharmed(const struct server *server, unsigned connections_open);

/* The name of a Unix socket of this process's own; no file has it yet. */
void live_socket_path(char *path, size_t size);

/* Private memory of a process, in KiB. */
unsigned long private_memory_kib(const struct server *server, pid_t process);

#endif
