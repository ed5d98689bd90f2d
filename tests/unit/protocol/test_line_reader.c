#include "protocol/line_reader.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "protocol/request.h"

static struct line_reader reader;

/* What was shown and is not handed out yet. */
static struct buffer shown[LINE_READER_PEEK_LINES];
static unsigned shown_count;

static void peek_all(void)
{
    struct bytes line;

    while (line_reader_peek(&reader, &line)) {
        cr_assert_lt(shown_count, LINE_READER_PEEK_LINES);
        buffer_truncate(&shown[shown_count], 0);
        buffer_append(&shown[shown_count++], line);
        cr_assert(line_reader_is_valid(&reader));
    }
}

/* What was shown first must be what is handed out now, unless that was too long. */
static void compare_with_shown(const struct line *line)
{
    struct buffer first = shown[0];

    if (shown_count == 0)
        return;
    cr_assert(line->is_too_long || bytes_equal(buffer_bytes(&first), bytes_from(line->data, line->size)));
    for (unsigned i = 1; i < LINE_READER_PEEK_LINES; i++)
        shown[i - 1] = shown[i];
    shown[LINE_READER_PEEK_LINES - 1] = first;
    shown_count--;
}

/* Gives bytes in pieces of at most that size and writes down what comes out:
 * "[line]" for each line, "<size>" for one that was too long. */
static void read_all(struct bytes bytes, size_t piece_bytes, struct buffer *seen)
{
    while (bytes.size > 0) {
        size_t room;
        unsigned char *data = line_reader_room(&reader, &room);
        size_t size = piece_bytes < bytes.size ? piece_bytes : bytes.size;
        struct line line;
        char number[32];

        cr_assert_gt(room, 0);
        size = size < room ? size : room;
        memcpy(data, bytes.data, size);
        line_reader_received(&reader, size);
        bytes = bytes_slice(bytes, size, bytes.size - size);
        peek_all();
        while (line_reader_next(&reader, &line)) {
            compare_with_shown(&line);
            (void)snprintf(number, sizeof number, "<%ju>", (uintmax_t)line.bytes_total);
            buffer_append_string(seen, line.is_too_long ? number : "[");
            buffer_append(seen, bytes_from(line.data, line.size));
            buffer_append_string(seen, line.is_too_long ? "" : "]");
            cr_assert(line.is_too_long || line.size == line.bytes_total);
            cr_assert(line_reader_is_valid(&reader));
            peek_all();
        }
        cr_assert(line_reader_is_valid(&reader));
    }
}

static void expect_lines(size_t line_bytes_max, struct bytes bytes, const char *wanted)
{
    for (size_t piece_bytes = 1; piece_bytes <= bytes.size; piece_bytes++) {
        struct buffer seen;

        buffer_init(&seen);
        line_reader_init(&reader, line_bytes_max);
        read_all(bytes, piece_bytes, &seen);
        cr_assert(bytes_equal(buffer_bytes(&seen), bytes_from_string(wanted)),
                  "in pieces of %zu: \"%.*s\", not \"%s\"", piece_bytes, (int)seen.size, (const char *)seen.data,
                  wanted);
        line_reader_deinit(&reader);
        buffer_deinit(&seen);
    }
}

#define LINES(line_bytes_max, text, wanted) \
    expect_lines((line_bytes_max), bytes_from((text), sizeof(text) - 1), (wanted))

Test(line_reader, cuts_at_line_feeds)
{
    LINES(100, "one\ntwo\n\nthree\n", "[one][two][][three]");
}

Test(line_reader, drops_one_carriage_return_before_the_line_feed)
{
    LINES(100, "one\r\ntwo\r\r\n\r\nth\rree\n\r\r\r\n", "[one][two\r][][th\rree][\r\r]");
}

Test(line_reader, hands_out_no_line_that_has_no_end)
{
    LINES(100, "one\ntwo", "[one]");
    LINES(100, "one\ntwo\r", "[one]");
}

Test(line_reader, keeps_a_line_of_the_limit_and_measures_one_above_it)
{
    LINES(4, "1234\n12345\n1234\n", "[1234]<5>[1234]");
    LINES(4, "1234\r\n12345\r\n1234\r\n", "[1234]<5>[1234]");
    LINES(4, "123\r\r\n1234\r\r\n123\r\n", "[123\r]<5>[123]");
    LINES(1, "1\n12\n\n1\n", "[1]<2>[][1]");
}

Test(line_reader, measures_lines_far_above_the_limit)
{
    LINES(4, "123456789 123456789 123456789\nab\r12345\rx\r\r\nab\n", "<29><11>[ab]");
}

Test(line_reader, says_nothing_of_a_long_line_that_has_no_end)
{
    LINES(4, "a\n123456789", "[a]");
}

Test(line_reader, keeps_nul_and_other_bytes)
{
    struct bytes bytes = bytes_from("a\0b\xff\n\0\n", 7);
    struct buffer seen;

    buffer_init(&seen);
    line_reader_init(&reader, 10);
    read_all(bytes, 7, &seen);

    cr_assert(bytes_equal(buffer_bytes(&seen), bytes_from("[a\0b\xff][\0]", 9)));
    line_reader_deinit(&reader);
    buffer_deinit(&seen);
}

/* Reads these bytes and then finishes: hands that out, written down as above, or "nothing". */
static void expect_finished(size_t line_bytes_max, const char *text, const char *wanted)
{
    for (size_t piece_bytes = 1; piece_bytes <= strlen(text); piece_bytes++) {
        struct buffer seen;
        struct line line = {.data = NULL};
        char found[64] = "nothing";

        buffer_init(&seen);
        line_reader_init(&reader, line_bytes_max);
        read_all(bytes_from_string(text), piece_bytes, &seen);
        if (line_reader_finish(&reader, &line)) {
            cr_assert(line.is_unfinished);
            if (line.is_too_long)
                (void)snprintf(found, sizeof found, "<%ju>", (uintmax_t)line.bytes_total);
            else
                (void)snprintf(found, sizeof found, "[%.*s]", (int)line.size, (const char *)line.data);
        }
        cr_assert_str_eq(found, wanted);
        cr_assert(line_reader_is_valid(&reader) && line_reader_is_empty(&reader));
        cr_assert_not(line_reader_finish(&reader, &line));
        line_reader_deinit(&reader);
        buffer_deinit(&seen);
    }
}

Test(line_reader, finishes_a_line_that_has_no_end)
{
    expect_finished(100, "one\ntwo", "[two]");
    expect_finished(100, "two\r", "[two]");
    expect_finished(100, "two\r\r", "[two\r]");
    expect_finished(100, "\r", "[]");
    expect_finished(100, "one\n", "nothing");
    expect_finished(4, "1234", "[1234]");
    expect_finished(4, "1234\r", "[1234]");
    expect_finished(4, "12345", "<5>");
    expect_finished(4, "1234\r\r", "<5>");
    expect_finished(4, "1\n123456789", "<9>");
}

static void expect_rest(const char *text, const char *wanted)
{
    struct buffer seen;

    buffer_init(&seen);
    line_reader_init(&reader, 4);
    read_all(bytes_from_string(text), strlen(text), &seen);
    cr_assert(bytes_equal(line_reader_rest(&reader), bytes_from_string(wanted)), "%s", text);
    line_reader_deinit(&reader);
    buffer_deinit(&seen);
}

Test(line_reader, shows_what_is_there_of_a_line)
{
    line_reader_init(&reader, 4);
    cr_assert_eq(line_reader_rest(&reader).size, 0);
    expect_rest("one\n", "");
    expect_rest("one\ntwo", "two");
    expect_rest("one\ntwo\r", "two");
    expect_rest("1234\r", "1234");
    expect_rest("12345", "");
}

static void receive(const char *text)
{
    size_t room;
    unsigned char *data = line_reader_room(&reader, &room);

    cr_assert_geq(room, strlen(text));
    memcpy(data, text, strlen(text));
    line_reader_received(&reader, strlen(text));
}

static void expect_shown(const char *wanted)
{
    struct bytes line;

    cr_assert(line_reader_peek(&reader, &line), "not \"%s\"", wanted);
    cr_assert(bytes_equal(line, bytes_from_string(wanted)), "\"%.*s\", not \"%s\"", (int)line.size,
              (const char *)line.data, wanted);
}

static void expect_nothing_shown(void)
{
    struct bytes line;

    cr_assert_not(line_reader_peek(&reader, &line));
}

Test(line_reader, shows_the_next_lines_and_keeps_them)
{
    struct line line;

    line_reader_init(&reader, 100);
    expect_nothing_shown();
    receive("one\r\ntwo\nthree\nfour\nfi");
    expect_shown("one");
    expect_shown("two");
    expect_shown("three");
    expect_nothing_shown();
    cr_assert(line_reader_next(&reader, &line));
    expect_shown("four");
    cr_assert(line_reader_next(&reader, &line));
    expect_nothing_shown(); /* the fifth has no end yet */
    receive("ve\n");        /* and what was shown moves to the front */
    expect_shown("five");
    cr_assert(line_reader_next(&reader, &line));
    cr_assert(bytes_equal(bytes_from(line.data, line.size), bytes_from_string("three")));
    cr_assert(line_reader_is_valid(&reader));
    line_reader_deinit(&reader);
}

Test(line_reader, does_not_search_long_lines_for_their_end)
{
    static char text[LINE_READER_PEEK_BYTES + 2];
    struct line line;

    memset(text, 'x', LINE_READER_PEEK_BYTES);
    text[LINE_READER_PEEK_BYTES - 1] = '\n';
    line_reader_init(&reader, LINE_READER_PEEK_BYTES);
    receive(text);
    text[LINE_READER_PEEK_BYTES - 1] = '\0';
    expect_shown(text);
    cr_assert(line_reader_next(&reader, &line));
    memcpy(text + LINE_READER_PEEK_BYTES - 1, "x\n", 3);
    receive(text);
    expect_nothing_shown();
    cr_assert(line_reader_next(&reader, &line));
    cr_assert_eq(line.size, LINE_READER_PEEK_BYTES);
    line_reader_deinit(&reader);
}

Test(line_reader, takes_no_more_memory_than_the_limit)
{
    size_t limit = 100000;
    struct buffer seen;
    unsigned char *many = malloc(1000000);

    cr_assert_not_null(many);
    memset(many, 'x', 1000000);
    buffer_init(&seen);
    line_reader_init(&reader, limit);
    cr_assert_eq(reader.buffer.capacity, 0);
    read_all(bytes_from(many, 1000000), 50000, &seen);
    cr_assert_leq(reader.buffer.capacity, limit + 3);
    many[0] = '\n';
    read_all(bytes_from(many, 1), 1, &seen);

    cr_assert(bytes_equal(buffer_bytes(&seen), bytes_from_string("<1000000>")));
    line_reader_shrink(&reader);
    cr_assert_eq(reader.buffer.capacity, 0);
    line_reader_deinit(&reader);
    buffer_deinit(&seen);
    free(many);
}

Test(line_reader, has_no_room_while_it_is_full_of_lines)
{
    unsigned char *data;
    struct line line;
    size_t room;

    line_reader_init(&reader, 10);
    data = line_reader_room(&reader, &room);
    cr_assert_eq(room, LINE_READER_BYTES_MIN);
    memset(data, '\n', room);
    line_reader_received(&reader, room);

    (void)line_reader_room(&reader, &room);
    cr_assert_eq(room, 0);
    cr_assert(line_reader_next(&reader, &line));
    (void)line_reader_room(&reader, &room);
    cr_assert_eq(room, 1);
    line_reader_deinit(&reader);
}

Test(line_reader, keeps_a_part_of_a_line_when_asked_to_shrink)
{
    struct buffer seen;
    char text[40001];

    memset(text, 'x', sizeof text);
    buffer_init(&seen);
    line_reader_init(&reader, 100000);
    read_all(bytes_from(text, 40000), 40000, &seen);
    line_reader_shrink(&reader);
    text[40000] = '\n';
    read_all(bytes_from(text + 40000, 1), 1, &seen);

    cr_assert_eq(seen.size, 40002);
    line_reader_deinit(&reader);
    buffer_deinit(&seen);
}

#define EXPECT_INVALID(damage)                                 \
    do {                                                       \
        struct line_reader whole = reader;                     \
                                                               \
        damage;                                                \
        cr_assert_not(line_reader_is_valid(&reader), #damage); \
        reader = whole;                                        \
    } while (0)

Test(line_reader, is_valid_only_where_every_part_of_it_is)
{
    struct line line;

    line_reader_init(&reader, LINE_READER_BYTES_MIN);
    receive("one\ntwo\nthree");
    cr_assert(line_reader_next(&reader, &line));
    expect_shown("two");
    cr_assert(line_reader_is_valid(&reader));

    EXPECT_INVALID(reader.buffer.data = NULL);
    EXPECT_INVALID(reader.buffer.size = reader.buffer.capacity + 1);
    EXPECT_INVALID(reader.buffer.capacity = LINE_READER_BYTES_MIN + 4);
    EXPECT_INVALID(reader.served = reader.scanned + 1);
    EXPECT_INVALID(reader.scanned = reader.buffer.size + 1);
    EXPECT_INVALID(reader.peeked = reader.served);
    EXPECT_INVALID(reader.peeked = reader.buffer.size + 1);
    EXPECT_INVALID(reader.peeked_count = LINE_READER_PEEK_LINES + 1);
    EXPECT_INVALID(reader.skipped_bytes = 1);
    line_reader_deinit(&reader);
}

/* What is said of a line that was thrown away is what the line itself says. */
static void expect_same_outline(struct bytes line)
{
    struct bytes trimmed = request_trim(line);
    struct line_outline outline;
    struct bytes rest;
    uint64_t number = 0;
    uint64_t outline_number = 0;
    bool may_name = trimmed.size > 0 && request_may_name(trimmed, &number, &rest);

    line_outline_init(&outline);
    line_outline_feed(&outline, line);
    cr_assert_eq(request_outline_may_name(&outline, &outline_number), may_name, "\"%.*s\"", (int)line.size,
                 (const char *)line.data);
    cr_assert(!may_name || number == outline_number);
    for (unsigned is_first = 0; is_first < 2; is_first++)
        cr_assert_eq(request_outline_is_http(&outline, is_first), request_is_http(trimmed, is_first), "\"%.*s\"",
                     (int)line.size, (const char *)line.data);
}

Test(line_outline, says_of_a_line_what_the_line_says)
{
    static const char *const words[] = {"PUT", "get", "START", "SCAN", "count", "nonsense", "longnonsense", "1", "17",
                                        "01", "18446744073709551615", "18446744073709551616", "123456789012345678901",
                                        "{", "{x", "}", "{}", "x}", "Host:", "host:x", "HTTP/1.1", "xHTTP/1.0",
                                        "HTTP/1.1x", " ", "\t", "\r", "a", "PUT\r"};
    enum { WORDS = sizeof words / sizeof *words };

    for (size_t i = 0; i < (size_t)WORDS * WORDS * WORDS * WORDS; i++) {
        char line[128];
        int size = snprintf(line, sizeof line, "%s %s%s%s %s", words[i % WORDS], words[i / WORDS % WORDS],
                            i % 3 == 0 ? "" : " ", words[i / WORDS / WORDS % WORDS], words[i / WORDS / WORDS / WORDS]);

        expect_same_outline(bytes_from(line, (size_t)size));
    }
}
