/* A ring of times, an eighth of the time-out apart: it reaches back nearly two time-outs, and needs to reach one. */
#include "transaction/snapshot_marks.h"

#include "platform/contract.h"

#define MARKS_PER_TIMEOUT 8u

void snapshot_marks_note(struct snapshot_marks *marks, uint64_t clock, uint64_t now_ms, unsigned timeout_ms)
{
    const struct snapshot_mark *newest = &marks->marks[(marks->count + SNAPSHOT_MARKS - 1) % SNAPSHOT_MARKS];

    REQUIRE(timeout_ms > 0);
    if (marks->count > 0 && now_ms - newest->ms < timeout_ms / MARKS_PER_TIMEOUT)
        return;
    marks->marks[marks->count % SNAPSHOT_MARKS] = (struct snapshot_mark){.clock = clock, .ms = now_ms};
    marks->count++;
}

uint64_t snapshot_marks_clock_before(const struct snapshot_marks *marks, uint64_t now_ms, unsigned timeout_ms)
{
    unsigned kept = marks->count < SNAPSHOT_MARKS ? marks->count : SNAPSHOT_MARKS;

    for (unsigned back = 1; back <= kept; back++) {
        const struct snapshot_mark *mark = &marks->marks[(marks->count - back) % SNAPSHOT_MARKS];

        if (now_ms - mark->ms >= timeout_ms)
            return mark->clock;
    }
    return 0;
}
