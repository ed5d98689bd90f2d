/* What a participant keeps for its transactions in shared memory. What they
 * promise to clients is in tests/unit/store/test_store.c. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine_fixture.h"
#include "support/process.h"

static void open_engine(void)
{
    engine_open((size_t)4 << 20, 4);
}

static void transaction_is_whole(void)
{
    engine_close();
}

TestSuite(transaction, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static const struct transaction_slot *slot_of(unsigned number)
{
    return &me->slot->transactions[number - 1];
}

static unsigned state_of(unsigned number)
{
    return (unsigned)(atomic_load(&slot_of(number)->state) & 3u);
}

static uint64_t sequence_of(unsigned number)
{
    return atomic_load(&slot_of(number)->state) >> 2;
}

/* --- keys that are looked at ahead --- */

/* A wrong hash would put a key where nobody finds it. */
WHOLE_TEST(transaction, a_hint_counts_for_no_other_key)
{
    put(me, TRANSACTION_SINGLE, "k1", "one");
    for (unsigned i = 0; i < KEY_HINT_COUNT; i++)
        transaction_prefetch(me, text("k1"));
    put(me, TRANSACTION_SINGLE, "k2", "two");
    assert_reads(me, TRANSACTION_SINGLE, "k2", "two");
    assert_reads(me, TRANSACTION_SINGLE, "k1", "one");
    transaction_prefetch(me, text("k2"));
    put(me, TRANSACTION_SINGLE, "k2", "three");
    transaction_prefetch(me, text("k1"));
    assert_reads(me, TRANSACTION_SINGLE, "k2", "three");
    del(me, TRANSACTION_SINGLE, "k1");
    assert_absent(me, TRANSACTION_SINGLE, "k1");
}

/* --- states and pins --- */

WHOLE_TEST(transaction, an_open_one_is_idle_and_pins_its_snapshot)
{
    unsigned number = begun(me);

    cr_assert_eq(state_of(number), TRANSACTION_IDLE);
    cr_assert_eq(atomic_load(&slot_of(number)->pin), clock_now());
}

WHOLE_TEST(transaction, the_pin_stays_until_it_ends)
{
    unsigned number = begun(me);
    uint64_t snapshot = clock_now();

    put(me, TRANSACTION_SINGLE, "k", "v");
    assert_absent(me, number, "another");
    put(me, number, "l", "v");
    cr_assert_eq(atomic_load(&slot_of(number)->pin), snapshot);
    assert_commits(me, number);

    cr_assert_eq(state_of(number), TRANSACTION_FREE);
    cr_assert_eq(atomic_load(&slot_of(number)->pin), PIN_NONE);
}

WHOLE_TEST(transaction, read_committed_pins_nothing_between_two_commands)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);

    cr_assert_eq(atomic_load(&slot_of(number)->pin), PIN_NONE);
    put(me, TRANSACTION_SINGLE, "k", "v");
    assert_reads(me, number, "k", "v");
    (void)count_of(me, number);
    cr_assert_eq(atomic_load(&slot_of(number)->pin), PIN_NONE);
    transaction_rollback(me, number);
}

WHOLE_TEST(transaction, a_view_pins_everything_until_it_is_done)
{
    struct value_view view;

    put(me, TRANSACTION_SINGLE, "k", "v");
    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text("k"), &view), STATUS_OK);
    cr_assert_eq(atomic_load(&me->slot->single_pin), PIN_EVERYTHING);
    transaction_get_done(me, TRANSACTION_SINGLE);

    cr_assert_eq(atomic_load(&me->slot->single_pin), PIN_NONE);
}

WHOLE_TEST(transaction, a_view_outlives_the_version_it_shows)
{
    struct participant *you = a_participant();
    struct value_view view;

    put(me, TRANSACTION_SINGLE, "k", "seen");
    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text("k"), &view), STATUS_OK);
    del(you, TRANSACTION_SINGLE, "k");
    (void)engine_clean(engine);
    for (unsigned i = 0; i < 100; i++)
        put(you, TRANSACTION_SINGLE, "k", "next");
    (void)engine_clean(engine);

    cr_assert(bytes_equal(value_view_piece(&view, 0), text("seen")));
    transaction_get_done(me, TRANSACTION_SINGLE);
    cr_assert_eq(engine_clean(engine) > 0, true);
    participant_close(you);
}

WHOLE_TEST(transaction, every_return_to_idle_has_a_new_sequence)
{
    unsigned number = begun(me);
    uint64_t sequence = sequence_of(number);

    for (unsigned i = 0; i < 10; i++) {
        assert_absent(me, number, "k");
        cr_assert_gt(sequence_of(number), sequence);
        sequence = sequence_of(number);
    }
    transaction_rollback(me, number);
    cr_assert_gt(sequence_of(number), sequence);
}

WHOLE_TEST(transaction, a_process_has_eight_at_most)
{
    unsigned number;

    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++)
        cr_assert_eq(begun(me), i + 1);
    cr_assert_eq(transaction_begin(me, ISOLATION_SERIALIZABLE, &number), STATUS_TOO_LARGE);
    transaction_rollback(me, 4);
    cr_assert_eq(begun(me), 4);
}

/* --- a copy needs no store --- */

static void segment_protect(int protection)
{
    cr_assert_eq(mprotect(engine->segment->base, engine->segment->bytes, protection), 0);
}

/* Whoever stores in a segment that is read-only dies of it. */
static enum status copied_from_what_is_read_only(const char *key)
{
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;
    enum status status;

    segment_protect(PROT_READ);
    status = transaction_get_copy(me, text(key), copy, &view);
    segment_protect(PROT_READ | PROT_WRITE);
    return status;
}

WHOLE_TEST(transaction, a_get_that_copies_stores_nothing)
{
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "k", VALUE_COPIED_BYTES_MAX), STATUS_OK);
    put(me, TRANSACTION_SINGLE, "deleted", "v");
    del(me, TRANSACTION_SINGLE, "deleted");

    cr_assert_eq(copied_from_what_is_read_only("k"), STATUS_OK);
    cr_assert_eq(copied_from_what_is_read_only("absent"), STATUS_NOT_FOUND);
    cr_assert_eq(copied_from_what_is_read_only("deleted"), STATUS_NOT_FOUND);
}

WHOLE_TEST(transaction, the_end_of_a_get_that_copied_changes_nothing)
{
    size_t bytes = engine->segment->bytes;
    unsigned char *before = malloc(bytes);
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;

    put(me, TRANSACTION_SINGLE, "k", "v");
    cr_assert_not_null(before);
    memcpy(before, engine->segment->base, bytes);
    cr_assert_eq(transaction_get_copy(me, text("k"), copy, &view), STATUS_OK);
    transaction_get_done(me, TRANSACTION_SINGLE);

    cr_assert_eq(memcmp(before, engine->segment->base, bytes), 0);
    cr_assert_eq(atomic_load(&me->slot->single_pin), PIN_NONE);
    free(before);
}

/* --- expiry --- */

WHOLE_TEST(transaction, expired_it_answers_timeout_to_everything_but_rollback)
{
    struct value_view view;
    struct key_list keys = {0};
    unsigned number = begun(me);
    uint64_t next;
    uint64_t count;

    put(me, number, "k", "v");
    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));

    cr_assert_eq(transaction_get(me, number, text("k"), &view), STATUS_TIMEOUT);
    cr_assert_eq(transaction_put(me, number, text("k"), text("w")), STATUS_TIMEOUT);
    cr_assert_eq(transaction_del(me, number, text("k")), STATUS_TIMEOUT);
    cr_assert_eq(transaction_scan(me, number, 0, bytes_from(NULL, 0), 10, &keys, &next), STATUS_TIMEOUT);
    cr_assert_eq(transaction_count(me, number, bytes_from(NULL, 0), &count), STATUS_TIMEOUT);
    cr_assert_eq(state_of(number), TRANSACTION_EXPIRED);
    transaction_rollback(me, number);
    cr_assert_eq(state_of(number), TRANSACTION_FREE);
    assert_absent(me, TRANSACTION_SINGLE, "k");
}

WHOLE_TEST(transaction, commit_of_an_expired_one_ends_it)
{
    unsigned number = begun(me);

    put(me, number, "k", "v");
    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));

    cr_assert_eq(transaction_commit(me, number), STATUS_TIMEOUT);
    cr_assert_eq(state_of(number), TRANSACTION_FREE);
    assert_absent(me, TRANSACTION_SINGLE, "k");
}

WHOLE_TEST(transaction, expired_twice_is_expired_once)
{
    unsigned number = begun(me);

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    cr_assert_not(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
}

WHOLE_TEST(transaction, one_that_runs_is_not_expired)
{
    struct value_view view;
    unsigned number;

    put(me, TRANSACTION_SINGLE, "k", "v");
    number = begun(me);
    cr_assert_eq(transaction_get(me, number, text("k"), &view), STATUS_OK);
    cr_assert_eq(state_of(number), TRANSACTION_RUNNING);
    cr_assert_not(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    transaction_get_done(me, number);

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
}

WHOLE_TEST(transaction, one_that_is_not_idle_long_enough_is_not_expired)
{
    unsigned number = begun(me);
    uint64_t since_ms = atomic_load(&slot_of(number)->idle_since_ms);

    cr_assert_not(transaction_expire(engine, me->slot_number, number - 1, since_ms));
    cr_assert_eq(transactions_expire(engine, since_ms), 0);
    cr_assert_eq(transactions_expire(engine, since_ms + 1), 1);
}

WHOLE_TEST(transaction, one_that_is_touched_is_idle_from_then_on)
{
    unsigned number = begun(me);

    atomic_store(&me->slot->transactions[number - 1].idle_since_ms, 1);
    transaction_touch(me, number);
    cr_assert_eq(state_of(number), TRANSACTION_IDLE);
    cr_assert_eq(transactions_expire(engine, 2), 0);
    put(me, number, "k", "v");
    assert_commits(me, number);
}

WHOLE_TEST(transaction, one_that_expired_is_not_woken_by_a_touch)
{
    unsigned number = begun(me);

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    transaction_touch(me, number);
    cr_assert_eq(state_of(number), TRANSACTION_EXPIRED);
    cr_assert_eq(transaction_commit(me, number), STATUS_TIMEOUT);
}

WHOLE_TEST(transaction, nothing_is_expired_where_nothing_is_open)
{
    cr_assert_not(transaction_expire(engine, me->slot_number, 0, UINT64_MAX));
    cr_assert_eq(transactions_expire(engine, UINT64_MAX), 0);
}

WHOLE_TEST(transaction, a_place_that_was_expired_serves_again)
{
    unsigned number = begun(me);

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    transaction_rollback(me, number);

    cr_assert_eq(begun(me), number);
    put(me, number, "k", "v");
    assert_commits(me, number);
    assert_reads(me, TRANSACTION_SINGLE, "k", "v");
}

/* --- participants --- */

WHOLE_TEST(transaction, closing_a_participant_rolls_back_and_leaves_nothing)
{
    struct participant *you = a_participant();
    unsigned slot = you->slot_number;
    uint32_t used = segment_chunks_used(engine->segment);

    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++)
        put(you, begun(you), "k", "v");
    participant_close(you);

    cr_assert_eq(segment_chunks_used(engine->segment), used);
    cr_assert_eq(atomic_load(&process_slot_at(engine->segment, slot)->claimed), 0);
    assert_absent(me, TRANSACTION_SINGLE, "k");
}

static int opens_and_closes(void *context)
{
    struct participant *participant;

    (void)context;
    for (unsigned i = 0; i < 200; i++) {
        if (participant_open(engine, &participant) != STATUS_OK)
            return 1;
        participant_close(participant);
    }
    return 0;
}

WHOLE_TEST(transaction, participants_come_and_go_in_many_processes)
{
    pid_t children[4];

    for (size_t i = 0; i < 4; i++)
        children[i] = process_start(opens_and_closes, NULL);
    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(process_wait(children[i]), 0);
}

/* --- times --- */

WHOLE_TEST(transaction, times_say_when_it_read_and_committed)
{
    unsigned number = begun(me);
    uint64_t snapshot = clock_now();

    put(me, number, "k", "v");
    put(me, TRANSACTION_SINGLE, "l", "v");
    assert_commits(me, number);

    cr_assert_eq(me->times.snapshot, snapshot);
    cr_assert_eq(me->times.commit, clock_now());
}

WHOLE_TEST(transaction, what_writes_nothing_ticks_nothing)
{
    uint64_t before = clock_now();
    unsigned number = begun(me);

    del(me, TRANSACTION_SINGLE, "absent");
    del(me, number, "absent");
    assert_commits(me, number);

    cr_assert_eq(clock_now(), before);
    cr_assert_eq(me->times.commit, 0);
}
