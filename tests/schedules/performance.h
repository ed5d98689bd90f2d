/* Plays a schedule on a stage as the reference forecasts it, and compares reply
 * by reply, who waits for whom included. */
#ifndef HAUSKV_TESTS_SCHEDULES_PERFORMANCE_H
#define HAUSKV_TESTS_SCHEDULES_PERFORMANCE_H

#include "schedules/stage.h"

#define PERFORMANCE_REASON_BYTES 8192u

enum performance_verdict {
    PERFORMANCE_AGREES,
    PERFORMANCE_IMPOSSIBLE, /* the reference says that it cannot happen; nothing was done */
    PERFORMANCE_DIFFERS     /* unless is_complete the stage is in the middle of something and must be closed */
};

/* One at a time; large, so it is kept. */
struct performance {
    struct reference *reference;
    struct stage *stage; /* NULL: the forecast is taken for what happened */
    struct forecast forecast;
    bool is_complete; /* every act was done: the stage can be used further whatever was answered */
    char replies[ACTS_MAX][ACT_REPLY_BYTES]; /* what was answered; empty: nothing, yet or ever */
    char reason[PERFORMANCE_REASON_BYTES];   /* after PERFORMANCE_DIFFERS */
};

/* Private memory. The performance has its stage until it ends. */
struct performance *performance_create(struct stage *stage);

/* For the reference alone: a performance without stage, with the order of any store. */
struct performance *performance_create_without_stage(const struct store_fixture *order_of);

/* Leaves the stage to its owner. */
void performance_destroy(struct performance *performance);

enum performance_verdict performance_play(struct performance *performance, const struct scenario *scenario,
                                          const struct casting *casting, const struct schedule *schedule);

/* The reply to a session's step, or of the observer's final (session: session_count); empty: there was none. */
const char *performance_reply(const struct performance *performance, unsigned session, unsigned step);

#endif
