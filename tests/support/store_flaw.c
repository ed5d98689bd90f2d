#include "support/store_flaw.h"

#include <stdlib.h>

#define LARGE_BYTES 4096u
#define NOW_AND_THEN 50u

struct flawed_store {
    struct store base;
    struct store *inner;
    enum store_flaw flaw;
};

struct flawed_session {
    struct store_session base;
    struct store_session *inner;
    enum store_flaw flaw;
    unsigned keys_scanned;
    bool has_written[STORE_TRANSACTIONS_MAX + 1];
    bool is_serializable[STORE_TRANSACTIONS_MAX + 1];
    /* Another transaction of the same snapshot, rolled back in the end: what it reads nobody validates. */
    store_transaction shadow[STORE_TRANSACTIONS_MAX + 1];
};

static const struct store_operations operations;

static struct flawed_session *session_of(const struct store_session *session)
{
    REQUIRE(session->operations == &operations);
    return (struct flawed_session *)(uintptr_t)session;
}

static enum status flawed_session_open(struct store *base, struct store_session **result)
{
    struct flawed_store *store = (struct flawed_store *)base;
    struct flawed_session *session = calloc(1, sizeof(*session));

    REQUIRE(session != NULL);
    session->base.operations = &operations;
    session->flaw = store->flaw;
    *result = &session->base;
    return store_session_open(store->inner, &session->inner);
}

static void flawed_session_close(struct store_session *base)
{
    store_session_close(session_of(base)->inner);
    free(base);
}

static bool has_shadow(const struct flawed_session *session, enum isolation isolation)
{
    bool is_wanted = session->flaw == STORE_FLAW_SNAPSHOT_ONLY || session->flaw == STORE_FLAW_RANGE_NOT_VALIDATED;

    return is_wanted && isolation == ISOLATION_SERIALIZABLE;
}

static enum status flawed_begin(struct store_session *base, enum isolation isolation, store_transaction *transaction)
{
    struct flawed_session *session = session_of(base);
    bool is_weakened = (session->flaw == STORE_FLAW_NO_VALIDATION && isolation == ISOLATION_SERIALIZABLE) ||
                       (session->flaw == STORE_FLAW_LOCKING_IGNORED && isolation == ISOLATION_LOCKING);
    enum status status =
        store_begin(session->inner, is_weakened ? ISOLATION_READ_COMMITTED : isolation, transaction);

    if (status != STATUS_OK)
        return status;
    session->has_written[*transaction] = false;
    session->is_serializable[*transaction] = isolation == ISOLATION_SERIALIZABLE;
    session->shadow[*transaction] = STORE_SINGLE;
    if (has_shadow(session, isolation) &&
        store_begin(session->inner, isolation, &session->shadow[*transaction]) != STATUS_OK)
        session->shadow[*transaction] = STORE_SINGLE;
    return STATUS_OK;
}

static void shadow_end(struct flawed_session *session, store_transaction transaction)
{
    if (session->shadow[transaction] != STORE_SINGLE)
        store_rollback(session->inner, session->shadow[transaction]);
    session->shadow[transaction] = STORE_SINGLE;
}

/* In which transaction a flawed store reads; own writes are seen all the same. */
static store_transaction reading_transaction(const struct flawed_session *session, store_transaction transaction)
{
    if (transaction == STORE_SINGLE || session->has_written[transaction])
        return transaction;
    if (session->flaw == STORE_FLAW_NO_SNAPSHOT && session->is_serializable[transaction])
        return STORE_SINGLE;
    return session->shadow[transaction] != STORE_SINGLE ? session->shadow[transaction] : transaction;
}

struct cut {
    const struct store_sink *sink;
};

static void cut_write(void *context, struct bytes piece)
{
    const struct cut *cut = context;
    size_t lost = piece.size >= LARGE_BYTES ? 1 : 0;

    cut->sink->write(cut->sink->context, bytes_slice(piece, 0, piece.size - lost));
}

static enum status flawed_get(struct store_session *base, store_transaction transaction, struct bytes key,
                              const struct store_sink *sink)
{
    struct flawed_session *session = session_of(base);
    struct cut cut = {sink};
    struct store_sink cutting = {.write = cut_write, .context = &cut};

    if (session->flaw == STORE_FLAW_VALUE_CUT && sink != NULL)
        return store_get(session->inner, transaction, key, &cutting);
    if (session->flaw == STORE_FLAW_ABSENT_NOT_VALIDATED && !session->has_written[transaction] &&
        store_get(session->inner, STORE_SINGLE, key, NULL) == STATUS_NOT_FOUND)
        return STATUS_NOT_FOUND;
    if (session->flaw == STORE_FLAW_NO_SNAPSHOT)
        (void)store_get(session->inner, transaction, key, NULL); /* COMMIT validates as it should */
    if (session->flaw == STORE_FLAW_NO_SNAPSHOT || session->flaw == STORE_FLAW_SNAPSHOT_ONLY)
        return store_get(session->inner, reading_transaction(session, transaction), key, sink);
    return store_get(session->inner, transaction, key, sink);
}

/* Of two that write a key the first to commit wins, as snapshot isolation has it. */
static void note_write(struct flawed_session *session, store_transaction transaction, struct bytes key)
{
    if (session->shadow[transaction] != STORE_SINGLE && session->flaw == STORE_FLAW_SNAPSHOT_ONLY)
        (void)store_get(session->inner, transaction, key, NULL);
    session->has_written[transaction] = true;
}

static enum status flawed_put(struct store_session *base, store_transaction transaction, struct bytes key,
                              struct bytes value)
{
    struct flawed_session *session = session_of(base);

    note_write(session, transaction, key);
    if (session->flaw == STORE_FLAW_DIRTY_WRITE)
        return store_put(session->inner, STORE_SINGLE, key, value);
    return store_put(session->inner, transaction, key, value);
}

static enum status flawed_del(struct store_session *base, store_transaction transaction, struct bytes key)
{
    struct flawed_session *session = session_of(base);

    note_write(session, transaction, key);
    if (session->flaw == STORE_FLAW_DEL_IGNORED)
        return STATUS_OK;
    return store_del(session->inner, transaction, key);
}

struct skipping {
    struct flawed_session *session;
    struct store_scan *scan;
};

static void skipping_key(void *context, struct bytes key)
{
    struct skipping *skipping = context;

    if (++skipping->session->keys_scanned % NOW_AND_THEN != 0)
        skipping->scan->key(skipping->scan->context, key);
}

static enum status flawed_scan(struct store_session *base, store_transaction transaction, struct store_scan *scan)
{
    struct flawed_session *session = session_of(base);
    struct skipping skipping = {session, scan};
    struct store_scan inner = *scan;
    enum status status;

    if (session->flaw == STORE_FLAW_SCAN_SKIPS) {
        inner.key = skipping_key;
        inner.context = &skipping;
    }
    status = store_scan(session->inner,
                        session->flaw == STORE_FLAW_SCAN_SEES_LATEST ? STORE_SINGLE
                                                                     : reading_transaction(session, transaction),
                        &inner);
    scan->cursor = inner.cursor;
    if (session->flaw == STORE_FLAW_SCAN_CURSOR_OFF && inner.cursor > 0)
        scan->cursor--;
    return status;
}

static enum status flawed_count(struct store_session *base, store_transaction transaction, struct bytes prefix,
                                uint64_t *count)
{
    struct flawed_session *session = session_of(base);
    bool forgets = session->flaw == STORE_FLAW_COUNT_FORGETS_OWN;

    return store_count(session->inner, forgets ? STORE_SINGLE : reading_transaction(session, transaction), prefix,
                       count);
}

static enum status flawed_commit(struct store_session *base, store_transaction transaction, struct bytes *conflict_key)
{
    static const unsigned char wrong_key[] = "a key that nobody has";
    struct flawed_session *session = session_of(base);
    bool only_read = !session->has_written[transaction];
    enum status status;

    shadow_end(session, transaction);
    if (session->flaw == STORE_FLAW_COMMIT_DROPS) {
        store_rollback(session->inner, transaction);
        return STATUS_OK;
    }
    status = store_commit(session->inner, transaction, conflict_key);
    if (session->flaw == STORE_FLAW_NEEDLESS_CONFLICT && status == STATUS_OK && only_read) {
        status = STATUS_CONFLICT;
        if (conflict_key != NULL)
            *conflict_key = bytes_from(NULL, 0);
    }
    if (session->flaw == STORE_FLAW_WRONG_CONFLICT_KEY && status == STATUS_CONFLICT && conflict_key != NULL)
        *conflict_key = bytes_from(wrong_key, sizeof(wrong_key));
    return status;
}

static void flawed_rollback(struct store_session *base, store_transaction transaction)
{
    struct flawed_session *session = session_of(base);

    shadow_end(session, transaction);
    if (session->flaw == STORE_FLAW_ROLLBACK_COMMITS)
        store_commit(session->inner, transaction, NULL);
    else
        store_rollback(session->inner, transaction);
}

static struct store_times flawed_times(const struct store_session *base)
{
    return store_session_times(session_of(base)->inner);
}

static size_t flawed_value_bytes_max(const struct store *store)
{
    return store_value_bytes_max(((const struct flawed_store *)store)->inner);
}

static const struct store_operations operations = {
    .session_open = flawed_session_open,
    .session_close = flawed_session_close,
    .begin = flawed_begin,
    .get = flawed_get,
    .put = flawed_put,
    .del = flawed_del,
    .scan = flawed_scan,
    .count = flawed_count,
    .commit = flawed_commit,
    .rollback = flawed_rollback,
    .times = flawed_times,
    .value_bytes_max = flawed_value_bytes_max,
};

const char *store_flaw_description(enum store_flaw flaw)
{
    static const char *const descriptions[STORE_FLAW_COUNT] = {
        [STORE_FLAW_NONE] = "none",
#define FLAW(name, description) [STORE_FLAW_##name] = (description),
#include "support/store_flaw.def"
#undef FLAW
    };

    REQUIRE(flaw < STORE_FLAW_COUNT);
    return descriptions[flaw];
}

struct store *store_flaw_create(struct store *inner, enum store_flaw flaw)
{
    struct flawed_store *store = calloc(1, sizeof(*store));

    REQUIRE(store != NULL && flaw < STORE_FLAW_COUNT);
    store->base.operations = &operations;
    store->inner = inner;
    store->flaw = flaw;
    return &store->base;
}

void store_flaw_destroy(struct store *store)
{
    free(store);
}

struct store_session *store_flaw_inner_session(struct store_session *session)
{
    return session->operations == &operations ? session_of(session)->inner : session;
}
