#include "live/live_support.h"

#include <linux/sockios.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static char *text_room(struct text *text, size_t size);

/* Bytes. */

void text_append(struct text *text, struct bytes bytes)
{
    if (bytes.size > 0)
        memcpy(text_room(text, bytes.size), bytes.data, bytes.size);
    text->size += bytes.size;
}

void text_append_string(struct text *text, const char *string)
{
    text_append(text, bytes_from_string(string));
}

void text_append_repeated(struct text *text, char character, size_t count)
{
    memset(text_room(text, count), character, count);
    text->size += count;
}

void text_format(struct text *text, const char *format, ...)
{
    char formatted[512];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(formatted, sizeof formatted, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= sizeof formatted)
        driver_fail(NULL, "a text does not fit: %s", format);
    text_append(text, bytes_from(formatted, (size_t)size));
}

/* Never NULL. */
static char *text_room(struct text *text, size_t size)
{
    char *data = text->data;

    if (data == NULL || text->capacity - text->size < size) {
        text->capacity = 2 * text->capacity + size + 64;
        data = realloc(text->data, text->capacity);
    }
    if (data == NULL)
        abort();
    text->data = data;
    return data + text->size;
}

void text_clear(struct text *text)
{
    text->size = 0;
}

void text_deinit(struct text *text)
{
    free(text->data);
    memset(text, 0, sizeof *text);
}

struct bytes text_bytes(const struct text *text)
{
    return bytes_from(text->data, text->size);
}

/* Replies. */

void client_expect_either(struct client *client, const char *line, const char *reply_or_code)
{
    if (reply_or_code[0] == '{')
        client_expect(client, line, reply_or_code);
    else
        client_expect_error(client, line, reply_or_code);
}

void client_expect_bytes(struct client *client, struct bytes line, const char *reply_or_code)
{
    client_send(client, line);
    client_send_text(client, "\n");
    client_expect_either(client, NULL, reply_or_code);
}

int64_t reply_integer(const struct client *client, const char *reply)
{
    static const char begin[] = "{\"status\": \"Ok\", \"result\": \"";
    char *end = NULL;
    int64_t integer = 0;

    if (reply != NULL && strncmp(reply, begin, strlen(begin)) == 0)
        integer = strtoll(reply + strlen(begin), &end, 10);
    if (end == NULL || strcmp(end, "\"}") != 0)
        driver_fail(client->server, "an integer was to come, and not %s", reply == NULL ? "the end" : reply);
    return integer;
}

void client_wait_until_taken(const struct client *client)
{
    uint64_t begin_ms = clock_monotonic_ms();
    int untaken_bytes = 0;

    while (ioctl(client->descriptor, SIOCOUTQ, &untaken_bytes) == 0 && untaken_bytes > 0) {
        if (clock_monotonic_ms() - begin_ms > DRIVER_PATIENCE_MS)
            driver_fail(client->server, "the server does not take what was sent");
        (void)sched_yield();
    }
}

void client_expect_ok_times(struct client *client, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        client_expect(client, NULL, REPLY_OK);
}

/* The server. */

void server_expect_unharmed(const struct server *server, unsigned connections_open)
{
    struct client client;

    client_connect(&client, server);
    client_expect(&client, "PUT unharmed yes", REPLY_OK);
    client_expect(&client, "GET unharmed", REPLY_VALUE("yes"));
    client_expect(&client, "DEL unharmed", REPLY_OK);
    eventually(client_statistic(&client, "connections.open") == connections_open + 1);
    client_close(&client);
    if (server_has_said(server, " error [") || server_has_said(server, "was killed by signal"))
        driver_fail(server, "the server has complained");
}

void live_socket_path(char *path, size_t size)
{
    const char *folder = getenv("TMPDIR");

    (void)snprintf(path, size, "%s/hauskv-live-%d", folder == NULL ? "/tmp" : folder, (int)getpid());
    (void)unlink(path);
}

unsigned long private_memory_kib(const struct server *server, pid_t process)
{
    char path[64];
    char line[128];
    unsigned long size_kib = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/status", (int)process);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "RssAnon:", 8) == 0)
            size_kib = strtoul(line + 8, NULL, 10);
    }
    if (file == NULL || fclose(file) != 0 || size_kib == 0)
        driver_fail(server, "there is no process %d", (int)process);
    return size_kib;
}
