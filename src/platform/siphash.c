/* SipHash-2-4 as libsodium has it (crypto_shorthash). */
#include "platform/siphash.h"

#include <assert.h>
#include <endian.h>
#include <sodium.h>
#include <string.h>

static_assert(crypto_shorthash_KEYBYTES == SIPHASH_KEY_BYTES, "the key is what libsodium expects");
static_assert(crypto_shorthash_BYTES == sizeof(uint64_t), "the hash is one word");

void siphash_key_random(unsigned char key[SIPHASH_KEY_BYTES])
{
    int initialised = sodium_init();

    INVARIANT(initialised >= 0);
    randombytes_buf(key, SIPHASH_KEY_BYTES);
}

uint64_t siphash(const unsigned char key[SIPHASH_KEY_BYTES], struct bytes bytes)
{
    unsigned char hash[crypto_shorthash_BYTES];
    uint64_t little_endian;

    crypto_shorthash(hash, bytes.data, bytes.size, key);
    memcpy(&little_endian, hash, sizeof little_endian);
    return le64toh(little_endian);
}
