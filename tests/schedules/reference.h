/* Says beforehand what a schedule will answer: plays it with sessions over the
 * reference model. A session that has to wait for a key is left standing in the
 * middle of its command (each runs on a stack of its own) until another's step
 * lets it go on, so which steps wait, and which step each of them waits for, is
 * known without any timing. One process, one thread, private memory. */
#ifndef HAUSKV_TESTS_SCHEDULES_REFERENCE_H
#define HAUSKV_TESTS_SCHEDULES_REFERENCE_H

#include "schedules/scenario.h"
#include "support/store_fixture.h"

#define ACTORS_MAX (SCENARIO_SESSIONS_MAX + 1)
#define ACTS_MAX (SCHEDULE_TURNS_MAX + SCENARIO_SESSIONS_MAX + SCENARIO_FINALS_MAX + 2u)
#define ACT_LINES_BYTES 256u
#define ACT_REPLY_BYTES 640u
#define ACT_NEVER UINT32_MAX

/* One line, or several sent at once, and what is answered. */
struct act {
    unsigned actor; /* a session; session_count: the observer */
    int step;       /* of the session, or of the finals; negative: none of them */
    bool is_death;
    char lines[ACT_LINES_BYTES]; /* separated by LF, none at the end; so are replies */
    unsigned line_count;
    char reply[ACT_REPLY_BYTES];
    /* The act after which the reply comes: this one, a later one if it waits, ACT_NEVER if its session dies before. */
    unsigned answered_by;
    unsigned conflict_keys; /* a bit for each key of the scenario that a conflict may name; the next: a range */
};

/* All that is done in a schedule: setup, turns, ROLLBACK of every session, finals, removal of all keys. */
struct forecast {
    struct act acts[ACTS_MAX];
    unsigned act_count;
    bool has_waits;
    /* How often several sessions could go on at the same time and the first to come was not the only one. */
    unsigned choice_count;
};

struct reference;

/* With the hash and the shards of another store, which must stay open as long. */
struct reference *reference_create(const struct store_fixture *order_of);
void reference_destroy(struct reference *reference);

/* False: it cannot happen, since a session would take a step while it waits. Bit i of choices decides at the choice i:
 * by default whoever came first goes on first. */
bool reference_forecast(struct reference *reference, const struct scenario *scenario, const struct casting *casting,
                        const struct schedule *schedule, unsigned choices, struct forecast *forecast);

#endif
