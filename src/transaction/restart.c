/* The life of a segment beyond its server: taking over, looking, copying. */
#include <stdio.h>
#include <stdlib.h>

#include "transaction/engine.h"
#include "transaction/transaction.h"

static struct segment_options segment_options_of(const struct engine_options *options)
{
    return (struct segment_options){
        .name = options->name,
        .directory = options->directory,
        .bytes = options->bytes,
        .is_fresh = options->is_fresh,
        .may_be_on_disk = options->may_be_on_disk,
    };
}

static enum status refuse(char reason[SEGMENT_REASON_BYTES], const char *what)
{
    (void)snprintf(reason, SEGMENT_REASON_BYTES, "the segment cannot be trusted: %s; it is kept (--inspect looks at it, "
                                                 "--inspect with --dump saves what can be read, --fresh discards it)", what);
    return STATUS_DENIED;
}

/* Of a shard that is set aside nobody knows. */
static uint64_t keys_count(const struct engine *engine)
{
    uint64_t set_aside = shards_set_aside(engine);
    uint64_t keys = 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++)
        if ((set_aside >> shard & 1) == 0)
            keys += atomic_load(&table_shard(&engine->table, shard)->key_count);
    return keys;
}

/* Sets aside every shard that the check refuses. False: none would be left; nothing is changed then, and *what says why. */
static bool damaged_set_aside(struct engine *engine, struct engine_restart *report, shard_check is_fine, const char **what)
{
    uint64_t set_aside = shards_set_aside(engine);
    unsigned left = 0;

    for (unsigned shard = 0; shard < engine->table.shard_count; shard++) {
        const char *damage = NULL;

        if ((set_aside >> shard & 1) != 0) {
            if (report->shard_damage[shard] == NULL)
                report->shard_damage[shard] = "it was set aside before";
        } else if (!is_fine(engine, shard, &damage)) {
            report->shard_damage[shard] = damage;
        } else {
            left++;
        }
        if (report->shard_damage[shard] != NULL && *what == NULL)
            *what = report->shard_damage[shard];
    }
    for (unsigned shard = 0; left > 0 && shard < engine->table.shard_count; shard++)
        if (report->shard_damage[shard] != NULL)
            atomic_store(&table_shard(&engine->table, shard)->is_set_aside, 1);
    report->shards_set_aside = shards_set_aside(engine);
    return left > 0;
}

/* Looks before it touches: what is refused then is left as it was. A segment that was ended in order goes the same way: it
 * costs little, and nothing rests on the word of whoever ended it. */
static enum status repair(struct engine *engine, struct engine_restart *report, char reason[SEGMENT_REASON_BYTES])
{
    const char *what = NULL;

    if (!segment_frame_is_repairable(engine, &what) || !damaged_set_aside(engine, report, shard_is_repairable, &what))
        return refuse(reason, what);
    (void)segment_repair(engine, report);
    what = NULL;
    if (!damaged_set_aside(engine, report, shard_is_valid, &what) || !segment_frame_is_valid(engine, &what))
        return refuse(reason, what);
    report->keys = keys_count(engine);
    return STATUS_OK;
}

enum status engine_attach(const struct engine_options *options, enum segment_access access, struct engine **result,
                          struct engine_restart *report, char reason[SEGMENT_REASON_BYTES])
{
    struct segment_options segment_options = segment_options_of(options);
    struct engine *engine = calloc(1, sizeof(*engine));
    enum status status;

    *report = (struct engine_restart){0};
    if (engine == NULL) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "no private memory");
        return STATUS_INTERNAL;
    }
    status = segment_attach(&segment_options, access, table_fingerprint(), &engine->segment, reason);
    if (status != STATUS_OK)
        goto free_engine;
    report->was_clean = atomic_load(&engine->segment->header->is_clean) == 1;
    report->was_loading = atomic_load(&engine->segment->header->is_clean) == SEGMENT_IS_LOADING;
    status = table_attach(&engine->table, engine->segment) ? STATUS_OK : refuse(reason, "its table's root is damaged");
    if (status == STATUS_OK && access != SEGMENT_AS_IT_LIES)
        status = repair(engine, report, reason);
    if (status != STATUS_OK)
        goto detach_segment;
    engine->lock_timeout_ms = options->lock_timeout_ms;
    engine->reads_bytes_max = options->reads_bytes_max;
    engine->snapshot_timeout_ms = options->snapshot_timeout_ms;
    *result = engine;
    return STATUS_OK;

detach_segment:
    if (access == SEGMENT_TAKE_OVER)
        (void)segment_names_leave(engine->segment);
    segment_detach(engine->segment);
free_engine:
    free(engine);
    return status;
}

void engine_mark_clean(struct engine *engine)
{
    atomic_store(&engine->segment->header->is_clean, 1);
}

void engine_mark_loading(struct engine *engine, bool is_loading)
{
    atomic_store(&engine->segment->header->is_clean, is_loading ? SEGMENT_IS_LOADING : 0);
}

/* --- copying --- */

struct copy {
    struct participant *source;
    struct participant *target;
    struct key_list keys;
    unsigned char *value; /* of the pair under way */
    size_t value_capacity;
};

static enum status pair_copy(struct copy *copy, struct bytes key)
{
    struct value_view view;
    size_t size = 0;
    enum status status = transaction_get(copy->source, TRANSACTION_SINGLE, key, &view);

    if (status != STATUS_OK)
        return status;
    if (view.size > copy->value_capacity) {
        unsigned char *grown = realloc(copy->value, view.size);

        if (grown != NULL) {
            copy->value = grown;
            copy->value_capacity = view.size;
        }
    }
    if (view.size <= copy->value_capacity)
        while (size < view.size) {
            struct bytes piece = value_view_piece(&view, size);

            memcpy(copy->value + size, piece.data, piece.size);
            size += piece.size;
        }
    transaction_get_done(copy->source, TRANSACTION_SINGLE);
    if (size < view.size)
        return STATUS_INTERNAL;
    return transaction_put(copy->target, TRANSACTION_SINGLE, key, bytes_from(copy->value, size));
}

static enum status pairs_copy(struct copy *copy)
{
    uint64_t cursor = 0;
    enum status status;

    do {
        key_list_clear(&copy->keys);
        status = transaction_scan(copy->source, TRANSACTION_SINGLE, cursor, bytes_from(NULL, 0), 1000, &copy->keys,
                                  &cursor);
        for (size_t i = 0; status == STATUS_OK && i < copy->keys.count; i++)
            status = pair_copy(copy, key_list_key(&copy->keys, i));
    } while (status == STATUS_OK && cursor != 0);
    return status;
}

enum status engine_copy(struct engine *source, struct engine *target)
{
    struct copy copy = {0};
    enum status status = participant_open(source, &copy.source);

    if (status != STATUS_OK)
        return status;
    status = participant_open(target, &copy.target);
    if (status == STATUS_OK) {
        status = pairs_copy(&copy);
        participant_close(copy.target);
    }
    participant_close(copy.source);
    key_list_deinit(&copy.keys);
    free(copy.value);
    return status;
}

/* --- restarting --- */

static bool has_size(const struct engine *engine, const struct engine_options *options)
{
    unsigned shard_count = options->shard_count == 0 ? table_shard_count_for(options->bytes) : options->shard_count;

    return options->bytes == 0 || engine->segment->bytes == segment_bytes_for(options->bytes, table_root_bytes(options->bytes, shard_count));
}

/* The old segment keeps its names, and is owned, until the new one is whole and takes its place. */
static enum status resize(struct engine **engine, const struct engine_options *options,
                          char reason[SEGMENT_REASON_BYTES])
{
    struct engine_options resized_options = *options;
    struct engine *resized;
    enum status status;

    resized_options.is_replacement = true;
    resized_options.hash_key = (*engine)->segment->header->hash_key; /* who scans goes on where it was */
    status = engine_create(&resized_options, &resized, reason);
    if (status != STATUS_OK)
        return status;
    status = engine_copy(*engine, resized);
    if (status == STATUS_OUT_OF_MEMORY)
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "the data of the segment does not fit the memory given");
    else if (status != STATUS_OK)
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "cannot copy the segment: %s", status_message(status));
    else
        status = segment_replace(resized->segment, (*engine)->segment, reason);
    if (status != STATUS_OK) {
        segment_unlink(resized->segment);
        engine_detach(resized);
        return status;
    }
    engine_detach(*engine);
    *engine = resized;
    return STATUS_OK;
}

/* What is set aside cannot be copied, and would be gone with the old segment. */
static enum status resize_if_whole(struct engine **engine, const struct engine_options *options,
                                   const struct engine_restart *report, char reason[SEGMENT_REASON_BYTES])
{
    if (report->shards_set_aside == 0)
        return resize(engine, options, reason);
    (void)snprintf(reason, SEGMENT_REASON_BYTES,
                   "%d of its %u shards are set aside and cannot be copied into another size: it is kept and can be served in the "
                   "size that it has (without --memory); --inspect with --dump saves what can be read, --fresh discards it",
                   __builtin_popcountll(report->shards_set_aside), (*engine)->table.shard_count);
    return STATUS_DENIED;
}

enum status engine_restore(const struct engine_options *options, struct engine **result,
                           struct engine_restart *report, char reason[SEGMENT_REASON_BYTES])
{
    struct engine *engine;
    enum status status = engine_attach(options, SEGMENT_TAKE_OVER, &engine, report, reason);

    if (status != STATUS_OK)
        return status;
    if (!has_size(engine, options)) {
        report->was_resized = true;
        status = resize_if_whole(&engine, options, report, reason);
        if (status != STATUS_OK) {
            (void)segment_names_leave(engine->segment);
            engine_detach(engine);
            return status;
        }
    }
    atomic_store(&engine->segment->header->is_clean, 0);
    segment_take_over(engine->segment);
    *result = engine;
    return STATUS_OK;
}
