/* A table is found in the root of a segment, and a root that cannot be one is refused. */
#include "table_fixture.h"

#define SHARDS 4u

static struct table_fixture fixture;
static struct table found;
static struct table_root *root;

static void open_table(void)
{
    table_fixture_open(&fixture, (size_t)4 << 20, SHARDS);
    root = (struct table_root *)(void *)fixture.segment->root;
}

static void close_table(void)
{
    table_fixture_close(&fixture);
}

TestSuite(table_attach, .init = open_table, .fini = close_table, .timeout = 60);

static bool is_found(void)
{
    return table_attach(&found, fixture.segment);
}

/* All levels of it. */
static size_t directory_bytes(unsigned depth)
{
    return 2 * sizeof(uint32_t) * SHARDS << depth;
}

Test(table_attach, finds_what_was_made)
{
    cr_assert(is_found());
    cr_assert_eq(found.segment, fixture.segment);
    cr_assert_eq(found.shard_count, SHARDS);
    cr_assert_eq(found.shard_bits, fixture.table.shard_bits);
    cr_assert_eq(found.directory_depth, fixture.table.directory_depth);
    cr_assert_eq(found.shards, fixture.table.shards);
    cr_assert_eq(found.directory, fixture.table.directory);
}

/* A shard had no count of its changes once, and was of the same size. */
Test(table_attach, is_not_taken_for_a_table_of_shards_without_changes)
{
    uint64_t then = sizeof(struct shard) * 31 + sizeof(struct version) * 37 + sizeof(struct page) * 41 + PAGE_ENTRIES;

    cr_assert_neq(table_fingerprint(), then);
}

/* Only the number is asked for: nobody has so much memory. */
Test(table_attach, has_no_directory_deeper_than_pages_can_be)
{
    size_t deepest = sizeof(*root) + sizeof(struct shard) + (2 * sizeof(uint32_t) << PAGE_DEPTH_MAX);

    cr_assert_eq(table_root_bytes((size_t)1 << 60, 1), deepest);
    cr_assert_lt(table_root_bytes((size_t)1 << 30, 1), deepest);
}

Test(table_attach, refuses_a_number_of_shards_that_is_none)
{
    static const uint32_t counts[] = {0, 3, SHARDS + 1, SHARD_COUNT_MAX + 1, 2 * SHARD_COUNT_MAX, UINT32_MAX};

    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        root->shard_count = counts[i];
        cr_expect_not(is_found(), "%u shards", counts[i]);
    }
    root->shard_count = SHARDS;
    cr_assert(is_found());
}

Test(table_attach, takes_one_shard_and_the_most)
{
    root->directory_depth = 0;
    root->shard_count = 1;
    cr_assert(is_found());
    cr_assert_eq(found.shard_bits, 0);
    fixture.segment->header->root_bytes = sizeof(*root) + SHARD_COUNT_MAX * (sizeof(struct shard) + 2 * sizeof(uint32_t));
    root->shard_count = SHARD_COUNT_MAX;
    cr_assert(is_found());
    cr_assert_eq(found.shard_bits, 6);
    root->shard_count = SHARDS;
    root->directory_depth = fixture.table.directory_depth;
}

Test(table_attach, refuses_a_directory_deeper_than_pages_can_be)
{
    uint64_t root_bytes = fixture.segment->header->root_bytes;

    fixture.segment->header->root_bytes = UINT64_MAX;
    root->directory_depth = PAGE_DEPTH_MAX;
    cr_assert(is_found());
    root->directory_depth = PAGE_DEPTH_MAX + 1;
    cr_assert_not(is_found());
    fixture.segment->header->root_bytes = root_bytes;
    root->directory_depth = fixture.table.directory_depth;
}

Test(table_attach, refuses_a_directory_that_does_not_fit_the_root)
{
    uint64_t root_bytes = fixture.segment->header->root_bytes;
    uint64_t needed = sizeof(*root) + SHARDS * sizeof(struct shard) + directory_bytes(fixture.table.directory_depth);

    fixture.segment->header->root_bytes = needed;
    cr_assert(is_found());
    fixture.segment->header->root_bytes = needed - 1;
    cr_assert_not(is_found());
    fixture.segment->header->root_bytes = sizeof(*root) - 1;
    cr_assert_not(is_found());
    fixture.segment->header->root_bytes = root_bytes;
}
