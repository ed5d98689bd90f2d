/* What is in a segment, for people: layout, slots, transactions, shards. */
#ifndef HAUSKV_SERVER_REPORT_H
#define HAUSKV_SERVER_REPORT_H

#include <stdbool.h>
#include <stdio.h>

struct engine;

/* Writes the report of the segment hauskv-NAME. Only looks: without a lock and trusting nothing of a dead one, which nobody else
 * changes; a living one changes meanwhile (is_in_use), and the caller is one of its server's processes. */
void report_write(FILE *stream, const char *name, const struct engine *engine, bool is_in_use);

#endif
