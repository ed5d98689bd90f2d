/* A PUT takes the block of the oldest ended version, where that is over for everybody and of the right size: recipe G'. One
 * shard, so there is one queue. */
#include <string.h>

#include "table_fixture.h"

#define BYTES ((size_t)4 << 20)

static struct table_fixture fixture;
static const struct shard *shard;

static void open_table(void)
{
    table_fixture_open(&fixture, BYTES, 1);
    shard = table_shard(&fixture.table, 0);
}

static void reuse_is_whole(void)
{
    table_fixture_close(&fixture);
}

TestSuite(reuse, .init = open_table, .timeout = 60);

/* --- sentences --- */

static struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

static struct block_ref block_of(const char *key)
{
    return table_find(&fixture.table, 0, table_hash(&fixture.table, text(key)), text(key));
}

/* Returns where its version is. */
static uint32_t put(const char *key, const char *value)
{
    cr_assert(table_put(&fixture, text(key), text(value)));
    return block_of(key).units;
}

static void everything_so_far_is_over(void)
{
    atomic_store(&fixture.segment->header->horizon, clock_now(&fixture));
}

static void assert_now(const char *key, const char *value)
{
    assert_sees(&fixture, text(key), clock_now(&fixture), text(value));
}

static struct bytes large(unsigned char first)
{
    static unsigned char content[3 * CHUNK_BYTES];

    memset(content, first, sizeof(content));
    return bytes_from(content, sizeof(content));
}

/* --- taken --- */

WHOLE_TEST(reuse, an_overwrite_takes_the_block_of_what_is_over)
{
    uint32_t first = put("k", "1");

    (void)put("k", "2");
    everything_so_far_is_over();
    cr_assert_eq(put("k", "3"), first);
    cr_assert_eq(shard->garbage_count, 1);
    cr_assert_eq(shard->allocator.block_count, 2);
    assert_table_valid(&fixture);
    assert_now("k", "3");
}

WHOLE_TEST(reuse, a_new_key_takes_it_too)
{
    uint32_t first = put("k", "1");

    (void)put("k", "2");
    everything_so_far_is_over();
    cr_assert_eq(put("l", "3"), first);
    cr_assert_eq(shard->garbage_count, 0);
    assert_now("k", "2");
    assert_now("l", "3");
}

/* 16 bytes are one size class; what was there before leaves nothing. */
WHOLE_TEST(reuse, a_value_of_another_size_takes_it_within_the_size_class)
{
    uint32_t first = put("k", "ten bytes!");

    (void)put("k", "");
    everything_so_far_is_over();
    cr_assert_eq(put("l", "1"), first);
    cr_assert_eq(version_at(fixture.segment, block_of("l"))->value_size, 1);
    assert_now("l", "1");
    assert_now("k", "");
}

WHOLE_TEST(reuse, overwriting_for_ever_takes_no_more_blocks)
{
    for (unsigned i = 0; i < 1000; i++) {
        (void)put("k", i % 2 == 0 ? "even" : "odd!");
        everything_so_far_is_over();
    }
    cr_assert_eq(shard->allocator.block_count, 2);
    assert_now("k", "odd!");
}

/* The oldest first: the queue stays in the order of the ends. */
WHOLE_TEST(reuse, the_oldest_is_taken_first)
{
    uint32_t blocks[4];

    for (unsigned i = 0; i < 4; i++)
        blocks[i] = put("k", "v");
    everything_so_far_is_over();
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(put("k", "w"), blocks[i]);
    assert_table_valid(&fixture);
}

/* --- not taken --- */

WHOLE_TEST(reuse, what_a_snapshot_may_see_is_not_taken)
{
    uint32_t first = put("k", "1");
    uint64_t snapshot = clock_now(&fixture);

    (void)put("k", "2");
    atomic_store(&fixture.segment->header->horizon, snapshot);
    cr_assert_neq(put("k", "3"), first);
    cr_assert_neq(put("l", "4"), first);
    assert_sees(&fixture, text("k"), snapshot, text("1"));
    assert_sees(&fixture, text("k"), snapshot + 1, text("2"));
}

/* Its key's entry names it still, or the version above it. */
WHOLE_TEST(reuse, what_was_deleted_is_not_taken)
{
    uint32_t first = put("k", "1");

    table_del(&fixture, text("k"));
    everything_so_far_is_over();
    cr_assert_neq(put("l", "2"), first);
    cr_assert_eq(block_of("k").units, first);
    cr_assert_neq(put("k", "3"), first);
    assert_table_valid(&fixture);
    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), 1);
    assert_now("k", "3");
}

WHOLE_TEST(reuse, a_block_of_another_size_class_is_not_taken)
{
    uint32_t small = put("k", "1");
    uint32_t wide = put("l", "a value that has no room in the first block");

    (void)put("k", "2");
    everything_so_far_is_over();
    cr_assert_neq(put("l", "another that has no room in the first block"), small);
    (void)clean_up_to(&fixture, clock_now(&fixture));
    (void)put("l", "a third that has no room in the first block");
    everything_so_far_is_over();
    cr_assert_neq(put("k", "3"), wide);
    assert_now("k", "3");
    assert_now("l", "a third that has no room in the first block");
}

WHOLE_TEST(reuse, a_version_with_value_chunks_is_neither_taken_nor_takes)
{
    uint32_t first;
    uint32_t used;

    cr_assert(table_put(&fixture, text("k"), large(1)));
    first = block_of("k").units;
    cr_assert(table_put(&fixture, text("k"), large(2)));
    used = segment_chunks_used(fixture.segment);
    everything_so_far_is_over();
    cr_assert(table_put(&fixture, text("k"), large(3)));
    cr_assert_neq(block_of("k").units, first);
    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), 2);
    assert_sees(&fixture, text("k"), clock_now(&fixture), large(3));
    cr_assert_lt(segment_chunks_used(fixture.segment), used);
}

/* --- given back --- */

WHOLE_TEST(reuse, what_was_taken_and_is_not_wanted_is_free)
{
    struct block_ref taken;
    uint32_t first = put("k", "1");

    (void)put("k", "2");
    everything_so_far_is_over();
    taken = table_reserve(&fixture.table, 0, text("l"), 1);
    cr_assert_eq(taken.units, first);
    table_unreserve(&fixture.table, 0, taken);
    cr_assert_eq(shard->allocator.block_count, 1);
    assert_table_valid(&fixture);
}

/* As by a process that died with it. */
WHOLE_TEST(reuse, what_was_taken_and_not_published_is_freed_by_a_rebuild)
{
    uint32_t first = put("k", "1");

    (void)put("k", "2");
    everything_so_far_is_over();
    cr_assert_eq(table_reserve(&fixture.table, 0, text("l"), 1).units, first);
    table_rebuild(&fixture.table, 0);
    cr_assert_eq(shard->allocator.block_count, 1);
    assert_now("k", "2");
}
