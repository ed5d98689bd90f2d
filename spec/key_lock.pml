/* LOCKING as a model for Spin: key locks under one robust mutex, waiting, deadlocks, time-outs, expiry, commits that
 * meet a lock, death and the rebuild. It is written as engine.pml is, and takes for granted what that one proves of a
 * COMMIT. Functions have the names of src/transaction/key_lock.c, and recipe K stands in src/transaction/README.md.
 *
 * A step is what d_step or one statement does: a store of the truth (the state of an entry) or of what is read without
 * the mutex (`key_lock_count`, a futex), together with derived data that only the holder of the mutex looks at. A
 * process may die between any two steps.
 *
 * Settings: SLOTS and WORKER_0.. (workloads of key_lock_script.pml), KEYS, TRANSACTIONS (of a connection), ENTRIES (of
 * a slot), CHUNK (all entries but the first lie in a chunk), DEATHS=n, TIMEOUTS=n (waits that time out; all others are
 * without end), EXPIRY=n (transactions expired while their client goes on), VICTIMS=n (deadlocks that the workloads can
 * make), SET_ASIDE (an heir may set its shard aside), WATCH=p (only property p is looked at). */

/* --- sizes --- */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef KEYS
#define KEYS 2 /* each in a shard of its own, all in one bucket */
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 1 /* open transactions of a connection */
#endif
#ifndef ENTRIES
#define ENTRIES (KEYS + 1) /* of a slot */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef TIMEOUTS
#define TIMEOUTS 0
#endif

#define SINGLE TRANSACTIONS /* the transaction of an entry: commits and reads of the other levels */
#define LOCKS (SLOTS * ENTRIES)
#define NONE 0
#define first_of(slot_) (1 + (slot_) * ENTRIES)
#define slot_of(lock_) (((lock_) - 1) / ENTRIES)
#define bit_of(i_) (1 << (i_))
#define ALL_SLOTS (bit_of(SLOTS) - 1)
#define place_of(slot_, i_) ((slot_) * TRANSACTIONS + (i_))

/* States of an entry. */
#define FREE 0
#define OWNS 1
#define WAITS 2

/* States of a transaction. */
#define IDLE 1
#define RUNNING 2
#define EXPIRED 3

/* What an acquisition comes to. */
#define TAKEN 1     /* a new entry that owns */
#define QUEUED 2    /* a new entry that waits */
#define GRANTED 3
#define UNOWNED 4   /* nothing to wait for */
#define DEADLOCK 5
#define TIMED_OUT 6
#define UNAVAILABLE 7 /* a shard is set aside */

/* --- properties; the name stands in the counterexample: "assertion violated (one_owner||...)" --- */
hidden byte one_owner, waiter_has_owner, derived_is_true, entries_belong, no_freed_entry_read, entry_is_there;
hidden byte grants_in_order, no_lost_wake_up, deadlock_is_found, no_spurious_victim, one_victim;
hidden byte only_lockers_are_victims, what_is_read_stays, no_lost_update, no_lost_commit, reads_the_latest;
hidden byte nothing_left, no_deadlock;
#define PROPERTY(name, condition) assert(name || (condition))

#ifdef WATCH
#define watch_one() \
    one_owner = 1; waiter_has_owner = 1; derived_is_true = 1; entries_belong = 1; no_freed_entry_read = 1; \
    entry_is_there = 1; grants_in_order = 1; no_lost_wake_up = 1; deadlock_is_found = 1; no_spurious_victim = 1; \
    one_victim = 1; only_lockers_are_victims = 1; what_is_read_stays = 1; no_lost_update = 1; no_lost_commit = 1; \
    reads_the_latest = 1; nothing_left = 1; WATCH = 0
#else
#define watch_one() skip
#endif

/* --- shared memory --- */
byte mutex_holder;               /* the robust mutex of all key locks: 0, or 1 + who holds it */

byte lock_state[LOCKS + 1];      /* the truth: the entries of slot 0, of slot 1, ...; [NONE] is nobody's */
byte lock_key[LOCKS + 1];
byte lock_ticket[LOCKS + 1];
byte lock_transaction[LOCKS + 1];
byte next_ticket = 1;

byte bucket_head;                /* derived */
byte lock_next[LOCKS + 1];
byte key_lock_count;
byte waiting[SLOTS];

#ifdef CHUNK
byte chunk_owned;                /* the owner word of each slot's chunk of entries: a set of slots */
byte chunk_known;                /* the slot's reference to it: a set of slots */
#endif

byte shard_holder[KEYS];
byte stored[KEYS];               /* the newest version of each key */
byte pending[SLOTS];             /* a set of keys; not 0 is COMMITTED */
byte redo[SLOTS * KEYS];
#ifdef EXPIRY
byte state[SLOTS * TRANSACTIONS];
byte expiries;
#endif
#if DEATHS
bit mutex_inherited;             /* the last holder died inside and nobody has repaired it */
byte shard_inherited;            /* a set of keys */
byte dead;                       /* a set of slots: `life` is not held by the process that the slot names */
byte victim;                     /* 1 + the process that dies now */
byte deaths;
#define is_mutex_inherited mutex_inherited
#define is_dead(slot_) ((dead & bit_of(slot_)) != 0)
#else
#define is_mutex_inherited 0
#define is_dead(slot_) 0
#endif
#ifdef SET_ASIDE
byte shard_set_aside;            /* a set of keys, for good */
#define is_set_aside(k_) ((shard_set_aside & bit_of(k_)) != 0)
#else
#define is_set_aside(k_) 0
#endif

/* --- the kernel --- */
byte sleeps_on[SLOTS];           /* the entry whose state word is slept on */

/* --- ghosts: not in the code, only to say what is right --- */
byte truth[KEYS];                /* what the commits have written */
byte finished;                   /* a set of slots */
#if TIMEOUTS
byte timeouts;
#endif
#ifdef VICTIMS
byte victims;
#endif

/* Scratch within one d_step. */
hidden byte at, owners, entries, last, other, rank, steps;

/* What a process has of its own. */
#define LOCALS \
    byte e, g, k, verdict; /* an entry of this slot, one granted, a key, what an acquisition came to */ \
    bit ok
#define LOCALS_OF_TRANSACTIONS \
    byte open, w, wanted, holds; \
    byte reads[TRANSACTIONS + 1], writes[TRANSACTIONS + 1], seen[(TRANSACTIONS + 1) * KEYS]
#if defined(FLAW_WAKE_AFTER_UNLOCK)
#define LOCALS_OF_FLAWS byte late
#define flaws_forget() late = 0
#elif defined(FLAW_SEARCH_BEFORE_MUTEX)
#define LOCALS_OF_FLAWS byte early
#define flaws_forget() early = 0
#else
#define LOCALS_OF_FLAWS skip
#define flaws_forget() skip
#endif

#include "key_lock_table.pml"
#include "key_lock_script.pml"
