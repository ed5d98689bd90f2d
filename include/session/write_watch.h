/* Whether a client takes what waits for it quickly enough: --write-timeout.
 *
 * A client is late when it has taken less than WRITE_WATCH_BYTES of what waits for
 * it since the time-out began to run; with so many bytes it begins to run again.
 * (When all is taken nobody waits any more.) So a client that reads slowly is served
 * as long as it keeps to that rate, 0.5 kB/s with the default of 60 s, and what waits
 * for one that reads just fast enough is gone in a bounded time. A byte now and then
 * is not enough to keep memory and a worker for ever.
 *
 * A server that stops waits no longer than WRITE_WATCH_STOP_MS for each such step,
 * and in all WRITE_WATCH_STOP_ALL_MS.
 *
 * It knows no socket and no clock: all that it needs it is told. One process. */
#ifndef HAUSKV_SESSION_WRITE_WATCH_H
#define HAUSKV_SESSION_WRITE_WATCH_H

#include <stdbool.h>
#include <stdint.h>

/* Below what the loopback acknowledges at once, a segment of 65,483 bytes: each of those is a step. */
#define WRITE_WATCH_BYTES ((int64_t)32 << 10)

/* Below the time after which the master kills a worker that does not stop. */
#define WRITE_WATCH_STOP_MS 1000u
#define WRITE_WATCH_STOP_ALL_MS 5000u

/* So often the client is looked at, at least. */
#define WRITE_WATCH_LOOK_MS 1000u

struct write_watch {
    uint64_t since_ms;   /* from here on the time-out runs; 0: nobody waits */
    int64_t taken;       /* how much had been taken then */
    uint64_t stopped_ms; /* when the server's stop was first seen; 0: not yet */
};

/* What the watch is told. */
struct write_look {
    uint64_t now_ms;
    int64_t taken;     /* bytes that the client has taken so far, from any fixed point on */
    unsigned limit_ms; /* 0: for ever */
    bool is_stopping;  /* the server */
};

/* Nobody waits any more; another wait begins with the next look. */
void write_watch_end(struct write_watch *watch);

/* How long to wait until the next look, in milliseconds; 0: the client is late. */
int write_watch_left_ms(struct write_watch *watch, const struct write_look *look);

#endif
