/* Participants, open transactions and their commands; SCAN and COUNT are in
 * scan.c, the commit recipe is in commit.c. */
#include "transaction/transaction.h"

#include <stdlib.h>

#include "commit.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "statement.h"
#include "transaction/key_lock.h"

static uint64_t state_word(uint64_t sequence, enum transaction_state state)
{
    return sequence << 2 | state;
}

static struct transaction_slot *slot_of(const struct participant *participant, unsigned number)
{
    return &participant->slot->transactions[number - 1];
}

static struct transaction *transaction_of(struct participant *participant, unsigned number)
{
    REQUIRE(number >= 1 && number <= TRANSACTION_COUNT_MAX);
    REQUIRE(participant->transactions[number - 1].is_open);
    return &participant->transactions[number - 1];
}

/* --- participants --- */

/* A new block of slots needs a chunk, unless a server reserved it; memory that old versions hold for a moment is no reason
 * to turn somebody away. But nobody's transaction is ended for it. */
static enum status slot_take(struct engine *engine, unsigned *number)
{
    unsigned attempt = 1;

    for (;;) {
        enum slot_claim claim = process_slot_claim(engine->segment, number);

        if (claim == SLOT_CLAIMED)
            return STATUS_OK;
        if (claim == SLOT_INHERITED && slot_drain(engine, *number) == STATUS_OK) {
            process_slot_mark_drained(engine->segment, *number);
            return STATUS_OK;
        }
        if (claim == SLOT_INHERITED)
            process_slot_abandon(engine->segment, *number);
        else if (attempt++ == MEMORY_ATTEMPTS_MAX || engine_clean(engine) == 0)
            return STATUS_TOO_MANY_CLIENTS;
    }
}

enum status participant_open(struct engine *engine, struct participant **result)
{
    struct participant *participant = calloc(1, sizeof(*participant));
    enum status status;

    if (participant == NULL)
        return STATUS_INTERNAL;
    status = slot_take(engine, &participant->slot_number);
    if (status != STATUS_OK) {
        free(participant);
        return status;
    }
    participant->engine = engine;
    participant->reads.bytes_max = engine->reads_bytes_max == 0 ? SIZE_MAX : engine->reads_bytes_max;
    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++)
        participant->transactions[i].reads.budget = &participant->reads;
    participant->slot = process_slot_at(engine->segment, participant->slot_number);
    *result = participant;
    return STATUS_OK;
}

void participant_close(struct participant *participant)
{
    for (unsigned number = 1; number <= TRANSACTION_COUNT_MAX; number++) {
        struct transaction *transaction = &participant->transactions[number - 1];

        if (transaction->is_open)
            transaction_rollback(participant, number);
        transaction_log_deinit(&transaction->log, participant->engine->segment);
        read_set_deinit(&transaction->reads);
    }
    process_slot_release(participant->engine->segment, participant->slot_number);
    free(participant);
}

/* --- entering and leaving --- */

/* Its snapshot held back memory that others needed. */
static bool has_ended_snapshot(const struct participant *participant, const struct transaction *transaction)
{
    return pins_its_snapshot(transaction) && snapshot_is_ended(participant->engine, transaction->snapshot);
}

/* IDLE to RUNNING. Fails if somebody made it EXPIRED, or, after a timeout, because it is. */
static enum status transaction_enter(struct participant *participant, unsigned number)
{
    struct transaction *transaction = transaction_of(participant, number);
    uint64_t idle = transaction->state_word;
    uint64_t running = (idle & ~(uint64_t)3u) | TRANSACTION_RUNNING;

    if (atomic_compare_exchange_strong(&slot_of(participant, number)->state, &idle, running))
        return STATUS_OK;
    participant->has_ended_snapshot = has_ended_snapshot(participant, transaction);
    return STATUS_TIMEOUT;
}

/* RUNNING to IDLE, with the next sequence number: whoever looked at the last idleness cannot expire this one. To EXPIRED where its
 * snapshot is to end; for transaction_enter it looks as if somebody else had been quicker. */
static void transaction_leave(struct participant *participant, unsigned number)
{
    struct transaction *transaction = transaction_of(participant, number);
    struct transaction_slot *slot = slot_of(participant, number);

    transaction->state_word = state_word((transaction->state_word >> 2) + 1, TRANSACTION_IDLE);
    atomic_store_explicit(&slot->idle_since_ms, clock_monotonic_ms(), memory_order_relaxed);
    atomic_store_explicit(&slot->state,
                          has_ended_snapshot(participant, transaction)
                              ? state_word(transaction->state_word >> 2, TRANSACTION_EXPIRED)
                              : transaction->state_word,
                          memory_order_release);
}

/* For the log, which names the connection. */
static void ended_snapshot_tell(const struct participant *participant, unsigned number)
{
    bool is_expired = (atomic_load(&slot_of(participant, number)->state) & 3u) == TRANSACTION_EXPIRED;

    if (is_expired && has_ended_snapshot(participant, &participant->transactions[number - 1]))
        diagnostic_info("ended a transaction: its snapshot was older than %u ms and held back memory that others needed "
                        "(--snapshot-timeout)",
                        participant->engine->snapshot_timeout_ms);
}

/* From RUNNING or EXPIRED, where nobody else changes the state. */
static void transaction_end(struct participant *participant, unsigned number)
{
    struct transaction *transaction = transaction_of(participant, number);
    struct transaction_slot *slot = slot_of(participant, number);

    ended_snapshot_tell(participant, number);
    transaction_log_clear(&transaction->log, participant->engine->segment);
    read_set_clear(&transaction->reads);
    if (is_locking(transaction))
        key_locks_release(participant->engine, key_lock_owner_of(participant, number));
    transaction->scanned_shards = 0;
    transaction->is_open = false;
    transaction->state_word = state_word((transaction->state_word >> 2) + 1, TRANSACTION_FREE);
    atomic_store_explicit(&slot->pin, PIN_NONE, memory_order_release);
    atomic_store_explicit(&slot->state, transaction->state_word, memory_order_release);
}

/* B1 to B3 of README.md: everything is pinned before the clock is read, so no cleaner can slip in between. */
enum status transaction_begin(struct participant *participant, enum isolation isolation, unsigned *number)
{
    struct transaction *transaction;
    struct transaction_slot *slot;
    unsigned index = 0;

    REQUIRE(isolation < ISOLATION_COUNT);
    while (index < TRANSACTION_COUNT_MAX && participant->transactions[index].is_open)
        index++;
    if (index == TRANSACTION_COUNT_MAX)
        return STATUS_TOO_LARGE;
    transaction = &participant->transactions[index];
    slot = &participant->slot->transactions[index];
    transaction->is_open = true;
    transaction->is_snapshot = false;
    transaction->isolation = isolation;
    transaction->state_word = state_word((atomic_load(&slot->state) >> 2) + 1, TRANSACTION_RUNNING);
    atomic_store(&slot->pin, PIN_EVERYTHING);
    atomic_store(&slot->state, transaction->state_word);
    transaction->snapshot = atomic_load(&participant->engine->segment->header->clock);
    atomic_store_explicit(&slot->pin, isolation == ISOLATION_SERIALIZABLE ? transaction->snapshot : PIN_NONE,
                          memory_order_release);
    *number = index + 1;
    transaction_leave(participant, *number);
    return STATUS_OK;
}

enum status transaction_begin_snapshot(struct participant *participant, unsigned *number)
{
    enum status status = transaction_begin(participant, ISOLATION_SERIALIZABLE, number);

    if (status == STATUS_OK)
        participant->transactions[*number - 1].is_snapshot = true;
    return status;
}

/* --- reading --- */

static _Atomic uint64_t *statement_pin(const struct statement *statement)
{
    return statement->transaction == NULL ? &statement->participant->slot->single_pin
                                          : &slot_of(statement->participant, statement->number)->pin;
}

static enum status statement_enter(struct statement *statement, struct participant *participant, unsigned number)
{
    *statement = (struct statement){.participant = participant, .number = number, .snapshot = TIME_INFINITE};
    if (number == TRANSACTION_SINGLE)
        return STATUS_OK;
    statement->transaction = transaction_of(participant, number);
    return transaction_enter(participant, number);
}

static void statement_protect(struct statement *statement, bool wants_snapshot)
{
    if (pins_its_snapshot(statement->transaction)) {
        statement->snapshot = statement->transaction->snapshot;
        return;
    }
    /* What is found from now on cannot be freed while everything is pinned. */
    atomic_store(statement_pin(statement), PIN_EVERYTHING);
    if (wants_snapshot)
        statement->snapshot = atomic_load(&statement->participant->engine->segment->header->clock);
}

enum status statement_begin(struct statement *statement, struct participant *participant, unsigned number,
                            bool wants_snapshot)
{
    enum status status = statement_enter(statement, participant, number);

    if (status == STATUS_OK)
        statement_protect(statement, wants_snapshot);
    return status;
}

void statement_end(const struct statement *statement)
{
    if (!pins_its_snapshot(statement->transaction))
        atomic_store_explicit(statement_pin(statement), PIN_NONE, memory_order_release);
    if (statement->transaction != NULL)
        transaction_leave(statement->participant, statement->number);
}

/* Recipe O. What a look under the lock would find, if nobody had the lock from the first load to the last, or a large commit that was
 * quiet all the time: then nothing changed and nothing was freed. */
struct look {
    const struct shard *shard;
    uint64_t changes;
};

/* The holder of the lock changes nothing yet. */
static bool look_is_quiet(const struct look *look)
{
    return atomic_load_explicit(&look->shard->quiet_at, memory_order_acquire) == look->changes;
}

/* O1, O2. False: somebody has the lock, and changes something. */
static inline bool look_begin(struct look *look, const struct engine *engine, uint64_t hash)
{
    look->shard = table_shard(&engine->table, table_shard_of(&engine->table, hash));
    look->changes = atomic_load(&look->shard->changes); /* not before the pin, where there is one */
    return (robust_mutex_is_free(&look->shard->mutex) || look_is_quiet(look)) &&
           atomic_load_explicit(&look->shard->is_set_aside, memory_order_relaxed) == 0;
}

/* O4. False: somebody had it meanwhile, or has; what was read means nothing. */
static inline bool look_counts(const struct look *look)
{
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&look->shard->changes, memory_order_relaxed) == look->changes;
}

static bool shared_look(struct statement *statement, uint64_t hash, struct bytes key, struct block_ref *version)
{
    struct participant *participant = statement->participant;
    const struct engine *engine = participant->engine;
    struct look look;

    if (!look_begin(&look, engine, hash) || !table_look(&engine->table, hash, key, statement->snapshot, version))
        return false;
    if (statement->transaction == NULL)
        participant->times.snapshot = atomic_load(&engine->segment->header->clock);
    return look_counts(&look);
}

/* Recipe O without O0: the value is copied before O4 as well, so that nothing need be kept for it. Neither STATUS_OK nor
 * STATUS_NOT_FOUND: all again, with a pin. */
static inline enum status single_look(struct participant *participant, uint64_t hash, struct bytes key, unsigned char *copy,
                                      size_t *size)
{
    const struct engine *engine = participant->engine;
    enum status status;
    struct look look;

    if (key_locks_exist(engine) || !look_begin(&look, engine, hash))
        return STATUS_TIMEOUT;
    status = table_look_value(&engine->table, hash, key, copy, size);
    participant->times = (struct transaction_times){.snapshot = atomic_load(&engine->segment->header->clock)};
    return look_counts(&look) ? status : STATUS_TIMEOUT;
}

static enum status shared_find(struct statement *statement, uint64_t hash, struct bytes key, struct block_ref *version)
{
    struct participant *participant = statement->participant;
    struct engine *engine = participant->engine;
    unsigned shard = table_shard_of(&engine->table, hash);
    enum status status = shard_acquire(engine, shard);

    if (status != STATUS_OK)
        return status;
    *version = version_visible_at(engine->segment, table_find(&engine->table, shard, hash, key), statement->snapshot);
    if (statement->transaction == NULL)
        participant->times.snapshot = atomic_load(&engine->segment->header->clock);
    shard_release(engine, shard);
    return STATUS_OK;
}

/* LOCKING takes the lock always: that its commits and those of others meet there is why C1a needs no more than a look. */
static enum status shared_get(struct statement *statement, uint64_t hash, struct bytes key, struct value_view *view)
{
    const struct segment *segment = statement->participant->engine->segment;
    enum status status = STATUS_OK;
    struct block_ref version;

    if (is_locking(statement->transaction) || !shared_look(statement, hash, key, &version))
        status = shared_find(statement, hash, key, &version);
    if (status != STATUS_OK)
        return status;
    if (block_ref_is_none(version))
        return STATUS_NOT_FOUND;
    *view = (struct value_view){
        .segment = segment,
        .version = version,
        .size = version_at(segment, version)->value_size,
    };
    return STATUS_OK;
}

/* What the transaction itself wrote comes first; only what it read from others is validated. */
static enum status statement_get(struct statement *statement, uint64_t hash, struct bytes key, struct value_view *view)
{
    const struct segment *segment = statement->participant->engine->segment;
    struct transaction *transaction = statement->transaction;
    struct log_write write;
    enum status status;
    enum status noted;

    if (transaction != NULL && transaction_log_find(&transaction->log, segment, hash, key, &write)) {
        if (write.kind == REDO_DEL)
            return STATUS_NOT_FOUND;
        *view = (struct value_view){
            .segment = segment,
            .log = &transaction->log,
            .position = write.value_position,
            .size = write.value_size,
        };
        return STATUS_OK;
    }
    status = shared_get(statement, hash, key, view);
    if (!pins_its_snapshot(transaction) || transaction->is_snapshot || (status != STATUS_OK && status != STATUS_NOT_FOUND))
        return status;
    noted = read_set_add(&transaction->reads, hash, key, status == STATUS_OK);
    return noted == STATUS_OK ? status : noted;
}

static enum status pinned_get(struct participant *participant, unsigned number, uint64_t hash, struct bytes key,
                              struct value_view *view)
{
    struct statement statement;
    enum status status;

    if (number == TRANSACTION_SINGLE)
        participant->times = (struct transaction_times){0};
    status = statement_enter(&statement, participant, number);
    if (status != STATUS_OK)
        return status;
    if (key_locks_exist(participant->engine) || is_locking(statement.transaction))
        status = statement_await_key(&statement, hash, key);
    if (status == STATUS_OK) {
        statement_protect(&statement, false);
        status = statement_get(&statement, hash, key, view);
    }
    if (statement.has_borrowed)
        key_lock_return(participant->engine, key_lock_owner_of(participant, number), hash);
    if (status != STATUS_OK)
        statement_end(&statement);
    return status;
}

enum status transaction_get(struct participant *participant, unsigned number, struct bytes key,
                            struct value_view *view)
{
    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX);
    return pinned_get(participant, number, key_hash(participant, key), key, view);
}

/* Nothing is fetched ahead: the look begins at once. */
enum status transaction_get_copy(struct participant *participant, struct bytes key, unsigned char *copy,
                                 struct value_view *view)
{
    enum status status;
    uint64_t hash;

    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX);
    if (!key_hints_take(&participant->hints, key, &hash))
        hash = table_hash(&participant->engine->table, key);
    view->copy = copy;
    status = single_look(participant, hash, key, copy, &view->size);
    if (status == STATUS_OK || status == STATUS_NOT_FOUND)
        return status;
    return pinned_get(participant, TRANSACTION_SINGLE, hash, key, view);
}

void transaction_prefetch(struct participant *participant, struct bytes key)
{
    const struct table *table = &participant->engine->table;
    uint64_t hash = table_hash(table, key);
    uint64_t earlier;

    if (key_hints_hash(&participant->hints, 1, &earlier))
        table_prefetch_version(table, earlier);
    if (key_hints_hash(&participant->hints, 0, &earlier))
        table_prefetch_place(table, earlier);
    table_prefetch_directory(table, hash);
    key_hints_add(&participant->hints, key, hash);
}

void transaction_get_done(struct participant *participant, unsigned number)
{
    struct statement statement = {.participant = participant, .number = number};

    if (number != TRANSACTION_SINGLE)
        statement.transaction = transaction_of(participant, number);
    statement_end(&statement);
}

struct bytes value_view_piece(const struct value_view *view, size_t offset)
{
    REQUIRE(offset <= view->size);
    if (view->copy != NULL)
        return bytes_from(view->copy + offset, view->size - offset);
    if (view->log != NULL)
        return transaction_log_piece(view->log, view->segment, view->position + offset, view->size - offset);
    return version_piece(view->segment, version_at(view->segment, view->version), offset);
}

/* --- writing --- */

static enum status log_append_find_memory(struct participant *participant, unsigned number, enum redo_kind kind,
                                          uint64_t hash, struct bytes key, struct bytes value)
{
    struct transaction *transaction = transaction_of(participant, number);
    struct engine *engine = participant->engine;

    for (unsigned attempt = 1;; attempt++) {
        enum status status = transaction_log_append(&transaction->log, engine->segment, participant->slot_number, kind,
                                                    hash, key, value);

        if (status != STATUS_OUT_OF_MEMORY || attempt == MEMORY_ATTEMPTS_MAX || !engine_reclaim(engine))
            return status;
    }
}

static enum status log_append(struct participant *participant, unsigned number, enum redo_kind kind,
                              struct bytes key, struct bytes value)
{
    struct transaction *transaction = transaction_of(participant, number);
    struct engine *engine = participant->engine;
    uint64_t hash = key_hash(participant, key);
    enum status status;

    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX);
    REQUIRE(!transaction->is_snapshot);
    status = transaction_enter(participant, number);
    if (status != STATUS_OK)
        return status;
    if (transaction->isolation == ISOLATION_LOCKING)
        status = key_lock_keep(engine, key_lock_owner_of(participant, number), hash);
    if (status == STATUS_OK)
        status = log_append_find_memory(participant, number, kind, hash, key, value);
    transaction_leave(participant, number);
    return status;
}

enum status transaction_put(struct participant *participant, unsigned number, struct bytes key, struct bytes value)
{
    if (value.size > VALUE_BYTES_MAX)
        return STATUS_TOO_LARGE;
    if (number == TRANSACTION_SINGLE)
        return commit_put(participant, key, value);
    return log_append(participant, number, REDO_PUT, key, value);
}

enum status transaction_del(struct participant *participant, unsigned number, struct bytes key)
{
    if (number == TRANSACTION_SINGLE)
        return commit_del(participant, key);
    return log_append(participant, number, REDO_DEL, key, bytes_from(NULL, 0));
}

/* --- ending --- */

static struct commit_write commit_write_of(const struct participant *participant, const struct log_write *write)
{
    return (struct commit_write){
        .hash = write->hash,
        .shard = table_shard_of(&participant->engine->table, write->hash),
        .kind = write->kind,
        .key = write->key,
        .value_position = write->value_position,
        .value_size = write->value_size,
    };
}

/* What a COMMIT that waits for a key is asked, besides what its connection says. */
struct commit_patience {
    const struct participant *participant;
    const struct transaction *transaction;
    const struct waiter *waiter;
};

/* It pins while it waits, so its snapshot may be what others need to go. */
static bool commit_goes_on(void *context)
{
    const struct commit_patience *patience = context;

    return waiter_goes_on(patience->waiter) && !has_ended_snapshot(patience->participant, patience->transaction);
}

/* A COMMIT whose wait ended because its snapshot was needed has expired like any other that is told between two commands. */
static enum status commit_outcome(struct participant *participant, unsigned number, enum status status)
{
    const struct transaction *transaction = transaction_of(participant, number);

    if (status != STATUS_LOCK_TIMEOUT || !has_ended_snapshot(participant, transaction))
        return status;
    participant->has_ended_snapshot = true;
    atomic_store(&slot_of(participant, number)->state, state_word(transaction->state_word >> 2, TRANSACTION_EXPIRED));
    return STATUS_TIMEOUT;
}

static enum status log_commit(struct participant *participant, unsigned number)
{
    const struct transaction *transaction = transaction_of(participant, number);
    size_t count = transaction->log.count;
    struct log_write *log_writes = calloc(count, sizeof(*log_writes));
    struct commit_write *writes = calloc(count, sizeof(*writes));
    enum status status = STATUS_INTERNAL;

    if (log_writes != NULL && writes != NULL) {
        bool validates = transaction->isolation == ISOLATION_SERIALIZABLE;
        struct key_lock_owner owner = key_lock_owner_of(participant, number);
        struct commit_patience patience = {participant, transaction, owner.waiter};
        const struct waiter waiter = {commit_goes_on, &patience};
        struct commit_request request = {
            .writes = writes,
            .count = count,
            .log = &transaction->log,
            .reads = validates ? &transaction->reads : NULL,
            .scanned_shards = validates ? transaction->scanned_shards : 0,
            .snapshot = transaction->snapshot,
            .owner = {owner.slot, owner.transaction, &waiter},
            .owns_its_keys = transaction->isolation == ISOLATION_LOCKING,
        };

        transaction_log_sorted(&transaction->log, participant->engine->segment, log_writes);
        for (size_t i = 0; i < count; i++)
            writes[i] = commit_write_of(participant, &log_writes[i]);
        status = commit_outcome(participant, number, commit_run(participant, &request));
    }
    free(log_writes);
    free(writes);
    return status;
}

enum status transaction_commit(struct participant *participant, unsigned number)
{
    const struct transaction *transaction = transaction_of(participant, number);
    enum status status = transaction_enter(participant, number);

    participant->times = (struct transaction_times){.snapshot = transaction->snapshot};
    if (status == STATUS_OK && transaction->log.count > 0)
        status = log_commit(participant, number);
    transaction_end(participant, number);
    if (participant->times.commit != 0)
        horizon_advance_if_due(participant->engine, participant->times.commit);
    return status;
}

void transaction_touch(struct participant *participant, unsigned number)
{
    if (transaction_enter(participant, number) == STATUS_OK)
        transaction_leave(participant, number);
}

void transaction_rollback(struct participant *participant, unsigned number)
{
    const struct transaction *transaction = transaction_of(participant, number);

    /* Whether it was idle or expired, nobody else changes the state from here on. */
    (void)transaction_enter(participant, number);
    participant->times = (struct transaction_times){.snapshot = transaction->snapshot};
    transaction_end(participant, number);
}
