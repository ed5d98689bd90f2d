/* What each command does. */
#include "session/execute.h"

#include "protocol/reply.h"

/* One request, with what it needs; keeps the argument lists short. */
struct job {
    struct session *session;
    const struct request *request;
    struct session_transaction *transaction; /* NULL: single */
    struct buffer *output;
    struct message *message;
};

static enum status say(const struct job *job, enum reply_kind kind);
static void touch(const struct job *job);
static enum status execute_data(const struct job *job);
static enum status execute_put(const struct job *job, store_transaction number);
static enum status execute_get(const struct job *job, store_transaction number);
static enum status execute_del(const struct job *job, store_transaction number);
static enum status execute_exists(const struct job *job, store_transaction number);
static enum status execute_count(const struct job *job, store_transaction number);
static enum status execute_scan(const struct job *job, store_transaction number);
static enum status execute_start(const struct job *job);
static enum status execute_begin(const struct job *job);
static enum status execute_commit(const struct job *job);
static enum status execute_rollback(const struct job *job);
static enum status execute_stats(const struct job *job);
static enum status execute_exit(const struct job *job);

enum status execute(struct session *session, const struct request *request, struct session_transaction *transaction,
                    struct message *message)
{
    struct job job = {session, request, transaction, &session->output, message};

    switch (request->verb) {
    case VERB_PUT:
    case VERB_GET:
    case VERB_DEL:
    case VERB_EXISTS:
    case VERB_COUNT:
    case VERB_SCAN:
        return execute_data(&job);
    case VERB_START:
        touch(&job);
        return execute_start(&job);
    case VERB_BEGIN:
        touch(&job);
        return execute_begin(&job);
    case VERB_COMMIT:
        return execute_commit(&job);
    case VERB_ROLLBACK:
        return execute_rollback(&job);
    case VERB_PING:
        touch(&job);
        return say(&job, REPLY_PONG);
    case VERB_HELP:
        touch(&job);
        reply_help(job.output);
        return STATUS_OK;
    case VERB_STATS:
        touch(&job);
        return execute_stats(&job);
    case VERB_EXIT:
    case VERB_QUIT:
        return execute_exit(&job);
    case VERB_TOTAL:
        break;
    }
    INVARIANT(false);
    return STATUS_INTERNAL;
}

static enum dialect dialect_of(const struct job *job)
{
    return job->session->config.dialect;
}

static enum status say(const struct job *job, enum reply_kind kind)
{
    reply_plain(job->output, dialect_of(job), kind);
    return STATUS_OK;
}

/* What reads and writes nothing is activity all the same. */
static void touch(const struct job *job)
{
    if (job->transaction != NULL && job->transaction->state == SESSION_TRANSACTION_OPEN)
        store_touch(job->session->config.store_session, job->transaction->number);
}

/* --- data --- */

static enum status explain_aborted(const struct job *job)
{
    if (job->transaction->id == 0)
        message_add(job->message, "The transaction is aborted, only ROLLBACK or COMMIT ends it");
    else
        message_add(job->message, "The transaction is aborted, only ROLLBACK %ju or COMMIT %ju ends it",
                    (uintmax_t)job->transaction->id, (uintmax_t)job->transaction->id);
    return STATUS_ABORTED;
}

/* A key of a LOCKING transaction stood in the way: the request's own or, of a COMMIT, one that the store names. */
static void explain_lock(const struct job *job, enum status status, struct bytes key)
{
    bool is_named = key.size > 0;

    if (status == STATUS_LOCK_TIMEOUT && job->session->gives_up)
        message_add(job->message, "The connection ends while %s", is_named ? "the key " : "a key");
    else if (status == STATUS_LOCK_TIMEOUT)
        message_add(job->message, "Waited %u ms for %s", job->session->config.lock_timeout_ms,
                    is_named ? "the key " : "a key");
    else
        message_add(job->message, "To wait for %s", is_named ? "the key " : "a key");
    message_add_bytes(job->message, key);
    if (status == STATUS_LOCK_TIMEOUT && job->session->gives_up)
        message_add(job->message, " is waited for: nothing was changed");
    else if (status == STATUS_LOCK_TIMEOUT)
        message_add(job->message, ", which a transaction has locked (--lock-timeout); nothing was changed");
    else
        message_add(job->message, " would be a deadlock, nothing was changed: try again");
}

/* What the status alone does not tell. */
static enum status explain(const struct job *job, enum status status)
{
    if (!message_is_empty(job->message))
        return status;
    if (status == STATUS_TIMEOUT && store_has_ended_snapshot(job->session->config.store_session))
        message_add(job->message, "The transaction's snapshot was too old, others needed the memory that it held back; it is rolled "
                                  "back (--snapshot-timeout)");
    else if (status == STATUS_TIMEOUT)
        message_add(job->message, "The transaction was idle for too long and is rolled back (--transaction-timeout)");
    else if (status == STATUS_LOCK_TIMEOUT || status == STATUS_DEADLOCK)
        explain_lock(job, status, job->request->key);
    else if (status == STATUS_DENIED)
        message_add(job->message, "%s cannot be had in a LOCKING transaction: it locks keys, not their absence",
                    command_of(job->request->verb)->verb);
    else if (status == STATUS_OUT_OF_MEMORY)
        message_add(job->message, "Out of memory, nothing was changed (--memory)");
    return status;
}

static enum status execute_data(const struct job *job)
{
    static enum status (*const functions[VERB_TOTAL])(const struct job *job, store_transaction number) = {
        [VERB_PUT] = execute_put,       [VERB_GET] = execute_get,     [VERB_DEL] = execute_del,
        [VERB_EXISTS] = execute_exists, [VERB_COUNT] = execute_count, [VERB_SCAN] = execute_scan,
    };
    store_transaction number = STORE_SINGLE;

    if (job->transaction != NULL) {
        if (job->transaction->state == SESSION_TRANSACTION_ABORTED)
            return explain_aborted(job);
        number = job->transaction->number;
    }
    return explain(job, functions[job->request->verb](job, number));
}

/* The reply comes first, since it may have the value in it: nothing is stored whose outcome could not be told. */
static enum status execute_put(const struct job *job, store_transaction number)
{
    const struct request *request = job->request;
    const struct session_config *config = &job->session->config;
    enum status status;

    reply_stored(job->output, config->dialect, request->key, request->value);
    if (job->output->failed)
        return STATUS_INTERNAL;
    status = store_put(config->store_session, number, request->key, request->value);
    if (status == STATUS_TOO_LARGE)
        message_add(job->message, "Value of %zu bytes: the store takes at most %zu (--memory)", request->value.size,
                    store_value_bytes_max(config->store));
    return status;
}

static enum status explain_read(const struct job *job, enum status status)
{
    if (status == STATUS_TOO_LARGE)
        message_add(job->message, "The connection's transactions have read too many keys: the limit is %zu bytes to remember "
                                  "them in (--max-reads)",
                    job->session->config.reads_bytes_max);
    return status;
}

static void write_piece(void *context, struct bytes piece)
{
    json_string_piece(context, piece);
}

static enum status execute_get(const struct job *job, store_transaction number)
{
    struct bytes key = job->request->key;
    struct reply_value reply;
    struct store_sink sink = {.write = write_piece, .context = &reply.writer};
    enum status status;

    reply_value_begin(&reply, job->output, dialect_of(job), key);
    status = store_get(job->session->config.store_session, number, key, &sink);
    reply_value_end(&reply);
    return explain_read(job, status);
}

static enum status execute_del(const struct job *job, store_transaction number)
{
    struct bytes key = job->request->key;
    enum status status = store_del(job->session->config.store_session, number, key);

    if (status == STATUS_OK)
        reply_deleted(job->output, dialect_of(job), key);
    return status;
}

static enum status execute_exists(const struct job *job, store_transaction number)
{
    enum status status = store_get(job->session->config.store_session, number, job->request->key, NULL);

    if (status != STATUS_OK && status != STATUS_NOT_FOUND)
        return explain_read(job, status);
    reply_boolean(job->output, status == STATUS_OK);
    return STATUS_OK;
}

static enum status execute_count(const struct job *job, store_transaction number)
{
    uint64_t count = 0;
    enum status status = store_count(job->session->config.store_session, number, job->request->prefix, &count);

    if (status == STATUS_OK)
        reply_number(job->output, count);
    return status;
}

static void write_key(void *context, struct bytes key)
{
    reply_keys_add(context, key);
}

static enum status execute_scan(const struct job *job, store_transaction number)
{
    const struct request *request = job->request;
    struct reply_keys reply;
    struct store_scan scan = {
        .cursor = request->cursor,
        .prefix = request->prefix,
        .limit = request->limit,
        .key = write_key,
        .context = &reply,
    };
    enum status status;

    reply_keys_begin(&reply, job->output);
    status = store_scan(job->session->config.store_session, number, &scan);
    reply_keys_end(&reply, scan.cursor);
    return status;
}

/* --- transactions --- */

static enum isolation isolation_of(const struct job *job)
{
    return job->request->has_isolation ? job->request->isolation : job->session->config.isolation;
}

/* START and BEGIN run in no transaction: an id behind them is one field too many. */
static enum status refuse_id(const struct job *job)
{
    message_add(job->message, "A transaction cannot be opened inside another; usage: %s",
                command_of(job->request->verb)->usage);
    return STATUS_SYNTAX;
}

static bool names_transaction(const struct job *job)
{
    return job->transaction != NULL && job->transaction->id != 0;
}

static enum status explain_opening(const struct job *job, enum status status)
{
    unsigned open_count = session_transactions_open_count(&job->session->transactions);

    if (status == STATUS_TOO_LARGE && open_count >= STORE_TRANSACTIONS_MAX)
        message_add(job->message, "%u transactions are open: the limit for a connection is %u", open_count,
                    STORE_TRANSACTIONS_MAX);
    else if (status == STATUS_TOO_LARGE)
        message_add(job->message, "This connection was given ids in %zu ranges, more it cannot remember: reconnect",
                    ID_SET_BLOCKS_MAX);
    else if (status == STATUS_DENIED)
        message_add(job->message, "This isolation level is not offered");
    return explain(job, status);
}

static enum status execute_start(const struct job *job)
{
    enum status status;

    if (names_transaction(job))
        return refuse_id(job);
    status = session_transactions_start(&job->session->transactions, isolation_of(job));
    if (status == STATUS_OK)
        (void)say(job, REPLY_STARTED);
    return explain_opening(job, status);
}

static enum status execute_begin(const struct job *job)
{
    enum status status;
    uint64_t id;

    if (names_transaction(job))
        return refuse_id(job);
    status = session_transactions_begin(&job->session->transactions, isolation_of(job), &id);
    if (status == STATUS_OK)
        reply_begun(job->output, dialect_of(job), id);
    return explain_opening(job, status);
}

static enum status refuse_ending(const struct job *job)
{
    bool has_others = session_transactions_open_count(&job->session->transactions) > 0;

    message_add(job->message, "START's transaction is not open%s", has_others ? ", BEGIN's end by their ids" : "");
    return STATUS_NO_TRANSACTION;
}

static void explain_conflict(const struct job *job, struct bytes key)
{
    if (key.size == 0) {
        message_add(job->message, "Keys that were scanned or counted have changed, nothing was committed: try again");
        return;
    }
    message_add(job->message, "The key ");
    message_add_bytes(job->message, key);
    message_add(job->message, " has changed since it was read, nothing was committed: try again");
}

static enum status execute_commit(const struct job *job)
{
    struct bytes conflict_key = bytes_from(NULL, 0);
    enum status status;

    if (job->transaction == NULL)
        return refuse_ending(job);
    status = session_transaction_commit(&job->session->transactions, job->transaction, &conflict_key);
    if (status == STATUS_OK)
        (void)say(job, REPLY_COMMITTED);
    else if (status == STATUS_CONFLICT)
        explain_conflict(job, conflict_key);
    else if (status == STATUS_LOCK_TIMEOUT || status == STATUS_DEADLOCK)
        explain_lock(job, status, conflict_key);
    else if (status == STATUS_ABORTED)
        message_add(job->message, "The transaction was aborted, nothing was committed");
    return explain(job, status);
}

static enum status execute_rollback(const struct job *job)
{
    if (job->transaction == NULL)
        return refuse_ending(job);
    session_transaction_rollback(&job->session->transactions, job->transaction);
    return say(job, REPLY_ROLLED_BACK);
}

/* --- the rest --- */

static enum status execute_stats(const struct job *job)
{
    const struct session_config *config = &job->session->config;
    struct json_writer writer;

    reply_result_begin(job->output, &writer);
    if (config->write_stats != NULL) {
        config->write_stats(config->stats_context, &writer);
    } else {
        json_object_begin(&writer);
        json_object_end(&writer);
    }
    reply_result_end(&writer);
    return STATUS_OK;
}

static enum status execute_exit(const struct job *job)
{
    session_close(job->session);
    return say(job, REPLY_BYE);
}
