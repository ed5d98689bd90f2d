/* Key locks, for LOCKING: a key belongs to a transaction until that ends, and who
 * wants it meanwhile waits, first come, first served. A key goes by its hash; two
 * keys with one hash wait for each other in vain, but nothing else happens.
 *
 * All of it stands in the slots of the processes and is guarded by one mutex, so
 * what a process had or waited for is found where it died. Recipe K of
 * src/transaction/README.md. No function here may be called with a shard's lock
 * held but key_lock_is_foreign; any process with a slot may call them. */
#ifndef HAUSKV_TRANSACTION_KEY_LOCK_H
#define HAUSKV_TRANSACTION_KEY_LOCK_H

#include "platform/status.h"
#include "platform/waiter.h"
#include "segment/process_table.h"
#include "transaction/engine.h"

/* Whose a key lock is: a transaction's, by its index, or with KEY_LOCK_SINGLE that of a single command. */
struct key_lock_owner {
    unsigned slot;
    unsigned transaction;
    const struct waiter *waiter; /* is asked whether to go on waiting; NULL: nobody */
};

/* Whether anybody has a key: what is asked first, since nobody has any where nobody says LOCKING. */
static inline bool key_locks_exist(const struct engine *engine)
{
    return atomic_load_explicit(&engine->segment->header->key_lock_count, memory_order_relaxed) != 0;
}

/* Whether somebody else has the key: another transaction or command, of this connection too. */
bool key_lock_is_foreign(struct engine *engine, struct key_lock_owner owner, uint64_t hash);

/* Gets the key for a LOCKING transaction, which keeps it until key_locks_release; waits at most engine->lock_timeout_ms. Nothing
 * changes if it has it. Beside STATUS_OK
 *   STATUS_LOCK_TIMEOUT   waited in vain, or its waiter gave up
 *   STATUS_DEADLOCK       the wait would have closed a circle: not waited
 *   STATUS_OUT_OF_MEMORY  no room for another lock */
enum status key_lock_keep(struct engine *engine, struct key_lock_owner owner, uint64_t hash);

/* Gets the key for a moment: for whoever must wait but does not lock. Needs no memory. At most one per process, while which it gets no
 * other. *deadline_ns is 0 at a command's first call and says then when its waiting ends. STATUS_LOCK_TIMEOUT,
 * STATUS_DEADLOCK. */
enum status key_lock_borrow(struct engine *engine, struct key_lock_owner owner, uint64_t hash, uint64_t *deadline_ns);
void key_lock_return(struct engine *engine, struct key_lock_owner owner, uint64_t hash);

/* Gives up all keys of a transaction, each to who waits first for it. Only its own process, before the state says that the
 * transaction has ended. */
void key_locks_release(struct engine *engine, struct key_lock_owner owner);

/* Gives up the keys of a slot's transactions that are EXPIRED, if the mutex is free; else the next round does. Any process. */
void key_locks_expire(struct engine *engine, unsigned slot);

/* One round of housekeeping: repairs what somebody left who died inside, and does key_locks_expire for all. False: the mutex is
 * held; it never waits. Any process. */
bool key_locks_tidy(struct engine *engine);

/* Whether the mutex could be had now; where it was inherited, all is repaired. Never waits. */
bool key_locks_can_be_entered(struct engine *engine);

/* Gives up whatever a dead process had or waited for. Only for whoever inherited the life of its slot; may be begun again. */
void key_locks_drain(struct engine *engine, unsigned slot);

/* For a restart: makes all derived data anew from what the slots say. Nobody else is inside. */
void key_locks_rebuild(struct engine *engine);

/* Slots, chains and counts agree; every key that is locked has one owner, who came first. Nobody else may be inside, and the slots'
 * own words are sound (process_slot_is_valid). */
bool key_locks_are_valid(const struct engine *engine, const char **reason);

#endif
