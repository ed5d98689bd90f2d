/* Redis: RESP 2. A request is an array of strings. */
#include "load/protocol.h"

#include <stdlib.h>

static void head(struct batch *batch, char kind, size_t number)
{
    batch_append(batch, bytes_from(&kind, 1));
    batch_append_number(batch, number);
    batch_append_text(batch, "\r\n");
}

static void word(struct batch *batch, struct bytes text)
{
    head(batch, '$', text.size);
    batch_append(batch, text);
    batch_append_text(batch, "\r\n");
}

static void put(struct batch *batch, struct bytes key, struct bytes value)
{
    batch_append_text(batch, "*3\r\n$3\r\nSET\r\n");
    word(batch, key);
    word(batch, value);
    batch->replies++;
}

static void get(struct batch *batch, struct bytes key)
{
    batch_append_text(batch, "*2\r\n$3\r\nGET\r\n");
    word(batch, key);
    batch->replies++;
}

static void del(struct batch *batch, struct bytes key)
{
    batch_append_text(batch, "*2\r\n$3\r\nDEL\r\n");
    word(batch, key);
    batch->replies++;
}

static void begin(struct batch *batch)
{
    batch_append_text(batch, "*1\r\n$5\r\nMULTI\r\n");
    batch->replies++;
}

static void commit(struct batch *batch)
{
    batch_append_text(batch, "*1\r\n$4\r\nEXEC\r\n");
    batch->replies++;
}

static void watch(struct batch *batch, struct bytes key)
{
    batch_append_text(batch, "*2\r\n$5\r\nWATCH\r\n");
    word(batch, key);
    batch->replies++;
}

/* It needs five trips, however many others do. */
static bool read_then_write(struct batch *batch, unsigned trips, unsigned step, struct bytes key, struct bytes value)
{
    (void)trips;
    switch (step) {
    case 0:
        watch(batch, key);
        return true;
    case 1:
        get(batch, key);
        return true;
    case 2:
        begin(batch);
        return true;
    case 3:
        put(batch, key, value);
        return true;
    case 4:
        commit(batch);
        return true;
    default:
        return false;
    }
}

/* The length of the first line with its end; 0: it is not whole. */
static size_t line_size(struct bytes input)
{
    const unsigned char *line_feed = input.size == 0 ? NULL : memchr(input.data, '\n', input.size);

    return line_feed == NULL ? 0 : (size_t)(line_feed - input.data) + 1;
}

static enum reply_kind judge_error(struct bytes input)
{
    return bytes_start_with(input, bytes_from_string("-OOM")) ? REPLY_FULL : REPLY_FAILED;
}

/* A string, or an array of them; an array within an array does not occur. */
static enum reply_kind judge_element(struct bytes input, size_t *size)
{
    size_t line = line_size(input);
    long length;

    if (line == 0)
        return REPLY_INCOMPLETE;
    *size = line;
    if (input.data[0] == '-')
        return judge_error(input);
    if (input.data[0] != '$')
        return REPLY_DONE;
    length = strtol((const char *)input.data + 1, NULL, 10);
    if (length < 0)
        return REPLY_MISSING;
    *size = line + (size_t)length + 2;
    return input.size < *size ? REPLY_INCOMPLETE : REPLY_DONE;
}

static enum reply_kind judge(struct bytes input, size_t *scanned, size_t *size)
{
    enum reply_kind worst = REPLY_DONE;
    size_t end = line_size(input);
    long count;

    *scanned = 0; /* the first line tells the length: nothing is worth remembering */
    if (end == 0 || input.data[0] != '*')
        return judge_element(input, size);
    count = strtol((const char *)input.data + 1, NULL, 10);
    if (count < 0)
        worst = REPLY_CONFLICT;
    for (long i = 0; i < count; i++) {
        size_t element = 0;
        enum reply_kind kind = judge_element(bytes_slice(input, end, input.size - end), &element);

        if (kind == REPLY_INCOMPLETE)
            return kind;
        worst = kind > worst ? kind : worst;
        end += element;
    }
    *size = end;
    return worst;
}

const struct protocol protocol_resp = {put, get, del, begin, commit, read_then_write, judge};
