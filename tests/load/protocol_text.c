/* hauskv: a line in, a line of JSON out. */
#include "load/protocol.h"

#define OK "{\"status\": \"Ok\""

static void put(struct batch *batch, struct bytes key, struct bytes value)
{
    batch_append_text(batch, "PUT ");
    batch_append(batch, key);
    batch_append_text(batch, " ");
    batch_append(batch, value);
    batch_append_text(batch, "\n");
    batch->replies++;
}

static void say(struct batch *batch, const char *verb, struct bytes key)
{
    batch_append_text(batch, verb);
    batch_append(batch, key);
    batch_append_text(batch, "\n");
    batch->replies++;
}

static void get(struct batch *batch, struct bytes key)
{
    say(batch, "GET ", key);
}

static void del(struct batch *batch, struct bytes key)
{
    say(batch, "DEL ", key);
}

static void begin(struct batch *batch)
{
    batch_append_text(batch, "START\n");
    batch->replies++;
}

static void commit(struct batch *batch)
{
    batch_append_text(batch, "COMMIT\n");
    batch->replies++;
}

/* START, GET, PUT and COMMIT do it; a fifth trip reads again what was written. */
static bool read_then_write(struct batch *batch, unsigned trips, unsigned step, struct bytes key, struct bytes value)
{
    if (step == 0)
        begin(batch);
    else if (step == 1)
        get(batch, key);
    else if (step == 2)
        put(batch, key, value);
    else if (step < trips - 1)
        get(batch, key);
    else if (step == trips - 1)
        commit(batch);
    return step < trips;
}

static bool has_code(struct bytes line, const char *code)
{
    struct bytes end = bytes_from_string(code);

    return line.size >= end.size && bytes_equal(bytes_slice(line, line.size - end.size, end.size), end);
}

static enum reply_kind judge(struct bytes input, size_t *scanned, size_t *size)
{
    const unsigned char *line_feed = NULL;
    struct bytes line;

    if (input.size > *scanned)
        line_feed = memchr(input.data + *scanned, '\n', input.size - *scanned);
    if (line_feed == NULL) {
        *scanned = input.size;
        return REPLY_INCOMPLETE;
    }
    *size = (size_t)(line_feed - input.data) + 1;
    line = bytes_slice(input, 0, *size - 1);
    if (bytes_start_with(line, bytes_from(OK, sizeof OK - 1)))
        return REPLY_DONE;
    if (has_code(line, "\"code\": \"not_found\"}"))
        return REPLY_MISSING;
    if (has_code(line, "\"code\": \"conflict\"}"))
        return REPLY_CONFLICT;
    return has_code(line, "\"code\": \"out_of_memory\"}") ? REPLY_FULL : REPLY_FAILED;
}

const struct protocol protocol_text = {put, get, del, begin, commit, read_then_write, judge};
