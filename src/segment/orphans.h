/* Processes that still have a dead server's segment; private to this layer. */
#ifndef HAUSKV_SEGMENT_ORPHANS_H
#define HAUSKV_SEGMENT_ORPHANS_H

#include <stdbool.h>
#include <sys/types.h>

/* Ends every other process that has the file behind descriptor in its memory, shared and writable, whatever it is called;
 * returns how many. Only for the holder of the file's record lock, so that none of them is a living server's. A process is
 * looked at and ended by one descriptor of it: a number that was given to another process in between is not ended. */
unsigned orphans_end(int descriptor);

/* Whether that process lives and has the file in its memory in that way. */
bool process_maps_file(pid_t pid, int descriptor);

#endif
