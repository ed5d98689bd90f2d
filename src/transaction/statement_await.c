/* Who waits for a key, and who need not; apart from the reads themselves, which
 * are quicker so while nobody says LOCKING. */
#include "statement.h"

/* What the transaction wrote itself nobody has to give it. */
static bool reads_its_own(const struct statement *statement, uint64_t hash, struct bytes key)
{
    const struct transaction *transaction = statement->transaction;
    struct log_write write;

    return transaction != NULL &&
           transaction_log_find(&transaction->log, statement->participant->engine->segment, hash, key, &write);
}

enum status statement_await_key(struct statement *statement, uint64_t hash, struct bytes key)
{
    struct engine *engine = statement->participant->engine;
    struct key_lock_owner owner = key_lock_owner_of(statement->participant, statement->number);
    uint64_t deadline_ns = 0;
    enum status status;

    if (is_locking(statement->transaction))
        return key_lock_keep(engine, owner, hash);
    if (pins_its_snapshot(statement->transaction) || !key_lock_is_foreign(engine, owner, hash) ||
        reads_its_own(statement, hash, key))
        return STATUS_OK;
    status = key_lock_borrow(engine, owner, hash, &deadline_ns);
    statement->has_borrowed = status == STATUS_OK;
    return status;
}
