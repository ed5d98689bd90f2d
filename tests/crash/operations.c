/* What is killed: every kind of operation, each in a small store that makes it
 * do what its name says. */
#include "crash/explorer.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transaction/key_lock.h"

#define SHARDS 4u

/* --- scenes --- */

/* Three keys in each shard, one of them with a past that somebody still reads. */
static void some_keys(struct scene *scene)
{
    unsigned shards = scene->engine->table.shard_count;

    for (unsigned shard = 0; shard < shards; shard++)
        for (unsigned nth = 0; nth < 3; nth++)
            scene_put(scene, scene_key_in(scene, shard, nth), 20 + 10 * (size_t)nth);
    scene_witness(scene);
    for (unsigned shard = 0; shard < shards; shard++)
        scene_put(scene, scene_key_in(scene, shard, 0), 24);
}

/* Without a witness, so that what is over can be freed. */
static void some_keys_and_garbage(struct scene *scene)
{
    for (unsigned shard = 0; shard < scene->engine->table.shard_count; shard++) {
        for (unsigned nth = 0; nth < 3; nth++)
            scene_put(scene, scene_key_in(scene, shard, nth), 20 + 10 * (size_t)nth);
        scene_put(scene, scene_key_in(scene, shard, 0), 40); /* superseded */
        scene_del(scene, scene_key_in(scene, shard, 1));     /* deleted */
        scene_del(scene, scene_key_in(scene, shard, 2));     /* deleted, then there again */
        scene_put(scene, scene_key_in(scene, shard, 2), 30);
    }
}

/* --- acts --- */

static void begins(struct performer *performer)
{
    enum status status = transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction);

    REQUIRE(status == STATUS_OK);
}

static enum status does_single(struct performer *performer)
{
    return scene_do(performer->scene, performer->participant, TRANSACTION_SINGLE, 0);
}

static enum status does_write(struct performer *performer)
{
    return scene_do(performer->scene, performer->participant, performer->transaction,
                    performer->scene->write_count - 1);
}

static enum status commits(struct performer *performer)
{
    return transaction_commit(performer->participant, performer->transaction);
}

static enum status rolls_back(struct performer *performer)
{
    transaction_rollback(performer->participant, performer->transaction);
    return STATUS_OK;
}

static void writes(struct performer *performer, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        enum status status = scene_do(performer->scene, performer->participant, performer->transaction, i);

        REQUIRE(status == STATUS_OK);
    }
}

static void begins_and_writes(struct performer *performer)
{
    begins(performer);
    writes(performer, performer->scene->write_count);
}

static void begins_and_writes_all_but_one(struct performer *performer)
{
    begins(performer);
    writes(performer, performer->scene->write_count - 1);
}

static enum status gets(struct performer *performer)
{
    struct value_view view;
    struct bytes key = scene_key(performer->scene, scene_key_in(performer->scene, 1, 0));
    enum status status = transaction_get(performer->participant, performer->transaction, key, &view);

    if (status == STATUS_OK)
        transaction_get_done(performer->participant, performer->transaction);
    return status;
}

static enum status gets_absent(struct performer *performer)
{
    struct value_view view;
    struct bytes key = scene_key(performer->scene, scene_key_in(performer->scene, 1, 9));

    return transaction_get(performer->participant, performer->transaction, key, &view);
}

static enum status copies(const struct performer *performer, unsigned key)
{
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;
    enum status status = transaction_get_copy(performer->participant, scene_key(performer->scene, key), copy, &view);

    if (status == STATUS_OK && view.copy == NULL)
        transaction_get_done(performer->participant, TRANSACTION_SINGLE);
    return status;
}

static enum status gets_copy(struct performer *performer)
{
    return copies(performer, scene_key_in(performer->scene, 1, 0));
}

static enum status gets_copy_of_absent(struct performer *performer)
{
    return copies(performer, scene_key_in(performer->scene, 1, 9));
}

static enum status scans(struct performer *performer)
{
    struct key_list keys = {0};
    struct bytes everything = {0};
    uint64_t next;
    enum status status = transaction_scan(performer->participant, performer->transaction, 0, everything, 100, &keys,
                                          &next);

    key_list_deinit(&keys);
    return status;
}

static enum status counts(struct performer *performer)
{
    struct bytes everything = {0};
    uint64_t count;

    return transaction_count(performer->participant, performer->transaction, everything, &count);
}

/* --- single writes --- */

static void put_insert(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 5), 50);
}

static void put_insert_into_a_new_chunk(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 5), 300);
}

static void put_overwrite(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 0), 24);
}

static void put_larger(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 1), 400);
}

static void put_smaller(struct scene *scene)
{
    some_keys(scene);
    scene_put(scene, scene_key_in(scene, 1, 5), 700);
    scene_will_put(scene, scene_key_in(scene, 1, 5), 0);
}

static void put_of_a_deleted_key(struct scene *scene)
{
    some_keys(scene);
    scene_del(scene, scene_key_in(scene, 1, 1));
    scene_will_put(scene, scene_key_in(scene, 1, 1), 30);
}

/* Somebody reads at a time when the key was not there. */
static void put_of_a_key_deleted_before_a_snapshot(struct scene *scene)
{
    for (unsigned nth = 0; nth < 3; nth++)
        scene_put(scene, scene_key_in(scene, 1, nth), 20);
    scene_del(scene, scene_key_in(scene, 1, 1));
    scene_witness(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 1), 30);
}

/* Frees versions of every kind beside the write. */
static void put_that_cleans(struct scene *scene)
{
    some_keys_and_garbage(scene);
    horizon_advance(scene->engine);
    scene_will_put(scene, scene_key_in(scene, 1, 0), 24);
}

/* Takes the block of a version that is over (G'), and leaves another in the queue. */
static void put_that_takes_what_is_over(struct scene *scene)
{
    for (unsigned i = 0; i < 3; i++)
        scene_put(scene, scene_key_in(scene, 1, 0), 24);
    horizon_advance(scene->engine);
    scene_will_put(scene, scene_key_in(scene, 1, 0), 24);
}

static void put_large(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 1), 3 * CHUNK_BYTES + 100);
}

static void put_over_a_large_one(struct scene *scene)
{
    some_keys_and_garbage(scene);
    scene_put(scene, scene_key_in(scene, 1, 0), 3 * CHUNK_BYTES + 100);
    scene_put(scene, scene_key_in(scene, 1, 0), 2 * CHUNK_BYTES + 100);
    horizon_advance(scene->engine);
    scene_will_put(scene, scene_key_in(scene, 1, 0), 10);
}

static void del(struct scene *scene)
{
    some_keys(scene);
    scene_will_del(scene, scene_key_in(scene, 1, 0));
}

static void del_before(struct scene *scene)
{
    some_keys(scene);
    scene_del(scene, scene_key_in(scene, 1, 0));
}

static void del_absent(struct scene *scene)
{
    some_keys(scene);
    scene_will_del(scene, scene_key_in(scene, 1, 9));
}

/* --- memory full --- */

static void fill(struct scene *scene, size_t size)
{
    unsigned shards = scene->engine->table.shard_count;

    for (unsigned nth = 0; nth < 100; nth++)
        for (unsigned shard = 0; shard < shards; shard++)
            (void)scene_put_if_it_fits(scene, scene_key_in(scene, shard, nth), size);
    scene->is_full = true;
}

static void put_out_of_memory(struct scene *scene)
{
    fill(scene, 200);
    scene_tries_to_put(scene, scene_key_in(scene, 1, 101), 200);
}

static void put_large_out_of_memory(struct scene *scene)
{
    some_keys_and_garbage(scene);
    scene->is_full = true;
    scene_tries_to_put(scene, scene_key_in(scene, 1, 101), 40 * CHUNK_BYTES);
}

/* The log finds its chunk and the first versions their blocks, the last one does not. */
static void commit_out_of_memory(struct scene *scene)
{
    unsigned large = scene_key_in(scene, 2, 101);

    scene_put(scene, large, CHUNK_BYTES * 3 / 2);
    fill(scene, 200);
    for (unsigned nth = 0; nth < 4; nth++)
        scene_del(scene, scene_key_in(scene, nth % 2, nth));
    scene_del(scene, large);
    (void)engine_reclaim(scene->engine);
    for (unsigned nth = 0; nth < 4; nth++)
        scene_tries_to_put(scene, scene_key_in(scene, nth % 2, 102 + nth), 200);
    scene_tries_to_put(scene, scene_key_in(scene, 3, 102), CHUNK_BYTES * 3 / 4);
}

/* --- transactions --- */

static void only_some_keys(struct scene *scene)
{
    some_keys(scene);
}

static void one_write(struct scene *scene)
{
    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 1, 0), 100);
}

static void growing_writes(struct scene *scene)
{
    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 1, 0), 100);
    scene_tries_to_put(scene, scene_key_in(scene, 2, 0), 1500);
    scene_tries_to_put(scene, scene_key_in(scene, 1, 0), 2 * CHUNK_BYTES);
}

static void one_deletion(struct scene *scene)
{
    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 1, 0), 100);
    scene->writes[0].kind = REDO_DEL;
}

static enum status begin(struct performer *performer)
{
    return transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction);
}

static void commit_over_shards(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 0, 0), 24);  /* overwrites */
    scene_will_put(scene, scene_key_in(scene, 1, 5), 40);  /* inserts */
    scene_will_del(scene, scene_key_in(scene, 2, 1));      /* deletes */
    scene_will_del(scene, scene_key_in(scene, 2, 7));      /* deletes nothing */
    scene_will_put(scene, scene_key_in(scene, 2, 0), 300); /* grows */
}

/* The smallest commit over two shards, for level two. */
static void commit_over_two_shards(struct scene *scene)
{
    scene_put(scene, scene_key_in(scene, 0, 0), 20);
    scene_put(scene, scene_key_in(scene, 1, 0), 20);
    scene_will_put(scene, scene_key_in(scene, 0, 0), 24);
    scene_will_put(scene, scene_key_in(scene, 1, 1), 24);
    scene_will_del(scene, scene_key_in(scene, 1, 0));
}

static void commit_with_many_writes(struct scene *scene)
{
    some_keys(scene);
    for (unsigned nth = 0; nth < 6; nth++)
        for (unsigned shard = 0; shard < SHARDS; shard++)
            scene_will_put(scene, scene_key_in(scene, shard, nth), 30);
}

/* More redo entries than one chunk holds. */
static void commit_with_large_values(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 0, 0), 2 * CHUNK_BYTES + 50);
    scene_will_put(scene, scene_key_in(scene, 3, 5), CHUNK_BYTES);
}

/* What each shard's write makes or ends has a chunk to itself, which is given back once it is over. */
static void commit_to_be_overtaken(struct scene *scene)
{
    scene_put(scene, scene_key_in(scene, 0, 0), 20);
    scene_put(scene, scene_key_in(scene, 1, 1), CHUNK_BYTES * 3 / 4);
    scene_put(scene, scene_key_in(scene, 2, 0), 20);
    scene_will_put(scene, scene_key_in(scene, 0, 0), CHUNK_BYTES * 3 / 4); /* overwrites */
    scene_will_del(scene, scene_key_in(scene, 1, 1));                      /* deletes */
    scene_will_put(scene, scene_key_in(scene, 2, 0), CHUNK_BYTES + 50);    /* has a value chunk */
    scene_will_put(scene, scene_key_in(scene, 3, 5), CHUNK_BYTES * 3 / 4); /* inserts */
}

static void commit_with_locks_to_be_overtaken(struct scene *scene)
{
    commit_to_be_overtaken(scene);
    scene->has_key_locks = true;
}

static void commit_in_locking(struct performer *performer)
{
    enum status status = transaction_begin(performer->participant, ISOLATION_LOCKING, &performer->transaction);

    REQUIRE(status == STATUS_OK);
    writes(performer, performer->scene->write_count);
}

static void commit_in_read_committed(struct performer *performer)
{
    enum status status = transaction_begin(performer->participant, ISOLATION_READ_COMMITTED, &performer->transaction);

    REQUIRE(status == STATUS_OK);
    writes(performer, performer->scene->write_count);
}

/* Not the first commit of its process: what the first left in the record counts no more. */
static void commits_something_else_first(struct performer *performer)
{
    size_t last = performer->scene->write_count - 1;
    enum status status;

    begins(performer);
    status = scene_do(performer->scene, performer->participant, performer->transaction, last);
    REQUIRE(status == STATUS_OK);
    status = commits(performer);
    REQUIRE(status == STATUS_OK);
    begins(performer);
    writes(performer, last);
}

/* Before the act: reads a key that then is written by somebody else. */
static void conflict_prepare(struct performer *performer)
{
    enum status status;

    begins(performer);
    status = gets(performer);
    REQUIRE(status == STATUS_OK);
    writes(performer, performer->scene->write_count - 1);
    status = scene_do(performer->scene, performer->participant, TRANSACTION_SINGLE, performer->scene->write_count - 1);
    REQUIRE(status == STATUS_OK);
}

static void conflict_by_count_prepare(struct performer *performer)
{
    enum status status;

    begins(performer);
    status = counts(performer);
    REQUIRE(status == STATUS_OK);
    writes(performer, performer->scene->write_count - 1);
    status = scene_do(performer->scene, performer->participant, TRANSACTION_SINGLE, performer->scene->write_count - 1);
    REQUIRE(status == STATUS_OK);
}

static void somebody_elses_write(struct scene *scene, unsigned key)
{
    scene_tries_to_put(scene, key, 33);
    scene->number--; /* the same number */
    scene_note(scene, key, 33);
}

static void commit_again(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 0, 0), 24);
    scene_will_put(scene, scene_key_in(scene, 1, 5), 40);
    scene_will_del(scene, scene_key_in(scene, 2, 1));
    somebody_elses_write(scene, scene_key_in(scene, 3, 0));
}

static void conflict(struct scene *scene)
{
    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 0, 0), 24);
    scene_tries_to_put(scene, scene_key_in(scene, 2, 5), 24);
    somebody_elses_write(scene, scene_key_in(scene, 1, 0));
}

static void conflict_by_count(struct scene *scene)
{
    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 0, 0), 24);
    somebody_elses_write(scene, scene_key_in(scene, 3, 6));
}

/* --- pages --- */

static void page_split(struct scene *scene)
{
    for (unsigned nth = 0; nth < PAGE_ENTRIES_NORMAL; nth++)
        scene_put(scene, scene_key_in(scene, 0, nth), 8);
    scene_will_put(scene, scene_key_in(scene, 0, (unsigned)PAGE_ENTRIES_NORMAL), 8);
}

static bool page_wants_rehash(const struct scene *scene, unsigned key)
{
    const struct table *table = &scene->engine->table;
    const struct page *page = table_page_of(table, 0, table_hash(table, scene_key(scene, key)));

    return page->key_count + page->removed_count + 1 > PAGE_ENTRIES_NORMAL;
}

/* Keys come and go, about as many as fit without a split, until the page is full of removed entries. */
static void page_rehash(struct scene *scene)
{
    unsigned keys = (unsigned)(PAGE_ENTRIES_NORMAL * 3 / 4 - 1);
    unsigned next = 0;

    for (; next < keys; next++)
        scene_put(scene, scene_key_in(scene, 0, next), 8);
    for (; !page_wants_rehash(scene, scene_key_in(scene, 0, next)); next++) {
        scene_del(scene, scene_key_in(scene, 0, next - keys));
        horizon_advance(scene->engine);
        scene_put(scene, scene_key_in(scene, 0, next), 8);
    }
    scene_del(scene, scene_key_in(scene, 0, next - keys));
    scene_will_put(scene, scene_key_in(scene, 0, next), 8);
}

/* --- clean-up, horizon, expiry --- */

static void garbage(struct scene *scene)
{
    some_keys_and_garbage(scene);
}

static void garbage_under_the_horizon(struct scene *scene)
{
    some_keys_and_garbage(scene);
    horizon_advance(scene->engine);
}

/* With the version goes its chunk. */
static void garbage_that_fills_a_chunk(struct scene *scene)
{
    unsigned key = scene_key_in(scene, 1, 1);

    some_keys_and_garbage(scene);
    scene_put(scene, key, CHUNK_BYTES / 2);
    scene_del(scene, key);
    horizon_advance(scene->engine);
}

static enum status cleans(struct performer *performer)
{
    struct engine *engine = performer->scene->engine;
    enum status status = shard_acquire(engine, 1);

    if (status != STATUS_OK)
        return status;
    (void)table_clean(&engine->table, 1, UINT32_MAX);
    shard_release(engine, 1);
    return STATUS_OK;
}

static enum status reclaims(struct performer *performer)
{
    return engine_reclaim(performer->scene->engine) ? STATUS_OK : STATUS_OUT_OF_MEMORY;
}

static enum status advances_horizon(struct performer *performer)
{
    horizon_advance(performer->scene->engine);
    return STATUS_OK;
}

static void somebody_idle(struct scene *scene)
{
    some_keys(scene);
    scene->may_witness_expire = true;
}

static enum status expires(struct performer *performer)
{
    return transactions_expire(performer->scene->engine, UINT64_MAX) == 2 ? STATUS_OK : STATUS_TIMEOUT;
}

/* --- slots --- */

static enum status opens(struct performer *performer)
{
    return performer_open(performer);
}

static enum status closes(struct performer *performer)
{
    participant_close(performer->participant);
    return STATUS_OK;
}

/* All slots are taken, so that more have to be added. */
static void all_slots_taken(struct scene *scene)
{
    some_keys(scene);
    for (unsigned slot = 0; slot < process_slot_count(scene->engine->segment); slot++)
        if (atomic_load(&process_slot_at(scene->engine->segment, slot)->claimed) == 0) {
            struct participant *participant;
            enum status status = participant_open(scene->engine, &participant);

            REQUIRE(status == STATUS_OK);
        }
    /* The author's slot too: nobody closes it. */
    scene->author = NULL;
}

/* Somebody died in an open transaction. */
static void a_dead_slot(struct scene *scene)
{
    pid_t child;

    some_keys(scene);
    scene_tries_to_put(scene, scene_key_in(scene, 0, 0), 2 * CHUNK_BYTES);
    participant_close(scene->author);
    scene->author = NULL;
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct stepper_report report = {0};
        struct performer performer = {.scene = scene, .report = &report};
        enum status status = opens(&performer);

        REQUIRE(status == STATUS_OK);
        begins_and_writes(&performer);
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
}

/* Somebody died right behind the commit point, and what he committed is not published. */
static void a_dead_commit(struct scene *scene)
{
    some_keys(scene);
    scene_will_put(scene, scene_key_in(scene, 1, 0), 30);
    scene_will_put(scene, scene_key_in(scene, 1, 5), 200);
    scene_will_del(scene, scene_key_in(scene, 2, 0));
    scene_will_put(scene, scene_key_in(scene, 3, 5), CHUNK_BYTES);
    participant_close(scene->author);
    scene->author = NULL;
    explorer_die_at_commit_point(scene);
}

static enum status drains(struct performer *performer)
{
    return scene_recover(performer->scene->engine, HEIR_DRAINS_SLOTS) == NULL ? STATUS_OK : STATUS_UNAVAILABLE;
}

static enum status recovers_shards_first(struct performer *performer)
{
    return scene_recover(performer->scene->engine, HEIR_TAKES_SHARDS) == NULL ? STATUS_OK : STATUS_UNAVAILABLE;
}

/* Who takes over the slot of a dead commit has one of his own to make. */
static enum status opens_and_puts(struct performer *performer)
{
    enum status status = opens(performer);

    return status == STATUS_OK ? does_single(performer) : status;
}

static void a_dead_commit_and_a_write(struct scene *scene)
{
    a_dead_commit(scene);
    scene_will_put(scene, scene_key_in(scene, 0, 5), 30);
}

/* --- key locks --- */

static unsigned lockers_key(const struct scene *scene)
{
    return scene_key_in(scene, 2, 0);
}

static unsigned locked_key(const struct scene *scene)
{
    return scene_key_in(scene, 1, 0);
}

/* What `gets` gets belongs to somebody. */
static void a_locked_key(struct scene *scene)
{
    some_keys(scene);
    scene_lock(scene, locked_key(scene));
    scene->engine->lock_timeout_ms = 1;
}

static void a_locker(struct scene *scene)
{
    some_keys(scene);
    scene_lock(scene, lockers_key(scene));
    scene->engine->lock_timeout_ms = 1; /* should it wait where it must not */
}

static void only_locked_keys(struct scene *scene)
{
    some_keys(scene);
    scene->has_key_locks = true;
}

/* What was a value is in the next chunk still. */
static void only_locked_keys_and_used_chunks(struct scene *scene)
{
    unsigned key = scene_key_in(scene, 3, 5);

    only_locked_keys(scene);
    scene_put(scene, key, 3 * CHUNK_BYTES);
    scene_del(scene, key);
    participant_close(scene->witness);
    scene->witness = NULL;
    (void)engine_clean(scene->engine);
}

static void write_of_a_locked_key(struct scene *scene)
{
    a_locked_key(scene);
    scene_tries_to_put(scene, locked_key(scene), 24);
}

static void deletion_of_a_locked_key(struct scene *scene)
{
    a_locked_key(scene);
    scene_tries_to_put(scene, locked_key(scene), 24);
    scene->writes[0].kind = REDO_DEL;
}

static void locked_writes(struct scene *scene)
{
    a_locker(scene);
    scene_will_put(scene, locked_key(scene), 24);
    scene_will_put(scene, scene_key_in(scene, 3, 5), 40);
}

static void locked_writes_that_are_lost(struct scene *scene)
{
    a_locker(scene);
    scene_tries_to_put(scene, locked_key(scene), 24);
    scene_tries_to_put(scene, scene_key_in(scene, 3, 5), 40);
}

static void begins_locking(struct performer *performer)
{
    enum status status = transaction_begin(performer->participant, ISOLATION_LOCKING, &performer->transaction);

    REQUIRE(status == STATUS_OK);
}

/* As many keys as leave one lock of the slot's own free, or more. */
static void locks_keys(struct performer *performer, unsigned count)
{
    begins_locking(performer);
    for (unsigned nth = 0; nth < count; nth++) {
        struct bytes key = scene_key(performer->scene, scene_key_in(performer->scene, 0, 10 + nth));
        struct value_view view;
        enum status status = transaction_get(performer->participant, performer->transaction, key, &view);

        REQUIRE(status == STATUS_NOT_FOUND);
    }
}

static void locks_three_keys(struct performer *performer)
{
    locks_keys(performer, SLOT_KEY_LOCKS_BUILT_IN - 1);
}

static void locks_many_keys_and_one_is_waited_for(struct performer *performer)
{
    locks_keys(performer, (unsigned)KEY_LOCK_CHUNK_LOCKS + 3);
    scene_locker_waits(performer->scene, scene_key_in(performer->scene, 0, 12));
}

static void locks_and_writes_and_is_waited_for(struct performer *performer)
{
    begins_locking(performer);
    writes(performer, performer->scene->write_count);
    scene_locker_waits(performer->scene, locked_key(performer->scene));
}

static void commits_later(struct performer *performer)
{
    enum status status = transaction_begin(performer->participant, ISOLATION_READ_COMMITTED, &performer->transaction);

    REQUIRE(status == STATUS_OK);
    writes(performer, performer->scene->write_count);
}

/* It wants what the locker has, who wants what it has. */
static enum status gets_the_lockers(struct performer *performer)
{
    struct value_view view;
    struct bytes key = scene_key(performer->scene, lockers_key(performer->scene));

    return transaction_get(performer->participant, performer->transaction, key, &view);
}

/* The other transaction of this process has a key, is waited for, and is idle; this one expires it. */
static void an_idle_owner(struct performer *performer)
{
    locks_keys(performer, 2);
    scene_locker_waits(performer->scene, scene_key_in(performer->scene, 0, 10));
}

static enum status expires_own(struct performer *performer)
{
    bool has_expired = transaction_expire(performer->scene->engine, performer->participant->slot_number,
                                          performer->transaction - 1, UINT64_MAX);

    return has_expired ? STATUS_OK : STATUS_TIMEOUT;
}

static enum status tidies(struct performer *performer)
{
    return key_locks_tidy(performer->scene->engine) ? STATUS_OK : STATUS_TIMEOUT;
}

static void somebody_dies_with_keys(struct scene *scene, bool is_inside)
{
    pid_t child;

    a_locker(scene);
    participant_close(scene->author);
    scene->author = NULL;
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        struct stepper_report report = {0};
        struct performer performer = {.scene = scene, .report = &report};
        enum status status = opens(&performer);

        REQUIRE(status == STATUS_OK);
        locks_many_keys_and_one_is_waited_for(&performer);
        if (is_inside) {
            (void)robust_mutex_lock(&scene->engine->segment->header->key_lock_mutex);
            memset(scene->engine->segment->header->key_lock_buckets, 0,
                   sizeof(scene->engine->segment->header->key_lock_buckets));
        }
        _exit(0);
    }
    (void)waitpid(child, NULL, 0);
}

static void a_dead_owner(struct scene *scene)
{
    somebody_dies_with_keys(scene, false);
}

static void a_death_inside(struct scene *scene)
{
    somebody_dies_with_keys(scene, true);
}

/* Small segments, so that a copy is cheap: a page needs few keys to split, and four shards are the usual. */
#define SMALL .bytes = (size_t)96 << 10, .shard_count = SHARDS
#define SMALLER(shards) .bytes = (size_t)64 << 10, .shard_count = (shards)

const struct operation operations[] = {
    {.name = "put/insert", SMALL, .arrange = put_insert, .act = does_single},
    {.name = "put/insert_into_a_new_chunk", SMALL, .arrange = put_insert_into_a_new_chunk, .act = does_single},
    {.name = "put/overwrite", SMALL, .arrange = put_overwrite, .act = does_single},
    {.name = "put/larger", SMALL, .arrange = put_larger, .act = does_single},
    {.name = "put/smaller", SMALL, .arrange = put_smaller, .act = does_single},
    {.name = "put/of_a_deleted_key", SMALL, .arrange = put_of_a_deleted_key, .act = does_single},
    {.name = "put/of_a_key_deleted_before", SMALL, .arrange = put_of_a_key_deleted_before_a_snapshot,
     .act = does_single},
    {.name = "put/that_cleans", SMALL, .arrange = put_that_cleans, .act = does_single},
    {.name = "put/that_takes_what_is_over", SMALL, .arrange = put_that_takes_what_is_over, .act = does_single},
    {.name = "put/large", SMALL, .arrange = put_large, .act = does_single},
    {.name = "put/over_a_large_one", SMALL, .arrange = put_over_a_large_one, .act = does_single},
    {.name = "put/out_of_memory", SMALL, .arrange = put_out_of_memory, .act = does_single,
     .answer = STATUS_OUT_OF_MEMORY},
    {.name = "put/large_out_of_memory", SMALL, .arrange = put_large_out_of_memory, .act = does_single,
     .answer = STATUS_OUT_OF_MEMORY},
    {.name = "put/page_split", SMALLER(1), .arrange = page_split, .act = does_single, .level_two_every = 8},
    {.name = "put/page_rehash", SMALLER(1), .arrange = page_rehash, .act = does_single},
    {.name = "del", SMALL, .arrange = del, .act = does_single},
    {.name = "del/absent", SMALL, .arrange = del_absent, .act = does_single},
    {.name = "get", SMALL, .arrange = only_some_keys, .act = gets},
    {.name = "get/absent", SMALL, .arrange = only_some_keys, .act = gets_absent, .answer = STATUS_NOT_FOUND},
    {.name = "get/copied", SMALL, .arrange = only_some_keys, .act = gets_copy, .stores_nothing = true},
    {.name = "get/copied_absent", SMALL, .arrange = only_some_keys, .act = gets_copy_of_absent,
     .answer = STATUS_NOT_FOUND, .stores_nothing = true},
    {.name = "get/copied_deleted", SMALL, .arrange = del_before, .act = gets_copy, .answer = STATUS_NOT_FOUND,
     .stores_nothing = true},
    {.name = "scan", SMALL, .arrange = only_some_keys, .act = scans},
    {.name = "count", SMALL, .arrange = only_some_keys, .act = counts},
    {.name = "transaction/begin", SMALL, .arrange = only_some_keys, .act = begin},
    {.name = "transaction/get", SMALL, .arrange = only_some_keys, .prepare = begins, .act = gets},
    {.name = "transaction/put", SMALL, .arrange = one_write, .prepare = begins, .act = does_write},
    {.name = "transaction/put_log_grows", SMALL, .arrange = growing_writes, .prepare = begins_and_writes_all_but_one,
     .act = does_write},
    {.name = "transaction/del", SMALL, .arrange = one_deletion, .prepare = begins, .act = does_write},
    {.name = "transaction/scan", SMALL, .arrange = growing_writes, .prepare = begins_and_writes, .act = scans},
    {.name = "transaction/count", SMALL, .arrange = growing_writes, .prepare = begins_and_writes, .act = counts},
    {.name = "transaction/rollback", SMALL, .arrange = growing_writes, .prepare = begins_and_writes,
     .act = rolls_back},
    {.name = "commit/over_shards", SMALL, .arrange = commit_over_shards, .prepare = begins_and_writes, .act = commits,
     .level_two_every = 2},
    {.name = "commit/over_two_shards", SMALLER(2), .arrange = commit_over_two_shards, .prepare = begins_and_writes,
     .act = commits, .level_two_every = 1},
    {.name = "commit/read_committed", SMALL, .arrange = commit_over_shards, .prepare = commit_in_read_committed,
     .act = commits},
    {.name = "commit/overtaken", SMALL, .arrange = commit_to_be_overtaken, .prepare = begins_and_writes, .act = commits,
     .is_overtaken = true},
    {.name = "commit/read_committed_overtaken", SMALL, .arrange = commit_to_be_overtaken,
     .prepare = commit_in_read_committed, .act = commits, .is_overtaken = true},
    {.name = "commit/locking_overtaken", SMALL, .arrange = commit_with_locks_to_be_overtaken,
     .prepare = commit_in_locking, .act = commits, .is_overtaken = true},
    {.name = "commit/with_many_writes", SMALL, .arrange = commit_with_many_writes, .prepare = begins_and_writes,
     .act = commits},
    {.name = "commit/with_large_values", SMALL, .arrange = commit_with_large_values, .prepare = begins_and_writes,
     .act = commits},
    {.name = "commit/again", SMALL, .arrange = commit_again, .prepare = commits_something_else_first, .act = commits},
    {.name = "commit/conflict", SMALL, .arrange = conflict, .prepare = conflict_prepare, .act = commits,
     .answer = STATUS_CONFLICT},
    {.name = "commit/conflict_by_count", SMALL, .arrange = conflict_by_count, .prepare = conflict_by_count_prepare,
     .act = commits, .answer = STATUS_CONFLICT},
    {.name = "commit/out_of_memory", SMALL, .arrange = commit_out_of_memory, .prepare = begins_and_writes,
     .act = commits, .answer = STATUS_OUT_OF_MEMORY},
    {.name = "clean", SMALL, .arrange = garbage_under_the_horizon, .act = cleans},
    {.name = "clean/frees_a_chunk", SMALL, .arrange = garbage_that_fills_a_chunk, .act = cleans},
    {.name = "reclaim", SMALL, .arrange = garbage, .act = reclaims},
    {.name = "horizon", SMALL, .arrange = garbage, .act = advances_horizon},
    {.name = "expiry", SMALL, .arrange = somebody_idle, .act = expires},
    {.name = "slot/claim", SMALL, .arrange = only_some_keys, .act = opens, .opens_itself = true},
    {.name = "slot/claim_adds_a_block", SMALL, .arrange = all_slots_taken, .act = opens, .opens_itself = true},
    {.name = "slot/claim_of_a_dead_one", SMALL, .arrange = a_dead_slot, .act = opens, .opens_itself = true},
    {.name = "slot/release", SMALL, .arrange = growing_writes, .prepare = begins_and_writes, .act = closes},
    {.name = "recovery/claim_drains_a_commit", SMALL, .arrange = a_dead_commit, .act = opens, .opens_itself = true},
    {.name = "recovery/next_owner_puts", SMALL, .arrange = a_dead_commit_and_a_write, .act = opens_and_puts,
     .opens_itself = true},
    {.name = "recovery/slots_first", SMALL, .arrange = a_dead_commit, .act = drains, .opens_itself = true},
    {.name = "recovery/shards_first", SMALL, .arrange = a_dead_commit, .act = recovers_shards_first,
     .opens_itself = true},
    {.name = "lock/free_key", SMALL, .arrange = only_locked_keys, .prepare = begins_locking, .act = gets,
     .level_two_every = 1},
    {.name = "lock/needs_a_chunk", SMALL, .arrange = only_locked_keys_and_used_chunks, .prepare = locks_three_keys,
     .act = gets, .level_two_every = 8},
    {.name = "lock/waits_in_vain", SMALL, .arrange = a_locked_key, .prepare = begins_locking, .act = gets,
     .answer = STATUS_LOCK_TIMEOUT, .level_two_every = 1},
    {.name = "lock/get_waits_in_vain", SMALL, .arrange = a_locked_key, .act = gets, .answer = STATUS_LOCK_TIMEOUT},
    {.name = "lock/copied_get_waits_in_vain", SMALL, .arrange = a_locked_key, .act = gets_copy,
     .answer = STATUS_LOCK_TIMEOUT},
    {.name = "lock/put_waits_in_vain", SMALL, .arrange = write_of_a_locked_key, .act = does_single,
     .answer = STATUS_LOCK_TIMEOUT},
    {.name = "lock/del_waits_in_vain", SMALL, .arrange = deletion_of_a_locked_key, .act = does_single,
     .answer = STATUS_LOCK_TIMEOUT},
    {.name = "lock/commit_waits_in_vain", SMALL, .arrange = write_of_a_locked_key, .prepare = commits_later,
     .act = commits, .answer = STATUS_LOCK_TIMEOUT},
    {.name = "lock/deadlock", SMALL, .arrange = locked_writes_that_are_lost,
     .prepare = locks_and_writes_and_is_waited_for, .act = gets_the_lockers, .answer = STATUS_DEADLOCK},
    {.name = "lock/commit_of_what_is_waited_for", SMALL, .arrange = locked_writes,
     .prepare = locks_and_writes_and_is_waited_for, .act = commits, .level_two_every = 8},
    {.name = "lock/rollback_of_many", SMALL, .arrange = a_locker, .prepare = locks_many_keys_and_one_is_waited_for,
     .act = rolls_back, .level_two_every = 64},
    {.name = "lock/expiry", SMALL, .arrange = a_locker, .prepare = an_idle_owner, .act = expires_own,
     .level_two_every = 4},
    {.name = "lock/drain_of_an_owner", SMALL, .arrange = a_dead_owner, .act = drains, .opens_itself = true},
    {.name = "lock/heir", SMALL, .arrange = a_death_inside, .act = tidies, .opens_itself = true,
     .level_two_every = 64},
};
const size_t operation_count = sizeof(operations) / sizeof(operations[0]);
