/* The frame around every read: entering a transaction, pinning, and the way
 * back; private to this layer. */
#ifndef HAUSKV_TRANSACTION_STATEMENT_H
#define HAUSKV_TRANSACTION_STATEMENT_H

#include "transaction/key_lock.h"
#include "transaction/transaction.h"

struct statement {
    struct participant *participant;
    struct transaction *transaction; /* NULL: a single command */
    unsigned number;
    uint64_t snapshot; /* TIME_INFINITE: the latest, as of each shard's lock */
    bool has_borrowed; /* somebody else's key, for the time of the read */
};

static inline bool pins_its_snapshot(const struct transaction *transaction)
{
    return transaction != NULL && transaction->isolation == ISOLATION_SERIALIZABLE;
}

static inline bool is_locking(const struct transaction *transaction)
{
    return transaction != NULL && transaction->isolation == ISOLATION_LOCKING;
}

static inline struct key_lock_owner key_lock_owner_of(const struct participant *participant, unsigned number)
{
    return (struct key_lock_owner){
        .slot = participant->slot_number,
        .transaction = number == TRANSACTION_SINGLE ? KEY_LOCK_SINGLE : number - 1,
        .waiter = participant->waiter,
    };
}

/* Who was not looked at ahead gets at least its place fetched. */
static inline uint64_t key_hash(struct participant *participant, struct bytes key)
{
    const struct table *table = &participant->engine->table;
    uint64_t hash;

    if (!key_hints_take(&participant->hints, key, &hash)) {
        hash = table_hash(table, key);
        table_prefetch_place(table, hash);
    }
    return hash;
}

/* Enters the transaction (STATUS_TIMEOUT: it was expired) and pins what it may read: its snapshot, or everything.
 * wants_snapshot: a read of several shards, which needs one time for all of them. */
enum status statement_begin(struct statement *statement, struct participant *participant, unsigned number,
                            bool wants_snapshot);
void statement_end(const struct statement *statement);

/* K6, for a read that has entered and pins nothing yet. LOCKING gets the key and keeps it; who reads the latest value gets it for
 * a moment where somebody else has it, and returns it when the value is found (has_borrowed). What key_lock_keep and
 * key_lock_borrow answer. */
enum status statement_await_key(struct statement *statement, uint64_t hash, struct bytes key);

#endif
