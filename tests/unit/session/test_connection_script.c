/* A connection on a socket that the test writes: what the client sends and takes, what the system takes for it, and
 * time, which passes only while somebody waits. So nothing here depends on how long anything takes. The linker puts the
 * script in the place of the system's functions (--wrap) in this layer's tests; with other sockets it calls these. */
#include "session/connection.h"

#include "conversation.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "platform/clock.h"
#include "platform/peer.h"
#include "session/write_watch.h"

#define DESCRIPTOR 9999
#define BEGIN_MS 1000000u
#define END_MS (BEGIN_MS + 24u * 3600 * 1000) /* whoever waits so long will wait for ever */
#define VALUE_BYTES 1000000u

/* What happens on the other side. */
struct script {
    bool is_on;
    uint64_t now_ms;
    const char *input;      /* not received yet */
    bool input_ends;        /* behind it */
    uint64_t late_ms;       /* when late_input comes; 0: never */
    size_t late_bytes;
    const char *late_text;  /* what it is; NULL: any bytes */
    size_t taken_then;      /* by the client, when it says that */
    size_t queued;          /* taken by the system, not by the client */
    size_t room;            /* for so many */
    size_t room_grows_by;   /* whenever somebody waited in vain, as Linux's buffers do */
    size_t bytes_per_second; /* that the client takes */
    uint64_t taken_until_ms;
    size_t sent;
    uint64_t quiet_ms;      /* for so long a read waits in vain */
    bool stops;             /* then the server stops; else the connection is idle */
    uint64_t stopped_ms;    /* when it did */
    bool is_shut; /* for writing */
    bool has_failed;
};

static struct script script;
static struct buffer heard; /* by the client, in the end */
static volatile sig_atomic_t stop;

/* --- the system --- */

static void client_takes(void)
{
    uint64_t seconds = (script.now_ms - script.taken_until_ms) / 1000;
    size_t bytes = (size_t)seconds * script.bytes_per_second;

    script.taken_until_ms += seconds * 1000;
    script.queued -= bytes < script.queued ? bytes : script.queued;
}

static void time_passes(uint64_t milliseconds)
{
    script.now_ms += milliseconds;
    script.has_failed = script.has_failed || script.now_ms > END_MS;
    client_takes();
}

static bool has_late_input(void)
{
    return script.late_bytes > 0 && script.late_ms != 0 && script.now_ms >= script.late_ms;
}

static bool is_readable(void)
{
    return *script.input != '\0' || script.input_ends || has_late_input() || script.has_failed;
}

static bool is_writable(void)
{
    return script.is_shut || script.queued < script.room / 3 * 2 || script.has_failed;
}

static short ready_events(short events)
{
    return (short)((is_readable() ? events & POLLIN : 0) | (is_writable() ? events & POLLOUT : 0));
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker wants these names. */
__typeof__(clock_monotonic_ms) __wrap_clock_monotonic_ms;
__typeof__(peer_untaken_bytes) __wrap_peer_untaken_bytes;
__typeof__(shutdown) __wrap_shutdown;
__typeof__(send) __wrap_send;
__typeof__(recv) __wrap_recv;
int __wrap_poll(struct pollfd *descriptors, nfds_t count, int limit_ms);

__typeof__(clock_monotonic_ms) __real_clock_monotonic_ms;
__typeof__(peer_untaken_bytes) __real_peer_untaken_bytes;
__typeof__(shutdown) __real_shutdown;
__typeof__(send) __real_send;
__typeof__(recv) __real_recv;
int __real_poll(struct pollfd *descriptors, nfds_t count, int limit_ms);

uint64_t __wrap_clock_monotonic_ms(void)
{
    return script.is_on ? script.now_ms : __real_clock_monotonic_ms();
}

size_t __wrap_peer_untaken_bytes(int descriptor)
{
    return script.is_on ? script.queued : __real_peer_untaken_bytes(descriptor);
}

int __wrap_poll(struct pollfd *descriptors, nfds_t count, int limit_ms)
{
    if (!script.is_on)
        return __real_poll(descriptors, count, limit_ms);
    for (int passed_ms = 0;; passed_ms += 10) {
        descriptors->revents = ready_events(descriptors->events);
        if (descriptors->revents != 0)
            return 1;
        if (limit_ms >= 0 && passed_ms >= limit_ms)
            break;
        time_passes(limit_ms >= 0 && limit_ms - passed_ms < 10 ? (uint64_t)(limit_ms - passed_ms) : 10);
    }
    script.room += script.room_grows_by;
    return 0;
}

ssize_t __wrap_send(int descriptor, const void *data, size_t size, int flags)
{
    size_t room = script.room - script.queued;

    if (!script.is_on)
        return __real_send(descriptor, data, size, flags);
    if (script.has_failed || script.queued >= script.room) {
        errno = script.has_failed ? ECONNRESET : EAGAIN;
        return -1;
    }
    size = size < room ? size : room;
    buffer_append(&heard, bytes_from(data, size));
    script.queued += size;
    script.sent += size;
    return (ssize_t)size;
}

static size_t receive_late(void *data, size_t size)
{
    size = size < script.late_bytes ? size : script.late_bytes;
    memset(data, 'x', size);
    if (script.late_text != NULL)
        memcpy(data, script.late_text + strlen(script.late_text) - script.late_bytes, size);
    script.late_bytes -= size;
    script.queued -= script.taken_then;
    return size;
}

ssize_t __wrap_recv(int descriptor, void *data, size_t size, int flags)
{
    size_t left;

    if (!script.is_on)
        return __real_recv(descriptor, data, size, flags);
    if ((flags & MSG_DONTWAIT) == 0 && !is_readable()) {
        time_passes(script.quiet_ms != 0 ? script.quiet_ms : END_MS); /* nobody else will say anything */
        stop = script.stops;
        script.stopped_ms = script.now_ms;
    }
    left = strlen(script.input);
    if (left == 0 && has_late_input())
        return (ssize_t)receive_late(data, size);
    if (script.has_failed || (left == 0 && !script.input_ends)) {
        errno = script.has_failed ? ECONNRESET : EAGAIN;
        return -1;
    }
    size = size < left ? size : left;
    memcpy(data, script.input, size);
    script.input += size;
    return (ssize_t)size;
}

int __wrap_shutdown(int descriptor, int how)
{
    if (!script.is_on)
        return __real_shutdown(descriptor, how);
    script.is_shut = true;
    return 0;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

/* --- the story --- */

/* The room of a socket, and a client that says this and takes nothing. */
static void begin(const char *input)
{
    buffer_truncate(&heard, 0);
    script = (struct script){
        .now_ms = BEGIN_MS, .taken_until_ms = BEGIN_MS, .input = input, .room = 200000,
    };
}

static enum connection_end serve_where(unsigned write_timeout_ms, enum operation waiting);

/* Serves it with a megabyte under v; how it ended. */
static enum connection_end serve(unsigned write_timeout_ms)
{
    return serve_where(write_timeout_ms, OPERATION_NONE);
}

/* The same; the next such operation waits for a key to no avail. */
static enum connection_end serve_where(unsigned write_timeout_ms, enum operation waiting)
{
    static char put[VALUE_BYTES + 8];
    struct connection_config config = {.descriptor = DESCRIPTOR, .write_timeout_ms = write_timeout_ms, .stop = &stop};
    struct house house;
    struct conversation talk;
    enum connection_end end;

    for (size_t i = 0; i < sizeof put; i++)
        put[i] = (char)('a' + i % 26);
    place(put, "PUT v ");
    put[sizeof put - 1] = '\n';
    house_open(&house);
    conversation_open(&talk, &house);
    talk.config.command_bytes_max = sizeof put;
    cr_assert_str_eq(conversation_feed(&talk, bytes_from(put, sizeof put)), OK "\n");
    store_will_fail(&talk, waiting, STATUS_LOCK_TIMEOUT);
    script.is_on = true;
    end = connection_serve(&talk.session, &config);
    script.is_on = false;
    conversation_close(&talk);
    house_close(&house);
    return end;
}

static uint64_t passed_ms(void)
{
    return script.now_ms - BEGIN_MS;
}

TestSuite(connection_script, .timeout = 60);

/* Whenever the wait is over the socket takes a little more, which says nothing of the client. */
Test(connection_script, a_client_that_takes_nothing_is_closed_after_the_time_out)
{
    begin("GET v\n");
    script.room_grows_by = 1;
    cr_assert_eq(serve(5000), CONNECTION_NOT_READING);
    cr_assert_eq(passed_ms(), 5000);
}

Test(connection_script, a_client_that_takes_a_byte_now_and_then_is_closed_after_the_time_out)
{
    begin("GET v\n");
    script.bytes_per_second = 1;
    cr_assert_eq(serve(5000), CONNECTION_NOT_READING);
    cr_assert_eq(passed_ms(), 5000);
}

Test(connection_script, a_client_that_takes_three_kilobytes_a_second_is_late_for_a_short_time_out)
{
    begin("GET v\n");
    script.bytes_per_second = 3000;
    cr_assert_eq(serve(10000), CONNECTION_NOT_READING);
    cr_assert_eq(passed_ms(), 10000);
}

Test(connection_script, a_client_that_takes_three_kilobytes_a_second_gets_all_with_the_usual_time_out)
{
    begin("GET v\nQUIT\n");
    script.bytes_per_second = 3000;
    cr_assert_eq(serve(60000), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_gt(script.sent, VALUE_BYTES);
    cr_assert_eq(script.queued, 0);
}

Test(connection_script, after_quit_a_slow_client_gets_all_although_it_says_something_more)
{
    begin("GET v\nQUIT\n");
    script.room = 2000000;
    script.bytes_per_second = 100000;
    script.late_ms = BEGIN_MS + 500;
    script.late_bytes = 6;
    cr_assert_eq(serve(60000), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_eq(script.queued, 0);
    cr_assert_eq(script.late_bytes, 0, "what was not read makes the system throw replies away");
}

Test(connection_script, after_quit_a_client_that_takes_nothing_is_closed_after_the_time_out)
{
    begin("GET v\nQUIT\n");
    script.room = 2000000;
    cr_assert_eq(serve(60000), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_eq(passed_ms(), 60000);
}

Test(connection_script, after_quit_a_client_that_has_all_and_is_quiet_is_closed_soon)
{
    begin("PING\nQUIT\n");
    script.bytes_per_second = 1000000;
    cr_assert_eq(serve(0), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_leq(passed_ms(), 2000); /* the script's client takes something every second */
}

/* More than the server keeps, behind a QUIT: it is dropped, so that the client comes to read. */
Test(connection_script, after_quit_what_comes_is_dropped_while_replies_wait)
{
    begin("GET v\nQUIT\n");
    script.bytes_per_second = 100000;
    script.late_ms = BEGIN_MS;
    script.late_bytes = 10000000;
    cr_assert_eq(serve(60000), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_eq(script.late_bytes, 0);
    cr_assert_eq(script.queued, 0);
}

Test(connection_script, a_browser_that_takes_slowly_hears_why_it_is_refused)
{
    begin("GET v\nHost: x\nmore\n");
    script.room = 2000000;
    script.bytes_per_second = 100000;
    cr_assert_eq(serve(60000), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_eq(script.queued, 0);
}

/* The server closes by itself: what is under way arrives first. */
Test(connection_script, an_idle_client_that_takes_slowly_gets_all)
{
    begin("GET v\n");
    script.room = 2000000;
    script.bytes_per_second = 100000;
    script.quiet_ms = 500;
    cr_assert_eq(serve(60000), CONNECTION_IDLE);
    cr_assert_eq(script.queued, 0);
}

Test(connection_script, a_server_that_stops_lets_its_client_take_what_it_is_taking)
{
    begin("GET v\n");
    script.room = 2000000;
    script.bytes_per_second = 400000;
    script.quiet_ms = 500;
    script.stops = true;
    script.late_ms = BEGIN_MS + 1500; /* not read, it would make the system throw replies away */
    script.late_bytes = 6;
    cr_assert_eq(serve(60000), CONNECTION_STOPPED);
    cr_assert_eq(script.queued, 0);
    cr_assert_eq(script.late_bytes, 0);
}

Test(connection_script, a_server_that_stops_waits_a_second_for_a_client_that_takes_nothing)
{
    begin("GET v\n");
    script.room = 2000000;
    script.quiet_ms = 500;
    script.stops = true;
    cr_assert_eq(serve(60000), CONNECTION_STOPPED);
    cr_assert_eq(script.now_ms - script.stopped_ms, WRITE_WATCH_STOP_MS);
}

Test(connection_script, a_server_that_stops_waits_no_longer_than_it_may_for_a_slow_client)
{
    begin("GET v\n");
    script.room = 2000000;
    script.bytes_per_second = 70000;
    script.quiet_ms = 500;
    script.stops = true;
    cr_assert_eq(serve(60000), CONNECTION_STOPPED);
    cr_assert_eq(script.now_ms - script.stopped_ms, WRITE_WATCH_STOP_ALL_MS);
}

/* Replies before a wait are sent then, also in the middle of a long write: each byte once. */
Test(connection_script, a_command_that_waits_while_replies_wait_sends_nothing_twice)
{
    static const char wanted[] = "\"}\n{\"status\": \"Error\", \"mesg\": \"Waited 0 ms for the key k, which a transaction has locked "
                                 "(--lock-timeout); nothing was changed\", \"code\": \"timeout\"}\n" OK "\n";

    const unsigned char *value;

    begin("GET v\n");
    script.bytes_per_second = 400000;
    script.late_ms = BEGIN_MS + 10;
    script.late_text = "DEL k\nQUIT\n";
    script.late_bytes = strlen(script.late_text);
    script.taken_then = 100000;
    cr_assert_eq(serve_where(60000, OPERATION_DEL), CONNECTION_ENDED_BY_COMMAND);
    cr_assert_eq(script.late_bytes, 0);
    buffer_append(&heard, bytes_from("", 1));
    value = heard.data + strlen("{\"status\": \"Ok\", \"result\": \"");
    for (size_t i = 0; i <= VALUE_BYTES; i++)
        cr_assert_eq(value[i], 'a' + (i + strlen("PUT v ")) % 26, "byte %zu is another's", i);
    cr_assert_str_eq((const char *)value + VALUE_BYTES + 1, wanted);
}
