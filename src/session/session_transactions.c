/* Transactions of a connection, and what the store has of them. */
#include "session/session_transactions.h"

#include <string.h>

#define CLOSED SESSION_TRANSACTION_CLOSED
#define OPEN SESSION_TRANSACTION_OPEN
#define ABORTED SESSION_TRANSACTION_ABORTED
#define TO(state) (1u << (state))

static const unsigned allowed[SESSION_TRANSACTION_STATE_COUNT] = {
    [CLOSED] = TO(OPEN) | TO(ABORTED),
    [OPEN] = TO(ABORTED) | TO(CLOSED),
    [ABORTED] = TO(CLOSED),
};

static struct session_transaction *closed_one(struct session_transactions *transactions);
static bool may_open(const struct session_transactions *transactions);
static enum status open_in_store(struct session_transactions *transactions, struct session_transaction *transaction,
                                 enum isolation isolation);
static void enter(struct session_transactions *transactions, struct session_transaction *transaction,
                  enum session_transaction_state next);
static void close_as(struct session_transactions *transactions, struct session_transaction *transaction,
                     session_counter *ended_as);

static bool transaction_is_valid(const struct session_transaction *transaction, const struct id_set *given)
{
    bool number_fits = transaction->state != OPEN ||
                       (transaction->number != STORE_SINGLE && transaction->number <= STORE_TRANSACTIONS_MAX);
    bool id_was_given = transaction->id == 0 || id_set_contains(given, transaction->id);

    return transaction->state < SESSION_TRANSACTION_STATE_COUNT && number_fits && id_was_given;
}

bool session_transactions_is_valid(const struct session_transactions *transactions)
{
    bool started_is_valid = transaction_is_valid(&transactions->started, &transactions->given);

    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        const struct session_transaction *transaction = &transactions->begun[i];
        bool has_id = transaction->state == CLOSED || transaction->id != 0;

        if (!has_id || !transaction_is_valid(transaction, &transactions->given))
            return false;
    }
    return started_is_valid && transactions->started.id == 0 && id_set_is_valid(&transactions->given);
}

void session_transactions_init(struct session_transactions *transactions, struct store_session *store,
                               struct session_counters *counters, _Atomic uint64_t *last_id)
{
    REQUIRE(store != NULL && counters != NULL && last_id != NULL);
    memset(transactions, 0, sizeof(*transactions));
    transactions->store = store;
    transactions->counters = counters;
    transactions->last_id = last_id;
    id_set_init(&transactions->given);
}

void session_transactions_deinit(struct session_transactions *transactions)
{
    session_transactions_rollback_all(transactions);
    id_set_deinit(&transactions->given);
}

enum status session_transactions_start(struct session_transactions *transactions, enum isolation isolation)
{
    if (transactions->started.state != CLOSED)
        return STATUS_TRANSACTION_OPEN;
    return open_in_store(transactions, &transactions->started, isolation);
}

void session_transactions_start_aborted(struct session_transactions *transactions)
{
    if (transactions->started.state == CLOSED)
        enter(transactions, &transactions->started, ABORTED);
}

enum status session_transactions_begin(struct session_transactions *transactions, enum isolation isolation,
                                       uint64_t *id)
{
    struct session_transaction *transaction = closed_one(transactions);
    enum status status;

    if (transaction == NULL || !may_open(transactions))
        return STATUS_TOO_LARGE;
    if (!id_set_reserve(&transactions->given))
        return STATUS_INTERNAL;
    status = store_begin(transactions->store, isolation, &transaction->number);
    if (status != STATUS_OK)
        return status;
    *id = atomic_fetch_add(transactions->last_id, 1) + 1;
    if (!id_set_takes(&transactions->given, *id)) {
        store_rollback(transactions->store, transaction->number);
        return STATUS_TOO_LARGE; /* the id is nobody's */
    }
    enter(transactions, transaction, OPEN);
    transaction->id = *id;
    id_set_add(&transactions->given, *id);
    return STATUS_OK;
}

static bool may_open(const struct session_transactions *transactions)
{
    return session_transactions_open_count(transactions) < STORE_TRANSACTIONS_MAX;
}

struct session_transaction *session_transactions_started(struct session_transactions *transactions)
{
    return transactions->started.state == CLOSED ? NULL : &transactions->started;
}

bool session_transactions_gave(const struct session_transactions *transactions, uint64_t id)
{
    return id_set_contains(&transactions->given, id);
}

struct session_transaction *session_transactions_find(struct session_transactions *transactions, uint64_t id)
{
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        struct session_transaction *transaction = &transactions->begun[i];

        if (transaction->state != CLOSED && transaction->id == id)
            return transaction;
    }
    return NULL;
}

unsigned session_transactions_open_count(const struct session_transactions *transactions)
{
    unsigned count = transactions->started.state != CLOSED;

    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++)
        count += transactions->begun[i].state != CLOSED;
    return count;
}

enum status session_transaction_commit(struct session_transactions *transactions,
                                       struct session_transaction *transaction, struct bytes *conflict_key)
{
    struct session_counters *counters = transactions->counters;
    enum status status;

    if (transaction->state == ABORTED) {
        session_transaction_rollback(transactions, transaction);
        return STATUS_ABORTED;
    }
    status = store_commit(transactions->store, transaction->number, conflict_key);
    if (status == STATUS_OK)
        close_as(transactions, transaction, &counters->transactions_committed);
    else if (status == STATUS_CONFLICT)
        close_as(transactions, transaction, &counters->transactions_conflicts);
    else if (status == STATUS_TIMEOUT)
        close_as(transactions, transaction, &counters->transactions_timed_out);
    else
        close_as(transactions, transaction, &counters->transactions_rolled_back);
    return status;
}

void session_transaction_rollback(struct session_transactions *transactions, struct session_transaction *transaction)
{
    struct session_counters *counters = transactions->counters;

    if (transaction->state == OPEN)
        store_rollback(transactions->store, transaction->number);
    close_as(transactions, transaction,
             transaction->has_timed_out ? &counters->transactions_timed_out : &counters->transactions_rolled_back);
}

void session_transaction_abort(struct session_transactions *transactions, struct session_transaction *transaction,
                               enum status reason)
{
    if (transaction->state != OPEN)
        return;
    store_rollback(transactions->store, transaction->number);
    transaction->has_timed_out = reason == STATUS_TIMEOUT;
    enter(transactions, transaction, ABORTED);
}

void session_transactions_rollback_all(struct session_transactions *transactions)
{
    if (transactions->started.state != CLOSED)
        session_transaction_rollback(transactions, &transactions->started);
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        if (transactions->begun[i].state != CLOSED)
            session_transaction_rollback(transactions, &transactions->begun[i]);
    }
}

static struct session_transaction *closed_one(struct session_transactions *transactions)
{
    for (unsigned i = 0; i < STORE_TRANSACTIONS_MAX; i++) {
        if (transactions->begun[i].state == CLOSED)
            return &transactions->begun[i];
    }
    return NULL;
}

static enum status open_in_store(struct session_transactions *transactions, struct session_transaction *transaction,
                                 enum isolation isolation)
{
    enum status status;

    if (!may_open(transactions))
        return STATUS_TOO_LARGE;
    status = store_begin(transactions->store, isolation, &transaction->number);
    if (status == STATUS_OK)
        enter(transactions, transaction, OPEN);
    return status;
}

static void enter(struct session_transactions *transactions, struct session_transaction *transaction,
                  enum session_transaction_state next)
{
    INVARIANT(allowed[transaction->state] & TO(next));
    if (transaction->state == CLOSED) {
        session_counter_add(&transactions->counters->transactions_started, 1);
        session_counter_add(&transactions->counters->transactions_open, 1);
    }
    transaction->state = next;
}

static void close_as(struct session_transactions *transactions, struct session_transaction *transaction,
                     session_counter *ended_as)
{
    enter(transactions, transaction, CLOSED);
    session_counter_add(&transactions->counters->transactions_open, (uint64_t)-1);
    session_counter_add(ended_as, 1);
    memset(transaction, 0, sizeof(*transaction));
}
