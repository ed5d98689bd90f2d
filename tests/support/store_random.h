/* Numbers that look random and are the same in every run: splitmix64 (Steele,
 * Lea, Flood: "Fast splittable pseudorandom number generators", 2014), and
 * contents of values made from a number, so that nobody has to keep them.
 *
 * Tests that use them print their seed; the environment may set another:
 *   HAUSKV_TEST_SEED   one run with this seed in place of the usual ones
 *   HAUSKV_TEST_STEPS  how long a run is */
#ifndef HAUSKV_TESTS_STORE_RANDOM_H
#define HAUSKV_TESTS_STORE_RANDOM_H

#include "platform/bytes.h"

struct store_random {
    uint64_t state;
};

static inline uint64_t store_random_next(struct store_random *random)
{
    uint64_t mixed = random->state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return mixed ^ mixed >> 31;
}

/* 0..end - 1; the bias is of no interest here. */
static inline uint64_t store_random_below(struct store_random *random, uint64_t end)
{
    REQUIRE(end > 0);
    return store_random_next(random) % end;
}

static inline bool store_random_one_in(struct store_random *random, uint64_t times)
{
    return store_random_below(random, times) == 0;
}

/* Fills a value with the content that number names; contents of different numbers differ from the first 8 bytes on. */
void store_content_fill(unsigned char *data, size_t size, uint64_t number);

/* Whether a value is what store_content_fill made. */
bool store_content_is(struct bytes value, size_t size, uint64_t number);

/* A number from the environment, decimal or 0x; `otherwise` if it is not set. */
uint64_t store_environment_number(const char *name, uint64_t otherwise);

#endif
