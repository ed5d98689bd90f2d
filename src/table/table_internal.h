/* What the table's source files share with each other and with nobody else. */
#ifndef HAUSKV_TABLE_INTERNAL_H
#define HAUSKV_TABLE_INTERNAL_H

#include "table/table.h"

/* A shard's directory: 2^directory_depth chunk numbers. */
_Atomic uint32_t *directory_of(const struct table *table, unsigned shard);

/* The chunk of the page for tag. */
struct chunk_ref page_chunk_of(const struct table *table, unsigned shard, uint32_t tag);

/* Enters a page in the directory everywhere in its range. */
void directory_set_range(struct table *table, unsigned shard, struct chunk_ref chunk);

/* Raises the time of the last insert or delete. */
void membership_touch(struct shard *shard, uint64_t time);

/* Queues a version that has ended. */
void garbage_push(struct table *table, unsigned shard_number, struct block_ref ref);

#endif
