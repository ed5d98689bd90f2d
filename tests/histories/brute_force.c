#include "histories/brute_force.h"

/* What is in the order so far is in `done`, a bit for each transaction. */
struct attempt {
    const struct history *history;
    unsigned done;
    uint64_t orders;
};

static bool extend(struct attempt *attempt, const uint64_t *values);

static bool may_come_next(const struct attempt *attempt, size_t index)
{
    const struct history_transaction *transactions = attempt->history->transactions;

    for (size_t i = 0; i < attempt->history->count; i++) {
        if ((attempt->done >> i & 1) == 0 &&
            history_returned_ns(&transactions[i]) < transactions[index].invoked_ns)
            return false;
    }
    return true;
}

static bool extend_by(struct attempt *attempt, size_t index, bool is_applied, const uint64_t *values)
{
    uint64_t after[HISTORY_KEYS_MAX];
    bool is_found;

    memcpy(after, values, sizeof(after));
    if (!history_walk(attempt->history, &attempt->history->transactions[index], after, NULL))
        return false;
    attempt->done |= 1u << index;
    is_found = extend(attempt, is_applied ? after : values);
    attempt->done &= ~(1u << index);
    return is_found;
}

static bool extend(struct attempt *attempt, const uint64_t *values)
{
    if (attempt->done == (1u << attempt->history->count) - 1)
        return true;
    for (size_t i = 0; i < attempt->history->count; i++) {
        enum status outcome = attempt->history->transactions[i].outcome;

        if ((attempt->done >> i & 1) != 0 || !may_come_next(attempt, i))
            continue;
        attempt->orders++;
        if ((outcome == STATUS_OK || outcome == STATUS_OUTCOME_UNKNOWN) && extend_by(attempt, i, true, values))
            return true;
        if (outcome != STATUS_OK && extend_by(attempt, i, false, values))
            return true;
    }
    return false;
}

enum history_verdict history_brute_force(const struct history *history, struct history_opinion *opinion)
{
    const uint64_t nothing[HISTORY_KEYS_MAX] = {0};
    struct attempt attempt = {.history = history};
    bool is_found;

    if (history->count > BRUTE_FORCE_TRANSACTIONS_MAX)
        return history_conclude(opinion, HISTORY_UNDECIDED, "%zu transactions are too many", history->count);
    is_found = extend(&attempt, nothing);
    opinion->effort = attempt.orders;
    if (!is_found)
        return history_conclude(opinion, HISTORY_REFUSED, "none of the orders explains what was read");
    opinion->reason[0] = '\0';
    return HISTORY_ACCEPTED;
}
