/* Keys, their versions, growth of the pages, clean-up, and repair. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "../../../src/table/table_internal.h"
#include "support/store_random.h"
#include "table_fixture.h"

#define BYTES ((size_t)4 << 20)
#define SHARDS 4u
#define MANY 5000u

static struct table_fixture fixture;
static struct table *table;

static void open_table(void)
{
    table_fixture_open(&fixture, BYTES, SHARDS);
    table = &fixture.table;
}

static void table_is_whole(void)
{
    table_fixture_close(&fixture);
}

TestSuite(table, .init = open_table, .timeout = 120);
TestSuite(table_birth);

/* --- sentences --- */

static struct bytes text(const char *string)
{
    return bytes_from_string(string);
}

static void put(const char *key, const char *value)
{
    cr_assert(table_put(&fixture, text(key), text(value)), "PUT %s", key);
}

static void put_number(unsigned number)
{
    struct bytes key = key_number(number);

    cr_assert(table_put(&fixture, key, value_of(key)), "out of memory at %u", number);
}

static void put_numbers(unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        put_number(i);
}

static void assert_sees_numbers(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        struct bytes key = key_number(i);

        assert_sees(&fixture, key, clock_now(&fixture), value_of(key));
    }
}

static uint64_t sum_of_keys(void)
{
    uint64_t count = 0;

    for (unsigned shard = 0; shard < table->shard_count; shard++)
        count += atomic_load(&table_shard(table, shard)->key_count);
    return count;
}

static uint64_t sum_of_entries(void)
{
    uint64_t count = 0;

    for (unsigned shard = 0; shard < table->shard_count; shard++)
        count += atomic_load(&table_shard(table, shard)->entry_count);
    return count;
}

static uint32_t sum_of_pages(void)
{
    uint32_t count = 0;

    for (unsigned shard = 0; shard < table->shard_count; shard++)
        count += atomic_load(&table_shard(table, shard)->page_count);
    return count;
}

static uint32_t sum_of_blocks(void)
{
    uint32_t count = 0;

    for (unsigned shard = 0; shard < table->shard_count; shard++)
        count += table_shard(table, shard)->allocator.block_count;
    return count;
}

static void reopen(size_t bytes, unsigned shard_count)
{
    table_fixture_close(&fixture);
    table_fixture_open(&fixture, bytes, shard_count);
}

/* --- birth --- */

WHOLE_TEST(table, a_new_table_has_one_page_per_shard)
{
    cr_assert_eq(sum_of_pages(), SHARDS);
    cr_assert_eq(segment_chunks_used(fixture.segment), SHARDS);
    cr_assert_eq(sum_of_keys(), 0);
    assert_sees_nothing(&fixture, text("k"), clock_now(&fixture));
}

Test(table_birth, shards_are_a_power_of_two_for_every_size)
{
    for (size_t bytes = 0; bytes <= (size_t)1 << 32; bytes = bytes * 3 / 2 + 12345) {
        unsigned count = table_shard_count_for(bytes);

        cr_assert(count >= 1 && count <= SHARD_COUNT_MAX && (count & (count - 1)) == 0);
    }
    cr_assert_eq(table_shard_count_for((size_t)64 << 20), 16);
    cr_assert_eq(table_shard_count_for(SIZE_MAX), SHARD_COUNT_MAX);
}

Test(table_birth, every_count_of_shards_works)
{
    for (unsigned shards = 1; shards <= SHARD_COUNT_MAX; shards *= 2) {
        table_fixture_open(&fixture, (size_t)8 << 20, shards);
        table = &fixture.table;
        put_numbers(200);
        assert_sees_numbers(0, 200);
        cr_assert_eq(sum_of_keys(), 200);
        table_fixture_close(&fixture);
    }
}

Test(table_birth, a_segment_with_fewer_chunks_than_shards_is_refused)
{
    struct segment_options options = {.bytes = table_root_bytes(BYTES, 64) + sizeof(struct segment_header) +
                                               CHUNK_BYTES * 12};
    struct segment *segment = NULL;
    struct table none;
    char reason[SEGMENT_REASON_BYTES];

    cr_assert_eq(segment_create(&options, table_root_bytes(options.bytes, 64), 0, &segment, reason), STATUS_OK, "%s",
                 reason);
    cr_assert_lt(segment->chunk_count, 64);
    cr_assert_eq(table_create(&none, segment, 64), STATUS_OUT_OF_MEMORY);
    segment_detach(segment);
}

Test(table_birth, hashes_of_shard_and_tag_are_consecutive)
{
    struct store_random random = {1};

    for (unsigned shards = 1; shards <= SHARD_COUNT_MAX; shards *= 2) {
        struct table some = {.shard_count = shards, .shard_bits = (unsigned)__builtin_ctz(shards)};

        for (unsigned i = 0; i < 1000; i++) {
            uint64_t hash = store_random_next(&random);
            unsigned shard = table_shard_of(&some, hash);
            uint64_t last = table_tag_last_hash(&some, shard, table_tag_of(&some, hash));

            cr_assert(hash >= table_shard_first_hash(&some, shard) && hash <= last);
            cr_assert(last <= table_shard_last_hash(&some, shard));
            cr_assert_eq(table_tag_of(&some, last), table_tag_of(&some, hash));
            cr_assert(last == UINT64_MAX || table_shard_of(&some, last + 1) != shard ||
                      table_tag_of(&some, last + 1) == table_tag_of(&some, hash) + 1);
        }
        cr_assert_eq(table_shard_last_hash(&some, shards - 1), UINT64_MAX);
    }
}

/* --- publish and end --- */

WHOLE_TEST(table, a_version_is_seen_from_its_begin_to_its_end)
{
    uint64_t before = clock_now(&fixture);

    put("k", "1");
    put("k", "2");
    table_del(&fixture, text("k"));
    put("k", "3");

    assert_sees_nothing(&fixture, text("k"), before);
    assert_sees(&fixture, text("k"), before + 1, text("1"));
    assert_sees(&fixture, text("k"), before + 2, text("2"));
    assert_sees_nothing(&fixture, text("k"), before + 3);
    assert_sees(&fixture, text("k"), before + 4, text("3"));
    cr_assert_eq(sum_of_keys(), 1);
}

WHOLE_TEST(table, only_inserts_and_deletes_touch_the_membership)
{
    const struct shard *shard = table_shard(table, table_shard_of(table, table_hash(table, text("k"))));

    put("k", "1");
    cr_assert_eq(atomic_load(&shard->membership_time), clock_now(&fixture));
    put("k", "2");
    cr_assert_eq(atomic_load(&shard->membership_time), clock_now(&fixture) - 1);
    table_del(&fixture, text("k"));
    cr_assert_eq(atomic_load(&shard->membership_time), clock_now(&fixture));
    put("k", "3");
    cr_assert_eq(atomic_load(&shard->membership_time), clock_now(&fixture));
}

WHOLE_TEST(table, what_ended_is_queued_once)
{
    const struct shard *shard = table_shard(table, table_shard_of(table, table_hash(table, text("k"))));

    put("k", "1");
    put("k", "2");
    cr_assert_eq(shard->garbage_count, 1);
    table_del(&fixture, text("k"));
    cr_assert_eq(shard->garbage_count, 2);
    put("k", "3");
    cr_assert_eq(shard->garbage_count, 2);
    assert_table_valid(&fixture);
}

/* --- cleaning --- */

WHOLE_TEST(table, nothing_is_freed_that_a_snapshot_may_see)
{
    uint64_t horizon;

    put("k", "1");
    put("k", "2");
    horizon = clock_now(&fixture) - 1;
    put("k", "3");

    cr_assert_eq(clean_up_to(&fixture, horizon), 0);
    assert_sees(&fixture, text("k"), horizon, text("1"));
    assert_sees(&fixture, text("k"), horizon + 1, text("2"));
    cr_assert_eq(clean_up_to(&fixture, horizon + 1), 1);
    assert_sees(&fixture, text("k"), horizon + 1, text("2"));
    assert_sees(&fixture, text("k"), horizon + 2, text("3"));
}

WHOLE_TEST(table, all_but_the_newest_go_once_nobody_can_see_them)
{
    for (unsigned i = 0; i < 100; i++)
        put_number(7);

    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), 99);
    cr_assert_eq(sum_of_blocks(), 1);
    assert_sees_numbers(7, 8);
}

WHOLE_TEST(table, a_deleted_key_loses_its_entry)
{
    put("k", "1");
    table_del(&fixture, text("k"));
    cr_assert_eq(sum_of_entries(), 1);

    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), 1);
    cr_assert_eq(sum_of_entries(), 0);
    cr_assert_eq(sum_of_blocks(), 0);
}

/* Else a reader between the two would follow the newer one into freed memory. */
WHOLE_TEST(table, a_deleted_version_is_cut_from_the_one_that_came_after)
{
    uint64_t deleted;

    put("k", "1");
    table_del(&fixture, text("k"));
    deleted = clock_now(&fixture);
    put("other", "");
    put("k", "2");

    cr_assert_eq(clean_up_to(&fixture, deleted), 1);
    assert_table_valid(&fixture);
    assert_sees_nothing(&fixture, text("k"), deleted);
    assert_sees_nothing(&fixture, text("k"), deleted + 1);
    assert_sees(&fixture, text("k"), deleted + 2, text("2"));
}

WHOLE_TEST(table, a_deleted_version_is_cut_deep_in_a_chain)
{
    uint64_t deleted;

    put("k", "1");
    table_del(&fixture, text("k"));
    deleted = clock_now(&fixture);
    for (unsigned i = 0; i < 5; i++)
        put("k", "again");
    table_del(&fixture, text("k"));
    put("k", "last");

    cr_assert_eq(clean_up_to(&fixture, deleted), 1);
    assert_table_valid(&fixture);
    assert_sees_nothing(&fixture, text("k"), deleted);
    assert_sees(&fixture, text("k"), deleted + 3, text("again"));
    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), 5);
    assert_sees(&fixture, text("k"), clock_now(&fixture), text("last"));
}

WHOLE_TEST(table, cleaning_stops_after_so_many)
{
    reopen(BYTES, 1);
    for (unsigned i = 0; i < 10; i++)
        put_number(1);
    atomic_store(&fixture.segment->header->horizon, clock_now(&fixture));

    cr_assert_eq(table_clean(table, 0, 3), 3);
    assert_table_valid(&fixture);
    cr_assert_eq(table_clean(table, 0, 0), 0);
    cr_assert_eq(table_clean(table, 0, 100), 6);
}

WHOLE_TEST(table, large_values_give_their_chunks_back)
{
    size_t size = CHUNK_BYTES * 5 + 17;
    unsigned char *large = malloc(size);
    uint32_t used = segment_chunks_used(fixture.segment);

    cr_assert_not_null(large);
    store_content_fill(large, size, 1);
    cr_assert(table_put(&fixture, text("k"), bytes_from(large, size)));
    assert_sees(&fixture, text("k"), clock_now(&fixture), bytes_from(large, size));
    table_del(&fixture, text("k"));
    (void)clean_up_to(&fixture, clock_now(&fixture));

    cr_assert_eq(segment_chunks_used(fixture.segment), used);
    free(large);
}

/* --- growth --- */

WHOLE_TEST(table, keys_survive_the_splits_of_their_pages)
{
    unsigned count = MANY * 4;

    reopen((size_t)16 << 20, SHARDS);
    put_numbers(count);

    cr_assert_gt(sum_of_pages(), SHARDS);
    cr_assert_eq(sum_of_keys(), count);
    assert_table_valid(&fixture);
    assert_sees_numbers(0, count);
}

/* Where it is asked now, and on the deepest level. */
static const struct page *page_the_directory_knows(unsigned shard, uint32_t tag)
{
    struct page_entry_point at = directory_look(table, shard, tag);
    struct page_entry_point asked = directory_load(directory_place(table, table_tag_last_hash(table, shard, tag)));
    const struct page *page = page_at(fixture.segment, at.chunk);

    cr_assert_eq(at.depth, page->depth, "%x of shard %u", tag, shard);
    cr_assert(page_covers(page, tag), "%x of shard %u", tag, shard);
    cr_assert_eq(asked.chunk.number, at.chunk.number, "%x of shard %u", tag, shard);
    cr_assert_eq(asked.depth, at.depth, "%x of shard %u", tag, shard);
    return page;
}

/* Returns the depth of the deepest page. */
static uint32_t assert_directory_knows_depths(unsigned shard)
{
    uint32_t deepest = 0;

    for (size_t index = 0; index < (size_t)1 << table->directory_depth; index++) {
        uint32_t depth = page_the_directory_knows(shard, (uint32_t)((uint64_t)index << (32 - table->directory_depth)))->depth;

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

static uint32_t assert_all_directories_know_depths(void)
{
    uint32_t deepest = 0;

    for (unsigned shard = 0; shard < SHARDS; shard++) {
        uint32_t depth = assert_directory_knows_depths(shard);

        deepest = depth > deepest ? depth : deepest;
    }
    return deepest;
}

WHOLE_TEST(table, the_directory_knows_the_depth_of_every_page)
{
    reopen((size_t)16 << 20, SHARDS);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        cr_assert_eq(assert_directory_knows_depths(shard), 0);
    put_numbers(MANY * 4);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        cr_assert_gt(assert_directory_knows_depths(shard), 1);
}

/* So it is no larger than the pages need, and of no shard too small. */
WHOLE_TEST(table, the_directory_is_asked_on_the_level_of_the_deepest_page)
{
    reopen((size_t)16 << 20, SHARDS);
    cr_assert_eq(table_root(table)->directory_level, 0);
    for (unsigned count = 0; count < MANY * 4; count += MANY / 4) {
        for (unsigned i = 0; i < MANY / 4; i++)
            put_number(count + i);
        cr_assert_eq(assert_all_directories_know_depths(), table_root(table)->directory_level, "%u keys", count);
    }
    assert_table_valid(&fixture);
}

/* One shard alone grows: the others know their pages on the level that it makes all ask. */
WHOLE_TEST(table, the_directory_of_small_shards_follows_the_largest)
{
    bool is_done = false;

    reopen((size_t)16 << 20, SHARDS);
    for (uint32_t depth = 1; depth <= table->directory_depth; depth++) {
        cr_assert_eq(table_make_room(table, 1, table_shard_first_hash(table, 1), PAGE_ENTRIES, &is_done), STATUS_OK);
        cr_assert_eq(table_root(table)->directory_level, depth);
        cr_assert_eq(assert_all_directories_know_depths(), depth);
        assert_table_valid(&fixture);
    }
}

WHOLE_TEST(table, entries_of_the_dead_alone_do_not_split_a_page)
{
    reopen(BYTES, 1);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < PAGE_ENTRIES / 3; i++)
            put_number(round * 10000 + i);
        for (unsigned i = 0; i < PAGE_ENTRIES / 3; i++)
            table_del(&fixture, key_number(round * 10000 + i));
        (void)clean_up_to(&fixture, clock_now(&fixture));
        assert_table_valid(&fixture);
    }
    cr_assert_eq(sum_of_pages(), 1);
}

static void leave_no_chunk_free(void)
{
    struct chunk_ref chunk;

    do
        chunk = chunk_claim(fixture.segment, CHUNK_LOG, 0, 0);
    while (!chunk_ref_is_none(chunk));
}

/* Reserves what it publishes before the memory is gone. */
static unsigned fill_the_only_page(void)
{
    static struct block_ref versions[PAGE_ENTRIES];
    unsigned count = 0;

    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        versions[i] = table_reserve(table, 0, key_number(i), 0);
        cr_assert_not(block_ref_is_none(versions[i]));
    }
    leave_no_chunk_free();
    for (; count < PAGE_ENTRIES; count++) {
        uint64_t hash = table_hash(table, key_number(count));
        bool is_done = false;

        if (table_make_room(table, 0, hash, 1, &is_done) != STATUS_OK)
            break;
        cr_assert(is_done);
        table_publish(table, 0, hash, versions[count], atomic_fetch_add(&fixture.segment->header->clock, 1) + 1);
    }
    for (unsigned i = count; i < PAGE_ENTRIES; i++)
        table_unreserve(table, 0, versions[i]);
    return count;
}

WHOLE_TEST(table, without_memory_a_page_fills_to_95_percent)
{
    reopen(BYTES, 1);

    cr_assert_eq(fill_the_only_page(), PAGE_ENTRIES_FULL);
    cr_assert_eq(sum_of_pages(), 1);
    assert_table_valid(&fixture);
    for (unsigned i = 0; i < PAGE_ENTRIES_FULL; i++)
        cr_assert_not_null(table_see(&fixture, key_number(i), clock_now(&fixture)));
}

WHOLE_TEST(table, a_full_page_splits_as_soon_as_there_is_memory)
{
    bool is_done;

    reopen(BYTES, 1);
    (void)fill_the_only_page();
    chunk_release(fixture.segment, (struct chunk_ref){fixture.segment->chunk_count});
    cr_assert_eq(table_make_room(table, 0, 0, 1, &is_done), STATUS_OUT_OF_MEMORY, "one chunk is not enough");
    assert_table_valid(&fixture);
    chunk_release(fixture.segment, (struct chunk_ref){fixture.segment->chunk_count - 1});
    cr_assert_eq(table_make_room(table, 0, 0, 1, &is_done), STATUS_OK);

    cr_assert_eq(sum_of_pages(), 2);
    assert_table_valid(&fixture);
    for (unsigned i = 0; i < PAGE_ENTRIES_FULL; i++)
        cr_assert_not_null(table_see(&fixture, key_number(i), clock_now(&fixture)));
}

WHOLE_TEST(table, at_the_directorys_limit_a_page_fills_to_95_percent)
{
    bool is_done = false;

    reopen(BYTES, 1);
    for (uint64_t splits = 0; splits < table->directory_depth; splits++) {
        cr_assert_eq(table_make_room(table, 0, 0, PAGE_ENTRIES, &is_done), STATUS_OK);
        cr_assert_not(is_done);
    }

    cr_assert_eq(table_make_room(table, 0, 0, PAGE_ENTRIES, &is_done), STATUS_OUT_OF_MEMORY);
    cr_assert_eq(table_make_room(table, 0, 0, PAGE_ENTRIES_FULL, &is_done), STATUS_OK);
    cr_assert(is_done);
    cr_assert_eq(sum_of_pages(), table->directory_depth + 1);
}

WHOLE_TEST(table, memory_full_of_keys_refuses_more_and_keeps_all)
{
    unsigned count = 0;

    while (table_put(&fixture, key_number(count), value_of(key_number(count))))
        count++;

    cr_assert_gt(count, 1000);
    assert_table_valid(&fixture);
    assert_sees_numbers(0, count);
    for (unsigned i = 0; i < count; i++)
        table_del(&fixture, key_number(i));
    cr_assert_eq(clean_up_to(&fixture, clock_now(&fixture)), count);
    cr_assert_eq(segment_chunks_used(fixture.segment), sum_of_pages());
}

/* --- order --- */

WHOLE_TEST(table, pages_follow_each_other_in_the_order_of_the_hash)
{
    uint64_t entries[PAGE_ENTRIES];
    uint64_t found = 0;

    put_numbers(MANY);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        uint64_t from = table_shard_first_hash(table, shard);

        for (bool is_last = false; !is_last;) {
            const struct page *page = table_page_of(table, shard, from);
            uint64_t last = table_page_last_hash(table, shard, page);
            size_t count = page_collect(page, table_tag_of(table, from), entries);

            for (size_t i = 0; i < count; i++) {
                struct bytes key = version_key(version_at(fixture.segment, entry_version(entries[i])));
                uint64_t hash = table_hash(table, key);

                cr_assert(hash >= from && hash <= last);
                cr_assert(i == 0 || entry_tag(entries[i]) >= entry_tag(entries[i - 1]));
            }
            found += count;
            is_last = last == table_shard_last_hash(table, shard);
            from = last + 1;
        }
    }
    cr_assert_eq(found, MANY);
}

/* --- repair --- */

/* What a process leaves that died anywhere while it held the shard. */
static void derived_data_is_garbage(unsigned number)
{
    struct shard *shard = table_shard(table, number);

    memset(&shard->allocator, 0xa5, sizeof(shard->allocator));
    atomic_store(&shard->key_count, 999999);
    atomic_store(&shard->entry_count, 999999);
    atomic_store(&shard->page_count, 999999);
    shard->garbage_head = UINT32_MAX;
    shard->garbage_tail = UINT32_MAX;
    shard->garbage_count = UINT32_MAX;
    for (uint32_t chunk = 1; chunk <= fixture.segment->chunk_count; chunk++)
        if (chunk_owner_kind(atomic_load(&fixture.segment->owners[chunk])) == CHUNK_BLOCK &&
            chunk_owner_owner(atomic_load(&fixture.segment->owners[chunk])) == number)
            memset(&fixture.segment->infos[chunk], 0xa5, sizeof(struct chunk_info));
}

static void put_and_delete_at_random(unsigned steps)
{
    struct store_random random = {store_environment_number("HAUSKV_TEST_SEED", 1)};

    cr_log_info("HAUSKV_TEST_SEED=%llu", (unsigned long long)random.state);
    for (unsigned step = 0; step < steps; step++) {
        struct bytes key = key_number((unsigned)store_random_below(&random, 500));

        if (store_random_one_in(&random, 3) && table_see(&fixture, key, clock_now(&fixture)) != NULL)
            table_del(&fixture, key);
        else
            cr_assert(table_put(&fixture, key, value_of(key)));
        if (step % 1000 == 0)
            (void)clean_up_to(&fixture, clock_now(&fixture) - clock_now(&fixture) / 4);
    }
}

WHOLE_TEST(table, rebuild_makes_all_derived_data_anew)
{
    uint64_t keys;
    uint64_t entries;

    put_and_delete_at_random(MANY);
    keys = sum_of_keys();
    entries = sum_of_entries();
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        derived_data_is_garbage(shard);
        table_rebuild(table, shard);
    }

    assert_table_valid(&fixture);
    cr_assert_eq(sum_of_keys(), keys);
    cr_assert_eq(sum_of_entries(), entries);
}

WHOLE_TEST(table, cleaning_goes_on_after_a_rebuild)
{
    put_and_delete_at_random(MANY);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        table_rebuild(table, shard);
    assert_table_valid(&fixture);

    (void)clean_up_to(&fixture, clock_now(&fixture));

    cr_assert_eq(sum_of_entries(), sum_of_keys());
    cr_assert_eq(sum_of_blocks(), sum_of_keys());
}

/* A rebuild queues page by page: what ended long ago may not wait behind what somebody still sees. */
WHOLE_TEST(table, after_a_rebuild_all_is_freed_that_nobody_sees)
{
    uint64_t horizon;
    unsigned freed;

    reopen(BYTES, 1);
    put_numbers(200);
    put_numbers(200);
    horizon = clock_now(&fixture);
    put_numbers(100);
    table_rebuild(table, 0);

    freed = clean_up_to(&fixture, horizon);

    cr_assert_eq(freed, 200, "%u of 200 versions", freed);
}

static struct version *newest_of(const char *key)
{
    uint64_t hash = table_hash(table, text(key));

    return version_at(fixture.segment, table_find(table, table_shard_of(table, hash), hash, text(key)));
}

/* Twice in the queue, it would be freed twice. */
WHOLE_TEST(table, rebuild_queues_once_what_two_chains_reach)
{
    reopen(BYTES, 1);
    put("a", "before");
    put("a", "after");
    put("b", "before");
    put("b", "after");
    atomic_store(&newest_of("b")->older, atomic_load(&newest_of("a")->older));
    table_rebuild(table, 0);

    cr_assert_eq(table_shard(table, 0)->garbage_count, 1);
    cr_assert_eq(sum_of_entries(), 2);
    atomic_store(&newest_of("b")->older, 0);
    table_rebuild(table, 0);
}

WHOLE_TEST(table, rebuild_frees_what_was_reserved_and_not_published)
{
    uint32_t used;

    put_numbers(100);
    used = segment_chunks_used(fixture.segment);
    (void)table_reserve(table, 2, text("lost"), CHUNK_BYTES * 3);
    (void)chunk_claim(fixture.segment, CHUNK_PAGE, 0, 2);
    (void)chunk_claim(fixture.segment, CHUNK_VALUE, 0, 2);
    table_rebuild(table, 2);

    cr_assert_eq(segment_chunks_used(fixture.segment), used);
}

static struct chunk_ref page_copied(const struct page *source, uint32_t depth, uint32_t prefix)
{
    struct chunk_ref chunk = chunk_claim(fixture.segment, CHUNK_PAGE, 0, 0);

    cr_assert_not(chunk_ref_is_none(chunk));
    page_init(page_at(fixture.segment, chunk), depth, prefix);
    page_copy(source, page_at(fixture.segment, chunk));
    return chunk;
}

/* Splits as far as the store that counts, and no further. */
static void die_after_publishing_a_split(struct page *page)
{
    struct chunk_ref left = page_copied(page, page->depth + 1, page->prefix * 2);
    struct chunk_ref right = page_copied(page, page->depth + 1, page->prefix * 2 + 1);

    atomic_store(&page->replaced_by, (uint64_t)left.number << 32 | right.number);
    /* From here on the old page is stale; who still looked at it would find nothing. */
    memset((void *)page->entries, 0, sizeof(page->entries));
}

/* --- hints --- */

static void prefetch(unsigned number)
{
    uint64_t hash = table_hash(table, key_number(number));

    table_prefetch_directory(table, hash);
    table_prefetch_place(table, hash);
    table_prefetch_version(table, hash);
}

/* They look without the lock, so at anything; nothing of it may be followed. */
WHOLE_TEST(table, hints_survive_nonsense_on_a_page)
{
    static unsigned char kept[sizeof(struct page)];
    struct page *page;

    reopen(BYTES, 1);
    put_numbers(100);
    for (unsigned i = 0; i < 200; i++)
        prefetch(i);
    page = table_page_of(table, 0, 0);
    memcpy(kept, page, sizeof(kept));
    memset((void *)page, 0xff, sizeof(*page)); /* full, and naming versions outside */
    for (unsigned i = 0; i < 200; i++)
        prefetch(i);
    memcpy((void *)page, kept, sizeof(kept));
    assert_sees_numbers(0, 100);
}

WHOLE_TEST(table, hints_survive_nonsense_in_the_directory)
{
    const uint32_t deepest = UINT32_MAX << DIRECTORY_NUMBER_BITS;
    const uint32_t nonsense[] = {0, UINT32_MAX, fixture.segment->chunk_count + 1, deepest | 1, deepest};
    _Atomic uint32_t *directory = table->directory;
    size_t bytes = 2 * sizeof(uint32_t) * SHARDS << table->directory_depth;
    unsigned char *kept = malloc(bytes);

    cr_assert_not_null(kept);
    put_numbers(100);
    memcpy(kept, (void *)directory, bytes);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        for (size_t place = 0; place < bytes / sizeof(uint32_t); place++)
            atomic_store(&directory[place], nonsense[i]);
        prefetch(1);
    }
    memcpy((void *)directory, kept, bytes);
    free(kept);
    assert_sees_numbers(0, 100);
}

WHOLE_TEST(table, a_half_published_split_is_finished)
{
    reopen(BYTES, 1);
    put_numbers(PAGE_ENTRIES / 2);
    die_after_publishing_a_split(table_page_of(table, 0, 0));

    table_repair_directory(table, 0);
    table_rebuild(table, 0);

    cr_assert_eq(sum_of_pages(), 2);
    assert_table_valid(&fixture);
    assert_sees_numbers(0, PAGE_ENTRIES / 2);
}

/* What is above the deepest level is made anew of it, and so is which level to ask: whatever they say. */
WHOLE_TEST(table, upper_levels_of_the_directory_are_made_anew)
{
    uint32_t level;

    reopen((size_t)16 << 20, SHARDS);
    put_numbers(MANY * 4);
    level = table_root(table)->directory_level;
    cr_assert_gt(level, 1);
    for (size_t node = 0; node < directory_first_node(table, 0); node++)
        atomic_store(&table->directory[node], UINT32_MAX);
    atomic_store(&table_root(table)->directory_level, UINT32_MAX);

    table_forget_level(table);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        table_repair_directory(table, shard);

    cr_assert_eq(table_root(table)->directory_level, level);
    assert_table_valid(&fixture);
    assert_sees_numbers(0, MANY * 4);
}

WHOLE_TEST(table, a_half_published_rehash_is_finished)
{
    struct page *page;
    struct chunk_ref copy;

    reopen(BYTES, 1);
    put_numbers(PAGE_ENTRIES / 2);
    page = table_page_of(table, 0, 0);
    copy = page_copied(page, 0, 0);
    atomic_store(&page->replaced_by, (uint64_t)copy.number << 32 | copy.number);
    memset((void *)page->entries, 0, sizeof(page->entries));

    table_repair_directory(table, 0);
    table_repair_directory(table, 0);
    table_rebuild(table, 0);

    cr_assert_eq(table_page_of(table, 0, 0), page_at(fixture.segment, copy));
    assert_table_valid(&fixture);
    assert_sees_numbers(0, PAGE_ENTRIES / 2);
}

WHOLE_TEST(table, copies_of_a_split_that_never_counted_are_freed)
{
    const struct page *page;
    uint32_t used;

    reopen(BYTES, 1);
    put_numbers(PAGE_ENTRIES / 2);
    used = segment_chunks_used(fixture.segment);
    page = table_page_of(table, 0, 0);
    (void)page_copied(page, 1, 0);
    (void)page_copied(page, 1, 1);

    table_repair_directory(table, 0);
    table_rebuild(table, 0);

    cr_assert_eq(segment_chunks_used(fixture.segment), used);
    assert_sees_numbers(0, PAGE_ENTRIES / 2);
}

/* --- redo --- */

static struct block_ref filled(const char *key, const char *value)
{
    unsigned shard = table_shard_of(table, table_hash(table, text(key)));
    struct block_ref ref = table_reserve(table, shard, text(key), strlen(value));

    cr_assert_not(block_ref_is_none(ref));
    version_fill(fixture.segment, ref, 0, text(value));
    return ref;
}

static void redo_put_twice(const char *key, struct block_ref ref, uint64_t time)
{
    unsigned shard = table_shard_of(table, table_hash(table, text(key)));

    for (unsigned i = 0; i < 2; i++) {
        cr_assert(table_redo_publish(table, shard, ref, time));
        table_rebuild(table, shard);
        assert_table_valid(&fixture);
    }
}

WHOLE_TEST(table, redo_of_an_insert_twice_is_like_once)
{
    struct block_ref ref = filled("k", "v");

    atomic_store(&fixture.segment->header->clock, 9);
    redo_put_twice("k", ref, 9);

    assert_sees(&fixture, text("k"), 9, text("v"));
    assert_sees_nothing(&fixture, text("k"), 8);
    cr_assert_eq(sum_of_entries(), 1);
}

WHOLE_TEST(table, redo_of_an_update_twice_is_like_once)
{
    struct block_ref ref;
    uint64_t time;

    put("k", "before");
    ref = filled("k", "after");
    time = clock_now(&fixture) + 1;
    atomic_store(&fixture.segment->header->clock, time);
    redo_put_twice("k", ref, time);

    assert_sees(&fixture, text("k"), time - 1, text("before"));
    assert_sees(&fixture, text("k"), time, text("after"));
}

/* Every store of the publication may be the last one of a process. */
WHOLE_TEST(table, redo_goes_on_from_every_store_of_a_publication)
{
    uint64_t hash = table_hash(table, text("k"));
    struct block_ref newest;
    struct block_ref ref;
    uint64_t time;

    put("k", "before");
    newest = table_find(table, table_shard_of(table, hash), hash, text("k"));
    ref = filled("k", "after");
    time = clock_now(&fixture) + 1;
    atomic_store(&fixture.segment->header->clock, time);
    version_at(fixture.segment, ref)->begin = time;
    atomic_store(&version_at(fixture.segment, ref)->older, newest.units);
    atomic_store(&version_at(fixture.segment, newest)->end, time);
    redo_put_twice("k", ref, time);

    assert_sees(&fixture, text("k"), time - 1, text("before"));
    assert_sees(&fixture, text("k"), time, text("after"));
}

WHOLE_TEST(table, redo_of_a_delete_twice_is_like_once)
{
    uint64_t hash = table_hash(table, text("k"));
    unsigned shard = table_shard_of(table, hash);
    uint64_t time;

    put("k", "v");
    time = clock_now(&fixture) + 1;
    atomic_store(&fixture.segment->header->clock, time);
    for (unsigned i = 0; i < 2; i++) {
        table_redo_end(table, shard, table_find(table, shard, hash, text("k")), time);
        table_rebuild(table, shard);
        assert_table_valid(&fixture);
    }

    assert_sees(&fixture, text("k"), time - 1, text("v"));
    assert_sees_nothing(&fixture, text("k"), time);
    cr_assert_eq(atomic_load(&table_shard(table, shard)->membership_time), time);
    cr_assert_eq(sum_of_keys(), 0);
}

/* --- publishing where a key was found --- */

static struct table_place place_of(const char *key)
{
    uint64_t hash = table_hash(table, text(key));
    struct table_place place;

    table_find_place(table, table_shard_of(table, hash), hash, text(key), &place);
    return place;
}

WHOLE_TEST(table, publishes_where_a_key_was_found)
{
    struct table_place place;
    uint64_t time;

    reopen(BYTES, 1);
    put("k", "before");
    place = place_of("k");
    time = atomic_fetch_add(&fixture.segment->header->clock, 1) + 1;
    table_publish_at(table, &place, filled("k", "after"), time);

    assert_sees(&fixture, text("k"), time - 1, text("before"));
    assert_sees(&fixture, text("k"), time, text("after"));
    cr_assert_eq(place_of("k").index, place.index);
    cr_assert_neq(place_of("k").newest.units, place.newest.units);
    cr_assert_eq(table_shard(table, 0)->garbage_count, 1);
}

WHOLE_TEST(table, says_where_a_new_key_will_be)
{
    struct table_place place;
    uint64_t time;

    reopen(BYTES, 1);
    place = place_of("k");
    cr_assert(block_ref_is_none(place.newest) && table_place_is_valid(&place));
    time = atomic_fetch_add(&fixture.segment->header->clock, 1) + 1;
    table_publish_at(table, &place, filled("k", "v"), time);

    assert_sees_nothing(&fixture, text("k"), time - 1);
    assert_sees(&fixture, text("k"), time, text("v"));
    cr_assert_eq(place_of("k").page, place.page);
    cr_assert_eq(atomic_load(&place.shard->key_count), 1);
    cr_assert_eq(atomic_load(&place.shard->entry_count), 1);
}

WHOLE_TEST(table, a_place_is_valid_as_long_as_its_entry_is_there)
{
    struct table_place place;
    struct table_place other;

    reopen(BYTES, 1);
    put("k", "before");
    put("l", "before");
    place = place_of("k");
    other = place;
    other.index = place_of("l").index;
    cr_assert(table_place_is_valid(&place));
    cr_assert_not(table_place_is_valid(&other));

    put("k", "after");
    cr_assert_not(table_place_is_valid(&place));
}

/* No commit left this record. */
static void assert_redo_is_refused(unsigned shard, struct block_ref ref, uint64_t time)
{
    uint64_t begin = version_at(fixture.segment, ref)->begin;

    cr_assert_not(table_redo_publish(table, shard, ref, time));
    cr_assert_eq(version_at(fixture.segment, ref)->begin, begin);
}

WHOLE_TEST(table, redo_in_another_shard_is_refused)
{
    unsigned shard = table_shard_of(table, table_hash(table, text("k")));
    struct block_ref ref = filled("k", "v");

    assert_redo_is_refused((shard + 1) % SHARDS, ref, 9);

    cr_assert_null(table_see(&fixture, text("k"), 9));
    table_unreserve(table, shard, ref);
}

WHOLE_TEST(table, redo_of_an_update_of_nothing_is_refused)
{
    unsigned shard = table_shard_of(table, table_hash(table, text("k")));
    struct block_ref ref = filled("k", "v");

    atomic_store(&version_at(fixture.segment, ref)->older, ref.units);
    assert_redo_is_refused(shard, ref, 9);

    cr_assert_null(table_see(&fixture, text("k"), 9));
    atomic_store(&version_at(fixture.segment, ref)->older, 0);
    table_unreserve(table, shard, ref);
}

WHOLE_TEST(table, redo_below_what_is_there_is_refused)
{
    unsigned shard = table_shard_of(table, table_hash(table, text("k")));
    struct block_ref ref;
    uint64_t time;

    put("k", "first");
    put("k", "newest");
    time = clock_now(&fixture);
    ref = filled("k", "late");
    assert_redo_is_refused(shard, ref, time);
    assert_redo_is_refused(shard, ref, time - 1);

    assert_sees(&fixture, text("k"), time, text("newest"));
    table_unreserve(table, shard, ref);
}

/* A commit makes room before its record counts. */
WHOLE_TEST(table, redo_of_an_insert_into_a_full_page_is_refused)
{
    static unsigned char kept[sizeof(struct page)];
    uint64_t hash = table_hash(table, text("k"));
    unsigned shard = table_shard_of(table, hash);
    struct page *page = table_page_of(table, shard, hash);
    struct block_ref ref = filled("k", "v");

    memcpy(kept, page, sizeof(kept));
    for (size_t place = 0; place < PAGE_ENTRIES; place++)
        atomic_store(&page->entries[place], entry_of(~table_tag_of(table, hash), ref)); /* another key's */
    assert_redo_is_refused(shard, ref, 9);

    memcpy((void *)page, kept, sizeof(kept));
    table_unreserve(table, shard, ref);
}
