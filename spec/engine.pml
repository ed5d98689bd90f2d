/* The engine's protocol as a model for Spin: commit, snapshots, clean-up, expiry, death and recovery.
 *
 * What it is for: of every step that the recipe orders ("this before that, because ...") there is a flaw here
 * (-DFLAW_...) that Spin answers with a counterexample; without a flaw there is none. Names are those of the code.
 * README.md says what is left out and why that is sound; spec/run lists the configurations and runs them.
 *
 * A step is what d_step or one statement does: an access to shared memory, or several where nobody else can look in
 * between. A process may die between any two steps.
 *
 * Settings: SLOTS and WORKER_0.. (workloads of engine_script.pml), DEATHS=n, HORIZON=n (a housekeeper that advances the
 * horizon step by step and cleans, n times), HORIZON_IN_COMMIT (at once, beside each clean-up), EXPIRY=n (transactions
 * that may be expired), AGE=n (how often it is said, of a RUNNING transaction too, that its snapshot is too old; needs
 * EXPIRY), SCARCE=n (commits that find no memory at first), SET_ASIDE (an heir may set its shard aside), REUSE (commits
 * take the blocks of what is over before their commit point, recipe G'), RESTART (at any moment all may die at once, and a
 * new server restarts), WATCH=p (only property p is looked at). */

/* --- sizes --- */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef SHARDS
#define SHARDS 2
#endif
#define KEYS 2
#define shard_of(k) ((k) % SHARDS)
#ifndef VERSIONS
#define VERSIONS 4 /* blocks of one shard's allocator */
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 1 /* open transactions of a slot */
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#if DEATHS || defined(RESTART)
#define RECOVERS 1
#else
#define RECOVERS 0
#endif
#define TIMES 8              /* the clock stays below */
#define ENTRIES (TRANSACTIONS + 1) /* places of a slot: its transactions, and its single command */
#define SINGLE TRANSACTIONS
#define PLACES (SLOTS * ENTRIES)
#define place_of(slot_, i_) ((slot_) * ENTRIES + (i_))
#define is_single(place_) ((place_) % ENTRIES == SINGLE)

#define NONE 0
#define INFINITE 255 /* an end that is not yet; a pin that pins nothing */
#define EVERYTHING 0 /* a pin that pins everything */
#define ABSENT 0     /* a value: the key is not there */
#define DELETED 254  /* a write: DEL */

/* States of a transaction. */
#define FREE 0
#define IDLE 1
#define RUNNING 2
#define EXPIRED 3

/* Kinds of redo entries. */
#define PUT 1
#define DEL 2

#define bit_of(i_) (1 << (i_))

/* --- properties; the name stands in the counterexample: "assertion violated (no_phantom||...)" --- */
hidden byte no_half_commit, reads_the_snapshot, repeatable_reads, acknowledged_is_seen;
hidden byte no_lost_update, no_write_skew, no_phantom;
hidden byte no_lost_commit, no_uncommitted_data, no_freed_version_read, no_leaked_version;
hidden byte horizon_not_after_snapshot, expired_changes_nothing, expires_only_the_idle;
hidden byte versions_descend, commit_word_is_idle, pending_means_held, no_deadlock, model_bounds;
hidden byte restart_is_not_refused;
#define PROPERTY(name, condition) assert(name || (condition))

#ifdef WATCH
#define watch_one() \
    no_half_commit = 1; reads_the_snapshot = 1; repeatable_reads = 1; acknowledged_is_seen = 1; \
    no_lost_update = 1; no_write_skew = 1; no_phantom = 1; \
    no_lost_commit = 1; no_uncommitted_data = 1; no_freed_version_read = 1; no_leaked_version = 1; \
    horizon_not_after_snapshot = 1; expired_changes_nothing = 1; expires_only_the_idle = 1; \
    versions_descend = 1; commit_word_is_idle = 1; pending_means_held = 1; restart_is_not_refused = 1; WATCH = 0
#else
#define watch_one() skip
#endif

/* --- shared memory --- */
typedef version_t {
    bit used;
    bit is_deleted; /* derived, as in the code */
    bit queued;     /* derived: stands in the queue of ended versions */
    byte key; byte value; byte begin; byte end; byte older
};

byte clock = 1;
byte horizon = 1;

byte shard_holder[SHARDS];                /* the robust mutex: 0, or 1 + slot of the holder */
byte membership_time[SHARDS];
byte table_entry[KEYS];                   /* the newest version */
version_t version[SHARDS * VERSIONS + 1]; /* [NONE] is nobody's */

byte commit_word[SLOTS];                  /* 0 is IDLE, t is (t, COMMITTED) */
byte pending[SLOTS];                      /* a set of shards */
byte redo_kind[SLOTS * KEYS];             /* the redo entry of a key */
byte redo_version[SLOTS * KEYS];

byte pin[PLACES];
#ifdef EXPIRY
byte state[PLACES];
byte sequence[PLACES];                    /* the other half of the state word */
#ifdef AGE
byte snapshots_ended_before;              /* whoever has an older snapshot ends its transaction itself; only raised */
#endif
#endif
#ifdef FLAW_ONE_PIN_BY_CAS
#define FLAW_ONE_PIN
#endif
#ifdef FLAW_ONE_PIN
byte slot_pin[SLOTS];
#endif
#if DEATHS
bit shard_inherited[SHARDS];              /* the last holder died inside and nobody has repaired it */
byte victim;                              /* 1 + slot of the process that dies now */
byte deaths;
#endif
#ifdef RESTART
bit is_restarting;                        /* everybody is dead but the new master */
#endif
#ifdef SET_ASIDE
bit shard_set_aside[SHARDS];              /* for good */
#endif
#ifdef FLAW_OWNER_IN_SHARD
byte shard_owner[SHARDS];
#endif

/* --- ghosts: not in the code, only to say what is right --- */
byte truth[TIMES * KEYS];                 /* what the commit at that time wrote to that key: 0, a value, DELETED */
byte acknowledged;                        /* the newest commit that a client was told of */
byte finished;                            /* a set of processes */
#ifdef EXPIRY
byte expiries;
#ifdef AGE
byte ages;
#endif
#endif
#ifdef SCARCE
byte scarcities;
#endif

/* Scratch within one d_step. */
hidden byte at, lowest, expected;

/* What the commits alone say that key k_ is at time t_: into `expected`. */
inline truth_at(k_, t_) {
    at = t_;
    do
    :: at > 0 && truth[at * KEYS + (k_)] == 0 -> at--
    :: else -> break
    od;
    expected = (at == 0 || truth[at * KEYS + (k_)] == DELETED -> ABSENT : truth[at * KEYS + (k_)])
}

/* Where nobody can look in between: the lock is held, and nobody may die. */
#if DEATHS
#define PROTECTED
#else
#define PROTECTED atomic
#endif

/* What a process has of its own: for the table, and for transactions. */
#define LOCALS \
    byte s, k, v, o, t, h; \
    bit ok, was_absent
#define LOCALS_OF_TRANSACTIONS \
    byte w, needed, ts, value; \
    byte snapshot[ENTRIES], reads[ENTRIES], scans[ENTRIES], found[ENTRIES]; \
    byte seen[ENTRIES * KEYS], write[ENTRIES * KEYS]; \
    byte open

#ifdef SET_ASIDE
#define LOCALS_OF_RECOVERY byte r; bit unavailable /* the answer of shard_acquire */
#elif RECOVERS
#define LOCALS_OF_RECOVERY byte r
#else
#define LOCALS_OF_RECOVERY skip
#endif
#if defined(FLAW_OWNER_IN_SHARD)
#define LOCALS_OF_FLAWS byte previous
#elif defined(FLAW_TICK_BEFORE_LOCKS) || defined(FLAW_TICK_LAST)
#define LOCALS_OF_FLAWS byte early
#elif defined(FLAW_RESOLVED_ONCE)
#define LOCALS_OF_FLAWS byte dropped
#else
#define LOCALS_OF_FLAWS skip
#endif

#include "engine_table.pml"
#include "engine_transaction.pml"
#include "engine_script.pml"
