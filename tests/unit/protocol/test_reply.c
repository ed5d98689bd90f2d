#include "protocol/reply.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "protocol/command.h"
#include "protocol/message.h"
#include "store/store.h"

static struct buffer output;

static void expect_reply(const char *wanted)
{
    cr_assert(bytes_equal(buffer_bytes(&output), bytes_from_string(wanted)), "it wrote %.*s, not %s", (int)output.size,
              (const char *)output.data, wanted);
    buffer_deinit(&output);
}

static void expect_plain(enum dialect dialect, enum reply_kind kind, const char *wanted)
{
    reply_plain(&output, dialect, kind);
    expect_reply(wanted);
}

/* A GET of that key, which finds that value. */
static void expect_value(enum dialect dialect, const char *key, const char *value, const char *wanted)
{
    struct reply_value reply;

    reply_value_begin(&reply, &output, dialect, bytes_from_string(key));
    json_string_piece(&reply.writer, bytes_from_string(value));
    reply_value_end(&reply);
    expect_reply(wanted);
}

#define OK "{\"status\": \"Ok\"}\n"

Test(reply, without_data_is_as_the_documents_print_it)
{
    static const enum dialect dialects[] = {DIALECT_DEFAULT, DIALECT_MESSAGES};

    for (unsigned i = 0; i < 2; i++) {
        expect_plain(dialects[i], REPLY_STARTED, OK);
        expect_plain(dialects[i], REPLY_COMMITTED, OK);
        expect_plain(dialects[i], REPLY_ROLLED_BACK, OK);
        expect_plain(dialects[i], REPLY_BYE, OK);
        expect_plain(dialects[i], REPLY_PONG, "{\"status\": \"Ok\", \"result\": \"PONG\"}\n");
    }
}

Test(reply, that_echoes_says_what_became_of_a_transaction)
{
    expect_plain(DIALECT_ECHO, REPLY_STARTED, "{\"status\": \"Ok\", \"result\": \"Transaction started\"}\n");
    expect_plain(DIALECT_ECHO, REPLY_COMMITTED, "{\"status\": \"Ok\", \"result\": \"Transaction commited\"}\n");
    expect_plain(DIALECT_ECHO, REPLY_ROLLED_BACK, "{\"status\": \"Ok\", \"result\": \"Transaction rolled back\"}\n");
    expect_plain(DIALECT_ECHO, REPLY_BYE, OK);
    expect_plain(DIALECT_ECHO, REPLY_PONG, "{\"status\": \"Ok\", \"result\": \"PONG\"}\n");
}

Test(reply, names_a_transaction)
{
    reply_begun(&output, DIALECT_DEFAULT, 1);
    expect_reply("{\"status\": \"Ok\", \"transaction_id\": 1}\n");
    reply_begun(&output, DIALECT_MESSAGES, 1);
    expect_reply("{\"status\": \"Ok\", \"transaction_id\": 1}\n");
    reply_begun(&output, DIALECT_ECHO, 1);
    expect_reply("{\"status\": \"Ok\", \"result\": \"Transaction started\", \"transaction_id\": 1}\n");
}

Test(reply, to_put_and_del_says_as_much_as_its_dialect)
{
    struct bytes key = bytes_from_string("k\n");
    struct bytes value = bytes_from_string("\xe8\xaf\xb4");

    reply_stored(&output, DIALECT_DEFAULT, key, value);
    expect_reply(OK);
    reply_stored(&output, DIALECT_MESSAGES, key, value);
    expect_reply(OK);
    reply_stored(&output, DIALECT_ECHO, key, value);
    expect_reply("{\"status\": \"Ok\", \"result\": {\"key\": \"k\\n\", \"value\": \"\\u8bf4\"}}\n");
    reply_deleted(&output, DIALECT_DEFAULT, key);
    expect_reply(OK);
    reply_deleted(&output, DIALECT_MESSAGES, key);
    expect_reply("{\"status\": \"Ok\", \"message\": \"key is not in the kv store\"}\n");
    reply_deleted(&output, DIALECT_ECHO, key);
    expect_reply("{\"status\": \"Ok\", \"result\": {\"key\": \"k\\n\"}}\n");
}

Test(reply, carries_a_value)
{
    expect_value(DIALECT_DEFAULT, "k", "\xe8\xaf\xb4 \"x\"",
                 "{\"status\": \"Ok\", \"result\": \"\\u8bf4 \\\"x\\\"\"}\n");
    expect_value(DIALECT_MESSAGES, "k", "x", "{\"status\": \"Ok\", \"result\": \"x\"}\n");
    expect_value(DIALECT_ECHO, "k", "x", "{\"status\": \"Ok\", \"result\": {\"key\": \"k\", \"value\": \"x\"}}\n");
    expect_value(DIALECT_ECHO, "\"", "", "{\"status\": \"Ok\", \"result\": {\"key\": \"\\\"\", \"value\": \"\"}}\n");
}

Test(reply, that_echoes_the_longest_key_is_still_small)
{
    char longest[STORE_KEY_BYTES_MAX];

    memset(longest, 1, sizeof longest);
    reply_deleted(&output, DIALECT_ECHO, bytes_from(longest, sizeof longest));

    cr_assert_leq(output.size, REPLY_BYTES_SMALL);
    buffer_deinit(&output);
}

Test(reply, carries_a_truth_or_a_number)
{
    reply_boolean(&output, true);
    reply_boolean(&output, false);
    reply_number(&output, 3);
    expect_reply("{\"status\": \"Ok\", \"result\": true}\n{\"status\": \"Ok\", \"result\": false}\n"
                 "{\"status\": \"Ok\", \"result\": 3}\n");
}

Test(reply, carries_keys_behind_their_cursor)
{
    struct reply_keys reply;

    reply_keys_begin(&reply, &output);
    reply_keys_add(&reply, bytes_from_string("a"));
    reply_keys_add(&reply, bytes_from_string("b\n"));
    reply_keys_end(&reply, UINT64_MAX);
    reply_keys_begin(&reply, &output);
    reply_keys_end(&reply, 0);
    expect_reply("{\"status\": \"Ok\", \"result\": {\"cursor\": \"18446744073709551615\", "
                 "\"keys\": [\"a\", \"b\\n\"]}}\n"
                 "{\"status\": \"Ok\", \"result\": {\"cursor\": \"0\", \"keys\": []}}\n");
}

Test(reply, of_help_has_a_line_for_each_command)
{
    const cJSON *line;
    cJSON *object;
    unsigned i = 0;

    reply_help(&output);
    buffer_append(&output, bytes_from("", 1));
    object = cJSON_Parse((const char *)output.data);
    cr_assert_not_null(object);
    cJSON_ArrayForEach(line, cJSON_GetObjectItemCaseSensitive(object, "result"))
    {
        cr_assert_str_eq(line->valuestring, command_of((enum verb)i)->usage);
        i++;
    }
    cr_assert_eq(i, VERB_TOTAL);
    cJSON_Delete(object);
    buffer_deinit(&output);
}

Test(reply, of_an_error_has_a_message_and_a_code)
{
    reply_error(&output, DIALECT_DEFAULT, STATUS_NOT_FOUND, bytes_from(NULL, 0));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"Key not found\", \"code\": \"not_found\"}\n");
    reply_error(&output, DIALECT_DEFAULT, STATUS_CONFLICT, bytes_from_string("The key \"n\" has changed"));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"The key \\\"n\\\" has changed\", \"code\": \"conflict\"}\n");
}

Test(reply, of_an_error_is_in_the_words_of_its_dialect)
{
    reply_error(&output, DIALECT_MESSAGES, STATUS_NOT_FOUND, bytes_from(NULL, 0));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"Key not found!\", \"code\": \"not_found\"}\n");
    reply_error(&output, DIALECT_MESSAGES, STATUS_CONFLICT, bytes_from(NULL, 0));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"Conflict with another transaction\", \"code\": \"conflict\"}\n");
    reply_error(&output, DIALECT_ECHO, STATUS_NOT_FOUND, bytes_from(NULL, 0));
    expect_reply("{\"status\": \"Error\", \"message\": \"Key not found\", \"code\": \"not_found\"}\n");
    reply_error(&output, DIALECT_ECHO, STATUS_CONFLICT, bytes_from_string("again"));
    expect_reply("{\"status\": \"Error\", \"message\": \"again\", \"code\": \"conflict\"}\n");
}

Test(reply, of_every_error_has_the_codes_of_the_protocol)
{
    static const char *const codes[] = {
        "syntax",           "unknown_command",     "not_found", "invalid_utf8",     "too_large",   "no_transaction",
        "transaction_open", "unknown_transaction", "conflict",  "aborted",          "timeout",     "deadlock",
        "out_of_memory",    "too_many_clients",    "denied",    "unavailable",      "outcome_unknown",
        "internal",
    };
    unsigned found = 0;

    for (unsigned status = STATUS_OK + 1; status < STATUS_COUNT; status++) {
        for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++)
            found += strcmp(status_code((enum status)status), codes[i]) == 0;
    }
    cr_assert_eq(found, sizeof codes / sizeof *codes + 1); /* there are two kinds of timeout */
    cr_assert_eq(found, STATUS_COUNT - 1);
}

Test(reply, of_the_longest_message_is_still_small)
{
    char longest[MESSAGE_BYTES_MAX];

    memset(longest, 1, sizeof longest);
    reply_error(&output, DIALECT_ECHO, STATUS_UNKNOWN_TRANSACTION, bytes_from(longest, sizeof longest));

    cr_assert_leq(output.size, REPLY_BYTES_SMALL);
    buffer_deinit(&output);
}
