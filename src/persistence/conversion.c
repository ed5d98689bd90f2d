/* Copying a segment of another layout. It is read twice: a damaged one is refused before anything is made. */
#include "persistence/conversion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "persistence/format_4.h"
#include "platform/file.h"
#include "segment/segment.h"

static char last_reason[SEGMENT_REASON_BYTES];

struct copy {
    const struct format_4 *segment;
    struct store_session *target; /* NULL: only to find out whether it is whole */
    unsigned char *value;
    size_t capacity;
    enum status status;
};

const char *conversion_reason(void)
{
    return last_reason;
}

static enum status refuse(enum status status, const char *sentence)
{
    (void)snprintf(last_reason, sizeof last_reason, "%s", sentence);
    return status;
}

static void damage_ignore(void *context, const struct format_4_damage *damage)
{
    (void)context;
    (void)damage;
}

static bool value_collect(struct copy *copy, const struct format_4_pair *pair)
{
    if (pair->value_size > copy->capacity) {
        unsigned char *grown = realloc(copy->value, pair->value_size);

        if (grown == NULL)
            return false;
        copy->value = grown;
        copy->capacity = pair->value_size;
    }
    for (size_t size = 0; size < pair->value_size;) {
        struct bytes piece = format_4_piece(copy->segment, pair, size);

        if (piece.size == 0)
            return false;
        memcpy(copy->value + size, piece.data, piece.size);
        size += piece.size;
    }
    return true;
}

static bool pair_copy(void *context, const struct format_4_pair *pair)
{
    struct copy *copy = context;

    if (copy->target == NULL)
        return true;
    copy->status = value_collect(copy, pair)
                       ? store_put(copy->target, STORE_SINGLE, pair->key, bytes_from(copy->value, pair->value_size))
                       : STATUS_INTERNAL;
    return copy->status == STATUS_OK;
}

static struct format_4_result pairs_copy(struct copy *copy)
{
    const struct format_4_visitor visitor = {.pair = pair_copy, .damage = damage_ignore, .context = copy};

    return format_4_read(copy->segment, &visitor);
}

/* Every pair, into a store that is new and empty. */
static enum status store_fill(struct store *store, const struct format_4 *segment, uint64_t pairs)
{
    struct copy copy = {.segment = segment, .status = STATUS_OK};
    enum status status = store_session_open(store, &copy.target);
    struct format_4_result result;

    if (status != STATUS_OK)
        return status;
    result = pairs_copy(&copy);
    store_session_close(copy.target);
    free(copy.value);
    if (copy.status == STATUS_OK && (result.damages > 0 || result.is_memory_short || result.pairs != pairs))
        return STATUS_INTERNAL;
    return copy.status;
}

/* Fills a new store that has no name yet, and then gives it those of the old one. */
static enum status store_make(const struct shared_store_options *options, const struct segment *old,
                              const struct format_4 *segment, uint64_t pairs, struct store **result)
{
    struct shared_store_options new_options = *options;
    enum status status;

    new_options.is_replacement = true;
    new_options.hash_key = segment->hash_key; /* who scans goes on where it was */
    if (new_options.bytes == 0)
        new_options.bytes = segment->segment_bytes;
    status = shared_store_create(&new_options, result);
    if (status != STATUS_OK)
        return refuse(status, shared_store_reason());
    status = store_fill(*result, segment, pairs);
    if (status == STATUS_OK && shared_store_replace(*result, old) == STATUS_OK)
        return STATUS_OK;
    shared_store_unlink(*result);
    shared_store_destroy(*result);
    if (status == STATUS_OK)
        return refuse(STATUS_INTERNAL, shared_store_reason());
    return refuse(status, status == STATUS_OUT_OF_MEMORY ? "the data of the segment does not fit the memory given"
                                                         : "the segment cannot be copied");
}

static enum status bytes_convert(const struct shared_store_options *options, const struct segment *old, struct bytes bytes,
                                 struct store **result, struct shared_store_restart *restart)
{
    struct format_4 segment;
    struct copy look = {.segment = &segment};
    struct format_4_result found;

    if (format_4_open(&segment, bytes) != FORMAT_4_OPENED)
        return refuse(STATUS_DENIED, "the segment is of another build, and damaged beyond reading");
    found = pairs_copy(&look);
    if (found.is_memory_short)
        return refuse(STATUS_INTERNAL, "no private memory");
    if (found.damages > 0)
        return refuse(STATUS_DENIED, "the segment is of another build, and damaged, so it is not taken over; it is kept "
                                     "(--inspect NAME --dump saves what can be read, --fresh discards it)");
    restart->was_converted = true;
    restart->keys = found.pairs;
    return store_make(options, old, &segment, found.pairs, result);
}

static enum status file_convert(const struct shared_store_options *options, const struct segment *old,
                                struct store **result, struct shared_store_restart *restart)
{
    uint64_t size = 0;
    int error = file_size(old->descriptor, &size);
    void *bytes = error == 0 && size > 0 ? mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, old->descriptor, 0) : MAP_FAILED;
    enum status status;

    if (bytes == MAP_FAILED)
        return refuse(STATUS_INTERNAL, "cannot map the segment");
    status = bytes_convert(options, old, bytes_from(bytes, (size_t)size), result, restart);
    (void)munmap(bytes, (size_t)size);
    return status;
}

enum status conversion_restore(const struct shared_store_options *options, struct store **result,
                               struct shared_store_restart *restart)
{
    const struct segment_options segment_options = {
        .name = options->name,
        .directory = options->directory,
        .may_be_on_disk = options->may_be_on_disk,
    };
    uint32_t version = 0;
    struct segment *old = NULL;
    enum status status;

    *restart = (struct shared_store_restart){0};
    if (!shared_store_is_of_another_layout(options, &version) || version != FORMAT_4) {
        status = shared_store_restore(options, result, restart);
        return status == STATUS_OK ? status : refuse(status, shared_store_reason());
    }
    status = segment_own(&segment_options, &old, last_reason);
    if (status != STATUS_OK)
        return status;
    /* Should another server have come and gone since the look: whatever it left is of format 4, or refused. */
    status = file_convert(options, old, result, restart);
    segment_disown(old);
    return status;
}
