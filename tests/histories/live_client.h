/* A client of a live server that makes random transactions and writes down what
 * it was answered and when: a process of its own, in its own part of the shared
 * history. No Criterion; what must not be answered ends the process. */
#ifndef HAUSKV_TESTS_LIVE_CLIENT_H
#define HAUSKV_TESTS_LIVE_CLIENT_H

#include <stdatomic.h>

#include "histories/live_plan.h"
#include "live/live_support.h"
#include "support/process.h"
#include "support/store_random.h"

/* What the clients of a history share, in shared memory. */
struct live_round {
    const struct live_plan *plan;
    const struct server *server;
    uint64_t seed;
    unsigned number;
    struct process_gate gate;
    atomic_int turn; /* of who makes an outcome unknown: its number plus 1; 0: nobody's */
    atomic_uint kills;
    atomic_uint hang_ups;
};

struct live_client {
    struct live_round *round;
    unsigned number;
    struct store_random random;
    struct client connection; /* descriptor -1: none */
    bool has_killed;          /* the worker of this connection */
    struct text lines;
    uint64_t values_written;
    struct history_transaction *transactions; /* where to write them: there is room */
    size_t count;
};

/* Clients of a round have different numbers. Private memory. */
void live_client_init(struct live_client *client, struct live_round *round, unsigned number,
                      struct history_transaction *transactions);
void live_client_deinit(struct live_client *client);

/* Makes one transaction, or two. */
void live_client_step(struct live_client *client);

/* Reads all keys, a few at a time: what is left at the end has to fit, too. How many transactions that takes. */
unsigned live_client_read_all(struct live_client *client);

/* Whether the server takes transactions of a level. */
bool live_server_offers(const struct server *server, const char *option);

#endif
