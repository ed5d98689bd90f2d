/* The checkers against one another: on small histories, all of some kinds and
 * many random ones, each must say what trying every order says (brute_force.h).
 * So neither of them refuses what is right or believes what is wrong there. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>

#include "histories/brute_force.h"
#include "histories/cycles.h"
#include "histories/history_file.h"
#include "histories/search.h"
#include "support/store_random.h"

#define TRANSACTIONS_MAX 6u

struct sample {
    struct history history;
    struct history_transaction transactions[TRANSACTIONS_MAX];
};

struct tally {
    uint64_t histories;
    uint64_t accepted;
    uint64_t refused;
};

/* Who had returned before whom was invoked, up to names: all five ways for three transactions. */
static const uint64_t intervals[][3][2] = {
    {{0, 9}, {0, 9}, {0, 9}}, /* none */
    {{0, 1}, {2, 9}, {0, 9}}, /* one pair */
    {{0, 1}, {2, 9}, {2, 9}}, /* one before both others */
    {{0, 3}, {0, 3}, {4, 9}}, /* both others before one */
    {{0, 1}, {2, 3}, {4, 5}}, /* one after the other */
};
#define INTERVALS (sizeof(intervals) / sizeof(intervals[0]))

static void sample_init(struct sample *sample, size_t count, unsigned key_count)
{
    memset(sample, 0, sizeof(*sample));
    sample->history.transactions = sample->transactions;
    sample->history.count = count;
    sample->history.key_count = key_count;
    for (size_t i = 0; i < count; i++) {
        sample->transactions[i].client = (unsigned)i;
        sample->transactions[i].returned_ns = 9;
    }
}

static void add_step(struct history_transaction *transaction, enum history_step_kind kind, unsigned key,
                     uint64_t value)
{
    transaction->steps[transaction->step_count++] = (struct history_step){kind, key, value};
}

static void set_intervals(struct sample *sample, size_t pattern)
{
    for (size_t i = 0; i < sample->history.count && i < 3; i++) {
        sample->transactions[i].invoked_ns = intervals[pattern][i][0];
        sample->transactions[i].returned_ns = intervals[pattern][i][1];
    }
}

/* --- what they say --- */

static void expect_verdict(const struct sample *sample, const char *name, history_checker checker,
                           enum history_verdict expected)
{
    struct history_opinion opinion;
    enum history_verdict verdict = checker(&sample->history, &opinion);

    if (verdict == expected)
        return;
    history_write(&sample->history, stderr);
    cr_assert(false, "%s: %s (%s), but it is to be %s", name, history_verdict_name(verdict), opinion.reason,
              history_verdict_name(expected));
}

static void compare(const struct sample *sample, bool is_for_cycles, struct tally *tally)
{
    struct history_opinion opinion;
    enum history_verdict expected = history_brute_force(&sample->history, &opinion);

    expect_verdict(sample, "search", history_search, expected);
    if (is_for_cycles)
        expect_verdict(sample, "cycles", history_cycles, expected);
    tally->histories++;
    tally->accepted += expected == HISTORY_ACCEPTED;
    tally->refused += expected == HISTORY_REFUSED;
}

static void print_tally(const char *name, const struct tally *tally)
{
    fprintf(stderr, "figures: %s: %" PRIu64 " histories, %" PRIu64 " accepted, %" PRIu64 " refused\n", name,
            tally->histories, tally->accepted, tally->refused);
    cr_assert_gt(tally->accepted, 0);
    cr_assert_gt(tally->refused, 0);
}

/* --- all histories of three transactions on two keys that write what they have read --- */

/* What a transaction does to a key: 0 nothing, 1 to 4 reads, 5 to 8 reads and writes. */
#define USES 9u

static uint64_t value_of(unsigned transaction, unsigned key)
{
    return 10 * (uint64_t)(transaction + 1) + key;
}

/* Of a read: 0: absent, otherwise what transaction - 1 wrote. */
static unsigned source_of(unsigned use)
{
    return (use - 1) % 4;
}

static bool uses_of_key_are_possible(const unsigned uses[3])
{
    for (unsigned i = 0; i < 3; i++) {
        if (uses[i] > 0 && source_of(uses[i]) > 0 && uses[source_of(uses[i]) - 1] < 5)
            return false;
    }
    return true;
}

static void use_key(struct sample *sample, unsigned key, const unsigned uses[3])
{
    for (unsigned i = 0; i < 3; i++) {
        struct history_transaction *transaction = &sample->transactions[i];
        unsigned source = source_of(uses[i] == 0 ? 1 : uses[i]);

        if (uses[i] > 0)
            add_step(transaction, HISTORY_GET, key, source == 0 ? 0 : value_of(source - 1, key));
        if (uses[i] > 4)
            add_step(transaction, HISTORY_PUT, key, value_of(i, key));
    }
}

/* One transaction at a time did not commit, or nobody knows. */
static void compare_outcomes(struct sample *sample, bool is_for_cycles, struct tally *tally)
{
    static const enum status outcomes[] = {STATUS_ABORTED, STATUS_OUTCOME_UNKNOWN};

    compare(sample, is_for_cycles, tally);
    for (unsigned i = 0; i < sample->history.count; i++) {
        for (unsigned j = 0; j < 2; j++) {
            sample->transactions[i].outcome = outcomes[j];
            compare(sample, is_for_cycles, tally);
        }
        sample->transactions[i].is_pending = true;
        compare(sample, is_for_cycles, tally);
        sample->transactions[i].is_pending = false;
        sample->transactions[i].outcome = STATUS_OK;
    }
}

static void compare_uses(const unsigned first[3], const unsigned second[3], bool with_outcomes, struct tally *tally)
{
    for (size_t pattern = 0; pattern < INTERVALS; pattern++) {
        struct sample sample;

        sample_init(&sample, 3, 2);
        use_key(&sample, 0, first);
        use_key(&sample, 1, second);
        set_intervals(&sample, pattern);
        if (with_outcomes)
            compare_outcomes(&sample, true, tally);
        else
            compare(&sample, true, tally);
    }
}

static void uses_of_number(unsigned number, unsigned uses[3])
{
    for (unsigned i = 0; i < 3; i++, number /= USES)
        uses[i] = number % USES;
}

Test(checkers, agree_on_all_of_three_transactions_that_write_what_they_read)
{
    struct tally tally = {0};
    unsigned first[3];
    unsigned second[3];

    for (unsigned i = 0; i < USES * USES * USES; i++) {
        uses_of_number(i, first);
        for (unsigned j = 0; j < USES * USES * USES && uses_of_key_are_possible(first); j++) {
            uses_of_number(j, second);
            if (uses_of_key_are_possible(second))
                compare_uses(first, second, j % USES == 0, &tally);
        }
    }
    print_tally("all of 3 transactions on 2 keys, whoever writes has read", &tally);
}

/* --- all histories of three transactions on a key with a stamp --- */

/* What a transaction does to the pair: 0 nothing; else it reads both, and then 0: no more, 1: puts both, 2: deletes. */
#define PAIR_USES 49u

static unsigned pair_writes(unsigned use)
{
    return use == 0 ? 0 : (use - 1) / 16;
}

static bool pair_uses_are_possible(const unsigned uses[3])
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned stamp = (uses[i] - 1) % 4;
        unsigned data = (uses[i] - 1) / 4 % 4;

        if (uses[i] > 0 && ((stamp > 0 && pair_writes(uses[stamp - 1]) == 0) ||
                            (data > 0 && pair_writes(uses[data - 1]) != 1)))
            return false;
    }
    return true;
}

static void use_pair(struct sample *sample, const unsigned uses[3])
{
    for (unsigned i = 0; i < 3; i++) {
        struct history_transaction *transaction = &sample->transactions[i];
        unsigned stamp = (uses[i] - 1) % 4;
        unsigned data = (uses[i] - 1) / 4 % 4;

        if (uses[i] == 0)
            continue;
        add_step(transaction, HISTORY_GET, 0, stamp == 0 ? 0 : value_of(stamp - 1, 0));
        add_step(transaction, HISTORY_GET, 1, data == 0 ? 0 : value_of(data - 1, 1));
        if (pair_writes(uses[i]) > 0)
            add_step(transaction, HISTORY_PUT, 0, value_of(i, 0));
        if (pair_writes(uses[i]) == 1)
            add_step(transaction, HISTORY_PUT, 1, value_of(i, 1));
        if (pair_writes(uses[i]) == 2)
            add_step(transaction, HISTORY_DEL, 1, 0);
    }
}

Test(checkers, agree_on_all_of_three_transactions_on_a_key_with_a_stamp)
{
    struct tally tally = {0};

    for (unsigned number = 0; number < PAIR_USES * PAIR_USES * PAIR_USES; number++) {
        unsigned uses[3] = {number % PAIR_USES, number / PAIR_USES % PAIR_USES, number / PAIR_USES / PAIR_USES};

        for (size_t pattern = 0; pattern < INTERVALS && pair_uses_are_possible(uses); pattern++) {
            struct sample sample;

            sample_init(&sample, 3, 2);
            sample.history.has_stamps = true;
            use_pair(&sample, uses);
            set_intervals(&sample, pattern);
            compare(&sample, true, &tally);
        }
    }
    print_tally("all of 3 transactions on a key with a stamp", &tally);
}

/* --- all histories of two transactions of two steps: blind writes, deletions, counts --- */

/* A step: reads one of two keys as 0, or what one of the four writes can have left; counts 0 to 2; puts; deletes. */
#define STEPS 17u

static void add_numbered_step(struct sample *sample, unsigned transaction, unsigned place, unsigned number)
{
    struct history_transaction *target = &sample->transactions[transaction];
    unsigned key = number % 2;

    if (number < 10)
        add_step(target, HISTORY_GET, key, number / 2 == 0 ? 0 : value_of(number / 2 - 1, 0));
    else if (number < 12)
        add_step(target, HISTORY_PUT, key, value_of(2 * transaction + place, 0));
    else if (number < 14)
        add_step(target, HISTORY_DEL, key, 0);
    else
        add_step(target, HISTORY_COUNT, 0, number - 14);
}

Test(checkers, agree_on_all_of_two_transactions_of_two_steps)
{
    struct tally tally = {0};

    for (unsigned number = 0; number < STEPS * STEPS * STEPS * STEPS; number++) {
        for (size_t pattern = 0; pattern < 2; pattern++) {
            struct sample sample;

            sample_init(&sample, 2, 2);
            add_numbered_step(&sample, 0, 0, number % STEPS);
            add_numbered_step(&sample, 0, 1, number / STEPS % STEPS);
            add_numbered_step(&sample, 1, 0, number / STEPS / STEPS % STEPS);
            add_numbered_step(&sample, 1, 1, number / STEPS / STEPS / STEPS);
            set_intervals(&sample, pattern);
            if (number % 7 == 0)
                compare_outcomes(&sample, false, &tally);
            else
                compare(&sample, false, &tally);
        }
    }
    print_tally("all of 2 transactions of 2 steps on 2 keys", &tally);
}

/* --- random ones that are right, or nearly --- */

static void choose_steps(struct store_random *random, struct history_transaction *transaction, unsigned number,
                         bool is_blind, uint64_t *values)
{
    unsigned count = 1 + (unsigned)store_random_below(random, 4);

    for (unsigned i = 0; i < count; i++) {
        unsigned key = (unsigned)store_random_below(random, 3);
        bool writes = store_random_one_in(random, 2);

        if (!is_blind || !writes)
            add_step(transaction, HISTORY_GET, key, values[key]);
        if (writes && is_blind && store_random_one_in(random, 3)) {
            add_step(transaction, HISTORY_DEL, key, 0);
            values[key] = 0;
        } else if (writes) {
            values[key] = 100 * (uint64_t)(number + 1) + i;
            add_step(transaction, HISTORY_PUT, key, values[key]);
        }
    }
}

/* One after the other, each in an interval that may reach over its neighbours'; not all commit. */
static void run_serially(struct store_random *random, struct sample *sample, bool is_blind)
{
    uint64_t values[HISTORY_KEYS_MAX] = {0};

    for (unsigned i = 0; i < sample->history.count; i++) {
        struct history_transaction *transaction = &sample->transactions[i];
        uint64_t own[HISTORY_KEYS_MAX];
        bool is_applied;

        memcpy(own, values, sizeof(own));
        choose_steps(random, transaction, i, is_blind, own);
        is_applied = !store_random_one_in(random, 5);
        if (store_random_one_in(random, 4))
            transaction->outcome = STATUS_OUTCOME_UNKNOWN;
        else
            transaction->outcome = is_applied ? STATUS_OK : STATUS_CONFLICT;
        transaction->is_pending = transaction->outcome == STATUS_OUTCOME_UNKNOWN && store_random_one_in(random, 3);
        transaction->invoked_ns = 10 * (uint64_t)i + 20 - store_random_below(random, 20);
        transaction->returned_ns = 10 * (uint64_t)i + 20 + store_random_below(random, 20);
        if (is_applied)
            memcpy(values, own, sizeof(values));
    }
}

/* Another value that was written, or absence, in place of one that was read. */
static void spoil(struct store_random *random, struct sample *sample)
{
    struct history_transaction *transaction =
        &sample->transactions[store_random_below(random, sample->history.count)];
    struct history_step *step = &transaction->steps[store_random_below(random, transaction->step_count)];
    const struct history_transaction *other =
        &sample->transactions[store_random_below(random, sample->history.count)];
    const struct history_step *write = &other->steps[store_random_below(random, other->step_count)];

    if (step->kind == HISTORY_GET && write->kind == HISTORY_PUT && write->key == step->key)
        step->value = write->value;
    else if (step->kind == HISTORY_GET && store_random_one_in(random, 3))
        step->value = 0;
}

static void compare_random(const char *name, bool is_blind, unsigned count)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct tally tally = {0};

    fprintf(stderr, "seed %" PRIu64 "\n", seed);
    for (unsigned i = 0; i < count; i++) {
        struct sample sample;

        sample_init(&sample, 3 + store_random_below(&random, TRANSACTIONS_MAX - 2), 3);
        run_serially(&random, &sample, is_blind);
        for (uint64_t times = store_random_below(&random, 5); times > 0; times--)
            spoil(&random, &sample);
        compare(&sample, !is_blind, &tally);
    }
    print_tally(name, &tally);
}

Test(checkers, agree_on_random_histories)
{
    compare_random("random, whoever writes has read", false, 100000);
}

Test(checkers, agree_on_random_histories_of_blind_writes)
{
    compare_random("random, blind writes and deletions", true, 100000);
}
