/* A history: what clients of a store wanted, what they were answered, and when,
 * transaction by transaction. Its checkers (history_order.h, and those of
 * tests/histories) say whether a strictly serializable store can have answered
 * so.
 *
 * Every written value is a number of its own; 0 stands for an absent key. A read
 * counts whatever became of its transaction: one that is rolled back, or dies,
 * must have seen a consistent state too. */
#ifndef HAUSKV_TESTS_HISTORY_H
#define HAUSKV_TESTS_HISTORY_H

#include "store/store.h"

#define HISTORY_KEYS_MAX 32u
#define HISTORY_STEPS_MAX 10u
#define HISTORY_RANGE HISTORY_KEYS_MAX /* as a conflict's key: a scanned range */
#define HISTORY_DAMAGED UINT64_MAX     /* as a value that was read: nobody wrote such bytes */
#define HISTORY_REASON_BYTES 1024u

enum history_step_kind {
    HISTORY_GET,
    HISTORY_PUT,
    HISTORY_DEL,
    HISTORY_COUNT
};

struct history_step {
    enum history_step_kind kind;
    unsigned key;
    uint64_t value; /* read or written; 0: absent. COUNT: how many keys */
};

struct history_transaction {
    uint64_t invoked_ns;  /* before the first line was sent */
    uint64_t returned_ns; /* after the last reply came, or the connection was seen to end */
    struct store_times times;
    bool has_times; /* the store said when it read and committed */
    enum isolation isolation;
    bool is_single; /* one step, committed with it */
    /* OK: committed. OUTCOME_UNKNOWN: COMMIT (or a single write) was sent, and no reply came. Any other: not applied;
     * ABORTED stands for one that was rolled back at will, or whose connection ended before. */
    enum status outcome;
    bool is_pending; /* OUTCOME_UNKNOWN, and it may still happen: nobody knows when it returned */
    unsigned conflict_key;
    unsigned client;
    unsigned step_count; /* steps that succeeded */
    struct history_step steps[HISTORY_STEPS_MAX];
};

struct history {
    struct history_transaction *transactions; /* in any order */
    size_t count;
    size_t capacity;
    unsigned key_count; /* keys are 0..key_count - 1, and absent before the first transaction */
    bool has_stamps;    /* see cycles.h */
    uint64_t seed;      /* of its clients; only told on */
};

enum history_verdict {
    HISTORY_ACCEPTED,
    HISTORY_REFUSED,
    HISTORY_UNDECIDED /* not for this checker, or its budget is used up */
};

/* "accepted", ... */
const char *history_verdict_name(enum history_verdict verdict);

struct history_opinion {
    char reason[HISTORY_REASON_BYTES]; /* unless accepted */
    uint64_t effort;                   /* what the checker counts: configurations, edges, reads */
};

/* A checker. Private memory, all of it given back. */
typedef enum history_verdict (*history_checker)(const struct history *history, struct history_opinion *opinion);

/* Writes the opinion's reason as printf(3) does; returns the verdict. */
enum history_verdict history_conclude(struct history_opinion *opinion, enum history_verdict verdict,
                                      const char *format, ...) __attribute__((format(printf, 3, 4)));

static inline bool history_step_writes(const struct history_step *step)
{
    return step->kind == HISTORY_PUT || step->kind == HISTORY_DEL;
}

bool history_transaction_writes(const struct history_transaction *transaction);

/* For messages: "SERIALIZABLE", "single", ... */
const char *history_level_name(const struct history_transaction *transaction);

/* Walks through the steps on a store that holds values[0..key_count - 1], and makes it what the writes leave. False: a
 * step read something else, *wrong_step (may be NULL) is the first; values are in between then. */
bool history_walk(const struct history *history, const struct history_transaction *transaction, uint64_t *values,
                  unsigned *wrong_step);

/* Orders transactions as qsort(3) wants: clients together, each in its order of time. */
int history_compare_clients(const void *left, const void *right);

/* When it had returned at the latest; UINT64_MAX: it may still happen. */
static inline uint64_t history_returned_ns(const struct history_transaction *transaction)
{
    return transaction->is_pending ? UINT64_MAX : transaction->returned_ns;
}

/* A copy of the transactions, in private memory; free its `transactions`. */
struct history history_copy(const struct history *history);

/* What can be said about unknown outcomes without searching: one that was seen has happened. One that nobody saw, of
 * PUTs alone and where nobody counts keys, may as well not have happened, and is made one that was not applied. Others
 * stay unknown. */
void history_settle(struct history *history);

#endif
