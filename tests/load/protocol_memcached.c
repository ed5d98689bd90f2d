/* memcached's text form. It has no transactions. */
#include "load/protocol.h"

#include <stdlib.h>

static void put(struct batch *batch, struct bytes key, struct bytes value)
{
    batch_append_text(batch, "set ");
    batch_append(batch, key);
    batch_append_text(batch, " 0 0 ");
    batch_append_number(batch, value.size);
    batch_append_text(batch, "\r\n");
    batch_append(batch, value);
    batch_append_text(batch, "\r\n");
    batch->replies++;
}

static void get(struct batch *batch, struct bytes key)
{
    batch_append_text(batch, "get ");
    batch_append(batch, key);
    batch_append_text(batch, "\r\n");
    batch->replies++;
}

static void del(struct batch *batch, struct bytes key)
{
    batch_append_text(batch, "delete ");
    batch_append(batch, key);
    batch_append_text(batch, "\r\n");
    batch->replies++;
}

static bool is_word(struct bytes line, const char *word)
{
    return bytes_start_with(line, bytes_from_string(word));
}

/* The bytes of a value are the last field of its first line. */
static size_t value_size(struct bytes line)
{
    size_t begin = line.size;

    while (begin > 0 && line.data[begin - 1] != ' ')
        begin--;
    return strtoul((const char *)line.data + begin, NULL, 10);
}

static enum reply_kind judge_short(struct bytes line)
{
    if (is_word(line, "END") || is_word(line, "NOT_FOUND"))
        return REPLY_MISSING;
    if (is_word(line, "STORED") || is_word(line, "DELETED"))
        return REPLY_DONE;
    return is_word(line, "SERVER_ERROR out of memory") ? REPLY_FULL : REPLY_FAILED;
}

static enum reply_kind judge(struct bytes input, size_t *scanned, size_t *size)
{
    static const char end[] = "\r\nEND\r\n";
    const unsigned char *line_feed = input.size == 0 ? NULL : memchr(input.data, '\n', input.size);
    struct bytes line;

    *scanned = 0; /* the first line tells the length: nothing is worth remembering */
    if (line_feed == NULL)
        return REPLY_INCOMPLETE;
    *size = (size_t)(line_feed - input.data) + 1;
    line = bytes_slice(input, 0, *size);
    if (!is_word(line, "VALUE "))
        return judge_short(line);
    *size += value_size(line) + sizeof end - 1;
    return input.size < *size ? REPLY_INCOMPLETE : REPLY_DONE;
}

const struct protocol protocol_memcached = {put, get, del, NULL, NULL, NULL, judge};
