/* LOCKING through the interface, with processes: what waits is seen by who holds
 * (the store says so), never by the time that goes by. */
#include <criterion/criterion.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "store/shared_store.h"
#include "support/process.h"
#include "support/store_buffer.h"

#define RAISERS 50u
#define RAISES_EACH 20u

static struct store *store;
static struct store_session *session;

static void store_open(unsigned lock_timeout_ms)
{
    struct shared_store_options options = {.bytes = (size_t)8 << 20, .lock_timeout_ms = lock_timeout_ms};

    cr_assert_eq(shared_store_create(&options, &store), STATUS_OK, "%s", shared_store_reason());
    cr_assert_eq(store_session_open(store, &session), STATUS_OK);
}

static void store_close(void)
{
    const char *reason = NULL;

    cr_assert(shared_store_is_valid(store, &reason), "invalid: %s", reason);
    store_session_close(session);
    cr_assert(shared_store_is_valid(store, &reason), "invalid at the end: %s", reason);
    shared_store_destroy(store);
}

TestSuite(store_locking, .timeout = 120);

static struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

static bool is_holding(pid_t process)
{
    pid_t holders[RAISERS + 2];
    unsigned count = shared_store_holders(store, holders, RAISERS + 2);

    for (unsigned i = 0; i < count; i++)
        if (holders[i] == process)
            return true;
    return false;
}

/* Whoever is inside a command, or waits in one, is holding: for a client that holds nothing else. */
static void wait_until_holding(pid_t process)
{
    while (!is_holding(process))
        (void)usleep(1000);
}

static store_transaction begun_and_put(const char *key, const char *value)
{
    store_transaction transaction = STORE_SINGLE;

    cr_assert_eq(store_begin(session, ISOLATION_LOCKING, &transaction), STATUS_OK);
    cr_assert_eq(store_put(session, transaction, text(key), text(value)), STATUS_OK);
    return transaction;
}

static void assert_value(const char *key, const char *expected)
{
    struct store_buffer value = {0};
    struct store_sink sink = store_buffer_sink(&value);

    cr_assert_eq(store_get(session, STORE_SINGLE, text(key), &sink), STATUS_OK);
    cr_assert(bytes_equal(store_buffer_bytes(&value), text(expected)));
    store_buffer_deinit(&value);
}

/* --- a counter --- */

static enum status raise_once(struct store_session *mine)
{
    struct store_buffer value = {0};
    struct store_sink sink = store_buffer_sink(&value);
    store_transaction transaction;
    char number[32];
    enum status status = store_begin(mine, ISOLATION_LOCKING, &transaction);

    if (status == STATUS_OK)
        status = store_get(mine, transaction, text("counter"), &sink);
    if (status == STATUS_OK) {
        (void)snprintf(number, sizeof(number), "%.*s", (int)value.size, (const char *)value.data);
        (void)snprintf(number, sizeof(number), "%ld", strtol(number, NULL, 10) + 1);
        status = store_put(mine, transaction, text("counter"), text(number));
    }
    if (status == STATUS_OK)
        status = store_commit(mine, transaction, NULL);
    store_buffer_deinit(&value);
    return status;
}

static int raises(void *context)
{
    struct store_session *mine;

    process_gate_wait(context);
    if (store_session_open(store, &mine) != STATUS_OK)
        return 1;
    for (unsigned i = 0; i < RAISES_EACH; i++)
        if (raise_once(mine) != STATUS_OK)
            return 2;
    store_session_close(mine);
    return 0;
}

Test(store_locking, fifty_processes_raise_one_counter_and_none_is_lost)
{
    struct process_gate *gate = process_shared_memory(sizeof(*gate));
    pid_t raisers[RAISERS];
    char total[16];

    store_open(0);
    cr_assert_eq(store_put(session, STORE_SINGLE, text("counter"), text("0")), STATUS_OK);
    for (unsigned i = 0; i < RAISERS; i++)
        raisers[i] = process_start(raises, gate);
    process_gate_open(gate);
    for (unsigned i = 0; i < RAISERS; i++)
        cr_assert_eq(process_wait(raisers[i]), 0, "a raiser met a conflict or another error");

    (void)snprintf(total, sizeof(total), "%u", RAISERS * RAISES_EACH);
    assert_value("counter", total);
    store_close();
}

/* --- waiting, in vain and not --- */

static int puts_in_vain(void *context)
{
    struct store_session *mine;

    (void)context;
    if (store_session_open(store, &mine) != STATUS_OK)
        return 1;
    if (store_put(mine, STORE_SINGLE, text("n"), text("2")) != STATUS_LOCK_TIMEOUT)
        return 2;
    store_session_close(mine);
    return 0;
}

Test(store_locking, a_wait_ends_after_the_store_s_lock_timeout)
{
    store_transaction transaction;

    store_open(20);
    transaction = begun_and_put("n", "1");
    cr_assert_eq(process_run(puts_in_vain, NULL), 0);
    cr_assert_eq(store_commit(session, transaction, NULL), STATUS_OK);
    assert_value("n", "1");
    store_close();
}

static int puts_after(void *context)
{
    struct store_session *mine;

    (void)context;
    if (store_session_open(store, &mine) != STATUS_OK || store_put(mine, STORE_SINGLE, text("n"), text("2")) != STATUS_OK)
        return 1;
    store_session_close(mine);
    return 0;
}

Test(store_locking, an_expired_transaction_s_keys_go_on)
{
    store_transaction transaction;
    pid_t writer;

    store_open(0);
    transaction = begun_and_put("n", "1");
    writer = process_start(puts_after, NULL);
    wait_until_holding(writer);

    cr_assert(shared_store_expire(session, transaction));
    cr_assert_eq(process_wait(writer), 0);
    cr_assert_eq(store_get(session, transaction, text("n"), NULL), STATUS_TIMEOUT);
    store_rollback(session, transaction);
    assert_value("n", "2");
    store_close();
}

static int owns_for_ever(void *context)
{
    static struct process_gate never;
    struct store_session *mine;
    store_transaction transaction;

    if (store_session_open(store, &mine) != STATUS_OK ||
        store_begin(mine, ISOLATION_LOCKING, &transaction) != STATUS_OK ||
        store_put(mine, transaction, text("n"), text("lost")) != STATUS_OK)
        return 1;
    process_gate_open(context);
    process_gate_wait(&never);
    return 0;
}

Test(store_locking, housekeeping_gives_the_keys_of_the_dead_to_who_waits)
{
    struct process_gate *owns = process_shared_memory(sizeof(*owns));
    pid_t owner;
    pid_t writer;

    store_open(0);
    owner = process_start(owns_for_ever, owns);
    process_gate_wait(owns);
    cr_assert(is_holding(owner), "whoever has keys is holding");
    writer = process_start(puts_after, NULL);
    wait_until_holding(writer);
    cr_assert_eq(process_kill(owner), PROCESS_SIGNAL(SIGKILL));

    cr_assert(shared_store_tidy(store));
    cr_assert_eq(process_wait(writer), 0);
    assert_value("n", "2");
    store_close();
}

/* --- what is not for LOCKING --- */

static void no_key(void *context, struct bytes key)
{
    (void)context;
    (void)key;
}

Test(store_locking, scan_and_count_are_denied_and_nothing_else)
{
    struct store_scan scan = {.limit = 1, .key = no_key};
    store_transaction transaction;
    uint64_t count;

    store_open(0);
    transaction = begun_and_put("n", "1");
    cr_assert_eq(store_scan(session, transaction, &scan), STATUS_DENIED);
    cr_assert_eq(store_count(session, transaction, text(""), &count), STATUS_DENIED);
    cr_assert_eq(store_get(session, transaction, text("n"), NULL), STATUS_OK);
    cr_assert_eq(store_del(session, transaction, text("n")), STATUS_OK);
    cr_assert_eq(store_get(session, transaction, text("n"), NULL), STATUS_NOT_FOUND);
    cr_assert_eq(store_put(session, STORE_SINGLE, text("n"), text("2")), STATUS_DEADLOCK);
    cr_assert_eq(store_count(session, STORE_SINGLE, text(""), &count), STATUS_OK);
    cr_assert_eq(store_commit(session, transaction, NULL), STATUS_OK);
    store_close();
}
