/* Each verb of store.h is one of the engine; what is more is for the server and for tests. */
#include "store/shared_store.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/clock.h"
#include "transaction/key_lock.h"
#include "transaction/transaction.h"

_Static_assert(STORE_KEY_BYTES_MAX == KEY_BYTES_MAX, "the interface promises what the table takes");
_Static_assert(STORE_TRANSACTIONS_MAX == TRANSACTION_COUNT_MAX, "the interface promises what a slot takes");
_Static_assert(SHARED_STORE_LOCKS_MAX == SHARD_COUNT_MAX + 2, "every lock can be held");
_Static_assert(SHARED_STORE_PLACES_MAX == SLOT_COUNT_MAX || CHUNK_BYTES < 16384, "the interface promises what there is");
_Static_assert(SHARED_STORE_PLACE_BYTES == CHUNK_BYTES / SLOTS_PER_BLOCK, "the interface tells what it takes");
_Static_assert(SHARED_STORE_REASON_BYTES == SEGMENT_REASON_BYTES, "a reason fits");
_Static_assert(STORE_COPY_BYTES >= VALUE_COPIED_BYTES_MAX, "the interface promises room for what is copied");
_Static_assert(STORE_SINGLE == TRANSACTION_SINGLE, "the same name for no transaction");

struct shared_store {
    struct store store;
    struct engine *engine;
    struct deaths_watch deaths; /* the housekeeper's */
};

struct shared_session {
    struct store_session session;
    struct participant *participant;
};

static char last_reason[SHARED_STORE_REASON_BYTES];

static struct shared_store *shared(struct store *store)
{
    return (struct shared_store *)(void *)store;
}

static const struct engine *engine_of(const struct store *store)
{
    return ((const struct shared_store *)(const void *)store)->engine;
}

static struct participant *participant_of(const struct store_session *session)
{
    return ((const struct shared_session *)(const void *)session)->participant;
}

static const struct store_operations shared_operations;

static enum status shared_session_open(struct store *store, struct store_session **result)
{
    struct shared_session *session = calloc(1, sizeof(*session));
    enum status status;

    if (session == NULL)
        return STATUS_INTERNAL;
    session->session.operations = &shared_operations;
    status = participant_open(shared(store)->engine, &session->participant);
    if (status != STATUS_OK) {
        free(session);
        return status;
    }
    *result = &session->session;
    return STATUS_OK;
}

static void shared_session_close(struct store_session *session)
{
    participant_close(participant_of(session));
    free(session);
}

static enum status shared_begin(struct store_session *session, enum isolation isolation,
                                store_transaction *transaction)
{
    return transaction_begin(participant_of(session), isolation, transaction);
}

static void view_write(const struct value_view *view, const struct store_sink *sink)
{
    for (size_t offset = 0; sink != NULL && offset < view->size;) {
        struct bytes piece = value_view_piece(view, offset);

        sink->write(sink->context, piece);
        offset += piece.size;
    }
}

static enum status transaction_read(struct participant *participant, unsigned number, struct bytes key,
                                    const struct store_sink *sink)
{
    struct value_view view;
    enum status status = transaction_get(participant, number, key, &view);

    if (status != STATUS_OK)
        return status;
    view_write(&view, sink);
    transaction_get_done(participant, number);
    return STATUS_OK;
}

static enum status single_read(struct participant *participant, struct bytes key, const struct store_sink *sink,
                               unsigned char *copy)
{
    struct value_view view;
    enum status status = transaction_get_copy(participant, key, copy, &view);

    if (status != STATUS_OK)
        return status;
    if (view.copy != NULL) {
        if (sink != NULL)
            sink->write(sink->context, (struct bytes){view.copy, view.size});
        return STATUS_OK;
    }
    view_write(&view, sink);
    transaction_get_done(participant, TRANSACTION_SINGLE);
    return STATUS_OK;
}

static enum status shared_get(struct store_session *session, store_transaction transaction, struct bytes key,
                              const struct store_sink *sink)
{
    unsigned char copy[STORE_COPY_BYTES];
    struct participant *participant = participant_of(session);

    if (transaction != STORE_SINGLE)
        return transaction_read(participant, transaction, key, sink);
    return single_read(participant, key, sink, sink == NULL || sink->copy == NULL ? copy : sink->copy);
}

static enum status shared_put(struct store_session *session, store_transaction transaction, struct bytes key,
                              struct bytes value)
{
    return transaction_put(participant_of(session), transaction, key, value);
}

static enum status shared_del(struct store_session *session, store_transaction transaction, struct bytes key)
{
    return transaction_del(participant_of(session), transaction, key);
}

static enum status shared_scan(struct store_session *session, store_transaction transaction, struct store_scan *scan)
{
    struct key_list keys = {0};
    enum status status;

    REQUIRE(scan->limit >= 1 && scan->limit <= STORE_SCAN_LIMIT_MAX);
    status = transaction_scan(participant_of(session), transaction, scan->cursor, scan->prefix, scan->limit, &keys,
                              &scan->cursor);
    for (size_t i = 0; status == STATUS_OK && i < keys.count; i++)
        scan->key(scan->context, key_list_key(&keys, i));
    key_list_deinit(&keys);
    return status;
}

static enum status shared_count(struct store_session *session, store_transaction transaction, struct bytes prefix,
                                uint64_t *count)
{
    return transaction_count(participant_of(session), transaction, prefix, count);
}

static enum status shared_commit(struct store_session *session, store_transaction transaction,
                                 struct bytes *conflict_key)
{
    enum status status = transaction_commit(participant_of(session), transaction);
    bool names_a_key = status == STATUS_CONFLICT || status == STATUS_LOCK_TIMEOUT || status == STATUS_DEADLOCK;

    if (conflict_key != NULL && names_a_key)
        *conflict_key = participant_of(session)->conflict_key;
    return status;
}

static void shared_rollback(struct store_session *session, store_transaction transaction)
{
    transaction_rollback(participant_of(session), transaction);
}

static void shared_touch(struct store_session *session, store_transaction transaction)
{
    transaction_touch(participant_of(session), transaction);
}

static void shared_set_waiter(struct store_session *session, const struct waiter *waiter)
{
    participant_of(session)->waiter = waiter;
}

static void shared_prefetch(struct store_session *session, struct bytes key)
{
    transaction_prefetch(participant_of(session), key);
}

static struct store_times shared_times(const struct store_session *session)
{
    const struct transaction_times *times = &participant_of(session)->times;

    return (struct store_times){.snapshot = times->snapshot, .commit = times->commit};
}

static bool shared_has_ended_snapshot(const struct store_session *session)
{
    return participant_of(session)->has_ended_snapshot;
}

static size_t shared_value_bytes_max(const struct store *store)
{
    (void)store;
    return VALUE_BYTES_MAX;
}

static const struct store_operations shared_operations = {
    .session_open = shared_session_open,
    .session_close = shared_session_close,
    .begin = shared_begin,
    .get = shared_get,
    .put = shared_put,
    .del = shared_del,
    .scan = shared_scan,
    .count = shared_count,
    .commit = shared_commit,
    .rollback = shared_rollback,
    .touch = shared_touch,
    .set_waiter = shared_set_waiter,
    .prefetch = shared_prefetch,
    .times = shared_times,
    .has_ended_snapshot = shared_has_ended_snapshot,
    .value_bytes_max = shared_value_bytes_max,
};

static struct engine_options engine_options_of(const struct shared_store_options *options)
{
    return (struct engine_options){
        .name = options->name,
        .directory = options->directory,
        .bytes = options->bytes,
        .shard_count = options->shard_count,
        .is_fresh = options->is_fresh,
        .hash_key = options->hash_key,
        .may_be_on_disk = options->may_be_on_disk,
        .is_replacement = options->is_replacement,
        .lock_timeout_ms = options->lock_timeout_ms,
        .reads_bytes_max = options->reads_bytes_max,
        .snapshot_timeout_ms = options->snapshot_timeout_ms,
    };
}

/* Puts an engine, if it was had, behind the interface. */
static enum status store_finish(enum status status, struct engine *engine, struct store **result)
{
    struct shared_store *store;

    if (status != STATUS_OK)
        return status;
    store = calloc(1, sizeof(*store));
    if (store == NULL) {
        (void)snprintf(last_reason, sizeof last_reason, "no private memory");
        engine_detach(engine);
        return STATUS_INTERNAL;
    }
    store->store.operations = &shared_operations;
    store->engine = engine;
    *result = &store->store;
    return STATUS_OK;
}

enum status shared_store_create(const struct shared_store_options *options, struct store **result)
{
    struct engine_options engine_options = engine_options_of(options);
    struct engine *engine = NULL;
    enum status status = engine_create(&engine_options, &engine, last_reason);

    return store_finish(status, engine, result);
}

/* As many as there is room for; a shard has one reason. */
static void damage_describe(const struct engine_restart *report, char text[SHARED_STORE_REASON_BYTES])
{
    size_t size = 0;

    text[0] = '\0';
    for (unsigned shard = 0; shard < SHARD_COUNT_MAX; shard++) {
        const char *what = (report->shards_set_aside >> shard & 1) != 0 ? report->shard_damage[shard] : NULL;
        int length = what == NULL ? 0
                                  : snprintf(text + size, SHARED_STORE_REASON_BYTES - size, "%sshard %u: %s",
                                             size == 0 ? "" : "; ", shard, what);

        if (length < 0 || (size_t)length >= SHARED_STORE_REASON_BYTES - size) {
            text[size] = '\0';
            return;
        }
        size += (size_t)length;
    }
}

static struct shared_store_restart restart_of(const struct engine_restart *report)
{
    struct shared_store_restart restart = {
        .was_clean = report->was_clean,
        .was_loading = report->was_loading,
        .was_resized = report->was_resized,
        .keys = report->keys,
        .commits_finished = report->commits_finished,
        .sessions_ended = report->slots_drained,
        .shards_set_aside = (unsigned)__builtin_popcountll(report->shards_set_aside),
    };

    damage_describe(report, restart.damage);
    return restart;
}

enum status shared_store_restore(const struct shared_store_options *options, struct store **result,
                                 struct shared_store_restart *restart)
{
    struct engine_options engine_options = engine_options_of(options);
    struct engine_restart report;
    struct engine *engine = NULL;
    enum status status = engine_restore(&engine_options, &engine, &report, last_reason);

    *restart = restart_of(&report);
    return store_finish(status, engine, result);
}

enum status shared_store_attach(const struct shared_store_options *options, bool is_repaired, struct store **result,
                                struct shared_store_restart *restart)
{
    struct engine_options engine_options = engine_options_of(options);
    struct engine_restart report;
    struct engine *engine = NULL;
    enum status status = engine_attach(&engine_options, is_repaired ? SEGMENT_PRIVATE : SEGMENT_AS_IT_LIES, &engine,
                                       &report, last_reason);

    *restart = restart_of(&report);
    return store_finish(status, engine, result);
}

void shared_store_end_orphans(const struct shared_store_options *options)
{
    struct segment_options segment_options = {.name = options->name, .directory = options->directory};

    segment_end_orphans(&segment_options);
}

bool shared_store_is_in_use(const struct shared_store_options *options)
{
    struct segment_options segment_options = {.name = options->name, .directory = options->directory};

    return segment_is_in_use(&segment_options);
}

bool shared_store_is_of_another_layout(const struct shared_store_options *options, uint32_t *format_version)
{
    struct segment_options segment_options = {.name = options->name, .directory = options->directory};

    return segment_is_of_another_layout(&segment_options, table_fingerprint(), format_version);
}

enum status shared_store_replace(struct store *store, const struct segment *old)
{
    return segment_replace(shared(store)->engine->segment, old, last_reason);
}

void shared_store_mark_clean(struct store *store)
{
    engine_mark_clean(shared(store)->engine);
}

void shared_store_mark_loading(struct store *store, bool is_loading)
{
    engine_mark_loading(shared(store)->engine, is_loading);
}

const char *shared_store_reason(void)
{
    return last_reason;
}

void shared_store_destroy(struct store *store)
{
    engine_detach(shared(store)->engine);
    free(store);
}

void shared_store_unlink(struct store *store)
{
    segment_unlink(shared(store)->engine->segment);
}

enum segment_names_state shared_store_names_look(struct store *store)
{
    return segment_names_look(shared(store)->engine->segment);
}

enum segment_names_state shared_store_names_leave(struct store *store)
{
    return segment_names_leave(shared(store)->engine->segment);
}

uint64_t shared_store_hash(const struct store *store, struct bytes key)
{
    return table_hash(&engine_of(store)->table, key);
}

unsigned shared_store_shard_count(const struct store *store)
{
    return engine_of(store)->table.shard_count;
}

bool shared_store_is_valid(struct store *store, const char **reason)
{
    return segment_is_valid(shared(store)->engine, reason);
}

bool shared_store_expire(struct store_session *session, store_transaction transaction)
{
    const struct participant *participant = participant_of(session);

    REQUIRE(transaction >= 1 && transaction <= STORE_TRANSACTIONS_MAX);
    return transaction_expire(participant->engine, participant->slot_number, transaction - 1, UINT64_MAX);
}

struct process_slot *shared_store_session_slot(const struct store_session *session)
{
    return participant_of(session)->slot;
}

struct engine *shared_store_engine(struct store *store)
{
    return shared(store)->engine;
}

enum status shared_store_begin_snapshot(struct store_session *session, store_transaction *transaction)
{
    return transaction_begin_snapshot(participant_of(session), transaction);
}

void shared_store_let_pages_go(struct store *store)
{
    segment_let_pages_go(shared(store)->engine->segment);
}

void shared_store_statistics(struct store *store, struct shared_store_statistics *statistics)
{
    const struct engine *engine = engine_of(store);
    const struct segment *segment = engine->segment;
    uint32_t used = segment_chunks_used(segment);
    uint32_t used_most = segment->chunk_count - atomic_load(&segment->header->chunks_free_lowest);
    uint64_t set_aside = shards_set_aside(engine);
    uint64_t entries = 0;
    uint64_t places = 0;

    *statistics = (struct shared_store_statistics){
        .limit_bytes = (uint64_t)segment->chunk_count * CHUNK_BYTES,
        .used_bytes = (uint64_t)used * CHUNK_BYTES,
        .peak_bytes = (uint64_t)(used > used_most ? used : used_most) * CHUNK_BYTES,
        .shards = engine->table.shard_count,
        .shards_set_aside = set_aside,
        .huge_pages = segment->huge_pages,
    };
    for (unsigned i = 0; i < engine->table.shard_count; i++) {
        const struct shard *shard = table_shard(&engine->table, i);

        if ((set_aside >> i & 1) != 0)
            continue;
        statistics->keys += atomic_load(&shard->key_count);
        entries += atomic_load(&shard->entry_count);
        places += (uint64_t)atomic_load(&shard->page_count) * PAGE_ENTRIES;
    }
    statistics->load_factor = places == 0 ? 0 : (double)entries / (double)places;
}

unsigned shared_store_expire_idle(struct store *store, uint64_t idle_ms)
{
    uint64_t now_ms = clock_monotonic_ms();

    return now_ms <= idle_ms ? 0 : transactions_expire(shared(store)->engine, now_ms - idle_ms);
}

bool shared_store_tidy(struct store *store)
{
    bool has_drained = slots_drain_dead(shared(store)->engine) > 0;

    deaths_forget(shared(store)->engine, &shared(store)->deaths, clock_monotonic_ms());
    (void)key_locks_tidy(shared(store)->engine);
    snapshots_grow_old(shared(store)->engine, clock_monotonic_ms());
    return engine_tidy(shared(store)->engine) > 0 || has_drained;
}

unsigned shared_store_holders(struct store *store, pid_t *pids, unsigned max)
{
    const struct engine *engine = engine_of(store);
    unsigned slot_count = process_slot_count(engine->segment);
    unsigned count = 0;

    for (unsigned number = 0; number < slot_count && count < max; number++) {
        const struct process_slot *slot = process_slot_at(engine->segment, number);

        pid_t pid = (pid_t)atomic_load(&slot->pid); /* 0: of one that was abandoned */

        if (atomic_load(&slot->claimed) != 0 && pid != 0 && slot_is_holding(engine, number))
            pids[count++] = pid;
    }
    return count;
}

unsigned shared_store_reserve_places(struct store *store, unsigned places)
{
    return engine_reserve_slots(shared(store)->engine, places);
}

void shared_store_expect_place(struct store *store, unsigned number)
{
    shared(store)->engine->segment->slot_hint = number;
}

void shared_store_count_deaths(struct store *store)
{
    recovery_count_deaths(shared(store)->engine);
}

static void hold_note(const struct robust_mutex *mutex, unsigned lock, uint64_t turn, struct shared_store_hold *holds,
                      unsigned *count)
{
    pid_t pid = robust_mutex_holder(mutex);

    if (pid != 0)
        holds[(*count)++] = (struct shared_store_hold){pid, lock, turn};
}

unsigned shared_store_held_locks(const struct store *store, struct shared_store_hold holds[SHARED_STORE_LOCKS_MAX])
{
    const struct engine *engine = engine_of(store);
    const struct segment_header *header = engine->segment->header;
    unsigned count = 0;

    for (unsigned i = 0; i < engine->table.shard_count; i++) {
        const struct shard *shard = table_shard(&engine->table, i);

        hold_note(&shard->mutex, i, atomic_load(&shard->changes), holds, &count);
    }
    hold_note(&header->key_lock_mutex, SHARD_COUNT_MAX, 0, holds, &count);
    hold_note(&header->slots_mutex, SHARD_COUNT_MAX + 1, 0, holds, &count);
    return count;
}

bool shared_store_blame(struct store *store, pid_t pid, unsigned part)
{
    struct engine *engine = shared(store)->engine;
    uint64_t held = shards_held_by(engine, pid);

    if (part >= 1 && part <= engine->table.shard_count && (held >> (part - 1) & 1) != 0)
        held = (uint64_t)1 << (part - 1);
    if (held == 0 || (held & (held - 1)) != 0)
        return false;
    shard_count_death(engine, (unsigned)__builtin_ctzll(held));
    return true;
}

void shared_store_bury(struct store *store, pid_t dead)
{
    engine_bury(shared(store)->engine, dead);
}
