#include "protocol/framing.h"

#include <signal.h>
#include <string.h>

#include <criterion/criterion.h>

#include "support/process.h"

static struct framer framer;

static void begin(enum framing framing)
{
    framer_init(&framer, framing);
}

/* A read for which there was more room. */
static void receive(const char *text)
{
    framer_received(&framer, bytes_from_string(text), false);
    cr_assert(framer_is_valid(&framer));
}

/* A read that took all the room there was. */
static void receive_all_that_fits(const char *text)
{
    framer_received(&framer, bytes_from_string(text), true);
    cr_assert(framer_is_valid(&framer));
}

static void fall_silent(bool tail_is_command)
{
    framer_silence(&framer, tail_is_command);
    cr_assert(framer_is_valid(&framer));
}

static void expect(enum framer_state state, bool has_tail)
{
    cr_assert_eq(framer.state, state, "%u, not %u", (unsigned)framer.state, (unsigned)state);
    cr_assert_eq(framer_has_tail(&framer), has_tail);
}

static void enter_bursts(void)
{
    begin(FRAMING_AUTO);
    receive("PING");
    fall_silent(true);
    framer_tail_taken(&framer);
}

/* The first burst has that many bytes, none of them a line feed. */
static void receive_first(size_t size)
{
    static unsigned char text[FRAMING_BURST_BYTES_MAX + 1];

    memset(text, 'x', sizeof text);
    begin(FRAMING_AUTO);
    framer_received(&framer, bytes_from(text, size), false);
    cr_assert(framer_is_valid(&framer));
}

Test(framing, by_line_never_holds_and_has_no_tails)
{
    begin(FRAMING_LINE);
    receive("PING");
    receive("PING\nPING");
    receive_all_that_fits("PING");

    cr_assert_not(framer_is_holding(&framer));
    expect(FRAMER_LINES, false);
}

Test(framing, is_by_line_for_good_where_the_first_burst_ends_in_a_line_feed)
{
    begin(FRAMING_AUTO);
    receive("PING\nPUT a 1\n");
    receive("PING");

    cr_assert_not(framer_is_holding(&framer));
    expect(FRAMER_LINES, false);
}

Test(framing, holds_where_the_first_burst_does_not_end_in_a_line_feed)
{
    begin(FRAMING_AUTO);
    receive("PING\nPING");

    cr_assert(framer_is_holding(&framer));
    expect(FRAMER_LISTENING, false);
}

Test(framing, is_by_line_where_the_rest_of_the_line_comes_before_silence)
{
    begin(FRAMING_AUTO);
    receive("PI");
    receive("N");
    receive("G\n");

    expect(FRAMER_LINES, false);
}

Test(framing, is_by_line_where_silence_follows_what_is_no_command)
{
    begin(FRAMING_AUTO);
    receive("PI");
    fall_silent(false);
    receive("NG");

    expect(FRAMER_LINES, false);
}

Test(framing, has_a_tail_where_silence_follows_a_command)
{
    begin(FRAMING_AUTO);
    receive("PING");
    fall_silent(true);
    expect(FRAMER_BURSTS, true);
    framer_tail_taken(&framer);
    expect(FRAMER_BURSTS, false);
}

Test(framing, knows_a_first_burst_by_its_size)
{
    receive_first(FRAMING_BURST_BYTES_MAX);
    expect(FRAMER_LISTENING, false);
    receive("x");
    expect(FRAMER_LINES, false);
    receive_first(FRAMING_BURST_BYTES_MAX + 1);
    expect(FRAMER_LINES, false);
}

Test(framing, in_bursts_has_a_tail_after_every_read_that_does_not_end_in_a_line_feed)
{
    enter_bursts();
    receive("PING\nPIN");
    expect(FRAMER_BURSTS, true);
    framer_tail_taken(&framer);
    receive("PING\n");
    expect(FRAMER_BURSTS, false);
    receive("\r");
    expect(FRAMER_BURSTS, true);
}

Test(framing, in_bursts_goes_on_where_a_read_filled_its_room)
{
    enter_bursts();
    receive_all_that_fits("PUT a ");
    expect(FRAMER_CUT, false);
    cr_assert(framer_is_holding(&framer));
    receive_all_that_fits("1");
    expect(FRAMER_CUT, false);
    receive("2");
    expect(FRAMER_BURSTS, true);
}

Test(framing, in_bursts_ends_a_burst_that_was_cut_with_a_line_feed_or_silence)
{
    enter_bursts();
    receive_all_that_fits("PUT a ");
    receive("1\n");
    expect(FRAMER_BURSTS, false);
    receive_all_that_fits("PUT a\n");
    expect(FRAMER_BURSTS, false);
    receive_all_that_fits("PUT a ");
    fall_silent(false);
    expect(FRAMER_BURSTS, true);
}

static bool is_valid(struct framer any)
{
    return framer_is_valid(&any);
}

Test(framing, is_valid_only_where_its_moves_lead)
{
    cr_assert(is_valid((struct framer){FRAMER_BURSTS, FRAMING_BURST_BYTES_MAX, true}));
    cr_assert(is_valid((struct framer){FRAMER_LINES, FRAMING_BURST_BYTES_MAX + 1, false}));

    cr_assert_not(is_valid((struct framer){FRAMER_STATE_COUNT, 0, false}));
    cr_assert_not(is_valid((struct framer){FRAMER_CUT, 0, true}), "a tail of a burst that is not over");
    cr_assert_not(is_valid((struct framer){FRAMER_LISTENING, FRAMING_BURST_BYTES_MAX + 1, false}));
}

static int is_silent_while_nobody_listens(void *context)
{
    (void)context;
    begin(FRAMING_AUTO);
    framer_silence(&framer, true);
    return 0;
}

static int receives_before_its_tail_was_taken(void *context)
{
    (void)context;
    enter_bursts();
    receive("PING");
    receive("PING");
    return 0;
}

Test(framing, insists_on_its_order)
{
    cr_assert_eq(process_run(is_silent_while_nobody_listens, NULL), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run(receives_before_its_tail_was_taken, NULL), PROCESS_SIGNAL(SIGABRT));
}
