/* A dump of what a server left behind, whatever state it is in: what can be read
 * goes to standard output, what is missing and why to standard error. */
#ifndef HAUSKV_SERVER_SALVAGE_H
#define HAUSKV_SERVER_SALVAGE_H

#include <stdint.h>
#include <stdio.h>

/* Exit statuses. */
#define SALVAGE_WHOLE 0
#define SALVAGE_NOTHING 1 /* nothing could be read, or written; standard error says why */
#define SALVAGE_PART 3    /* some of it; standard error says what is missing */

/* Writes the pairs of the segment hauskv-NAME of the directory (NULL: that of POSIX shared memory), which no server has. Returns
 * the exit status. */
int salvage_dump(const char *directory, const char *name);

/* Says on the stream how much a dump would write. Returns the exit status that it would have, but for writing. */
int salvage_report(FILE *stream, const char *directory, const char *name);

#endif
