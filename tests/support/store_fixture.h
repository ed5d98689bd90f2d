/* Opens one of the stores for a test, so that a test can be run against each:
 * the reference model and the shared-memory store. What a store has beyond
 * store.h (hash, shards, expiry, a check of everything) goes through here too.
 *
 * Processes: a fixture is opened and closed by the test's own process; forked
 * children may open sessions of a shared store through fixture->store. */
#ifndef HAUSKV_TESTS_STORE_FIXTURE_H
#define HAUSKV_TESTS_STORE_FIXTURE_H

#include "store/store.h"

enum store_kind {
    STORE_OF_MODEL,
    STORE_OF_SHARED_MEMORY
};

struct store_fixture {
    enum store_kind kind;
    struct store *store;
    const struct store_fixture *order_of; /* whose hash and shards it has, if not its own */
};

#define STORE_FIXTURE_BYTES ((size_t)32 << 20)

/* A new, empty store that nobody else sees; bytes is the size of shared memory. Aborts if there is none. */
void store_fixture_open(struct store_fixture *fixture, enum store_kind kind, size_t bytes);

/* A model with the order, the shards and the limits of another store, which must stay open as long. */
void store_fixture_open_model_of(struct store_fixture *fixture, const struct store_fixture *other);

/* Sessions that this process opened must be closed. */
void store_fixture_close(struct store_fixture *fixture);

/* store_session_open, which must succeed. */
struct store_session *store_fixture_session(struct store_fixture *fixture);

/* Expires an open, idle transaction as the housekeeper would; false: it was not. */
bool store_fixture_expire(const struct store_fixture *fixture, struct store_session *session,
                          store_transaction transaction);

/* Checks all that the store keeps; on false, reason says what is wrong. Nobody else may be inside. */
bool store_fixture_is_valid(const struct store_fixture *fixture, const char **reason);

uint64_t store_fixture_hash(const struct store_fixture *fixture, struct bytes key);
unsigned store_fixture_shard_count(const struct store_fixture *fixture);

/* Waits until no other test of this program holds the same: for those that take much memory. Let go at process end. */
void store_fixture_wait_for_memory(void);

#endif
