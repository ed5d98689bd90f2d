#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "platform/signals.h"
#include "support/process.h"

#define HEAD "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
#define WRITERS 4
#define LINES_EACH 200

static bool matches(const char *text, const char *pattern)
{
    regex_t expression;
    bool found;

    cr_assert_eq(regcomp(&expression, pattern, REG_EXTENDED | REG_NOSUB), 0, "%s", pattern);
    found = regexec(&expression, text, 0, NULL, 0) == 0;
    regfree(&expression);
    return found;
}

/* Lines as they look. */

static int writes_one_line(void *context)
{
    diagnostic_warning("%s has %d", (const char *)context, 7);
    return 0;
}

static int writes_a_line_of_each_level_from_warning_on(void *context)
{
    (void)context;
    diagnostic_set_level(DIAGNOSTIC_WARNING);
    diagnostic_debug("one");
    diagnostic_info("two");
    diagnostic_warning("three");
    diagnostic_error("four");
    return 0;
}

static int writes_with_a_connection_and_without(void *context)
{
    diagnostic_set_connection(17, bytes_from_string(context));
    diagnostic_info("during");
    diagnostic_clear_connection();
    diagnostic_info("after");
    return 0;
}

static int writes_pieces(void *context)
{
    const struct bytes pieces[] = {bytes_from_string("one "), bytes_from(NULL, 0), bytes_from_string("two")};

    (void)context;
    diagnostic_write_pieces(DIAGNOSTIC_INFO, pieces, sizeof pieces / sizeof *pieces);
    return 0;
}

static int writes_a_piece(void *context)
{
    const struct bytes *piece = context;

    diagnostic_write_pieces(DIAGNOSTIC_INFO, piece, 1);
    return 0;
}

static int writes_with_an_errno(void *context)
{
    (void)context;
    errno = EDOM;
    diagnostic_info("fine");
    return errno == EDOM ? 0 : 1;
}

static void assert_message_is(struct bytes message, const char *expected)
{
    char output[2 * DIAGNOSTIC_LINE_BYTES_MAX];
    const char *found;

    cr_assert_eq(process_run_captured(writes_a_piece, &message, output, sizeof output), 0);
    found = strstr(output, "]: ");
    cr_assert_not_null(found);
    cr_assert_str_eq(found + 3, expected);
}

Test(diagnostic, line_has_date_level_process_and_message)
{
    char output[512];
    char name[] = "shelf";

    cr_assert_eq(process_run_captured(writes_one_line, name, output, sizeof output), 0);

    cr_assert(matches(output, HEAD "warning \\[[0-9]+\\]: shelf has 7\n$"), "%s", output);
}

Test(diagnostic, lines_below_the_level_are_not_written)
{
    char output[512];

    cr_assert_eq(process_run_captured(writes_a_line_of_each_level_from_warning_on, NULL, output, sizeof output), 0);

    cr_assert_null(strstr(output, "one"), "%s", output);
    cr_assert_null(strstr(output, "two"), "%s", output);
    cr_assert_not_null(strstr(output, "three\n"), "%s", output);
    cr_assert_not_null(strstr(output, " error ["), "%s", output);
}

Test(diagnostic, levels_are_known_by_name)
{
    enum diagnostic_level level = DIAGNOSTIC_LEVEL_COUNT;

    cr_assert_not(diagnostic_level_from_name("Info", &level));
    cr_assert_not(diagnostic_level_from_name("", &level));
    cr_assert_eq(level, DIAGNOSTIC_LEVEL_COUNT);
    cr_assert(diagnostic_level_from_name("debug", &level) && level == DIAGNOSTIC_DEBUG);
    cr_assert(diagnostic_level_from_name("error", &level) && level == DIAGNOSTIC_ERROR);
}

Test(diagnostic, line_names_the_connection_while_there_is_one)
{
    char output[512];
    char peer[] = "[::1]:51234";

    cr_assert_eq(process_run_captured(writes_with_a_connection_and_without, peer, output, sizeof output), 0);

    cr_assert(matches(output, HEAD "info \\[[0-9]+\\] connection 17 from \\[::1\\]:51234: during\n"), "%s", output);
    cr_assert(matches(output, "Z info \\[[0-9]+\\]: after\n$"), "%s", output);
}

Test(diagnostic, peer_may_be_unknown_and_a_long_one_is_cut)
{
    char output[512];
    char unknown[] = "";
    char endless[] = "0123456789012345678901234567890123456789012345678901234567890123456789";

    cr_assert_eq(process_run_captured(writes_with_a_connection_and_without, unknown, output, sizeof output), 0);
    cr_assert_not_null(strstr(output, " connection 17: during\n"), "%s", output);

    cr_assert_eq(process_run_captured(writes_with_a_connection_and_without, endless, output, sizeof output), 0);
    cr_assert_not_null(strstr(output, "9012: during\n"), "%s", output);
}

Test(diagnostic, pieces_make_one_line)
{
    char output[512];

    cr_assert_eq(process_run_captured(writes_pieces, NULL, output, sizeof output), 0);

    cr_assert_not_null(strstr(output, "]: one two\n"), "%s", output);
}

Test(diagnostic, what_a_client_sent_forges_no_line_and_steers_no_terminal)
{
    assert_message_is(bytes_from("a\nb\r\0\x1b[2J\x7f", 10), "a\\x0ab\\x0d\\x00\\x1b[2J\\x7f\n");
    assert_message_is(bytes_from_string("\xc2\x9b" "2J \x9b \xff"), "\\xc2\\x9b2J \\x9b \\xff\n");
    assert_message_is(bytes_from_string("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80"), "gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\n");
}

Test(diagnostic, long_line_is_cut_between_characters_and_says_so)
{
    char message[2 * DIAGNOSTIC_LINE_BYTES_MAX];
    char output[2 * DIAGNOSTIC_LINE_BYTES_MAX];
    struct bytes piece = bytes_from(message, sizeof message);
    size_t size;

    for (size_t i = 0; i < sizeof message; i += 2) {
        message[i] = '\xc3';
        message[i + 1] = '\xbc';
    }
    cr_assert_eq(process_run_captured(writes_a_piece, &piece, output, sizeof output), 0);

    size = strlen(output);
    cr_assert_leq(size, DIAGNOSTIC_LINE_BYTES_MAX);
    cr_assert_geq(size, DIAGNOSTIC_LINE_BYTES_MAX - 1);
    cr_assert_str_eq(output + size - 6, "\xc3\xbc...\n");
}

Test(diagnostic, errno_stays_as_it_was)
{
    char output[512];

    cr_assert_eq(process_run_captured(writes_with_an_errno, NULL, output, sizeof output), 0);
}

/* Nobody reads. The children below write to a file that is full; should they
 * wait for it, the test does not end before its time is over. Each ends with
 * the number of the step that failed, 0 if none did. */

static int status_flags(int descriptor)
{
    return fcntl(descriptor, F_GETFL) & O_NONBLOCK;
}

/* Standard error and the other end of it, and how it comes to take no more. */
struct outlet {
    int writer;
    int reader;
    void (*fill)(const struct outlet *outlet);
    void (*make_room)(const struct outlet *outlet);
};

static void set_waiting(int descriptor, bool waits)
{
    int flags = fcntl(descriptor, F_GETFL);

    (void)fcntl(descriptor, F_SETFL, waits ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
}

static void fill_buffer(const struct outlet *outlet)
{
    char block[4096];

    memset(block, 'f', sizeof block);
    set_waiting(outlet->writer, false);
    while (write(outlet->writer, block, sizeof block) > 0)
        ;
    while (write(outlet->writer, block, 1) > 0)
        ;
    set_waiting(outlet->writer, true);
}

static void empty_buffer(const struct outlet *outlet)
{
    char block[4096];

    set_waiting(outlet->reader, false);
    while (read(outlet->reader, block, sizeof block) > 0)
        ;
    set_waiting(outlet->reader, true);
}

/* As ^S and ^Q do. */
static void stop_terminal(const struct outlet *outlet)
{
    (void)tcflow(outlet->writer, TCOOFF);
}

static void start_terminal(const struct outlet *outlet)
{
    (void)tcflow(outlet->writer, TCOON);
}

static void read_until(int reader, const char *end, char *text, size_t size)
{
    size_t done = 0;
    ssize_t count;

    text[0] = '\0';
    while (strstr(text, end) == NULL && (count = read(reader, text + done, size - 1 - done)) > 0) {
        done += (size_t)count;
        text[done] = '\0';
    }
}

/* Two lines are dropped while there is no room; the next one tells of them. */
static int drops_and_tells(const struct outlet *outlet)
{
    char text[1024];

    if (dup2(outlet->writer, STDERR_FILENO) == -1)
        return 1;
    outlet->fill(outlet);
    diagnostic_info("dropped");
    diagnostic_info("dropped");
    if (diagnostic_dropped_count() != 2)
        return 2;
    if (status_flags(STDERR_FILENO) != 0)
        return 3;
    outlet->make_room(outlet);
    diagnostic_info("written");
    if (diagnostic_dropped_count() != 0)
        return 4;
    read_until(outlet->reader, "]: written\n", text, sizeof text);
    if (strstr(text, "dropped here, because nobody read them in time: 2\n") == NULL)
        return 5;
    if (strstr(text, "]: written\n") == NULL || strstr(text, "]: dropped\n") != NULL)
        return 6;
    return status_flags(STDERR_FILENO) == 0 ? 0 : 7;
}

static int writes_to_a_full_pipe(void *context)
{
    int ends[2];

    (void)context;
    if (pipe(ends) != 0)
        return 99;
    return drops_and_tells(&(struct outlet){ends[1], ends[0], fill_buffer, empty_buffer});
}

static int writes_to_a_full_socket(void *context)
{
    int ends[2];

    (void)context;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0)
        return 99;
    return drops_and_tells(&(struct outlet){ends[1], ends[0], fill_buffer, empty_buffer});
}

/* A new terminal that hands on unchanged what is written. */
static bool open_terminal(struct outlet *outlet)
{
    struct termios settings;

    *outlet = (struct outlet){-1, posix_openpt(O_RDWR | O_NOCTTY), stop_terminal, start_terminal};
    if (outlet->reader == -1 || grantpt(outlet->reader) != 0 || unlockpt(outlet->reader) != 0)
        return false;
    outlet->writer = open(ptsname(outlet->reader), O_RDWR | O_NOCTTY);
    if (outlet->writer == -1 || tcgetattr(outlet->writer, &settings) != 0)
        return false;
    cfmakeraw(&settings);
    return tcsetattr(outlet->writer, TCSANOW, &settings) == 0;
}

static int writes_to_a_stopped_terminal(void *context)
{
    struct outlet terminal;

    (void)context;
    return open_terminal(&terminal) ? drops_and_tells(&terminal) : 99;
}

/* Then the file cannot be opened a second time, and polling must do. */
static int writes_to_a_stopped_terminal_without_descriptors(void *context)
{
    struct rlimit limit;
    struct outlet terminal;

    (void)context;
    if (!open_terminal(&terminal) || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 99;
    limit.rlim_cur = 100;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 99;
    while (dup(terminal.writer) != -1)
        ;
    return drops_and_tells(&terminal);
}

/* A socket with room for a part: the rest of the line is lost, the next is not. */
static int writes_where_half_a_line_fits(void *context)
{
    int ends[2];
    char text[4096] = {0};
    int send_bytes = 4608;

    (void)context;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0 || dup2(ends[1], STDERR_FILENO) == -1)
        return 99;
    (void)setsockopt(STDERR_FILENO, SOL_SOCKET, SO_SNDBUF, &send_bytes, sizeof send_bytes);
    while (diagnostic_dropped_count() == 0)
        diagnostic_info("%0900d", 1);
    empty_buffer(&(struct outlet){.reader = ends[0]});
    diagnostic_info("whole");
    if (read(ends[0], text, sizeof text - 1) <= 0)
        return 1;
    return strstr(text, "]: whole\n") != NULL ? 0 : 2;
}

static int writes_where_nobody_is_left(void *context)
{
    int ends[2];

    (void)context;
    signals_ignore_failed_writes();
    if (pipe(ends) != 0 || dup2(ends[1], STDERR_FILENO) == -1)
        return 99;
    (void)close(ends[0]);
    diagnostic_info("dropped");
    return diagnostic_dropped_count() == 1 ? 0 : 1;
}

static int writes_to_a_closed_descriptor(void *context)
{
    (void)context;
    (void)close(STDERR_FILENO);
    diagnostic_info("dropped");
    return diagnostic_dropped_count() == 1 ? 0 : 1;
}

static int writes_to_the_null_device(void *context)
{
    (void)context;
    (void)dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
    diagnostic_info("gone");
    return (int)diagnostic_dropped_count();
}

static int appends_to_a_file(void *context)
{
    char text[1024] = {0};
    int file = fileno(tmpfile());

    (void)context;
    if (write(file, "before\n", 7) != 7 || dup2(file, STDERR_FILENO) == -1)
        return 99;
    diagnostic_info("one");
    diagnostic_info("two");
    if (pread(file, text, sizeof text - 1, 0) <= 0 || strncmp(text, "before\n", 7) != 0)
        return 1;
    return strstr(text, "]: one\n") != NULL && strstr(text, "]: two\n") != NULL ? 0 : 2;
}

static int writes_many_lines(void *context)
{
    const int *writer = context;

    (void)dup2(*writer, STDERR_FILENO);
    for (int i = 0; i < LINES_EACH; i++)
        diagnostic_info("%0*d.", 1 + i, i);
    return 0;
}

Test(diagnostic, full_pipe_drops_lines_and_the_next_one_tells, .timeout = 60)
{
    cr_assert_eq(process_run(writes_to_a_full_pipe, NULL), 0);
}

Test(diagnostic, full_socket_drops_lines_and_the_next_one_tells, .timeout = 60)
{
    cr_assert_eq(process_run(writes_to_a_full_socket, NULL), 0);
}

Test(diagnostic, stopped_terminal_drops_lines_and_the_next_one_tells, .timeout = 60)
{
    cr_assert_eq(process_run(writes_to_a_stopped_terminal, NULL), 0);
}

Test(diagnostic, stopped_terminal_drops_lines_even_without_descriptors, .timeout = 60)
{
    cr_assert_eq(process_run(writes_to_a_stopped_terminal_without_descriptors, NULL), 0);
}

Test(diagnostic, half_a_line_is_followed_by_a_whole_one, .timeout = 60)
{
    cr_assert_eq(process_run(writes_where_half_a_line_fits, NULL), 0);
}

Test(diagnostic, line_is_dropped_where_nobody_is_left_to_read_it)
{
    cr_assert_eq(process_run(writes_where_nobody_is_left, NULL), 0);
    cr_assert_eq(process_run(writes_to_a_closed_descriptor, NULL), 0);
    cr_assert_eq(process_run(writes_to_the_null_device, NULL), 0);
}

/* Where the room ends between one that asks and one that takes it. */
Test(diagnostic, nobody_of_many_waits_at_a_pipe_that_nobody_reads, .timeout = 60)
{
    pid_t children[WRITERS];
    int ends[2];

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < WRITERS; i++)
        children[i] = process_start(writes_many_lines, &ends[1]);

    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(process_wait(children[i]), 0);
    cr_assert_eq(close(ends[0]), 0);
}

Test(diagnostic, lines_are_appended_to_a_file)
{
    cr_assert_eq(process_run(appends_to_a_file, NULL), 0);
}

/* All that arrives is whole lines, however many write and however few read. */
Test(diagnostic, lines_of_many_processes_do_not_mix, .timeout = 60)
{
    pid_t children[WRITERS];
    char line[2 * DIAGNOSTIC_LINE_BYTES_MAX];
    int ends[2];
    FILE *reader;

    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    for (int i = 0; i < WRITERS; i++)
        children[i] = process_start(writes_many_lines, &ends[1]);
    (void)close(ends[1]);
    reader = fdopen(ends[0], "r");
    cr_assert_not_null(reader);

    while (fgets(line, sizeof line, reader) != NULL)
        cr_assert(matches(line, HEAD "(info \\[[0-9]+\\]: [0-9]+\\.|warning .* lines dropped .*: [0-9]+)\n$"), "%s", line);

    for (int i = 0; i < WRITERS; i++)
        cr_assert_eq(process_wait(children[i]), 0);
}
