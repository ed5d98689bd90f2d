#include "model/history.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define NEVER UINT64_MAX

/* What was committed: per key, and how many keys there were. Ascending times. */
struct version {
    uint64_t time;
    uint64_t value; /* of a key, 0: absent; or a number of keys */
};

struct timeline {
    struct version *versions;
    size_t count;
};

struct check {
    const struct history *history;
    struct timeline keys[HISTORY_KEYS];
    struct timeline sizes;      /* how many keys there were */
    struct timeline membership; /* an entry per insert or delete */
    uint64_t *earliest;         /* per transaction: what had been seen of the clock before it was invoked */
    uint64_t *latest;           /* per transaction: what was seen of it first afterwards */
    struct history_figures *figures;
    char *reason;
};

/* What a transaction's own writes make of a key while its steps are walked. */
struct overlay {
    bool is_written[HISTORY_KEYS];
    uint64_t values[HISTORY_KEYS];
};

static bool fail(struct check *check, const struct history_transaction *transaction, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool fail(struct check *check, const struct history_transaction *transaction, const char *format, ...)
{
    va_list arguments;
    int used = 0;

    if (transaction != NULL)
        used = snprintf(check->reason, HISTORY_REASON_BYTES,
                        "transaction %zu (client %u, %s, %s, snapshot %" PRIu64 ", commit %" PRIu64 "): ",
                        (size_t)(transaction - check->history->transactions), transaction->client,
                        transaction->is_single                                 ? "single"
                        : transaction->isolation == ISOLATION_SERIALIZABLE ? "SERIALIZABLE"
                                                                               : "READ COMMITTED",
                        status_code(transaction->outcome), transaction->times.snapshot, transaction->times.commit);
    va_start(arguments, format);
    vsnprintf(check->reason + used, HISTORY_REASON_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

/* --- timelines --- */

static void timeline_add(struct timeline *timeline, uint64_t time, uint64_t value)
{
    if ((timeline->count & (timeline->count - 1)) == 0) {
        size_t capacity = timeline->count == 0 ? 1 : 2 * timeline->count;

        timeline->versions = realloc(timeline->versions, capacity * sizeof(struct version));
        REQUIRE(timeline->versions != NULL);
    }
    timeline->versions[timeline->count].time = time;
    timeline->versions[timeline->count++].value = value;
}

/* The number of versions that are not after a time. */
static size_t timeline_position(const struct timeline *timeline, uint64_t time)
{
    size_t first = 0;
    size_t end = timeline->count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (timeline->versions[middle].time <= time)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static uint64_t timeline_at(const struct timeline *timeline, uint64_t time)
{
    size_t position = timeline_position(timeline, time);

    return position == 0 ? 0 : timeline->versions[position - 1].value;
}

/* The first time not before `time` at which the value is this one; NEVER. */
static uint64_t timeline_next(const struct timeline *timeline, uint64_t time, uint64_t value)
{
    if (timeline_at(timeline, time) == value)
        return time;
    for (size_t i = timeline_position(timeline, time); i < timeline->count; i++) {
        if (timeline->versions[i].value == value)
            return timeline->versions[i].time;
    }
    return NEVER;
}

/* Whether there is a version in (after, until]; with a value other than 0, if so wanted. */
static bool timeline_changes(const struct timeline *timeline, uint64_t after, uint64_t until, bool to_a_value)
{
    for (size_t i = timeline_position(timeline, after); i < timeline->count && timeline->versions[i].time <= until;
         i++) {
        if (!to_a_value || timeline->versions[i].value != 0)
            return true;
    }
    return false;
}

/* --- transactions --- */

static bool is_write(const struct history_step *step)
{
    return step->kind == HISTORY_PUT || step->kind == HISTORY_DEL;
}

static bool writes(const struct history_transaction *transaction)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        if (is_write(&transaction->steps[i]))
            return true;
    }
    return false;
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
        if (is_write(&transaction->steps[i]))
            overlay_write(&overlay, &transaction->steps[i]);
    }
    return overlay;
}

static bool committed(const struct history_transaction *transaction)
{
    return transaction->outcome == STATUS_OK;
}

/* Its reads belong to its snapshot: all but READ COMMITTED ones and single writes (which have no step if refused). */
static bool has_snapshot(const struct history_transaction *transaction)
{
    if (transaction->is_single)
        return transaction->step_count > 0 && !writes(transaction);
    return transaction->isolation == ISOLATION_SERIALIZABLE;
}

/* The time after which it stands in the serial order, as far as it is known; 0. */
static uint64_t known_time(const struct history_transaction *transaction)
{
    if (committed(transaction) && transaction->times.commit != 0)
        return transaction->times.commit;
    return has_snapshot(transaction) ? transaction->times.snapshot : 0;
}

/* What the clock was at most when it was invoked; NEVER: it does not say. */
static uint64_t clock_when_invoked(const struct history_transaction *transaction)
{
    if (has_snapshot(transaction))
        return transaction->times.snapshot;
    return committed(transaction) && transaction->times.commit != 0 ? transaction->times.commit - 1 : NEVER;
}

/* What a step must have read, the store being as of `time`. */
static uint64_t expected_read(const struct check *check, const struct overlay *overlay,
                              const struct history_step *step, uint64_t time)
{
    uint64_t present = timeline_at(&check->sizes, time);

    if (step->kind == HISTORY_GET)
        return overlay->is_written[step->key] ? overlay->values[step->key] : timeline_at(&check->keys[step->key], time);
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
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

        if (is_write(step)) {
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

static int compare_commits(const void *left, const void *right)
{
    uint64_t left_time = (*(const struct history_transaction *const *)left)->times.commit;
    uint64_t right_time = (*(const struct history_transaction *const *)right)->times.commit;

    return left_time < right_time ? -1 : left_time > right_time;
}

static bool commit_time_is_plausible(struct check *check, const struct history_transaction *transaction)
{
    const struct store_times *times = &transaction->times;
    bool is_serializable = !transaction->is_single && transaction->isolation == ISOLATION_SERIALIZABLE;
    struct overlay overlay;

    if (!committed(transaction) || !writes(transaction)) {
        if (times->commit != 0)
            return fail(check, transaction, "has a commit time, but committed no write");
        return true;
    }
    if (times->commit != 0 && is_serializable && times->commit <= times->snapshot)
        return fail(check, transaction, "committed before its snapshot");
    overlay = overlay_of(transaction);
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        if (times->commit == 0 && overlay.values[key] != 0)
            return fail(check, transaction, "wrote key %u, but has no commit time", key);
    }
    return true;
}

static void apply(struct check *check, const struct history_transaction *transaction)
{
    uint64_t time = transaction->times.commit;
    uint64_t present = timeline_at(&check->sizes, time);
    struct overlay overlay = overlay_of(transaction);
    bool membership_changes = false;

    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        bool was_present = timeline_at(&check->keys[key], time) != 0;
        bool is_present = overlay.values[key] != 0;

        if (!overlay.is_written[key] || (!was_present && !is_present))
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

static bool replay(struct check *check, const struct history_transaction **commits, size_t count)
{
    qsort(commits, count, sizeof(*commits), compare_commits);
    for (size_t i = 0; i < count; i++) {
        const struct history_transaction *transaction = commits[i];
        uint64_t time = transaction->times.commit;

        if (i > 0 && commits[i - 1]->times.commit == time)
            return fail(check, transaction, "another one has the same commit time");
        if (has_snapshot(transaction) && !reads_are_of(check, transaction, time - 1, "the state before its commit"))
            return false;
        if (has_snapshot(transaction) && i > 0 && commits[i - 1]->times.commit > transaction->times.snapshot)
            check->figures->overlapping++;
        apply(check, transaction);
    }
    return true;
}

static bool check_commits(struct check *check)
{
    const struct history *history = check->history;
    const struct history_transaction **commits = malloc((history->count + 1) * sizeof(*commits));
    size_t count = 0;
    bool is_plausible = true;

    REQUIRE(commits != NULL);
    for (size_t i = 0; i < history->count && is_plausible; i++) {
        is_plausible = commit_time_is_plausible(check, &history->transactions[i]);
        if (history->transactions[i].times.commit != 0)
            commits[count++] = &history->transactions[i];
    }
    is_plausible = is_plausible && replay(check, commits, count);
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
        struct moment returned = {history->transactions[i].returned_ns, true, i};

        moments[2 * i] = invoked;
        moments[2 * i + 1] = returned;
    }
    qsort(moments, 2 * history->count, sizeof(*moments), compare_moments);
    return moments;
}

/* Fills earliest on the way forward and latest on the way back. */
static void find_bounds(struct check *check)
{
    const struct history *history = check->history;
    struct moment *moments = moments_of(history);
    uint64_t seen = 0;

    for (size_t i = 0; i < 2 * history->count; i++) {
        uint64_t time = known_time(&history->transactions[moments[i].transaction]);

        if (!moments[i].is_return)
            check->earliest[moments[i].transaction] = seen;
        else if (time > seen)
            seen = time;
    }
    seen = NEVER;
    for (size_t i = 2 * history->count; i > 0; i--) {
        uint64_t clock = clock_when_invoked(&history->transactions[moments[i - 1].transaction]);

        if (moments[i - 1].is_return)
            check->latest[moments[i - 1].transaction] = seen;
        else if (clock < seen)
            seen = clock;
    }
    free(moments);
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
        if (transaction->times.commit != 0 && transaction->times.commit <= check->earliest[i])
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

static bool check_read_committed(struct check *check, const struct history_transaction *transaction, size_t index)
{
    uint64_t commit = transaction->times.commit;
    uint64_t until = commit != 0 && commit - 1 < check->latest[index] ? commit - 1 : check->latest[index];
    uint64_t last = check->sizes.count == 0 ? 0 : check->sizes.versions[check->sizes.count - 1].time;
    uint64_t time = check->earliest[index];
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (is_write(step)) {
            overlay_write(&overlay, step);
            continue;
        }
        time = next_for_step(check, &overlay, step, time, until == NEVER ? last + 1 : until);
        if (time > until || time == NEVER)
            return fail(check, transaction, "step %u reads %" PRIu64 " of key %u, which it was at no time %" PRIu64
                        " to %" PRIu64, i, step->value, step->key, check->earliest[index], until);
    }
    return true;
}

/* The first time not before `time` at which one step after the other may find its key; NEVER. */
static uint64_t next_without_effect(const struct check *check, const struct history_transaction *transaction,
                                    uint64_t time)
{
    struct overlay overlay = {0};

    for (unsigned i = 0; i < transaction->step_count && time != NEVER; i++) {
        const struct history_step *step = &transaction->steps[i];
        bool is_read = has_snapshot(transaction) && step->kind == HISTORY_GET && !overlay.is_written[step->key];

        if (is_read || step->kind == HISTORY_DEL)
            time = timeline_next(&check->keys[step->key], time, is_read ? step->value : 0);
        if (is_write(step))
            overlay_write(&overlay, step);
    }
    return time;
}

/* A committed transaction whose DELs found nothing: there was a time when that was so and all else it read, too. */
static bool check_without_effect(struct check *check, const struct history_transaction *transaction, size_t index)
{
    uint64_t time = check->earliest[index];
    uint64_t moved;

    if (has_snapshot(transaction) && transaction->times.snapshot > time)
        time = transaction->times.snapshot;
    do {
        moved = time;
        time = next_without_effect(check, transaction, time);
    } while (time != moved && time != NEVER);
    if (time == NEVER || time > check->latest[index])
        return fail(check, transaction, "changed nothing, but at no time was there nothing to change");
    return true;
}

static bool check_placeable(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];

        if (!transaction->is_single && transaction->isolation == ISOLATION_READ_COMMITTED &&
            !check_read_committed(check, transaction, i))
            return false;
        if (committed(transaction) && writes(transaction) && transaction->times.commit == 0 &&
            !check_without_effect(check, transaction, i))
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

        if (is_write(step))
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

    if (transaction->is_single || transaction->isolation != ISOLATION_SERIALIZABLE)
        return fail(check, transaction, "a conflict where there can be none");
    if (!writes(transaction))
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

        if (transaction->outcome == STATUS_CONFLICT && !check_conflict(check, transaction, i))
            return false;
    }
    return true;
}

/* --- all of it --- */

static void count_figures(struct check *check)
{
    struct history_figures *figures = check->figures;

    memset(figures, 0, sizeof(*figures));
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];

        figures->committed_writers += committed(transaction) && writes(transaction);
        figures->readers += committed(transaction) && !writes(transaction);
        figures->singles += transaction->is_single;
        figures->read_committed += !transaction->is_single && transaction->isolation == ISOLATION_READ_COMMITTED;
        figures->conflicts += transaction->outcome == STATUS_CONFLICT;
        figures->rolled_back += transaction->outcome == STATUS_ABORTED;
        figures->out_of_memory += transaction->outcome == STATUS_OUT_OF_MEMORY;
        for (unsigned j = 0; j < transaction->step_count; j++)
            figures->reads += !is_write(&transaction->steps[j]);
    }
}

static bool outcomes_are_known(struct check *check)
{
    for (size_t i = 0; i < check->history->count; i++) {
        const struct history_transaction *transaction = &check->history->transactions[i];
        enum status outcome = transaction->outcome;

        if (outcome != STATUS_OK && outcome != STATUS_ABORTED && outcome != STATUS_CONFLICT &&
            outcome != STATUS_OUT_OF_MEMORY)
            return fail(check, transaction, "an outcome that nobody expected");
    }
    return true;
}

bool history_check(const struct history *history, struct history_figures *figures, char reason[HISTORY_REASON_BYTES])
{
    struct check check = {.history = history, .figures = figures, .reason = reason};
    bool is_good;

    check.earliest = calloc(history->count + 1, sizeof(uint64_t));
    check.latest = calloc(history->count + 1, sizeof(uint64_t));
    REQUIRE(check.earliest != NULL && check.latest != NULL);
    reason[0] = '\0';
    count_figures(&check);
    find_bounds(&check);
    is_good = outcomes_are_known(&check) && check_commits(&check) && check_snapshots(&check) &&
              check_real_time(&check) && check_placeable(&check) && check_conflicts(&check);
    for (unsigned key = 0; key < HISTORY_KEYS; key++)
        free(check.keys[key].versions);
    free(check.sizes.versions);
    free(check.membership.versions);
    free(check.earliest);
    free(check.latest);
    return is_good;
}
