/* The report of a segment, part by part. */
#include "server/report.h"

#include <inttypes.h>

#include "segment/process_table.h"
#include "transaction/engine.h"

static const char *const state_names[] = {"free", "idle", "running", "expired"};

static void layout_write(FILE *stream, const struct engine *engine)
{
    const struct segment_header *header = engine->segment->header;
    uint32_t counts[CHUNK_KIND_COUNT] = {0};
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= engine->segment->chunk_count; chunk.number++) {
        enum chunk_kind kind = chunk_owner_kind(chunk_owner(engine->segment, chunk));

        if (kind < CHUNK_KIND_COUNT)
            counts[kind]++;
    }
    (void)fprintf(stream, "layout: %zu bytes, format %u, %u chunks of %zu bytes from offset %zu, %u shards, directory depth %u\n",
           engine->segment->bytes, header->format_version, engine->segment->chunk_count, CHUNK_BYTES,
           engine->segment->chunks_offset, engine->table.shard_count, engine->table.directory_depth);
    (void)fprintf(stream, "chunks: %u free, %u pages, %u blocks, %u values, %u logs, %u slots\n", counts[CHUNK_FREE],
           counts[CHUNK_PAGE], counts[CHUNK_BLOCK], counts[CHUNK_VALUE], counts[CHUNK_LOG], counts[CHUNK_SLOT]);
    (void)fprintf(stream, "clock: %" PRIu64 ", horizon: %" PRIu64 ", master: %u, ended in order: %s\n", atomic_load(&header->clock),
           atomic_load(&header->horizon), header->master_pid, atomic_load(&header->is_clean) == 1 ? "yes" : "no");
}

static void pin_write(FILE *stream, const char *what, uint64_t pin)
{
    if (pin == PIN_EVERYTHING)
        (void)fprintf(stream, "%s pins everything", what);
    else if (pin != PIN_NONE)
        (void)fprintf(stream, "%s pins %" PRIu64, what, pin);
    else
        (void)fprintf(stream, "%s pins nothing", what);
}

static void transactions_write(FILE *stream, const struct process_slot *slot)
{
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        uint64_t state = atomic_load(&slot->transactions[i].state);
        char what[64];

        if ((state & 3u) == TRANSACTION_FREE)
            continue;
        (void)snprintf(what, sizeof(what), "  transaction %u is %s,", i + 1, state_names[state & 3u]);
        pin_write(stream, what, atomic_load(&slot->transactions[i].pin));
        (void)fprintf(stream, "\n");
    }
}

static void slots_write(FILE *stream, const struct segment *segment)
{
    unsigned count = process_slot_count(segment);
    unsigned claimed = 0;

    for (unsigned number = 0; number < count; number++) {
        const struct process_slot *slot = process_slot_at(segment, number);
        uint64_t word = atomic_load(&slot->commit.word);

        if (atomic_load(&slot->claimed) == 0)
            continue;
        claimed++;
        (void)fprintf(stream, "slot %u: pid %u, ", number, atomic_load(&slot->pid));
        pin_write(stream, "single command", atomic_load(&slot->single_pin));
        if (word != 0)
            (void)fprintf(stream, ", COMMITTED at %" PRIu64 ", %u entries, pending shards %#" PRIx64 ", heirs that died: %u",
                   word >> 1, atomic_load(&slot->commit.redo_count), atomic_load(&slot->commit.pending),
                   atomic_load(&slot->commit.deaths));
        (void)fprintf(stream, "\n");
        transactions_write(stream, slot);
    }
    (void)fprintf(stream, "slots: %u, claimed: %u\n", count, claimed);
}

static void shards_write(FILE *stream, const struct engine *engine, bool is_in_use)
{
    uint64_t keys = 0;

    for (unsigned number = 0; number < engine->table.shard_count; number++) {
        const struct shard *shard = table_shard(&engine->table, number);
        const char *reason = NULL;

        if (!is_in_use && !shard_is_repairable(engine, number, &reason)) {
            (void)fprintf(stream, "shard %u: DAMAGED: %s\n", number, reason);
            continue;
        }
        keys += atomic_load(&shard->key_count);
        (void)fprintf(stream, "shard %u: %" PRIu64 " keys, %" PRIu64 " entries on %u pages, %u ended versions, last insert or delete "
               "at %" PRIu64 "%s\n",
               number, atomic_load(&shard->key_count), atomic_load(&shard->entry_count),
               atomic_load(&shard->page_count), shard->garbage_count, atomic_load(&shard->membership_time),
               atomic_load(&shard->is_set_aside) != 0 ? ", SET ASIDE" : "");
    }
    (void)fprintf(stream, "keys: %" PRIu64 "\n", keys);
}

void report_write(FILE *stream, const char *name, const struct engine *engine, bool is_in_use)
{
    const char *reason = NULL;

    (void)fprintf(stream, "segment: hauskv-%s, %s\n", name, is_in_use ? "in use by a living server" : "no server has it");
    layout_write(stream, engine);
    /* Of a dead one nobody knows that its slots are where it says; a living one changes while we look. */
    if (!is_in_use && !segment_frame_is_repairable(engine, &reason)) {
        (void)fprintf(stream, "damaged: %s\n", reason);
        return;
    }
    slots_write(stream, engine->segment);
    shards_write(stream, engine, is_in_use);
}
