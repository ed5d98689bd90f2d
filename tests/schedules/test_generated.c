/* Schedules that nobody wrote: every order of the committed triples, and samples of
 * all the rest, with and without deaths, against the reference model, reply by
 * reply. A failure names its triple, the order and the levels.
 *
 *   HAUSKV_TEST_SEED=<seed>    other samples
 *   HAUSKV_SCHEDULES=<factor>  so many times as many samples */
#include <inttypes.h>
#include <stdio.h>

#include <criterion/criterion.h>

#include "schedules/performance.h"
#include "schedules/triple.h"

#define SAMPLED_TRIPLES 4000u
#define ORDERS_OF_A_SAMPLE 10u
#define DEATH_BASES 150u
#define LOCKING_SAMPLES 6000u

/* 12! / (4! 4! 4!) */
#define ORDERS_OF_A_TRIPLE 34650u

TestSuite(generated, .timeout = 3600);

/* Schedules on one stage, and what became of them. */
struct run {
    struct stage *stage;
    struct performance *performance;
    unsigned long schedules;
    unsigned long impossible;
    unsigned long deaths;
    unsigned long waits;
    unsigned long conflicts;
};

static void run_open(struct run *run, enum stage_kind kind)
{
    *run = (struct run){.stage = stage_open(kind, TRIPLE_SESSIONS + 1, STORE_FLAW_NONE)};
    run->performance = performance_create(run->stage);
}

static void run_close(struct run *run)
{
    const char *reason;

    cr_assert(stage_close(run->stage, &reason), "%s", reason);
    performance_destroy(run->performance);
}

static void run_count(struct run *run)
{
    const struct forecast *forecast = &run->performance->forecast;

    run->schedules++;
    for (unsigned i = 0; i < forecast->act_count; i++) {
        run->deaths += forecast->acts[i].is_death;
        run->waits += !forecast->acts[i].is_death && forecast->acts[i].answered_by != i;
        run->conflicts += forecast->acts[i].conflict_keys != 0;
    }
}

static void run_play(struct run *run, const struct scenario *scenario, const struct casting *casting,
                     const struct schedule *schedule)
{
    char order[512];

    switch (performance_play(run->performance, scenario, casting, schedule)) {
    case PERFORMANCE_AGREES:
        run_count(run);
        break;
    case PERFORMANCE_IMPOSSIBLE:
        run->impossible++;
        break;
    case PERFORMANCE_DIFFERS:
    default:
        schedule_describe(schedule, scenario, order, sizeof order);
        cr_assert_fail("%s; a %s, b %s, c %s; %s: %s", scenario->title, level_name(casting->levels[0]),
                       level_name(casting->levels[1]), level_name(casting->levels[2]), order,
                       run->performance->reason);
    }
}

static void run_tell(const struct run *run, const char *what, uint64_t seed)
{
    printf("figures: %s: %lu schedules, %lu deaths, %lu conflicts, %lu waits", what, run->schedules, run->deaths,
           run->conflicts, run->waits);
    if (seed != 0)
        printf("; HAUSKV_TEST_SEED=%" PRIu64, seed);
    printf("\n");
    (void)fflush(stdout);
}

static uint64_t samples(unsigned usual)
{
    return usual * store_environment_number("HAUSKV_SCHEDULES", 1);
}

/* --- all orders of the committed triples --- */

static void play_every_order(struct run *run, const struct triple *triple, enum isolation level)
{
    struct casting casting = casting_of_all(level);
    struct symmetries symmetries;
    struct scenario scenario;
    struct schedule schedule;

    triple_symmetries(triple, &symmetries);
    triple_scenario(triple, &scenario);
    schedule_first(&schedule, &scenario);
    do {
        if (schedule_is_first_of_its_kind(&schedule, &symmetries))
            run_play(run, &scenario, &casting, &schedule);
    } while (schedule_next(&schedule));
}

static void play_committed(enum isolation level)
{
    struct committed_triple triples[COMMITTED_TRIPLES_MAX];
    unsigned count = committed_triples(triples);
    char what[128];
    struct run run;

    run_open(&run, STAGE_DIRECT);
    for (unsigned i = 0; i < count; i++) {
        unsigned long before = run.schedules;

        play_every_order(&run, &triples[i].triple, level);
        fprintf(stderr, "%s: %lu orders\n", triples[i].name, run.schedules - before);
    }
    run_close(&run);
    (void)snprintf(what, sizeof what, "every order of %u triples (the symmetric ones of %u once), %s", count,
                   count * ORDERS_OF_A_TRIPLE, level_name(level));
    run_tell(&run, what, 0);
}

Test(generated, every_order_of_the_committed_triples_serializable)
{
    play_committed(ISOLATION_SERIALIZABLE);
}

Test(generated, every_order_of_the_committed_triples_read_committed)
{
    play_committed(ISOLATION_READ_COMMITTED);
}

Test(generated, no_triple_is_committed_twice)
{
    struct committed_triple triples[COMMITTED_TRIPLES_MAX];
    unsigned count = committed_triples(triples);

    for (unsigned i = 0; i < count; i++) {
        struct triple canonical = triple_canonical(&triples[i].triple);

        for (unsigned j = 0; j < i; j++) {
            struct triple other = triple_canonical(&triples[j].triple);

            cr_assert_not(triples_are_equal(&canonical, &other), "the same: %s, %s", triples[i].name, triples[j].name);
        }
    }
}

/* --- samples --- */

/* For each session any level up to `last`. */
static struct casting casting_choose(struct store_random *random, enum isolation last)
{
    struct casting casting = casting_of_all(ISOLATION_SERIALIZABLE);

    for (unsigned i = 0; i < TRIPLE_SESSIONS; i++)
        casting.levels[i] = (enum isolation)store_random_below(random, (uint64_t)last + 1);
    return casting;
}

Test(generated, samples_of_all_triples_at_mixed_levels)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct run run;

    run_open(&run, STAGE_DIRECT);
    for (uint64_t i = 0; i < samples(SAMPLED_TRIPLES); i++) {
        struct casting casting = casting_choose(&random, ISOLATION_READ_COMMITTED);
        struct scenario scenario;
        struct schedule schedule;
        struct triple triple;

        triple_choose(&triple, &random);
        triple_scenario(&triple, &scenario);
        for (unsigned j = 0; j < ORDERS_OF_A_SAMPLE; j++) {
            schedule_choose(&schedule, &scenario, &random);
            run_play(&run, &scenario, &casting, &schedule);
        }
    }
    run_close(&run);
    run_tell(&run, "samples of all triples", seed);
}

/* Without a death, and with that of each session at each point. */
static void play_with_every_death(struct run *run, const struct scenario *scenario, const struct casting *casting,
                                  const struct schedule *schedule)
{
    run_play(run, scenario, casting, schedule);
    for (unsigned point = 0; point <= schedule->turn_count; point++) {
        for (unsigned session = 0; session < TRIPLE_SESSIONS; session++) {
            struct schedule deadly = *schedule;

            schedule_add_death(&deadly, point, session);
            run_play(run, scenario, casting, &deadly);
        }
    }
}

static void triple_choose_or_commit(struct triple *triple, struct store_random *random)
{
    struct committed_triple triples[COMMITTED_TRIPLES_MAX];
    unsigned count = committed_triples(triples);

    if (store_random_one_in(random, 2))
        *triple = triples[store_random_below(random, count)].triple;
    else
        triple_choose(triple, random);
}

Test(generated, a_death_of_each_session_at_each_point)
{
    enum isolation last = level_is_offered(ISOLATION_LOCKING) ? ISOLATION_LOCKING : ISOLATION_READ_COMMITTED;
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct run run;

    run_open(&run, STAGE_PROCESSES);
    for (uint64_t i = 0; i < samples(DEATH_BASES); i++) {
        struct casting casting = casting_choose(&random, last);
        struct scenario scenario;
        struct schedule schedule;
        struct triple triple;

        triple_choose_or_commit(&triple, &random);
        triple_scenario(&triple, &scenario);
        schedule_choose(&schedule, &scenario, &random);
        play_with_every_death(&run, &scenario, &casting, &schedule);
    }
    run_close(&run);
    run_tell(&run, "a death of each session at each point", seed);
}

/* Some of them with a death, some with two. */
static void play_locking_samples(struct run *run, struct store_random *random, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        struct casting casting = casting_choose(random, ISOLATION_LOCKING);
        struct scenario scenario;
        struct schedule schedule;
        struct triple triple;

        casting.levels[store_random_below(random, TRIPLE_SESSIONS)] = ISOLATION_LOCKING;
        triple_choose_or_commit(&triple, random);
        triple_scenario(&triple, &scenario);
        schedule_choose(&schedule, &scenario, random);
        for (uint64_t deaths = store_random_below(random, 6); deaths > 3; deaths--)
            schedule_add_death(&schedule, (unsigned)store_random_below(random, schedule.turn_count + 1),
                               (unsigned)store_random_below(random, TRIPLE_SESSIONS));
        run_play(run, &scenario, &casting, &schedule);
    }
}

Test(generated, samples_with_locking)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct run run;

    if (!level_is_offered(ISOLATION_LOCKING)) {
        printf("not run: generated schedules with LOCKING: the store does not offer it\n");
        return;
    }
    run_open(&run, STAGE_PROCESSES);
    play_locking_samples(&run, &random, samples(LOCKING_SAMPLES));
    run_close(&run);
    run_tell(&run, "samples with LOCKING", seed);
}

/* Nothing can be wrong here but the reference itself: its contracts, and that everybody is served in the end. */
Test(generated, samples_with_locking_on_the_model)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    struct store_random random = {seed};
    struct store_fixture order;
    struct run run = {.stage = NULL};

    store_fixture_open(&order, STORE_OF_MODEL, 0);
    run.performance = performance_create_without_stage(&order);
    play_locking_samples(&run, &random, samples(2 * LOCKING_SAMPLES));
    performance_destroy(run.performance);
    store_fixture_close(&order);
    run_tell(&run, "samples with LOCKING on the model", seed);
}
