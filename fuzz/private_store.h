/* A small shared-memory store that nobody else sees, the same each time. */
#ifndef HAUSKV_FUZZ_PRIVATE_STORE_H
#define HAUSKV_FUZZ_PRIVATE_STORE_H

#include "store/shared_store.h"

struct store *private_store_create(size_t bytes, unsigned shard_count);

/* Nothing is open; everything must be valid. */
void private_store_check(struct store *store);

/* Checks and destroys. */
void private_store_close(struct store *store);

#endif
