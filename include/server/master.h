/* The master: opens the listening sockets, makes the store, keeps enough workers
 * and one housekeeper forked, reaps the dead, and stops when it is told. It owns
 * no data and takes no lock of the table, so it survives what workers break.
 *
 *     (LOADING -->) STARTING --> SERVING --> STOPPING --> (exit)
 *
 * SIGTERM, SIGINT and SIGHUP (unless that was ignored at start) begin the stop:
 * nobody can connect any more, workers finish the command at hand, roll back and
 * end. A second signal, or MASTER_STOP_MS, kills what is left. The same signal
 * within MASTER_ECHO_MS is the first one once more: timeout(1) and others send
 * it to the process and then to its group. Each of the first three phases may be
 * followed by STOPPING. */
#ifndef HAUSKV_SERVER_MASTER_H
#define HAUSKV_SERVER_MASTER_H

#include "server/config.h"

#define MASTER_STOP_MS 10000u
#define MASTER_ECHO_MS 250u

/* Exit statuses. */
#define MASTER_DONE 0
#define MASTER_FAILED 1 /* it could not begin; or children had to be killed at the end */

/* Serves until it is told to stop; returns the exit status. Only the process's main thread, once. */
int master_run(const struct server_config *config);

#endif
