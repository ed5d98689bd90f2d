/* Blocks of a few sizes, cut from chunks that one shard owns.
 *
 * Everything here is derived data: which blocks are free follows from which are
 * reachable. A process that dies inside leaves it wrong; the heir of the shard's
 * lock marks what is reachable and calls allocator_rebuild. The free list runs
 * through the first two bytes of the free blocks.
 *
 * Sizes: multiples of 16 bytes up to 256, eight per doubling up to a sixteenth
 * of a chunk, from there a chunk's 15th to first part, so that no tail is lost
 * where it would count. */
#ifndef HAUSKV_SEGMENT_ALLOCATOR_H
#define HAUSKV_SEGMENT_ALLOCATOR_H

#include "segment/segment.h"

/* In shared memory, one per shard, under the shard's lock. What every PUT of a short value stores here lies in the cache line that
 * begins before it (struct shard). */
struct allocator {
    uint32_t block_count;                   /* blocks in use */
    uint32_t chunk_count;                   /* chunks of blocks owned */
    uint32_t partial[SIZE_CLASS_COUNT_MAX]; /* first chunk of each class with a free block, 0: none */
};

void size_classes_init(struct size_classes *classes);

/* An allocator without chunks. */
void allocator_init(struct allocator *allocator);

/* A block of at least `bytes` (1..CHUNK_BYTES) bytes, its content undefined; none when there is no memory. The
 * caller holds the lock of shard `owner`, to which the allocator belongs. */
struct block_ref allocator_take(struct segment *segment, struct allocator *allocator, unsigned owner, size_t bytes);

/* Gives a block back; a chunk that is empty then goes back to the segment. */
void allocator_give(struct segment *segment, struct allocator *allocator, struct block_ref block);

/* The size that a block of `bytes` takes. */
size_t allocator_block_bytes(const struct segment *segment, size_t bytes);

/* Whether block is the begin of a block in a chunk of blocks of `owner`. Trusts nothing. */
bool allocator_block_is_valid(const struct segment *segment, unsigned owner, struct block_ref block);

/* Marks one reachable block in marks (one byte per unit of the segment, zeroed before). */
static inline void allocator_mark(unsigned char *marks, struct block_ref block)
{
    marks[block.units] = 1;
}

/* Makes the allocator anew: every block of the owner's chunks whose mark is not set is free; chunks without a marked
 * block go back. The heir of the lock calls it. May be called again after dying inside. */
void allocator_rebuild(struct segment *segment, struct allocator *allocator, unsigned owner,
                       const unsigned char *marks);

/* Free lists, counts and lists of chunks agree with the marks: every block is
 * marked or free, and not both. */
bool allocator_is_valid(const struct segment *segment, const struct allocator *allocator, unsigned owner,
                        const unsigned char *marks, const char **reason);

#endif
