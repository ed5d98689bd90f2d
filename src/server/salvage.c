/* The pairs of a dead server's segment, by the reader that trusts nothing. */
#include "server/salvage.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "persistence/format_4.h"
#include "persistence/segment_image.h"
#include "platform/diagnostic.h"
#include "platform/utf8.h"
#include "protocol/buffer.h"
#include "protocol/json_writer.h"

/* So many lost pairs are told of by name. */
#define LOST_NAMED_MAX 100u
#define KEY_SHOWN_BYTES 100u

struct salvage {
    struct segment_image image;
    struct format_4 segment;
    struct buffer value;
    struct buffer line;
    bool is_quiet;         /* nothing is written or told, only counted */
    uint64_t lost;         /* pairs, as far as they can be counted */
    uint64_t named;        /* of them */
    unsigned char owned[FORMAT_4_OWNED_BYTES]; /* what a server that takes the segment over changes */
    uint64_t unreadable;   /* that the reader had found, but are no text */
    bool is_memory_short;
};

/* --- what is missing --- */

static void lost_tell(struct salvage *salvage, int shard, const char *what, struct bytes key)
{
    salvage->lost++;
    if (salvage->is_quiet || ++salvage->named > LOST_NAMED_MAX)
        return;
    diagnostic_warning("shard %d: lost: %.*s%s: %s", shard, (int)(key.size < KEY_SHOWN_BYTES ? key.size : KEY_SHOWN_BYTES),
                       (const char *)key.data, key.size > KEY_SHOWN_BYTES ? "..." : "", what);
}

static void damage_take(void *context, const struct format_4_damage *damage)
{
    struct salvage *salvage = context;

    if (damage->key.size > 0) {
        lost_tell(salvage, damage->shard, damage->what, damage->key);
        return;
    }
    salvage->lost += damage->is_lost ? damage->count : 0;
    if (salvage->is_quiet)
        return;
    if (damage->shard == FORMAT_4_WHOLE_SEGMENT)
        diagnostic_warning("%s (%" PRIu64 ")", damage->what, damage->count);
    else
        diagnostic_warning("shard %d: %s (%" PRIu64 ")", damage->shard, damage->what, damage->count);
}

/* --- what is there --- */

static bool value_collect(struct salvage *salvage, const struct format_4_pair *pair)
{
    buffer_truncate(&salvage->value, 0);
    while (salvage->value.size < pair->value_size) {
        struct bytes piece = format_4_piece(&salvage->segment, pair, salvage->value.size);

        if (piece.size == 0)
            return false;
        buffer_append(&salvage->value, piece);
        if (salvage->value.failed) {
            salvage->is_memory_short = true;
            return false;
        }
    }
    return true;
}

static bool line_write(struct salvage *salvage, struct bytes key)
{
    struct json_writer writer;

    buffer_truncate(&salvage->line, 0);
    json_writer_init(&writer, &salvage->line);
    json_object_begin(&writer);
    json_name(&writer, "key");
    json_string(&writer, key);
    json_name(&writer, "value");
    json_string(&writer, buffer_bytes(&salvage->value));
    json_object_end(&writer);
    buffer_append_string(&salvage->line, "\n");
    salvage->is_memory_short = salvage->is_memory_short || salvage->line.failed;
    return !salvage->line.failed && fwrite(salvage->line.data, 1, salvage->line.size, stdout) == salvage->line.size;
}

static bool pair_take(void *context, const struct format_4_pair *pair)
{
    struct salvage *salvage = context;

    if (!value_collect(salvage, pair))
        return false;
    /* All that came through the protocol is text, so this is damage. */
    if (!utf8_is_valid(pair->key) || !utf8_is_valid(buffer_bytes(&salvage->value))) {
        salvage->unreadable++;
        lost_tell(salvage, (int)format_4_shard(&salvage->segment, pair->key), "it is no UTF-8, as all that was stored", pair->key);
        return true;
    }
    return salvage->is_quiet || line_write(salvage, pair->key);
}

/* --- */

static bool salvage_open(struct salvage *salvage, const char *directory, const char *name)
{
    char reason[SEGMENT_IMAGE_REASON_BYTES];

    if (segment_image_open(directory, name, &salvage->image, reason) != STATUS_OK) {
        diagnostic_error("%s: %s", name, reason);
        return false;
    }
    switch (format_4_open(&salvage->segment, salvage->image.bytes)) {
    case FORMAT_4_OPENED:
        memcpy(salvage->owned, salvage->image.bytes.data, sizeof salvage->owned);
        return true;
    case FORMAT_4_UNFINISHED:
        diagnostic_error("%s: the segment was never finished: there is nothing in it", name);
        break;
    case FORMAT_4_OTHER:
        diagnostic_error("%s: the segment is of format %u; this program reads format 4", name,
                         format_4_version(salvage->image.bytes));
        break;
    case FORMAT_4_NONE:
    default:
        diagnostic_error("%s: the file is no segment, or so damaged that nothing can be found in it", name);
        break;
    }
    segment_image_close(&salvage->image);
    return false;
}

static void salvage_close(struct salvage *salvage)
{
    segment_image_close(&salvage->image);
    buffer_deinit(&salvage->value);
    buffer_deinit(&salvage->line);
}

static struct format_4_result salvage_read(struct salvage *salvage)
{
    const struct format_4_visitor visitor = {.pair = pair_take, .damage = damage_take, .context = salvage};
    struct format_4_result result = format_4_read(&salvage->segment, &visitor);

    result.damages += salvage->unreadable;
    result.pairs -= salvage->unreadable;
    return result;
}

/* Whether a server has come meanwhile: then what was read is of no one moment. */
static bool is_taken_over(const struct salvage *salvage)
{
    return memcmp(salvage->owned, salvage->image.bytes.data, sizeof salvage->owned) != 0;
}

static int tell_result(const struct salvage *salvage, const struct format_4_result *result)
{
    if (salvage->named > LOST_NAMED_MAX)
        diagnostic_warning("and %" PRIu64 " more that are lost", salvage->named - LOST_NAMED_MAX);
    if (result->damages == 0) {
        diagnostic_info("%" PRIu64 " pairs", result->pairs);
        return SALVAGE_WHOLE;
    }
    diagnostic_error("The segment is damaged: %" PRIu64 " pairs could be read, %" PRIu64 " or more could not", result->pairs,
                     salvage->lost);
    return result->pairs > 0 ? SALVAGE_PART : SALVAGE_NOTHING;
}

int salvage_dump(const char *directory, const char *name)
{
    struct salvage salvage = {.is_quiet = false};
    struct format_4_result result;
    int exit_status = SALVAGE_NOTHING;

    if (!salvage_open(&salvage, directory, name))
        return SALVAGE_NOTHING;
    result = salvage_read(&salvage);
    if (fflush(stdout) != 0 || ferror(stdout) != 0)
        diagnostic_error("The dump cannot be written: %s", strerror(errno));
    else if (result.is_memory_short || salvage.is_memory_short)
        diagnostic_error("The dump ended early, after %" PRIu64 " pairs: no private memory", result.pairs);
    else if (result.is_stopped || is_taken_over(&salvage))
        diagnostic_error("The dump ended early, after %" PRIu64 " pairs: a server has taken the segment over meanwhile; ask it",
                         result.pairs);
    else
        exit_status = tell_result(&salvage, &result);
    salvage_close(&salvage);
    return exit_status;
}

int salvage_report(FILE *stream, const char *directory, const char *name)
{
    struct salvage salvage = {.is_quiet = true};
    struct format_4_result result;

    if (!salvage_open(&salvage, directory, name))
        return SALVAGE_NOTHING;
    result = salvage_read(&salvage);
    salvage_close(&salvage);
    if (result.damages == 0)
        (void)fprintf(stream, "readable: all; --dump writes %" PRIu64 " pairs\n", result.pairs);
    else
        (void)fprintf(stream, "readable: a part; --dump writes %" PRIu64 " pairs, %" PRIu64 " or more are lost\n", result.pairs,
                      salvage.lost);
    if (result.is_memory_short || salvage.is_memory_short || (result.damages > 0 && result.pairs == 0))
        return SALVAGE_NOTHING;
    return result.damages == 0 ? SALVAGE_WHOLE : SALVAGE_PART;
}
