#include "private_store.h"

struct store *private_store_create(size_t bytes, unsigned shard_count)
{
    struct shared_store_options options = {.bytes = bytes, .shard_count = shard_count, .lock_timeout_ms = 1};
    struct store *store = NULL;
    enum status status = shared_store_create(&options, &store);

    REQUIRE(status == STATUS_OK);
    return store;
}

void private_store_check(struct store *store)
{
    const char *reason = NULL;
    bool is_valid = shared_store_is_valid(store, &reason);

    if (!is_valid)
        contract_failed("valid store", reason, __FILE__, __LINE__);
}

void private_store_close(struct store *store)
{
    private_store_check(store);
    shared_store_destroy(store);
}
