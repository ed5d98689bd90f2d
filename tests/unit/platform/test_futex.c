#include <criterion/criterion.h>

#include <signal.h>
#include <sys/time.h>

#include "platform/clock.h"
#include "platform/futex.h"
#include "support/process.h"

TestSuite(futex, .timeout = 60);

static int sleeps_until_it_is_one(void *context)
{
    _Atomic uint32_t *word = context;

    while (atomic_load(word) == 0)
        futex_wait(word, 0, FUTEX_NO_DEADLINE);
    return 0;
}

Test(futex, sleeper_is_woken_by_another_process)
{
    _Atomic uint32_t *word = process_shared_memory(sizeof(*word));
    pid_t sleeper = process_start(sleeps_until_it_is_one, (void *)word);

    process_wait_until_asleep(sleeper);
    atomic_store(word, 1);
    futex_wake(word);
    cr_assert_eq(process_wait(sleeper), 0);
}

Test(futex, word_that_has_changed_is_not_waited_for)
{
    _Atomic uint32_t word = 1;

    futex_wait(&word, 0, FUTEX_NO_DEADLINE);
}

Test(futex, wait_ends_at_the_deadline_and_not_before)
{
    _Atomic uint32_t word = 0;
    uint64_t deadline_ns = clock_monotonic_ns() + UINT64_C(10000000);

    while (clock_monotonic_ns() < deadline_ns)
        futex_wait(&word, 0, deadline_ns);
    futex_wait(&word, 0, deadline_ns); /* over: not waited for at all */
    futex_wait(&word, 0, 0);
}

static void do_nothing(int signal_number)
{
    (void)signal_number;
}

Test(futex, wait_ends_early_by_a_signal)
{
    const struct itimerval often = {.it_interval.tv_usec = 1000, .it_value.tv_usec = 1000};
    struct sigaction action = {.sa_handler = do_nothing};
    _Atomic uint32_t word = 0;

    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
    futex_wait(&word, 0, FUTEX_NO_DEADLINE);
}

Test(futex, nobody_is_there_to_wake)
{
    _Atomic uint32_t word = 0;

    futex_wake(&word);
}
