/* The store over shared memory: store.h on top of the engine. */
#ifndef HAUSKV_STORE_SHARED_STORE_H
#define HAUSKV_STORE_SHARED_STORE_H

#include <sys/types.h>

#include "segment/segment.h"
#include "store/store.h"

struct engine;
struct process_slot;

#define SHARED_STORE_REASON_BYTES 1024u

struct shared_store_options {
    const char *name;      /* of the shared-memory object, without slash; NULL: anonymous, inherited by fork */
    const char *directory; /* a mounted tmpfs or hugetlbfs; NULL: where POSIX shared memory lives */
    size_t bytes;          /* hard limit of what is held; 0 is out of range */
    unsigned shard_count;  /* 0: by size; a power of two up to 64 otherwise */
    bool is_fresh;         /* an existing object that no living server has is discarded */
    const unsigned char *hash_key; /* for a copy, whose cursors of SCAN are then those of the original; NULL: a random one */
    bool may_be_on_disk;   /* directory need not live in memory */
    bool is_replacement;   /* for shared_store_create: it gets no name before shared_store_replace */
    unsigned lock_timeout_ms; /* how long anybody waits for a key that a LOCKING transaction has; 0: for ever */
    size_t reads_bytes_max;   /* private memory of each session for what its transactions have read; 0: 512 MiB for each */
    /* From that age on a transaction's snapshot is ended where it holds back memory that somebody needs; 0: never. Needs
     * somebody who calls shared_store_tidy regularly. */
    unsigned snapshot_timeout_ms;
};

/* Makes a new, empty store. STATUS_DENIED: the name is taken; the reason says by whom. STATUS_OUT_OF_MEMORY: the system
 * has not so much shared memory. STATUS_TOO_LARGE: bytes out of range. STATUS_INTERNAL: the system refused. Only the
 * master (or a test) calls it; children made by fork use the same store. */
enum status shared_store_create(const struct shared_store_options *options, struct store **result);

/* What shared_store_restore found. */
struct shared_store_restart {
    bool was_clean;   /* the last server ended in order */
    bool was_loading; /* shared_store_attach only: the last server died while it loaded into it; a restore removes it */
    bool was_resized; /* copied into a segment of the size that was asked for */
    bool was_converted; /* copied out of a segment of another build's layout (persistence/conversion.h) */
    uint64_t keys;
    unsigned commits_finished; /* past their commit point when their process died */
    unsigned sessions_ended;   /* of processes that died */
    unsigned shards_set_aside; /* parts whose keys answer STATUS_UNAVAILABLE, as they cannot be trusted */
    char damage[SHARED_STORE_REASON_BYTES]; /* which, and what is wrong with them; a text of one line */
};

/* Takes over the store of a server that ended or died, with all its processes, and copies it into another size where
 * options->bytes asks for one (0: as it is). STATUS_NOT_FOUND: there is none of that name, or no
 * whole one (see shared_store_mark_loading). STATUS_DENIED: it is in use, foreign, or cannot be trusted, or is damaged in part and has another size. Where it is damaged in part only, that part is set
 * aside, also by later servers, and the rest is served. STATUS_OUT_OF_MEMORY: the data does not fit options->bytes, or the system has not so
 * much. It is kept in all these cases. Only a new master calls it. */
enum status shared_store_restore(const struct shared_store_options *options, struct store **result,
                                 struct shared_store_restart *restart);

/* Opens a private copy of a store, to which nothing is done that anybody else sees: repaired and checked like a restart, or
 * (is_repaired false) as it lies, to be looked at only. Outcomes as shared_store_restore. */
enum status shared_store_attach(const struct shared_store_options *options, bool is_repaired, struct store **result,
                                struct shared_store_restart *restart);

/* Whether there is a store of that name that shared_store_restore refuses only because a build with another layout made it;
 * tells its format version. */
bool shared_store_is_of_another_layout(const struct shared_store_options *options, uint32_t *format_version);

/* The store, made with is_replacement, takes the names of a segment that this process owns (segment_own, of the same name and
 * directory), in one step for every other process. STATUS_INTERNAL: it did not; see shared_store_reason. A new master. */
enum status shared_store_replace(struct store *store, const struct segment *old);

/* Notes that the server ended in order; its last act, when no other process is left. */
void shared_store_mark_clean(struct store *store);

/* is_loading: notes, in a store that this server made, that a file is being loaded into it; where the server dies,
 * shared_store_restore removes such a store and says so in the log (STATUS_NOT_FOUND). Not is_loading: the load is whole, and
 * the store is kept from now on. Only the master, before it forks whoever loads, and when that one is gone but nobody is
 * served yet. */
void shared_store_mark_loading(struct store *store, bool is_loading);

/* The sentence that goes with the last failed shared_store_create, _restore or _attach of this process. */
const char *shared_store_reason(void);

/* Unmaps and frees; sessions must be closed. Others keep theirs. */
void shared_store_destroy(struct store *store);
/* Removes the names of a named store where they lead to it. */
void shared_store_unlink(struct store *store);

/* Where the names of the store's file lead, and what is done about it; see segment_names_look and segment_names_leave. The
 * master: while it serves, and as its last act. */
enum segment_names_state shared_store_names_look(struct store *store);
enum segment_names_state shared_store_names_leave(struct store *store);

/* A key's place in the order of SCAN, and the number of parts whose membership a SCAN or COUNT watches: the top bits of
 * the hash name the part. */
uint64_t shared_store_hash(const struct store *store, struct bytes key);
unsigned shared_store_shard_count(const struct store *store);

/* Checks everything; nobody else may be inside. */
bool shared_store_is_valid(struct store *store, const char **reason);

/* Expires an open transaction of a session, as the housekeeper would; false if it is expired already. Any time, by the
 * session's own process. */
bool shared_store_expire(struct store_session *session, store_transaction transaction);

/* Ends the processes of a dead server of that name which are still inside its store; they get 2 s to do it themselves. Nothing
 * where there are none, or a living server has it. The master of the next server, first of all. */
void shared_store_end_orphans(const struct shared_store_options *options);

/* Whether a living server has the store of that name, whatever build it is of. Any process. */
bool shared_store_is_in_use(const struct shared_store_options *options);

/* Opens a transaction that only reads, at one snapshot, as much as it likes: for dumps. Put and del are not for it.
 * STATUS_TOO_LARGE: STORE_TRANSACTIONS_MAX are open. */
enum status shared_store_begin_snapshot(struct store_session *session, store_transaction *transaction);

/* --- for the server --- */

/* What this process has touched of the store counts as its own no more: for the master, which needs none of it to serve. */
void shared_store_let_pages_go(struct store *store);

struct shared_store_statistics {
    uint64_t keys;
    uint64_t limit_bytes; /* what can be held at all, overhead included */
    uint64_t used_bytes;  /* of that, in whole chunks */
    uint64_t peak_bytes;
    unsigned shards;
    uint64_t shards_set_aside; /* a bit for each; their keys are not counted */
    double load_factor; /* keys' entries per place in the table's pages */
    const char *huge_pages;
};

void shared_store_statistics(struct store *store, struct shared_store_statistics *statistics);

/* Expires every transaction that is idle longer than idle_ms; returns how many. Any process. */
unsigned shared_store_expire_idle(struct store *store, uint64_t idle_ms);

/* One round of housekeeping: clears up after sessions whose process died, recovers what nobody touches, and frees what
 * no snapshot needs. It never waits for a lock. Whether anything was done. Any process. */
bool shared_store_tidy(struct store *store);

/* The processes for which others may have to wait or keep old data at this moment: up to max pids; returns how many.
 * Any process. */
unsigned shared_store_holders(struct store *store, pid_t *pids, unsigned max);

/* A place is what a process needs to serve sessions; so many there can be. */
#define SHARED_STORE_PLACES_MAX 16384u
#define SHARED_STORE_PLACE_BYTES 1024u

/* Sees to it that so many processes find a place, however full the store becomes. Returns for how many there is one: a store
 * that is full already may have fewer. The master, before its first fork. */
unsigned shared_store_reserve_places(struct store *store, unsigned places);

/* This process is one of many that are numbered, and is going to open a session: it looks for a place of that number
 * first. Only a hint. */
void shared_store_expect_place(struct store *store, unsigned number);

/* A process that serves sessions calls it once: see recovery_count_deaths. */
void shared_store_count_deaths(struct store *store);

/* A lock of the store that a process holds at this moment. */
struct shared_store_hold {
    pid_t pid;
    unsigned lock; /* its number */
    uint64_t turn; /* another each time the lock is taken, where that is known */
};

#define SHARED_STORE_LOCKS_MAX 66u

/* All of them; returns how many. Any process; a look, nothing more. */
unsigned shared_store_held_locks(const struct store *store, struct shared_store_hold holds[SHARED_STORE_LOCKS_MAX]);

/* For whoever is about to end a process because it spins with a lock: counts its death against the part of the store that it
 * was at (progress.h; counted from 1, 0: unknown), if it holds that locked, or against the only one that it holds locked.
 * Whether it was counted. A part that has cost too many processes answers STATUS_UNAVAILABLE. Any process. */
bool shared_store_blame(struct store *store, pid_t pid, unsigned part);

/* Whoever waited for a dead process calls it with its pid: see engine_bury. */
void shared_store_bury(struct store *store, pid_t dead);

/* A session's place: for tests. */
struct process_slot *shared_store_session_slot(const struct store_session *session);

/* Below the interface: statistics, housekeeping, tests. */
struct engine *shared_store_engine(struct store *store);

#endif
