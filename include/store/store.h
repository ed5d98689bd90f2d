/* The only way the protocol side reaches data: a struct of functions. The
 * shared-memory store (shared_store.h) is its first implementation, the naive
 * reference model in tests/model the second. Nothing here speaks of shared
 * memory, locks or shards.
 *
 * A store is opened once; every connection opens a session of its own, used by
 * one process and one thread. A session has up to STORE_TRANSACTIONS_MAX open
 * transactions, named by small numbers from 1; STORE_SINGLE instead of a number
 * makes the command a transaction of its own, committed when it returns.
 *
 * Outcomes. Besides those that a function names, every one that takes a
 * transaction may answer
 *   STATUS_TIMEOUT      the transaction was expired by somebody else; it sees
 *                       and changes nothing any more, and must be rolled back
 *   STATUS_UNAVAILABLE  a part of the data is set aside and waits for the
 *                       operator; nothing was changed
 *   STATUS_INTERNAL     private memory of this process ran out
 * After any outcome but STATUS_OK and STATUS_NOT_FOUND a transaction stays open
 * and must be ended by rollback - except for commit, which always ends it. */
#ifndef HAUSKV_STORE_STORE_H
#define HAUSKV_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/status.h"
#include "platform/waiter.h"
#include "transaction/isolation.h"

#define STORE_KEY_BYTES_MAX 1024u
#define STORE_TRANSACTIONS_MAX 8u
#define STORE_SCAN_LIMIT_MAX 10000u
#define STORE_SINGLE 0u

struct store;
struct store_session;
typedef unsigned store_transaction; /* STORE_SINGLE or 1..STORE_TRANSACTIONS_MAX */

/* Receives a value or a key in one or more pieces, in order; the pieces are
 * readable only during the call. The receiver keeps its own failures (such as
 * no memory) to itself. It is called without any lock held, but until it
 * returns old data is kept for it: it must not wait for anybody. */
struct store_sink {
    void (*write)(void *context, struct bytes piece);
    void *context;
    /* Room for STORE_COPY_BYTES, or NULL. The store may put a short value there before it writes it from there: who wants
     * it there anyway is spared a copy. What else it leaves there has no meaning. */
    unsigned char *copy;
};

#define STORE_COPY_BYTES 256u

/* What a scan found. keys are returned by calling key once per key; cursor is
 * where to go on, 0 when the end was reached. */
struct store_scan {
    uint64_t cursor;     /* where to begin; 0 is the beginning */
    struct bytes prefix; /* only keys that start so; may be empty */
    unsigned limit;      /* 1..STORE_SCAN_LIMIT_MAX; more only where keys share a hash */
    void (*key)(void *context, struct bytes key);
    void *context;
};

/* When a session's last ended transaction (or single command) read and
 * committed, in ticks of the store's clock. commit is 0 where nothing was
 * written. For tests and histories. */
struct store_times {
    uint64_t snapshot;
    uint64_t commit;
};

/* Where others lock keys (ISOLATION_LOCKING), get, put, del and commit may have
 * to wait, and answer STATUS_LOCK_TIMEOUT or STATUS_DEADLOCK: nothing was
 * changed, and the transaction, if it is one, is to be rolled back. While they wait,
 * the session's waiter is asked whether to go on, and once more when their turn has
 * come; where it says no, the outcome is STATUS_LOCK_TIMEOUT. */
struct store_operations {
    /* Opens a session. STATUS_TOO_MANY_CLIENTS, STATUS_OUT_OF_MEMORY, STATUS_INTERNAL. */
    enum status (*session_open)(struct store *store, struct store_session **session);
    /* Rolls back whatever is open and frees the session. */
    void (*session_close)(struct store_session *session);

    /* Opens a transaction. STATUS_TOO_LARGE: STORE_TRANSACTIONS_MAX are open.
     * STATUS_DENIED: the store does not offer that isolation level. Of any
     * failure nothing stays open. */
    enum status (*begin)(struct store_session *session, enum isolation isolation, store_transaction *transaction);
    /* Writes the value into sink (NULL: only asks whether the key is there).
     * STATUS_NOT_FOUND. STATUS_TOO_LARGE: the transaction has read too many keys. */
    enum status (*get)(struct store_session *session, store_transaction transaction, struct bytes key,
                       const struct store_sink *sink);
    /* STATUS_OUT_OF_MEMORY, STATUS_TOO_LARGE (value larger than value_bytes_max). */
    enum status (*put)(struct store_session *session, store_transaction transaction, struct bytes key,
                       struct bytes value);
    /* STATUS_OK whether or not the key was there; reads nothing. A single del
     * never answers STATUS_OUT_OF_MEMORY. */
    enum status (*del)(struct store_session *session, store_transaction transaction, struct bytes key);
    /* Keys in the order of their hash, own writes included. In a transaction
     * that also writes, COMMIT conflicts if a part of the store that was
     * scanned saw an insert or a delete. STATUS_DENIED: in ISOLATION_LOCKING,
     * which locks keys and not their absence. */
    enum status (*scan)(struct store_session *session, store_transaction transaction, struct store_scan *scan);
    /* How many keys start with prefix (all, if it is empty). Otherwise as scan. */
    enum status (*count)(struct store_session *session, store_transaction transaction, struct bytes prefix,
                         uint64_t *count);
    /* Ends the transaction. STATUS_OK: committed, all of it. STATUS_CONFLICT:
     * nothing applied; *conflict_key (if not NULL) is the key that changed,
     * empty if it was a scanned range, valid until the session's next call.
     * STATUS_LOCK_TIMEOUT, STATUS_DEADLOCK: nothing applied; *conflict_key is
     * the key that it waited for. STATUS_OUT_OF_MEMORY: nothing applied. */
    enum status (*commit)(struct store_session *session, store_transaction transaction, struct bytes *conflict_key);
    /* Ends the transaction, nothing applied. Always works. */
    void (*rollback)(struct store_session *session, store_transaction transaction);
    /* The client has said something in the transaction that reads and writes nothing: it is not idle. Nothing where the
     * transaction was expired. NULL: the store knows no idleness. */
    void (*touch)(struct store_session *session, store_transaction transaction);
    /* From now on the session's commands ask this before and while they wait for a key; it must live until it is replaced
     * (NULL: nobody is asked) or the session is closed. NULL: the store never waits. */
    void (*set_waiter)(struct store_session *session, const struct waiter *waiter);
    /* The key will be asked for soon: a hint, which may be wrong. NULL: the store makes nothing of it. */
    void (*prefetch)(struct store_session *session, struct bytes key);
    /* Of the session's last ended transaction or single command. */
    struct store_times (*times)(const struct store_session *session);
    /* After STATUS_TIMEOUT: whether the transaction was ended for its old snapshot, which held back memory that others needed, and
     * not for having been idle. NULL: this store ends none for that. */
    bool (*has_ended_snapshot)(const struct store_session *session);
    /* The largest value that this store takes, in bytes. */
    size_t (*value_bytes_max)(const struct store *store);
};

/* First member of every implementation's store and session. */
struct store {
    const struct store_operations *operations;
};

struct store_session {
    const struct store_operations *operations;
};

static inline enum status store_session_open(struct store *store, struct store_session **session)
{
    return store->operations->session_open(store, session);
}

static inline void store_session_close(struct store_session *session)
{
    session->operations->session_close(session);
}

static inline enum status store_begin(struct store_session *session, enum isolation isolation,
                                      store_transaction *transaction)
{
    return session->operations->begin(session, isolation, transaction);
}

static inline enum status store_get(struct store_session *session, store_transaction transaction, struct bytes key,
                                    const struct store_sink *sink)
{
    return session->operations->get(session, transaction, key, sink);
}

static inline enum status store_put(struct store_session *session, store_transaction transaction, struct bytes key,
                                    struct bytes value)
{
    return session->operations->put(session, transaction, key, value);
}

static inline enum status store_del(struct store_session *session, store_transaction transaction, struct bytes key)
{
    return session->operations->del(session, transaction, key);
}

static inline void store_prefetch(struct store_session *session, struct bytes key)
{
    if (session->operations->prefetch != NULL)
        session->operations->prefetch(session, key);
}

static inline void store_touch(struct store_session *session, store_transaction transaction)
{
    if (session->operations->touch != NULL)
        session->operations->touch(session, transaction);
}

static inline void store_set_waiter(struct store_session *session, const struct waiter *waiter)
{
    if (session->operations->set_waiter != NULL)
        session->operations->set_waiter(session, waiter);
}

static inline enum status store_scan(struct store_session *session, store_transaction transaction,
                                     struct store_scan *scan)
{
    return session->operations->scan(session, transaction, scan);
}

static inline enum status store_count(struct store_session *session, store_transaction transaction,
                                      struct bytes prefix, uint64_t *count)
{
    return session->operations->count(session, transaction, prefix, count);
}

static inline enum status store_commit(struct store_session *session, store_transaction transaction,
                                       struct bytes *conflict_key)
{
    return session->operations->commit(session, transaction, conflict_key);
}

static inline void store_rollback(struct store_session *session, store_transaction transaction)
{
    session->operations->rollback(session, transaction);
}

static inline struct store_times store_session_times(const struct store_session *session)
{
    return session->operations->times(session);
}

static inline bool store_has_ended_snapshot(const struct store_session *session)
{
    return session->operations->has_ended_snapshot != NULL && session->operations->has_ended_snapshot(session);
}

static inline size_t store_value_bytes_max(const struct store *store)
{
    return store->operations->value_bytes_max(store);
}

#endif
