/* The segment: one object of shared memory that every process maps, and its
 * chunks. This layer knows nothing of keys; it keeps
 *
 *     header | root | chunk owners | chunk infos | chunk 1 | chunk 2 | ...
 *
 * The root is an area of the layer above (the table's shards). See
 * src/segment/README.md for the map and for who may touch what.
 *
 * Chunks. A chunk's owner is one word: free, or {kind, size class, owner}. It
 * changes from free by CAS, and back by a store of its owner, who is the holder
 * of that shard's lock or the process of that slot. So there is no pool lock,
 * and a death leaves at most chunks that are owned and unreferenced, which the
 * rebuild of their shard (or the drain of their slot) frees. */
#ifndef HAUSKV_SEGMENT_SEGMENT_H
#define HAUSKV_SEGMENT_SEGMENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/contract.h"
#include "platform/file.h"
#include "platform/robust_mutex.h"
#include "platform/siphash.h"
#include "platform/status.h"
#include "segment/reference.h"

/* Tests build a second time with small chunks, to see many of them. */
#ifndef HAUSKV_CHUNK_BYTES
#define HAUSKV_CHUNK_BYTES 16384
#endif
#define CHUNK_BYTES ((size_t)HAUSKV_CHUNK_BYTES)

#define SEGMENT_FORMAT_VERSION 4u
#define SEGMENT_BYTES_MAX ((size_t)1 << 36)
#define SEGMENT_NAME_BYTES_MAX 64u /* the server takes names of up to 60, which leaves room for "~new" */
#define SEGMENT_PATH_BYTES_MAX 256u
#define SEGMENT_DIRECTORY "/dev/shm" /* where POSIX shared memory lives on Linux */
#define SEGMENT_REASON_BYTES 1024u
#define SEGMENT_SLOT_BLOCKS_MAX (CHUNK_BYTES / 16)
/* Chains of key locks, a power of two. Small segments of tests have few locks, and a rebuild to be stepped through. */
#define SEGMENT_KEY_LOCK_BUCKETS (CHUNK_BYTES >= 16384 ? 4096u : 64u)

/* In is_clean: a copy of another segment into another size that has not taken that one's place yet. */
#define SEGMENT_IS_COPY 2u
/* In is_clean: a new segment that a file is being loaded into; nobody was served from it. A word of its own ("load"): a start
 * discards what says so, and no single flipped bit makes any other segment say it. */
#define SEGMENT_IS_LOADING 0x64616f6cu

enum chunk_kind {
    CHUNK_FREE,
    CHUNK_PAGE,  /* a page of a shard's table; owner: the shard */
    CHUNK_BLOCK, /* blocks of one size class; owner: the shard */
    CHUNK_VALUE, /* 1/n of a large value; owner: the shard */
    CHUNK_LOG,   /* writes of open transactions, redo entries; owner: the slot */
    CHUNK_SLOT,  /* process slots; owner: their block's number */
    CHUNK_KIND_COUNT
};

#define CHUNK_OWNER_MAX 0xffffu

/* Derived data of a chunk of blocks: wrong after a death, made anew by the rebuild. */
struct chunk_info {
    uint16_t free_head;  /* index + 1 of the first free block */
    uint16_t free_count; /* blocks that are free */
    uint32_t next;       /* chunks of this class that have free blocks */
    uint32_t previous;
};

/* The first bytes of the segment. Written by the master at birth, before
 * anybody else maps it, but for the atomics. */
struct segment_header {
    uint64_t magic;
    uint64_t fingerprint; /* sizes, alignments and constants of everything shared */
    uint64_t bytes;
    uint64_t root_offset;
    uint64_t root_bytes;
    uint64_t owners_offset;
    uint64_t infos_offset;
    uint64_t chunks_offset;
    uint32_t format_version;
    uint32_t chunk_count;
    uint32_t master_pid; /* who made it or took it over last */
    _Atomic uint32_t is_clean; /* 1: its last server ended in order and nobody came since; or SEGMENT_IS_... */
    unsigned char hash_key[SIPHASH_KEY_BYTES];
    /* Key locks held or waited for, beside what every command reads anyway. See recipe K in src/transaction/README.md. */
    _Atomic uint32_t key_lock_count;
    struct robust_mutex slots_mutex; /* for adding a block of slots only */
    /* Free chunks, or more (a death between two steps loses a decrement, never
     * an increment): zero says that looking for one is in vain. */
    _Atomic uint32_t chunks_free_at_most;
    _Atomic uint32_t chunks_free_lowest; /* for statistics; may miss a moment */

    /* The commit clock: the time of the newest commit; see src/transaction/README.md. */
    _Alignas(64) _Atomic uint64_t clock;
    /* Every present and future snapshot is >= horizon. Only grows. */
    _Alignas(64) _Atomic uint64_t horizon;
    _Atomic uint64_t horizon_due; /* the clock at which it is worth looking again */
    /* Snapshots before these are too old to be waited for, and are to end. They only grow; a restart begins at 0. See
     * "Old snapshots" in src/transaction/README.md. */
    _Atomic uint64_t snapshots_old_before;
    _Atomic uint64_t snapshots_ended_before;

    _Alignas(64) _Atomic uint32_t slot_blocks[SEGMENT_SLOT_BLOCKS_MAX];

    /* Guards everything of key locks, also what stands in the slots. The lock of a shard is never taken under it. */
    _Alignas(64) struct robust_mutex key_lock_mutex;
    uint64_t key_lock_ticket; /* the newest; only grows */
    /* The first of the chain, in units; derived, made anew by whoever inherits the mutex. */
    uint32_t key_lock_buckets[SEGMENT_KEY_LOCK_BUCKETS];
};

#define SIZE_CLASS_COUNT_MAX 64u

/* The sizes of blocks, the same for every segment of a build; see allocator.h. */
struct size_classes {
    unsigned count;
    uint32_t bytes[SIZE_CLASS_COUNT_MAX];
    uint16_t blocks_per_chunk[SIZE_CLASS_COUNT_MAX];
    uint8_t class_of_units[CHUNK_BYTES / REFERENCE_UNIT_BYTES + 1];
};

/* The names of the segment's file; see src/segment/names.h. Empty: anonymous. */
struct segment_names {
    char directory[SEGMENT_PATH_BYTES_MAX];
    char path[SEGMENT_PATH_BYTES_MAX];
    char keep[SEGMENT_PATH_BYTES_MAX];
    char passing[SEGMENT_PATH_BYTES_MAX];
};

/* A process's private handle on the mapped segment; inherited by fork. Its
 * fields are for the inline functions of this layer and of the table. */
struct segment {
    unsigned char *base;
    size_t bytes;
    size_t mapped_bytes; /* bytes, rounded up to the directory's pages */
    struct segment_header *header;
    _Atomic uint32_t *owners;  /* [1..chunk_count] */
    struct chunk_info *infos;  /* [1..chunk_count] */
    unsigned char *root;
    size_t chunks_offset;
    uint32_t chunk_count;
    uint32_t claim_hint; /* where this process looks for a free chunk first */
    unsigned slot_hint;  /* and for a free slot; see process_slot_claim */
    unsigned slot_blocks_reserved; /* so many blocks of slots have their chunk, put to use or not; see process_table_reserve */
    unsigned char *scratch; /* private and untouched until a rebuild: one byte per unit */
    int descriptor;         /* -1: anonymous */
    struct segment_names names;
    int guard; /* an empty file that has the second name while the segment has none at all; -1: there is none */
    char huge_pages[64]; /* what was had, for people; empty: the segment is not this process's own */
    struct size_classes classes;
};

struct segment_options {
    const char *name;      /* without slash; NULL: anonymous memory, shared with children only */
    const char *directory; /* a mounted tmpfs or hugetlbfs; NULL: SEGMENT_DIRECTORY */
    size_t bytes;          /* rounded down to chunks; a hard limit for everything inside */
    bool is_fresh;         /* an existing segment that no living server has is discarded */
    bool may_be_on_disk;   /* directory may be of a file system that does not live in memory */
    bool is_replacement;   /* a new segment that gets no name before segment_replace */
};

/* Makes a segment and maps it: root_bytes is the size of the upper layer's area, zeroed; fingerprint is mixed with this
 * layer's own. Only the master (or a test) calls it. The file is locked before it has a name: by a record lock of this
 * process, which says that a master lives, and by a flock of the descriptor, which children inherit, and which says that
 * somebody is inside. So it is nobody else's before and after segment_publish. The process opens the file no second time:
 * closing that would end the record lock. Returns
 *   STATUS_DENIED         a segment of that name is in use, is somebody else's, or exists and is_fresh was not said; or the
 *                         directory is on a disk
 *   STATUS_OUT_OF_MEMORY  the system cannot give so much shared memory now
 *   STATUS_TOO_LARGE      bytes out of range: too small for the root and a few chunks, or over 64 GiB; or the name is too long
 *   STATUS_INTERNAL       the system refused otherwise
 * and in all these cases a sentence in reason. */
enum status segment_create(const struct segment_options *options, size_t root_bytes, uint64_t fingerprint,
                           struct segment **result, char reason[SEGMENT_REASON_BYTES]);

/* The new segment is whole: it is the file hauskv-NAME from now on. Before, a start that dies leaves nothing that anybody
 * takes for data. An anonymous one has always been whole. STATUS_DENIED: something has the name meanwhile. */
enum status segment_publish(struct segment *segment, char reason[SEGMENT_REASON_BYTES]);

/* The new segment, made with is_replacement, takes the place of an owned one of the same name and directory; whatever dies in
 * between, the next start finds one of the two. old keeps its locks until it is detached. STATUS_INTERNAL: it did not. */
enum status segment_replace(struct segment *segment, const struct segment *old, char reason[SEGMENT_REASON_BYTES]);

enum segment_access {
    SEGMENT_TAKE_OVER,  /* for a new master: exclusive, refused while a living server has it */
    SEGMENT_AS_IT_LIES, /* a private copy to look at: nothing is repaired */
    SEGMENT_PRIVATE     /* a private copy on write: nothing done to it reaches the segment */
};

/* Maps an existing segment. Nothing in it is trusted but what is checked here: the file's owner and mode, magic, format
 * version, fingerprint and sizes. Returns STATUS_NOT_FOUND (no such segment, or one that was never finished or never
 * wholly loaded, which a take-over removes), STATUS_DENIED (in use, or not one of this build and user), STATUS_OUT_OF_MEMORY, STATUS_INTERNAL, with a
 * sentence in reason; the segment is kept in any case. A take-over has both locks and both names then; see
 * src/transaction/README.md, recipe W. */
enum status segment_attach(const struct segment_options *options, enum segment_access access, uint64_t fingerprint,
                           struct segment **result, char reason[SEGMENT_REASON_BYTES]);

/* Opens the file of the segment of that name, behind hauskv-NAME, or behind the second name where there is no hauskv-NAME, to
 * look at it. Nothing is checked. 0 or the number of the error; ENOENT: there is none; ENAMETOOLONG. Not for a process that
 * owns the segment: closing the file would end its record lock. */
int segment_file_open(const struct segment_options *options, enum file_access access, int *descriptor);

/* Whether there is a segment of that name that segment_attach refuses only because a build with another layout made it;
 * tells that one's format version. Not for a process that owns the segment. */
bool segment_is_of_another_layout(const struct segment_options *options, uint64_t fingerprint,
                                  uint32_t *format_version);

/* Owns a segment like SEGMENT_TAKE_OVER, whatever is in it: nothing of that is looked at or mapped. The handle has its
 * descriptor and its names only; segment_disown gives it up. For who copies it into a segment of this build. Outcomes as
 * segment_attach. Only a new master calls it. */
enum status segment_own(const struct segment_options *options, struct segment **result,
                        char reason[SEGMENT_REASON_BYTES]);
void segment_disown(struct segment *segment);

/* The bytes that segment_create makes of options->bytes; 0: out of range. */
size_t segment_bytes_for(size_t bytes, size_t root_bytes);

/* The master's pid in the header is the caller's from now on. */
void segment_take_over(struct segment *segment);

/* Ends what a dead server left inside the segment of that name, as a take-over would, and does nothing else: such processes
 * may have more than the segment that the next server needs, its ports. A segment that a server has, or that cannot be owned, is
 * left alone. A master, before it owns a segment. */
void segment_end_orphans(const struct segment_options *options);

/* Whether a living server has the segment of that name; it need not be one of this build. For a process that owns none: of
 * its own segment it would end the record lock. */
bool segment_is_in_use(const struct segment_options *options);

enum segment_names_state {
    SEGMENT_NAMES_KEPT,
    SEGMENT_NAMES_RESTORED, /* hauskv-NAME had been removed, and leads to the segment again */
    SEGMENT_NAMES_TAKEN,    /* hauskv-NAME leads to another file; the segment has another name still */
    SEGMENT_NAMES_LOST      /* the segment has no name at all, and Linux gives it none again */
};

/* Looks where the names lead, and restores what can be: a name that is free. Where the segment has lost all of them, an empty
 * file that is owned like a segment gets the second name, so that no other server begins beside this one. The master, any
 * time. */
enum segment_names_state segment_names_look(struct segment *segment);

/* The last act of a server that leaves its data: what it does about the names. All others are gone.
 *   KEPT      hauskv-NAME leads to the segment; the second name is removed
 *   RESTORED  hauskv-NAME leads to a copy in a new file, for the segment had lost both names; it is of no use any more
 *   TAKEN     hauskv-NAME leads to another file; the data are behind the second name, or one that somebody gave the file
 *   LOST      the data go with this process: there is no memory for the copy, or both names are another's
 * No more memory is needed for the copy than 2 MiB, or one page of the directory. */
enum segment_names_state segment_names_leave(struct segment *segment);

/* Removes a segment by its names, whatever they lead to; nothing if there is none. */
void segment_discard(const struct segment_options *options);

/* Unmaps and frees the handle; the shared memory stays for others. Any process. */
void segment_detach(struct segment *segment);

/* Forgets where the segment's pages are, until this process touches them again: they count as taken by whoever has
 * touched them, and the system ends first whom it finds taking most. What they hold stays. Any process that keeps the
 * segment mapped shared. */
void segment_let_pages_go(const struct segment *segment);

/* Removes the names where they lead to this very file, so that the memory goes with its last process. The master. (Another
 * process that replaces a name between the look and the removal keeps to no protocol: while this one lives, none of ours
 * does.) */
void segment_unlink(const struct segment *segment);

/* Header and chunk owners make sense. Needs nobody else inside. */
bool segment_header_is_valid(const struct segment *segment, const char **reason);

/* Takes a free chunk. None: no memory, nothing changed. The caller holds the
 * lock of the shard `owner`, or is the process of the slot `owner`. */
struct chunk_ref chunk_claim(struct segment *segment, enum chunk_kind kind, unsigned size_class, unsigned owner);

/* Gives a chunk back; the same callers. */
void chunk_release(struct segment *segment, struct chunk_ref chunk);

/* Chunks that are not free: a sum over all owners, exact only when nobody else is inside. */
uint32_t segment_chunks_used(const struct segment *segment);

static inline uint32_t chunk_owner_word(enum chunk_kind kind, unsigned size_class, unsigned owner)
{
    return (uint32_t)kind << 24 | (uint32_t)size_class << 16 | (uint32_t)owner;
}

static inline enum chunk_kind chunk_owner_kind(uint32_t word)
{
    return (enum chunk_kind)(word >> 24);
}

static inline unsigned chunk_owner_class(uint32_t word)
{
    return word >> 16 & 0xffu;
}

static inline unsigned chunk_owner_owner(uint32_t word)
{
    return word & CHUNK_OWNER_MAX;
}

static inline uint32_t chunk_owner(const struct segment *segment, struct chunk_ref chunk)
{
    return atomic_load_explicit(&segment->owners[chunk.number], memory_order_relaxed);
}

static inline bool chunk_ref_is_inside(const struct segment *segment, struct chunk_ref chunk)
{
    return chunk.number >= 1 && chunk.number <= segment->chunk_count;
}

static inline unsigned char *chunk_at(const struct segment *segment, struct chunk_ref chunk)
{
    return segment->base + segment->chunks_offset + (size_t)(chunk.number - 1) * CHUNK_BYTES;
}

static inline unsigned char *block_at(const struct segment *segment, struct block_ref block)
{
    return segment->base + (size_t)block.units * REFERENCE_UNIT_BYTES;
}

/* The chunk that a block lies in; none if it lies in no chunk. */
static inline struct chunk_ref block_chunk(const struct segment *segment, struct block_ref block)
{
    size_t offset = (size_t)block.units * REFERENCE_UNIT_BYTES;
    struct chunk_ref chunk = {0};

    if (offset < segment->chunks_offset || offset >= segment->bytes)
        return chunk;
    chunk.number = (uint32_t)((offset - segment->chunks_offset) / CHUNK_BYTES) + 1;
    return chunk;
}

#endif
