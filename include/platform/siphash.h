/* SipHash-2-4, 64 bits (Aumasson, Bernstein: "SipHash: a fast short-input PRF",
 * 2012): a keyed hash that a client who does not know the key cannot steer. */
#ifndef HAUSKV_PLATFORM_SIPHASH_H
#define HAUSKV_PLATFORM_SIPHASH_H

#include <stdint.h>

#include "platform/bytes.h"

#define SIPHASH_KEY_BYTES 16

/* Fills key from the system's random source (libsodium's randombytes, getrandom(2) underneath). */
void siphash_key_random(unsigned char key[SIPHASH_KEY_BYTES]);

uint64_t siphash(const unsigned char key[SIPHASH_KEY_BYTES], struct bytes bytes);

#endif
