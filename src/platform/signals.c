/* sigaction(2) and sigprocmask(2), whose only failures are our own mistakes. */
#include "platform/signals.h"

#include <stddef.h>

#include "platform/contract.h"

static void set_action(int signal_number, signals_handler handler, int flags);
static void change_mask(int how, const sigset_t *set, sigset_t *previous);

void signals_handle(int signal_number, signals_handler handler, enum signals_interruption interruption)
{
    REQUIRE(handler != NULL);
    set_action(signal_number, handler, interruption == SIGNALS_RESTART ? SA_RESTART : 0);
}

void signals_set_default(int signal_number)
{
    set_action(signal_number, SIG_DFL, 0);
}

void signals_ignore(int signal_number)
{
    set_action(signal_number, SIG_IGN, 0);
}

void signals_ignore_failed_writes(void)
{
    signals_ignore(SIGPIPE);
    signals_ignore(SIGTTOU);
    signals_ignore(SIGXFSZ);
}

sigset_t signals_set(const int *signal_numbers)
{
    sigset_t set;

    sigemptyset(&set);
    for (; *signal_numbers != 0; signal_numbers++) {
        int error = sigaddset(&set, *signal_numbers);

        REQUIRE(error == 0);
    }
    return set;
}

void signals_block(const sigset_t *set, sigset_t *previous)
{
    change_mask(SIG_BLOCK, set, previous);
}

void signals_block_all(sigset_t *previous)
{
    sigset_t all;

    sigfillset(&all);
    change_mask(SIG_SETMASK, &all, previous);
}

void signals_unblock(const sigset_t *set, sigset_t *previous)
{
    change_mask(SIG_UNBLOCK, set, previous);
}

void signals_restore(const sigset_t *previous)
{
    change_mask(SIG_SETMASK, previous, NULL);
}

static void set_action(int signal_number, signals_handler handler, int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    int error;

    sigemptyset(&action.sa_mask);
    error = sigaction(signal_number, &action, NULL);
    REQUIRE(error == 0);
}

static void change_mask(int how, const sigset_t *set, sigset_t *previous)
{
    int error = pthread_sigmask(how, set, previous);

    INVARIANT(error == 0);
}
