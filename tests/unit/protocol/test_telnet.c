/* Telnet's commands between a client's bytes: every case at once, and cut at every byte. */
#include "protocol/telnet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#define LINE_BYTES_MAX 100u

static struct telnet telnet;
static struct line_reader reader;
static struct buffer answers; /* and lines, each in <>, in the order in which they came */

static void note_line(const struct line *line)
{
    char size[32];

    buffer_append_string(&answers, "<");
    if (line->is_too_long) {
        (void)snprintf(size, sizeof size, "%ju", (uintmax_t)line->bytes_total);
        buffer_append_string(&answers, size);
    }
    buffer_append(&answers, bytes_from(line->data, line->size));
    buffer_append_string(&answers, ">");
}

static void take_all(void)
{
    struct line line;

    for (;;) {
        if (line_reader_next(&reader, &line))
            note_line(&line);
        else if (telnet_has_more(&telnet))
            telnet_take(&telnet, &reader, &answers);
        else
            return;
        cr_assert(line_reader_is_valid(&reader));
    }
}

static void receive(struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t size;
        unsigned char *room = telnet_room(&telnet, &reader, &size);

        cr_assert_gt(size, 0);
        size = size < bytes.size ? size : bytes.size;
        memcpy(room, bytes.data, size);
        telnet_received(&telnet, &reader, size);
        take_all();
        bytes = bytes_slice(bytes, size, bytes.size - size);
    }
}

static void begin(void)
{
    telnet_init(&telnet);
    line_reader_init(&reader, LINE_BYTES_MAX);
    buffer_init(&answers);
}

static void end(void)
{
    line_reader_deinit(&reader);
    buffer_deinit(&answers);
}

static void expect_in_pieces(struct bytes bytes, size_t first, size_t second, struct bytes wanted)
{
    begin();
    receive(bytes_slice(bytes, 0, first));
    receive(bytes_slice(bytes, first, second - first));
    receive(bytes_slice(bytes, second, bytes.size - second));
    cr_assert(bytes_equal(buffer_bytes(&answers), wanted), "%zu|%zu: %.*s", first, second, (int)answers.size,
              (const char *)answers.data);
    end();
}

/* At once, and in three pieces of any sizes; each byte alone too. */
static void expect(struct bytes bytes, struct bytes wanted)
{
    for (size_t first = 0; first <= bytes.size; first += bytes.size > 100 ? bytes.size / 7 : 1)
        for (size_t second = first; second <= bytes.size; second += bytes.size > 100 ? bytes.size / 5 : 1)
            expect_in_pieces(bytes, first, second, wanted);
    begin();
    for (size_t i = 0; i < bytes.size; i++)
        receive(bytes_slice(bytes, i, 1));
    cr_assert(bytes_equal(buffer_bytes(&answers), wanted), "byte by byte: %.*s", (int)answers.size,
              (const char *)answers.data);
    end();
}

#define BYTES(literal) bytes_from((literal), sizeof(literal) - 1)
#define EXPECT(literal, wanted) expect(BYTES(literal), BYTES(wanted))

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}\n"

Test(telnet, text_is_handed_over_as_it_is)
{
    EXPECT("PING\r\nPUT a \xe8\xaf\xb4 \xfe\n\n", "<PING><PUT a \xe8\xaf\xb4 \xfe><>");
}

Test(telnet, text_costs_no_second_look)
{
    size_t size;

    begin();
    memcpy(telnet_room(&telnet, &reader, &size), "PING\n", 5);
    telnet_received(&telnet, &reader, 5);
    cr_assert_not(telnet_has_more(&telnet));
    cr_assert_eq(reader.buffer.size, 5);
    end();
}

Test(telnet, ctrl_c_is_answered_and_drops_the_half_typed_line)
{
    EXPECT("\xff\xf4\xff\xfd\x06", "\xff\xfb\x06");
    EXPECT("PUT a 1\r\nPUT b\xff\xf4\xff\xfd\x06PING\r\n", "<PUT a 1>\xff\xfb\x06<PING>");
    EXPECT("PUT a\xff\xf3PING\r\nPUT a\xff\xeePING\r\n", "<PING><PING>");
}

/* The mark says that everything before it is done. */
Test(telnet, timing_mark_comes_between_the_lines_where_it_stood)
{
    EXPECT("one\n\xff\xfd\x06two\n\xff\xfd\x06th\xff\xfd\x06ree\n",
           "<one>\xff\xfb\x06<two>\xff\xfb\x06\xff\xfb\x06<three>");
}

Test(telnet, other_options_are_refused)
{
    EXPECT("\xff\xfd\x01\xff\xfd\x03\xff\xfb\x18\xff\xfb\x06", "\xff\xfc\x01\xff\xfc\x03\xff\xfe\x18\xff\xfe\x06");
    EXPECT("\xff\xfd\x00\xff\xfd\xff", "\xff\xfc\x00\xff\xfc\xff");
}

/* That would go round for ever between two who refuse. */
Test(telnet, what_is_refused_anyway_needs_no_answer)
{
    EXPECT("\xff\xfc\x01\xff\xfe\x06PING\n", "<PING>");
}

/* An option's number may be a line feed, and a line's end that of a command. */
Test(telnet, option_is_no_line_end)
{
    EXPECT("PI\xff\xfd\nNG\n\xff\xfb\r\n", "\xff\xfc\n<PING>\xff\xfe\r<>");
}

Test(telnet, doubled_byte_is_that_byte)
{
    EXPECT("a\xff\xff" "b\n\xff\xff\n", "<a\xff" "b><\xff>");
}

Test(telnet, what_is_no_command_stays_text)
{
    EXPECT("a\xff" "b\n\xff\n\xff\xeb\n", "<a\xff" "b><\xff><\xff\xeb>");
}

Test(telnet, are_you_there_is_answered_as_ping_is)
{
    EXPECT("PI\xff\xf6NG\n", PONG "<PING>");
}

Test(telnet, characters_are_erased)
{
    EXPECT("PUX\xff\xf7T a\n", "<PUT a>");
    EXPECT("\xe8\xaf\xb4\xff\xf7" "a\xff\xf7\xff\xf7\xff\xf7" "b\n", "<b>");
    EXPECT("one\n\xff\xf7two\n", "<one><two>");
    EXPECT("\x80\x80\xff\xf7" "a\n", "<a>");
}

Test(telnet, lines_are_erased)
{
    EXPECT("one\nnonsense\xff\xf8two\n\xff\xf8three\n", "<one><two><three>");
}

Test(telnet, other_commands_are_skipped)
{
    EXPECT("P\xff\xf1I\xff\xf2N\xff\xf5G\xff\xf9\xff\xef\xff\xec\xff\xed\xff\xf0\n", "<PING>");
}

Test(telnet, subnegotiations_are_skipped)
{
    EXPECT("PI\xff\xfa\x18\x00xterm\n\xff\xff\xff\xf0NG\n", "<PING>");
    EXPECT("PI\xff\xfa\xff\xf0NG\n", "<PING>");
}

Test(telnet, command_inside_of_a_subnegotiation_ends_it)
{
    EXPECT("PI\xff\xfa\x18\xff\xfd\x06NG\n", "\xff\xfb\x06<PING>");
    EXPECT("PI\xff\xfa\x18\xffNG\n", "<PI\xffNG>");
}

/* Without end it would swallow everything. So much is no option; what comes is text again, and not taken for whole. */
Test(telnet, subnegotiation_without_end_is_bounded)
{
    size_t size = 2 + TELNET_SKIP_MAX;
    unsigned char *bytes = malloc(size + 6);

    cr_assert_not_null(bytes);
    memset(bytes, 'x', size);
    memcpy(bytes, "\xff\xfa", 2);
    memcpy(bytes + size, "PING\n", 6);
    expect(bytes_from(bytes, size + 5), BYTES("<\xffPING>"));
    free(bytes);
}

static void expect_of_long_line(const char *behind, const char *wanted)
{
    char text[2 * LINE_BYTES_MAX + 32];

    memset(text, 'x', sizeof text);
    (void)snprintf(text + LINE_BYTES_MAX + 50, 32, "%s", behind);
    expect(bytes_from_string(text), bytes_from_string(wanted));
}

Test(telnet, lines_over_the_limit_have_commands_too)
{
    expect_of_long_line("\n", "<150>");
    expect_of_long_line("\xff\xf1\n", "<150>");
    expect_of_long_line("\xff\xff\n", "<151>");
    expect_of_long_line("\xff\xf7\n", "<150>"); /* too long already */
    expect_of_long_line("\xff\xf4PING\n", "<PING>");
    expect_of_long_line("\xff\xfd\x06\r\nPING\n", "\xff\xfb\x06<150><PING>");
}

/* A line of the largest size leaves room for what comes next, in whatever state. */
Test(telnet, line_at_the_limit_leaves_room)
{
    for (size_t size = 16000; size <= LINE_READER_BYTES_MIN + 8; size += size < 16376 ? 376 : 1) {
        char *text = malloc(size + 8);

        cr_assert_not_null(text);
        memset(text, 'x', size);
        memcpy(text + size, "\r\xff\xf1\n", 5);
        telnet_init(&telnet);
        line_reader_init(&reader, LINE_READER_BYTES_MIN);
        buffer_init(&answers);
        receive(bytes_from(text, size + 2));
        receive(bytes_from(text + size + 2, 2));
        cr_assert(answers.size == size + 2 || answers.size == strlen("<16384>"), "%zu", answers.size);
        end();
        free(text);
    }
}
