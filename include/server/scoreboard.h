/* What the server's processes know of one another, in anonymous shared memory
 * that is made by the master and inherited by fork. It is not the data: it holds
 * no lock, and a process that dies between any two instructions leaves at most
 * what the master clears when it reaps that process.
 *
 *     lines   one cache line per worker: who it is, what it has accepted
 *     counts  per line: what its workers count for STATS, since the server's start
 *     spare   one bit per worker: it waits for a connection, or will soon
 *     seats   one word per client that may be served at a time: the worker
 *             (its number + 1) that serves one, else 0
 *
 * A connection is open while its worker has a seat. A counter would be wrong for
 * ever if a worker were killed next to its increment; a seat names its holder,
 * so it is given back by whoever finds the holder dead. The same holds for the
 * bits: setting one twice does no harm.
 *
 * Who writes: of a line, the master birth and pid, its worker the rest; of the
 * counts, bits and seats, the worker its own, and the master those of the dead. */
#ifndef HAUSKV_SERVER_SCOREBOARD_H
#define HAUSKV_SERVER_SCOREBOARD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "session/counters.h"

#define CACHE_LINE_BYTES 64u

/* Control connections (control.h) that are served at a time, besides those of clients. */
#define SCOREBOARD_CONTROLS_MAX 4u

struct scoreboard_line {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t birth; /* different for every process ever forked; 0: nobody's line */
    _Atomic int32_t pid;                               /* for people */
    _Atomic uint32_t is_up;                            /* it has come as far as waiting for a connection */
    /* Totals of the line, whose workers change. */
    _Atomic uint64_t accepted; /* connections that were served, or are */
    _Atomic uint64_t refused;
    _Atomic uint64_t finished; /* connections that were served to their end */
    _Atomic uint64_t progress; /* see progress.h */
};

/* Lines change hands, the totals stay. */
struct scoreboard_counts {
    _Alignas(CACHE_LINE_BYTES) struct session_counters session;
};

/* Alone in the memory's first lines. */
struct scoreboard_common {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t last_transaction_id;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t last_connection; /* the number of the last one that was accepted */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t heartbeat;       /* the housekeeper's progress (progress.h), in each round too */
    _Atomic uint64_t no_place_said_ms; /* when a worker last complained that the store has none (clock_monotonic_ms) */
    _Atomic uint32_t segment_names; /* an enum segment_names_state: the master's last look */
    _Atomic int32_t kill_wish; /* a worker that was stopped, whom the housekeeper wants the master to kill; 0: none */
    _Atomic uint64_t spin_wish; /* one that spins (spinning.h); 0: none */
    /* Like the seats below, for control connections. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t control_seats[SCOREBOARD_CONTROLS_MAX];
};

/* A process's private handle; inherited by fork. */
struct scoreboard {
    unsigned worker_max; /* workers are numbered from 0 */
    unsigned client_max;
    size_t bytes;
    struct scoreboard_common *common;
    struct scoreboard_line *lines; /* [worker_max] */
    struct scoreboard_counts *counts; /* [worker_max] */
    _Atomic uint64_t *spare;       /* a bit per worker */
    _Atomic uint32_t *seats;       /* [client_max] */
};

struct scoreboard_sums {
    unsigned workers; /* that exist */
    unsigned spare;
    unsigned open; /* connections */
    uint64_t accepted;
    uint64_t refused;
    uint64_t finished;
};

/* 0 or the number of the error. The master. */
int scoreboard_create(struct scoreboard *scoreboard, unsigned worker_max, unsigned client_max);
void scoreboard_destroy(struct scoreboard *scoreboard);

/* The line is about to get a worker, which counts as spare from now on. The master, before it forks. */
void scoreboard_enroll(const struct scoreboard *scoreboard, unsigned number, uint64_t birth);

/* The line's worker is dead, or was never born: its seat, its bit and its line are free, and what it had open counts as
 * rolled back. The master. */
void scoreboard_discharge(const struct scoreboard *scoreboard, unsigned number);

/* The worker waits for a connection (again); or does not any more. Returns how many are spare now: of several that come
 * or go at once, the last one sees all of it. */
unsigned scoreboard_spare_join(const struct scoreboard *scoreboard, unsigned number);
unsigned scoreboard_spare_leave(const struct scoreboard *scoreboard, unsigned number);
bool scoreboard_is_spare(const struct scoreboard *scoreboard, unsigned number);
unsigned scoreboard_spare_count(const struct scoreboard *scoreboard);

/* The first worker from this number on that is spare; worker_max: none is. Any number. */
unsigned scoreboard_spare_next(const struct scoreboard *scoreboard, unsigned number);

/* Takes a seat for a connection of this worker, which has none. False: all are taken. */
bool scoreboard_seat_take(const struct scoreboard *scoreboard, unsigned number, unsigned *seat);
void scoreboard_seat_leave(const struct scoreboard *scoreboard, unsigned seat);

/* The same for a control connection, which is none of a client and counts nowhere. */
bool scoreboard_control_take(const struct scoreboard *scoreboard, unsigned number, unsigned *seat);
void scoreboard_control_leave(const struct scoreboard *scoreboard, unsigned seat);

/* What the worker with that pid has shown of its progress, changed by each of its commands too; 0: there is none of that pid.
 * The lowest byte is as in progress.h. */
uint64_t scoreboard_progress(const struct scoreboard *scoreboard, pid_t pid);

/* Looks at every line and seat. Any process; exact when nobody else is changing them. */
void scoreboard_sum(const struct scoreboard *scoreboard, struct scoreboard_sums *sums);

#endif
