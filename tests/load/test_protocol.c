/* Replies are judged the same however they are cut into pieces. */
#include <criterion/criterion.h>

#include "load/protocol.h"

#define HAUSKV_ERROR(code) "{\"status\": \"Error\", \"mesg\": \"m\", \"code\": \"" code "\"}\n"

static struct bytes key;
static struct bytes value;

static void prepare(void)
{
    key = bytes_from_string("k1");
    value = bytes_from_string("v 1");
}

TestSuite(protocol, .init = prepare);

/* What the first reply of text is judged as, byte by byte; it must be all of the text. */
static enum reply_kind judge(const struct protocol *protocol, const char *text)
{
    struct bytes whole = bytes_from_string(text);
    enum reply_kind kind;
    size_t scanned = 0;
    size_t size = 0;

    for (size_t i = 1; i < whole.size; i++) {
        kind = protocol->judge(bytes_slice(whole, 0, i), &scanned, &size);
        cr_assert_eq(kind, REPLY_INCOMPLETE, "%s at %zu", text, i);
    }
    kind = protocol->judge(whole, &scanned, &size);
    cr_assert_eq(size, whole.size, "%s: %zu", text, size);
    return kind;
}

static void expect_requests(const struct batch *batch, const char *text, unsigned replies)
{
    cr_assert(bytes_equal(buffer_bytes(&batch->requests), bytes_from_string(text)), "%.*s",
              (int)batch->requests.size, (const char *)batch->requests.data);
    cr_assert_eq(batch->replies, replies);
}

Test(protocol, hauskv_judges_by_status_and_code)
{
    cr_assert_eq(judge(&protocol_text, "{\"status\": \"Ok\"}\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_text, "{\"status\": \"Ok\", \"result\": \"v\"}\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_text, HAUSKV_ERROR("not_found")), REPLY_MISSING);
    cr_assert_eq(judge(&protocol_text, HAUSKV_ERROR("conflict")), REPLY_CONFLICT);
    cr_assert_eq(judge(&protocol_text, HAUSKV_ERROR("out_of_memory")), REPLY_FULL);
    cr_assert_eq(judge(&protocol_text, HAUSKV_ERROR("syntax")), REPLY_FAILED);
}

Test(protocol, redis_judges_strings_and_arrays)
{
    cr_assert_eq(judge(&protocol_resp, "+OK\r\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_resp, "$5\r\na\r\nbc\r\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_resp, "$-1\r\n"), REPLY_MISSING);
    cr_assert_eq(judge(&protocol_resp, "*2\r\n+OK\r\n$1\r\nv\r\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_resp, "*-1\r\n"), REPLY_CONFLICT);
    cr_assert_eq(judge(&protocol_resp, "-OOM command not allowed\r\n"), REPLY_FULL);
    cr_assert_eq(judge(&protocol_resp, "*2\r\n+OK\r\n-ERR bad\r\n"), REPLY_FAILED);
}

Test(protocol, memcached_judges_words_and_values)
{
    cr_assert_eq(judge(&protocol_memcached, "STORED\r\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_memcached, "VALUE k1 0 4\r\n\nEND\r\nEND\r\n"), REPLY_DONE);
    cr_assert_eq(judge(&protocol_memcached, "END\r\n"), REPLY_MISSING);
    cr_assert_eq(judge(&protocol_memcached, "SERVER_ERROR out of memory storing object\r\n"), REPLY_FULL);
    cr_assert_eq(judge(&protocol_memcached, "ERROR\r\n"), REPLY_FAILED);
}

Test(protocol, requests_are_what_the_servers_read)
{
    struct batch text = {.replies = 0};
    struct batch resp = {.replies = 0};
    struct batch memcached = {.replies = 0};

    protocol_text.put(&text, key, value);
    protocol_resp.put(&resp, key, value);
    protocol_memcached.put(&memcached, key, value);

    expect_requests(&text, "PUT k1 v 1\n", 1);
    expect_requests(&resp, "*3\r\n$3\r\nSET\r\n$2\r\nk1\r\n$3\r\nv 1\r\n", 1);
    expect_requests(&memcached, "set k1 0 0 3\r\nv 1\r\n", 1);
    buffer_deinit(&text.requests);
    buffer_deinit(&resp.requests);
    buffer_deinit(&memcached.requests);
}

static void expect_trips(const struct protocol *protocol, unsigned trips, unsigned expected)
{
    struct batch batch = {.replies = 0};
    unsigned step = 0;

    while (protocol->read_then_write(&batch, trips, step, key, value))
        step++;
    cr_assert_eq(step, expected);
    cr_assert_eq(batch.replies, expected);
    buffer_deinit(&batch.requests);
}

Test(protocol, reads_then_writes_in_as_many_trips_as_asked)
{
    expect_trips(&protocol_text, 5, 5);
    expect_trips(&protocol_text, 4, 4);
    expect_trips(&protocol_resp, 5, 5);
}
