/* Looking at a segment without being its server: --inspect NAME, with --dump.
 * A living server is asked over its control socket (control.h), so nobody but its
 * own processes is ever inside; a dead one's segment is looked at as it lies, and
 * then repaired and checked in a private copy, of which it sees nothing; a dump
 * of it is what can be read, however damaged it is (salvage.h). */
#ifndef HAUSKV_SERVER_INSPECT_H
#define HAUSKV_SERVER_INSPECT_H

#include "server/config.h"

/* Does what config->inspect_name and its companions ask for; returns the exit status: 0, or 1 with the reason on
 * standard error, also if the segment turned out not to be valid or the report could not be written; 3: a dump that is a part. */
int inspect_run(const struct server_config *config);

#endif
