/* Unknown outcomes, found in the times that nobody was told: H7 of
 * history_order.h. */
#ifndef HAUSKV_TESTS_HISTORY_UNKNOWN_H
#define HAUSKV_TESTS_HISTORY_UNKNOWN_H

#include "support/history.h"

struct history_commit {
    uint64_t time;
    const struct history_transaction *transaction;
};

/* The transactions that have a commit time, ascending by it; the caller frees them. */
struct history_commit *history_commits(const struct history *history, const uint64_t *times, size_t *count);

/* Gives unknown outcomes that happened their commit times, in commits, which has those of the others. earliest and
 * latest are, per transaction, what was known of the clock when it was invoked and after it had returned. Undecided:
 * there is more than one way. */
enum history_verdict history_place_unknown(const struct history *history, const uint64_t *earliest,
                                           const uint64_t *latest, uint64_t *commits,
                                           struct history_opinion *opinion);

#endif
