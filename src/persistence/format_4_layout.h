/* Format 4, frozen: where things lie in a segment of it, and what numbers mean.
 * A copy, on purpose: no header of the engine is included, and nothing here may
 * ever change. spec/segment.md describes the same; tests/unit/persistence
 * compares with the engine's own definitions as long as it writes format 4.
 *
 * All numbers are little endian. CB is the number of bytes of a chunk, a power
 * of two that the header's offsets tell. */
#ifndef HAUSKV_PERSISTENCE_FORMAT_4_LAYOUT_H
#define HAUSKV_PERSISTENCE_FORMAT_4_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define F4_MAGIC 0x31766b7375616825u
#define F4_VERSION 4u
#define F4_UNIT_BYTES 16u
#define F4_SEGMENT_BYTES_MAX ((size_t)1 << 36)
#define F4_CHUNK_BYTES_MIN ((size_t)2048)
#define F4_CHUNK_BYTES_USUAL ((size_t)16384)
#define F4_CHUNK_BYTES_MAX ((size_t)131072)
#define F4_CHUNK_COUNT_MIN 4u

/* Header. */
#define F4_HEADER_MAGIC 0u
#define F4_HEADER_FINGERPRINT 8u
#define F4_HEADER_BYTES 16u
#define F4_HEADER_ROOT_OFFSET 24u
#define F4_HEADER_ROOT_BYTES 32u
#define F4_HEADER_OWNERS_OFFSET 40u
#define F4_HEADER_INFOS_OFFSET 48u
#define F4_HEADER_CHUNKS_OFFSET 56u
#define F4_HEADER_FORMAT_VERSION 64u
#define F4_HEADER_CHUNK_COUNT 68u
#define F4_HEADER_HASH_KEY 80u
#define F4_HEADER_CLOCK 192u
#define F4_HEADER_SLOT_BLOCKS 320u /* CB / 16 u32: chunks of slots */
/* Behind the slot blocks, from the next multiple of 64: a mutex, a u64, the buckets of key locks. */
#define F4_HEADER_TAIL_BYTES 48u
#define F4_KEY_LOCK_BUCKETS_USUAL 4096u
#define F4_KEY_LOCK_BUCKETS_SMALL 64u /* of chunks smaller than the usual ones */
#define F4_SECTION_ALIGNMENT 64u
#define F4_INFO_BYTES 12u

/* A mutex: the first word and the owner are 0 while nobody holds it, nor died holding it. */
#define F4_MUTEX_OWNER 8u

/* Root: this, the shards, the directory. */
#define F4_ROOT_SHARD_COUNT 0u
#define F4_ROOT_DIRECTORY_DEPTH 4u
#define F4_ROOT_BYTES 64u
#define F4_SHARD_COUNT_MAX 64u
#define F4_DIRECTORY_DEPTH_MAX 24u
#define F4_DIRECTORY_NUMBER_BITS 27u /* of an entry: chunk number; above: the page's depth */

#define F4_SHARD_BYTES 384u
#define F4_SHARD_SET_ASIDE 48u
#define F4_SHARD_KEY_COUNT 64u

/* Owner words: kind << 24 | size class << 16 | owner. */
#define F4_KIND_PAGE 1u
#define F4_KIND_BLOCK 2u
#define F4_KIND_VALUE 3u
#define F4_KIND_LOG 4u
#define F4_KIND_SLOT 5u

/* Page. */
#define F4_PAGE_REPLACED_BY 0u
#define F4_PAGE_PREFIX 8u
#define F4_PAGE_DEPTH 12u
#define F4_PAGE_ENTRIES 64u

/* Version. */
#define F4_VERSION_BEGIN 0u
#define F4_VERSION_END 8u
#define F4_VERSION_VALUE_SIZE 24u
#define F4_VERSION_KEY_SIZE 28u
#define F4_VERSION_BYTES 32u
#define F4_KEY_BYTES_MAX 1024u
#define F4_TIME_INFINITE UINT64_MAX

/* Slot, and in it the record of a commit. */
#define F4_SLOT_BYTES 1024u
#define F4_SLOT_WORD 72u
#define F4_SLOT_PENDING 80u
#define F4_SLOT_REDO_CHUNK 88u
#define F4_SLOT_REDO_COUNT 92u
#define F4_SLOT_REDO_BUILT_IN 100u
#define F4_REDO_BUILT_IN 8u
/* An entry: u32 version, u16 shard, u16 kind. A chunk of them: u32 next, u32 unused, entries. */
#define F4_REDO_BYTES 8u
#define F4_REDO_CHUNK_ENTRIES 8u
#define F4_REDO_PUT 1u
#define F4_REDO_DEL 2u

/* Size classes of blocks. */
#define F4_BLOCK_BYTES_MIN 48u
#define F4_SIZE_CLASS_COUNT_MAX 64u

#endif
