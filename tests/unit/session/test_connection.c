/* A session on a real socket: a child serves, the test is the client. */
#include "session/connection.h"

#include "conversation.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/signals.h"
#include "support/process.h"

#define LONG_LINE_BYTES ((size_t)64 << 20)

static int client;
static struct connection_config config; /* of the server's side */
static enum framing framing;            /* of the server's side, too */
static pid_t child;
static volatile sig_atomic_t stop;
static bool gets_no_memory; /* the server's side, once it serves */

/* What a server does in its signal handler. */
static void stop_serving(int signal_number)
{
    (void)signal_number;
    stop = 1;
    connection_interrupt(config.descriptor);
}

static int serve(void *context)
{
    const struct connection_config *given = context;
    struct house house;
    struct conversation talk;
    enum connection_end end;

    (void)close(client);
    signals_handle(SIGTERM, stop_serving, SIGNALS_INTERRUPT);
    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.framing = framing;
    if (gets_no_memory)
        talk.config.command_bytes_max = LONG_LINE_BYTES;
    session_init(&talk.session, &talk.config);
    if (gets_no_memory && setrlimit(RLIMIT_DATA, &(struct rlimit){0, 0}) != 0)
        return -1;
    end = connection_serve(&talk.session, given);
    conversation_close(&talk);
    house_close(&house);
    (void)close(given->descriptor);
    return (int)end;
}

static void use_unix_sockets(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    client = pair[0];
    config = (struct connection_config){.descriptor = pair[1], .stop = &stop};
}

/* Every send arrives as one record: shows how many there were. */
static void use_records(void)
{
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    client = pair[0];
    config = (struct connection_config){.descriptor = pair[1], .stop = &stop};
}

static void use_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(bind(listener, (struct sockaddr *)&address, size), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&address, size), 0);
    config = (struct connection_config){.descriptor = accept(listener, NULL, NULL), .stop = &stop};
    cr_assert_geq(config.descriptor, 0);
    (void)close(listener);
}

static void start_serving(void)
{
    child = process_start(serve, &config);
    (void)close(config.descriptor);
}

static void send_bytes(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(client, data, size, MSG_NOSIGNAL);

        cr_assert_gt(sent, 0);
        data += sent;
        size -= (size_t)sent;
    }
}

static void send_text(const char *text)
{
    send_bytes(text, strlen(text));
}

static void expect_text(const char *wanted)
{
    size_t size = strlen(wanted);
    char *received = malloc(size + 1);

    cr_assert_not_null(received);
    for (size_t offset = 0; offset < size;) {
        ssize_t got = recv(client, received + offset, size - offset, 0);

        cr_assert_gt(got, 0, "%zu bytes of %zu came", offset, size);
        offset += (size_t)got;
    }
    received[size] = '\0';
    cr_assert_str_eq(received, wanted);
    free(received);
}

static void expect_nothing_more(void)
{
    char byte;

    cr_assert_eq(recv(client, &byte, 1, 0), 0);
}

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}\n"

TestSuite(connection, .timeout = 120);

Test(connection, answers_and_ends_with_its_client)
{
    use_unix_sockets();
    start_serving();
    send_text("PUT a 1\r\nGET a\n");
    expect_text(OK "\n{\"status\": \"Ok\", \"result\": \"1\"}\n");
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, answers_all_lines_of_one_read_with_one_write)
{
    char reply[1024];
    ssize_t size;

    use_records();
    start_serving();
    send_text("PING\nPING\r\n\nPING\nPI");
    size = recv(client, reply, sizeof reply - 1, 0);
    cr_assert_gt(size, 0);
    reply[size] = '\0';
    cr_assert_str_eq(reply, PONG PONG PONG);
    send_text("NG\n");
    expect_text(PONG);
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, serves_what_came_before_the_end_of_input)
{
    use_tcp();
    start_serving();
    send_text("PING\nPUT a 1\nGET a\nPUT a 2");
    cr_assert_eq(shutdown(client, SHUT_WR), 0);

    expect_text(PONG OK "\n{\"status\": \"Ok\", \"result\": \"1\"}\n");
    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, says_goodbye_and_closes)
{
    use_tcp();
    start_serving();
    send_text("PING\nEXIT\n");

    expect_text(PONG OK "\n");
    expect_nothing_more();
    (void)close(client);
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_COMMAND);
}

Test(connection, says_goodbye_over_bytes_that_nobody_wants)
{
    static char many[300000];

    use_tcp();
    start_serving();
    memset(many, 'x', sizeof many);
    place(many, "EXIT\n");
    send_bytes(many, sizeof many);

    expect_text(OK "\n");
    expect_nothing_more();
    (void)close(client);
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_COMMAND);
}

Test(connection, closes_on_a_browser)
{
    use_tcp();
    start_serving();
    send_text("POST / HTTP/1.1\r\nHost: x\r\n\r\nPUT a 1\n");

    expect_text("{\"status\": \"Error\", \"mesg\": \"This is not an HTTP server, the connection ends\", \"code\": "
                "\"syntax\"}\n");
    expect_nothing_more();
    (void)close(client);
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_COMMAND);
}

Test(connection, ends_where_the_client_is_idle)
{
    use_unix_sockets();
    config.idle_timeout_ms = 20;
    start_serving();
    send_text("PING\n");
    expect_text(PONG);

    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_IDLE);
}

Test(connection, ends_where_the_client_is_idle_after_a_large_request)
{
    static char large[200000];

    use_unix_sockets();
    config.idle_timeout_ms = 20;
    start_serving();
    memset(large, ' ', sizeof large);
    place(large + sizeof large - 6, "PING\n");
    send_bytes(large, sizeof large - 1);
    expect_text(PONG);

    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_IDLE);
}

/* Sends PINGs, all before reading one reply. */
static char *many_lines(const char *line, unsigned count)
{
    size_t size = strlen(line);
    char *lines = malloc(size * count + 1);

    cr_assert_not_null(lines);
    for (unsigned i = 0; i < count; i++)
        memcpy(lines + i * size, line, size + 1);
    return lines;
}

Test(connection, serves_a_long_pipeline_before_its_client_reads)
{
    char *pings = many_lines("PING\n", 100000);
    char *pongs = many_lines(PONG, 100000);

    for (unsigned over_tcp = 0; over_tcp < 2; over_tcp++) {
        if (over_tcp)
            use_tcp();
        else
            use_unix_sockets();
        start_serving();
        send_text(pings);
        expect_text(pongs);
        (void)close(client);
        cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
    }
    free(pings);
    free(pongs);
}

Test(connection, serves_a_hundred_thousand_writes_before_its_client_reads)
{
    char *puts = many_lines("PUT akeyofthiskind avalueofthatkind\n", 100000);
    char *replies = many_lines(OK "\n", 100000);

    use_unix_sockets();
    start_serving();
    send_text(puts);
    expect_text(replies);
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
    free(puts);
    free(replies);
}

Test(connection, sends_a_large_reply_whole)
{
    size_t size = 1000000;
    char *value = malloc(size + 1);
    char *put = malloc(size + 32);
    char *reply = malloc(size + 64);

    cr_assert(value != NULL && put != NULL && reply != NULL);
    for (size_t i = 0; i < size; i++)
        value[i] = (char)('a' + i % 26);
    value[size] = '\0';
    (void)snprintf(put, size + 32, "PUT a %s\nGET a\n", value);
    (void)snprintf(reply, size + 64, OK "\n{\"status\": \"Ok\", \"result\": \"%s\"}\n", value);
    use_unix_sockets();
    start_serving();
    for (unsigned i = 0; i < 5; i++) {
        send_text(put);
        expect_text(reply);
    }
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
    free(value);
    free(put);
    free(reply);
}

/* A megabyte under a, and so many requests for it that nobody can keep the replies. */
static void ask_and_never_read(void)
{
    size_t size = 1000000;
    char *put = malloc(size + 8);

    cr_assert_not_null(put);
    memset(put, 'x', size + 7);
    place(put, "PUT a ");
    put[size + 7] = '\n';
    send_bytes(put, size + 8);
    for (unsigned i = 0; i < 100; i++)
        send_text("GET a\n");
    free(put);
}

Test(connection, ends_where_the_client_does_not_read)
{
    use_unix_sockets();
    config.write_timeout_ms = 50;
    start_serving();
    ask_and_never_read();

    cr_assert_eq(process_wait(child), CONNECTION_NOT_READING);
}

Test(connection, fails_where_the_client_goes_away_without_reading)
{
    use_unix_sockets();
    start_serving();
    ask_and_never_read();
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_FAILED);
}

#ifndef __has_feature
#define __has_feature(name) 0
#endif

/* The sanitizer's memory does not end so quietly. */
#if !defined(__SANITIZE_ADDRESS__) && !__has_feature(address_sanitizer)
Test(connection, fails_where_there_is_no_memory_for_a_line)
{
    static const char part[4096];
    size_t size = 0;

    use_unix_sockets();
    gets_no_memory = true;
    start_serving();
    while (size < LONG_LINE_BYTES && send(client, part, sizeof(part), MSG_NOSIGNAL) > 0)
        size += sizeof(part);

    expect_nothing_more();
    (void)close(client);
    cr_assert_eq(process_wait(child), CONNECTION_FAILED);
}
#endif

Test(connection, stops_while_it_waits_for_its_client)
{
    use_tcp();
    start_serving();
    send_text("PING\n");
    expect_text(PONG);
    process_wait_until_asleep(child);
    cr_assert_eq(kill(child, SIGTERM), 0);

    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_STOPPED);
}

Test(connection, stops_although_its_client_does_not_read)
{
    use_unix_sockets();
    start_serving();
    ask_and_never_read();
    process_wait_until_asleep(child);
    cr_assert_eq(kill(child, SIGTERM), 0);

    cr_assert_eq(process_wait(child), CONNECTION_STOPPED);
}

Test(connection, is_the_same_when_every_byte_comes_alone)
{
    static const char text[] = "PUT a \xe8\xaf\xb4\r\nGET a\nnonsense\nQUIT\n";

    use_unix_sockets();
    start_serving();
    for (size_t i = 0; i < sizeof text - 1; i++)
        send_bytes(text + i, 1);

    expect_text(OK "\n{\"status\": \"Ok\", \"result\": \"\\u8bf4\"}\n"
                "{\"status\": \"Error\", \"mesg\": \"Unknown command nonsense, HELP lists the commands\", \"code\": "
                "\"unknown_command\"}\n" OK "\n");
    expect_nothing_more();
    (void)close(client);
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_COMMAND);
}

/* One write has come, and these replies were in it. */
static void expect_record(const char *wanted)
{
    char reply[1024];
    ssize_t size = recv(client, reply, sizeof reply - 1, 0);

    cr_assert_gt(size, 0);
    reply[size] = '\0';
    cr_assert_str_eq(reply, wanted);
}

Test(connection, answers_bursts_without_line_ends_with_one_write_each)
{
    framing = FRAMING_AUTO;
    use_records();
    start_serving();
    send_text("PING\nPUT a 1");
    expect_record(PONG OK "\n");
    send_text("GET a");
    expect_record("{\"status\": \"Ok\", \"result\": \"1\"}\n");
    send_text("PING\nPING\nPING\nPUT a 2\nGET a");
    expect_record(PONG PONG PONG OK "\n{\"status\": \"Ok\", \"result\": \"2\"}\n");
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, gives_up_waiting_where_a_burst_ends_inside_a_command)
{
    framing = FRAMING_AUTO;
    use_records();
    start_serving();
    send_text("PING\nPI");
    expect_record(PONG);
    send_text("NG\nPI");
    expect_record(PONG);
    send_text("NG\n");
    expect_record(PONG);
    (void)close(client);

    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, takes_the_end_of_input_for_silence)
{
    framing = FRAMING_AUTO;
    use_tcp();
    start_serving();
    send_text("PUT a 1\nGET a");
    cr_assert_eq(shutdown(client, SHUT_WR), 0);

    expect_text(OK "\n{\"status\": \"Ok\", \"result\": \"1\"}\n");
    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}

Test(connection, drops_what_the_end_of_input_leaves_incomplete)
{
    framing = FRAMING_AUTO;
    use_tcp();
    start_serving();
    send_text("PING\nPUT a");
    cr_assert_eq(shutdown(client, SHUT_WR), 0);

    expect_text(PONG);
    expect_nothing_more();
    cr_assert_eq(process_wait(child), CONNECTION_ENDED_BY_CLIENT);
}
