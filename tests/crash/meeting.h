/* Two processes meet at every point: one is stopped behind each of its
 * instructions in turn (or behind each of its writes to shared memory), the
 * other does something whole meanwhile, then the first goes on to its end. What
 * both saw must fit together. Unlike a death this needs a run from the start for
 * every point, so these are short operations.
 *
 * The other is the scene's author, in the test's own process, where it must not
 * wait for a lock that the stopped one holds, or in a process of its own. */
#ifndef HAUSKV_TESTS_CRASH_MEETING_H
#define HAUSKV_TESTS_CRASH_MEETING_H

#include "crash/explorer.h"

struct meeting {
    const char *name;
    void (*arrange)(struct scene *scene);
    void (*prepare)(struct performer *performer);    /* in the child; may be NULL */
    enum status (*act)(struct performer *performer); /* stopped at every point */
    void (*meet)(struct scene *scene);               /* at the point */
    /* When both are done: NULL, or what does not fit. */
    const char *(*verdict)(struct scene *scene, enum status act_answer);
    unsigned every; /* of how many instructions, but in the long run; 0: behind each write */
};

extern const struct meeting meetings[];
extern const size_t meeting_count;

struct encounter {
    long points;
    long violations;
    char first_violation[SCENE_REASON_BYTES + 128];
};

void meeting_run(const struct meeting *meeting, struct encounter *encounter);

#endif
