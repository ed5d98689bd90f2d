#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "platform/contract.h"
#include "support/process.h"

static int keeps_its_contracts(void *context)
{
    int evaluations = 0;

    (void)context;
    REQUIRE(++evaluations == 1);
    INVARIANT(++evaluations == 2);
    ENSURE(++evaluations == 3);
    return evaluations;
}

enum { LINE_OF_THE_INVARIANT = __LINE__ + 6 };

static int breaks_its_invariant(void *context)
{
    const int *size = context;

    INVARIANT(*size > 4);
    return 0;
}

static void break_another(int signal_number)
{
    REQUIRE(signal_number == 0); /* NOLINT(bugprone-signal-handler,cert-sig30-c): it is made for that */
}

static int breaks_a_contract_while_it_aborts(void *context)
{
    (void)signal(SIGABRT, break_another);
    return breaks_its_invariant(context);
}

Test(contract, kept_contracts_are_evaluated_once_and_silent)
{
    char output[256];

    cr_assert_eq(process_run_captured(keeps_its_contracts, NULL, output, sizeof output), 3);
    cr_assert_str_empty(output);
}

Test(contract, broken_contract_tells_where_and_aborts)
{
    char output[1024];
    char place[64];
    int size = 4;

    (void)snprintf(place, sizeof place, "test_contract.c:%d\n", LINE_OF_THE_INVARIANT);
    cr_assert_eq(process_run_captured(breaks_its_invariant, &size, output, sizeof output), PROCESS_SIGNAL(SIGABRT));

    cr_assert_not_null(strstr(output, " error ["), "%s", output);
    cr_assert_not_null(strstr(output, "broken contract: invariant(*size > 4) at "), "%s", output);
    cr_assert_not_null(strstr(output, place), "%s", output);
}

Test(contract, second_broken_contract_neither_loops_nor_tells)
{
    char output[1024];
    int size = 4;

    cr_assert_eq(process_run_captured(breaks_a_contract_while_it_aborts, &size, output, sizeof output),
                 PROCESS_SIGNAL(SIGABRT));

    cr_assert_not_null(strstr(output, "invariant(*size > 4)"), "%s", output);
    cr_assert_null(strstr(output, "signal_number == 0"), "%s", output);
}
