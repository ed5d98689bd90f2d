/* A specification: one anomaly of the literature as a scenario, the outcome by
 * which it shows, and what each level promises about that. The format of the
 * files is told in README.md. Plain data. */
#ifndef HAUSKV_TESTS_SCHEDULES_SPECIFICATION_H
#define HAUSKV_TESTS_SCHEDULES_SPECIFICATION_H

#include "schedules/performance.h"

#define SPECIFICATION_PERMUTATIONS_MAX 16u
#define SPECIFICATION_TERMS_MAX 24u
#define SPECIFICATION_VALUE_BYTES 64u
#define SPECIFICATION_REASON_BYTES 256u

/* The reply to a step, as a word: its result, "ok" or the code of its error. */
struct reply_name {
    unsigned session; /* session_count: the finals */
    unsigned step;
};

struct term {
    struct reply_name left;
    bool is_equal; /* else: must differ */
    bool has_name; /* right is another reply, else a word */
    struct reply_name right;
    char word[SPECIFICATION_VALUE_BYTES];
    bool begins_alternative; /* all terms up to the next one that does must hold */
};

struct specification {
    struct scenario scenario;
    bool has_all_permutations;
    struct schedule permutations[SPECIFICATION_PERMUTATIONS_MAX];
    unsigned permutation_count;
    struct term terms[SPECIFICATION_TERMS_MAX];
    unsigned term_count;
    bool is_allowed[ISOLATION_COUNT];
};

/* False: the file is not as it should be; reason names the line. */
bool specification_read(struct specification *specification, const char *path,
                        char reason[SPECIFICATION_REASON_BYTES]);

/* Whether the anomaly shows in what was answered. */
bool specification_shows(const struct specification *specification, const struct performance *performance);

/* What became of a specification at one level. */
struct specification_result {
    bool is_as_promised; /* every reply as forecast; the anomaly never shown if forbidden, at least once if allowed */
    unsigned schedules;  /* played */
    unsigned differing;  /* of them: some reply is not as forecast */
    unsigned impossible; /* not played, since a session would take a step while it waits */
    unsigned shown;      /* schedules in which the anomaly shows */
    unsigned waits;      /* steps that had to wait */
    char reason[PERFORMANCE_REASON_BYTES + 512];
};

/* Plays every permutation; until one fails, or (goes_on) as long as the stage can be used. */
void specification_play(const struct specification *specification, struct performance *performance,
                        enum isolation level, bool goes_on, struct specification_result *result);

#endif
