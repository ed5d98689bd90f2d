/* Digits to numbers and back. */
#include "platform/decimal.h"

struct bytes decimal_write(uint64_t number, size_t digits_min, char digits[DECIMAL_BYTES_MAX])
{
    size_t first = DECIMAL_BYTES_MAX;

    REQUIRE(digits_min <= DECIMAL_BYTES_MAX);
    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0 || DECIMAL_BYTES_MAX - first < digits_min);
    return bytes_from(digits + first, DECIMAL_BYTES_MAX - first);
}

bool decimal_read(struct bytes bytes, uint64_t *number)
{
    uint64_t sum = 0;

    if (bytes.size == 0 || (bytes.size > 1 && bytes.data[0] == '0'))
        return false;
    for (size_t i = 0; i < bytes.size; i++) {
        unsigned digit = bytes.data[i] - (unsigned)'0';

        if (digit > 9 || sum > (UINT64_MAX - digit) / 10)
            return false;
        sum = sum * 10 + digit;
    }
    *number = sum;
    return true;
}
