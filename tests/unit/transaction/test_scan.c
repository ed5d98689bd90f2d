/* SCAN and COUNT at the level of the hash; see test_store.c for the promises. */
#include <stdio.h>

#include "engine_fixture.h"

#define MANY 3000u

static struct key_list keys;

static void open_engine(void)
{
    engine_open((size_t)8 << 20, 4);
}

static void scan_is_whole(void)
{
    key_list_deinit(&keys);
    engine_close();
}

TestSuite(scan, .init = open_engine, .timeout = 120);
TestSuite(key_list);

/* --- sentences --- */

static const char *name(unsigned number)
{
    static char names[2][32];
    static unsigned next;
    char *result = names[next++ % 2];

    (void)snprintf(result, sizeof(names[0]), "key %u", number);
    return result;
}

static void put_names(unsigned number, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        put(me, number, name(i), "");
}

/* One page from cursor on; the keys ascend by hash and lie in cursor..next - 1. */
static uint64_t scan_page(unsigned number, uint64_t cursor, size_t limit)
{
    uint64_t next = 12345;

    key_list_clear(&keys);
    cr_assert_eq(transaction_scan(me, number, cursor, bytes_from(NULL, 0), limit, &keys, &next), STATUS_OK);
    cr_assert_leq(keys.count, limit, "no two of these keys have the same hash");
    for (size_t i = 0; i < keys.count; i++) {
        cr_assert_eq(keys.entries[i].hash, table_hash(&engine->table, key_list_key(&keys, i)));
        cr_assert_geq(keys.entries[i].hash, cursor);
        cr_assert(i == 0 || keys.entries[i].hash > keys.entries[i - 1].hash);
        cr_assert(next == 0 || keys.entries[i].hash < next);
    }
    return next;
}

static uint64_t scan_all(unsigned number, size_t limit)
{
    uint64_t found = 0;
    uint64_t cursor = 0;

    do {
        cursor = scan_page(number, cursor, limit);
        found += keys.count;
        cr_assert(cursor == 0 || keys.count == limit, "a page that is not the last is full");
    } while (cursor != 0);
    return found;
}

/* --- scanning --- */

WHOLE_TEST(scan, of_nothing_ends_at_once)
{
    cr_assert_eq(scan_page(TRANSACTION_SINGLE, 0, 10), 0);
    cr_assert_eq(keys.count, 0);
}

WHOLE_TEST(scan, finds_every_key_once_whatever_the_limit)
{
    size_t limits[] = {1, 2, 7, 100, MANY - 1, MANY, MANY + 1, 10000};

    put_names(TRANSACTION_SINGLE, 0, MANY);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        cr_assert_eq(scan_all(TRANSACTION_SINGLE, limits[i]), MANY, "limit %zu", limits[i]);
    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), MANY);
}

WHOLE_TEST(scan, begins_at_the_cursor_and_not_before)
{
    uint64_t hash;

    put_names(TRANSACTION_SINGLE, 0, 100);
    (void)scan_page(TRANSACTION_SINGLE, 0, 100);
    hash = keys.entries[50].hash;

    (void)scan_page(TRANSACTION_SINGLE, hash, 100);
    cr_assert_eq(keys.count, 50);
    cr_assert_eq(keys.entries[0].hash, hash);
    (void)scan_page(TRANSACTION_SINGLE, hash + 1, 100);
    cr_assert_eq(keys.count, 49);
    cr_assert_eq(scan_page(TRANSACTION_SINGLE, UINT64_MAX, 100), 0);
}

/* "key 0" to "key 199". */
static bool is_of_the_first(struct bytes key)
{
    return key.size < sizeof("key 000") - 1 || (key.size == sizeof("key 000") - 1 && key.data[4] == '1');
}

WHOLE_TEST(scan, goes_on_rightly_while_pages_split)
{
    uint64_t cursor = 0;
    uint64_t found = 0;
    unsigned added = 200;

    put_names(TRANSACTION_SINGLE, 0, 200);
    do {
        cursor = scan_page(TRANSACTION_SINGLE, cursor, 10);
        for (size_t i = 0; i < keys.count; i++) {
            found += is_of_the_first(key_list_key(&keys, i));
        }
        put_names(TRANSACTION_SINGLE, added, added + 200);
        added += 200;
    } while (cursor != 0 && added < 20000);
    cr_assert_geq(found, cursor == 0 ? 200 : 1);
}

WHOLE_TEST(scan, own_writes_stand_at_their_place_in_the_order)
{
    unsigned number;

    put_names(TRANSACTION_SINGLE, 0, 500);
    number = begun(me);
    put_names(number, 400, 900);
    for (unsigned i = 0; i < 100; i++)
        del(me, number, name(i * 3));

    for (size_t limit = 1; limit < 2000; limit = limit * 3 + 1)
        cr_assert_eq(scan_all(number, limit), 800);
    cr_assert_eq(count_of(me, number), 800);
    cr_assert_eq(scan_all(TRANSACTION_SINGLE, 100), 500);
    transaction_rollback(me, number);
}

WHOLE_TEST(scan, sees_the_snapshot_and_not_what_came_after)
{
    unsigned number;

    put_names(TRANSACTION_SINGLE, 0, 300);
    number = begun(me);
    put_names(TRANSACTION_SINGLE, 300, 600);
    for (unsigned i = 0; i < 150; i++)
        del(me, TRANSACTION_SINGLE, name(i));
    (void)engine_clean(engine);

    cr_assert_eq(scan_all(number, 17), 300);
    cr_assert_eq(count_of(me, number), 300);
    cr_assert_eq(scan_all(TRANSACTION_SINGLE, 17), 450);
}

/* --- the shards that count as read --- */

WHOLE_TEST(scan, only_the_shards_it_walked_count_as_read)
{
    unsigned number;

    put_names(TRANSACTION_SINGLE, 0, 400);
    number = begun(me);
    (void)scan_page(number, 0, 1);
    cr_assert_eq(me->transactions[number - 1].scanned_shards, 1);
    (void)scan_page(number, table_shard_first_hash(&engine->table, 2), 1);
    cr_assert_eq(me->transactions[number - 1].scanned_shards, 5);
    (void)count_of(me, number);
    cr_assert_eq(me->transactions[number - 1].scanned_shards, 15);
    transaction_rollback(me, number);
}

static void assert_conflict_by_scan(const char *inserted, bool expected)
{
    unsigned number = begun(me);

    (void)scan_page(number, table_shard_first_hash(&engine->table, 1), 1);
    put(me, number, "written", "");
    put(me, TRANSACTION_SINGLE, inserted, "");
    cr_assert_eq(transaction_commit(me, number), expected ? STATUS_CONFLICT : STATUS_OK);
    cr_assert(!expected || me->conflict_key.size == 0);
}

WHOLE_TEST(scan, an_insert_conflicts_only_in_a_shard_that_was_walked)
{
    put(me, TRANSACTION_SINGLE, key_in(1, 0), "");
    assert_conflict_by_scan(key_in(1, 1), true);
    assert_conflict_by_scan(key_in(0, 1), false);
    assert_conflict_by_scan(key_in(1, 0), false); /* was there: an update is no insert */
}

/* --- the list of keys --- */

Test(key_list, keeps_keys_in_the_order_of_adding)
{
    struct key_list list = {0};
    unsigned char key[1024];

    memset(key, 'k', sizeof(key));
    for (size_t size = 1; size <= sizeof(key); size++)
        cr_assert_eq(key_list_add(&list, size, bytes_from(key, size)), STATUS_OK);
    for (size_t i = 0; i < sizeof(key); i++) {
        cr_assert_eq(list.entries[i].hash, i + 1);
        cr_assert(bytes_equal(key_list_key(&list, i), bytes_from(key, i + 1)));
    }
    key_list_clear(&list);
    cr_assert_eq(list.count, 0);
    key_list_deinit(&list);
}
