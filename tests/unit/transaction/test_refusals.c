/* What is refused because something else is set aside, closed, damaged or full, and that nothing is lost by it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "platform/file.h"
#include "support/process.h"

#define SHARDS 4u
#define BROKEN 2u /* the shard that something is wrong with */

static char name[SEGMENT_NAME_BYTES_MAX]; /* of a segment that outlives its engine */
static char reason[SEGMENT_REASON_BYTES];

static void open_engine(void)
{
    engine_open((size_t)4 << 20, SHARDS);
    (void)snprintf(name, sizeof(name), "test-refusals-%d", (int)getpid());
}

static void remove_segment(void)
{
    struct segment_options options = {.name = name};

    segment_discard(&options);
}

static void refusals_is_whole(void)
{
    engine_close();
}

TestSuite(refusals, .init = open_engine, .fini = remove_segment, .timeout = 120);

/* --- shards --- */

static struct shard *broken_shard(void)
{
    return table_shard(&engine->table, BROKEN);
}

static int dies_with_the_lock(void *context)
{
    (void)context;
    _exit(robust_mutex_lock(&broken_shard()->mutex) == MUTEX_LOCKED ? 0 : 1);
}

/* Dies past its commit point; of its commit the broken shard is left. */
static int dies_with_a_commit(void *context)
{
    _Atomic unsigned *slot = context;
    struct participant *participant;

    if (participant_open(engine, &participant) != STATUS_OK)
        _exit(1);
    atomic_store(slot, participant->slot_number);
    atomic_store(&participant->slot->commit.pending, (uint64_t)1 << BROKEN);
    atomic_store(&participant->slot->commit.word, (clock_now() << 1) | 1);
    _exit(0);
}

static unsigned slot_of_a_dead_commit(void)
{
    _Atomic unsigned *slot = process_shared_memory(sizeof(*slot));

    cr_assert_eq(process_run(dies_with_a_commit, (void *)(uintptr_t)slot), 0);
    return atomic_load(slot);
}

WHOLE_TEST(refusals, a_shard_set_aside_stays_so_whoever_inherits_it)
{
    atomic_store(&broken_shard()->is_set_aside, 1);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(process_run(dies_with_the_lock, NULL), 0);
        cr_assert_eq(shard_acquire(engine, BROKEN), STATUS_UNAVAILABLE);
        cr_assert_eq(atomic_load(&broken_shard()->is_set_aside), 1);
    }
    atomic_store(&broken_shard()->is_set_aside, 0);
    cr_assert_eq(shard_acquire(engine, BROKEN), STATUS_OK);
    shard_release(engine, BROKEN);
}

WHOLE_TEST(refusals, a_closed_lock_is_unavailable)
{
    cr_assert_eq(process_run(dies_with_the_lock, NULL), 0);
    cr_assert_eq(robust_mutex_lock(&broken_shard()->mutex), MUTEX_INHERITED);
    robust_mutex_unlock(&broken_shard()->mutex); /* not consistent */
    cr_assert_eq(shard_acquire(engine, BROKEN), STATUS_UNAVAILABLE);
    cr_assert_eq(shard_try_acquire(engine, BROKEN), STATUS_UNAVAILABLE);
    robust_mutex_init(&broken_shard()->mutex);
}

WHOLE_TEST(refusals, what_needs_a_shard_set_aside_is_unavailable_and_nothing_else)
{
    const char *there = key_in(BROKEN, 0);
    const char *elsewhere = key_in(0, 0);
    unsigned number = begun(me);
    struct key_list keys = {0};
    struct value_view view;
    uint64_t next;
    uint64_t count;

    put(me, TRANSACTION_SINGLE, there, "value");
    put(me, TRANSACTION_SINGLE, elsewhere, "value");
    atomic_store(&broken_shard()->is_set_aside, 1);
    for (unsigned i = 0; i < 2; i++) {
        unsigned as = i == 0 ? TRANSACTION_SINGLE : number;

        cr_expect_eq(transaction_get(me, as, text(there), &view), STATUS_UNAVAILABLE, "%u", as);
        cr_expect_eq(transaction_scan(me, as, 0, text(""), 10, &keys, &next), STATUS_UNAVAILABLE, "%u", as);
        cr_expect_eq(transaction_count(me, as, text(""), &count), STATUS_UNAVAILABLE, "%u", as);
        cr_expect_eq(transaction_count(me, as, text("key"), &count), STATUS_UNAVAILABLE, "%u", as);
        key_list_clear(&keys);
    }
    assert_absent(me, number, elsewhere);
    assert_reads(me, TRANSACTION_SINGLE, elsewhere, "value");
    cr_assert_eq(transaction_put(me, TRANSACTION_SINGLE, text(there), text("other")), STATUS_UNAVAILABLE);
    transaction_rollback(me, number);
    atomic_store(&broken_shard()->is_set_aside, 0);
    assert_reads(me, TRANSACTION_SINGLE, there, "value");
    key_list_deinit(&keys);
}

WHOLE_TEST(refusals, a_snapshot_where_too_many_are_open)
{
    unsigned number;

    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++)
        cr_assert_eq(transaction_begin_snapshot(me, &number), STATUS_OK);
    cr_assert_eq(transaction_begin_snapshot(me, &number), STATUS_TOO_LARGE);
    transaction_rollback(me, 1);
    cr_assert_eq(transaction_begin_snapshot(me, &number), STATUS_OK);
    cr_assert_eq(number, 1);
    for (number = 1; number <= TRANSACTION_COUNT_MAX; number++)
        transaction_rollback(me, number);
}

/* --- slots --- */

/* It must not be emptied while its commit is not published everywhere. */
Test(refusals, a_slot_whose_commit_cannot_be_finished_is_left_alone_for_good)
{
    unsigned slot = slot_of_a_dead_commit();
    struct participant *you;

    atomic_store(&broken_shard()->is_set_aside, 1);
    you = a_participant();
    cr_assert_neq(you->slot_number, slot);
    participant_close(you);
    cr_assert_eq(slots_drain_dead(engine), 0);
    cr_assert_neq(atomic_load(&process_slot_at(engine->segment, slot)->commit.word), 0);
    cr_assert_eq(atomic_load(&process_slot_at(engine->segment, slot)->commit.pending), (uint64_t)1 << BROKEN);
}

static void assert_abandoned(unsigned number)
{
    const struct process_slot *slot = process_slot_at(engine->segment, number);

    cr_assert_eq(atomic_load(&slot->claimed), 1);
    cr_assert_neq(atomic_load(&slot->commit.word), 0);
    cr_assert_eq(atomic_load(&slot->commit.pending), (uint64_t)1 << BROKEN);
    cr_assert_eq(process_slot_claim_number(engine->segment, number), SLOT_BUSY);
    cr_assert_not(process_slot_lives(engine->segment, number));
}

/* Else its chunks would be somebody else's at the second restart, or it would be refused. */
Test(refusals, a_slot_that_was_abandoned_stays_so_over_restarts)
{
    unsigned slot = slot_of_a_dead_commit();
    const char *what = "";

    atomic_store(&broken_shard()->is_set_aside, 1);
    cr_assert_eq(slots_drain_dead(engine), 0);
    assert_abandoned(slot);
    for (unsigned i = 0; i < 2; i++) {
        struct engine_restart report = {0};

        cr_assert(segment_is_repairable(engine, &what), "%s", what);
        cr_assert_not(segment_repair(engine, &report));
        cr_assert_eq(report.shards_set_aside, (uint64_t)1 << BROKEN);
        cr_assert_eq(report.slots_abandoned, 1);
        assert_abandoned(slot);
        cr_assert(segment_is_valid(engine, &what), "%s", what);
    }
    participant_close(a_participant());
}

static void assert_sets_aside_at_repair(void)
{
    struct engine_restart report = {0};
    const char *what = "";

    cr_assert_not(segment_repair(engine, &report));
    cr_assert_eq(report.shards_set_aside, (uint64_t)1 << BROKEN);
    cr_assert(segment_is_valid(engine, &what), "%s", what);
    atomic_store(&broken_shard()->is_set_aside, 0);
}

Test(refusals, a_restart_sets_aside_what_killed_too_many_and_repairs_the_rest)
{
    struct engine_restart report = {0};
    struct commit_record *commit = &process_slot_at(engine->segment, slot_of_a_dead_commit())->commit;

    atomic_store(&broken_shard()->deaths, RECOVERY_DEATHS_MAX);
    assert_sets_aside_at_repair();
    atomic_store(&broken_shard()->deaths, RECOVERY_DEATHS_MAX - 1);
    atomic_store(&commit->deaths, RECOVERY_DEATHS_MAX);
    assert_sets_aside_at_repair();
    atomic_store(&commit->deaths, RECOVERY_DEATHS_MAX - 1);
    cr_assert(segment_repair(engine, &report));
}

Test(refusals, a_clean_shutdown_forgets_deaths)
{
    struct engine_restart report = {.was_clean = true};

    atomic_store(&broken_shard()->deaths, RECOVERY_DEATHS_MAX);
    cr_assert(segment_repair(engine, &report));
    cr_assert_eq(atomic_load(&broken_shard()->deaths), 0);
}

/* Its process left it between two looks of whoever drains. */
WHOLE_TEST(refusals, a_slot_that_was_left_meanwhile_is_given_back)
{
    struct participant *you = a_participant();
    struct process_slot *slot = you->slot;

    participant_close(you);
    atomic_store(&slot->claimed, 1);
    cr_assert_eq(slots_drain_dead(engine), 0);
    cr_assert_eq(atomic_load(&slot->claimed), 0);
}

#define PARTICIPANTS_MAX 4096u

WHOLE_TEST(refusals, nobody_is_let_in_where_there_is_no_memory_for_slots)
{
    static struct participant *others[PARTICIPANTS_MAX];
    enum status status = STATUS_OK;
    unsigned count = 0;

    (void)leave_no_chunk_free();
    while (status == STATUS_OK && count < PARTICIPANTS_MAX) {
        status = participant_open(engine, &others[count]);
        count += status == STATUS_OK;
    }
    cr_assert_eq(status, STATUS_TOO_MANY_CLIENTS);
    cr_assert_eq(count, SLOTS_PER_BLOCK - 1, "`me` and they fill one block");
    while (count > 0)
        participant_close(others[--count]);
}

/* --- pages --- */

#define WORDS 400u
#define OVERWRITES 10u

/* The next of the words from *number on that belongs to the shard. */
static const char *word_in(unsigned shard, unsigned *number)
{
    static char word[32];

    do
        (void)snprintf(word, sizeof(word), "word %u", (*number)++);
    while (shard_of(word) != shard);
    return word;
}

/* Frees many more blocks than a page has entries, but no chunk: words stay among them. */
static unsigned leave_blocks_free(unsigned shard)
{
    const char *overwritten = key_in(shard, 0);
    unsigned reader = begun(me);
    unsigned number = 0;

    for (unsigned i = 0; i < WORDS; i++) {
        put(me, TRANSACTION_SINGLE, word_in(shard, &number), "value");
        for (unsigned j = 0; j < OVERWRITES; j++)
            put(me, TRANSACTION_SINGLE, overwritten, "value");
    }
    transaction_rollback(me, reader);
    (void)engine_clean(engine);
    return number;
}

WHOLE_TEST(refusals, a_key_on_a_full_page_that_has_no_memory_to_split)
{
    unsigned number = leave_blocks_free(0);
    const struct page *page;
    enum status status;

    (void)leave_no_chunk_free();
    do {
        const char *word = word_in(0, &number);

        page = table_page_of(&engine->table, 0, table_hash(&engine->table, text(word)));
        status = transaction_put(me, TRANSACTION_SINGLE, text(word), text("value"));
    } while (status == STATUS_OK);
    cr_assert_eq(status, STATUS_OUT_OF_MEMORY);
    cr_assert_eq(page->key_count, PAGE_ENTRIES_FULL);
}

/* --- engines --- */

Test(refusals, an_engine_of_more_shards_than_its_memory_holds)
{
    struct engine_options options = {.name = name, .bytes = CHUNK_BYTES * 40, .shard_count = SHARD_COUNT_MAX};
    struct engine *small = NULL;

    cr_assert_eq(engine_create(&options, &small, reason), STATUS_OUT_OF_MEMORY);
    cr_assert_not_null(strstr(reason, "too small"), "%s", reason);
    cr_assert_eq(engine_attach(&options, SEGMENT_PRIVATE, &small, &(struct engine_restart){0}, reason),
                 STATUS_NOT_FOUND, "its segment is still there");
}

/* A server's segment that its server left, with `key` and its value in it. */
static void a_segment_is_left(struct bytes value)
{
    struct engine_options options = {.name = name, .bytes = (size_t)8 << 20};
    struct engine *left;
    struct participant *participant;

    cr_assert_eq(engine_create(&options, &left, reason), STATUS_OK, "%s", reason);
    cr_assert_eq(participant_open(left, &participant), STATUS_OK);
    cr_assert_eq(transaction_put(participant, TRANSACTION_SINGLE, text("key"), value), STATUS_OK);
    participant_close(participant);
    engine_detach(left);
}

/* The segment, mapped as its server would, so that it can be damaged; but nobody owns it. */
static struct engine *what_is_left(void)
{
    struct segment_options options = {.name = name};
    struct engine *left = calloc(1, sizeof(*left));

    cr_assert_not_null(left);
    cr_assert_eq(segment_attach(&options, SEGMENT_TAKE_OVER, table_fingerprint(), &left->segment, reason), STATUS_OK, "%s",
                 reason);
    cr_assert(table_attach(&left->table, left->segment));
    /* The mapping would keep it. */
    cr_assert_eq(flock(left->segment->descriptor, LOCK_UN), 0);
    cr_assert_eq(file_close(&left->segment->descriptor), 0);
    return left;
}

static void assert_not_restored(const char *expected)
{
    struct engine_options options = {.name = name};
    struct engine_restart report;
    struct engine *restored;

    cr_assert_eq(engine_restore(&options, &restored, &report, reason), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
}

static struct version *version_in(struct engine *left)
{
    uint64_t hash = table_hash(&left->table, text("key"));

    return version_at(left->segment, table_find(&left->table, table_shard_of(&left->table, hash), hash, text("key")));
}

static unsigned shard_in(const struct engine *left, const char *key)
{
    return table_shard_of(&left->table, table_hash(&left->table, text(key)));
}

/* Its key is refused, others' are written, and so it stays: the segment has two shards. */
static void assert_set_aside(unsigned shard, const char *expected)
{
    for (unsigned i = 0; i < 2; i++) {
        struct engine_options options = {.name = name};
        struct engine_restart report;
        struct engine *restored;
        struct participant *participant;
        struct value_view view;
        unsigned served = 0;

        cr_assert_eq(engine_restore(&options, &restored, &report, reason), STATUS_OK, "%s", reason);
        cr_assert_eq(report.shards_set_aside, (uint64_t)1 << shard);
        cr_assert_eq(report.keys, i, "those of the other shard");
        cr_assert_not_null(strstr(report.shard_damage[shard], i == 0 ? expected : "set aside before"), "%s",
                           report.shard_damage[shard]);
        cr_assert_eq(participant_open(restored, &participant), STATUS_OK);
        cr_assert_eq(transaction_get(participant, TRANSACTION_SINGLE, text("key"), &view), STATUS_UNAVAILABLE);
        for (unsigned number = 0; served == 0; number++) {
            char other[16];

            (void)snprintf(other, sizeof(other), "other %u", number);
            if (shard_in(restored, other) == shard)
                continue;
            cr_assert_eq(transaction_put(participant, TRANSACTION_SINGLE, text(other), text("value")), STATUS_OK);
            served++;
        }
        participant_close(participant);
        engine_detach(restored);
    }
}

Test(refusals, a_shard_set_aside_stays_so_over_restarts)
{
    struct engine *left;

    a_segment_is_left(text("value"));
    left = what_is_left();
    atomic_store(&table_shard(&left->table, shard_in(left, "key"))->is_set_aside, 1);
    assert_set_aside(shard_in(left, "key"), "set aside before");
    engine_detach(left);
}

Test(refusals, a_segment_with_all_shards_set_aside)
{
    struct engine *left;

    a_segment_is_left(text("value"));
    left = what_is_left();
    for (unsigned shard = 0; shard < left->table.shard_count; shard++)
        atomic_store(&table_shard(&left->table, shard)->is_set_aside, 1);
    assert_not_restored("set aside");
    engine_detach(left);
}

/* Its keys cannot be copied: they would be gone. */
Test(refusals, another_size_where_a_shard_is_set_aside)
{
    struct engine_options options = {.name = name, .bytes = (size_t)16 << 20};
    struct engine_restart report;
    struct engine *left;

    a_segment_is_left(text("value"));
    left = what_is_left();
    atomic_store(&table_shard(&left->table, 0)->is_set_aside, 1);
    cr_assert_eq(engine_restore(&options, &left, &report, reason), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, "1 of its 2 shards are set aside"), "%s", reason);
    options.bytes = 0;
    cr_assert_eq(engine_restore(&options, &left, &report, reason), STATUS_OK, "it was not kept: %s", reason);
    engine_detach(left);
}

/* Nothing that repair follows is wrong, but the key would never be found. */
Test(refusals, a_segment_that_is_repaired_and_still_wrong)
{
    struct engine *left;

    a_segment_is_left(text("value"));
    left = what_is_left();
    ((unsigned char *)(version_in(left) + 1))[0] ^= 1;
    assert_set_aside(shard_in(left, "key"), "a key is in the wrong shard or under a wrong tag");
    engine_detach(left);
}

/* As above; then the key is overwritten, and what it was stays for a snapshot. */
static void a_segment_is_left_with_two_versions(void)
{
    struct engine *left;
    struct participant *participant;
    unsigned reader;

    a_segment_is_left(text("value"));
    left = what_is_left();
    cr_assert_eq(participant_open(left, &participant), STATUS_OK);
    cr_assert_eq(transaction_begin(participant, ISOLATION_SERIALIZABLE, &reader), STATUS_OK);
    cr_assert_eq(transaction_put(participant, TRANSACTION_SINGLE, text("key"), text("other")), STATUS_OK);
    participant_close(participant);
    engine_detach(left);
}

Test(refusals, a_segment_whose_versions_end_too_late)
{
    struct engine *left;
    struct version *newest;
    _Atomic uint64_t *end;

    a_segment_is_left_with_two_versions();
    left = what_is_left();
    newest = version_in(left);
    end = &version_at(left->segment, (struct block_ref){atomic_load(&newest->older)})->end;
    cr_assert_eq(atomic_load(end), newest->begin);
    atomic_fetch_add(&left->segment->header->clock, 1);
    atomic_store(end, newest->begin + 1);
    assert_set_aside(shard_in(left, "key"), "a version ends at a wrong time");
    engine_detach(left);
}

Test(refusals, a_segment_whose_table_has_no_root)
{
    struct engine *left;

    a_segment_is_left(text("value"));
    left = what_is_left();
    ((struct table_root *)(void *)left->segment->root)->shard_count = 3;
    assert_not_restored("root is damaged");
    engine_detach(left);
}

Test(refusals, no_copy_of_a_segment_that_has_its_size)
{
    struct engine_options options = {.name = name, .bytes = (size_t)8 << 20};
    struct engine_restart report;
    struct engine *restored;

    a_segment_is_left(text("value"));
    options.shard_count = table_shard_count_for(options.bytes);
    cr_assert_eq(engine_restore(&options, &restored, &report, reason), STATUS_OK, "%s", reason);
    cr_assert_eq(report.keys, 1);
    cr_assert_not(report.was_resized);
    engine_detach(restored);
}

/* --- read sets --- */

Test(refusals, a_read_set_of_too_many_short_keys)
{
    static struct read_set set;
    enum status status = STATUS_OK;
    uint64_t count = 0;

    while (status == STATUS_OK && count <= READ_SET_BYTES_MAX / sizeof(struct read_entry)) {
        status = read_set_add(&set, count * UINT64_C(0x9e3779b97f4a7c15), bytes_from(&count, sizeof(count)), true);
        count += status == STATUS_OK;
    }
    cr_assert_eq(status, STATUS_TOO_LARGE);
    cr_assert_eq(set.count, count);
    cr_assert_leq(set.capacity * sizeof(struct read_entry), READ_SET_BYTES_MAX);
    read_set_deinit(&set);
}
