#include <criterion/criterion.h>
#include <linux/futex.h>
#include <signal.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/robust_mutex.h"
#include "support/process.h"

#define HOLDERS 4ul
#define INCREMENTS 5000ul

/* What the test shares with its children. */
struct shared {
    struct robust_mutex mutex;
    struct robust_mutex second;
    struct process_gate held;
    struct process_gate release;
    unsigned long count;
};

static struct shared *create_shared(void)
{
    struct shared *shared = process_shared_memory(sizeof *shared);

    robust_mutex_init(&shared->mutex);
    robust_mutex_init(&shared->second);
    return shared;
}

/* Children. Those that lock end with what the lock said. */

static int locks_and_dies_holding(void *context)
{
    struct shared *shared = context;

    return (int)robust_mutex_lock(&shared->mutex);
}

static int locks_and_unlocks(void *context)
{
    struct shared *shared = context;
    enum mutex_result result = robust_mutex_lock(&shared->mutex);

    if (result == MUTEX_INHERITED)
        robust_mutex_mark_consistent(&shared->mutex);
    robust_mutex_unlock(&shared->mutex);
    return (int)result;
}

static int tries_to_lock(void *context)
{
    struct shared *shared = context;

    return (int)robust_mutex_trylock(&shared->mutex);
}

static int holds_until_released(void *context)
{
    struct shared *shared = context;

    (void)robust_mutex_lock(&shared->mutex);
    process_gate_open(&shared->held);
    process_gate_wait(&shared->release);
    robust_mutex_unlock(&shared->mutex);
    return 0;
}

static int holds_both_until_released(void *context)
{
    struct shared *shared = context;

    (void)robust_mutex_lock(&shared->mutex);
    (void)robust_mutex_lock(&shared->second);
    process_gate_open(&shared->held);
    process_gate_wait(&shared->release);
    return 0;
}

static int increments(void *context)
{
    struct shared *shared = context;

    for (size_t i = 0; i < INCREMENTS; i++) {
        if (robust_mutex_lock(&shared->mutex) != MUTEX_LOCKED)
            return 1;
        shared->count++;
        robust_mutex_unlock(&shared->mutex);
    }
    return 0;
}

/* As if the OOM killer had taken the memory that names the locks it holds. */
static int dies_holding_without_the_kernel_noticing(void *context)
{
    struct shared *shared = context;
    struct robust_list_head empty = {.list = {&empty.list}};

    (void)robust_mutex_lock(&shared->mutex);
    return (int)syscall(SYS_set_robust_list, &empty, sizeof empty);
}

/* Waits like a locker, but does nothing once woken: as one that is stopped, or
 * killed, between being woken and running. */
static int swallows_the_wake_up(void *context)
{
    struct shared *shared = context;
    uint32_t *word = (uint32_t *)(void *)&shared->mutex;
    uint32_t held = __atomic_or_fetch(word, FUTEX_WAITERS, __ATOMIC_SEQ_CST);

    return (int)syscall(SYS_futex, word, FUTEX_WAIT, held, NULL, NULL, 0);
}

static int unlocks_what_it_does_not_hold(void *context)
{
    struct shared *shared = context;

    robust_mutex_unlock(&shared->mutex);
    return 0;
}

static int marks_a_good_mutex_consistent(void *context)
{
    struct shared *shared = context;

    (void)robust_mutex_lock(&shared->mutex);
    robust_mutex_mark_consistent(&shared->mutex);
    return 0;
}

/* Sentences. */

static pid_t a_process_holds(struct shared *shared, process_body body)
{
    pid_t holder = process_start(body, shared);

    process_gate_wait(&shared->held);
    return holder;
}

static void a_process_dies_holding(struct shared *shared)
{
    cr_assert_eq(process_run(locks_and_dies_holding, shared), MUTEX_LOCKED);
}

static pid_t a_process_waits_for(struct shared *shared)
{
    pid_t waiter = process_start(locks_and_unlocks, shared);

    process_wait_until_asleep(waiter);
    return waiter;
}

static pid_t a_process_will_swallow_the_wake_up(struct shared *shared)
{
    pid_t swallower = process_start(swallows_the_wake_up, shared);

    process_wait_until_asleep(swallower);
    return swallower;
}

/* Its parent knows of its death but has not reaped it. */
static pid_t a_process_dies_unnoticed_holding(struct shared *shared)
{
    pid_t dead = process_start(dies_holding_without_the_kernel_noticing, shared);
    siginfo_t end = {0};

    cr_assert_eq(waitid(P_PID, (id_t)dead, &end, WEXITED | WNOWAIT), 0);
    return dead;
}

Test(robust_mutex, free_mutex_is_had_at_once)
{
    struct shared *shared = create_shared();

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_LOCKED);
    robust_mutex_unlock(&shared->mutex);
    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_LOCKED);
    robust_mutex_unlock(&shared->mutex);
    cr_assert_eq(process_run(locks_and_unlocks, shared), MUTEX_LOCKED);
}

Test(robust_mutex, held_mutex_is_busy_for_everybody_and_the_holder)
{
    struct shared *shared = create_shared();

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_LOCKED);

    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_BUSY);
    cr_assert_eq(process_run(tries_to_lock, shared), MUTEX_BUSY);
    robust_mutex_unlock(&shared->mutex);
}

Test(robust_mutex, one_at_a_time_is_inside, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t holders[HOLDERS];

    for (size_t i = 0; i < HOLDERS; i++)
        holders[i] = process_start(increments, shared);
    for (size_t i = 0; i < HOLDERS; i++)
        cr_assert_eq(process_wait(holders[i]), 0);

    cr_assert_eq(shared->count, HOLDERS * INCREMENTS);
}

Test(robust_mutex, next_locker_inherits_from_a_dead_holder)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
}

Test(robust_mutex, trylock_inherits_too)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);

    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_INHERITED);
}

Test(robust_mutex, waiter_inherits_when_the_holder_is_killed, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t holder = a_process_holds(shared, holds_until_released);
    pid_t waiter = a_process_waits_for(shared);

    cr_assert_eq(process_kill(holder), PROCESS_SIGNAL(SIGKILL));

    cr_assert_eq(process_wait(waiter), MUTEX_INHERITED);
}

Test(robust_mutex, killed_holder_leaves_all_its_mutexes_to_heirs, .timeout = 60)
{
    struct shared *shared = create_shared();

    cr_assert_eq(process_kill(a_process_holds(shared, holds_both_until_released)), PROCESS_SIGNAL(SIGKILL));

    cr_assert_eq(robust_mutex_lock(&shared->second), MUTEX_INHERITED);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
}

Test(robust_mutex, repaired_mutex_is_like_new)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
    robust_mutex_mark_consistent(&shared->mutex);
    robust_mutex_unlock(&shared->mutex);

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_LOCKED);
    robust_mutex_unlock(&shared->mutex);
    a_process_dies_holding(shared);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
}

Test(robust_mutex, heir_that_dies_leaves_it_to_the_next)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);
    cr_assert_eq(process_run(locks_and_dies_holding, shared), MUTEX_INHERITED);
    cr_assert_eq(process_run(locks_and_dies_holding, shared), MUTEX_INHERITED);

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
}

Test(robust_mutex, heir_that_unlocks_unrepaired_closes_it_for_good)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
    robust_mutex_unlock(&shared->mutex);

    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_CLOSED);
    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_CLOSED);
    cr_assert_eq(process_run(tries_to_lock, shared), MUTEX_CLOSED);
}

Test(robust_mutex, mutex_is_free_but_while_it_is_held)
{
    struct shared *shared = create_shared();
    pid_t holder;

    cr_assert(robust_mutex_is_free(&shared->mutex));
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_LOCKED);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    robust_mutex_unlock(&shared->mutex);
    cr_assert(robust_mutex_is_free(&shared->mutex));
    holder = a_process_holds(shared, holds_until_released);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    process_gate_open(&shared->release);
    cr_assert_eq(process_wait(holder), 0);
    cr_assert(robust_mutex_is_free(&shared->mutex));
}

Test(robust_mutex, mutex_of_the_dead_is_not_free_until_it_was_repaired)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    cr_assert_eq(process_run(locks_and_dies_holding, shared), MUTEX_INHERITED);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    robust_mutex_mark_consistent(&shared->mutex);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    robust_mutex_unlock(&shared->mutex);
    cr_assert(robust_mutex_is_free(&shared->mutex));
}

/* Although its word says so. */
Test(robust_mutex, closed_mutex_is_not_free)
{
    struct shared *shared = create_shared();

    a_process_dies_holding(shared);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_INHERITED);
    robust_mutex_unlock(&shared->mutex);

    cr_assert_eq(*(const uint32_t *)(const void *)&shared->mutex, 0);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_CLOSED);
    cr_assert_not(robust_mutex_is_free(&shared->mutex));
}

Test(robust_mutex, stopped_waiter_is_passed_over, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t holder = a_process_holds(shared, holds_until_released);
    pid_t stopped = a_process_waits_for(shared);
    pid_t waiter = a_process_waits_for(shared);

    process_stop(stopped);
    process_gate_open(&shared->release);

    cr_assert_eq(process_wait(holder), 0);
    cr_assert_eq(process_wait(waiter), MUTEX_LOCKED);
    process_continue(stopped);
    cr_assert_eq(process_wait(stopped), MUTEX_LOCKED);
}

Test(robust_mutex, swallowed_wake_up_keeps_nobody_waiting, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t holder = a_process_holds(shared, holds_until_released);
    pid_t swallower = a_process_will_swallow_the_wake_up(shared);
    pid_t waiter = a_process_waits_for(shared);

    process_gate_open(&shared->release);

    cr_assert_eq(process_wait(swallower), 0);
    cr_assert_eq(process_wait(waiter), MUTEX_LOCKED);
    cr_assert_eq(process_wait(holder), 0);
}

Test(robust_mutex, swallowed_wake_up_of_a_death_keeps_nobody_waiting, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t holder = a_process_holds(shared, holds_until_released);
    pid_t swallower = a_process_will_swallow_the_wake_up(shared);
    pid_t waiter = a_process_waits_for(shared);

    cr_assert_eq(process_kill(holder), PROCESS_SIGNAL(SIGKILL));

    cr_assert_eq(process_wait(swallower), 0);
    cr_assert_eq(process_wait(waiter), MUTEX_INHERITED);
}

Test(robust_mutex, mutex_of_a_dead_whom_the_kernel_overlooked_is_inherited_once_buried, .timeout = 60)
{
    struct shared *shared = create_shared();
    pid_t dead = a_process_dies_unnoticed_holding(shared);
    pid_t waiter;

    cr_assert_eq(robust_mutex_trylock(&shared->mutex), MUTEX_BUSY);
    waiter = a_process_waits_for(shared);

    cr_assert(robust_mutex_bury(&shared->mutex, dead));

    cr_assert_eq(process_wait(waiter), MUTEX_INHERITED);
    cr_assert_not(robust_mutex_bury(&shared->mutex, dead));
    cr_assert_eq(process_wait(dead), 0);
    cr_assert_eq(robust_mutex_lock(&shared->mutex), MUTEX_LOCKED);
}

Test(robust_mutex, nobody_is_buried_but_the_holder)
{
    struct shared *shared = create_shared();
    pid_t dead = a_process_dies_unnoticed_holding(shared);

    cr_assert_not(robust_mutex_bury(&shared->second, dead), "a free mutex");
    cr_assert_eq(robust_mutex_lock(&shared->second), MUTEX_LOCKED);
    cr_assert_not(robust_mutex_bury(&shared->second, dead), "a mutex of the living");
    robust_mutex_unlock(&shared->second);
    cr_assert_eq(process_wait(dead), 0);
}

Test(robust_mutex, only_the_holder_unlocks_and_only_an_heir_repairs)
{
    struct shared *shared = create_shared();

    cr_assert_eq(process_run(unlocks_what_it_does_not_hold, shared), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run(marks_a_good_mutex_consistent, shared), PROCESS_SIGNAL(SIGABRT));
}
