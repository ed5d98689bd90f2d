/* {"key": "k", "value": "v"}, by RFC 8259 and no more generous than it:
 *
 *     form   = "{" ws member *( ws "," ws member ) ws "}"
 *     member = string ws ":" ws string
 *     ws     = *( SP / TAB / LF / CR )
 *
 * A decoded string begins where its encoded one did and never overtakes it: the
 * longest character, 4 bytes, comes from 12 (a surrogate pair). */
#include "protocol/json_form.h"

#include <stdint.h>
#include <string.h>

struct scanner {
    unsigned char *text;
    size_t size;
    size_t offset;
    const char *problem; /* the first one; NULL: none */
};

static bool read_member(struct scanner *scanner, struct json_member *members, size_t member_count);
static bool read_string(struct scanner *scanner, struct bytes *string);
static bool read_escape(struct scanner *scanner, size_t *written);
static bool read_code_point(struct scanner *scanner, uint32_t *code_point);
static const char *missing_member(const struct json_member *members, size_t member_count);

static bool fail(struct scanner *scanner, const char *problem)
{
    if (scanner->problem == NULL)
        scanner->problem = problem;
    return false;
}

static bool is_at(const struct scanner *scanner, unsigned char byte)
{
    return scanner->offset < scanner->size && scanner->text[scanner->offset] == byte;
}

static bool take(struct scanner *scanner, unsigned char byte)
{
    bool is_there = is_at(scanner, byte);

    if (is_there)
        scanner->offset++;
    return is_there;
}

static void skip_white(struct scanner *scanner)
{
    while (is_at(scanner, ' ') || is_at(scanner, '\t') || is_at(scanner, '\r') || is_at(scanner, '\n'))
        scanner->offset++;
}

const char *json_form_read(unsigned char *text, size_t size, struct json_member *members, size_t member_count,
                           size_t *end)
{
    struct scanner scanner = {.size = size, .offset = 1};

    REQUIRE(size > 0 && text[0] == '{' && member_count >= 1 && member_count <= JSON_FORM_MEMBERS_MAX);
    scanner.text = text;
    do {
        if (!read_member(&scanner, members, member_count))
            return scanner.problem;
        skip_white(&scanner);
    } while (take(&scanner, ','));
    if (!take(&scanner, '}'))
        return "The JSON form does not end in }";
    *end = scanner.offset;
    return missing_member(members, member_count);
}

static const char *missing_member(const struct json_member *members, size_t member_count)
{
    for (size_t i = 0; i < member_count; i++) {
        if (!members[i].is_present)
            return "The JSON form lacks a member";
    }
    return NULL;
}

static bool read_member(struct scanner *scanner, struct json_member *members, size_t member_count)
{
    struct json_member *member = NULL;
    struct bytes name;

    skip_white(scanner);
    if (!read_string(scanner, &name))
        return false;
    for (size_t i = 0; i < member_count; i++) {
        if (bytes_equal(name, bytes_from_string(members[i].name)))
            member = &members[i];
    }
    if (member == NULL)
        return fail(scanner, "The JSON form has a member that is not asked for");
    if (member->is_present)
        return fail(scanner, "The JSON form has a member twice");
    member->is_present = true;
    skip_white(scanner);
    if (!take(scanner, ':'))
        return fail(scanner, "The JSON form lacks a colon");
    skip_white(scanner);
    return read_string(scanner, &member->value);
}

/* The bytes from offset on that stand for themselves. */
static size_t plain_size(const struct scanner *scanner)
{
    size_t end = scanner->offset;

    while (end < scanner->size && scanner->text[end] >= 0x20 && scanner->text[end] != '"' && scanner->text[end] != '\\')
        end++;
    return end - scanner->offset;
}

static bool read_string(struct scanner *scanner, struct bytes *string)
{
    size_t first = scanner->offset + 1;
    size_t written = first;

    if (!take(scanner, '"'))
        return fail(scanner, "The JSON form has something else where a string should be");
    for (;;) {
        size_t plain = plain_size(scanner);

        if (written != scanner->offset)
            memmove(scanner->text + written, scanner->text + scanner->offset, plain);
        written += plain;
        scanner->offset += plain;
        if (take(scanner, '"'))
            break;
        if (scanner->offset == scanner->size)
            return fail(scanner, "A string of the JSON form does not end");
        if (!take(scanner, '\\'))
            return fail(scanner, "A string of the JSON form has a bare control character");
        if (!read_escape(scanner, &written))
            return false;
    }
    *string = bytes_from(scanner->text + first, written - first);
    return true;
}

static void write_utf8(struct scanner *scanner, size_t *written, uint32_t code_point)
{
    unsigned char *out = scanner->text + *written;
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const unsigned char first_bits[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (unsigned char)(0x80 | (code_point & 0x3f));
        code_point >>= 6;
    }
    out[0] = (unsigned char)(first_bits[length] | code_point);
    *written += length;
}

/* What a letter behind a backslash means; 0: nothing. */
static unsigned char short_escape(unsigned char letter)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *found = letter == 0 ? NULL : strchr(letters, letter);

    return found == NULL ? 0 : (unsigned char)meanings[found - letters];
}

/* Behind the backslash. */
static bool read_escape(struct scanner *scanner, size_t *written)
{
    unsigned char letter = scanner->offset < scanner->size ? scanner->text[scanner->offset] : 0;
    uint32_t code_point = short_escape(letter);

    if (code_point != 0)
        scanner->offset++;
    else if (!take(scanner, 'u'))
        return fail(scanner, "A string of the JSON form has an escape that JSON does not know");
    else if (!read_code_point(scanner, &code_point))
        return false;
    write_utf8(scanner, written, code_point);
    return true;
}

static bool read_four_digits(struct scanner *scanner, uint32_t *number)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned char digit = scanner->offset < scanner->size ? scanner->text[scanner->offset] : 0;
        unsigned char letter = digit | 0x20;

        if (digit >= '0' && digit <= '9')
            sum = sum << 4 | (uint32_t)(digit - '0');
        else if (letter >= 'a' && letter <= 'f')
            sum = sum << 4 | (uint32_t)(letter - 'a' + 10);
        else
            return fail(scanner, "A string of the JSON form has a \\u without four hexadecimal digits");
        scanner->offset++;
    }
    *number = sum;
    return true;
}

/* Behind \u. */
static bool read_code_point(struct scanner *scanner, uint32_t *code_point)
{
    uint32_t low;

    if (!read_four_digits(scanner, code_point))
        return false;
    if (*code_point < 0xd800 || *code_point > 0xdfff)
        return true;
    if (*code_point > 0xdbff || !take(scanner, '\\') || !take(scanner, 'u'))
        return fail(scanner, "A string of the JSON form has half a surrogate pair");
    if (!read_four_digits(scanner, &low))
        return false;
    if (low < 0xdc00 || low > 0xdfff)
        return fail(scanner, "A string of the JSON form has half a surrogate pair");
    *code_point = 0x10000 + ((*code_point - 0xd800) << 10) + (low - 0xdc00);
    return true;
}
