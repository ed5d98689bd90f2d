/* Values to JSON. Most text is plain ASCII: it is found sixteen bytes at
 * a time and copied in one piece; what is not goes through the table. */
#include "protocol/json_writer.h"

#include <string.h>

#include "platform/decimal.h"

#define REPLACEMENT_CHARACTER 0xfffdu

/* How an ASCII character is escaped: 0 stands for itself, u by number, else by that letter. */
static const char escapes[0x80] = {
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'b', 't', 'n', 'u', 'f', 'r', 'u', 'u', 'u', 'u',
    'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', 'u', ['"'] = '"', ['\\'] = '\\', [0x7f] = 'u',
};

static size_t complete_pending(struct json_writer *writer, struct bytes piece);
static size_t write_character(struct json_writer *writer, struct bytes bytes, size_t offset);
static size_t plain_size(struct bytes bytes, size_t offset);

/* --- tokens --- */

static void write_separator(struct json_writer *writer)
{
    if (writer->needs_comma)
        buffer_append(writer->output, bytes_from(", ", 2));
    writer->needs_comma = true;
}

static void write_opening(struct json_writer *writer, const char *bracket)
{
    write_separator(writer);
    buffer_append(writer->output, bytes_from(bracket, 1));
    writer->needs_comma = false;
}

static void write_closing(struct json_writer *writer, const char *bracket)
{
    buffer_append(writer->output, bytes_from(bracket, 1));
    writer->needs_comma = true;
}

void json_writer_init(struct json_writer *writer, struct buffer *output)
{
    writer->output = output;
    writer->needs_comma = false;
    writer->pending_size = 0;
}

void json_object_begin(struct json_writer *writer)
{
    write_opening(writer, "{");
}

void json_object_end(struct json_writer *writer)
{
    write_closing(writer, "}");
}

void json_array_begin(struct json_writer *writer)
{
    write_opening(writer, "[");
}

void json_array_end(struct json_writer *writer)
{
    write_closing(writer, "]");
}

void json_name(struct json_writer *writer, const char *name)
{
    json_string(writer, bytes_from_string(name));
    buffer_append(writer->output, bytes_from(": ", 2));
    writer->needs_comma = false;
}

void json_number(struct json_writer *writer, uint64_t number)
{
    char digits[DECIMAL_BYTES_MAX];

    write_separator(writer);
    buffer_append(writer->output, decimal_write(number, 1, digits));
}

void json_hundredths(struct json_writer *writer, uint64_t hundredths)
{
    char digits[DECIMAL_BYTES_MAX];

    json_number(writer, hundredths / 100);
    buffer_append(writer->output, bytes_from(".", 1));
    buffer_append(writer->output, decimal_write(hundredths % 100, 2, digits));
}

void json_boolean(struct json_writer *writer, bool boolean)
{
    write_separator(writer);
    buffer_append_string(writer->output, boolean ? "true" : "false");
}

void json_string(struct json_writer *writer, struct bytes string)
{
    json_string_begin(writer);
    json_string_piece(writer, string);
    json_string_end(writer);
}

/* --- strings --- */

static void write_by_number(struct json_writer *writer, uint32_t unit)
{
    static const char digits[] = "0123456789abcdef";
    char escape[6] = {'\\', 'u', digits[unit >> 12 & 0xf], digits[unit >> 8 & 0xf], digits[unit >> 4 & 0xf],
                      digits[unit & 0xf]};

    buffer_append(writer->output, bytes_from(escape, sizeof escape));
}

static void write_escaped(struct json_writer *writer, uint32_t code_point)
{
    char letter = 'u';

    if (code_point < sizeof escapes)
        letter = escapes[code_point];
    if (code_point > 0xffff) {
        write_by_number(writer, 0xd800 + ((code_point - 0x10000) >> 10));
        write_by_number(writer, 0xdc00 + ((code_point - 0x10000) & 0x3ff));
    } else if (letter == 'u') {
        write_by_number(writer, code_point);
    } else {
        buffer_append(writer->output, bytes_from((char[]){'\\', letter}, 2));
    }
}

void json_string_begin(struct json_writer *writer)
{
    write_separator(writer);
    buffer_append(writer->output, bytes_from("\"", 1));
}

void json_string_piece(struct json_writer *writer, struct bytes piece)
{
    size_t offset = complete_pending(writer, piece);

    while (offset < piece.size) {
        size_t plain = plain_size(piece, offset);

        buffer_append(writer->output, bytes_slice(piece, offset, plain));
        offset += plain;
        if (offset == piece.size)
            break;
        if (utf8_sequence_size(piece.data[offset]) > piece.size - offset) {
            writer->pending_size = piece.size - offset;
            memcpy(writer->pending, piece.data + offset, writer->pending_size);
            break;
        }
        offset += write_character(writer, piece, offset);
    }
}

/* Writes the first character of what is pending. */
static void write_pending(struct json_writer *writer)
{
    size_t size = write_character(writer, bytes_from(writer->pending, writer->pending_size), 0);

    writer->pending_size -= size;
    memmove(writer->pending, writer->pending + size, writer->pending_size);
}

/* A character whose end never came is wrong, but what follows its first byte may be right. */
void json_string_end(struct json_writer *writer)
{
    while (writer->pending_size > 0)
        write_pending(writer);
    buffer_append(writer->output, bytes_from("\"", 1));
}

/* Goes on with the character that the last piece began; returns how many bytes
 * of this one it took. What is pending always begins with the first byte of a
 * longer sequence, so a wrong one sheds bytes until that is true again. */
static size_t complete_pending(struct json_writer *writer, struct bytes piece)
{
    size_t taken = 0;

    while (writer->pending_size > 0) {
        if (utf8_sequence_size(writer->pending[0]) > writer->pending_size) {
            if (taken == piece.size)
                break;
            INVARIANT(writer->pending_size < sizeof writer->pending);
            writer->pending[writer->pending_size++] = piece.data[taken++];
        } else {
            write_pending(writer);
        }
    }
    return taken;
}

/* Writes the character at offset; returns how many bytes it had. */
static size_t write_character(struct json_writer *writer, struct bytes bytes, size_t offset)
{
    uint32_t code_point = REPLACEMENT_CHARACTER;
    size_t length = utf8_decode(bytes, offset, &code_point);

    if (code_point < sizeof escapes && escapes[code_point] == 0)
        buffer_append(writer->output, bytes_slice(bytes, offset, 1));
    else
        write_escaped(writer, code_point);
    return length == 0 ? 1 : length;
}

/* A vector of the compiler's, on any processor: what it says of all bytes at once it answers with 0 or all bits in each. */
typedef signed char sixteen __attribute__((vector_size(16)));

/* Bytes of 0x80 and more are below 0. */
static inline bool sixteen_are_plain(const unsigned char *data)
{
    sixteen bytes;
    sixteen special;
    uint64_t halves[2];

    memcpy(&bytes, data, sizeof bytes);
    special = (bytes < 0x20) | (bytes == '"') | (bytes == '\\') | (bytes == 0x7f);
    memcpy(halves, &special, sizeof halves);
    return (halves[0] | halves[1]) == 0;
}

/* How many bytes from offset on stand for themselves. */
static size_t plain_size(struct bytes bytes, size_t offset)
{
    size_t end = offset;

    while (bytes.size - end >= sizeof(sixteen) && sixteen_are_plain(bytes.data + end))
        end += sizeof(sixteen);
    /* The last sixteen overlap those before. */
    if (end > offset && bytes.size - end < sizeof(sixteen) &&
        sixteen_are_plain(bytes.data + bytes.size - sizeof(sixteen)))
        return bytes.size - offset;
    while (end < bytes.size && bytes.data[end] < sizeof escapes && escapes[bytes.data[end]] == 0)
        end++;
    return end - offset;
}
