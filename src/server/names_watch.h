/* Whether the segment of the server has its name still: somebody may remove it, or the system may, when a user logs out. */
#ifndef HAUSKV_SERVER_NAMES_WATCH_H
#define HAUSKV_SERVER_NAMES_WATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "server/inheritance.h"

struct names_watch {
    uint64_t looked_ms; /* when the master looked last; 0: not yet */
    uint64_t said_ms;   /* when it last said that a name is gone for good; 0: it is not */
};

/* Looks, if it is time to, restores what can be, and says what it found: to the log, and for STATS. Returns in how many
 * milliseconds to call again. The master. */
int names_watch(struct names_watch *watch, const struct inheritance *inheritance);

/* What it found last, for STATS: "named", or "taken" or "lost" while a person has to do something. Any process. */
const char *names_text(const struct scoreboard *scoreboard);

/* The end of a server that leaves its data; says so where they are elsewhere. False: the next start will not find them. The
 * master, when all others are gone. */
bool names_leave(const struct inheritance *inheritance);

#endif
