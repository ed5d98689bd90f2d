/* Who is taken for one that spins with a lock, and who is not. Time is what the
 * processes themselves used, so a busy machine changes nothing. */
#include <unistd.h>

#include <criterion/criterion.h>

#include "platform/progress.h"
#include "segment/process_table.h"
#include "server/process_look.h"
#include "server/spinning.h"
#include "support/process.h"
#include "transaction/engine.h"

#define WORKERS 4u
#define TIMEOUT_MS 50u
#define LONG_MS 400u /* of the processor, in which one that spins is found */

static struct inheritance inheritance;
static struct engine *engine;
static struct process_gate *holds;

static void set_up(void)
{
    const struct shared_store_options options = {.bytes = (size_t)4 << 20, .shard_count = 4};

    cr_assert_eq(shared_store_create(&options, &inheritance.store), STATUS_OK);
    cr_assert_eq(scoreboard_create(&inheritance.scoreboard, WORKERS, WORKERS), 0);
    engine = shared_store_engine(inheritance.store);
    holds = process_shared_memory(sizeof *holds);
}

TestSuite(spinning, .init = set_up, .timeout = 60);

/* As worker 2, with shard 1. */
static void begin_work(void)
{
    struct scoreboard_line *line = &inheritance.scoreboard.lines[2];

    atomic_store(&line->pid, getpid());
    progress_show(&line->progress);
    if (shard_acquire(engine, 1) != STATUS_OK)
        _exit(1);
    process_gate_open(holds);
}

static _Noreturn void spin(void)
{
    for (volatile unsigned turns = 0;;)
        turns = turns + 1;
}

/* Whether it is found before it has used LONG_MS since it was seen first, or slept for many looks. What it has used is asked
 * before each search: however long this process has to wait in between, the search sees no less. */
static uint64_t wish_for(pid_t child)
{
    static struct spinning_watch watch;
    struct process_look first = {0};
    struct process_look look = {0};
    uint64_t wish = spinning_find(&watch, &inheritance, TIMEOUT_MS);
    unsigned looks_at_sleep = 0;

    cr_assert_eq(wish, 0, "nobody is found at first sight");
    cr_assert(process_look(child, &first));
    while (wish == 0 && look.processor_ms < first.processor_ms + LONG_MS && looks_at_sleep < 1000) {
        cr_assert(process_look(child, &look));
        wish = spinning_find(&watch, &inheritance, TIMEOUT_MS);
        looks_at_sleep += !look.is_running;
    }
    return wish;
}

static uint64_t wish_for_one_that(process_body body)
{
    pid_t child = process_start(body, NULL);
    uint64_t wish;

    process_gate_wait(holds);
    wish = wish_for(child);
    cr_assert(wish == 0 || spinning_wish_pid(wish) == child);
    (void)process_kill(child);
    return wish;
}

static int spins_with_a_shard(void *context)
{
    (void)context;
    begin_work();
    spin();
}

Test(spinning, with_a_shard_is_found)
{
    cr_assert_neq(wish_for_one_that(spins_with_a_shard), 0);
}

static int spins_with_the_key_locks(void *context)
{
    (void)context;
    begin_work();
    shard_release(engine, 1);
    (void)robust_mutex_lock(&engine->segment->header->key_lock_mutex);
    spin();
}

Test(spinning, with_the_key_locks_is_found)
{
    cr_assert_neq(wish_for_one_that(spins_with_the_key_locks), 0);
}

static int spins_with_the_slots(void *context)
{
    (void)context;
    begin_work();
    shard_release(engine, 1);
    (void)robust_mutex_lock(&engine->segment->header->slots_mutex);
    spin();
}

Test(spinning, with_the_slots_is_found)
{
    cr_assert_neq(wish_for_one_that(spins_with_the_slots), 0);
}

static int spins_without_a_lock(void *context)
{
    (void)context;
    begin_work();
    shard_release(engine, 1);
    spin();
}

Test(spinning, without_a_lock_is_nobodys_harm)
{
    cr_assert_eq(wish_for_one_that(spins_without_a_lock), 0);
}

static int works_long_with_a_shard(void *context)
{
    (void)context;
    begin_work();
    while (atomic_load(&holds->is_open) != 0)
        progress_note(2);
    return 0;
}

Test(spinning, long_work_that_shows_progress_is_left_alone)
{
    cr_assert_eq(wish_for_one_that(works_long_with_a_shard), 0);
}

static int takes_the_shard_again_and_again(void *context)
{
    (void)context;
    begin_work();
    while (atomic_load(&holds->is_open) != 0) {
        shard_release(engine, 1);
        (void)shard_acquire(engine, 1);
    }
    return 0;
}

Test(spinning, taking_a_lock_again_and_again_is_left_alone)
{
    cr_assert_eq(wish_for_one_that(takes_the_shard_again_and_again), 0);
}

static int executes_commands(void *context)
{
    struct session_counters *counts = &inheritance.scoreboard.counts[2].session;

    (void)context;
    begin_work();
    shard_release(engine, 1);
    (void)robust_mutex_lock(&engine->segment->header->key_lock_mutex);
    while (atomic_load(&holds->is_open) != 0)
        session_counter_add(&counts->commands[0], 1);
    return 0;
}

/* Each command may have had the lock anew. */
Test(spinning, command_after_command_is_left_alone)
{
    cr_assert_eq(wish_for_one_that(executes_commands), 0);
}

static int sleeps_with_a_shard(void *context)
{
    (void)context;
    begin_work();
    while (atomic_load(&holds->is_open) != 0)
        (void)pause();
    return 0;
}

/* It uses no processor, as one that is frozen or starved. */
Test(spinning, sleeping_with_a_lock_is_left_alone)
{
    cr_assert_eq(wish_for_one_that(sleeps_with_a_shard), 0);
}

static int spins_as_the_caller(void *context)
{
    static struct spinning_watch watch;
    struct process_look look = {0};

    (void)context;
    begin_work();
    while (process_look(getpid(), &look) && look.processor_ms < LONG_MS)
        if (spinning_find(&watch, &inheritance, TIMEOUT_MS) != 0)
            return 1;
    return 0;
}

Test(spinning, nobody_finds_itself)
{
    cr_assert_eq(process_run(spins_as_the_caller, NULL), 0);
}

/* --- who is to blame --- */

static unsigned deaths(unsigned shard)
{
    return atomic_load(&table_shard(&engine->table, shard)->deaths);
}

Test(spinning, the_only_shard_is_to_blame)
{
    cr_assert_eq(shard_acquire(engine, 1), STATUS_OK);
    cr_assert(shared_store_blame(inheritance.store, getpid(), PROGRESS_NO_PART));
    cr_assert(shared_store_blame(inheritance.store, getpid(), 4), "the part is of an earlier command");
    cr_assert_eq(deaths(1), 2);
    cr_assert_eq(deaths(3), 0);
}

Test(spinning, of_several_shards_the_one_it_was_at_is_to_blame)
{
    for (unsigned shard = 0; shard < 4; shard++)
        cr_assert_eq(shard_acquire(engine, shard), STATUS_OK);
    cr_assert(shared_store_blame(inheritance.store, getpid(), 3));
    cr_assert_eq(deaths(2), 1);
    cr_assert_eq(deaths(0) + deaths(1) + deaths(3), 0);
}

Test(spinning, of_several_shards_without_a_sign_none_is_to_blame)
{
    cr_assert_eq(shard_acquire(engine, 0), STATUS_OK);
    cr_assert_eq(shard_acquire(engine, 1), STATUS_OK);
    cr_assert_not(shared_store_blame(inheritance.store, getpid(), PROGRESS_NO_PART));
    cr_assert_not(shared_store_blame(inheritance.store, getpid(), 4));
    cr_assert_eq(deaths(0) + deaths(1) + deaths(2) + deaths(3), 0);
}

static int spins_at_shard_3(void *context)
{
    (void)context;
    begin_work();
    (void)shard_acquire(engine, 3);
    progress_note(4);
    spin();
}

Test(spinning, wish_names_the_part)
{
    cr_assert_eq(spinning_wish_part(wish_for_one_that(spins_at_shard_3)), 4);
}
