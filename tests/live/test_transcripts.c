/* The conversations of the documents (tests/transcript/) with a live server, byte
 * for byte. Lines: "> " is sent, "< " and "<? " is the reply to it, "! " is sent
 * and its reply thrown away, # is a comment. A fresh server for each file and
 * each way of sending it: over TCP and a Unix socket, with LF and CRLF. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "live/live_support.h"

/* The one that needs --dialect echo. */
#define ECHO_FILE "001_readme_echo.txt"
#define FILES_WANTED 6u

#define EXCHANGES_MAX 64u
#define LINE_BYTES_MAX 1024u

struct exchange {
    char line[LINE_BYTES_MAX];
    char reply[LINE_BYTES_MAX]; /* empty: any */
};

struct transcript {
    const char *path;
    struct exchange exchanges[EXCHANGES_MAX];
    unsigned count;
};

/* Sends the lines of a transcript, each with this end, and expects the replies. */
typedef void (*delivery)(struct client *client, const struct transcript *transcript, const char *line_end);

TestSuite(live_transcripts, .timeout = 120);

static void expect_reply(struct client *client, const struct transcript *transcript, const struct exchange *exchange)
{
    const char *reply = client_read_line(client);

    cr_assert_not_null(reply, "%s: %s: the connection ended", transcript->path, exchange->line);
    cr_assert(exchange->reply[0] == '\0' || strcmp(reply, exchange->reply) == 0, "%s: %s: answered %s, not %s",
              transcript->path, exchange->line, reply, exchange->reply);
}

static void deliver_line_by_line(struct client *client, const struct transcript *transcript, const char *line_end)
{
    char line[LINE_BYTES_MAX + 2];

    for (unsigned i = 0; i < transcript->count; i++) {
        (void)snprintf(line, sizeof line, "%s%s", transcript->exchanges[i].line, line_end);
        client_send_text(client, line);
        expect_reply(client, transcript, &transcript->exchanges[i]);
    }
}

/* Over a Unix socket every byte is a read of its own for the server. */
static void deliver_byte_by_byte(struct client *client, const struct transcript *transcript, const char *line_end)
{
    char line[LINE_BYTES_MAX + 2];

    for (unsigned i = 0; i < transcript->count; i++) {
        (void)snprintf(line, sizeof line, "%s%s", transcript->exchanges[i].line, line_end);
        for (const char *byte = line; *byte != '\0'; byte++) {
            client_send(client, bytes_from(byte, 1));
            client_wait_until_taken(client);
        }
        expect_reply(client, transcript, &transcript->exchanges[i]);
    }
}

static void deliver_all_at_once(struct client *client, const struct transcript *transcript, const char *line_end)
{
    struct text lines = {.data = NULL};

    for (unsigned i = 0; i < transcript->count; i++) {
        text_append_string(&lines, transcript->exchanges[i].line);
        text_append_string(&lines, line_end);
    }
    client_send(client, text_bytes(&lines));
    for (unsigned i = 0; i < transcript->count; i++)
        expect_reply(client, transcript, &transcript->exchanges[i]);
    text_deinit(&lines);
}

enum way {
    WAY_TCP,
    WAY_UNIX,
    WAY_COUNT
};

static void play(const struct transcript *transcript, delivery deliver, const char *line_end, enum way way)
{
    struct server server;
    struct client client;
    char path[100];

    live_socket_path(path, sizeof path);
    server_start(&server, "--unix", path, "--dialect", strstr(transcript->path, ECHO_FILE) ? "echo" : "default");
    client_connect_to(&client, &server, way == WAY_UNIX ? path : server.listeners[0]);
    deliver(&client, transcript, line_end);
    client_end_input(&client);
    client_expect_end(&client);
    client_close(&client);
    server_stop(&server);
}

static void folder_path(char *path, size_t size, const char *name)
{
    const char *behind_folder = strrchr(__FILE__, '/');

    (void)snprintf(path, size, "%.*s/../transcript/%s", behind_folder == NULL ? 1 : (int)(behind_folder - __FILE__),
                   behind_folder == NULL ? "." : __FILE__, name);
}

static void take_line(struct transcript *transcript, const char *line)
{
    struct exchange *exchange = &transcript->exchanges[transcript->count];

    if (line[0] == '#' || line[0] == '\0')
        return;
    if (strncmp(line, "> ", 2) == 0 || strncmp(line, "! ", 2) == 0) {
        cr_assert_lt(transcript->count, EXCHANGES_MAX);
        (void)snprintf(exchange->line, sizeof exchange->line, "%s", line + 2);
        exchange->reply[0] = '\0';
        transcript->count++;
    } else {
        cr_assert(strncmp(line, "< ", 2) == 0 || strncmp(line, "<? ", 3) == 0, "what is this: %s", line);
        cr_assert_gt(transcript->count, 0, "a reply to nothing: %s", line);
        (void)snprintf(exchange[-1].reply, sizeof exchange->reply, "%s", strchr(line, ' ') + 1);
    }
}

static void read_transcript(struct transcript *transcript, const char *path)
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES_MAX];

    cr_assert_not_null(file, "%s", path);
    transcript->path = path;
    transcript->count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        take_line(transcript, line);
    }
    (void)fclose(file);
    cr_assert_gt(transcript->count, 0, "%s", path);
}

static void play_all(delivery deliver)
{
    static struct transcript transcript;
    char path[512];
    DIR *folder;
    const struct dirent *entry;
    unsigned played = 0;

    folder_path(path, sizeof path, "");
    folder = opendir(path);
    cr_assert_not_null(folder, "%s", path);
    while ((entry = readdir(folder)) != NULL) {
        if (strstr(entry->d_name, ".txt") == NULL)
            continue;
        folder_path(path, sizeof path, entry->d_name);
        read_transcript(&transcript, path);
        for (unsigned way = 0; way < WAY_COUNT; way++) {
            play(&transcript, deliver, "\n", (enum way)way);
            play(&transcript, deliver, "\r\n", (enum way)way);
        }
        played++;
    }
    (void)closedir(folder);
    cr_assert_eq(played, FILES_WANTED);
}

Test(live_transcripts, pass_line_by_line)
{
    play_all(deliver_line_by_line);
}

Test(live_transcripts, pass_split_at_every_byte)
{
    play_all(deliver_byte_by_byte);
}

Test(live_transcripts, pass_with_all_lines_in_one_write)
{
    play_all(deliver_all_at_once);
}
