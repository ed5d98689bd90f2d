/* The housekeeper: one process for what must not wait for traffic. Round by
 * round it expires transactions that are idle for too long, clears up after
 * sessions whose process died, and frees what no snapshot needs any more. Its
 * heartbeat (scoreboard.h) tells the master that it gets on. */
#ifndef HAUSKV_SERVER_HOUSEKEEPER_H
#define HAUSKV_SERVER_HOUSEKEEPER_H

#include "server/inheritance.h"
#include "server/throttle.h"

#define HOUSEKEEPER_ROUND_MS 200u

/* A heartbeat that did not change for so long makes it suspect, and for so much longer is worth a new housekeeper. */
#define HOUSEKEEPER_SILENCE_MS 10000u
#define HOUSEKEEPER_SUSPICION_MS 2000u
#define HOUSEKEEPER_FREE_DEATHS 4u

/* Its life, until SIGTERM. Only in a fresh child. */
_Noreturn void housekeeper_run(const struct inheritance *inheritance);

/* The master's watch over it; times are of clock_monotonic_ms. */
struct housekeeper_watch {
    pid_t pid;             /* 0: none */
    uint64_t heartbeat;    /* as it was seen */
    uint64_t changed_ms;   /* when it was seen to be another, or the process was forked */
    uint64_t suspected_ms; /* when it was found to be silent; 0: it is not. Both may have been stopped together, so it
                              gets a second chance */
    struct throttle forks;
};

/* There is none yet. */
void housekeeper_watch_init(struct housekeeper_watch *watch);

/* Forks it if there is none, kills it if it is silent; returns when to look again at latest, in milliseconds. */
int housekeeper_watch(struct housekeeper_watch *watch, const struct inheritance *inheritance);

/* A child was reaped; false: not the housekeeper. */
bool housekeeper_reaped(struct housekeeper_watch *watch, pid_t pid, int status);

#endif
