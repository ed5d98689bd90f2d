/* What the two ends of the control socket share. */
#ifndef HAUSKV_SERVER_CONTROL_INTERNAL_H
#define HAUSKV_SERVER_CONTROL_INTERNAL_H

#include "server/control.h"

/* The socket's address. *directory: see struct control_listener; the caller closes it. False: errno says why. */
bool control_address(const struct control_place *place, struct address *address, int *directory);

#endif
