/* Time. Monotonic time measures and limits; the date is only for people. All of
 * it may be called by any process, in signal handlers too. */
#ifndef HAUSKV_PLATFORM_CLOCK_H
#define HAUSKV_PLATFORM_CLOCK_H

#include <stdint.h>

/* A point of UTC, as a calendar has it. */
struct calendar_time {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
    unsigned hour, minute, second;
};

/* Milliseconds since the system's start, the same for every process. Cheap and
 * coarse: it moves with the kernel's tick, every 1 to 10 ms. */
uint64_t clock_monotonic_ms(void);

/* Nanoseconds since the system's start, as precise as the machine offers. */
uint64_t clock_monotonic_ns(void);

/* Milliseconds since 1970-01-01T00:00:00Z; may jump when the date is set. */
int64_t clock_date_ms(void);

/* The calendar's words for seconds since 1970-01-01T00:00:00Z, also before it.
 * Unlike gmtime_r(3) it takes no lock, so a signal handler may call it. */
struct calendar_time clock_calendar_time(int64_t date_s);

#endif
