#include "protocol/request.h"

#include <stdio.h>
#include <stdlib.h>

#include <criterion/criterion.h>

#include "protocol/buffer.h"

static struct request request;
static struct message message;
static unsigned char *copy; /* of the line; slices of the request point into it */

static enum status parse(struct bytes line)
{
    struct bytes trimmed = request_trim(line);

    free(copy);
    copy = malloc(trimmed.size);
    cr_assert_not_null(copy);
    memcpy(copy, trimmed.data, trimmed.size);
    message_init(&message);
    return request_parse(copy, trimmed.size, &request, &message);
}

static void expect_status(struct bytes line, enum status wanted)
{
    enum status status = parse(line);

    cr_assert_eq(status, wanted, "%.*s: %s, not %s", (int)line.size, (const char *)line.data, status_code(status),
                 status_code(wanted));
    cr_assert(wanted == STATUS_OK || !message_is_empty(&message), "%.*s: no message", (int)line.size,
              (const char *)line.data);
}

#define BYTES(literal) bytes_from((literal), sizeof(literal) - 1)
#define REFUSED(line, status) expect_status(BYTES(line), (status))
#define SYNTAX(line) REFUSED(line, STATUS_SYNTAX)

#define PARSED(line, wanted_verb) \
    do { \
        expect_status(BYTES(line), STATUS_OK); \
        cr_assert_eq(request.verb, VERB_##wanted_verb, "%s", (line)); \
    } while (0)

#define PUT(line, wanted_key, wanted_value) \
    do { \
        PARSED(line, PUT); \
        cr_assert(bytes_equal(request.key, BYTES(wanted_key)), "%s: key %.*s", (line), (int)request.key.size, \
                  (const char *)request.key.data); \
        cr_assert(bytes_equal(request.value, BYTES(wanted_value)), "%s: value %.*s", (line), (int)request.value.size, \
                  (const char *)request.value.data); \
    } while (0)

#define KEY(line, wanted_verb, wanted_key) \
    do { \
        PARSED(line, wanted_verb); \
        cr_assert(bytes_equal(request.key, BYTES(wanted_key)), "%s: key %.*s", (line), (int)request.key.size, \
                  (const char *)request.key.data); \
    } while (0)

Test(command, is_found_in_any_case)
{
    for (unsigned i = 0; i < VERB_TOTAL; i++) {
        const char *verb = command_of((enum verb)i)->verb;
        char lower[16] = "";
        char mixed[16] = "";

        for (size_t j = 0; verb[j] != '\0'; j++) {
            lower[j] = (char)(verb[j] + ('a' - 'A'));
            mixed[j] = lower[j];
            if (j % 2 == 0)
                mixed[j] = verb[j];
        }
        cr_assert_eq(command_find(bytes_from_string(verb)), i);
        cr_assert_eq(command_find(bytes_from_string(lower)), i);
        cr_assert_eq(command_find(bytes_from_string(mixed)), i);
    }
}

Test(command, is_not_found_by_what_only_looks_like_it)
{
    static const char *const verbs[] = {"", "P", "PU", "PUTS", "PUT,", "GE", "ROLLBACKS", "ROLLBAC", "PUT\r", "xPUT",
                                        "P\xd5T", "p\xf5t", "0UT", "SET", "\x10UT", "PING\x01", "@ING", "\xc5\xbfTART"};

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        cr_assert_eq(command_find(bytes_from_string(verbs[i])), VERB_UNKNOWN, "%s", verbs[i]);
    cr_assert_eq(command_find(BYTES("PUT\0")), VERB_UNKNOWN);
    cr_assert_eq(command_find(BYTES("PUT\0\0\0\0\0")), VERB_UNKNOWN);
    cr_assert_eq(command_find(BYTES("\0PUT")), VERB_UNKNOWN);
    cr_assert_eq(command_find(BYTES("PUT ")), VERB_UNKNOWN);
}

Test(request, splits_fields_on_spaces_and_tabs)
{
    PUT("PUT a 1", "a", "1");
    PUT("PUT   a    3 * 3 = 9 ", "a", "3 * 3 = 9");
    PUT("\t put\t\ta \t3 \t 9\t ", "a", "3 \t 9");
    KEY(" GET\ta ", GET, "a");
}

Test(request, takes_other_white_space_for_data)
{
    PUT("PUT a\v \f", "a\v", "\f");
    PUT("PUT a\r b\r", "a\r", "b\r");
    PUT("PUT a\xc2\xa0"
        "b c",
        "a\xc2\xa0"
        "b",
        "c");
    REFUSED("PUT\va b", STATUS_UNKNOWN_COMMAND);
}

Test(request, keeps_the_inner_spaces_of_a_value)
{
    PUT("PUT a b  c\t\td", "a", "b  c\t\td");
    PUT("PUT georgew {\"first_name\": \"George\"}", "georgew", "{\"first_name\": \"George\"}");
    PUT("PUT a {not json", "a", "{not json");
}

/* Fields are looked through eight bytes at a time. */
Test(request, finds_the_end_of_a_key_wherever_it_stands)
{
    for (size_t size = 1; size <= 20; size++)
        for (size_t place = 0; place < size; place++)
            for (unsigned byte = 0; byte <= UINT8_MAX; byte++) {
                unsigned char line[4 + 20] = "GET ";
                bool is_white = byte == ' ' || byte == '\t';
                struct bytes key;

                memset(line + 4, 0x80 + (int)byte % 0x80, size);
                line[4] = 'k';
                line[4 + place] = (unsigned char)byte;
                key = request_likely_key(bytes_from(line, 4 + size));
                if (place == 0 && (is_white || byte == '{'))
                    continue;
                cr_assert_eq(key.data, line + 4);
                cr_assert_eq(key.size, is_white ? place : size, "byte 0x%02x at %zu of %zu", byte, place, size);
            }
}

Test(request, takes_the_null_character)
{
    PUT("PUT a\0b c\0d", "a\0b", "c\0d");
    KEY("GET \0", GET, "\0");
}

Test(request, takes_characters_of_every_length)
{
    PUT("put s \xe8\xaf\xb4", "s", "\xe8\xaf\xb4");
    PUT("put \xc3\xa9 \xf0\x9f\x98\x80\x7f", "\xc3\xa9", "\xf0\x9f\x98\x80\x7f");
}

Test(request, refuses_put_without_key_or_value)
{
    SYNTAX("PUT");
    SYNTAX("PUT a");
    SYNTAX(" PUT \t a \t ");
}

Test(request, reads_a_key)
{
    KEY("GET a", GET, "a");
    KEY("DEL a", DEL, "a");
    KEY("EXISTS a", EXISTS, "a");
    KEY("GET }", GET, "}");
    SYNTAX("GET");
    SYNTAX("GET a b");
    SYNTAX("DEL a 1");
    SYNTAX("EXISTS a b c");
}

Test(request, reads_the_json_forms)
{
    PUT("PUT {\"key\": \"key1\", \"value\": \"value1\"}  ", "key1", "value1");
    PUT("put\t{ \"value\" : \" \\n\" , \"key\":\"a key\" }", "a key", " \n");
    PUT("PUT {\"key\":\"k\",\"value\":\"\"}", "k", "");
    PUT("PUT {\"key\":\"\\u0000\",\"value\":\"a\\u0000\"}", "\0", "a\0");
    KEY("GET {\"key\": \"{\"}", GET, "{");
    KEY("DEL {\"key\": \"a b\"}", DEL, "a b");
    KEY("EXISTS {\"key\": \"\\ud83d\\ude00\"}", EXISTS, "\xf0\x9f\x98\x80");
}

Test(request, refuses_json_forms_that_are_not_strict)
{
    SYNTAX("PUT {a 1");
    SYNTAX("GET {");
    SYNTAX("GET {}");
    SYNTAX("GET {\"key\": \"a\"} b");
    SYNTAX("GET {\"key\": \"a\"} 1");
    SYNTAX("GET {\"key\": \"a\"}}");
    SYNTAX("GET {\"key\": \"a\", \"value\": \"b\"}");
    SYNTAX("PUT {\"key\": \"a\"}");
    SYNTAX("PUT {\"key\": \"a\"} b");
    SYNTAX("PUT {\"key\": \"a\", \"value\": 1}");
    SYNTAX("PUT {\"key\": \"a\", \"value\": \"\\ud800\"}");
    SYNTAX("PUT {\"key\": \"a\", \"value\": \"\xff\"}");
    SYNTAX("PUT {\"key\": \"a\", \"value\": \"\xed\xa0\x80\"}");
    SYNTAX("GET {\"key\": \"\"}");
    SYNTAX("PUT {\"key\": \"\", \"value\": \"v\"}");
}

Test(request, refuses_what_is_not_utf8)
{
    REFUSED("PUT a \xff", STATUS_INVALID_UTF8);
    REFUSED("PUT \xc0\xaf v", STATUS_INVALID_UTF8);
    REFUSED("PUT a \xed\xa0\x80", STATUS_INVALID_UTF8);
    REFUSED("PUT a \xf4\x90\x80\x80", STATUS_INVALID_UTF8);
    REFUSED("PUT a \xe8\xaf", STATUS_INVALID_UTF8);
    REFUSED("GET \x80", STATUS_INVALID_UTF8);
    REFUSED("\xff\xfb\x01PING", STATUS_INVALID_UTF8);
    REFUSED("PING \xff", STATUS_INVALID_UTF8);
    cr_assert_eq(request.verb, VERB_PING);
}

static enum status parse_key_of_size(const char *before, size_t size, const char *behind)
{
    char line[8192];
    int before_size = snprintf(line, sizeof line, "%s", before);

    memset(line + before_size, 'k', size);
    (void)snprintf(line + before_size + size, sizeof line - (size_t)before_size - size, "%s", behind);
    return parse(bytes_from_string(line));
}

Test(request, limits_a_key_to_1024_bytes)
{
    static const struct {
        const char *before;
        const char *behind;
    } lines[] = {
        {"GET ", ""},
        {"DEL ", ""},
        {"EXISTS ", ""},
        {"PUT ", " v"},
        {"GET {\"key\": \"", "\"}"},
        {"PUT {\"key\": \"", "\", \"value\": \"v\"}"},
        {"COUNT ", ""},
        {"COUNT {\"prefix\": \"", "\"}"},
        {"SCAN 0 ", " 10"},
    };

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        cr_assert_eq(parse_key_of_size(lines[i].before, 1024, lines[i].behind), STATUS_OK, "%s", lines[i].before);
        cr_assert_eq(parse_key_of_size(lines[i].before, 1025, lines[i].behind), STATUS_TOO_LARGE, "%s",
                     lines[i].before);
    }
    cr_assert_eq(parse_key_of_size("GET ", 1025, ""), STATUS_TOO_LARGE);
    cr_assert(bytes_equal(message_bytes(&message), bytes_from_string("Key of 1025 bytes: the limit is 1024")));
}

Test(request, counts_the_bytes_of_a_key_after_decoding)
{
    struct buffer line;

    buffer_init(&line);
    buffer_append_string(&line, "GET {\"key\": \"");
    for (unsigned i = 0; i < 1024; i++)
        buffer_append_string(&line, "\\u0041");
    buffer_append_string(&line, "\"}");

    cr_assert_eq(parse(buffer_bytes(&line)), STATUS_OK);
    cr_assert_eq(request.key.size, 1024);
    buffer_deinit(&line);
}

Test(request, reads_a_prefix_or_none)
{
    PARSED("COUNT", COUNT);
    cr_assert_eq(request.prefix.size, 0);
    PARSED("COUNT user:", COUNT);
    cr_assert(bytes_equal(request.prefix, BYTES("user:")));
    PARSED("COUNT {\"prefix\": \"a b\"}", COUNT);
    cr_assert(bytes_equal(request.prefix, BYTES("a b")));
    PARSED("COUNT {\"prefix\": \"\"}", COUNT);
    SYNTAX("COUNT a b");
    SYNTAX("COUNT {\"key\": \"a\"}");
    SYNTAX("COUNT {");
}

static void expect_scan(const char *line, uint64_t cursor, const char *prefix, unsigned limit)
{
    expect_status(bytes_from_string(line), STATUS_OK);
    cr_assert_eq(request.verb, VERB_SCAN);
    cr_assert_eq(request.cursor, cursor, "%s", line);
    cr_assert(bytes_equal(request.prefix, bytes_from_string(prefix)), "%s", line);
    cr_assert_eq(request.limit, limit, "%s", line);
}

Test(request, reads_a_scan)
{
    expect_scan("SCAN 0", 0, "", 100);
    expect_scan("SCAN 18446744073709551615", UINT64_MAX, "", 100);
    expect_scan("SCAN 7 user:", 7, "user:", 100);
    expect_scan("SCAN 7 user: 1", 7, "user:", 1);
    expect_scan("scan  7  1  10000 ", 7, "1", 10000);
    expect_scan("SCAN 0 {\"prefix\": \"\"} 5", 0, "", 5);
    expect_scan("SCAN 0 {\"prefix\": \"a b\"}", 0, "a b", 100);
    SYNTAX("SCAN");
    SYNTAX("SCAN x");
    SYNTAX("SCAN -1");
    SYNTAX("SCAN 00");
    SYNTAX("SCAN 18446744073709551616");
    SYNTAX("SCAN 0 a 0");
    SYNTAX("SCAN 0 a 10001");
    SYNTAX("SCAN 0 a -1");
    SYNTAX("SCAN 0 a x");
    SYNTAX("SCAN 0 a 1 1");
    SYNTAX("SCAN {\"cursor\": \"0\"}");
    SYNTAX("SCAN 0 {a");
}

static void expect_isolation(const char *line, enum isolation isolation)
{
    expect_status(bytes_from_string(line), STATUS_OK);
    cr_assert(request.has_isolation);
    cr_assert_eq(request.isolation, isolation, "%s", line);
}

Test(request, reads_an_isolation_level_in_any_case)
{
    PARSED("START", START);
    cr_assert_not(request.has_isolation);
    PARSED("begin", BEGIN);
    expect_isolation("START SERIALIZABLE", ISOLATION_SERIALIZABLE);
    expect_isolation("BEGIN read\tCommitted ", ISOLATION_READ_COMMITTED);
    expect_isolation("start locking", ISOLATION_LOCKING);
    SYNTAX("START TRANSACTION");
    SYNTAX("START READ");
    SYNTAX("START COMMITTED");
    SYNTAX("START READ UNCOMMITTED");
    SYNTAX("START READ COMMITTED x");
    SYNTAX("START SERIALIZABLE x");
    SYNTAX("BEGIN LOCKING LOCKING");
    SYNTAX("BEGIN 1");
    cr_assert_eq(request.verb, VERB_BEGIN);
}

Test(request, knows_no_transaction_by_a_number)
{
    PARSED("COMMIT", COMMIT);
    PARSED("ROLLBACK", ROLLBACK);
    REFUSED("COMMIT 1", STATUS_UNKNOWN_TRANSACTION);
    REFUSED("ROLLBACK 0", STATUS_UNKNOWN_TRANSACTION);
    REFUSED("COMMIT 007", STATUS_UNKNOWN_TRANSACTION);
    REFUSED("COMMIT 99999999999999999999999999", STATUS_UNKNOWN_TRANSACTION);
    SYNTAX("COMMIT x");
    SYNTAX("COMMIT -1");
    SYNTAX("COMMIT 1 2");
    SYNTAX("ROLLBACK 1x");
}

Test(request, reads_commands_that_stand_alone)
{
    PARSED("PING", PING);
    PARSED("Help", HELP);
    PARSED("stats", STATS);
    PARSED("exit", EXIT);
    PARSED("quit", QUIT);
    SYNTAX("PING x");
    SYNTAX("HELP PUT");
    SYNTAX("STATS 1");
    SYNTAX("EXIT now");
    SYNTAX("QUIT {");
}

Test(request, refuses_unknown_verbs_and_says_which)
{
    REFUSED("SET a 1", STATUS_UNKNOWN_COMMAND);
    cr_assert(bytes_equal(message_bytes(&message), BYTES("Unknown command SET, HELP lists the commands")));
    REFUSED("{\"key\": \"a\"}", STATUS_UNKNOWN_COMMAND);
    REFUSED("1", STATUS_UNKNOWN_COMMAND);
    REFUSED("averylongwordthatisnotworthrepeating x", STATUS_UNKNOWN_COMMAND);
    cr_assert(bytes_equal(message_bytes(&message), BYTES("Unknown command, HELP lists the commands")));
}

Test(request, shows_the_usage_where_a_command_is_wrong)
{
    for (unsigned i = 0; i < VERB_TOTAL; i++) {
        const struct command *command = command_of((enum verb)i);
        char line[64];

        (void)snprintf(line, sizeof line, "%s %s", command->verb,
                       i == VERB_PUT ? "a" : "too many fields for that");
        expect_status(bytes_from_string(line), STATUS_SYNTAX);
        message_add_bytes(&message, BYTES("\0"));
        cr_assert_not_null(strstr(message.text, command->usage), "%s: %s", line, message.text);
    }
}

static void expect_name(const char *line, uint64_t wanted, const char *wanted_rest)
{
    struct bytes rest;
    uint64_t number;

    cr_assert(request_may_name(bytes_from_string(line), &number, &rest), "%s names none", line);
    cr_assert_eq(number, wanted);
    cr_assert(bytes_equal(rest, bytes_from_string(wanted_rest)), "%s leaves %.*s", line, (int)rest.size,
              (const char *)rest.data);
}

static void expect_no_name(const char *line)
{
    struct bytes rest;
    uint64_t number;

    cr_assert_not(request_may_name(bytes_from_string(line), &number, &rest), "%s names %ju", line, (uintmax_t)number);
}

Test(request, may_name_a_transaction_behind_a_complete_command)
{
    expect_name("PUT n 1 1", 1, "PUT n 1");
    expect_name("PUT n some words \t 17", 17, "PUT n some words");
    expect_name("PUT {\"key\": \"k\", \"value\": \"v\"} 2", 2, "PUT {\"key\": \"k\", \"value\": \"v\"}");
    expect_name("GET 1 1", 1, "GET 1");
    expect_name("GET {\"key\": \"k 1\"}\t3", 3, "GET {\"key\": \"k 1\"}");
    expect_name("COUNT 1", 1, "COUNT");
    expect_name("COUNT 1 1", 1, "COUNT 1");
    expect_name("SCAN 0 1", 1, "SCAN 0");
    expect_name("SCAN 0 a 10 1", 1, "SCAN 0 a 10");
    expect_name("COMMIT 1", 1, "COMMIT");
    expect_name("rollback  18446744073709551615", UINT64_MAX, "rollback");
    expect_name("PING 1", 1, "PING");
    expect_name("START 1", 1, "START");
}

Test(request, names_no_transaction_where_the_command_would_not_be_complete)
{
    expect_no_name("PUT n 1");
    expect_no_name("PUT 1");
    expect_no_name("GET 1");
    expect_no_name("DEL 1");
    expect_no_name("EXISTS 1");
    expect_no_name("SCAN 1");
    expect_no_name("COMMIT");
    expect_no_name("1");
    expect_no_name("PUT {\"key\": \"k\", \"value\": \"about 1");
    expect_no_name("GET {\"key\": \"1");
    expect_no_name("GET {\"key\": \"k\"}1");
}

Test(request, names_a_transaction_by_a_canonical_number_only)
{
    expect_no_name("PUT n 1 01");
    expect_no_name("PUT n 1 +1");
    expect_no_name("PUT n 1 -1");
    expect_no_name("PUT n 1 1.0");
    expect_no_name("PUT n 1 0x1");
    expect_no_name("PUT n 1 18446744073709551616");
    expect_no_name("PUT n 1 \xd9\xa1");
    expect_no_name("PUT n 1 1\r");
}

Test(request, names_a_transaction_also_where_it_is_wrong_in_another_way)
{
    expect_name("FOO 1", 1, "FOO");
    expect_name("PTU n 1 1", 1, "PTU n 1");
    expect_name("GET a b 1", 1, "GET a b");
    expect_name("PUT {\"key\": 1} 1", 1, "PUT {\"key\": 1}");
    expect_name("PUT n \xff 1", 1, "PUT n \xff");
}

Test(request, is_of_a_browser)
{
    cr_assert(request_is_http(BYTES("GET / HTTP/1.1"), true));
    cr_assert(request_is_http(BYTES("POST /x HTTP/1.0"), true));
    cr_assert(request_is_http(BYTES("HTTP/1.1"), true));
    cr_assert(request_is_http(BYTES("Host: example.com"), true));
    cr_assert(request_is_http(BYTES("Host: example.com"), false));
    cr_assert(request_is_http(BYTES("host:example.com"), false));
}

Test(request, is_not_of_a_browser)
{
    cr_assert_not(request_is_http(BYTES("PUT a speaks HTTP/1.1"), false));
    cr_assert_not(request_is_http(BYTES("GET / HTTP/2"), true));
    cr_assert_not(request_is_http(BYTES("GET / HTTP/1.1 x"), true));
    cr_assert_not(request_is_http(BYTES("GET / http/1.1"), true));
    cr_assert_not(request_is_http(BYTES("GET Host:"), false));
    cr_assert_not(request_is_http(BYTES("Host : x"), true));
    cr_assert_not(request_is_http(BYTES("Host"), true));
}

Test(request, survives_every_line_of_a_few_bytes)
{
    static const char alphabet[] = "P {}\"k:1\\u";
    enum { LETTERS = sizeof alphabet - 1 };

    for (unsigned long i = 0; i < (unsigned long)LETTERS * LETTERS * LETTERS * LETTERS * LETTERS; i++) {
        char line[16] = "GET {";
        unsigned long rest = i;

        for (unsigned j = 5; j < 10; j++, rest /= LETTERS)
            line[j] = alphabet[rest % LETTERS];
        cr_assert_neq(parse(bytes_from_string(line)), STATUS_OK);
    }
}
