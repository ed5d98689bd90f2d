/* Lines to requests. */
#include "protocol/request.h"

#include <endian.h>
#include <string.h>

#include "platform/decimal.h"
#include "platform/utf8.h"
#include "protocol/json_form.h"

#define ECHO_BYTES_MAX 32u
#define EIGHT_LOW_BITS UINT64_C(0x0101010101010101)

/* What is left to understand of a line: no white space at either end. */
struct remainder {
    unsigned char *data;
    size_t size;
};

static enum status parse_arguments(struct remainder rest, struct request *request, struct message *message);
static enum status refuse_encoding(enum verb verb, struct remainder rest, struct message *message);
static enum status refuse_verb(struct bytes verb, struct message *message);
static enum status refuse_usage(const struct request *request, const char *reason, struct message *message);

/* --- fields --- */

static bool is_white(unsigned char byte)
{
    return byte == ' ' || byte == '\t';
}

static size_t white_before(struct bytes bytes, size_t offset)
{
    while (offset > 0 && is_white(bytes.data[offset - 1]))
        offset--;
    return offset;
}

static size_t white_behind(struct bytes bytes, size_t offset)
{
    while (offset < bytes.size && is_white(bytes.data[offset]))
        offset++;
    return offset;
}

/* Of the first byte up to a blank the high bit; whatever stands in those before it is nothing.
 * Source: S. Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n". */
static uint64_t first_up_to_blank(uint64_t eight)
{
    return (eight - EIGHT_LOW_BITS * (' ' + 1)) & ~eight & EIGHT_LOW_BITS << 7;
}

/* Eight bytes at a time: keys are longer than what is between them. */
static size_t field_end(struct bytes bytes, size_t offset)
{
    while (bytes.size - offset >= sizeof(uint64_t)) {
        uint64_t eight;
        uint64_t found;

        memcpy(&eight, bytes.data + offset, sizeof eight);
        found = first_up_to_blank(le64toh(eight));
        if (found == 0) {
            offset += sizeof eight;
            continue;
        }
        offset += (size_t)__builtin_ctzll(found) / 8;
        if (is_white(bytes.data[offset]))
            return offset;
        offset++;
    }
    while (offset < bytes.size && !is_white(bytes.data[offset]))
        offset++;
    return offset;
}

static struct bytes remainder_bytes(const struct remainder *rest)
{
    return bytes_from(rest->data, rest->size);
}

static void remainder_advance(struct remainder *rest, size_t size)
{
    size_t next = white_behind(remainder_bytes(rest), size);

    rest->data += next;
    rest->size -= next;
}

/* Takes the first field and the white space behind it; empty if there is none. */
static struct bytes next_field(struct remainder *rest)
{
    struct bytes field = bytes_from(rest->data, field_end(remainder_bytes(rest), 0));

    remainder_advance(rest, field.size);
    return field;
}

static bool begins_form(const struct remainder *rest)
{
    return rest->size > 0 && rest->data[0] == '{';
}

struct bytes request_trim(struct bytes line)
{
    size_t first = white_behind(line, 0);

    return first == line.size ? bytes_from(NULL, 0) : bytes_slice(line, first, white_before(line, line.size) - first);
}

struct bytes request_likely_key(struct bytes line)
{
    size_t begin = white_behind(line, field_end(line, white_behind(line, 0)));
    size_t end = field_end(line, begin);

    return begin == end || line.data[begin] == '{' ? bytes_from(NULL, 0) : bytes_slice(line, begin, end - begin);
}

static unsigned char lower_case(unsigned char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + ('a' - 'A')) : byte;
}

/* lower is in lower case. */
static bool equal_in_any_case(struct bytes bytes, const char *lower)
{
    if (bytes.size != strlen(lower))
        return false;
    for (size_t i = 0; i < bytes.size; i++) {
        if (lower_case(bytes.data[i]) != (unsigned char)lower[i])
            return false;
    }
    return true;
}

/* --- browsers --- */

static bool begins_like_header(struct bytes bytes)
{
    return bytes.size >= 5 && equal_in_any_case(bytes_slice(bytes, 0, 5), "host:");
}

static bool ends_like_request(struct bytes bytes)
{
    struct bytes end = bytes.size < 8 ? bytes_from(NULL, 0) : bytes_slice(bytes, bytes.size - 8, 8);

    return bytes_equal(end, bytes_from_string("HTTP/1.0")) || bytes_equal(end, bytes_from_string("HTTP/1.1"));
}

bool request_is_http(struct bytes trimmed_line, bool is_first)
{
    return begins_like_header(trimmed_line) || (is_first && ends_like_request(trimmed_line));
}

bool request_outline_is_http(const struct line_outline *outline, bool is_first)
{
    size_t kept = outline->verb_size < sizeof outline->verb ? outline->verb_size : sizeof outline->verb;
    unsigned char last_eight[sizeof outline->last_eight];

    for (size_t i = 0; i < sizeof last_eight; i++)
        last_eight[i] = (unsigned char)(outline->last_eight >> (8 * (sizeof last_eight - 1 - i)) & 0xff);
    return begins_like_header(bytes_from(outline->verb, kept)) ||
           (is_first && ends_like_request(bytes_from(last_eight, sizeof last_eight)));
}

/* --- which transaction a line may name --- */

static bool takes_form(enum verb verb)
{
    enum arguments arguments = command_of(verb)->arguments;

    return arguments == ARGUMENTS_KEY || arguments == ARGUMENTS_KEY_VALUE || arguments == ARGUMENTS_PREFIX;
}

/* Whether a last field is behind a complete command, judged by its shape: a line
 * that is wrong in another way still names its transaction, and aborts it. */
static bool is_behind_command(enum verb verb, size_t fields_before, bool has_form, unsigned char last_byte_before)
{
    if (verb == VERB_UNKNOWN)
        return fields_before >= 1;
    if (has_form && takes_form(verb))
        return last_byte_before == '}';
    return fields_before >= 1 + (size_t)command_of(verb)->fields_min;
}

/* Counts the fields up to the number that no verb needs more of. */
static size_t count_fields(struct bytes trimmed, bool *has_form)
{
    size_t count = 0;

    *has_form = false;
    for (size_t offset = 0; offset < trimmed.size && count < 3; count++) {
        if (count == 1)
            *has_form = trimmed.data[offset] == '{';
        offset = white_behind(trimmed, field_end(trimmed, offset));
    }
    return count;
}

bool request_may_name(struct bytes trimmed_line, uint64_t *number, struct bytes *rest)
{
    size_t last = trimmed_line.size;
    size_t before_size;
    struct bytes before;
    size_t field_count;
    bool has_form;
    enum verb verb;

    while (last > 0 && !is_white(trimmed_line.data[last - 1]))
        last--;
    before_size = white_before(trimmed_line, last);
    if (before_size == 0 || !decimal_read(bytes_slice(trimmed_line, last, trimmed_line.size - last), number))
        return false;
    before = bytes_slice(trimmed_line, 0, before_size);
    verb = command_find(bytes_slice(before, 0, field_end(before, 0)));
    field_count = count_fields(before, &has_form);
    if (!is_behind_command(verb, field_count, has_form, trimmed_line.data[before_size - 1]))
        return false;
    *rest = before;
    return true;
}

bool request_outline_may_name(const struct line_outline *outline, uint64_t *number)
{
    if (outline->field_count < 2 || outline->last_size > sizeof outline->last)
        return false;
    return decimal_read(bytes_from(outline->last, outline->last_size), number) &&
           is_behind_command(request_outline_verb(outline), outline->field_count - 1, outline->has_form,
                             outline->before_last);
}

enum verb request_outline_verb(const struct line_outline *outline)
{
    if (outline->verb_size > sizeof outline->verb)
        return VERB_UNKNOWN;
    return command_find(bytes_from(outline->verb, outline->verb_size));
}

/* --- parsing --- */

enum status request_parse(unsigned char *line, size_t size, struct request *request, struct message *message)
{
    struct remainder rest = {line, size};
    struct bytes verb;

    REQUIRE(size > 0 && !is_white(line[0]) && !is_white(line[size - 1]));
    memset(request, 0, sizeof(*request));
    verb = next_field(&rest);
    request->verb = command_find(verb);
    if (!utf8_is_valid(bytes_from(line, size)))
        return refuse_encoding(request->verb, rest, message);
    if (request->verb == VERB_UNKNOWN)
        return refuse_verb(verb, message);
    return parse_arguments(rest, request, message);
}

static enum status refuse_encoding(enum verb verb, struct remainder rest, struct message *message)
{
    if (verb != VERB_UNKNOWN && takes_form(verb) && begins_form(&rest)) {
        message_add(message, "The JSON form is not valid UTF-8");
        return STATUS_SYNTAX;
    }
    message_add(message, "The line is not valid UTF-8, nothing was stored");
    return STATUS_INVALID_UTF8;
}

static enum status refuse_verb(struct bytes verb, struct message *message)
{
    message_add(message, "Unknown command");
    if (verb.size <= ECHO_BYTES_MAX) {
        message_add(message, " ");
        message_add_bytes(message, verb);
    }
    message_add(message, ", HELP lists the commands");
    return STATUS_UNKNOWN_COMMAND;
}

/* reason may be NULL. */
static enum status refuse_usage(const struct request *request, const char *reason, struct message *message)
{
    if (reason != NULL)
        message_add(message, "%s; ", reason);
    message_add(message, "%s: %s", reason == NULL ? "Usage" : "usage", command_of(request->verb)->usage);
    return STATUS_SYNTAX;
}

static enum status check_key_size(const char *what, struct bytes key, struct message *message)
{
    if (key.size <= STORE_KEY_BYTES_MAX)
        return STATUS_OK;
    message_add(message, "%s of %zu bytes: the limit is %u", what, key.size, STORE_KEY_BYTES_MAX);
    return STATUS_TOO_LARGE;
}

static enum status check_key(const struct request *request, struct message *message)
{
    if (request->key.size == 0)
        return refuse_usage(request, "A key has at least one byte", message);
    return check_key_size("Key", request->key, message);
}

static enum status refuse_leftover(const struct request *request, struct remainder rest, struct message *message)
{
    return rest.size == 0 ? STATUS_OK : refuse_usage(request, NULL, message);
}

/* Reads the JSON form at the beginning of rest, and takes it away with the white space behind it. */
static enum status parse_form(struct remainder *rest, const struct request *request, struct json_member *members,
                              size_t member_count, struct message *message)
{
    size_t end;
    const char *problem = json_form_read(rest->data, rest->size, members, member_count, &end);

    if (problem != NULL)
        return refuse_usage(request, problem, message);
    remainder_advance(rest, end);
    return STATUS_OK;
}

static enum status parse_key(struct remainder rest, struct request *request, struct message *message)
{
    struct json_member member = {.name = "key"};
    enum status status = STATUS_OK;

    if (rest.size == 0)
        return refuse_usage(request, NULL, message);
    if (begins_form(&rest)) {
        status = parse_form(&rest, request, &member, 1, message);
        request->key = member.value;
    } else {
        request->key = next_field(&rest);
    }
    if (status == STATUS_OK)
        status = refuse_leftover(request, rest, message);
    return status == STATUS_OK ? check_key(request, message) : status;
}

static enum status parse_key_value_form(struct remainder rest, struct request *request, struct message *message)
{
    struct json_member members[] = {{.name = "key"}, {.name = "value"}};
    enum status status = parse_form(&rest, request, members, 2, message);

    if (status == STATUS_OK)
        status = refuse_leftover(request, rest, message);
    if (status != STATUS_OK)
        return status;
    request->key = members[0].value;
    request->value = members[1].value;
    return check_key(request, message);
}

static enum status parse_key_value(struct remainder rest, struct request *request, struct message *message)
{
    if (begins_form(&rest))
        return parse_key_value_form(rest, request, message);
    request->key = next_field(&rest);
    request->value = remainder_bytes(&rest);
    if (request->value.size == 0)
        return refuse_usage(request, NULL, message);
    return check_key(request, message);
}

/* Takes a prefix off rest; one is there. */
static enum status take_prefix(struct remainder *rest, struct request *request, struct message *message)
{
    struct json_member member = {.name = "prefix"};
    enum status status;

    if (!begins_form(rest)) {
        request->prefix = next_field(rest);
        return STATUS_OK;
    }
    status = parse_form(rest, request, &member, 1, message);
    request->prefix = member.value;
    return status;
}

static enum status parse_prefix(struct remainder rest, struct request *request, struct message *message)
{
    enum status status = rest.size == 0 ? STATUS_OK : take_prefix(&rest, request, message);

    if (status == STATUS_OK)
        status = refuse_leftover(request, rest, message);
    return status == STATUS_OK ? check_key_size("Prefix", request->prefix, message) : status;
}

static enum status parse_limit(struct bytes field, struct request *request, struct message *message)
{
    uint64_t limit;

    if (!decimal_read(field, &limit) || limit < 1 || limit > STORE_SCAN_LIMIT_MAX)
        return refuse_usage(request, "The limit is a number from 1 to 10000", message);
    request->limit = (unsigned)limit;
    return STATUS_OK;
}

static enum status parse_scan(struct remainder rest, struct request *request, struct message *message)
{
    enum status status = STATUS_OK;

    request->limit = REQUEST_SCAN_LIMIT_DEFAULT;
    if (rest.size == 0)
        return refuse_usage(request, NULL, message);
    if (!decimal_read(next_field(&rest), &request->cursor))
        return refuse_usage(request, "The cursor is 0 or what the SCAN before answered", message);
    if (rest.size > 0)
        status = take_prefix(&rest, request, message);
    if (status == STATUS_OK && rest.size > 0)
        status = parse_limit(next_field(&rest), request, message);
    if (status == STATUS_OK)
        status = refuse_leftover(request, rest, message);
    return status == STATUS_OK ? check_key_size("Prefix", request->prefix, message) : status;
}

static enum status parse_isolation(struct remainder rest, struct request *request, struct message *message)
{
    struct bytes first = next_field(&rest);
    struct bytes second = next_field(&rest);

    request->has_isolation = first.size > 0;
    if (first.size == 0)
        return STATUS_OK;
    if (equal_in_any_case(first, "serializable") && second.size == 0)
        request->isolation = ISOLATION_SERIALIZABLE;
    else if (equal_in_any_case(first, "locking") && second.size == 0)
        request->isolation = ISOLATION_LOCKING;
    else if (equal_in_any_case(first, "read") && equal_in_any_case(second, "committed") && rest.size == 0)
        request->isolation = ISOLATION_READ_COMMITTED;
    else
        return refuse_usage(request, NULL, message);
    return STATUS_OK;
}

/* An id that was given to the connection is not here any more. */
static enum status parse_transaction(struct remainder rest, struct request *request, struct message *message)
{
    struct bytes field = next_field(&rest);
    size_t digits = 0;

    while (digits < field.size && field.data[digits] >= '0' && field.data[digits] <= '9')
        digits++;
    if (digits == field.size && rest.size == 0) {
        if (digits == 0)
            return STATUS_OK;
        message_add(message, "This connection was never given a transaction with this id");
        return STATUS_UNKNOWN_TRANSACTION;
    }
    return refuse_usage(request, NULL, message);
}

static enum status parse_arguments(struct remainder rest, struct request *request, struct message *message)
{
    switch (command_of(request->verb)->arguments) {
    case ARGUMENTS_NOTHING:
        return refuse_leftover(request, rest, message);
    case ARGUMENTS_KEY:
        return parse_key(rest, request, message);
    case ARGUMENTS_KEY_VALUE:
        return parse_key_value(rest, request, message);
    case ARGUMENTS_PREFIX:
        return parse_prefix(rest, request, message);
    case ARGUMENTS_SCAN:
        return parse_scan(rest, request, message);
    case ARGUMENTS_ISOLATION:
        return parse_isolation(rest, request, message);
    case ARGUMENTS_TRANSACTION:
        return parse_transaction(rest, request, message);
    case ARGUMENTS_TOTAL:
        break;
    }
    INVARIANT(false);
    return STATUS_INTERNAL;
}
