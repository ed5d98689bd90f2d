/* What a worker counts. Its owner alone writes it, with a plain load and store,
 * so that counting costs no lock and no shared cache line; others read it at any
 * time and add it up. It may lie in shared memory; all zero is the beginning.
 *
 * Every transaction that was started ends as exactly one of committed,
 * rolled_back, conflicts or timed_out: started = open + their sum. */
#ifndef HAUSKV_SESSION_COUNTERS_H
#define HAUSKV_SESSION_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#include "platform/status.h"
#include "protocol/command.h"

typedef _Atomic uint64_t session_counter;

struct session_counters {
    session_counter commands[VERB_TOTAL]; /* lines with that verb, refused ones too */
    session_counter errors[STATUS_COUNT]; /* replies with that code */
    session_counter transactions_open;
    session_counter transactions_started; /* START and BEGIN, not single commands */
    session_counter transactions_committed;
    session_counter transactions_rolled_back; /* by the client, by an error, or with the connection */
    session_counter transactions_conflicts;
    session_counter transactions_timed_out;
};

/* Only for the owner. */
static inline void session_counter_add(session_counter *counter, uint64_t number)
{
    uint64_t before = atomic_load_explicit(counter, memory_order_relaxed);

    atomic_store_explicit(counter, before + number, memory_order_relaxed);
}

/* Adds what a worker counted to sum, which the caller owns. Any process. */
void session_counters_sum(struct session_counters *sum, const struct session_counters *counters);

#endif
