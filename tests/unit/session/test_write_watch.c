/* When a client is late, told by numbers. */
#include "session/write_watch.h"

#include <criterion/criterion.h>

#define BEGIN_MS 1000u

static struct write_watch watch;
static struct write_look look;

static void begin(unsigned limit_ms)
{
    watch = (struct write_watch){.since_ms = 0};
    look = (struct write_look){.now_ms = BEGIN_MS, .limit_ms = limit_ms};
    cr_assert_gt(write_watch_left_ms(&watch, &look), 0);
}

/* Waits as it is told, until the client is late; at each look it has taken so many bytes more than at the one before.
 * Returns how long that took; UINT64_MAX: not in a day. */
static uint64_t late_after_ms(int64_t bytes_each_look)
{
    int left_ms;

    while ((left_ms = write_watch_left_ms(&watch, &look)) > 0 && look.now_ms < 86400000) {
        look.now_ms += (unsigned)left_ms;
        look.taken += bytes_each_look;
    }
    return left_ms == 0 ? look.now_ms - BEGIN_MS : UINT64_MAX;
}

Test(write_watch, a_client_that_takes_nothing_is_late_after_the_time_out_and_not_later)
{
    static const unsigned limits_ms[] = {1, 7, 50, 2000, 60000, 2145600000u};

    for (unsigned i = 0; i < sizeof limits_ms / sizeof *limits_ms - 1; i++) {
        begin(limits_ms[i]);
        cr_assert_eq(late_after_ms(0), limits_ms[i]);
    }
}

Test(write_watch, is_looked_at_often_enough_to_see_when_a_step_was_made)
{
    begin(60000);
    cr_assert_eq(write_watch_left_ms(&watch, &look), (int)WRITE_WATCH_LOOK_MS);
    begin(400);
    cr_assert_leq(write_watch_left_ms(&watch, &look), 400 / 4);
}

/* It took a lot at once and then nothing: the time-out runs from there, not from the look at which it would have ended. */
Test(write_watch, the_time_out_begins_anew_with_each_step)
{
    begin(60000);
    look.now_ms += 1000;
    look.taken += WRITE_WATCH_BYTES;
    cr_assert_eq(late_after_ms(0), 61000);
}

Test(write_watch, a_byte_now_and_then_is_no_step)
{
    begin(60000);
    cr_assert_eq(late_after_ms(1), 60000);
    begin(10000);
    cr_assert_eq(late_after_ms(3000), 10000);
}

Test(write_watch, a_slow_reader_is_served_as_long_as_it_keeps_to_the_rate)
{
    begin(60000);
    cr_assert_eq(late_after_ms(3000), UINT64_MAX);
}

Test(write_watch, without_a_time_out_nobody_is_late)
{
    begin(0);
    cr_assert_eq(late_after_ms(0), UINT64_MAX);
}

Test(write_watch, a_wait_that_ended_is_forgotten)
{
    begin(60000);
    look.now_ms += 59999;
    cr_assert_eq(write_watch_left_ms(&watch, &look), 1);
    write_watch_end(&watch);
    cr_assert_eq(late_after_ms(0), 59999 + 60000);
}

/* Unix sockets count the system's own bytes too, so that what was taken may seem to go back. */
Test(write_watch, what_seems_to_go_back_is_no_step)
{
    begin(1000);
    look.taken -= 100000;
    cr_assert_eq(late_after_ms(0), 1000);
}

Test(write_watch, a_server_that_stops_waits_a_second)
{
    begin(60000);
    look.is_stopping = true;
    cr_assert_eq(late_after_ms(0), WRITE_WATCH_STOP_MS);
    begin(0);
    look.is_stopping = true;
    cr_assert_eq(late_after_ms(0), WRITE_WATCH_STOP_MS);
    begin(300);
    look.is_stopping = true;
    cr_assert_eq(late_after_ms(0), 300);
}

/* Whoever had paused for a while within the time-out gets the whole second. */
Test(write_watch, a_stop_begins_the_wait_anew)
{
    begin(60000);
    (void)write_watch_left_ms(&watch, &look);
    look.now_ms += 59000;
    cr_assert_gt(write_watch_left_ms(&watch, &look), 0);
    look.is_stopping = true;
    cr_assert_eq(late_after_ms(0), 59000 + WRITE_WATCH_STOP_MS);
}

Test(write_watch, a_server_that_stops_waits_for_a_slow_reader_no_longer_than_it_may)
{
    begin(60000);
    look.is_stopping = true;
    cr_assert_eq(late_after_ms(WRITE_WATCH_BYTES), WRITE_WATCH_STOP_ALL_MS);

    write_watch_end(&watch); /* another write, or lingering: the server's time goes on */
    cr_assert_eq(write_watch_left_ms(&watch, &look), 0);
}
