/* Looks without the lock: where nobody changes anything they find what is found under the lock; and whatever they meet,
 * they end and stay in the segment. Here the segment ends at a page that nobody may touch, and so does the memory for a
 * copy. */
#include <criterion/criterion.h>
#include <string.h>

#include "../../../src/table/table_internal.h"
#include "support/guarded_memory.h"
#include "support/store_random.h"
#include "table_fixture.h"

#define BYTES ((size_t)1 << 20)
#define KEYS 400u
#define WRITES 4000u
#define LOOKS 20000u
#define CHAIN_MAX 64u /* versions that a look follows */
#define COPIED_MAX ((size_t)256) /* bytes of a value that it copies */
#define DEPTHS 32u /* that an entry of the directory can have */
#define ROUNDS 400u
#define UNTOUCHED 0xa5

static struct table_fixture fixture;
static struct store_random noise;

/* A copy of the fixture's segment, that is damaged in its place. */
static struct segment guarded;
static struct table table;

/* Room for a value's copy, and as much before it. */
static unsigned char *copy;

static void open_table(void)
{
    table_fixture_open(&fixture, BYTES, 1);
    noise = (struct store_random){17};
    copy = guarded_memory(2 * COPIED_MAX).end - COPIED_MAX;
}

static void look_is_whole(void)
{
    table_fixture_close(&fixture);
}

TestSuite(look, .init = open_table, .timeout = 120);

/* --- sentences --- */

static void copy_before_a_guard(void)
{
    size_t bytes = fixture.segment->bytes;

    cr_assert_eq(bytes % 64, 0, "a segment is whole cache lines");
    guarded = *fixture.segment;
    guarded.base = guarded_memory(bytes).end - bytes;
    memcpy(guarded.base, fixture.segment->base, bytes);
    guarded.header = (struct segment_header *)(void *)guarded.base;
    guarded.root = guarded.base + (fixture.segment->root - fixture.segment->base);
    cr_assert(table_attach(&table, &guarded));
}

static uint64_t hash_of(struct bytes key)
{
    return table_hash(&fixture.table, key);
}

static struct block_ref found(struct bytes key, uint64_t snapshot)
{
    return version_visible_at(fixture.segment, table_find(&fixture.table, 0, hash_of(key), key), snapshot);
}

static void put_number(unsigned number)
{
    cr_assert(table_put(&fixture, key_number(number), value_of(key_number(number))));
}

static void assert_looks_like_found(struct bytes key, uint64_t snapshot)
{
    struct block_ref seen = {UINT32_MAX};

    cr_assert(table_look(&fixture.table, hash_of(key), key, snapshot, &seen));
    cr_assert_eq(seen.units, found(key, snapshot).units, "%.*s at %u", (int)key.size, (const char *)key.data,
                 (unsigned)snapshot);
}

/* The place on a page of this segment, and its version, as a look finds them. */
static size_t place_seen(const struct segment *segment, const struct page *page, uint32_t depth, struct bytes key,
                         struct block_ref *version)
{
    return page_look(segment, page, depth, table_tag_of(&fixture.table, hash_of(key)), key, version);
}

static bool walk(struct block_ref newest, uint64_t snapshot, struct block_ref *seen)
{
    return version_look(&guarded, newest, snapshot, seen);
}

static void assert_untouched(const unsigned char *from, const unsigned char *to)
{
    for (; from < to; from++)
        cr_assert_eq(*from, UNTOUCHED);
}

/* Looks in this table for a value, and at what is around it afterwards. */
static bool value_seen(const struct table *in, struct bytes key, struct bytes *value, bool *is_there)
{
    size_t size = SIZE_MAX;
    enum status status;

    memset(copy - COPIED_MAX, UNTOUCHED, 2 * COPIED_MAX);
    status = table_look_value(in, hash_of(key), key, copy, &size);
    assert_untouched(copy - COPIED_MAX, copy);
    *is_there = status == STATUS_OK;
    if (status != STATUS_OK) {
        *value = bytes_from(copy, 0);
        assert_untouched(copy, copy + COPIED_MAX);
        return status == STATUS_NOT_FOUND;
    }
    cr_assert_leq(size, COPIED_MAX);
    assert_untouched(copy + size, copy + COPIED_MAX);
    *value = bytes_from(copy, size);
    return true;
}

static void assert_value_looks_like_found(struct bytes key)
{
    struct block_ref ref = found(key, TIME_INFINITE);
    const struct version *version = version_at(fixture.segment, ref);
    struct bytes value;
    bool is_there;

    if (block_ref_is_none(ref)) {
        cr_assert(value_seen(&fixture.table, key, &value, &is_there));
        cr_assert_not(is_there);
    } else if (version->value_size > COPIED_MAX) {
        cr_assert_not(value_seen(&fixture.table, key, &value, &is_there));
    } else {
        cr_assert(value_seen(&fixture.table, key, &value, &is_there));
        cr_assert(is_there);
        cr_assert(bytes_equal(value, version_piece(fixture.segment, version, 0)));
    }
}

/* A value of that many bytes, another one with each number; good until the next one. */
static struct bytes content(size_t size, uint64_t number)
{
    static unsigned char bytes[2 * CHUNK_BYTES + 100];

    cr_assert_leq(size, sizeof(bytes));
    store_content_fill(bytes, size, number);
    return bytes_from(bytes, size);
}

/* --- what is there --- */

WHOLE_TEST(look, finds_what_is_found_under_the_lock)
{
    for (unsigned i = 0; i < WRITES; i++) {
        struct bytes key = key_number((unsigned)store_random_below(&noise, KEYS));

        if (i % 3 == 0 && !block_ref_is_none(found(key, TIME_INFINITE - 1)))
            table_del(&fixture, key);
        else
            cr_assert(table_put(&fixture, key, value_of(key)));
    }
    for (unsigned i = 0; i < LOOKS; i++)
        assert_looks_like_found(key_number((unsigned)store_random_below(&noise, KEYS * 3 / 2)),
                                store_random_below(&noise, clock_now(&fixture) + 2));
    for (unsigned i = 0; i < KEYS; i++)
        assert_looks_like_found(key_number(i), TIME_INFINITE);
}

WHOLE_TEST(look, finds_a_place_on_a_page_as_under_the_lock)
{
    for (unsigned i = 0; i < KEYS; i++)
        put_number(i);
    for (unsigned i = 0; i < 2 * KEYS; i++) {
        struct bytes key = key_number(i);
        uint64_t hash = hash_of(key);
        const struct page *page = table_page_of(&fixture.table, 0, hash);
        uint32_t tag = table_tag_of(&fixture.table, hash);
        struct block_ref version;
        size_t place = place_seen(fixture.segment, page, page->depth, key, &version);

        cr_assert_eq(place, page_find(fixture.segment, page, page->depth, tag, key));
        cr_assert_eq(place < PAGE_ENTRIES, i < KEYS);
        cr_assert_eq(version.units,
                     place == PAGE_ENTRIES ? 0 : entry_version(atomic_load(&page->entries[place])).units);
    }
}

WHOLE_TEST(look, leaves_a_long_chain_to_the_lock)
{
    uint64_t before = clock_now(&fixture);
    struct block_ref seen;

    for (unsigned i = 0; i < CHAIN_MAX; i++)
        put_number(1);
    assert_looks_like_found(key_number(1), before);
    assert_looks_like_found(key_number(1), before + 1);
    put_number(1);

    cr_assert_not(table_look(&fixture.table, hash_of(key_number(1)), key_number(1), before, &seen));
    cr_assert_not(table_look(&fixture.table, hash_of(key_number(1)), key_number(1), before + 1, &seen));
    assert_looks_like_found(key_number(1), before + 2);
}

WHOLE_TEST(look, finds_the_value_that_is_found_under_the_lock)
{
    unsigned looked_at[3] = {0}; /* absent; copied; left to the lock */

    for (unsigned i = 0; i < WRITES; i++) {
        struct bytes key = key_number((unsigned)store_random_below(&noise, KEYS));
        struct block_ref ref;

        if (i % 3 == 0 && !block_ref_is_none(found(key, TIME_INFINITE)))
            table_del(&fixture, key);
        else
            cr_assert(table_put(&fixture, key, content(store_random_below(&noise, COPIED_MAX + 20), i)));
        assert_value_looks_like_found(key);
        ref = found(key, TIME_INFINITE);
        looked_at[block_ref_is_none(ref) ? 0 : 1 + (version_at(fixture.segment, ref)->value_size > COPIED_MAX)]++;
        if (i % 100 == 0)
            (void)clean_up_to(&fixture, clock_now(&fixture));
    }
    for (unsigned i = 0; i < KEYS * 3 / 2; i++)
        assert_value_looks_like_found(key_number(i));
    cr_assert(looked_at[0] > 0 && looked_at[1] > 0 && looked_at[2] > 0);
}

WHOLE_TEST(look, copies_values_up_to_a_size)
{
    static unsigned char key_bytes[KEY_BYTES_MAX];
    const size_t key_sizes[] = {1, 16, KEY_BYTES_MAX};
    const size_t copied[] = {0, 1, 15, 16, 17, COPIED_MAX - 1, COPIED_MAX};
    const size_t left_to_the_lock[] = {COPIED_MAX + 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 100};
    struct bytes value;
    bool is_there;

    cr_assert_eq(VALUE_COPIED_BYTES_MAX, COPIED_MAX);
    memset(key_bytes, 'k', sizeof(key_bytes));
    for (size_t k = 0; k < sizeof(key_sizes) / sizeof(key_sizes[0]); k++) {
        struct bytes key = bytes_from(key_bytes, key_sizes[k]);

        for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++) {
            cr_assert(table_put(&fixture, key, content(copied[i], i)));
            cr_assert(value_seen(&fixture.table, key, &value, &is_there), "%zu bytes", copied[i]);
            cr_assert(is_there);
            cr_assert(store_content_is(value, copied[i], i), "%zu bytes", copied[i]);
        }
        for (size_t i = 0; i < sizeof(left_to_the_lock) / sizeof(left_to_the_lock[0]); i++) {
            cr_assert(table_put(&fixture, key, content(left_to_the_lock[i], i)));
            cr_assert_not(value_seen(&fixture.table, key, &value, &is_there), "%zu bytes", left_to_the_lock[i]);
            assert_untouched(copy, copy + COPIED_MAX);
        }
    }
}

/* --- nonsense --- */

static struct version *version_in_copy(struct block_ref ref)
{
    return version_at(&guarded, ref);
}

/* The last place where a header fits and so much behind it. */
static struct block_ref at_the_end(size_t behind)
{
    return (struct block_ref){(uint32_t)((guarded.bytes - sizeof(struct version) - behind) / REFERENCE_UNIT_BYTES)};
}

static void write_version(struct block_ref ref, struct bytes key, uint32_t older)
{
    struct version *version = version_in_copy(ref);

    version->begin = UINT64_MAX; /* later than any snapshot */
    atomic_store(&version->older, older);
    version->key_size = (uint16_t)key.size;
}

/* The same, and now it is the latest: with a value of that many bytes, as far as they are there. */
static void write_value(struct block_ref ref, struct bytes key, uint32_t size)
{
    write_version(ref, key, 0);
    memcpy(version_in_copy(ref) + 1, key.data, key.size);
    atomic_store(&version_in_copy(ref)->end, TIME_INFINITE);
    version_in_copy(ref)->value_size = size;
}

static struct page *page_in_copy(struct bytes key)
{
    return table_page_of(&table, 0, hash_of(key));
}

static void fill_page(struct bytes key, struct block_ref ref)
{
    struct page *page = page_in_copy(key);

    for (size_t place = 0; place < PAGE_ENTRIES; place++)
        atomic_store(&page->entries[place], entry_of(table_tag_of(&table, hash_of(key)), ref));
}

/* What the directory says of a key's page, where it is asked. */
static struct page_entry_point page_said(struct bytes key)
{
    return directory_load(directory_place(&table, hash_of(key)));
}

static void set_depth(struct bytes key, uint32_t depth)
{
    size_t node = (size_t)(directory_place(&table, hash_of(key)) - table.directory);

    atomic_store(&table.directory[node], depth << DIRECTORY_NUMBER_BITS | page_said(key).chunk.number);
}

/* 16 bytes end with the segment, 17 do not. */
WHOLE_TEST(look, compares_a_key_only_where_it_fits)
{
    struct bytes fits = bytes_from_string("sixteen bytes!!!");
    struct bytes sticks_out = bytes_from_string("seventeen bytes!!");
    struct block_ref last;
    struct block_ref seen;

    copy_before_a_guard();
    last = at_the_end(fits.size);
    write_version(last, fits, 0);
    memcpy(version_in_copy(last) + 1, fits.data, fits.size);
    fill_page(fits, last);
    cr_assert_lt(place_seen(&guarded, page_in_copy(fits), 0, fits, &seen), PAGE_ENTRIES);
    cr_assert_eq(seen.units, last.units);
    write_version(last, sticks_out, 0);
    fill_page(sticks_out, last);
    cr_assert_eq(place_seen(&guarded, page_in_copy(sticks_out), 0, sticks_out, &seen), PAGE_ENTRIES);
    cr_assert(block_ref_is_none(seen));
}

WHOLE_TEST(look, copies_a_value_only_where_it_fits)
{
    struct bytes key = bytes_from_string("sixteen bytes!!!");
    struct block_ref last;
    struct bytes value;
    bool is_there;

    copy_before_a_guard();
    for (uint32_t fits = 0; fits <= COPIED_MAX; fits += REFERENCE_UNIT_BYTES) {
        last = at_the_end(key.size + fits);
        write_value(last, key, fits);
        store_content_fill(guarded.base + guarded.bytes - fits, fits, fits + 1);
        fill_page(key, last);
        cr_assert(value_seen(&table, key, &value, &is_there), "%u bytes", fits);
        cr_assert(is_there && store_content_is(value, fits, fits + 1), "%u bytes", fits);
        for (uint32_t size = fits + 1; size <= COPIED_MAX; size++) {
            version_in_copy(last)->value_size = size;
            cr_assert_not(value_seen(&table, key, &value, &is_there), "%u bytes, of which %u fit", size, fits);
            assert_untouched(copy, copy + COPIED_MAX);
        }
        version_in_copy(last)->value_size = UINT32_MAX;
        cr_assert_not(value_seen(&table, key, &value, &is_there));
    }
}

/* Of a key so long that the value would lie behind the block's chunk: in chunks of its own, if this were a version. */
WHOLE_TEST(look, copies_no_value_from_another_chunk)
{
    const uint32_t room = 100;
    struct block_ref ref;
    struct version *version;
    size_t size = 0;

    copy_before_a_guard();
    ref = (struct block_ref){(uint32_t)(guarded.chunks_offset / REFERENCE_UNIT_BYTES)};
    version = version_in_copy(ref);
    version->key_size = (uint16_t)(CHUNK_BYTES - sizeof(*version) - room);
    version->value_size = room;
    cr_assert(version_copy_value(&guarded, ref, copy, &size));
    cr_assert_eq(size, room);
    version->value_size = room + 1;
    cr_assert_not(version_copy_value(&guarded, ref, copy, &size));
}

WHOLE_TEST(look, sees_no_value_that_has_ended)
{
    struct bytes key = key_number(1);
    struct bytes value;
    bool is_there;

    copy_before_a_guard();
    write_value(at_the_end(100), key, 1);
    fill_page(key, at_the_end(100));
    cr_assert(value_seen(&table, key, &value, &is_there) && is_there);
    atomic_store(&version_in_copy(at_the_end(100))->end, TIME_INFINITE - 1);
    cr_assert(value_seen(&table, key, &value, &is_there) && !is_there);
}

WHOLE_TEST(look, follows_no_reference_out_of_the_segment)
{
    struct bytes key = key_number(1);
    struct block_ref seen;

    copy_before_a_guard();
    for (uint32_t behind = 1; behind < 100; behind++) {
        struct block_ref outside = {at_the_end(0).units + behind};

        fill_page(key, outside);
        cr_assert_eq(place_seen(&guarded, page_in_copy(key), 0, key, &seen), PAGE_ENTRIES);
        cr_assert_not(walk(outside, 1, &seen));
        write_version(at_the_end(0), key, outside.units);
        cr_assert_not(walk(at_the_end(0), 1, &seen));
    }
    cr_assert_not(walk((struct block_ref){UINT32_MAX}, 1, &seen));
}

WHOLE_TEST(look, comes_out_of_a_circle)
{
    struct block_ref first;
    struct block_ref second;
    struct block_ref seen;

    copy_before_a_guard();
    first = (struct block_ref){at_the_end(0).units - 100};
    second = at_the_end(0);
    write_version(first, key_number(1), second.units);
    write_version(second, key_number(1), first.units);

    cr_assert_not(walk(first, 1, &seen));
}

/* At a wrong depth a key is found elsewhere on its page, or not at all. */
WHOLE_TEST(look, survives_any_depth)
{
    unsigned absent = 0;

    for (unsigned i = 0; i < KEYS; i++)
        put_number(i);
    copy_before_a_guard();
    for (unsigned i = 0; i < KEYS; i++) {
        struct bytes key = key_number(i);
        uint32_t depth_there = page_said(key).depth;
        struct block_ref there = found(key, TIME_INFINITE);

        for (uint32_t depth = 0; depth < DEPTHS; depth++) {
            struct block_ref seen;

            set_depth(key, depth);
            cr_assert_eq(page_said(key).depth, depth);
            cr_assert(table_look(&table, hash_of(key), key, TIME_INFINITE, &seen));
            cr_assert(seen.units == there.units || (depth != depth_there && block_ref_is_none(seen)), "depth %u",
                      depth);
            absent += block_ref_is_none(seen);
        }
        set_depth(key, depth_there);
    }
    cr_assert_gt(absent, 0, "the depth does not matter");
}

/* On a level that is not deep enough another page is found, where the key is not; one that is not there is none. */
WHOLE_TEST(look, survives_any_level)
{
    const uint32_t nonsense[] = {fixture.table.directory_depth + 1, 25, 31, 32, 63, 64, 65, UINT32_MAX};
    unsigned absent = 0;

    for (unsigned i = 0; i < KEYS; i++)
        put_number(i);
    copy_before_a_guard();
    for (unsigned i = 0; i < KEYS; i++) {
        struct bytes key = key_number(i);
        struct block_ref there = found(key, TIME_INFINITE);
        uint32_t depth = table_page_of(&fixture.table, 0, hash_of(key))->depth;
        struct block_ref seen;

        for (uint32_t level = 0; level <= table.directory_depth; level++) {
            atomic_store(&table_root(&table)->directory_level, level);
            cr_assert(table_look(&table, hash_of(key), key, TIME_INFINITE, &seen));
            cr_assert(seen.units == there.units || (level < depth && block_ref_is_none(seen)), "level %u", level);
            absent += block_ref_is_none(seen);
        }
        for (size_t j = 0; j < sizeof(nonsense) / sizeof(nonsense[0]); j++) {
            atomic_store(&table_root(&table)->directory_level, nonsense[j]);
            cr_assert(table_look(&table, hash_of(key), key, TIME_INFINITE, &seen));
            cr_assert_eq(seen.units, there.units, "level %u", nonsense[j]);
        }
    }
    cr_assert(absent > 0 || table_root(&fixture.table)->directory_level == 0, "the level does not matter");
}

WHOLE_TEST(look, survives_nonsense_in_the_directory)
{
    const uint32_t last = fixture.segment->chunk_count;
    const uint32_t deepest = (DEPTHS - 1) << DIRECTORY_NUMBER_BITS;
    const uint32_t nonsense[] = {0, last, last + 1, UINT32_MAX, deepest, deepest | last, deepest | (last + 1)};
    const bool is_page[] = {false, true, false, false, false, true, false};
    struct bytes key = key_number(1);
    struct block_ref seen;

    copy_before_a_guard();
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        struct bytes value;
        bool is_there;

        for (size_t node = 0; node < (size_t)2 << table.directory_depth; node++)
            atomic_store(&table.directory[node], nonsense[i]);
        cr_assert_eq(table_look(&table, hash_of(key), key, 1, &seen), is_page[i], "%x", nonsense[i]);
        cr_assert_eq(value_seen(&table, key, &value, &is_there), is_page[i], "%x", nonsense[i]);
    }
}

/* A reference as a page or a version may have it that became something else. */
static uint32_t any_reference(void)
{
    switch (store_random_below(&noise, 4)) {
    case 0:
        return (uint32_t)store_random_next(&noise);
    case 1:
        return at_the_end(0).units - (uint32_t)store_random_below(&noise, 100) + 50;
    default:
        return (uint32_t)store_random_below(&noise, guarded.bytes / REFERENCE_UNIT_BYTES);
    }
}

/* Half of what can be a version is one of the key, begun at any time, with any older one and a value of about the sizes
 * that are copied; half of these have not ended. */
static void fill_with_nonsense(struct bytes key)
{
    uint64_t *words = (uint64_t *)(void *)(guarded.base + guarded.chunks_offset);
    size_t count = (guarded.bytes - guarded.chunks_offset) / sizeof(uint64_t);
    struct page *page = page_in_copy(key);

    for (size_t i = 0; i < count; i++)
        words[i] = store_random_next(&noise);
    for (uint32_t units = at_the_end(key.size).units; units * (size_t)REFERENCE_UNIT_BYTES > guarded.chunks_offset;
         units -= 3) {
        if (store_random_one_in(&noise, 2))
            continue;
        write_version((struct block_ref){units}, key, any_reference());
        version_in_copy((struct block_ref){units})->begin = store_random_below(&noise, 8);
        version_in_copy((struct block_ref){units})->value_size = (uint32_t)store_random_below(&noise, 2 * COPIED_MAX);
        if (store_random_one_in(&noise, 2))
            atomic_store(&version_in_copy((struct block_ref){units})->end, TIME_INFINITE);
        memcpy(version_in_copy((struct block_ref){units}) + 1, key.data, key.size);
    }
    for (size_t place = 0; place < PAGE_ENTRIES; place++)
        if (!store_random_one_in(&noise, 8))
            atomic_store(&page->entries[place], entry_of(table_tag_of(&table, hash_of(key)),
                                                         (struct block_ref){any_reference()}));
}

WHOLE_TEST(look, survives_nonsense_everywhere)
{
    struct bytes key = bytes_from_string("a key");
    unsigned answers[3] = {0}; /* gave up; absent; there */

    copy_before_a_guard();
    for (unsigned round = 0; round < ROUNDS; round++) {
        fill_with_nonsense(key);
        for (uint64_t snapshot = 0; snapshot < 8; snapshot++) {
            struct block_ref seen;

            if (table_look(&table, hash_of(key), key, snapshot, &seen))
                answers[1 + !block_ref_is_none(seen)]++;
            else
                answers[0]++;
        }
    }
    cr_assert(answers[0] > 0 && answers[1] > 0 && answers[2] > 0, "%u, %u, %u: one way is never gone", answers[0],
              answers[1], answers[2]);
}

WHOLE_TEST(look, of_a_value_survives_nonsense_everywhere)
{
    struct bytes key = bytes_from_string("a key");
    unsigned answers[3] = {0}; /* gave up; absent; there */

    copy_before_a_guard();
    for (unsigned round = 0; round < ROUNDS; round++) {
        fill_with_nonsense(key);
        for (uint32_t depth = 0; depth < DEPTHS; depth++) {
            struct bytes value;
            bool is_there;

            set_depth(key, depth);
            if (value_seen(&table, key, &value, &is_there))
                answers[1 + is_there]++;
            else
                answers[0]++;
        }
    }
    cr_assert(answers[0] > 0 && answers[1] > 0 && answers[2] > 0, "%u, %u, %u: one way is never gone", answers[0],
              answers[1], answers[2]);
}
