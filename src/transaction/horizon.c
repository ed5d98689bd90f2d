/* What no snapshot needs any more: the horizon, expiry, and looking for memory. */
#include "platform/clock.h"
#include "segment/process_table.h"
#include "transaction/engine.h"
#include "transaction/key_lock.h"

#define HORIZON_INTERVAL_MIN 8u
#define HORIZON_INTERVAL_MAX 256u

static enum transaction_state state_of(uint64_t word)
{
    return (enum transaction_state)(word & 3u);
}

/* H2 for one slot. The pin of an expired transaction counts no more: nobody but
 * its owner may store a pin, so this is how an expirer lets go of it. The owner
 * pins everything before the state leaves EXPIRED; see README.md. */
static uint64_t slot_smallest_pin(const struct process_slot *slot)
{
    uint64_t smallest = atomic_load(&slot->single_pin);

    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++) {
        const struct transaction_slot *transaction = &slot->transactions[i];
        bool is_expired = state_of(atomic_load(&transaction->state)) == TRANSACTION_EXPIRED;
        uint64_t pin = atomic_load(&transaction->pin);

        if (!is_expired && pin < smallest)
            smallest = pin;
    }
    return smallest;
}

void horizon_advance(struct engine *engine)
{
    struct segment_header *header = engine->segment->header;
    uint64_t smallest = atomic_load(&header->clock); /* H1: before any pin is read */
    uint64_t horizon = atomic_load(&header->horizon);
    unsigned count = process_slot_count(engine->segment);

    for (unsigned number = 0; number < count && smallest > horizon; number++) {
        const struct process_slot *slot = process_slot_at(engine->segment, number);
        uint64_t pin;

        if (atomic_load(&slot->claimed) == 0)
            continue;
        pin = slot_smallest_pin(slot);
        if (pin < smallest)
            smallest = pin;
    }
    while (horizon < smallest)
        if (atomic_compare_exchange_weak(&header->horizon, &horizon, smallest))
            return;
}

/* Looking costs two cache lines a slot, so it is done the more rarely the more
 * slots there are; in a small segment often enough to keep its garbage small. */
static uint64_t horizon_interval(const struct engine *engine)
{
    uint64_t interval = engine->segment->chunk_count / 16;

    if (interval < HORIZON_INTERVAL_MIN)
        interval = HORIZON_INTERVAL_MIN;
    if (interval > HORIZON_INTERVAL_MAX)
        interval = HORIZON_INTERVAL_MAX;
    return interval + process_slot_count(engine->segment);
}

void horizon_advance_if_due(struct engine *engine, uint64_t time)
{
    struct segment_header *header = engine->segment->header;
    uint64_t due = atomic_load_explicit(&header->horizon_due, memory_order_relaxed);

    /* One process wins; should it die now, the next interval comes. */
    if (time >= due && atomic_compare_exchange_strong(&header->horizon_due, &due, time + horizon_interval(engine)))
        horizon_advance(engine);
}

/* Nothing else is stored, so that it does no harm if the owner goes on meanwhile; see recipe E in README.md. */
static bool word_expire(struct transaction_slot *transaction, uint64_t word)
{
    return atomic_compare_exchange_strong(&transaction->state, &word, (word & ~(uint64_t)3u) | TRANSACTION_EXPIRED);
}

static bool expired_if_idle(struct engine *engine, unsigned slot, unsigned index, uint64_t idle_before_ms)
{
    struct transaction_slot *transaction = &process_slot_at(engine->segment, slot)->transactions[index];
    uint64_t word = atomic_load(&transaction->state);

    /* The word's sequence grows whenever its owner comes back to IDLE, so the
     * CAS fails if the time read here is not of this idleness. */
    return state_of(word) == TRANSACTION_IDLE && atomic_load(&transaction->idle_since_ms) < idle_before_ms &&
           word_expire(transaction, word);
}

bool transaction_expire(struct engine *engine, unsigned slot, unsigned index, uint64_t idle_before_ms)
{
    if (!expired_if_idle(engine, slot, index, idle_before_ms))
        return false;
    key_locks_expire(engine, slot);
    return true;
}

unsigned transactions_expire(struct engine *engine, uint64_t idle_before_ms)
{
    unsigned count = process_slot_count(engine->segment);
    unsigned expired = 0;

    for (unsigned slot = 0; slot < count; slot++)
        for (unsigned index = 0; index < SLOT_TRANSACTIONS_MAX; index++)
            expired += transaction_expire(engine, slot, index, idle_before_ms);
    return expired;
}

static void raise_to(_Atomic uint64_t *word, uint64_t least)
{
    uint64_t value = atomic_load(word);

    while (value < least)
        if (atomic_compare_exchange_weak(word, &value, least))
            return;
}

void snapshots_grow_old(struct engine *engine, uint64_t now_ms)
{
    struct segment_header *header = engine->segment->header;
    unsigned timeout_ms = engine->snapshot_timeout_ms;

    if (timeout_ms == 0)
        return;
    snapshot_marks_note(&engine->marks, atomic_load(&header->clock), now_ms, timeout_ms);
    raise_to(&header->snapshots_old_before, snapshot_marks_clock_before(&engine->marks, now_ms, timeout_ms));
}

/* An open transaction, as it was seen once. */
struct sight {
    struct transaction_slot *transaction;
    unsigned slot;
    uint64_t word;
    uint64_t pin;
};

static struct sight sight_of(const struct engine *engine, unsigned slot, unsigned index)
{
    struct transaction_slot *transaction = &process_slot_at(engine->segment, slot)->transactions[index];
    struct sight sight = {.transaction = transaction, .slot = slot};

    sight.word = atomic_load(&transaction->state); /* first: while it is the same, so is the rest */
    sight.pin = atomic_load(&transaction->pin);
    return sight;
}

static bool has_old_snapshot(const struct engine *engine, const struct sight *sight)
{
    return sight->pin != PIN_EVERYTHING && sight->pin < atomic_load(&engine->segment->header->snapshots_old_before);
}

/* Whoever is inside a command with an old snapshot ends it behind the command, as nobody else may. */
static void old_running_end(struct engine *engine)
{
    unsigned count = process_slot_count(engine->segment);

    for (unsigned slot = 0; slot < count; slot++)
        for (unsigned index = 0; index < SLOT_TRANSACTIONS_MAX; index++) {
            struct sight sight = sight_of(engine, slot, index);

            if (state_of(sight.word) == TRANSACTION_RUNNING && has_old_snapshot(engine, &sight))
                raise_to(&engine->segment->header->snapshots_ended_before, sight.pin + 1);
        }
}

static bool may_expire(const struct engine *engine, const struct sight *sight, uint64_t idle_before_ms)
{
    return state_of(sight->word) == TRANSACTION_IDLE &&
           (atomic_load(&sight->transaction->idle_since_ms) < idle_before_ms || has_old_snapshot(engine, sight));
}

/* Finds the transaction with the oldest pin below the clock among those that may expire. */
static bool oldest_find(const struct engine *engine, struct sight *oldest)
{
    uint64_t now = clock_monotonic_ms();
    uint64_t idle_before_ms = now > RECLAIM_IDLE_MS ? now - RECLAIM_IDLE_MS : 0;
    unsigned count = process_slot_count(engine->segment);

    *oldest = (struct sight){.pin = atomic_load(&engine->segment->header->clock)};
    for (unsigned slot = 0; slot < count; slot++)
        for (unsigned index = 0; index < SLOT_TRANSACTIONS_MAX; index++) {
            struct sight sight = sight_of(engine, slot, index);

            if (sight.pin < oldest->pin && may_expire(engine, &sight, idle_before_ms))
                *oldest = sight;
        }
    return oldest->transaction != NULL;
}

/* Where the owner was quicker, it finds its snapshot ended behind the command that it is inside of now. */
static bool oldest_expire(struct engine *engine)
{
    struct sight sight;

    if (!oldest_find(engine, &sight))
        return false;
    if (has_old_snapshot(engine, &sight))
        raise_to(&engine->segment->header->snapshots_ended_before, sight.pin + 1);
    if (!word_expire(sight.transaction, sight.word))
        return false;
    key_locks_expire(engine, sight.slot);
    return true;
}

static unsigned shards_clean(struct engine *engine, enum status (*acquire)(struct engine *engine, unsigned shard))
{
    unsigned cleaned = 0;

    horizon_advance(engine);
    for (unsigned shard = 0; shard < engine->table.shard_count; shard++) {
        if (acquire(engine, shard) != STATUS_OK)
            continue;
        cleaned += table_clean(&engine->table, shard, UINT32_MAX);
        shard_release(engine, shard);
    }
    return cleaned;
}

unsigned engine_clean(struct engine *engine)
{
    return shards_clean(engine, shard_acquire);
}

unsigned engine_tidy(struct engine *engine)
{
    return shards_clean(engine, shard_try_acquire);
}

bool engine_reclaim(struct engine *engine)
{
    if (engine_clean(engine) > 0)
        return true;
    old_running_end(engine);
    while (oldest_expire(engine))
        if (engine_clean(engine) > 0)
            return true;
    return false;
}
