/* What is done after a death. recovery_shard and slot_drain may themselves be
 * killed at any instruction and begun again by somebody else; neither takes a
 * second shard lock. Recipe R of README.md. */
#include "deaths.h"

#include "platform/diagnostic.h"
#include "platform/progress.h"
#include "segment/process_table.h"
#include "transaction/engine.h"
#include "transaction/key_lock.h"

#define COMMITTED(word) ((word) != 0)

/* False: the record is damaged. */
static bool redo_shard(struct engine *engine, struct process_slot *slot, unsigned shard)
{
    struct commit_record *commit = &slot->commit;
    uint64_t time = atomic_load(&commit->word) >> 1;
    uint32_t count = atomic_load(&commit->redo_count);
    struct redo_cursor cursor = {0};

    while (cursor.index < count) {
        const struct redo_entry *entry = redo_next(engine->segment, commit, &cursor);
        struct block_ref version;

        INVARIANT(entry != NULL);
        progress_note(shard + 1);
        if (entry->shard != shard)
            continue;
        version.units = entry->version;
        if (entry->kind == REDO_PUT && !table_redo_publish(&engine->table, shard, version, time))
            return false;
        if (entry->kind == REDO_DEL)
            table_redo_end(&engine->table, shard, version, time);
    }
    /* The record is its slot's drain's from here on: not even deaths may be counted there any more. */
    deaths_blame(NULL);
    atomic_fetch_and(&commit->pending, ~((uint64_t)1 << shard));
    return true;
}

/* False: one of the commits that this shard waits for has killed too many heirs. */
static bool redo_all(struct engine *engine, unsigned shard)
{
    unsigned count = process_slot_count(engine->segment);

    for (unsigned number = 0; number < count; number++) {
        struct process_slot *slot = process_slot_at(engine->segment, number);
        struct commit_record *commit = &slot->commit;

        if (!COMMITTED(atomic_load(&commit->word)) || (atomic_load(&commit->pending) >> shard & 1) == 0)
            continue;
        if (atomic_load(&commit->deaths) >= RECOVERY_DEATHS_MAX)
            return false;
        deaths_blame(&commit->deaths);
        if (!redo_shard(engine, slot, shard))
            return false;
    }
    return true;
}

/* R1: finish a page split. R2: redo. R3: rebuild what is derived. Redo goes
 * first: it needs no memory and no derived data, and after it the table alone
 * reaches everything that lives, so the rebuild cannot free a committed version
 * that was not published yet. */
static bool shard_repair(struct engine *engine, unsigned number)
{
    struct shard *shard = table_shard(&engine->table, number);

    if (atomic_load(&shard->deaths) >= RECOVERY_DEATHS_MAX)
        return false;
    deaths_blame(&shard->deaths);
    table_repair_directory(&engine->table, number);
    if (!redo_all(engine, number))
        return false;
    deaths_blame(&shard->deaths);
    table_rebuild(&engine->table, number);
    deaths_blame(NULL);
    return true;
}

void recovery_shard(struct engine *engine, unsigned number)
{
    struct shard *shard = table_shard(&engine->table, number);
    bool was_set_aside = atomic_load(&shard->is_set_aside) != 0;

    if (!was_set_aside && !shard_repair(engine, number)) {
        atomic_store(&shard->is_set_aside, 1);
        diagnostic_error("Shard %u is set aside: it, or a commit that it waits for, cannot be repaired. Its keys answer "
                         "`unavailable` from now on, also after a restart",
                         number);
    }
    deaths_blame(NULL);
    robust_mutex_mark_consistent(&shard->mutex); /* R4 */
}

static enum status pending_drain(struct engine *engine, struct process_slot *slot)
{
    uint64_t pending = COMMITTED(atomic_load(&slot->commit.word)) ? atomic_load(&slot->commit.pending) : 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++) {
        enum status status;

        if ((pending >> shard & 1) == 0)
            continue;
        status = shard_acquire(engine, shard);
        if (status != STATUS_OK)
            return status;
        shard_release(engine, shard);
    }
    return STATUS_OK;
}

static void slot_chunks_release(struct segment *segment, unsigned number)
{
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++)
        if (chunk_owner(segment, chunk) == chunk_owner_word(CHUNK_LOG, 0, number))
            chunk_release(segment, chunk);
}

static void transactions_drain(struct process_slot *slot)
{
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        uint64_t word = atomic_load(&slot->transactions[i].state);
        uint64_t drained;

        /* Before the state: should this process die in between, a free transaction that pins would look like damage. */
        atomic_store(&slot->transactions[i].pin, PIN_NONE);
        /* Whoever looks at an IDLE word to expire it must fail from now on. */
        do
            drained = ((word >> 2) + 1) << 2; /* TRANSACTION_FREE */
        while (!atomic_compare_exchange_weak(&slot->transactions[i].state, &word, drained));
    }
    atomic_store(&slot->single_pin, PIN_NONE);
}

/* The pins go first: the dead read nothing any more, and where the slot must
 * stay as it is they would hold back the horizon for good. So do the keys: they
 * would be waited for in vain, and what the dead committed is published by whoever
 * inherits its shard before anybody reads it. */
enum status slot_drain(struct engine *engine, unsigned number)
{
    struct process_slot *slot = process_slot_at(engine->segment, number);
    enum status status;

    transactions_drain(slot);
    key_locks_drain(engine, number);
    status = pending_drain(engine, slot);
    if (status != STATUS_OK)
        return status;
    atomic_store(&slot->commit.word, 0); /* before anything else of the record, as in a commit */
    atomic_store(&slot->commit.pending, 0);
    atomic_store(&slot->commit.redo_chunk, 0);
    atomic_store(&slot->commit.redo_count, 0);
    atomic_store(&slot->commit.deaths, 0);
    slot_chunks_release(engine->segment, number);
    return STATUS_OK;
}

/* Whether a drain would find every shard that it must lock free, or its recovery done by now. */
static bool drain_need_not_wait(struct engine *engine, const struct process_slot *slot)
{
    uint64_t pending = COMMITTED(atomic_load(&slot->commit.word)) ? atomic_load(&slot->commit.pending) : 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++) {
        enum status status = (pending >> shard & 1) != 0 ? shard_try_acquire(engine, shard) : STATUS_UNAVAILABLE;

        if (status == STATUS_OK)
            shard_release(engine, shard);
        else if (status == STATUS_TIMEOUT)
            return false;
    }
    return key_locks_can_be_entered(engine);
}

static bool dead_slot_drain(struct engine *engine, unsigned number)
{
    if (!drain_need_not_wait(engine, process_slot_at(engine->segment, number)))
        return false;
    switch (process_slot_claim_number(engine->segment, number)) {
    case SLOT_INHERITED:
        if (slot_drain(engine, number) != STATUS_OK) {
            process_slot_abandon(engine->segment, number);
            return false;
        }
        process_slot_mark_drained(engine->segment, number);
        process_slot_release(engine->segment, number);
        return true;
    case SLOT_CLAIMED: /* its process left it meanwhile */
        process_slot_release(engine->segment, number);
        return false;
    case SLOT_BUSY:
    case SLOT_NONE:
    default:
        return false;
    }
}

unsigned slots_drain_dead(struct engine *engine)
{
    unsigned count = process_slot_count(engine->segment);
    unsigned drained = 0;

    process_table_tidy(engine->segment);
    for (unsigned number = 0; number < count; number++)
        if (atomic_load(&process_slot_at(engine->segment, number)->claimed) != 0)
            drained += dead_slot_drain(engine, number);
    return drained;
}

static bool process_holds_lock(const struct engine *engine, pid_t pid)
{
    const struct segment_header *header = engine->segment->header;

    return robust_mutex_is_held_by(&header->slots_mutex, pid) || robust_mutex_is_held_by(&header->key_lock_mutex, pid) ||
           shards_held_by(engine, pid) != 0;
}

bool slot_is_holding(const struct engine *engine, unsigned number)
{
    const struct process_slot *slot = process_slot_at(engine->segment, number);
    bool is_holding = atomic_load(&slot->single_pin) != PIN_NONE || COMMITTED(atomic_load(&slot->commit.word)) ||
                      atomic_load(&slot->key_locks.count) != 0;

    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        unsigned state = atomic_load(&slot->transactions[i].state) & 3u;

        is_holding = is_holding || state == TRANSACTION_RUNNING ||
                     (state == TRANSACTION_IDLE && atomic_load(&slot->transactions[i].pin) != PIN_NONE);
    }
    return is_holding || process_holds_lock(engine, (pid_t)atomic_load(&slot->pid));
}

/* The locks last: one that a process died with says that what was derived of its shard is not true, to whoever looks when this
 * process has died in the middle (a dump, which trusts the counts else). */
static void shards_repair(struct engine *engine, struct engine_restart *report)
{
    for (unsigned number = 0; number < engine->table.shard_count; number++) {
        struct shard *shard = table_shard(&engine->table, number);

        shard_quiet_begin(engine, number); /* until somebody has it: whatever stands there now */
        if (report->was_clean)
            atomic_store(&shard->deaths, 0);
        if (atomic_load(&shard->is_set_aside) == 0 && !shard_repair(engine, number)) {
            atomic_store(&shard->is_set_aside, 1);
            report->shard_damage[number] = "it, or a commit that it waits for, has cost too many processes or makes no sense";
        }
        deaths_blame(NULL);
        robust_mutex_init(&shard->mutex);
    }
    report->shards_set_aside = shards_set_aside(engine);
}

/* A slot whose commit needs what is set aside stays claimed, with its record and its chunks, and nobody gets it. */
static void slots_repair(struct engine *engine, struct engine_restart *report)
{
    unsigned count = process_slot_count(engine->segment);

    for (unsigned number = 0; number < count; number++) {
        struct process_slot *slot = process_slot_at(engine->segment, number);

        if (atomic_load(&slot->claimed) == 0)
            continue;
        if (slot_drain(engine, number) != STATUS_OK) {
            report->slots_abandoned++;
            process_slot_abandon_again(engine->segment, number);
            continue;
        }
        report->slots_drained++;
        atomic_store(&slot->claimed, 0);
        atomic_store(&slot->pid, 0);
    }
}

/* Times that nobody is waiting by any more; whatever a damaged segment says there, it delays or ends nothing. */
static void times_reset(struct segment_header *header)
{
    atomic_store(&header->horizon_due, 1);
    atomic_store(&header->snapshots_old_before, 0);
    atomic_store(&header->snapshots_ended_before, 0);
}

bool segment_repair(struct engine *engine, struct engine_restart *report)
{
    struct segment *segment = engine->segment;
    unsigned count = process_slot_count(segment);

    process_table_reset_locks(segment);
    times_reset(segment->header);
    key_locks_rebuild(engine);
    for (unsigned number = 0; number < count; number++) {
        const struct commit_record *commit = &process_slot_at(segment, number)->commit;

        report->commits_finished += COMMITTED(atomic_load(&commit->word)) && atomic_load(&commit->pending) != 0;
    }
    table_forget_level(&engine->table);
    shards_repair(engine, report);
    slots_repair(engine, report);
    report->commits_finished -= report->slots_abandoned < report->commits_finished ? report->slots_abandoned : report->commits_finished;
    atomic_store(&segment->header->chunks_free_at_most, segment->chunk_count - segment_chunks_used(segment));
    return report->shards_set_aside == 0;
}

void engine_bury(struct engine *engine, pid_t dead)
{
    unsigned slot_count = process_slot_count(engine->segment);
    unsigned locks = 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++)
        locks += robust_mutex_bury(&table_shard(&engine->table, shard)->mutex, dead);
    for (unsigned number = 0; number < slot_count; number++)
        locks += robust_mutex_bury(&process_slot_at(engine->segment, number)->life, dead);
    locks += robust_mutex_bury(&engine->segment->header->slots_mutex, dead);
    locks += robust_mutex_bury(&engine->segment->header->key_lock_mutex, dead);
    if (locks > 0)
        diagnostic_warning("process %d left %u locks to us that the kernel had not passed on", (int)dead, locks);
}
