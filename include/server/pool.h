/* The workers, as the master sees them. It keeps --min-spare to --max-spare of
 * them waiting, and looks only when it has been told: by the pool's event, which
 * a worker triggers when it leaves too few or makes too many, and by the death
 * of a child.
 *
 * The master trusts nothing that workers can write, so pids are kept in private
 * memory too: it signals only children that it has not reaped. */
#ifndef HAUSKV_SERVER_POOL_H
#define HAUSKV_SERVER_POOL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/inheritance.h"
#include "server/throttle.h"

struct pool_worker {
    pid_t pid; /* 0: none */
    bool is_retiring;
    uint64_t finished_before; /* connections that its line had seen when it was born */
};

struct pool {
    const struct inheritance *inheritance;
    unsigned worker_max;
    unsigned count;
    unsigned first_free; /* no worker has a smaller number that is free */
    unsigned owed; /* one for each that died: perhaps it was called to a connection, and others were not */
    uint64_t last_birth;
    struct throttle forks;  /* fork(2) that failed */
    struct throttle deaths; /* workers that died on their first connection */
    uint64_t finished_at_last_death;
    struct pool_worker workers[]; /* [worker_max], numbered as on the scoreboard */
};

/* How a worker that was reaped had ended. */
enum pool_end {
    POOL_NOT_MINE, /* no worker */
    POOL_RETIRED,  /* as it should */
    POOL_DIED
};

/* How many workers there can be at most: one for each client and each control connection, and those that wait, who refuse
 * what is too many. */
unsigned pool_worker_max(const struct server_config *config);

/* No workers yet. NULL: no memory. The children do not inherit it. */
struct pool *pool_create(const struct inheritance *inheritance);
void pool_destroy(struct pool *pool);

/* Forks what is too few, retires what is too many. */
void pool_balance(struct pool *pool);

/* When pool_balance has to be called again at latest, if nothing happens; -1: no need. */
int pool_wait_ms(const struct pool *pool);

/* A child was reaped, with that status of waitpid(2). */
enum pool_end pool_reaped(struct pool *pool, pid_t pid, int status);

/* Whether a worker has come as far as waiting for connections. */
bool pool_is_up(const struct pool *pool);

void pool_signal(const struct pool *pool, int signal_number);

/* Whether that pid is a worker's. */
bool pool_has(const struct pool *pool, pid_t pid);

/* Kills one worker; false: that pid is none. */
bool pool_kill(const struct pool *pool, pid_t pid);

bool pool_is_valid(const struct pool *pool);

#endif
