/* Looks without the lock: where nobody changes anything they find what is found under the lock; and whatever they meet,
 * they end and stay in the segment. Here the segment ends at a page that nobody may touch. */
#include <criterion/criterion.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/store_random.h"
#include "table_fixture.h"

#define BYTES ((size_t)1 << 20)
#define KEYS 400u
#define WRITES 4000u
#define LOOKS 20000u
#define CHAIN_MAX 64u /* versions that a look follows */
#define ROUNDS 400u

static struct table_fixture fixture;
static struct store_random noise;

/* A copy of the fixture's segment, that is damaged in its place. */
static struct segment guarded;
static struct table table;

static void open_table(void)
{
    table_fixture_open(&fixture, BYTES, 1);
    noise = (struct store_random){17};
}

static void look_is_whole(void)
{
    table_fixture_close(&fixture);
}

TestSuite(look, .init = open_table, .timeout = 120);

/* --- sentences --- */

static void copy_before_a_guard(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t bytes = fixture.segment->bytes;
    size_t mapped = (bytes + page - 1) / page * page;
    unsigned char *memory = mmap(NULL, mapped + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    cr_assert_neq((void *)memory, MAP_FAILED);
    cr_assert_eq(mprotect(memory + mapped, page, PROT_NONE), 0);
    cr_assert_eq(bytes % 64, 0, "a segment is whole cache lines");
    guarded = *fixture.segment;
    guarded.base = memory + mapped - bytes;
    memcpy(guarded.base, fixture.segment->base, bytes);
    guarded.header = (struct segment_header *)(void *)guarded.base;
    guarded.root = guarded.base + (fixture.segment->root - fixture.segment->base);
    table = fixture.table;
    table.segment = &guarded;
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

        cr_assert_eq(page_look(fixture.segment, page, tag, key), page_find(fixture.segment, page, tag, key));
        cr_assert_eq(page_look(fixture.segment, page, tag, key) < PAGE_ENTRIES, i < KEYS);
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

/* 16 bytes end with the segment, 17 do not. */
WHOLE_TEST(look, compares_a_key_only_where_it_fits)
{
    struct bytes fits = bytes_from_string("sixteen bytes!!!");
    struct bytes sticks_out = bytes_from_string("seventeen bytes!!");
    struct block_ref last;

    copy_before_a_guard();
    last = at_the_end(fits.size);
    write_version(last, fits, 0);
    memcpy(version_in_copy(last) + 1, fits.data, fits.size);
    fill_page(fits, last);
    cr_assert_lt(page_look(&guarded, page_in_copy(fits), table_tag_of(&table, hash_of(fits)), fits), PAGE_ENTRIES);
    write_version(last, sticks_out, 0);
    fill_page(sticks_out, last);
    cr_assert_eq(page_look(&guarded, page_in_copy(sticks_out), table_tag_of(&table, hash_of(sticks_out)), sticks_out),
                 PAGE_ENTRIES);
}

WHOLE_TEST(look, follows_no_reference_out_of_the_segment)
{
    struct bytes key = key_number(1);
    struct block_ref seen;

    copy_before_a_guard();
    for (uint32_t behind = 1; behind < 100; behind++) {
        struct block_ref outside = {at_the_end(0).units + behind};

        fill_page(key, outside);
        cr_assert_eq(page_look(&guarded, page_in_copy(key), table_tag_of(&table, hash_of(key)), key), PAGE_ENTRIES);
        cr_assert_not(version_look(&guarded, outside, 1, &seen));
        write_version(at_the_end(0), key, outside.units);
        cr_assert_not(version_look(&guarded, at_the_end(0), 1, &seen));
    }
    cr_assert_not(version_look(&guarded, (struct block_ref){UINT32_MAX}, 1, &seen));
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

    cr_assert_not(version_look(&guarded, first, 1, &seen));
}

WHOLE_TEST(look, survives_any_depth)
{
    struct bytes key = key_number(1);

    put_number(1);
    copy_before_a_guard();
    for (uint32_t depth = 0; depth < 100; depth++) {
        page_in_copy(key)->depth = depth;
        (void)page_look(&guarded, page_in_copy(key), UINT32_MAX, key);
        page_in_copy(key)->depth = UINT32_MAX - depth;
        (void)page_look(&guarded, page_in_copy(key), UINT32_MAX, key);
    }
}

WHOLE_TEST(look, survives_nonsense_in_the_directory)
{
    const uint32_t nonsense[] = {0, fixture.segment->chunk_count, fixture.segment->chunk_count + 1, UINT32_MAX};
    const bool is_page[] = {false, true, false, false};
    uint32_t *directory;
    struct block_ref seen;

    copy_before_a_guard();
    directory = (uint32_t *)(void *)table_shard(&table, 1);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        for (size_t place = 0; place < (size_t)1 << table.directory_depth; place++)
            directory[place] = nonsense[i];
        cr_assert_eq(table_look(&table, hash_of(key_number(1)), key_number(1), 1, &seen), is_page[i], "%u", nonsense[i]);
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

/* Half of what can be a version is one of the key, begun at any time, with any older one. */
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
