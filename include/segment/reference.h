/* Typed offsets: what stands in shared memory in place of pointers, since every
 * process may map the segment elsewhere. One type per kind, so that the compiler
 * objects to a mix-up. Zero is "none" in all of them. */
#ifndef HAUSKV_SEGMENT_REFERENCE_H
#define HAUSKV_SEGMENT_REFERENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Everything that a reference names is aligned to this many bytes; an offset in
 * such units fits 32 bits up to a segment of 64 GiB. */
#define REFERENCE_UNIT_BYTES 16u

/* A chunk by its number, counted from 1. */
struct chunk_ref {
    uint32_t number;
};

/* A block inside a chunk: offset from the segment's begin, in units. */
struct block_ref {
    uint32_t units;
};

static inline bool chunk_ref_is_none(struct chunk_ref ref)
{
    return ref.number == 0;
}

static inline bool block_ref_is_none(struct block_ref ref)
{
    return ref.units == 0;
}

#endif
