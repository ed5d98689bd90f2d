/* Scenarios that are made, not written: three sessions, each with a script of four
 * commands over two keys. Two of them are the same if one becomes the other by
 * other names of sessions and keys; so are two orders of one triple. */
#ifndef HAUSKV_TESTS_SCHEDULES_TRIPLE_H
#define HAUSKV_TESTS_SCHEDULES_TRIPLE_H

#include "schedules/scenario.h"
#include "support/store_random.h"

#define TRIPLE_SESSIONS 3u
#define SCRIPT_COMMANDS 4u
#define TRIPLE_SYMMETRIES_MAX 12u

enum command {
    COMMAND_START,
    COMMAND_COMMIT,
    COMMAND_ROLLBACK,
    COMMAND_GET_X,
    COMMAND_GET_Y,
    COMMAND_PUT_X,
    COMMAND_PUT_Y,
    COMMAND_DEL_X,
    COMMAND_DEL_Y,
    COMMAND_EXISTS_X,
    COMMAND_EXISTS_Y,
    COMMAND_COUNT_ALL,
    COMMAND_SCAN_ALL,
    COMMAND_TOTAL
};

struct triple {
    unsigned char scripts[TRIPLE_SESSIONS][SCRIPT_COMMANDS]; /* enum command */
    bool has_keys; /* both are there at first, else none */
};

struct committed_triple {
    const char *name;
    struct triple triple;
};

/* Those of triples.def. */
#define COMMITTED_TRIPLES_MAX 64u
unsigned committed_triples(struct committed_triple triples[COMMITTED_TRIPLES_MAX]);

/* Any triple; most scripts are a transaction. */
void triple_choose(struct triple *triple, struct store_random *random);

/* The one that stands for all that are the same. */
struct triple triple_canonical(const struct triple *triple);
bool triples_are_equal(const struct triple *left, const struct triple *right);

/* Values are unique: the session's name and the number of the step. */
void triple_scenario(const struct triple *triple, struct scenario *scenario);

/* The other names of sessions under which the triple is what it was; the first one changes nothing. */
struct symmetries {
    unsigned char session[TRIPLE_SYMMETRIES_MAX][TRIPLE_SESSIONS];
    unsigned count;
};

void triple_symmetries(const struct triple *triple, struct symmetries *symmetries);

/* Whether the order is the first of all that are the same: the only one to be played. */
bool schedule_is_first_of_its_kind(const struct schedule *schedule, const struct symmetries *symmetries);

/* Any order of a scenario's steps. */
void schedule_choose(struct schedule *schedule, const struct scenario *scenario, struct store_random *random);

/* "S Gx Px C | ...", with "x and y" or "nothing" in front. */
void triple_describe(const struct triple *triple, char *text, size_t size);

#endif
