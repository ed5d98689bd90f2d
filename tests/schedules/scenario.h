/* What several sessions do, each its own steps in their order; how the steps of
 * different sessions mix is a schedule. Plain data, private memory. */
#ifndef HAUSKV_TESTS_SCHEDULES_SCENARIO_H
#define HAUSKV_TESTS_SCHEDULES_SCENARIO_H

#include <stdbool.h>
#include <stddef.h>

#include "transaction/isolation.h"

#define SCENARIO_SESSIONS_MAX 4u
#define SCENARIO_STEPS_MAX 8u
#define SCENARIO_FINALS_MAX 4u
#define SCENARIO_KEYS_MAX 8u
#define SCENARIO_NAME_BYTES 24u
#define SCENARIO_LINES_BYTES 192u

/* One turn of a session: a request line, or several separated by LF that are sent and answered at once. The line DIE is
 * not sent: the session's process is killed, and a new one serves its further steps. START and BEGIN without a level
 * have the one that the scenario is played with. */
struct scenario_step {
    char name[SCENARIO_NAME_BYTES];
    char lines[SCENARIO_LINES_BYTES];
};

struct scenario_session {
    char name[SCENARIO_NAME_BYTES];
    struct scenario_step steps[SCENARIO_STEPS_MAX];
    unsigned step_count;
};

/* setup comes first and finals last, both by an observer of their own, who leaves nothing behind. */
struct scenario {
    char title[128];
    char setup[SCENARIO_LINES_BYTES]; /* lines separated by LF; empty: none */
    struct scenario_session sessions[SCENARIO_SESSIONS_MAX];
    unsigned session_count;
    struct scenario_step finals[SCENARIO_FINALS_MAX];
    unsigned final_count;
    char keys[SCENARIO_KEYS_MAX][SCENARIO_NAME_BYTES]; /* that any line names; scenario_find_keys */
    unsigned key_count;
};

/* Fills keys from the lines. False: they are too many or too long. */
bool scenario_find_keys(struct scenario *scenario);

/* The level of each session where its START names none. */
struct casting {
    enum isolation levels[SCENARIO_SESSIONS_MAX];
};

struct casting casting_of_all(enum isolation level);

/* Whether any session may have to wait for a key. */
bool scenario_may_wait(const struct scenario *scenario, const struct casting *casting);

/* As in START: "READ COMMITTED". */
const char *level_name(enum isolation level);

/* Whether the store offers a level; its rows are not run before it does. */
bool level_is_offered(enum isolation level);

/* A step's lines with the level put in; the number of lines. */
unsigned step_lines(const struct scenario_step *step, enum isolation level, char *lines, size_t size);

bool step_is_death(const struct scenario_step *step);

#define SCHEDULE_TURNS_MAX 26u

/* The next step of a session, or its death at that point, whatever step is next. */
struct turn {
    unsigned char session;
    bool is_death;
};

struct schedule {
    struct turn turns[SCHEDULE_TURNS_MAX];
    unsigned turn_count;
};

/* Every mix of the sessions' steps, in lexicographic order: the first has all steps of session 0 in front. */
void schedule_first(struct schedule *schedule, const struct scenario *scenario);
/* False: that was the last. Not for schedules with deaths. */
bool schedule_next(struct schedule *schedule);

/* Puts a death in front of the turn `point` (turn_count: at the end). */
void schedule_add_death(struct schedule *schedule, unsigned point, unsigned session);

/* The names of the turns, as in a specification: "a.begin b.begin ...". */
void schedule_describe(const struct schedule *schedule, const struct scenario *scenario, char *text, size_t size);

#endif
