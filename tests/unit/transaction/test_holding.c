/* Whom others may have to wait for, and what goes on without waiting for him. */
#include <unistd.h>

#include "engine_fixture.h"
#include "support/process.h"

#define SHARDS 4u
#define HELD 2u /* the shard that somebody else holds */

static void open_engine(void)
{
    engine_open((size_t)4 << 20, SHARDS);
}

static void holding_is_whole(void)
{
    engine_close();
}

TestSuite(holding, .init = open_engine, .timeout = 120);

/* --- somebody else --- */

struct stage {
    struct process_gate is_ready;
    struct process_gate may_go;
    _Atomic unsigned slot; /* of the process that died */
    struct robust_mutex *mutex;
};

static int holds_a_lock(void *context)
{
    struct stage *stage = context;

    if (robust_mutex_lock(stage->mutex) != MUTEX_LOCKED)
        return 1;
    process_gate_open(&stage->is_ready);
    process_gate_wait(&stage->may_go);
    robust_mutex_unlock(stage->mutex);
    return 0;
}

static pid_t a_process_that_holds(struct robust_mutex *mutex, struct stage **stage)
{
    pid_t process;

    *stage = process_shared_memory(sizeof(**stage));
    (*stage)->mutex = mutex;
    process = process_start(holds_a_lock, *stage);
    process_gate_wait(&(*stage)->is_ready);
    return process;
}

static struct robust_mutex *mutex_of(unsigned shard)
{
    return &table_shard(&engine->table, shard)->mutex;
}

static void let_go(struct stage *stage, pid_t process)
{
    process_gate_open(&stage->may_go);
    cr_assert_eq(process_wait(process), 0);
}

/* Dies past its commit point, with nothing left to publish but its bit of the shard. */
static int dies_with_a_commit(void *context)
{
    struct stage *stage = context;
    struct participant *participant;

    if (participant_open(engine, &participant) != STATUS_OK)
        return 1;
    atomic_store(&stage->slot, participant->slot_number);
    atomic_store(&participant->slot->commit.pending, (uint64_t)1 << HELD);
    atomic_store(&participant->slot->commit.word, (clock_now() << 1) | 1);
    _exit(0);
}

/* --- sentences --- */

WHOLE_TEST(holding, nobody_waits_for_who_does_nothing)
{
    cr_assert_not(slot_is_holding(engine, me->slot_number));
}

WHOLE_TEST(holding, an_open_snapshot_holds_until_its_end)
{
    unsigned number = begun(me);

    cr_assert(slot_is_holding(engine, me->slot_number));
    transaction_rollback(me, number);
    cr_assert_not(slot_is_holding(engine, me->slot_number));
}

WHOLE_TEST(holding, a_transaction_of_read_committed_holds_nothing_between_two_commands)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);

    cr_assert_not(slot_is_holding(engine, me->slot_number));
    transaction_rollback(me, number);
}

WHOLE_TEST(holding, who_is_inside_a_command_holds)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);
    _Atomic uint64_t *state = &me->slot->transactions[number - 1].state;
    uint64_t idle = atomic_load(state);

    atomic_store(state, (idle & ~UINT64_C(3)) | TRANSACTION_RUNNING);
    cr_assert(slot_is_holding(engine, me->slot_number));
    atomic_store(state, idle);
    transaction_rollback(me, number);
}

WHOLE_TEST(holding, an_expired_transaction_holds_nothing)
{
    unsigned number = begun(me);

    cr_assert(transaction_expire(engine, me->slot_number, number - 1, UINT64_MAX));
    cr_assert_not(slot_is_holding(engine, me->slot_number));
    transaction_rollback(me, number);
}

WHOLE_TEST(holding, a_single_command_that_pins_holds)
{
    atomic_store(&me->slot->single_pin, PIN_EVERYTHING);
    cr_assert(slot_is_holding(engine, me->slot_number));
    atomic_store(&me->slot->single_pin, PIN_NONE);
}

WHOLE_TEST(holding, a_commit_past_its_point_holds)
{
    atomic_store(&me->slot->commit.word, (clock_now() << 1) | 1);
    cr_assert(slot_is_holding(engine, me->slot_number));
    atomic_store(&me->slot->commit.word, 0);
}

WHOLE_TEST(holding, who_has_a_lock_holds_whichever_it_is)
{
    struct robust_mutex *locks[] = {mutex_of(0), mutex_of(SHARDS - 1), &engine->segment->header->slots_mutex,
                                    &engine->segment->header->key_lock_mutex};
    uint32_t mine = atomic_load(&me->slot->pid);

    for (size_t i = 0; i < sizeof(locks) / sizeof(locks[0]); i++) {
        struct stage *stage;
        pid_t process = a_process_that_holds(locks[i], &stage);

        cr_assert_not(slot_is_holding(engine, me->slot_number));
        atomic_store(&me->slot->pid, (uint32_t)process);
        cr_assert(slot_is_holding(engine, me->slot_number), "lock %zu", i);
        atomic_store(&me->slot->pid, mine);
        let_go(stage, process);
    }
}

WHOLE_TEST(holding, a_lock_that_is_tried_is_never_waited_for)
{
    struct stage *stage;
    pid_t process = a_process_that_holds(mutex_of(HELD), &stage);

    cr_assert_eq(shard_try_acquire(engine, HELD), STATUS_TIMEOUT);
    let_go(stage, process);
    cr_assert_eq(shard_try_acquire(engine, HELD), STATUS_OK);
    shard_release(engine, HELD);
}

WHOLE_TEST(holding, a_shard_set_aside_is_unavailable_also_to_who_tries)
{
    atomic_store(&table_shard(&engine->table, HELD)->is_set_aside, 1);
    cr_assert_eq(shard_try_acquire(engine, HELD), STATUS_UNAVAILABLE);
    cr_assert_eq(shard_acquire(engine, HELD), STATUS_UNAVAILABLE);
    atomic_store(&table_shard(&engine->table, HELD)->is_set_aside, 0);
    cr_assert_eq(shard_try_acquire(engine, HELD), STATUS_OK);
    shard_release(engine, HELD);
}

WHOLE_TEST(holding, tidying_leaves_out_what_is_held)
{
    struct stage *stage;
    pid_t process;

    for (unsigned shard = 0; shard < SHARDS; shard++)
        for (unsigned i = 0; i < 2; i++)
            put(me, TRANSACTION_SINGLE, key_in(shard, 0), "value");
    process = a_process_that_holds(mutex_of(HELD), &stage);
    (void)engine_tidy(engine);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        cr_assert_eq(table_shard(&engine->table, shard)->garbage_count, shard == HELD ? 1 : 0, "shard %u", shard);
    let_go(stage, process);
    cr_assert_eq(engine_tidy(engine), 1);
    cr_assert_eq(engine_tidy(engine), 0);
}

WHOLE_TEST(holding, a_dead_slot_is_drained_when_its_shard_can_be_had)
{
    struct stage *dead = process_shared_memory(sizeof(*dead));
    struct stage *stage;
    pid_t process;

    cr_assert_eq(process_run(dies_with_a_commit, dead), 0);
    process = a_process_that_holds(mutex_of(HELD), &stage);
    cr_assert_eq(slots_drain_dead(engine), 0);
    cr_assert_neq(atomic_load(&process_slot_at(engine->segment, atomic_load(&dead->slot))->claimed), 0);
    let_go(stage, process);
    cr_assert_eq(slots_drain_dead(engine), 1);
    cr_assert_eq(atomic_load(&process_slot_at(engine->segment, atomic_load(&dead->slot))->claimed), 0);
}
