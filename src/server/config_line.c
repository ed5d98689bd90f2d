/* One line of a configuration file: comments, a name, a value. Reading and
 * printing of a value are inverse, whatever bytes it has. */
#include "config_internal.h"

#define NOT_A_LINE "neither 'name = value' nor a comment"

static struct bytes without_edges(struct bytes text);
static struct bytes without_comment(struct bytes text);
static const char *unquote(struct bytes text, char *value);
static bool unescape(struct bytes *rest, char *character);

/* isspace(3), whatever the locale. */
static bool is_white(unsigned char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

static bool begins_comment(unsigned char character)
{
    return character == '#' || character == ';';
}

const char *config_line_cut(struct bytes line, struct config_line *parts)
{
    struct bytes text = without_edges(line);
    struct bytes outside_comment;
    size_t separator = 0;

    *parts = (struct config_line){.name = bytes_slice(text, 0, 0), .value = bytes_slice(text, 0, 0)};
    if (text.size > CONFIG_LINE_BYTES_MAX)
        return "longer than " CONFIG_LINE_BYTES_MAX_TEXT " bytes";
    if (text.size > 0 && memchr(text.data, '\0', text.size) != NULL)
        return "a NUL byte";
    if (text.size == 0 || begins_comment(text.data[0]))
        return NULL;
    if (text.data[0] == '[')
        return "a section: there are none";
    outside_comment = without_comment(text);
    while (separator < outside_comment.size && text.data[separator] != '=' && text.data[separator] != ':')
        separator++;
    if (separator == outside_comment.size)
        return NOT_A_LINE;
    parts->name = without_edges(bytes_slice(text, 0, separator));
    parts->value = without_edges(bytes_slice(text, separator + 1, text.size - separator - 1));
    return parts->name.size == 0 ? "unknown name ''" : NULL;
}

const char *config_line_value(struct bytes text, bool is_path, char value[CONFIG_LINE_BYTES_MAX + 1])
{
    struct bytes bare = without_comment(text);

    if (text.size > 0 && text.data[0] == '"')
        return unquote(text, value);
    if (is_path && bare.size < text.size)
        return "is # or ; of the path, or a comment? A path that has them at its beginning or behind white space, or a "
               "comment behind it, takes double quotes";
    bare = without_edges(bare);
    if (bare.size > 0)
        memcpy(value, bare.data, bare.size);
    value[bare.size] = '\0';
    return NULL;
}

static struct bytes without_edges(struct bytes text)
{
    while (text.size > 0 && is_white(text.data[0]))
        text = bytes_slice(text, 1, text.size - 1);
    while (text.size > 0 && is_white(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* Up to # or ; at the beginning or behind white space. */
static struct bytes without_comment(struct bytes text)
{
    for (size_t i = 0; i < text.size; i++)
        if (begins_comment(text.data[i]) && (i == 0 || is_white(text.data[i - 1])))
            return bytes_slice(text, 0, i);
    return text;
}

/* Nothing but a comment stands behind the closing quote. */
static const char *unquote(struct bytes text, char *value)
{
    struct bytes rest = bytes_slice(text, 1, text.size - 1);

    while (rest.size > 0 && rest.data[0] != '"') {
        if (!unescape(&rest, value++))
            return "in double quotes, a backslash stands before a quote, a backslash, or x and two digits of base 16 that are not "
                   "both 0";
    }
    *value = '\0';
    if (rest.size == 0)
        return "the closing double quote is missing";
    rest = bytes_slice(rest, 1, rest.size - 1);
    if (rest.size == 0 || (is_white(rest.data[0]) && begins_comment(without_edges(rest).data[0])))
        return NULL;
    return "something stands behind the closing double quote";
}

static unsigned hex_digit(unsigned char character)
{
    const char digits[] = "0123456789abcdef";
    const char *digit = memchr(digits, character, sizeof digits - 1);

    return digit == NULL ? 16 : (unsigned)(digit - digits);
}

/* Takes one character from the rest. */
static bool unescape(struct bytes *rest, char *character)
{
    const unsigned char *text = rest->data;
    size_t taken = 1;
    unsigned code = text[0];

    if (text[0] == '\\' && rest->size >= 2 && (text[1] == '"' || text[1] == '\\')) {
        code = text[1];
        taken = 2;
    } else if (text[0] == '\\') {
        bool is_code = rest->size >= 4 && text[1] == 'x' && hex_digit(text[2]) < 16 && hex_digit(text[3]) < 16;

        code = is_code ? hex_digit(text[2]) * 16 + hex_digit(text[3]) : 0;
        taken = 4;
    }
    if (code == 0)
        return false;
    *character = (char)code;
    *rest = bytes_slice(*rest, taken, rest->size - taken);
    return true;
}

/* Whether it reads as itself, without quotes. */
static bool is_bare(struct bytes value)
{
    for (size_t i = 0; i < value.size; i++)
        if (value.data[i] < 0x20 || value.data[i] == 0x7f)
            return false;
    return value.size > 0 && value.data[0] != '"' && without_edges(value).size == value.size &&
           without_comment(value).size == value.size;
}

void config_line_print(const char *name, const char *value, FILE *stream)
{
    struct bytes bytes = bytes_from_string(value);

    (void)fprintf(stream, "%s = ", name);
    if (is_bare(bytes)) {
        (void)fprintf(stream, "%s\n", value);
        return;
    }
    (void)fputc('"', stream);
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned char character = bytes.data[i];

        if (character < 0x20 || character == 0x7f)
            (void)fprintf(stream, "\\x%02x", character);
        else
            (void)fprintf(stream, "%s%c", character == '"' || character == '\\' ? "\\" : "", character);
    }
    (void)fputs("\"\n", stream);
}
