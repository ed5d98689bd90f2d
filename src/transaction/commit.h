/* The commit recipe, for transactions and single commands alike; private to this
 * layer. The steps and their reasons stand in README.md. */
#ifndef HAUSKV_TRANSACTION_COMMIT_H
#define HAUSKV_TRANSACTION_COMMIT_H

#include "transaction/key_lock.h"
#include "transaction/transaction.h"

struct commit_write {
    uint64_t hash;
    unsigned shard;
    enum redo_kind kind;   /* as asked */
    enum redo_kind effect; /* what this attempt does: the same, or REDO_NONE where a DEL meets no key */
    struct bytes key;
    struct bytes value;      /* where there is no log */
    uint64_t value_position; /* in the log */
    size_t value_size;
    struct table_place place; /* of the key, before */
    struct block_ref version; /* PUT: reserved; DEL: the one to end */
};

struct commit_request {
    struct commit_write *writes; /* ascending by hash, each key once */
    size_t count;
    const struct transaction_log *log;  /* NULL: a single command, with one write that has its value; nothing of reads or scans */
    const struct read_set *reads;       /* NULL: nothing to validate */
    uint64_t scanned_shards;
    uint64_t snapshot;
    struct key_lock_owner owner; /* for whom this waits where somebody has a key */
    bool owns_its_keys;          /* LOCKING: nobody else can have one of them */
    uint64_t awaited_hash;       /* of the key that an attempt found to be somebody else's */
};

/* Runs the recipe; participant->times and conflict_key are set. STATUS_OK, STATUS_CONFLICT, STATUS_OUT_OF_MEMORY,
 * STATUS_UNAVAILABLE, STATUS_LOCK_TIMEOUT, STATUS_DEADLOCK; nothing is applied but for STATUS_OK. */
enum status commit_run(struct participant *participant, struct commit_request *request);

/* A single PUT or DEL: the recipe for one write that nothing was read for, without the loops. Sets participant->times, and
 * conflict_key after STATUS_LOCK_TIMEOUT and STATUS_DEADLOCK. Outcomes as above, but for STATUS_CONFLICT. */
enum status commit_put(struct participant *participant, struct bytes key, struct bytes value);
enum status commit_del(struct participant *participant, struct bytes key);

#endif
