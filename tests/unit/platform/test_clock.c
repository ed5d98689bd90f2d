#include <criterion/criterion.h>
#include <time.h>

#include "platform/clock.h"

static void assert_same_as_the_library(int64_t date_s)
{
    struct calendar_time ours = clock_calendar_time(date_s);
    time_t date = (time_t)date_s;
    struct tm theirs;

    cr_assert_not_null(gmtime_r(&date, &theirs));
    cr_assert_eq(ours.year, theirs.tm_year + 1900, "%ld", (long)date_s);
    cr_assert_eq((int)ours.month, theirs.tm_mon + 1, "%ld", (long)date_s);
    cr_assert_eq((int)ours.day, theirs.tm_mday, "%ld", (long)date_s);
    cr_assert_eq((int)ours.hour, theirs.tm_hour, "%ld", (long)date_s);
    cr_assert_eq((int)ours.minute, theirs.tm_min, "%ld", (long)date_s);
    cr_assert_eq((int)ours.second, theirs.tm_sec, "%ld", (long)date_s);
}

Test(clock, monotonic_time_never_goes_back)
{
    uint64_t previous_ns = clock_monotonic_ns();

    for (int i = 0; i < 100000; i++) {
        uint64_t now_ns = clock_monotonic_ns();

        cr_assert_geq(now_ns, previous_ns);
        previous_ns = now_ns;
    }
}

Test(clock, coarse_time_is_never_ahead_of_the_precise_one)
{
    for (int i = 0; i < 100000; i++) {
        uint64_t coarse_ms = clock_monotonic_ms();

        cr_assert_leq(coarse_ms * 1000000, clock_monotonic_ns());
    }
}

Test(clock, date_is_of_this_century)
{
    struct calendar_time now = clock_calendar_time(clock_date_ms() / 1000);

    cr_assert_geq(now.year, 2020);
    cr_assert_lt(now.year, 2200);
}

Test(clock, calendar_agrees_with_the_library_on_every_day_of_eight_centuries)
{
    const int64_t day_s = 86400;
    const int64_t days = INT64_C(400) * 365;

    for (int64_t day = -days; day <= days; day++) {
        assert_same_as_the_library(day * day_s);
        assert_same_as_the_library(day * day_s + day_s - 1);
    }
}
