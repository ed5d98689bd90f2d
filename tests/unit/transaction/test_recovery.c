/* Deaths. A child dies while it holds what the others need; the next one finds
 * everything as it was or as it should be, and nothing in between. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "support/process.h"
#include "support/store_random.h"

#define SHARDS 4u
#define WRITES 5u

static void open_engine(void)
{
    engine_open((size_t)4 << 20, SHARDS);
}

static void recovery_is_whole(void)
{
    engine_close();
}

TestSuite(recovery, .init = open_engine, .timeout = 120);

/* --- a commit by hand, which stops after so many stores --- */

/* What it writes: an update and a delete in one shard, an insert in another, an insert and another update in a third. */
static const struct {
    unsigned shard;
    unsigned key;
    enum redo_kind kind;
} plan[WRITES] = {
    {0, 0, REDO_PUT}, {0, 1, REDO_DEL}, {1, 1, REDO_PUT}, {3, 1, REDO_PUT}, {3, 0, REDO_PUT},
};

#define PLAN_SHARDS (1u << 0 | 1u << 1 | 1u << 3)

struct death {
    unsigned stores_left; /* dies instead of the next store when they are gone */
    bool is_by_signal;
};

static void store_or_die(struct death *death)
{
    if (death->stores_left-- > 0)
        return;
    if (death->is_by_signal)
        (void)raise(SIGKILL);
    _exit(0);
}

static struct block_ref newest_of(const char *key)
{
    uint64_t hash = table_hash(&engine->table, text(key));

    return table_find(&engine->table, shard_of(key), hash, text(key));
}

static struct block_ref reserve(unsigned i)
{
    const char *key = key_in(plan[i].shard, plan[i].key);
    struct block_ref ref = newest_of(key);

    if (plan[i].kind == REDO_PUT) {
        ref = table_reserve(&engine->table, plan[i].shard, text(key), 5);
        version_fill(engine->segment, ref, 0, text("after"));
    }
    return ref;
}

static void publish(unsigned i, struct block_ref ref, uint64_t time)
{
    uint64_t hash = table_hash(&engine->table, version_key(version_at(engine->segment, ref)));

    if (plan[i].kind == REDO_PUT)
        table_publish(&engine->table, plan[i].shard, hash, ref, time);
    else
        table_end(&engine->table, plan[i].shard, ref, time);
}

/* The stores of the recipe, one after the other, with so many places to die at. */
#define DEATHS_BEFORE_COMMIT 7u
#define DEATHS 20u

static int commits_and_dies(void *context)
{
    struct death *death = context;
    struct participant *you = NULL;
    struct commit_record *record;
    struct block_ref versions[WRITES];
    uint64_t pending = PLAN_SHARDS;
    uint64_t time;

    if (participant_open(engine, &you) != STATUS_OK)
        return 1;
    record = &you->slot->commit;
    for (unsigned shard = 0; shard < SHARDS; shard++)
        if ((PLAN_SHARDS >> shard & 1) != 0 && shard_acquire(engine, shard) != STATUS_OK)
            return 1;
    store_or_die(death);
    for (unsigned i = 0; i < WRITES; i++) {
        versions[i] = reserve(i);
        record->built_in[i] = (struct redo_entry){versions[i].units, (uint16_t)plan[i].shard, (uint16_t)plan[i].kind};
        if (i < 2)
            store_or_die(death);
    }
    store_or_die(death);
    time = atomic_fetch_add(&engine->segment->header->clock, 1) + 1;
    store_or_die(death);
    atomic_store(&record->redo_count, WRITES);
    store_or_die(death);
    atomic_store(&record->pending, pending);
    store_or_die(death);
    atomic_store(&record->word, time << 1 | 1);
    store_or_die(death);
    for (unsigned i = 0; i < WRITES; i++) {
        publish(i, versions[i], time);
        store_or_die(death);
        if (i + 1 < WRITES && plan[i + 1].shard == plan[i].shard)
            continue;
        pending &= ~((uint64_t)1 << plan[i].shard);
        atomic_store(&record->pending, pending);
        store_or_die(death);
        shard_release(engine, plan[i].shard);
        store_or_die(death);
    }
    atomic_store(&record->word, 0);
    store_or_die(death);
    return 2; /* there was no store left to die before */
}

/* Also: whoever inherits the shard dies after so many steps of the repair. */
static int inherits_and_dies(void *context)
{
    unsigned steps = *(const unsigned *)context;

    for (unsigned shard = 0; shard < SHARDS; shard++) {
        if (robust_mutex_lock(&table_shard(&engine->table, shard)->mutex) != MUTEX_INHERITED)
            continue;
        if (steps > 0)
            table_repair_directory(&engine->table, shard);
        if (steps > 1)
            for (unsigned number = 0; number < process_slot_count(engine->segment); number++) {
                const struct commit_record *commit = &process_slot_at(engine->segment, number)->commit;

                /* The first write of the shard only. */
                for (uint32_t i = 0; atomic_load(&commit->word) != 0 && i < atomic_load(&commit->redo_count); i++)
                    if (commit->built_in[i].shard == shard && commit->built_in[i].kind == REDO_PUT) {
                        table_redo_publish(&engine->table, shard, (struct block_ref){commit->built_in[i].version},
                                           atomic_load(&commit->word) >> 1);
                        break;
                    }
            }
        if (steps > 2)
            table_rebuild(&engine->table, shard);
        _exit(0);
    }
    return 0;
}

/* --- sentences --- */

static void put_what_was_before(void)
{
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        put(me, TRANSACTION_SINGLE, key_in(shard, 0), "before");
        put(me, TRANSACTION_SINGLE, key_in(shard, 2), "untouched");
    }
    put(me, TRANSACTION_SINGLE, key_in(0, 1), "before");
}

static void assert_nothing_happened(void)
{
    for (unsigned shard = 0; shard < SHARDS; shard++)
        assert_reads(me, TRANSACTION_SINGLE, key_in(shard, 0), "before");
    assert_reads(me, TRANSACTION_SINGLE, key_in(0, 1), "before");
    assert_absent(me, TRANSACTION_SINGLE, key_in(1, 1));
    assert_absent(me, TRANSACTION_SINGLE, key_in(3, 1));
}

static void assert_all_happened(void)
{
    for (unsigned i = 0; i < WRITES; i++) {
        const char *key = key_in(plan[i].shard, plan[i].key);

        if (plan[i].kind == REDO_PUT)
            assert_reads(me, TRANSACTION_SINGLE, key, "after");
        else
            assert_absent(me, TRANSACTION_SINGLE, key);
    }
}

static void assert_outcome(unsigned stores)
{
    if (stores < DEATHS_BEFORE_COMMIT)
        assert_nothing_happened();
    else
        assert_all_happened();
    for (unsigned shard = 0; shard < SHARDS; shard++)
        assert_reads(me, TRANSACTION_SINGLE, key_in(shard, 2), "untouched");
}

static void assert_everything_is_cleared_up(unsigned drained)
{
    cr_assert_eq(slots_drain_dead(engine), drained);
    (void)engine_clean(engine); /* visits every shard, so it inherits them all */
    assert_engine_valid();
    cr_assert_eq(horizon_now(), clock_now());
}

/* Slots of the dead before this death are drained, so it gets the same one each time. */
static void dies_after(unsigned stores, bool is_by_signal)
{
    struct death death = {.stores_left = stores, .is_by_signal = is_by_signal};
    int end = process_run(commits_and_dies, &death);

    cr_assert_eq(end, is_by_signal ? PROCESS_SIGNAL(SIGKILL) : 0, "%u stores: %d", stores, end);
}

/* --- death in a commit --- */

static void each_death(void (*sentence)(unsigned stores))
{
    for (unsigned stores = 0; stores < DEATHS; stores++) {
        sentence(stores);
        participant_close(me);
        engine_detach(engine);
        open_engine();
    }
}

static void readers_find_all_or_nothing(unsigned stores)
{
    put_what_was_before();
    dies_after(stores, stores % 2 == 0);

    assert_outcome(stores);
    assert_everything_is_cleared_up(1);
    assert_outcome(stores);
}

WHOLE_TEST(recovery, after_a_death_at_any_store_of_a_commit_readers_find_all_or_nothing)
{
    each_death(readers_find_all_or_nothing);
}

static void drain_finds_all_or_nothing(unsigned stores)
{
    put_what_was_before();
    dies_after(stores, false);

    assert_everything_is_cleared_up(1);
    assert_outcome(stores);
}

WHOLE_TEST(recovery, after_a_death_at_any_store_of_a_commit_the_drain_finishes_it)
{
    each_death(drain_finds_all_or_nothing);
}

static void heirs_die_too(unsigned stores)
{
    put_what_was_before();
    dies_after(stores, false);
    for (unsigned steps = 0; steps < 4; steps++)
        for (unsigned heir = 0; heir < 2; heir++)
            cr_assert_eq(process_run(inherits_and_dies, &steps), 0);

    assert_outcome(stores);
    assert_everything_is_cleared_up(1);
    assert_outcome(stores);
}

WHOLE_TEST(recovery, heirs_may_die_of_it_as_often_as_they_like)
{
    each_death(heirs_die_too);
}

static void writers_go_on(unsigned stores)
{
    put_what_was_before();
    dies_after(stores, true);

    for (unsigned i = 0; i < WRITES; i++)
        put(me, TRANSACTION_SINGLE, key_in(plan[i].shard, plan[i].key), "later");
    assert_everything_is_cleared_up(1);
    for (unsigned i = 0; i < WRITES; i++)
        assert_reads(me, TRANSACTION_SINGLE, key_in(plan[i].shard, plan[i].key), "later");
}

WHOLE_TEST(recovery, after_a_death_at_any_store_of_a_commit_writers_go_on)
{
    each_death(writers_go_on);
}

static void old_snapshots_stay(unsigned stores)
{
    unsigned reader;

    put_what_was_before();
    reader = begun(me);
    dies_after(stores, true);
    cr_assert_eq(slots_drain_dead(engine), 1);
    (void)engine_clean(engine);
    assert_engine_valid();

    for (unsigned shard = 0; shard < SHARDS; shard++)
        assert_reads(me, reader, key_in(shard, 0), "before");
    assert_reads(me, reader, key_in(0, 1), "before");
    assert_absent(me, reader, key_in(1, 1));
}

WHOLE_TEST(recovery, snapshots_from_before_a_death_see_what_they_saw)
{
    each_death(old_snapshots_stay);
}

/* --- death with unpublished things --- */

static int dies_with_memory_of_a_shard(void *context)
{
    (void)context;
    if (shard_acquire(engine, 2) != STATUS_OK)
        return 1;
    (void)table_reserve(&engine->table, 2, text("lost"), CHUNK_BYTES * 3);
    (void)chunk_claim(engine->segment, CHUNK_PAGE, 0, 2);
    (void)chunk_claim(engine->segment, CHUNK_VALUE, 0, 2);
    (void)chunk_claim(engine->segment, CHUNK_BLOCK, 0, 2);
    return 0;
}

WHOLE_TEST(recovery, memory_that_was_taken_and_not_published_comes_back)
{
    uint32_t used = segment_chunks_used(engine->segment);

    cr_assert_eq(process_run(dies_with_memory_of_a_shard, NULL), 0);
    cr_assert_gt(segment_chunks_used(engine->segment), used);
    cr_assert_eq(shard_acquire(engine, 2), STATUS_OK);
    shard_release(engine, 2);

    cr_assert_eq(segment_chunks_used(engine->segment), used);
}

static struct chunk_ref half_of(const struct page *page, unsigned half)
{
    struct chunk_ref chunk = chunk_claim(engine->segment, CHUNK_PAGE, 0, 0);

    page_init(page_at(engine->segment, chunk), page->depth + 1, page->prefix * 2 + half);
    page_copy(page, page_at(engine->segment, chunk));
    return chunk;
}

static int dies_having_published_a_split(void *context)
{
    struct page *page = table_page_of(&engine->table, 0, 0);
    struct chunk_ref left;
    struct chunk_ref right;

    (void)context;
    if (shard_acquire(engine, 0) != STATUS_OK)
        return 1;
    left = half_of(page, 0);
    right = half_of(page, 1);
    atomic_store(&page->replaced_by, (uint64_t)left.number << 32 | right.number);
    return 0;
}

WHOLE_TEST(recovery, a_half_published_split_is_finished)
{
    for (unsigned i = 0; i < 50; i++)
        put(me, TRANSACTION_SINGLE, key_in(0, i), "v");
    cr_assert_eq(process_run(dies_having_published_a_split, NULL), 0);

    for (unsigned i = 0; i < 50; i++)
        assert_reads(me, TRANSACTION_SINGLE, key_in(0, i), "v");
    cr_assert_eq(atomic_load(&table_shard(&engine->table, 0)->page_count), 2);
    assert_engine_valid();
}

/* --- the slot of the dead --- */

static int opens_transactions_and_dies(void *context)
{
    struct participant *you = NULL;
    struct value_view view;

    (void)context;
    if (participant_open(engine, &you) != STATUS_OK)
        return 1;
    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++) {
        unsigned number = 0;

        if (transaction_begin(you, ISOLATION_SERIALIZABLE, &number) != STATUS_OK ||
            transaction_put(you, number, text("k"), text("never committed")) != STATUS_OK)
            return 1;
    }
    return (int)transaction_get(you, TRANSACTION_SINGLE, text("seen"), &view);
}

WHOLE_TEST(recovery, log_and_pins_of_the_dead_go_with_the_drain)
{
    uint32_t used;
    uint64_t before;

    put(me, TRANSACTION_SINGLE, "seen", "v");
    used = segment_chunks_used(engine->segment);
    cr_assert_eq(process_run(opens_transactions_and_dies, NULL), STATUS_OK);
    cr_assert_gt(segment_chunks_used(engine->segment), used);
    before = horizon_now();
    put(me, TRANSACTION_SINGLE, "seen", "w");
    horizon_advance(engine);
    cr_assert_eq(horizon_now(), before, "the dead still pins");

    cr_assert_eq(slots_drain_dead(engine), 1);
    cr_assert_eq(segment_chunks_used(engine->segment), used);
    horizon_advance(engine);
    cr_assert_eq(horizon_now(), clock_now());
    assert_absent(me, TRANSACTION_SINGLE, "k");
}

WHOLE_TEST(recovery, the_next_process_drains_the_slot_that_it_gets)
{
    struct participant *you;
    const struct process_slot *slot;
    uint64_t words[SLOT_TRANSACTIONS_MAX];

    put(me, TRANSACTION_SINGLE, "seen", "v");
    cr_assert_eq(process_run(opens_transactions_and_dies, NULL), STATUS_OK);
    slot = process_slot_at(engine->segment, me->slot_number + 1);
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++)
        words[i] = atomic_load(&slot->transactions[i].state);
    you = a_participant();

    cr_assert_eq(you->slot, slot);
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        cr_assert_eq(atomic_load(&you->slot->transactions[i].pin), PIN_NONE);
        cr_assert_eq(atomic_load(&slot->transactions[i].state) & 3u, TRANSACTION_FREE);
        cr_assert_eq(atomic_load(&slot->transactions[i].state) >> 2, (words[i] >> 2) + 1,
                     "a word that was there before must not come again");
    }
    cr_assert_eq(atomic_load(&you->slot->single_pin), PIN_NONE);
    put(you, TRANSACTION_SINGLE, "k", "v");
    participant_close(you);
}

WHOLE_TEST(recovery, an_expired_transaction_of_the_dead_is_drained)
{
    put(me, TRANSACTION_SINGLE, "seen", "v");
    cr_assert_eq(process_run(opens_transactions_and_dies, NULL), STATUS_OK);
    cr_assert_eq(transactions_expire(engine, UINT64_MAX), TRANSACTION_COUNT_MAX);

    assert_everything_is_cleared_up(1);
    cr_assert_eq(transactions_expire(engine, UINT64_MAX), 0);
}

WHOLE_TEST(recovery, slots_of_the_living_are_not_drained)
{
    unsigned number = begun(me);

    put(me, number, "k", "v");
    cr_assert_eq(slots_drain_dead(engine), 0);
    assert_commits(me, number);
}

static int drains_by_half_and_dies(void *context)
{
    unsigned number = *(const unsigned *)context;

    if (process_slot_claim_number(engine->segment, number) != SLOT_INHERITED)
        return 1;
    return (int)slot_drain(engine, number); /* and does not say that it is done */
}

WHOLE_TEST(recovery, a_drain_may_be_begun_again)
{
    unsigned number = me->slot_number + 1;

    put_what_was_before();
    dies_after(DEATHS_BEFORE_COMMIT, false);
    cr_assert_eq(process_run(drains_by_half_and_dies, &number), STATUS_OK);
    cr_assert_eq(process_run(drains_by_half_and_dies, &number), STATUS_OK);

    assert_all_happened();
    assert_everything_is_cleared_up(1);
}

/* --- commits that run over into redo chunks --- */

/* The i-th entry, counted from 0. */
static const struct redo_entry *redo_entry_at(const struct segment *where, const struct commit_record *commit, uint32_t i)
{
    struct redo_cursor cursor = {0};
    const struct redo_entry *entry = redo_next(where, commit, &cursor);

    while (entry != NULL && cursor.index <= i)
        entry = redo_next(where, commit, &cursor);
    return entry;
}

static int marks_a_long_commit_and_dies(void *context)
{
    unsigned count = (unsigned)(SLOT_REDO_BUILT_IN + REDO_CHUNK_ENTRIES + 10);
    struct participant *you = NULL;
    struct chunk_ref chunks[2];
    uint64_t time;

    (void)context;
    if (participant_open(engine, &you) != STATUS_OK || shard_acquire(engine, 0) != STATUS_OK)
        return 1;
    for (unsigned i = 0; i < 2; i++)
        chunks[i] = chunk_claim(engine->segment, CHUNK_LOG, 0, you->slot_number);
    ((struct redo_chunk *)(void *)chunk_at(engine->segment, chunks[0]))->next = chunks[1].number;
    ((struct redo_chunk *)(void *)chunk_at(engine->segment, chunks[1]))->next = 0;
    atomic_store(&you->slot->commit.redo_chunk, chunks[0].number);
    for (unsigned i = 0; i < count; i++) {
        uint64_t hash = table_hash(&engine->table, text(key_in(0, i % 40)));
        struct block_ref ref = table_find(&engine->table, 0, hash, text(key_in(0, i % 40)));
        struct redo_entry *entry =
            (struct redo_entry *)(uintptr_t)redo_entry_at(engine->segment, &you->slot->commit, i);

        /* Each of the forty keys is deleted, many times over: the redo is idempotent. */
        *entry = (struct redo_entry){ref.units, 0, REDO_DEL};
    }
    time = atomic_fetch_add(&engine->segment->header->clock, 1) + 1;
    atomic_store(&you->slot->commit.redo_count, count);
    atomic_store(&you->slot->commit.pending, 1);
    atomic_store(&you->slot->commit.word, time << 1 | 1);
    return 0;
}

WHOLE_TEST(recovery, a_commit_with_redo_chunks_is_done_again_and_its_chunks_freed)
{
    uint32_t used;

    for (unsigned i = 0; i < 40; i++)
        put(me, TRANSACTION_SINGLE, key_in(0, i), "v");
    put(me, TRANSACTION_SINGLE, key_in(1, 0), "v");
    used = segment_chunks_used(engine->segment);
    cr_assert_eq(process_run(marks_a_long_commit_and_dies, NULL), 0);

    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 1);
    cr_assert_eq(segment_chunks_used(engine->segment), used + 2);
    assert_everything_is_cleared_up(1);
    cr_assert_lt(segment_chunks_used(engine->segment), used + 1);
}

/* --- a large value --- */

static int commits_a_large_value_and_dies(void *context)
{
    struct bytes value = *(const struct bytes *)context;
    struct participant *you = NULL;
    struct commit_record *record;
    struct block_ref ref;
    uint64_t time;

    if (participant_open(engine, &you) != STATUS_OK || shard_acquire(engine, 2) != STATUS_OK)
        return 1;
    record = &you->slot->commit;
    ref = table_reserve(&engine->table, 2, text(key_in(2, 0)), value.size);
    version_fill(engine->segment, ref, 0, value);
    record->built_in[0] = (struct redo_entry){ref.units, 2, REDO_PUT};
    time = atomic_fetch_add(&engine->segment->header->clock, 1) + 1;
    atomic_store(&record->redo_count, 1);
    atomic_store(&record->pending, 1u << 2);
    atomic_store(&record->word, time << 1 | 1);
    return 0;
}

/* Nothing reaches its chunks but the log: a rebuild that comes before the redo would give them away. */
WHOLE_TEST(recovery, chunks_of_a_value_that_only_the_log_reaches_are_kept)
{
    static unsigned char content[CHUNK_BYTES * 5];
    struct bytes value = {content, sizeof(content)};
    struct value_view view;

    store_content_fill(content, sizeof(content), 1);
    cr_assert_eq(process_run(commits_a_large_value_and_dies, &value), 0);
    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text(key_in(2, 0)), &view), STATUS_OK);
    for (size_t offset = 0; offset < view.size;) {
        struct bytes piece = value_view_piece(&view, offset);

        cr_assert_eq(memcmp(piece.data, content + offset, piece.size), 0);
        offset += piece.size;
    }
    transaction_get_done(me, TRANSACTION_SINGLE);
    assert_everything_is_cleared_up(1);
}

/* --- what nobody can repair --- */

static void a_commit_has_killed_too_many(void)
{
    dies_after(DEATHS_BEFORE_COMMIT, false);
    atomic_store(&process_slot_at(engine->segment, me->slot_number + 1)->commit.deaths, RECOVERY_DEATHS_MAX);
}

/* The operator decided: everything is tried again. */
static void let_go(void)
{
    for (unsigned number = 0; number < process_slot_count(engine->segment); number++)
        atomic_store(&process_slot_at(engine->segment, number)->commit.word, 0);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        if (atomic_load(&table_shard(&engine->table, shard)->is_set_aside) != 0) {
            table_rebuild(&engine->table, shard);
            atomic_store(&table_shard(&engine->table, shard)->is_set_aside, 0);
        }
    (void)engine_clean(engine); /* visits the others, which nobody has inherited yet */
}

WHOLE_TEST(recovery, what_kills_its_heirs_is_set_aside_and_the_rest_goes_on)
{
    struct value_view view;
    uint64_t count;

    put_what_was_before();
    a_commit_has_killed_too_many();

    cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text(key_in(0, 0)), &view), STATUS_UNAVAILABLE);
    cr_assert_eq(transaction_put(me, TRANSACTION_SINGLE, text(key_in(3, 0)), text("v")), STATUS_UNAVAILABLE);
    cr_assert_eq(transaction_count(me, TRANSACTION_SINGLE, bytes_from(NULL, 0), &count), STATUS_UNAVAILABLE);
    put(me, TRANSACTION_SINGLE, key_in(2, 0), "goes on");
    assert_reads(me, TRANSACTION_SINGLE, key_in(2, 0), "goes on");
    cr_assert_eq(slots_drain_dead(engine), 0);
    let_go();
}

WHOLE_TEST(recovery, a_transaction_that_needs_what_is_set_aside_applies_nothing)
{
    unsigned number;

    put_what_was_before();
    a_commit_has_killed_too_many();
    number = begun(me);
    put(me, number, key_in(2, 0), "never");
    put(me, number, key_in(3, 0), "never");
    cr_assert_eq(transaction_commit(me, number), STATUS_UNAVAILABLE);

    assert_reads(me, TRANSACTION_SINGLE, key_in(2, 0), "before");
    let_go();
}

/* What it says is to be in shard 1 belongs to shard 0. */
WHOLE_TEST(recovery, a_commit_that_makes_no_sense_sets_aside_only_its_shard)
{
    struct commit_record *record = &process_slot_at(engine->segment, me->slot_number + 1)->commit;

    put_what_was_before();
    dies_after(DEATHS_BEFORE_COMMIT, false);
    record->built_in[2].version = record->built_in[0].version;

    cr_assert_eq(shard_acquire(engine, 1), STATUS_UNAVAILABLE);
    assert_reads(me, TRANSACTION_SINGLE, key_in(0, 0), "after");
    assert_reads(me, TRANSACTION_SINGLE, key_in(3, 0), "after");
    cr_assert_eq(slots_drain_dead(engine), 0);
    let_go();
    assert_reads(me, TRANSACTION_SINGLE, key_in(1, 0), "before");
}

/* --- heirs that die of what they repair --- */

static int dies_with_shard_0(void *context)
{
    (void)context;
    return shard_acquire(engine, 0) == STATUS_OK ? 0 : 1;
}

static int inherits_shard_0(void *context)
{
    (void)context;
    recovery_count_deaths(engine);
    return shard_acquire(engine, 0) == STATUS_OK ? 0 : 1;
}

/* A page that says it was replaced by what lies nowhere: whoever goes on to it dies of SIGSEGV. */
static struct page *a_page_of_shard_0_that_kills(void)
{
    struct page *page = table_page_of(&engine->table, 0, table_shard_first_hash(&engine->table, 0));

    cr_assert_eq(process_run(dies_with_shard_0, NULL), 0);
    atomic_store(&page->replaced_by, (uint64_t)UINT32_MAX << 32 | UINT32_MAX);
    return page;
}

WHOLE_TEST(recovery, heirs_that_die_of_a_shard_are_counted_and_the_fourth_sets_it_aside)
{
    struct shard *shard = table_shard(&engine->table, 0);
    struct page *page = a_page_of_shard_0_that_kills();

    for (unsigned deaths = 1; deaths <= RECOVERY_DEATHS_MAX; deaths++) {
        cr_assert_eq(process_run(inherits_shard_0, NULL), PROCESS_SIGNAL(SIGSEGV));
        cr_assert_eq(atomic_load(&shard->deaths), deaths);
    }
    cr_assert_eq(shard_acquire(engine, 0), STATUS_UNAVAILABLE);
    cr_assert_eq(shard_acquire(engine, 1), STATUS_OK);
    shard_release(engine, 1);

    atomic_store(&page->replaced_by, 0);
    atomic_store(&shard->deaths, 0);
    atomic_store(&shard->is_set_aside, 0);
}

/* --- processes that die of a shard in ordinary work --- */

static int crashes_with_shard_0(void *context)
{
    (void)context;
    recovery_count_deaths(engine);
    if (shard_acquire(engine, 0) == STATUS_OK)
        abort();
    return 1;
}

static int is_killed_with_shard_0(void *context)
{
    (void)context;
    recovery_count_deaths(engine);
    if (shard_acquire(engine, 0) != STATUS_OK)
        return 1;
    if (fork() == 0)
        _exit(kill(getppid(), SIGSEGV));
    for (;;)
        (void)pause();
}

/* Each time the shard can be repaired, and the next to use it dies: that must end. */
WHOLE_TEST(recovery, a_shard_that_kills_its_users_is_set_aside_though_each_repair_succeeds)
{
    struct shard *shard = table_shard(&engine->table, 0);

    for (unsigned deaths = 1; deaths < RECOVERY_DEATHS_MAX; deaths++) {
        cr_assert_eq(process_run(crashes_with_shard_0, NULL), PROCESS_SIGNAL(SIGABRT));
        cr_assert_eq(shard_acquire(engine, 0), STATUS_OK);
        shard_release(engine, 0);
        cr_assert_eq(atomic_load(&shard->deaths), deaths);
    }
    cr_assert_eq(process_run(crashes_with_shard_0, NULL), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(shard_acquire(engine, 0), STATUS_UNAVAILABLE);
    cr_assert_eq(shard_acquire(engine, 1), STATUS_OK);
    shard_release(engine, 1);
    cr_assert_eq(atomic_load(&table_shard(&engine->table, 1)->deaths), 0);

    atomic_store(&shard->deaths, 0);
    atomic_store(&shard->is_set_aside, 0);
}

WHOLE_TEST(recovery, a_signal_that_somebody_sent_is_not_counted)
{
    cr_assert_eq(process_run(is_killed_with_shard_0, NULL), PROCESS_SIGNAL(SIGSEGV));
    cr_assert_eq(shard_acquire(engine, 0), STATUS_OK);
    shard_release(engine, 0);
    cr_assert_eq(atomic_load(&table_shard(&engine->table, 0)->deaths), 0);
}

WHOLE_TEST(recovery, who_holds_a_shard_is_named)
{
    cr_assert_eq(shards_held_by(engine, getpid()), 0);
    cr_assert_eq(shards_held_by(engine, 0), 0);
    cr_assert_eq(shard_acquire(engine, 1), STATUS_OK);
    cr_assert_eq(shard_acquire(engine, 3), STATUS_OK);
    cr_assert_eq(shards_held_by(engine, getpid()), 1u << 1 | 1u << 3);
    cr_assert_eq(shards_held_by(engine, getppid()), 0);
    shard_release(engine, 3);
    shard_release(engine, 1);
}

/* --- walks that would not end --- */

struct walker {
    unsigned transaction; /* of `me`, whose private side a child has too */
    const char *key;
};

static int counts_under_the_lock(void *context)
{
    const struct walker *walker = context;
    uint64_t count;

    (void)alarm(10); /* whoever goes round is ended so */
    recovery_count_deaths(engine);
    return transaction_count(me, walker->transaction, text(walker->key), &count) == STATUS_OK ? 0 : 1;
}

/* What a lost pin once did: two versions name each other as the older one. It must not keep the shard for ever. */
WHOLE_TEST(recovery, a_chain_that_goes_round_costs_its_reader_and_counts_against_the_shard)
{
    struct walker walker = {.key = key_in(0, 0)};
    struct version *newest;
    struct version *middle;
    uint32_t oldest;

    put(me, TRANSACTION_SINGLE, walker.key, "oldest");
    walker.transaction = begun(me);
    put(me, TRANSACTION_SINGLE, walker.key, "middle");
    put(me, TRANSACTION_SINGLE, walker.key, "newest");
    newest = version_at(engine->segment, table_find(&engine->table, 0, table_hash(&engine->table, text(walker.key)), text(walker.key)));
    middle = version_at(engine->segment, (struct block_ref){atomic_load(&newest->older)});
    oldest = atomic_load(&middle->older);
    atomic_store(&middle->older, (uint32_t)((size_t)((unsigned char *)newest - engine->segment->base) / REFERENCE_UNIT_BYTES));

    cr_assert_eq(process_run(counts_under_the_lock, &walker), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(atomic_load(&table_shard(&engine->table, 0)->deaths), 1);

    atomic_store(&middle->older, oldest);
    transaction_rollback(me, walker.transaction);
    cr_assert_eq(shard_acquire(engine, 0), STATUS_OK);
    shard_release(engine, 0);
}

static void locks_are_taken(unsigned shard, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        cr_assert_eq(shard_acquire(engine, shard), STATUS_OK);
        shard_release(engine, shard);
    }
}

WHOLE_TEST(recovery, deaths_are_forgotten_after_long_service_without_one)
{
    struct shard *shard = table_shard(&engine->table, 0);
    static struct deaths_watch watch;
    uint64_t now_ms = 1000;

    shard_count_death(engine, 0);
    shard_count_death(engine, 0);
    deaths_forget(engine, &watch, now_ms);
    locks_are_taken(0, DEATHS_FORGOTTEN_LOCKS + 1);
    deaths_forget(engine, &watch, now_ms + DEATHS_FORGOTTEN_MS - 1);
    cr_assert_eq(atomic_load(&shard->deaths), 2, "forgotten too early");

    shard_count_death(engine, 0);
    now_ms += DEATHS_FORGOTTEN_MS;
    deaths_forget(engine, &watch, now_ms);
    cr_assert_eq(atomic_load(&shard->deaths), 3, "a new one begins the time again");

    now_ms += DEATHS_FORGOTTEN_MS;
    deaths_forget(engine, &watch, now_ms);
    cr_assert_eq(atomic_load(&shard->deaths), 3, "nobody used it meanwhile");
    locks_are_taken(0, DEATHS_FORGOTTEN_LOCKS + 2);
    deaths_forget(engine, &watch, now_ms);
    cr_assert_eq(atomic_load(&shard->deaths), 0);
}

/* --- locks that the kernel did not pass on --- */

static int ends_at_once(void *context)
{
    (void)context;
    return 0;
}

WHOLE_TEST(recovery, a_lock_that_still_names_the_dead_is_passed_on)
{
    struct robust_mutex *mutex = &table_shard(&engine->table, 0)->mutex;
    pid_t dead = process_start(ends_at_once, NULL);

    (void)process_wait(dead);
    *(uint32_t *)(void *)mutex = (uint32_t)dead; /* as the OOM reaper leaves it */
    cr_assert_eq(robust_mutex_trylock(mutex), MUTEX_BUSY);
    engine_bury(engine, dead);

    cr_assert_eq(robust_mutex_trylock(mutex), MUTEX_INHERITED);
    recovery_shard(engine, 0);
    shard_release(engine, 0);
}

/* Else memory would fill up with what only the dead could see. */
WHOLE_TEST(recovery, what_is_set_aside_does_not_hold_back_the_horizon)
{
    put(me, TRANSACTION_SINGLE, "seen", "v");
    cr_assert_eq(process_run(opens_transactions_and_dies, NULL), STATUS_OK);
    atomic_store(&process_slot_at(engine->segment, me->slot_number + 1)->commit.word, 3);
    atomic_store(&process_slot_at(engine->segment, me->slot_number + 1)->commit.pending, 1u << 2);
    atomic_store(&table_shard(&engine->table, 2)->is_set_aside, 1);
    put(me, TRANSACTION_SINGLE, key_in(1, 0), "v");

    cr_assert_eq(slots_drain_dead(engine), 0);
    horizon_advance(engine);
    cr_assert_eq(horizon_now(), clock_now());
    let_go();
}

/* --- storms --- */

static int writes_for_ever(void *context)
{
    struct participant *you = NULL;
    struct process_gate *is_writing = context;

    if (participant_open(engine, &you) != STATUS_OK)
        return 1;
    for (unsigned i = 0;; i++) {
        unsigned number = 0;
        char value[16] = {(char)('a' + i % 26)};

        if (transaction_begin(you, ISOLATION_SERIALIZABLE, &number) != STATUS_OK)
            return 2;
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            bool is_put = (i + shard) % 5 != 0;
            const char *key = key_in(shard, i % 7);

            if (is_put ? transaction_put(you, number, text(key), text(value)) != STATUS_OK
                       : transaction_del(you, number, text(key)) != STATUS_OK)
                return 3;
        }
        if (transaction_commit(you, number) != STATUS_OK)
            return 4;
        process_gate_open(is_writing);
    }
}

/* Two at once, killed wherever they are; the counts of rounds, not of time, end it. */
WHOLE_TEST(recovery, killed_writers_leave_everything_whole)
{
    for (unsigned round = 0; round < 60; round++) {
        struct process_gate *is_writing = process_shared_memory(2 * sizeof(*is_writing));
        pid_t first = process_start(writes_for_ever, &is_writing[0]);
        pid_t second = process_start(writes_for_ever, &is_writing[1]);

        process_gate_wait(&is_writing[0]);
        process_gate_wait(&is_writing[1]);
        cr_assert_eq(process_kill(first), PROCESS_SIGNAL(SIGKILL));
        cr_assert_eq(process_kill(second), PROCESS_SIGNAL(SIGKILL));
        cr_assert_leq(slots_drain_dead(engine), 2);
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            cr_assert_eq(shard_acquire(engine, shard), STATUS_OK);
            shard_release(engine, shard);
        }
        assert_engine_valid();
    }
}
