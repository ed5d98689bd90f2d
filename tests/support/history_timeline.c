#include "support/history_timeline.h"

#include <stdlib.h>

#include "platform/contract.h"

static size_t position(const struct timeline *timeline, uint64_t time);

void timeline_deinit(struct timeline *timeline)
{
    free(timeline->entries);
    timeline->entries = NULL;
    timeline->count = 0;
}

void timeline_add(struct timeline *timeline, uint64_t time, uint64_t value)
{
    if ((timeline->count & (timeline->count - 1)) == 0) {
        size_t capacity = timeline->count == 0 ? 1 : 2 * timeline->count;

        timeline->entries = realloc(timeline->entries, capacity * sizeof(struct timeline_entry));
        REQUIRE(timeline->entries != NULL);
    }
    timeline->entries[timeline->count].time = time;
    timeline->entries[timeline->count++].value = value;
}

uint64_t timeline_at(const struct timeline *timeline, uint64_t time)
{
    size_t behind = position(timeline, time);

    return behind == 0 ? 0 : timeline->entries[behind - 1].value;
}

uint64_t timeline_next(const struct timeline *timeline, uint64_t time, uint64_t value)
{
    if (timeline_at(timeline, time) == value)
        return time;
    for (size_t i = position(timeline, time); i < timeline->count; i++) {
        if (timeline->entries[i].value == value)
            return timeline->entries[i].time;
    }
    return TIMELINE_NEVER;
}

bool timeline_changes(const struct timeline *timeline, uint64_t after, uint64_t until, bool to_a_value)
{
    for (size_t i = position(timeline, after); i < timeline->count && timeline->entries[i].time <= until; i++) {
        if (!to_a_value || timeline->entries[i].value != 0)
            return true;
    }
    return false;
}

/* The number of entries that are not after a time. */
static size_t position(const struct timeline *timeline, uint64_t time)
{
    size_t first = 0;
    size_t end = timeline->count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;

        if (timeline->entries[middle].time <= time)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}
