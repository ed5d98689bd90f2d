/* Blocks: sizes, giving and taking, and the rebuild after a death. */
#include <stdlib.h>
#include <string.h>

#include "segment/allocator.h"
#include "segment_fixture.h"
#include "support/store_random.h"

#define SHARD 3u
#define CHUNKS 64u
#define BLOCKS_MAX 40000u

static struct segment *segment;
static struct allocator allocator;
static struct block_ref blocks[BLOCKS_MAX];
static size_t sizes[BLOCKS_MAX];
static size_t block_count;

static void open_allocator(void)
{
    segment = segment_of_chunks(CHUNKS);
    allocator_init(&allocator);
}

/* What the test holds is what is reachable. */
static unsigned char *marks_of_held(void)
{
    unsigned char *marks = calloc(1, segment->bytes / REFERENCE_UNIT_BYTES);

    cr_assert_not_null(marks);
    for (size_t i = 0; i < block_count; i++)
        allocator_mark(marks, blocks[i]);
    return marks;
}

static bool is_valid(const char **invalid)
{
    unsigned char *marks = marks_of_held();
    bool result = allocator_is_valid(segment, &allocator, SHARD, marks, invalid);

    free(marks);
    return result;
}

static void assert_valid(void)
{
    const char *invalid = "";

    cr_assert(is_valid(&invalid), "invalid: %s", invalid);
    assert_header_valid(segment);
}

static void allocator_is_whole(void)
{
    assert_valid();
    segment_detach(segment);
}

TestSuite(allocator, .init = open_allocator, .timeout = 120);

/* --- sentences --- */

static bool take(size_t bytes)
{
    struct block_ref block = allocator_take(segment, &allocator, SHARD, bytes);

    if (block_ref_is_none(block))
        return false;
    cr_assert_lt(block_count, BLOCKS_MAX);
    store_content_fill(block_at(segment, block), bytes, block.units);
    blocks[block_count] = block;
    sizes[block_count++] = bytes;
    return true;
}

static void assert_content(size_t i)
{
    cr_assert(store_content_is(bytes_from(block_at(segment, blocks[i]), sizes[i]), sizes[i], blocks[i].units),
              "the block of %zu bytes was overwritten", sizes[i]);
}

static void give(size_t i)
{
    assert_content(i);
    allocator_give(segment, &allocator, blocks[i]);
    block_count--;
    blocks[i] = blocks[block_count];
    sizes[i] = sizes[block_count];
}

static void take_until_full(size_t bytes)
{
    bool has_taken;

    do
        has_taken = take(bytes);
    while (has_taken);
}

static void give_all(void)
{
    while (block_count > 0)
        give(block_count - 1);
}

/* As a process leaves it that died anywhere inside. */
static void derived_data_is_garbage(void)
{
    memset(&allocator, 0xa5, sizeof(allocator));
    memset(segment->infos + 1, 0xa5, segment->chunk_count * sizeof(*segment->infos));
}

static void rebuild(void)
{
    unsigned char *marks = marks_of_held();

    allocator_rebuild(segment, &allocator, SHARD, marks);
    free(marks);
}

/* --- sizes --- */

WHOLE_TEST(allocator, classes_ascend_in_units_up_to_a_chunk)
{
    const struct size_classes *classes = &segment->classes;

    cr_assert_leq(classes->count, SIZE_CLASS_COUNT_MAX);
    cr_assert_eq(classes->bytes[classes->count - 1], CHUNK_BYTES);
    for (unsigned class = 0; class < classes->count; class ++) {
        cr_assert_eq(classes->bytes[class] % REFERENCE_UNIT_BYTES, 0);
        cr_assert_eq(classes->blocks_per_chunk[class], CHUNK_BYTES / classes->bytes[class]);
        if (class > 0)
            cr_assert_gt(classes->bytes[class], classes->bytes[class - 1]);
    }
}

WHOLE_TEST(allocator, every_size_gets_the_smallest_class_that_holds_it)
{
    const struct size_classes *classes = &segment->classes;
    unsigned class = 0;

    for (size_t bytes = 1; bytes <= CHUNK_BYTES; bytes++) {
        while (classes->bytes[class] < bytes)
            class ++;
        cr_assert_eq(allocator_block_bytes(segment, bytes), classes->bytes[class], "%zu bytes", bytes);
    }
}

WHOLE_TEST(allocator, a_class_wastes_at_most_a_ninth_of_what_needs_more_than_128_bytes)
{
    for (size_t bytes = 129; bytes <= CHUNK_BYTES / 16; bytes++)
        cr_assert_leq(allocator_block_bytes(segment, bytes) - bytes, bytes / 8 + 1, "%zu bytes", bytes);
}

/* --- take and give --- */

WHOLE_TEST(allocator, blocks_of_every_class_do_not_overlap)
{
    for (unsigned class = 0; class < segment->classes.count; class ++)
        for (unsigned i = 0; i < 3; i++)
            (void)take(segment->classes.bytes[class]);
    assert_valid();
    for (size_t i = 0; i < block_count; i++)
        assert_content(i);
}

WHOLE_TEST(allocator, full_memory_answers_none_and_changes_nothing)
{
    struct allocator before;

    take_until_full(48);
    before = allocator;

    cr_assert_eq(block_count, segment->chunk_count * (CHUNK_BYTES / 48));
    cr_assert_not(take(48) || take(CHUNK_BYTES));
    cr_assert_eq(memcmp(&before, &allocator, sizeof(before)), 0);
}

WHOLE_TEST(allocator, what_is_given_back_frees_its_chunks)
{
    take_until_full(100);
    give_all();

    cr_assert_eq(segment_chunks_used(segment), 0);
    cr_assert_eq(allocator.chunk_count, 0);
    take_until_full(CHUNK_BYTES);
    cr_assert_eq(block_count, segment->chunk_count);
}

WHOLE_TEST(allocator, a_block_given_back_is_had_again)
{
    struct block_ref block;

    take_until_full(48);
    block = blocks[block_count / 2];
    give(block_count / 2);

    cr_assert(take(48));
    cr_assert_eq(blocks[block_count - 1].units, block.units);
    cr_assert_not(take(48));
}

WHOLE_TEST(allocator, random_takes_and_gives_keep_it_whole)
{
    struct store_random random = {store_environment_number("HAUSKV_TEST_SEED", 1)};

    cr_log_info("HAUSKV_TEST_SEED=%llu", (unsigned long long)random.state);
    for (unsigned step = 0; step < 20000; step++) {
        size_t most = store_random_one_in(&random, 20) ? CHUNK_BYTES : CHUNK_BYTES / 16;

        if (block_count == 0 || (step / 2000 % 2 == 0 && !store_random_one_in(&random, 3)))
            (void)take(1 + (size_t)store_random_below(&random, most));
        else
            give((size_t)store_random_below(&random, block_count));
        if (step % 500 == 0)
            assert_valid();
    }
}

/* --- which blocks are blocks --- */

WHOLE_TEST(allocator, only_the_begin_of_a_block_of_its_shard_is_valid)
{
    struct block_ref block;

    cr_assert(take(100));
    block = blocks[0];
    cr_assert(allocator_block_is_valid(segment, SHARD, block));
    cr_assert_not(allocator_block_is_valid(segment, SHARD + 1, block), "of another shard");
    cr_assert_not(allocator_block_is_valid(segment, SHARD, (struct block_ref){block.units + 1}), "inside");
    cr_assert_not(allocator_block_is_valid(segment, SHARD, (struct block_ref){0}), "none");
    cr_assert_not(allocator_block_is_valid(segment, SHARD, (struct block_ref){UINT32_MAX}), "outside");
    cr_assert_not(allocator_block_is_valid(segment, SHARD,
                                           (struct block_ref){block.units + CHUNK_BYTES / REFERENCE_UNIT_BYTES}),
                  "in a free chunk");
}

WHOLE_TEST(allocator, the_tail_of_a_chunk_is_no_block)
{
    size_t blocks_per_chunk = CHUNK_BYTES / 48;

    cr_assert(take(48));
    cr_assert_neq(CHUNK_BYTES % 48, 0);
    cr_assert_not(allocator_block_is_valid(
        segment, SHARD,
        (struct block_ref){blocks[0].units + (uint32_t)(blocks_per_chunk * 48 / REFERENCE_UNIT_BYTES)}));
}

/* --- rebuild --- */

WHOLE_TEST(allocator, rebuild_makes_all_derived_data_anew)
{
    for (size_t bytes = 1; bytes <= CHUNK_BYTES; bytes += 97)
        (void)take(bytes);
    for (size_t i = 0; i < block_count; i += 2)
        give(i);
    derived_data_is_garbage();

    rebuild();

    assert_valid();
    for (size_t i = 0; i < block_count; i++)
        assert_content(i);
    take_until_full(64);
}

WHOLE_TEST(allocator, rebuild_frees_what_is_not_reachable)
{
    take_until_full(200);
    block_count = 1;
    derived_data_is_garbage();

    rebuild();

    cr_assert_eq(segment_chunks_used(segment), 1);
    cr_assert_eq(allocator.block_count, 1);
}

WHOLE_TEST(allocator, rebuild_of_nothing_reachable_frees_all)
{
    take_until_full(200);
    block_count = 0;

    rebuild();

    cr_assert_eq(segment_chunks_used(segment), 0);
}

WHOLE_TEST(allocator, rebuild_leaves_chunks_of_others_alone)
{
    struct chunk_ref foreign = chunk_claim(segment, CHUNK_BLOCK, 0, SHARD + 1);
    struct chunk_ref page = chunk_claim(segment, CHUNK_PAGE, 0, SHARD);

    memset(chunk_at(segment, foreign), 7, CHUNK_BYTES);
    rebuild();

    cr_assert_eq(chunk_owner(segment, foreign), chunk_owner_word(CHUNK_BLOCK, 0, SHARD + 1));
    cr_assert_eq(chunk_owner(segment, page), chunk_owner_word(CHUNK_PAGE, 0, SHARD));
    cr_assert_eq(*chunk_at(segment, foreign), 7);
}

WHOLE_TEST(allocator, rebuild_begun_again_gives_the_same)
{
    struct allocator first;

    for (size_t bytes = 1; bytes <= CHUNK_BYTES / 4; bytes += 31)
        (void)take(bytes);
    rebuild();
    first = allocator;

    rebuild();

    cr_assert_eq(memcmp(&first, &allocator, sizeof(first)), 0);
}

/* --- what the check sees --- */

static void assert_invalid(const char *expected)
{
    const char *invalid = NULL;

    cr_assert_not(is_valid(&invalid), "not seen: %s", expected);
    cr_assert_str_eq(invalid, expected);
}

WHOLE_TEST(allocator, check_sees_a_leaked_block)
{
    cr_assert(take(48) && take(48));
    block_count--;
    assert_invalid("a block is neither reachable nor free, or both");
    block_count++;
}

WHOLE_TEST(allocator, check_sees_a_block_both_free_and_reachable)
{
    cr_assert(take(48) && take(48));
    allocator_give(segment, &allocator, blocks[1]);
    assert_invalid("a block is neither reachable nor free, or both");
    block_count--;
}

WHOLE_TEST(allocator, check_sees_a_cycle_in_a_free_list)
{
    unsigned char saved;

    cr_assert(take(48));
    saved = *(block_at(segment, blocks[0]) + 48);
    *(block_at(segment, blocks[0]) + 48) = 2; /* the second block's link to itself */
    assert_invalid("a block is neither reachable nor free, or both");
    *(block_at(segment, blocks[0]) + 48) = saved;
}

WHOLE_TEST(allocator, check_sees_a_free_list_that_leaves_the_chunk)
{
    struct chunk_info *info;
    uint16_t saved;

    cr_assert(take(48));
    info = &segment->infos[block_chunk(segment, blocks[0]).number];
    saved = info->free_head;
    info->free_head = UINT16_MAX;
    assert_invalid("a block is neither reachable nor free, or both");
    info->free_head = saved;
}

WHOLE_TEST(allocator, check_sees_wrong_counts)
{
    cr_assert(take(48));
    allocator.block_count++;
    assert_invalid("an allocator's counts are wrong");
    allocator.block_count--;
    allocator.chunk_count++;
    assert_invalid("an allocator's counts are wrong");
    allocator.chunk_count--;
}

WHOLE_TEST(allocator, check_sees_broken_lists_of_chunks)
{
    uint32_t saved;

    cr_assert(take(48));
    saved = allocator.partial[0];
    allocator.partial[0] = 0;
    assert_invalid("a chunk with room is not listed");
    allocator.partial[0] = UINT32_MAX;
    assert_invalid("a list of chunks with room is broken");
    allocator.partial[0] = saved;
    segment->infos[saved].next = saved;
    assert_invalid("a list of chunks with room is broken");
    segment->infos[saved].next = 0;
}
