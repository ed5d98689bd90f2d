#include "support/history_unknown.h"

#include <inttypes.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

/* A transaction with an unknown outcome, and the times it can have committed at: (after, until]. */
struct stray {
    size_t index;
    uint64_t after;
    uint64_t until;
};

struct placement {
    const struct history *history;
    struct stray *strays; /* ascending by `after` */
    size_t stray_count;
    struct history_commit *commits; /* the known ones */
    size_t commit_count;
    struct history_commit *readers; /* what was read at known snapshots, ascending by these */
    size_t reader_count;
};

static int compare_commits(const void *left, const void *right)
{
    uint64_t a = ((const struct history_commit *)left)->time;
    uint64_t b = ((const struct history_commit *)right)->time;

    return a < b ? -1 : a > b;
}

struct history_commit *history_commits(const struct history *history, const uint64_t *times, size_t *count)
{
    struct history_commit *commits = malloc((history->count + 1) * sizeof(*commits));

    REQUIRE(commits != NULL);
    *count = 0;
    for (size_t i = 0; i < history->count; i++) {
        if (times[i] == 0)
            continue;
        commits[*count].time = times[i];
        commits[(*count)++].transaction = &history->transactions[i];
    }
    qsort(commits, *count, sizeof(*commits), compare_commits);
    return commits;
}

/* The first entry at or after a time. */
static size_t position(const struct history_commit *entries, size_t count, uint64_t time)
{
    size_t first = 0;
    size_t end = count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (entries[middle].time < time)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static bool writes_key(const struct history_transaction *transaction, unsigned key, uint64_t *value)
{
    bool is_written = false;

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (history_step_writes(step) && step->key == key) {
            is_written = true;
            *value = step->kind == HISTORY_PUT ? step->value : 0;
        }
    }
    return is_written;
}

/* Until when a write at `time` is sure to be seen: the next known commit of the key, or one that may be. */
static uint64_t seen_until(const struct placement *placement, const struct stray *stray, unsigned key, uint64_t time)
{
    uint64_t until = NEVER;
    uint64_t value = 0;

    for (size_t i = position(placement->commits, placement->commit_count, time); i < placement->commit_count; i++) {
        if (writes_key(placement->commits[i].transaction, key, &value)) {
            until = placement->commits[i].time;
            break;
        }
    }
    for (size_t i = 0; i < placement->stray_count && placement->strays[i].after < until; i++) {
        const struct stray *other = &placement->strays[i];

        if (other != stray && other->until > time &&
            writes_key(&placement->history->transactions[other->index], key, &value))
            until = other->after > time ? other->after : time;
    }
    return until;
}

/* Whether nobody who read the key in that time read anything else. */
static bool is_seen(const struct placement *placement, unsigned key, uint64_t value, uint64_t time, uint64_t until)
{
    for (size_t i = position(placement->readers, placement->reader_count, time);
         i < placement->reader_count && placement->readers[i].time < until; i++) {
        const struct history_transaction *reader = placement->readers[i].transaction;

        for (unsigned j = 0; j < reader->step_count; j++) {
            const struct history_step *step = &reader->steps[j];

            if (step->key != key || step->kind == HISTORY_COUNT)
                continue;
            if (history_step_writes(step))
                break;
            if (step->value != value)
                return false;
        }
    }
    return true;
}

static bool can_have_committed_at(const struct placement *placement, const struct stray *stray, uint64_t time)
{
    const struct history_transaction *transaction = &placement->history->transactions[stray->index];

    for (unsigned key = 0; key < placement->history->key_count; key++) {
        uint64_t value = 0;

        if (writes_key(transaction, key, &value) &&
            !is_seen(placement, key, value, time, seen_until(placement, stray, key, time)))
            return false;
    }
    return true;
}

/* Undecided if there are two times for it. */
static enum history_verdict place(const struct placement *placement, const struct stray *stray, uint64_t *commits,
                                  struct history_opinion *opinion)
{
    uint64_t last = placement->commit_count == 0 ? 0 : placement->commits[placement->commit_count - 1].time;
    uint64_t until = stray->until == NEVER ? last + 1 : stray->until;
    size_t next = position(placement->commits, placement->commit_count, stray->after + 1);

    for (uint64_t time = stray->after + 1; time <= until; time++) {
        if (next < placement->commit_count && placement->commits[next].time == time) {
            next++;
            continue;
        }
        if (!can_have_committed_at(placement, stray, time))
            continue;
        if (commits[stray->index] != 0)
            return history_conclude(opinion, HISTORY_UNDECIDED,
                                    "transaction %zu, whose outcome is unknown, can have committed at %" PRIu64
                                    " and at %" PRIu64, stray->index, commits[stray->index], time);
        commits[stray->index] = time;
    }
    return HISTORY_ACCEPTED;
}

static int compare_strays(const void *left, const void *right)
{
    uint64_t a = ((const struct stray *)left)->after;
    uint64_t b = ((const struct stray *)right)->after;

    return a < b ? -1 : a > b;
}

/* Read-only ones commit nothing. */
static void find_strays(struct placement *placement, const uint64_t *earliest, const uint64_t *latest)
{
    const struct history *history = placement->history;

    placement->strays = malloc((history->count + 1) * sizeof(*placement->strays));
    REQUIRE(placement->strays != NULL);
    for (size_t i = 0; i < history->count; i++) {
        struct stray stray = {i, earliest[i], latest[i]};

        if (history->transactions[i].outcome == STATUS_OUTCOME_UNKNOWN &&
            history_transaction_writes(&history->transactions[i]))
            placement->strays[placement->stray_count++] = stray;
    }
    qsort(placement->strays, placement->stray_count, sizeof(*placement->strays), compare_strays);
}

static void find_readers(struct placement *placement)
{
    const struct history *history = placement->history;

    placement->readers = malloc((history->count + 1) * sizeof(*placement->readers));
    REQUIRE(placement->readers != NULL);
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *transaction = &history->transactions[i];
        struct history_commit reader = {transaction->times.snapshot, transaction};
        bool is_single_read = transaction->is_single && !history_transaction_writes(transaction);

        if (transaction->has_times && transaction->step_count > 0 &&
            (transaction->is_single ? is_single_read : transaction->isolation == ISOLATION_SERIALIZABLE))
            placement->readers[placement->reader_count++] = reader;
    }
    qsort(placement->readers, placement->reader_count, sizeof(*placement->readers), compare_commits);
}

/* Two at one time: one of them was not there, and nobody can tell which. */
static enum history_verdict times_differ(const struct placement *placement, const uint64_t *commits,
                                         struct history_opinion *opinion)
{
    for (size_t i = 0; i < placement->stray_count; i++) {
        for (size_t j = i + 1; j < placement->stray_count; j++) {
            const struct stray *first = &placement->strays[i];
            const struct stray *second = &placement->strays[j];

            if (second->after >= first->until)
                break;
            if (commits[first->index] != 0 && commits[first->index] == commits[second->index])
                return history_conclude(opinion, HISTORY_UNDECIDED,
                                        "transactions %zu and %zu, whose outcomes are unknown, can both have committed "
                                        "at %" PRIu64, first->index, second->index, commits[first->index]);
        }
    }
    return HISTORY_ACCEPTED;
}

enum history_verdict history_place_unknown(const struct history *history, const uint64_t *earliest,
                                           const uint64_t *latest, uint64_t *commits,
                                           struct history_opinion *opinion)
{
    struct placement placement = {.history = history};
    enum history_verdict verdict = HISTORY_ACCEPTED;

    find_strays(&placement, earliest, latest);
    if (placement.stray_count > 0) {
        placement.commits = history_commits(history, commits, &placement.commit_count);
        find_readers(&placement);
        for (size_t i = 0; i < placement.stray_count && verdict == HISTORY_ACCEPTED; i++)
            verdict = place(&placement, &placement.strays[i], commits, opinion);
        if (verdict == HISTORY_ACCEPTED)
            verdict = times_differ(&placement, commits, opinion);
    }
    free(placement.strays);
    free(placement.commits);
    free(placement.readers);
    return verdict;
}
