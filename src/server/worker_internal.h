/* What the files of the worker share. */
#ifndef HAUSKV_SERVER_WORKER_INTERNAL_H
#define HAUSKV_SERVER_WORKER_INTERNAL_H

#include <signal.h>
#include <stdbool.h>

#include "server/statistics.h"
#include "server/worker.h"
#include "session/session.h"

struct worker {
    const struct inheritance *inheritance;
    unsigned number;
    struct scoreboard_line *line;
    struct store_session *store_session; /* NULL: there was no place */
    struct session_counters *counters;
    int epoll;
    bool is_watching;    /* the listening sockets, with it */
    bool is_control;     /* the connection that was accepted last came by the control socket */
    bool is_backing_off; /* accept(2) failed for a reason that lasts, and the operator was told */
};

/* What signals tell it. */
struct worker_orders {
    volatile sig_atomic_t stop;
    volatile sig_atomic_t descriptor; /* the connection that is served; -1: none */
};

extern struct worker_orders worker_orders;

/* SIGTERM and WORKER_RETIRE wait from now on, but for the two occasions below. */
void worker_signals_init(void);
/* For epoll_pwait(2): none waits. */
sigset_t worker_signals_waiting(void);
/* SIGTERM arrives between the two, and then ends reading from the descriptor. */
void worker_signals_begin_serving(int descriptor);
void worker_signals_end_serving(void);

/* Watches the listening sockets. False: errno says why not. */
bool worker_wait_init(struct worker *worker);
/* Waits for a connection and accepts it; -1: the worker is to go. */
int worker_wait(struct worker *worker, struct address *peer);

/* Whether it has a place in the store, or finds one now; if not, the operator is told now and then. */
bool worker_has_place(struct worker *worker);

/* Serves or refuses the connection, a client's or a control connection, and closes it. */
void worker_serve(struct worker *worker, int descriptor, const struct address *peer);

/* Wakes the master up to look at the pool. */
void worker_call_master(const struct worker *worker);

#endif
