#include <criterion/criterion.h>
#include <signal.h>

#include "platform/bytes.h"
#include "support/guarded_memory.h"
#include "support/process.h"
#include "support/store_random.h"

#define SIZE_MAX_COMPARED 40u
#define SIZE_MAX_COPIED 300u
#define CONTENT UINT64_C(0x123456789abcdef1) /* no two of its bytes are the same */
#define UNTOUCHED 0xa5

static const struct bytes nothing = {NULL, 0};

struct part {
    size_t offset;
    size_t size;
};

static int slices_five_bytes(void *context)
{
    const struct part *part = context;

    return (int)bytes_slice(bytes_from_string("hello"), part->offset, part->size).size;
}

static int slices_nowhere(void *context)
{
    (void)context;
    return (int)bytes_from(NULL, 1).size;
}

Test(bytes, equal_means_same_size_and_same_bytes)
{
    cr_assert(bytes_equal(bytes_from("a\0b", 3), bytes_from("a\0b", 3)));
    cr_assert_not(bytes_equal(bytes_from("a\0b", 3), bytes_from("a\0c", 3)));
    cr_assert_not(bytes_equal(bytes_from_string("a"), bytes_from_string("ab")));
    cr_assert(bytes_equal(nothing, bytes_from_string("")));
    cr_assert_not(bytes_equal(nothing, bytes_from_string("a")));
}

/* Where bytes stand at the begin of their memory, and where they stand at its end. */
static unsigned char *placed(const struct guarded_memory *memory, bool is_at_the_end, size_t size)
{
    return is_at_the_end ? memory->end - size : memory->begin;
}

static void assert_every_difference_is_seen(unsigned char *left, const unsigned char *right, size_t size)
{
    cr_assert(bytes_equal(bytes_from(left, size), bytes_from(right, size)), "size %zu", size);
    for (size_t i = 0; i < size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            left[i] ^= (unsigned char)(1u << bit);
            cr_assert_not(bytes_equal(bytes_from(left, size), bytes_from(right, size)), "size %zu, byte %zu", size, i);
            cr_assert_not(bytes_equal(bytes_from(right, size), bytes_from(left, size)), "size %zu, byte %zu", size, i);
            left[i] ^= (unsigned char)(1u << bit);
        }
}

Test(bytes, every_difference_is_seen_and_nothing_around_is_read)
{
    struct guarded_memory left = guarded_memory(SIZE_MAX_COMPARED);
    struct guarded_memory right = guarded_memory(SIZE_MAX_COMPARED);

    for (size_t size = 0; size <= SIZE_MAX_COMPARED; size++)
        for (unsigned ends = 0; ends < 4; ends++) {
            unsigned char *left_bytes = placed(&left, (ends & 1) != 0, size);
            unsigned char *right_bytes = placed(&right, (ends & 2) != 0, size);

            store_content_fill(left_bytes, size, CONTENT);
            store_content_fill(right_bytes, size, CONTENT);
            assert_every_difference_is_seen(left_bytes, right_bytes, size);
        }
}

Test(bytes, bytes_of_two_sizes_differ_whatever_they_are)
{
    static const unsigned char zeros[SIZE_MAX_COMPARED];

    for (size_t left = 0; left <= SIZE_MAX_COMPARED; left++)
        for (size_t right = 0; right <= SIZE_MAX_COMPARED; right++)
            cr_assert_eq(bytes_equal(bytes_from(zeros, left), bytes_from(zeros, right)), left == right, "%zu, %zu",
                         left, right);
}

static void assert_untouched(const unsigned char *from, const unsigned char *to, size_t size)
{
    for (; from < to; from++)
        cr_assert_eq(*from, UNTOUCHED, "size %zu", size);
}

static void assert_copies(const struct guarded_memory *target, unsigned char *copy, const unsigned char *source,
                          size_t size)
{
    memset(target->begin, UNTOUCHED, (size_t)(target->end - target->begin));
    bytes_copy_few(copy, source, size);
    cr_assert_eq(memcmp(copy, source, size), 0, "size %zu", size);
    cr_assert(store_content_is(bytes_from(source, size), size, CONTENT), "size %zu: the source is another now", size);
    assert_untouched(target->begin, copy, size);
    assert_untouched(copy + size, target->end, size);
}

Test(bytes, a_copy_of_few_is_whole_and_nothing_around_is_touched)
{
    struct guarded_memory source = guarded_memory(SIZE_MAX_COPIED);
    struct guarded_memory target = guarded_memory(SIZE_MAX_COPIED);

    for (size_t size = 0; size <= SIZE_MAX_COPIED; size++)
        for (unsigned ends = 0; ends < 4; ends++) {
            unsigned char *bytes = placed(&source, (ends & 1) != 0, size);

            store_content_fill(bytes, size, CONTENT);
            assert_copies(&target, placed(&target, (ends & 2) != 0, size), bytes, size);
        }
}

Test(bytes, every_prefix_is_one_and_the_empty_one_too)
{
    struct bytes hello = bytes_from_string("hello");

    for (size_t size = 0; size <= hello.size; size++)
        cr_assert(bytes_start_with(hello, bytes_slice(hello, 0, size)));
    cr_assert(bytes_start_with(nothing, nothing));
    cr_assert_not(bytes_start_with(hello, bytes_from_string("hello!")));
    cr_assert_not(bytes_start_with(hello, bytes_from_string("ello")));
}

Test(bytes, slice_lies_inside)
{
    struct bytes hello = bytes_from_string("hello");

    cr_assert(bytes_equal(bytes_slice(hello, 1, 3), bytes_from_string("ell")));
    cr_assert(bytes_equal(bytes_slice(hello, 5, 0), nothing));
    cr_assert(bytes_equal(bytes_slice(nothing, 0, 0), nothing));
}

Test(bytes, slice_that_would_lie_outside_breaks_the_contract)
{
    struct part behind = {.offset = 6, .size = 0};
    struct part too_long = {.offset = 3, .size = 3};
    struct part wraps_around = {.offset = 2, .size = SIZE_MAX};

    cr_assert_eq(process_run(slices_five_bytes, &behind), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run(slices_five_bytes, &too_long), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run(slices_five_bytes, &wraps_around), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run(slices_nowhere, NULL), PROCESS_SIGNAL(SIGABRT));
}

Test(bytes, sums_and_products_say_when_they_do_not_fit)
{
    size_t result = 7;

    cr_assert_not(size_add(SIZE_MAX, 1, &result));
    cr_assert_not(size_multiply(SIZE_MAX / 2 + 1, 2, &result));
    cr_assert_eq(result, 7);

    cr_assert(size_add(SIZE_MAX - 1, 1, &result));
    cr_assert_eq(result, SIZE_MAX);
    cr_assert(size_multiply(SIZE_MAX / 2, 2, &result));
    cr_assert_eq(result, SIZE_MAX - 1);
    cr_assert(size_multiply(5, 0, &result));
    cr_assert_eq(result, 0);
}
