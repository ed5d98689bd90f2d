/* Replies to bytes. */
#include "protocol/reply.h"

#include "platform/decimal.h"
#include "protocol/command.h"

struct text {
    const char *data;
    size_t size;
};

#define TEXT(string) {(string), sizeof(string) - 1}

/* What the replies without data say. Another dialect is another table. */
static const struct text plain_texts[REPLY_KIND_COUNT] = {
    [REPLY_STORED] = TEXT("{\"status\": \"Ok\"}\n"),
    [REPLY_DELETED] = TEXT("{\"status\": \"Ok\"}\n"),
    [REPLY_STARTED] = TEXT("{\"status\": \"Ok\"}\n"),
    [REPLY_COMMITTED] = TEXT("{\"status\": \"Ok\"}\n"),
    [REPLY_ROLLED_BACK] = TEXT("{\"status\": \"Ok\"}\n"),
    [REPLY_PONG] = TEXT("{\"status\": \"Ok\", \"result\": \"PONG\"}\n"),
    [REPLY_BYE] = TEXT("{\"status\": \"Ok\"}\n"),
};

/* {"status": "Ok" */
static void begin_ok(struct buffer *output, struct json_writer *writer)
{
    buffer_append_string(output, "{\"status\": \"Ok\"");
    json_writer_init(writer, output);
    writer->needs_comma = true;
}

static void end(struct json_writer *writer)
{
    json_object_end(writer);
    buffer_append(writer->output, bytes_from("\n", 1));
}

void reply_plain(struct buffer *output, enum reply_kind kind)
{
    REQUIRE(kind < REPLY_KIND_COUNT);
    buffer_append(output, bytes_from(plain_texts[kind].data, plain_texts[kind].size));
}

void reply_begun(struct buffer *output, uint64_t id)
{
    struct json_writer writer;

    begin_ok(output, &writer);
    json_name(&writer, "transaction_id");
    json_number(&writer, id);
    end(&writer);
}

void reply_result_begin(struct buffer *output, struct json_writer *writer)
{
    begin_ok(output, writer);
    buffer_append_string(output, ", \"result\": ");
    writer->needs_comma = false;
}

void reply_result_end(struct json_writer *writer)
{
    end(writer);
}

void reply_boolean(struct buffer *output, bool result)
{
    struct json_writer writer;

    reply_result_begin(output, &writer);
    json_boolean(&writer, result);
    reply_result_end(&writer);
}

void reply_number(struct buffer *output, uint64_t result)
{
    struct json_writer writer;

    reply_result_begin(output, &writer);
    json_number(&writer, result);
    reply_result_end(&writer);
}

void reply_help(struct buffer *output)
{
    struct json_writer writer;

    reply_result_begin(output, &writer);
    json_array_begin(&writer);
    for (unsigned i = 0; i < VERB_TOTAL; i++)
        json_string(&writer, bytes_from_string(command_of((enum verb)i)->usage));
    json_array_end(&writer);
    reply_result_end(&writer);
}

void reply_keys_begin(struct reply_keys *reply, struct buffer *output)
{
    struct json_writer *writer = &reply->writer;

    reply_result_begin(output, writer);
    json_object_begin(writer);
    json_name(writer, "cursor");
    json_string_begin(writer);
    reply->cursor_offset = output->size;
    json_string_end(writer);
    json_name(writer, "keys");
    json_array_begin(writer);
}

void reply_keys_add(struct reply_keys *reply, struct bytes key)
{
    json_string(&reply->writer, key);
}

void reply_keys_end(struct reply_keys *reply, uint64_t cursor)
{
    struct json_writer *writer = &reply->writer;
    char digits[DECIMAL_BYTES_MAX];

    json_array_end(writer);
    json_object_end(writer);
    reply_result_end(writer);
    if (!writer->output->failed)
        buffer_insert(writer->output, reply->cursor_offset, decimal_write(cursor, 1, digits));
}

void reply_error(struct buffer *output, enum status status, struct bytes message)
{
    struct json_writer writer;

    REQUIRE(status_is_valid(status) && status != STATUS_OK);
    json_writer_init(&writer, output);
    json_object_begin(&writer);
    json_name(&writer, "status");
    json_string(&writer, bytes_from_string("Error"));
    json_name(&writer, "mesg");
    json_string(&writer, message.size > 0 ? message : bytes_from_string(status_message(status)));
    json_name(&writer, "code");
    json_string(&writer, bytes_from_string(status_code(status)));
    end(&writer);
}
