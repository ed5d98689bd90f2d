/* Reads every pair that can be read from a segment of format 4, whatever state
 * it is in: of a server that ended, of one that was killed in the middle of
 * commits, and of one that something has damaged.
 *
 * It shares no definition with the living engine: the format is frozen here
 * (src/persistence/format_4_layout.h), so that segments of today can be read by
 * every later version. It works on bytes, from the header's own numbers, and
 * trusts none of them: whatever the bytes are, it ends, and reads nothing
 * outside of them. What a killed server had committed and not yet published is
 * part of what is read.
 *
 * A key proves itself: its keyed hash must be what the table says. What cannot
 * be read is told of, part by part. Nothing is changed; any process. */
#ifndef HAUSKV_PERSISTENCE_FORMAT_4_H
#define HAUSKV_PERSISTENCE_FORMAT_4_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"

#define FORMAT_4 4u
#define FORMAT_4_HASH_KEY_BYTES 16u

/* The first bytes of a segment, which only a server that takes it over changes: its pid is among them. */
#define FORMAT_4_OWNED_BYTES 80u

/* The handle; its fields are the module's own. */
struct format_4 {
    struct bytes bytes;
    size_t chunk_bytes;
    size_t root_offset;
    size_t root_bytes;
    size_t owners_offset;
    size_t chunks_offset;
    size_t segment_bytes;
    uint32_t chunk_count;
    unsigned shard_count;
    unsigned shard_bits;
    unsigned directory_depth;
    unsigned header_words_damaged;
    bool is_root_damaged;
    bool is_hash_key_damaged; /* then keys cannot prove themselves */
    uint64_t clock;
    unsigned char hash_key[FORMAT_4_HASH_KEY_BYTES];
};

enum format_4_outcome {
    FORMAT_4_OPENED,
    FORMAT_4_UNFINISHED, /* its server died before it was born: there is nothing in it */
    FORMAT_4_OTHER,      /* a segment of another format: format_4_version says which */
    FORMAT_4_NONE        /* no segment, or so damaged that nothing can be found */
};

/* Finds the parts of the segment. bytes must live as long as the handle; they may change meanwhile, which is as good as
 * damage. */
enum format_4_outcome format_4_open(struct format_4 *segment, struct bytes bytes);

/* The number of the format in a segment's first bytes; 0: they are no segment's. */
uint32_t format_4_version(struct bytes bytes);

/* What tells builds that lay out a format differently apart; 0: it is no segment. */
uint64_t format_4_fingerprint(struct bytes bytes);

/* A pair, until its visitor returns. */
struct format_4_pair {
    struct bytes key;
    size_t value_size;
    /* The module's own: where in the segment the value lies. */
    size_t chunk_numbers_offset;
    size_t chunk_count;
    size_t rest_offset;
};

/* The shard that a key is in. */
unsigned format_4_shard(const struct format_4 *segment, struct bytes key);

/* The value from offset on, as far as it lies in one piece; empty at its end. */
struct bytes format_4_piece(const struct format_4 *segment, const struct format_4_pair *pair, size_t offset);

#define FORMAT_4_WHOLE_SEGMENT (-1)

/* Something that is wrong, `count` times. */
struct format_4_damage {
    int shard;         /* or FORMAT_4_WHOLE_SEGMENT */
    const char *what;  /* a sentence without its full stop */
    struct bytes key;  /* of a pair whose value is lost; else empty */
    uint64_t count;
    bool is_lost;      /* pairs are missing; else what is there may be wrong, or only the place is */
};

struct format_4_visitor {
    bool (*pair)(void *context, const struct format_4_pair *pair); /* false: no more is wanted */
    void (*damage)(void *context, const struct format_4_damage *damage);
    void *context;
};

struct format_4_result {
    uint64_t pairs;   /* that were visited */
    uint64_t damages; /* 0: the segment is whole, and these are all its pairs */
    bool is_stopped;  /* the visitor wanted no more */
    bool is_memory_short; /* there was no private memory; pairs are missing */
};

/* Visits every pair, each key once, with the value committed last. In no order. */
struct format_4_result format_4_read(const struct format_4 *segment, const struct format_4_visitor *visitor);

#endif
