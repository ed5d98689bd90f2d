#include "protocol/json_form.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "protocol/buffer.h"

/* Reads a form of key and value from a copy that ends where memory does. */
static const char *read_form(struct bytes text, struct json_member members[2], struct bytes *behind)
{
    static unsigned char *copy;
    const char *problem;
    size_t end = 0;

    free(copy);
    copy = malloc(text.size);
    cr_assert_not_null(copy);
    memcpy(copy, text.data, text.size);
    members[0] = (struct json_member){.name = "key"};
    members[1] = (struct json_member){.name = "value"};
    problem = json_form_read(copy, text.size, members, 2, &end);
    if (problem == NULL)
        *behind = bytes_from(copy + end, text.size - end);
    return problem;
}

static void expect_form_bytes(struct bytes text, struct bytes key, struct bytes value, const char *behind)
{
    struct json_member members[2];
    struct bytes rest;
    const char *problem = read_form(text, members, &rest);

    cr_assert_null(problem, "%.*s: %s", (int)text.size, (const char *)text.data, problem);
    cr_assert(bytes_equal(members[0].value, key), "%.*s: key", (int)text.size, (const char *)text.data);
    cr_assert(bytes_equal(members[1].value, value), "%.*s: value", (int)text.size, (const char *)text.data);
    cr_assert(bytes_equal(rest, bytes_from_string(behind)));
}

#define FORM(text, key, value, behind) \
    expect_form_bytes(bytes_from((text), sizeof(text) - 1), bytes_from((key), sizeof(key) - 1), \
                      bytes_from((value), sizeof(value) - 1), (behind))

static void expect_problem_bytes(struct bytes text)
{
    struct json_member members[2];
    struct bytes behind;

    cr_assert_not_null(read_form(text, members, &behind), "%.*s was taken", (int)text.size, (const char *)text.data);
}

#define PROBLEM(text) expect_problem_bytes(bytes_from((text), sizeof(text) - 1))

Test(json_form, reads_its_members_in_any_order)
{
    FORM("{\"key\": \"k\", \"value\": \"v\"}", "k", "v", "");
    FORM("{\"value\":\"v\",\"key\":\"k\"}", "k", "v", "");
}

Test(json_form, takes_json_white_space_and_no_other)
{
    FORM("{ \t\r\n\"key\" \r:\t\"k\"\n,  \"value\"\t:\r\"v\"\t} \t17", "k", "v", " \t17");
    PROBLEM("{\"key\":\"k\",\v\"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",\f\"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",\xc2\xa0\"value\":\"v\"}");
    PROBLEM("{\0\"key\":\"k\",\"value\":\"v\"}");
}

Test(json_form, leaves_what_is_behind_it_alone)
{
    FORM("{\"key\":\"k\",\"value\":\"v\"}}", "k", "v", "}");
    FORM("{\"key\":\"k\",\"value\":\"v\"}garbage", "k", "v", "garbage");
}

Test(json_form, may_hold_empty_strings)
{
    FORM("{\"key\":\"\",\"value\":\"\"}", "", "", "");
}

Test(json_form, decodes_every_escape)
{
    FORM("{\"key\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\",\"value\":\"\\u0041\\u00e9\\u20ac\\uD834\\udd1e\"}",
         "\"\\/\b\f\n\r\t", "A\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e", "");
    FORM("{\"k\\u0065y\":\"a\\u007fb\",\"value\":\"\\uFFFF\\uffff\\u0800\\u07ff\\u0080\"}", "a\x7f"
         "b", "\xef\xbf\xbf\xef\xbf\xbf\xe0\xa0\x80\xdf\xbf\xc2\x80", "");
}

Test(json_form, keeps_the_null_character)
{
    FORM("{\"key\":\"\\u0000\",\"value\":\"a\\u0000b\"}", "\0", "a\0b", "");
}

Test(json_form, takes_utf8_and_the_delete_character_as_they_are)
{
    FORM("{\"key\":\"\x7f\",\"value\":\"\xe8\xaf\xb4\"}", "\x7f", "\xe8\xaf\xb4", "");
}

Test(json_form, refuses_members_that_are_missing_twice_or_unknown)
{
    PROBLEM("{}");
    PROBLEM("{\"key\":\"k\"}");
    PROBLEM("{\"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",\"key\":\"k\"}");
    PROBLEM("{\"key\":\"k\",\"value\":\"v\",\"key\":\"k\"}");
    PROBLEM("{\"key\":\"k\",\"value\":\"v\",\"more\":\"m\"}");
    PROBLEM("{\"Key\":\"k\",\"value\":\"v\"}");
    PROBLEM("{\"key\\u0000\":\"k\",\"value\":\"v\"}");
    PROBLEM("{\"ke\":\"k\",\"value\":\"v\"}");
    PROBLEM("{\"\":\"k\",\"value\":\"v\"}");
}

Test(json_form, refuses_values_that_are_no_strings)
{
    PROBLEM("{\"key\":1,\"value\":\"v\"}");
    PROBLEM("{\"key\":null,\"value\":\"v\"}");
    PROBLEM("{\"key\":true,\"value\":\"v\"}");
    PROBLEM("{\"key\":[\"k\"],\"value\":\"v\"}");
    PROBLEM("{\"key\":{},\"value\":\"v\"}");
    PROBLEM("{\"key\":'k',\"value\":\"v\"}");
    PROBLEM("{\"key\":k,\"value\":\"v\"}");
}

Test(json_form, refuses_wrong_punctuation)
{
    PROBLEM("{\"key\":\"k\" \"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",,\"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",\"value\":\"v\",}");
    PROBLEM("{,\"key\":\"k\",\"value\":\"v\"}");
    PROBLEM("{\"key\" \"k\",\"value\":\"v\"}");
    PROBLEM("{\"key\"=\"k\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"k\",\"value\":\"v\"");
    PROBLEM("{\"key\":\"k\",\"value\":\"v\"]");
    PROBLEM("{{\"key\":\"k\",\"value\":\"v\"}}");
    PROBLEM("{\"key\":\"k\"/**/,\"value\":\"v\"}");
}

Test(json_form, refuses_bare_control_characters)
{
    char text[] = "{\"key\":\"k?\",\"value\":\"v\"}";

    for (char control = 0; control < 0x20; control++) {
        *strchr(text, '?') = control;
        expect_problem_bytes(bytes_from(text, sizeof text - 1));
        text[9] = '?';
    }
}

Test(json_form, refuses_escapes_that_json_does_not_know)
{
    for (int letter = 0; letter < 256; letter++) {
        char text[] = "{\"key\":\"\\?\",\"value\":\"v\"}";
        bool is_known = letter != 0 && strchr("\"\\/bfnrt", letter) != NULL;

        text[9] = (char)letter;
        if (!is_known)
            expect_problem_bytes(bytes_from(text, sizeof text - 1));
    }
    PROBLEM("{\"key\":\"\\u12\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\u123g\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\u+123\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\U0041\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\x41\",\"value\":\"v\"}");
}

Test(json_form, refuses_half_a_surrogate_pair)
{
    PROBLEM("{\"key\":\"\\ud834\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834x\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\n\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\u0041\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\ud834\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\udbff\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\ue000\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\udd1e\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\udd1e\\ud834\",\"value\":\"v\"}");
    PROBLEM("{\"key\":\"\\ud834\\udd1\",\"value\":\"v\"}");
}

Test(json_form, refuses_every_beginning_of_a_form)
{
    static const char text[] = "{\"key\": \"k\\u0041\\ud834\\udd1e\\n\", \"value\": \"v\"}";

    for (size_t size = 1; size < sizeof text - 1; size++)
        expect_problem_bytes(bytes_from(text, size));
}

/* cJSON is more generous in places (raw control characters, names in any case,
 * what comes behind), so it judges only what we took. */
static void expect_same_as_cjson(struct bytes text)
{
    struct json_member members[2];
    struct bytes behind;
    char *string;
    cJSON *object;

    if (read_form(text, members, &behind) != NULL || memchr(members[0].value.data, 0, members[0].value.size) != NULL ||
        memchr(members[1].value.data, 0, members[1].value.size) != NULL)
        return;
    string = strndup((const char *)text.data, text.size);
    object = cJSON_Parse(string);
    cr_assert_not_null(object, "cJSON refuses %s", string);
    cr_assert_eq(cJSON_GetArraySize(object), 2);
    cr_assert(bytes_equal(members[0].value,
                          bytes_from_string(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "key")))));
    cr_assert(bytes_equal(members[1].value,
                          bytes_from_string(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "value")))));
    cJSON_Delete(object);
    free(string);
}

Test(json_form, reads_what_cjson_reads_in_random_forms)
{
    static const char *const pieces[] = {"a", "\\n", "\\u0041", "\\ud83d\\ude00", "\\u00e9", "\xc3\xa9", "\\\\", "\\\"",
                                         "\\/", " ", "{", "}", ":", ",", "\\ud83d", "\"", "\\", "\xf0\x9f\x98\x80"};
    unsigned seed = 1;

    cr_log_info("seed %u", seed);
    for (unsigned i = 0; i < 20000; i++) {
        struct buffer text;

        buffer_init(&text);
        buffer_append_string(&text, "{\"key\": \"");
        for (unsigned j = 0; j < 6; j++) {
            seed = seed * 1103515245u + 12345u;
            buffer_append_string(&text, pieces[(seed >> 16) % (sizeof pieces / sizeof *pieces)]);
            if (j == 2)
                buffer_append_string(&text, "\", \"value\": \"");
        }
        buffer_append_string(&text, "\"}");
        expect_same_as_cjson(buffer_bytes(&text));
        buffer_deinit(&text);
    }
}
