/* The loader of dumps. What is loaded is written, loaded again elsewhere and
 * written again: twice the same text, and as many pairs as were said. A file
 * with a line that is no pair loads nothing.
 *
 * Input: the file. */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "private_store.h"
#include "server/dump.h"

#define STORE_BYTES ((size_t)256 << 10)
#define SHARD_COUNT 2u
#define PATH_BYTES 64u

/* A file that has no name but this path. */
static int file_make(char path[PATH_BYTES])
{
    int file = memfd_create("dump", MFD_CLOEXEC);

    REQUIRE(file >= 0);
    (void)snprintf(path, PATH_BYTES, "/proc/self/fd/%d", file);
    return file;
}

static bool load(struct store *store, struct bytes text, uint64_t *pairs)
{
    static char path[PATH_BYTES];
    static const volatile sig_atomic_t never = 0;
    static int file = -1;
    ssize_t written;

    if (file < 0)
        file = file_make(path);
    REQUIRE(ftruncate(file, 0) == 0);
    written = pwrite(file, text.data, text.size, 0);
    REQUIRE(written == (ssize_t)text.size);
    return dump_load(store, path, &never, pairs);
}

static bool line_write(void *context, struct bytes line)
{
    return fwrite(line.data, 1, line.size, context) == line.size;
}

static struct bytes text_of(struct store *store, uint64_t *pairs)
{
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    const struct dump_sink sink = {.write = line_write, .context = stream};
    struct store_session *session = NULL;
    struct dump_result result;
    enum status status = store_session_open(store, &session);

    REQUIRE(stream != NULL && status == STATUS_OK);
    status = dump_write(store, session, &sink, &result);
    ENSURE(status == STATUS_OK && result.shards_missing == 0);
    *pairs = result.pairs;
    store_session_close(session);
    (void)fclose(stream);
    return bytes_from(text, size);
}

static void text_free(struct bytes text)
{
    free((void *)(uintptr_t)text.data);
}

/* The text of a store, loaded into another, is the text of that one. */
static void check_again(struct bytes text, uint64_t pairs)
{
    struct store *store = private_store_create(STORE_BYTES, SHARD_COUNT);
    uint64_t loaded = 0;
    uint64_t written = 0;
    struct bytes again;
    bool is_loaded = load(store, text, &loaded);

    ENSURE(is_loaded && loaded == pairs);
    again = text_of(store, &written);
    ENSURE(written == pairs && bytes_equal(again, text));
    text_free(again);
    private_store_close(store);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct store *store = private_store_create(STORE_BYTES, SHARD_COUNT);
    uint64_t loaded = 0;
    uint64_t written = 0;
    bool is_loaded = load(store, bytes_from(data, size), &loaded);
    struct bytes text = text_of(store, &written);

    if (is_loaded) {
        ENSURE(loaded == written);
        check_again(text, written);
    } else {
        bool is_full = size > STORE_BYTES / 16; /* such a file may not fit, and then the pairs before stay */

        ENSURE(written == 0 || is_full);
    }
    text_free(text);
    private_store_close(store);
    return 0;
}
