/* What each server wants to hear and how it answers: one table of functions per
 * protocol, so that the generator knows none of them.
 *
 * Requests are appended to a batch, which counts the replies that will come. A
 * reply is judged as soon as it is whole. */
#ifndef HAUSKV_TESTS_LOAD_PROTOCOL_H
#define HAUSKV_TESTS_LOAD_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"
#include "protocol/buffer.h"

struct batch {
    struct buffer requests;
    unsigned replies;
};

enum reply_kind {
    REPLY_INCOMPLETE,
    REPLY_DONE,
    REPLY_MISSING,  /* there is no such key */
    REPLY_CONFLICT, /* the transaction was not applied */
    REPLY_FULL,     /* no memory */
    REPLY_FAILED    /* anything else: the run is worth nothing */
};

struct protocol {
    void (*put)(struct batch *batch, struct bytes key, struct bytes value);
    void (*get)(struct batch *batch, struct bytes key);
    void (*del)(struct batch *batch, struct bytes key);
    /* What encloses a transaction that is sent in one piece; NULL: there are none. */
    void (*begin)(struct batch *batch);
    void (*commit)(struct batch *batch);
    /* One line of a transaction that reads and then writes, each of which waits for its reply; false: step is behind
     * the last. `trips` 5 is for all, 4 for those that can do it in less. NULL: there are none. */
    bool (*read_then_write)(struct batch *batch, unsigned trips, unsigned step, struct bytes key, struct bytes value);
    /* Judges the first reply of input. REPLY_INCOMPLETE: more must come, and *scanned bytes need no second look (0 at
     * first); else *size is its length. */
    enum reply_kind (*judge)(struct bytes input, size_t *scanned, size_t *size);
};

extern const struct protocol protocol_text;      /* hauskv, echo */
extern const struct protocol protocol_resp;      /* Redis */
extern const struct protocol protocol_memcached; /* its text form */

void batch_append(struct batch *batch, struct bytes piece);
void batch_append_text(struct batch *batch, const char *text);
void batch_append_number(struct batch *batch, size_t number);
void batch_clear(struct batch *batch);

#endif
