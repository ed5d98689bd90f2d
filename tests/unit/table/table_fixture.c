#include "table_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "support/store_random.h"

void table_fixture_open(struct table_fixture *fixture, size_t bytes, unsigned shard_count)
{
    struct segment_options options = {.bytes = bytes};
    char reason[SEGMENT_REASON_BYTES] = "";

    cr_assert_eq(segment_create(&options, table_root_bytes(bytes, shard_count), table_fingerprint(),
                                &fixture->segment, reason),
                 STATUS_OK, "%s", reason);
    store_content_fill(fixture->segment->header->hash_key, SIPHASH_KEY_BYTES, 1);
    cr_assert_eq(table_create(&fixture->table, fixture->segment, shard_count), STATUS_OK);
}

void table_fixture_close(struct table_fixture *fixture)
{
    assert_table_valid(fixture);
    segment_detach(fixture->segment);
}

void assert_table_valid(const struct table_fixture *fixture)
{
    const char *invalid = "";

    cr_assert(segment_header_is_valid(fixture->segment, &invalid), "invalid: %s", invalid);
    for (unsigned shard = 0; shard < fixture->table.shard_count; shard++)
        cr_assert(table_shard_is_valid(&fixture->table, shard, &invalid), "shard %u is invalid: %s", shard, invalid);
}

struct bytes key_number(unsigned number)
{
    static char keys[4][32];
    static unsigned next;
    char *key = keys[next++ % 4];

    (void)snprintf(key, sizeof(keys[0]), "key %u", number);
    return bytes_from_string(key);
}

struct bytes value_of(struct bytes key)
{
    static char value[KEY_BYTES_MAX + 16];
    int size = snprintf(value, sizeof(value), "value of %.*s", (int)key.size, (const char *)key.data);

    return bytes_from(value, (size_t)size);
}

static uint64_t tick(struct table_fixture *fixture)
{
    return atomic_fetch_add(&fixture->segment->header->clock, 1) + 1;
}

static bool has_entry(const struct table_fixture *fixture, uint64_t hash, struct bytes key)
{
    const struct table *table = &fixture->table;

    return !block_ref_is_none(table_find(table, table_shard_of(table, hash), hash, key));
}

bool table_put(struct table_fixture *fixture, struct bytes key, struct bytes value)
{
    struct table *table = &fixture->table;
    uint64_t hash = table_hash(table, key);
    unsigned shard = table_shard_of(table, hash);
    bool is_done = has_entry(fixture, hash, key);
    struct block_ref version;

    while (!is_done)
        if (table_make_room(table, shard, hash, 1, &is_done) != STATUS_OK)
            return false;
    version = table_reserve(table, shard, key, value.size);
    if (block_ref_is_none(version))
        return false;
    version_fill(fixture->segment, version, 0, value);
    table_publish(table, shard, hash, version, tick(fixture));
    return true;
}

void table_del(struct table_fixture *fixture, struct bytes key)
{
    uint64_t hash = table_hash(&fixture->table, key);
    unsigned shard = table_shard_of(&fixture->table, hash);
    struct block_ref version = table_find(&fixture->table, shard, hash, key);

    cr_assert_not(block_ref_is_none(version));
    table_end(&fixture->table, shard, version, tick(fixture));
}

const struct version *table_see(const struct table_fixture *fixture, struct bytes key, uint64_t time)
{
    uint64_t hash = table_hash(&fixture->table, key);
    struct block_ref ref = table_find(&fixture->table, table_shard_of(&fixture->table, hash), hash, key);

    while (!block_ref_is_none(ref)) {
        const struct version *version = version_at(fixture->segment, ref);

        if (version->begin <= time)
            return atomic_load(&version->end) > time ? version : NULL;
        ref.units = atomic_load(&version->older);
    }
    return NULL;
}

void assert_sees(const struct table_fixture *fixture, struct bytes key, uint64_t time, struct bytes value)
{
    const struct version *version = table_see(fixture, key, time);
    size_t offset = 0;

    cr_assert_not_null(version, "%.*s is not there at %llu", (int)key.size, (const char *)key.data,
                       (unsigned long long)time);
    cr_assert_eq(version->value_size, value.size);
    while (offset < value.size) {
        struct bytes piece = version_piece(fixture->segment, version, offset);

        cr_assert(bytes_equal(piece, bytes_slice(value, offset, piece.size)), "the value is another at %zu", offset);
        offset += piece.size;
    }
}

void assert_sees_nothing(const struct table_fixture *fixture, struct bytes key, uint64_t time)
{
    cr_assert_null(table_see(fixture, key, time), "%.*s is there", (int)key.size, (const char *)key.data);
}

uint64_t clock_now(const struct table_fixture *fixture)
{
    return atomic_load(&fixture->segment->header->clock);
}

unsigned clean_up_to(struct table_fixture *fixture, uint64_t horizon)
{
    unsigned count = 0;

    atomic_store(&fixture->segment->header->horizon, horizon);
    for (unsigned shard = 0; shard < fixture->table.shard_count; shard++)
        count += table_clean(&fixture->table, shard, UINT32_MAX);
    return count;
}
