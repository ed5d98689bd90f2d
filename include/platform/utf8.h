/* UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above
 * U+10FFFF. U+0000 is a character like any other. */
#ifndef HAUSKV_PLATFORM_UTF8_H
#define HAUSKV_PLATFORM_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"

#define UTF8_SEQUENCE_BYTES_MAX 4u

/* Whether bytes is a sequence of whole characters; the empty one is. */
bool utf8_is_valid(struct bytes bytes);

/* The character that begins at offset (inside bytes): stores it in *code_point
 * and returns its length, 1 to 4 bytes. 0, and *code_point untouched, where no
 * valid character begins or the last one is cut short. */
size_t utf8_decode(struct bytes bytes, size_t offset, uint32_t *code_point);

/* How many bytes a sequence has, 1 to 4, by what its first byte announces; 0: it
 * is no first byte. Whether a valid character follows is for utf8_decode to say. */
size_t utf8_sequence_size(unsigned char first);

#endif
