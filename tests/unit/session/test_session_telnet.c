/* A person at telnet: what Ctrl-C and the like do to a conversation. */
#include "conversation.h"

static struct house house;
static struct conversation talk;

static void open_talk(void)
{
    house_open(&house);
    conversation_prepare(&talk, &house);
    session_init(&talk.session, &talk.config);
}

static void close_talk(void)
{
    conversation_close(&talk);
    house_close(&house);
}

TestSuite(session_telnet, .init = open_talk, .fini = close_talk);

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}\n"
#define CTRL_C "\xff\xf4\xff\xfd\x06"
#define MARK "\xff\xfb\x06"

static void expect_answer(const char *text, const char *wanted)
{
    const char *answered = conversation_feed(&talk, bytes_from_string(text));

    cr_assert_str_eq(answered, wanted, "%s: answered %s, not %s", text, answered, wanted);
}

Test(session_telnet, ctrl_c_does_nothing_to_an_open_transaction)
{
    expect_answer("START\r\nPUT a 1\r\n", OK "\n" OK "\n");
    expect_answer(CTRL_C, MARK);
    expect_answer("PUT b 2\r\nCOMMIT\r\nGET a\r\n", OK "\n" OK "\n{\"status\": \"Ok\", \"result\": \"1\"}\n");
}

Test(session_telnet, ctrl_c_drops_the_half_typed_line)
{
    expect_answer("PUT a 1", "");
    expect_answer(CTRL_C, MARK);
    expect_answer("\r\nGET a\r\n", "{\"status\": \"Error\", \"mesg\": \"Key not found\", \"code\": \"not_found\"}\n");
}

Test(session_telnet, mark_comes_behind_the_replies_to_what_came_before)
{
    expect_answer("PING\r\n" CTRL_C "PING\r\n", PONG MARK PONG);
}

Test(session_telnet, doubled_byte_is_no_text)
{
    expect_answer("START\n", OK "\n");
    expect_error(&talk, "PUT a \xff\xff", "invalid_utf8");
    expect_error(&talk, "COMMIT", "aborted");
}

Test(session_telnet, questions_may_fill_the_output_and_are_answered_later)
{
    char text[2 * 100 + 1];
    size_t room;
    unsigned answered = 0;

    for (unsigned i = 0; i < 100; i++)
        memcpy(text + (size_t)2 * i, "\xff\xf6", 2);
    memcpy(session_room(&talk.session, &room), text, (size_t)2 * 100);
    session_received(&talk.session, (size_t)2 * 100);
    while (session_serve(&talk.session, 100) == SESSION_FULL) {
        (void)session_room(&talk.session, &room);
        cr_assert_eq(room, 0, "there is something left to serve");
        session_shrink(&talk.session);
        answered += (unsigned)(strlen(conversation_take(&talk)) / strlen(PONG));
    }
    answered += (unsigned)(strlen(conversation_take(&talk)) / strlen(PONG));
    cr_assert_eq(answered, 100);
    expect_answer("PING\n", PONG);
}

Test(session_telnet, nothing_is_obeyed_behind_a_quit)
{
    expect_answer("QUIT\n" CTRL_C "PING\n", OK "\n");
}

Test(session_telnet, in_a_first_burst_is_for_one_who_ends_lines)
{
    talk.config.framing = FRAMING_AUTO;
    session_init(&talk.session, &talk.config);
    expect_answer("PING" CTRL_C, MARK);
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    expect_answer("PING\r\n", PONG);
    expect_answer("PI", "");
    cr_assert_eq(session_serve(&talk.session, SIZE_MAX), SESSION_WAITING);
    expect_answer("NG\r\n", PONG);
}

Test(session_telnet, is_not_spoken_by_bursts)
{
    talk.config.framing = FRAMING_AUTO;
    session_init(&talk.session, &talk.config);
    session_feed(&talk.session, bytes_from_string("PING"));
    conversation_fall_silent(&talk);
    cr_assert_str_eq(conversation_take(&talk), PONG);
    cr_assert(strstr(conversation_feed(&talk, bytes_from_string(CTRL_C)), "no line end followed") != NULL);
}
