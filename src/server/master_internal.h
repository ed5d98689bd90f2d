/* What the files of the master share. */
#ifndef HAUSKV_SERVER_MASTER_INTERNAL_H
#define HAUSKV_SERVER_MASTER_INTERNAL_H

#include <stdbool.h>

#include "server/housekeeper.h"
#include "server/inheritance.h"
#include "server/loader.h"
#include "server/master.h"
#include "server/pool.h"
#include "names_watch.h"

enum master_phase {
    MASTER_LOADING,  /* the loader is at work, nobody else */
    MASTER_STARTING, /* no worker has come up yet */
    MASTER_SERVING,
    MASTER_STOPPING
};

struct master {
    enum master_phase phase;
    int exit_status;
    struct server_config config; /* what was asked for, less what there is not */
    struct inheritance inheritance;
    struct pool *pool;
    struct housekeeper_watch housekeeper;
    struct loader loader;
    bool has_failed_to_load;
    struct names_watch names;
    bool has_dead;       /* perhaps: SIGCHLD came, or nothing did for long */
    int stop_signal;     /* the first that was received; 0: none */
    uint64_t stopped_ms; /* when that was */
    uint64_t stop_by_ms; /* while stopping: when what is left is killed */
    bool has_killed;
};

/* Whether there are children. */
bool master_has_children(const struct master *master);

/* Opens all that the children inherit. False: standard error was told why, and nothing is open. */
bool master_open(struct master *master, const struct server_config *config);
/* All children have ended. */
void master_close(struct master *master);

/* One line "ready: ADDRESS" per listening socket, on standard error. */
void master_say_ready(const struct listeners *listeners);

/* Obeys the signals that came, and clears the pool's event. */
void master_take_orders(struct master *master);

/* Waits for the children that have died, if there may be some: to find none, the system looks at all of them. */
void master_reap(struct master *master);

/* Begins the end; what does not end by itself is killed later, or by master_kill at once. */
void master_stop(struct master *master, int exit_status);
void master_kill(struct master *master);

#endif
