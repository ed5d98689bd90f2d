/* What is kept, what goes, and what happens when memory is short. */
#include "engine_fixture.h"
#include "platform/clock.h"

static void open_engine(void)
{
    engine_open(CHUNK_BYTES * 256, 2);
}

static void horizon_is_whole(void)
{
    engine_close();
}

TestSuite(horizon, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static void advance(void)
{
    horizon_advance(engine);
}

static void overwrite(const char *key, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        put(me, TRANSACTION_SINGLE, key, "again");
}

/* As if it had been idle since the system's start. */
static void has_been_idle_for_long(unsigned number)
{
    atomic_store(&me->slot->transactions[number - 1].idle_since_ms, 0);
}

static bool is_expired(unsigned number)
{
    return (atomic_load(&me->slot->transactions[number - 1].state) & 3u) == TRANSACTION_EXPIRED;
}

/* RECLAIM_IDLE_MS is measured from the system's start; without so much of it nobody is idle long enough. */
static void assert_system_runs_long_enough(void)
{
    cr_assert_gt(clock_monotonic_ms(), RECLAIM_IDLE_MS, "the system started just now");
}

/* --- pins --- */

WHOLE_TEST(horizon, reaches_the_clock_when_nothing_is_pinned)
{
    overwrite("k", 3);
    advance();

    cr_assert_eq(horizon_now(), clock_now());
}

WHOLE_TEST(horizon, stays_at_the_oldest_snapshot)
{
    unsigned oldest;
    unsigned newer;
    uint64_t snapshot;

    overwrite("k", 3);
    oldest = begun(me);
    snapshot = clock_now();
    overwrite("k", 3);
    newer = begun(me);
    overwrite("k", 3);
    advance();
    cr_assert_eq(horizon_now(), snapshot);
    transaction_rollback(me, oldest);
    advance();
    cr_assert_eq(horizon_now(), snapshot + 3);
    transaction_rollback(me, newer);
    advance();
    cr_assert_eq(horizon_now(), clock_now());
}

WHOLE_TEST(horizon, stays_where_it_is_while_a_command_pins_everything)
{
    struct value_view view;
    uint64_t before;

    put(me, TRANSACTION_SINGLE, "k", "v");
    advance();
    before = horizon_now();
    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text("k"), &view), STATUS_OK);
    overwrite("l", 3);
    advance();
    cr_assert_eq(horizon_now(), before);
    transaction_get_done(me, TRANSACTION_SINGLE);
    advance();
    cr_assert_eq(horizon_now(), clock_now());
}

WHOLE_TEST(horizon, never_goes_back)
{
    uint64_t before;

    overwrite("k", 3);
    advance();
    before = horizon_now();
    atomic_store(&me->slot->single_pin, 0);
    advance();
    cr_assert_eq(horizon_now(), before);
    atomic_store(&me->slot->single_pin, PIN_NONE);
}

WHOLE_TEST(horizon, read_committed_holds_nothing_back)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);

    overwrite("k", 3);
    assert_reads(me, number, "k", "again");
    overwrite("k", 3);
    advance();

    cr_assert_eq(horizon_now(), clock_now());
}

WHOLE_TEST(horizon, an_expired_transaction_holds_nothing_back)
{
    unsigned number = begun(me);

    overwrite("k", 3);
    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    advance();

    cr_assert_eq(horizon_now(), clock_now());
    assert_engine_valid();
}

/* The owner's next one in the same place must be safe from who still saw the expired one. */
WHOLE_TEST(horizon, the_place_of_an_expired_transaction_pins_again)
{
    unsigned number = begun(me);
    uint64_t snapshot;

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    transaction_rollback(me, number);
    put(me, TRANSACTION_SINGLE, "k", "seen");
    number = begun(me);
    snapshot = clock_now();
    overwrite("k", 5);
    (void)engine_clean(engine);

    cr_assert_eq(horizon_now(), snapshot);
    assert_reads(me, number, "k", "seen");
}

WHOLE_TEST(horizon, advances_by_itself_as_commits_go_by)
{
    overwrite("k", 2000);

    cr_assert_gt(horizon_now(), 1000);
    cr_assert_lt(table_shard(&engine->table, shard_of("k"))->garbage_count, 1000);
}

WHOLE_TEST(horizon, a_slot_of_nobody_holds_nothing_back)
{
    struct participant *you = a_participant();

    participant_close(you);
    overwrite("k", 3);
    advance();

    cr_assert_eq(horizon_now(), clock_now());
}

/* --- cleaning and memory --- */

WHOLE_TEST(horizon, clean_frees_what_ended_before_every_snapshot)
{
    unsigned number = begun(me);

    overwrite("k", 5);
    cr_assert_eq(engine_clean(engine), 0);
    transaction_rollback(me, number);

    cr_assert_eq(engine_clean(engine), 4);
    cr_assert_eq(engine_clean(engine), 0);
}

WHOLE_TEST(horizon, memory_of_the_past_serves_the_present)
{
    size_t size = (size_t)engine->segment->chunk_count * CHUNK_BYTES / 3;

    for (unsigned i = 0; i < 20; i++)
        cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK, "round %u", i);
}

WHOLE_TEST(horizon, reclaim_without_anything_to_free_says_so)
{
    put(me, TRANSACTION_SINGLE, "k", "v");
    (void)engine_clean(engine);

    cr_assert_not(engine_reclaim(engine));
}

WHOLE_TEST(horizon, a_reader_that_was_active_is_not_expired_for_memory)
{
    size_t size = (size_t)engine->segment->chunk_count * CHUNK_BYTES / 2;
    unsigned reader;

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
    reader = begun(me);
    del(me, TRANSACTION_SINGLE, "k");

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OUT_OF_MEMORY);
    cr_assert_not(is_expired(reader));
    assert_engine_valid();
    transaction_rollback(me, reader);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
}

WHOLE_TEST(horizon, the_oldest_idle_reader_is_expired_for_memory_and_no_other)
{
    size_t size = (size_t)engine->segment->chunk_count * CHUNK_BYTES / 2;
    unsigned oldest;
    unsigned newer;

    assert_system_runs_long_enough();
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
    oldest = begun(me);
    del(me, TRANSACTION_SINGLE, "k");
    newer = begun(me);
    put(me, TRANSACTION_SINGLE, "l", "v");
    has_been_idle_for_long(oldest);
    has_been_idle_for_long(newer);

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
    cr_assert(is_expired(oldest));
    cr_assert_not(is_expired(newer));
    assert_absent(me, newer, "k");
}

WHOLE_TEST(horizon, readers_are_expired_until_there_is_something_to_free)
{
    unsigned oldest;
    unsigned newer;

    assert_system_runs_long_enough();
    oldest = begun(me);
    put(me, TRANSACTION_SINGLE, "k", "v");
    newer = begun(me);
    overwrite("k", 1);
    has_been_idle_for_long(oldest);
    has_been_idle_for_long(newer);

    cr_assert(engine_reclaim(engine));
    cr_assert(is_expired(oldest));
    cr_assert(is_expired(newer));
    cr_assert_eq(table_shard(&engine->table, shard_of("k"))->garbage_count, 0);
}

WHOLE_TEST(horizon, who_pins_nothing_old_is_not_expired_for_memory)
{
    size_t size = (size_t)engine->segment->chunk_count * CHUNK_BYTES / 2;
    unsigned reader;

    assert_system_runs_long_enough();
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
    reader = begun(me);
    has_been_idle_for_long(reader);

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "l", size), STATUS_OUT_OF_MEMORY);
    cr_assert_not(is_expired(reader));
}

/* Neither for a place among the processes. */
WHOLE_TEST(horizon, who_comes_in_expires_nobody)
{
    struct participant *other;
    unsigned reader;

    assert_system_runs_long_enough();
    put(me, TRANSACTION_SINGLE, "k", "v");
    reader = begun(me);
    has_been_idle_for_long(reader);
    overwrite("k", 1);
    for (size_t i = 1; i < SLOTS_PER_BLOCK; i++)
        (void)a_participant();
    (void)leave_no_chunk_free();

    cr_assert_eq(participant_open(engine, &other), STATUS_TOO_MANY_CLIENTS);
    cr_assert_not(is_expired(reader));
    transaction_rollback(me, reader);
}

WHOLE_TEST(horizon, a_log_finds_memory_of_the_past_too)
{
    size_t size = (size_t)engine->segment->chunk_count * CHUNK_BYTES / 2;
    unsigned number;

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", size), STATUS_OK);
    del(me, TRANSACTION_SINGLE, "k");
    number = begun(me);

    cr_assert_eq(put_large(me, number, "l", size), STATUS_OK);
    transaction_rollback(me, number);
}
