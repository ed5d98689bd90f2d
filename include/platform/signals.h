/* Signals: which are handled, which wait, which are ignored. Every function
 * holds for the calling process (a mask: for the calling thread, and our
 * processes have one) and is inherited by what it forks. None can fail but by
 * our own mistake, such as a signal number that does not exist. */
#ifndef HAUSKV_PLATFORM_SIGNALS_H
#define HAUSKV_PLATFORM_SIGNALS_H

#include <signal.h>

typedef void (*signals_handler)(int signal_number);

/* What a handled signal does to a system call that waits. */
enum signals_interruption {
    SIGNALS_RESTART,  /* it goes on waiting */
    SIGNALS_INTERRUPT /* it fails with EINTR */
};

/* Calls handler for each arrival of the signal, with no other signal blocked
 * meanwhile than itself. */
void signals_handle(int signal_number, signals_handler handler, enum signals_interruption interruption);

/* The signal does what it does to a program that never heard of it. */
void signals_set_default(int signal_number);

void signals_ignore(int signal_number);

/* Ignores SIGPIPE, SIGTTOU and SIGXFSZ: a write to a connection or pipe that
 * nobody reads fails with EPIPE, one to a terminal that asks background
 * processes to stop does not stop us, and a file beyond what the process is
 * allowed fails with EFBIG. */
void signals_ignore_failed_writes(void);

/* The set of the signals in a list that ends with 0:
 * signals_set((const int[]){SIGTERM, SIGINT, 0}). */
sigset_t signals_set(const int *signal_numbers);

/* Adds to, takes from, or replaces the signals that wait until unblocked; each
 * stores the mask of before in *previous unless that is NULL. */
void signals_block(const sigset_t *set, sigset_t *previous);
void signals_block_all(sigset_t *previous);
void signals_unblock(const sigset_t *set, sigset_t *previous);
void signals_restore(const sigset_t *previous);

#endif
