/* What is done after a death. Both functions may themselves be killed at any
 * instruction and begun again by somebody else; neither takes a second shard
 * lock. Recipe R of README.md. */
#include "segment/process_table.h"
#include "transaction/engine.h"

#define COMMITTED(word) ((word) != 0)

static void redo_shard(struct engine *engine, struct process_slot *slot, unsigned shard)
{
    struct commit_record *commit = &slot->commit;
    uint64_t time = atomic_load(&commit->word) >> 1;
    uint32_t count = atomic_load(&commit->redo_count);

    for (uint32_t i = 0; i < count; i++) {
        const struct redo_entry *entry = redo_entry_at(engine->segment, commit, i);
        struct block_ref version;

        INVARIANT(entry != NULL);
        if (entry->shard != shard)
            continue;
        version.units = entry->version;
        if (entry->kind == REDO_PUT)
            table_redo_publish(&engine->table, shard, version, time);
        else if (entry->kind == REDO_DEL)
            table_redo_end(&engine->table, shard, version, time);
    }
    atomic_fetch_and(&commit->pending, ~((uint64_t)1 << shard));
}

/* R1: finish a page split. R2: redo. R3: rebuild what is derived. R4: consistent.
 * Redo goes first: it needs no memory and no derived data, and after it the
 * table alone reaches everything that lives, so the rebuild cannot free a
 * committed version that was not published yet. */
void recovery_shard(struct engine *engine, unsigned shard)
{
    unsigned count = process_slot_count(engine->segment);

    table_repair_directory(&engine->table, shard);
    for (unsigned number = 0; number < count; number++) {
        struct process_slot *slot = process_slot_at(engine->segment, number);

        if (COMMITTED(atomic_load(&slot->commit.word)) && (atomic_load(&slot->commit.pending) >> shard & 1) != 0)
            redo_shard(engine, slot, shard);
    }
    table_rebuild(&engine->table, shard);
    robust_mutex_mark_consistent(&table_shard(&engine->table, shard)->mutex);
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

enum status slot_drain(struct engine *engine, unsigned number)
{
    struct process_slot *slot = process_slot_at(engine->segment, number);
    enum status status = pending_drain(engine, slot);

    if (status != STATUS_OK)
        return status;
    atomic_store(&slot->commit.word, 0); /* before anything else of the record, as in a commit */
    atomic_store(&slot->commit.pending, 0);
    atomic_store(&slot->commit.redo_chunk, 0);
    atomic_store(&slot->commit.redo_count, 0);
    atomic_store(&slot->commit.deaths, 0);
    slot_chunks_release(engine->segment, number);
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        uint64_t word = atomic_load(&slot->transactions[i].state);

        /* Whoever looks at an IDLE word to expire it must fail from now on. */
        while (!atomic_compare_exchange_weak(&slot->transactions[i].state, &word, ((word >> 2) + 1) << 2))
            continue;
        atomic_store(&slot->transactions[i].pin, PIN_NONE);
    }
    atomic_store(&slot->single_pin, PIN_NONE);
    return STATUS_OK;
}
