/* Everything that must be true of a segment in which nobody is. */
#include "segment/process_table.h"
#include "transaction/engine.h"
#include "transaction/key_lock.h"

/* Before any slot is looked at: where they are said to be is where they are. */
static bool slot_blocks_are_valid(const struct segment *segment, const char **reason)
{
    unsigned used = process_slot_count(segment) / (unsigned)SLOTS_PER_BLOCK;

    for (unsigned block = 0; block < SEGMENT_SLOT_BLOCKS_MAX; block++) {
        struct chunk_ref chunk = {atomic_load(&segment->header->slot_blocks[block])};
        bool is_block = chunk_ref_is_inside(segment, chunk) &&
                        chunk_owner(segment, chunk) == chunk_owner_word(CHUNK_SLOT, 0, block);

        if (block < used ? !is_block : !chunk_ref_is_none(chunk)) {
            *reason = "a block of slots is no chunk of slots";
            return false;
        }
    }
    return true;
}

/* What its commit waits for is in shards that are set aside, all of it: it stays as it is (process_slot_abandon). */
static bool slot_is_abandoned(const struct engine *engine, const struct process_slot *slot)
{
    uint64_t pending = atomic_load(&slot->commit.pending);

    return pending != 0 && (pending & ~shards_set_aside(engine)) == 0;
}

/* Nobody inside: no lock held, no commit under way. */
static bool slots_are_valid(const struct engine *engine, const char **reason)
{
    unsigned count = process_slot_count(engine->segment);

    if (!slot_blocks_are_valid(engine->segment, reason))
        return false;
    for (unsigned number = 0; number < count; number++) {
        const struct process_slot *slot = process_slot_at(engine->segment, number);

        if (!process_slot_is_valid(engine->segment, number, reason))
            return false;
        if (atomic_load(&slot->commit.word) != 0 && !slot_is_abandoned(engine, slot)) {
            *reason = "a commit is not finished";
            return false;
        }
    }
    return true;
}

/* Chunks of slots and logs belong to slots that exist and are claimed; no more chunks are free than the hint says. */
static bool owners_are_valid(const struct engine *engine, const char **reason)
{
    const struct segment *segment = engine->segment;
    unsigned slot_count = process_slot_count(segment);
    uint32_t free_count = segment->chunk_count - segment_chunks_used(segment);
    struct chunk_ref chunk;

    *reason = NULL;
    for (chunk.number = 1; *reason == NULL && chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);
        unsigned owner = chunk_owner_owner(word);

        switch (chunk_owner_kind(word)) {
        case CHUNK_LOG:
            if (owner >= slot_count || atomic_load(&process_slot_at(segment, owner)->claimed) == 0)
                *reason = "a log's chunk belongs to no process";
            break;
        case CHUNK_SLOT:
            if (owner >= SEGMENT_SLOT_BLOCKS_MAX || atomic_load(&segment->header->slot_blocks[owner]) != chunk.number)
                *reason = "a chunk of slots is not in use";
            break;
        case CHUNK_PAGE:
        case CHUNK_BLOCK:
        case CHUNK_VALUE:
            if (owner >= engine->table.shard_count)
                *reason = "a chunk belongs to no shard";
            break;
        case CHUNK_FREE:
        case CHUNK_KIND_COUNT:
        default:
            break;
        }
    }
    if (*reason == NULL && free_count > atomic_load(&segment->header->chunks_free_at_most))
        *reason = "more chunks are free than the hint says";
    return *reason == NULL;
}

bool segment_frame_is_valid(const struct engine *engine, const char **reason)
{
    return segment_header_is_valid(engine->segment, reason) && slots_are_valid(engine, reason) &&
           owners_are_valid(engine, reason) && key_locks_are_valid(engine, reason);
}

uint64_t shards_set_aside(const struct engine *engine)
{
    uint64_t shards = 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++)
        if (atomic_load(&table_shard(&engine->table, shard)->is_set_aside) != 0)
            shards |= (uint64_t)1 << shard;
    return shards;
}

bool shard_is_valid(const struct engine *engine, unsigned shard, const char **reason)
{
    return table_shard_is_valid(&engine->table, shard, reason);
}

/* All shards but those that are set aside. */
static bool shards_are_fine(const struct engine *engine, shard_check is_fine, const char **reason)
{
    uint64_t set_aside = shards_set_aside(engine);

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++)
        if ((set_aside >> shard & 1) == 0 && !is_fine(engine, shard, reason))
            return false;
    return true;
}

bool segment_is_valid(const struct engine *engine, const char **reason)
{
    return segment_frame_is_valid(engine, reason) && shards_are_fine(engine, shard_is_valid, reason);
}

/* --- what a restart asks before it touches anything --- */

static bool redo_list_is_sound(const struct engine *engine, const struct commit_record *commit, const char **reason)
{
    uint32_t count = atomic_load(&commit->redo_count);
    struct redo_cursor cursor = {0};

    while (cursor.index < count) {
        const struct redo_entry *entry = redo_next(engine->segment, commit, &cursor);

        if (entry == NULL || entry->shard >= engine->table.shard_count || entry->kind >= REDO_KIND_COUNT) {
            *reason = "a committed log is of no shard or kind";
            return false;
        }
    }
    return true;
}

bool segment_frame_is_repairable(const struct engine *engine, const char **reason)
{
    unsigned count;

    if (!segment_header_is_valid(engine->segment, reason) || !slot_blocks_are_valid(engine->segment, reason))
        return false;
    count = process_slot_count(engine->segment);
    for (unsigned number = 0; number < count; number++) {
        const struct process_slot *slot = process_slot_at(engine->segment, number);

        if (!process_slot_is_valid(engine->segment, number, reason) ||
            (atomic_load(&slot->commit.word) != 0 && !redo_list_is_sound(engine, &slot->commit, reason)))
            return false;
    }
    return true;
}

/* Whether redo will follow an entry in the shard. What was published already may have been overwritten since, and freed: the
 * version that the entry names is gone then, and its memory something else's. */
static bool redo_entry_counts(uint64_t pending, const struct redo_entry *entry, unsigned shard)
{
    return entry->shard == shard && (pending >> shard & 1) != 0;
}

static bool redo_is_sound(const struct engine *engine, const struct commit_record *commit, unsigned shard)
{
    uint64_t pending = atomic_load(&commit->pending);
    uint32_t count = atomic_load(&commit->redo_count);
    struct redo_cursor cursor = {0};

    while (cursor.index < count) {
        const struct redo_entry *entry = redo_next(engine->segment, commit, &cursor);

        if (redo_entry_counts(pending, entry, shard) &&
            !version_is_valid(engine->segment, shard, (struct block_ref){entry->version}))
            return false;
    }
    return true;
}

bool shard_is_repairable(const struct engine *engine, unsigned shard, const char **reason)
{
    unsigned count = process_slot_count(engine->segment);

    for (unsigned number = 0; number < count; number++) {
        const struct commit_record *commit = &process_slot_at(engine->segment, number)->commit;

        if (atomic_load(&commit->word) != 0 && !redo_is_sound(engine, commit, shard)) {
            *reason = "a committed log names what is no version";
            return false;
        }
    }
    return table_shard_is_repairable(&engine->table, shard, reason);
}

bool segment_is_repairable(const struct engine *engine, const char **reason)
{
    return segment_frame_is_repairable(engine, reason) && shards_are_fine(engine, shard_is_repairable, reason);
}
