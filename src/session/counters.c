/* Sums. */
#include "session/counters.h"

static void add(session_counter *sum, const session_counter *counter)
{
    session_counter_add(sum, atomic_load_explicit(counter, memory_order_relaxed));
}

void session_counters_sum(struct session_counters *sum, const struct session_counters *counters)
{
    for (unsigned i = 0; i < VERB_TOTAL; i++)
        add(&sum->commands[i], &counters->commands[i]);
    for (unsigned i = 0; i < STATUS_COUNT; i++)
        add(&sum->errors[i], &counters->errors[i]);
    add(&sum->transactions_open, &counters->transactions_open);
    add(&sum->transactions_started, &counters->transactions_started);
    add(&sum->transactions_committed, &counters->transactions_committed);
    add(&sum->transactions_rolled_back, &counters->transactions_rolled_back);
    add(&sum->transactions_conflicts, &counters->transactions_conflicts);
    add(&sum->transactions_timed_out, &counters->transactions_timed_out);
}
