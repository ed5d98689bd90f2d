/* Whom the system ends first, as the process itself sets it. */
#include <criterion/criterion.h>

#include "platform/memory_pressure.h"
#include "support/process.h"

TestSuite(memory_pressure, .timeout = 30);

/* In a child: what was raised need not be lowered again. */
static int raise_by_100(void *context)
{
    int before = memory_pressure_adjustment();

    (void)context;
    return memory_pressure_adjust(before + 100) && memory_pressure_adjustment() == before + 100 ? 0 : 1;
}

Test(memory_pressure, is_raised)
{
    cr_assert_eq(process_run(raise_by_100, NULL), 0);
}

static int raise_beyond_the_most(void *context)
{
    (void)context;
    return memory_pressure_adjust(5000) && memory_pressure_adjustment() == MEMORY_PRESSURE_MAX ? 0 : 1;
}

Test(memory_pressure, out_of_range_is_the_most_there_is)
{
    cr_assert_eq(process_run(raise_beyond_the_most, NULL), 0);
}
