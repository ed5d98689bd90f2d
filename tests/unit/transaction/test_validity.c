/* segment_is_valid is what all other tests trust, so each kind of damage that it
 * claims to see is done here, one thing at a time, and must be seen (damage.h). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lock_clients.h" /* before the fixture's `engine` */

#include "damage.h"

#define KEYS (3u * (unsigned)PAGE_ENTRIES)

static const char *plain;      /* one version */
static const char *other;      /* another one */
static const char *rewritten;  /* three versions, all of them needed */
static const char *deleted;    /* deleted, but a snapshot needs it */
static const char *large;      /* with chunks of its own */
static const char *as_large;   /* and another */
static unsigned reader;        /* the snapshot */

static struct participant *waiter; /* for what I have locked */
static struct key_lock *owned;
static struct key_lock *waited_for;

static void put_many(void)
{
    char key[32];

    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        put(me, TRANSACTION_SINGLE, key, "value");
    }
}

static struct key_lock *lock_in(const struct participant *participant, enum key_lock_state state)
{
    struct key_lock *found = NULL;

    for (unsigned i = 0; i < SLOT_KEY_LOCKS_BUILT_IN; i++)
        if (atomic_load(&participant->slot->key_locks.built_in[i].state) == (uint32_t)state)
            found = &participant->slot->key_locks.built_in[i];
    return found;
}

/* Has the other participant's transaction wait for a key that is locked: as if it slept. */
static struct key_lock *wait_for(const struct key_lock *lock)
{
    struct key_lock *waiting = key_lock_at(engine->segment, waiter->slot->key_locks.free);

    waiting->hash = lock->hash;
    waiting->transaction = 0;
    waiting->ticket = ++engine->segment->header->key_lock_ticket;
    atomic_store(&waiting->state, KEY_LOCK_WAITS);
    key_locks_rebuild(engine);
    return waiting;
}

static bool is_bucket_empty(const char *key)
{
    uint64_t hash = table_hash(&engine->table, text(key));

    return engine->segment->header->key_lock_buckets[hash % SEGMENT_KEY_LOCK_BUCKETS] == 0;
}

/* I have ten keys, each in a chain of its own, of which a transaction of another participant waits for one. */
static void lock_keys(void)
{
    unsigned mine = begun_as(me, ISOLATION_LOCKING);
    unsigned locked = 0;
    char key[32];

    for (unsigned i = 0; locked < 10; i++) {
        (void)snprintf(key, sizeof(key), "locked %u", i);
        if (!is_bucket_empty(key))
            continue;
        assert_absent(me, mine, key);
        locked++;
    }
    waiter = a_participant();
    (void)begun_as(waiter, ISOLATION_LOCKING);
    owned = lock_in(me, KEY_LOCK_OWNS);
    waited_for = wait_for(owned);
}

static void open_engine(void)
{
    engine_open(CHUNK_BYTES * 256, 2);
    plain = key_in(0, 0);
    other = key_in(0, 1);
    rewritten = key_in(0, 2);
    deleted = key_in(0, 3);
    large = key_in(0, 4);
    as_large = key_in(0, 5);
    put_many();
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, large, CHUNK_BYTES * 2 + 100), STATUS_OK);
    cr_assert_eq(put_large(me, TRANSACTION_SINGLE, as_large, CHUNK_BYTES * 2 + 100), STATUS_OK);
    (void)engine_clean(engine);
    reader = begun(me);
    put(me, TRANSACTION_SINGLE, rewritten, "second");
    put(me, TRANSACTION_SINGLE, rewritten, "third");
    del(me, TRANSACTION_SINGLE, deleted);
    lock_keys();
    damage_init(segment_is_valid);
}

static void validity_is_whole(void)
{
    damage_deinit();
    participant_close(waiter);
    engine_close();
}

TestSuite(validity, .init = open_engine, .timeout = 120);

/* --- where things are --- */

static struct segment_header *header(void)
{
    return engine->segment->header;
}

static struct shard *shard(void)
{
    return table_shard(&engine->table, 0);
}

static _Atomic uint64_t *entry_at(const char *key)
{
    uint32_t tag = table_tag_of(&engine->table, table_hash(&engine->table, text(key)));

    return &page_of(key)->entries[page_find(engine->segment, page_of(key), page_of(key)->depth, tag, text(key))];
}

static size_t directory_count(void)
{
    return (size_t)1 << engine->table.directory_depth;
}

static struct page *page_named(const _Atomic uint32_t *entry)
{
    return page_at(engine->segment, (struct chunk_ref){chunk_named(entry)});
}

static uint32_t *chunk_number_of(const char *key)
{
    struct version *version = version_of(key);
    size_t offset = (sizeof(*version) + version->key_size + 3) / 4 * 4;

    return (uint32_t *)(void *)((unsigned char *)version + offset);
}

static _Atomic uint32_t *owner_of_free_chunk(void)
{
    for (uint32_t number = engine->segment->chunk_count;; number--)
        if (atomic_load(&engine->segment->owners[number]) == 0)
            return &engine->segment->owners[number];
}

/* Of the free ones one less, as a claim counts it. */
static void own_free_chunk(uint32_t word)
{
    atomic_store(owner_of_free_chunk(), word);
    atomic_fetch_sub(&header()->chunks_free_at_most, 1);
}

static _Atomic uint32_t *owner_of_chunk_with(enum chunk_kind kind)
{
    for (uint32_t number = 1;; number++)
        if (chunk_owner_kind(atomic_load(&engine->segment->owners[number])) == kind)
            return &engine->segment->owners[number];
}

static struct key_lock_chunk *key_lock_chunk(void)
{
    struct chunk_ref chunk = {atomic_load(&me->slot->key_locks.chunk)};

    return (struct key_lock_chunk *)(void *)chunk_at(engine->segment, chunk);
}

static struct version *garbage(unsigned number)
{
    struct block_ref ref = {shard()->garbage_head};

    while (number-- > 0)
        ref.units = version_at(engine->segment, ref)->garbage_next;
    return version_at(engine->segment, ref);
}

static struct chunk_info *info_with_room(void)
{
    for (unsigned class = 0;; class ++)
        if (shard()->allocator.partial[class] != 0)
            return &engine->segment->infos[shard()->allocator.partial[class]];
}

/* --- damages --- */

#define LEVELS_DISAGREE "a level of the directory disagrees with the one below it"

#define DAMAGES(DAMAGE)                                                                                               \
    DAMAGE(magic, "wrong magic", header()->magic++)                                                                   \
    DAMAGE(format_version, "other format version", header()->format_version++)                                        \
    DAMAGE(size_of_the_segment, "header and mapping disagree", header()->bytes += CHUNK_BYTES)                        \
    DAMAGE(number_of_chunks, "header and mapping disagree", header()->chunk_count--)                                  \
    DAMAGE(horizon_in_the_future, "horizon is in the future", atomic_store(&header()->horizon, clock_now() + 1))      \
    DAMAGE(clock_that_no_count_reaches, "the clock is out of range", atomic_store(&header()->clock, UINT64_MAX - 1))       \
    DAMAGE(chunk_of_no_kind, "a chunk's owner is no owner", own_free_chunk(200u << 24))                               \
    DAMAGE(free_chunk_with_an_owner, "a chunk's owner is no owner", own_free_chunk(5))                                \
    DAMAGE(size_class_of_blocks, "a chunk's size class is none",                                                      \
           own_free_chunk(chunk_owner_word(CHUNK_BLOCK, 200, 0)))                                                     \
    DAMAGE(size_class_of_a_page, "a chunk's size class is none", own_free_chunk(chunk_owner_word(CHUNK_PAGE, 1, 0)))  \
    DAMAGE(chunk_of_no_shard, "a chunk belongs to no shard", own_free_chunk(chunk_owner_word(CHUNK_VALUE, 0, 2)))     \
    DAMAGE(log_of_an_unclaimed_slot, "a log's chunk belongs to no process",                                           \
           own_free_chunk(chunk_owner_word(CHUNK_LOG, 0, waiter->slot_number + 1)))                                       \
    DAMAGE(log_of_no_slot, "a log's chunk belongs to no process",                                                     \
           own_free_chunk(chunk_owner_word(CHUNK_LOG, 0, CHUNK_OWNER_MAX)))                                           \
    DAMAGE(slots_that_nobody_finds, "a chunk of slots is not in use",                                                 \
           own_free_chunk(chunk_owner_word(CHUNK_SLOT, 0, 1)))                                                        \
    DAMAGE(slots_of_no_block, "a chunk of slots is not in use",                                                       \
           own_free_chunk(chunk_owner_word(CHUNK_SLOT, 0, CHUNK_OWNER_MAX)))                                          \
    DAMAGE(hint_below_the_free_chunks, "more chunks are free than the hint says",                                     \
           atomic_fetch_sub(&header()->chunks_free_at_most, 1))                                                       \
    DAMAGE(slots_outside, "a block of slots is no chunk of slots",                                                    \
           atomic_store(&header()->slot_blocks[0], CHUNK_IN_NOWHERE))                                                 \
    DAMAGE(slots_elsewhere, "a block of slots is no chunk of slots", atomic_store(&header()->slot_blocks[0], 1))      \
    DAMAGE(slots_behind_a_gap, "a block of slots is no chunk of slots", atomic_store(&header()->slot_blocks[2], 1))   \
    DAMAGE(slots_lost, "a chunk of slots is not in use", atomic_store(&header()->slot_blocks[0], 0))                  \
    DAMAGE(pin_below_the_horizon, "an open transaction's pin is below the horizon or in the future",                  \
           atomic_store(&me->slot->transactions[reader - 1].pin, horizon_now() - 1))                                  \
    DAMAGE(pin_in_the_future, "an open transaction's pin is below the horizon or in the future",                      \
           atomic_store(&me->slot->transactions[reader - 1].pin, clock_now() + 1))                                    \
    DAMAGE(pin_without_a_transaction, "an open transaction's pin is below the horizon or in the future",              \
           atomic_store(&me->slot->transactions[reader + 1].pin, clock_now()))                                           \
    DAMAGE(pin_of_a_single_command, "a single command's pin is no pin", atomic_store(&me->slot->single_pin, 7))       \
    DAMAGE(slot_of_nobody_in_use, "a slot that is nobody's is not empty", atomic_store(&me->slot->claimed, 0))        \
    DAMAGE(commit_word_of_no_kind, "a commit word is neither IDLE nor COMMITTED",                                     \
           atomic_store(&me->slot->commit.word, 2))                                                                   \
    DAMAGE(commit_in_the_future, "a commit is in the future",                                                         \
           atomic_store(&me->slot->commit.word, (clock_now() + 1) << 1 | 1))                                          \
    DAMAGE(commit_unfinished, "a commit is not finished", atomic_store(&me->slot->commit.word, 3))                    \
    DAMAGE(redo_chunks_outside, "a committed log is broken", redo_chunks_outside())                                   \
    DAMAGE(key_lock_of_no_state, "a key lock is none", atomic_store(&owned->state, KEY_LOCK_STATE_COUNT))             \
    DAMAGE(key_lock_of_no_transaction, "a key lock is none", owned->transaction = KEY_LOCK_SINGLE + 1)                \
    DAMAGE(key_locks_outside, "a key lock is none",                                                                   \
           atomic_store(&me->slot->key_locks.chunk, CHUNK_IN_NOWHERE))                                                \
    DAMAGE(key_locks_in_a_page, "a key lock is none",                                                                 \
           atomic_store(&me->slot->key_locks.chunk, chunk_named(directory(0))))                                        \
    DAMAGE(key_locks_in_a_circle, "a key lock is none",                                                               \
           key_lock_chunk()->next = atomic_load(&me->slot->key_locks.chunk))                                          \
    DAMAGE(key_locks_lost, "a slot's key locks are counted wrong", atomic_store(&me->slot->key_locks.chunk, 0))       \
    DAMAGE(key_lock_of_an_ended_transaction, "a key belongs to a transaction that has ended", owned->transaction = 7) \
    DAMAGE(key_without_an_owner, "a slot's key locks are counted wrong",                                              \
           atomic_store(&owned->state, KEY_LOCK_FREE))                                                                \
    DAMAGE(key_with_two_owners, "a key lock is not in its turn", atomic_store(&waited_for->state, KEY_LOCK_OWNS))     \
    DAMAGE(key_owner_that_waits, "a key lock is not in its turn", atomic_store(&owned->state, KEY_LOCK_WAITS))        \
    DAMAGE(key_lock_in_a_foreign_chain, "a key lock is not in its turn", owned->hash++)                               \
    DAMAGE(key_lock_out_of_turn, "a key lock is not in its turn", waited_for->ticket = owned->ticket)                 \
    DAMAGE(key_lock_of_the_future, "a key lock is not in its turn", header()->key_lock_ticket--)                      \
    DAMAGE(key_lock_chain_outside, "a key lock is not in its turn", owned->next = UNITS_IN_NOWHERE)                   \
    DAMAGE(key_lock_chain_lost, "a key lock is not in its turn",                                                      \
           memset(header()->key_lock_buckets, 0, sizeof(header()->key_lock_buckets)))                                 \
    DAMAGE(key_lock_chain_with_another, "key locks are counted wrong",                                                \
           waited_for->next = key_lock_units(engine->segment, &waiter->slot->key_locks.built_in[3]))                  \
    DAMAGE(key_lock_chain_with_a_circle, "key locks are counted wrong",                                               \
           waited_for->next = key_lock_units(engine->segment, waited_for))                                            \
    DAMAGE(key_lock_chain_with_an_early_circle, "a key lock is not in its turn",                                      \
           owned->next = key_lock_units(engine->segment, owned))                                                      \
    DAMAGE(key_locks_of_two_waits, "a process waits for two keys", (void)wait_for(owned - 1))                         \
    DAMAGE(key_lock_that_its_slot_forgets, "a slot does not know what its process waits for",                         \
           waiter->slot->key_locks.waiting = 0)                                                                       \
    DAMAGE(key_locks_of_a_slot_miscounted, "a slot's key locks are counted wrong",                                    \
           atomic_fetch_add(&waiter->slot->key_locks.count, 1))                                                       \
    DAMAGE(key_locks_miscounted, "key locks are counted wrong", atomic_fetch_add(&header()->key_lock_count, 1))       \
    DAMAGE(key_locks_counted_as_none, "a key lock is not in its turn", atomic_store(&header()->key_lock_count, 0))    \
    DAMAGE(key_locks_counted_but_one, "key locks are counted wrong", atomic_store(&header()->key_lock_count, 1))      \
    DAMAGE(free_key_locks_lost, "a slot's key locks are counted wrong", waiter->slot->key_locks.free = 0)             \
    DAMAGE(free_key_locks_in_a_circle, "a slot's key locks are counted wrong",                                        \
           key_lock_at(engine->segment, waiter->slot->key_locks.free)->next = waiter->slot->key_locks.free)           \
    DAMAGE(free_key_lock_in_use, "a slot's key locks are counted wrong",                                              \
           waiter->slot->key_locks.free = key_lock_units(engine->segment, owned))                                     \
    DAMAGE(directory_outside, "the directory names a chunk that is no page of the shard",                             \
           atomic_store(directory(0), CHUNK_IN_NOWHERE))                                                              \
    DAMAGE(directory_with_none, "the directory names a chunk that is no page of the shard",                           \
           atomic_store(directory(0), 0))                                                     \
    DAMAGE(directory_to_a_foreign_page, "the directory names a chunk that is no page of the shard",                   \
           atomic_store(directory(0), atomic_load(directory(1))))                                                     \
    DAMAGE(directory_swapped, "a page's depth and prefix disagree with the directory", directory_swap())              \
    DAMAGE(directory_off_by_one, "a page's depth and prefix disagree with the directory",                             \
           atomic_store(directory(0) + directory_count() / 2 - 1, atomic_load(directory(0) + directory_count() / 2))) \
    DAMAGE(directory_depth_too_great, "a page's depth and prefix disagree with the directory",                        \
           directory_set_depth(directory(0), page_named(directory(0))->depth + 1))                                    \
    DAMAGE(directory_depth_too_small, "a page's depth and prefix disagree with the directory",                        \
           directory_set_depth(directory(0), page_named(directory(0))->depth - 1))                                    \
    DAMAGE(directory_depth_of_none, "a page's depth and prefix disagree with the directory",                          \
           directory_set_depth(directory(0), 31))                                                                     \
    DAMAGE(directory_depth_at_a_pages_end, "a page's depth and prefix disagree with the directory",                   \
           directory_set_depth(directory_end_of_first_page(0), page_named(directory(0))->depth + 1))                  \
    DAMAGE(directory_level_too_high, "a page is deeper than the level of the directory that is asked",                \
           atomic_store(&table_root(&engine->table)->directory_level, 0))                                             \
    DAMAGE(directory_level_of_none, "there is no such level of the directory",                                        \
           atomic_store(&table_root(&engine->table)->directory_level, engine->table.directory_depth + 1))             \
    DAMAGE(directory_level_of_shards, LEVELS_DISAGREE, atomic_fetch_xor(directory_node(2), 1))                        \
    DAMAGE(directory_level_below_it, LEVELS_DISAGREE, atomic_fetch_xor(directory_node(5), 1))                         \
    DAMAGE(directory_level_above_the_last, LEVELS_DISAGREE,                                                           \
           atomic_fetch_xor(directory_node(directory_count() * 3 / 2 - 1), 1))                                        \
    DAMAGE(directory_and_page_too_deep, "a page's depth and prefix disagree with the directory", all_too_deep())      \
    DAMAGE(page_replaced, "a page's depth and prefix disagree with the directory",                                    \
           atomic_store(&page_of(plain)->replaced_by, 1))                                                             \
    DAMAGE(page_depth, "a page's depth or prefix is out of range", page_of(plain)->depth = 77)                        \
    DAMAGE(page_depth_of_the_parent, "a page's depth or prefix is out of range", page_of(plain)->depth = 0;           \
           page_of(plain)->prefix = 1)                                                                                \
    DAMAGE(page_prefix, "an entry is on the wrong page", page_of(plain)->prefix ^= 1)                                 \
    DAMAGE(page_counts, "a page's counts are wrong", page_of(plain)->key_count++)                                     \
    DAMAGE(page_removed_count, "a page's counts are wrong", page_of(plain)->removed_count++)                          \
    DAMAGE(page_lost_an_entry, "a page's counts are wrong", atomic_store(entry_at(plain), ENTRY_REMOVED))             \
    DAMAGE(entry_of_no_kind, "an entry is neither empty nor removed nor a version",                                   \
           atomic_store(entry_at(plain), 0x700000000u))                                                               \
    DAMAGE(entry_outside, "an entry names a damaged version",                                                         \
           atomic_store(entry_at(plain), entry_of(entry_tag(atomic_load(entry_at(plain))),                            \
                                                  (struct block_ref){UINT64_C(0) + UINT32_MAX})))                     \
    DAMAGE(entry_in_a_block, "an entry names a damaged version", atomic_fetch_add(entry_at(plain), 1))                \
    DAMAGE(entry_to_a_foreign_shard, "an entry names a damaged version",                                              \
           atomic_store(entry_at(plain),                                                                              \
                        entry_of(entry_tag(atomic_load(entry_at(plain))), ref_of(key_in(1, 0)))))                     \
    DAMAGE(entries_swapped, "a key is in the wrong shard or under a wrong tag", entries_swap())                       \
    DAMAGE(entry_met_by_a_probe_around_the_end, "an entry names a damaged version", probe_around_the_end())           \
    DAMAGE(key_with_two_entries, "a key has two entries", double_entry())                                             \
    DAMAGE(key_behind_an_empty_place, "an entry is behind an empty place", move_behind_an_empty_place())              \
    DAMAGE(key_of_another_hash, "a key is in the wrong shard or under a wrong tag",                                   \
           ((unsigned char *)(version_of(plain) + 1))[0] ^= 1)                                                        \
    DAMAGE(key_of_no_size, "an entry names a damaged version", version_of(plain)->key_size = 0)                       \
    DAMAGE(key_too_long, "an entry names a damaged version", version_of(plain)->key_size = 2000)                      \
    DAMAGE(value_too_long, "an entry names a damaged version", version_of(plain)->value_size = UINT32_MAX)            \
    DAMAGE(value_of_another_size_class, "an entry names a damaged version", version_of(plain)->value_size += 500)     \
    DAMAGE(value_chunk_outside, "an entry names a damaged version", *chunk_number_of(large) = CHUNK_IN_NOWHERE)       \
    DAMAGE(value_chunk_that_is_a_page, "an entry names a damaged version",                                            \
           *chunk_number_of(large) = chunk_named(directory(0)))                                                        \
    DAMAGE(value_chunk_of_two, "a block or chunk is reachable twice",                                                 \
           *chunk_number_of(large) = *chunk_number_of(as_large))                                                      \
    DAMAGE(value_chunk_of_two_and_none_lost, "a block or chunk is reachable twice", share_a_value_chunk())            \
    DAMAGE(begin_never, "a chain's times do not descend", version_of(plain)->begin = 0)                               \
    DAMAGE(begin_in_the_future, "a chain's times do not descend", version_of(plain)->begin = clock_now() + 1)         \
    DAMAGE(chain_out_of_order, "a chain's times do not descend",                                                      \
           older_of(version_of(rewritten))->begin = version_of(rewritten)->begin)                                     \
    DAMAGE(chain_of_two_keys, "a chain holds two keys",                                                               \
           ((unsigned char *)(older_of(version_of(rewritten)) + 1))[0] ^= 1)                                          \
    DAMAGE(chain_outside, "a version is damaged or in a foreign shard",                                               \
           atomic_store(&version_of(rewritten)->older, UNITS_IN_NOWHERE))                                             \
    DAMAGE(chain_with_a_cycle, "a chain's times do not descend",                                                      \
           atomic_store(&older_of(version_of(rewritten))->older, ref_of(rewritten).units))                            \
    DAMAGE(chain_cut, "a version that a snapshot may need is not reachable",                                          \
           atomic_store(&version_of(rewritten)->older, 0))                                                            \
    DAMAGE(end_before_the_begin, "a version ends at a wrong time",                                                    \
           atomic_store(&garbage(0)->end, garbage(0)->begin))                                                         \
    DAMAGE(end_of_the_newest, "an ended version is not queued", atomic_store(&version_of(plain)->end, clock_now()))   \
    DAMAGE(end_that_never_comes, "a queued version has not ended", atomic_store(&garbage(0)->end, TIME_INFINITE))     \
    DAMAGE(deleted_flag_of_a_superseded, "a version's deleted flag is wrong",                                         \
           older_of(version_of(rewritten))->is_deleted = 1)                                                           \
    DAMAGE(deleted_flag_of_a_deleted, "a version's deleted flag is wrong", version_of(deleted)->is_deleted = 0)       \
    DAMAGE(queue_count, "the queue of ended versions has a wrong count or end", shard()->garbage_count++)             \
    DAMAGE(queue_end, "the queue of ended versions has a wrong count or end",                                         \
           shard()->garbage_tail = shard()->garbage_head)                                                             \
    DAMAGE(queue_outside, "a queued version is damaged", shard()->garbage_head = UNITS_IN_NOWHERE)                    \
    DAMAGE(queue_link_outside, "a queued version is damaged", garbage(0)->garbage_next = 1)                           \
    DAMAGE(queue_with_a_cycle, "a block or chunk is reachable twice", garbage(2)->garbage_next = shard()->garbage_head) \
    DAMAGE(queue_out_of_order, "the queue of ended versions is not in their order", queue_swap())                     \
    DAMAGE(queue_lost_one, "an ended version is not queued", shard()->garbage_head = garbage(0)->garbage_next;        \
           shard()->garbage_count--)                                                                                  \
    DAMAGE(queue_with_the_living, "a queued version has not ended", shard()->garbage_head = ref_of(plain).units)      \
    DAMAGE(key_count, "a shard's counts are wrong", atomic_fetch_add(&shard()->key_count, 1))                         \
    DAMAGE(entry_count, "a shard's counts are wrong", atomic_fetch_sub(&shard()->entry_count, 1))                     \
    DAMAGE(page_count, "a shard's counts are wrong", atomic_fetch_add(&shard()->page_count, 1))                       \
    DAMAGE(membership_in_the_future, "a shard changed in the future",                                                 \
           atomic_store(&shard()->membership_time, clock_now() + 1))                                                  \
    DAMAGE(page_leaked, "a page or value chunk is owned but not reachable",                                           \
           own_free_chunk(chunk_owner_word(CHUNK_PAGE, 0, 0)))                                                        \
    DAMAGE(value_chunk_leaked, "a page or value chunk is owned but not reachable",                                    \
           own_free_chunk(chunk_owner_word(CHUNK_VALUE, 0, 1)))                                                       \
    DAMAGE(value_chunk_free_and_reachable, "an entry names a damaged version",                                        \
           atomic_store(owner_of_chunk_with(CHUNK_VALUE), 0);                                                         \
           atomic_fetch_add(&header()->chunks_free_at_most, 1))                                                       \
    DAMAGE(block_leaked, "a block is neither reachable nor free, or both",                                            \
           (void)allocator_take(engine->segment, &shard()->allocator, 0, 64))                                         \
    DAMAGE(block_free_and_reachable, "a block is neither reachable nor free, or both",                                \
           give_what_is_reachable())                                       \
    DAMAGE(chunk_of_blocks_leaked, "a block is neither reachable nor free, or both",                                  \
           own_free_chunk(chunk_owner_word(CHUNK_BLOCK, 0, 0)))                                                       \
    DAMAGE(count_of_blocks, "an allocator's counts are wrong", shard()->allocator.block_count++)                      \
    DAMAGE(count_of_chunks, "an allocator's counts are wrong", shard()->allocator.chunk_count--)                      \
    DAMAGE(count_of_free_blocks, "a block is neither reachable nor free, or both", info_with_room()->free_count++)    \
    DAMAGE(free_list_outside, "a block is neither reachable nor free, or both",                                       \
           info_with_room()->free_head = UINT16_MAX)                                                                  \
    DAMAGE(list_of_chunks_outside, "a list of chunks with room is broken",                                            \
           shard()->allocator.partial[0] = CHUNK_IN_NOWHERE)                                                          \
    DAMAGE(list_of_chunks_with_a_cycle, "a list of chunks with room is broken",                                       \
           info_with_room()->next = (uint32_t)(info_with_room() - engine->segment->infos))                            \
    DAMAGE(list_of_chunks_lost, "a chunk with room is not listed",                                                    \
           memset(shard()->allocator.partial, 0, sizeof(shard()->allocator.partial)))

static void redo_chunks_outside(void)
{
    atomic_store(&me->slot->commit.word, 3);
    atomic_store(&me->slot->commit.redo_count, SLOT_REDO_BUILT_IN + 1);
    atomic_store(&me->slot->commit.redo_chunk, CHUNK_IN_NOWHERE);
}

/* The link of the free list would damage the version as well. */
static void give_what_is_reachable(void)
{
    struct version *version = version_of(plain);
    uint64_t begin = version->begin;

    allocator_give(engine->segment, &shard()->allocator, ref_of(plain));
    version->begin = begin;
}

static void directory_swap(void)
{
    size_t half = directory_count() / 2;
    uint32_t left = atomic_load(directory(0));
    uint32_t right = atomic_load(directory(0) + half);

    REQUIRE(left != right);
    for (size_t i = 0; i < directory_count(); i++)
        atomic_store(directory(0) + i, i < half ? right : left);
}

/* An empty page, so that nothing of it is in a wrong place; all its entries say what it says. */
static void all_too_deep(void)
{
    _Atomic uint32_t *end = directory_end_of_first_page(0) + 1;
    uint32_t depth = engine->table.directory_depth + 1;

    page_init(page_named(directory(0)), depth, 0);
    for (_Atomic uint32_t *entry = directory(0); entry < end; entry++)
        directory_set_depth(entry, depth);
}

static void entries_swap(void)
{
    struct block_ref first = ref_of(plain);
    struct block_ref second = ref_of(other);
    uint32_t first_tag = entry_tag(atomic_load(entry_at(plain)));
    uint32_t second_tag = entry_tag(atomic_load(entry_at(other)));
    _Atomic uint64_t *first_entry = entry_at(plain);
    _Atomic uint64_t *second_entry = entry_at(other);

    atomic_store(first_entry, entry_of(first_tag, second));
    atomic_store(second_entry, entry_of(second_tag, first));
}

/* The last place of a page names nothing, under the tag of a key that stands at its begin: if that key is looked up
 * before the last place was looked at, its probe meets it. */
static void probe_around_the_end(void)
{
    struct page *page = page_of(plain);
    struct block_ref ref = ref_of(plain);
    uint32_t tag = page_last_tag(page);

    atomic_store(entry_at(plain), ENTRY_REMOVED);
    page->removed_count++;
    page->key_count += (atomic_load(&page->entries[0]) & UINT32_MAX) == 0;
    page->key_count += (atomic_load(&page->entries[PAGE_ENTRIES - 1]) & UINT32_MAX) == 0;
    page->key_count--;
    atomic_store(&page->entries[0], entry_of(tag, ref));
    atomic_store(&page->entries[PAGE_ENTRIES - 1], entry_of(tag, (struct block_ref){UNITS_IN_NOWHERE}));
}

/* All else is right: the chunk that nobody names then is free, and behind the shared one, the last, none is left uncounted. */
static void share_a_value_chunk(void)
{
    uint32_t last = version_chunk_count(version_of(large)) - 1;
    uint32_t *number = chunk_number_of(large) + last;
    struct chunk_ref own = {*number};

    *number = chunk_number_of(as_large)[last];
    chunk_release(engine->segment, own);
}

/* In the first place behind its own that takes one. */
static void double_entry(void)
{
    struct page *page = page_of(plain);
    uint64_t entry = atomic_load(entry_at(plain));

    page_insert(page, entry_tag(entry), entry_version(entry));
}

/* Where no probe for it comes: behind a place that was never taken. */
static void move_behind_an_empty_place(void)
{
    struct page *page = page_of(plain);
    _Atomic uint64_t *old = entry_at(plain);
    uint64_t entry = atomic_load(old);
    size_t place = 1;

    atomic_store(old, ENTRY_REMOVED);
    page->removed_count++;
    while (atomic_load(&page->entries[place - 1]) != ENTRY_EMPTY || atomic_load(&page->entries[place]) != ENTRY_EMPTY) {
        place++;
        REQUIRE(place < PAGE_ENTRIES);
    }
    atomic_store(&page->entries[place], entry);
}

/* The first two of the queue change places. */
static void queue_swap(void)
{
    uint32_t first = shard()->garbage_head;
    struct version *first_version = garbage(0);
    struct version *second_version = garbage(1);

    shard()->garbage_head = first_version->garbage_next;
    first_version->garbage_next = second_version->garbage_next;
    second_version->garbage_next = first;
}

DAMAGES(DAMAGE_FUNCTION)

static const struct damage damages[] = {DAMAGES(DAMAGE_ENTRY)};

/* --- sentences --- */

WHOLE_TEST(validity, whole_segment_is_valid_again_and_again)
{
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(damage_checked(), 0, "%s", damage_reason());
        assert_engine_valid();
    }
}

static size_t resident_pages_of_scratch(void)
{
    size_t bytes = engine->segment->bytes / REFERENCE_UNIT_BYTES;
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    size_t pages = (bytes + page_bytes - 1) / page_bytes;
    unsigned char *are_resident = calloc(pages, 1);
    size_t count = 0;

    cr_assert_not_null(are_resident);
    cr_assert_eq(mincore(engine->segment->scratch, bytes, are_resident), 0);
    for (size_t i = 0; i < pages; i++)
        count += are_resident[i] & 1u;
    free(are_resident);
    return count;
}

/* Both are done shard by shard: of a large segment, that would be much memory for the rest of a process's life. */
WHOLE_TEST(validity, neither_check_nor_rebuild_keeps_memory)
{
    memset(engine->segment->scratch, 0, 1);
    cr_assert_eq(resident_pages_of_scratch(), 1);
    assert_engine_valid();
    cr_assert_eq(resident_pages_of_scratch(), 0);
    table_rebuild(&engine->table, 0);
    cr_assert_eq(resident_pages_of_scratch(), 0);
}

WHOLE_TEST(validity, marks_from_before_mean_nothing)
{
    size_t bytes = engine->segment->bytes / REFERENCE_UNIT_BYTES;

    memset(engine->segment->scratch, 1, bytes);
    assert_engine_valid();
    memset(engine->segment->scratch, 1, bytes);
    table_rebuild(&engine->table, 0);
    assert_engine_valid();
}

WHOLE_TEST(validity, every_damage_is_seen)
{
    size_t count = sizeof(damages) / sizeof(damages[0]);

    assert_damages_seen(damages, count);
    cr_assert_geq(count, 25);
}
