/* The reference itself: what it answers to SERIALIZABLE and LOCKING transactions is what some order of them, one after
 * the other, answers. So the yardstick of the other tests is held against the definition, too. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "schedules/performance.h"
#include "schedules/triple.h"

#define SUBSETS 8u /* of the sessions: bit i stands for session i */
#define SERIAL_ORDERS 6u

TestSuite(serial_order, .timeout = 300);

/* What a session, or at last the observer, was answered. */
struct answers {
    char text[TRIPLE_SESSIONS + 1][SCRIPT_COMMANDS][ACT_REPLY_BYTES];
};

static struct answers serial[SUBSETS][SERIAL_ORDERS];

static void take_answers(const struct performance *performance, struct answers *answers)
{
    for (unsigned session = 0; session <= TRIPLE_SESSIONS; session++) {
        for (unsigned step = 0; step < SCRIPT_COMMANDS; step++)
            (void)snprintf(answers->text[session][step], ACT_REPLY_BYTES, "%s",
                           performance_reply(performance, session, step));
    }
}

static bool is_transaction(const unsigned char script[SCRIPT_COMMANDS])
{
    return script[0] == COMMAND_START && script[1] > COMMAND_ROLLBACK && script[2] > COMMAND_ROLLBACK &&
           script[3] == COMMAND_COMMIT;
}

static bool is_of_transactions(const struct triple *triple)
{
    return is_transaction(triple->scripts[0]) && is_transaction(triple->scripts[1]) &&
           is_transaction(triple->scripts[2]);
}

/* The sessions of a subset, one after the other, in each order. */
static void play_serially(struct performance *performance, const struct scenario *scenario,
                          const struct casting *casting)
{
    static const unsigned char orders[SERIAL_ORDERS][TRIPLE_SESSIONS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                                         {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    for (unsigned subset = 0; subset < SUBSETS; subset++) {
        for (unsigned order = 0; order < SERIAL_ORDERS; order++) {
            struct schedule schedule = {.turn_count = 0};

            for (unsigned i = 0; i < TRIPLE_SESSIONS * SCRIPT_COMMANDS; i++) {
                unsigned char session = orders[order][i / SCRIPT_COMMANDS];

                if ((subset >> session & 1) != 0)
                    schedule.turns[schedule.turn_count++] = (struct turn){.session = session};
            }
            cr_assert_eq(performance_play(performance, scenario, casting, &schedule), PERFORMANCE_AGREES);
            take_answers(performance, &serial[subset][order]);
        }
    }
}

static unsigned committed_sessions(const struct performance *performance)
{
    unsigned subset = 0;

    for (unsigned session = 0; session < TRIPLE_SESSIONS; session++) {
        if (strcmp(performance_reply(performance, session, SCRIPT_COMMANDS - 1), "{\"status\": \"Ok\"}") == 0)
            subset |= 1u << session;
    }
    return subset;
}

/* The observer, who comes last, belongs to every subset. */
static bool is_explained_by(const struct performance *performance, const struct answers *serially, unsigned subset)
{
    for (unsigned session = 0; session <= TRIPLE_SESSIONS; session++) {
        if (session < TRIPLE_SESSIONS && (subset >> session & 1) == 0)
            continue;
        for (unsigned step = 0; step < SCRIPT_COMMANDS; step++) {
            if (strcmp(performance_reply(performance, session, step), serially->text[session][step]) != 0)
                return false;
        }
    }
    return true;
}

static bool is_serializable(const struct performance *performance)
{
    unsigned subset = committed_sessions(performance);

    for (unsigned order = 0; order < SERIAL_ORDERS; order++) {
        if (is_explained_by(performance, &serial[subset][order], subset))
            return true;
    }
    return false;
}

struct tally {
    unsigned long schedules;
    unsigned long unexplained;
};

static void play_every_order(struct performance *performance, const struct triple *triple, enum isolation level,
                             struct tally *tally)
{
    struct casting casting = casting_of_all(level);
    struct symmetries symmetries;
    struct scenario scenario;
    struct schedule schedule;

    triple_scenario(triple, &scenario);
    triple_symmetries(triple, &symmetries);
    play_serially(performance, &scenario, &casting);
    schedule_first(&schedule, &scenario);
    do {
        if (!schedule_is_first_of_its_kind(&schedule, &symmetries) ||
            performance_play(performance, &scenario, &casting, &schedule) != PERFORMANCE_AGREES)
            continue;
        tally->schedules++;
        tally->unexplained += !is_serializable(performance);
    } while (schedule_next(&schedule));
}

/* All of them, or only the first. */
static struct tally play_committed(enum isolation level, bool are_all)
{
    struct committed_triple triples[COMMITTED_TRIPLES_MAX];
    unsigned count = committed_triples(triples);
    struct performance *performance;
    struct tally tally = {0, 0};
    struct store_fixture order;

    store_fixture_open(&order, STORE_OF_MODEL, 0);
    performance = performance_create_without_stage(&order);
    for (unsigned i = 0; i < (are_all ? count : 1); i++) {
        if (is_of_transactions(&triples[i].triple))
            play_every_order(performance, &triples[i].triple, level, &tally);
    }
    performance_destroy(performance);
    store_fixture_close(&order);
    return tally;
}

static void every_order_is_explained(enum isolation level)
{
    struct tally tally = play_committed(level, true);

    printf("figures: the model, %s: %lu orders of three transactions, each as if one after another\n",
           level_name(level), tally.schedules);
    (void)fflush(stdout);
    cr_assert_gt(tally.schedules, 0);
    cr_assert_eq(tally.unexplained, 0, "%lu orders of %lu are not", tally.unexplained, tally.schedules);
}

Test(serial_order, explains_what_serializable_transactions_saw)
{
    every_order_is_explained(ISOLATION_SERIALIZABLE);
}

Test(serial_order, explains_what_locking_transactions_saw)
{
    every_order_is_explained(ISOLATION_LOCKING);
}

/* The other direction: READ COMMITTED promises less, and it is seen. */
Test(serial_order, does_not_explain_read_committed)
{
    struct tally tally = play_committed(ISOLATION_READ_COMMITTED, false);

    cr_assert_gt(tally.unexplained, 0);
}
