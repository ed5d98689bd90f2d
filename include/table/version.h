/* One value of one key, from its commit to its end. Built in full and in
 * private, then published by one store of the table; only `end`, `older` and the
 * derived fields change afterwards.
 *
 *     header | key | numbers of value chunks | the rest of the value
 *
 * A value that fits into a block stands there whole. Of a larger one each full
 * chunk's worth lies in a chunk of its own, named by number - not in a run of
 * chunks, so a fragmented segment refuses no large value (spec/decisions.md) -
 * and only what is left lies in the block. */
#ifndef HAUSKV_TABLE_VERSION_H
#define HAUSKV_TABLE_VERSION_H

#include "platform/bytes.h"
#include "segment/allocator.h"
#include "segment/segment.h"

#define KEY_BYTES_MAX 1024u
#define TIME_INFINITE UINT64_MAX

struct version {
    uint64_t begin;          /* the commit that wrote it; final before it is published */
    _Atomic uint64_t end;    /* the commit that superseded or deleted it, or TIME_INFINITE */
    _Atomic uint32_t older;  /* block_ref units; not to be followed where begin <= horizon */
    uint32_t garbage_next;   /* derived: the queue of what ended, block_ref units */
    uint32_t value_size;
    uint16_t key_size;
    uint16_t is_deleted; /* derived: it is ended by a DEL, not (only) by a newer version */
};

_Static_assert(sizeof(struct version) == 32, "a version's header has no padding");

/* The largest value, in bytes: its chunks' numbers fit into one block beside the longest key. */
#define VALUE_BYTES_MAX (((CHUNK_BYTES - sizeof(struct version) - KEY_BYTES_MAX) / sizeof(uint32_t) - 1) * CHUNK_BYTES)

static inline struct version *version_at(const struct segment *segment, struct block_ref ref)
{
    return (struct version *)(void *)block_at(segment, ref);
}

/* Who looks without the shard's lock may meet anything here: a version being written, or something else by now. So the size is
 * one load, and the bytes are only compared: of a torn key the answer may be wrong, but it is thrown away (table_look). */
static inline struct bytes version_key(const struct version *version)
{
    return (struct bytes){(const unsigned char *)(version + 1), __atomic_load_n(&version->key_size, __ATOMIC_RELAXED)};
}

/* Whether a version with a key of that size can be there, in the segment: what a look without the lock asks before it follows. */
static inline bool version_is_inside(const struct segment *segment, struct block_ref ref, size_t key_size)
{
    return (size_t)ref.units * REFERENCE_UNIT_BYTES + sizeof(struct version) + key_size <= segment->bytes;
}

/* Takes memory for a version of `shard` (whose lock the caller holds) and writes its header and key; begin is 0 and end
 * infinite, older none; the value is undefined. None: out of memory, nothing taken. */
struct block_ref version_reserve(struct segment *segment, struct allocator *allocator, unsigned shard,
                                 struct bytes key, size_t value_size);

/* Whether a version of these sizes would get a block of the same size class, and neither of them has value chunks. */
bool version_has_room_for(const struct segment *segment, struct block_ref ref, size_t key_size, size_t value_size);

/* Makes the block of a version that nobody can see any more, and that has room for it, one for this key and value, as
 * version_reserve would leave it. The caller holds the shard's lock. */
void version_reuse(const struct segment *segment, struct block_ref ref, struct bytes key, size_t value_size);

/* Copies bytes into the value from offset on. */
void version_fill(struct segment *segment, struct block_ref ref, size_t offset, struct bytes bytes);

/* The value from offset on, as far as it lies in one piece; empty at its end. */
struct bytes version_piece(const struct segment *segment, const struct version *version, size_t offset);

/* The version of a chain that a reader at snapshot sees; none if there is none. The caller holds the shard's lock. */
struct block_ref version_visible_at(const struct segment *segment, struct block_ref newest, uint64_t snapshot);

/* The same for who does not: never leaves the segment, and ends; see table_look. False: it gave up. */
bool version_look(const struct segment *segment, struct block_ref newest, uint64_t snapshot, struct block_ref *visible);

/* A value that is copied without a lock: a longer one is rather pinned, and copied where it is wanted. */
#define VALUE_COPIED_BYTES_MAX 256u

/* Copies the value for who holds no lock and no pin, and finds out afterwards whether that counts (recipe O in
 * src/transaction/README.md); copy has room for VALUE_COPIED_BYTES_MAX. False: it is longer, or what stands there makes no
 * sense. Whatever stands there, nothing outside the segment is read: each size is one load, and checked. */
bool version_copy_value(const struct segment *segment, struct block_ref ref, unsigned char *copy, size_t *size);

/* Gives everything back. Nobody may be able to reach it any more. */
void version_release(struct segment *segment, struct allocator *allocator, struct block_ref ref);

/* How many value chunks it has. */
uint32_t version_chunk_count(const struct version *version);

/* The i-th value chunk. */
struct chunk_ref version_chunk(const struct version *version, uint32_t i);

/* Block, sizes and chunks make sense and belong to shard. Trusts nothing. */
bool version_is_valid(const struct segment *segment, unsigned shard, struct block_ref ref);

#endif
