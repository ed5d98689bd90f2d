/* The system's clocks, and the calendar. */
#include "platform/clock.h"

#include <time.h>

#include "platform/contract.h"

#define SECONDS_PER_DAY INT64_C(86400)
#define DAYS_PER_ERA INT64_C(146097) /* 400 years, after which the calendar repeats */
#define DAYS_BEFORE_1970 INT64_C(719468) /* since 0000-03-01 */

static struct timespec read_clock(clockid_t clock);

uint64_t clock_monotonic_ms(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC_COARSE);

    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t clock_monotonic_ns(void)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);

    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

int64_t clock_date_ms(void)
{
    struct timespec now = read_clock(CLOCK_REALTIME);

    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Years are counted from the first of March, so that the leap day is the last
 * of a year and months follow one formula (Hinnant, "chrono-compatible
 * low-level date algorithms", civil_from_days). */
struct calendar_time clock_calendar_time(int64_t date_s)
{
    int64_t second_of_day = ((date_s % SECONDS_PER_DAY) + SECONDS_PER_DAY) % SECONDS_PER_DAY;
    int64_t days = (date_s - second_of_day) / SECONDS_PER_DAY + DAYS_BEFORE_1970;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    int64_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;

    return (struct calendar_time){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = (unsigned)month,
        .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
        .hour = (unsigned)(second_of_day / 3600),
        .minute = (unsigned)(second_of_day / 60 % 60),
        .second = (unsigned)(second_of_day % 60),
    };
}

static struct timespec read_clock(clockid_t clock)
{
    struct timespec now;
    int error = clock_gettime(clock, &now);

    INVARIANT(error == 0);
    return now;
}
