#include "engine_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/store_random.h"

struct engine *engine;
struct participant *me;

static uint32_t taken[16384];
static uint32_t taken_count;

void engine_open(size_t bytes, unsigned shard_count)
{
    struct engine_options options = {.bytes = bytes, .shard_count = shard_count};
    char reason[SEGMENT_REASON_BYTES] = "";

    cr_assert_eq(engine_create(&options, &engine, reason), STATUS_OK, "%s", reason);
    store_content_fill(engine->segment->header->hash_key, SIPHASH_KEY_BYTES, 1);
    me = a_participant();
}

void engine_close(void)
{
    assert_engine_valid();
    leave_chunks_free(taken_count);
    participant_close(me);
    assert_engine_valid();
    engine_detach(engine);
}

void assert_engine_valid(void)
{
    const char *invalid = "";

    cr_assert(segment_is_valid(engine, &invalid), "invalid: %s", invalid);
}

struct participant *a_participant(void)
{
    struct participant *participant = NULL;

    cr_assert_eq(participant_open(engine, &participant), STATUS_OK);
    return participant;
}

struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

unsigned shard_of(const char *key)
{
    return table_shard_of(&engine->table, table_hash(&engine->table, text(key)));
}

const char *key_in(unsigned shard, unsigned number)
{
    static char keys[64][16];
    static unsigned next;
    char *key = keys[next++ % 64];
    unsigned found = 0;

    for (unsigned i = 0;; i++) {
        (void)snprintf(key, sizeof(keys[0]), "key %u", i);
        if (shard_of(key) == shard && found++ == number)
            return key;
    }
}

unsigned begun_as(struct participant *participant, enum isolation isolation)
{
    unsigned number = 0;

    cr_assert_eq(transaction_begin(participant, isolation, &number), STATUS_OK);
    return number;
}

unsigned begun(struct participant *participant)
{
    return begun_as(participant, ISOLATION_SERIALIZABLE);
}

void put(struct participant *participant, unsigned number, const char *key, const char *value)
{
    enum status status = transaction_put(participant, number, text(key), text(value));

    cr_assert_eq(status, STATUS_OK, "PUT %s: %s", key, status_code(status));
}

enum status put_large(struct participant *participant, unsigned number, const char *key, size_t size)
{
    unsigned char *value = malloc(size);
    enum status status;

    cr_assert_not_null(value);
    store_content_fill(value, size, size);
    status = transaction_put(participant, number, text(key), bytes_from(value, size));
    free(value);
    return status;
}

void del(struct participant *participant, unsigned number, const char *key)
{
    enum status status = transaction_del(participant, number, text(key));

    cr_assert_eq(status, STATUS_OK, "DEL %s: %s", key, status_code(status));
}

void assert_reads(struct participant *participant, unsigned number, const char *key, const char *expected)
{
    struct value_view view;
    enum status status = transaction_get(participant, number, text(key), &view);
    bool is_equal;

    cr_assert_eq(status, STATUS_OK, "GET %s: %s", key, status_code(status));
    is_equal = bytes_equal(value_view_piece(&view, 0), text(expected));
    transaction_get_done(participant, number);
    cr_assert(is_equal, "%s is not %s", key, expected);
}

void assert_absent(struct participant *participant, unsigned number, const char *key)
{
    struct value_view view;
    enum status status = transaction_get(participant, number, text(key), &view);

    cr_assert_eq(status, STATUS_NOT_FOUND, "GET %s: %s", key, status_code(status));
}

void assert_commits(struct participant *participant, unsigned number)
{
    enum status status = transaction_commit(participant, number);

    cr_assert_eq(status, STATUS_OK, "COMMIT: %s", status_code(status));
}

uint64_t count_of(struct participant *participant, unsigned number)
{
    uint64_t count = UINT64_MAX;

    cr_assert_eq(transaction_count(participant, number, bytes_from(NULL, 0), &count), STATUS_OK);
    return count;
}

uint64_t clock_now(void)
{
    return atomic_load(&engine->segment->header->clock);
}

uint64_t horizon_now(void)
{
    return atomic_load(&engine->segment->header->horizon);
}

uint32_t leave_no_chunk_free(void)
{
    for (;;) {
        struct chunk_ref chunk = chunk_claim(engine->segment, CHUNK_LOG, 0, me->slot_number);

        if (chunk_ref_is_none(chunk))
            return taken_count;
        cr_assert_lt(taken_count, sizeof(taken) / sizeof(taken[0]));
        taken[taken_count++] = chunk.number;
    }
}

void leave_chunks_free(uint32_t count)
{
    for (; count > 0; count--)
        chunk_release(engine->segment, (struct chunk_ref){taken[--taken_count]});
}
