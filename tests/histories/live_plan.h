/* What random clients do to a live server, and who judges what they saw. */
#ifndef HAUSKV_TESTS_LIVE_PLAN_H
#define HAUSKV_TESTS_LIVE_PLAN_H

#include "histories/checkers.h"

/* What transactions look like. */
enum live_habit {
    LIVE_BLIND, /* reads and writes of any keys in any order, deletions, single commands, read-only ones */
    LIVE_COUNT, /* the same, and keys are counted */
    LIVE_STAMPS /* for cycles.h: pairs of a key and its stamp are read, then some of those written */
};

/* How often a transaction asks for an isolation level, and as what it is written down: a control claims more. */
struct live_level {
    const char *option; /* NULL: the end of the list */
    enum isolation claimed;
    unsigned weight;
};

#define LIVE_LEVELS_MAX 4u

struct live_plan {
    const char *name;
    unsigned client_count;
    unsigned transactions; /* of each client, in one history */
    unsigned rounds;       /* so many histories, one after the other, on keys of their own */
    unsigned key_count;
    enum live_habit habit;
    struct live_level levels[LIVE_LEVELS_MAX];
    unsigned kill_one_in;    /* of so many transactions, one whose worker is killed meanwhile; 0: none */
    unsigned hang_up_one_in; /* and one whose client leaves behind COMMIT; 0: none */
    bool takes_turns;        /* no two outcomes are unknown at once: see H7 of history_order.h */
    bool has_times;          /* a server that answers times */
    bool judges[CHECKER_COUNT];
};

/* All plans; the last has no name. */
extern const struct live_plan live_plans[];

/* NULL: there is none of that name. */
const struct live_plan *live_plan_find(const char *name);

#endif
