#include "histories/live_plan.h"

#define SERIALIZABLE {"SERIALIZABLE", ISOLATION_SERIALIZABLE, 4}
#define LOCKING {"LOCKING", ISOLATION_LOCKING, 4}
#define READ_COMMITTED {"READ COMMITTED", ISOLATION_READ_COMMITTED, 1}
#define SO_CALLED_SERIALIZABLE {"READ COMMITTED", ISOLATION_SERIALIZABLE, 1}

#define BY_ORDER {[CHECKER_ORDER] = true}
#define BY_SEARCH {[CHECKER_SEARCH] = true}
#define BY_CYCLES {[CHECKER_CYCLES] = true}

const struct live_plan live_plans[] = {
    {
        .name = "order",
        .client_count = 8,
        .transactions = 25000,
        .rounds = 1,
        .key_count = 12,
        .habit = LIVE_COUNT,
        .levels = {SERIALIZABLE, READ_COMMITTED},
        .kill_one_in = 400,
        .takes_turns = true,
        .has_times = true,
        .judges = BY_ORDER,
    },
    {
        .name = "order-locking",
        .client_count = 8,
        .transactions = 4000,
        .rounds = 1,
        .key_count = 12,
        .habit = LIVE_BLIND,
        .levels = {SERIALIZABLE, READ_COMMITTED, LOCKING},
        .kill_one_in = 400,
        .takes_turns = true,
        .has_times = true,
        .judges = BY_ORDER,
    },
    {
        .name = "search",
        .client_count = 8,
        .transactions = 250,
        .rounds = 12,
        .key_count = 6,
        .habit = LIVE_BLIND,
        .levels = {SERIALIZABLE},
        .kill_one_in = 60,
        .hang_up_one_in = 150,
        .judges = BY_SEARCH,
    },
    {
        .name = "search-locking",
        .client_count = 8,
        .transactions = 150,
        .rounds = 6,
        .key_count = 6,
        .habit = LIVE_BLIND,
        .levels = {SERIALIZABLE, LOCKING},
        .kill_one_in = 60,
        .hang_up_one_in = 150,
        .judges = BY_SEARCH,
    },
    {
        .name = "cycles-16",
        .client_count = 16,
        .transactions = 500,
        .rounds = 4,
        .key_count = 24,
        .habit = LIVE_STAMPS,
        .levels = {SERIALIZABLE},
        .kill_one_in = 60,
        .hang_up_one_in = 100,
        .judges = BY_CYCLES,
    },
    {
        .name = "cycles-32",
        .client_count = 32,
        .transactions = 300,
        .rounds = 2,
        .key_count = 32,
        .habit = LIVE_STAMPS,
        .levels = {SERIALIZABLE},
        .kill_one_in = 60,
        .hang_up_one_in = 100,
        .judges = BY_CYCLES,
    },
    {
        .name = "cycles-locking",
        .client_count = 16,
        .transactions = 200,
        .rounds = 3,
        .key_count = 24,
        .habit = LIVE_STAMPS,
        .levels = {SERIALIZABLE, LOCKING},
        .kill_one_in = 60,
        .hang_up_one_in = 100,
        .judges = BY_CYCLES,
    },
    /* Controls: refused if what is claimed is not so. */
    {
        .name = "control-order",
        .client_count = 8,
        .transactions = 300,
        .rounds = 20,
        .key_count = 6,
        .habit = LIVE_COUNT,
        .levels = {SO_CALLED_SERIALIZABLE},
        .has_times = true,
        .judges = BY_ORDER,
    },
    {
        .name = "control-search",
        .client_count = 8,
        .transactions = 150,
        .rounds = 20,
        .key_count = 6,
        .habit = LIVE_BLIND,
        .levels = {SO_CALLED_SERIALIZABLE},
        .judges = BY_SEARCH,
    },
    {
        .name = "control-cycles",
        .client_count = 16,
        .transactions = 150,
        .rounds = 20,
        .key_count = 12,
        .habit = LIVE_STAMPS,
        .levels = {SO_CALLED_SERIALIZABLE},
        .judges = BY_CYCLES,
    },
    {.name = NULL},
};

const struct live_plan *live_plan_find(const char *name)
{
    for (const struct live_plan *plan = live_plans; plan->name != NULL; plan++) {
        if (strcmp(plan->name, name) == 0)
            return plan;
    }
    return NULL;
}
