/* The transactions of one connection: START's and those of BEGIN, each closed,
 * open, or aborted. An aborted one is still open to the client, who must end it;
 * the store has rolled it back already, so it holds nothing.
 *
 *            start, begin              abort
 *   CLOSED ---------------> OPEN ----------------> ABORTED
 *     ^                      |                        |
 *     +----------------------+------------------------+
 *              commit, rollback (also of the connection's end)
 *
 * A START that fails goes from CLOSED to ABORTED. One process and one thread. */
#ifndef HAUSKV_SESSION_SESSION_TRANSACTIONS_H
#define HAUSKV_SESSION_SESSION_TRANSACTIONS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/status.h"
#include "session/counters.h"
#include "session/id_set.h"
#include "store/store.h"

enum session_transaction_state {
    SESSION_TRANSACTION_CLOSED,
    SESSION_TRANSACTION_OPEN,
    SESSION_TRANSACTION_ABORTED,
    SESSION_TRANSACTION_STATE_COUNT
};

struct session_transaction {
    enum session_transaction_state state;
    store_transaction number; /* the store's, while OPEN */
    uint64_t id;              /* the client's, unless CLOSED; 0: START's */
    bool has_timed_out;
};

struct session_transactions {
    struct store_session *store;
    struct session_counters *counters;
    _Atomic uint64_t *last_id;          /* the last id that the server gave, to anybody */
    struct session_transaction started; /* START's */
    struct id_set given;
    struct session_transaction begun[STORE_TRANSACTIONS_MAX];
};

bool session_transactions_is_valid(const struct session_transactions *transactions);

/* None is open. store, counters and last_id must live as long. */
void session_transactions_init(struct session_transactions *transactions, struct store_session *store,
                               struct session_counters *counters, _Atomic uint64_t *last_id);
/* Rolls back whatever is open. */
void session_transactions_deinit(struct session_transactions *transactions);

/* Opens START's. STATUS_TRANSACTION_OPEN, STATUS_TOO_LARGE (STORE_TRANSACTIONS_MAX
 * are open, aborted ones included), and what store_begin answers. */
enum status session_transactions_start(struct session_transactions *transactions, enum isolation isolation);

/* Opens START's as an aborted one, after a START that failed; nothing if it is open. */
void session_transactions_start_aborted(struct session_transactions *transactions);

/* Opens one and gives it the server's next id. STATUS_TOO_LARGE: STORE_TRANSACTIONS_MAX
 * are open, or the connection can remember no more ids (id_set_takes); STATUS_INTERNAL
 * (no private memory), and what store_begin answers. */
enum status session_transactions_begin(struct session_transactions *transactions, enum isolation isolation,
                                       uint64_t *id);

/* START's transaction; NULL: it is closed. */
struct session_transaction *session_transactions_started(struct session_transactions *transactions);

/* Whether an id was ever given to this connection. */
bool session_transactions_gave(const struct session_transactions *transactions, uint64_t id);

/* The transaction with an id; NULL: it is closed, or never was. */
struct session_transaction *session_transactions_find(struct session_transactions *transactions, uint64_t id);

unsigned session_transactions_open_count(const struct session_transactions *transactions);

/* Ends an open or aborted transaction, whatever it answers. STATUS_OK, STATUS_ABORTED,
 * and what store_commit answers; conflict_key as there. */
enum status session_transaction_commit(struct session_transactions *transactions,
                                       struct session_transaction *transaction, struct bytes *conflict_key);

/* Ends an open or aborted transaction. */
void session_transaction_rollback(struct session_transactions *transactions, struct session_transaction *transaction);

/* An error hit the transaction: nothing of it will ever be seen. Nothing if it
 * is closed or aborted already. */
void session_transaction_abort(struct session_transactions *transactions, struct session_transaction *transaction,
                               enum status reason);

void session_transactions_rollback_all(struct session_transactions *transactions);

#endif
