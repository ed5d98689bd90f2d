/* Clients that do not end their lines: FRAMING_AUTO. What comes in one feed is
 * what one read returned; silence is said, not waited for. */
#include "conversation.h"

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}\n"
#define VALUE(value) "{\"status\": \"Ok\", \"result\": \"" value "\"}\n"

static struct house house;
static struct conversation talk;

static void open_limited(size_t command_bytes_max)
{
    house_open(&house);
    conversation_prepare(&talk, &house);
    talk.config.framing = FRAMING_AUTO;
    talk.config.command_bytes_max = command_bytes_max;
    session_init(&talk.session, &talk.config);
}

static void open_talk(void)
{
    open_limited((size_t)1 << 20);
}

static void close_talk(void)
{
    conversation_close(&talk);
    house_close(&house);
}

TestSuite(session_bursts, .init = open_talk, .fini = close_talk);

/* Receives a burst, which is to wait for more. */
static void receive_and_hold(const char *text)
{
    session_feed(&talk.session, bytes_from_string(text));
    cr_assert(session_is_valid(&talk.session));
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_HOLDING, "%s", text);
}

/* Receives a burst, which is not to wait, and expects these replies. */
static void expect_at_once(const char *text, const char *wanted)
{
    enum session_state state;
    const char *answered;

    session_feed(&talk.session, bytes_from_string(text));
    state = session_serve(&talk.session, SIZE_MAX);
    cr_assert(state == SESSION_WAITING || state == SESSION_CLOSING, "%s: it waits for more", text);
    answered = conversation_take(&talk);
    cr_assert_str_eq(answered, wanted, "%s: answered %s, not %s", text, answered, wanted);
}

static void expect_at_silence(const char *wanted)
{
    const char *answered;

    conversation_fall_silent(&talk);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    answered = conversation_take(&talk);
    cr_assert_str_eq(answered, wanted, "answered %s, not %s", answered, wanted);
}

static void expect_error_at_once(const char *text, const char *code)
{
    const char *answered;

    session_feed(&talk.session, bytes_from_string(text));
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    answered = conversation_take(&talk);
    talk.reply[strcspn(talk.reply, "\n")] = '\0';
    cr_assert(reply_has_code(answered, code), "%s: answered %s, not %s", text, answered, code);
}

static void enter_bursts(void)
{
    receive_and_hold("PING");
    expect_at_silence(PONG);
}

static void expect_line_mode(void)
{
    expect_at_once("PING", "");
    expect_at_once("\n", PONG);
}

static void reopen(size_t command_bytes_max)
{
    close_talk();
    open_limited(command_bytes_max);
}

Test(session_bursts, are_not_there_where_the_first_one_ends_in_a_line_feed)
{
    expect_at_once("PING\r\nPING\n", PONG PONG);
    expect_line_mode();
}

Test(session_bursts, begin_where_silence_follows_a_command)
{
    receive_and_hold("PUT a 1");
    expect_at_silence(OK "\n");
    expect_at_once("GET a", VALUE("1"));
    expect_at_once("PUT a 2\nGET a", OK "\n" VALUE("2"));
    expect_at_once("GET a\n", VALUE("2"));
    expect_at_once("GET a\r", VALUE("2"));
    expect_at_once("\n", "");
    expect_at_once(" \t", "");
    expect_at_once("\r", "");
    expect_at_once("PING", PONG);
}

Test(session_bursts, hold_their_replies_until_silence)
{
    receive_and_hold("START\nPUT a 1\nGET a\nPUT b 2\nCOMMIT");
    cr_assert_gt(session_output(&talk.session).size, 0);
    expect_at_silence(OK "\n" OK "\n" VALUE("1") OK "\n" OK "\n");
}

Test(session_bursts, become_lines_where_more_comes_before_silence)
{
    receive_and_hold("PING\nPI");
    receive_and_hold("N");
    expect_at_once("G\n", PONG PONG);
    expect_line_mode();
}

Test(session_bursts, become_lines_where_the_tail_is_no_command)
{
    static const char *const tails[] = {
        "P", "PU", "PUT", "PUT a", "nonsense", "GET", "GET a b", "PUT {\"key\": \"a\"", "\xfe", "PUT a \xe8\xaf",
        " ", "\r", "START READ", "SCAN", "GET / HTTP/1.1", "Host: x",
    };

    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char text[64];

        reopen((size_t)1 << 20);
        (void)snprintf(text, sizeof text, "PING\n%s", tails[i]);
        receive_and_hold(text);
        expect_at_silence(PONG);
        cr_assert_eq(talk.session.framer.state, FRAMER_LINES, "%s", tails[i]);
    }
    expect_at_once(" y\nPING", "{\"status\": \"Error\", \"mesg\": \"This is not an HTTP server, the connection ends\", "
                               "\"code\": \"syntax\"}\n");
}

/* Whether it succeeds is another question. */
Test(session_bursts, begin_with_any_command_of_good_form)
{
    static const char *const tails[][2] = {
        {"COMMIT", "no_transaction"}, {"COMMIT 7", "unknown_transaction"}, {"GET a", "not_found"},
        {"get {\"key\": \"a\"}\r", "not_found"},
    };
    char long_get[1200] = "GET ";

    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        reopen((size_t)1 << 20);
        receive_and_hold(tails[i][0]);
        conversation_fall_silent(&talk);
        conversation_take(&talk);
        talk.reply[strcspn(talk.reply, "\n")] = '\0';
        cr_assert(reply_has_code(talk.reply, tails[i][1]), "%s: %s", tails[i][0], talk.reply);
        expect_at_once("PING", PONG);
    }
    reopen((size_t)1 << 20);
    memset(long_get + 4, 'k', 1100);
    receive_and_hold(long_get);
    conversation_fall_silent(&talk);
    conversation_take(&talk);
    cr_assert_not_null(strstr(talk.reply, "\"too_large\""));
    expect_at_once("PING", PONG);
}

Test(session_bursts, leave_a_tail_as_it_came_when_it_is_only_looked_at)
{
    receive_and_hold("PUT {\"key\": \"\\u0061\", \"value\": \"\\u0062\"}");
    expect_at_silence(OK "\n");
    expect_at_once("GET a", VALUE("b"));
    reopen((size_t)1 << 20);
    receive_and_hold("PUT {\"key\": \"\\u0061\", \"value\": \"\\u0062\"");
    expect_at_silence("");
    expect_at_once("}\nGET a\n", OK "\n" VALUE("b"));
}

Test(session_bursts, of_more_than_a_packet_are_lines)
{
    char text[FRAMING_BURST_BYTES_MAX + 2];

    memset(text, 'v', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    place(text, "PUT a ");
    expect_at_once(text, "");
    expect_at_once("\nPING\n", OK "\n" PONG);

    reopen((size_t)1 << 20);
    text[FRAMING_BURST_BYTES_MAX] = '\0';
    receive_and_hold(text);
    expect_at_silence(OK "\n");
    expect_at_once("PING", PONG);

    reopen((size_t)1 << 20);
    receive_and_hold(text);
    expect_at_once("v", "");
    expect_at_once("\nPING\n", OK "\n" PONG);
}

Test(session_bursts, answer_syntax_to_a_tail_that_is_no_command)
{
    static const char *const tails[] = {"PUT a", "nonsense", "\xff", "PUT a \xff", "PUT {\"key\": 1}", "START X"};

    enter_bursts();
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
        expect_error_at_once(tails[i], "syntax");
    expect_error_at_once("nonsense\n", "unknown_command");
    expect_error_at_once("\xff\n", "invalid_utf8");
    expect_error_at_once("COMMIT 77", "unknown_transaction");
}

Test(session_bursts, abort_the_transaction_of_a_tail_that_is_no_command)
{
    enter_bursts();
    expect_at_once("START\nPUT a 1", OK "\n" OK "\n");
    expect_error_at_once("nonsense", "syntax");
    expect_error_at_once("PUT b 2", "aborted");
    expect_error_at_once("COMMIT", "aborted");
    expect_error_at_once("GET a", "not_found");
    expect_error_at_once("START X", "syntax");
    expect_error_at_once("PUT b 2", "aborted");
    expect_at_once("ROLLBACK", OK "\n");
}

Test(session_bursts, name_their_transactions)
{
    receive_and_hold("BEGIN\nPUT a 1 1");
    expect_at_silence("{\"status\": \"Ok\", \"transaction_id\": 1}\n" OK "\n");
    expect_error_at_once("GET a", "not_found");
    expect_at_once("GET a 1", VALUE("1"));
    expect_at_once("COMMIT 1", OK "\n");
    expect_at_once("GET a", VALUE("1"));
}

Test(session_bursts, keep_a_transaction_that_begins_before_lines)
{
    receive_and_hold("START\nPUT a 1\nCOMM");
    expect_at_silence(OK "\n" OK "\n");
    expect_at_once("IT\nGET a\n", OK "\n" VALUE("1"));
}

Test(session_bursts, end_with_exit_wherever_it_stands)
{
    expect_at_once("PING\nEXIT\nPUT a 1", PONG OK "\n");
    reopen((size_t)1 << 20);
    receive_and_hold("PING\nEXIT");
    conversation_fall_silent(&talk);
    cr_assert_str_eq(conversation_take(&talk), PONG OK "\n");
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_CLOSING);
    reopen((size_t)1 << 20);
    enter_bursts();
    expect_at_once("QUIT", OK "\n");
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_CLOSING);
}

Test(session_bursts, store_nothing_for_a_browser)
{
    static const char refused[] = "{\"status\": \"Error\", \"mesg\": \"This is not an HTTP server, the connection "
                                  "ends\", \"code\": \"syntax\"}\n";

    receive_and_hold("PUT /x HTTP/1.1");
    conversation_fall_silent(&talk);
    cr_assert_str_eq(conversation_take(&talk), refused);
    reopen((size_t)1 << 20);
    enter_bursts();
    expect_at_once("host: x", refused);
}

Test(session_bursts, over_the_limit_are_told_so)
{
    reopen(16);
    receive_and_hold("PUT a 1234567890123");
    expect_at_silence("");
    expect_error_at_once("\n", "too_large");
    reopen(16);
    enter_bursts();
    expect_error_at_once("PUT a 1234567890123", "too_large");
    expect_at_once("PUT a 1234567890\r", OK "\n");
    expect_error_at_once("PUT a 1234567890123\n", "too_large");
    expect_at_once("PING", PONG);
    reopen(16);
    receive_and_hold("PUT a 1234567890123\nPING");
    conversation_fall_silent(&talk);
    cr_assert_not_null(strstr(conversation_take(&talk), "\"too_large\"}\n" PONG));
    expect_at_once("PING", PONG);
}

/* Receives so much that no room is left, and perhaps more. */
static struct bytes fill_room(unsigned char *command, size_t size)
{
    memset(command, 'v', size);
    place(command, "PUT a ");
    session_feed(&talk.session, bytes_from(command, size));
    return bytes_from(command + 6, size - 6);
}

Test(session_bursts, are_not_cut_where_they_fill_the_buffer)
{
    static unsigned char command[4 * LINE_READER_BYTES_MIN];
    struct bytes value;
    size_t room;

    enter_bursts();
    (void)session_room(&talk.session, &room);
    cr_assert_eq(room, LINE_READER_BYTES_MIN);
    (void)fill_room(command, room);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_HOLDING);
    expect_at_silence(OK "\n");
    (void)fill_room(command, room - 1);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    cr_assert_str_eq(conversation_take(&talk), OK "\n");
    value = fill_room(command, sizeof command - 1);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    cr_assert_str_eq(conversation_take(&talk), OK "\n");
    cr_assert_eq(strlen(say(&talk, "GET a")), strlen(VALUE("")) - 1 + value.size);
}

Test(session_bursts, over_the_limit_and_the_buffer_have_one_error)
{
    static unsigned char command[4 * LINE_READER_BYTES_MIN];

    reopen(20000);
    enter_bursts();
    (void)fill_room(command, sizeof command);
    conversation_fall_silent(&talk);
    conversation_take(&talk);
    cr_assert_not_null(strstr(talk.reply, "Line of 65536 bytes"));
    cr_assert_eq(strchr(talk.reply, '\n') + 1, talk.reply + strlen(talk.reply));
    expect_at_once("PING", PONG);
}

Test(session_bursts, do_not_run_into_one_another_while_the_output_is_large)
{
    size_t room;
    unsigned char *data;

    enter_bursts();
    data = session_room(&talk.session, &room);
    place(data, "PING\nPUT a 1");
    session_received(&talk.session, 12);
    cr_assert_eq(session_serve(&talk.session, 1), SESSION_FULL);
    (void)session_room(&talk.session, &room);
    cr_assert_eq(room, 0);
    session_output_clear(&talk.session);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    expect_at_once("GET a", OK "\n" VALUE("1"));
}

/* Any script, in one burst without a last line feed, has the replies that it has with one. */
Test(session_bursts, say_what_lines_say)
{
    static const char *const scripts[] = {
        "PUT a 1\nGET a\nDEL a\nGET a\nCOUNT", "START\nGET a\nPUT a 1\nnonsense\nCOMMIT",
        "BEGIN READ COMMITTED\nPUT a  x  y  1\nGET a 1\nROLLBACK 1", "\n\n \nPING\n\n\t PING \t", "ROLLBACK\nPUT a 1 1",
        "START\nSTART\nDEL a\r\nCOMMIT\nCOMMIT\nGET {\"key\": \"a\"} \r",
    };

    for (size_t i = 0; i < sizeof scripts / sizeof *scripts; i++) {
        char *by_line;

        reopen((size_t)1 << 20);
        session_feed(&talk.session, bytes_from_string("\n"));
        session_feed(&talk.session, bytes_from_string(scripts[i]));
        session_feed(&talk.session, bytes_from_string("\n"));
        by_line = strdup(conversation_take(&talk));
        cr_assert_not_null(by_line);
        reopen((size_t)1 << 20);
        receive_and_hold(scripts[i]);
        expect_at_silence(by_line);
        free(by_line);
    }
}
