/* Everything that crosses fork, from the master to a worker, the housekeeper or the loader.
 * The children change none of it; what they share while they live is in the
 * store (the data) and on the scoreboard (who does what). */
#ifndef HAUSKV_SERVER_INHERITANCE_H
#define HAUSKV_SERVER_INHERITANCE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/config.h"
#include "server/listener.h"
#include "server/scoreboard.h"
#include "store/store.h"

struct inheritance {
    const struct server_config *config;
    struct listeners listeners;   /* the housekeeper closes its copies */
    struct control_listener control; /* and this one's */
    struct store *store;          /* a child opens a session of its own */
    bool has_new_store;           /* it was made by this server, not taken over */
    struct scoreboard scoreboard;
    int pool_event;               /* eventfd, never waits: a worker adds one when there are too few or too many spare */
    int signals;                  /* signalfd of the master; children close it */
    pid_t master;
    int pressure_adjustment;      /* memory_pressure.h: what whoever started the server gave it */
    uint64_t started_ms;          /* of clock_monotonic_ms */
};

/* Added to what the server was given (memory_pressure.h), so that the system, when it has no memory left, ends a child,
 * which costs a client, and not the master, which would cost them all. The master's is set only where that is allowed. */
#define INHERITANCE_CHILD_PRESSURE 200
#define INHERITANCE_MASTER_PRESSURE (-200)

/* fork(2) for a child that ends with the master: returns its pid in the master,
 * 0 in the child, -1 and errno where there can be none. All signals are blocked
 * in the child until it says which it takes. Only the master's main thread:
 * the system tells the child of the end of the thread that forked it. */
pid_t inheritance_fork(const struct inheritance *inheritance, const char *process_name);

#endif
