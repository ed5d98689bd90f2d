/* Slots of processes; see the header for the rules. */
#include "segment/process_table.h"

#include <string.h>
#include <unistd.h>

unsigned process_slot_count(const struct segment *segment)
{
    unsigned blocks = 0;

    while (blocks < SEGMENT_SLOT_BLOCKS_MAX &&
           atomic_load_explicit(&segment->header->slot_blocks[blocks], memory_order_acquire) != 0)
        blocks++;
    return blocks * (unsigned)SLOTS_PER_BLOCK;
}

struct process_slot *process_slot_at(const struct segment *segment, unsigned number)
{
    struct chunk_ref block;

    REQUIRE(number / SLOTS_PER_BLOCK < SEGMENT_SLOT_BLOCKS_MAX);
    block.number = atomic_load_explicit(&segment->header->slot_blocks[number / SLOTS_PER_BLOCK], memory_order_acquire);
    REQUIRE(chunk_ref_is_inside(segment, block));
    return (struct process_slot *)(void *)chunk_at(segment, block) + number % SLOTS_PER_BLOCK;
}

bool process_slot_lives(const struct segment *segment, unsigned number)
{
    const struct process_slot *slot = process_slot_at(segment, number);

    pid_t pid = (pid_t)atomic_load(&slot->pid);

    return pid > 0 && robust_mutex_is_held_by(&slot->life, pid);
}

void slot_key_locks_init(const struct segment *segment, struct slot_key_locks *locks)
{
    atomic_store(&locks->chunk, 0);
    locks->waiting = 0;
    locks->free = key_lock_units(segment, &locks->built_in[0]);
    atomic_store(&locks->count, 0);
    for (unsigned i = 0; i < SLOT_KEY_LOCKS_BUILT_IN; i++)
        locks->built_in[i].next =
            i + 1 < SLOT_KEY_LOCKS_BUILT_IN ? key_lock_units(segment, &locks->built_in[i + 1]) : 0;
}

static void slot_init(const struct segment *segment, struct process_slot *slot)
{
    robust_mutex_init(&slot->life);
    atomic_store(&slot->claimed, 0);
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->incarnation, 0);
    atomic_store(&slot->single_pin, PIN_NONE);
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        atomic_store(&slot->transactions[i].state, TRANSACTION_FREE);
        atomic_store(&slot->transactions[i].pin, PIN_NONE);
        atomic_store(&slot->transactions[i].idle_since_ms, 0);
    }
    atomic_store(&slot->commit.word, 0);
    atomic_store(&slot->commit.pending, 0);
    atomic_store(&slot->commit.redo_chunk, 0);
    atomic_store(&slot->commit.redo_count, 0);
    atomic_store(&slot->commit.deaths, 0);
    for (unsigned i = 0; i < SLOT_KEY_LOCKS_BUILT_IN; i++)
        atomic_store(&slot->key_locks.built_in[i].state, KEY_LOCK_FREE);
    slot_key_locks_init(segment, &slot->key_locks);
    memset(slot->counters, 0, sizeof(slot->counters));
}

_Static_assert(SLOT_COUNT_MAX <= SLOT_NUMBER_MAX, "every slot has a number");

/* The owner word of any chunk names the block, so it may be none. */
static bool slot_block_is(const struct segment *segment, unsigned block, struct chunk_ref chunk)
{
    return block < SEGMENT_SLOT_BLOCKS_MAX && atomic_load(&segment->header->slot_blocks[block]) == chunk.number;
}

/* A process that died while it added a block left its chunk unpublished; but so are those in reserve, whose blocks are
 * numbered from the first on. */
static void orphans_release(struct segment *segment, unsigned reserved_blocks)
{
    struct chunk_ref chunk;

    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++) {
        uint32_t word = chunk_owner(segment, chunk);

        if (chunk_owner_kind(word) == CHUNK_SLOT && chunk_owner_owner(word) >= reserved_blocks &&
            !slot_block_is(segment, chunk_owner_owner(word), chunk))
            chunk_release(segment, chunk);
    }
}

/* None: it was never reserved. */
static struct chunk_ref reserved_chunk(const struct segment *segment, unsigned block)
{
    struct chunk_ref none = {0};
    struct chunk_ref chunk;

    if (block >= segment->slot_blocks_reserved)
        return none;
    for (chunk.number = 1; chunk.number <= segment->chunk_count; chunk.number++)
        if (chunk_owner(segment, chunk) == chunk_owner_word(CHUNK_SLOT, 0, block))
            return chunk;
    return none;
}

unsigned process_table_reserve(struct segment *segment, unsigned slots)
{
    unsigned blocks = (slots + (unsigned)SLOTS_PER_BLOCK - 1) / (unsigned)SLOTS_PER_BLOCK;
    unsigned block = process_slot_count(segment) / (unsigned)SLOTS_PER_BLOCK;

    if (block < segment->slot_blocks_reserved)
        block = segment->slot_blocks_reserved;
    while (block < blocks && block < SEGMENT_SLOT_BLOCKS_MAX &&
           !chunk_ref_is_none(chunk_claim(segment, CHUNK_SLOT, 0, block)))
        block++;
    segment->slot_blocks_reserved = block;
    return block * (unsigned)SLOTS_PER_BLOCK;
}

/* Adds a block of slots if there are still only `count`. */
static bool block_add(struct segment *segment, unsigned count)
{
    unsigned block = count / (unsigned)SLOTS_PER_BLOCK;
    enum mutex_result result;

    if (block >= SEGMENT_SLOT_BLOCKS_MAX)
        return false;
    result = robust_mutex_lock(&segment->header->slots_mutex);
    if (result == MUTEX_CLOSED)
        return false;
    if (result == MUTEX_INHERITED) {
        orphans_release(segment, segment->slot_blocks_reserved);
        robust_mutex_mark_consistent(&segment->header->slots_mutex);
    }
    if (atomic_load(&segment->header->slot_blocks[block]) == 0) {
        struct chunk_ref chunk = reserved_chunk(segment, block);

        if (chunk_ref_is_none(chunk))
            chunk = chunk_claim(segment, CHUNK_SLOT, 0, block);
        if (!chunk_ref_is_none(chunk)) {
            struct process_slot *slots = (struct process_slot *)(void *)chunk_at(segment, chunk);

            for (unsigned i = 0; i < SLOTS_PER_BLOCK; i++)
                slot_init(segment, &slots[i]);
            atomic_store_explicit(&segment->header->slot_blocks[block], chunk.number, memory_order_release);
        }
    }
    robust_mutex_unlock(&segment->header->slots_mutex);
    return atomic_load(&segment->header->slot_blocks[block]) != 0;
}

void process_table_tidy(struct segment *segment)
{
    struct robust_mutex *mutex = &segment->header->slots_mutex;
    enum mutex_result result = robust_mutex_trylock(mutex);

    if (result == MUTEX_INHERITED) {
        orphans_release(segment, segment->slot_blocks_reserved);
        robust_mutex_mark_consistent(mutex);
    }
    if (result == MUTEX_INHERITED || result == MUTEX_LOCKED)
        robust_mutex_unlock(mutex);
}

void process_table_reset_locks(struct segment *segment)
{
    unsigned count = process_slot_count(segment);

    robust_mutex_init(&segment->header->slots_mutex);
    robust_mutex_init(&segment->header->key_lock_mutex);
    orphans_release(segment, 0);
    for (unsigned number = 0; number < count; number++)
        robust_mutex_init(&process_slot_at(segment, number)->life);
}

static void slot_take(struct process_slot *slot)
{
    atomic_fetch_add(&slot->incarnation, 1);
    atomic_store(&slot->pid, (uint32_t)getpid());
    atomic_store(&slot->claimed, 1);
}

enum slot_claim process_slot_claim_number(struct segment *segment, unsigned number)
{
    struct process_slot *slot = process_slot_at(segment, number);

    switch (robust_mutex_trylock(&slot->life)) {
    case MUTEX_LOCKED:
        slot_take(slot);
        return SLOT_CLAIMED;
    case MUTEX_INHERITED:
        return SLOT_INHERITED;
    case MUTEX_BUSY:
    case MUTEX_CLOSED:
    default:
        return SLOT_BUSY;
    }
}

static enum slot_claim claim_between(struct segment *segment, unsigned from, unsigned to, unsigned *number)
{
    for (unsigned i = from; i < to; i++) {
        enum slot_claim claim = process_slot_claim_number(segment, i);

        if (claim != SLOT_BUSY) {
            *number = i;
            return claim;
        }
    }
    return SLOT_BUSY;
}

enum slot_claim process_slot_claim(struct segment *segment, unsigned *number)
{
    unsigned hint = segment->slot_hint;
    unsigned count = process_slot_count(segment);
    enum slot_claim claim;

    while (count <= hint && block_add(segment, count))
        count = process_slot_count(segment);
    for (;;) {
        unsigned from = hint < count ? hint : count;

        claim = claim_between(segment, from, count, number);
        if (claim == SLOT_BUSY)
            claim = claim_between(segment, 0, from, number);
        if (claim != SLOT_BUSY)
            return claim;
        if (!block_add(segment, count))
            return SLOT_NONE;
        count = process_slot_count(segment);
    }
}

void process_slot_mark_drained(struct segment *segment, unsigned number)
{
    struct process_slot *slot = process_slot_at(segment, number);

    robust_mutex_mark_consistent(&slot->life);
    slot_take(slot);
}

void process_slot_abandon(struct segment *segment, unsigned number)
{
    struct process_slot *slot = process_slot_at(segment, number);

    atomic_store(&slot->pid, 0); /* another process may get it */
    robust_mutex_unlock(&slot->life); /* not consistent: closed from now on */
}

void process_slot_abandon_again(struct segment *segment, unsigned number)
{
    struct process_slot *slot = process_slot_at(segment, number);

    atomic_store(&slot->pid, 0);
    robust_mutex_init_closed(&slot->life);
}

void process_slot_release(struct segment *segment, unsigned number)
{
    struct process_slot *slot = process_slot_at(segment, number);

    REQUIRE(atomic_load(&slot->commit.word) == 0);
    atomic_store(&slot->claimed, 0);
    atomic_store(&slot->pid, 0);
    robust_mutex_unlock(&slot->life);
}

/* The chunk behind `chunk` in a chain of redo chunks of one slot; none at its end or where it is broken. */
static struct chunk_ref redo_chunk_next(const struct segment *segment, struct chunk_ref chunk)
{
    struct chunk_ref next = {0};

    if (!chunk_ref_is_inside(segment, chunk))
        return next;
    next.number = ((const struct redo_chunk *)(const void *)chunk_at(segment, chunk))->next;
    return next;
}

const struct redo_entry *redo_next(const struct segment *segment, const struct commit_record *commit,
                                   struct redo_cursor *cursor)
{
    uint32_t i = cursor->index++;

    if (i < SLOT_REDO_BUILT_IN)
        return &commit->built_in[i];
    i -= SLOT_REDO_BUILT_IN;
    if (i == 0)
        cursor->chunk.number = atomic_load_explicit(&commit->redo_chunk, memory_order_relaxed);
    else if (i % REDO_CHUNK_ENTRIES == 0)
        cursor->chunk = redo_chunk_next(segment, cursor->chunk);
    if (!chunk_ref_is_inside(segment, cursor->chunk))
        return NULL;
    return &((const struct redo_chunk *)(const void *)chunk_at(segment, cursor->chunk))
                ->entries[i % REDO_CHUNK_ENTRIES];
}

/* The chunk behind the cursor's; whether there is one. */
static bool key_lock_chunk_next(const struct segment *segment, unsigned number, struct key_lock_cursor *cursor)
{
    const struct process_slot *slot = process_slot_at(segment, number);
    struct chunk_ref chunk = {atomic_load_explicit(&slot->key_locks.chunk, memory_order_relaxed)};

    if (!chunk_ref_is_none(cursor->chunk))
        chunk.number = ((const struct key_lock_chunk *)(const void *)chunk_at(segment, cursor->chunk))->next;
    if (chunk_ref_is_none(chunk))
        return false;
    cursor->is_broken = !chunk_ref_is_inside(segment, chunk) || cursor->chunk_count == segment->chunk_count ||
                        chunk_owner(segment, chunk) != chunk_owner_word(CHUNK_LOG, 0, number);
    cursor->chunk = chunk;
    cursor->chunk_count++;
    return !cursor->is_broken;
}

struct key_lock *key_lock_next(const struct segment *segment, unsigned number, struct key_lock_cursor *cursor)
{
    uint32_t i = cursor->index;

    if (cursor->is_broken)
        return NULL;
    if (i < SLOT_KEY_LOCKS_BUILT_IN) {
        cursor->index++;
        return &process_slot_at(segment, number)->key_locks.built_in[i];
    }
    i = (i - SLOT_KEY_LOCKS_BUILT_IN) % KEY_LOCK_CHUNK_LOCKS;
    if (i == 0 && !key_lock_chunk_next(segment, number, cursor))
        return NULL;
    cursor->index++;
    return &((struct key_lock_chunk *)(void *)chunk_at(segment, cursor->chunk))->locks[i];
}

unsigned key_lock_slot_number(const struct segment *segment, const struct key_lock *lock)
{
    struct chunk_ref chunk = block_chunk(segment, (struct block_ref){key_lock_units(segment, lock)});
    uint32_t word = chunk_owner(segment, chunk);
    size_t offset = (size_t)((const unsigned char *)lock - chunk_at(segment, chunk));

    if (chunk_owner_kind(word) == CHUNK_LOG)
        return chunk_owner_owner(word);
    INVARIANT(chunk_owner_kind(word) == CHUNK_SLOT);
    return chunk_owner_owner(word) * (unsigned)SLOTS_PER_BLOCK + (unsigned)(offset / sizeof(struct process_slot));
}

static bool transaction_slot_is_valid(const struct segment *segment, const struct transaction_slot *transaction)
{
    uint64_t pin = atomic_load(&transaction->pin);
    unsigned state = atomic_load(&transaction->state) & 3u;
    uint64_t clock = atomic_load(&segment->header->clock);
    uint64_t horizon = atomic_load(&segment->header->horizon);

    if (state == TRANSACTION_FREE)
        return pin == PIN_NONE || pin == PIN_EVERYTHING;
    if (state == TRANSACTION_EXPIRED)
        return pin <= clock || pin == PIN_NONE;
    /* READ COMMITTED pins nothing between two commands. */
    return pin == PIN_EVERYTHING || pin == PIN_NONE || (pin <= clock && pin >= horizon);
}

static bool slot_is_empty(const struct process_slot *slot)
{
    bool is_empty = atomic_load(&slot->commit.word) == 0 && atomic_load(&slot->single_pin) == PIN_NONE &&
                    atomic_load(&slot->key_locks.chunk) == 0;

    for (unsigned i = 0; i < SLOT_KEY_LOCKS_BUILT_IN; i++)
        is_empty = is_empty && atomic_load(&slot->key_locks.built_in[i].state) == KEY_LOCK_FREE;
    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++)
        is_empty = is_empty && (atomic_load(&slot->transactions[i].state) & 3u) == TRANSACTION_FREE &&
                   atomic_load(&slot->transactions[i].pin) == PIN_NONE;
    return is_empty;
}

/* As many chunks of the slot's logs, one behind the other, as the entries need. */
static bool redo_chain_is_sound(const struct segment *segment, unsigned number, const struct commit_record *commit)
{
    uint32_t count = atomic_load(&commit->redo_count);
    size_t in_chunks = count <= SLOT_REDO_BUILT_IN ? 0 : count - SLOT_REDO_BUILT_IN;
    size_t chunk_count = (in_chunks + REDO_CHUNK_ENTRIES - 1) / REDO_CHUNK_ENTRIES;
    struct chunk_ref chunk = {atomic_load(&commit->redo_chunk)};

    if (chunk_count > segment->chunk_count)
        return false;
    for (; chunk_count > 0; chunk_count--) {
        if (!chunk_ref_is_inside(segment, chunk) ||
            chunk_owner(segment, chunk) != chunk_owner_word(CHUNK_LOG, 0, number))
            return false;
        chunk = redo_chunk_next(segment, chunk);
    }
    return true;
}

/* Words alone; what they say together is the layer's above. */
static bool key_locks_are_sound(const struct segment *segment, unsigned number)
{
    struct key_lock_cursor cursor = {0};
    const struct key_lock *lock = key_lock_next(segment, number, &cursor);

    for (; lock != NULL; lock = key_lock_next(segment, number, &cursor)) {
        uint32_t state = atomic_load(&lock->state);

        if (state >= KEY_LOCK_STATE_COUNT || (state != KEY_LOCK_FREE && lock->transaction > KEY_LOCK_SINGLE))
            return false;
    }
    return !cursor.is_broken;
}

bool process_slot_is_valid(const struct segment *segment, unsigned number, const char **reason)
{
    const struct process_slot *slot = process_slot_at(segment, number);
    uint64_t word = atomic_load(&slot->commit.word);
    uint64_t single_pin = atomic_load(&slot->single_pin);

    *reason = NULL;
    if ((word & 1) == 0 && word != 0)
        *reason = "a commit word is neither IDLE nor COMMITTED";
    else if (word >> 1 > atomic_load(&segment->header->clock))
        *reason = "a commit is in the future";
    else if (single_pin != PIN_NONE && single_pin != PIN_EVERYTHING)
        *reason = "a single command's pin is no pin";
    else if (atomic_load(&slot->claimed) == 0 && !slot_is_empty(slot))
        *reason = "a slot that is nobody's is not empty";
    else if (!key_locks_are_sound(segment, number))
        *reason = "a key lock is none";
    for (unsigned i = 0; *reason == NULL && i < SLOT_TRANSACTIONS_MAX; i++)
        if (!transaction_slot_is_valid(segment, &slot->transactions[i]))
            *reason = "an open transaction's pin is below the horizon or in the future";
    if (*reason == NULL && word != 0 && !redo_chain_is_sound(segment, number, &slot->commit))
        *reason = "a committed log is broken";
    return *reason == NULL;
}
