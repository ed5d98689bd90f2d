/* The strict JSON form of an argument: one object of exactly the named members,
 * each once, in any order, all strings. Read by hand and decoded in place, which
 * is possible because no string grows by decoding. Any process, any thread. */
#ifndef HAUSKV_PROTOCOL_JSON_FORM_H
#define HAUSKV_PROTOCOL_JSON_FORM_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"

#define JSON_FORM_MEMBERS_MAX 2u

struct json_member {
    const char *name;
    struct bytes value; /* out: a slice of the text */
    bool is_present;    /* out */
};

/* Reads the object at the beginning of text, which is UTF-8 and begins with {.
 * *end is the number of bytes up to and including its }. Returns NULL, or a few
 * words that say what is wrong; the text is then in no known state. Static storage. */
const char *json_form_read(unsigned char *text, size_t size, struct json_member *members, size_t member_count,
                           size_t *end);

#endif
