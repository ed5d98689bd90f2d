/* In-process figures of the engine, for orientation: gets and puts per second
 * at 1 thousand and 1 million keys, the longest pause of a put while growing to
 * 10 million keys, bytes per key. `make bench` runs it; nothing passes or fails. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/clock.h"
#include "store/shared_store.h"
#include "transaction/engine.h"

#define KEY_SIZE 16
#define VALUE_SIZE 64

static struct bytes key_make(char text[KEY_SIZE + 1], uint64_t i)
{
    (void)snprintf(text, KEY_SIZE + 1, "key:%012llu", (unsigned long long)i);
    return bytes_from(text, KEY_SIZE);
}

static void value_take(void *context, struct bytes piece)
{
    memcpy(context, piece.data, piece.size);
}

static struct store *store_make(size_t bytes, struct store_session **session)
{
    struct shared_store_options options = {.bytes = bytes};
    struct store *store;

    if (shared_store_create(&options, &store) != STATUS_OK || store_session_open(store, session) != STATUS_OK) {
        (void)fprintf(stderr, "no store: %s\n", shared_store_reason());
        exit(1);
    }
    return store;
}

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "unexpected: %s\n", status_code(status));
        exit(1);
    }
}

/* Puts keys 0..count-1; returns the longest single put in ns. */
static uint64_t fill(struct store_session *session, uint64_t count)
{
    char value[VALUE_SIZE] = "value";
    uint64_t longest = 0;

    for (uint64_t i = 0; i < count; i++) {
        char text[KEY_SIZE + 1];
        struct bytes key = key_make(text, i);
        uint64_t begin = clock_monotonic_ns();
        uint64_t took;

        must(store_put(session, STORE_SINGLE, key, bytes_from(value, sizeof(value))));
        took = clock_monotonic_ns() - begin;
        if (took > longest)
            longest = took;
    }
    return longest;
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void measure(uint64_t keys, uint64_t operations)
{
    struct store_session *session;
    struct store *store = store_make((size_t)512 << 20, &session);
    char (*texts)[KEY_SIZE + 1] = malloc(sizeof(*texts) * 65536);
    char value[VALUE_SIZE] = "other";
    struct store_sink sink = {value_take, value};
    uint64_t random = 88172645463325252u;
    uint64_t begin;
    double get_ns;
    double put_ns;

    fill(session, keys);
    for (size_t i = 0; i < 65536; i++)
        key_make(texts[i], next_random(&random) % keys);
    begin = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        must(store_get(session, STORE_SINGLE, bytes_from(texts[i % 65536], KEY_SIZE), &sink));
    get_ns = (double)(clock_monotonic_ns() - begin) / (double)operations;
    begin = clock_monotonic_ns();
    for (uint64_t i = 0; i < operations; i++)
        must(store_put(session, STORE_SINGLE, bytes_from(texts[i % 65536], KEY_SIZE),
                       bytes_from(value, sizeof(value))));
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
    struct store *store = store_make((size_t)3 << 30, &session);
    const struct segment *segment = shared_store_engine(store)->segment;
    uint64_t longest = fill(session, keys);

    printf("%8llu keys: longest put while growing %.0f us; %.1f bytes per key of %d + %d bytes\n",
           (unsigned long long)keys, (double)longest / 1e3,
           (double)segment_chunks_used(segment) * (double)CHUNK_BYTES / (double)keys, KEY_SIZE, VALUE_SIZE);
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
