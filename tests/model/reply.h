/* What a store answered to an operation, and whether two stores answered the same. */
#ifndef HAUSKV_TESTS_REPLY_H
#define HAUSKV_TESTS_REPLY_H

#include "support/store_buffer.h"

struct reply {
    enum status status;
    bool was_open; /* of a transaction that was to expire; true for all else */
    struct store_buffer value;
    struct store_keys keys;
    uint64_t number; /* cursor or count */
    struct bytes conflict_key;
};

/* Empty again; what it kept memory for it keeps. Zeroed is empty, too. */
void reply_reset(struct reply *reply);
void reply_deinit(struct reply *reply);

/* What differs between the answers of an engine and of the model, whose session is `session`; NULL: nothing. */
const char *reply_difference(const struct reply *engine, const struct reply *model,
                             const struct store_session *session);

#endif
