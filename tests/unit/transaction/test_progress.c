/* Long work under a lock shows that it gets on; short work pays nothing for it. */
#include <stdio.h>

#include "engine_fixture.h"
#include "platform/progress.h"
#include "support/process.h"

#define SHARDS 4u
#define WRITES 300u

static _Atomic uint64_t shown;

static void set_up(void)
{
    engine_open((size_t)4 << 20, SHARDS);
    progress_show(&shown);
}

static void progress_is_whole(void)
{
    engine_close();
}

TestSuite(progress, .init = set_up, .timeout = 60);

static uint64_t turns(void)
{
    return atomic_load(&shown) / (PROGRESS_PART_MAX + 1);
}

static void write_many(unsigned number)
{
    char key[16];

    for (unsigned i = 0; i < WRITES; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        put(me, number, key, "value");
    }
}

WHOLE_TEST(progress, single_commands_note_nothing)
{
    uint64_t before = turns();

    write_many(TRANSACTION_SINGLE);
    write_many(TRANSACTION_SINGLE);
    assert_reads(me, TRANSACTION_SINGLE, "key1", "value");
    del(me, TRANSACTION_SINGLE, "key1");
    cr_assert_eq(turns(), before);
}

/* It is resolved, reserved and published write by write. */
WHOLE_TEST(progress, a_commit_notes_each_step_of_each_write)
{
    unsigned number = begun(me);
    uint64_t before;

    write_many(number);
    before = turns();
    assert_commits(me, number);
    cr_assert_geq(turns() - before, 3u * (uint64_t)WRITES);
    cr_assert_eq(progress_part(atomic_load(&shown)), SHARDS, "the last shard, counted from 1");
}

WHOLE_TEST(progress, validation_notes_each_read)
{
    unsigned number = begun(me);
    uint64_t before;
    char key[16];

    for (unsigned i = 0; i < WRITES; i++) {
        (void)snprintf(key, sizeof key, "key%u", i);
        assert_absent(me, number, key);
    }
    put(me, number, "one", "value");
    before = turns();
    assert_commits(me, number);
    cr_assert_geq(turns() - before, WRITES);
}

static int dies_with_a_shard(void *context)
{
    return shard_acquire(engine, *(const unsigned *)context) != STATUS_OK;
}

WHOLE_TEST(progress, a_rebuild_notes_each_key)
{
    uint64_t before = turns();
    uint64_t keys = 0;

    write_many(TRANSACTION_SINGLE);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        cr_assert_eq(process_run(dies_with_a_shard, &shard), 0);
        cr_assert_eq(shard_acquire(engine, shard), STATUS_OK);
        keys += atomic_load(&table_shard(&engine->table, shard)->key_count);
        cr_assert_eq(progress_part(atomic_load(&shown)), shard + 1);
        shard_release(engine, shard);
    }
    cr_assert_eq(keys, WRITES);
    cr_assert_geq(turns() - before, keys);
}

WHOLE_TEST(progress, ending_a_transaction_notes_each_of_its_key_locks)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);
    uint64_t before;

    write_many(number);
    before = turns();
    transaction_rollback(me, number);
    cr_assert_geq(turns() - before, WRITES);
}

/* What nobody can see any more is freed in one go. */
WHOLE_TEST(progress, cleaning_notes_every_few_versions)
{
    unsigned reader = begun(me);
    uint64_t before;
    uint64_t ended;

    for (unsigned i = 0; i < 20; i++)
        write_many(TRANSACTION_SINGLE);
    transaction_rollback(me, reader);
    before = turns();
    ended = engine_clean(engine);
    cr_assert_gt(ended, 20 * 64u * SHARDS / 2);
    cr_assert_geq(turns() - before, ended / 64 - SHARDS);
}
