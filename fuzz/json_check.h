/* A second opinion on JSON that we wrote: cJSON's, and what cJSON would let
 * pass: bytes that are not ASCII, control characters, a member twice, bytes
 * behind the value. */
#ifndef HAUSKV_FUZZ_JSON_CHECK_H
#define HAUSKV_FUZZ_JSON_CHECK_H

#include <cjson/cJSON.h>

#include "platform/bytes.h"

/* The value of text, which must be JSON as the protocol writes it; the caller frees it with cJSON_Delete. */
cJSON *json_check(struct bytes text);

/* Whether a reply is a line of the protocol: an object with "status" first, and what belongs to it. */
void json_check_reply(struct bytes line);

#endif
