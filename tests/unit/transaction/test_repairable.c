/* segment_is_repairable is what a restart trusts before it lets the heir's functions loose, so each kind of damage that
 * it claims to see is done here, one at a time, and must be seen (damage.h). What is whole for it: commits that wait to
 * be done again, a page split half done. */
#include <stdio.h>
#include <string.h>

#include "damage.h"

#define KEYS (3u * (unsigned)PAGE_ENTRIES)

static const char *plain;
static const char *rewritten; /* a second version, and a snapshot that needs the first */
static const char *shared;    /* on a page whose split is half done */

static struct chunk_ref replaced;
static struct chunk_ref left_half;
static struct chunk_ref right_half;

static struct page *page_in(struct chunk_ref chunk)
{
    return page_at(engine->segment, chunk);
}

/* The first entry of a page that is a version. */
static _Atomic uint64_t *entry_in(struct page *page)
{
    for (size_t i = 0;; i++)
        if (!block_ref_is_none(entry_version(atomic_load(&page->entries[i]))))
            return &page->entries[i];
}

static uint32_t tag_of(const char *key)
{
    return table_tag_of(&engine->table, table_hash(&engine->table, text(key)));
}

static struct chunk_ref chunk_of(struct page *page)
{
    size_t offset = (size_t)((unsigned char *)page - (unsigned char *)page_in((struct chunk_ref){1}));

    return (struct chunk_ref){(uint32_t)(offset / CHUNK_BYTES) + 1};
}

static struct chunk_ref half_of(struct page *page, uint32_t side)
{
    struct chunk_ref chunk = chunk_claim(engine->segment, CHUNK_PAGE, 0, shard_of(shared));

    REQUIRE(!chunk_ref_is_none(chunk));
    page_init(page_in(chunk), page->depth + 1, page->prefix * 2 + side);
    page_copy(page, page_in(chunk));
    return chunk;
}

static void replace_by(struct chunk_ref one, struct chunk_ref other)
{
    atomic_store(&page_in(replaced)->replaced_by, (uint64_t)one.number << 32 | other.number);
}

/* As by a process that died with the new pages published and the directory as it was. */
static void split_half(void)
{
    struct page *page = page_of(shared);

    replaced = chunk_of(page);
    left_half = half_of(page, 0);
    right_half = half_of(page, 1);
    replace_by(left_half, right_half);
}

/* As by a process that died behind its commit point and published nothing. */
static void commit_half(void)
{
    struct commit_record *commit = &me->slot->commit;
    struct block_ref version = table_reserve(&engine->table, 0, text(plain), 0);

    REQUIRE(!block_ref_is_none(version) && shard_of(plain) == 0 && shard_of(rewritten) == 0);
    commit->built_in[0] = (struct redo_entry){version.units, 0, REDO_PUT};
    commit->built_in[1] = (struct redo_entry){ref_of(rewritten).units, 0, REDO_DEL};
    atomic_store(&commit->redo_count, 2);
    atomic_store(&commit->pending, 1);
    atomic_store(&commit->word, (atomic_fetch_add(&engine->segment->header->clock, 1) + 1) << 1 | 1);
}

static void open_engine(void)
{
    char key[32];

    engine_open(CHUNK_BYTES * 256, 2);
    plain = key_in(0, 0);
    rewritten = key_in(0, 1);
    shared = key_in(1, 0);
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        put(me, TRANSACTION_SINGLE, key, "value");
    }
    for (unsigned i = 0; i < 2; i++)
        put(me, TRANSACTION_SINGLE, key_in(i, 0), "value");
    put(me, TRANSACTION_SINGLE, rewritten, "first");
    (void)engine_clean(engine);
    (void)begun(me);
    put(me, TRANSACTION_SINGLE, rewritten, "second");
    put(me, TRANSACTION_SINGLE, rewritten, "third");
    split_half();
    commit_half();
    damage_init(segment_is_repairable);
}

static void close_engine(void)
{
    damage_deinit();
    engine_detach(engine);
}

TestSuite(repairable, .init = open_engine, .fini = close_engine, .timeout = 120);

/* --- damages --- */

static struct commit_record *commit(void)
{
    return &me->slot->commit;
}

/* In the first place behind those of the first page of the directory. */
static void page_stands_once_more(void)
{
    atomic_store(directory_end_of_first_page(0) + 1, atomic_load(directory(0)));
}

/* An empty page in the first place, which says of it what it says of itself. */
static void page_at_depth(uint32_t depth)
{
    struct chunk_ref chunk = chunk_claim(engine->segment, CHUNK_PAGE, 0, 0);

    REQUIRE(!chunk_ref_is_none(chunk));
    memset(page_in(chunk), 0, sizeof(struct page));
    page_in(chunk)->depth = depth;
    atomic_store(directory(0), chunk.number);
    directory_set_depth(directory(0), depth);
}

static uint32_t first_depth(void)
{
    return page_in((struct chunk_ref){chunk_named(directory(0))})->depth;
}

static void redo_in_a_chunk_of_others(void)
{
    atomic_store(&commit()->redo_count, SLOT_REDO_BUILT_IN + 1);
    atomic_store(&commit()->redo_chunk, left_half.number);
}

#define PAGE_DAMAGED "a page's depth and prefix disagree with the directory"
#define NO_ENTRY "a committed log is of no shard or kind"
#define NO_VERSION "a committed log names what is no version"
#define VERSION_DAMAGED "a version is damaged or in a foreign shard"
#define TIMES_DAMAGED "a chain's times do not descend"
#define NO_PAGE "the directory names a chunk that is no page of the shard"
#define SUCCESSOR_NO_PAGE "a page was replaced by a chunk that is no page"
#define SUCCESSOR_DAMAGED "a page was replaced by a damaged one"

#define DAMAGES(DAMAGE)                                                                                               \
    DAMAGE(magic, "wrong magic", engine->segment->header->magic++)                                                    \
    DAMAGE(slots_outside, "a block of slots is no chunk of slots",                                                    \
           atomic_store(&engine->segment->header->slot_blocks[0], CHUNK_IN_NOWHERE))                                  \
    DAMAGE(single_pin, "a single command's pin is no pin", atomic_store(&me->slot->single_pin, 7))                    \
    DAMAGE(redo_chunk_outside, "a committed log is broken", atomic_store(&commit()->redo_count, UINT32_MAX))          \
    DAMAGE(redo_chunk_of_others, "a committed log is broken", redo_in_a_chunk_of_others())                            \
    DAMAGE(redo_of_no_shard, NO_ENTRY, commit()->built_in[1].shard = 2)                                               \
    DAMAGE(redo_of_another_shard, NO_VERSION,                                                                         \
           (commit()->built_in[1].shard = 1, atomic_store(&commit()->pending, 3)))                                    \
    DAMAGE(redo_of_no_kind, NO_ENTRY, commit()->built_in[0].kind = REDO_KIND_COUNT)                                   \
    DAMAGE(redo_outside, NO_VERSION, commit()->built_in[1].version = UNITS_IN_NOWHERE)                                \
    DAMAGE(redo_in_a_block, NO_VERSION, commit()->built_in[0].version++)                                              \
    DAMAGE(directory_outside, NO_PAGE, atomic_store(directory(0), CHUNK_IN_NOWHERE))                                  \
    DAMAGE(directory_with_none, NO_PAGE, atomic_store(directory(1), 0))                                               \
    DAMAGE(directory_to_a_foreign_page, NO_PAGE, atomic_store(directory(0), atomic_load(directory(1))))               \
    DAMAGE(directory_off_by_one, PAGE_DAMAGED, page_stands_once_more())                                               \
    DAMAGE(directory_depth_too_great, PAGE_DAMAGED, directory_set_depth(directory(0), first_depth() + 1))             \
    DAMAGE(directory_depth_too_small, PAGE_DAMAGED, directory_set_depth(directory(0), first_depth() - 1))             \
    DAMAGE(directory_depth_of_none, PAGE_DAMAGED, directory_set_depth(directory(0), 31))                              \
    DAMAGE(directory_depth_at_a_pages_end, PAGE_DAMAGED,                                                              \
           directory_set_depth(directory_end_of_first_page(0), first_depth() + 1))                                    \
    DAMAGE(page_and_directory_too_deep, PAGE_DAMAGED,                                                                 \
           page_at_depth(engine->table.directory_depth + 1))                                                          \
    DAMAGE(page_and_directory_far_too_deep, PAGE_DAMAGED, page_at_depth(31))                                          \
    DAMAGE(page_too_deep, PAGE_DAMAGED, page_of(plain)->depth = engine->table.directory_depth + 1)                    \
    DAMAGE(page_far_too_deep, PAGE_DAMAGED, page_of(plain)->depth = 77)                                               \
    DAMAGE(page_prefix, PAGE_DAMAGED, page_of(plain)->prefix ^= 1)                                                    \
    DAMAGE(entry_outside, VERSION_DAMAGED,                                                                            \
           atomic_store(entry_in(page_of(plain)), entry_of(1, (struct block_ref){UNITS_IN_NOWHERE})))                 \
    DAMAGE(entry_in_a_block, VERSION_DAMAGED, atomic_fetch_add(entry_in(page_of(plain)), 1))                          \
    DAMAGE(entry_to_a_foreign_shard, VERSION_DAMAGED,                                                                 \
           atomic_store(entry_in(page_of(plain)), entry_of(1, ref_of(shared))))                                       \
    DAMAGE(key_of_no_size, VERSION_DAMAGED, version_of(key_in(0, 2))->key_size = 0)                                   \
    DAMAGE(chain_outside, VERSION_DAMAGED, atomic_store(&version_of(rewritten)->older, UNITS_IN_NOWHERE))             \
    DAMAGE(begin_never, TIMES_DAMAGED, version_of(key_in(0, 2))->begin = 0)                                           \
    DAMAGE(begin_in_the_future, TIMES_DAMAGED, version_of(key_in(0, 2))->begin = clock_now() + 1)                     \
    DAMAGE(begin_of_the_newer, TIMES_DAMAGED,                                                                         \
           older_of(version_of(rewritten))->begin = version_of(rewritten)->begin)                                     \
    DAMAGE(chain_with_a_cycle, TIMES_DAMAGED,                                                                         \
           atomic_store(&older_of(version_of(rewritten))->older, ref_of(rewritten).units))                            \
    DAMAGE(replaced_by_itself_first, SUCCESSOR_NO_PAGE, replace_by(replaced, right_half))                             \
    DAMAGE(replaced_by_itself, SUCCESSOR_NO_PAGE, replace_by(left_half, replaced))                                    \
    DAMAGE(replaced_by_one, SUCCESSOR_NO_PAGE, replace_by(left_half, (struct chunk_ref){0}))                          \
    DAMAGE(replaced_by_nowhere, SUCCESSOR_NO_PAGE, replace_by((struct chunk_ref){CHUNK_IN_NOWHERE}, right_half))      \
    DAMAGE(replaced_by_a_foreign_page, SUCCESSOR_NO_PAGE, replace_by(left_half, chunk_of(page_of(plain))))            \
    DAMAGE(successor_replaced, SUCCESSOR_DAMAGED, atomic_store(&page_in(left_half)->replaced_by, 1))                  \
    DAMAGE(successor_too_deep, SUCCESSOR_DAMAGED, page_in(right_half)->depth = engine->table.directory_depth + 1)     \
    DAMAGE(successor_far_too_deep, SUCCESSOR_DAMAGED, page_in(right_half)->depth = 77)                                \
    DAMAGE(successor_with_a_damaged_version, VERSION_DAMAGED,                                                         \
           atomic_store(entry_in(page_in(right_half)), entry_of(1, (struct block_ref){UNITS_IN_NOWHERE})))            \
    DAMAGE(successors_of_one_half, "a page was replaced by others of another range",                                  \
           replace_by(right_half, right_half))

DAMAGES(DAMAGE_FUNCTION)

static const struct damage damages[] = {DAMAGES(DAMAGE_ENTRY)};

/* --- sentences --- */

Test(repairable, every_damage_is_seen)
{
    assert_damages_seen(damages, sizeof(damages) / sizeof(damages[0]));
}

Test(repairable, what_a_death_left_half_done_is_no_damage)
{
    cr_assert_eq(damage_checked(), 0, "%s", damage_reason());
}

/* Both halves of the split and the commit are there afterwards, and nothing of them is left to do. */
Test(repairable, what_is_repairable_is_repaired)
{
    struct engine_restart report = {0};
    const char *what = "";

    cr_assert(segment_repair(engine, &report));
    cr_assert(segment_is_valid(engine, &what), "%s", what);
    cr_assert_eq(report.commits_finished, 1);
    cr_assert_eq(report.slots_drained, 1);
    cr_assert_eq(chunk_owner(engine->segment, replaced), 0, "the page that was replaced is owned");
    cr_assert_eq(version_of(plain)->value_size, 0);
    cr_assert_neq(atomic_load(&version_of(rewritten)->end), TIME_INFINITE);
    cr_assert_eq(page_of(shared), page_in(page_covers(page_in(left_half), tag_of(shared)) ? left_half : right_half));
}

/* No derived data is looked at: it is made anew. */
Test(repairable, wrong_counts_are_no_damage)
{
    struct shard *shard = table_shard(&engine->table, 0);

    atomic_fetch_add(&shard->key_count, 1);
    shard->garbage_head = UNITS_IN_NOWHERE;
    shard->allocator.partial[0] = CHUNK_IN_NOWHERE;
    page_of(plain)->key_count++;
    cr_assert_eq(damage_checked(), 0, "%s", damage_reason());
}
