/* Birth of an engine, and the one function that locks shards. */
#include "transaction/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "segment/process_table.h"

enum status engine_create(const struct engine_options *options, struct engine **result,
                          char reason[SEGMENT_REASON_BYTES])
{
    unsigned shard_count = options->shard_count == 0 ? table_shard_count_for(options->bytes) : options->shard_count;
    struct segment_options segment_options = {
        .name = options->name,
        .directory = options->directory,
        .bytes = options->bytes,
        .is_fresh = options->is_fresh,
        .may_be_on_disk = options->may_be_on_disk,
        .is_replacement = options->is_replacement,
    };
    struct engine *engine = calloc(1, sizeof(*engine));
    enum status status;

    if (engine == NULL) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "no private memory");
        return STATUS_INTERNAL;
    }
    status = segment_create(&segment_options, table_root_bytes(options->bytes, shard_count), table_fingerprint(),
                            &engine->segment, reason);
    if (status != STATUS_OK)
        goto free_engine;
    status = table_create(&engine->table, engine->segment, shard_count);
    if (status != STATUS_OK) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "the segment is too small for %u shards", shard_count);
        goto remove_segment;
    }
    if (options->hash_key != NULL) /* nothing was hashed so far */
        memcpy(engine->segment->header->hash_key, options->hash_key, SIPHASH_KEY_BYTES);
    if (!options->is_replacement)
        status = segment_publish(engine->segment, reason);
    if (status != STATUS_OK)
        goto remove_segment;
    engine->lock_timeout_ms = options->lock_timeout_ms;
    engine->reads_bytes_max = options->reads_bytes_max;
    engine->snapshot_timeout_ms = options->snapshot_timeout_ms;
    *result = engine;
    return STATUS_OK;

remove_segment:
    segment_unlink(engine->segment);
    segment_detach(engine->segment);
free_engine:
    free(engine);
    return status;
}

unsigned engine_reserve_slots(struct engine *engine, unsigned slots)
{
    unsigned reserved = process_table_reserve(engine->segment, slots);

    /* Old versions may have the memory; a chunk of blocks that is emptied by half is none. */
    while (reserved < slots && engine_clean(engine) > 0)
        reserved = process_table_reserve(engine->segment, slots);
    return reserved;
}

void engine_detach(struct engine *engine)
{
    segment_detach(engine->segment);
    free(engine);
}

/* For who looks without the lock (recipe O): before anything else is stored in the shard. The release store is not seen before the
 * lock is, and nothing that follows the fence before it. Source: H. Boehm, "Can Seqlocks Get Along With Programming
 * Language Memory Models?", MSPC 2012. */
static void change_begin(struct shard *shard)
{
    uint64_t changes = atomic_load_explicit(&shard->changes, memory_order_relaxed);

    atomic_store_explicit(&shard->changes, changes + 1, memory_order_release);
    atomic_thread_fence(memory_order_release);
}

/* With all that was stored before, by this holder and those before it. */
void shard_quiet_begin(struct engine *engine, unsigned number)
{
    struct shard *shard = table_shard(&engine->table, number);

    atomic_store_explicit(&shard->quiet_at, atomic_load_explicit(&shard->changes, memory_order_relaxed), memory_order_release);
}

/* So does whoever gets the lock next, also from a holder that died while it was quiet. */
void shard_quiet_end(struct engine *engine, unsigned number)
{
    change_begin(table_shard(&engine->table, number));
}

/* The lock is held, as result says: repairs the shard if it was inherited, gives it back if it is set aside. */
static inline enum status shard_enter(struct engine *engine, unsigned number, enum mutex_result result)
{
    struct shard *shard = table_shard(&engine->table, number);

    change_begin(shard);
    if (result == MUTEX_INHERITED)
        recovery_shard(engine, number);
    if (atomic_load_explicit(&shard->is_set_aside, memory_order_relaxed) != 0) {
        robust_mutex_unlock(&shard->mutex);
        return STATUS_UNAVAILABLE;
    }
    return STATUS_OK;
}

enum status shard_acquire(struct engine *engine, unsigned number)
{
    enum mutex_result result = robust_mutex_lock(&table_shard(&engine->table, number)->mutex);

    return result == MUTEX_CLOSED ? STATUS_UNAVAILABLE : shard_enter(engine, number, result);
}

enum status shard_try_acquire(struct engine *engine, unsigned number)
{
    enum mutex_result result = robust_mutex_trylock(&table_shard(&engine->table, number)->mutex);

    if (result == MUTEX_BUSY)
        return STATUS_TIMEOUT;
    return result == MUTEX_CLOSED ? STATUS_UNAVAILABLE : shard_enter(engine, number, result);
}
