/* How the clock stood when: so one process can tell how old any snapshot is, and
 * no transaction has to store when it began. Private to that process; all zeros
 * at first. */
#ifndef HAUSKV_TRANSACTION_SNAPSHOT_MARKS_H
#define HAUSKV_TRANSACTION_SNAPSHOT_MARKS_H

#include <stdint.h>

#define SNAPSHOT_MARKS 16u

struct snapshot_marks {
    struct snapshot_mark {
        uint64_t clock;
        uint64_t ms;
    } marks[SNAPSHOT_MARKS]; /* a ring */
    unsigned count;          /* noted in all */
};

/* Notes that the clock stands so at now_ms, unless it did so an eighth of timeout_ms ago or less. Neither goes back from call to
 * call, and timeout_ms is the same each time, 1 or more. */
void snapshot_marks_note(struct snapshot_marks *marks, uint64_t clock, uint64_t now_ms, unsigned timeout_ms);

/* The clock as it was known to stand timeout_ms before now_ms; 0: nothing was noted so early. What began with an earlier
 * snapshot began before that, and was not the newest any more. */
uint64_t snapshot_marks_clock_before(const struct snapshot_marks *marks, uint64_t now_ms, unsigned timeout_ms);

#endif
