/* The JSON writer. The input is a list of values, nested as it likes: cJSON
 * must read what was written, and find the same. cJSON keeps strings as C
 * strings, so the bytes of each, U+0000 included, are also read back with the
 * protocol's own reader; what is no UTF-8 must come back as U+FFFD, one for
 * each byte.
 *
 * Input: operations of 1 byte and their arguments, see write_value. */
#include "harness.h"

#include <stdio.h>

#include "json_check.h"
#include "platform/utf8.h"
#include "protocol/json_form.h"
#include "protocol/json_writer.h"

#define DEPTH_MAX 20u
#define VALUES_MAX 200u

enum value_kind { OBJECT, ARRAY, STRING, PIECES, NUMBER, HUNDREDTHS, BOOLEAN, END, VALUE_KIND_COUNT };

/* What was written, in the order of cJSON's tree. */
struct value {
    enum value_kind kind;
    uint64_t number;
    struct bytes string;
};

struct document {
    struct input input;
    struct buffer output;
    struct json_writer writer;
    struct value values[VALUES_MAX];
    size_t value_count;
    size_t value_seen;
    bool is_object[DEPTH_MAX];
    size_t depth;
};

/* --- strings --- */

static void write_in_pieces(struct json_writer *writer, struct bytes string, size_t piece_bytes)
{
    json_string_begin(writer);
    while (string.size > 0) {
        size_t size = piece_bytes < string.size ? piece_bytes : string.size;

        json_string_piece(writer, bytes_slice(string, 0, size));
        string = bytes_slice(string, size, string.size - size);
    }
    json_string_end(writer);
}

/* What a reader has to find. */
static void append_as_utf8(struct buffer *buffer, struct bytes string)
{
    for (size_t offset = 0; offset < string.size;) {
        uint32_t code_point;
        size_t length = utf8_decode(string, offset, &code_point);

        if (length == 0)
            buffer_append_string(buffer, "\xef\xbf\xbd");
        else
            buffer_append(buffer, bytes_slice(string, offset, length));
        offset += length == 0 ? 1 : length;
    }
}

static void check_string(struct bytes string, size_t piece_bytes)
{
    struct json_member member = {.name = "s"};
    struct json_writer writer;
    struct buffer wanted;
    struct buffer object;
    const char *complaint;
    size_t end = 0;

    buffer_init(&wanted);
    buffer_init(&object);
    append_as_utf8(&wanted, string);
    json_writer_init(&writer, &object);
    json_object_begin(&writer);
    json_name(&writer, "s");
    write_in_pieces(&writer, string, piece_bytes);
    json_object_end(&writer);
    complaint = json_form_read(object.data, object.size, &member, 1, &end);
    ENSURE(complaint == NULL && end == object.size);
    ENSURE(bytes_equal(member.value, buffer_bytes(&wanted)));
    buffer_deinit(&wanted);
    buffer_deinit(&object);
}

/* --- writing --- */

static struct value *add_value(struct document *document, enum value_kind kind)
{
    struct value *value = &document->values[document->value_count++];

    *value = (struct value){.kind = kind};
    return value;
}

/* Members have the names n0, n1, ...: of their places in the document. */
static void name_value(struct document *document)
{
    char name[16];

    if (document->depth == 0 || !document->is_object[document->depth - 1])
        return;
    (void)snprintf(name, sizeof(name), "n%zu", document->value_count);
    json_name(&document->writer, name);
}

static void open_container(struct document *document, bool is_object)
{
    add_value(document, is_object ? OBJECT : ARRAY);
    document->is_object[document->depth++] = is_object;
    if (is_object)
        json_object_begin(&document->writer);
    else
        json_array_begin(&document->writer);
}

static void close_container(struct document *document)
{
    add_value(document, END);
    document->depth--;
    if (document->is_object[document->depth])
        json_object_end(&document->writer);
    else
        json_array_end(&document->writer);
}

static void write_string(struct document *document, enum value_kind kind)
{
    size_t piece_bytes = kind == PIECES ? 1u + input_byte(&document->input) % 32 : SIZE_MAX;
    struct bytes string = input_take(&document->input, input_byte(&document->input));

    add_value(document, kind)->string = string;
    if (kind == STRING)
        json_string(&document->writer, string);
    else
        write_in_pieces(&document->writer, string, piece_bytes);
    check_string(string, piece_bytes);
}

static void write_number(struct document *document, enum value_kind kind)
{
    uint64_t number = input_number(&document->input, kind == NUMBER ? 8 : 4);

    add_value(document, kind)->number = number;
    if (kind == NUMBER)
        json_number(&document->writer, number);
    else
        json_hundredths(&document->writer, number);
}

static void write_boolean(struct document *document)
{
    bool boolean = input_byte(&document->input) % 2 != 0;

    add_value(document, BOOLEAN)->number = boolean;
    json_boolean(&document->writer, boolean);
}

static void write_value(struct document *document)
{
    enum value_kind kind = (enum value_kind)(input_byte(&document->input) % VALUE_KIND_COUNT);
    bool is_full = document->depth == DEPTH_MAX || document->value_count + document->depth + 2 >= VALUES_MAX;

    if (kind == END || is_full) {
        if (document->depth > 1)
            close_container(document);
        return;
    }
    name_value(document);
    if (kind == OBJECT || kind == ARRAY)
        open_container(document, kind == OBJECT);
    else if (kind == STRING || kind == PIECES)
        write_string(document, kind);
    else if (kind == NUMBER || kind == HUNDREDTHS)
        write_number(document, kind);
    else
        write_boolean(document);
}

/* --- reading --- */

static void expect_string(const cJSON *found, struct bytes string)
{
    struct buffer wanted;

    buffer_init(&wanted);
    append_as_utf8(&wanted, string);
    buffer_append(&wanted, bytes_from("", 1));
    ENSURE(cJSON_IsString(found) && strcmp(found->valuestring, (const char *)wanted.data) == 0);
    buffer_deinit(&wanted);
}

static void expect_value(struct document *document, const cJSON *found);

static void expect_children(struct document *document, const cJSON *parent)
{
    for (const cJSON *child = parent->child; child != NULL; child = child->next) {
        char name[16];

        (void)snprintf(name, sizeof(name), "n%zu", document->value_seen);
        ENSURE(!cJSON_IsObject(parent) || strcmp(child->string, name) == 0);
        expect_value(document, child);
    }
    ENSURE(document->values[document->value_seen].kind == END);
    document->value_seen++;
}

static void expect_value(struct document *document, const cJSON *found)
{
    const struct value *value = &document->values[document->value_seen++];

    ENSURE(document->value_seen <= document->value_count);
    switch (value->kind) {
    case OBJECT:
    case ARRAY:
        ENSURE(value->kind == OBJECT ? cJSON_IsObject(found) : cJSON_IsArray(found));
        expect_children(document, found);
        break;
    case STRING:
    case PIECES:
        expect_string(found, value->string);
        break;
    case NUMBER:
        ENSURE(cJSON_IsNumber(found) && found->valuedouble == (double)value->number);
        break;
    case HUNDREDTHS:
        ENSURE(cJSON_IsNumber(found) && (uint64_t)(found->valuedouble * 100 + 0.5) == value->number);
        break;
    case BOOLEAN:
        ENSURE(cJSON_IsBool(found) && cJSON_IsTrue(found) == (value->number != 0));
        break;
    case END:
    case VALUE_KIND_COUNT:
        ENSURE(value->kind < END);
    }
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static struct document document;
    cJSON *found;

    memset(&document, 0, sizeof(document));
    document.input = input_from(data, size);
    buffer_init(&document.output);
    json_writer_init(&document.writer, &document.output);
    open_container(&document, true);
    while (!input_is_empty(&document.input) && document.value_count + document.depth + 2 < VALUES_MAX)
        write_value(&document);
    while (document.depth > 0)
        close_container(&document);
    found = json_check(buffer_bytes(&document.output));
    expect_value(&document, found);
    ENSURE(document.value_seen == document.value_count);
    cJSON_Delete(found);
    buffer_deinit(&document.output);
    return 0;
}
