/* A line that must not wait has to be written differently for each kind of file
 * that standard error can be, because O_NONBLOCK belongs to the open file, and
 * that is shared with processes that never asked for it:
 *
 *     pipe, FIFO        pwritev2(RWF_NOWAIT); before Linux 6.4 as a terminal
 *     socket            send(MSG_DONTWAIT)
 *     terminal, other   a second opening of the same file through /proc, with
 *                       O_NONBLOCK of its own; asking poll(2) first would not
 *                       do, as another process may take the room in between and
 *                       a terminal has "room" when one byte fits
 *     regular file      write(2): there is no reader who could be slow
 *
 * Where the second opening is not allowed (a terminal of another user) poll(2)
 * is what remains, with the race just named. A line is shorter than PIPE_BUF,
 * so a pipe takes it whole or not at all; a socket or a terminal may take a part,
 * which counts as dropped, and the next line then begins with a line end. */
#include "platform/diagnostic.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/decimal.h"
#include "platform/utf8.h"

#define ELLIPSIS_BYTES 3u
#define NOTICE_BYTES_MAX 128u

/* What goes out with one system call: perhaps a line end, perhaps a notice of
 * dropped lines, and the line itself. */
struct line {
    char data[1 + NOTICE_BYTES_MAX + DIAGNOSTIC_LINE_BYTES_MAX];
    size_t size;
    size_t size_max; /* of the part being written, less its line end and "..." */
    bool is_cut;
};

static_assert(sizeof((struct line *)NULL)->data <= PIPE_BUF, "a pipe takes a line whole or not at all");

static const char *const level_names[DIAGNOSTIC_LEVEL_COUNT] = {
    [DIAGNOSTIC_DEBUG] = "debug",
    [DIAGNOSTIC_INFO] = "info",
    [DIAGNOSTIC_WARNING] = "warning",
    [DIAGNOSTIC_ERROR] = "error",
};

/* What this process knows about itself; forked children begin with a copy. */
static struct {
    enum diagnostic_level lowest;
    uint64_t connection; /* 0: serves none */
    char peer[DIAGNOSTIC_PEER_BYTES_MAX + 1];
    atomic_uint dropped;
    atomic_bool line_is_open; /* a part of a line was the last that went out */
} process = {.lowest = DIAGNOSTIC_INFO};

static void begin_part(struct line *line, size_t size_max);
static void end_part(struct line *line);
static void append_raw(struct line *line, const void *data, size_t size);
static void append_escaped(struct line *line, struct bytes bytes);
static void append_text(struct line *line, const char *text);
static void append_decimal(struct line *line, uint64_t number, size_t digits_min);
static void append_head(struct line *line, enum diagnostic_level level);
static void append_date(struct line *line);
static void append_notice(struct line *line, unsigned dropped);
static ssize_t write_now(struct line *line);
static ssize_t write_to_pipe(struct line *line);
static ssize_t write_to_second_opening(struct line *line);
static ssize_t write_if_polled(struct line *line);

void diagnostic_set_level(enum diagnostic_level lowest)
{
    REQUIRE((unsigned)lowest < DIAGNOSTIC_LEVEL_COUNT);
    process.lowest = lowest;
}

bool diagnostic_level_from_name(const char *name, enum diagnostic_level *level)
{
    for (unsigned i = 0; i < DIAGNOSTIC_LEVEL_COUNT; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum diagnostic_level)i;
            return true;
        }
    }
    return false;
}

void diagnostic_set_connection(uint64_t number, struct bytes peer)
{
    size_t size = peer.size < DIAGNOSTIC_PEER_BYTES_MAX ? peer.size : DIAGNOSTIC_PEER_BYTES_MAX;

    /* A signal handler may write a line between any two of these. */
    process.connection = 0;
    memset(process.peer, 0, sizeof process.peer);
    if (peer.size > 0)
        memcpy(process.peer, peer.data, size);
    process.connection = number;
}

void diagnostic_clear_connection(void)
{
    process.connection = 0;
}

void diagnostic_write(enum diagnostic_level level, const char *format, ...)
{
    char message[DIAGNOSTIC_LINE_BYTES_MAX];
    struct bytes piece;
    va_list arguments;
    int size;
    int saved_errno = errno;

    REQUIRE(format != NULL);
    if (level < process.lowest)
        return;
    va_start(arguments, format);
    size = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    piece = size < 0 ? bytes_from_string(format) : bytes_from_string(message);
    diagnostic_write_pieces(level, &piece, 1);
    errno = saved_errno;
}

void diagnostic_write_pieces(enum diagnostic_level level, const struct bytes *pieces, size_t piece_count)
{
    struct line line = {.size = 0};
    unsigned dropped;
    bool line_was_open;
    ssize_t written;
    int saved_errno = errno;

    if (level < process.lowest)
        return;
    /* Taken, not read: a handler that interrupts here must not tell of them too. */
    dropped = atomic_exchange(&process.dropped, 0);
    line_was_open = atomic_exchange(&process.line_is_open, false);
    if (line_was_open)
        line.data[line.size++] = '\n';
    if (dropped > 0)
        append_notice(&line, dropped);
    begin_part(&line, DIAGNOSTIC_LINE_BYTES_MAX);
    append_head(&line, level);
    for (size_t i = 0; i < piece_count; i++)
        append_escaped(&line, pieces[i]);
    end_part(&line);

    written = write_now(&line);
    if (written != (ssize_t)line.size) {
        (void)atomic_fetch_add(&process.dropped, dropped + 1);
        atomic_store(&process.line_is_open, line_was_open || written > 0);
    }
    errno = saved_errno;
}

unsigned diagnostic_dropped_count(void)
{
    return atomic_load(&process.dropped);
}

/* The parts of the buffer. */

static void begin_part(struct line *line, size_t size_max)
{
    line->size_max = line->size + size_max - ELLIPSIS_BYTES - 1;
    line->is_cut = false;
    ENSURE(line->size_max + ELLIPSIS_BYTES + 1 <= sizeof line->data);
}

static void end_part(struct line *line)
{
    const char *end = line->is_cut ? "...\n" : "\n";

    line->size_max += ELLIPSIS_BYTES + 1;
    line->is_cut = false;
    append_text(line, end);
    ENSURE(!line->is_cut);
}

static void append_notice(struct line *line, unsigned dropped)
{
    begin_part(line, NOTICE_BYTES_MAX);
    append_date(line);
    append_text(line, " warning [");
    append_decimal(line, (uint64_t)getpid(), 1);
    append_text(line, "]: lines dropped here, because nobody read them in time: ");
    append_decimal(line, dropped, 1);
    end_part(line);
}

static void append_head(struct line *line, enum diagnostic_level level)
{
    append_date(line);
    append_text(line, " ");
    append_text(line, level_names[level]);
    append_text(line, " [");
    append_decimal(line, (uint64_t)getpid(), 1);
    append_text(line, "]");
    if (process.connection != 0) {
        append_text(line, " connection ");
        append_decimal(line, process.connection, 1);
        append_text(line, process.peer[0] == '\0' ? "" : " from ");
        append_escaped(line, bytes_from_string(process.peer));
    }
    append_text(line, ": ");
}

static void append_date(struct line *line)
{
    int64_t date_ms = clock_date_ms();
    struct calendar_time date = clock_calendar_time(date_ms / 1000);

    append_decimal(line, (uint64_t)date.year, 4);
    append_text(line, "-");
    append_decimal(line, date.month, 2);
    append_text(line, "-");
    append_decimal(line, date.day, 2);
    append_text(line, "T");
    append_decimal(line, date.hour, 2);
    append_text(line, ":");
    append_decimal(line, date.minute, 2);
    append_text(line, ":");
    append_decimal(line, date.second, 2);
    append_text(line, ".");
    append_decimal(line, (uint64_t)(date_ms % 1000), 3);
    append_text(line, "Z");
}

static void append_escaped(struct line *line, struct bytes bytes)
{
    size_t offset = 0;

    while (offset < bytes.size && !line->is_cut) {
        uint32_t character = 0;
        size_t length = utf8_decode(bytes, offset, &character);
        bool is_control = character < 0x20 || (character >= 0x7f && character <= 0x9f);

        if (length == 0 || is_control) {
            static const char hexadecimal[] = "0123456789abcdef";
            unsigned char byte = bytes.data[offset];
            const char escape[] = {'\\', 'x', hexadecimal[byte >> 4], hexadecimal[byte & 0xf]};

            append_raw(line, escape, sizeof escape);
            offset++;
        } else {
            append_raw(line, bytes.data + offset, length);
            offset += length;
        }
    }
}

static void append_text(struct line *line, const char *text)
{
    append_raw(line, text, strlen(text));
}

static void append_decimal(struct line *line, uint64_t number, size_t digits_min)
{
    char digits[DECIMAL_BYTES_MAX];
    struct bytes written = decimal_write(number, digits_min, digits);

    append_raw(line, written.data, written.size);
}

/* All of it or, once something did not fit, nothing any more. */
static void append_raw(struct line *line, const void *data, size_t size)
{
    if (size > line->size_max - line->size)
        line->is_cut = true;
    if (line->is_cut)
        return;
    memcpy(line->data + line->size, data, size);
    line->size += size;
}

/* Ways out; each returns what write(2) returns. */

static ssize_t write_now(struct line *line)
{
    struct stat status;

    if (fstat(STDERR_FILENO, &status) != 0)
        return -1;
    switch (status.st_mode & S_IFMT) {
    case S_IFIFO:
        return write_to_pipe(line);
    case S_IFSOCK:
        return send(STDERR_FILENO, line->data, line->size, MSG_DONTWAIT | MSG_NOSIGNAL);
    case S_IFREG:
        return write(STDERR_FILENO, line->data, line->size);
    default:
        return write_to_second_opening(line);
    }
}

static ssize_t write_to_pipe(struct line *line)
{
    const struct iovec all = {.iov_base = line->data, .iov_len = line->size};
    ssize_t written = pwritev2(STDERR_FILENO, &all, 1, -1, RWF_NOWAIT);

    if (written == -1 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return write_to_second_opening(line);
    return written;
}

static ssize_t write_to_second_opening(struct line *line)
{
    int opened = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    ssize_t written;

    if (opened == -1)
        return write_if_polled(line);
    written = write(opened, line->data, line->size);
    (void)close(opened);
    return written;
}

static ssize_t write_if_polled(struct line *line)
{
    struct pollfd asked = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&asked, 1, 0) != 1 || (asked.revents & POLLOUT) == 0)
        return -1;
    return write(STDERR_FILENO, line->data, line->size);
}
