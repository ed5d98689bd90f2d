#include <string.h>

#include <criterion/criterion.h>

#include "config_sources.h"
#include "server/limits.h"
#include "support/process.h"

#define MEBIBYTES(number) ((uint64_t)(number) << 20)
#define REFUSED SIZE_MAX

static struct server_config config;

#define ask_for(...) cr_assert_str_eq(flags_say(&config, FLAGS(__VA_ARGS__)), "")
#define ask_for_nothing() cr_assert_str_eq(flags_say(&config, NO_FLAGS), "")

static int choose(void *context)
{
    struct memory_limits *limits = context;
    size_t bytes;

    if (!memory_choose(&config, limits, &bytes))
        bytes = REFUSED;
    limits->machine_bytes = bytes;
    return 0;
}

/* What is chosen, and what the operator is told. */
static size_t chosen(uint64_t directory_bytes, uint64_t group_bytes, uint64_t machine_bytes, char said[512])
{
    struct memory_limits *limits = process_shared_memory(sizeof *limits);

    *limits = (struct memory_limits){directory_bytes, group_bytes, machine_bytes};
    cr_assert_eq(process_run_captured(choose, limits, said, 512), 0);
    return limits->machine_bytes;
}

Test(memory, default_is_taken_where_it_fits)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(chosen(MEBIBYTES(1000), UINT64_MAX, MEBIBYTES(1000), said), MEBIBYTES(256));
    cr_assert_not_null(strstr(said, "info "), "%s", said);
    cr_assert_not_null(strstr(said, "256 MiB of memory, the default (--memory)"), "%s", said);
}

Test(memory, default_gives_way_to_a_small_directory)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(chosen(MEBIBYTES(64), UINT64_MAX, MEBIBYTES(1000), said), MEBIBYTES(56));
    cr_assert_not_null(strstr(said, "warning "), "%s", said);
    cr_assert_not_null(strstr(said, "56 MiB of memory in place of the default, 256 MiB"), "%s", said);
    cr_assert_not_null(strstr(said, "/dev/shm"), "%s", said);
}

Test(memory, default_gives_way_to_a_tight_control_group)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(chosen(MEBIBYTES(1000), MEBIBYTES(100), MEBIBYTES(1000), said), MEBIBYTES(87));
    cr_assert_not_null(strstr(said, "control group"), "%s", said);
}

Test(memory, what_was_asked_for_is_taken_to_the_last_byte)
{
    char said[512];

    ask_for("--memory", "64m");
    cr_assert_eq(chosen(MEBIBYTES(64), UINT64_MAX, MEBIBYTES(1000), said), MEBIBYTES(64));
    cr_assert_str_eq(said, "");
}

Test(memory, what_was_asked_for_is_refused_rather_than_cut)
{
    char said[512];

    ask_for("--memory", "64m");
    cr_assert_eq(chosen(MEBIBYTES(64) - 1, UINT64_MAX, MEBIBYTES(1000), said), REFUSED);
    cr_assert_not_null(strstr(said, "--memory 67108864 is more than there is: 67108863 bytes (free in /dev/shm)"),
                       "%s", said);
    cr_assert_eq(chosen(MEBIBYTES(1000), MEBIBYTES(63), MEBIBYTES(1000), said), REFUSED);
    cr_assert_eq(chosen(MEBIBYTES(1000), MEBIBYTES(1000), MEBIBYTES(63), said), REFUSED);
}

Test(memory, next_to_nothing_is_refused)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(chosen(MEBIBYTES(1), UINT64_MAX, MEBIBYTES(1000), said), REFUSED);
    cr_assert_not_null(strstr(said, "There is too little memory"), "%s", said);
}

Test(memory, limits_of_this_machine_can_be_found)
{
    struct memory_limits limits;

    ask_for_nothing();
    memory_limits_find(&limits, &config);

    cr_assert_gt(limits.machine_bytes, 0);
    cr_assert_lt(limits.machine_bytes, UINT64_MAX);
}
