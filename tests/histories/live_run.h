/* Runs a plan: a server, rounds of clients, and the judgement of what they saw.
 * No Criterion: what is taken for granted and not had ends the process. */
#ifndef HAUSKV_TESTS_LIVE_RUN_H
#define HAUSKV_TESTS_LIVE_RUN_H

#include "histories/live_plan.h"

struct live_judgement {
    enum history_verdict verdict; /* the worst of all rounds */
    struct history_opinion opinion; /* that goes with it */
    uint64_t effort;
    double seconds;
};

struct live_report {
    bool was_run; /* false: the server does not offer a level of the plan */
    size_t transactions;
    size_t committed;
    size_t conflicts; /* deadlocks and timeouts of locks included */
    size_t rolled_back;
    size_t unknown; /* outcomes */
    unsigned kills;
    unsigned hang_ups;
    double seconds; /* of the clients */
    struct live_judgement judgements[CHECKER_COUNT];
};

/* Runs all rounds with a seed, on a server of its own, and prints the figures. Histories that are not accepted are kept
 * (checker_keep_failure), one of each checker at most; unless that is wanted, and then rounds end when every judge has
 * refused one. HAUSKV_TEST_STEPS of the environment is another length: transactions of all clients in a round. */
struct live_report live_run(const struct live_plan *plan, uint64_t seed, bool wants_refusal);

/* "" or what is wrong: a judge of the plan that did not accept, or, if that is wanted, that did not refuse. */
const char *live_report_complaint(const struct live_report *report, const struct live_plan *plan, bool wants_refusal);

#endif
