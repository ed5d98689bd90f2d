/* Waiting for a key for as long as somebody wants it. The waiter is asked before the first sleep: what it does there
 * happens during the wait, so nobody sleeps here. */
#include "transaction/key_lock.h" /* before the fixture's `engine` */

#include "engine_fixture.h"

static struct participant *you;
static unsigned mine;
static unsigned asked;
static unsigned gives_up_at; /* the call at which it does; 0: never */
static unsigned given_at;    /* the call during which the key becomes free; 0: never */

static bool goes_on(void *context)
{
    (void)context;
    asked++;
    if (asked == given_at)
        transaction_rollback(me, mine);
    return asked != gives_up_at;
}

static const struct waiter waiter = {.goes_on = goes_on};

static void open_engine(void)
{
    engine_open((size_t)8 << 20, 4);
    engine->lock_timeout_ms = 0; /* for ever */
    you = a_participant();
    you->waiter = &waiter;
    put(me, TRANSACTION_SINGLE, "n", "1");
    mine = begun_as(me, ISOLATION_LOCKING);
    put(me, mine, "n", "2");
}

static void close_engine(void)
{
    participant_close(you);
    cr_assert_eq(atomic_load(&engine->segment->header->key_lock_count), me->transactions[mine - 1].is_open ? 1 : 0);
    assert_engine_valid();
    engine_close();
}

TestSuite(waiter, .init = open_engine, .fini = close_engine, .timeout = 60);

static enum status put_as(unsigned number)
{
    return transaction_put(you, number, bytes_from_string("n"), bytes_from_string("3"));
}

Test(waiter, is_not_asked_where_nobody_waits)
{
    put(you, TRANSACTION_SINGLE, "m", "1");
    cr_assert_eq(asked, 0);
}

Test(waiter, gives_up_before_the_first_sleep)
{
    gives_up_at = 1;
    cr_assert_eq(put_as(TRANSACTION_SINGLE), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(asked, 1);
    assert_reads(me, mine, "n", "2");
}

/* These sleep for the waiter's first pauses. */
Test(waiter, is_asked_again_and_again)
{
    gives_up_at = 3;
    cr_assert_eq(put_as(TRANSACTION_SINGLE), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(asked, 3);
}

Test(waiter, does_not_lengthen_the_wait)
{
    engine->lock_timeout_ms = 1;
    cr_assert_eq(put_as(TRANSACTION_SINGLE), STATUS_LOCK_TIMEOUT);
    cr_assert_geq(asked, 1);
}

Test(waiter, gets_the_key_when_its_turn_has_come)
{
    given_at = 1;
    cr_assert_eq(put_as(TRANSACTION_SINGLE), STATUS_OK);
    assert_reads(me, TRANSACTION_SINGLE, "n", "3");
}

Test(waiter, that_gives_up_when_its_turn_has_come_leaves_the_key_to_others)
{
    unsigned yours = begun_as(you, ISOLATION_LOCKING);

    given_at = 1;
    gives_up_at = 1;
    cr_assert_eq(put_as(yours), STATUS_LOCK_TIMEOUT);
    assert_engine_valid();
    put(me, TRANSACTION_SINGLE, "n", "4"); /* who would wait for ever */
    transaction_rollback(you, yours);
    assert_reads(me, TRANSACTION_SINGLE, "n", "4");
}

Test(waiter, of_a_commit_that_gives_up_has_committed_nothing)
{
    unsigned yours = begun_as(you, ISOLATION_READ_COMMITTED);

    gives_up_at = 1;
    cr_assert_eq(put_as(yours), STATUS_OK);
    cr_assert_eq(transaction_commit(you, yours), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(asked, 1);
    transaction_rollback(me, mine);
    assert_reads(me, TRANSACTION_SINGLE, "n", "1");
}

Test(waiter, of_a_read_that_gives_up_has_read_nothing)
{
    struct value_view view;

    gives_up_at = 1;
    cr_assert_eq(transaction_get(you, TRANSACTION_SINGLE, bytes_from_string("n"), &view), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(asked, 1);
}
