/* Cuts a stream of bytes into lines. Bytes are received straight into the
 * reader's buffer; a line is handed out where it lies, without a copy.
 *
 * A line ends with LF; one CR before it belongs to the end. A line of more than
 * line_bytes_max bytes without its end is not kept: it is measured up to its LF
 * and handed out as an outline. Nothing is ever truncated, and what the reader
 * says depends on the bytes alone, not on the pieces in which they came. Memory
 * is bounded by line_bytes_max plus 3 bytes, or LINE_READER_BYTES_MIN if larger. */
#ifndef HAUSKV_PROTOCOL_LINE_READER_H
#define HAUSKV_PROTOCOL_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "protocol/buffer.h"
#include "protocol/line_outline.h"

#define LINE_READER_BYTES_MIN ((size_t)16 << 10)
#define LINE_BYTES_LIMIT (SIZE_MAX / 4) /* line_bytes_max is at most this */

#define LINE_READER_PEEK_LINES 3u
#define LINE_READER_PEEK_BYTES ((size_t)2 << 10)

/* A line without its end. */
struct line {
    unsigned char *data; /* the reader's memory, the caller's to change until the next call; NULL if too long */
    size_t size;         /* 0 if too long */
    bool is_too_long;
    bool is_unfinished;           /* it has no end, see line_reader_finish */
    uint64_t bytes_total;         /* its whole size, too long or not */
    struct line_outline *outline; /* if too long; valid until the next call */
};

struct line_reader {
    struct buffer buffer;
    size_t line_bytes_max;
    size_t served;  /* where the first line not yet handed out begins */
    size_t scanned; /* there is no LF between served and here */
    size_t peeked;  /* if peeked_count > 0: the lines up to here were peeked at */
    unsigned peeked_count; /* of these, how many were not handed out since */
    bool is_skipping;
    uint64_t skipped_bytes; /* of the line that is being skipped */
    struct line_outline outline;
};

bool line_reader_is_valid(const struct line_reader *reader);

/* line_bytes_max: 1 to LINE_BYTES_LIMIT. Takes no memory before the first byte. */
void line_reader_init(struct line_reader *reader, size_t line_bytes_max);
void line_reader_deinit(struct line_reader *reader);

/* Where to receive bytes, and how many fit there (*size). 0: the buffer is full
 * of lines that were not handed out yet, or there is no memory. Ends the life of
 * the last line. */
unsigned char *line_reader_room(struct line_reader *reader, size_t *size);

/* size bytes were received there. */
void line_reader_received(struct line_reader *reader, size_t size);

/* Hands out the next line; false: no complete line is there. */
bool line_reader_next(struct line_reader *reader, struct line *line);

/* Shows the next complete line, without its end, that was neither handed out nor shown, and leaves it where it is: for
 * whoever prepares what comes. False: there is none, or it has more than LINE_READER_PEEK_BYTES, or LINE_READER_PEEK_LINES
 * of those that were shown are not handed out yet. *line: the reader's memory, until the next call. */
bool line_reader_peek(struct line_reader *reader, struct bytes *line);

/* What is there of a line that has no end yet, without a last CR; empty if there
 * is none, or it is too long already. The reader's memory, until the next call. */
struct bytes line_reader_rest(const struct line_reader *reader);

/* Hands that line out as if its end had come; false: there is none. Only when
 * line_reader_next has nothing more. */
bool line_reader_finish(struct line_reader *reader, struct line *line);

/* Forgets what is there of the line that has no end yet, or its last character (of UTF-8, as far as it is; nothing of a
 * line that is too long already). Only when line_reader_next has nothing more. */
void line_reader_drop_line(struct line_reader *reader);
void line_reader_drop_character(struct line_reader *reader);

/* Whether nothing is inside, not even a part of a line. */
bool line_reader_is_empty(const struct line_reader *reader);

/* Gives its memory back if the reader is empty. */
void line_reader_shrink(struct line_reader *reader);

#endif
