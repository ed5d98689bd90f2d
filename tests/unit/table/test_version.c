/* Versions of every size: where the value lies, and that all of it comes back. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "support/store_random.h"
#include "table_fixture.h"

#define BYTES ((size_t)8 << 20)

static struct table_fixture fixture;
static struct segment *segment;
static unsigned char *content;
static unsigned char key_bytes[KEY_BYTES_MAX];

static void open_table(void)
{
    size_t content_bytes = VALUE_BYTES_MAX;

    table_fixture_open(&fixture, BYTES, 1);
    segment = fixture.segment;
    content = malloc(content_bytes);
    cr_assert_not_null(content);
    memset(key_bytes, 'k', sizeof(key_bytes));
}

static void version_is_whole(void)
{
    free(content);
    table_fixture_close(&fixture);
}

TestSuite(version, .init = open_table, .timeout = 120);

/* --- sentences --- */

static struct block_ref reserved(size_t key_size, size_t value_size)
{
    return table_reserve(&fixture.table, 0, bytes_from(key_bytes, key_size), value_size);
}

static void leave_no_chunk_free(void)
{
    struct chunk_ref chunk;

    do
        chunk = chunk_claim(segment, CHUNK_LOG, 0, 0);
    while (!chunk_ref_is_none(chunk));
}

/* Fills in pieces of an odd size, as a log hands them out. */
static void fill(struct block_ref ref, size_t value_size)
{
    store_content_fill(content, value_size, ref.units);
    for (size_t offset = 0; offset < value_size;) {
        size_t size = value_size - offset < 1009 ? value_size - offset : 1009;

        version_fill(segment, ref, offset, bytes_from(content + offset, size));
        offset += size;
    }
}

static void assert_value(struct block_ref ref, size_t value_size)
{
    const struct version *version = version_at(segment, ref);

    for (size_t offset = 0; offset < value_size;) {
        struct bytes piece = version_piece(segment, version, offset);

        cr_assert_gt(piece.size, 0, "%zu of %zu", offset, value_size);
        cr_assert_leq(piece.size, value_size - offset);
        cr_assert_eq(memcmp(piece.data, content + offset, piece.size), 0, "%zu of %zu", offset, value_size);
        offset += piece.size;
    }
    cr_assert_eq(version_piece(segment, version, value_size).size, 0);
}

static void assert_comes_back(size_t key_size, size_t value_size)
{
    uint32_t used_before = segment_chunks_used(segment);
    struct block_ref ref = reserved(key_size, value_size);
    const struct version *version = version_at(segment, ref);

    cr_assert_not(block_ref_is_none(ref), "%zu bytes", value_size);
    cr_assert(version_is_valid(segment, 0, ref));
    cr_assert_eq(version->value_size, value_size);
    cr_assert(bytes_equal(version_key(version), bytes_from(key_bytes, key_size)));
    fill(ref, value_size);
    assert_value(ref, value_size);
    cr_assert(bytes_equal(version_key(version), bytes_from(key_bytes, key_size)));
    table_unreserve(&fixture.table, 0, ref);
    cr_assert_eq(segment_chunks_used(segment), used_before);
}

/* --- values --- */

WHOLE_TEST(version, a_new_one_has_no_times_and_no_older)
{
    struct block_ref ref = reserved(3, 5);
    const struct version *version = version_at(segment, ref);

    cr_assert_eq(version->begin, 0);
    cr_assert_eq(atomic_load(&version->end), TIME_INFINITE);
    cr_assert_eq(atomic_load(&version->older), 0);
    cr_assert_eq(version->is_deleted, 0);
    table_unreserve(&fixture.table, 0, ref);
}

WHOLE_TEST(version, values_of_all_sizes_around_the_bounds_come_back)
{
    size_t bounds[] = {0, CHUNK_BYTES - sizeof(struct version), CHUNK_BYTES, CHUNK_BYTES * 2, CHUNK_BYTES * 3};
    size_t key_sizes[] = {1, 2, 3, 5, 64, KEY_BYTES_MAX - 1, KEY_BYTES_MAX};

    for (size_t i = 0; i < sizeof(key_sizes) / sizeof(key_sizes[0]); i++)
        for (size_t j = 0; j < sizeof(bounds) / sizeof(bounds[0]); j++) {
            size_t before = key_sizes[i] + 24;
            size_t first = bounds[j] > before ? bounds[j] - before : 0;

            for (size_t size = first; size <= bounds[j] + 24; size++)
                assert_comes_back(key_sizes[i], size);
        }
}

WHOLE_TEST(version, values_up_to_where_memory_ends_come_back)
{
    for (size_t size = 1; size < BYTES / 2 && size <= VALUE_BYTES_MAX; size += 1 + size / 3)
        assert_comes_back(100, size);
    if (VALUE_BYTES_MAX < BYTES / 2)
        assert_comes_back(KEY_BYTES_MAX, VALUE_BYTES_MAX);
}

WHOLE_TEST(version, a_large_value_needs_no_chunks_in_a_row)
{
    size_t size = CHUNK_BYTES * 4 + 100;
    struct chunk_ref gaps[8];
    struct block_ref ref;

    leave_no_chunk_free();
    for (uint32_t i = 0; i < 8; i++) {
        gaps[i].number = 10 + i * 3;
        chunk_release(segment, gaps[i]);
    }
    ref = reserved(3, size);
    cr_assert_not(block_ref_is_none(ref));
    cr_assert_eq(version_chunk_count(version_at(segment, ref)), 4);
    fill(ref, size);
    assert_value(ref, size);
    table_unreserve(&fixture.table, 0, ref);
}

WHOLE_TEST(version, out_of_memory_takes_nothing)
{
    size_t size = CHUNK_BYTES * 8;
    struct chunk_ref free_chunks[] = {{10}, {13}, {16}, {19}};

    leave_no_chunk_free();
    for (size_t i = 0; i < 4; i++)
        chunk_release(segment, free_chunks[i]);

    cr_assert(block_ref_is_none(reserved(3, size)));

    for (size_t i = 0; i < 4; i++)
        cr_assert_eq(chunk_owner(segment, free_chunks[i]), 0);
    assert_table_valid(&fixture);
}

/* --- what is no version --- */

WHOLE_TEST(version, a_damaged_header_is_not_valid)
{
    struct block_ref ref = reserved(3, CHUNK_BYTES * 2 + 10);
    struct version *version = version_at(segment, ref);
    struct version saved;

    memcpy(&saved, version, sizeof(saved));
    version->key_size = 0;
    cr_assert_not(version_is_valid(segment, 0, ref));
    version->key_size = KEY_BYTES_MAX + 1;
    cr_assert_not(version_is_valid(segment, 0, ref));
    version->key_size = saved.key_size;
    version->value_size = UINT32_MAX;
    cr_assert_not(version_is_valid(segment, 0, ref));
    version->value_size = 0;
    cr_assert_not(version_is_valid(segment, 0, ref), "its block is too large for that");
    version->value_size = saved.value_size;
    cr_assert(version_is_valid(segment, 0, ref));
    cr_assert_not(version_is_valid(segment, 1, ref), "of another shard");
    table_unreserve(&fixture.table, 0, ref);
}

/* Its block could hold it, so nothing but the limit says so. */
WHOLE_TEST(version, a_value_one_byte_over_the_limit_is_not_valid)
{
    struct block_ref ref;
    struct version *version;

    if (VALUE_BYTES_MAX > BYTES / 2)
        return; /* large chunks: the value would not fit the segment; tested with small ones */
    ref = reserved(KEY_BYTES_MAX, VALUE_BYTES_MAX);
    version = version_at(segment, ref);
    cr_assert(version_is_valid(segment, 0, ref));
    version->value_size++;
    cr_assert_not(version_is_valid(segment, 0, ref));
    version->value_size--;
    table_unreserve(&fixture.table, 0, ref);
}

WHOLE_TEST(version, a_chunk_that_is_not_its_own_is_not_valid)
{
    struct block_ref ref = reserved(3, CHUNK_BYTES * 2);
    struct chunk_ref chunk = version_chunk(version_at(segment, ref), 1);

    atomic_store(&segment->owners[chunk.number], chunk_owner_word(CHUNK_VALUE, 0, 1));
    cr_assert_not(version_is_valid(segment, 0, ref));
    atomic_store(&segment->owners[chunk.number], chunk_owner_word(CHUNK_BLOCK, 0, 0));
    cr_assert_not(version_is_valid(segment, 0, ref));
    atomic_store(&segment->owners[chunk.number], chunk_owner_word(CHUNK_VALUE, 0, 0));
    cr_assert(version_is_valid(segment, 0, ref));
    table_unreserve(&fixture.table, 0, ref);
}
