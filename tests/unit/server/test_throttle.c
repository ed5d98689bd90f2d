#include <criterion/criterion.h>

#include "server/throttle.h"

Test(throttle, first_failures_are_free)
{
    struct throttle throttle = {.free_failures = 2};

    cr_assert_eq(throttle_failed(&throttle, 1000), 0);
    cr_assert_eq(throttle_failed(&throttle, 1000), 0);
    cr_assert_eq(throttle_left_ms(&throttle, 1000), 0);
    cr_assert_eq(throttle_failed(&throttle, 1000), THROTTLE_DELAY_MIN_MS);
}

Test(throttle, delays_double_up_to_a_limit)
{
    struct throttle throttle = {.free_failures = 0};
    unsigned delay_ms = throttle_failed(&throttle, 0);

    cr_assert_eq(delay_ms, THROTTLE_DELAY_MIN_MS);
    for (unsigned i = 0; i < 40; i++) {
        unsigned next_ms = throttle_failed(&throttle, 0);

        cr_assert(next_ms == 2 * delay_ms || next_ms == THROTTLE_DELAY_MAX_MS);
        delay_ms = next_ms;
    }
    cr_assert_eq(delay_ms, THROTTLE_DELAY_MAX_MS);
}

Test(throttle, delay_passes)
{
    struct throttle throttle = {.free_failures = 0};

    (void)throttle_failed(&throttle, 5000);

    cr_assert_eq(throttle_left_ms(&throttle, 5000), THROTTLE_DELAY_MIN_MS);
    cr_assert_eq(throttle_left_ms(&throttle, 5001), THROTTLE_DELAY_MIN_MS - 1);
    cr_assert_eq(throttle_left_ms(&throttle, 5000 + THROTTLE_DELAY_MIN_MS), 0);
    cr_assert_eq(throttle_left_ms(&throttle, 1000000), 0);
}

Test(throttle, success_makes_all_as_before)
{
    struct throttle throttle = {.free_failures = 1};

    for (unsigned i = 0; i < 10; i++)
        (void)throttle_failed(&throttle, 0);
    throttle_succeeded(&throttle);

    cr_assert_eq(throttle_left_ms(&throttle, 0), 0);
    cr_assert_eq(throttle_failed(&throttle, 0), 0);
    cr_assert_eq(throttle_failed(&throttle, 0), THROTTLE_DELAY_MIN_MS);
}
