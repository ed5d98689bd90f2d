/* The commit recipe: many writes, several shards, memory that ends under way. */
#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "support/process.h"

#define SHARDS 4u

static struct gates {
    struct process_gate is_locked;
    struct process_gate commits;
} *gates;

static void open_engine(void)
{
    engine_open((size_t)16 << 20, SHARDS);
    gates = process_shared_memory(sizeof(*gates));
}

static void commit_is_whole(void)
{
    engine_close();
}

TestSuite(commit, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static const char *name(unsigned number)
{
    static char names[4][32];
    static unsigned next;
    char *result = names[next++ % 4];

    (void)snprintf(result, sizeof(names[0]), "key %u", number);
    return result;
}

static unsigned with_puts(unsigned count, const char *value)
{
    unsigned number = begun(me);

    for (unsigned i = 0; i < count; i++)
        put(me, number, name(i), value);
    return number;
}

static uint32_t log_chunks(void)
{
    uint32_t count = 0;

    for (uint32_t number = 1; number <= engine->segment->chunk_count; number++)
        count += chunk_owner_kind(chunk_owner(engine->segment, (struct chunk_ref){number})) == CHUNK_LOG;
    return count;
}

static void assert_record_is_idle(void)
{
    const struct commit_record *record = &me->slot->commit;

    cr_assert_eq(atomic_load(&record->word), 0);
    cr_assert_eq(atomic_load(&record->pending), 0);
    cr_assert_eq(atomic_load(&record->redo_chunk), 0);
}

static void assert_all_read(unsigned count, const char *value)
{
    for (unsigned i = 0; i < count; i++)
        assert_reads(me, TRANSACTION_SINGLE, name(i), value);
}

/* --- numbers of writes --- */

WHOLE_TEST(commit, as_many_writes_as_are_built_in_need_no_redo_chunk)
{
    for (unsigned count = 1; count <= SLOT_REDO_BUILT_IN + 2; count++) {
        assert_commits(me, with_puts(count, "v"));
        assert_record_is_idle();
        cr_assert_eq(atomic_load(&me->slot->commit.redo_count), 0);
        assert_all_read(count, "v");
    }
}

WHOLE_TEST(commit, writes_around_the_size_of_a_redo_chunk_all_arrive)
{
    unsigned full = (unsigned)(SLOT_REDO_BUILT_IN + REDO_CHUNK_ENTRIES);

    assert_commits(me, with_puts(full + 1, "before"));
    for (unsigned count = full - 1; count <= full + 1; count++) {
        assert_commits(me, with_puts(count, "after"));
        cr_assert_eq(log_chunks(), 0, "redo chunks were not given back");
        assert_engine_valid();
    }
    assert_all_read(full + 1, "after");
}

WHOLE_TEST(commit, ten_thousand_writes_are_one_commit)
{
    uint64_t before = clock_now();

    assert_commits(me, with_puts(10000, "v"));

    cr_assert_eq(clock_now(), before + 1);
    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 10000);
    assert_record_is_idle();
    assert_engine_valid();
    assert_all_read(10000, "v");
}

WHOLE_TEST(commit, ten_thousand_deletes_are_one_commit)
{
    unsigned number;

    assert_commits(me, with_puts(10000, "v"));
    number = begun(me);
    for (unsigned i = 0; i < 10000; i++)
        del(me, number, name(i));
    assert_commits(me, number);

    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 0);
    (void)engine_clean(engine);
    for (unsigned shard = 0; shard < SHARDS; shard++)
        cr_assert_eq(atomic_load(&table_shard(&engine->table, shard)->entry_count), 0);
}

/* What it overwrites and deletes stands elsewhere when its own new keys have their room. */
WHOLE_TEST(commit, overwrites_and_deletes_on_pages_that_it_splits)
{
    unsigned number;

    assert_commits(me, with_puts(1000, "before"));
    number = begun(me);
    for (unsigned i = 0; i < 1000; i += 2) {
        put(me, number, name(i), "after");
        del(me, number, name(i + 1));
    }
    for (unsigned i = 1000; i < 11000; i++)
        put(me, number, name(i), "new");
    assert_commits(me, number);

    assert_engine_valid();
    cr_assert_gt(atomic_load(&table_shard(&engine->table, 0)->page_count), 1);
    for (unsigned i = 0; i < 1000; i += 2) {
        assert_reads(me, TRANSACTION_SINGLE, name(i), "after");
        assert_absent(me, TRANSACTION_SINGLE, name(i + 1));
    }
    for (unsigned i = 1000; i < 11000; i++)
        assert_reads(me, TRANSACTION_SINGLE, name(i), "new");
}

/* The same of a commit that is no large one, which has made no room before. */
WHOLE_TEST(commit, of_few_writes_overwrites_and_deletes_on_a_page_that_it_splits)
{
    char value[16];

    for (unsigned i = 2; atomic_load(&table_shard(&engine->table, 0)->page_count) == 1; i++) {
        unsigned number = begun(me);

        (void)snprintf(value, sizeof value, "%u", i);
        put(me, TRANSACTION_SINGLE, key_in(0, 1), "there");
        put(me, number, key_in(0, 0), value);
        del(me, number, key_in(0, 1));
        put(me, number, key_in(0, i), "new");
        assert_commits(me, number);
        assert_reads(me, TRANSACTION_SINGLE, key_in(0, 0), value);
        assert_absent(me, TRANSACTION_SINGLE, key_in(0, 1));
        assert_reads(me, TRANSACTION_SINGLE, key_in(0, i), "new");
    }
    assert_engine_valid();
}

/* --- several shards --- */

WHOLE_TEST(commit, a_snapshot_sees_all_shards_of_a_commit_or_none)
{
    unsigned writer = begun(me);
    unsigned before = begun(me);
    unsigned after;

    for (unsigned shard = 0; shard < SHARDS; shard++)
        put(me, writer, key_in(shard, 0), "v");
    assert_commits(me, writer);
    after = begun(me);

    for (unsigned shard = 0; shard < SHARDS; shard++) {
        assert_absent(me, before, key_in(shard, 0));
        assert_reads(me, after, key_in(shard, 0), "v");
    }
}

static int raises_all_counters(void *context)
{
    struct participant *participant;

    (void)context;
    if (participant_open(engine, &participant) != STATUS_OK)
        return 1;
    for (unsigned done = 0; done < 100;) {
        struct value_view view;
        unsigned number;
        unsigned value = 0;
        enum status status = transaction_begin(participant, ISOLATION_SERIALIZABLE, &number);

        for (unsigned shard = 0; status == STATUS_OK && shard < SHARDS; shard++) {
            status = transaction_get(participant, number, text(key_in(shard, 0)), &view);
            if (status != STATUS_OK)
                return 2;
            memcpy(&value, value_view_piece(&view, 0).data, sizeof(value));
            transaction_get_done(participant, number);
            value++;
            status = transaction_put(participant, number, text(key_in(shard, 0)), bytes_from(&value, sizeof(value)));
        }
        if (status != STATUS_OK)
            return 3;
        status = transaction_commit(participant, number);
        if (status != STATUS_OK && status != STATUS_CONFLICT)
            return 4;
        done += status == STATUS_OK;
    }
    participant_close(participant);
    return 0;
}

WHOLE_TEST(commit, no_update_of_several_shards_is_lost)
{
    unsigned value = 0;
    pid_t children[3];

    for (unsigned shard = 0; shard < SHARDS; shard++)
        cr_assert_eq(transaction_put(me, TRANSACTION_SINGLE, text(key_in(shard, 0)), bytes_from(&value, sizeof(value))),
                     STATUS_OK);
    for (size_t i = 0; i < 3; i++)
        children[i] = process_start(raises_all_counters, NULL);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(process_wait(children[i]), 0);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        struct value_view view;

        cr_assert_eq(transaction_get(me, TRANSACTION_SINGLE, text(key_in(shard, 0)), &view), STATUS_OK);
        memcpy(&value, value_view_piece(&view, 0).data, sizeof(value));
        transaction_get_done(me, TRANSACTION_SINGLE);
        cr_assert_eq(value, 300, "shard %u: %u", shard, value);
    }
}

/* --- memory that ends --- */

/* Whatever number of chunks is left, it is all or nothing. */
WHOLE_TEST(commit, out_of_memory_at_every_step_changes_nothing)
{
    unsigned count = (unsigned)(SLOT_REDO_BUILT_IN + REDO_CHUNK_ENTRIES + 20);
    enum status status = STATUS_OUT_OF_MEMORY;

    put(me, TRANSACTION_SINGLE, name(0), "before");
    for (uint32_t left = 0; status != STATUS_OK; left++) {
        unsigned number = with_puts(count, "after");
        uint32_t used;

        cr_assert_eq(put_large(me, number, "large", CHUNK_BYTES * 3), STATUS_OK);
        (void)leave_no_chunk_free();
        leave_chunks_free(left);
        used = segment_chunks_used(engine->segment);
        status = transaction_commit(me, number);
        cr_assert(status == STATUS_OK || status == STATUS_OUT_OF_MEMORY);
        if (status != STATUS_OK) {
            cr_assert_lt(segment_chunks_used(engine->segment), used + left + 1);
            assert_reads(me, TRANSACTION_SINGLE, name(0), "before");
            cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 1);
        }
        assert_engine_valid();
        leave_chunks_free(leave_no_chunk_free());
    }
    assert_all_read(count, "after");
}

/* There is memory for its version, but none to split its page, which says that it is full. */
WHOLE_TEST(commit, a_single_put_without_room_gives_back_its_version)
{
    const char *key = key_in(0, 1);
    struct page *page = table_page_of(&engine->table, 0, table_hash(&engine->table, text(key)));
    uint32_t key_count;

    put(me, TRANSACTION_SINGLE, key_in(0, 0), "v");
    put(me, TRANSACTION_SINGLE, key_in(0, 2), "v"); /* keeps the chunk */
    del(me, TRANSACTION_SINGLE, key_in(0, 0));
    (void)engine_clean(engine);
    (void)leave_no_chunk_free();
    key_count = page->key_count;
    page->key_count = PAGE_ENTRIES_FULL;
    cr_assert_eq(transaction_put(me, TRANSACTION_SINGLE, text(key), text("v")), STATUS_OUT_OF_MEMORY);
    cr_assert_eq(me->times.commit, 0);
    page->key_count = key_count;

    assert_engine_valid();
    cr_assert_eq(transaction_put(me, TRANSACTION_SINGLE, text(key), text("v")), STATUS_OK);
}

WHOLE_TEST(commit, a_single_del_needs_no_memory)
{
    put(me, TRANSACTION_SINGLE, "k", "v");
    (void)leave_no_chunk_free();

    del(me, TRANSACTION_SINGLE, "k");
    assert_absent(me, TRANSACTION_SINGLE, "k");
}

WHOLE_TEST(commit, rollback_and_reads_need_no_memory)
{
    unsigned number = begun(me);

    put(me, TRANSACTION_SINGLE, "k", "v");
    put(me, number, "l", "v");
    (void)leave_no_chunk_free();

    assert_reads(me, TRANSACTION_SINGLE, "k", "v");
    assert_reads(me, number, "l", "v");
    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), 1);
    transaction_rollback(me, number);
}

/* --- between two attempts --- */

/* Holds shard 1 until its parent, in want of memory, waits for it; puts key_in(0, 0) meanwhile. */
static int puts_between_two_attempts(void *context)
{
    struct participant *you;
    enum status status = participant_open(engine, &you);

    (void)context;
    if (status == STATUS_OK)
        status = shard_acquire(engine, 1);
    process_gate_open(&gates->is_locked);
    process_gate_wait(&gates->commits);
    process_wait_until_asleep(getppid());
    if (status == STATUS_OK)
        status = transaction_put(you, TRANSACTION_SINGLE, text(key_in(0, 0)), text("meanwhile"));
    shard_release(engine, 1);
    participant_close(you);
    return status == STATUS_OK ? 0 : 1;
}

/* The first attempt finds nothing to delete and no memory for the rest; the second finds both. */
WHOLE_TEST(commit, a_delete_meets_what_came_between_two_attempts)
{
    unsigned number = begun_as(me, ISOLATION_READ_COMMITTED);
    pid_t child;

    put(me, TRANSACTION_SINGLE, key_in(0, 1), "small");
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, key_in(1, 0), CHUNK_BYTES * 8), STATUS_OK);
    del(me, TRANSACTION_SINGLE, key_in(1, 0));
    del(me, number, key_in(0, 0));
    cr_assert_eq(put_large(me, number, key_in(0, 2), CHUNK_BYTES * 4), STATUS_OK);
    (void)leave_no_chunk_free();
    child = process_start(puts_between_two_attempts, NULL);
    process_gate_wait(&gates->is_locked);
    process_gate_open(&gates->commits);
    assert_commits(me, number);

    cr_assert_eq(process_wait(child), 0);
    assert_absent(me, TRANSACTION_SINGLE, key_in(0, 0));
}
