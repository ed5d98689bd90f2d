/* Bytes to lines.
 *
 * buffer:  | handed out | no LF in here | not looked at | room |
 *          0         served         scanned          size   capacity
 *
 * While a line that is too long is being skipped, what was looked at goes into
 * the outline and out of the buffer - all but a last CR, which belongs to the
 * line's end if LF follows and to the line if not. */
#include "protocol/line_reader.h"

#include <string.h>

/* LF, and a byte that telnet.h keeps free before what comes. */
#define ROOM_MIN 2u

static size_t capacity_max(const struct line_reader *reader);
static void skip_unfinished(struct line_reader *reader);
static void hand_out(struct line_reader *reader, struct bytes rest, struct line *line);
static void hand_out_skipped(struct line_reader *reader, struct bytes last, struct line *line);
static void outline_add(struct line_reader *reader, struct bytes bytes);

bool line_reader_is_valid(const struct line_reader *reader)
{
    bool offsets_are_in_order = reader->served <= reader->scanned && reader->scanned <= reader->buffer.size;
    bool peeked_is_ahead = reader->peeked_count == 0 ||
                           (reader->served < reader->peeked && reader->peeked <= reader->buffer.size);
    bool memory_is_bounded = reader->buffer.capacity <= capacity_max(reader);
    bool skipping_makes_sense = reader->is_skipping || reader->skipped_bytes == 0;

    return buffer_is_valid(&reader->buffer) && offsets_are_in_order && peeked_is_ahead &&
           reader->peeked_count <= LINE_READER_PEEK_LINES && memory_is_bounded && skipping_makes_sense;
}

void line_reader_init(struct line_reader *reader, size_t line_bytes_max)
{
    REQUIRE(line_bytes_max >= 1 && line_bytes_max <= LINE_BYTES_LIMIT);
    memset(reader, 0, sizeof(*reader));
    buffer_init(&reader->buffer);
    reader->line_bytes_max = line_bytes_max;
}

void line_reader_deinit(struct line_reader *reader)
{
    buffer_deinit(&reader->buffer);
}

unsigned char *line_reader_room(struct line_reader *reader, size_t *size)
{
    struct buffer *buffer = &reader->buffer;
    size_t wider = 2 * buffer->capacity < LINE_READER_BYTES_MIN ? LINE_READER_BYTES_MIN : 2 * buffer->capacity;

    if (reader->served > 0) {
        buffer_drop_front(buffer, reader->served);
        reader->scanned -= reader->served;
        if (reader->peeked_count > 0)
            reader->peeked -= reader->served;
        reader->served = 0;
    }
    if (wider > capacity_max(reader))
        wider = capacity_max(reader);
    if (buffer->capacity - buffer->size < ROOM_MIN && buffer->capacity < wider)
        (void)buffer_resize(buffer, wider); /* without memory there is no room, and that is the answer */
    *size = buffer->capacity - buffer->size;
    return buffer->data + buffer->size;
}

void line_reader_received(struct line_reader *reader, size_t size)
{
    REQUIRE(size <= reader->buffer.capacity - reader->buffer.size);
    reader->buffer.size += size;
}

bool line_reader_next(struct line_reader *reader, struct line *line)
{
    struct buffer *buffer = &reader->buffer;
    const unsigned char *end;
    size_t size;

    if (reader->scanned == buffer->size)
        return false;
    end = memchr(buffer->data + reader->scanned, '\n', buffer->size - reader->scanned);
    if (end == NULL) {
        reader->scanned = buffer->size;
        skip_unfinished(reader);
        return false;
    }

    size = (size_t)(end - (buffer->data + reader->served));
    hand_out(reader, bytes_from(buffer->data + reader->served, size), line);
    reader->served += size + 1;
    reader->scanned = reader->served;
    if (reader->peeked_count > 0)
        reader->peeked_count--;
    return true;
}

/* A line feed would end it: so is its last CR the end's. */
static struct bytes without_carriage_return(struct bytes line)
{
    bool has_one = line.size > 0 && line.data[line.size - 1] == '\r';

    return bytes_slice(line, 0, line.size - has_one);
}

bool line_reader_peek(struct line_reader *reader, struct bytes *line)
{
    struct bytes inside = buffer_bytes(&reader->buffer);
    size_t begin = reader->peeked_count == 0 ? reader->served : reader->peeked;
    size_t size = inside.size - begin;
    const unsigned char *end;

    if (reader->peeked_count == LINE_READER_PEEK_LINES || size == 0)
        return false;
    end = memchr(inside.data + begin, '\n', size < LINE_READER_PEEK_BYTES ? size : LINE_READER_PEEK_BYTES);
    if (end == NULL)
        return false;
    *line = without_carriage_return(bytes_slice(inside, begin, (size_t)(end - (inside.data + begin))));
    reader->peeked = (size_t)(end - inside.data) + 1;
    reader->peeked_count++;
    return true;
}

struct bytes line_reader_rest(const struct line_reader *reader)
{
    if (reader->is_skipping)
        return bytes_from(NULL, 0);
    return without_carriage_return(
        bytes_slice(buffer_bytes(&reader->buffer), reader->served, reader->buffer.size - reader->served));
}

bool line_reader_finish(struct line_reader *reader, struct line *line)
{
    struct bytes inside = buffer_bytes(&reader->buffer);

    REQUIRE(reader->scanned == inside.size);
    if (line_reader_is_empty(reader))
        return false;
    hand_out(reader, bytes_slice(inside, reader->served, inside.size - reader->served), line);
    line->is_unfinished = true;
    reader->served = inside.size;
    return true;
}

void line_reader_drop_line(struct line_reader *reader)
{
    REQUIRE(reader->scanned == reader->buffer.size);
    buffer_truncate(&reader->buffer, reader->served);
    reader->scanned = reader->served;
    reader->is_skipping = false;
    reader->skipped_bytes = 0;
}

static bool continues_character(unsigned char byte)
{
    return (byte & 0xc0u) == 0x80;
}

void line_reader_drop_character(struct line_reader *reader)
{
    size_t size = reader->buffer.size;

    REQUIRE(reader->scanned == size);
    if (reader->is_skipping || size == reader->served)
        return;
    size--;
    while (size > reader->served && continues_character(reader->buffer.data[size]))
        size--;
    buffer_truncate(&reader->buffer, size);
    reader->scanned = size;
}

bool line_reader_is_empty(const struct line_reader *reader)
{
    return reader->served == reader->buffer.size && !reader->is_skipping;
}

void line_reader_shrink(struct line_reader *reader)
{
    if (!line_reader_is_empty(reader))
        return;
    buffer_deinit(&reader->buffer);
    reader->served = 0;
    reader->scanned = 0;
}

/* A line of the largest size with CR, and room for what comes. */
static size_t capacity_max(const struct line_reader *reader)
{
    size_t whole_line = reader->line_bytes_max + 1 + ROOM_MIN;

    return whole_line < LINE_READER_BYTES_MIN ? LINE_READER_BYTES_MIN : whole_line;
}

/* The line has no end yet: is it too long already? Its last byte counts only if
 * it is not a CR, because that may turn out to belong to the end. */
static void skip_unfinished(struct line_reader *reader)
{
    struct buffer *buffer = &reader->buffer;
    size_t size = buffer->size - reader->served;

    if (size > 0 && buffer->data[buffer->size - 1] == '\r')
        size--;
    if (!reader->is_skipping && size <= reader->line_bytes_max)
        return;
    outline_add(reader, bytes_from(buffer->data + reader->served, size));
    buffer_drop_front(buffer, reader->served + size);
    reader->served = 0;
    reader->scanned = buffer->size;
}

/* What is in the buffer of a line, with a CR perhaps. */
static void hand_out(struct line_reader *reader, struct bytes rest, struct line *line)
{
    struct bytes text = without_carriage_return(rest);
    bool is_too_long = reader->is_skipping || text.size > reader->line_bytes_max;

    if (is_too_long)
        hand_out_skipped(reader, text, line);
    else
        *line = (struct line){
            .data = reader->buffer.data + reader->served, .size = text.size, .bytes_total = text.size};
}

static void hand_out_skipped(struct line_reader *reader, struct bytes last, struct line *line)
{
    outline_add(reader, last);
    *line = (struct line){.is_too_long = true, .bytes_total = reader->skipped_bytes, .outline = &reader->outline};
    reader->is_skipping = false;
    reader->skipped_bytes = 0;
}

static void outline_add(struct line_reader *reader, struct bytes bytes)
{
    if (!reader->is_skipping)
        line_outline_init(&reader->outline);
    reader->is_skipping = true;
    line_outline_feed(&reader->outline, bytes);
    reader->skipped_bytes += bytes.size;
}
