/* A client that makes random transactions and writes down what it saw. Clients
 * of several processes make a history together, each in its own part of shared
 * memory; or of one process, one step of each after the other. */
#ifndef HAUSKV_TESTS_HISTORY_CLIENT_H
#define HAUSKV_TESTS_HISTORY_CLIENT_H

#include "support/history_order.h"
#include "support/store_buffer.h"
#include "support/store_random.h"

#define HISTORY_KEYS 8u /* that clients use: those of a history with this key_count */
#define HISTORY_VALUE_BYTES_MIN 8u

enum history_habit {
    HISTORY_OF_EVERYTHING, /* transactions of all kinds and lengths */
    HISTORY_OF_SKEW        /* read one of two keys, write the other: the window for write skew is open nearly always */
};

struct history_client {
    struct store_session *session;
    struct store_random random;
    unsigned number;
    size_t value_bytes_max; /* at least HISTORY_VALUE_BYTES_MIN; most values are much smaller */
    enum history_habit habit;
    bool may_be_full; /* STATUS_OUT_OF_MEMORY is an outcome */
    bool yields; /* lets others run in the middle of transactions and values, however few processors there are */
    struct history_transaction *transactions; /* where to write them */
    size_t wanted;
    size_t count; /* finished */
    /* of the one that is open */
    bool is_open;
    store_transaction transaction;
    unsigned steps_wanted;
    unsigned reads_percent;
    bool rolls_back;
    uint64_t values_written;
    unsigned char *content;
    struct store_buffer seen;
};

/* The client's session must be open; clients of a history have different numbers. Private memory. */
void history_client_init(struct history_client *client, struct store_session *session, unsigned number,
                         size_t value_bytes_max, uint64_t seed);
void history_client_deinit(struct history_client *client);

/* Begins a transaction, does one step of it or ends it. False: the store answered *status, which it must not. */
bool history_client_step(struct history_client *client, enum status *status);

static inline bool history_client_is_done(const struct history_client *client)
{
    return client->count == client->wanted;
}

/* Reads every key once, in the history's name: what is left at the end has to fit, too. */
bool history_client_read_all(struct history_client *client, enum status *status);

#endif
