#include "support/history_order.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/history_timeline.h"
#include "support/history_unknown.h"

#define NEVER TIMELINE_NEVER

struct check {
    const struct history *history;
    uint64_t *commits; /* per transaction: when it committed; 0: it did not, or changed nothing */
    struct timeline keys[HISTORY_KEYS_MAX];
    struct timeline sizes;      /* how many keys there were */
    struct timeline membership; /* an entry per insert or delete */
    uint64_t *earliest;         /* per transaction: what had been seen of the clock before it was invoked */
    uint64_t *latest;           /* per transaction: what was seen of it first afterwards */
    struct history_figures *figures;
    struct history_opinion *opinion;
    enum history_verdict verdict;
};

/* What a transaction's own writes make of a key while its steps are walked. */
struct overlay {
    bool is_written[HISTORY_KEYS_MAX];
    uint64_t values[HISTORY_KEYS_MAX];
};

static bool fail(struct check *check, const struct history_transaction *transaction, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct check *check, const struct history_transaction *transaction, const char *format, ...)
{
    char *reason = check->opinion->reason;
    va_list arguments;
    int used;

    used = snprintf(reason, HISTORY_REASON_BYTES,
                    "transaction %zu (client %u, %s, %s, snapshot %" PRIu64 ", commit %" PRIu64 "): ",
                    (size_t)(transaction - check->history->transactions), transaction->client,
                    history_level_name(transaction), status_code(transaction->outcome), transaction->times.snapshot,
                    transaction->times.commit);
    va_start(arguments, format);
    vsnprintf(reason + used, HISTORY_REASON_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    check->verdict = HISTORY_REFUSED;
    return false;
}

/* --- transactions --- */

static size_t index_of(const struct check *check, const struct history_transaction *transaction)
{
    return (size_t)(transaction - check->history->transactions);
}

static void overlay_write(struct overlay *overlay, const struct history_step *step)
{
    overlay->is_written[step->key] = true;
    overlay->values[step->key] = step->kind == HISTORY_PUT ? step->value : 0;
}

/* What its writes come to. */
static struct overlay overlay_of(const struct history_transaction *transaction)
{
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        if (history_step_writes(&transaction->steps[i]))
            overlay_write(&overlay, &transaction->steps[i]);
    }
    return overlay;
}

static uint64_t commit_time(const struct check *check, const struct history_transaction *transaction)
{
    return check->commits[index_of(check, transaction)];
}

/* An unknown outcome has a commit time if it happened (H7). */
static bool committed(const struct check *check, const struct history_transaction *transaction)
{
    if (transaction->outcome == STATUS_OUTCOME_UNKNOWN)
        return commit_time(check, transaction) != 0;
    return transaction->outcome == STATUS_OK;
}

static bool is_at_level(const struct history_transaction *transaction, enum isolation isolation)
{
    return !transaction->is_single && transaction->isolation == isolation;
}

/* Its reads belong to a snapshot that the store told. Single writes have none, nor a step if refused. */
static bool has_snapshot(const struct history_transaction *transaction)
{
    if (!transaction->has_times)
        return false;
    if (transaction->is_single)
        return transaction->step_count > 0 && !history_transaction_writes(transaction);
    return transaction->isolation == ISOLATION_SERIALIZABLE;
}

/* The time after which it stands in the serial order, as far as it is known; 0. */
static uint64_t known_time(const struct check *check, const struct history_transaction *transaction)
{
    uint64_t commit = commit_time(check, transaction);

    if (commit != 0)
        return commit;
    return has_snapshot(transaction) ? transaction->times.snapshot : 0;
}

/* What the clock was at most when it was invoked; NEVER: it does not say. */
static uint64_t clock_when_invoked(const struct check *check, const struct history_transaction *transaction)
{
    uint64_t commit = commit_time(check, transaction);

    if (has_snapshot(transaction))
        return transaction->times.snapshot;
    return commit != 0 ? commit - 1 : NEVER;
}

/* What a step must have read, the store being as of `time`. */
static uint64_t expected_read(const struct check *check, const struct overlay *overlay,
                              const struct history_step *step, uint64_t time)
{
    uint64_t present = timeline_at(&check->sizes, time);

    if (step->kind == HISTORY_GET)
        return overlay->is_written[step->key] ? overlay->values[step->key] : timeline_at(&check->keys[step->key], time);
    for (unsigned key = 0; key < check->history->key_count; key++) {
        if (overlay->is_written[key]) {
            present -= timeline_at(&check->keys[key], time) != 0;
            present += overlay->values[key] != 0;
        }
    }
    return present;
}

/* All reads of a transaction, the store being as of `time`. */
static bool reads_are_of(struct check *check, const struct history_transaction *transaction, uint64_t time,
                         const char *what)
{
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (history_step_writes(step)) {
            overlay_write(&overlay, step);
            continue;
        }
        if (step->value != expected_read(check, &overlay, step, time))
            return fail(check, transaction, "step %u reads %" PRIu64 " of key %u, but %s at %" PRIu64 " has %" PRIu64,
                        i, step->value, step->key, what, time, expected_read(check, &overlay, step, time));
    }
    return true;
}

/* --- H1, H2: the commits in their order --- */

static bool commit_time_is_plausible(struct check *check, const struct history_transaction *transaction)
{
    uint64_t commit = commit_time(check, transaction);
    struct overlay overlay;

    if (!committed(check, transaction) || !history_transaction_writes(transaction)) {
        if (commit != 0)
            return fail(check, transaction, "has a commit time, but committed no write");
        return true;
    }
    if (commit != 0 && has_snapshot(transaction) && commit <= transaction->times.snapshot)
        return fail(check, transaction, "committed before its snapshot");
    overlay = overlay_of(transaction);
    for (unsigned key = 0; key < check->history->key_count; key++) {
        if (commit == 0 && overlay.values[key] != 0)
            return fail(check, transaction, "wrote key %u, but has no commit time", key);
    }
    return true;
}

static void apply(struct check *check, const struct history_transaction *transaction)
{
    uint64_t time = commit_time(check, transaction);
    uint64_t present = timeline_at(&check->sizes, time);
    struct overlay overlay = overlay_of(transaction);
    bool membership_changes = false;

    for (unsigned key = 0; key < check->history->key_count; key++) {
        bool is_present = overlay.values[key] != 0;
        bool was_present;

        if (!overlay.is_written[key])
            continue;
        was_present = timeline_at(&check->keys[key], time) != 0;
        if (!was_present && !is_present)
            continue;
        timeline_add(&check->keys[key], time, overlay.values[key]);
        membership_changes = membership_changes || was_present != is_present;
        present = present - was_present + is_present;
    }
    if (membership_changes) {
        timeline_add(&check->sizes, time, present);
        timeline_add(&check->membership, time, 1);
    }
}

/* Whether what it read must still be so when it commits. */
static bool reads_hold_until_commit(const struct history_transaction *transaction)
{
    return !transaction->is_single && transaction->isolation != ISOLATION_READ_COMMITTED;
}

static bool replay(struct check *check, const struct history_commit *commits, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct history_transaction *transaction = commits[i].transaction;
        uint64_t time = commits[i].time;

        if (i > 0 && commits[i - 1].time == time)
            return fail(check, transaction, "another one has the same commit time");
        if (reads_hold_until_commit(transaction) &&
            !reads_are_of(check, transaction, time - 1, "the state before its commit"))
            return false;
        if (has_snapshot(transaction) && i > 0 && commits[i - 1].time > transaction->times.snapshot)
            check->figures->overlapping++;
        apply(check, transaction);
    }
    return true;
}

static bool check_commits(struct check *check)
{
    const struct history *history = check->history;
    bool is_plausible = true;
    struct history_commit *commits;
    size_t count;

    for (size_t i = 0; i < history->count && is_plausible; i++)
        is_plausible = commit_time_is_plausible(check, &history->transactions[i]);
    if (!is_plausible)
        return false;
    commits = history_commits(history, check->commits, &count);
    is_plausible = replay(check, commits, count);
    free(commits);
    return is_plausible;
}

/* --- H3 --- */

static bool check_snapshots(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];

        if (has_snapshot(transaction) &&
            !reads_are_of(check, transaction, transaction->times.snapshot, "its snapshot"))
            return false;
    }
    return true;
}

/* --- H4: real time --- */

struct moment {
    uint64_t time_ns;
    bool is_return;
    size_t transaction;
};

/* At the same nanosecond invocations come first: nothing is claimed then. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left;
    const struct moment *b = right;

    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    return (int)a->is_return - (int)b->is_return;
}

static struct moment *moments_of(const struct history *history)
{
    struct moment *moments = malloc((2 * history->count + 1) * sizeof(*moments));

    REQUIRE(moments != NULL);
    for (size_t i = 0; i < history->count; i++) {
        struct moment invoked = {history->transactions[i].invoked_ns, false, i};
        struct moment returned = {history_returned_ns(&history->transactions[i]), true, i};

        moments[2 * i] = invoked;
        moments[2 * i + 1] = returned;
    }
    qsort(moments, 2 * history->count, sizeof(*moments), compare_moments);
    return moments;
}

/* Fills earliest on the way forward and latest on the way back. */
static void find_bounds(struct check *check, const struct moment *moments)
{
    const struct history *history = check->history;
    uint64_t seen = 0;

    for (size_t i = 0; i < 2 * history->count; i++) {
        uint64_t time = known_time(check, &history->transactions[moments[i].transaction]);

        if (!moments[i].is_return)
            check->earliest[moments[i].transaction] = seen;
        else if (time > seen)
            seen = time;
    }
    seen = NEVER;
    for (size_t i = 2 * history->count; i > 0; i--) {
        uint64_t clock = clock_when_invoked(check, &history->transactions[moments[i - 1].transaction]);

        if (moments[i - 1].is_return)
            check->latest[moments[i - 1].transaction] = seen;
        else if (clock < seen)
            seen = clock;
    }
}

static bool check_real_time(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];

        if (transaction->invoked_ns > transaction->returned_ns)
            return fail(check, transaction, "returned before it was invoked");
        if (has_snapshot(transaction) && transaction->times.snapshot < check->earliest[i])
            return fail(check, transaction, "its snapshot misses what had returned at %" PRIu64
                        " before it was invoked", check->earliest[i]);
        if (check->commits[i] != 0 && check->commits[i] <= check->earliest[i])
            return fail(check, transaction, "its commit is not after what had returned at %" PRIu64
                        " before it was invoked", check->earliest[i]);
    }
    return true;
}

/* --- H5: what has no time of its own --- */

/* The first time not before `time` at which a step may have read what it did. */
static uint64_t next_for_step(const struct check *check, const struct overlay *overlay,
                              const struct history_step *step, uint64_t time, uint64_t until)
{
    if (step->kind == HISTORY_GET && !overlay->is_written[step->key])
        return timeline_next(&check->keys[step->key], time, step->value);
    while (time <= until && expected_read(check, overlay, step, time) != step->value)
        time++;
    return time;
}

/* Nothing changes after the last commit, so there is no need to look further. */
static uint64_t last_time(const struct check *check, size_t index)
{
    uint64_t last = 0;

    if (check->latest[index] != NEVER)
        return check->latest[index];
    for (unsigned key = 0; key < check->history->key_count; key++) {
        const struct timeline *timeline = &check->keys[key];

        if (timeline->count > 0 && timeline->entries[timeline->count - 1].time > last)
            last = timeline->entries[timeline->count - 1].time;
    }
    return last > check->earliest[index] ? last : check->earliest[index];
}

static bool check_read_committed(struct check *check, const struct history_transaction *transaction, size_t index)
{
    uint64_t commit = check->commits[index];
    uint64_t until = commit != 0 && commit - 1 < check->latest[index] ? commit - 1 : last_time(check, index);
    uint64_t time = check->earliest[index];
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (history_step_writes(step)) {
            overlay_write(&overlay, step);
            continue;
        }
        time = next_for_step(check, &overlay, step, time, until);
        if (time > until)
            return fail(check, transaction, "step %u reads %" PRIu64 " of key %u, which it was at no time %" PRIu64
                        " to %" PRIu64, i, step->value, step->key, check->earliest[index], until);
    }
    return true;
}

/* Whether all reads are of one time, at which a commit that changed nothing found nothing to change. */
static bool fits_at(const struct check *check, const struct history_transaction *transaction, uint64_t time)
{
    bool changes_nothing = transaction->outcome == STATUS_OK;
    bool has_reads = transaction->is_single || transaction->isolation != ISOLATION_READ_COMMITTED;
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];
        bool deletes = step->kind == HISTORY_DEL && changes_nothing;

        if (deletes && timeline_at(&check->keys[step->key], time) != 0)
            return false;
        if (history_step_writes(step))
            overlay_write(&overlay, step);
        else if (has_reads && expected_read(check, &overlay, step, time) != step->value)
            return false;
    }
    return true;
}

static bool check_at_one_time(struct check *check, const struct history_transaction *transaction, size_t index)
{
    uint64_t time = check->earliest[index];
    uint64_t until = last_time(check, index);

    if (has_snapshot(transaction) && transaction->times.snapshot > time)
        time = transaction->times.snapshot;
    for (; time <= until; time++) {
        if (fits_at(check, transaction, time))
            return true;
    }
    return fail(check, transaction, "read what there was at no one time %" PRIu64 " to %" PRIu64
                ", or found nothing to delete where there was something", check->earliest[index], until);
}

static bool check_placeable(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];
        bool is_read_committed = is_at_level(transaction, ISOLATION_READ_COMMITTED);
        bool changes_nothing = committed(check, transaction) && history_transaction_writes(transaction);

        if (is_read_committed && !check_read_committed(check, transaction, i))
            return false;
        if (check->commits[i] != 0)
            continue;
        if ((changes_nothing || (!is_read_committed && !has_snapshot(transaction))) &&
            !check_at_one_time(check, transaction, i))
            return false;
    }
    return true;
}

/* --- H6 --- */

/* The step that read from the store what the conflict names; NULL. */
static const struct history_step *conflicting_read(const struct history_transaction *transaction)
{
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (history_step_writes(step))
            overlay_write(&overlay, step);
        else if (step->kind == HISTORY_COUNT && transaction->conflict_key == HISTORY_RANGE)
            return step;
        else if (step->kind == HISTORY_GET && step->key == transaction->conflict_key && !overlay.is_written[step->key])
            return step;
    }
    return NULL;
}

static bool check_conflict(struct check *check, const struct history_transaction *transaction, size_t index)
{
    const struct history_step *read = conflicting_read(transaction);
    const struct timeline *timeline;

    if (!is_at_level(transaction, ISOLATION_SERIALIZABLE))
        return fail(check, transaction, "a conflict where there can be none");
    if (!history_transaction_writes(transaction))
        return fail(check, transaction, "a conflict of a transaction that only read");
    if (read == NULL)
        return fail(check, transaction, "a conflict over key %u, which it did not read", transaction->conflict_key);
    timeline = read->kind == HISTORY_COUNT ? &check->membership : &check->keys[read->key];
    if (!timeline_changes(timeline, transaction->times.snapshot, check->latest[index],
                          read->kind == HISTORY_GET && read->value == 0))
        return fail(check, transaction, "a conflict over key %u, which did not change in time",
                    transaction->conflict_key);
    return true;
}

static bool check_conflicts(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];

        if (transaction->outcome == STATUS_CONFLICT && transaction->has_times &&
            !check_conflict(check, transaction, i))
            return false;
    }
    return true;
}

/* --- all of it --- */

static bool is_lock_failure(enum status outcome)
{
    return outcome == STATUS_DEADLOCK || outcome == STATUS_TIMEOUT || outcome == STATUS_LOCK_TIMEOUT;
}

static void count_figures(struct check *check)
{
    struct history_figures *figures = check->figures;

    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];
        bool has_written = history_transaction_writes(transaction);

        figures->committed_writers += committed(check, transaction) && has_written;
        figures->readers += committed(check, transaction) && !has_written;
        figures->singles += transaction->is_single;
        figures->read_committed += is_at_level(transaction, ISOLATION_READ_COMMITTED);
        figures->locking += is_at_level(transaction, ISOLATION_LOCKING);
        figures->conflicts += transaction->outcome == STATUS_CONFLICT;
        figures->deadlocks += is_lock_failure(transaction->outcome);
        figures->rolled_back += transaction->outcome == STATUS_ABORTED;
        figures->out_of_memory += transaction->outcome == STATUS_OUT_OF_MEMORY;
        figures->unknown += transaction->outcome == STATUS_OUTCOME_UNKNOWN;
        figures->unknown_happened +=
            transaction->outcome == STATUS_OUTCOME_UNKNOWN && committed(check, transaction);
        for (unsigned j = 0; j < transaction->step_count; j++)
            figures->reads += !history_step_writes(&transaction->steps[j]);
    }
}

static bool outcomes_are_known(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];
        enum status outcome = transaction->outcome;

        if (outcome != STATUS_OK && outcome != STATUS_ABORTED && outcome != STATUS_CONFLICT &&
            outcome != STATUS_OUT_OF_MEMORY && outcome != STATUS_OUTCOME_UNKNOWN && !is_lock_failure(outcome))
            return fail(check, transaction, "an outcome that nobody expected");
        if (outcome == STATUS_OK && !transaction->has_times) {
            (void)fail(check, transaction, "the store did not tell its times");
            check->verdict = HISTORY_UNDECIDED;
            return false;
        }
    }
    return true;
}

/* Bounds are found without the unknown outcomes, which need them, and then again with them. */
static bool place_unknown(struct check *check)
{
    struct moment *moments = moments_of(check->history);

    find_bounds(check, moments);
    check->verdict =
        history_place_unknown(check->history, check->earliest, check->latest, check->commits, check->opinion);
    if (check->verdict == HISTORY_ACCEPTED)
        find_bounds(check, moments);
    free(moments);
    return check->verdict == HISTORY_ACCEPTED;
}

static void check_init(struct check *check)
{
    const struct history *history = check->history;

    check->commits = calloc(history->count + 1, sizeof(uint64_t));
    check->earliest = calloc(history->count + 1, sizeof(uint64_t));
    check->latest = calloc(history->count + 1, sizeof(uint64_t));
    REQUIRE(check->commits != NULL && check->earliest != NULL && check->latest != NULL);
    for (size_t i = 0; i < history->count; i++)
        check->commits[i] = history->transactions[i].has_times ? history->transactions[i].times.commit : 0;
}

static void check_deinit(struct check *check)
{
    for (unsigned key = 0; key < check->history->key_count; key++)
        timeline_deinit(&check->keys[key]);
    timeline_deinit(&check->sizes);
    timeline_deinit(&check->membership);
    free(check->commits);
    free(check->earliest);
    free(check->latest);
}

enum history_verdict history_check_order(const struct history *history, struct history_figures *figures,
                                         struct history_opinion *opinion)
{
    struct history_figures unwanted = {0};
    struct check check = {
        .history = history,
        .figures = figures == NULL ? &unwanted : figures,
        .opinion = opinion,
        .verdict = HISTORY_ACCEPTED,
    };

    REQUIRE(history->key_count <= HISTORY_KEYS_MAX);
    memset(check.figures, 0, sizeof(*check.figures));
    opinion->reason[0] = '\0';
    check_init(&check);
    if (outcomes_are_known(&check) && place_unknown(&check) && check_commits(&check) && check_snapshots(&check) &&
        check_real_time(&check) && check_placeable(&check))
        (void)check_conflicts(&check);
    count_figures(&check);
    opinion->effort = check.figures->reads;
    check_deinit(&check);
    return check.verdict;
}

enum history_verdict history_order(const struct history *history, struct history_opinion *opinion)
{
    return history_check_order(history, NULL, opinion);
}

bool history_check(const struct history *history, struct history_figures *figures, char reason[HISTORY_REASON_BYTES])
{
    struct history_opinion opinion;
    bool is_accepted = history_check_order(history, figures, &opinion) == HISTORY_ACCEPTED;

    memcpy(reason, opinion.reason, HISTORY_REASON_BYTES);
    return is_accepted;
}
