/* Replies to bytes. */
#include "protocol/reply.h"

#include "platform/decimal.h"
#include "protocol/command.h"

struct text {
    const char *data;
    size_t size;
};

#define TEXT(string) {(string), sizeof(string) - 1}

#define OK "{\"status\": \"Ok\"}\n"
#define OK_SAYING(words) "{\"status\": \"Ok\", \"result\": \"" words "\"}\n"

#define PLAIN(started, committed, rolled_back)                                         \
    {                                                                                  \
        [REPLY_STARTED] = TEXT(started), [REPLY_COMMITTED] = TEXT(committed),          \
        [REPLY_ROLLED_BACK] = TEXT(rolled_back), [REPLY_PONG] = TEXT(OK_SAYING("PONG")), \
        [REPLY_BYE] = TEXT(OK),                                                        \
    }

/* A dialect. */
struct vocabulary {
    struct text plain[REPLY_KIND_COUNT]; /* the replies without data */
    bool echoes;                         /* PUT, GET, DEL and BEGIN say what they did */
    struct text deleted;                 /* unless it echoes */
    const char *message_name;            /* of an error's sentence */
    const char *not_found;               /* that sentence for a missing key; NULL: the status's own */
};

static const struct vocabulary vocabularies[DIALECT_COUNT] = {
    [DIALECT_DEFAULT] =
        {
            .plain = PLAIN(OK, OK, OK),
            .deleted = TEXT(OK),
            .message_name = "mesg",
        },
    [DIALECT_ECHO] =
        {
            /* "commited" is what its clients know. */
            .plain = PLAIN(OK_SAYING("Transaction started"), OK_SAYING("Transaction commited"),
                           OK_SAYING("Transaction rolled back")),
            .echoes = true,
            .message_name = "message",
        },
    [DIALECT_MESSAGES] =
        {
            .plain = PLAIN(OK, OK, OK),
            .deleted = TEXT("{\"status\": \"Ok\", \"message\": \"key is not in the kv store\"}\n"),
            .message_name = "mesg",
            .not_found = "Key not found!",
        },
};

static const struct vocabulary *vocabulary_of(enum dialect dialect)
{
    REQUIRE(dialect < DIALECT_COUNT);
    return &vocabularies[dialect];
}

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

/* {"status": "Ok", "result": {"key": "k" */
static void begin_pair(struct buffer *output, struct json_writer *writer, struct bytes key)
{
    reply_result_begin(output, writer);
    json_object_begin(writer);
    json_name(writer, "key");
    json_string(writer, key);
}

static void end_pair(struct json_writer *writer)
{
    json_object_end(writer);
    reply_result_end(writer);
}

static void append_text(struct buffer *output, const struct text *text)
{
    buffer_append(output, bytes_from(text->data, text->size));
}

void reply_plain(struct buffer *output, enum dialect dialect, enum reply_kind kind)
{
    REQUIRE(kind < REPLY_KIND_COUNT);
    append_text(output, &vocabulary_of(dialect)->plain[kind]);
}

void reply_stored(struct buffer *output, enum dialect dialect, struct bytes key, struct bytes value)
{
    static const struct text stored = TEXT(OK);
    struct json_writer writer;

    if (!vocabulary_of(dialect)->echoes) {
        append_text(output, &stored);
        return;
    }
    begin_pair(output, &writer, key);
    json_name(&writer, "value");
    json_string(&writer, value);
    end_pair(&writer);
}

void reply_deleted(struct buffer *output, enum dialect dialect, struct bytes key)
{
    const struct vocabulary *vocabulary = vocabulary_of(dialect);
    struct json_writer writer;

    if (!vocabulary->echoes) {
        append_text(output, &vocabulary->deleted);
        return;
    }
    begin_pair(output, &writer, key);
    end_pair(&writer);
}

void reply_value_begin(struct reply_value *reply, struct buffer *output, enum dialect dialect, struct bytes key)
{
    reply->has_pair = vocabulary_of(dialect)->echoes;
    if (reply->has_pair) {
        begin_pair(output, &reply->writer, key);
        json_name(&reply->writer, "value");
    } else {
        reply_result_begin(output, &reply->writer);
    }
    json_string_begin(&reply->writer);
}

void reply_value_end(struct reply_value *reply)
{
    json_string_end(&reply->writer);
    if (reply->has_pair)
        json_object_end(&reply->writer);
    reply_result_end(&reply->writer);
}

void reply_begun(struct buffer *output, enum dialect dialect, uint64_t id)
{
    struct json_writer writer;

    begin_ok(output, &writer);
    if (vocabulary_of(dialect)->echoes) {
        json_name(&writer, "result");
        json_string(&writer, bytes_from_string("Transaction started"));
    }
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

/* What an error says where nobody said more. */
static const char *usual_message(const struct vocabulary *vocabulary, enum status status)
{
    bool has_words = status == STATUS_NOT_FOUND && vocabulary->not_found != NULL;

    return has_words ? vocabulary->not_found : status_message(status);
}

void reply_error(struct buffer *output, enum dialect dialect, enum status status, struct bytes message)
{
    const struct vocabulary *vocabulary = vocabulary_of(dialect);
    struct json_writer writer;

    REQUIRE(status_is_valid(status) && status != STATUS_OK);
    json_writer_init(&writer, output);
    json_object_begin(&writer);
    json_name(&writer, "status");
    json_string(&writer, bytes_from_string("Error"));
    json_name(&writer, vocabulary->message_name);
    json_string(&writer, message.size > 0 ? message : bytes_from_string(usual_message(vocabulary, status)));
    json_name(&writer, "code");
    json_string(&writer, bytes_from_string(status_code(status)));
    end(&writer);
}
