#include <criterion/criterion.h>
#include <string.h>

#include "platform/siphash.h"

/* Of the reference implementation's vectors_sip64: the hashes of the first
 * sizes of 00 01 02 ... under the key 00 01 .. 0f, as little-endian bytes. */
static const unsigned char reference_hashes[][sizeof(uint64_t)] = {
    {0x31, 0x0e, 0x0e, 0xdd, 0x47, 0xdb, 0x6f, 0x72}, {0xfd, 0x67, 0xdc, 0x93, 0xc5, 0x39, 0xf8, 0x74},
    {0x5a, 0x4f, 0xa9, 0xd9, 0x09, 0x80, 0x6c, 0x0d}, {0x2d, 0x7e, 0xfb, 0xd7, 0x96, 0x66, 0x67, 0x85},
    {0xb7, 0x87, 0x71, 0x27, 0xe0, 0x94, 0x27, 0xcf}, {0x8d, 0xa6, 0x99, 0xcd, 0x64, 0x55, 0x76, 0x18},
    {0xce, 0xe3, 0xfe, 0x58, 0x6e, 0x46, 0xc9, 0xcb}, {0x37, 0xd1, 0x01, 0x8b, 0xf5, 0x00, 0x02, 0xab},
};

static const unsigned char counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

Test(siphash, agrees_with_the_reference_implementation)
{
    for (size_t size = 0; size < sizeof reference_hashes / sizeof *reference_hashes; size++) {
        uint64_t expected = 0;

        for (size_t i = sizeof expected; i-- > 0;)
            expected = expected << 8 | reference_hashes[size][i];
        cr_assert_eq(siphash(counting, bytes_from(counting, size)), expected, "size %zu", size);
    }
}

Test(siphash, agrees_with_the_example_of_the_paper)
{
    cr_assert_eq(siphash(counting, bytes_from(counting, 15)), UINT64_C(0xa129ca6149be45e5));
}

Test(siphash, no_bytes_at_all_hash_like_the_empty_string)
{
    cr_assert_eq(siphash(counting, bytes_from(NULL, 0)), siphash(counting, bytes_from_string("")));
}

Test(siphash, two_random_keys_differ)
{
    unsigned char left[SIPHASH_KEY_BYTES] = {0};
    unsigned char right[SIPHASH_KEY_BYTES] = {0};

    siphash_key_random(left);
    siphash_key_random(right);
    cr_assert_neq(memcmp(left, right, sizeof left), 0);
}
