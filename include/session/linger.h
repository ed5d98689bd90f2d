/* The end of a connection that the server ends: so that every reply arrives.
 *
 * Closing a socket with unread bytes, or getting bytes for one that is closed, makes
 * the system reset the connection and throw away replies that are under way. So the
 * server says that nothing more will be sent, and then takes and drops what still
 * comes, until
 *   - the client ends its side too (or the connection fails), or
 *   - it has taken all replies, and then says nothing for LINGER_QUIET_MS, or has
 *     been given LINGER_TALK_MS more, or
 *   - it is late (write_watch.h). */
#ifndef HAUSKV_SESSION_LINGER_H
#define HAUSKV_SESSION_LINGER_H

#include <signal.h>

#include "session/write_watch.h"

#define LINGER_QUIET_MS 100u
#define LINGER_TALK_MS 1000u

/* For a connected stream socket, which stays open: closing it is the caller's next
 * step. watch: the connection's; write_timeout_ms: as of connection.h; stop: set by
 * a signal handler when the server stops, or NULL. Holds nothing of the store. */
void linger(int descriptor, struct write_watch *watch, unsigned write_timeout_ms, const volatile sig_atomic_t *stop);

#endif
