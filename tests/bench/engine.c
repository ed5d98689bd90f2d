/* In-process figures of the engine, for orientation: gets and puts per second
 * at 1 thousand and 1 million keys, the longest pause of a put while growing to
 * 10 million keys, bytes per key. `make bench` runs it; nothing passes or fails. */
#include <stdio.h>
#include <stdlib.h>

#include "load/in_process.h"
#include "load/workload.h"
#include "platform/clock.h"
#include "transaction/engine.h"

#define PICKS 65536u

static void measure(uint64_t keys, uint64_t operations)
{
    struct store_session *session;
    struct store *store = in_process_store((size_t)512 << 20, &session);
    char (*texts)[IN_PROCESS_KEY_BYTES + 1] = malloc(sizeof(*texts) * PICKS);
    char value[IN_PROCESS_VALUE_BYTES] = "other";
    uint64_t random = 88172645463325252u;
    uint64_t begin;
    double get_ns;
    double put_ns;

    in_process_fill(session, keys);
    for (size_t i = 0; i < PICKS; i++)
        in_process_key(texts[i], workload_random(&random) % keys);
    begin = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        in_process_get(session, texts[i % PICKS], value);
    get_ns = (double)(clock_monotonic_ns() - begin) / (double)operations;
    begin = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        in_process_put(session, texts[i % PICKS], value);
    put_ns = (double)(clock_monotonic_ns() - begin) / (double)operations;
    printf("%8llu keys: get %6.0f ns (%.2f M/s), put %6.0f ns (%.2f M/s)\n", (unsigned long long)keys, get_ns,
           1e3 / get_ns, put_ns, 1e3 / put_ns);
    free(texts);
    store_session_close(session);
    shared_store_destroy(store);
}

static void measure_growth(uint64_t keys)
{
    struct store_session *session;
    struct store *store = in_process_store((size_t)3 << 30, &session);
    const struct segment *segment = shared_store_engine(store)->segment;
    uint64_t longest = in_process_fill(session, keys);

    printf("%8llu keys: longest put while growing %.0f us; %.1f bytes per key of %u + %u bytes\n",
           (unsigned long long)keys, (double)longest / 1e3,
           (double)segment_chunks_used(segment) * (double)CHUNK_BYTES / (double)keys, IN_PROCESS_KEY_BYTES,
           IN_PROCESS_VALUE_BYTES);
    store_session_close(session);
    shared_store_destroy(store);
}

int main(void)
{
    measure(1000, 4000000);
    measure(1000000, 4000000);
    measure_growth(10000000);
    return 0;
}
