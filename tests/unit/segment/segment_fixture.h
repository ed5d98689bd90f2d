/* An anonymous segment without layers above it. */
#ifndef HAUSKV_TESTS_UNIT_SEGMENT_FIXTURE_H
#define HAUSKV_TESTS_UNIT_SEGMENT_FIXTURE_H

#include <criterion/criterion.h>

#include "segment/segment.h"

#define FIXTURE_ROOT_BYTES 256u
#define FIXTURE_FINGERPRINT 1u

/* Room for a header and about `chunks` chunks. */
static inline size_t bytes_for_chunks(size_t chunks)
{
    return sizeof(struct segment_header) + (chunks + 3) * (CHUNK_BYTES + 32);
}

static inline struct segment *segment_of_chunks(size_t chunks)
{
    struct segment_options options = {.bytes = bytes_for_chunks(chunks)};
    struct segment *made = NULL;
    char refusal[SEGMENT_REASON_BYTES] = "";

    cr_assert_eq(segment_create(&options, FIXTURE_ROOT_BYTES, FIXTURE_FINGERPRINT, &made, refusal), STATUS_OK, "%s",
                 refusal);
    return made;
}

static inline void assert_header_valid(const struct segment *checked)
{
    const char *invalid = "";

    cr_assert(segment_header_is_valid(checked, &invalid), "invalid: %s", invalid);
}

/* A test at whose end everything must be whole. Not by .fini: assertions and even crashes there do not count (seen in
 * Criterion 2.4.1). */
#define WHOLE_TEST(suite, name) \
    static void name(void);     \
    Test(suite, name)           \
    {                           \
        name();                 \
        suite##_is_whole();     \
    }                           \
    static void name(void)

#endif
