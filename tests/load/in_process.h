/* The engine without a server: a private store in this process, for the programs
 * that measure it from inside. Whatever fails ends the program. */
#ifndef HAUSKV_TESTS_LOAD_IN_PROCESS_H
#define HAUSKV_TESTS_LOAD_IN_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "store/shared_store.h"

#define IN_PROCESS_KEY_BYTES 16u
#define IN_PROCESS_VALUE_BYTES 64u

/* The caller closes the session and destroys the store. */
struct store *in_process_store(size_t bytes, struct store_session **session);

/* Ends the program unless it is STATUS_OK. */
void in_process_must(enum status status);

/* Writes the key of that number, and a NUL behind it. */
struct bytes in_process_key(char text[IN_PROCESS_KEY_BYTES + 1], uint64_t number);

/* Puts keys 0 to count - 1; returns the longest single put in ns. */
uint64_t in_process_fill(struct store_session *session, uint64_t count);

/* For store_get: the context has room for the value. */
void in_process_copy(void *context, struct bytes piece);

#endif
