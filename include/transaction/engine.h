/* The engine: a segment, the table in it, and the two things that every access
 * goes through: the lock of a shard, or a look whether somebody had it, and the
 * horizon. See src/transaction/README.md for the recipes. */
#ifndef HAUSKV_TRANSACTION_ENGINE_H
#define HAUSKV_TRANSACTION_ENGINE_H

#include <sys/types.h>

#include "platform/status.h"
#include "table/table.h"
#include "transaction/snapshot_marks.h"

/* A process's private handle; inherited by fork. */
struct engine {
    struct segment *segment;
    struct table table;
    unsigned lock_timeout_ms; /* how long a command waits for a key; 0: for ever */
    size_t reads_bytes_max;   /* of the read sets of a participant; 0: only READ_SET_BYTES_MAX counts */
    unsigned snapshot_timeout_ms; /* from when on others need not wait for what a snapshot holds back; 0: never */
    struct snapshot_marks marks;  /* of a process that calls snapshots_grow_old */
};

struct engine_options {
    const char *name;      /* NULL: anonymous, for children of this process only */
    const char *directory; /* NULL: SEGMENT_DIRECTORY */
    size_t bytes;          /* hard limit of everything that clients make it hold */
    unsigned shard_count;  /* 0: by size; else a power of two up to SHARD_COUNT_MAX */
    bool is_fresh;         /* this and the next two: see segment_options */
    bool may_be_on_disk;
    bool is_replacement;
    const unsigned char *hash_key; /* SIPHASH_KEY_BYTES, for a copy: the keys' order, and with it cursors of SCAN, are as in the
                                    * original, whatever the number of shards. NULL: a random one */
    unsigned lock_timeout_ms; /* how long a command waits for a key of a LOCKING transaction; 0: for ever */
    size_t reads_bytes_max;   /* see engine */
    unsigned snapshot_timeout_ms; /* see engine_reclaim; 0: never */
};

/* Makes a new, empty engine. The outcomes and the reason are segment_create's. */
enum status engine_create(const struct engine_options *options, struct engine **result,
                          char reason[SEGMENT_REASON_BYTES]);

/* What a restart found. */
struct engine_restart {
    bool was_clean;            /* its last server ended in order */
    bool was_loading;          /* engine_attach only: it died while it loaded into it; engine_restore removes it */
    uint64_t keys;
    unsigned commits_finished; /* that were past their commit point when their process died */
    unsigned slots_drained;
    unsigned slots_abandoned;  /* kept as they are: their commits need what is set aside */
    uint64_t shards_set_aside; /* a bit for each: they answer STATUS_UNAVAILABLE, until --fresh */
    const char *shard_damage[SHARD_COUNT_MAX]; /* of each of these, why; constant text */
    bool was_resized; /* its pairs were copied into a segment of the size that was asked for */
};

/* Takes over the segment of a server that ended or died, with all of its processes; repairs it, checks it whole, and
 * serves the same data. A shard that cannot be trusted is set aside, and the rest is served (report->shards_set_aside); where
 * that would be all of them, or more than a shard is wrong, it is refused. Where options->bytes is not 0 and asks for another size, all pairs are copied into a new segment, which then
 * takes the old one's place. Only a new master calls it. STATUS_NOT_FOUND: there is none. STATUS_DENIED: it is in use,
 * foreign, or cannot be trusted, or has a shard set aside and another size than was asked for; reason says what is wrong. STATUS_OUT_OF_MEMORY: the data does not fit options->bytes, or
 * the system has not so much memory. Else as engine_create. The segment is kept unless STATUS_OK.
 * options->shard_count counts only for a new size. */
enum status engine_restore(const struct engine_options *options, struct engine **result,
                           struct engine_restart *report, char reason[SEGMENT_REASON_BYTES]);

/* Opens a private copy of a segment: one that is repaired and checked like a restart (SEGMENT_PRIVATE), or as it lies
 * (SEGMENT_AS_IT_LIES), which only a look at it survives that trusts nothing. Nothing is changed in the segment. Outcomes as
 * engine_restore. */
enum status engine_attach(const struct engine_options *options, enum segment_access access, struct engine **result,
                          struct engine_restart *report, char reason[SEGMENT_REASON_BYTES]);

/* Puts every pair of source into target, which is new and empty. Nobody else is in either. STATUS_OUT_OF_MEMORY: they do
 * not fit. */
enum status engine_copy(struct engine *source, struct engine *target);

/* Sees to it that so many processes find a slot, however full the segment becomes; returns for how many there is one, which
 * may be fewer in a segment that is full already. Nobody else is inside yet; only the master, before it forks. */
unsigned engine_reserve_slots(struct engine *engine, unsigned slots);

/* Notes that the server ends in order: all its processes are gone. Only the master, as its last act. */
void engine_mark_clean(struct engine *engine);

/* Notes that the new segment is being loaded, so that a restart discards it, or that it is loaded and may be kept. Only the
 * master, while it serves nobody. */
void engine_mark_loading(struct engine *engine, bool is_loading);

/* Unmaps; the memory stays for other processes and, if named, for later ones. */
void engine_detach(struct engine *engine);

/* Takes a shard's lock, counts that in its `changes`, and, where its last holder died, recovers the shard. The one function
 * that locks shards; a caller that wants several takes them in ascending order. STATUS_UNAVAILABLE: the shard is set aside; not
 * locked. */
enum status shard_acquire(struct engine *engine, unsigned number);
static inline void shard_release(struct engine *engine, unsigned number)
{
    robust_mutex_unlock(&table_shard(&engine->table, number)->mutex);
}
/* As shard_acquire without waiting: STATUS_TIMEOUT if somebody else holds it. For whoever must not be stopped by a stopped
 * process. */
enum status shard_try_acquire(struct engine *engine, unsigned number);

/* From here on the holder of a shard's lock changes nothing there that is seen without the lock, so GETs read on (recipe O): it reads, and
 * fills memory that was free. Until shard_quiet_end, behind which others must not be shown half of what it changes. */
void shard_quiet_begin(struct engine *engine, unsigned number);
void shard_quiet_end(struct engine *engine, unsigned number);

/* Looks at the clock, then at every pin, and raises the horizon to the smallest. Any process, no lock needed; two at
 * once do no harm. */
void horizon_advance(struct engine *engine);

/* Whether enough commits went by at that time since somebody last did; 0: no commit. */
static inline bool horizon_is_due(const struct engine *engine, uint64_t time)
{
    return time >= atomic_load_explicit(&engine->segment->header->horizon_due, memory_order_relaxed);
}

/* The same, if it is due; one of those who think so. */
void horizon_advance_if_due(struct engine *engine, uint64_t time);

/* Raises the horizon and frees in all shards, one after the other, what ended before it; returns how many versions. The
 * caller holds no lock. */
unsigned engine_clean(struct engine *engine);

/* The same where no lock is held by somebody else; it never waits. The housekeeper's work. */
unsigned engine_tidy(struct engine *engine);

/* Tries to find memory: raises the horizon and cleans all shards; if that frees nothing, expires the transaction with
 * the oldest pin of those that are idle over RECLAIM_IDLE_MS, or idle at all and with an old snapshot, and tries again. One that
 * is inside a command and has an old snapshot is ended by its owner, behind that command. Whether anything was freed. The caller
 * holds no lock. */
#define RECLAIM_IDLE_MS 10000u
/* How often a write asks for memory again after some was freed: others may be quicker. */
#define MEMORY_ATTEMPTS_MAX 8u
bool engine_reclaim(struct engine *engine);

/* Notes how the clock stands at now_ms (CLOCK_MONOTONIC), and from that which snapshots are old: those that for
 * snapshot_timeout_ms, or up to an eighth more, have not been the newest. The housekeeper's work; a new one begins to note anew,
 * so snapshots grow old the later. */
void snapshots_grow_old(struct engine *engine, uint64_t now_ms);

/* Whether a transaction with this snapshot is to end, as it held back what somebody needed. */
static inline bool snapshot_is_ended(const struct engine *engine, uint64_t snapshot)
{
    return snapshot < atomic_load_explicit(&engine->segment->header->snapshots_ended_before, memory_order_relaxed);
}

/* Ends the transaction `index` of a slot if it is idle since before idle_before_ms (CLOCK_MONOTONIC): one CAS, and its keys
 * go to who waits for them. Its owner learns of it at its next command. Any process. */
bool transaction_expire(struct engine *engine, unsigned slot, unsigned index, uint64_t idle_before_ms);

/* Ends every transaction idle since before idle_before_ms; returns how many. */
unsigned transactions_expire(struct engine *engine, uint64_t idle_before_ms);

/* --- after a death; see recovery.c --- */

/* How many processes may die of one log or shard before it is set aside. */
#define RECOVERY_DEATHS_MAX 3u

/* Repairs a shard whose inherited lock the caller holds, or sets it aside; the lock is consistent afterwards. */
void recovery_shard(struct engine *engine, unsigned number);

/* Clears what a dead process left in its slot, whose life the caller inherited. STATUS_UNAVAILABLE: a shard that its
 * commit needs is set aside; the slot must stay as it is. */
enum status slot_drain(struct engine *engine, unsigned number);

/* Drains and frees every slot of the dead, but for those that would have to wait for a lock: they come the next time.
 * Returns how many. Any process; the housekeeper's work. */
unsigned slots_drain_dead(struct engine *engine);

/* Whether others may have to wait for the process of a slot, or keep old data for it: it holds a lock of the segment or of a key,
 * waits for one, pins, or is inside a command. */
bool slot_is_holding(const struct engine *engine, unsigned slot);

/* From now on, if this process crashes (SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGABRT, of itself and not sent by another), that is
 * counted: while it repairs what another left, against what it repairs; else against every shard whose lock it holds. A
 * worker calls it once; the signals do what they did before. The engine must outlive the process's last command. */
void recovery_count_deaths(struct engine *engine);

/* Counts one process's death against a shard: for whoever ends a process because it spins with that shard's lock. Before it is
 * ended: the next holder of the lock, which is RECOVERY_DEATHS_MAX or more deaths later the last, looks at the count. Any
 * process, no lock needed. */
void shard_count_death(struct engine *engine, unsigned shard);

/* The shards whose lock the process holds at this moment, a bit for each. Any process; a look, nothing more. */
uint64_t shards_held_by(const struct engine *engine, pid_t pid);

/* A shard's deaths are forgotten when so long none was added, and its lock was taken so often meanwhile. A repair does not
 * reset them; a clean shutdown does (segment_repair). */
#define DEATHS_FORGOTTEN_MS ((uint64_t)60 * 60 * 1000)
#define DEATHS_FORGOTTEN_LOCKS 1000u

/* What the housekeeper remembers for that, in private memory; begins as all zeros. */
struct deaths_watch {
    struct shard_watch {
        uint32_t deaths;
        uint64_t since_ms; /* of CLOCK_MONOTONIC */
        uint64_t changes;  /* the shard's, then */
        uint64_t rounds;   /* since then */
    } shards[SHARD_COUNT_MAX];
};

/* One round of that. Only the housekeeper, which visits each shard at most once between two rounds. */
void deaths_forget(struct engine *engine, struct deaths_watch *watch, uint64_t now_ms);

/* Does what the kernel does for the locks of a thread that ends, where the kernel was outrun (the OOM reaper can take
 * the memory first). Only for whoever just waited for that process, before anybody can have its pid again. */
void engine_bury(struct engine *engine, pid_t dead);

/* Everything: header, chunks, every block reachable or free and not both, chains, shards, pages, counts, logs, pins; but for
 * what is in shards that are set aside. Nobody else may be inside. *reason names the first thing wrong. */
bool segment_is_valid(const struct engine *engine, const char **reason);

/* Whether repair may begin: every reference that it follows leads to where it may. Trusts nothing but that the header was
 * checked by segment_attach. Shards that are set aside are not looked at. */
bool segment_is_repairable(const struct engine *engine, const char **reason);

/* The two parts of both: what all shards need (header, chunks' owners, slots, key locks), and one shard with what commits
 * still have to publish there. The second may be asked only after the first said true. */
typedef bool (*shard_check)(const struct engine *engine, unsigned shard, const char **reason);
bool segment_frame_is_valid(const struct engine *engine, const char **reason);
bool segment_frame_is_repairable(const struct engine *engine, const char **reason);
bool shard_is_valid(const struct engine *engine, unsigned shard, const char **reason);
bool shard_is_repairable(const struct engine *engine, unsigned shard, const char **reason);

/* The shards that are set aside, a bit for each. Any process. */
uint64_t shards_set_aside(const struct engine *engine);

/* Repairs everything as if all processes had died just now, but for shards that are set aside, and for slots whose commit needs
 * one. Nobody else is inside, and nobody comes. False: a shard is set aside, before or now. */
bool segment_repair(struct engine *engine, struct engine_restart *report);

#endif
