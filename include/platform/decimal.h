/* Numbers in decimal, the way ids, counts and cursors are written: digits only,
 * no sign, no needless leading zero. Any process, in signal handlers too. */
#ifndef HAUSKV_PLATFORM_DECIMAL_H
#define HAUSKV_PLATFORM_DECIMAL_H

#include <stdbool.h>
#include <stdint.h>

#include "platform/bytes.h"

#define DECIMAL_BYTES_MAX 20u

/* Writes number with at least digits_min (up to DECIMAL_BYTES_MAX) digits into
 * digits, filled up with zeros on the left; returns the part that was written. */
struct bytes decimal_write(uint64_t number, size_t digits_min, char digits[DECIMAL_BYTES_MAX]);

/* Whether bytes is such a number, without filling zeros and below 2 to the 64;
 * if so stores it in *number. */
bool decimal_read(struct bytes bytes, uint64_t *number);

#endif
