/* Every specification of specs/, at every level: on the reference model alone, in
 * process, and over sockets with a live server. To see one:
 *   HAUSKV_SPECIFICATION=write_skew build/tests/schedules */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "schedules/specification.h"

#define FOLDER "tests/schedules/specs"
#define SPECIFICATIONS_MAX 64u

TestSuite(specifications, .timeout = 300);

/* In process, a level at which somebody may wait wants a process for each session. */
enum place {
    ON_THE_MODEL,
    IN_PROCESS,
    OVER_SOCKETS
};

struct tour {
    enum place place;
    unsigned specifications;
    struct specification_result sum[ISOLATION_COUNT];
};

static int is_specification(const struct dirent *entry)
{
    const char *end = strrchr(entry->d_name, '.');
    const char *wanted = getenv("HAUSKV_SPECIFICATION");
    size_t size = end == NULL ? 0 : (size_t)(end - entry->d_name);

    if (end == NULL || strcmp(end, ".spec") != 0)
        return 0;
    return wanted == NULL || (strlen(wanted) == size && strncmp(entry->d_name, wanted, size) == 0);
}

static enum stage_kind stage_kind_for(const struct specification *specification, enum place place,
                                      enum isolation level)
{
    struct casting casting = casting_of_all(level);
    bool wants_processes = scenario_may_wait(&specification->scenario, &casting);

    for (unsigned i = 0; i < specification->scenario.session_count; i++) {
        const struct scenario_session *session = &specification->scenario.sessions[i];

        for (unsigned j = 0; j < session->step_count; j++)
            wants_processes = wants_processes || step_is_death(&session->steps[j]);
    }
    if (place == OVER_SOCKETS)
        return STAGE_SERVER;
    return wants_processes ? STAGE_PROCESSES : STAGE_DIRECT;
}

static void play_on_model(const struct specification *specification, enum isolation level,
                          struct specification_result *result)
{
    struct store_fixture order;
    struct performance *performance;

    store_fixture_open(&order, STORE_OF_MODEL, 0);
    performance = performance_create_without_stage(&order);
    specification_play(specification, performance, level, false, result);
    performance_destroy(performance);
    store_fixture_close(&order);
}

static void play_on_stage(const struct specification *specification, enum stage_kind kind, enum isolation level,
                          struct specification_result *result)
{
    struct stage *stage = stage_open(kind, specification->scenario.session_count + 1, STORE_FLAW_NONE);
    struct performance *performance = performance_create(stage);
    const char *reason;

    specification_play(specification, performance, level, false, result);
    cr_assert(result->is_as_promised, "%s, %s: %s", specification->scenario.title, level_name(level), result->reason);
    cr_assert(stage_close(stage, &reason), "%s, %s: %s", specification->scenario.title, level_name(level), reason);
    performance_destroy(performance);
}

static void play(struct tour *tour, const struct specification *specification, enum isolation level)
{
    struct specification_result result;
    struct specification_result *sum = &tour->sum[level];

    if (tour->place != ON_THE_MODEL && !level_is_offered(level))
        return;
    if (tour->place == ON_THE_MODEL)
        play_on_model(specification, level, &result);
    else
        play_on_stage(specification, stage_kind_for(specification, tour->place, level), level, &result);
    cr_assert(result.is_as_promised, "%s, %s: %s", specification->scenario.title, level_name(level), result.reason);
    fprintf(stderr, "%s, %s: %u schedules, %u impossible, %u waits, shown %u times\n", specification->scenario.title,
            level_name(level), result.schedules, result.impossible, result.waits, result.shown);
    sum->schedules += result.schedules;
    sum->impossible += result.impossible;
    sum->waits += result.waits;
    sum->shown += result.shown;
}

static void tell(const struct tour *tour)
{
    static const char *const names[] = {"on the model", "in process", "over sockets"};

    for (unsigned level = 0; level < ISOLATION_COUNT; level++) {
        const struct specification_result *sum = &tour->sum[level];

        if (sum->schedules == 0)
            printf("not run: specifications %s, %s: the store does not offer it\n", names[tour->place],
                   level_name((enum isolation)level));
        else
            printf("figures: %u specifications %s, %s: %u schedules, anomalies in %u, %u waits\n", tour->specifications,
                   names[tour->place], level_name((enum isolation)level), sum->schedules, sum->shown, sum->waits);
    }
    (void)fflush(stdout);
}

static void tour_all(enum place place)
{
    struct tour tour = {.place = place};
    struct dirent **files;
    int count = scandir(FOLDER, &files, is_specification, alphasort);

    cr_assert_gt(count, 0, "no specification in %s: tests run from the top folder", FOLDER);
    for (int i = 0; i < count; i++) {
        struct specification specification;
        char reason[SPECIFICATION_REASON_BYTES];
        char path[512];

        (void)snprintf(path, sizeof path, "%s/%s", FOLDER, files[i]->d_name);
        cr_assert(specification_read(&specification, path, reason), "%s", reason);
        for (unsigned level = 0; level < ISOLATION_COUNT; level++)
            play(&tour, &specification, (enum isolation)level);
        tour.specifications++;
        free(files[i]);
    }
    free((void *)files);
    tell(&tour);
}

Test(specifications, on_the_model)
{
    tour_all(ON_THE_MODEL);
}

Test(specifications, in_process)
{
    tour_all(IN_PROCESS);
}

Test(specifications, over_sockets)
{
    tour_all(OVER_SOCKETS);
}

/* The table in scenario.c says what the store says. */
Test(specifications, levels_are_played_if_the_store_offers_them)
{
    struct store_fixture fixture;
    struct store_session *session;

    store_fixture_open(&fixture, STORE_OF_SHARED_MEMORY, STORE_FIXTURE_BYTES);
    session = store_fixture_session(&fixture);
    for (unsigned level = 0; level < ISOLATION_COUNT; level++) {
        store_transaction transaction;
        bool is_offered = store_begin(session, (enum isolation)level, &transaction) == STATUS_OK;

        cr_assert_eq(is_offered, level_is_offered((enum isolation)level),
                     "%s: set its line in tests/schedules/scenario.c", level_name((enum isolation)level));
    }
    store_session_close(session);
    store_fixture_close(&fixture);
}
