#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "platform/siphash.h"
#include "support/guarded_memory.h"
#include "support/store_random.h"

#define SIZE_MAX_HASHED 200u
#define KEYS 5u

/* Published vectors of SipHash-1-3: the hashes of the first sizes of 00 01 02 ... under the key 00 01 .. 0f, as in the
 * tests of Rust's siphasher and of Swift's standard library. */
static const uint64_t published_hashes[] = {
    UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93), UINT64_C(0x82cb9b024dc7d44d),
    UINT64_C(0x8bf80ab8e7ddf7fb), UINT64_C(0xcf75576088d38328), UINT64_C(0xdef9d52f49533b67),
    UINT64_C(0xc50d2b50c59f22a7), UINT64_C(0xd3927d989bb11140), UINT64_C(0x369095118d299a8e),
    UINT64_C(0x25a48eb36c063de4), UINT64_C(0x79de85ee92ff097f),
};

static const unsigned char counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

#define PUBLISHED_COUNT (sizeof published_hashes / sizeof *published_hashes)

Test(siphash, agrees_with_published_hashes)
{
    for (size_t size = 0; size < PUBLISHED_COUNT; size++)
        cr_assert_eq(siphash(counting, bytes_from(counting, size)), published_hashes[size], "size %zu", size);
}

Test(siphash, agrees_with_them_wherever_a_message_stands)
{
    unsigned char room[sizeof counting + sizeof(uint64_t)];

    for (size_t shift = 0; shift < sizeof(uint64_t); shift++) {
        memcpy(room + shift, counting, sizeof counting);
        for (size_t size = 0; size < PUBLISHED_COUNT; size++)
            cr_assert_eq(siphash(counting, bytes_from(room + shift, size)), published_hashes[size], "size %zu at %zu",
                         size, shift);
    }
}

Test(siphash, with_more_rounds_agrees_with_the_example_of_the_paper)
{
    cr_assert_eq(siphash_with_rounds(counting, bytes_from(counting, 15), 2, 4), UINT64_C(0xa129ca6149be45e5));
}

static uint64_t hash_of_libsodium(const unsigned char key[SIPHASH_KEY_BYTES], struct bytes bytes)
{
    unsigned char hash[crypto_shorthash_BYTES];

    cr_assert_eq(crypto_shorthash(hash, bytes.data, bytes.size, key), 0);
    return siphash_load(hash);
}

/* Its rounds are 2 and 4, and all else is the same. */
Test(siphash, with_more_rounds_agrees_with_libsodium)
{
    unsigned char message[SIZE_MAX_HASHED];
    unsigned char keys[KEYS][SIPHASH_KEY_BYTES] = {{0}};

    store_content_fill(message, sizeof message, 1);
    memset(keys[1], 0xff, sizeof keys[1]);
    memcpy(keys[2], counting, sizeof keys[2]);
    store_content_fill(keys[3], sizeof keys[3], 2);
    store_content_fill(keys[4], sizeof keys[4], 3);
    for (size_t key = 0; key < KEYS; key++)
        for (size_t size = 0; size <= sizeof message; size++)
            cr_assert_eq(siphash_with_rounds(keys[key], bytes_from(message, size), 2, 4),
                         hash_of_libsodium(keys[key], bytes_from(message, size)), "key %zu, size %zu", key, size);
}

Test(siphash, reads_nothing_around_a_message)
{
    struct guarded_memory memory = guarded_memory(sizeof counting);

    for (size_t size = 0; size < PUBLISHED_COUNT; size++) {
        memcpy(memory.begin, counting, size);
        cr_assert_eq(siphash(counting, bytes_from(memory.begin, size)), published_hashes[size], "size %zu", size);
        memcpy(memory.end - size, counting, size);
        cr_assert_eq(siphash(counting, bytes_from(memory.end - size, size)), published_hashes[size], "size %zu", size);
    }
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
