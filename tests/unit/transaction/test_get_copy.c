/* A single GET that copies a short value: what it answers, that it pins nothing, and where it does what others do. */
#include <string.h>

#include "engine_fixture.h"

static unsigned char copy[VALUE_COPIED_BYTES_MAX];

static void open_engine(void)
{
    engine_open((size_t)1 << 20, 2);
}

static void get_copy_is_whole(void)
{
    engine_close();
}

TestSuite(get_copy, .init = open_engine, .timeout = 60);

/* --- sentences --- */

static uint64_t pin_of_me(void)
{
    return atomic_load(&me->slot->single_pin);
}

static void assert_copies(const char *key, const char *expected)
{
    struct value_view view;

    cr_assert_eq(transaction_get_copy(me, text(key), copy, &view), STATUS_OK);
    cr_assert_eq((const void *)view.copy, (const void *)copy, "%s was not copied", key);
    cr_assert(bytes_equal(value_view_piece(&view, 0), text(expected)), "%s is not %s", key, expected);
    cr_assert_eq(pin_of_me(), PIN_NONE);
}

static void assert_copies_nothing(const char *key)
{
    struct value_view view;

    cr_assert_eq(transaction_get_copy(me, text(key), copy, &view), STATUS_NOT_FOUND);
    cr_assert_eq(pin_of_me(), PIN_NONE);
}

/* Reads the whole value as any caller would. */
static void assert_pins(const char *key, size_t size)
{
    struct value_view view;
    size_t seen = 0;

    cr_assert_eq(transaction_get_copy(me, text(key), copy, &view), STATUS_OK);
    cr_assert_null(view.copy);
    cr_assert_eq(pin_of_me(), PIN_EVERYTHING);
    while (seen < view.size)
        seen += value_view_piece(&view, seen).size;
    cr_assert_eq(seen, size);
    transaction_get_done(me, TRANSACTION_SINGLE);
    cr_assert_eq(pin_of_me(), PIN_NONE);
}

/* --- tests --- */

WHOLE_TEST(get_copy, answers_what_is_there)
{
    assert_copies_nothing("k");
    put(me, TRANSACTION_SINGLE, "k", "first");
    assert_copies("k", "first");
    put(me, TRANSACTION_SINGLE, "k", "second");
    assert_copies("k", "second");
    del(me, TRANSACTION_SINGLE, "k");
    assert_copies_nothing("k");
    (void)engine_clean(engine);
    assert_copies_nothing("k");
    put(me, TRANSACTION_SINGLE, "k", "");
    assert_copies("k", "");
}

WHOLE_TEST(get_copy, keeps_what_it_copied)
{
    struct value_view view;

    put(me, TRANSACTION_SINGLE, "k", "seen");
    cr_assert_eq(transaction_get_copy(me, text("k"), copy, &view), STATUS_OK);
    for (unsigned i = 0; i < 100; i++)
        put(me, TRANSACTION_SINGLE, "k", "next");
    cr_assert_gt(engine_clean(engine), 0, "nothing is kept for it");

    cr_assert(bytes_equal(value_view_piece(&view, 0), text("seen")));
}

WHOLE_TEST(get_copy, pins_a_longer_value)
{
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "longest", VALUE_COPIED_BYTES_MAX), STATUS_OK);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "longer", VALUE_COPIED_BYTES_MAX + 1), STATUS_OK);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, "in chunks", 3 * CHUNK_BYTES), STATUS_OK);

    assert_pins("longer", VALUE_COPIED_BYTES_MAX + 1);
    assert_pins("in chunks", 3 * CHUNK_BYTES);
    cr_assert_eq(transaction_get_copy(me, text("longest"), copy, &(struct value_view){0}), STATUS_OK);
    cr_assert_eq(pin_of_me(), PIN_NONE);
}

WHOLE_TEST(get_copy, says_when_it_read)
{
    put(me, TRANSACTION_SINGLE, "k", "v");
    me->times = (struct transaction_times){.snapshot = 77, .commit = 77};
    assert_copies("k", "v");
    cr_assert_eq(me->times.snapshot, clock_now());
    cr_assert_eq(me->times.commit, 0);
}

WHOLE_TEST(get_copy, takes_the_hash_that_was_looked_at_ahead)
{
    put(me, TRANSACTION_SINGLE, "k", "v");
    transaction_prefetch(me, text("k"));
    assert_copies("k", "v");
    cr_assert_eq(me->hints.taken_count, me->hints.added_count);
    assert_copies("k", "v");
}

WHOLE_TEST(get_copy, does_not_see_what_is_not_committed)
{
    unsigned number = begun(me);

    put(me, number, "k", "mine");
    assert_copies_nothing("k");
    assert_commits(me, number);
    assert_copies("k", "mine");
}

WHOLE_TEST(get_copy, waits_for_a_locked_key)
{
    struct participant *you = a_participant();
    struct value_view view;
    unsigned number;

    put(me, TRANSACTION_SINGLE, "k", "old");
    engine->lock_timeout_ms = 1;
    number = begun_as(you, ISOLATION_LOCKING);
    put(you, number, "k", "new");

    cr_assert_eq(transaction_get_copy(me, text("k"), copy, &view), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(pin_of_me(), PIN_NONE);
    assert_commits(you, number);
    assert_copies("k", "new");
    participant_close(you);
}

/* As the heir of a shard leaves it where repair is given up. */
WHOLE_TEST(get_copy, refuses_a_shard_that_is_set_aside)
{
    struct shard *shard = table_shard(&engine->table, shard_of("k"));
    struct value_view view;

    put(me, TRANSACTION_SINGLE, "k", "v");
    atomic_store(&shard->is_set_aside, 1);
    cr_assert_eq(transaction_get_copy(me, text("k"), copy, &view), STATUS_UNAVAILABLE);
    cr_assert_eq(pin_of_me(), PIN_NONE);
    atomic_store(&shard->is_set_aside, 0);
    assert_copies("k", "v");
}
