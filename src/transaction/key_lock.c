/* Key locks: recipe K of README.md. The state words, and what stands beside them,
 * are the truth; the rest is derived. All of it only under the mutex, but for the
 * state word that a waiter looks at and the counts. */
#include "transaction/key_lock.h"

#include <string.h>

#include "platform/clock.h"
#include "platform/futex.h"
#include "platform/progress.h"

#define NS_PER_MS UINT64_C(1000000)

/* --- the derived chains: one per bucket, in the order of the tickets; and per slot the free ones --- */

static struct slot_key_locks *locks_of(const struct engine *engine, unsigned slot)
{
    return &process_slot_at(engine->segment, slot)->key_locks;
}

static struct slot_key_locks *home_of(const struct engine *engine, const struct key_lock *lock)
{
    return locks_of(engine, key_lock_slot_number(engine->segment, lock));
}

static uint32_t *bucket_of(const struct engine *engine, uint64_t hash)
{
    return &engine->segment->header->key_lock_buckets[hash % SEGMENT_KEY_LOCK_BUCKETS];
}

/* No chain has more than the segment has room for: one that goes round ends so, and not never with the mutex held. */
static size_t chain_locks_max(const struct engine *engine)
{
    return engine->segment->bytes / sizeof(struct key_lock);
}

/* The first lock of the hash from `units` on in a chain; NULL: none. */
static struct key_lock *find_from(const struct engine *engine, uint32_t units, uint64_t hash)
{
    struct key_lock *lock = key_lock_at(engine->segment, units);
    size_t left = chain_locks_max(engine);

    while (lock != NULL && lock->hash != hash) {
        INVARIANT(left > 0);
        left--;
        lock = key_lock_at(engine->segment, lock->next);
    }
    return lock;
}

/* Who came first has it. */
static struct key_lock *owner_find(const struct engine *engine, uint64_t hash)
{
    return find_from(engine, *bucket_of(engine, hash), hash);
}

static void chain_add(const struct engine *engine, struct key_lock *lock)
{
    uint32_t *place = bucket_of(engine, lock->hash);

    for (size_t left = chain_locks_max(engine);; left--) {
        struct key_lock *next = key_lock_at(engine->segment, *place);

        if (next == NULL || next->ticket > lock->ticket)
            break;
        INVARIANT(left > 0);
        place = &next->next;
    }
    lock->next = *place;
    *place = key_lock_units(engine->segment, lock);
}

static void chain_remove(const struct engine *engine, const struct key_lock *lock)
{
    uint32_t *place = bucket_of(engine, lock->hash);
    uint32_t units = key_lock_units(engine->segment, lock);
    size_t left = chain_locks_max(engine);

    while (*place != units) {
        struct key_lock *next = key_lock_at(engine->segment, *place);

        INVARIANT(next != NULL);
        INVARIANT(left > 0);
        left--;
        place = &next->next;
    }
    *place = lock->next;
}

static void free_add(const struct engine *engine, struct slot_key_locks *home, struct key_lock *lock)
{
    lock->next = home->free;
    home->free = key_lock_units(engine->segment, lock);
}

static void counts_change(const struct engine *engine, struct slot_key_locks *home, uint32_t difference)
{
    atomic_fetch_add(&engine->segment->header->key_lock_count, difference);
    atomic_fetch_add(&home->count, difference);
}

/* --- changes of one lock --- */

/* K2. One store makes it count. */
static struct key_lock *lock_make(const struct engine *engine, struct key_lock_owner owner, uint64_t hash,
                                  enum key_lock_state state)
{
    struct slot_key_locks *home = locks_of(engine, owner.slot);
    struct key_lock *lock = key_lock_at(engine->segment, home->free);

    INVARIANT(lock != NULL);
    home->free = lock->next;
    lock->hash = hash;
    lock->transaction = owner.transaction;
    lock->ticket = ++engine->segment->header->key_lock_ticket;
    counts_change(engine, home, 1);
    atomic_store(&lock->state, state);
    chain_add(engine, lock);
    if (state == KEY_LOCK_WAITS)
        home->waiting = key_lock_units(engine->segment, lock);
    return lock;
}

/* K4. Under the mutex: whoever dies after the store is followed by an heir who wakes again. */
static void lock_grant(const struct engine *engine, struct key_lock *lock)
{
    home_of(engine, lock)->waiting = 0;
    atomic_store(&lock->state, KEY_LOCK_OWNS);
    futex_wake(&lock->state);
}

/* K4. The next of the hash gets what this one had, only when it has it no more. */
static void lock_end(const struct engine *engine, struct key_lock *lock)
{
    struct slot_key_locks *home = home_of(engine, lock);
    bool was_owner = atomic_load(&lock->state) == KEY_LOCK_OWNS;
    struct key_lock *successor = was_owner ? find_from(engine, lock->next, lock->hash) : NULL;

    atomic_store(&lock->state, KEY_LOCK_FREE);
    chain_remove(engine, lock);
    if (!was_owner)
        home->waiting = 0;
    free_add(engine, home, lock);
    counts_change(engine, home, UINT32_MAX);
    if (successor != NULL)
        lock_grant(engine, successor);
}

/* --- the mutex --- */

/* Returns how many of the slot's count. */
static uint32_t slot_rebuild(struct engine *engine, unsigned slot)
{
    struct slot_key_locks *home = locks_of(engine, slot);
    struct key_lock_cursor cursor = {0};
    uint32_t count = 0;
    struct key_lock *lock;

    home->free = 0;
    home->waiting = 0;
    while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL) {
        progress_note(PROGRESS_NO_PART);
        if (atomic_load(&lock->state) == KEY_LOCK_FREE) {
            free_add(engine, home, lock);
            continue;
        }
        count++;
        chain_add(engine, lock);
        if (atomic_load(&lock->state) == KEY_LOCK_WAITS)
            home->waiting = key_lock_units(engine->segment, lock);
    }
    atomic_store(&home->count, count);
    return count;
}

/* K9. Grants what the dead gave up and did not pass on, and wakes every owner: the dead may have granted and not
 * woken. */
static void owners_restore(struct engine *engine, unsigned slot)
{
    struct key_lock_cursor cursor = {0};
    struct key_lock *lock;

    while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL) {
        uint32_t state = atomic_load(&lock->state);

        progress_note(PROGRESS_NO_PART);
        if (state == KEY_LOCK_OWNS)
            futex_wake(&lock->state);
        else if (state == KEY_LOCK_WAITS && owner_find(engine, lock->hash) == lock)
            lock_grant(engine, lock);
    }
}

/* The count is stored once: others look at it without the mutex, and to whom it said 0 for a moment would commit what
 * somebody has read (flaw REBUILD_RESETS_COUNT of the model). */
void key_locks_rebuild(struct engine *engine)
{
    struct segment_header *header = engine->segment->header;
    unsigned count = process_slot_count(engine->segment);
    uint32_t total = 0;

    memset(header->key_lock_buckets, 0, sizeof(header->key_lock_buckets));
    for (unsigned slot = 0; slot < count; slot++)
        total += slot_rebuild(engine, slot);
    atomic_store(&header->key_lock_count, total);
    for (unsigned slot = 0; slot < count; slot++)
        owners_restore(engine, slot);
}

/* K1. The mutex is held, as result says. */
static void mutex_had(struct engine *engine, enum mutex_result result)
{
    if (result != MUTEX_INHERITED)
        return;
    key_locks_rebuild(engine);
    robust_mutex_mark_consistent(&engine->segment->header->key_lock_mutex);
}

static void mutex_enter(struct engine *engine)
{
    enum mutex_result result = robust_mutex_lock(&engine->segment->header->key_lock_mutex);

    INVARIANT(result != MUTEX_CLOSED);
    mutex_had(engine, result);
}

static bool mutex_try(struct engine *engine)
{
    enum mutex_result result = robust_mutex_trylock(&engine->segment->header->key_lock_mutex);

    INVARIANT(result != MUTEX_CLOSED);
    mutex_had(engine, result);
    return result != MUTEX_BUSY;
}

static void mutex_leave(struct engine *engine)
{
    robust_mutex_unlock(&engine->segment->header->key_lock_mutex);
}

bool key_locks_can_be_entered(struct engine *engine)
{
    if (!mutex_try(engine))
        return false;
    mutex_leave(engine);
    return true;
}

/* --- getting a key --- */

static bool is_of(const struct engine *engine, const struct key_lock *lock, struct key_lock_owner owner)
{
    return lock->transaction == owner.transaction && key_lock_slot_number(engine->segment, lock) == owner.slot;
}

bool key_lock_is_foreign(struct engine *engine, struct key_lock_owner owner, uint64_t hash)
{
    const struct key_lock *lock;
    bool is_foreign;

    mutex_enter(engine);
    lock = owner_find(engine, hash);
    is_foreign = lock != NULL && !is_of(engine, lock, owner);
    mutex_leave(engine);
    return is_foreign;
}

/* K5. From who owns what this slot wants on to who owns what that one waits for, and so on. Who runs will give up what
 * it has; who is dead will be drained of it. There is no circle without this slot: it would have been found when it was closed. */
static bool would_wait_for_itself(const struct engine *engine, unsigned slot, const struct key_lock *owner)
{
    unsigned steps = process_slot_count(engine->segment);

    for (; owner != NULL && steps > 0; steps--) {
        unsigned next = key_lock_slot_number(engine->segment, owner);
        const struct key_lock *waiting = key_lock_at(engine->segment, locks_of(engine, next)->waiting);

        if (next == slot)
            return true;
        if (waiting == NULL || !process_slot_lives(engine->segment, next))
            return false;
        owner = owner_find(engine, waiting->hash);
    }
    return false;
}

static void chunk_append(struct engine *engine, struct slot_key_locks *home, struct chunk_ref ref)
{
    struct key_lock_chunk *chunk = (struct key_lock_chunk *)(void *)chunk_at(engine->segment, ref);

    chunk->next = atomic_load(&home->chunk);
    for (size_t i = KEY_LOCK_CHUNK_LOCKS; i > 0; i--) {
        atomic_store_explicit(&chunk->locks[i - 1].state, KEY_LOCK_FREE, memory_order_relaxed);
        free_add(engine, home, &chunk->locks[i - 1]);
    }
    atomic_store_explicit(&home->chunk, ref.number, memory_order_release); /* whole before a rebuild goes there */
}

/* One lock, and another that stays free: a single command of this slot can wait without asking for memory. */
static bool room_make(struct engine *engine, unsigned slot)
{
    struct slot_key_locks *home = locks_of(engine, slot);
    const struct key_lock *first = key_lock_at(engine->segment, home->free);
    struct chunk_ref chunk;

    if (first != NULL && first->next != 0)
        return true;
    chunk = chunk_claim(engine->segment, CHUNK_LOG, 0, slot);
    if (chunk_ref_is_none(chunk))
        return false;
    chunk_append(engine, home, chunk);
    return true;
}

/* K2. *lock is what was made, or the owner's own. */
static enum status lock_queue(struct engine *engine, struct key_lock_owner owner, uint64_t hash, bool is_kept,
                              struct key_lock **lock)
{
    struct key_lock *first = owner_find(engine, hash);

    *lock = first;
    if (first != NULL && is_of(engine, first, owner))
        return STATUS_OK;
    if (first != NULL && would_wait_for_itself(engine, owner.slot, first))
        return STATUS_DEADLOCK;
    if (is_kept && !room_make(engine, owner.slot))
        return STATUS_OUT_OF_MEMORY;
    *lock = lock_make(engine, owner, hash, first == NULL ? KEY_LOCK_OWNS : KEY_LOCK_WAITS);
    return STATUS_OK;
}

static uint64_t deadline_of(const struct engine *engine)
{
    return engine->lock_timeout_ms == 0 ? FUTEX_NO_DEADLINE
                                        : clock_monotonic_ns() + engine->lock_timeout_ms * NS_PER_MS;
}

static uint64_t earlier(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

/* Until it owns the key, or the time is over. False: nobody wants the key any more, whether its turn has come or not. */
static bool lock_sleep(const struct key_lock *lock, const struct waiter *waiter, uint64_t deadline_ns)
{
    uint64_t pause_ns = WAITER_LOOK_MS_MIN * NS_PER_MS;
    uint64_t now_ns = clock_monotonic_ns();
    bool goes_on = waiter_goes_on(waiter);

    while (goes_on && atomic_load(&lock->state) == KEY_LOCK_WAITS && now_ns < deadline_ns) {
        uint64_t look_ns = waiter == NULL ? FUTEX_NO_DEADLINE : now_ns + pause_ns;

        futex_wait(&lock->state, KEY_LOCK_WAITS, earlier(deadline_ns, look_ns));
        pause_ns = earlier(2 * pause_ns, WAITER_LOOK_MS_MAX * NS_PER_MS);
        goes_on = waiter_goes_on(waiter);
        now_ns = clock_monotonic_ns();
    }
    return goes_on;
}

/* K3. Its turn may come after the deadline, but before the mutex. Who gives up gives back what it was granted: a deadline that is
 * over, or a key that nobody uses. */
static enum status lock_wait(struct engine *engine, struct key_lock *lock, const struct waiter *waiter, uint64_t *deadline_ns)
{
    enum status status = STATUS_OK;
    bool goes_on;

    if (*deadline_ns == 0)
        *deadline_ns = deadline_of(engine);
    goes_on = lock_sleep(lock, waiter, *deadline_ns);
    if (goes_on && atomic_load(&lock->state) == KEY_LOCK_OWNS)
        return STATUS_OK;
    mutex_enter(engine);
    if (!goes_on || atomic_load(&lock->state) == KEY_LOCK_WAITS) {
        lock_end(engine, lock);
        status = STATUS_LOCK_TIMEOUT;
    }
    mutex_leave(engine);
    return status;
}

static enum status lock_get(struct engine *engine, struct key_lock_owner owner, uint64_t hash, bool is_kept,
                            uint64_t *deadline_ns)
{
    struct key_lock *lock;
    enum status status;

    mutex_enter(engine);
    status = lock_queue(engine, owner, hash, is_kept, &lock);
    mutex_leave(engine);
    if (status == STATUS_OK && atomic_load(&lock->state) == KEY_LOCK_WAITS)
        status = lock_wait(engine, lock, owner.waiter, deadline_ns);
    return status;
}

enum status key_lock_keep(struct engine *engine, struct key_lock_owner owner, uint64_t hash)
{
    uint64_t deadline_ns = 0;
    enum status status = lock_get(engine, owner, hash, true, &deadline_ns);

    for (unsigned attempt = 1; status == STATUS_OUT_OF_MEMORY && attempt < MEMORY_ATTEMPTS_MAX; attempt++) {
        if (!engine_reclaim(engine))
            break;
        status = lock_get(engine, owner, hash, true, &deadline_ns);
    }
    return status;
}

enum status key_lock_borrow(struct engine *engine, struct key_lock_owner owner, uint64_t hash, uint64_t *deadline_ns)
{
    return lock_get(engine, owner, hash, false, deadline_ns);
}

/* --- giving keys up --- */

void key_lock_return(struct engine *engine, struct key_lock_owner owner, uint64_t hash)
{
    struct key_lock *lock;

    mutex_enter(engine);
    lock = owner_find(engine, hash);
    INVARIANT(lock != NULL && is_of(engine, lock, owner));
    lock_end(engine, lock);
    mutex_leave(engine);
}

static void transaction_end_locks(struct engine *engine, struct key_lock_owner owner)
{
    const struct slot_key_locks *home = locks_of(engine, owner.slot);
    struct key_lock_cursor cursor = {0};
    struct key_lock *lock;

    while (atomic_load(&home->count) > 0 && (lock = key_lock_next(engine->segment, owner.slot, &cursor)) != NULL) {
        progress_note(PROGRESS_NO_PART);
        if (atomic_load(&lock->state) != KEY_LOCK_FREE && lock->transaction == owner.transaction)
            lock_end(engine, lock);
    }
}

/* K8. Under the mutex, or a rebuild might be on its way through them. Unlinked first: what a death leaves is its slot's
 * still. */
static void chunks_return(struct engine *engine, struct slot_key_locks *home)
{
    struct chunk_ref chunk = {atomic_load(&home->chunk)};

    slot_key_locks_init(engine->segment, home);
    while (!chunk_ref_is_none(chunk)) {
        struct chunk_ref next = {((const struct key_lock_chunk *)(const void *)chunk_at(engine->segment, chunk))->next};

        chunk_release(engine->segment, chunk);
        chunk = next;
    }
}

void key_locks_release(struct engine *engine, struct key_lock_owner owner)
{
    struct slot_key_locks *home = locks_of(engine, owner.slot);

    mutex_enter(engine);
    transaction_end_locks(engine, owner);
    if (atomic_load(&home->count) == 0 && atomic_load(&home->chunk) != 0)
        chunks_return(engine, home);
    mutex_leave(engine);
}

/* K10. Under the mutex: the owner ends a transaction's locks there before it can begin another in its place. The chunks
 * are for the owner to give back. */
static void expired_end_locks(struct engine *engine, unsigned slot)
{
    const struct process_slot *looked_at = process_slot_at(engine->segment, slot);

    for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX && atomic_load(&looked_at->key_locks.count) > 0; i++)
        if ((atomic_load(&looked_at->transactions[i].state) & 3u) == TRANSACTION_EXPIRED)
            transaction_end_locks(engine, (struct key_lock_owner){.slot = slot, .transaction = i});
}

void key_locks_expire(struct engine *engine, unsigned slot)
{
    if (!key_locks_exist(engine) || !mutex_try(engine))
        return;
    expired_end_locks(engine, slot);
    mutex_leave(engine);
}

bool key_locks_tidy(struct engine *engine)
{
    unsigned count = process_slot_count(engine->segment);

    if (!mutex_try(engine))
        return false;
    for (unsigned slot = 0; slot < count && key_locks_exist(engine); slot++)
        expired_end_locks(engine, slot);
    mutex_leave(engine);
    return true;
}

/* K11. */
void key_locks_drain(struct engine *engine, unsigned slot)
{
    struct key_lock_cursor cursor = {0};
    struct key_lock *lock;

    mutex_enter(engine);
    while ((lock = key_lock_next(engine->segment, slot, &cursor)) != NULL) {
        progress_note(PROGRESS_NO_PART);
        if (atomic_load(&lock->state) != KEY_LOCK_FREE)
            lock_end(engine, lock);
    }
    slot_key_locks_init(engine->segment, locks_of(engine, slot)); /* the chunks go by their owner word */
    mutex_leave(engine);
}

/* --- validity --- */

/* NULL: the reference leads out of the segment, or there is none. */
static const struct key_lock *checked_at(const struct engine *engine, uint32_t units)
{
    const struct segment *segment = engine->segment;

    if ((size_t)units * REFERENCE_UNIT_BYTES + sizeof(struct key_lock) > segment->bytes)
        return NULL;
    return key_lock_at(segment, units);
}

/* Whether the lock stands in its bucket behind older ones only, and owns its key if and only if none of them has it. */
static bool stands_in_its_chain(const struct engine *engine, const struct key_lock *lock, uint32_t total)
{
    const struct key_lock *other = checked_at(engine, *bucket_of(engine, lock->hash));
    enum key_lock_state expected = KEY_LOCK_OWNS;

    for (; other != NULL && other != lock && total > 0; total--) {
        if (other->ticket >= lock->ticket)
            return false;
        if (other->hash == lock->hash)
            expected = KEY_LOCK_WAITS;
        other = checked_at(engine, other->next);
    }
    return other == lock && atomic_load(&lock->state) == expected &&
           lock->ticket <= engine->segment->header->key_lock_ticket;
}

/* With all locks found in their chains, as many in the chains as there are leaves room for no others. */
static bool chains_have(const struct engine *engine, uint32_t total)
{
    uint32_t found = 0;

    for (size_t i = 0; i < SEGMENT_KEY_LOCK_BUCKETS; i++) {
        const struct key_lock *lock = checked_at(engine, engine->segment->header->key_lock_buckets[i]);

        for (; lock != NULL && found <= total; found++)
            lock = checked_at(engine, lock->next);
    }
    return found == total;
}

static bool free_ones_are(const struct engine *engine, unsigned slot, uint32_t expected)
{
    const struct key_lock *lock = checked_at(engine, locks_of(engine, slot)->free);
    uint32_t found = 0;

    for (; lock != NULL && found <= expected; found++) {
        if (atomic_load(&lock->state) != KEY_LOCK_FREE)
            return false;
        lock = checked_at(engine, lock->next);
    }
    return found == expected;
}

/* A key is had by an open transaction, or by nobody when nobody is inside a command. */
static bool owner_is_open(const struct process_slot *slot, const struct key_lock *lock)
{
    return lock->transaction == KEY_LOCK_SINGLE ||
           (atomic_load(&slot->transactions[lock->transaction].state) & 3u) != TRANSACTION_FREE;
}

static const char *slot_invalid(const struct engine *engine, unsigned number, uint32_t total)
{
    const struct process_slot *slot = process_slot_at(engine->segment, number);
    struct key_lock_cursor cursor = {0};
    const struct key_lock *lock;
    uint32_t waiting = 0;
    uint32_t free_count = 0;
    uint32_t count = 0;

    while ((lock = key_lock_next(engine->segment, number, &cursor)) != NULL) {
        uint32_t state = atomic_load(&lock->state);

        free_count += state == KEY_LOCK_FREE;
        if (state == KEY_LOCK_FREE)
            continue;
        count++;
        if (!owner_is_open(slot, lock))
            return "a key belongs to a transaction that has ended";
        if (!stands_in_its_chain(engine, lock, total))
            return "a key lock is not in its turn";
        if (state == KEY_LOCK_WAITS && waiting != 0)
            return "a process waits for two keys";
        if (state == KEY_LOCK_WAITS)
            waiting = key_lock_units(engine->segment, lock);
    }
    if (waiting != slot->key_locks.waiting)
        return "a slot does not know what its process waits for";
    if (count != atomic_load(&slot->key_locks.count) || !free_ones_are(engine, number, free_count))
        return "a slot's key locks are counted wrong";
    return NULL;
}

bool key_locks_are_valid(const struct engine *engine, const char **reason)
{
    uint32_t total = atomic_load(&engine->segment->header->key_lock_count);
    unsigned slots = process_slot_count(engine->segment);
    uint32_t count = 0;

    *reason = NULL;
    for (unsigned slot = 0; *reason == NULL && slot < slots; slot++) {
        *reason = slot_invalid(engine, slot, total);
        count += atomic_load(&locks_of(engine, slot)->count);
    }
    if (*reason == NULL && (count != total || !chains_have(engine, total)))
        *reason = "key locks are counted wrong";
    return *reason == NULL;
}
