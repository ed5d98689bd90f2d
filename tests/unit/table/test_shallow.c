/* A page that has no room and cannot split, because the directory is no deeper: it fills up, or is made anew without what
 * was removed from it. */
#include "table_fixture.h"

static struct table_fixture fixture;
static const struct page *page;

/* One shard of one page for good. */
static void open_table(void)
{
    table_fixture_open(&fixture, CHUNK_BYTES * 256, 1);
    fixture.table.directory_depth = 0;
    page = table_page_of(&fixture.table, 0, 0);
}

static void shallow_is_whole(void)
{
    table_fixture_close(&fixture);
}

TestSuite(shallow, .init = open_table, .timeout = 60);

static void put_keys(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        cr_assert(table_put(&fixture, key_number(i), value_of(key_number(i))), "key %u", i);
}

static void del_keys(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        table_del(&fixture, key_number(i));
    (void)clean_up_to(&fixture, clock_now(&fixture));
}

static void assert_has_keys(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        assert_sees(&fixture, key_number(i), clock_now(&fixture), value_of(key_number(i)));
}

static const struct page *page_now(void)
{
    return table_page_of(&fixture.table, 0, 0);
}

WHOLE_TEST(shallow, a_page_that_cannot_split_fills_to_95_percent)
{
    put_keys(0, (unsigned)PAGE_ENTRIES_FULL);
    cr_assert_not(table_put(&fixture, key_number((unsigned)PAGE_ENTRIES_FULL), value_of(key_number(0))));
    cr_assert_eq(page_now(), page);
    assert_has_keys(0, (unsigned)PAGE_ENTRIES_FULL);
}

/* Fills the page and deletes until so many are left, or so many places are marked as removed. Returns how many keys are
 * gone. */
static unsigned fill_and_delete(unsigned keys_left, unsigned removed)
{
    unsigned gone = 0;

    put_keys(0, (unsigned)PAGE_ENTRIES_FULL);
    for (; page->key_count > keys_left && page->removed_count < removed; gone++)
        del_keys(gone, gone + 1);
    return gone;
}

static bool has_room_made(unsigned count)
{
    bool is_done = false;

    while (!is_done)
        if (table_make_room(&fixture.table, 0, 0, count, &is_done) != STATUS_OK)
            return false;
    return true;
}

/* So many keys that a split would be right, and so many removed that making it anew is worth it. */
WHOLE_TEST(shallow, a_page_that_cannot_split_is_made_anew_without_what_was_removed)
{
    unsigned gone = fill_and_delete(0, (unsigned)PAGE_ENTRIES_NORMAL / 4 + 1);
    unsigned keys = page->key_count;

    cr_assert_gt(keys, PAGE_ENTRIES_NORMAL * 3 / 4);
    cr_assert(has_room_made(1));
    cr_assert_neq(page_now(), page);
    cr_assert_eq(page_now()->removed_count, 0);
    cr_assert_eq(page_now()->key_count, keys);
    assert_has_keys(gone, (unsigned)PAGE_ENTRIES_FULL);
}

WHOLE_TEST(shallow, a_page_that_cannot_split_stays_while_little_was_removed)
{
    (void)fill_and_delete(0, (unsigned)PAGE_ENTRIES_NORMAL / 4);
    cr_assert(has_room_made(1));
    cr_assert_eq(page_now(), page);
}

static unsigned take_chunks(struct chunk_ref *chunks, unsigned count_max)
{
    unsigned count = 0;

    for (; count < count_max; count++) {
        chunks[count] = chunk_claim(fixture.segment, CHUNK_VALUE, 0, 0);
        if (chunk_ref_is_none(chunks[count]))
            break;
    }
    return count;
}

WHOLE_TEST(shallow, a_page_with_many_keys_that_cannot_be_made_anew_fills_on)
{
    unsigned gone = fill_and_delete(0, (unsigned)PAGE_ENTRIES_NORMAL / 4 + 1);
    struct chunk_ref chunks[256];
    unsigned count = take_chunks(chunks, 256);

    cr_assert(has_room_made(1));
    cr_assert_eq(page_now(), page);
    while (count > 0)
        chunk_release(fixture.segment, chunks[--count]);
    assert_has_keys(gone, (unsigned)PAGE_ENTRIES_FULL);
}

/* So few keys that a split would be wrong. */
WHOLE_TEST(shallow, a_page_that_cannot_be_made_anew_for_want_of_memory_fills_on)
{
    unsigned gone = fill_and_delete((unsigned)PAGE_ENTRIES_NORMAL / 2, (unsigned)PAGE_ENTRIES);
    unsigned room = (unsigned)PAGE_ENTRIES_NORMAL * 3 / 4 - page->key_count;
    struct chunk_ref chunks[256];
    unsigned count = take_chunks(chunks, 256);

    cr_assert_gt(page->key_count + page->removed_count + room, PAGE_ENTRIES_NORMAL, "it has room as it is");
    cr_assert(has_room_made(room));
    cr_assert_eq(page_now(), page);
    while (count > 0)
        chunk_release(fixture.segment, chunks[--count]);
    cr_assert(has_room_made(room));
    cr_assert_neq(page_now(), page);
    assert_has_keys(gone, (unsigned)PAGE_ENTRIES_FULL);
}
