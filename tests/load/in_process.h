/* The engine without a server: a private store in this process, for the programs
 * that measure it from inside. Whatever fails ends the program. */
#ifndef HAUSKV_TESTS_LOAD_IN_PROCESS_H
#define HAUSKV_TESTS_LOAD_IN_PROCESS_H

#include <stdbool.h>
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

/* Puts keys 0 to count - 1, values of letters; returns the longest single put in ns. */
uint64_t in_process_fill(struct store_session *session, uint64_t count);

/* For store_get: the context has room for the value. */
void in_process_copy(void *context, struct bytes piece);

/* Each a transaction of its own, with a key and a value of these sizes; the key is there. Inline, so that a loop of
 * them calls nothing but the store. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the value is written through the sink */
static inline void in_process_get(struct store_session *session, const char *key, char *value)
{
    struct store_sink sink = {.write = in_process_copy, .context = value, .copy = (unsigned char *)value};

    in_process_must(store_get(session, STORE_SINGLE, bytes_from(key, IN_PROCESS_KEY_BYTES), &sink));
}

static inline void in_process_put(struct store_session *session, const char *key, const char *value)
{
    in_process_must(store_put(session, STORE_SINGLE, bytes_from(key, IN_PROCESS_KEY_BYTES),
                              bytes_from(value, IN_PROCESS_VALUE_BYTES)));
}

/* Whether this process has any of its shared memory in huge pages: of what it has touched. */
bool in_process_has_huge_pages(void);

#endif
