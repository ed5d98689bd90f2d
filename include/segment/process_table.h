/* Slots: each process that works in the segment owns one while it lives.
 *
 * A slot is claimed by taking its `life` mutex, which is held until the process
 * ends or leaves; so anybody can tell a slot of the dead, and a death between
 * any two instructions of the claim leaves nothing to repair but what the drain
 * repairs anyway. Blocks of slots (one chunk each) are added on demand.
 *
 * Who writes: the owner everything; another process only
 *   - transactions[i].state, by CAS from IDLE to EXPIRED (expiry)
 *   - commit.pending, clearing a shard's bit, when it inherited that shard
 *   - key_locks, under the segment's key_lock_mutex
 *   - everything, when it inherited the slot's life (the drain). */
#ifndef HAUSKV_SEGMENT_PROCESS_TABLE_H
#define HAUSKV_SEGMENT_PROCESS_TABLE_H

#include "segment/segment.h"

#define SLOT_TRANSACTIONS_MAX 8u
#define SLOT_REDO_BUILT_IN 8u
#define SLOT_KEY_LOCKS_BUILT_IN 4u
/* Earlier builds of this format counted commands there; now nobody reads or writes it. */
#define SLOT_COUNTERS_BYTES 512u
#define PIN_NONE UINT64_MAX
#define PIN_EVERYTHING 0u

enum transaction_state {
    TRANSACTION_FREE,
    TRANSACTION_IDLE,    /* open, its owner is between two commands */
    TRANSACTION_RUNNING, /* its owner is inside a command */
    TRANSACTION_EXPIRED  /* somebody ended it, or its owner because others need what it pinned; its pin counts no more */
};

/* What others may see of an open transaction. */
struct transaction_slot {
    _Atomic uint64_t state; /* sequence << 2 | transaction_state */
    _Atomic uint64_t pin;   /* its snapshot, PIN_EVERYTHING or PIN_NONE */
    _Atomic uint64_t idle_since_ms; /* of CLOCK_MONOTONIC */
};

/* One write of a commit that recovery can do again: PUT publishes version, DEL ends it. */
struct redo_entry {
    uint32_t version; /* a block_ref's units */
    uint16_t shard;
    uint16_t kind; /* enum redo_kind */
};

enum redo_kind { REDO_NONE, REDO_PUT, REDO_DEL, REDO_KIND_COUNT };

/* The commit record: at most one commit runs per process at a time. */
struct commit_record {
    /* IDLE (0) or time << 1 | 1: COMMITTED. One store of it is the commit point. */
    _Atomic uint64_t word;
    _Atomic uint64_t pending;   /* a bit per shard that is not published yet */
    _Atomic uint32_t redo_chunk; /* first chunk of further redo entries; 0: all are built in */
    _Atomic uint32_t redo_count; /* entries in all */
    _Atomic uint32_t deaths;     /* recoverers that died of it */
    struct redo_entry built_in[SLOT_REDO_BUILT_IN];
};

/* A chunk of redo entries behind the built-in ones. */
#define REDO_CHUNK_ENTRIES ((CHUNK_BYTES - 8) / sizeof(struct redo_entry))
struct redo_chunk {
    uint32_t next; /* chunk number, 0: the last */
    uint32_t unused;
    struct redo_entry entries[REDO_CHUNK_ENTRIES];
};

/* Who has a key and who waits for it; a key goes by its hash. state says whether the rest counts: it is filled while
 * FREE. It is also the futex that a waiter sleeps on. */
enum key_lock_state { KEY_LOCK_FREE, KEY_LOCK_OWNS, KEY_LOCK_WAITS, KEY_LOCK_STATE_COUNT };

#define KEY_LOCK_SINGLE SLOT_TRANSACTIONS_MAX

struct key_lock {
    _Alignas(REFERENCE_UNIT_BYTES) uint64_t hash;
    uint64_t ticket; /* first come, first served */
    _Atomic uint32_t state;
    uint32_t transaction; /* index of the slot's transaction, or KEY_LOCK_SINGLE */
    uint32_t next;        /* derived; units: the chain of its bucket, or of the slot's free ones */
    uint32_t unused;
};

/* A chunk of key locks behind the built-in ones. */
#define KEY_LOCK_CHUNK_LOCKS (CHUNK_BYTES / sizeof(struct key_lock) - 1)
struct key_lock_chunk {
    uint32_t next; /* chunk number, 0: the last */
    uint32_t unused[7];
    struct key_lock locks[KEY_LOCK_CHUNK_LOCKS];
};

/* The key locks of a slot. chunk and the locks are the truth; the other words are derived. */
struct slot_key_locks {
    _Atomic uint32_t chunk; /* first chunk of further ones; 0: all are built in */
    _Atomic uint32_t count; /* not FREE */
    uint32_t free;          /* units: the first of those that are FREE */
    uint32_t waiting;       /* units: the one that WAITS; 0: none. A process runs one command at a time */
    struct key_lock built_in[SLOT_KEY_LOCKS_BUILT_IN];
};

struct process_slot {
    struct robust_mutex life;
    _Atomic uint32_t claimed; /* 0: nobody's and drained */
    _Atomic uint32_t pid;     /* for people */
    _Atomic uint64_t incarnation;
    /* What a single command stores, in one cache line. */
    _Alignas(64) _Atomic uint64_t single_pin;
    struct commit_record commit;
    struct transaction_slot transactions[SLOT_TRANSACTIONS_MAX];
    struct slot_key_locks key_locks;
    _Alignas(64) unsigned char counters[SLOT_COUNTERS_BYTES];
};

#define SLOTS_PER_BLOCK (CHUNK_BYTES / sizeof(struct process_slot))
#define SLOT_NUMBER_MAX CHUNK_OWNER_MAX
#define SLOT_COUNT_MAX (SEGMENT_SLOT_BLOCKS_MAX * SLOTS_PER_BLOCK)

enum slot_claim {
    SLOT_CLAIMED,   /* yours, clean */
    SLOT_INHERITED, /* yours, but its process died: drain it, then process_slot_mark_drained */
    SLOT_BUSY,      /* of a living process (only process_slot_claim_number) */
    SLOT_NONE       /* all are taken and there is no memory for more */
};

/* Claims a slot for the calling process. On SLOT_INHERITED the life mutex is held but not yet consistent. Looks from
 * segment->slot_hint on, where it adds slots as far as memory goes, then at those before: among thousands of processes that
 * have a number each, none looks at all the others' slots. */
enum slot_claim process_slot_claim(struct segment *segment, unsigned *number);

/* The same for one slot: how the housekeeper looks for the dead. */
enum slot_claim process_slot_claim_number(struct segment *segment, unsigned number);

/* Claims the memory for that many slots, of which a full segment then has enough; they are put to use when they are needed.
 * Returns how many there are or can be now: fewer where there is no memory or SLOT_COUNT_MAX is reached. Only while nobody
 * else is inside; children inherit it. A restart gives back what was not put to use. */
unsigned process_table_reserve(struct segment *segment, unsigned slots);

/* After the drain of an inherited slot: it is an ordinary claimed one from now on. */
void process_slot_mark_drained(struct segment *segment, unsigned number);

/* Gives up an inherited slot that cannot be drained: it stays as it is, for good, and nobody gets it. */
void process_slot_abandon(struct segment *segment, unsigned number);

/* The same at a restart, when nobody is inside. */
void process_slot_abandon_again(struct segment *segment, unsigned number);

/* Gives the caller's slot back; it must have nothing open. */
void process_slot_release(struct segment *segment, unsigned number);

/* Gives back what a process left that died while it added a block of slots. Any process; never waits. */
void process_table_tidy(struct segment *segment);

/* For a restart, when nobody is inside: every lock of the slots is free again, and chunks of slots that were never put to
 * use go back. What the slots say is left for the drain. */
void process_table_reset_locks(struct segment *segment);

/* Number of slots that exist, claimed or not; they are numbered from 0. Only grows. */
unsigned process_slot_count(const struct segment *segment);

struct process_slot *process_slot_at(const struct segment *segment, unsigned number);

/* Whether the process that claimed the slot lives still. Any process; a look, nothing more. */
bool process_slot_lives(const struct segment *segment, unsigned number);

/* Words, references and states of a slot make sense, alone. Trusts nothing. */
bool process_slot_is_valid(const struct segment *segment, unsigned number, const char **reason);

/* Goes through the redo entries of a commit record, of which there are redo_count: begins as all zeros. NULL if the chain
 * is broken. */
struct redo_cursor {
    uint32_t index;
    struct chunk_ref chunk;
};
const struct redo_entry *redo_next(const struct segment *segment, const struct commit_record *commit,
                                   struct redo_cursor *cursor);

/* Goes through all key locks of a slot, FREE ones too: begins as all zeros. NULL at the end, or where the chain of chunks is
 * broken (then is_broken). Trusts nothing. */
struct key_lock_cursor {
    uint32_t index;
    struct chunk_ref chunk;
    uint32_t chunk_count; /* gone through: a circle ends too */
    bool is_broken;
};
struct key_lock *key_lock_next(const struct segment *segment, unsigned number, struct key_lock_cursor *cursor);

/* The slot that a key lock lies in. */
unsigned key_lock_slot_number(const struct segment *segment, const struct key_lock *lock);

static inline uint32_t key_lock_units(const struct segment *segment, const struct key_lock *lock)
{
    return (uint32_t)((size_t)((const unsigned char *)lock - segment->base) / REFERENCE_UNIT_BYTES);
}

/* NULL: none. */
static inline struct key_lock *key_lock_at(const struct segment *segment, uint32_t units)
{
    return units == 0 ? NULL : (struct key_lock *)(void *)block_at(segment, (struct block_ref){units});
}

/* Of a slot whose key locks are all FREE: only the built-in ones are left, in order. */
void slot_key_locks_init(const struct segment *segment, struct slot_key_locks *locks);

#endif
