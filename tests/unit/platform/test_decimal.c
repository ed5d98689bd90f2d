#include <criterion/criterion.h>

#include "platform/decimal.h"

static bool writes(uint64_t number, size_t digits_min, const char *expected)
{
    char digits[DECIMAL_BYTES_MAX];

    return bytes_equal(decimal_write(number, digits_min, digits), bytes_from_string(expected));
}

static bool reads(const char *text, uint64_t expected)
{
    uint64_t number;

    return decimal_read(bytes_from_string(text), &number) && number == expected;
}

static bool refuses(const char *text)
{
    uint64_t number = 42;

    return !decimal_read(bytes_from_string(text), &number) && number == 42;
}

Test(decimal, numbers_are_written_with_as_many_digits_as_they_need)
{
    cr_assert(writes(0, 0, "0"));
    cr_assert(writes(9, 1, "9"));
    cr_assert(writes(10, 1, "10"));
    cr_assert(writes(UINT64_MAX, 1, "18446744073709551615"));
}

Test(decimal, missing_digits_are_zeros_on_the_left)
{
    cr_assert(writes(7, 3, "007"));
    cr_assert(writes(1234, 3, "1234"));
    cr_assert(writes(0, DECIMAL_BYTES_MAX, "00000000000000000000"));
}

Test(decimal, canonical_numbers_are_read)
{
    cr_assert(reads("0", 0));
    cr_assert(reads("1", 1));
    cr_assert(reads("1234567890", 1234567890));
    cr_assert(reads("18446744073709551615", UINT64_MAX));
}

Test(decimal, anything_else_is_refused)
{
    cr_assert(refuses(""));
    cr_assert(refuses("00"));
    cr_assert(refuses("01"));
    cr_assert(refuses("+1"));
    cr_assert(refuses("-1"));
    cr_assert(refuses("1 "));
    cr_assert(refuses("1/"));
    cr_assert(refuses("1:"));
    cr_assert(refuses("18446744073709551616"));
    cr_assert(refuses("99999999999999999999"));
    cr_assert(refuses("184467440737095516150"));
}
