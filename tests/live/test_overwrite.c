/* Overwriting a thousand keys for ever, in one pipeline, in a small segment: it
 * never fails, and it takes no more memory at the end than near the beginning.
 * For a long run:
 *   SOAK_OVERWRITES=100000000 build/tests/live --filter overwrite/'*' */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/store_random.h"

#define KEYS 1000u
#define OVERWRITES_USUAL 1000000u
#define ROUNDS_IN_FLIGHT 8u
#define CHECKS 100u

/* A round is a PUT of each key. Its values have a mark of fixed width, so the same text serves every round. */
#define MARK_DIGITS 10

TestSuite(overwrite, .timeout = 7200);

struct round {
    struct text lines;
    size_t marks[KEYS]; /* where in lines */
};

/* Values of 10 to 209 bytes. */
static void compose(struct round *round)
{
    memset(round, 0, sizeof *round);
    for (unsigned key = 0; key < KEYS; key++) {
        text_format(&round->lines, "PUT key%u ", key);
        round->marks[key] = round->lines.size;
        text_append_repeated(&round->lines, '0', MARK_DIGITS);
        text_append_repeated(&round->lines, 'x', key % 200);
        text_append_string(&round->lines, "\n");
    }
}

static void mark(struct round *round, uint64_t number)
{
    char digits[24];

    (void)snprintf(digits, sizeof digits, "%0*" PRIu64, MARK_DIGITS, number);
    for (unsigned key = 0; key < KEYS; key++)
        memcpy(round->lines.data + round->marks[key], digits, MARK_DIGITS);
}

/* What the segment holds, at each check but those at the very beginning. */
struct usage {
    uint64_t least_bytes;
    uint64_t most_bytes;
};

static void note_usage(struct usage *usage, struct client *client, unsigned check)
{
    uint64_t used_bytes = client_statistic(client, "memory.used_bytes");

    if (check == 1 || used_bytes < usage->least_bytes)
        usage->least_bytes = used_bytes;
    if (check == 1 || used_bytes > usage->most_bytes)
        usage->most_bytes = used_bytes;
}

/* Rounds from number on, several under way at a time. */
static void run_rounds(struct client *client, struct round *round, uint64_t number, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        mark(round, number + i);
        client_send(client, text_bytes(&round->lines));
        if (i >= ROUNDS_IN_FLIGHT)
            client_expect_ok_times(client, KEYS);
    }
    client_expect_ok_times(client, KEYS * (unsigned)(count < ROUNDS_IN_FLIGHT ? count : ROUNDS_IN_FLIGHT));
}

static void expect_last_values(struct client *client, uint64_t number)
{
    char line[32];
    char begin[64];

    for (unsigned key = 0; key < KEYS; key++) {
        (void)snprintf(line, sizeof line, "GET key%u", key);
        (void)snprintf(begin, sizeof begin, "{\"status\": \"Ok\", \"result\": \"%0*" PRIu64, MARK_DIGITS, number);
        cr_assert_eq(strncmp(client_say(client, line), begin, strlen(begin)), 0, "key%u", key);
    }
}

static void print(uint64_t overwrites, uint64_t passed_ms, const struct usage *usage)
{
    fprintf(stderr,
            "figures: overwrites: %" PRIu64 " of %u keys in %" PRIu64 ".%03" PRIu64 " s, none failed; %" PRIu64 " to %" PRIu64
            " bytes in use\n",
            overwrites, KEYS, passed_ms / 1000, passed_ms % 1000, usage->least_bytes, usage->most_bytes);
}

Test(overwrite, never_fails_and_takes_no_more_memory)
{
    static struct round round;
    uint64_t overwrites = store_environment_number("SOAK_OVERWRITES", OVERWRITES_USUAL);
    uint64_t rounds_per_check = overwrites / KEYS / CHECKS;
    uint64_t begin_ms = clock_monotonic_ms();
    struct usage usage = {.least_bytes = 0};
    struct server server;
    struct client client;

    compose(&round);
    server_start(&server, "--memory", "64m");
    client_connect(&client, &server);
    for (unsigned check = 0; check < CHECKS; check++) {
        run_rounds(&client, &round, check * rounds_per_check, rounds_per_check);
        note_usage(&usage, &client, check);
    }
    print(CHECKS * rounds_per_check * KEYS, clock_monotonic_ms() - begin_ms, &usage);

    cr_assert_eq(usage.least_bytes, usage.most_bytes);
    cr_assert_eq(client_statistic(&client, "keys"), KEYS);
    cr_assert_eq(client_statistic(&client, "errors.out_of_memory"), 0);
    cr_assert_eq(client_statistic(&client, "commands.PUT"), CHECKS * rounds_per_check * KEYS);
    expect_last_values(&client, CHECKS * rounds_per_check - 1);
    text_deinit(&round.lines);
    client_close(&client);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
