#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "platform/status.h"
#include "support/process.h"

static int asks_for_the_code_behind_the_last(void *context)
{
    (void)context;
    return status_code(STATUS_COUNT)[0];
}

Test(status, every_status_has_a_code_and_a_message)
{
    for (enum status status = STATUS_OK; status < STATUS_COUNT; status++) {
        cr_assert(status_is_valid(status));
        cr_assert_gt(strlen(status_code(status)), 1);
        cr_assert_gt(strlen(status_message(status)), 1);
    }
}

/* Two causes of one thing: for a program there is no difference. */
static bool share_their_code(enum status left, enum status right)
{
    return left == STATUS_LOCK_TIMEOUT && right == STATUS_TIMEOUT;
}

Test(status, codes_are_lower_case_words_and_all_different)
{
    for (enum status left = STATUS_OK; left < STATUS_COUNT; left++) {
        const char *code = status_code(left);

        cr_assert_eq(strspn(code, "abcdefghijklmnopqrstuvwxyz_8"), strlen(code), "%s", code);
        for (enum status right = STATUS_OK; right < left; right++)
            cr_assert_eq(strcmp(code, status_code(right)) == 0, share_their_code(left, right), "%s", code);
    }
}

Test(status, stable_words_of_the_wire)
{
    cr_assert_str_eq(status_code(STATUS_NOT_FOUND), "not_found");
    cr_assert_str_eq(status_message(STATUS_NOT_FOUND), "Key not found");
}

Test(status, what_is_no_status_has_no_code)
{
    cr_assert_not(status_is_valid(STATUS_COUNT));
    cr_assert_eq(process_run(asks_for_the_code_behind_the_last, NULL), PROCESS_SIGNAL(SIGABRT));
}
