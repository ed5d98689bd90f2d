/* The replies, one function for each kind: a JSON object and LF behind what the
 * buffer holds. What the dialects say differently stands in one table. A failed
 * append shows in the buffer. Any process, one thread. */
#ifndef HAUSKV_PROTOCOL_REPLY_H
#define HAUSKV_PROTOCOL_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/status.h"
#include "protocol/buffer.h"
#include "protocol/dialect.h"
#include "protocol/json_writer.h"

/* Every reply but a value, keys and an object is at most this long, an error
 * with the longest message included: six bytes for one. */
#define REPLY_BYTES_SMALL ((size_t)10 << 10)

enum reply_kind {
    REPLY_STARTED,
    REPLY_COMMITTED,
    REPLY_ROLLED_BACK,
    REPLY_PONG,
    REPLY_BYE,
    REPLY_KIND_COUNT
};

/* {"status": "Ok"}, or what else the table has for it. */
void reply_plain(struct buffer *output, enum dialect dialect, enum reply_kind kind);

/* {"status": "Ok"}. Where the dialect echoes, the pair or the key is the result, so
 * the reply to a PUT can be as long as one to a GET. */
void reply_stored(struct buffer *output, enum dialect dialect, struct bytes key, struct bytes value);
void reply_deleted(struct buffer *output, enum dialect dialect, struct bytes key);

/* {"status": "Ok", "result": "v"}. Where the dialect echoes, the pair is the
 * result. The value is written between the two calls, with json_string_piece. */
struct reply_value {
    struct json_writer writer;
    bool has_pair;
};

void reply_value_begin(struct reply_value *reply, struct buffer *output, enum dialect dialect, struct bytes key);
void reply_value_end(struct reply_value *reply);

/* {"status": "Ok", "transaction_id": 1}. Where the dialect echoes, a result stands before the id. */
void reply_begun(struct buffer *output, enum dialect dialect, uint64_t id);

/* {"status": "Ok", "result": ...}: the result is written between the two calls. */
void reply_result_begin(struct buffer *output, struct json_writer *writer);
void reply_result_end(struct json_writer *writer);

/* {"status": "Ok", "result": true} */
void reply_boolean(struct buffer *output, bool result);

/* {"status": "Ok", "result": 3} */
void reply_number(struct buffer *output, uint64_t result);

/* {"status": "Ok", "result": ["PUT key value", ...]}: the usage of every command. */
void reply_help(struct buffer *output);

/* {"status": "Ok", "result": {"cursor": "0", "keys": ["k", ...]}}. The cursor is
 * known only when all keys are written. */
struct reply_keys {
    struct json_writer writer;
    size_t cursor_offset;
};

void reply_keys_begin(struct reply_keys *reply, struct buffer *output);
void reply_keys_add(struct reply_keys *reply, struct bytes key);
void reply_keys_end(struct reply_keys *reply, uint64_t cursor);

/* {"status": "Error", "mesg": "Key not found", "code": "not_found"}; an empty
 * message stands for the status's own, or the dialect's. Not for STATUS_OK. */
void reply_error(struct buffer *output, enum dialect dialect, enum status status, struct bytes message);

#endif
