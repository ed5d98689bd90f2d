#include "load/in_process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "load/process_tree.h"
#include "platform/clock.h"
#include "platform/decimal.h"
#include "transaction/engine.h"

/* As a server's; where there is not so much shared memory, anonymous. */
static enum status store_make(size_t bytes, struct store **store)
{
    char name[64];
    struct shared_store_options options = {.name = name, .bytes = bytes, .is_fresh = true};
    enum status status;

    (void)snprintf(name, sizeof name, "in-process-%d", (int)getpid());
    status = shared_store_create(&options, store);
    if (status == STATUS_OK) {
        shared_store_unlink(*store); /* nobody else needs the name, and nothing stays behind */
        return status;
    }
    options.name = NULL;
    return shared_store_create(&options, store);
}

struct store *in_process_store(size_t bytes, struct store_session **session)
{
    struct store *store;

    if (store_make(bytes, &store) != STATUS_OK || store_session_open(store, session) != STATUS_OK) {
        (void)fprintf(stderr, "no store: %s\n", shared_store_reason());
        exit(1);
    }
    return store;
}

void in_process_must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "unexpected: %s\n", status_code(status));
        exit(1);
    }
}

struct bytes in_process_key(char text[IN_PROCESS_KEY_BYTES + 1], uint64_t number)
{
    char digits[DECIMAL_BYTES_MAX];

    REQUIRE(number < 1000000000000u);
    memcpy(text, "key:", 4);
    memcpy(text + 4, decimal_write(number, IN_PROCESS_KEY_BYTES - 4, digits).data, IN_PROCESS_KEY_BYTES - 4);
    text[IN_PROCESS_KEY_BYTES] = '\0';
    return bytes_from(text, IN_PROCESS_KEY_BYTES);
}

uint64_t in_process_fill(struct store_session *session, uint64_t count)
{
    char value[IN_PROCESS_VALUE_BYTES];
    uint64_t longest = 0;

    memset(value, 'v', sizeof(value));
    for (uint64_t i = 0; i < count; i++) {
        char text[IN_PROCESS_KEY_BYTES + 1];
        struct bytes key = in_process_key(text, i);
        uint64_t begin = clock_monotonic_ns();
        uint64_t took;

        in_process_must(store_put(session, STORE_SINGLE, key, bytes_from(value, sizeof(value))));
        took = clock_monotonic_ns() - begin;
        if (took > longest)
            longest = took;
    }
    return longest;
}

void in_process_copy(void *context, struct bytes piece)
{
    if (piece.data != context)
        memcpy(context, piece.data, piece.size);
}

bool in_process_has_huge_pages(void)
{
    return process_file_bytes(getpid(), "smaps_rollup", "ShmemPmdMapped") > 0 ||
           process_file_bytes(getpid(), "smaps_rollup", "Shared_Hugetlb") > 0;
}
