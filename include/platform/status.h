/* How an operation ended, in one enum from the segment to the wire. The world
 * failing is a status; our own bug is a contract (contract.h); a peer's death
 * is a lock result (robust_mutex.h). */
#ifndef HAUSKV_PLATFORM_STATUS_H
#define HAUSKV_PLATFORM_STATUS_H

#include <stdbool.h>

enum status {
#define STATUS(name, code, message) STATUS_##name,
#include "platform/status.def"
#undef STATUS
    STATUS_COUNT
};

bool status_is_valid(enum status status);

/* The stable code of the wire, such as "not_found". Static storage. */
const char *status_code(enum status status);

/* A sentence for a person, such as "Key not found". Static storage. */
const char *status_message(enum status status);

#endif
