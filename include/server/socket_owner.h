/* Who listens on a port, as far as /proc tells: another user's descriptors are
 * hidden from all but root. Any process. */
#ifndef HAUSKV_SERVER_SOCKET_OWNER_H
#define HAUSKV_SERVER_SOCKET_OWNER_H

#include <sys/types.h>

#include "server/address.h"

#define SOCKET_OWNER_BYTES 64u

/* "pid 4711 (nginx)"; "another process" where nothing was found. Of several processes that share the socket the one
 * that forked the others. */
void socket_owner_describe(const struct address *address, char text[SOCKET_OWNER_BYTES]);

/* The same for a process that is known; 0: unknown. */
void socket_owner_describe_process(pid_t process, char text[SOCKET_OWNER_BYTES]);

#endif
