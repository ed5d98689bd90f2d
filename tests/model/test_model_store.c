/* The reference model where it is more than any store: keys that share a hash, shards that the test chooses, and what
 * a conflict may name. Its behaviour as a store is tested with the others in tests/unit/store/test_store.c. */
#include <criterion/criterion.h>

#include "model/model_store.h"
#include "support/store_buffer.h"

/* The first byte is the hash's top byte; 0xff stands for the largest hash. */
static uint64_t first_byte_hash(void *context, struct bytes key)
{
    (void)context;
    return key.data[0] == 0xff ? UINT64_MAX : (uint64_t)key.data[0] << 56;
}

static struct store *store;
static struct store_session *a;
static struct store_session *b;

static void open_model(unsigned shard_count)
{
    struct model_store_options options = {first_byte_hash, NULL, shard_count, 1000};

    store = model_store_create(&options);
    cr_assert_eq(store_session_open(store, &a), STATUS_OK);
    cr_assert_eq(store_session_open(store, &b), STATUS_OK);
}

static void close_model(void)
{
    store_session_close(a);
    store_session_close(b);
    model_store_destroy(store);
}

#define MODEL_TEST(name, shard_count)      \
    static void name(void);                \
    Test(model_store, name)                \
    {                                      \
        open_model(shard_count);           \
        name();                            \
        close_model();                     \
    }                                      \
    static void name(void)

static struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

static void put(struct store_session *session, store_transaction transaction, const char *key)
{
    cr_assert_eq(store_put(session, transaction, text(key), text("")), STATUS_OK);
}

static store_transaction begun(struct store_session *session)
{
    store_transaction transaction = STORE_SINGLE;

    cr_assert_eq(store_begin(session, ISOLATION_SERIALIZABLE, &transaction), STATUS_OK);
    return transaction;
}

MODEL_TEST(keys_that_share_a_hash_come_together, 1)
{
    struct store_keys keys = {0};
    uint64_t cursor = 0;

    put(a, STORE_SINGLE, "a");
    put(a, STORE_SINGLE, "b1");
    put(a, STORE_SINGLE, "b2");
    put(a, STORE_SINGLE, "b3");
    put(a, STORE_SINGLE, "c");
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 2), STATUS_OK);

    cr_assert_eq(keys.count, 4);
    cr_assert_eq(cursor, ((uint64_t)'b' << 56) + 1);
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 2), STATUS_OK);
    cr_assert_eq(keys.count, 5);
    cr_assert_eq(cursor, 0);
    store_keys_deinit(&keys);
}

MODEL_TEST(the_cursor_behind_the_largest_hash_is_the_end, 4)
{
    struct store_keys keys = {0};
    uint64_t cursor = 0;

    put(a, STORE_SINGLE, "\xff");
    cr_assert_eq(store_keys_scan(&keys, a, STORE_SINGLE, &cursor, text(""), 1), STATUS_OK);

    cr_assert_eq(keys.count, 1);
    cr_assert_eq(cursor, 0);
    store_keys_deinit(&keys);
}

/* --- key locks, where nobody waits --- */

static store_transaction locked(struct store_session *session, const char *key)
{
    store_transaction transaction = STORE_SINGLE;

    model_store_offer_locking(store, NULL, NULL);
    cr_assert_eq(store_begin(session, ISOLATION_LOCKING, &transaction), STATUS_OK);
    put(session, transaction, key);
    return transaction;
}

MODEL_TEST(nobody_but_a_snapshot_passes_a_key_lock, 1)
{
    store_transaction owner = locked(a, "k");
    store_transaction snapshot = begun(b);
    store_transaction reader;

    cr_assert_eq(store_begin(b, ISOLATION_READ_COMMITTED, &reader), STATUS_OK);
    cr_assert_eq(store_get(b, snapshot, text("k"), NULL), STATUS_NOT_FOUND);
    cr_assert_eq(store_get(b, reader, text("k"), NULL), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(store_get(b, STORE_SINGLE, text("k"), NULL), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(store_del(b, STORE_SINGLE, text("k")), STATUS_LOCK_TIMEOUT);
    put(b, snapshot, "k");
    cr_assert_eq(store_commit(b, snapshot, NULL), STATUS_LOCK_TIMEOUT);

    cr_assert_eq(store_commit(a, owner, NULL), STATUS_OK);
    cr_assert_eq(store_get(b, reader, text("k"), NULL), STATUS_OK);
}

MODEL_TEST(own_writes_need_no_key_lock, 1)
{
    store_transaction reader;

    cr_assert_eq(store_begin(b, ISOLATION_READ_COMMITTED, &reader), STATUS_OK);
    put(b, reader, "k");
    (void)locked(a, "k");

    cr_assert_eq(store_get(b, reader, text("k"), NULL), STATUS_OK);
    cr_assert_eq(store_commit(b, reader, NULL), STATUS_LOCK_TIMEOUT);
}

MODEL_TEST(whoever_would_wait_for_itself_is_told_so, 1)
{
    store_transaction owner = locked(a, "k");
    store_transaction other = begun(a);

    cr_assert_eq(store_get(a, STORE_SINGLE, text("k"), NULL), STATUS_DEADLOCK);
    put(a, other, "k");
    cr_assert_eq(store_commit(a, other, NULL), STATUS_DEADLOCK);
    cr_assert_eq(store_commit(a, owner, NULL), STATUS_OK);
}

/* Waits as long as the other session has not committed. */
struct patience {
    struct store_session *other;
    store_transaction transaction;
};

static bool wait_for_commit(void *context, const struct store_session *session)
{
    const struct patience *patience = context;

    cr_assert(model_store_is_waiting(session));
    cr_assert_eq(store_commit(patience->other, patience->transaction, NULL), STATUS_OK);
    cr_assert_not(model_store_is_waiting(session));
    return true;
}

MODEL_TEST(whoever_waits_is_served_when_the_owner_ends, 1)
{
    struct patience patience = {a, locked(a, "k")};

    model_store_offer_locking(store, wait_for_commit, &patience);

    cr_assert_eq(store_get(b, STORE_SINGLE, text("k"), NULL), STATUS_OK);
}

/* --- shards --- */

/* Scans one key, then puts another. Of four shards '0' is in the first, 'p' and 'z' in the second, 0xf0 in the last. */
static store_transaction scanned_one_then_wrote(const char *prefix)
{
    struct store_keys keys = {0};
    store_transaction transaction = begun(a);
    uint64_t cursor = 0;

    cr_assert_eq(store_keys_scan(&keys, a, transaction, &cursor, text(prefix), 1), STATUS_OK);
    put(a, transaction, "result");
    store_keys_deinit(&keys);
    return transaction;
}

MODEL_TEST(an_insert_behind_the_last_scanned_shard_is_no_conflict, 4)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "p");
    transaction = scanned_one_then_wrote("");
    put(b, STORE_SINGLE, "\xf0");

    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_OK);
}

MODEL_TEST(an_insert_into_a_scanned_shard_conflicts_wherever_it_is, 4)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "p");
    transaction = scanned_one_then_wrote("");
    put(b, STORE_SINGLE, "z");

    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_CONFLICT);
    cr_assert(model_store_conflict_may_name(a, text("")));
    cr_assert_not(model_store_conflict_may_name(a, text("z")));
}

MODEL_TEST(a_scan_that_met_the_end_covers_every_shard_behind, 4)
{
    store_transaction transaction;

    put(a, STORE_SINGLE, "0");
    transaction = scanned_one_then_wrote("absent");
    put(b, STORE_SINGLE, "\xf0");

    cr_assert_eq(store_commit(a, transaction, NULL), STATUS_CONFLICT);
}

MODEL_TEST(a_conflict_may_name_each_key_that_changed, 4)
{
    store_transaction transaction = begun(a);
    struct bytes key;

    store_get(a, transaction, text("k"), NULL);
    store_get(a, transaction, text("l"), NULL);
    store_get(a, transaction, text("m"), NULL);
    put(a, transaction, "result");
    put(b, STORE_SINGLE, "k");
    put(b, STORE_SINGLE, "m");

    cr_assert_eq(store_commit(a, transaction, &key), STATUS_CONFLICT);
    cr_assert(bytes_equal(key, text("k")));
    cr_assert(model_store_conflict_may_name(a, text("k")));
    cr_assert(model_store_conflict_may_name(a, text("m")));
    cr_assert_not(model_store_conflict_may_name(a, text("l")));
    cr_assert_not(model_store_conflict_may_name(a, text("")));
}
