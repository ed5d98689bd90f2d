/* What was asked for is measured, or nothing is. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "load/server_list.h"

static struct server_list list;
static char reason[SERVER_LIST_REASON_BYTES];

/* A machine on which echo alone can be had: it is a part of the program. */
static void nothing_is_installed(void)
{
    list.count = 0;
    reason[0] = '\0';
    cr_assert_eq(setenv("HAUSKV_SERVER", "/nonexistent/hauskv-server", 1), 0);
    cr_assert_eq(setenv("PATH", "/nonexistent", 1), 0);
}

static void expect_refused(const char *names, const char *words)
{
    cr_expect_not(server_list_ask(&list, names, reason), "%s", names);
    cr_expect_not_null(strstr(reason, words), "%s: %s", names, reason);
}

TestSuite(server_list, .init = nothing_is_installed);

Test(server_list, refuses_what_was_asked_for_and_is_not_there)
{
    expect_refused("hauskv", "hauskv cannot be measured");
    expect_refused("redis", "redis cannot be measured");
    expect_refused("echo,hauskv", "hauskv cannot be measured");
}

Test(server_list, refuses_what_is_no_server)
{
    expect_refused("postgres", "'postgres'");
    expect_refused("echo,a-name-that-is-longer-than-that-of-any-server", "'a-name-that");
}

Test(server_list, refuses_a_list_without_names)
{
    expect_refused("", "''");
    expect_refused(",", "''");
}

Test(server_list, refuses_more_than_can_take_part)
{
    cr_assert(server_list_ask(&list, "echo,echo,echo,echo,echo", reason));

    expect_refused("echo", "more than 5");
}

Test(server_list, takes_what_is_there_in_the_order_asked_for)
{
    cr_assert_eq(setenv("HAUSKV_SERVER", "/bin/sh", 1), 0);

    cr_assert(server_list_ask(&list, "echo,hauskv", reason), "%s", reason);

    cr_assert_eq(list.count, 2);
    cr_assert_str_eq(list.kinds[0]->name, "echo");
    cr_assert_str_eq(list.kinds[1]->name, "hauskv");
}

Test(server_list, names_the_company_that_is_left_out)
{
    char said[256] = "";
    FILE *output = fmemopen(said, sizeof said, "w");

    cr_assert_not_null(output);
    server_list_add_present(&list, "redis,echo,memcached", output);
    (void)fclose(output);

    cr_assert_eq(list.count, 1);
    cr_assert_str_eq(list.kinds[0]->name, "echo");
    cr_assert_str_eq(said, "redis is not installed and left out.\nmemcached is not installed and left out.\n");
}
