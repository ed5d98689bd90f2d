/* The checkers by their names, and what is done with a history that one of them
 * does not accept. */
#ifndef HAUSKV_TESTS_CHECKERS_H
#define HAUSKV_TESTS_CHECKERS_H

#include "support/history.h"

enum checker_number {
    CHECKER_ORDER,  /* by the server's own order: history_order.h */
    CHECKER_SEARCH, /* search.h */
    CHECKER_CYCLES, /* cycles.h */
    CHECKER_COUNT
};

struct checker {
    const char *name;
    history_checker check;
    const char *effort; /* what its effort counts */
};

extern const struct checker checkers[CHECKER_COUNT];

/* NULL: there is none of that name. */
const struct checker *checker_find(const char *name);

#define FAILURE_PATH_BYTES 512u

/* Makes the history smaller if it is refused, and writes it into a new file of the folder histories/ of the build, with
 * the reason and the command that checks it again; its name goes to path. Says on standard error what it did. */
void checker_keep_failure(const struct checker *checker, const struct history *history, const char *name,
                          const struct history_opinion *opinion, char path[FAILURE_PATH_BYTES]);

#endif
