/* What a command meets when others come in between any two of its locks. Nobody has to be lucky to meet them: this
 * program's pthread_mutex_unlock and pthread_mutex_clocklock are its own, and whenever a mutex is given back, or asked
 * for, another participant comes in. */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "transaction/key_lock.h" /* before the fixture's `engine` */

#include "engine_fixture.h"
#include "support/process.h"

#define KEYS 300u
#define KEYS_OF_A_VISIT 8000u /* enough for pages to split, and for the memory of the old ones to be something else */
#define VISITS 3u

static struct participant *other;
static const void *segment_base;
static size_t segment_bytes; /* 0 while there is no engine */
static void (*visitor)(void); /* comes when a mutex is given back */
static unsigned visits_left;
static void (*last_visitor)(void); /* comes before a mutex is asked for; NULL: nobody */

static void open_engine(void)
{
    engine_open((size_t)16 << 20, 4);
    segment_base = engine->segment->base;
    segment_bytes = engine->segment->bytes;
    other = a_participant();
}

static void between_locks_is_whole(void)
{
    cr_assert_eq(visits_left, 0);
    participant_close(other);
    segment_bytes = 0;
    engine_close();
}

TestSuite(between_locks, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static void put_keys(struct participant *participant, const char *kind, unsigned count)
{
    char key[48];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%s %u", kind, i);
        put(participant, TRANSACTION_SINGLE, key, "");
    }
}

static void del_keys(struct participant *participant, const char *kind, unsigned count)
{
    char key[48];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%s %u", kind, i);
        del(participant, TRANSACTION_SINGLE, key);
    }
}

static void changes_much(void)
{
    static unsigned number;
    char kind[32];

    (void)snprintf(kind, sizeof(kind), "visit %u", number++);
    put_keys(other, kind, KEYS_OF_A_VISIT);
    del_keys(other, "key", KEYS / 2);
}

static void expect(void (*who)(void), unsigned visits)
{
    visitor = who;
    visits_left = visits;
}

/* --- the functions that let them in --- */

static void visit(void)
{
    static bool is_inside;

    if (visits_left == 0 || is_inside)
        return;
    is_inside = true;
    visits_left--;
    visitor();
    is_inside = false;
}

/* Criterion's own threads have mutexes too, whenever they like. */
static bool is_of_the_engine(const pthread_mutex_t *mutex)
{
    return (uintptr_t)mutex - (uintptr_t)segment_base < segment_bytes;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*unlock)(pthread_mutex_t *mutex);
    int result;

    if (unlock == NULL)
        *(void **)(void *)&unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    result = unlock(mutex);
    if (is_of_the_engine(mutex))
        visit();
    return result;
}

int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clockid, const struct timespec *abstime)
{
    static int (*lock)(pthread_mutex_t *mutex, clockid_t clockid, const struct timespec *abstime);

    if (lock == NULL)
        *(void **)(void *)&lock = dlsym(RTLD_NEXT, "pthread_mutex_clocklock");
    if (last_visitor != NULL && is_of_the_engine(mutex))
        last_visitor();
    return lock(mutex, clockid, abstime);
}

/* --- what is seen --- */

WHOLE_TEST(between_locks, count_is_of_its_snapshot)
{
    put_keys(me, "key", KEYS);
    expect(changes_much, VISITS);

    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), KEYS);
}

WHOLE_TEST(between_locks, count_of_a_prefix_is_of_its_snapshot)
{
    uint64_t count = 0;

    put_keys(me, "key", KEYS);
    put_keys(me, "no key", KEYS);
    expect(changes_much, VISITS);

    cr_assert_eq(transaction_count(me, TRANSACTION_SINGLE, text("key"), &count), STATUS_OK);
    cr_assert_eq(count, KEYS);
}

WHOLE_TEST(between_locks, scan_is_of_its_snapshot)
{
    struct key_list keys = {0};
    uint64_t next = 1;

    put_keys(me, "key", KEYS);
    expect(changes_much, VISITS);

    cr_assert_eq(transaction_scan(me, TRANSACTION_SINGLE, 0, bytes_from(NULL, 0), 10000, &keys, &next), STATUS_OK);
    cr_assert_eq(next, 0);
    cr_assert_eq(keys.count, KEYS);
    for (size_t i = 0; i < keys.count; i++)
        cr_assert(bytes_start_with(key_list_key(&keys, i), text("key ")));
    key_list_deinit(&keys);
}

/* --- memory that others make and that is never enough --- */

#define VISITS_MAX 1000u

/* In the shard that is cleaned first, so that each round finds what the visits since the last one have ended. */
static void ends_a_version(void)
{
    put(other, TRANSACTION_SINGLE, key_in(0, 0), "again");
}

/* How often somebody came while the command looked for memory. */
static unsigned visits_while_it_fails(enum status (*command)(unsigned number), unsigned number, enum status expected)
{
    enum status status;
    unsigned visits;

    ends_a_version();
    ends_a_version();
    (void)leave_no_chunk_free();
    expect(ends_a_version, VISITS_MAX);
    status = command(number);
    visits = VISITS_MAX - visits_left;
    visits_left = 0;
    cr_assert_eq(status, expected, "%s", status_code(status));
    return visits;
}

static enum status puts_what_is_large(unsigned number)
{
    return put_large(me, number, key_in(1, 0), CHUNK_BYTES * 3);
}

static enum status gets_one_more(unsigned number)
{
    struct value_view view;

    return transaction_get(me, number, text("one more"), &view);
}

static enum status comes_in(unsigned number)
{
    struct participant *participant;

    (void)number;
    return participant_open(engine, &participant);
}

/* A mutex is given back by each attempt, and by each shard that is cleaned between two. */
#define VISITS_BETWEEN ((MEMORY_ATTEMPTS_MAX - 1) * engine->table.shard_count)

/* A single command's first attempt is one more. */
WHOLE_TEST(between_locks, commit_gives_up_on_memory_that_is_never_enough)
{
    cr_assert_eq(visits_while_it_fails(puts_what_is_large, TRANSACTION_SINGLE, STATUS_OUT_OF_MEMORY),
                 1 + MEMORY_ATTEMPTS_MAX + VISITS_BETWEEN);
}

/* An attempt needs no mutex. */
WHOLE_TEST(between_locks, log_gives_up_on_memory_that_is_never_enough)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);

    cr_assert_eq(visits_while_it_fails(puts_what_is_large, number, STATUS_OUT_OF_MEMORY), VISITS_BETWEEN);
    transaction_rollback(me, number);
}

WHOLE_TEST(between_locks, key_lock_gives_up_on_memory_that_is_never_enough)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);
    char key[16];

    for (unsigned i = 0; i + 1 < SLOT_KEY_LOCKS_BUILT_IN; i++) {
        (void)snprintf(key, sizeof(key), "locked %u", i);
        assert_absent(me, number, key);
    }
    cr_assert_eq(visits_while_it_fails(gets_one_more, number, STATUS_OUT_OF_MEMORY),
                 MEMORY_ATTEMPTS_MAX + VISITS_BETWEEN);
    transaction_rollback(me, number);
}

WHOLE_TEST(between_locks, who_comes_in_gives_up_on_memory_that_is_never_enough)
{
    static struct participant *many[SLOTS_PER_BLOCK];

    for (size_t i = 2; i < SLOTS_PER_BLOCK; i++) /* with me and the other they fill a block */
        many[i] = a_participant();
    cr_assert_eq(visits_while_it_fails(comes_in, 0, STATUS_TOO_MANY_CLIENTS), MEMORY_ATTEMPTS_MAX + VISITS_BETWEEN);
    for (size_t i = 2; i < SLOTS_PER_BLOCK; i++)
        participant_close(many[i]);
}

/* --- a turn that comes late --- */

static unsigned others;

/* Between the end of the wait and the look whether it was in vain. */
static void gives_up_what_is_waited_for(void)
{
    const struct slot_key_locks *mine = &me->slot->key_locks;

    if (mine->waiting == 0)
        return;
    last_visitor = NULL;
    transaction_rollback(other, others);
}

WHOLE_TEST(between_locks, turn_that_comes_after_the_deadline_is_taken)
{
    struct key_lock_owner owner = {.slot = me->slot_number, .transaction = KEY_LOCK_SINGLE};
    uint64_t deadline_ns = 1; /* over */

    others = begun_as(other, ISOLATION_LOCKING);
    cr_assert_eq(key_lock_keep(engine, (struct key_lock_owner){.slot = other->slot_number, .transaction = others - 1}, 4711), STATUS_OK);
    last_visitor = gives_up_what_is_waited_for;

    cr_assert_eq(key_lock_borrow(engine, owner, 4711, &deadline_ns), STATUS_OK);
    cr_assert_null(last_visitor);
    assert_engine_valid();
    key_lock_return(engine, owner, 4711);
}

/* --- a GET asks for a shard's lock only where somebody has it --- */

static pid_t holder;
static struct process_gate *gates; /* it holds; it may go on */
static unsigned locks_asked_for;

static void counts_locks(void)
{
    locks_asked_for++;
}

static enum status get_x(unsigned number)
{
    struct value_view view;
    enum status status;

    locks_asked_for = 0;
    last_visitor = counts_locks;
    status = transaction_get(me, number, text(key_in(0, 0)), &view);
    last_visitor = NULL;
    if (status == STATUS_OK)
        transaction_get_done(me, number);
    return status;
}

WHOLE_TEST(between_locks, get_of_a_shard_that_nobody_has_asks_for_no_lock)
{
    static const enum isolation isolations[] = {ISOLATION_SERIALIZABLE, ISOLATION_READ_COMMITTED};

    put(me, TRANSACTION_SINGLE, key_in(0, 0), "x");
    cr_assert_eq(get_x(TRANSACTION_SINGLE), STATUS_OK);
    cr_assert_eq(locks_asked_for, 0);
    for (size_t i = 0; i < sizeof(isolations) / sizeof(isolations[0]); i++) {
        unsigned number = begun_as(me, isolations[i]);

        cr_assert_eq(get_x(number), STATUS_OK);
        cr_assert_eq(locks_asked_for, 0);
        transaction_rollback(me, number);
    }
}

/* The key lock's, and the shard's, where it meets the commits of others. */
WHOLE_TEST(between_locks, get_of_a_locking_transaction_asks_for_the_shard)
{
    unsigned number = begun_as(me, ISOLATION_LOCKING);

    put(me, TRANSACTION_SINGLE, key_in(0, 1), "y");
    cr_assert_eq(get_x(number), STATUS_NOT_FOUND);
    cr_assert_eq(locks_asked_for, 2);
    transaction_rollback(me, number);
}

WHOLE_TEST(between_locks, get_of_a_shard_that_is_set_aside_asks_for_the_lock)
{
    _Atomic uint32_t *is_set_aside = &table_shard(&engine->table, 0)->is_set_aside;

    put(me, TRANSACTION_SINGLE, key_in(0, 0), "x");
    atomic_store(is_set_aside, 1);
    cr_assert_eq(get_x(TRANSACTION_SINGLE), STATUS_UNAVAILABLE);
    cr_assert_eq(locks_asked_for, 1);
    atomic_store(is_set_aside, 0);
}

/* Begins to delete x, and leaves the rest to whoever takes the lock. */
static int holds_the_shard(void *context)
{
    struct table *shared = &engine->table;
    uint64_t hash = table_hash(shared, text(key_in(0, 0)));

    (void)context;
    if (shard_acquire(engine, 0) != STATUS_OK)
        return 1;
    process_gate_open(&gates[0]);
    process_gate_wait(&gates[1]);
    table_end(shared, 0, table_find(shared, 0, hash, text(key_in(0, 0))),
              atomic_fetch_add(&engine->segment->header->clock, 1) + 1);
    shard_release(engine, 0);
    return 0;
}

static void lets_the_holder_go_on(void)
{
    counts_locks();
    last_visitor = NULL;
    process_gate_open(&gates[1]);
    cr_assert_eq(process_wait(holder), 0);
}

static void somebody_holds_the_shard(void)
{
    gates = process_shared_memory(2 * sizeof(*gates));
    put(me, TRANSACTION_SINGLE, key_in(0, 0), "x");
    holder = process_start(holds_the_shard, NULL);
    process_gate_wait(&gates[0]);
}

WHOLE_TEST(between_locks, get_waits_for_who_has_the_shard)
{
    struct value_view view;

    somebody_holds_the_shard();
    locks_asked_for = 0;
    last_visitor = lets_the_holder_go_on;

    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text(key_in(0, 0)), &view), STATUS_NOT_FOUND);
    cr_assert_eq(locks_asked_for, 1);
}

WHOLE_TEST(between_locks, get_recovers_a_shard_whose_holder_died)
{
    somebody_holds_the_shard();
    cr_assert_eq(process_kill(holder), PROCESS_SIGNAL(SIGKILL));

    cr_assert_eq(get_x(TRANSACTION_SINGLE), STATUS_OK);
    cr_assert_eq(locks_asked_for, 1);
    cr_assert(robust_mutex_is_free(&table_shard(&engine->table, 0)->mutex));
    cr_assert_eq(get_x(TRANSACTION_SINGLE), STATUS_OK);
    cr_assert_eq(locks_asked_for, 0);
}

WHOLE_TEST(between_locks, whoever_takes_a_shard_changes_its_count)
{
    const struct shard *shard = table_shard(&engine->table, 0);
    uint64_t changes = atomic_load(&shard->changes);

    cr_assert_eq(shard_acquire(engine, 0), STATUS_OK);
    cr_assert_eq(atomic_load(&shard->changes), ++changes);
    shard_release(engine, 0);
    cr_assert_eq(shard_try_acquire(engine, 0), STATUS_OK);
    cr_assert_eq(atomic_load(&shard->changes), ++changes);
    shard_release(engine, 0);
    cr_assert_eq(get_x(TRANSACTION_SINGLE), STATUS_NOT_FOUND);
    cr_assert_eq(atomic_load(&shard->changes), changes);
}
