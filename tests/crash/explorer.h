/* Kills an operation at each of its instructions, and the one who recovers from
 * that at each of its own.
 *
 * Level one: a child runs the operation step by step. After each instruction the
 * segment is copied - if it differs from what was seen before, what belongs to
 * the process and not to the state left out -, the child's mutexes in the copy
 * are marked as at its death, a fresh process recovers the copy and scene_check
 * looks at it: until the commit point it must be the state before, from it on
 * the state after. Nothing is run twice, so the cost is linear.
 * Level two: from every such state the recoverer is stepped in the same way. */
#ifndef HAUSKV_TESTS_CRASH_EXPLORER_H
#define HAUSKV_TESTS_CRASH_EXPLORER_H

#include "crash/scene.h"
#include "crash/stepper.h"

/* The child of an operation. */
struct performer {
    struct scene *scene;
    struct participant *participant; /* NULL before an operation that opens it */
    unsigned transaction;
    struct stepper_report *report;
};

/* Opens the participant, and lets the tracer know its slot. */
enum status performer_open(struct performer *performer);

struct operation {
    const char *name;
    size_t bytes;
    unsigned shard_count;
    void (*arrange)(struct scene *scene);            /* in the tracer */
    void (*prepare)(struct performer *performer);    /* in the child, before the first step; may be NULL */
    enum status (*act)(struct performer *performer); /* stepped */
    enum status answer;                              /* what it must return */
    bool opens_itself;                               /* act opens the participant */
    bool stores_nothing;                             /* the segment stays as it is, byte for byte */
    bool is_overtaken; /* others go on beside it where it holds no lock, before all are killed (scene_overtake) */
    unsigned level_two_every;                        /* short run: one of so many states is gone on from; 0: none */
};

extern const struct operation operations[];
extern const size_t operation_count;

struct exploration {
    long instructions;
    long states; /* distinct */
    long states_gone_on_from;
    long recoverer_writes;
    long recoverer_states;
    long recoveries; /* checked */
    long violations;
    char first_violation[SCENE_REASON_BYTES + 128];
};

#define EXPLORER_LEVEL_TWO_ALL 1u

/* level_two_every: 0 for level one only. Ends at the first violation. */
void explore(const struct operation *operation, unsigned level_two_every, struct exploration *exploration);

/* Has a child do the scene's noted writes in one transaction, and be killed right behind the commit point: what it
 * wrote is committed and not published. */
void explorer_die_at_commit_point(struct scene *scene);

#endif
