/* A line of a client, understood. Keys and values are slices of the line; the
 * JSON form is decoded in place, so parsing changes the line's bytes. Nothing is
 * copied. Grammar: spec/protocol.md. Any process, any thread. */
#ifndef HAUSKV_PROTOCOL_REQUEST_H
#define HAUSKV_PROTOCOL_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"
#include "platform/status.h"
#include "protocol/command.h"
#include "protocol/line_outline.h"
#include "protocol/message.h"
#include "store/store.h"

#define REQUEST_SCAN_LIMIT_DEFAULT 100u

struct request {
    enum verb verb; /* known also where parsing failed behind it; else VERB_UNKNOWN */
    struct bytes key; /* PUT, GET, DEL, EXISTS: 1 to STORE_KEY_BYTES_MAX bytes */
    struct bytes value;
    struct bytes prefix; /* COUNT, SCAN: 0 to STORE_KEY_BYTES_MAX bytes */
    uint64_t cursor;
    unsigned limit; /* 1 to STORE_SCAN_LIMIT_MAX */
    bool has_isolation;
    enum isolation isolation; /* if has_isolation */
};

/* Without the white space (space and tab) at both ends. */
struct bytes request_trim(struct bytes line);

/* What is likely the key of a line that was not understood yet: its second field; empty if that is none or a JSON form. */
struct bytes request_likely_key(struct bytes line);

/* Whether a browser sent the line: it begins with "Host:", in any case, or it is
 * the first of its connection and ends in HTTP/1.0 or HTTP/1.1. */
bool request_is_http(struct bytes trimmed_line, bool is_first);
bool request_outline_is_http(const struct line_outline *outline, bool is_first);

/* Whether the last field may name a transaction: it is a number in canonical
 * decimal, and enough fields for the verb stand before it (behind a JSON form:
 * the form is closed). Then stores the number and the line before that field.
 * Whether it does name one is for the session to say, who knows which ids it gave. */
bool request_may_name(struct bytes trimmed_line, uint64_t *number, struct bytes *rest);
bool request_outline_may_name(const struct line_outline *outline, uint64_t *number);

/* Understands a trimmed line that is not empty and from which a transaction's id
 * was taken away. line.data is changed where a JSON form is decoded. On any
 * outcome but STATUS_OK only request->verb is set, and message says why:
 *   STATUS_UNKNOWN_COMMAND, STATUS_SYNTAX
 *   STATUS_INVALID_UTF8         the line is no UTF-8 (in a JSON form: STATUS_SYNTAX)
 *   STATUS_TOO_LARGE            the key or prefix is longer than STORE_KEY_BYTES_MAX
 *   STATUS_UNKNOWN_TRANSACTION  COMMIT or ROLLBACK with a number */
enum status request_parse(unsigned char *line, size_t size, struct request *request, struct message *message);

/* The verb of a line that was too long. */
enum verb request_outline_verb(const struct line_outline *outline);

#endif
