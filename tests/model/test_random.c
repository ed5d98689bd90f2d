/* Random operations of several sessions against the reference model, reply by
 * reply. A failure prints its seed; to see it again:
 *   HAUSKV_TEST_SEED=<seed> build/tests/model --filter 'random_operations/<mix>'
 * and for a long run, HAUSKV_TEST_STEPS=<steps>. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>

#include "model/comparison.h"
#include "support/store_random.h"

#define SEEDS 4u

static const struct comparison_mix few_hot_keys = {
    .name = "few_hot_keys",
    .session_count = 4,
    .transaction_count = 3,
    .key_count = 5,
    .single_percent = 25,
    .value_bytes_max = 64,
    .weights = {.begin = 10, .get = 20, .put = 12, .del = 5, .scan = 3, .count = 1, .commit = 10, .rollback = 1},
    .steps = 30000,
    .steps_per_check = 20,
    .bytes = STORE_FIXTURE_BYTES,
};

static const struct comparison_mix many_keys = {
    .name = "many_keys",
    .session_count = 3,
    .transaction_count = 2,
    .key_count = 12000,
    .single_percent = 70,
    .value_bytes_max = 100,
    .weights = {.begin = 2, .get = 10, .put = 60, .del = 6, .scan = 8, .commit = 2, .rollback = 1},
    .steps = 40000,
    .steps_per_check = 4000,
    .bytes = 2 * STORE_FIXTURE_BYTES,
};

static const struct comparison_mix mixed_sizes = {
    .name = "mixed_sizes",
    .session_count = 4,
    .transaction_count = 2,
    .key_count = 24,
    .single_percent = 50,
    .value_bytes_max = 1 << 20,
    .weights = {.begin = 4, .get = 20, .put = 20, .del = 6, .scan = 1, .count = 1, .commit = 5, .rollback = 1},
    .steps = 6000,
    .steps_per_check = 50,
    .bytes = 8 * STORE_FIXTURE_BYTES,
};

static const struct comparison_mix comings_and_goings = {
    .name = "comings_and_goings",
    .session_count = 4,
    .transaction_count = 3,
    .key_count = 200,
    .single_percent = 40,
    .value_bytes_max = 200,
    .weights = {.begin = 8, .get = 10, .put = 25, .del = 25, .scan = 20, .count = 5, .commit = 8, .rollback = 2,
                .reopen = 1},
    .steps = 20000,
    .steps_per_check = 100,
    .bytes = STORE_FIXTURE_BYTES,
};

static const struct comparison_mix expiry = {
    .name = "expiry",
    .session_count = 3,
    .transaction_count = STORE_TRANSACTIONS_MAX + 1,
    .key_count = 10,
    .single_percent = 20,
    .value_bytes_max = 300,
    .weights = {.begin = 20, .get = 15, .put = 12, .del = 5, .scan = 3, .count = 2, .commit = 8, .rollback = 3,
                .expire = 6, .reopen = 1},
    .steps = 20000,
    .steps_per_check = 50,
    .bytes = STORE_FIXTURE_BYTES,
};

static const struct comparison_mix full_memory = {
    .name = "full_memory",
    .session_count = 3,
    .transaction_count = 3,
    .key_count = 3000,
    .single_percent = 60,
    .value_bytes_max = 30000,
    .weights = {.begin = 4, .get = 10, .put = 40, .del = 8, .scan = 2, .commit = 4, .rollback = 1},
    .steps = 20000,
    .steps_per_check = 200,
    .bytes = (size_t)4 << 20,
    .may_be_full = true,
};

static const struct comparison_mix key_locks = {
    .name = "key_locks",
    .session_count = 4,
    .transaction_count = 3,
    .key_count = 12,
    .single_percent = 25,
    .value_bytes_max = 64,
    .locking_percent = 40,
    .weights = {.begin = 10, .get = 20, .put = 12, .del = 5, .scan = 1, .count = 1, .commit = 14, .rollback = 2,
                .reopen = 1},
    .steps = 4000,
    .steps_per_check = 20,
    .bytes = STORE_FIXTURE_BYTES,
};

static void agrees_with_the_model(const struct comparison_mix *usual)
{
    struct comparison_mix mix = *usual;
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    uint64_t last = store_environment_number("HAUSKV_TEST_SEED", SEEDS);
    struct comparison_result result;

    mix.steps = (unsigned)store_environment_number("HAUSKV_TEST_STEPS", mix.steps);
    for (; seed <= last; seed++) {
        comparison_run(&mix, STORE_OF_SHARED_MEMORY, STORE_FLAW_NONE, seed, &result);
        fprintf(stderr, "%s, seed %" PRIu64 ": %u steps, %u commits, %u conflicts, full %u times, %" PRIu64 " keys\n",
                mix.name, seed, result.steps, result.commits, result.conflicts, result.full, result.keys_at_end);
        cr_assert(result.agrees, "%s: HAUSKV_TEST_SEED=%" PRIu64 ", step %u: %s", mix.name, seed, result.steps,
                  result.reason);
    }
}

Test(random_operations, few_hot_keys)
{
    agrees_with_the_model(&few_hot_keys);
}

Test(random_operations, many_keys)
{
    agrees_with_the_model(&many_keys);
}

Test(random_operations, mixed_sizes)
{
    agrees_with_the_model(&mixed_sizes);
}

Test(random_operations, comings_and_goings)
{
    agrees_with_the_model(&comings_and_goings);
}

Test(random_operations, key_locks)
{
    agrees_with_the_model(&key_locks);
}

Test(random_operations, expiry)
{
    agrees_with_the_model(&expiry);
}

Test(random_operations, full_memory)
{
    agrees_with_the_model(&full_memory);
}

/* Proof that the comparison can fail. */
static bool is_found(const struct comparison_mix *mix, enum store_flaw flaw, struct comparison_result *result)
{
    comparison_run(mix, STORE_OF_MODEL, flaw, store_environment_number("HAUSKV_TEST_SEED", 1), result);
    return !result->agrees;
}

Test(random_operations, every_planted_flaw_is_found)
{
    struct comparison_result result;

    for (unsigned flaw = 1; flaw < STORE_FLAW_COUNT; flaw++) {
        const char *description = store_flaw_description((enum store_flaw)flaw);
        bool found = is_found(&few_hot_keys, (enum store_flaw)flaw, &result) ||
                     is_found(&mixed_sizes, (enum store_flaw)flaw, &result) ||
                     is_found(&expiry, (enum store_flaw)flaw, &result) ||
                     is_found(&key_locks, (enum store_flaw)flaw, &result);

        cr_assert(found, "not found: %s", description);
        fprintf(stderr, "step %u: %.*s: %s\n", result.steps, (int)strcspn(result.reason, "\n"), result.reason,
                description);
    }
}

Test(random_operations, the_model_agrees_with_itself)
{
    struct comparison_result result;

    comparison_run(&comings_and_goings, STORE_OF_MODEL, STORE_FLAW_NONE, 1, &result);
    cr_assert(result.agrees, "%s", result.reason);
}

/* The other direction of replay: the same seed is the same run. */
Test(random_operations, a_seed_is_a_run)
{
    struct comparison_result first;
    struct comparison_result second;

    comparison_run(&few_hot_keys, STORE_OF_MODEL, STORE_FLAW_SCAN_SKIPS, 77, &first);
    comparison_run(&few_hot_keys, STORE_OF_MODEL, STORE_FLAW_SCAN_SKIPS, 77, &second);
    cr_assert_not(first.agrees);
    cr_assert_str_eq(first.reason, second.reason);
}
