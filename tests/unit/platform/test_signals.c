#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/signals.h"
#include "support/process.h"

static volatile sig_atomic_t arrivals;
static int wake_up_pipe[2];

static void count_arrival(int signal_number)
{
    (void)signal_number;
    arrivals++;
}

/* Also ends the wait of a read that goes on after the signal. */
static void count_arrival_and_write(int signal_number)
{
    count_arrival(signal_number);
    if (write(wake_up_pipe[1], "w", 1) != 1)
        _exit(99);
}

/* Sends itself SIGUSR1 while it waits in read(2); ends with errno, 0 for a byte. */
static int reads_while_a_signal_arrives(enum signals_interruption interruption)
{
    char byte;
    sigset_t none;
    pid_t parent = getpid();
    pid_t sender;
    ssize_t count;

    sigemptyset(&none);
    if (pipe(wake_up_pipe) != 0)
        return 99;
    signals_handle(SIGUSR1, count_arrival_and_write, interruption);
    sender = fork();
    if (sender == 0) {
        process_wait_until_asleep(parent);
        _exit(kill(parent, SIGUSR1));
    }
    count = read(wake_up_pipe[0], &byte, 1);
    return count == 1 ? 0 : errno;
}

static int reads_restarting(void *context)
{
    (void)context;
    return reads_while_a_signal_arrives(SIGNALS_RESTART);
}

static int reads_interrupted(void *context)
{
    (void)context;
    return reads_while_a_signal_arrives(SIGNALS_INTERRUPT);
}

static int forgets_its_handler(void *context)
{
    (void)context;
    signals_handle(SIGUSR1, count_arrival, SIGNALS_RESTART);
    signals_set_default(SIGUSR1);
    return raise(SIGUSR1);
}

static int writes_where_nobody_reads(void *context)
{
    int ends[2];

    (void)context;
    signals_ignore_failed_writes();
    if (pipe(ends) != 0 || close(ends[0]) != 0)
        return 99;
    return write(ends[1], "w", 1) == -1 ? errno : 0;
}

/* As a segment that is larger than `ulimit -f` allows. */
static int makes_too_large_a_file(void *context)
{
    const struct rlimit none = {0, 0};
    int descriptor = memfd_create("too-large", MFD_CLOEXEC);

    (void)context;
    signals_ignore_failed_writes();
    if (descriptor < 0 || setrlimit(RLIMIT_FSIZE, &none) != 0)
        return 99;
    return posix_fallocate(descriptor, 0, 4096);
}

static int handles_a_signal_that_does_not_exist(void *context)
{
    (void)context;
    signals_handle(12345, count_arrival, SIGNALS_RESTART);
    return 0;
}

Test(signals, handler_is_called_for_each_arrival)
{
    signals_handle(SIGUSR1, count_arrival, SIGNALS_RESTART);

    (void)raise(SIGUSR1);
    (void)raise(SIGUSR1);

    cr_assert_eq(arrivals, 2);
}

Test(signals, system_call_that_waits_goes_on_or_fails_as_asked, .timeout = 60)
{
    cr_assert_eq(process_run(reads_restarting, NULL), 0);
    cr_assert_eq(process_run(reads_interrupted, NULL), EINTR);
}

Test(signals, default_ends_the_process_again)
{
    cr_assert_eq(process_run(forgets_its_handler, NULL), PROCESS_SIGNAL(SIGUSR1));
}

Test(signals, ignored_signal_does_nothing)
{
    signals_ignore(SIGTERM);

    cr_assert_eq(raise(SIGTERM), 0);
}

Test(signals, write_that_nobody_reads_fails_instead_of_ending_the_process)
{
    cr_assert_eq(process_run(writes_where_nobody_reads, NULL), EPIPE);
    cr_assert_eq(process_run(makes_too_large_a_file, NULL), EFBIG);
}

Test(signals, blocked_signal_waits_until_unblocked)
{
    sigset_t both = signals_set((const int[]){SIGUSR1, SIGUSR2, 0});
    sigset_t second = signals_set((const int[]){SIGUSR2, 0});
    sigset_t previous;

    signals_handle(SIGUSR1, count_arrival, SIGNALS_RESTART);
    signals_handle(SIGUSR2, count_arrival, SIGNALS_RESTART);
    signals_block(&both, &previous);
    (void)raise(SIGUSR1);
    (void)raise(SIGUSR2);
    cr_assert_eq(arrivals, 0);

    signals_unblock(&second, NULL);
    cr_assert_eq(arrivals, 1);

    signals_restore(&previous);
    cr_assert_eq(arrivals, 2);
}

Test(signals, all_means_all)
{
    sigset_t previous;

    signals_handle(SIGUSR1, count_arrival, SIGNALS_RESTART);
    signals_block_all(&previous);
    (void)raise(SIGUSR1);
    cr_assert_eq(arrivals, 0);

    signals_restore(&previous);
    cr_assert_eq(arrivals, 1);
}

Test(signals, set_has_what_was_listed_and_nothing_else)
{
    sigset_t set = signals_set((const int[]){SIGTERM, SIGINT, 0});

    for (int number = 1; number < 32; number++)
        cr_assert_eq(sigismember(&set, number), number == SIGTERM || number == SIGINT, "signal %d", number);
}

Test(signals, signal_that_does_not_exist_breaks_the_contract)
{
    cr_assert_eq(process_run(handles_a_signal_that_does_not_exist, NULL), PROCESS_SIGNAL(SIGABRT));
}
