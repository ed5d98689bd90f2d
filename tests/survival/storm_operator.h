/* An operator beside a storm: asks the server for dumps and reports while its
 * processes die, stops some of the asking programs for a while, kills some, and
 * holds against the accounts what those say that say to be whole. */
#ifndef HAUSKV_TESTS_STORM_OPERATOR_H
#define HAUSKV_TESTS_STORM_OPERATOR_H

#include <stdbool.h>
#include <sys/types.h>

#include "support/server_driver.h"
#include "support/store_random.h"

#define STORM_REQUESTS 4u /* at a time */

struct storm_request {
    pid_t process; /* 0: none */
    int output;    /* what it wrote */
    int errors;    /* and to standard error */
    bool is_dump;
    bool is_stopped;
};

struct storm_operator {
    struct storm_request requests[STORM_REQUESTS];
    unsigned dumps;    /* begun, and so are the others */
    unsigned reports;
    unsigned stopped;
    unsigned killed;
    unsigned whole;       /* dumps that ended with status 0; their coins were counted */
    unsigned ended_early; /* dumps and reports whose server died before them */
};

/* Begins, stops, continues, kills or collects one of the requests, by chance. */
void storm_operator_act(struct storm_operator *operator, struct store_random *random, const struct server *server);

/* The storm is over and the server lives: lets all of them end, and asks for one more dump, which must be whole. */
void storm_operator_finish(struct storm_operator *operator, const struct server *server);

#endif
