/* Random clients against a live server, each a process of its own, some of whose
 * workers are killed while they work; what they saw must be strictly
 * serializable (README.md). What they do is in live_plan.c.
 *
 *   HAUSKV_TEST_SEED=<seed>   other transactions (how clients meet is not repeated)
 *   HAUSKV_TEST_STEPS=<n>     n transactions in each history */
#include <criterion/criterion.h>

#include <stdio.h>

#include "histories/live_run.h"
#include "support/store_random.h"

static void run_plan(const char *name, bool wants_refusal)
{
    const struct live_plan *plan = live_plan_find(name);
    struct live_report report = live_run(plan, store_environment_number("HAUSKV_TEST_SEED", 1), wants_refusal);
    const char *complaint = live_report_complaint(&report, plan, wants_refusal);

    if (!report.was_run)
        fprintf(stderr, "not run: %s, since the server does not offer an isolation level of it\n", name);
    else
        cr_assert_str_empty(complaint, "%s: %s", name, complaint);
}

static void is_accepted(const char *name)
{
    run_plan(name, false);
}

/* What is claimed is not so: every judge must see it. */
static void is_refused(const char *name)
{
    run_plan(name, true);
}

TestSuite(live, .timeout = 3600);
TestSuite(control, .timeout = 600);

Test(live, agrees_with_the_order_of_the_server)
{
    is_accepted("order");
}

Test(live, agrees_with_the_order_of_the_server_with_locking)
{
    is_accepted("order-locking");
}

Test(live, has_an_order_that_a_search_finds)
{
    is_accepted("search");
}

Test(live, has_an_order_that_a_search_finds_with_locking)
{
    is_accepted("search-locking");
}

Test(live, has_no_cycle_of_sixteen_clients)
{
    is_accepted("cycles-16");
}

Test(live, has_no_cycle_of_thirty_two_clients)
{
    is_accepted("cycles-32");
}

Test(live, has_no_cycle_with_locking)
{
    is_accepted("cycles-locking");
}

Test(control, read_committed_is_not_in_the_order_of_the_server)
{
    is_refused("control-order");
}

Test(control, read_committed_has_no_order_that_a_search_finds)
{
    is_refused("control-search");
}

Test(control, read_committed_has_cycles)
{
    is_refused("control-cycles");
}
