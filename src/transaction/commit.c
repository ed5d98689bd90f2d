/* COMMIT. The functions stand in the order of the recipe in README.md, and the
 * model (spec/engine.pml) uses their names. */
#include "commit.h"

#include "platform/progress.h"
#include "statement.h"

/* From so many ended versions of a shard on, each write cleans CLEAN_AT_BACKLOG of them more, so that the queue shrinks. */
#define CLEAN_BACKLOG 16u
#define CLEAN_AT_BACKLOG 3u

/* A commit of so many writes holds its locks for long enough that GETs should not have to wait for most of it. Small segments of
 * tests have small ones. */
#define LARGE_WRITES_MIN (CHUNK_BYTES >= 16384 ? 256u : 6u)

struct commit {
    struct participant *participant;
    struct engine *engine;
    struct commit_request *request;
    struct commit_record *record; /* in shared memory */
    bool is_large;                /* it is quiet (recipe O) until C4 */
    uint64_t locked;              /* shards held */
    uint64_t written;             /* shards with effective writes */
    uint32_t redo_count;
    struct chunk_ref redo_first; /* chain behind the built-in entries */
    struct chunk_ref redo_last;
};

static uint64_t shard_bit(unsigned shard)
{
    return (uint64_t)1 << shard;
}

static uint64_t shards_wanted(const struct commit *commit)
{
    const struct commit_request *request = commit->request;
    const struct table *table = &commit->engine->table;
    uint64_t shards = request->scanned_shards;

    for (size_t i = 0; i < request->count; i++)
        shards |= shard_bit(request->writes[i].shard);
    for (size_t i = 0; request->reads != NULL && i < request->reads->capacity; i++)
        if (request->reads->entries[i].key_size != 0)
            shards |= shard_bit(table_shard_of(table, request->reads->entries[i].hash));
    return shards;
}

/* One turn of a loop over what the commit has, under locks: see progress.h. */
static inline void turn_note(unsigned shard)
{
    progress_note(shard + 1);
}

static void shards_unlock(struct commit *commit)
{
    for (; commit->locked != 0; commit->locked &= commit->locked - 1)
        shard_release(commit->engine, (unsigned)__builtin_ctzll(commit->locked));
}

/* C1. Ascending, so that no two commits wait for each other; what was only read too, or write skew slips through. */
static enum status commit_lock_shards(struct commit *commit)
{
    for (uint64_t left = shards_wanted(commit); left != 0; left &= left - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(left);
        enum status status = shard_acquire(commit->engine, shard);

        if (status != STATUS_OK) {
            shards_unlock(commit);
            return status;
        }
        commit->locked |= shard_bit(shard);
        if (commit->is_large)
            shard_quiet_begin(commit->engine, shard);
    }
    return STATUS_OK;
}

/* C1a. Under the shards' locks: before, a LOCKING transaction could get a key and read it between this look and the commit, which
 * it would then undo. */
static inline bool commit_meets_key_lock(struct engine *engine, struct commit_request *request)
{
    if (request->owns_its_keys || !key_locks_exist(engine))
        return false;
    for (size_t i = 0; i < request->count; i++) {
        turn_note(request->writes[i].shard);
        if (key_lock_is_foreign(engine, request->owner, request->writes[i].hash)) {
            request->awaited_hash = request->writes[i].hash;
            return true;
        }
    }
    return false;
}

/* Times, never identity: versions come and go. Absent then and absent now is the same answer. */
static bool read_still_holds(const struct commit *commit, const struct read_entry *read)
{
    const struct table *table = &commit->engine->table;
    struct bytes key = read_set_key(commit->request->reads, read);
    unsigned shard = table_shard_of(table, read->hash);
    struct block_ref newest;
    const struct version *version;
    uint64_t end;

    turn_note(shard);
    newest = table_find(table, shard, read->hash, key);
    if (block_ref_is_none(newest))
        return read->was_there == 0;
    version = version_at(table->segment, newest);
    end = atomic_load_explicit(&version->end, memory_order_relaxed);
    if (end != TIME_INFINITE)
        return end <= commit->request->snapshot || read->was_there == 0;
    return version->begin <= commit->request->snapshot;
}

static void conflict_note(struct participant *participant, struct bytes key)
{
    if (key.size > 0)
        memcpy(participant->conflict_key_bytes, key.data, key.size);
    participant->conflict_key = bytes_from(participant->conflict_key_bytes, key.size);
}

/* C2. */
static enum status commit_validate(struct commit *commit)
{
    const struct commit_request *request = commit->request;

    for (size_t i = 0; request->reads != NULL && i < request->reads->capacity; i++) {
        const struct read_entry *read = &request->reads->entries[i];

        if (read->key_size != 0 && !read_still_holds(commit, read)) {
            conflict_note(commit->participant, read_set_key(request->reads, read));
            return STATUS_CONFLICT;
        }
    }
    for (uint64_t left = request->scanned_shards; left != 0; left &= left - 1) {
        const struct shard *shard = table_shard(&commit->engine->table, (unsigned)__builtin_ctzll(left));

        if (atomic_load_explicit(&shard->membership_time, memory_order_relaxed) > request->snapshot) {
            conflict_note(commit->participant, bytes_from(NULL, 0));
            return STATUS_CONFLICT;
        }
    }
    return STATUS_OK;
}

/* Finds what a write meets; a DEL of what is not there drops out. */
static inline void write_resolve(const struct table *table, struct commit_write *write)
{
    table_find_place(table, write->shard, write->hash, write->key, &write->place);
    write->effect = write->kind;
    if (write->kind != REDO_DEL)
        return;
    if (block_ref_is_none(write->place.newest) ||
        atomic_load(&version_at(table->segment, write->place.newest)->end) != TIME_INFINITE)
        write->effect = REDO_NONE;
    else
        write->version = write->place.newest;
}

static void writes_resolve(const struct commit *commit, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        turn_note(commit->request->writes[i].shard);
        write_resolve(&commit->engine->table, &commit->request->writes[i]);
    }
}

static inline bool is_insert(const struct commit_write *write)
{
    return write->kind == REDO_PUT && block_ref_is_none(write->place.newest);
}

/* The new keys from writes[first] on that fall on one page; *next is behind the page. */
static unsigned inserts_on_page(const struct commit *commit, size_t first, size_t *next)
{
    const struct commit_request *request = commit->request;
    const struct table *table = &commit->engine->table;
    unsigned shard = request->writes[first].shard;
    uint64_t last = table_page_last_hash(table, shard, table_page_of(table, shard, request->writes[first].hash));
    unsigned inserts = 0;
    size_t i = first;

    for (; i < request->count && request->writes[i].shard == shard && request->writes[i].hash <= last; i++)
        inserts += is_insert(&request->writes[i]);
    INVARIANT(i > first); /* the page is the first one's */
    *next = i;
    return inserts;
}

/* A page that is replaced is seen by others. */
static enum status page_make_room(struct commit *commit, const struct commit_write *write, unsigned inserts, bool *is_done)
{
    struct table *table = &commit->engine->table;
    enum status status;

    if (!commit->is_large)
        return table_make_room(table, write->shard, write->hash, inserts, is_done);
    if (table_has_room(table, write->shard, write->hash, inserts))
        return STATUS_OK;
    shard_quiet_end(commit->engine, write->shard);
    status = table_make_room(table, write->shard, write->hash, inserts, is_done);
    shard_quiet_begin(commit->engine, write->shard);
    return status;
}

static enum status page_room_reserve(struct commit *commit, size_t first, size_t end, bool *has_grown)
{
    const struct commit_request *request = commit->request;

    *has_grown = false;
    for (size_t i = first; i < end;) {
        size_t next = i + 1;
        bool is_done = true;

        turn_note(request->writes[i].shard);
        if (is_insert(&request->writes[i])) {
            unsigned inserts = inserts_on_page(commit, i, &next);
            enum status status = page_make_room(commit, &request->writes[i], inserts, &is_done);

            if (status != STATUS_OK)
                return status;
        }
        if (is_done)
            i = next;
        else
            *has_grown = true;
    }
    return STATUS_OK;
}

static inline void value_fill(struct segment *segment, const struct transaction_log *log, const struct commit_write *write)
{
    size_t offset = 0;

    if (log == NULL) {
        version_fill(segment, write->version, 0, write->value);
        return;
    }
    while (offset < write->value_size) {
        struct bytes piece =
            transaction_log_piece(log, segment, write->value_position + offset, write->value_size - offset);

        version_fill(segment, write->version, offset, piece);
        offset += piece.size;
    }
}

static struct redo_chunk *redo_chunk_at(const struct segment *segment, struct chunk_ref chunk)
{
    return (struct redo_chunk *)(void *)chunk_at(segment, chunk);
}

static bool redo_chunk_append(struct commit *commit)
{
    struct segment *segment = commit->engine->segment;
    struct chunk_ref chunk = chunk_claim(segment, CHUNK_LOG, 0, commit->participant->slot_number);

    if (chunk_ref_is_none(chunk))
        return false;
    redo_chunk_at(segment, chunk)->next = 0;
    if (chunk_ref_is_none(commit->redo_first))
        commit->redo_first = chunk;
    else
        redo_chunk_at(segment, commit->redo_last)->next = chunk.number;
    commit->redo_last = chunk;
    return true;
}

static inline struct redo_entry redo_entry_of(enum redo_kind kind, unsigned shard, struct block_ref version)
{
    return (struct redo_entry){version.units, (uint16_t)shard, (uint16_t)kind};
}

/* The record is IDLE still, so what its entries say counts for nobody yet. */
static enum status redo_append(struct commit *commit, const struct commit_write *write)
{
    struct redo_entry entry = redo_entry_of(write->effect, write->shard, write->version);
    size_t in_chunks = commit->redo_count - SLOT_REDO_BUILT_IN;

    if (commit->redo_count < SLOT_REDO_BUILT_IN) {
        commit->record->built_in[commit->redo_count++] = entry;
        return STATUS_OK;
    }
    if (in_chunks % REDO_CHUNK_ENTRIES == 0 && !redo_chunk_append(commit))
        return STATUS_OUT_OF_MEMORY;
    redo_chunk_at(commit->engine->segment, commit->redo_last)->entries[in_chunks % REDO_CHUNK_ENTRIES] = entry;
    commit->redo_count++;
    return STATUS_OK;
}

static void redo_chunks_release(struct segment *segment, struct chunk_ref chunk)
{
    while (!chunk_ref_is_none(chunk)) {
        struct chunk_ref next = {redo_chunk_at(segment, chunk)->next};

        chunk_release(segment, chunk);
        chunk = next;
    }
}

static inline enum status version_reserve_for(const struct commit *commit, struct commit_write *write)
{
    struct table *table = &commit->engine->table;

    if (write->kind != REDO_PUT)
        return STATUS_OK;
    write->version = commit->is_large ? table_reserve_free(table, write->shard, write->key, write->value_size)
                                      : table_reserve(table, write->shard, write->key, write->value_size);
    if (block_ref_is_none(write->version))
        return STATUS_OUT_OF_MEMORY;
    value_fill(table->segment, commit->request->log, write);
    return STATUS_OK;
}

static void commit_unreserve(struct commit *commit)
{
    for (size_t i = 0; i < commit->request->count; i++) {
        struct commit_write *write = &commit->request->writes[i];

        turn_note(write->shard);
        if (write->kind == REDO_PUT && !block_ref_is_none(write->version))
            table_unreserve(&commit->engine->table, write->shard, write->version);
        write->version = (struct block_ref){0};
    }
    redo_chunks_release(commit->engine->segment, commit->redo_first);
}

/* Writes of one shard, from writes[first] on; their end. */
static size_t writes_of_shard_end(const struct commit_request *request, size_t first)
{
    size_t end = first;

    while (end < request->count && request->writes[end].shard == request->writes[first].shard)
        end++;
    return end;
}

/* C0, of a large commit: what it has to change where others see it, it changes while it holds one shard alone: pages get room, and
 * what is over makes place for what comes (as it takes no block of that at C3). Room may be gone again at C3, which makes it anew. */
static enum status commit_prepare(struct commit *commit)
{
    const struct commit_request *request = commit->request;
    size_t end;

    horizon_advance(commit->engine);
    for (size_t first = 0; first < request->count; first = end) {
        unsigned shard = request->writes[first].shard;
        enum status status = shard_acquire(commit->engine, shard);
        bool has_grown;

        end = writes_of_shard_end(request, first);
        if (status != STATUS_OK)
            return status;
        (void)table_clean(&commit->engine->table, shard, (unsigned)(end - first));
        shard_quiet_begin(commit->engine, shard);
        writes_resolve(commit, first, end);
        status = page_room_reserve(commit, first, end, &has_grown);
        shard_release(commit->engine, shard);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

/* C3. Versions filled, room on the pages, redo entries: nothing after this can fail. */
static enum status commit_reserve(struct commit *commit)
{
    const struct commit_request *request = commit->request;
    bool has_grown;
    enum status status;

    writes_resolve(commit, 0, request->count);
    status = page_room_reserve(commit, 0, request->count, &has_grown);
    if (has_grown)
        writes_resolve(commit, 0, request->count);
    for (size_t i = 0; status == STATUS_OK && i < request->count; i++) {
        struct commit_write *write = &request->writes[i];

        turn_note(write->shard);
        status = version_reserve_for(commit, write);
        if (status == STATUS_OK && write->effect != REDO_NONE) {
            status = redo_append(commit, write);
            commit->written |= shard_bit(write->shard);
        }
    }
    if (status != STATUS_OK)
        commit_unreserve(commit);
    return status;
}

/* Before C4, in every shard that is written: once one is published, nobody may be shown another as it was. */
static void commit_quiet_end(const struct commit *commit)
{
    for (uint64_t left = commit->is_large ? commit->written : 0; left != 0; left &= left - 1)
        shard_quiet_end(commit->engine, (unsigned)__builtin_ctzll(left));
}

/* C4. Holding every lock: earlier, and a snapshot would see half of this commit. */
static inline uint64_t commit_tick(const struct engine *engine)
{
    return atomic_fetch_add(&engine->segment->header->clock, 1) + 1;
}

/* C5. The last store is the commit point. */
static inline void commit_mark(struct commit_record *record, struct chunk_ref redo_chunk, uint32_t redo_count,
                               uint64_t shards, uint64_t time)
{
    INVARIANT(atomic_load_explicit(&record->word, memory_order_relaxed) == 0);
    atomic_store_explicit(&record->redo_chunk, redo_chunk.number, memory_order_release);
    atomic_store_explicit(&record->redo_count, redo_count, memory_order_release);
    atomic_store_explicit(&record->pending, shards, memory_order_release);
    atomic_store_explicit(&record->word, time << 1 | 1, memory_order_release);
}

static void write_publish(struct table *table, const struct commit_write *write, uint64_t time)
{
    if (write->effect == REDO_PUT) {
        INVARIANT(table_place_is_valid(&write->place));
        table_publish_at(table, &write->place, write->version, time);
    } else if (write->effect == REDO_DEL) {
        table_end(table, write->shard, write->version, time);
    }
}

/* How many ended versions to clean beside so many writes. As a rule the queue is to stay as long as it was, so that it seldom runs
 * dry, and the processor guesses right how many it will be: none where an overwrite took the block of one (recipe G'). */
static inline unsigned clean_count(const struct shard *shard, uint32_t garbage_before, unsigned writes)
{
    unsigned more = shard->garbage_count > garbage_before ? shard->garbage_count - garbage_before : 0;

    return shard->garbage_count < CLEAN_BACKLOG ? more : more + writes * CLEAN_AT_BACKLOG;
}

static inline void clean_some(struct table *table, unsigned shard, unsigned count)
{
    if (count > 0)
        (void)table_clean(table, shard, count);
}

static void shard_publish(struct commit *commit, unsigned shard, size_t *next, uint64_t time)
{
    const struct commit_request *request = commit->request;
    struct table *table = &commit->engine->table;
    uint32_t garbage_before = table_shard(table, shard)->garbage_count;
    unsigned writes = 0;

    for (; *next < request->count && request->writes[*next].shard == shard; ++*next, writes++) {
        turn_note(shard);
        write_publish(table, &request->writes[*next], time);
    }
    if ((commit->written & shard_bit(shard)) == 0)
        return;
    /* Only this process, or the heir of this very lock, changes the bit. */
    commit->written &= ~shard_bit(shard);
    atomic_store_explicit(&commit->record->pending, commit->written, memory_order_release);
    clean_some(table, shard, clean_count(table_shard(table, shard), garbage_before, writes));
}

/* C6. Per shard: publish, clear the bit, unlock. */
static void commit_publish(struct commit *commit, uint64_t time)
{
    size_t next = 0;

    for (; commit->locked != 0; commit->locked &= commit->locked - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(commit->locked);

        shard_publish(commit, shard, &next, time);
        shard_release(commit->engine, shard);
    }
}

/* C7. IDLE first: a stale word beside a fresh `pending` would publish what is not committed, at an old time. */
static inline void commit_finish(struct segment *segment, struct commit_record *record, struct chunk_ref redo_chunk)
{
    atomic_store_explicit(&record->word, 0, memory_order_release);
    atomic_store_explicit(&record->redo_chunk, 0, memory_order_release);
    atomic_store_explicit(&record->redo_count, 0, memory_order_release);
    redo_chunks_release(segment, redo_chunk);
}

/* STATUS_LOCK_TIMEOUT: it must wait for the key of awaited_hash. */
static enum status commit_attempt(struct participant *participant, struct commit_request *request)
{
    struct commit commit = {
        .participant = participant,
        .engine = participant->engine,
        .request = request,
        .record = &participant->slot->commit,
        .is_large = request->count >= LARGE_WRITES_MIN,
    };
    enum status status = commit.is_large ? commit_prepare(&commit) : STATUS_OK;
    uint64_t time;

    if (status == STATUS_OK)
        status = commit_lock_shards(&commit);
    if (status != STATUS_OK)
        return status;
    if (commit_meets_key_lock(commit.engine, request)) {
        shards_unlock(&commit);
        return STATUS_LOCK_TIMEOUT;
    }
    status = commit_validate(&commit);
    if (status == STATUS_OK)
        status = commit_reserve(&commit);
    if (status != STATUS_OK || commit.written == 0) {
        /* What changed nothing happened now, at the latest commit. */
        if (status == STATUS_OK)
            participant->times.snapshot = atomic_load(&commit.engine->segment->header->clock);
        shards_unlock(&commit);
        return status;
    }
    commit_quiet_end(&commit);
    time = commit_tick(commit.engine);
    commit_mark(commit.record, commit.redo_first, commit.redo_count, commit.written, time);
    commit_publish(&commit, time);
    commit_finish(commit.engine->segment, commit.record, commit.redo_first);
    participant->times = (struct transaction_times){.snapshot = request->snapshot, .commit = time};
    return STATUS_OK;
}

/* --- again --- */

static enum status commit_find_memory(struct participant *participant, struct commit_request *request)
{
    enum status status = commit_attempt(participant, request);

    for (unsigned attempt = 1; status == STATUS_OUT_OF_MEMORY && attempt < MEMORY_ATTEMPTS_MAX; attempt++) {
        if (!engine_reclaim(participant->engine))
            break;
        status = commit_attempt(participant, request);
    }
    return status;
}

/* For the client, who waited in vain. */
static void awaited_key_note(struct participant *participant, const struct commit_request *request)
{
    for (size_t i = 0; i < request->count; i++)
        if (request->writes[i].hash == request->awaited_hash)
            conflict_note(participant, request->writes[i].key);
}

/* K7. Waits for the key that was met holding no other: neither a shard, nor the key that it waited for before. With it, from C1
 * again. */
static enum status commit_in_turn(struct participant *participant, struct commit_request *request)
{
    enum status status = STATUS_LOCK_TIMEOUT;
    uint64_t deadline_ns = 0;

    while (status == STATUS_LOCK_TIMEOUT) {
        uint64_t hash = request->awaited_hash;

        status = key_lock_borrow(participant->engine, request->owner, hash, &deadline_ns);
        if (status != STATUS_OK) {
            awaited_key_note(participant, request);
            return status;
        }
        status = commit_find_memory(participant, request);
        key_lock_return(participant->engine, request->owner, hash);
    }
    return status;
}

enum status commit_run(struct participant *participant, struct commit_request *request)
{
    enum status status = commit_find_memory(participant, request);

    return status == STATUS_LOCK_TIMEOUT ? commit_in_turn(participant, request) : status;
}

/* --- a single command: the same steps for one write of one shard, with nothing read before. The fewer instructions from one
 * command's search to the next one's, the earlier the processor comes to what the next one will wait for --- */

struct single {
    struct participant *participant;
    struct engine *engine;
    unsigned shard;
    uint64_t hash;
    struct bytes key;
};

static inline struct single single_of(struct participant *participant, struct bytes key)
{
    uint64_t hash = key_hash(participant, key);

    REQUIRE(key.size >= 1 && key.size <= KEY_BYTES_MAX);
    return (struct single){
        .participant = participant,
        .engine = participant->engine,
        .shard = table_shard_of(&participant->engine->table, hash),
        .hash = hash,
        .key = key,
    };
}

static inline struct shard *single_shard(const struct single *single)
{
    return table_shard(&single->engine->table, single->shard);
}

/* C1, C1a. */
static inline enum status single_enter(const struct single *single)
{
    struct engine *engine = single->engine;
    enum status status = shard_acquire(engine, single->shard);

    if (status == STATUS_OK && key_locks_exist(engine) &&
        key_lock_is_foreign(engine, key_lock_owner_of(single->participant, TRANSACTION_SINGLE), single->hash)) {
        shard_release(engine, single->shard);
        return STATUS_LOCK_TIMEOUT;
    }
    return status;
}

/* Room on the page for a new key; the page may be another then. */
static enum status insert_reserve(struct table *table, unsigned shard, uint64_t hash, struct table_place *place)
{
    enum status status = STATUS_OK;
    bool is_done = false;

    while (status == STATUS_OK && !is_done)
        status = table_make_room(table, shard, hash, 1, &is_done);
    place->page = table_page_of(table, shard, hash);
    return status;
}

/* C3. The version comes first: behind the search, which misses the caches, there is then the less to do. */
static inline enum status put_reserve(const struct single *single, struct bytes value, struct table_place *place,
                                      struct block_ref *version)
{
    struct table *table = &single->engine->table;
    enum status status;

    *version = table_reserve(table, single->shard, single->key, value.size);
    if (block_ref_is_none(*version))
        return STATUS_OUT_OF_MEMORY;
    version_fill(table->segment, *version, 0, value);
    table_find_place(table, single->shard, single->hash, single->key, place);
    if (!block_ref_is_none(place->newest))
        return STATUS_OK;
    status = insert_reserve(table, single->shard, single->hash, place);
    if (status != STATUS_OK)
        table_unreserve(table, single->shard, *version);
    return status;
}

/* C4, C5. */
static inline uint64_t single_mark(const struct single *single, uint64_t shards, enum redo_kind kind, struct block_ref version)
{
    struct commit_record *record = &single->participant->slot->commit;
    uint64_t time;

    record->built_in[0] = redo_entry_of(kind, single->shard, version);
    time = commit_tick(single->engine);
    commit_mark(record, (struct chunk_ref){0}, 1, shards, time);
    return time;
}

/* C6, behind what is published, and C7. */
static inline void single_finish(const struct single *single, struct shard *shard, uint32_t garbage_before)
{
    struct commit_record *record = &single->participant->slot->commit;

    atomic_store_explicit(&record->pending, 0, memory_order_release);
    clean_some(&single->engine->table, single->shard, clean_count(shard, garbage_before, 1));
    robust_mutex_unlock(&shard->mutex);
    commit_finish(single->engine->segment, record, (struct chunk_ref){0});
}

static inline enum status put_attempt(const struct single *single, struct bytes value, uint64_t *time)
{
    enum status status = single_enter(single);
    uint64_t shards = shard_bit(single->shard);
    struct table_place place;
    struct block_ref version;
    uint32_t garbage_before;

    if (status != STATUS_OK)
        return status;
    garbage_before = single_shard(single)->garbage_count;
    status = put_reserve(single, value, &place, &version);
    if (status != STATUS_OK) {
        shard_release(single->engine, single->shard);
        return status;
    }
    *time = single_mark(single, shards, REDO_PUT, version);
    table_publish_at(&single->engine->table, &place, version, *time);
    single_finish(single, place.shard, garbage_before);
    return STATUS_OK;
}

/* *time stays 0 where there is no such key; *seen is when. */
static inline enum status del_attempt(const struct single *single, uint64_t *time, uint64_t *seen)
{
    struct engine *engine = single->engine;
    enum status status = single_enter(single);
    struct block_ref newest;
    uint32_t garbage_before;

    if (status != STATUS_OK)
        return status;
    garbage_before = single_shard(single)->garbage_count;
    newest = table_find(&engine->table, single->shard, single->hash, single->key);
    if (block_ref_is_none(newest) || atomic_load(&version_at(engine->segment, newest)->end) != TIME_INFINITE) {
        *seen = atomic_load(&engine->segment->header->clock);
        shard_release(engine, single->shard);
        return STATUS_OK;
    }
    *time = single_mark(single, shard_bit(single->shard), REDO_DEL, newest);
    table_end(&engine->table, single->shard, newest, *time);
    single_finish(single, single_shard(single), garbage_before);
    return STATUS_OK;
}

/* Memory is to be found first, or somebody's key to be waited for: with the loops, and times as they leave them. (Not by reference:
 * what nobody has the address of need not be in memory.) */
static enum status single_again(struct single single, enum redo_kind kind, struct bytes value)
{
    struct commit_write write = {
        .hash = single.hash,
        .shard = single.shard,
        .kind = kind,
        .key = single.key,
        .value = value,
        .value_size = value.size,
    };
    struct commit_request request = {
        .writes = &write,
        .count = 1,
        .owner = key_lock_owner_of(single.participant, TRANSACTION_SINGLE),
    };

    single.participant->times = (struct transaction_times){0};
    return commit_run(single.participant, &request);
}

static inline bool must_again(enum status status)
{
    return status == STATUS_OUT_OF_MEMORY || status == STATUS_LOCK_TIMEOUT;
}

/* 0: nothing was written. */
static inline void single_note(const struct single *single, uint64_t time)
{
    single->participant->times = (struct transaction_times){.snapshot = time, .commit = time};
    if (horizon_is_due(single->engine, time))
        horizon_advance_if_due(single->engine, time);
}

enum status commit_put(struct participant *participant, struct bytes key, struct bytes value)
{
    struct single single = single_of(participant, key);
    uint64_t time = 0;
    enum status status = put_attempt(&single, value, &time);

    if (must_again(status)) {
        status = single_again(single, REDO_PUT, value);
        time = participant->times.commit;
    }
    single_note(&single, time);
    return status;
}

enum status commit_del(struct participant *participant, struct bytes key)
{
    struct single single = single_of(participant, key);
    uint64_t time = 0;
    uint64_t seen = 0;
    enum status status = del_attempt(&single, &time, &seen);

    if (must_again(status)) {
        status = single_again(single, REDO_DEL, (struct bytes){0});
        time = participant->times.commit;
        seen = participant->times.snapshot;
    }
    single_note(&single, time);
    if (time == 0)
        participant->times.snapshot = seen;
    return status;
}
