#include "protocol/reply.h"

#include <stdlib.h>

#include <cjson/cJSON.h>
#include <criterion/criterion.h>

#include "protocol/command.h"
#include "protocol/message.h"

static struct buffer output;

static void expect_reply(const char *wanted)
{
    cr_assert(bytes_equal(buffer_bytes(&output), bytes_from_string(wanted)), "it wrote %.*s, not %s", (int)output.size,
              (const char *)output.data, wanted);
    buffer_deinit(&output);
}

Test(reply, without_data_is_as_the_documents_print_it)
{
    for (unsigned kind = 0; kind < REPLY_KIND_COUNT; kind++) {
        if (kind == REPLY_PONG)
            continue;
        reply_plain(&output, (enum reply_kind)kind);
        expect_reply("{\"status\": \"Ok\"}\n");
    }
    reply_plain(&output, REPLY_PONG);
    expect_reply("{\"status\": \"Ok\", \"result\": \"PONG\"}\n");
}

Test(reply, names_a_transaction)
{
    reply_begun(&output, 1);
    expect_reply("{\"status\": \"Ok\", \"transaction_id\": 1}\n");
}

Test(reply, carries_a_value)
{
    struct json_writer writer;

    reply_result_begin(&output, &writer);
    json_string(&writer, bytes_from_string("\xe8\xaf\xb4 \"x\""));
    reply_result_end(&writer);
    expect_reply("{\"status\": \"Ok\", \"result\": \"\\u8bf4 \\\"x\\\"\"}\n");
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
    reply_error(&output, STATUS_NOT_FOUND, bytes_from(NULL, 0));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"Key not found\", \"code\": \"not_found\"}\n");
    reply_error(&output, STATUS_CONFLICT, bytes_from_string("The key \"n\" has changed"));
    expect_reply("{\"status\": \"Error\", \"mesg\": \"The key \\\"n\\\" has changed\", \"code\": \"conflict\"}\n");
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
    cr_assert_eq(found, sizeof codes / sizeof *codes);
    cr_assert_eq(found, STATUS_COUNT - 1);
}

Test(reply, of_the_longest_message_is_still_small)
{
    char longest[MESSAGE_BYTES_MAX];

    memset(longest, 1, sizeof longest);
    reply_error(&output, STATUS_UNKNOWN_TRANSACTION, bytes_from(longest, sizeof longest));

    cr_assert_leq(output.size, REPLY_BYTES_SMALL);
    buffer_deinit(&output);
}
