/* What the system allows, against what the options ask for; looked at once, at
 * start, so that the operator hears of it then and not when the server is busy. */
#ifndef HAUSKV_SERVER_LIMITS_H
#define HAUSKV_SERVER_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/config.h"

/* Descriptors and processes. Raises the limit of descriptors as far as it is needed and allowed. False: the server
 * could not work, standard error was told why; where it could not work to the full, there was a warning. */
bool limits_check(const struct server_config *config, unsigned listener_count);

/* What there is for the segment, in bytes. */
struct memory_limits {
    uint64_t directory_bytes; /* free in the file system of the segment */
    uint64_t group_bytes;     /* left by the control groups */
    uint64_t machine_bytes;   /* that the system can give without swapping others out, and free swap */
};

/* What --fresh will give back counts as free. */
void memory_limits_find(struct memory_limits *limits, const struct server_config *config);

/* How large the segment becomes: what was asked for, if that fits; or, if it was not asked for but is the default, what
 * fits. False: neither; standard error was told. */
bool memory_choose(const struct server_config *config, const struct memory_limits *limits, size_t *bytes);

/* How many places of the store the server's processes need at most. */
unsigned places_needed(const struct server_config *config);

/* Whether places for --max-clients take no more of a store of so many bytes than they may. A default gives way, with a
 * warning; an order does not: then false, and standard error was told what it needs. */
bool places_choose(struct server_config *config, uint64_t limit_bytes);

/* With fewer places than that, which are all that a full store has, fewer clients are served; there is a warning then.
 * False: it would be none; standard error was told. */
bool places_settle(struct server_config *config, unsigned places);

#endif
