#include "support/store_fixture.h"

#include <fcntl.h>
#include <sys/file.h>

#include "model/model_store.h"
#include "store/shared_store.h"
#include "support/store_random.h"
#include "transaction/engine.h"

#define PLAIN_SHARD_COUNT 8u
#define PLAIN_VALUE_BYTES_MAX ((size_t)2 << 20)

/* FNV-1a (Fowler, Noll, Vo), its bits mixed once more because the top ones count. */
static uint64_t plain_hash(void *context, struct bytes key)
{
    uint64_t hash = 0xcbf29ce484222325u;

    (void)context;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * 0x100000001b3u;
    return (hash ^ hash >> 32) * 0x9e3779b97f4a7c15u;
}

static uint64_t other_hash(void *context, struct bytes key)
{
    return store_fixture_hash(context, key);
}

/* A new store hashes with a random key; tests that can be repeated want the same each time. Nothing is stored yet. */
static void fix_hash_key(struct store *store)
{
    struct engine *engine = shared_store_engine(store);

    store_content_fill(engine->segment->header->hash_key, SIPHASH_KEY_BYTES, 1);
}

static struct store *shared_store_open(size_t bytes)
{
    struct shared_store_options options = {.bytes = bytes};
    struct store *store = NULL;
    enum status status = shared_store_create(&options, &store);

    REQUIRE(status == STATUS_OK);
    fix_hash_key(store);
    return store;
}

void store_fixture_open(struct store_fixture *fixture, enum store_kind kind, size_t bytes)
{
    struct model_store_options options = {plain_hash, NULL, PLAIN_SHARD_COUNT, PLAIN_VALUE_BYTES_MAX};

    fixture->kind = kind;
    fixture->order_of = NULL;
    fixture->store = kind == STORE_OF_MODEL ? model_store_create(&options) : shared_store_open(bytes);
}

void store_fixture_open_model_of(struct store_fixture *fixture, const struct store_fixture *other)
{
    struct model_store_options options = {
        .hash = other_hash,
        .context = (void *)(uintptr_t)other,
        .shard_count = store_fixture_shard_count(other),
        .value_bytes_max = store_value_bytes_max(other->store),
    };

    fixture->kind = STORE_OF_MODEL;
    fixture->order_of = other;
    fixture->store = model_store_create(&options);
}

void store_fixture_close(struct store_fixture *fixture)
{
    if (fixture->kind == STORE_OF_MODEL)
        model_store_destroy(fixture->store);
    else
        shared_store_destroy(fixture->store);
    fixture->store = NULL;
}

struct store_session *store_fixture_session(struct store_fixture *fixture)
{
    struct store_session *session = NULL;
    enum status status = store_session_open(fixture->store, &session);

    REQUIRE(status == STATUS_OK);
    return session;
}

bool store_fixture_expire(const struct store_fixture *fixture, struct store_session *session,
                          store_transaction transaction)
{
    if (fixture->kind == STORE_OF_MODEL)
        return model_store_expire(session, transaction);
    return shared_store_expire(session, transaction);
}

bool store_fixture_is_valid(const struct store_fixture *fixture, const char **reason)
{
    *reason = "";
    return fixture->kind == STORE_OF_MODEL || shared_store_is_valid(fixture->store, reason);
}

uint64_t store_fixture_hash(const struct store_fixture *fixture, struct bytes key)
{
    if (fixture->order_of != NULL)
        return store_fixture_hash(fixture->order_of, key);
    return fixture->kind == STORE_OF_MODEL ? plain_hash(NULL, key) : shared_store_hash(fixture->store, key);
}

unsigned store_fixture_shard_count(const struct store_fixture *fixture)
{
    if (fixture->order_of != NULL)
        return store_fixture_shard_count(fixture->order_of);
    return fixture->kind == STORE_OF_MODEL ? PLAIN_SHARD_COUNT : shared_store_shard_count(fixture->store);
}

void store_fixture_wait_for_memory(void)
{
    int descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    int locked = descriptor < 0 ? -1 : flock(descriptor, LOCK_EX);

    REQUIRE(locked == 0);
}
