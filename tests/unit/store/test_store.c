/* What store.h promises, one sentence per test; each runs against every store. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"
#include "support/store_buffer.h"
#include "support/store_fixture.h"
#include "support/store_random.h"

static struct store_fixture fixture;
static struct store_session *a;
static struct store_session *b;
static struct store_session *c;
static struct store_buffer seen;

static void open_store(enum store_kind kind)
{
    store_fixture_open(&fixture, kind, STORE_FIXTURE_BYTES);
    a = store_fixture_session(&fixture);
    b = store_fixture_session(&fixture);
    c = store_fixture_session(&fixture);
}

static void close_store(void)
{
    const char *reason;

    cr_assert(store_fixture_is_valid(&fixture, &reason), "invalid: %s", reason);
    store_session_close(a);
    store_session_close(b);
    store_session_close(c);
    cr_assert(store_fixture_is_valid(&fixture, &reason), "invalid at the end: %s", reason);
    store_fixture_close(&fixture);
    store_buffer_deinit(&seen);
}

#define STORE_TEST(name)              \
    static void name(void);           \
    Test(store_of_model, name)        \
    {                                 \
        open_store(STORE_OF_MODEL);   \
        name();                       \
        close_store();                \
    }                                 \
    Test(shared_store, name)          \
    {                                 \
        open_store(STORE_OF_SHARED_MEMORY); \
        name();                       \
        close_store();                \
    }                                 \
    static void name(void)

/* --- words that the sentences are made of --- */

static struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

static store_transaction begun_as(struct store_session *session, enum isolation isolation)
{
    store_transaction transaction = STORE_SINGLE;

    cr_assert_eq(store_begin(session, isolation, &transaction), STATUS_OK);
    cr_assert(transaction >= 1 && transaction <= STORE_TRANSACTIONS_MAX);
    return transaction;
}

static store_transaction begun(struct store_session *session)
{
    return begun_as(session, ISOLATION_SERIALIZABLE);
}

static void put(struct store_session *session, store_transaction transaction, const char *key, const char *value)
{
    cr_assert_eq(store_put(session, transaction, text(key), text(value)), STATUS_OK, "PUT %s", key);
}

static void del(struct store_session *session, store_transaction transaction, const char *key)
{
    cr_assert_eq(store_del(session, transaction, text(key)), STATUS_OK, "DEL %s", key);
}

/* The value as a C string, or NULL. Good until the next call. */
static const char *get(struct store_session *session, store_transaction transaction, const char *key)
{
    enum status status = store_buffer_get(&seen, session, transaction, text(key));

    if (status == STATUS_NOT_FOUND)
        return NULL;
    cr_assert_eq(status, STATUS_OK, "GET %s: %s", key, status_code(status));
    store_buffer_append(&seen, bytes_from("", 1));
    return (const char *)seen.data;
}

static void assert_reads(struct store_session *session, store_transaction transaction, const char *key,
                         const char *expected)
{
    const char *value = get(session, transaction, key);

    cr_assert_not_null(value, "%s is missing, expected %s", key, expected);
    cr_assert_str_eq(value, expected, "%s is %s, expected %s", key, value, expected);
}

static void assert_absent(struct store_session *session, store_transaction transaction, const char *key)
{
    cr_assert_eq(store_get(session, transaction, text(key), NULL), STATUS_NOT_FOUND, "%s is there", key);
}

static void assert_commits(struct store_session *session, store_transaction transaction)
{
    enum status status = store_commit(session, transaction, NULL);

    cr_assert_eq(status, STATUS_OK, "COMMIT: %s", status_code(status));
}

static void assert_conflict(struct store_session *session, store_transaction transaction, const char *key)
{
    struct bytes conflict_key = text("untouched");
    enum status status = store_commit(session, transaction, &conflict_key);

    cr_assert_eq(status, STATUS_CONFLICT, "COMMIT: %s", status_code(status));
    cr_assert(bytes_equal(conflict_key, text(key)), "conflict names %.*s, expected %s", (int)conflict_key.size,
              (const char *)conflict_key.data, key);
}

static uint64_t count(struct store_session *session, store_transaction transaction, const char *prefix)
{
    uint64_t number = UINT64_MAX;

    cr_assert_eq(store_count(session, transaction, text(prefix), &number), STATUS_OK);
    return number;
}

/* Scans from the beginning to the end in pages. */
static void scan_all(struct store_session *session, store_transaction transaction, const char *prefix, unsigned limit,
                     struct store_keys *keys)
{
    uint64_t cursor = 0;

    store_keys_clear(keys);
    do {
        cr_assert_eq(store_keys_scan(keys, session, transaction, &cursor, text(prefix), limit), STATUS_OK);
    } while (cursor != 0);
}

static void put_many(struct store_session *session, store_transaction transaction, const char *prefix, unsigned number)
{
    char key[64];

    for (unsigned i = 0; i < number; i++) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        put(session, transaction, key, key);
    }
}

static void del_many(struct store_session *session, store_transaction transaction, const char *prefix, unsigned number)
{
    char key[64];

    for (unsigned i = 0; i < number; i++) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        del(session, transaction, key);
    }
}

static bool contains(const struct store_keys *keys, const char *key)
{
    return store_keys_number_of(keys, text(key)) == 1;
}

static void assert_all_once(const struct store_keys *keys, const char *prefix, unsigned number)
{
    char key[64];

    for (unsigned i = 0; i < number; i++) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        cr_assert_eq(store_keys_number_of(keys, text(key)), 1, "%s was returned %zu times", key,
                     store_keys_number_of(keys, text(key)));
    }
}

static unsigned shard_of(const char *key)
{
    unsigned shard_count = store_fixture_shard_count(&fixture);

    return (unsigned)((store_fixture_hash(&fixture, text(key)) >> 32) * shard_count >> 32);
}

/* --- single commands --- */

STORE_TEST(a_new_store_is_empty)
{
    struct store_keys keys = {0};

    assert_absent(a, STORE_SINGLE, "k");
    cr_assert_eq(count(a, STORE_SINGLE, ""), 0);
    scan_all(a, STORE_SINGLE, "", 100, &keys);
    cr_assert_eq(keys.count, 0);
    store_keys_deinit(&keys);
}

STORE_TEST(a_put_is_read_by_everybody)
{
    put(a, STORE_SINGLE, "k", "v");

    assert_reads(a, STORE_SINGLE, "k", "v");
    assert_reads(b, STORE_SINGLE, "k", "v");
}

STORE_TEST(a_put_replaces)
{
    put(a, STORE_SINGLE, "k", "long before");
    put(b, STORE_SINGLE, "k", "now");

    assert_reads(a, STORE_SINGLE, "k", "now");
    cr_assert_eq(count(a, STORE_SINGLE, ""), 1);
}

STORE_TEST(a_deleted_key_is_gone)
{
    put(a, STORE_SINGLE, "k", "v");
    del(b, STORE_SINGLE, "k");

    assert_absent(a, STORE_SINGLE, "k");
    cr_assert_eq(count(a, STORE_SINGLE, ""), 0);
}

STORE_TEST(a_deleted_key_can_come_back)
{
    put(a, STORE_SINGLE, "k", "before");
    del(a, STORE_SINGLE, "k");
    put(a, STORE_SINGLE, "k", "after");

    assert_reads(b, STORE_SINGLE, "k", "after");
}

STORE_TEST(del_of_an_absent_key_is_ok)
{
    del(a, STORE_SINGLE, "k");

    assert_absent(a, STORE_SINGLE, "k");
}

STORE_TEST(get_without_sink_only_asks)
{
    put(a, STORE_SINGLE, "k", "v");

    cr_assert_eq(store_get(a, STORE_SINGLE, text("k"), NULL), STATUS_OK);
    cr_assert_eq(store_get(a, STORE_SINGLE, text("l"), NULL), STATUS_NOT_FOUND);
}

STORE_TEST(many_keys_are_kept_apart)
{
    char key[64];

    put_many(a, STORE_SINGLE, "key ", 5000);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        assert_reads(b, STORE_SINGLE, key, key);
    }
    cr_assert_eq(count(a, STORE_SINGLE, ""), 5000);
}

/* --- sizes --- */

STORE_TEST(the_empty_value_is_a_value)
{
    put(a, STORE_SINGLE, "k", "something");
    put(a, STORE_SINGLE, "k", "");

    assert_reads(a, STORE_SINGLE, "k", "");
}

static void put_content(const char *key, size_t size, uint64_t number)
{
    unsigned char *content = malloc(size + 1);

    cr_assert_not_null(content);
    store_content_fill(content, size, number);
    cr_assert_eq(store_put(a, STORE_SINGLE, text(key), bytes_from(content, size)), STATUS_OK, "%zu bytes", size);
    free(content);
}

static void assert_content(store_transaction transaction, const char *key, size_t size, uint64_t number)
{
    cr_assert_eq(store_buffer_get(&seen, b, transaction, text(key)), STATUS_OK);
    cr_assert(store_content_is(store_buffer_bytes(&seen), size, number), "%zu bytes came back as %zu", size, seen.size);
}

STORE_TEST(values_of_every_size_come_back)
{
    size_t limit = store_value_bytes_max(fixture.store);

    cr_assert_geq(limit, 1);
    limit = limit < (1u << 20) ? limit : 1u << 20;
    for (size_t size = 1; size < limit; size += 1 + size / 7) {
        put_content("k", size, size);
        assert_content(STORE_SINGLE, "k", size, size);
    }
    put_content("k", limit, 1);
    assert_content(STORE_SINGLE, "k", limit, 1);
}

STORE_TEST(sizes_around_powers_of_two_come_back)
{
    size_t limit = store_value_bytes_max(fixture.store);
    char key[32];

    for (size_t power = 16; power < limit / 2 && power <= (1u << 18); power *= 2) {
        for (size_t size = power - 2; size <= power + 2; size++) {
            snprintf(key, sizeof(key), "%zu", size);
            put_content(key, size, size);
            assert_content(STORE_SINGLE, key, size, size);
        }
    }
    for (size_t power = 16; power < limit / 2 && power <= (1u << 18); power *= 2) {
        snprintf(key, sizeof(key), "%zu", power);
        assert_content(STORE_SINGLE, key, power, power);
    }
}

STORE_TEST(an_old_large_value_stays_readable_in_its_snapshot)
{
    size_t limit = store_value_bytes_max(fixture.store);
    size_t size = limit < 300000 ? limit : 300000;
    store_transaction reader;

    put_content("k", size, 1);
    reader = begun(b);
    for (uint64_t i = 2; i < 30; i++)
        put_content("k", size - i, i);

    assert_content(reader, "k", size, 1);
    assert_content(STORE_SINGLE, "k", size - 29, 29);
    assert_commits(b, reader);
}

STORE_TEST(a_value_over_the_limit_is_refused)
{
    size_t size = store_value_bytes_max(fixture.store) + 1;
    unsigned char *content = calloc(1, size);

    cr_assert_not_null(content);
    put(a, STORE_SINGLE, "k", "v");
    cr_assert_eq(store_put(a, STORE_SINGLE, text("k"), bytes_from(content, size)), STATUS_TOO_LARGE);
    assert_reads(a, STORE_SINGLE, "k", "v");
    free(content);
}

STORE_TEST(a_value_over_the_limit_leaves_the_transaction_open_for_rollback)
{
    size_t size = store_value_bytes_max(fixture.store) + 1;
    unsigned char *content = calloc(1, size);
    store_transaction transaction = begun(a);

    cr_assert_not_null(content);
    put(a, transaction, "k", "v");
    cr_assert_eq(store_put(a, transaction, text("l"), bytes_from(content, size)), STATUS_TOO_LARGE);
    store_rollback(a, transaction);
    assert_absent(a, STORE_SINGLE, "k");
    assert_absent(a, STORE_SINGLE, "l");
    free(content);
}

STORE_TEST(keys_of_every_size_are_kept)
{
    unsigned char key[STORE_KEY_BYTES_MAX];

    memset(key, 'k', sizeof(key));
    for (size_t size = 1; size <= sizeof(key); size++)
        cr_assert_eq(store_put(a, STORE_SINGLE, bytes_from(key, size), bytes_from(&size, sizeof(size))), STATUS_OK);
    for (size_t size = 1; size <= sizeof(key); size++) {
        cr_assert_eq(store_buffer_get(&seen, b, STORE_SINGLE, bytes_from(key, size)), STATUS_OK);
        cr_assert(bytes_equal(store_buffer_bytes(&seen), bytes_from(&size, sizeof(size))), "key of %zu bytes", size);
    }
}

STORE_TEST(zero_bytes_in_keys_and_values_are_data)
{
    struct bytes keys[] = {bytes_from("\0", 1), bytes_from("\0\0", 2), bytes_from("a\0", 2), bytes_from("a\0b", 3),
                           bytes_from("a\0c", 3), bytes_from("a", 1)};
    size_t number = sizeof(keys) / sizeof(keys[0]);

    for (size_t i = 0; i < number; i++)
        cr_assert_eq(store_put(a, STORE_SINGLE, keys[i], keys[i]), STATUS_OK);
    for (size_t i = 0; i < number; i++) {
        cr_assert_eq(store_buffer_get(&seen, a, STORE_SINGLE, keys[i]), STATUS_OK);
        cr_assert(bytes_equal(store_buffer_bytes(&seen), keys[i]));
    }
    cr_assert_eq(count(a, STORE_SINGLE, ""), number);
}

/* --- a transaction and its own writes --- */

STORE_TEST(own_writes_are_seen_by_the_transaction_alone)
{
    store_transaction transaction = begun(a);

    put(a, transaction, "k", "mine");

    assert_reads(a, transaction, "k", "mine");
    assert_absent(a, STORE_SINGLE, "k");
    assert_absent(b, STORE_SINGLE, "k");
    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "mine");
}

STORE_TEST(the_last_own_write_counts)
{
    store_transaction transaction = begun(a);

    put(a, STORE_SINGLE, "x", "0");
    put(a, transaction, "k", "1");
    del(a, transaction, "k");
    assert_absent(a, transaction, "k");
    put(a, transaction, "k", "2 is longer");
    put(a, transaction, "l", "1");
    del(a, transaction, "l");
    del(a, transaction, "x");
    put(a, transaction, "x", "2");

    assert_reads(a, transaction, "k", "2 is longer");
    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "2 is longer");
    assert_absent(b, STORE_SINGLE, "l");
    assert_reads(b, STORE_SINGLE, "x", "2");
}

STORE_TEST(own_inserts_and_deletes_show_in_count_and_scan)
{
    struct store_keys keys = {0};
    store_transaction transaction;

    put(a, STORE_SINGLE, "stays", "");
    put(a, STORE_SINGLE, "goes", "");
    transaction = begun(a);
    put(a, transaction, "comes", "");
    del(a, transaction, "goes");
    put(a, transaction, "passes", "");
    del(a, transaction, "passes");

    cr_assert_eq(count(a, transaction, ""), 2);
    scan_all(a, transaction, "", 1, &keys);
    cr_assert_eq(keys.count, 2);
    cr_assert(contains(&keys, "stays") && contains(&keys, "comes"));
    cr_assert_eq(count(b, STORE_SINGLE, ""), 2);
    store_rollback(a, transaction);
    scan_all(a, STORE_SINGLE, "", 1, &keys);
    cr_assert(keys.count == 2 && contains(&keys, "stays") && contains(&keys, "goes"));
    store_keys_deinit(&keys);
}

STORE_TEST(a_rollback_leaves_nothing)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "before");
    transaction = begun(a);
    put(a, transaction, "k", "after");
    put(a, transaction, "l", "after");
    store_rollback(a, transaction);

    assert_reads(a, STORE_SINGLE, "k", "before");
    assert_absent(a, STORE_SINGLE, "l");
}

STORE_TEST(closing_a_session_rolls_back)
{
    struct store_session *leaving = store_fixture_session(&fixture);
    store_transaction first = begun(leaving);
    store_transaction second = begun_as(leaving, ISOLATION_READ_COMMITTED);

    put(leaving, first, "k", "1");
    put(leaving, second, "l", "1");
    store_session_close(leaving);

    assert_absent(a, STORE_SINGLE, "k");
    assert_absent(a, STORE_SINGLE, "l");
}

STORE_TEST(an_empty_transaction_commits)
{
    assert_commits(a, begun(a));
    assert_commits(a, begun_as(a, ISOLATION_READ_COMMITTED));
    store_rollback(a, begun(a));
}

STORE_TEST(a_transaction_of_many_writes_commits_at_once)
{
    store_transaction transaction = begun(a);
    store_transaction before;

    put(a, STORE_SINGLE, "old 7", "there");
    put_many(a, transaction, "key ", 2000);
    del_many(a, transaction, "old ", 100);
    cr_assert_eq(count(b, STORE_SINGLE, "key "), 0);
    before = begun(b);
    assert_commits(a, transaction);

    cr_assert_eq(count(b, before, "key "), 0);
    cr_assert_eq(count(b, before, "old "), 1);
    cr_assert_eq(count(b, STORE_SINGLE, "key "), 2000);
    cr_assert_eq(count(b, STORE_SINGLE, "old "), 0);
    assert_commits(b, before);
}

/* --- several transactions in a session --- */

STORE_TEST(a_session_has_eight_transactions_and_no_more)
{
    bool is_taken[STORE_TRANSACTIONS_MAX + 1] = {false};
    store_transaction transactions[STORE_TRANSACTIONS_MAX];
    store_transaction another;

    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        transactions[i] = begun(a);
        cr_assert_not(is_taken[transactions[i]]);
        is_taken[transactions[i]] = true;
    }
    cr_assert_eq(store_begin(a, ISOLATION_SERIALIZABLE, &another), STATUS_TOO_LARGE);
    store_rollback(b, begun(b));
    assert_commits(a, transactions[3]);
    another = begun(a);
    cr_assert_eq(store_begin(a, ISOLATION_READ_COMMITTED, &transactions[3]), STATUS_TOO_LARGE);
    transactions[3] = another;
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++)
        store_rollback(a, transactions[i]);
}

STORE_TEST(transactions_of_one_session_are_isolated)
{
    store_transaction first = begun(a);
    store_transaction second = begun(a);

    put(a, first, "k", "first");
    assert_absent(a, second, "k");
    put(a, second, "l", "second");
    assert_absent(a, first, "l");
    assert_commits(a, first);
    assert_absent(a, second, "k");
    assert_conflict(a, second, "k");
    assert_absent(a, STORE_SINGLE, "l");
}

STORE_TEST(a_transaction_that_is_reused_remembers_nothing)
{
    store_transaction transaction = begun(a);

    put(a, transaction, "k", "1");
    assert_absent(a, transaction, "l");
    cr_assert_eq(count(a, transaction, ""), 1);
    store_rollback(a, transaction);
    transaction = begun(a);
    put(b, STORE_SINGLE, "l", "1");
    put(a, transaction, "m", "1");

    assert_absent(a, transaction, "k");
    assert_commits(a, transaction);
    assert_absent(b, STORE_SINGLE, "k");
}

/* --- SERIALIZABLE --- */

STORE_TEST(a_snapshot_is_taken_when_the_transaction_begins)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "before");
    transaction = begun(a);
    put(b, STORE_SINGLE, "k", "after");
    put(b, STORE_SINGLE, "l", "after");

    assert_reads(a, transaction, "k", "before");
    assert_absent(a, transaction, "l");
    cr_assert_eq(count(a, transaction, ""), 1);
    assert_commits(a, transaction);
    assert_reads(a, STORE_SINGLE, "k", "after");
}

STORE_TEST(a_key_deleted_since_is_still_in_the_snapshot)
{
    struct store_keys keys = {0};
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "v");
    transaction = begun(a);
    del(b, STORE_SINGLE, "k");

    assert_reads(a, transaction, "k", "v");
    cr_assert_eq(count(a, transaction, ""), 1);
    scan_all(a, transaction, "", 10, &keys);
    cr_assert_eq(keys.count, 1);
    assert_commits(a, transaction);
    assert_absent(a, STORE_SINGLE, "k");
    store_keys_deinit(&keys);
}

STORE_TEST(a_key_that_went_and_came_back_is_the_old_one_in_the_snapshot)
{
    store_transaction first;
    store_transaction second;

    put(a, STORE_SINGLE, "k", "1");
    first = begun(a);
    del(b, STORE_SINGLE, "k");
    second = begun(a);
    put(b, STORE_SINGLE, "k", "2");

    assert_reads(a, first, "k", "1");
    assert_absent(a, second, "k");
    assert_reads(a, STORE_SINGLE, "k", "2");
    store_rollback(a, first);
    store_rollback(a, second);
}

STORE_TEST(every_snapshot_sees_its_own_state)
{
    store_transaction snapshots[STORE_TRANSACTIONS_MAX];
    char value[8];

    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        snprintf(value, sizeof(value), "%u", i);
        put(b, STORE_SINGLE, "k", value);
        snapshots[i] = begun(a);
    }
    for (unsigned i = STORE_TRANSACTIONS_MAX; i > 0; i--) {
        snprintf(value, sizeof(value), "%u", i - 1);
        put(b, STORE_SINGLE, "k", "newer");
        assert_reads(a, snapshots[i - 1], "k", value);
        assert_commits(a, snapshots[i - 1]);
    }
}

STORE_TEST(no_update_is_lost)
{
    store_transaction first;
    store_transaction second;

    put(a, STORE_SINGLE, "n", "1");
    first = begun(a);
    second = begun(b);
    assert_reads(a, first, "n", "1");
    assert_reads(b, second, "n", "1");
    put(a, first, "n", "2");
    put(b, second, "n", "3");

    assert_commits(a, first);
    assert_conflict(b, second, "n");
    assert_reads(a, STORE_SINGLE, "n", "2");
}

STORE_TEST(a_conflict_applies_nothing_and_ends_the_transaction)
{
    store_transaction transaction = begun(a);

    assert_absent(a, transaction, "k");
    put(a, transaction, "l", "1");
    put(a, transaction, "m", "1");
    put(b, STORE_SINGLE, "k", "changed");
    assert_conflict(a, transaction, "k");

    assert_absent(a, STORE_SINGLE, "l");
    assert_absent(a, STORE_SINGLE, "m");
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++)
        begun(a);
}

STORE_TEST(a_retry_after_a_conflict_succeeds)
{
    store_transaction transaction = begun(a);

    get(a, transaction, "k");
    put(b, STORE_SINGLE, "k", "1");
    put(a, transaction, "k", "2");
    assert_conflict(a, transaction, "k");
    transaction = begun(a);
    assert_reads(a, transaction, "k", "1");
    put(a, transaction, "k", "2");

    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "2");
}

STORE_TEST(write_skew_is_refused)
{
    store_transaction first;
    store_transaction second;

    put(a, STORE_SINGLE, "alice on call", "yes");
    put(a, STORE_SINGLE, "bob on call", "yes");
    first = begun(a);
    second = begun(b);
    assert_reads(a, first, "bob on call", "yes");
    assert_reads(b, second, "alice on call", "yes");
    put(a, first, "alice on call", "no");
    put(b, second, "bob on call", "no");

    assert_commits(a, first);
    assert_conflict(b, second, "alice on call");
    assert_reads(a, STORE_SINGLE, "bob on call", "yes");
}

STORE_TEST(write_skew_over_absent_keys_is_refused)
{
    store_transaction first = begun(a);
    store_transaction second = begun(b);

    assert_absent(a, first, "y");
    assert_absent(b, second, "x");
    put(a, first, "x", "1");
    put(b, second, "y", "1");

    assert_commits(a, first);
    assert_conflict(b, second, "x");
}

/* Fekete, O'Neil, O'Neil: "A read-only transaction anomaly under snapshot isolation", 2004. */
STORE_TEST(a_reader_does_not_see_an_impossible_order)
{
    store_transaction withdrawal;
    store_transaction deposit;
    store_transaction report;

    put(a, STORE_SINGLE, "checking", "0");
    put(a, STORE_SINGLE, "savings", "0");
    withdrawal = begun(a);
    assert_reads(a, withdrawal, "checking", "0");
    assert_reads(a, withdrawal, "savings", "0");
    deposit = begun(b);
    assert_reads(b, deposit, "savings", "0");
    put(b, deposit, "savings", "20");
    assert_commits(b, deposit);
    report = begun(c);
    assert_reads(c, report, "checking", "0");
    assert_reads(c, report, "savings", "20");
    assert_commits(c, report);
    put(a, withdrawal, "checking", "-11");

    assert_conflict(a, withdrawal, "savings");
}

STORE_TEST(no_read_is_fractured)
{
    store_transaction writer;
    store_transaction reader;

    put(a, STORE_SINGLE, "x", "0");
    put(a, STORE_SINGLE, "y", "0");
    reader = begun(b);
    assert_reads(b, reader, "x", "0");
    writer = begun(a);
    put(a, writer, "x", "1");
    put(a, writer, "y", "1");
    assert_commits(a, writer);

    assert_reads(b, reader, "y", "0");
    assert_commits(b, reader);
}

STORE_TEST(a_transaction_that_only_read_never_conflicts)
{
    struct store_keys keys = {0};
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = begun(a);
    assert_reads(a, transaction, "k", "1");
    assert_absent(a, transaction, "l");
    scan_all(a, transaction, "", 100, &keys);
    put(b, STORE_SINGLE, "k", "2");
    put(b, STORE_SINGLE, "l", "2");
    del(b, STORE_SINGLE, "k");

    assert_commits(a, transaction);
    store_keys_deinit(&keys);
}

STORE_TEST(a_transaction_that_only_wrote_never_conflicts)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    put(a, STORE_SINGLE, "m", "1");
    transaction = begun(a);
    put(a, transaction, "k", "blind");
    put(a, transaction, "l", "blind");
    del(a, transaction, "m");
    put(b, STORE_SINGLE, "k", "2");
    put(b, STORE_SINGLE, "l", "2");
    put(b, STORE_SINGLE, "m", "2");

    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "blind");
    assert_reads(b, STORE_SINGLE, "l", "blind");
    assert_absent(b, STORE_SINGLE, "m");
}

STORE_TEST(reading_an_own_write_is_no_read)
{
    store_transaction transaction = begun(a);

    put(a, transaction, "k", "mine");
    assert_reads(a, transaction, "k", "mine");
    del(a, transaction, "l");
    assert_absent(a, transaction, "l");
    put(b, STORE_SINGLE, "k", "yours");
    put(b, STORE_SINGLE, "l", "yours");

    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "mine");
    assert_absent(b, STORE_SINGLE, "l");
}

STORE_TEST(asking_whether_a_key_is_there_is_a_read)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = begun(a);
    cr_assert_eq(store_get(a, transaction, text("k"), NULL), STATUS_OK);
    put(a, transaction, "l", "1");
    del(b, STORE_SINGLE, "k");

    assert_conflict(a, transaction, "k");
}

STORE_TEST(a_key_deleted_since_it_was_read_conflicts)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = begun(a);
    assert_reads(a, transaction, "k", "1");
    put(a, transaction, "l", "1");
    del(b, STORE_SINGLE, "k");

    assert_conflict(a, transaction, "k");
}

STORE_TEST(a_key_that_went_and_came_back_the_same_conflicts)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = begun(a);
    assert_reads(a, transaction, "k", "1");
    put(a, transaction, "l", "1");
    del(b, STORE_SINGLE, "k");
    put(b, STORE_SINGLE, "k", "1");

    assert_conflict(a, transaction, "k");
}

STORE_TEST(a_key_read_as_absent_and_still_absent_is_no_conflict)
{
    store_transaction transaction = begun(a);

    assert_absent(a, transaction, "k");
    put(b, STORE_SINGLE, "k", "in between");
    del(b, STORE_SINGLE, "k");
    put(a, transaction, "l", "1");

    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "l", "1");
}

STORE_TEST(a_key_deleted_before_the_snapshot_is_read_as_absent)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    del(a, STORE_SINGLE, "k");
    transaction = begun(a);
    assert_absent(a, transaction, "k");
    put(a, transaction, "l", "1");

    assert_commits(a, transaction);
}

STORE_TEST(a_change_of_other_keys_is_no_conflict)
{
    store_transaction transaction;

    put_many(a, STORE_SINGLE, "key ", 100);
    transaction = begun(a);
    assert_reads(a, transaction, "key 50", "key 50");
    put(a, transaction, "key 51", "mine");
    del_many(b, STORE_SINGLE, "key ", 50);

    assert_commits(a, transaction);
}

STORE_TEST(del_of_an_absent_key_disturbs_nobody)
{
    store_transaction transaction = begun(a);

    assert_absent(a, transaction, "k");
    cr_assert_eq(count(a, transaction, ""), 0);
    put(a, transaction, "l", "1");
    del(b, STORE_SINGLE, "k");

    assert_commits(a, transaction);
}

STORE_TEST(del_applies_to_what_is_there_at_commit)
{
    store_transaction transaction = begun(a);

    del(a, transaction, "k");
    put(b, STORE_SINGLE, "k", "came meanwhile");

    assert_commits(a, transaction);
    assert_absent(b, STORE_SINGLE, "k");
}

STORE_TEST(a_transaction_of_reads_and_a_del_that_does_nothing_is_validated)
{
    store_transaction transaction = begun(a);

    assert_absent(a, transaction, "k");
    del(a, transaction, "l");
    put(b, STORE_SINGLE, "k", "1");

    assert_conflict(a, transaction, "k");
}

STORE_TEST(a_conflict_may_go_unnamed)
{
    store_transaction transaction = begun(a);

    assert_absent(a, transaction, "k");
    put(a, transaction, "l", "1");
    put(b, STORE_SINGLE, "k", "1");

    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_CONFLICT);
}

STORE_TEST(a_transaction_may_read_many_keys)
{
    store_transaction transaction;
    char key[64];

    put_many(a, STORE_SINGLE, "key ", 1000);
    transaction = begun(a);
    for (unsigned i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(store_get(a, transaction, text(key), NULL), i < 1000 ? STATUS_OK : STATUS_NOT_FOUND);
    }
    put(a, transaction, "l", "1");
    put(b, STORE_SINGLE, "key 1777", "came");

    assert_conflict(a, transaction, "key 1777");
}

/* --- READ COMMITTED --- */

STORE_TEST(read_committed_reads_the_latest)
{
    store_transaction transaction = begun_as(a, ISOLATION_READ_COMMITTED);

    assert_absent(a, transaction, "k");
    put(b, STORE_SINGLE, "k", "1");
    assert_reads(a, transaction, "k", "1");
    put(b, STORE_SINGLE, "k", "2");
    assert_reads(a, transaction, "k", "2");
    cr_assert_eq(count(a, transaction, ""), 1);
    del(b, STORE_SINGLE, "k");
    assert_absent(a, transaction, "k");
    cr_assert_eq(count(a, transaction, ""), 0);
    assert_commits(a, transaction);
}

STORE_TEST(read_committed_reads_nothing_uncommitted)
{
    store_transaction writer = begun(b);
    store_transaction reader = begun_as(a, ISOLATION_READ_COMMITTED);

    put(b, writer, "k", "1");
    assert_absent(a, reader, "k");
    store_rollback(b, writer);
    assert_absent(a, reader, "k");
    store_rollback(a, reader);
}

STORE_TEST(read_committed_sees_its_own_writes)
{
    struct store_keys keys = {0};
    store_transaction transaction;

    put(a, STORE_SINGLE, "goes", "");
    transaction = begun_as(a, ISOLATION_READ_COMMITTED);
    put(a, transaction, "k", "mine");
    del(a, transaction, "goes");
    put(b, STORE_SINGLE, "k", "yours");
    put(b, STORE_SINGLE, "new", "yours");

    assert_reads(a, transaction, "k", "mine");
    scan_all(a, transaction, "", 100, &keys);
    cr_assert(keys.count == 2 && contains(&keys, "k") && contains(&keys, "new"));
    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "mine");
    assert_absent(b, STORE_SINGLE, "goes");
    store_keys_deinit(&keys);
}

STORE_TEST(read_committed_never_conflicts)
{
    store_transaction transaction = begun_as(a, ISOLATION_READ_COMMITTED);

    assert_absent(a, transaction, "k");
    cr_assert_eq(count(a, transaction, ""), 0);
    put(a, transaction, "k", "mine");
    put(b, STORE_SINGLE, "k", "yours");
    put(b, STORE_SINGLE, "l", "yours");

    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "mine");
}

STORE_TEST(read_committed_commits_all_or_nothing)
{
    store_transaction writer = begun_as(a, ISOLATION_READ_COMMITTED);
    store_transaction reader;

    put(a, writer, "x", "1");
    put(a, writer, "y", "1");
    reader = begun(b);
    assert_commits(a, writer);

    assert_absent(b, reader, "x");
    assert_absent(b, reader, "y");
    store_rollback(b, reader);
    cr_assert_eq(count(b, STORE_SINGLE, ""), 2);
}

/* --- phantoms --- */

static store_transaction counted_then_wrote(struct store_session *session)
{
    store_transaction transaction = begun(session);

    count(session, transaction, "");
    put(session, transaction, "result", "1");
    return transaction;
}

STORE_TEST(an_insert_after_a_count_conflicts)
{
    store_transaction transaction = counted_then_wrote(a);

    put(b, STORE_SINGLE, "phantom", "1");

    assert_conflict(a, transaction, "");
    assert_absent(a, STORE_SINGLE, "result");
}

STORE_TEST(a_delete_after_a_count_conflicts)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = counted_then_wrote(a);
    del(b, STORE_SINGLE, "k");

    assert_conflict(a, transaction, "");
}

STORE_TEST(an_insert_and_delete_after_a_count_conflict)
{
    store_transaction transaction = counted_then_wrote(a);

    put(b, STORE_SINGLE, "phantom", "1");
    del(b, STORE_SINGLE, "phantom");

    assert_conflict(a, transaction, "");
}

STORE_TEST(a_new_value_after_a_count_is_no_conflict)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    transaction = counted_then_wrote(a);
    put(b, STORE_SINGLE, "k", "2");
    del(b, STORE_SINGLE, "absent");

    assert_commits(a, transaction);
}

STORE_TEST(phantoms_of_committed_transactions_count_too)
{
    store_transaction transaction;
    store_transaction other;

    put(a, STORE_SINGLE, "k", "1");
    transaction = counted_then_wrote(a);
    other = begun(b);
    del(b, other, "k");
    assert_commits(b, other);

    assert_conflict(a, transaction, "");
}

STORE_TEST(skew_over_counts_is_refused)
{
    store_transaction first = begun(a);
    store_transaction second = begun(b);

    cr_assert_eq(count(a, first, "guest "), 0);
    cr_assert_eq(count(b, second, "guest "), 0);
    put(a, first, "guest 1", "");
    put(b, second, "guest 2", "");

    assert_commits(a, first);
    assert_conflict(b, second, "");
}

STORE_TEST(an_insert_after_a_whole_scan_conflicts)
{
    struct store_keys keys = {0};
    store_transaction transaction;

    put_many(a, STORE_SINGLE, "key ", 100);
    transaction = begun(a);
    scan_all(a, transaction, "nothing", 7, &keys);
    put(a, transaction, "result", "1");
    put(b, STORE_SINGLE, "phantom", "1");

    assert_conflict(a, transaction, "");
    store_keys_deinit(&keys);
}

/* Puts a new key "<prefix><number>" into a shard that comes before (or behind) another. */
static void put_in_shard(struct store_session *session, const char *prefix, unsigned shard)
{
    char key[64];

    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%s%u", prefix, i);
        if (shard_of(key) == shard) {
            put(session, STORE_SINGLE, key, "1");
            return;
        }
    }
    cr_assert_fail("no key for shard %u", shard);
}

STORE_TEST(only_the_part_that_was_scanned_conflicts)
{
    unsigned last_shard = store_fixture_shard_count(&fixture) - 1;
    struct store_keys keys = {0};
    store_transaction behind;
    store_transaction inside;
    uint64_t cursor = 0;

    put_in_shard(a, "first ", 0);
    put_in_shard(a, "last ", last_shard);
    behind = begun(a);
    inside = begun(a);
    cr_assert_eq(store_keys_scan(&keys, a, behind, &cursor, text(""), 1), STATUS_OK);
    cr_assert_neq(cursor, 0);
    cursor = 0;
    cr_assert_eq(store_keys_scan(&keys, a, inside, &cursor, text(""), 1), STATUS_OK);
    put(a, behind, "result", "1");
    put(a, inside, "result", "2");
    if (last_shard > 0)
        put_in_shard(b, "new ", last_shard);
    assert_commits(a, behind);
    put_in_shard(b, "newer ", 0);
    assert_conflict(a, inside, "");
    store_keys_deinit(&keys);
}

/* --- SCAN --- */

STORE_TEST(a_scan_returns_every_key_once_in_order_of_hash)
{
    struct store_keys keys = {0};
    uint64_t previous = 0;

    put_many(a, STORE_SINGLE, "key ", 3000);
    scan_all(b, STORE_SINGLE, "", 100, &keys);

    cr_assert_eq(keys.count, 3000);
    for (size_t i = 0; i < keys.count; i++) {
        uint64_t hash = store_fixture_hash(&fixture, store_keys_at(&keys, i));

        cr_assert(i == 0 || hash > previous, "key %zu is out of order", i);
        previous = hash;
    }
    store_keys_deinit(&keys);
}

STORE_TEST(the_size_of_the_page_changes_nothing)
{
    struct store_keys whole = {0};
    struct store_keys paged = {0};

    put_many(a, STORE_SINGLE, "key ", 200);
    scan_all(a, STORE_SINGLE, "", STORE_SCAN_LIMIT_MAX, &whole);
    cr_assert_eq(whole.count, 200);
    for (unsigned limit = 1; limit < 250; limit += 1 + limit / 3) {
        scan_all(b, STORE_SINGLE, "", limit, &paged);
        cr_assert(store_keys_equal(&whole, &paged), "limit %u", limit);
    }
    store_keys_deinit(&whole);
    store_keys_deinit(&paged);
}

STORE_TEST(a_page_has_no_more_keys_than_its_limit)
{
    struct store_keys keys = {0};
    uint64_t cursor = 0;

    put_many(a, STORE_SINGLE, "key ", 100);
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 30), STATUS_OK);

    cr_assert_eq(keys.count, 30);
    cr_assert_eq(cursor, store_fixture_hash(&fixture, store_keys_at(&keys, 29)) + 1);
    store_keys_deinit(&keys);
}

STORE_TEST(a_full_last_page_is_followed_by_an_empty_one)
{
    struct store_keys keys = {0};
    uint64_t cursor = 0;

    put_many(a, STORE_SINGLE, "key ", 10);
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 10), STATUS_OK);
    cr_assert_eq(keys.count, 10);
    cr_assert_eq(cursor, store_fixture_hash(&fixture, store_keys_at(&keys, 9)) + 1);
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 10), STATUS_OK);
    cr_assert_eq(keys.count, 10);
    cr_assert_eq(cursor, 0);
    store_keys_deinit(&keys);
}

STORE_TEST(a_scan_with_a_prefix_returns_what_starts_so)
{
    struct store_keys keys = {0};

    put_many(a, STORE_SINGLE, "apple ", 50);
    put_many(a, STORE_SINGLE, "pear ", 70);
    put(a, STORE_SINGLE, "apple", "");
    scan_all(b, STORE_SINGLE, "apple ", 7, &keys);
    cr_assert_eq(keys.count, 50);
    assert_all_once(&keys, "apple ", 50);
    scan_all(b, STORE_SINGLE, "apple and more", 7, &keys);
    cr_assert_eq(keys.count, 0);
    store_keys_deinit(&keys);
}

STORE_TEST(count_counts_what_starts_with_the_prefix)
{
    put_many(a, STORE_SINGLE, "apple ", 50);
    put_many(a, STORE_SINGLE, "pear ", 70);
    put(a, STORE_SINGLE, "p", "");

    cr_assert_eq(count(b, STORE_SINGLE, ""), 121);
    cr_assert_eq(count(b, STORE_SINGLE, "apple "), 50);
    cr_assert_eq(count(b, STORE_SINGLE, "p"), 71);
    cr_assert_eq(count(b, STORE_SINGLE, "pear 1"), 11);
    cr_assert_eq(count(b, STORE_SINGLE, "cherry"), 0);
}

STORE_TEST(keys_present_throughout_are_scanned_once_while_others_come_and_go)
{
    struct store_keys keys = {0};
    uint64_t cursor = 0;
    char prefix[32];
    unsigned page = 0;

    put_many(a, STORE_SINGLE, "stays ", 1000);
    put_many(a, STORE_SINGLE, "goes ", 1000);
    do {
        cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 50), STATUS_OK);
        snprintf(prefix, sizeof(prefix), "comes %u ", page++);
        put_many(b, STORE_SINGLE, prefix, 100);
        if (page == 5)
            del_many(b, STORE_SINGLE, "goes ", 1000);
    } while (cursor != 0);

    assert_all_once(&keys, "stays ", 1000);
    store_keys_deinit(&keys);
}

STORE_TEST(a_scan_in_a_snapshot_is_the_snapshot)
{
    struct store_keys before = {0};
    struct store_keys paged = {0};
    store_transaction transaction;
    uint64_t cursor = 0;
    char prefix[32];
    unsigned page = 0;

    put_many(a, STORE_SINGLE, "key ", 500);
    scan_all(a, STORE_SINGLE, "", 10000, &before);
    transaction = begun(a);
    do {
        cr_assert_eq(store_keys_scan(&paged, a, transaction, &cursor, text(""), 20), STATUS_OK);
        snprintf(prefix, sizeof(prefix), "comes %u ", page++);
        put_many(b, STORE_SINGLE, prefix, 50);
        del_many(b, STORE_SINGLE, "key ", 20 * page);
    } while (cursor != 0);

    cr_assert(store_keys_equal(&before, &paged), "%zu keys, then %zu", before.count, paged.count);
    assert_commits(a, transaction);
    store_keys_deinit(&before);
    store_keys_deinit(&paged);
}

STORE_TEST(a_scan_begins_where_its_cursor_says)
{
    struct store_keys whole = {0};
    struct store_keys rest = {0};
    uint64_t cursor;

    put_many(a, STORE_SINGLE, "key ", 100);
    scan_all(a, STORE_SINGLE, "", 1000, &whole);
    cursor = store_fixture_hash(&fixture, store_keys_at(&whole, 40));
    cr_assert_eq(store_keys_scan(&rest, a, STORE_SINGLE, &cursor, text(""), 1000), STATUS_OK);
    cr_assert_eq(rest.count, 60);
    cr_assert(bytes_equal(store_keys_at(&rest, 0), store_keys_at(&whole, 40)));
    cursor = UINT64_MAX;
    store_keys_clear(&rest);
    cr_assert_eq(store_keys_scan(&rest, a, STORE_SINGLE, &cursor, text(""), 1000), STATUS_OK);
    cr_assert_eq(rest.count, 0);
    cr_assert_eq(cursor, 0);
    store_keys_deinit(&whole);
    store_keys_deinit(&rest);
}

/* --- expiry --- */

static store_transaction expired_after_a_write(struct store_session *session)
{
    store_transaction transaction = begun(session);

    put(session, transaction, "k", "never");
    cr_assert(store_fixture_expire(&fixture, session, transaction));
    return transaction;
}

STORE_TEST(every_command_of_an_expired_transaction_answers_timeout)
{
    store_transaction transaction = expired_after_a_write(a);
    struct store_keys keys = {0};
    uint64_t cursor = 0;
    uint64_t number = 0;

    cr_assert_eq(store_get(a, transaction, text("k"), NULL), STATUS_TIMEOUT);
    cr_assert_eq(store_buffer_get(&seen, a, transaction, text("l")), STATUS_TIMEOUT);
    cr_assert_eq(store_put(a, transaction, text("k"), text("v")), STATUS_TIMEOUT);
    cr_assert_eq(store_del(a, transaction, text("k")), STATUS_TIMEOUT);
    cr_assert_eq(store_keys_scan(&keys, a, transaction, &cursor, text(""), 10), STATUS_TIMEOUT);
    cr_assert_eq(keys.count, 0);
    cr_assert_eq(store_count(a, transaction, text(""), &number), STATUS_TIMEOUT);
    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_TIMEOUT);
    assert_absent(a, STORE_SINGLE, "k");
    store_keys_deinit(&keys);
}

STORE_TEST(commit_of_an_expired_transaction_answers_timeout_and_ends_it)
{
    store_transaction transaction = expired_after_a_write(a);

    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_TIMEOUT);

    assert_absent(b, STORE_SINGLE, "k");
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++)
        begun(a);
}

STORE_TEST(rollback_ends_an_expired_transaction)
{
    store_rollback(a, expired_after_a_write(a));

    assert_absent(b, STORE_SINGLE, "k");
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++)
        begun(a);
}

STORE_TEST(closing_a_session_ends_an_expired_transaction)
{
    struct store_session *leaving = store_fixture_session(&fixture);

    expired_after_a_write(leaving);
    store_session_close(leaving);

    assert_absent(b, STORE_SINGLE, "k");
}

STORE_TEST(other_transactions_outlive_an_expired_one)
{
    store_transaction expired = begun(a);
    store_transaction other = begun(a);

    put(a, expired, "k", "1");
    put(a, other, "l", "1");
    cr_assert(store_fixture_expire(&fixture, a, expired));
    put(a, other, "m", "1");

    assert_commits(a, other);
    cr_assert_eq(store_get(a, expired, text("l"), NULL), STATUS_TIMEOUT);
    store_rollback(a, expired);
    cr_assert_eq(count(a, STORE_SINGLE, ""), 2);
}

STORE_TEST(a_transaction_expires_once)
{
    store_transaction transaction = expired_after_a_write(a);

    cr_assert_not(store_fixture_expire(&fixture, a, transaction));
    store_rollback(a, transaction);
    cr_assert_not(store_fixture_expire(&fixture, a, transaction));
    transaction = begun(a);
    put(a, transaction, "k", "now");
    assert_commits(a, transaction);
    assert_reads(b, STORE_SINGLE, "k", "now");
}

/* --- times --- */

STORE_TEST(times_tell_the_order_of_commits)
{
    struct store_times first;
    struct store_times second;
    store_transaction transaction;

    put(a, STORE_SINGLE, "k", "1");
    first = store_session_times(a);
    cr_assert_gt(first.commit, 0);
    transaction = begun(b);
    get(b, transaction, "k");
    put(b, transaction, "l", "2");
    assert_commits(b, transaction);
    second = store_session_times(b);

    cr_assert_geq(second.snapshot, first.commit);
    cr_assert_gt(second.commit, second.snapshot);
}

STORE_TEST(times_have_no_commit_where_nothing_was_written)
{
    store_transaction transaction;
    struct store_times times;

    put(a, STORE_SINGLE, "k", "1");
    times = store_session_times(a);
    get(a, STORE_SINGLE, "k");
    cr_assert_eq(store_session_times(a).commit, 0);
    cr_assert_geq(store_session_times(a).snapshot, times.commit);
    del(a, STORE_SINGLE, "absent");
    cr_assert_eq(store_session_times(a).commit, 0);
    transaction = begun(a);
    get(a, transaction, "k");
    assert_commits(a, transaction);
    cr_assert_eq(store_session_times(a).commit, 0);
    transaction = begun(a);
    put(a, transaction, "k", "2");
    store_rollback(a, transaction);
    cr_assert_eq(store_session_times(a).commit, 0);
}

STORE_TEST(the_clock_moves_by_one_for_a_whole_transaction)
{
    store_transaction transaction;
    uint64_t before;

    put(a, STORE_SINGLE, "k", "1");
    before = store_session_times(a).commit;
    transaction = begun(b);
    put_many(b, transaction, "key ", 50);
    assert_commits(b, transaction);

    cr_assert_eq(store_session_times(b).commit, before + 1);
}
