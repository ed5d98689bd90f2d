#include "platform/siphash.h"

#include <sodium.h>

void siphash_key_random(unsigned char key[SIPHASH_KEY_BYTES])
{
    int initialised = sodium_init();

    INVARIANT(initialised >= 0);
    randombytes_buf(key, SIPHASH_KEY_BYTES);
}
