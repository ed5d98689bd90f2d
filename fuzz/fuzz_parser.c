/* The parser: bytes to lines to requests. The same bytes are received at once
 * and in pieces whose sizes the input chooses, and both must be understood in
 * the same way. Every line is outlined, too, as if it were too long: the outline
 * must say what the whole line says. Telnet's commands are obeyed between them.
 *
 * Input: the limit of a line (1 byte), the number of pieces (1 byte), their
 * sizes (1 byte each), then the stream. */
#include "harness.h"

#include <stdio.h>

#include "platform/utf8.h"
#include "protocol/buffer.h"
#include "protocol/line_reader.h"
#include "protocol/request.h"
#include "protocol/telnet.h"

#define PIECES_MAX 64u

static void note_bytes(struct buffer *account, const char *name, struct bytes bytes)
{
    char size[32];

    (void)snprintf(size, sizeof(size), " %zu:", bytes.size);
    buffer_append_string(account, name);
    buffer_append_string(account, size);
    buffer_append(account, bytes);
}

static void note_number(struct buffer *account, const char *name, uint64_t number)
{
    char text[64];

    (void)snprintf(text, sizeof(text), " %s %ju", name, (uintmax_t)number);
    buffer_append_string(account, text);
}

static void check_request(const struct request *request)
{
    bool has_key = request->verb == VERB_PUT || request->verb == VERB_GET || request->verb == VERB_DEL ||
                   request->verb == VERB_EXISTS;

    ENSURE(request->verb != VERB_UNKNOWN);
    ENSURE(!has_key || (request->key.size >= 1 && request->key.size <= STORE_KEY_BYTES_MAX));
    ENSURE(request->prefix.size <= STORE_KEY_BYTES_MAX);
    ENSURE(request->verb != VERB_SCAN || (request->limit >= 1 && request->limit <= STORE_SCAN_LIMIT_MAX));
    ENSURE(!request->has_isolation || request->isolation < ISOLATION_COUNT);
    ENSURE(utf8_is_valid(request->key) && utf8_is_valid(request->value) && utf8_is_valid(request->prefix));
}

static void note_request(struct buffer *account, unsigned char *line, size_t size)
{
    struct request request;
    struct message message;
    enum status status;

    message_init(&message);
    status = request_parse(line, size, &request, &message);
    note_number(account, "verb", (uint64_t)request.verb);
    note_number(account, "status", (uint64_t)status);
    note_bytes(account, " message", message_bytes(&message));
    ENSURE(utf8_is_valid(message_bytes(&message)));
    ENSURE(status == STATUS_OK || !message_is_empty(&message));
    if (status != STATUS_OK)
        return;
    check_request(&request);
    note_bytes(account, " key", request.key);
    note_bytes(account, " value", request.value);
    note_bytes(account, " prefix", request.prefix);
    note_number(account, "cursor", request.cursor);
    note_number(account, "limit", request.limit);
    note_number(account, "isolation", request.has_isolation ? 1 + (uint64_t)request.isolation : 0);
}

/* An outline says of a line what the line itself says. */
static void check_outline(struct bytes line)
{
    struct bytes trimmed = request_trim(line);
    struct line_outline outline;
    struct bytes rest = trimmed;
    uint64_t outlined_number = 0;
    uint64_t number = 0;
    bool outline_may_name;

    line_outline_init(&outline);
    line_outline_feed(&outline, line);
    outline_may_name = request_outline_may_name(&outline, &outlined_number);
    ENSURE(outline_may_name == request_may_name(trimmed, &number, &rest));
    ENSURE(!outline_may_name || outlined_number == number);
    ENSURE(request_outline_is_http(&outline, true) == request_is_http(trimmed, true));
    ENSURE(request_outline_is_http(&outline, false) == request_is_http(trimmed, false));
}

static void note_line(struct buffer *account, const struct line *line)
{
    struct bytes whole = bytes_from(line->data, line->size);
    struct bytes trimmed = request_trim(whole);
    struct bytes rest = trimmed;
    uint64_t number = 0;
    bool may_name;

    check_outline(whole);
    may_name = request_may_name(trimmed, &number, &rest);
    note_number(account, "\nline", line->bytes_total);
    note_number(account, "http", request_is_http(trimmed, true));
    note_number(account, "names", may_name ? number : UINT64_MAX);
    if (rest.size > 0)
        note_request(account, line->data + (rest.data - line->data), rest.size);
}

static void note_outline(struct buffer *account, const struct line *line)
{
    uint64_t number = 0;
    bool may_name = request_outline_may_name(line->outline, &number);

    note_number(account, "\nlong line", line->bytes_total);
    note_number(account, "http", request_outline_is_http(line->outline, true));
    note_number(account, "names", may_name ? number : UINT64_MAX);
    note_number(account, "verb", (uint64_t)request_outline_verb(line->outline));
}

static void note_lines(struct buffer *account, struct line_reader *reader)
{
    struct line line;

    while (line_reader_next(reader, &line)) {
        ENSURE(line_reader_is_valid(reader));
        if (line.is_too_long)
            note_outline(account, &line);
        else
            note_line(account, &line);
    }
}

/* Answers to Telnet's commands stand in the account where they were given. */
static void note_all(struct buffer *account, struct telnet *telnet, struct line_reader *reader)
{
    note_lines(account, reader);
    while (telnet_has_more(telnet)) {
        size_t before = account->size;

        telnet_take(telnet, reader, account);
        ENSURE(line_reader_is_valid(reader));
        ENSURE(account->size - before <= TELNET_ANSWER_BYTES);
        note_lines(account, reader);
    }
}

/* Appends to account all that is understood of the stream; pieces may be empty. */
static void read_stream(struct bytes stream, struct bytes pieces, size_t line_bytes_max, struct buffer *account)
{
    struct line_reader reader;
    struct telnet telnet;
    size_t piece = 0;

    telnet_init(&telnet);
    line_reader_init(&reader, line_bytes_max);
    while (stream.size > 0) {
        size_t room;
        unsigned char *target = telnet_room(&telnet, &reader, &room);
        size_t size = piece < pieces.size ? pieces.data[piece++] : stream.size;

        ENSURE(room > 0);
        size = size < stream.size ? size : stream.size;
        size = size < room ? size : room;
        memcpy(target, stream.data, size);
        telnet_received(&telnet, &reader, size);
        stream = bytes_slice(stream, size, stream.size - size);
        note_all(account, &telnet, &reader);
    }
    note_number(account, "\ntelnet", (uint64_t)telnet.state);
    note_number(account, "\nempty", line_reader_is_empty(&reader));
    line_reader_deinit(&reader);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static const size_t limits[] = {(size_t)1 << 20, 1, 7, 30, 300, 2000};
    struct input input = input_from(data, size);
    size_t limit = limits[input_byte(&input) % (sizeof(limits) / sizeof(limits[0]))];
    struct bytes pieces = input_take(&input, input_byte(&input) % PIECES_MAX);
    struct buffer at_once;
    struct buffer in_pieces;

    buffer_init(&at_once);
    buffer_init(&in_pieces);
    read_stream(input.rest, bytes_from(NULL, 0), limit, &at_once);
    read_stream(input.rest, pieces, limit, &in_pieces);
    ENSURE(bytes_equal(buffer_bytes(&at_once), buffer_bytes(&in_pieces)));
    buffer_deinit(&at_once);
    buffer_deinit(&in_pieces);
    return 0;
}
