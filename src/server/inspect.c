/* The report of a segment, part by part, and the copy of it that is repaired and checked. */
#include "server/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/diagnostic.h"
#include "segment/process_table.h"
#include "server/dump.h"
#include "store/shared_store.h"
#include "transaction/engine.h"

static const char *const state_names[] = {"free", "idle", "running", "expired"};

static void layout_print(const struct engine *engine)
{
    const struct segment_header *header = engine->segment->header;
    uint32_t counts[CHUNK_KIND_COUNT] = {0};
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= engine->segment->chunk_count; chunk.number++) {
        enum chunk_kind kind = chunk_owner_kind(chunk_owner(engine->segment, chunk));

        if (kind < CHUNK_KIND_COUNT)
            counts[kind]++;
    }
    printf("layout: %zu bytes, format %u, %u chunks of %zu bytes from offset %zu, %u shards, directory depth %u\n",
           engine->segment->bytes, header->format_version, engine->segment->chunk_count, CHUNK_BYTES,
           engine->segment->chunks_offset, engine->table.shard_count, engine->table.directory_depth);
    printf("chunks: %u free, %u pages, %u blocks, %u values, %u logs, %u slots\n", counts[CHUNK_FREE],
           counts[CHUNK_PAGE], counts[CHUNK_BLOCK], counts[CHUNK_VALUE], counts[CHUNK_LOG], counts[CHUNK_SLOT]);
    printf("clock: %" PRIu64 ", horizon: %" PRIu64 ", master: %u, ended in order: %s\n", atomic_load(&header->clock),
           atomic_load(&header->horizon), header->master_pid, atomic_load(&header->is_clean) != 0 ? "yes" : "no");
}

static void pin_print(const char *what, uint64_t pin)
{
    if (pin == PIN_EVERYTHING)
        printf("%s pins everything", what);
    else if (pin != PIN_NONE)
        printf("%s pins %" PRIu64, what, pin);
    else
        printf("%s pins nothing", what);
}

static void transactions_print(const struct process_slot *slot)
{
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        uint64_t state = atomic_load(&slot->transactions[i].state);
        char what[64];

        if ((state & 3u) == TRANSACTION_FREE)
            continue;
        (void)snprintf(what, sizeof(what), "  transaction %u is %s,", i + 1, state_names[state & 3u]);
        pin_print(what, atomic_load(&slot->transactions[i].pin));
        printf("\n");
    }
}

static void slots_print(const struct segment *segment)
{
    unsigned count = process_slot_count(segment);
    unsigned claimed = 0;

    for (unsigned number = 0; number < count; number++) {
        const struct process_slot *slot = process_slot_at(segment, number);
        uint64_t word = atomic_load(&slot->commit.word);

        if (atomic_load(&slot->claimed) == 0)
            continue;
        claimed++;
        printf("slot %u: pid %u, ", number, atomic_load(&slot->pid));
        pin_print("single command", atomic_load(&slot->single_pin));
        if (word != 0)
            printf(", COMMITTED at %" PRIu64 ", %u entries, pending shards %#" PRIx64 ", heirs that died: %u",
                   word >> 1, atomic_load(&slot->commit.redo_count), atomic_load(&slot->commit.pending),
                   atomic_load(&slot->commit.deaths));
        printf("\n");
        transactions_print(slot);
    }
    printf("slots: %u, claimed: %u\n", count, claimed);
}

static void shards_print(const struct engine *engine)
{
    uint64_t keys = 0;

    for (unsigned number = 0; number < engine->table.shard_count; number++) {
        const struct shard *shard = table_shard(&engine->table, number);

        keys += atomic_load(&shard->key_count);
        printf("shard %u: %" PRIu64 " keys, %" PRIu64 " entries on %u pages, %u ended versions, last insert or delete "
               "at %" PRIu64 "%s\n",
               number, atomic_load(&shard->key_count), atomic_load(&shard->entry_count),
               atomic_load(&shard->page_count), shard->garbage_count, atomic_load(&shard->membership_time),
               atomic_load(&shard->is_set_aside) != 0 ? ", SET ASIDE" : "");
    }
    printf("keys: %" PRIu64 "\n", keys);
}

static void report_print(const struct engine *engine, bool is_in_use)
{
    const char *reason = NULL;

    layout_print(engine);
    /* Of a dead one nobody knows that its slots are where it says; a living one changes while we look. */
    if (!is_in_use && !segment_is_repairable(engine, &reason)) {
        printf("damaged: %s\n", reason);
        return;
    }
    slots_print(engine->segment);
    shards_print(engine);
}

static int dump(struct store *store)
{
    uint64_t pairs;
    bool is_whole = dump_write(store, stdout, &pairs);

    if (is_whole)
        diagnostic_info("%" PRIu64 " pairs", pairs);
    return is_whole ? 0 : 1;
}

/* Repairs and checks a copy that only this process sees; with_dump writes its pairs. */
static int copy_examine(const struct shared_store_options *options, bool with_dump)
{
    struct shared_store_restart restart;
    struct store *store;
    int exit_status = 0;

    if (shared_store_attach(options, true, &store, &restart) != STATUS_OK) {
        if (!with_dump)
            printf("valid: no\n");
        diagnostic_error("%s: %s", options->name, shared_store_reason());
        return 1;
    }
    if (with_dump)
        exit_status = dump(store);
    else
        printf("valid: yes; a restart finds %" PRIu64 " keys, finishes %u commits and ends %u sessions of the dead\n",
               restart.keys, restart.commits_finished, restart.sessions_ended);
    shared_store_destroy(store);
    return exit_status;
}

/* Whoever reads a part of the report must not take it for the whole. */
static int report_finish(int exit_status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return exit_status;
    diagnostic_error("The report cannot be written: %s", strerror(errno));
    return 1;
}

int inspect_run(const struct server_config *config)
{
    struct shared_store_options options = {
        .name = config->inspect_name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
    };
    struct shared_store_restart restart;
    struct store *store;
    bool is_in_use;
    int exit_status = 0;

    if (shared_store_attach(&options, false, &store, &restart) != STATUS_OK) {
        diagnostic_error("%s: %s", options.name, shared_store_reason());
        return 1;
    }
    is_in_use = segment_is_in_use(shared_store_engine(store)->segment);
    if (!config->is_dump) {
        printf("segment: hauskv-%s, %s\n", options.name, is_in_use ? "in use by a living server" : "no server has it");
        report_print(shared_store_engine(store), is_in_use);
    } else if (is_in_use) {
        exit_status = dump(store);
    }
    shared_store_destroy(store);
    if (!is_in_use)
        exit_status = copy_examine(&options, config->is_dump);
    else if (!config->is_dump)
        printf("valid: not asked while others are inside\n");
    return config->is_dump ? exit_status : report_finish(exit_status);
}
