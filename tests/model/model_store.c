/* The map is an array of entries in the order of SCAN. An entry stays for ever
 * and so does each of its versions; one that was never committed has none. So
 * "the value of a key at a time" is a walk over a list, and every rule below
 * reads like its sentence in the protocol.
 *
 * A single command is a READ COMMITTED transaction that is committed at once:
 * it has number STORE_SINGLE among the session's transactions.
 *
 * Key locks: an entry has one owner or none, and a session waits for at most one
 * entry. Whoever gives a lock up hands it to the one who waits longest, so an
 * entry for which somebody waits always has an owner. */
#include "model/model_store.h"

#include <stdlib.h>

struct blob {
    unsigned char *data;
    size_t size;
};

struct version {
    uint64_t time;
    bool present; /* false: the key was deleted at that time */
    struct blob value;
};

struct entry {
    uint64_t hash;
    struct blob key;
    struct transaction *owner; /* of its key lock; NULL: nobody */
    struct version *versions; /* oldest first */
    size_t version_count;
};

struct model {
    struct store base;
    struct model_store_options options;
    uint64_t clock; /* the time of the newest commit */
    struct entry **entries;
    size_t entry_count;
    struct session **sessions;
    size_t session_count;
    bool offers_locking;
    model_store_wait wait;
    void *wait_context;
    uint64_t last_ticket;
};

struct write {
    struct entry *entry;
    bool present;
    struct blob value;
};

struct read {
    struct entry *entry;
    bool present;
};

struct transaction {
    struct session *session;
    bool is_open;
    bool is_expired;
    bool has_owned; /* a key lock, perhaps more */
    enum isolation isolation;
    uint64_t snapshot;
    struct write *writes; /* the last one of each key */
    size_t write_count;
    struct read *reads; /* keys read from the store, not own writes */
    size_t read_count;
    uint64_t scanned_shards;
};

/* What a session waits for. */
struct wait {
    struct entry *entry; /* NULL: for nothing */
    struct transaction *transaction; /* that will own it */
    uint64_t ticket;
};

struct session {
    struct store_session base;
    struct model *model;
    struct transaction transactions[STORE_TRANSACTIONS_MAX + 1];
    struct wait wait;
    struct store_times times;
    struct entry **conflicts; /* everything that the last COMMIT found changed */
    size_t conflict_count;
    bool range_conflicts;
};

static const struct store_operations operations;

static struct model *model_of(struct store *store)
{
    REQUIRE(store->operations == &operations);
    return (struct model *)store;
}

static struct session *session_of(const struct store_session *session)
{
    REQUIRE(session->operations == &operations);
    return (struct session *)(uintptr_t)session;
}

/* Makes room for one more member behind the count that there are. */
static void *array_grow(void *array, size_t count, size_t member_bytes)
{
    bool is_full = (count & (count - 1)) == 0; /* the capacity doubles: full at 0, 1, 2, 4, 8... */

    if (!is_full)
        return array;
    array = realloc(array, (count == 0 ? 1 : 2 * count) * member_bytes);
    REQUIRE(array != NULL);
    return array;
}

static struct blob blob_copy(struct bytes bytes)
{
    struct blob blob = {malloc(bytes.size + 1), bytes.size};

    REQUIRE(blob.data != NULL);
    if (bytes.size > 0)
        memcpy(blob.data, bytes.data, bytes.size);
    return blob;
}

static struct bytes blob_bytes(const struct blob *blob)
{
    return bytes_from(blob->data, blob->size);
}

/* --- entries and versions --- */

static int bytes_compare(struct bytes left, struct bytes right)
{
    size_t size = left.size < right.size ? left.size : right.size;
    int order = size == 0 ? 0 : memcmp(left.data, right.data, size);

    if (order != 0)
        return order;
    return left.size < right.size ? -1 : left.size > right.size;
}

/* The first entry not before (hash, key). */
static size_t entry_position(const struct model *model, uint64_t hash, struct bytes key)
{
    size_t first = 0;
    size_t end = model->entry_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        const struct entry *entry = model->entries[middle];
        bool is_before = entry->hash != hash ? entry->hash < hash : bytes_compare(blob_bytes(&entry->key), key) < 0;

        if (is_before)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* The entry of a key; makes one without versions if there is none yet. */
static struct entry *entry_of(struct model *model, struct bytes key)
{
    uint64_t hash = model->options.hash(model->options.context, key);
    size_t position = entry_position(model, hash, key);
    struct entry *entry;

    REQUIRE(key.size >= 1 && key.size <= STORE_KEY_BYTES_MAX);
    if (position < model->entry_count && bytes_equal(blob_bytes(&model->entries[position]->key), key))
        return model->entries[position];
    entry = calloc(1, sizeof(*entry));
    REQUIRE(entry != NULL);
    entry->hash = hash;
    entry->key = blob_copy(key);
    model->entries = array_grow(model->entries, model->entry_count, sizeof(struct entry *));
    memmove(model->entries + position + 1, model->entries + position,
            (model->entry_count - position) * sizeof(struct entry *));
    model->entries[position] = entry;
    model->entry_count++;
    return entry;
}

/* What was current at a time; NULL: the key was absent. */
static const struct version *entry_at(const struct entry *entry, uint64_t time)
{
    size_t i = entry->version_count;

    while (i > 0 && entry->versions[i - 1].time > time)
        i--;
    return i > 0 && entry->versions[i - 1].present ? &entry->versions[i - 1] : NULL;
}

static uint64_t entry_changed(const struct entry *entry)
{
    return entry->version_count == 0 ? 0 : entry->versions[entry->version_count - 1].time;
}

static void entry_add_version(struct entry *entry, uint64_t time, bool present, struct bytes value)
{
    struct version version = {time, present, blob_copy(value)};

    entry->versions = array_grow(entry->versions, entry->version_count, sizeof(struct version));
    entry->versions[entry->version_count++] = version;
}

/* Whether the key was inserted or deleted after a time. */
static bool entry_came_or_went(const struct entry *entry, uint64_t time)
{
    for (size_t i = entry->version_count; i > 0 && entry->versions[i - 1].time > time; i--) {
        bool was_present = i > 1 && entry->versions[i - 2].present;

        if (entry->versions[i - 1].present != was_present)
            return true;
    }
    return false;
}

static unsigned entry_shard(const struct model *model, uint64_t hash)
{
    unsigned shift = 64;

    for (unsigned count = model->options.shard_count; count > 1; count /= 2)
        shift--;
    return shift == 64 ? 0 : (unsigned)(hash >> shift);
}

/* --- key locks --- */

/* Whoever waits longest owns it from now on. */
static void lock_release(const struct model *model, struct entry *entry)
{
    struct session *next = NULL;

    for (size_t i = 0; i < model->session_count; i++) {
        struct session *session = model->sessions[i];

        if (session->wait.entry == entry && (next == NULL || session->wait.ticket < next->wait.ticket))
            next = session;
    }
    entry->owner = next == NULL ? NULL : next->wait.transaction;
    if (next != NULL)
        next->wait.entry = NULL;
}

static void lock_release_all(const struct model *model, struct transaction *transaction)
{
    for (size_t i = 0; transaction->has_owned && i < model->entry_count; i++) {
        if (model->entries[i]->owner == transaction)
            lock_release(model, model->entries[i]);
    }
    transaction->has_owned = false;
}

/* Whether the session, by waiting for the entry, would wait for itself in the end. */
static bool closes_a_circle(const struct session *session, const struct entry *entry)
{
    const struct session *owner = entry->owner->session;

    while (owner != session && owner->wait.entry != NULL)
        owner = owner->wait.entry->owner->session;
    return owner == session;
}

static enum status lock_wait(struct transaction *transaction, struct entry *entry)
{
    struct session *session = transaction->session;
    struct model *model = session->model;

    transaction->has_owned = true;
    session->wait = (struct wait){entry, transaction, ++model->last_ticket};
    while (session->wait.entry != NULL) {
        bool goes_on = model->wait != NULL && model->wait(model->wait_context, &session->base);

        if (!goes_on && session->wait.entry != NULL) {
            session->wait.entry = NULL;
            return STATUS_LOCK_TIMEOUT;
        }
    }
    return STATUS_OK;
}

/* On STATUS_OK the transaction owns the key. */
static enum status lock_take(struct transaction *transaction, struct entry *entry)
{
    if (entry->owner == NULL) {
        entry->owner = transaction;
        transaction->has_owned = true;
    }
    if (entry->owner == transaction)
        return STATUS_OK;
    if (closes_a_circle(transaction->session, entry))
        return STATUS_DEADLOCK;
    return lock_wait(transaction, entry);
}

static bool is_foreign(const struct entry *entry, const struct transaction *transaction)
{
    return entry->owner != NULL && entry->owner != transaction;
}

static bool entry_precedes(const struct entry *left, const struct entry *right)
{
    if (left->hash != right->hash)
        return left->hash < right->hash;
    return bytes_compare(blob_bytes(&left->key), blob_bytes(&right->key)) < 0;
}

/* The first entry, in the order of SCAN, that the transaction writes and somebody else owns; NULL: none. */
static struct entry *first_foreign_write(const struct transaction *transaction)
{
    struct entry *first = NULL;

    for (size_t i = 0; i < transaction->write_count; i++) {
        struct entry *entry = transaction->writes[i].entry;

        if (is_foreign(entry, transaction) && (first == NULL || entry_precedes(entry, first)))
            first = entry;
    }
    return first;
}

/* A commit waits for one key at a time and holds none meanwhile; then it looks at all of them again. */
static enum status lock_wait_for_writes(struct transaction *transaction)
{
    const struct model *model = transaction->session->model;
    enum status status = STATUS_OK;
    struct entry *entry;

    while (status == STATUS_OK && (entry = first_foreign_write(transaction)) != NULL) {
        lock_release_all(model, transaction);
        status = lock_take(transaction, entry);
    }
    return status;
}

/* --- transactions --- */

static uint64_t transaction_read_time(const struct session *session, const struct transaction *transaction)
{
    return transaction->isolation == ISOLATION_SERIALIZABLE ? transaction->snapshot : session->model->clock;
}

static struct write *transaction_own_write(const struct transaction *transaction, const struct entry *entry)
{
    for (size_t i = 0; i < transaction->write_count; i++) {
        if (transaction->writes[i].entry == entry)
            return &transaction->writes[i];
    }
    return NULL;
}

/* What a transaction sees of a key; NULL: it is absent. */
static const struct blob *transaction_sees(const struct session *session, const struct transaction *transaction,
                                           const struct entry *entry)
{
    const struct write *own = transaction_own_write(transaction, entry);
    const struct version *version = entry_at(entry, transaction_read_time(session, transaction));

    if (own != NULL)
        return own->present ? &own->value : NULL;
    return version == NULL ? NULL : &version->value;
}

static bool read_still_holds(const struct read *read, uint64_t snapshot)
{
    bool is_still_absent = !read->present && entry_at(read->entry, UINT64_MAX) == NULL;

    return entry_changed(read->entry) <= snapshot || is_still_absent;
}

static bool range_still_holds(const struct model *model, const struct transaction *transaction)
{
    for (size_t i = 0; i < model->entry_count; i++) {
        uint64_t shard = (uint64_t)1 << entry_shard(model, model->entries[i]->hash);

        if ((transaction->scanned_shards & shard) && entry_came_or_went(model->entries[i], transaction->snapshot))
            return false;
    }
    return true;
}

static void session_add_conflict(struct session *session, struct entry *entry)
{
    session->conflicts = array_grow(session->conflicts, session->conflict_count, sizeof(struct entry *));
    session->conflicts[session->conflict_count++] = entry;
}

/* Fills the session's conflicts with everything read that has changed since. */
static bool transaction_conflicts(struct session *session, const struct transaction *transaction)
{
    session->conflict_count = 0;
    session->range_conflicts = false;
    if (transaction->isolation != ISOLATION_SERIALIZABLE || transaction->write_count == 0)
        return false;
    for (size_t i = 0; i < transaction->read_count; i++) {
        const struct read *read = &transaction->reads[i];

        if (!read_still_holds(read, transaction->snapshot))
            session_add_conflict(session, read->entry);
    }
    if (transaction->scanned_shards != 0)
        session->range_conflicts = !range_still_holds(session->model, transaction);
    return session->conflict_count > 0 || session->range_conflicts;
}

/* Applies the writes that change something, all at one new time; 0: there were none. */
static uint64_t transaction_apply(struct session *session, struct transaction *transaction)
{
    uint64_t time = session->model->clock + 1;
    bool changes = false;

    for (size_t i = 0; i < transaction->write_count; i++) {
        struct write *write = &transaction->writes[i];

        if (!write->present && entry_at(write->entry, UINT64_MAX) == NULL)
            continue;
        entry_add_version(write->entry, time, write->present, blob_bytes(&write->value));
        changes = true;
    }
    if (!changes)
        return 0;
    session->model->clock = time;
    return time;
}

static void transaction_open(struct session *session, struct transaction *transaction, enum isolation isolation)
{
    memset(transaction, 0, sizeof(*transaction));
    transaction->session = session;
    transaction->is_open = true;
    transaction->isolation = isolation;
    transaction->snapshot = session->model->clock;
}

static void transaction_close(struct session *session, struct transaction *transaction, uint64_t commit)
{
    lock_release_all(session->model, transaction);
    for (size_t i = 0; i < transaction->write_count; i++)
        free(transaction->writes[i].value.data);
    free(transaction->writes);
    free(transaction->reads);
    session->times.snapshot = transaction->snapshot;
    session->times.commit = commit;
    memset(transaction, 0, sizeof(*transaction));
}

/* Every command begins and ends with these two. */
static struct transaction *transaction_enter(struct session *session, store_transaction number)
{
    struct transaction *transaction;

    REQUIRE(number <= STORE_TRANSACTIONS_MAX);
    transaction = &session->transactions[number];
    if (number == STORE_SINGLE)
        transaction_open(session, transaction, ISOLATION_READ_COMMITTED);
    REQUIRE(transaction->is_open);
    return transaction;
}

static enum status transaction_leave(struct session *session, store_transaction number, enum status status)
{
    struct transaction *transaction = &session->transactions[number];
    enum status waited;

    if (number != STORE_SINGLE)
        return status;
    waited = lock_wait_for_writes(transaction);
    transaction_close(session, transaction, waited == STATUS_OK ? transaction_apply(session, transaction) : 0);
    return waited == STATUS_OK ? status : waited;
}

static void transaction_write(struct transaction *transaction, struct entry *entry, bool present, struct bytes value)
{
    struct write *write = transaction_own_write(transaction, entry);

    if (write == NULL) {
        transaction->writes = array_grow(transaction->writes, transaction->write_count, sizeof(struct write));
        write = &transaction->writes[transaction->write_count++];
        memset(write, 0, sizeof(*write));
    }
    free(write->value.data);
    write->entry = entry;
    write->present = present;
    write->value = blob_copy(value);
}

static void transaction_remember_read(struct transaction *transaction, struct entry *entry, bool present)
{
    struct read read = {entry, present};

    transaction->reads = array_grow(transaction->reads, transaction->read_count, sizeof(struct read));
    transaction->reads[transaction->read_count++] = read;
}

/* --- the operations of a store --- */

static enum status model_session_open(struct store *store, struct store_session **result)
{
    struct session *session = calloc(1, sizeof(*session));

    REQUIRE(session != NULL);
    session->base.operations = &operations;
    session->model = model_of(store);
    session->model->sessions =
        array_grow(session->model->sessions, session->model->session_count, sizeof(struct session *));
    session->model->sessions[session->model->session_count++] = session;
    *result = &session->base;
    return STATUS_OK;
}

static void session_leave_model(const struct session *session)
{
    struct model *model = session->model;
    size_t i = 0;

    while (model->sessions[i] != session)
        i++;
    model->sessions[i] = model->sessions[--model->session_count];
}

static void model_rollback(struct store_session *base, store_transaction number)
{
    struct session *session = session_of(base);

    REQUIRE(number != STORE_SINGLE);
    transaction_close(session, transaction_enter(session, number), 0);
}

static void model_session_close(struct store_session *base)
{
    struct session *session = session_of(base);

    REQUIRE(session->wait.entry == NULL);
    for (store_transaction number = 1; number <= STORE_TRANSACTIONS_MAX; number++) {
        if (session->transactions[number].is_open)
            model_rollback(base, number);
    }
    session_leave_model(session);
    free(session->conflicts);
    free(session);
}

static enum status model_begin(struct store_session *base, enum isolation isolation, store_transaction *number)
{
    struct session *session = session_of(base);

    REQUIRE(isolation < ISOLATION_COUNT);
    if (isolation == ISOLATION_LOCKING && !session->model->offers_locking)
        return STATUS_DENIED;
    for (store_transaction i = 1; i <= STORE_TRANSACTIONS_MAX; i++) {
        if (!session->transactions[i].is_open) {
            transaction_open(session, &session->transactions[i], isolation);
            *number = i;
            return STATUS_OK;
        }
    }
    return STATUS_TOO_LARGE;
}

/* READ COMMITTED and single commands only wait for others; they keep nothing. */
static bool reading_locks(const struct transaction *transaction, const struct entry *entry)
{
    return transaction->isolation == ISOLATION_LOCKING ||
           (transaction->isolation == ISOLATION_READ_COMMITTED && is_foreign(entry, transaction));
}

static enum status model_get(struct store_session *base, store_transaction number, struct bytes key,
                             const struct store_sink *sink)
{
    struct session *session = session_of(base);
    struct transaction *transaction = transaction_enter(session, number);
    struct entry *entry = entry_of(session->model, key);
    bool is_own = transaction_own_write(transaction, entry) != NULL;
    const struct blob *value;

    if (transaction->is_expired)
        return STATUS_TIMEOUT;
    if (!is_own && reading_locks(transaction, entry)) {
        enum status status = lock_take(transaction, entry);

        if (status != STATUS_OK)
            return transaction_leave(session, number, status);
    }
    value = transaction_sees(session, transaction, entry);
    if (!is_own)
        transaction_remember_read(transaction, entry, value != NULL);
    if (value != NULL && sink != NULL)
        sink->write(sink->context, blob_bytes(value));
    if (transaction->isolation == ISOLATION_READ_COMMITTED)
        lock_release_all(session->model, transaction);
    return transaction_leave(session, number, value != NULL ? STATUS_OK : STATUS_NOT_FOUND);
}

/* Notes a write; a LOCKING transaction owns the key before it does. */
static enum status model_write(struct session *session, store_transaction number, struct bytes key, bool present,
                               struct bytes value)
{
    struct transaction *transaction = &session->transactions[number];
    struct entry *entry = entry_of(session->model, key);
    enum status status = STATUS_OK;

    if (transaction->isolation == ISOLATION_LOCKING)
        status = lock_take(transaction, entry);
    if (status == STATUS_OK)
        transaction_write(transaction, entry, present, value);
    return transaction_leave(session, number, status);
}

static enum status model_put(struct store_session *base, store_transaction number, struct bytes key,
                             struct bytes value)
{
    struct session *session = session_of(base);
    const struct transaction *transaction = transaction_enter(session, number);

    if (transaction->is_expired)
        return STATUS_TIMEOUT;
    if (value.size > session->model->options.value_bytes_max)
        return transaction_leave(session, number, STATUS_TOO_LARGE);
    return model_write(session, number, key, true, value);
}

static enum status model_del(struct store_session *base, store_transaction number, struct bytes key)
{
    struct session *session = session_of(base);
    const struct transaction *transaction = transaction_enter(session, number);

    if (transaction->is_expired)
        return STATUS_TIMEOUT;
    return model_write(session, number, key, false, bytes_from(NULL, 0));
}

/* Every shard that holds a hash of first..last. */
static uint64_t shards_between(const struct model *model, uint64_t first, uint64_t last)
{
    uint64_t shards = 0;

    for (unsigned shard = entry_shard(model, first); shard <= entry_shard(model, last); shard++)
        shards |= (uint64_t)1 << shard;
    return shards;
}

static enum status model_scan(struct store_session *base, store_transaction number, struct store_scan *scan)
{
    struct session *session = session_of(base);
    struct transaction *transaction = transaction_enter(session, number);
    const struct model *model = session->model;
    unsigned found = 0;
    uint64_t last = 0;

    if (transaction->is_expired)
        return STATUS_TIMEOUT;
    if (transaction->isolation == ISOLATION_LOCKING)
        return STATUS_DENIED;
    REQUIRE(scan->limit >= 1 && scan->limit <= STORE_SCAN_LIMIT_MAX);
    for (size_t i = entry_position(model, scan->cursor, bytes_from(NULL, 0)); i < model->entry_count; i++) {
        const struct entry *entry = model->entries[i];
        struct bytes key = blob_bytes(&entry->key);

        if (!bytes_start_with(key, scan->prefix) || transaction_sees(session, transaction, entry) == NULL)
            continue;
        if (found >= scan->limit && entry->hash != last)
            break;
        scan->key(scan->context, key);
        found++;
        last = entry->hash;
    }
    if (found < scan->limit)
        last = UINT64_MAX;
    transaction->scanned_shards |= shards_between(model, scan->cursor, last);
    scan->cursor = last + 1; /* 0 behind the largest hash */
    return transaction_leave(session, number, STATUS_OK);
}

static enum status model_count(struct store_session *base, store_transaction number, struct bytes prefix,
                               uint64_t *count)
{
    struct session *session = session_of(base);
    struct transaction *transaction = transaction_enter(session, number);

    if (transaction->is_expired)
        return STATUS_TIMEOUT;
    if (transaction->isolation == ISOLATION_LOCKING)
        return STATUS_DENIED;
    *count = 0;
    for (size_t i = 0; i < session->model->entry_count; i++) {
        const struct entry *entry = session->model->entries[i];

        if (bytes_start_with(blob_bytes(&entry->key), prefix) &&
            transaction_sees(session, transaction, entry) != NULL)
            (*count)++;
    }
    transaction->scanned_shards |= shards_between(session->model, 0, UINT64_MAX);
    return transaction_leave(session, number, STATUS_OK);
}

static enum status model_commit(struct store_session *base, store_transaction number, struct bytes *conflict_key)
{
    struct session *session = session_of(base);
    struct transaction *transaction = transaction_enter(session, number);
    enum status status = STATUS_TIMEOUT;
    uint64_t commit = 0;

    REQUIRE(number != STORE_SINGLE);
    if (!transaction->is_expired)
        status = lock_wait_for_writes(transaction);
    if (status == STATUS_OK && transaction_conflicts(session, transaction))
        status = STATUS_CONFLICT;
    if (status == STATUS_OK)
        commit = transaction_apply(session, transaction);
    if (status == STATUS_CONFLICT && conflict_key != NULL)
        *conflict_key =
            session->conflict_count > 0 ? blob_bytes(&session->conflicts[0]->key) : bytes_from(NULL, 0);
    transaction_close(session, transaction, commit);
    return status;
}

static struct store_times model_times(const struct store_session *base)
{
    return session_of(base)->times;
}

static size_t model_value_bytes_max(const struct store *store)
{
    return ((const struct model *)store)->options.value_bytes_max;
}

static const struct store_operations operations = {
    .session_open = model_session_open,
    .session_close = model_session_close,
    .begin = model_begin,
    .get = model_get,
    .put = model_put,
    .del = model_del,
    .scan = model_scan,
    .count = model_count,
    .commit = model_commit,
    .rollback = model_rollback,
    .times = model_times,
    .value_bytes_max = model_value_bytes_max,
};

/* --- beyond store.h --- */

struct store *model_store_create(const struct model_store_options *options)
{
    struct model *model = calloc(1, sizeof(*model));

    REQUIRE(options->shard_count >= 1 && options->shard_count <= MODEL_SHARD_COUNT_MAX);
    REQUIRE((options->shard_count & (options->shard_count - 1)) == 0);
    REQUIRE(model != NULL);
    model->base.operations = &operations;
    model->options = *options;
    return &model->base;
}

void model_store_destroy(struct store *store)
{
    struct model *model = model_of(store);

    for (size_t i = 0; i < model->entry_count; i++) {
        struct entry *entry = model->entries[i];

        for (size_t j = 0; j < entry->version_count; j++)
            free(entry->versions[j].value.data);
        free(entry->versions);
        free(entry->key.data);
        free(entry);
    }
    REQUIRE(model->session_count == 0);
    free(model->entries);
    free(model->sessions);
    free(model);
}

void model_store_offer_locking(struct store *store, model_store_wait wait, void *context)
{
    struct model *model = model_of(store);

    model->offers_locking = true;
    model->wait = wait;
    model->wait_context = context;
}

bool model_store_is_waiting(const struct store_session *session)
{
    return session_of(session)->wait.entry != NULL;
}

uint64_t model_store_ticket(const struct store_session *session)
{
    return session_of(session)->wait.ticket;
}

static bool is_waiting(const struct transaction *transaction)
{
    const struct wait *wait = &transaction->session->wait;

    return wait->entry != NULL && wait->transaction == transaction;
}

bool model_store_expire(struct store_session *base, store_transaction number)
{
    struct transaction *transaction;

    REQUIRE(number != STORE_SINGLE && number <= STORE_TRANSACTIONS_MAX);
    transaction = &session_of(base)->transactions[number];
    if (!transaction->is_open || transaction->is_expired || is_waiting(transaction))
        return false;
    transaction->is_expired = true;
    lock_release_all(transaction->session->model, transaction);
    return true;
}

bool model_store_conflict_may_name(const struct store_session *base, struct bytes key)
{
    const struct session *session = session_of(base);

    if (key.size == 0)
        return session->range_conflicts;
    for (size_t i = 0; i < session->conflict_count; i++) {
        if (bytes_equal(blob_bytes(&session->conflicts[i]->key), key))
            return true;
    }
    return false;
}
