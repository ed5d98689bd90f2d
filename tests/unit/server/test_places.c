#include <string.h>

#include <criterion/criterion.h>

#include "config_sources.h"
#include "server/limits.h"
#include "support/process.h"

#define MEBIBYTES(number) ((uint64_t)(number) << 20)
#define REFUSED UINT32_MAX

static struct server_config config;

#define ask_for(...) cr_assert_str_eq(flags_say(&config, FLAGS(__VA_ARGS__)), "")
#define ask_for_nothing() cr_assert_str_eq(flags_say(&config, NO_FLAGS), "")

struct question {
    uint64_t bytes;  /* of the store; 0: it is full, and has `places` */
    unsigned places;
    unsigned clients; /* the answer */
    unsigned spare;
};

static int answer(void *context)
{
    struct question *question = context;
    bool is_accepted =
        question->bytes > 0 ? places_choose(&config, question->bytes) : places_settle(&config, question->places);

    question->clients = is_accepted ? config.clients_max : REFUSED;
    question->spare = config.spare_workers_min;
    return 0;
}

/* What is decided, and what the operator is told. */
static struct question ask(uint64_t bytes, unsigned places, char said[512])
{
    struct question *question = process_shared_memory(sizeof *question);

    *question = (struct question){.bytes = bytes, .places = places};
    cr_assert_eq(process_run_captured(answer, question, said, 512), 0);
    return *question;
}

Test(places, are_for_clients_and_spare_workers_and_a_few_more)
{
    ask_for("--max-clients", "100", "--min-spare", "7");
    cr_assert_eq(places_needed(&config), 123);
}

Test(places, default_is_taken_where_it_fits)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(ask(MEBIBYTES(8), 0, said).clients, 1000);
    cr_assert_str_eq(said, "");
}

Test(places, default_gives_way_to_little_memory)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(ask(MEBIBYTES(2), 0, said).clients, 256 - 8 - 16);
    cr_assert_not_null(strstr(said, "warning "), "%s", said);
    cr_assert_not_null(strstr(said, "232 clients in place of the default, 1000"), "%s", said);
}

Test(places, one_client_is_served_in_the_least_memory)
{
    char said[512];

    ask_for("--min-spare", "300");
    cr_assert_eq(ask(MEBIBYTES(1), 0, said).clients, 1);
}

Test(places, order_is_taken_up_to_half_of_the_memory)
{
    char said[512];

    ask_for("--max-clients", "1000");
    cr_assert_eq(ask(MEBIBYTES(2), 0, said).clients, 1000);
    cr_assert_str_eq(said, "");
}

Test(places, order_beyond_half_of_the_memory_is_refused)
{
    char said[512];

    ask_for("--max-clients", "1001");
    cr_assert_eq(ask(MEBIBYTES(2), 0, said).clients, REFUSED);
    cr_assert_not_null(strstr(said, "--max-clients 1001 and --min-spare 8 need 1049600 bytes"), "%s", said);
    cr_assert_not_null(strstr(said, "that must be 4 MiB at least"), "%s", said);
}

/* They would leave nothing for the data. */
Test(places, spare_workers_beyond_half_of_the_memory_are_refused)
{
    char said[512];

    ask_for("--min-spare", "600");
    cr_assert_eq(ask(MEBIBYTES(1), 0, said).clients, REFUSED);
    cr_assert_not_null(strstr(said, "--max-clients 1 and --min-spare 600 need 631808 bytes"), "%s", said);
}

Test(places, full_store_serves_as_many_as_it_has_places_for)
{
    char said[512];
    struct question question;

    ask_for("--max-clients", "100", "--min-spare", "8");
    question = ask(0, 32, said);

    cr_assert_eq(question.clients, 24);
    cr_assert_eq(question.spare, 8);
    cr_assert_not_null(strstr(said, "24 clients in place of 100 (--max-clients)"), "%s", said);
}

Test(places, full_store_with_few_places_has_fewer_spare_workers_too)
{
    char said[512];
    struct question question;

    ask_for("--min-spare", "50");
    question = ask(0, 16, said);

    cr_assert_eq(question.clients, 8);
    cr_assert_eq(question.spare, 8);
}

Test(places, enough_of_them_is_worth_no_word)
{
    char said[512];

    ask_for("--max-clients", "100", "--min-spare", "8");
    cr_assert_eq(ask(0, 112, said).clients, 100);
    cr_assert_str_eq(said, "");
}

Test(places, store_without_any_serves_nobody)
{
    char said[512];

    ask_for_nothing();
    cr_assert_eq(ask(0, 1, said).clients, REFUSED);
    cr_assert_not_null(strstr(said, "is full, and has no place"), "%s", said);
}
