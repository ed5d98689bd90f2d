/* Memory: values of all sizes come and go for long, a full store stays right, and as much fits as is promised. What the
 * store should hold is kept in a plain private table; contents are made from numbers, so every byte is verified.
 *
 *   HAUSKV_TEST_SEED=<seed>   other choices
 *   HAUSKV_TEST_STEPS=<n>     longer (or shorter) churns */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "segment/segment.h"
#include "support/store_buffer.h"
#include "support/store_fixture.h"
#include "support/store_random.h"

#define MIB ((size_t)1 << 20)
#define CHUNK_BYTES_USUAL 16384u

/* 1 KB where chunks are of the usual size; in a build with small ones as much smaller as they are. */
#define VALUE_BYTES (CHUNK_BYTES * 1024 / CHUNK_BYTES_USUAL)

/* What a key should hold. */
struct plain_value {
    bool is_present;
    size_t size;
    uint64_t number;
};

static struct store_fixture fixture;
static struct store_session *session;
static struct store_buffer seen;
static unsigned char *content;
static struct plain_value *plain; /* by key number */
static unsigned key_count;

static void open_store(size_t bytes, unsigned keys)
{
    store_fixture_open(&fixture, STORE_OF_SHARED_MEMORY, bytes);
    session = store_fixture_session(&fixture);
    content = malloc(MIB + sizeof(uint64_t));
    plain = calloc(keys, sizeof(*plain));
    cr_assert(content != NULL && plain != NULL);
    key_count = keys;
}

static void close_store(void)
{
    const char *reason;

    store_session_close(session);
    cr_assert(store_fixture_is_valid(&fixture, &reason), "invalid: %s", reason);
    store_fixture_close(&fixture);
    store_buffer_deinit(&seen);
    free(content);
    free(plain);
}

static struct bytes key_of(unsigned number, char text[32])
{
    return bytes_from(text, (size_t)snprintf(text, 32, "key %u", number));
}

static size_t value_limit(void)
{
    size_t limit = store_value_bytes_max(fixture.store);

    return limit < MIB ? limit : MIB;
}

static enum status put_in(store_transaction transaction, unsigned key, size_t size, uint64_t number)
{
    char text[32];

    store_content_fill(content, size, number);
    return store_put(session, transaction, key_of(key, text), bytes_from(content, size));
}

/* A single PUT; what the plain table holds changes only if the store took it. */
static enum status put(unsigned key, size_t size, uint64_t number)
{
    enum status status = put_in(STORE_SINGLE, key, size, number);

    if (status == STATUS_OK) {
        plain[key].is_present = true;
        plain[key].size = size;
        plain[key].number = number;
    }
    return status;
}

static void must_put(unsigned key, size_t size, uint64_t number)
{
    enum status status = put(key, size, number);

    cr_assert_eq(status, STATUS_OK, "PUT key %u, %zu bytes: %s", key, size, status_code(status));
}

static void must_del(unsigned key)
{
    char text[32];
    enum status status = store_del(session, STORE_SINGLE, key_of(key, text));

    cr_assert_eq(status, STATUS_OK, "DEL key %u: %s", key, status_code(status));
    plain[key].is_present = false;
}

static void verify(unsigned key)
{
    char text[32];
    enum status status = store_buffer_get(&seen, session, STORE_SINGLE, key_of(key, text));

    if (!plain[key].is_present) {
        cr_assert_eq(status, STATUS_NOT_FOUND, "key %u is there, or %s", key, status_code(status));
        return;
    }
    cr_assert_eq(status, STATUS_OK, "key %u of %zu bytes: %s", key, plain[key].size, status_code(status));
    cr_assert(store_content_is(store_buffer_bytes(&seen), plain[key].size, plain[key].number),
              "key %u: %zu bytes came back as other %zu", key, plain[key].size, seen.size);
}

static void verify_all(void)
{
    uint64_t present = 0;
    uint64_t counted = 0;

    for (unsigned key = 0; key < key_count; key++) {
        verify(key);
        present += plain[key].is_present;
    }
    cr_assert_eq(store_count(session, STORE_SINGLE, bytes_from(NULL, 0), &counted), STATUS_OK);
    cr_assert_eq(counted, present, "%" PRIu64 " keys are counted, %" PRIu64 " are there", counted, present);
}

static void assert_valid(void)
{
    const char *reason;

    cr_assert(store_fixture_is_valid(&fixture, &reason), "invalid: %s", reason);
}

/* --- churn --- */

/* Small sizes are as frequent as large ones on a scale of doublings. */
static size_t random_size(struct store_random *random)
{
    size_t end = value_limit();

    for (uint64_t halvings = store_random_below(random, 21); halvings > 0 && end > 0; halvings--)
        end /= 2;
    return (size_t)store_random_below(random, end + 1);
}

Test(churn, values_of_0_bytes_to_1_mib_keep_their_bytes)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    uint64_t steps = store_environment_number("HAUSKV_TEST_STEPS", 20000);
    struct store_random random = {seed};
    uint64_t bytes_written = 0;

    open_store(128 * MIB, 96);
    for (uint64_t step = 1; step <= steps; step++) {
        unsigned key = (unsigned)store_random_below(&random, key_count);

        verify(key);
        if (store_random_one_in(&random, 4)) {
            must_del(key);
        } else {
            must_put(key, random_size(&random), step);
            bytes_written += plain[key].size;
        }
        if (step % 1000 == 0)
            assert_valid();
    }
    verify_all();
    fprintf(stderr, "seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " MiB written\n", seed, steps,
            bytes_written / MIB);
    close_store();
}

/* --- overwriting for ever, the amount of data being constant --- */

/* Fills a share of the segment with values of `size` bytes, then writes `rounds` times as much over them. */
static void overwrites_for_ever(size_t bytes, size_t size, unsigned percent, unsigned rounds)
{
    unsigned keys = (unsigned)(bytes / 100 * percent / size);
    struct store_random random = {1};
    uint64_t number = 0;

    open_store(bytes, keys);
    for (unsigned key = 0; key < keys; key++)
        must_put(key, size, ++number);
    for (uint64_t i = 0; i < (uint64_t)keys * rounds; i++)
        must_put((unsigned)store_random_below(&random, keys), size, ++number);
    verify_all();
    close_store();
}

Test(churn, small_values_are_overwritten_for_ever)
{
    overwrites_for_ever(16 * MIB, VALUE_BYTES, 40, 60);
}

Test(churn, values_of_many_chunks_are_overwritten_for_ever)
{
    overwrites_for_ever(16 * MIB, CHUNK_BYTES * 5 + 100, 40, 60);
}

Test(churn, one_key_is_overwritten_for_ever)
{
    open_store(2 * MIB, 1);
    for (uint64_t number = 1; number <= 300000; number++)
        must_put(0, 100, number);
    verify_all();
    close_store();
}

/* Other keys all the time, their number being constant: pages and directories may not pile up. */
Test(churn, keys_come_and_go_for_ever)
{
    const unsigned together = 4000;
    const unsigned keys = 200000;

    open_store(16 * MIB, keys);
    for (unsigned key = 0; key < keys; key++) {
        must_put(key, 300, key);
        if (key >= together)
            must_del(key - together);
    }
    verify_all();
    close_store();
}

/* The sizes change for ever, their sum does not: memory of one size serves another. */
Test(churn, memory_goes_from_size_to_size)
{
    struct store_random random = {1};
    const size_t sizes[] = {20, CHUNK_BYTES / 64, CHUNK_BYTES / 5, CHUNK_BYTES, CHUNK_BYTES * 3, 600};

    open_store(16 * MIB, 40000);
    for (unsigned round = 0; round < 12; round++) {
        size_t size = sizes[round % 6];
        unsigned keys = (unsigned)(6 * MIB / (size + 100));

        for (unsigned key = 0; key < keys && key < key_count; key++)
            must_put(key, size, store_random_next(&random));
        verify_all();
        for (unsigned key = 0; key < keys && key < key_count; key++)
            must_del(key);
        assert_valid();
    }
    close_store();
}

/* --- a full store --- */

/* New keys from `key` on until the store is full; the number of the first that did not fit. */
static unsigned fill_up(unsigned key, size_t size)
{
    enum status status = STATUS_OK;

    while (key < key_count && status == STATUS_OK) {
        status = put(key, size, key);
        key += status == STATUS_OK;
    }
    cr_assert_lt(key, key_count, "the store took everything");
    cr_assert_eq(status, STATUS_OUT_OF_MEMORY, "%s", status_code(status));
    return key;
}

static double percent_of(size_t part, size_t whole)
{
    return 100.0 * (double)part / (double)whole;
}

/* How full values make the store, keys not counted; everything that it took is verified. */
static double fill_percent(size_t bytes, size_t size)
{
    unsigned keys;

    open_store(bytes, (unsigned)(bytes / size));
    keys = fill_up(0, size);
    verify_all();
    fprintf(stderr, "%u values of %zu bytes in %zu MiB: %.1f %%\n", keys, size, bytes / MIB,
            percent_of(keys * size, bytes));
    close_store();
    return percent_of(keys * size, bytes);
}

Test(memory, half_of_16_mib_holds_user_bytes)
{
    cr_assert_geq(fill_percent(16 * MIB, VALUE_BYTES), 50.0);
}

Test(memory, four_fifths_of_1_gib_hold_user_bytes)
{
    store_fixture_wait_for_memory();
    cr_assert_geq(fill_percent(1024 * MIB, VALUE_BYTES), CHUNK_BYTES == CHUNK_BYTES_USUAL ? 80.0 : 50.0);
}

Test(memory, after_1000_deletions_700_new_keys_fit_at_once)
{
    unsigned first_new;

    open_store(16 * MIB, 200000);
    first_new = fill_up(0, VALUE_BYTES);
    for (unsigned i = 0; i < 1000; i++)
        must_del(i * (first_new / 1000));
    for (unsigned i = 0; i < 700; i++)
        must_put(first_new + i, VALUE_BYTES, i);
    verify_all();
    close_store();
}

Test(memory, a_full_store_refuses_and_changes_nothing)
{
    unsigned first_new;

    open_store(4 * MIB, 100000);
    first_new = fill_up(0, VALUE_BYTES);
    for (unsigned i = 0; i < 2000; i++)
        put(first_new + i, VALUE_BYTES * 3, i);
    for (unsigned i = 0; i < 2000; i++)
        put(i % first_new, VALUE_BYTES * 20, i);
    assert_valid();
    verify_all();
    close_store();
}

Test(memory, a_full_store_still_reads_deletes_and_rolls_back)
{
    struct store_keys keys = {0};
    store_transaction transaction;
    uint64_t cursor = 0;
    unsigned first_new;

    open_store(4 * MIB, 100000);
    first_new = fill_up(0, VALUE_BYTES);
    cr_assert_eq(store_begin(session, ISOLATION_SERIALIZABLE, &transaction), STATUS_OK);
    cr_assert_eq(store_get(session, transaction, bytes_from_string("key 1"), NULL), STATUS_OK);
    cr_assert_eq(store_keys_scan(&keys, session, transaction, &cursor, bytes_from(NULL, 0), 10000), STATUS_OK);
    store_rollback(session, transaction);
    for (unsigned key = 0; key < first_new; key++) {
        must_del(key);
        verify(key);
    }
    verify_all();
    for (unsigned key = 0; key < first_new * 9 / 10; key++)
        must_put(key, VALUE_BYTES, key);
    verify_all();
    store_keys_deinit(&keys);
    close_store();
}

/* Puts keys in one transaction until the store refuses; then it is rolled back. */
static void overfill_in_a_transaction(unsigned first_key)
{
    enum status status = STATUS_OK;
    store_transaction transaction;
    unsigned key = first_key;

    cr_assert_eq(store_begin(session, ISOLATION_SERIALIZABLE, &transaction), STATUS_OK);
    while (status == STATUS_OK && key < key_count)
        status = put_in(transaction, key++, VALUE_BYTES, 1);
    cr_assert_eq(status, STATUS_OUT_OF_MEMORY, "%s", status_code(status));
    store_rollback(session, transaction);
}

Test(memory, a_transaction_too_large_for_the_store_leaves_nothing)
{
    open_store(4 * MIB, 100000);
    for (unsigned key = 0; key < 100; key++)
        must_put(key, VALUE_BYTES, key);
    for (unsigned i = 0; i < 5; i++)
        overfill_in_a_transaction(50);
    assert_valid();
    verify_all();
    close_store();
}

/* All its writes fit, but not a second time as versions: COMMIT answers out_of_memory and applies none of them. */
Test(memory, a_commit_that_does_not_fit_applies_nothing)
{
    unsigned refused = 0;

    open_store(4 * MIB, 100000);
    for (unsigned percent = 30; percent <= 95; percent += 5) {
        unsigned keys = (unsigned)(4 * MIB / 100 * percent / (VALUE_BYTES + 100));
        enum status status = STATUS_OK;
        store_transaction transaction;

        cr_assert_eq(store_begin(session, ISOLATION_SERIALIZABLE, &transaction), STATUS_OK);
        for (unsigned key = 0; key < keys && status == STATUS_OK; key++)
            status = put_in(transaction, key, VALUE_BYTES, percent);
        if (status == STATUS_OK)
            status = store_commit(session, transaction, NULL);
        else
            store_rollback(session, transaction);
        for (unsigned key = 0; key < keys && status == STATUS_OK; key++) {
            plain[key].is_present = true;
            plain[key].size = VALUE_BYTES;
            plain[key].number = percent;
        }
        refused += status == STATUS_OUT_OF_MEMORY;
        verify_all();
        assert_valid();
    }
    cr_assert_gt(refused, 0);
    close_store();
}

/* What an open snapshot may still read is kept, until memory is out; once it ends, all is as before. */
Test(memory, an_open_snapshot_keeps_old_values_only_while_it_is_open)
{
    struct store_session *reader;
    store_transaction snapshot;
    uint64_t number = 100;
    char text[32];

    open_store(4 * MIB, 100);
    reader = store_fixture_session(&fixture);
    for (unsigned key = 0; key < key_count; key++)
        must_put(key, VALUE_BYTES, key + 1);
    cr_assert_eq(store_begin(reader, ISOLATION_SERIALIZABLE, &snapshot), STATUS_OK);
    for (unsigned i = 0; i < 100000; i++)
        put(i % key_count, VALUE_BYTES, ++number);
    for (unsigned key = 0; key < key_count; key++) {
        cr_assert_eq(store_buffer_get(&seen, reader, snapshot, key_of(key, text)), STATUS_OK);
        cr_assert(store_content_is(store_buffer_bytes(&seen), VALUE_BYTES, key + 1), "key %u", key);
    }
    assert_valid();
    store_rollback(reader, snapshot);
    for (unsigned i = 0; i < 20000; i++)
        must_put(i % key_count, VALUE_BYTES, ++number);
    verify_all();
    store_session_close(reader);
    close_store();
}

/* --- a large table --- */

#ifndef __has_feature
#define __has_feature(name) 0
#endif

/* A tenth under the address sanitizer, which takes as much longer, and with small chunks, where a million make as many. */
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer) || defined(HAUSKV_CHUNK_BYTES)
#define MANY_KEYS 1000000u
#else
#define MANY_KEYS 10000000u
#endif

Test(memory, millions_of_keys)
{
    const unsigned keys = (unsigned)store_environment_number("HAUSKV_TEST_STEPS", MANY_KEYS);
    uint64_t counted = 0;
    char text[32];

    store_fixture_wait_for_memory();
    open_store(2048 * MIB, 1);
    for (uint64_t number = 0; number < keys; number++) {
        struct bytes key = key_of((unsigned)number, text);
        enum status status = store_put(session, STORE_SINGLE, key, bytes_from(&number, sizeof(number)));

        cr_assert_eq(status, STATUS_OK, "key %" PRIu64 ": %s", number, status_code(status));
    }
    for (uint64_t number = 0; number < keys; number++) {
        struct bytes key = key_of((unsigned)number, text);

        cr_assert_eq(store_buffer_get(&seen, session, STORE_SINGLE, key), STATUS_OK, "key %" PRIu64, number);
        cr_assert(bytes_equal(store_buffer_bytes(&seen), bytes_from(&number, sizeof(number))), "key %" PRIu64, number);
    }
    cr_assert_eq(store_count(session, STORE_SINGLE, bytes_from(NULL, 0), &counted), STATUS_OK);
    cr_assert_eq(counted, keys);
    fprintf(stderr, "%u keys\n", keys);
    close_store();
}
