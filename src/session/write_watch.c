/* Steps of so many bytes in so much time. */
#include "session/write_watch.h"

#define LOOKS 8u /* within a short time-out: a step is seen with that precision */

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

static uint64_t left_of(uint64_t limit_ms, uint64_t since_ms, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - since_ms;

    return passed_ms >= limit_ms ? 0 : limit_ms - passed_ms;
}

void write_watch_end(struct write_watch *watch)
{
    watch->since_ms = 0;
}

static void note_progress(struct write_watch *watch, const struct write_look *look)
{
    if (watch->since_ms != 0 && look->taken - watch->taken < WRITE_WATCH_BYTES)
        return;
    watch->since_ms = look->now_ms;
    watch->taken = look->taken;
}

/* The shorter time-out begins with the stop: what was no pause too long before is none now. */
static void note_stop(struct write_watch *watch, const struct write_look *look)
{
    watch->stopped_ms = look->now_ms;
    watch->since_ms = look->now_ms;
    watch->taken = look->taken;
}

/* 0: none. */
static unsigned limit_of(const struct write_look *look)
{
    bool is_short = look->limit_ms != 0 && look->limit_ms <= WRITE_WATCH_STOP_MS;

    return look->is_stopping && !is_short ? WRITE_WATCH_STOP_MS : look->limit_ms;
}

int write_watch_left_ms(struct write_watch *watch, const struct write_look *look)
{
    unsigned limit_ms = limit_of(look);
    uint64_t left_ms = UINT64_MAX;
    uint64_t pause_ms = WRITE_WATCH_LOOK_MS;

    note_progress(watch, look);
    if (look->is_stopping && watch->stopped_ms == 0)
        note_stop(watch, look);
    if (limit_ms != 0) {
        left_ms = left_of(limit_ms, watch->since_ms, look->now_ms);
        pause_ms = smaller(pause_ms, limit_ms / LOOKS + 1);
    }
    if (look->is_stopping)
        left_ms = smaller(left_ms, left_of(WRITE_WATCH_STOP_ALL_MS, watch->stopped_ms, look->now_ms));
    return (int)smaller(left_ms, pause_ms);
}
