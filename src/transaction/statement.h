/* The frame around every read: entering a transaction, pinning, and the way
 * back; private to this layer. */
#ifndef HAUSKV_TRANSACTION_STATEMENT_H
#define HAUSKV_TRANSACTION_STATEMENT_H

#include "transaction/transaction.h"

struct statement {
    struct participant *participant;
    struct transaction *transaction; /* NULL: a single command */
    unsigned number;
    uint64_t snapshot; /* TIME_INFINITE: the latest, as of each shard's lock */
};

/* Enters the transaction (STATUS_TIMEOUT: it was expired) and pins what it may read: its snapshot, or everything.
 * wants_snapshot: a read of several shards, which needs one time for all of them. */
enum status statement_begin(struct statement *statement, struct participant *participant, unsigned number,
                            bool wants_snapshot);
void statement_end(const struct statement *statement);

/* The version that is visible at a snapshot, none if the key is not there then. The caller holds the shard's lock. */
struct block_ref version_visible_at(const struct segment *segment, struct block_ref newest, uint64_t snapshot);

#endif
