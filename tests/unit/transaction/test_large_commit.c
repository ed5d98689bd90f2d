/* COMMIT of many writes: GETs read through its locks until its commit point, and otherwise it is as any other. */
#include <stdio.h>

#include "engine_fixture.h"
#include "support/process.h"

#define SHARDS 2u
#define WRITES 600u /* more than LARGE_WRITES_MIN of commit.c */

static void open_engine(void)
{
    engine_open((size_t)4 << 20, SHARDS);
}

static void large_commit_is_whole(void)
{
    engine_close();
}

TestSuite(large_commit, .init = open_engine, .timeout = 60);

/* --- sentences --- */

static const char *key_of(unsigned number)
{
    static char key[32];

    (void)snprintf(key, sizeof key, "key%u", number);
    return key;
}

static void put_all(struct participant *participant, unsigned transaction, const char *value)
{
    for (unsigned i = 0; i < WRITES; i++)
        put(participant, transaction, key_of(i), value);
}

static void assert_all(const char *value)
{
    for (unsigned i = 0; i < WRITES; i++)
        assert_reads(me, TRANSACTION_SINGLE, key_of(i), value);
}

static void assert_copies(const char *key, const char *expected)
{
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;

    cr_assert_eq(transaction_get_copy(me, text(key), copy, &view), STATUS_OK);
    cr_assert(bytes_equal(value_view_piece(&view, 0), text(expected)), "%s is not %s", key, expected);
    if (view.copy == NULL)
        transaction_get_done(me, TRANSACTION_SINGLE);
}

struct gates {
    struct process_gate is_ready;
    struct process_gate is_told;
};

/* Writes nothing but keys of shard 0, and has read one of the last shard, which it will want to lock last. */
static int commits_many(void *context)
{
    struct gates *gates = context;
    struct participant *participant;
    struct value_view view;
    unsigned number;

    if (participant_open(engine, &participant) != STATUS_OK ||
        transaction_begin(participant, ISOLATION_SERIALIZABLE, &number) != STATUS_OK)
        return 2;
    for (unsigned i = 0; i < WRITES; i++)
        if (transaction_put(participant, number, text(key_in(0, i)), text("new")) != STATUS_OK)
            return 3;
    if (transaction_get(participant, number, text(key_in(SHARDS - 1, 0)), &view) != STATUS_NOT_FOUND)
        return 4;
    process_gate_open(&gates->is_ready);
    process_gate_wait(&gates->is_told);
    return (int)transaction_commit(participant, number);
}

/* --- reading meanwhile --- */

/* The commit has the lock of shard 0 and waits for the other. Whoever had to wait for it would wait for ever. */
WHOLE_TEST(large_commit, gets_read_through_it_until_its_commit_point)
{
    struct gates *gates = process_shared_memory(sizeof *gates);
    unsigned snapshot;
    pid_t child;

    for (unsigned i = 0; i < WRITES; i++)
        put(me, TRANSACTION_SINGLE, key_in(0, i), "old");
    snapshot = begun(me);
    assert_reads(me, snapshot, key_in(0, 1), "old");
    child = process_start(commits_many, gates);
    process_gate_wait(&gates->is_ready);
    cr_assert_eq(shard_acquire(engine, SHARDS - 1), STATUS_OK);
    process_gate_open(&gates->is_told);
    do
        process_wait_until_asleep(child);
    while (robust_mutex_is_free(&table_shard(&engine->table, 0)->mutex));

    assert_copies(key_in(0, 1), "old");
    assert_reads(me, TRANSACTION_SINGLE, key_in(0, 2), "old");
    assert_reads(me, snapshot, key_in(0, 3), "old");
    shard_release(engine, SHARDS - 1);
    cr_assert_eq(process_wait(child), STATUS_OK);
    assert_copies(key_in(0, 1), "new");
    assert_reads(me, snapshot, key_in(0, 3), "old");
    transaction_rollback(me, snapshot);
}

/* --- otherwise --- */

WHOLE_TEST(large_commit, inserts_overwrites_and_deletes)
{
    unsigned number = begun(me);

    put_all(me, number, "first");
    assert_commits(me, number);
    assert_all("first");
    number = begun(me);
    put_all(me, number, "second");
    for (unsigned i = 0; i < WRITES; i += 3)
        del(me, number, key_of(i));
    assert_commits(me, number);

    for (unsigned i = 0; i < WRITES; i++)
        if (i % 3 == 0)
            assert_absent(me, TRANSACTION_SINGLE, key_of(i));
        else
            assert_reads(me, TRANSACTION_SINGLE, key_of(i), "second");
    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), WRITES - WRITES / 3);
}

WHOLE_TEST(large_commit, deletes_of_nothing_change_nothing)
{
    unsigned number = begun(me);
    uint64_t before = clock_now();

    for (unsigned i = 0; i < WRITES; i++)
        del(me, number, key_of(i));
    assert_commits(me, number);

    cr_assert_eq(clock_now(), before);
}

WHOLE_TEST(large_commit, takes_no_more_memory_the_more_often)
{
    uint32_t used = 0;

    for (unsigned round = 0; round < 40; round++) {
        unsigned number = begun(me);

        put_all(me, number, round % 2 == 0 ? "even" : "odd");
        assert_commits(me, number);
        if (round == 9)
            used = segment_chunks_used(engine->segment);
    }
    cr_assert_leq(segment_chunks_used(engine->segment), used);
}

WHOLE_TEST(large_commit, that_meets_a_change_conflicts_and_leaves_nothing)
{
    unsigned number;

    put_all(me, TRANSACTION_SINGLE, "old");
    number = begun(me);
    assert_reads(me, number, key_of(WRITES / 2), "old");
    put_all(me, number, "new");
    put(me, TRANSACTION_SINGLE, key_of(WRITES / 2), "other");
    cr_assert_eq(transaction_commit(me, number), STATUS_CONFLICT);

    assert_reads(me, TRANSACTION_SINGLE, key_of(0), "old");
    assert_reads(me, TRANSACTION_SINGLE, key_of(WRITES / 2), "other");
}

WHOLE_TEST(large_commit, without_memory_leaves_nothing)
{
    unsigned number = begun(me);
    uint32_t taken;

    put_all(me, number, "new");
    taken = leave_no_chunk_free();
    cr_assert_eq(transaction_commit(me, number), STATUS_OUT_OF_MEMORY);
    leave_chunks_free(taken);

    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 0);
    number = begun(me);
    put_all(me, number, "new");
    assert_commits(me, number);
    assert_all("new");
}
