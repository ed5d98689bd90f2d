/* A worker: waits for a connection, serves it, and waits again, until it is told
 * to go. One process, one connection at a time, one place in the store for life.
 * Where there is no place, it refuses its clients, and looks for one again at the
 * next: it would do no good to die of it, and be forked again.
 *
 *     STARTING --> WAITING --> SERVING --+
 *                   ^  |  \              |
 *                   |  |   \-> REFUSING -+
 *                   |  v                 |
 *                   | (exit)             |
 *                   +--------------------+
 *
 * Signals. SIGTERM, of the master or of the system when the master died: what
 * was read is served, open transactions are rolled back, and it ends; its
 * handler interrupts the connection, so that neither a read that waits nor one
 * that is about to can hold it up. WORKER_RETIRE ends it too, but
 * is unblocked only while it waits for a connection: the system delivers either
 * the signal or a connection, so none that was accepted is dropped. */
#ifndef HAUSKV_SERVER_WORKER_H
#define HAUSKV_SERVER_WORKER_H

#include <signal.h>
#include <stdint.h>

#include "server/inheritance.h"

#define WORKER_RETIRE SIGUSR1

/* Exit statuses. */
#define WORKER_DONE 0
#define WORKER_FAILED 1 /* it could not begin; standard error says why */

/* The life of the worker with that number (scoreboard.h). Only in a fresh child. */
_Noreturn void worker_run(const struct inheritance *inheritance, unsigned number);

#endif
