/* The reference model of a store: a sequential map that keeps every version it
 * ever had, with snapshots and the isolation rules on top; so small that it is
 * obviously right. What an engine answers is compared with what this answers.
 *
 * One process and one thread; private memory only. It aborts where the system
 * has no memory, so it never answers STATUS_OUT_OF_MEMORY or STATUS_INTERNAL. */
#ifndef HAUSKV_TESTS_MODEL_STORE_H
#define HAUSKV_TESTS_MODEL_STORE_H

#include "store/store.h"

#define MODEL_SHARD_COUNT_MAX 64u

/* The order of SCAN and the coarse conflicts of SCAN and COUNT depend on how
 * an engine hashes and how many shards it has; the model is told, to agree. */
struct model_store_options {
    uint64_t (*hash)(void *context, struct bytes key);
    void *context;
    unsigned shard_count; /* a power of two, 1..MODEL_SHARD_COUNT_MAX; the top bits of the hash name the shard */
    size_t value_bytes_max;
};

struct store *model_store_create(const struct model_store_options *options);

/* Its sessions must be closed. */
void model_store_destroy(struct store *store);

/* Where an engine would sleep because another transaction owns a key, the model calls this, again and again: it lets
 * others run and returns. False: the session has waited long enough, and its command answers STATUS_LOCK_TIMEOUT unless
 * it was served meanwhile. */
typedef bool (*model_store_wait)(void *context, const struct store_session *session);

/* LOCKING is there from now on; before, it is denied. wait NULL: nobody waits, whoever would is answered
 * STATUS_LOCK_TIMEOUT at once (STATUS_DEADLOCK where it would wait for itself).
 *
 * Waiters are served first come, first served. The command that closes a circle of waiting sessions answers
 * STATUS_DEADLOCK at once. Commits of the other levels wait for the keys that they write, one at a time in the order of
 * SCAN, before they are validated; SCAN and COUNT never wait. */
void model_store_offer_locking(struct store *store, model_store_wait wait, void *context);

/* Whether a command of the session waits for a key; false as soon as it was served, though it has not run on yet. */
bool model_store_is_waiting(const struct store_session *session);

/* Of the session's last wait: who has the smaller one came first. */
uint64_t model_store_ticket(const struct store_session *session);

/* Expires a transaction as a housekeeper would. False: it is not open, or expired already. */
bool model_store_expire(struct store_session *session, store_transaction transaction);

/* Whether the session's last COMMIT, if it answered STATUS_CONFLICT, may have named this key (empty: a scanned
 * range). Where several things changed an engine may name any of them. */
bool model_store_conflict_may_name(const struct store_session *session, struct bytes key);

#endif
