/* A dump in one transaction, and loading one, line by line. */
#include "server/dump.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "platform/diagnostic.h"
#include "platform/utf8.h"
#include "protocol/json_form.h"
#include "protocol/json_writer.h"
#include "store/shared_store.h"

#define SCAN_LIMIT 1000u

struct dump {
    struct store *store;
    struct store_session *session;
    store_transaction transaction;
    const struct dump_sink *sink;
    struct buffer keys;  /* of one scan, each behind its size */
    struct buffer line;
    struct json_writer writer;
    uint64_t pairs;
    bool is_part; /* a shard is missing */
};

static void key_take(void *context, struct bytes key)
{
    struct dump *dump = context;
    uint16_t size = (uint16_t)key.size;

    buffer_append(&dump->keys, bytes_from(&size, sizeof(size)));
    buffer_append(&dump->keys, key);
}

static void piece_take(void *context, struct bytes piece)
{
    json_string_piece(&((struct dump *)context)->writer, piece);
}

static enum status pair_write(struct dump *dump, struct bytes key)
{
    struct store_sink sink = {.write = piece_take, .context = dump};
    enum status status;

    buffer_truncate(&dump->line, 0);
    json_writer_init(&dump->writer, &dump->line);
    json_object_begin(&dump->writer);
    json_name(&dump->writer, "key");
    json_string(&dump->writer, key);
    json_name(&dump->writer, "value");
    json_string_begin(&dump->writer);
    status = store_get(dump->session, dump->transaction, key, &sink);
    if (status != STATUS_OK)
        return status;
    json_string_end(&dump->writer);
    json_object_end(&dump->writer);
    buffer_append_string(&dump->line, "\n");
    if (dump->line.failed)
        return STATUS_INTERNAL;
    if (!dump->sink->write(dump->sink->context, buffer_bytes(&dump->line)))
        return STATUS_DENIED;
    dump->pairs++;
    return STATUS_OK;
}

static enum status keys_write(struct dump *dump)
{
    struct bytes left = buffer_bytes(&dump->keys);
    enum status status = dump->keys.failed ? STATUS_INTERNAL : STATUS_OK;

    while (status == STATUS_OK && left.size > 0) {
        uint16_t size;

        memcpy(&size, left.data, sizeof(size));
        status = pair_write(dump, bytes_slice(left, sizeof(size), size));
        left = bytes_slice(left, sizeof(size) + size, left.size - sizeof(size) - size);
    }
    return status;
}

/* The scan came to a shard that is set aside. What it is to list before that is asked for key by key; then it goes on behind the
 * shard where it stands. False: there is none behind. */
static bool step_over(struct dump *dump, struct store_scan *scan)
{
    unsigned shard_bits = (unsigned)__builtin_ctz(shared_store_shard_count(dump->store));
    uint64_t last = scan->cursor | UINT64_MAX >> shard_bits; /* of the shard's */

    dump->is_part = true;
    if (scan->limit > 1) {
        scan->limit = 1;
        return true;
    }
    scan->limit = SCAN_LIMIT;
    scan->cursor = last + 1; /* 0 at the very end */
    return scan->cursor != 0;
}

static enum status pairs_write(struct dump *dump)
{
    struct store_scan scan = {.limit = SCAN_LIMIT, .key = key_take, .context = dump};
    enum status status = STATUS_OK;
    bool is_over = false;

    while (status == STATUS_OK && !is_over) {
        buffer_truncate(&dump->keys, 0);
        status = store_scan(dump->session, dump->transaction, &scan);
        if (status == STATUS_UNAVAILABLE) {
            is_over = !step_over(dump, &scan);
            status = STATUS_OK;
        } else if (status == STATUS_OK) {
            is_over = scan.cursor == 0;
            status = keys_write(dump);
        }
    }
    return status;
}

static uint64_t shards_missing(struct store *store)
{
    struct shared_store_statistics statistics;

    shared_store_statistics(store, &statistics);
    return statistics.shards_set_aside;
}

enum status dump_write(struct store *store, struct store_session *session, const struct dump_sink *sink,
                       struct dump_result *result)
{
    struct dump dump = {.store = store, .session = session, .sink = sink};
    enum status status = shared_store_begin_snapshot(session, &dump.transaction);

    if (status == STATUS_OK) {
        status = pairs_write(&dump);
        store_rollback(session, dump.transaction);
    }
    buffer_deinit(&dump.keys);
    buffer_deinit(&dump.line);
    *result = (struct dump_result){dump.pairs, dump.is_part ? shards_missing(store) : 0};
    return status;
}

/* --- loading --- */

struct load {
    const char *path;
    FILE *file;
    char *line;
    size_t capacity;
    uint64_t number; /* of the line */
    const volatile sig_atomic_t *stop;
};

static bool refuse(const struct load *load, const char *what)
{
    diagnostic_error("%s:%llu: %s", load->path, (unsigned long long)load->number, what);
    return false;
}

/* Decodes the line in place. */
static bool pair_read(struct load *load, size_t size, struct bytes *key, struct bytes *value)
{
    struct json_member members[] = {{.name = "key"}, {.name = "value"}};
    const char *complaint;
    size_t end;

    if (!utf8_is_valid(bytes_from(load->line, size)))
        return refuse(load, "this is not UTF-8");
    if (size == 0 || load->line[0] != '{')
        return refuse(load, "a pair is {\"key\": \"k\", \"value\": \"v\"}");
    complaint = json_form_read((unsigned char *)load->line, size, members, 2, &end);
    if (complaint != NULL)
        return refuse(load, complaint);
    if (end != size)
        return refuse(load, "something stands behind the pair");
    if (!members[0].is_present || !members[1].is_present)
        return refuse(load, "a pair has a key and a value");
    *key = members[0].value;
    *value = members[1].value;
    if (key->size < 1 || key->size > STORE_KEY_BYTES_MAX)
        return refuse(load, "a key has 1 to 1024 bytes");
    return true;
}

static bool pair_put(const struct load *load, struct store_session *session, struct bytes key, struct bytes value)
{
    enum status status = store_put(session, STORE_SINGLE, key, value);

    return status == STATUS_OK || refuse(load, status_message(status));
}

/* session NULL: only looks. */
static bool lines_read(struct load *load, struct store_session *session, size_t value_bytes_max)
{
    ssize_t length;

    load->number = 1;
    rewind(load->file);
    for (; (length = getline(&load->line, &load->capacity, load->file)) >= 0; load->number++) {
        size_t size = (size_t)length;
        struct bytes key = bytes_from(NULL, 0);
        struct bytes value = bytes_from(NULL, 0);

        while (size > 0 && (load->line[size - 1] == '\n' || load->line[size - 1] == '\r'))
            size--;
        if (*load->stop != 0)
            return refuse(load, "told to stop here");
        if (size == 0)
            continue;
        if (!pair_read(load, size, &key, &value))
            return false;
        if (value.size > value_bytes_max)
            return refuse(load, "the value is larger than this server takes");
        if (session != NULL && !pair_put(load, session, key, value))
            return false;
    }
    return feof(load->file) != 0 || refuse(load, strerror(errno));
}

bool dump_load(struct store *store, const char *path, const volatile sig_atomic_t *stop, uint64_t *pairs)
{
    struct load load = {.path = path, .file = fopen(path, "re"), .stop = stop};
    size_t value_bytes_max = store_value_bytes_max(store);
    struct store_session *session;
    uint64_t before = 0;
    bool is_loaded = false;
    enum status status;

    *pairs = 0;
    if (load.file == NULL) {
        diagnostic_error("Cannot open %s: %s", path, strerror(errno));
        return false;
    }
    /* A pipe would be empty the second time, and nothing be loaded. */
    if (fseeko(load.file, 0, SEEK_SET) != 0) {
        diagnostic_error("Cannot load %s, which is read twice and so must be a file: %s", path, strerror(errno));
        goto close_file;
    }
    if (!lines_read(&load, NULL, value_bytes_max))
        goto close_file;
    status = store_session_open(store, &session);
    if (status != STATUS_OK) {
        diagnostic_error("Cannot load %s: %s", path, status_message(status));
        goto close_file;
    }
    (void)store_count(session, STORE_SINGLE, bytes_from(NULL, 0), &before);
    is_loaded = lines_read(&load, session, value_bytes_max);
    (void)store_count(session, STORE_SINGLE, bytes_from(NULL, 0), pairs);
    *pairs -= before;
    store_session_close(session);

close_file:
    free(load.line);
    (void)fclose(load.file);
    return is_loaded;
}
