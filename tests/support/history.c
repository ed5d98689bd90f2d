#include "support/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *history_verdict_name(enum history_verdict verdict)
{
    static const char *const names[] = {"accepted", "refused", "undecided"};

    return names[verdict];
}

enum history_verdict history_conclude(struct history_opinion *opinion, enum history_verdict verdict,
                                      const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(opinion->reason, sizeof(opinion->reason), format, arguments);
    va_end(arguments);
    return verdict;
}

bool history_transaction_writes(const struct history_transaction *transaction)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        if (history_step_writes(&transaction->steps[i]))
            return true;
    }
    return false;
}

const char *history_level_name(const struct history_transaction *transaction)
{
    static const char *const names[ISOLATION_COUNT] = {
        [ISOLATION_SERIALIZABLE] = "SERIALIZABLE",
        [ISOLATION_READ_COMMITTED] = "READ COMMITTED",
        [ISOLATION_LOCKING] = "LOCKING",
    };

    return transaction->is_single ? "single" : names[transaction->isolation];
}

static uint64_t present_keys(const struct history *history, const uint64_t *values)
{
    uint64_t present = 0;

    for (unsigned key = 0; key < history->key_count; key++)
        present += values[key] != 0;
    return present;
}

bool history_walk(const struct history *history, const struct history_transaction *transaction, uint64_t *values,
                  unsigned *wrong_step)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];
        uint64_t seen = step->value;

        if (step->kind == HISTORY_GET)
            seen = values[step->key];
        else if (step->kind == HISTORY_COUNT)
            seen = present_keys(history, values);
        else
            values[step->key] = step->kind == HISTORY_PUT ? step->value : 0;
        if (seen != step->value) {
            if (wrong_step != NULL)
                *wrong_step = i;
            return false;
        }
    }
    return true;
}

int history_compare_clients(const void *left, const void *right)
{
    const struct history_transaction *a = left;
    const struct history_transaction *b = right;

    if (a->client != b->client)
        return a->client < b->client ? -1 : 1;
    if (a->invoked_ns != b->invoked_ns)
        return a->invoked_ns < b->invoked_ns ? -1 : 1;
    return 0;
}

struct history history_copy(const struct history *history)
{
    struct history copy = *history;

    copy.transactions = malloc((history->count + 1) * sizeof(*copy.transactions));
    REQUIRE(copy.transactions != NULL);
    if (history->count > 0)
        memcpy(copy.transactions, history->transactions, history->count * sizeof(*copy.transactions));
    copy.capacity = history->count + 1;
    return copy;
}

/* --- unknown outcomes --- */

static int compare_values(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left;
    uint64_t b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

/* What others read; a transaction that reads its own write tells nothing. */
static uint64_t *values_seen(const struct history *history, size_t *count)
{
    uint64_t *values = malloc((history->count * HISTORY_STEPS_MAX + 1) * sizeof(*values));

    REQUIRE(values != NULL);
    *count = 0;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *transaction = &history->transactions[i];
        bool is_written[HISTORY_KEYS_MAX] = {false};

        for (unsigned j = 0; j < transaction->step_count; j++) {
            const struct history_step *step = &transaction->steps[j];

            if (history_step_writes(step))
                is_written[step->key] = true;
            else if (step->kind == HISTORY_GET && !is_written[step->key])
                values[(*count)++] = step->value;
        }
    }
    qsort(values, *count, sizeof(*values), compare_values);
    return values;
}

static bool somebody_counts(const struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        for (unsigned j = 0; j < history->transactions[i].step_count; j++) {
            if (history->transactions[i].steps[j].kind == HISTORY_COUNT)
                return true;
        }
    }
    return false;
}

static void settle_one(struct history_transaction *transaction, const uint64_t *seen, size_t seen_count,
                       bool absence_tells)
{
    bool has_deleted = false;

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        has_deleted = has_deleted || step->kind == HISTORY_DEL;
        if (step->kind == HISTORY_PUT &&
            bsearch(&step->value, seen, seen_count, sizeof(*seen), compare_values) != NULL) {
            transaction->outcome = STATUS_OK;
            return;
        }
    }
    if (has_deleted || absence_tells)
        return;
    transaction->outcome = STATUS_ABORTED;
}

void history_settle(struct history *history)
{
    size_t seen_count;
    uint64_t *seen = values_seen(history, &seen_count);
    bool absence_tells = somebody_counts(history);

    for (size_t i = 0; i < history->count; i++) {
        if (history->transactions[i].outcome == STATUS_OUTCOME_UNKNOWN)
            settle_one(&history->transactions[i], seen, seen_count, absence_tells);
    }
    free(seen);
}
