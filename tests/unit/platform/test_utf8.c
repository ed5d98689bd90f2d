#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "platform/utf8.h"
#include "support/process.h"

/* The grammar of RFC 3629, section 4, row by row: slow, and written without a
 * thought in common with the code under test. */
struct row {
    size_t length;
    struct {
        unsigned char first, last;
    } range[4];
};

static const struct row grammar[] = {
    {1, {{0x00, 0x7f}}},
    {2, {{0xc2, 0xdf}, {0x80, 0xbf}}},
    {3, {{0xe0, 0xe0}, {0xa0, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xe1, 0xec}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {3, {{0xed, 0xed}, {0x80, 0x9f}, {0x80, 0xbf}}},
    {3, {{0xee, 0xef}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf0, 0xf0}, {0x90, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf1, 0xf3}, {0x80, 0xbf}, {0x80, 0xbf}, {0x80, 0xbf}}},
    {4, {{0xf4, 0xf4}, {0x80, 0x8f}, {0x80, 0xbf}, {0x80, 0xbf}}},
};

static bool row_matches(const struct row *row, const unsigned char *data, size_t size)
{
    if (row->length > size)
        return false;
    for (size_t i = 0; i < row->length; i++) {
        if (data[i] < row->range[i].first || data[i] > row->range[i].last)
            return false;
    }
    return true;
}

static size_t naive_length(const unsigned char *data, size_t size)
{
    for (size_t i = 0; i < sizeof grammar / sizeof *grammar; i++) {
        if (row_matches(&grammar[i], data, size))
            return grammar[i].length;
    }
    return 0;
}

static bool naive_is_valid(const unsigned char *data, size_t size)
{
    while (size > 0) {
        size_t length = naive_length(data, size);

        if (length == 0)
            return false;
        data += length;
        size -= length;
    }
    return true;
}

static bool both_agree(const unsigned char *data, size_t size)
{
    struct bytes bytes = bytes_from(data, size);
    uint32_t code_point;

    return utf8_is_valid(bytes) == naive_is_valid(data, size) &&
           utf8_decode(bytes, 0, &code_point) == naive_length(data, size);
}

static size_t encode(uint32_t code_point, unsigned char *data)
{
    if (code_point < 0x80) {
        data[0] = (unsigned char)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        data[0] = (unsigned char)(0xc0 + code_point / 64);
        data[1] = (unsigned char)(0x80 + code_point % 64);
        return 2;
    }
    if (code_point < 0x10000) {
        data[0] = (unsigned char)(0xe0 + code_point / 4096);
        data[1] = (unsigned char)(0x80 + code_point / 64 % 64);
        data[2] = (unsigned char)(0x80 + code_point % 64);
        return 3;
    }
    data[0] = (unsigned char)(0xf0 + code_point / 262144);
    data[1] = (unsigned char)(0x80 + code_point / 4096 % 64);
    data[2] = (unsigned char)(0x80 + code_point / 64 % 64);
    data[3] = (unsigned char)(0x80 + code_point % 64);
    return 4;
}

static int decodes_behind_the_end(void *context)
{
    uint32_t code_point;

    (void)context;
    return (int)utf8_decode(bytes_from_string("a"), 1, &code_point);
}

Test(utf8, every_sequence_of_one_to_three_bytes_agrees_with_the_grammar)
{
    for (uint32_t number = 0; number < 1u << 24; number++) {
        const unsigned char data[] = {(unsigned char)(number >> 16), (unsigned char)(number >> 8),
                                      (unsigned char)number};

        if (number < 1u << 8)
            cr_assert(both_agree(data + 2, 1), "%02x", number);
        if (number < 1u << 16)
            cr_assert(both_agree(data + 1, 2), "%04x", number);
        if (!both_agree(data, 3))
            cr_assert_fail("%06x", number);
    }
}

Test(utf8, sequences_of_four_bytes_agree_with_the_grammar_at_every_border)
{
    static const unsigned char border[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xff};

    for (uint32_t number = 0; number < 1u << 16; number++) {
        for (size_t third = 0; third < sizeof border; third++) {
            for (size_t fourth = 0; fourth < sizeof border; fourth++) {
                const unsigned char data[] = {(unsigned char)(number >> 8), (unsigned char)number, border[third],
                                              border[fourth]};

                if (!both_agree(data, sizeof data))
                    cr_assert_fail("%04x%02x%02x", number, data[2], data[3]);
            }
        }
    }
}

Test(utf8, every_code_point_but_surrogates_comes_back)
{
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        unsigned char data[UTF8_SEQUENCE_BYTES_MAX];
        size_t size = encode(code_point, data);
        uint32_t decoded = UINT32_MAX;
        bool is_surrogate = code_point >= 0xd800 && code_point <= 0xdfff;

        if (utf8_decode(bytes_from(data, size), 0, &decoded) != (is_surrogate ? 0 : size))
            cr_assert_fail("U+%04X has another length", code_point);
        if (decoded != (is_surrogate ? UINT32_MAX : code_point))
            cr_assert_fail("U+%04X became U+%04X", code_point, decoded);
    }
}

Test(utf8, bad_byte_is_found_wherever_it_stands)
{
    unsigned char text[40];

    for (size_t size = 1; size <= sizeof text; size++) {
        memset(text, 'a', sizeof text);
        cr_assert(utf8_is_valid(bytes_from(text, size)));
        for (size_t bad = 0; bad < size; bad++) {
            text[bad] = 0xff;
            cr_assert_not(utf8_is_valid(bytes_from(text, size)), "byte %zu of %zu", bad, size);
            text[bad] = 'a';
        }
    }
}

Test(utf8, whole_character_is_good_wherever_it_stands_and_bad_when_cut)
{
    static const unsigned char smile[] = {0xf0, 0x9f, 0x98, 0x80};
    unsigned char text[24];

    for (size_t offset = 0; offset + sizeof smile <= sizeof text; offset++) {
        memset(text, 'a', sizeof text);
        memcpy(text + offset, smile, sizeof smile);
        cr_assert(utf8_is_valid(bytes_from(text, sizeof text)));
        for (size_t kept = 1; kept < sizeof smile; kept++)
            cr_assert_not(utf8_is_valid(bytes_from(text, offset + kept)));
    }
}

Test(utf8, nothing_and_the_nul_character_are_valid)
{
    cr_assert(utf8_is_valid(bytes_from(NULL, 0)));
    cr_assert(utf8_is_valid(bytes_from("a\0b", 3)));
}

Test(utf8, no_character_begins_behind_the_end)
{
    cr_assert_eq(process_run(decodes_behind_the_end, NULL), PROCESS_SIGNAL(SIGABRT));
}

Test(utf8, first_byte_announces_the_size_of_a_sequence)
{
    for (size_t i = 0; i < sizeof grammar / sizeof *grammar; i++) {
        for (unsigned first = grammar[i].range[0].first; first <= grammar[i].range[0].last; first++)
            cr_assert_eq(utf8_sequence_size((unsigned char)first), grammar[i].length, "%02x", first);
    }
    for (unsigned later = 0x80; later <= 0xbf; later++)
        cr_assert_eq(utf8_sequence_size((unsigned char)later), 0, "%02x", later);
    for (unsigned none = 0xf8; none <= 0xff; none++)
        cr_assert_eq(utf8_sequence_size((unsigned char)none), 0, "%02x", none);
}
