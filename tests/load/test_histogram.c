/* Percentiles are what the figures of a bench stand on. */
#include <criterion/criterion.h>

#include "load/histogram.h"
#include "load/spread.h"

static struct histogram histogram;

static void add_thousand_times(uint64_t first, uint64_t step)
{
    histogram_clear(&histogram);
    for (uint64_t i = 0; i < 1000; i++)
        histogram_add(&histogram, first + i * step);
}

static bool is_near(double value, double expected)
{
    return value > expected * 0.98 && value < expected * 1.02;
}

Test(histogram, has_no_percentile_of_nothing)
{
    histogram_clear(&histogram);

    cr_assert_eq(histogram_percentile(&histogram, 0.5), 0);
}

Test(histogram, knows_short_times_exactly)
{
    histogram_clear(&histogram);
    histogram_add(&histogram, 17);

    cr_assert_eq(histogram_percentile(&histogram, 0.5), 17);
}

Test(histogram, is_right_within_two_percent_at_any_size)
{
    for (uint64_t step = 1; step < (uint64_t)1 << 50; step *= 7) {
        add_thousand_times(100, step);
        cr_expect(is_near(histogram_percentile(&histogram, 0.5), 100 + 499.0 * (double)step), "step %ju",
                  (uintmax_t)step);
        cr_expect(is_near(histogram_percentile(&histogram, 0.99), 100 + 989.0 * (double)step), "step %ju",
                  (uintmax_t)step);
    }
}

Test(histogram, takes_the_longest_time_there_is)
{
    histogram_clear(&histogram);
    histogram_add(&histogram, UINT64_MAX);

    cr_assert(is_near(histogram_percentile(&histogram, 1), (double)UINT64_MAX));
}

Test(spread, is_the_smallest_the_middle_and_the_largest)
{
    double values[] = {4, 1, 3, 2};
    struct spread spread = spread_of(values, 4);

    cr_assert_eq(spread.minimum, 1);
    cr_assert_eq(spread.median, 2.5);
    cr_assert_eq(spread.maximum, 4);
}

Test(spread, has_percentiles_that_are_among_the_values)
{
    const double values[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 20};

    cr_expect_eq(spread_percentile(values, 10, 0.1), 1);
    cr_expect_eq(spread_percentile(values, 10, 0.11), 2);
    cr_expect_eq(spread_percentile(values, 10, 0.5), 5);
    cr_expect_eq(spread_percentile(values, 10, 0.9), 9);
    cr_expect_eq(spread_percentile(values, 10, 1), 20);
    cr_expect_eq(spread_percentile(values, 1, 0.1), 1);
    cr_expect_eq(spread_percentile(values, 0, 0.5), 0);
}
