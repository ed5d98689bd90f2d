/* LOCKING: who waits for whom, and what becomes of it when somebody dies. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lock_clients.h"
#include "support/process.h"

#define S TRANSACTION_SINGLE
#define DOES(client, act, number, key, value) cr_assert_eq(client_does(client, act, number, key, value), STATUS_OK)

static void open_engine(void)
{
    engine_open((size_t)8 << 20, 4);
}

static void key_lock_is_whole(void)
{
    clients_end();
    cr_assert_eq(atomic_load(&engine->segment->header->key_lock_count), 0);
    engine_close();
}

TestSuite(key_lock, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static void assert_answers(unsigned client, enum status expected)
{
    enum status status = client_answers(client);

    cr_assert_eq(status, expected, "client %u: %s", client, status_code(status));
}

static void assert_answers_value(unsigned client, const char *expected)
{
    assert_answers(client, STATUS_OK);
    cr_assert_str_eq(client_value(client), expected);
}

/* Begins the client's transaction 1 and has it read a key. */
static void has(unsigned client, const char *key)
{
    enum status status;

    DOES(client, BEGINS_LOCKING, 0, NULL, NULL);
    status = client_does(client, GETS, 1, key, NULL);
    cr_assert(status == STATUS_OK || status == STATUS_NOT_FOUND, "%s", status_code(status));
}

static void begins_and_waits_for(unsigned client, const char *key)
{
    DOES(client, BEGINS_LOCKING, 0, NULL, NULL);
    client_waits(client, GETS, 1, key, NULL);
}

/* --- waiting --- */

WHOLE_TEST(key_lock, second_client_waits_and_reads_what_the_first_committed)
{
    put(me, S, "n", "1");
    clients_start(2);
    has(0, "n");
    begins_and_waits_for(1, "n");
    DOES(0, PUTS, 1, "n", "2");
    assert_engine_valid();
    DOES(0, COMMITS, 1, NULL, NULL);

    assert_answers_value(1, "2");
    assert_engine_valid();
    DOES(1, PUTS, 1, "n", "3");
    DOES(1, COMMITS, 1, NULL, NULL);
    assert_reads(me, S, "n", "3");
}

WHOLE_TEST(key_lock, absent_key_is_locked_too)
{
    clients_start(2);
    has(0, "absent");
    DOES(1, BEGINS_LOCKING, 0, NULL, NULL);
    client_waits(1, PUTS, 1, "absent", "second");
    DOES(0, PUTS, 1, "absent", "first");
    DOES(0, COMMITS, 1, NULL, NULL);

    assert_answers(1, STATUS_OK);
    DOES(1, COMMITS, 1, NULL, NULL);
    assert_reads(me, S, "absent", "second");
}

WHOLE_TEST(key_lock, rollback_gives_the_key_up_unchanged)
{
    put(me, S, "n", "1");
    clients_start(2);
    has(0, "n");
    DOES(0, PUTS, 1, "n", "2");
    begins_and_waits_for(1, "n");
    DOES(0, ROLLS_BACK, 1, NULL, NULL);

    assert_answers_value(1, "1");
}

WHOLE_TEST(key_lock, what_a_transaction_has_it_gets_again)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);

    assert_absent(me, number, "n");
    put(me, number, "n", "1");
    assert_reads(me, number, "n", "1");
    del(me, number, "n");
    assert_absent(me, number, "n");
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 1);
    assert_commits(me, number);
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 0);
}

WHOLE_TEST(key_lock, first_come_first_served)
{
    clients_start(11);
    has(0, "n");
    for (unsigned client = 1; client < 11; client++)
        begins_and_waits_for(client, "n");
    for (unsigned client = 0; client < 11; client++) {
        cr_assert_eq(key_locks_in(KEY_LOCK_WAITS), 10 - client);
        assert_engine_valid();
        DOES(client, PUTS, 1, "n", "x");
        DOES(client, COMMITS, 1, NULL, NULL);
        if (client < 10)
            assert_answers(client + 1, STATUS_OK);
        for (unsigned later = client + 2; later < 11; later++)
            cr_assert(client_is_waiting(later));
    }
}

WHOLE_TEST(key_lock, waits_in_vain_no_longer_than_it_may)
{
    engine->lock_timeout_ms = 20;
    clients_start(2);
    has(0, "n");
    DOES(1, BEGINS_LOCKING, 0, NULL, NULL);

    cr_assert_eq(client_does(1, GETS, 1, "n", NULL), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(client_does(1, PUTS, S, "n", "2"), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(client_does(1, GETS, S, "n", NULL), STATUS_LOCK_TIMEOUT);
    cr_assert_eq(key_locks_in(KEY_LOCK_WAITS), 0);
    assert_engine_valid();
    DOES(0, COMMITS, 1, NULL, NULL);
    DOES(1, ROLLS_BACK, 1, NULL, NULL);
    DOES(1, PUTS, S, "n", "2");
}

WHOLE_TEST(key_lock, scan_and_count_are_denied)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);
    struct key_list keys = {0};
    uint64_t next;

    cr_assert_eq(transaction_scan(me, number, 0, text(""), 10, &keys, &next), STATUS_DENIED);
    cr_assert_eq(transaction_count(me, number, text(""), &next), STATUS_DENIED);
    put(me, number, "n", "1");
    assert_commits(me, number);
}

/* --- who else waits --- */

static const struct {
    const char *what;
    enum act begins; /* LEAVES: a single command */
    enum act act;
    enum status status;
    const char *after; /* what n is in the end */
} others[] = {
    {"a single GET", LEAVES, GETS, STATUS_OK, "owner's"},
    {"a single PUT", LEAVES, PUTS, STATUS_OK, "other's"},
    {"a single DEL", LEAVES, DELS, STATUS_OK, NULL},
    {"a GET in READ COMMITTED", BEGINS_READ_COMMITTED, GETS, STATUS_OK, "owner's"},
};

WHOLE_TEST(key_lock, single_commands_and_committed_reads_wait)
{
    clients_start(2);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        unsigned number = others[i].begins == LEAVES ? S : 1;

        put(me, S, "n", "before");
        has(0, "n");
        DOES(0, PUTS, 1, "n", "owner's");
        if (number != S)
            DOES(1, others[i].begins, 0, NULL, NULL);
        client_waits(1, others[i].act, number, "n", "other's");
        assert_engine_valid();
        DOES(0, COMMITS, 1, NULL, NULL);
        cr_assert_eq(client_answers(1), others[i].status, "%s", others[i].what);
        if (others[i].act == GETS)
            cr_assert_str_eq(client_value(1), "owner's", "%s", others[i].what);
        if (number != S)
            DOES(1, COMMITS, 1, NULL, NULL);
        if (others[i].after != NULL)
            assert_reads(me, S, "n", others[i].after);
        else
            assert_absent(me, S, "n");
        cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 0, "%s", others[i].what);
    }
}

static void commit_waits(enum act begins, bool reads, enum status expected, const char *after)
{
    put(me, S, "n", "before");
    clients_start(2);
    DOES(1, begins, 0, NULL, NULL);
    if (reads)
        DOES(1, GETS, 1, "n", NULL);
    DOES(1, PUTS, 1, "n", "other's");
    has(0, "n");
    DOES(0, PUTS, 1, "n", "owner's");
    client_waits(1, COMMITS, 1, NULL, NULL);
    assert_engine_valid();
    DOES(0, COMMITS, 1, NULL, NULL);

    assert_answers(1, expected);
    assert_reads(me, S, "n", after);
}

WHOLE_TEST(key_lock, serializable_commit_waits)
{
    commit_waits(BEGINS_SERIALIZABLE, false, STATUS_OK, "other's");
}

WHOLE_TEST(key_lock, serializable_commit_that_read_waits_and_conflicts)
{
    commit_waits(BEGINS_SERIALIZABLE, true, STATUS_CONFLICT, "owner's");
}

WHOLE_TEST(key_lock, committed_reader_s_commit_waits)
{
    commit_waits(BEGINS_READ_COMMITTED, true, STATUS_OK, "other's");
}

WHOLE_TEST(key_lock, snapshot_reads_and_scans_of_others_do_not_wait)
{
    put(me, S, "n", "before");
    clients_start(1);
    has(0, "n");
    DOES(0, PUTS, 1, "n", "owner's");

    for (enum isolation isolation = ISOLATION_SERIALIZABLE; isolation <= ISOLATION_READ_COMMITTED; isolation++) {
        unsigned number = begun_as(me, isolation);

        if (isolation == ISOLATION_SERIALIZABLE)
            assert_reads(me, number, "n", "before");
        cr_assert_eq(count_of(me, number), 1);
        assert_commits(me, number);
    }
    cr_assert_eq(count_of(me, S), 1);
}

WHOLE_TEST(key_lock, committed_reader_reads_its_own_write_without_waiting)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);

    put(me, number, "n", "mine");
    clients_start(1);
    has(0, "n");

    assert_reads(me, number, "n", "mine");
    transaction_rollback(me, number);
}

/* Holds nothing of its own while it waits for the second, so nobody can wait for it in a circle. */
WHOLE_TEST(key_lock, commit_that_meets_a_second_lock_gives_the_first_back)
{
    const char *first = "a";
    const char *second = "b";

    if (table_hash(&engine->table, text(first)) > table_hash(&engine->table, text(second))) {
        first = "b";
        second = "a";
    }
    clients_start(4);
    has(0, first);
    has(1, second);
    DOES(2, BEGINS_READ_COMMITTED, 0, NULL, NULL);
    DOES(2, PUTS, 1, first, "committed");
    DOES(2, PUTS, 1, second, "committed");
    client_waits(2, COMMITS, 1, NULL, NULL);
    DOES(0, COMMITS, 1, NULL, NULL);
    client_comes_to_wait_for(2, second); /* it was granted the first */
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 1, "the first was not given back");

    has(3, first);
    assert_engine_valid();
    DOES(1, COMMITS, 1, NULL, NULL);
    client_comes_to_wait_for(2, first);
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 1, "the second was not given back");
    DOES(3, PUTS, 1, first, "locked");
    DOES(3, COMMITS, 1, NULL, NULL);
    assert_answers(2, STATUS_OK);
    assert_reads(me, S, first, "committed");
    assert_reads(me, S, second, "committed");
}

/* --- deadlocks --- */

static const char *circle_key(unsigned i)
{
    static char keys[LOCK_CLIENTS_MAX][8];

    (void)snprintf(keys[i], sizeof(keys[i]), "c%u", i);
    return keys[i];
}

static void circle_of(unsigned count)
{
    clients_start(count);
    for (unsigned i = 0; i < count; i++)
        has(i, circle_key(i));
    for (unsigned i = 0; i + 1 < count; i++)
        client_waits(i, PUTS, 1, circle_key(i + 1), "x");
    assert_engine_valid();

    cr_assert_eq(client_does(count - 1, PUTS, 1, circle_key(0), "x"), STATUS_DEADLOCK);
    cr_assert_eq(key_locks_in(KEY_LOCK_WAITS), count - 1);
    assert_engine_valid();
    DOES(count - 1, ROLLS_BACK, 1, NULL, NULL);
    for (unsigned i = count - 1; i-- > 0;) {
        assert_answers(i, STATUS_OK);
        DOES(i, COMMITS, 1, NULL, NULL);
    }
}

WHOLE_TEST(key_lock, circle_of_two_has_one_victim)
{
    circle_of(2);
}

WHOLE_TEST(key_lock, circle_of_three_has_one_victim)
{
    circle_of(3);
}

WHOLE_TEST(key_lock, circle_of_eight_has_one_victim)
{
    circle_of(8);
}

WHOLE_TEST(key_lock, circle_over_a_single_command_is_found)
{
    clients_start(2);
    has(0, "a");
    has(1, "b");
    client_waits(0, PUTS, S, "b", "x");

    cr_assert_eq(client_does(1, GETS, 1, "a", NULL), STATUS_DEADLOCK);
    DOES(1, ROLLS_BACK, 1, NULL, NULL);
    assert_answers(0, STATUS_OK);
}

WHOLE_TEST(key_lock, whoever_would_wait_for_itself_is_told_at_once)
{
    unsigned owner = begun_as(me, ISOLATION_LOCKING);
    unsigned second = begun_as(me, ISOLATION_LOCKING);
    unsigned reader = begun_as(me, ISOLATION_READ_COMMITTED);
    unsigned writer = begun(me);
    struct value_view view;

    put(me, S, "n", "before");
    put(me, writer, "n", "writer's");
    put(me, owner, "n", "owner's");
    cr_assert_eq(transaction_get(me, second, text("n"), &view), STATUS_DEADLOCK);
    cr_assert_eq(transaction_put(me, second, text("n"), text("x")), STATUS_DEADLOCK);
    cr_assert_eq(transaction_get(me, S, text("n"), &view), STATUS_DEADLOCK);
    cr_assert_eq(transaction_put(me, S, text("n"), text("x")), STATUS_DEADLOCK);
    cr_assert_eq(transaction_del(me, S, text("n")), STATUS_DEADLOCK);
    cr_assert_eq(transaction_get(me, reader, text("n"), &view), STATUS_DEADLOCK);
    cr_assert_eq(transaction_commit(me, writer), STATUS_DEADLOCK);
    assert_engine_valid();
    assert_commits(me, owner);
    assert_reads(me, S, "n", "owner's");
    transaction_rollback(me, second);
    transaction_rollback(me, reader);
}

WHOLE_TEST(key_lock, transactions_of_one_connection_lock_different_keys)
{
    unsigned first = begun_as(me, ISOLATION_LOCKING);
    unsigned second = begun_as(me, ISOLATION_LOCKING);

    put(me, first, "a", "1");
    put(me, second, "b", "2");
    assert_engine_valid();
    assert_commits(me, first);
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 1);
    assert_commits(me, second);
    assert_reads(me, S, "a", "1");
    assert_reads(me, S, "b", "2");
}

/* --- expiry --- */

WHOLE_TEST(key_lock, expired_owner_loses_its_keys_at_once)
{
    clients_start(2);
    has(0, "n");
    DOES(0, PUTS, 1, "n", "lost");
    begins_and_waits_for(1, "n");

    cr_assert(transaction_expire(engine, client_slot(0), 0, UINT64_MAX));
    cr_assert_eq(key_locks_in(KEY_LOCK_WAITS), 0);
    assert_answers(1, STATUS_NOT_FOUND);
    assert_engine_valid();
    cr_assert_eq(client_does(0, GETS, 1, "n", NULL), STATUS_TIMEOUT);
    DOES(0, ROLLS_BACK, 1, NULL, NULL);
    DOES(1, COMMITS, 1, NULL, NULL);
}

WHOLE_TEST(key_lock, expired_owner_loses_its_keys_in_the_next_round_if_not_at_once)
{
    clients_start(2);
    has(0, "n");
    begins_and_waits_for(1, "n");
    cr_assert_eq(robust_mutex_lock(&engine->segment->header->key_lock_mutex), MUTEX_LOCKED);
    cr_assert(transaction_expire(engine, client_slot(0), 0, UINT64_MAX));
    cr_assert(client_is_waiting(1));
    cr_assert_not(key_locks_tidy(engine));
    robust_mutex_unlock(&engine->segment->header->key_lock_mutex);

    cr_assert(key_locks_tidy(engine));
    assert_answers(1, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, who_waits_is_not_expired)
{
    clients_start(2);
    has(0, "n");
    begins_and_waits_for(1, "n");

    cr_assert_not(transaction_expire(engine, client_slot(1), 0, UINT64_MAX));
    DOES(0, COMMITS, 1, NULL, NULL);
    assert_answers(1, STATUS_NOT_FOUND);
}

/* --- deaths --- */

WHOLE_TEST(key_lock, killed_owner_blocks_nobody)
{
    put(me, S, "n", "before");
    clients_start(3);
    has(0, "n");
    DOES(0, PUTS, 1, "n", "lost");
    begins_and_waits_for(1, "n");
    client_waits(2, PUTS, S, "n", "after");
    client_is_killed(0);

    cr_assert_eq(slots_drain_dead(engine), 1);
    assert_answers_value(1, "before");
    assert_engine_valid();
    DOES(1, COMMITS, 1, NULL, NULL);
    assert_answers(2, STATUS_OK);
    assert_reads(me, S, "n", "after");
}

WHOLE_TEST(key_lock, killed_waiter_blocks_nobody)
{
    clients_start(3);
    has(0, "n");
    begins_and_waits_for(1, "n");
    begins_and_waits_for(2, "n");
    client_is_killed(1);

    cr_assert_eq(slots_drain_dead(engine), 1);
    assert_engine_valid();
    DOES(0, COMMITS, 1, NULL, NULL);
    assert_answers(2, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, waiter_that_is_granted_when_it_is_dead_blocks_nobody)
{
    clients_start(3);
    has(0, "n");
    begins_and_waits_for(1, "n");
    begins_and_waits_for(2, "n");
    client_is_killed(1);
    DOES(0, COMMITS, 1, NULL, NULL);
    cr_assert(client_is_waiting(2));

    cr_assert_eq(slots_drain_dead(engine), 1);
    assert_answers(2, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, killed_owner_and_waiter_block_nobody)
{
    clients_start(3);
    has(0, "n");
    begins_and_waits_for(1, "n");
    begins_and_waits_for(2, "n");
    client_is_killed(0);
    client_is_killed(1);

    cr_assert_eq(slots_drain_dead(engine), 2);
    assert_answers(2, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, circle_over_the_dead_is_none)
{
    clients_start(2);
    has(0, "a");
    has(1, "b");
    client_waits(0, GETS, 1, "b", NULL);
    client_is_killed(0);

    client_waits(1, GETS, 1, "a", NULL);
    cr_assert_eq(slots_drain_dead(engine), 1);
    assert_answers(1, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, whoever_has_or_wants_a_key_is_holding)
{
    clients_start(2);
    cr_assert_not(slot_is_holding(engine, client_slot(0)));
    has(0, "n");
    client_waits(1, GETS, S, "n", NULL);

    cr_assert(slot_is_holding(engine, client_slot(0)));
    cr_assert(slot_is_holding(engine, client_slot(1)));
    DOES(0, COMMITS, 1, NULL, NULL);
    assert_answers(1, STATUS_NOT_FOUND);
    cr_assert_not(slot_is_holding(engine, client_slot(0)));
}

/* What it committed cannot be published, so its slot stays as it is for good; its keys do not. */
WHOLE_TEST(key_lock, slot_that_cannot_be_drained_has_no_keys)
{
    struct shard *broken = table_shard(&engine->table, (shard_of("n") + 1) % 4);
    struct commit_record *commit;

    clients_start(2);
    has(0, "n");
    begins_and_waits_for(1, "n");
    commit = &process_slot_at(engine->segment, client_slot(0))->commit;
    client_is_killed(0);
    atomic_store(&broken->is_set_aside, 1);
    atomic_store(&commit->pending, (uint64_t)1 << (shard_of("n") + 1) % 4);
    atomic_store(&commit->word, clock_now() << 1 | 1);

    cr_assert_eq(slots_drain_dead(engine), 0);
    cr_assert_eq(key_locks_in(KEY_LOCK_WAITS), 0);
    assert_answers(1, STATUS_NOT_FOUND);
    atomic_store(&commit->word, 0);
    atomic_store(&commit->pending, 0);
    atomic_store(&broken->is_set_aside, 0);
}

WHOLE_TEST(key_lock, housekeeping_does_not_wait_for_the_mutex)
{
    clients_start(1);
    has(0, "n");
    client_is_killed(0);
    cr_assert_eq(robust_mutex_lock(&engine->segment->header->key_lock_mutex), MUTEX_LOCKED);
    cr_assert_eq(slots_drain_dead(engine), 0);
    robust_mutex_unlock(&engine->segment->header->key_lock_mutex);

    cr_assert_eq(slots_drain_dead(engine), 1);
}

static int does_nothing(void *context)
{
    (void)context;
    return 0;
}

/* As if the kernel had not found the mutex among those of the dead. */
WHOLE_TEST(key_lock, mutex_that_the_kernel_forgot_is_passed_on)
{
    uint32_t *word = (uint32_t *)(void *)&engine->segment->header->key_lock_mutex;
    pid_t dead = process_start(does_nothing, NULL);

    cr_assert_eq(process_wait(dead), 0);
    __atomic_store_n(word, (uint32_t)dead, __ATOMIC_SEQ_CST);
    cr_assert_not(key_locks_tidy(engine));
    engine_bury(engine, dead);
    cr_assert(key_locks_tidy(engine));
}

/* --- deaths inside --- */

/* What the dead did before it died with the mutex: the truth is one of the states between two stores, the derived data are
 * whatever it likes. */
enum inside { NOTHING, GAVE_UP, GAVE_UP_AND_GRANTED, FILLED, TOOK, INSIDE_COUNT };

static struct key_lock *lock_of(unsigned client, enum key_lock_state state)
{
    struct key_lock_cursor cursor = {0};
    struct key_lock *lock;

    while ((lock = key_lock_next(engine->segment, client_slot(client), &cursor)) != NULL)
        if (atomic_load(&lock->state) == (uint32_t)state)
            return lock;
    return NULL;
}

static void derived_data_is_ruined(void)
{
    struct segment_header *header = engine->segment->header;

    memset(header->key_lock_buckets, 0x7f, sizeof(header->key_lock_buckets));
    atomic_store(&header->key_lock_count, 77);
    for (unsigned slot = 0; slot < process_slot_count(engine->segment); slot++) {
        struct slot_key_locks *locks = &process_slot_at(engine->segment, slot)->key_locks;
        struct key_lock_cursor cursor = {0};
        struct key_lock *lock;

        locks->free = 1;
        locks->waiting = 2;
        atomic_store(&locks->count, 99);
        while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL)
            lock->next = 3;
    }
}

static int dies_inside(void *context)
{
    enum inside inside = *(const enum inside *)context;
    struct participant *you;
    struct key_lock *mine;

    if (participant_open(engine, &you) != STATUS_OK ||
        robust_mutex_lock(&engine->segment->header->key_lock_mutex) != MUTEX_LOCKED)
        return 1;
    mine = &you->slot->key_locks.built_in[0];
    if (inside == GAVE_UP || inside == GAVE_UP_AND_GRANTED)
        atomic_store(&lock_of(0, KEY_LOCK_OWNS)->state, KEY_LOCK_FREE);
    if (inside == GAVE_UP_AND_GRANTED)
        atomic_store(&lock_of(1, KEY_LOCK_WAITS)->state, KEY_LOCK_OWNS); /* and wakes nobody */
    if (inside == FILLED || inside == TOOK) {
        mine->hash = lock_of(0, KEY_LOCK_OWNS)->hash;
        mine->transaction = KEY_LOCK_SINGLE;
        mine->ticket = ++engine->segment->header->key_lock_ticket;
    }
    if (inside == TOOK)
        atomic_store(&mine->state, KEY_LOCK_WAITS);
    derived_data_is_ruined();
    (void)raise(SIGKILL);
    return 2;
}

static void death_inside(enum inside inside)
{
    clients_start(3);
    has(0, "n");
    begins_and_waits_for(1, "n");
    begins_and_waits_for(2, "n");
    cr_assert_eq(process_run(dies_inside, &inside), PROCESS_SIGNAL(SIGKILL));

    cr_assert(key_locks_tidy(engine));
    cr_assert_eq(slots_drain_dead(engine), 1);
    assert_engine_valid();
    /* In GAVE_UP the dead was the expirer of 0, say; 0 itself does not know. */
    if (inside == NOTHING || inside == FILLED || inside == TOOK)
        cr_assert(client_is_waiting(1));
    DOES(0, ROLLS_BACK, 1, NULL, NULL);
    assert_answers(1, STATUS_NOT_FOUND);
    cr_assert(client_is_waiting(2));
    DOES(1, ROLLS_BACK, 1, NULL, NULL);
    assert_answers(2, STATUS_NOT_FOUND);
}

WHOLE_TEST(key_lock, heir_of_a_death_inside_restores_everything)
{
    for (enum inside inside = NOTHING; inside < INSIDE_COUNT; inside++) {
        death_inside(inside);
        clients_end();
    }
}

static int dies_with_the_mutex(void *context)
{
    (void)context;
    if (robust_mutex_lock(&engine->segment->header->key_lock_mutex) != MUTEX_LOCKED)
        return 1;
    derived_data_is_ruined();
    (void)raise(SIGKILL);
    return 2;
}

WHOLE_TEST(key_lock, whoever_comes_next_is_the_heir)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);

    put(me, number, "a", "1");
    cr_assert_eq(process_run(dies_with_the_mutex, NULL), PROCESS_SIGNAL(SIGKILL));
    put(me, number, "b", "2");
    assert_engine_valid();
    cr_assert_eq(process_run(dies_with_the_mutex, NULL), PROCESS_SIGNAL(SIGKILL));
    put(me, S, "c", "3"); /* meets the count, which is wrong, and looks */
    assert_engine_valid();
    cr_assert_eq(process_run(dies_with_the_mutex, NULL), PROCESS_SIGNAL(SIGKILL));
    assert_commits(me, number);
    assert_engine_valid();
}

WHOLE_TEST(key_lock, whoever_asks_for_an_owner_or_gives_back_is_the_heir)
{
    struct key_lock_owner owner = {.slot = me->slot_number, .transaction = KEY_LOCK_SINGLE};
    struct key_lock_owner other = {.slot = me->slot_number, .transaction = 0};
    uint64_t hash = table_hash(&engine->table, text("n"));
    uint64_t deadline_ns = 0;

    cr_assert_eq(key_lock_borrow(engine, owner, hash, &deadline_ns), STATUS_OK);
    cr_assert_eq(process_run(dies_with_the_mutex, NULL), PROCESS_SIGNAL(SIGKILL));
    cr_assert(key_lock_is_foreign(engine, other, hash));
    assert_engine_valid();
    cr_assert_eq(process_run(dies_with_the_mutex, NULL), PROCESS_SIGNAL(SIGKILL));
    key_lock_return(engine, owner, hash);
    assert_engine_valid();
    cr_assert_not(key_locks_exist(engine));
}

static int dies_owning_much(void *context)
{
    unsigned count = *(const unsigned *)context;
    struct participant *you;
    unsigned number;
    char key[16];

    if (participant_open(engine, &you) != STATUS_OK ||
        transaction_begin(you, ISOLATION_LOCKING, &number) != STATUS_OK)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        if (transaction_put(you, number, text(key), text("lost")) != STATUS_OK)
            return 1;
    }
    if (robust_mutex_lock(&engine->segment->header->key_lock_mutex) != MUTEX_LOCKED)
        return 1;
    derived_data_is_ruined();
    (void)raise(SIGKILL);
    return 2;
}

WHOLE_TEST(key_lock, chunks_of_the_dead_come_back)
{
    uint32_t used = segment_chunks_used(engine->segment);
    unsigned count = 2000;

    cr_assert_eq(process_run(dies_owning_much, &count), PROCESS_SIGNAL(SIGKILL));
    cr_assert(key_locks_tidy(engine));
    cr_assert_eq(atomic_load(&engine->segment->header->key_lock_count), count);
    cr_assert_eq(slots_drain_dead(engine), 1);
    cr_assert_eq(segment_chunks_used(engine->segment), used);
}

/* --- memory --- */

WHOLE_TEST(key_lock, ten_thousand_keys_and_their_chunks_come_back)
{
    uint32_t used = segment_chunks_used(engine->segment);
    unsigned number = begun_as(me, ISOLATION_LOCKING);
    struct value_view view;
    char key[16];

    for (unsigned i = 0; i < 10000; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(transaction_get(me, number, text(key), &view), STATUS_NOT_FOUND);
    }
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 10000);
    cr_assert_eq(atomic_load(&engine->segment->header->key_lock_count), 10000);
    assert_engine_valid();
    assert_commits(me, number);
    cr_assert_eq(segment_chunks_used(engine->segment), used);
}

WHOLE_TEST(key_lock, chunks_stay_while_another_transaction_of_the_slot_has_a_key)
{
    unsigned first = begun_as(me, ISOLATION_LOCKING);
    unsigned second = begun_as(me, ISOLATION_LOCKING);
    uint32_t used = segment_chunks_used(engine->segment);
    struct value_view view;
    char key[16];

    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(transaction_get(me, i < 19 ? first : second, text(key), &view), STATUS_NOT_FOUND);
    }
    assert_commits(me, first);
    cr_assert_gt(segment_chunks_used(engine->segment), used);
    assert_engine_valid();
    assert_commits(me, second);
    cr_assert_eq(segment_chunks_used(engine->segment), used);
}

WHOLE_TEST(key_lock, without_memory_one_lock_is_left_to_wait_with)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);
    struct value_view view;
    char key[16];

    clients_start(2);
    (void)leave_no_chunk_free();
    for (unsigned i = 0; i + 1 < SLOT_KEY_LOCKS_BUILT_IN; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        cr_assert_eq(transaction_get(me, number, text(key), &view), STATUS_NOT_FOUND);
    }
    cr_assert_eq(transaction_get(me, number, text("one more"), &view), STATUS_OUT_OF_MEMORY);
    assert_engine_valid();
    DOES(0, BEGINS_LOCKING, 0, NULL, NULL);
    for (unsigned i = 0; i + 1 < SLOT_KEY_LOCKS_BUILT_IN; i++)
        cr_assert_eq(client_does(0, GETS, 1, circle_key(i), NULL), STATUS_NOT_FOUND);
    client_waits(0, GETS, S, "key 0", NULL);
    client_waits(1, DELS, S, "key 0", NULL);
    transaction_rollback(me, number);
    assert_answers(0, STATUS_NOT_FOUND);
    assert_answers(1, STATUS_OK);
}

WHOLE_TEST(key_lock, memory_of_the_past_serves_further_locks)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);

    cr_assert_eq(put_large(me, S, "k", CHUNK_BYTES * 3), STATUS_OK);
    del(me, S, "k");
    (void)leave_no_chunk_free();
    for (unsigned i = 0; i <= SLOT_KEY_LOCKS_BUILT_IN; i++)
        assert_absent(me, number, circle_key(i));
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), SLOT_KEY_LOCKS_BUILT_IN + 1);
    assert_engine_valid();
    transaction_rollback(me, number);
}

/* --- keys that share a hash --- */

static struct key_lock_owner owner_of(const struct participant *participant, unsigned transaction)
{
    return (struct key_lock_owner){.slot = participant->slot_number, .transaction = transaction};
}

WHOLE_TEST(key_lock, keys_of_one_hash_are_one_key)
{
    struct participant *you = a_participant();
    unsigned mine = begun_as(me, ISOLATION_LOCKING);
    unsigned yours = begun_as(you, ISOLATION_LOCKING);
    uint64_t deadline_ns = 1; /* over */

    cr_assert_eq(key_lock_keep(engine, owner_of(me, mine - 1), 4711), STATUS_OK);
    cr_assert_eq(key_lock_keep(engine, owner_of(me, mine - 1), 4711), STATUS_OK);
    cr_assert_eq(key_locks_in(KEY_LOCK_OWNS), 1);
    cr_assert(key_lock_is_foreign(engine, owner_of(you, yours - 1), 4711));
    cr_assert_eq(key_lock_borrow(engine, owner_of(you, yours - 1), 4711, &deadline_ns), STATUS_LOCK_TIMEOUT);
    assert_engine_valid();
    transaction_rollback(me, mine);
    cr_assert_eq(key_lock_keep(engine, owner_of(you, yours - 1), 4711), STATUS_OK);
    participant_close(you);
}

WHOLE_TEST(key_lock, hashes_of_one_bucket_are_different_keys)
{
    struct participant *you = a_participant();
    unsigned mine = begun_as(me, ISOLATION_LOCKING);
    unsigned yours = begun_as(you, ISOLATION_LOCKING);

    for (uint64_t i = 0; i < 20; i++) {
        struct key_lock_owner owner = i % 2 == 0 ? owner_of(me, mine - 1) : owner_of(you, yours - 1);

        cr_assert_eq(key_lock_keep(engine, owner, 5 + i * SEGMENT_KEY_LOCK_BUCKETS), STATUS_OK);
    }
    assert_engine_valid();
    transaction_rollback(me, mine);
    assert_engine_valid();
    cr_assert_not(key_lock_is_foreign(engine, owner_of(me, KEY_LOCK_SINGLE), 5));
    cr_assert(key_lock_is_foreign(engine, owner_of(me, KEY_LOCK_SINGLE), 5 + SEGMENT_KEY_LOCK_BUCKETS));
    participant_close(you);
}

/* --- damage --- */

/* Its transaction 0 waits for the key as if it slept, without having asked whether a circle closes. */
static struct key_lock *waits_unasked(const struct participant *participant, uint64_t hash)
{
    struct key_lock *lock = key_lock_at(engine->segment, participant->slot->key_locks.free);

    lock->hash = hash;
    lock->transaction = 0;
    lock->ticket = ++engine->segment->header->key_lock_ticket;
    atomic_store(&lock->state, KEY_LOCK_WAITS);
    key_locks_rebuild(engine);
    return lock;
}

static void assert_waits_in_vain_for(uint64_t hash)
{
    uint64_t deadline_ns = 1; /* over */

    cr_assert_eq(key_lock_borrow(engine, owner_of(me, KEY_LOCK_SINGLE), hash, &deadline_ns), STATUS_LOCK_TIMEOUT);
}

/* Nobody would ever get the mutex again. */
WHOLE_TEST(key_lock, whoever_meets_a_circle_of_others_does_not_go_round_for_ever)
{
    struct participant *you = a_participant();
    struct participant *they = a_participant();
    struct key_lock *yours;
    struct key_lock *theirs;

    cr_assert_eq(key_lock_keep(engine, owner_of(you, begun_as(you, ISOLATION_LOCKING) - 1), 1), STATUS_OK);
    cr_assert_eq(key_lock_keep(engine, owner_of(they, begun_as(they, ISOLATION_LOCKING) - 1), 2), STATUS_OK);
    yours = waits_unasked(you, 2);
    theirs = waits_unasked(they, 1);
    assert_waits_in_vain_for(1);
    yours->hash = 3; /* which nobody has */
    assert_waits_in_vain_for(1);

    atomic_store(&yours->state, KEY_LOCK_FREE);
    atomic_store(&theirs->state, KEY_LOCK_FREE);
    key_locks_rebuild(engine);
    participant_close(you);
    participant_close(they);
}
