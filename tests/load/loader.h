/* One connection that asks and waits: for filling a server with keys and for
 * asking it about itself. Not for measuring. */
#ifndef HAUSKV_TESTS_LOAD_LOADER_H
#define HAUSKV_TESTS_LOAD_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/endpoint.h"
#include "load/protocol.h"

struct loader {
    const struct protocol *protocol;
    int descriptor;
    struct batch batch;
    struct buffer input;
    uint64_t missing; /* replies since the loader was opened, by kind */
    uint64_t full;
    uint64_t failed;
};

/* False: nobody listens. */
bool loader_open(struct loader *loader, const struct protocol *protocol, const struct endpoint *endpoint);
void loader_close(struct loader *loader);

/* Requests are collected and go out when there are many; loader_flush sends the rest and waits for all replies. False:
 * the connection has failed. Replies that are no success are counted, not reported. */
bool loader_put(struct loader *loader, struct bytes key, struct bytes value);
bool loader_get(struct loader *loader, struct bytes key);
bool loader_del(struct loader *loader, struct bytes key);
bool loader_flush(struct loader *loader);

/* Sends a line in the server's own words, with its end, and returns what comes until `end` ends it (included), as a
 * string that is valid until the next call; NULL: the connection has failed. */
const char *loader_ask(struct loader *loader, const char *line, const char *end);

#endif
