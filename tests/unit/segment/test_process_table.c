/* Slots: who has them, and what the death of a process leaves. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "segment/process_table.h"
#include "segment_fixture.h"
#include "support/process.h"

#define CHUNKS 64u

static struct segment *segment;
static struct process_gate *is_claimed;

static void assert_valid(void)
{
    unsigned count = process_slot_count(segment);
    const char *invalid = "";

    assert_header_valid(segment);
    for (unsigned number = 0; number < count; number++)
        cr_assert(process_slot_is_valid(segment, number, &invalid), "slot %u: %s", number, invalid);
}

static void open_segment(void)
{
    segment = segment_of_chunks(CHUNKS);
    is_claimed = process_shared_memory(sizeof(*is_claimed));
}

static void process_table_is_whole(void)
{
    assert_valid();
    segment_detach(segment);
}

TestSuite(process_table, .init = open_segment, .timeout = 120);

/* --- sentences --- */

static unsigned claimed(void)
{
    unsigned number = UINT32_MAX;

    cr_assert_eq(process_slot_claim(segment, &number), SLOT_CLAIMED);
    return number;
}

static int claims_and_dies(void *context)
{
    (void)context;
    return (int)process_slot_claim(segment, &(unsigned){0});
}

static int claims_and_waits(void *context)
{
    struct process_gate never = {0};

    (void)context;
    (void)process_slot_claim(segment, &(unsigned){0});
    process_gate_open(is_claimed);
    process_gate_wait(&never);
    return 0;
}

static int claims_the_number(void *context)
{
    return (int)process_slot_claim_number(segment, *(const unsigned *)context);
}

static int claims_and_releases(void *context)
{
    unsigned number;

    (void)context;
    if (process_slot_claim(segment, &number) != SLOT_CLAIMED)
        return 1;
    process_slot_release(segment, number);
    return 0;
}

/* --- claiming --- */

WHOLE_TEST(process_table, begins_without_slots)
{
    cr_assert_eq(process_slot_count(segment), 0);
    cr_assert_eq(segment_chunks_used(segment), 0);
}

WHOLE_TEST(process_table, first_claim_adds_a_block)
{
    cr_assert_eq(claimed(), 0);

    cr_assert_eq(process_slot_count(segment), SLOTS_PER_BLOCK);
    cr_assert_eq(segment_chunks_used(segment), 1);
    cr_assert_eq(atomic_load(&process_slot_at(segment, 0)->pid), (uint32_t)getpid());
}

WHOLE_TEST(process_table, slots_are_added_block_by_block_as_needed)
{
    unsigned wanted = (unsigned)SLOTS_PER_BLOCK * 3 + 1;

    for (unsigned i = 0; i < wanted; i++)
        cr_assert_eq(claimed(), i);
    cr_assert_eq(process_slot_count(segment), SLOTS_PER_BLOCK * 4);
    assert_valid();
}

static unsigned claimed_from(unsigned hint)
{
    segment->slot_hint = hint;
    return claimed();
}

WHOLE_TEST(process_table, a_hint_names_the_slot_to_begin_with)
{
    unsigned far = SLOTS_PER_BLOCK * 2;

    cr_assert_eq(claimed_from(far), far);
    cr_assert_eq(process_slot_count(segment), SLOTS_PER_BLOCK * 3);
    for (unsigned number = far + 1; number < SLOTS_PER_BLOCK * 3; number++)
        cr_assert_eq(claimed_from(far), number);
    cr_assert_eq(claimed_from(far), 0, "behind the last, from the first on");
    cr_assert_eq(claimed_from(1), 1);
}

WHOLE_TEST(process_table, a_hint_beyond_what_memory_allows_is_only_a_hint)
{
    while (!chunk_ref_is_none(chunk_claim(segment, CHUNK_LOG, 0, 0)))
        ;
    chunk_release(segment, (struct chunk_ref){1});
    cr_assert_eq(claimed_from(SLOT_NUMBER_MAX + 1), 0);
    cr_assert_eq(process_slot_count(segment), SLOTS_PER_BLOCK);
}

WHOLE_TEST(process_table, without_memory_there_is_no_more_slot)
{
    struct chunk_ref chunk;
    unsigned number;

    for (unsigned i = 0; i < SLOTS_PER_BLOCK; i++)
        (void)claimed();
    do
        chunk = chunk_claim(segment, CHUNK_LOG, 0, 0);
    while (!chunk_ref_is_none(chunk));

    cr_assert_eq(process_slot_claim(segment, &number), SLOT_NONE);
    process_slot_release(segment, 1);
    cr_assert_eq(claimed(), 1);
}

WHOLE_TEST(process_table, a_released_slot_is_claimed_again_with_a_new_incarnation)
{
    unsigned number = claimed();
    uint64_t incarnation = atomic_load(&process_slot_at(segment, number)->incarnation);

    process_slot_release(segment, number);
    cr_assert_eq(atomic_load(&process_slot_at(segment, number)->claimed), 0);

    cr_assert_eq(claimed(), number);
    cr_assert_gt(atomic_load(&process_slot_at(segment, number)->incarnation), incarnation);
}

WHOLE_TEST(process_table, a_claimed_slot_is_busy_for_everybody)
{
    unsigned number = claimed();

    cr_assert_eq(process_slot_claim_number(segment, number), SLOT_BUSY);
    cr_assert_eq(process_run(claims_the_number, &number), SLOT_BUSY);
    cr_assert_neq(claimed(), number);
}

WHOLE_TEST(process_table, processes_at_once_get_different_slots)
{
    pid_t children[8];

    for (size_t i = 0; i < 8; i++)
        children[i] = process_start(claims_and_releases, NULL);
    for (size_t i = 0; i < 8; i++)
        cr_assert_eq(process_wait(children[i]), 0);
}

static int releases_during_a_commit(void *context)
{
    unsigned number;

    (void)context;
    (void)process_slot_claim(segment, &number);
    atomic_store(&process_slot_at(segment, number)->commit.word, 3);
    process_slot_release(segment, number);
    return 0;
}

WHOLE_TEST(process_table, a_slot_with_a_commit_under_way_is_not_released)
{
    char output[512];

    cr_assert_eq(process_run_captured(releases_during_a_commit, NULL, output, sizeof(output)),
                 PROCESS_SIGNAL(SIGABRT));
    atomic_store(&process_slot_at(segment, 0)->commit.word, 0);
}

/* --- the dead --- */

WHOLE_TEST(process_table, slot_of_the_dead_is_inherited_until_drained)
{
    unsigned number;

    cr_assert_eq(process_run(claims_and_dies, NULL), SLOT_CLAIMED);
    cr_assert_eq(process_run(claims_and_dies, NULL), SLOT_INHERITED);
    cr_assert_eq(process_slot_claim(segment, &number), SLOT_INHERITED);
    cr_assert_eq(number, 0);
    process_slot_mark_drained(segment, number);
    process_slot_release(segment, number);

    cr_assert_eq(process_run(claims_and_dies, NULL), SLOT_CLAIMED);
}

WHOLE_TEST(process_table, slot_of_the_killed_is_inherited)
{
    pid_t child = process_start(claims_and_waits, NULL);

    process_gate_wait(is_claimed);
    cr_assert_eq(process_slot_claim_number(segment, 0), SLOT_BUSY);
    cr_assert_eq(process_kill(child), PROCESS_SIGNAL(SIGKILL));

    cr_assert_eq(process_slot_claim_number(segment, 0), SLOT_INHERITED);
}

WHOLE_TEST(process_table, an_abandoned_slot_is_nobodys_for_good)
{
    unsigned number = 0;

    (void)process_run(claims_and_dies, NULL);
    cr_assert_eq(process_slot_claim(segment, &number), SLOT_INHERITED);
    process_slot_abandon(segment, number);

    cr_assert_eq(process_slot_claim_number(segment, number), SLOT_BUSY);
    cr_assert_eq(process_run(claims_the_number, &number), SLOT_BUSY);
    cr_assert_eq(claimed(), 1);
}

static void abandon(unsigned number)
{
    cr_assert_eq(process_run(claims_the_number, &number), SLOT_CLAIMED);
    cr_assert_eq(process_slot_claim_number(segment, number), SLOT_INHERITED);
    process_slot_abandon(segment, number);
}

/* And with a block that it was about to add. */
static int dies_with_the_tables_locks(void *context)
{
    (void)context;
    if (chunk_ref_is_none(chunk_claim(segment, CHUNK_SLOT, 0, 0)))
        return 1;
    return robust_mutex_lock(&segment->header->slots_mutex) != MUTEX_LOCKED ||
           robust_mutex_lock(&segment->header->key_lock_mutex) != MUTEX_LOCKED;
}

WHOLE_TEST(process_table, a_restart_gets_every_lock_whatever_became_of_it)
{
    unsigned last = (unsigned)SLOTS_PER_BLOCK - 1;

    process_slot_release(segment, claimed()); /* makes the block */
    abandon(0);
    abandon(last);
    cr_assert_eq(process_run(dies_with_the_tables_locks, NULL), 0);
    process_table_reset_locks(segment);

    cr_assert_eq(segment_chunks_used(segment), 1);
    cr_assert_eq(process_slot_claim_number(segment, 0), SLOT_CLAIMED);
    cr_assert_eq(process_slot_claim_number(segment, last), SLOT_CLAIMED);
    cr_assert_eq(robust_mutex_trylock(&segment->header->slots_mutex), MUTEX_LOCKED);
    cr_assert_eq(robust_mutex_trylock(&segment->header->key_lock_mutex), MUTEX_LOCKED);
    robust_mutex_unlock(&segment->header->key_lock_mutex);
    robust_mutex_unlock(&segment->header->slots_mutex);
}

static int dies_adding_a_block(void *context)
{
    (void)context;
    (void)robust_mutex_lock(&segment->header->slots_mutex);
    return (int)(chunk_claim(segment, CHUNK_SLOT, 0, 0).number == 0);
}

WHOLE_TEST(process_table, a_block_that_was_added_by_half_is_freed)
{
    cr_assert_eq(process_run(dies_adding_a_block, NULL), 0);
    cr_assert_eq(segment_chunks_used(segment), 1);

    cr_assert_eq(claimed(), 0);

    cr_assert_eq(segment_chunks_used(segment), 1);
}

/* --- slots in reserve --- */

#define RESERVED_BLOCKS 3u
#define RESERVED_SLOTS ((unsigned)SLOTS_PER_BLOCK * RESERVED_BLOCKS)

static void take_all_chunks(void)
{
    while (!chunk_ref_is_none(chunk_claim(segment, CHUNK_LOG, 0, 0)))
        ;
}

WHOLE_TEST(process_table, slots_in_reserve_are_had_however_full_it_is)
{
    unsigned number;

    cr_assert_eq(process_table_reserve(segment, RESERVED_SLOTS - 1), RESERVED_SLOTS);
    cr_assert_eq(process_slot_count(segment), 0, "they are put to use when they are needed");
    take_all_chunks();

    for (unsigned i = 0; i < RESERVED_SLOTS; i++)
        cr_assert_eq(claimed(), i);
    cr_assert_eq(process_slot_claim(segment, &number), SLOT_NONE);
}

WHOLE_TEST(process_table, reserving_again_takes_what_is_missing)
{
    cr_assert_eq(process_table_reserve(segment, 1), SLOTS_PER_BLOCK);
    (void)claimed();
    cr_assert_eq(process_table_reserve(segment, RESERVED_SLOTS), RESERVED_SLOTS);
    cr_assert_eq(process_table_reserve(segment, 1), RESERVED_SLOTS);

    cr_assert_eq(segment_chunks_used(segment), RESERVED_BLOCKS);
}

WHOLE_TEST(process_table, reserving_tells_how_many_there_is_memory_for)
{
    take_all_chunks();
    chunk_release(segment, (struct chunk_ref){1});
    chunk_release(segment, (struct chunk_ref){2});

    cr_assert_eq(process_table_reserve(segment, RESERVED_SLOTS), SLOTS_PER_BLOCK * 2);
}

WHOLE_TEST(process_table, no_more_slots_are_reserved_than_there_can_be)
{
    struct segment *large = segment_of_chunks(SEGMENT_SLOT_BLOCKS_MAX + 8);

    cr_assert_eq(process_table_reserve(large, SLOT_COUNT_MAX + 1), SLOT_COUNT_MAX);
    segment_detach(large);
}

/* As the reserve does, its chunk has no entry. */
static int dies_adding_the_first_block(void *context)
{
    (void)context;
    return robust_mutex_lock(&segment->header->slots_mutex) != MUTEX_LOCKED;
}

WHOLE_TEST(process_table, the_reserve_outlives_who_dies_adding_a_block)
{
    cr_assert_eq(process_table_reserve(segment, RESERVED_SLOTS), RESERVED_SLOTS);
    cr_assert_eq(process_run(dies_adding_the_first_block, NULL), 0);
    process_table_tidy(segment);

    cr_assert_eq(segment_chunks_used(segment), RESERVED_BLOCKS);
    cr_assert_eq(process_run(dies_adding_the_first_block, NULL), 0);
    cr_assert_eq(claimed(), 0);
    cr_assert_eq(segment_chunks_used(segment), RESERVED_BLOCKS);
}

WHOLE_TEST(process_table, a_restart_gives_the_reserve_back)
{
    cr_assert_eq(process_table_reserve(segment, RESERVED_SLOTS), RESERVED_SLOTS);
    process_slot_release(segment, claimed());
    process_table_reset_locks(segment);

    cr_assert_eq(segment_chunks_used(segment), 1);
}

/* --- redo entries --- */

static struct chunk_ref redo_chunk_behind(struct chunk_ref last)
{
    struct chunk_ref chunk = chunk_claim(segment, CHUNK_LOG, 0, 0);
    struct redo_chunk *redo = (struct redo_chunk *)(void *)chunk_at(segment, chunk);

    redo->next = 0;
    if (!chunk_ref_is_none(last))
        ((struct redo_chunk *)(void *)chunk_at(segment, last))->next = chunk.number;
    return chunk;
}

/* The i-th entry, counted from 0. */
static const struct redo_entry *redo_entry_at(const struct segment *where, const struct commit_record *commit, uint32_t i)
{
    struct redo_cursor cursor = {0};
    const struct redo_entry *entry = redo_next(where, commit, &cursor);

    while (entry != NULL && cursor.index <= i)
        entry = redo_next(where, commit, &cursor);
    return entry;
}

WHOLE_TEST(process_table, redo_entries_run_over_into_chunks)
{
    struct commit_record *commit = &process_slot_at(segment, claimed())->commit;
    struct chunk_ref first = redo_chunk_behind((struct chunk_ref){0});
    struct chunk_ref second = redo_chunk_behind(first);
    const struct redo_chunk *chunks[] = {(const struct redo_chunk *)(void *)chunk_at(segment, first),
                                         (const struct redo_chunk *)(void *)chunk_at(segment, second)};
    uint32_t behind = SLOT_REDO_BUILT_IN;

    atomic_store(&commit->redo_chunk, first.number);
    cr_assert_eq(redo_entry_at(segment, commit, 0), &commit->built_in[0]);
    cr_assert_eq(redo_entry_at(segment, commit, behind - 1), &commit->built_in[SLOT_REDO_BUILT_IN - 1]);
    cr_assert_eq(redo_entry_at(segment, commit, behind), &chunks[0]->entries[0]);
    behind += (uint32_t)REDO_CHUNK_ENTRIES;
    cr_assert_eq(redo_entry_at(segment, commit, behind - 1), &chunks[0]->entries[REDO_CHUNK_ENTRIES - 1]);
    cr_assert_eq(redo_entry_at(segment, commit, behind), &chunks[1]->entries[0]);
    behind += (uint32_t)REDO_CHUNK_ENTRIES;
    cr_assert_null(redo_entry_at(segment, commit, behind), "behind the last");
}

WHOLE_TEST(process_table, a_broken_chain_of_redo_chunks_is_no_entry)
{
    struct commit_record *commit = &process_slot_at(segment, claimed())->commit;
    struct chunk_ref first = redo_chunk_behind((struct chunk_ref){0});
    uint32_t behind = (uint32_t)(SLOT_REDO_BUILT_IN + REDO_CHUNK_ENTRIES);

    cr_assert_null(redo_entry_at(segment, commit, SLOT_REDO_BUILT_IN), "without a chunk");
    atomic_store(&commit->redo_chunk, segment->chunk_count + 1);
    cr_assert_null(redo_entry_at(segment, commit, SLOT_REDO_BUILT_IN), "outside");
    atomic_store(&commit->redo_chunk, first.number);
    ((struct redo_chunk *)(void *)chunk_at(segment, first))->next = UINT32_MAX;
    cr_assert_null(redo_entry_at(segment, commit, behind), "the second is outside");
    cr_assert_null(redo_entry_at(segment, commit, UINT32_MAX));
}

/* --- what the check sees --- */

static void assert_invalid(unsigned number)
{
    const char *invalid = NULL;

    cr_assert_not(process_slot_is_valid(segment, number, &invalid));
    cr_assert_not_null(invalid);
}

WHOLE_TEST(process_table, check_sees_pins_and_words_that_make_no_sense)
{
    struct process_slot *slot = process_slot_at(segment, claimed());

    atomic_store(&segment->header->clock, 10);
    atomic_store(&segment->header->horizon, 5);
    atomic_store(&slot->transactions[3].state, TRANSACTION_IDLE);
    for (uint64_t pin = 5; pin <= 10; pin++) {
        atomic_store(&slot->transactions[3].pin, pin);
        assert_valid();
    }
    atomic_store(&slot->transactions[3].pin, 4);
    assert_invalid(0);
    atomic_store(&slot->transactions[3].pin, 11);
    assert_invalid(0);
    atomic_store(&slot->transactions[3].pin, PIN_NONE);
    atomic_store(&slot->commit.word, 2);
    assert_invalid(0);
    atomic_store(&slot->commit.word, (uint64_t)11 << 1 | 1);
    assert_invalid(0);
    atomic_store(&slot->commit.word, 0);
    atomic_store(&slot->single_pin, 7);
    assert_invalid(0);
    atomic_store(&slot->single_pin, PIN_NONE);
}

WHOLE_TEST(process_table, check_sees_what_a_slot_of_nobody_still_has)
{
    struct process_slot *slot = process_slot_at(segment, claimed());

    process_slot_release(segment, 0);
    atomic_store(&slot->transactions[0].pin, PIN_EVERYTHING);
    assert_invalid(0);
    atomic_store(&slot->transactions[0].pin, PIN_NONE);
    atomic_store(&slot->transactions[0].state, TRANSACTION_IDLE);
    assert_invalid(0);
    atomic_store(&slot->transactions[0].state, TRANSACTION_FREE);
}

/* --- what a damaged segment says --- */

/* Beyond the list of blocks other things stand, and one of them may well be the chunk's number. */
WHOLE_TEST(process_table, chunk_of_slots_is_not_looked_up_beyond_the_list_of_blocks)
{
    size_t begin = offsetof(struct segment_header, slot_blocks);
    size_t last = (segment->bytes - begin) / sizeof(uint32_t) - 1;
    unsigned block = last < CHUNK_OWNER_MAX ? (unsigned)last : CHUNK_OWNER_MAX;
    struct chunk_ref chunk = {CHUNKS};

    memcpy(segment->base + begin + block * sizeof(uint32_t), &chunk.number, sizeof(chunk.number));
    atomic_store(&segment->owners[chunk.number], chunk_owner_word(CHUNK_SLOT, 0, block));
    process_table_reset_locks(segment);
    cr_assert_eq(chunk_owner(segment, chunk), 0, "it is taken for one that is in use");
}
