/* A read that takes no lock, as a model for Spin: whether what it found is what the lock would have shown. One shard, in
 * the steps in which its memory changes: directory, page, entry, version, chain; memory that is freed and used again by
 * anybody; the horizon load by load; deaths. It is written as engine.pml is and takes for granted what that one proves of
 * a COMMIT. optimistic_read_table.pml has the steps of readers and writers, optimistic_read_script.pml the workloads and
 * the end.
 *
 * Writers, whoever takes the lock:  the lock; W1 `changes` + 1; is_set_aside; everything else; the unlock, which is last.
 * Readers:  O0 pin; O1 s = changes; O2 the lock word is 0, is_set_aside is 0; O3 the search, and the clock; O4 changes == s.
 * Where one of these says no, the read takes the lock.
 * A large COMMIT (QUIET) changes nothing that can be seen until its tick: it says so by storing in `quiet_at` what `changes`
 * is, and raises `changes` again before it replaces a page, and before the tick. While it is quiet O2 does without the lock word.
 * A single GET that copies (COPIES):  O1; O2; O3 the search, the copy, and the clock; O4. No pin. Where one of these says no, it
 * is a reader as above, from O0 on.
 *
 * The order of stores: a processor's stores are seen in their order and its loads are done in theirs, so one step after
 * another says it all, but for a load that is done before an earlier store can be seen (x86-TSO). W1 is such a store, so
 * what a writer loads behind W1 and another writes without the lock (the horizon, `counted`) may be loaded before W1 too,
 * but not before the lock, which is an atomic operation. The reader's pin is the other: its flaw PINNED_LAST.
 *
 * Settings: SLOTS and WORKER_0.. (workloads of optimistic_read_script.pml), DEATHS=n, REUSE=n (times that another shard
 * takes free memory, writes what it likes and gives it back), HORIZON_IN_COMMIT (the horizon advances at once, beside each
 * clean-up), PIN_AT=n (0: O0 is first; 1: after O1; 2: after O3, before O4), SET_ASIDE (an heir may set the shard aside),
 * COPIES (a single GET copies first), QUIET (commits are large ones, which publish another shard before this one, where
 * anybody may have seen them), SMALL_FROM=n (but for those of the slots from n on), READERS_UNCOUNTED (who reads with the lock leaves W1 out), HEIR_COUNTS_LAST (an heir
 * repairs, then W1), KEYS_ARE_KEPT (LOCKING: key locks are counted, commits look), WATCH=p (only property p is looked at). */

/* --- sizes --- */
#ifndef SLOTS
#define SLOTS 2
#endif
#define KEYS 2 /* both of this shard; each has an entry of the directory, and both fit on a page */
#ifndef VERSIONS
#define VERSIONS 4
#endif
#define PAGES 2
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef PIN_AT
#define PIN_AT 0
#endif
#define TIMES 8 /* the clock stays below */

#define NONE 0
#define OUTSIDE 100  /* a reference that leads out of the segment */
#define INFINITE 255 /* an end that is not yet; a pin that pins nothing; the snapshot of a single GET */
#define EVERYTHING 0
#define ABSENT 0
#define DELETED 254  /* a write: DEL */
#define GARBAGE 99   /* a value that no commit wrote */

/* Whose memory is it? */
#define FREE 0
#define OURS 1
#define THEIRS 2 /* another shard's */

/* Kinds of redo entries. */
#define PUT 1
#define DEL 2

#define bit_of(i_) (1 << (i_))

/* --- properties; the name stands in the counterexample: "assertion violated (as_if_locked||...)" --- */
hidden byte reads_the_latest, reads_the_snapshot, time_of_the_read, as_if_locked, no_freed_version_read;
hidden byte inside_the_segment, walk_ends, set_aside_is_refused, what_is_read_stays, no_lost_commit;
hidden byte no_deadlock, model_bounds;
#define PROPERTY(name, condition) assert(name || (condition))

#ifdef WATCH
#define watch_one() \
    reads_the_latest = 1; reads_the_snapshot = 1; time_of_the_read = 1; as_if_locked = 1; no_freed_version_read = 1; \
    inside_the_segment = 1; walk_ends = 1; set_aside_is_refused = 1; what_is_read_stays = 1; no_lost_commit = 1; WATCH = 0
#else
#define watch_one() skip
#endif

/* --- shared memory --- */
typedef version_t {
    byte owner; /* FREE, OURS, THEIRS: ghost; what was freed keeps its bytes until somebody writes others */
    byte key; byte value; byte begin; byte end; byte older;
    bit is_deleted; /* derived */
    bit queued      /* derived */
};

byte clock = 1;
byte horizon = 1;
byte changes;                    /* what this is all about */
#ifdef QUIET
#ifdef SMALL_FROM
#define is_large (me < SMALL_FROM)
#else
#define is_large 1
#endif
byte quiet_at;                   /* while `changes` is this, the holder changes nothing that can be seen */
#ifdef FLAW_QUIET_WITHOUT_COUNT
#define is_quiet (quiet_at != 0)
#else
#define is_quiet (quiet_at == s)
#endif
#endif
byte shard_holder;               /* the robust mutex: 0, or 1 + slot of the holder */
byte directory[KEYS];            /* never memory of anything else */
byte page_owner[PAGES + 1];
byte page_entry[(PAGES + 1) * KEYS];
byte page_replaced_by[PAGES + 1];
version_t version[VERSIONS + 1]; /* [NONE] is nobody's */
byte pin[SLOTS];
#if DEATHS
byte commit_word[SLOTS];         /* 0 is IDLE, t is (t, COMMITTED) */
byte pending[SLOTS];             /* the shard's bit */
byte redo_kind[SLOTS];
byte redo_key[SLOTS];
byte redo_version[SLOTS];
bit inherited;                   /* the last holder died inside and nobody has repaired it: the lock word is not 0 */
byte victim;
byte deaths;
#define is_inherited inherited
#else
#define is_inherited 0
#endif
#ifdef SET_ASIDE
bit shard_set_aside;
#define is_set_aside shard_set_aside
#else
#define is_set_aside 0
#endif
#ifdef KEYS_ARE_KEPT
byte counted;                    /* key_lock_count; who counts owns key 0 until its transaction ends */
#endif

#define word_is_zero (shard_holder == 0 && !is_inherited)

/* --- ghosts: not in the code, only to say what is right --- */
byte truth[TIMES * KEYS];        /* what the commit at that time wrote to that key: 0, a value, DELETED */
byte acknowledged = 1;           /* the newest commit that a client was told of, or was shown */
byte finished;                   /* a set of processes */

/* Scratch within one d_step. */
hidden byte at, lowest, expected, moment;

/* What the commits alone say that key k_ is at time t_: into `expected`. */
inline truth_at(k_, t_) {
    at = t_;
    do
    :: at > 0 && truth[at * KEYS + (k_)] == 0 -> at--
    :: else -> break
    od;
    expected = (at == 0 || truth[at * KEYS + (k_)] == DELETED -> ABSENT : truth[at * KEYS + (k_)])
}

/* What a process has of its own. */
#define LOCALS \
    byte v, o, p, t, h, s, n, b, ts, value, snapshot, since; \
    bit ok, was_absent
#if DEATHS
#define LOCALS_OF_RECOVERY byte r, i
#else
#define LOCALS_OF_RECOVERY skip
#endif

#include "optimistic_read_table.pml"
#include "optimistic_read_script.pml"
