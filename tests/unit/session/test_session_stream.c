/* What a session answers depends on the bytes, not on how they come. */
#include "conversation.h"

static char *replies_to(struct bytes bytes, size_t piece_bytes, size_t command_bytes_max)
{
    struct house house;
    struct conversation talk;
    struct buffer replies;

    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.command_bytes_max = command_bytes_max;
    session_init(&talk.session, &talk.config);
    buffer_init(&replies);
    while (bytes.size > 0) {
        size_t size = piece_bytes < bytes.size ? piece_bytes : bytes.size;

        buffer_append_string(&replies, conversation_feed(&talk, bytes_slice(bytes, 0, size)));
        bytes = bytes_slice(bytes, size, bytes.size - size);
    }
    buffer_append_string(&replies, talk.session.is_closing ? "closed" : "open");
    buffer_append(&replies, bytes_from("", 1));
    conversation_close(&talk);
    house_close(&house);
    return (char *)replies.data;
}

/* Every size of pieces, but for long texts only a few. */
static void expect_same_replies(struct bytes bytes, size_t command_bytes_max)
{
    char *wanted = replies_to(bytes, bytes.size, command_bytes_max);

    for (size_t piece_bytes = 1; piece_bytes < bytes.size; piece_bytes += bytes.size < 600 ? 1 : bytes.size / 5) {
        char *found = replies_to(bytes, piece_bytes, command_bytes_max);

        cr_assert_str_eq(found, wanted, "in pieces of %zu: %s, not %s", piece_bytes, found, wanted);
        free(found);
    }
    free(wanted);
}

#define SAME(text, command_bytes_max) expect_same_replies(bytes_from((text), sizeof(text) - 1), (command_bytes_max))

Test(session_stream, is_the_same_in_any_pieces)
{
    SAME("PUT a 1\nGET a\r\nSTART\r\nPUT \xe8\xaf\xb4 \xf0\x9f\x98\x80\nCOMMIT\n\nGET \xe8\xaf\xb4\nBEGIN\nPUT b 1 1\n"
         "COMMIT 1\nCOMMIT 1\nPUT {\"key\": \"a\\u0041\", \"value\": \"\\ud83d\\ude00\"}\nGET aA\nPING",
         1 << 20);
    SAME("PUT a 1\nEXIT\nPUT a 2\n", 1 << 20);
    SAME("\r\n \t\nGET / HTTP/1.1\r\nHost: x\r\n\r\nPUT a 1\n", 1 << 20);
    SAME("PING\nHost: x\nPUT a 1\n", 1 << 20);
    SAME("PUT a \xff\n\xff\xfe\n\xfe\n\0\nPUT \0 \0\nGET \0\nPUT a b\rc\nGET a\n\r\r\n", 1 << 20);
}

Test(session_stream, is_the_same_in_any_pieces_over_the_limit)
{
    SAME("PUT a 123456789 123456789\nGET a\nPUT a 12345678\r\nPUT a 123456789\r\nGET a\n\n               \n", 14);
    SAME("BEGIN\nPUT a 123456789 123456789 1\nCOMMIT 1\nBEGIN\nPUT a 1234567890 \t 2 \t\r\nCOMMIT 2\n", 14);
    SAME("START\nPUT {\"key\":\"a\",\"value\":\"b\"} 1\r\r\nCOMMIT\nSTART XXXXXXXXXXXXXXXX\nCOMMIT\nPUT a 1\n", 14);
    SAME("GET /123456789/123456789 HTTP/1.1\nPUT a 1\n", 14);
    SAME("Host: 123456789.123456789\nPUT a 1\n", 14);
    SAME("PING\nGET /123456789/123456789 HTTP/1.1\nPUT a 1\n", 14);
}

static unsigned random_below(unsigned *seed, unsigned end)
{
    *seed = *seed * 1103515245u + 12345u;
    return (*seed >> 16) % end;
}

Test(session_stream, is_the_same_in_any_pieces_of_random_bytes)
{
    static const char *const words[] = {
        "PUT", "GET", "del", "EXISTS", "COUNT", "SCAN", "START", "BEGIN", "COMMIT", "ROLLBACK", "PING", "HELP",
        "a", "b", "1", "2", "0", "{\"key\": \"a\"}", "{\"key\": \"b\", \"value\": \"\\u0000\"}", "{", "}", "\xff", "\xff\xfd\x06",
        "\xff\xf4", "\xff\xff", "\xff\xf6", "\xff\xf7", "\xff\xf8", "\xff\xfb\n", "\xff\xfa", "\xff\xf0", "\xfe",
        "\xe8\xaf\xb4", "READ COMMITTED", "x\r", "\r\n", "\n", "\n", "\n", "\n", "\n", " ", "\t", "\"", "\\", "Host",
    };
    unsigned seed = 17;

    cr_log_info("seed %u", seed);
    for (unsigned i = 0; i < 300; i++) {
        struct buffer text;

        buffer_init(&text);
        for (unsigned j = 0; j < 40; j++) {
            buffer_append_string(&text, words[random_below(&seed, sizeof words / sizeof *words)]);
            buffer_append_string(&text, random_below(&seed, 3) == 0 ? "" : " ");
        }
        expect_same_replies(buffer_bytes(&text), i % 2 == 0 ? 1 << 20 : 20);
        buffer_deinit(&text);
    }
}

Test(session_stream, answers_a_hundred_thousand_pipelined_commands)
{
    static const char command[] = "PUT key%05u value%05u\nGET key%05u\n";
    struct house house;
    struct conversation talk;
    struct buffer commands;
    struct buffer wanted;
    char text[128];

    buffer_init(&commands);
    buffer_init(&wanted);
    for (unsigned i = 0; i < 50000; i++) {
        unsigned key = i % 1000; /* the model keeps its keys in a list */

        (void)snprintf(text, sizeof text, command, key, i, key);
        buffer_append_string(&commands, text);
        (void)snprintf(text, sizeof text, OK "\n{\"status\": \"Ok\", \"result\": \"value%05u\"}\n", i);
        buffer_append_string(&wanted, text);
    }
    house_open(&house);
    conversation_open(&talk, &house);
    session_feed(&talk.session, buffer_bytes(&commands));

    cr_assert(bytes_equal(session_output(&talk.session), buffer_bytes(&wanted)));
    cr_assert_leq(talk.session.lines.buffer.capacity, LINE_READER_BYTES_MIN);
    conversation_close(&talk);
    house_close(&house);
    buffer_deinit(&commands);
    buffer_deinit(&wanted);
}

Test(session_stream, stops_serving_while_its_output_is_large)
{
    struct house house;
    struct conversation talk;
    size_t room;
    unsigned char *data;
    unsigned rounds = 0;

    house_open(&house);
    conversation_open(&talk, &house);
    data = session_room(&talk.session, &room);
    for (size_t i = 0; i + 5 <= room; i += 5)
        place(data + i, "PING\n");
    session_received(&talk.session, room - room % 5);
    while (session_serve(&talk.session, 100) == SESSION_FULL) {
        cr_assert_lt(session_output(&talk.session).size, 200);
        session_output_clear(&talk.session);
        rounds++;
    }

    cr_assert_geq(rounds, room / 5 / 4);
    conversation_close(&talk);
    house_close(&house);
}

Test(session_stream, returns_a_value_of_every_byte_that_grows_sixfold)
{
    struct house house;
    struct conversation talk;
    struct buffer line;
    const char *reply;

    house_open(&house);
    conversation_open(&talk, &house);
    buffer_init(&line);
    buffer_append_string(&line, "PUT a x");
    for (unsigned i = 0; i < 1000000; i++)
        buffer_append(&line, bytes_from("\x01", 1));
    buffer_append(&line, bytes_from("x\n", 2));
    cr_assert_str_eq(conversation_feed(&talk, buffer_bytes(&line)), OK "\n");
    reply = say(&talk, "GET a");

    cr_assert_eq(strlen(reply), strlen("{\"status\": \"Ok\", \"result\": \"xx\"}") + 6000000);
    cr_assert(session_is_large(&talk.session));
    session_shrink(&talk.session);
    cr_assert_not(session_is_large(&talk.session));
    conversation_close(&talk);
    house_close(&house);
    buffer_deinit(&line);
}

Test(session_stream, keeps_its_head_in_long_lines_of_small_sessions)
{
    struct house house;
    struct conversation talk;

    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.command_bytes_max = 1;
    session_init(&talk.session, &talk.config);
    expect_error(&talk, "PING", "too_large");
    expect_error(&talk, "x", "unknown_command");
    expect_error(&talk, "START", "too_large");
    cr_assert_eq(session_transactions_open_count(&talk.session.transactions), 1);
    conversation_close(&talk);
    house_close(&house);
}

/* What the store of a new session hears while these bytes are answered, which come at once; free it. */
static char *hints_of(struct bytes bytes)
{
    struct house house;
    struct conversation talk;
    struct buffer hints;

    house_open(&house);
    conversation_open(&talk, &house);
    buffer_init(&hints);
    talk.store.hints = &hints;
    conversation_feed(&talk, bytes);
    talk.store.hints = NULL;
    conversation_close(&talk);
    house_close(&house);
    buffer_append(&hints, bytes_from("", 1));
    return (char *)hints.data;
}

static void expect_hints(const char *text, const char *expected)
{
    char *hints = hints_of(bytes_from_string(text));

    cr_assert_str_eq(hints, expected, "%s: %s, not %s", text, hints, expected);
    free(hints);
}

Test(session_stream, tells_the_store_the_keys_of_the_lines_behind)
{
    expect_hints("PUT alone 1\n", "! ");
    expect_hints("PUT a 1\nGET b\r\n \tdel \t c  \nSTART\nGET {\"key\": \"d\"}\n\nPUT e 2\nGET", "b c ! e ! ");
}

Test(session_stream, tells_the_store_no_key_that_is_too_long)
{
    char text[STORE_KEY_BYTES_MAX + 32];
    char longest[STORE_KEY_BYTES_MAX + 1];
    char expected[STORE_KEY_BYTES_MAX + 2];

    memset(longest, 'k', STORE_KEY_BYTES_MAX);
    longest[STORE_KEY_BYTES_MAX] = '\0';
    (void)snprintf(expected, sizeof(expected), "%s ", longest);
    (void)snprintf(text, sizeof(text), "PING\nGET %s\n", longest);
    expect_hints(text, expected);
    (void)snprintf(text, sizeof(text), "PING\nGET %sk\n", longest);
    expect_hints(text, "");
}
