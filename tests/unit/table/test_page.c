/* One page: places, probes, removed entries. */
#include <criterion/criterion.h>

#include "support/store_random.h"
#include "table/page.h"
#include "table_fixture.h"

static struct table_fixture fixture;
static struct page *page;
static uint64_t entries[PAGE_ENTRIES];

static void open_page(void)
{
    table_fixture_open(&fixture, (size_t)4 << 20, 1);
    page = page_at(fixture.segment, chunk_claim(fixture.segment, CHUNK_LOG, 0, 0));
    page_init(page, 0, 0);
}

static void assert_page_valid(void)
{
    const char *invalid = "";

    cr_assert(page_is_valid(page, &invalid), "invalid: %s", invalid);
}

static void page_is_whole(void)
{
    assert_page_valid();
    table_fixture_close(&fixture);
}

TestSuite(page, .init = open_page, .timeout = 120);

/* --- sentences --- */

static struct block_ref version_of(unsigned number)
{
    struct block_ref ref = table_reserve(&fixture.table, 0, key_number(number), 0);

    cr_assert_not(block_ref_is_none(ref));
    return ref;
}

static size_t place_of_key(uint32_t tag, unsigned number)
{
    return page_find(fixture.segment, page, page->depth, tag, key_number(number));
}

static void insert(uint32_t tag, unsigned number)
{
    page_insert(page, tag, version_of(number));
}

static void remove_key(uint32_t tag, unsigned number)
{
    size_t place = place_of_key(tag, number);
    struct block_ref ref;

    cr_assert_lt(place, PAGE_ENTRIES);
    ref = entry_version(atomic_load(&page->entries[place]));
    page_remove(page, place);
    table_unreserve(&fixture.table, 0, ref);
}

static bool has(uint32_t tag, unsigned number)
{
    return place_of_key(tag, number) < PAGE_ENTRIES;
}

/* The fixture's own check would miss these versions. */
static void remove_all(void)
{
    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        struct block_ref ref = entry_version(atomic_load(&page->entries[place]));

        if (!block_ref_is_none(ref)) {
            page_remove(page, place);
            table_unreserve(&fixture.table, 0, ref);
        }
    }
    cr_assert_eq(page->key_count, 0);
}

/* The tag of the i-th of `count` keys evenly over the page. */
static uint32_t spread(unsigned i, unsigned count)
{
    return (uint32_t)((uint64_t)i * UINT32_MAX / count);
}

/* --- finding --- */

WHOLE_TEST(page, what_was_inserted_is_found_and_nothing_else)
{
    insert(7, 1);

    cr_assert(has(7, 1));
    cr_assert_not(has(7, 2), "another key of the same tag");
    cr_assert_not(has(8, 1), "another tag");
    remove_all();
}

WHOLE_TEST(page, keys_of_one_tag_stand_side_by_side)
{
    for (unsigned i = 0; i < 20; i++)
        insert(1000, i);
    for (unsigned i = 0; i < 20; i++)
        cr_assert(has(1000, i));
    assert_page_valid();
    remove_all();
}

WHOLE_TEST(page, probes_go_around_the_end)
{
    for (unsigned i = 0; i < 10; i++)
        insert(UINT32_MAX - i, i);
    cr_assert_neq(atomic_load(&page->entries[0]), ENTRY_EMPTY);
    for (unsigned i = 0; i < 10; i++)
        cr_assert(has(UINT32_MAX - i, i));
    assert_page_valid();
    remove_all();
}

WHOLE_TEST(page, the_tag_of_the_removed_mark_is_a_tag_like_any)
{
    insert(0xffffffff, 1);
    insert(0xffffffff, 2);
    insert(0xffffffff, 3);
    remove_key(0xffffffff, 2);

    cr_assert(has(0xffffffff, 1) && has(0xffffffff, 3));
    cr_assert_not(has(0xffffffff, 2));
    assert_page_valid();
    remove_all();
}

WHOLE_TEST(page, a_replaced_version_is_found_in_place)
{
    struct block_ref newer;
    struct block_ref older;
    size_t place;

    insert(5, 1);
    place = place_of_key(5, 1);
    older = entry_version(atomic_load(&page->entries[place]));
    newer = version_of(1);
    page_replace(page, place, 5, newer);

    cr_assert_eq(place_of_key(5, 1), place);
    cr_assert_eq(entry_version(atomic_load(&page->entries[place])).units, newer.units);
    cr_assert_eq(page->key_count, 1);
    table_unreserve(&fixture.table, 0, older);
    remove_all();
}

/* --- removing --- */

WHOLE_TEST(page, removal_before_an_empty_place_leaves_no_mark)
{
    for (unsigned i = 0; i < 5; i++)
        insert(0, i);
    for (unsigned i = 5; i-- > 0;)
        remove_key(0, i);

    cr_assert_eq(page->removed_count, 0);
    for (size_t place = 0; place < PAGE_ENTRIES; place++)
        cr_assert_eq(atomic_load(&page->entries[place]), ENTRY_EMPTY);
}

WHOLE_TEST(page, removal_in_a_row_leaves_a_mark_until_the_row_ends)
{
    for (unsigned i = 0; i < 5; i++)
        insert(0, i);
    for (unsigned i = 0; i < 4; i++)
        remove_key(0, i);
    cr_assert_eq(page->removed_count, 4);
    cr_assert(has(0, 4));
    assert_page_valid();
    remove_key(0, 4);

    cr_assert_eq(page->removed_count, 0);
}

WHOLE_TEST(page, a_removed_place_is_used_again)
{
    size_t place;

    for (unsigned i = 0; i < 5; i++)
        insert(0, i);
    place = place_of_key(0, 2);
    remove_key(0, 2);
    insert(0, 7);

    cr_assert_eq(place_of_key(0, 7), place);
    cr_assert_eq(page->removed_count, 0);
    remove_all();
}

/* --- fullness --- */

WHOLE_TEST(page, a_page_takes_a_key_in_every_place_and_finds_them)
{
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        insert(spread(i, PAGE_ENTRIES / 3), i);

    cr_assert_eq(page->key_count, PAGE_ENTRIES);
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        cr_assert(has(spread(i, PAGE_ENTRIES / 3), i));
    cr_assert_not(has(17, UINT32_MAX));
    assert_page_valid();
    remove_all();
}

WHOLE_TEST(page, there_is_room_until_every_place_is_taken)
{
    for (unsigned i = 0; i < PAGE_ENTRIES; i++) {
        cr_assert(page_has_room(page), "%u keys", i);
        insert(spread(i, PAGE_ENTRIES), i);
    }

    cr_assert_not(page_has_room(page));
    remove_key(spread(17, PAGE_ENTRIES), 17);
    cr_assert(page_has_room(page));
    remove_all();
}

WHOLE_TEST(page, a_full_page_stays_whole_while_keys_go_and_come)
{
    struct store_random random = {store_environment_number("HAUSKV_TEST_SEED", 1)};

    cr_log_info("HAUSKV_TEST_SEED=%llu", (unsigned long long)random.state);
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        insert(spread(i, PAGE_ENTRIES), i);
    for (unsigned step = 0; step < 5000; step++) {
        unsigned i = (unsigned)store_random_below(&random, PAGE_ENTRIES);

        if (has(spread(i, PAGE_ENTRIES), i))
            remove_key(spread(i, PAGE_ENTRIES), i);
        else
            insert(spread(i, PAGE_ENTRIES), i);
        if (step % 100 == 0)
            assert_page_valid();
    }
    remove_all();
}

/* --- collecting, copying, rebuilding --- */

WHOLE_TEST(page, collected_entries_ascend_from_where_was_asked)
{
    size_t count;

    for (unsigned i = 0; i < PAGE_ENTRIES / 2; i++)
        insert(UINT32_MAX - spread(i, PAGE_ENTRIES), i);
    count = page_collect(page, UINT32_MAX / 4 * 3, entries);

    cr_assert_gt(count, 0);
    cr_assert_geq(entry_tag(entries[0]), UINT32_MAX / 4 * 3);
    for (size_t i = 1; i < count; i++)
        cr_assert_gt(entries[i], entries[i - 1]);
    cr_assert_eq(page_collect(page, 0, entries), PAGE_ENTRIES / 2);
    cr_assert_eq(page_collect(page, UINT32_MAX, entries), 1);
    remove_all();
}

WHOLE_TEST(page, collecting_ascends_also_around_the_end_and_without_an_empty_place)
{
    for (unsigned i = 0; i < PAGE_ENTRIES; i++)
        insert(UINT32_MAX - i, i);

    cr_assert_eq(page_collect(page, 0, entries), PAGE_ENTRIES);
    for (size_t i = 1; i < PAGE_ENTRIES; i++)
        cr_assert_gt(entry_tag(entries[i]), entry_tag(entries[i - 1]));
    remove_all();
}

WHOLE_TEST(page, a_copy_has_what_belongs_to_its_half)
{
    struct page *half = page_at(fixture.segment, chunk_claim(fixture.segment, CHUNK_LOG, 0, 0));
    const char *invalid = "";

    for (unsigned i = 0; i < PAGE_ENTRIES / 2; i++)
        insert(spread(i, PAGE_ENTRIES / 2), i);
    page_init(half, 1, 1);
    page_copy(page, half);

    cr_assert(page_is_valid(half, &invalid), "%s", invalid);
    for (unsigned i = 0; i < PAGE_ENTRIES / 2; i++) {
        uint32_t tag = spread(i, PAGE_ENTRIES / 2);

        cr_assert_eq(page_find(fixture.segment, half, 1, tag, key_number(i)) < PAGE_ENTRIES, tag >= 0x80000000u);
    }
    remove_all();
}

WHOLE_TEST(page, ranges_tile_the_tags)
{
    uint64_t next = 0;

    for (uint32_t prefix = 0; prefix < 8; prefix++) {
        page_init(page, 3, prefix);
        cr_assert_eq(page_first_tag(page), next);
        cr_assert(page_covers(page, page_first_tag(page)) && page_covers(page, page_last_tag(page)));
        next = (uint64_t)page_last_tag(page) + 1;
        cr_assert_not(page_covers(page, (uint32_t)next));
    }
    cr_assert_eq(next, (uint64_t)1 << 32);
    page_init(page, 0, 0);
    cr_assert_eq(page_last_tag(page), UINT32_MAX);
}

WHOLE_TEST(page, rebuild_counts_anew)
{
    for (unsigned i = 0; i < 50; i++)
        insert(0, i);
    for (unsigned i = 0; i < 20; i++)
        remove_key(0, i);
    page->key_count = 12345;
    page->removed_count = 54321;

    page_rebuild(page);

    cr_assert_eq(page->key_count, 30);
    assert_page_valid();
    remove_all();
}

/* --- what the check sees --- */

static void assert_invalid(const char *expected)
{
    const char *invalid = NULL;

    cr_assert_not(page_is_valid(page, &invalid), "not seen: %s", expected);
    cr_assert_str_eq(invalid, expected);
}

WHOLE_TEST(page, check_sees_wrong_counts_depths_and_entries)
{
    insert(0, 1);
    insert(0, 2);
    page->key_count++;
    assert_invalid("a page's counts are wrong");
    page->key_count--;
    page->removed_count++;
    assert_invalid("a page's counts are wrong");
    page->removed_count--;
    page->depth = PAGE_DEPTH_MAX + 1;
    assert_invalid("a page's depth or prefix is out of range");
    page->depth = 0;
    page->prefix = 1;
    assert_invalid("a page's depth or prefix is out of range");
    page->depth = 1;
    assert_invalid("an entry is on the wrong page");
    page->depth = 0;
    page->prefix = 0;
    atomic_store(&page->entries[5], 0x1234500000000u);
    assert_invalid("an entry is neither empty nor removed nor a version");
    atomic_store(&page->entries[5], atomic_load(&page->entries[1]));
    assert_invalid("an entry is behind an empty place");
    atomic_store(&page->entries[5], ENTRY_EMPTY);
    remove_all();
}
