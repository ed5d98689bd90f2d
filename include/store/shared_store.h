/* The store over shared memory: store.h on top of the engine. */
#ifndef HAUSKV_STORE_SHARED_STORE_H
#define HAUSKV_STORE_SHARED_STORE_H

#include "store/store.h"

struct engine;

#define SHARED_STORE_REASON_BYTES 256u

struct shared_store_options {
    const char *name;     /* of the shared-memory object, without slash; NULL: anonymous, inherited by fork */
    size_t bytes;         /* hard limit of what is held; 0 is out of range */
    unsigned shard_count; /* 0: by size; a power of two up to 64 otherwise */
};

/* Makes a new, empty store. STATUS_DENIED: the name exists. STATUS_OUT_OF_MEMORY: the system has not so much shared memory.
 * STATUS_TOO_LARGE: bytes out of range. STATUS_INTERNAL: the system refused. Only the master (or a test) calls it;
 * children made by fork use the same store. */
enum status shared_store_create(const struct shared_store_options *options, struct store **store);

/* The sentence that goes with the last failed shared_store_create of this process. */
const char *shared_store_reason(void);

/* Unmaps and frees; sessions must be closed. Others keep theirs. */
void shared_store_destroy(struct store *store);
/* Removes the name of a named store. */
void shared_store_unlink(struct store *store);

/* A key's place in the order of SCAN, and the number of parts whose membership a SCAN or COUNT watches: the top bits of the
 * hash name the part. */
uint64_t shared_store_hash(const struct store *store, struct bytes key);
unsigned shared_store_shard_count(const struct store *store);

/* Checks everything; nobody else may be inside. */
bool shared_store_is_valid(struct store *store, const char **reason);

/* Expires an open transaction of a session, as the housekeeper would; false if it is expired already. Any time, by the
 * session's own process. */
bool shared_store_expire(struct store_session *session, store_transaction transaction);

/* Below the interface: statistics, housekeeping, tests. */
struct engine *shared_store_engine(struct store *store);

#endif
