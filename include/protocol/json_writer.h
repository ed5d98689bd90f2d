/* Writes JSON, laid out as the protocol has it: one space behind : and , and
 * nothing else between tokens; the output is ASCII. Commas come by themselves.
 * A failed append shows in the buffer. Any process, one thread.
 *
 * Strings may come in pieces, cut anywhere, also inside a character. Bytes that
 * are no UTF-8 (nothing that was stored through the protocol) appear as U+FFFD,
 * one for each byte. */
#ifndef HAUSKV_PROTOCOL_JSON_WRITER_H
#define HAUSKV_PROTOCOL_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/utf8.h"
#include "protocol/buffer.h"

struct json_writer {
    struct buffer *output;
    bool needs_comma;
    unsigned char pending[UTF8_SEQUENCE_BYTES_MAX]; /* a character that is not whole yet */
    size_t pending_size;
};

/* Appends to output, which must live as long. */
void json_writer_init(struct json_writer *writer, struct buffer *output);

void json_object_begin(struct json_writer *writer);
void json_object_end(struct json_writer *writer);
void json_array_begin(struct json_writer *writer);
void json_array_end(struct json_writer *writer);

/* The name of the next value, inside an object. */
void json_name(struct json_writer *writer, const char *name);

void json_string(struct json_writer *writer, struct bytes string);
void json_number(struct json_writer *writer, uint64_t number);
/* A number with two digits behind the point: 1234 is written as 12.34. */
void json_hundredths(struct json_writer *writer, uint64_t hundredths);
void json_boolean(struct json_writer *writer, bool boolean);

/* A string in pieces. */
void json_string_begin(struct json_writer *writer);
void json_string_piece(struct json_writer *writer, struct bytes piece);
void json_string_end(struct json_writer *writer);

#endif
