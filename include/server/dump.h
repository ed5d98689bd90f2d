/* All pairs as text, and back: the way across versions and machines. A dump has
 * one line per pair, the strict JSON form of PUT:
 *
 *     {"key": "k", "value": "v"}
 *
 * in SCAN's order, which has no meaning, from one snapshot. */
#ifndef HAUSKV_SERVER_DUMP_H
#define HAUSKV_SERVER_DUMP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/status.h"
#include "store/store.h"

/* Where lines go. */
struct dump_sink {
    bool (*write)(void *context, struct bytes bytes); /* false: no more is wanted. No lock is held meanwhile */
    void *context;
};

struct dump_result {
    uint64_t pairs;          /* that were written */
    uint64_t shards_missing; /* a bit for each that is set aside: its pairs were not */
};

/* Writes every pair of the store (a shared_store), whose session this is, to the sink; others may go on meanwhile. Nothing is
 * open in the session. STATUS_OK: all of them, but for the shards that are missing. STATUS_DENIED: the sink wanted no more.
 * STATUS_TIMEOUT: the snapshot was given up, as nothing was written for too long. Else why it ended early. */
enum status dump_write(struct store *store, struct store_session *session, const struct dump_sink *sink,
                       struct dump_result *result);

/* Puts every pair of the file into the store. The file is read twice, so it is no pipe: a line that is no pair is named
 * by its number before anything is put. *pairs is how many keys are new. False: standard error was told why; if pairs
 * did not fit, or *stop became other than 0 (as a signal handler stores it), those before are in the store. Nobody else
 * is in the store. */
bool dump_load(struct store *store, const char *path, const volatile sig_atomic_t *stop, uint64_t *pairs);

#endif
