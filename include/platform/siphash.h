/* SipHash-1-3, 64 bits: a keyed hash that a client who does not know the key cannot steer. Here and not from a library because
 * every command begins with it: a key of 16 bytes is hashed in 6 rounds without a call (spec/decisions.md).
 * Source: J.-P. Aumasson, D. J. Bernstein, "SipHash: a fast short-input PRF", 2012, with 1 and 3 rounds for hash tables, as in
 * the authors' reference code (https://github.com/veorq/SipHash). */
#ifndef HAUSKV_PLATFORM_SIPHASH_H
#define HAUSKV_PLATFORM_SIPHASH_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "platform/bytes.h"

#define SIPHASH_KEY_BYTES 16
#define SIPHASH_WORD_ROUNDS 1u
#define SIPHASH_END_ROUNDS 3u

/* Fills key from the system's random source (libsodium's randombytes, getrandom(2) underneath). */
void siphash_key_random(unsigned char key[SIPHASH_KEY_BYTES]);

struct siphash_state {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;
};

static inline uint64_t siphash_rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static inline uint64_t siphash_load(const unsigned char *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return le64toh(word);
}

static inline void siphash_round(struct siphash_state *state)
{
    state->v0 += state->v1;
    state->v2 += state->v3;
    state->v1 = siphash_rotate(state->v1, 13) ^ state->v0;
    state->v3 = siphash_rotate(state->v3, 16) ^ state->v2;
    state->v0 = siphash_rotate(state->v0, 32);
    state->v2 += state->v1;
    state->v0 += state->v3;
    state->v1 = siphash_rotate(state->v1, 17) ^ state->v2;
    state->v3 = siphash_rotate(state->v3, 21) ^ state->v0;
    state->v2 = siphash_rotate(state->v2, 32);
}

/* Four at most: written out, as the number is known where it is called. */
static inline void siphash_rounds(struct siphash_state *state, unsigned rounds)
{
    if (rounds >= 1)
        siphash_round(state);
    if (rounds >= 2)
        siphash_round(state);
    if (rounds >= 3)
        siphash_round(state);
    if (rounds >= 4)
        siphash_round(state);
}

static inline void siphash_word(struct siphash_state *state, uint64_t word, unsigned rounds)
{
    state->v3 ^= word;
    siphash_rounds(state, rounds);
    state->v0 ^= word;
}

/* The last word: the up to 7 bytes that are left, and the size's lowest byte above them. */
static inline uint64_t siphash_last_word(struct bytes bytes)
{
    size_t left = bytes.size % sizeof(uint64_t);
    uint64_t word = (uint64_t)bytes.size << 56;

    if (left == 0)
        return word;
    if (bytes.size > sizeof(uint64_t))
        return word | siphash_load(bytes.data + bytes.size - sizeof(uint64_t)) >> (64 - 8 * left);
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)bytes.data[i] << (8 * i);
    return word;
}

/* With other numbers of rounds, up to 4, for tests: 2 and 4 are what libsodium has. */
static inline uint64_t siphash_with_rounds(const unsigned char key[SIPHASH_KEY_BYTES], struct bytes bytes,
                                           unsigned word_rounds, unsigned end_rounds)
{
    uint64_t k0 = siphash_load(key);
    uint64_t k1 = siphash_load(key + sizeof(uint64_t));
    struct siphash_state state = {
        .v0 = k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = k1 ^ UINT64_C(0x7465646279746573),
    };

    for (size_t i = 0; i + sizeof(uint64_t) <= bytes.size; i += sizeof(uint64_t))
        siphash_word(&state, siphash_load(bytes.data + i), word_rounds);
    siphash_word(&state, siphash_last_word(bytes), word_rounds);
    state.v2 ^= 0xff;
    siphash_rounds(&state, end_rounds);
    return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

static inline uint64_t siphash(const unsigned char key[SIPHASH_KEY_BYTES], struct bytes bytes)
{
    return siphash_with_rounds(key, bytes, SIPHASH_WORD_ROUNDS, SIPHASH_END_ROUNDS);
}

#endif
