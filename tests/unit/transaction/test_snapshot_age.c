/* How old a snapshot is, and what becomes of an old one when memory is short. */
#include "engine_fixture.h"
#include "transaction/snapshot_marks.h"

#define TIMEOUT_MS 8000u

static void open_engine(void)
{
    engine_open(CHUNK_BYTES * 256, 2);
    engine->snapshot_timeout_ms = TIMEOUT_MS;
}

static void snapshot_age_is_whole(void)
{
    engine_close();
}

TestSuite(snapshot_age, .init = open_engine, .timeout = 120);

/* --- sentences --- */

/* Half of all memory. */
static size_t much(void)
{
    return (size_t)engine->segment->chunk_count * CHUNK_BYTES / 2;
}

static unsigned state_of(unsigned number)
{
    return (unsigned)(atomic_load(&me->slot->transactions[number - 1].state) & 3u);
}

/* A reader of a value that takes half of the memory, and is deleted behind its snapshot. */
static unsigned a_reader_of_what_is_over(void)
{
    unsigned reader;

    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", much()), STATUS_OK);
    put(me, TRANSACTION_SINGLE, "small", "v");
    reader = begun(me);
    del(me, TRANSACTION_SINGLE, "k");
    return reader;
}

/* Rounds of a housekeeper, for as long. */
static void time_passes(uint64_t from_ms, uint64_t to_ms)
{
    for (uint64_t now_ms = from_ms; now_ms <= to_ms; now_ms += 500)
        snapshots_grow_old(engine, now_ms);
}

static enum status wants_memory(void)
{
    return put_large(me, TRANSACTION_SINGLE, "l", much());
}

/* --- marks --- */

Test(snapshot_marks, nothing_is_known_of_what_was_not_noted)
{
    struct snapshot_marks marks = {0};

    cr_assert_eq(snapshot_marks_clock_before(&marks, 1000, 10), 0);
    snapshot_marks_note(&marks, 5, 1000, 10);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 1009, 10), 0);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 1010, 10), 5);
}

Test(snapshot_marks, the_newest_that_is_old_enough_counts)
{
    struct snapshot_marks marks = {0};

    for (unsigned i = 0; i < 100; i++)
        snapshot_marks_note(&marks, 1 + i, 1000 + 10 * i, 80);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 1990, 80), 1 + 91);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 1999, 80), 1 + 91);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 2000, 80), 1 + 92);
}

Test(snapshot_marks, the_ring_reaches_back_far_enough_however_often_is_noted)
{
    struct snapshot_marks marks = {0};

    for (unsigned i = 0; i < 10000; i++)
        snapshot_marks_note(&marks, 1 + i, i, 800);
    cr_assert_geq(snapshot_marks_clock_before(&marks, 9999, 800), 1 + 9999 - 800 - 100);
    cr_assert_leq(snapshot_marks_clock_before(&marks, 9999, 800), 1 + 9999 - 800);
}

Test(snapshot_marks, a_time_out_of_a_moment_has_marks_too)
{
    struct snapshot_marks marks = {0};

    for (unsigned i = 0; i < 100; i++)
        snapshot_marks_note(&marks, 1 + i, i, 1);
    cr_assert_eq(snapshot_marks_clock_before(&marks, 99, 1), 1 + 98);
}

/* --- growing old --- */

WHOLE_TEST(snapshot_age, a_reader_that_comes_again_and_again_is_ended_once_it_is_old)
{
    unsigned reader = a_reader_of_what_is_over();

    time_passes(1000, 1000 + TIMEOUT_MS - 500);
    assert_reads(me, reader, "small", "v");
    cr_assert_eq(wants_memory(), STATUS_OUT_OF_MEMORY);
    time_passes(1000 + TIMEOUT_MS, 1000 + TIMEOUT_MS + 500);
    assert_reads(me, reader, "small", "v");
    cr_assert_eq(wants_memory(), STATUS_OK);
    cr_assert_eq(state_of(reader), TRANSACTION_EXPIRED);
    cr_assert_eq(transaction_commit(me, reader), STATUS_TIMEOUT);
    cr_assert(me->has_ended_snapshot);
}

WHOLE_TEST(snapshot_age, an_old_reader_lives_as_long_as_nobody_needs_its_memory)
{
    unsigned reader = a_reader_of_what_is_over();

    time_passes(1000, 1000 + 3 * TIMEOUT_MS);
    put(me, TRANSACTION_SINGLE, "small", "w");

    assert_reads(me, reader, "small", "v");
    cr_assert_eq(state_of(reader), TRANSACTION_IDLE);
    assert_commits(me, reader);
}

WHOLE_TEST(snapshot_age, what_is_the_newest_is_not_old_however_long)
{
    unsigned reader = begun(me);

    time_passes(1000, 1000 + 3 * TIMEOUT_MS);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", much()), STATUS_OK);
    del(me, TRANSACTION_SINGLE, "k");
    (void)engine_reclaim(engine);

    cr_assert_eq(state_of(reader), TRANSACTION_IDLE);
}

WHOLE_TEST(snapshot_age, who_began_later_is_not_ended_with_the_old)
{
    unsigned old = a_reader_of_what_is_over();
    unsigned young;

    time_passes(1000, 1000 + TIMEOUT_MS);
    young = begun(me);
    put(me, TRANSACTION_SINGLE, "small", "w");
    cr_assert_eq(wants_memory(), STATUS_OK);

    cr_assert_eq(state_of(old), TRANSACTION_EXPIRED);
    cr_assert_eq(state_of(young), TRANSACTION_IDLE);
    assert_reads(me, young, "small", "v");
}

WHOLE_TEST(snapshot_age, one_that_runs_is_ended_behind_its_command)
{
    unsigned reader = a_reader_of_what_is_over();
    struct value_view view;
    unsigned char first;

    time_passes(1000, 1000 + TIMEOUT_MS);
    cr_assert_eq(transaction_get(me, reader, text("k"), &view), STATUS_OK);
    first = value_view_piece(&view, 0).data[0];
    cr_assert_eq(wants_memory(), STATUS_OUT_OF_MEMORY);
    cr_assert_eq(state_of(reader), TRANSACTION_RUNNING);
    cr_assert_eq(value_view_piece(&view, 0).data[0], first);
    transaction_get_done(me, reader);

    cr_assert_eq(state_of(reader), TRANSACTION_EXPIRED);
    cr_assert_eq(wants_memory(), STATUS_OK);
    cr_assert_eq(transaction_get(me, reader, text("k"), &view), STATUS_TIMEOUT);
    cr_assert(me->has_ended_snapshot);
}

/* Its place serves the next one as if nothing had been. */
WHOLE_TEST(snapshot_age, the_next_one_in_its_place_is_young)
{
    unsigned reader = a_reader_of_what_is_over();

    time_passes(1000, 1000 + TIMEOUT_MS);
    cr_assert_eq(wants_memory(), STATUS_OK);
    transaction_rollback(me, reader);
    cr_assert_eq(begun(me), reader);

    assert_reads(me, reader, "small", "v");
    cr_assert_eq(state_of(reader), TRANSACTION_IDLE);
}

WHOLE_TEST(snapshot_age, what_pins_nothing_has_no_age)
{
    unsigned reader;

    put(me, TRANSACTION_SINGLE, "small", "v");
    reader = begun_as(me, ISOLATION_READ_COMMITTED);
    put(me, TRANSACTION_SINGLE, "small", "w");
    time_passes(1000, 1000 + 2 * TIMEOUT_MS);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", much()), STATUS_OK);
    cr_assert_eq(wants_memory(), STATUS_OUT_OF_MEMORY);

    assert_reads(me, reader, "small", "w");
    cr_assert_eq(state_of(reader), TRANSACTION_IDLE);
}

WHOLE_TEST(snapshot_age, nothing_grows_old_without_a_time_out)
{
    unsigned reader = a_reader_of_what_is_over();

    engine->snapshot_timeout_ms = 0;
    time_passes(1000, 1000 + 10 * TIMEOUT_MS);

    cr_assert_eq(wants_memory(), STATUS_OUT_OF_MEMORY);
    cr_assert_eq(state_of(reader), TRANSACTION_IDLE);
}

WHOLE_TEST(snapshot_age, one_that_was_idle_for_long_hears_another_reason)
{
    unsigned reader = a_reader_of_what_is_over();

    cr_assert(transaction_expire(engine, me->slot_number, reader - 1, UINT64_MAX));

    cr_assert_eq(transaction_commit(me, reader), STATUS_TIMEOUT);
    cr_assert_not(me->has_ended_snapshot);
}

/* The owner was quicker than the swap: nothing of its next command is lost, and then it is over. */
WHOLE_TEST(snapshot_age, an_ended_snapshot_is_no_matter_to_commit)
{
    unsigned writer = a_reader_of_what_is_over();
    struct value_view view;

    time_passes(1000, 1000 + TIMEOUT_MS);
    put(me, writer, "small", "mine");
    cr_assert_eq(transaction_get(me, writer, text("k"), &view), STATUS_OK);
    transaction_get_done(me, writer);
    atomic_store(&engine->segment->header->snapshots_ended_before, clock_now());

    cr_assert_eq(transaction_commit(me, writer), STATUS_CONFLICT); /* and not half of it, nor a timeout: it was IDLE still */
    assert_reads(me, TRANSACTION_SINGLE, "small", "v");
}
