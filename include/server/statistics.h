/* What STATS answers, put together by the worker that is asked, from the store
 * and the scoreboard, where every worker counts on a line of its own. Asking
 * costs; counting costs no lock and no shared cache line. Counts begin with the
 * server: nothing of them outlives it, since the next may be another build, with
 * other verbs. */
#ifndef HAUSKV_SERVER_STATISTICS_H
#define HAUSKV_SERVER_STATISTICS_H

#include "protocol/json_writer.h"
#include "server/inheritance.h"

/* Writes the object; context is the inheritance. Any process. */
void statistics_write(void *context, struct json_writer *writer);

#endif
