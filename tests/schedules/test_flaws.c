/* Proof that the specifications and the generated schedules can fail: stores with
 * a mistake (tests/support/store_flaw.def) over the real one. Each is found by the
 * anomaly that it lets through, and by the replies. */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "schedules/specification.h"
#include "schedules/triple.h"

#define FOLDER "tests/schedules/specs"
#define TRIPLES_MAX 2000u
#define ORDERS_OF_A_TRIPLE 20u

TestSuite(flaws, .timeout = 300);

/* A specification whose anomaly shows, at a level that forbids it, in a store with that flaw. */
struct exposure {
    enum store_flaw flaw;
    enum isolation level;
    const char *specification;
};

static const struct exposure exposures[] = {
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "lost_update"},
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "lost_update_of_a_single_command"},
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "cursor_lost_update"},
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "fuzzy_read"},
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "write_skew"},
    {STORE_FLAW_NO_SNAPSHOT, ISOLATION_SERIALIZABLE, "fuzzy_read"},
    {STORE_FLAW_NO_SNAPSHOT, ISOLATION_SERIALIZABLE, "fractured_read"},
    {STORE_FLAW_NO_SNAPSHOT, ISOLATION_SERIALIZABLE, "long_fork"},
    {STORE_FLAW_NO_SNAPSHOT, ISOLATION_SERIALIZABLE, "phantom_by_count"},
    {STORE_FLAW_NO_SNAPSHOT, ISOLATION_SERIALIZABLE, "predicate_many_preceders"},
    {STORE_FLAW_SNAPSHOT_ONLY, ISOLATION_SERIALIZABLE, "write_skew"},
    {STORE_FLAW_SNAPSHOT_ONLY, ISOLATION_SERIALIZABLE, "read_only_transaction_anomaly"},
    {STORE_FLAW_RANGE_NOT_VALIDATED, ISOLATION_SERIALIZABLE, "write_skew_by_count"},
    {STORE_FLAW_RANGE_NOT_VALIDATED, ISOLATION_SERIALIZABLE, "write_skew_by_scan"},
    {STORE_FLAW_SCAN_SEES_LATEST, ISOLATION_SERIALIZABLE, "phantom_by_scan"},
    {STORE_FLAW_NO_VALIDATION, ISOLATION_SERIALIZABLE, "read_skew"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_SERIALIZABLE, "dirty_write"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "dirty_write"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "aborted_read"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "intermediate_read"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "circular_information_flow"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "observed_transaction_vanishes"},
    {STORE_FLAW_DIRTY_WRITE, ISOLATION_READ_COMMITTED, "aborted_read_of_the_dead"},
    {STORE_FLAW_ROLLBACK_COMMITS, ISOLATION_READ_COMMITTED, "aborted_read"},
};

static void read_specification(struct specification *specification, const char *name)
{
    char reason[SPECIFICATION_REASON_BYTES];
    char path[128];

    (void)snprintf(path, sizeof path, FOLDER "/%s.spec", name);
    cr_assert(specification_read(specification, path, reason), "%s", reason);
}

static void play_flawed(const char *name, enum store_flaw flaw, enum isolation level, enum stage_kind kind,
                        struct specification_result *result)
{
    struct specification specification;
    struct performance *performance;
    struct stage *stage;
    const char *reason;

    read_specification(&specification, name);
    stage = stage_open(kind, specification.scenario.session_count + 1, flaw);
    performance = performance_create(stage);
    specification_play(&specification, performance, level, true, result);
    (void)stage_close(stage, &reason);
    performance_destroy(performance);
}

Test(flaws, show_the_anomalies_that_they_let_through)
{
    for (size_t i = 0; i < sizeof exposures / sizeof exposures[0]; i++) {
        const struct exposure *exposure = &exposures[i];
        bool has_deaths = strcmp(exposure->specification, "aborted_read_of_the_dead") == 0;
        struct specification_result result;

        play_flawed(exposure->specification, exposure->flaw, exposure->level,
                    has_deaths ? STAGE_PROCESSES : STAGE_DIRECT, &result);
        cr_expect(!result.is_as_promised && result.differing > 0 && result.shown > 0,
                  "%s, %s: %s: %u differ, shown in %u of %u", exposure->specification, level_name(exposure->level),
                  store_flaw_description(exposure->flaw), result.differing, result.shown, result.schedules);
        fprintf(stderr, "%s, %s: %u differ, shown in %u of %u: %s\n", exposure->specification,
                level_name(exposure->level), result.differing, result.shown, result.schedules,
                store_flaw_description(exposure->flaw));
    }
}

/* A reply where somebody should have waited. Needs no LOCKING in the store: the flaw asks it for READ COMMITTED. */
Test(flaws, not_waiting_is_found)
{
    static const char *const names[] = {"dirty_write", "fuzzy_read", "lost_update", "write_skew", "deadlock",
                                        "waiters_are_served_in_order"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct specification_result result;

        play_flawed(names[i], STORE_FLAW_LOCKING_IGNORED, ISOLATION_LOCKING, STAGE_PROCESSES, &result);
        cr_expect(!result.is_as_promised && strstr(result.reason, "it did not wait") != NULL, "%s", names[i]);
    }
}

/* An anomaly that is allowed and never shows is a failure too: here SERIALIZABLE in place of READ COMMITTED. */
Test(flaws, too_much_is_found)
{
    struct specification specification;
    struct specification_result result;
    struct stage *stage = stage_open(STAGE_DIRECT, 3, STORE_FLAW_NONE);
    struct performance *performance = performance_create(stage);
    const char *reason;

    read_specification(&specification, "lost_update");
    specification.is_allowed[ISOLATION_SERIALIZABLE] = true;
    specification_play(&specification, performance, ISOLATION_SERIALIZABLE, false, &result);

    cr_assert_not(result.is_as_promised);
    cr_assert_eq(result.differing, 0);
    cr_assert_str_eq(result.reason, "the anomaly is allowed, but never shows");
    cr_assert(stage_close(stage, &reason), "%s", reason);
    performance_destroy(performance);
}

/* Schedules until the flaw is found; 0: it was not. */
static unsigned schedules_until_found(enum store_flaw flaw)
{
    struct stage *stage = stage_open(STAGE_DIRECT, TRIPLE_SESSIONS + 1, flaw);
    struct performance *performance = performance_create(stage);
    struct store_random random = {1};
    enum performance_verdict verdict = PERFORMANCE_AGREES;
    unsigned schedules = 0;
    const char *reason;

    for (unsigned i = 0; verdict == PERFORMANCE_AGREES && i < TRIPLES_MAX; i++) {
        struct casting casting = casting_of_all(ISOLATION_SERIALIZABLE);
        struct scenario scenario;
        struct triple triple;

        triple_choose(&triple, &random);
        triple_scenario(&triple, &scenario);
        for (unsigned j = 0; verdict == PERFORMANCE_AGREES && j < ORDERS_OF_A_TRIPLE; j++) {
            struct schedule schedule;

            schedule_choose(&schedule, &scenario, &random);
            verdict = performance_play(performance, &scenario, &casting, &schedule);
            schedules++;
        }
    }
    performance_destroy(performance);
    (void)stage_close(stage, &reason);
    return verdict == PERFORMANCE_DIFFERS ? schedules : 0;
}

/* Not among them: what needs large values, a SCAN in several steps or an expiry; tests/model has those. */
Test(flaws, are_found_by_generated_schedules)
{
    static const enum store_flaw flaws[] = {
        STORE_FLAW_NO_VALIDATION,    STORE_FLAW_NO_SNAPSHOT,      STORE_FLAW_SNAPSHOT_ONLY,
        STORE_FLAW_DIRTY_WRITE,      STORE_FLAW_ROLLBACK_COMMITS, STORE_FLAW_RANGE_NOT_VALIDATED,
        STORE_FLAW_COMMIT_DROPS,     STORE_FLAW_NEEDLESS_CONFLICT, STORE_FLAW_WRONG_CONFLICT_KEY,
        STORE_FLAW_DEL_IGNORED,      STORE_FLAW_SCAN_SKIPS,       STORE_FLAW_SCAN_SEES_LATEST,
        STORE_FLAW_COUNT_FORGETS_OWN, STORE_FLAW_ABSENT_NOT_VALIDATED,
    };

    for (size_t i = 0; i < sizeof flaws / sizeof flaws[0]; i++) {
        unsigned schedules = schedules_until_found(flaws[i]);

        cr_expect_gt(schedules, 0, "not found: %s", store_flaw_description(flaws[i]));
        fprintf(stderr, "found after %u schedules: %s\n", schedules, store_flaw_description(flaws[i]));
    }
}
