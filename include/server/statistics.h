/* What STATS answers, put together by the worker that is asked, from the store,
 * the scoreboard and the counters that every worker keeps in its place in the
 * store. Asking costs; counting costs no lock and no shared cache line. */
#ifndef HAUSKV_SERVER_STATISTICS_H
#define HAUSKV_SERVER_STATISTICS_H

#include <stdatomic.h>
#include <stdint.h>

#include "protocol/json_writer.h"
#include "server/inheritance.h"
#include "session/counters.h"

/* A worker's counters in its place in the store, which may outlive it: the place
 * goes to another worker later, the totals stay. */
struct worker_counters {
    _Atomic uint64_t birth;  /* of its present or last worker (scoreboard.h) */
    _Atomic uint64_t number; /* the line of that worker */
    struct session_counters session;
};

/* The counters of a session's place, now the caller's. What its dead predecessor left open counts as rolled back. */
struct worker_counters *worker_counters_take(struct store_session *session, unsigned number, uint64_t birth);

/* The sum over all workers, living and dead; of the dead, nothing is open any more. Any process. */
void worker_counters_sum(const struct inheritance *inheritance, struct session_counters *sum);

/* Writes the object; context is the inheritance. Any process. */
void statistics_write(void *context, struct json_writer *writer);

#endif
