/* What the system knows of the process at the other end of a connection. */
#ifndef HAUSKV_PLATFORM_PEER_H
#define HAUSKV_PLATFORM_PEER_H

#include <stdbool.h>
#include <stddef.h>

/* Whether nobody at the other end of a connected stream socket can read any more.
 *
 * A client that said the end of its input (shutdown(2), `nc -N`) still reads and is
 * there. One that closed the socket or died is gone. Over TCP both send the same
 * FIN, so this is what can be known:
 *   - a Unix socket tells the two apart;
 *   - a reset of the connection is an end for certain. It comes when the client
 *     closed with unread bytes, or when bytes are sent to it afterwards;
 *   - of a TCP client on this machine the system can be asked for its socket
 *     (sock_diag(7)): whether a process still has it open;
 *     For as long as it is still closing that socket (Linux: a minute);
 *   - of another machine, or where the system does not answer, the client counts as
 *     there. Its system too forgets a closed socket after a while, and then answers
 *     a keepalive question with a reset.
 * So true is certain, false may be late. Never waits; any process. */
bool peer_is_gone(int descriptor);

/* How many bytes were written to a socket and not taken by the other end yet: over
 * TCP, by its system; over a Unix socket, by its process (with the system's own
 * bytes around them). 0 where the system does not say. */
size_t peer_untaken_bytes(int descriptor);

#endif
