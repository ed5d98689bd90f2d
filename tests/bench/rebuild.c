/* How long the clients of a shard wait when its lock's holder has died: the rebuild of each shard of a full segment, as whoever
 * inherits the lock does it, and what a key costs.
 *
 *   build/bench/rebuild [--quick] [GiB...]      1, 4 and 8 by default; each needs so much memory */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/in_process.h"
#include "platform/clock.h"
#include "transaction/engine.h"

#define FULL_PERCENT 80u
#define BATCH_KEYS 10000u

static uint64_t fill(struct store *store, struct store_session *session)
{
    const struct segment *segment = shared_store_engine(store)->segment;
    uint64_t keys = 0;

    while ((uint64_t)segment_chunks_used(segment) * 100 < (uint64_t)segment->chunk_count * FULL_PERCENT) {
        for (uint64_t i = 0; i < BATCH_KEYS; i++) {
            char key[IN_PROCESS_KEY_BYTES + 1];
            char value[IN_PROCESS_VALUE_BYTES] = "value";

            in_process_key(key, keys++);
            in_process_put(session, key, value);
        }
    }
    return keys;
}

/* As recovery_shard, but that there is nothing to redo. */
static double shard_seconds(struct engine *engine, unsigned shard)
{
    uint64_t begin_ns = clock_monotonic_ns();

    table_repair_directory(&engine->table, shard);
    table_rebuild(&engine->table, shard);
    return (double)(clock_monotonic_ns() - begin_ns) / 1e9;
}

static int by_size(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;

    return (difference > 0) - (difference < 0);
}

/* The median of all shards, which another process on the machine changes little, and the longest. */
static void measure(size_t bytes)
{
    struct store_session *session;
    struct store *store = in_process_store(bytes, &session);
    struct engine *engine = shared_store_engine(store);
    uint64_t keys = fill(store, session);
    unsigned shards = engine->table.shard_count;
    double seconds[SHARD_COUNT_MAX] = {0};

    for (unsigned shard = 0; shard < shards; shard++)
        seconds[shard] = shard_seconds(engine, shard);
    qsort(seconds, shards, sizeof(seconds[0]), by_size);
    printf("%7.2f GiB, %9llu keys, %u shards: a shard takes %.1f ms, %.1f ns a key (median); the longest %.1f ms\n",
           (double)bytes / (double)(1u << 30), (unsigned long long)keys, shards, seconds[shards / 2] * 1e3,
           seconds[shards / 2] * 1e9 * shards / (double)keys, seconds[shards - 1] * 1e3);
    (void)fflush(stdout);
    store_session_close(session);
    shared_store_destroy(store);
}

int main(int argument_count, char **arguments)
{
    static const size_t usual[] = {1, 4, 8};

    if (argument_count > 1 && strcmp(arguments[1], "--quick") == 0) {
        measure((size_t)64 << 20);
        return 0;
    }
    for (int i = 1; i < argument_count; i++)
        measure((size_t)strtoul(arguments[i], NULL, 10) << 30);
    for (size_t i = 0; argument_count == 1 && i < sizeof(usual) / sizeof(usual[0]); i++)
        measure(usual[i] << 30);
    return 0;
}
