#include "protocol/json_writer.h"

#include <stdio.h>
#include <stdlib.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

static struct buffer output;

static struct json_writer begin(void)
{
    struct json_writer writer;

    buffer_deinit(&output);
    json_writer_init(&writer, &output);
    return writer;
}

static void expect_output(const char *wanted)
{
    cr_assert(bytes_equal(buffer_bytes(&output), bytes_from_string(wanted)), "it wrote %.*s, not %s", (int)output.size,
              (const char *)output.data, wanted);
}

/* Whatever the cuts, the output is the same. */
static void expect_string_bytes(struct bytes string, const char *wanted)
{
    for (size_t piece_bytes = 1; piece_bytes <= string.size + 1; piece_bytes++) {
        struct json_writer writer = begin();

        json_string_begin(&writer);
        for (size_t offset = 0; offset < string.size; offset += piece_bytes) {
            size_t left = string.size - offset;

            json_string_piece(&writer, bytes_slice(string, offset, piece_bytes < left ? piece_bytes : left));
        }
        json_string_end(&writer);
        expect_output(wanted);
    }
}

#define STRING(string, wanted) expect_string_bytes(bytes_from((string), sizeof(string) - 1), "\"" wanted "\"")

Test(json_writer, lays_out_objects_and_arrays_with_one_space)
{
    struct json_writer writer = begin();

    json_object_begin(&writer);
    json_name(&writer, "status");
    json_string(&writer, bytes_from_string("Ok"));
    json_name(&writer, "empty");
    json_object_begin(&writer);
    json_object_end(&writer);
    json_name(&writer, "result");
    json_array_begin(&writer);
    json_number(&writer, 0);
    json_number(&writer, UINT64_MAX);
    json_boolean(&writer, true);
    json_array_begin(&writer);
    json_array_end(&writer);
    json_boolean(&writer, false);
    json_array_end(&writer);
    json_name(&writer, "load");
    json_hundredths(&writer, 1205);
    json_object_end(&writer);

    expect_output("{\"status\": \"Ok\", \"empty\": {}, \"result\": [0, 18446744073709551615, true, [], false], "
                  "\"load\": 12.05}");
}

Test(json_writer, leaves_plain_text_alone)
{
    STRING("", "");
    STRING("value", "value");
    STRING("/ a longer one, with punctuation: <>'[]{}~!", "/ a longer one, with punctuation: <>'[]{}~!");
}

Test(json_writer, escapes_by_letter)
{
    STRING("\b\t\n\f\r\"\\", "\\b\\t\\n\\f\\r\\\"\\\\");
}

Test(json_writer, escapes_other_control_characters_by_number)
{
    STRING("\0\x01\x07\x0b\x0e\x1f\x7f", "\\u0000\\u0001\\u0007\\u000b\\u000e\\u001f\\u007f");
}

Test(json_writer, escapes_what_is_not_ascii)
{
    STRING("\xc2\x80\xe8\xaf\xb4\xef\xbf\xbf", "\\u0080\\u8bf4\\uffff");
    STRING("\xf0\x90\x80\x80\xf0\x9f\x98\x80\xf4\x8f\xbf\xbf", "\\ud800\\udc00\\ud83d\\ude00\\udbff\\udfff");
}

/* Each length's first and last, whose first bytes are the lowest and the highest. */
Test(json_writer, waits_for_all_bytes_of_a_character_that_was_cut)
{
    STRING("\xc2\x80\xdf\xbf", "\\u0080\\u07ff");
    STRING("\xe0\xa0\x80\xef\xbf\xbf", "\\u0800\\uffff");
    STRING("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", "\\ud800\\udc00\\udbff\\udfff");
}

/* Written, in printable ASCII alone (cJSON would take more), and read again. */
static void assert_comes_back(const char *string, size_t size)
{
    struct json_writer writer = begin();
    cJSON *parsed;

    json_string(&writer, bytes_from(string, size));
    for (size_t i = 0; i < output.size; i++)
        cr_assert(output.data[i] >= 0x20 && output.data[i] < 0x7f, "byte %u", output.data[i]);
    buffer_append(&output, bytes_from("", 1));
    parsed = cJSON_Parse((const char *)output.data);
    cr_assert_not_null(parsed);
    cr_assert_str_eq(cJSON_GetStringValue(parsed), string);
    cJSON_Delete(parsed);
}

#define PLACES_MAX 80u

/* Plain text is looked for sixteen bytes at a time, the last of which may overlap those before. */
static const size_t sizes[] = {1, 7, 8, 15, 16, 17, 24, 31, 32, 33, 47, 48, 49, 64, 65, PLACES_MAX};

static void letters(char string[PLACES_MAX + 1], size_t size)
{
    for (size_t i = 0; i < size; i++)
        string[i] = (char)('a' + i % 26);
    string[size] = '\0';
}

Test(json_writer, finds_a_special_byte_at_every_place)
{
    char string[PLACES_MAX + 1];

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t place = 0; place < sizes[i]; place++) {
            for (unsigned special = 1; special < 0x80; special++) {
                letters(string, sizes[i]);
                string[place] = (char)special;
                assert_comes_back(string, sizes[i]);
            }
        }
    }
}

Test(json_writer, finds_special_bytes_side_by_side)
{
    char string[PLACES_MAX + 1];

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (unsigned special = 1; special < 0x80; special++) {
            memset(string, (int)special, sizes[i]);
            string[sizes[i]] = '\0';
            assert_comes_back(string, sizes[i]);
        }
    }
}

Test(json_writer, finds_a_character_that_is_not_ascii_at_every_place)
{
    char string[PLACES_MAX + 1];

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (size_t place = 0; place + 1 < sizes[i]; place++) {
            letters(string, sizes[i]);
            memcpy(string + place, "\xc3\xa9", 2);
            assert_comes_back(string, sizes[i]);
        }
    }
}

Test(json_writer, shows_each_byte_that_is_not_utf8)
{
    STRING("\xff\xfe", "\\ufffd\\ufffd");
    STRING("a\x80z", "a\\ufffdz");
    STRING("\xc0\xaf", "\\ufffd\\ufffd");
    STRING("\xe8\xaf", "\\ufffd\\ufffd");
    STRING("\xe8\xafz", "\\ufffd\\ufffdz");
    STRING("\xe8\xaf\xc3\xa9", "\\ufffd\\ufffd\\u00e9");
    STRING("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");
    STRING("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd");
    STRING("\xf0\x9f\x98", "\\ufffd\\ufffd\\ufffd");
    STRING("\xf0\xf0\x9f\x98\x80", "\\ufffd\\ud83d\\ude00");
    STRING("\xe2L", "\\ufffdL");
    STRING("\xf0\x9f\"", "\\ufffd\\ufffd\\\"");
}

Test(json_writer, writes_every_character_so_that_cjson_reads_it)
{
    for (uint32_t code_point = 1; code_point <= 0x10ffff; code_point++) {
        unsigned char utf8[5] = {0};
        struct json_writer writer;
        cJSON *parsed;
        size_t size = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
        uint32_t bits = code_point;

        if (code_point >= 0xd800 && code_point <= 0xdfff)
            continue;
        for (size_t i = size - 1; i > 0; i--, bits >>= 6)
            utf8[i] = (unsigned char)(0x80 | (bits & 0x3f));
        utf8[0] = (unsigned char)(size == 1 ? bits : (0xf00u >> size & 0xf0u) | bits);
        if (code_point > 0x3000 && code_point % 7 != 0)
            continue; /* enough of them */

        writer = begin();
        json_string(&writer, bytes_from(utf8, size));
        for (size_t i = 0; i < output.size; i++)
            cr_assert(output.data[i] >= 0x20 && output.data[i] < 0x7f);
        buffer_append(&output, bytes_from("", 1));
        parsed = cJSON_Parse((const char *)output.data);
        cr_assert_not_null(parsed, "U+%04X: %s", code_point, (const char *)output.data);
        cr_assert_str_eq(cJSON_GetStringValue(parsed), (const char *)utf8, "U+%04X", code_point);
        cJSON_Delete(parsed);
    }
}

Test(json_writer, says_that_there_was_no_memory)
{
    struct json_writer writer = begin();

    json_string(&writer, bytes_from_string("before"));
    buffer_append(&output, (struct bytes){output.data, SIZE_MAX});
    json_string(&writer, bytes_from_string("behind"));

    cr_assert(output.failed);
    expect_output("\"before\"");
}
