#include <criterion/criterion.h>
#include <signal.h>

#include "platform/bytes.h"
#include "support/process.h"

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
