/* What a number was over time: a key's value, or how many keys there were.
 * Private memory; zeroed is empty: 0 at all times. */
#ifndef HAUSKV_TESTS_HISTORY_TIMELINE_H
#define HAUSKV_TESTS_HISTORY_TIMELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMELINE_NEVER UINT64_MAX

struct timeline_entry {
    uint64_t time;
    uint64_t value;
};

struct timeline {
    struct timeline_entry *entries; /* ascending times */
    size_t count;
};

void timeline_deinit(struct timeline *timeline);

/* From `time` on, which is after all others, it is `value`. */
void timeline_add(struct timeline *timeline, uint64_t time, uint64_t value);

uint64_t timeline_at(const struct timeline *timeline, uint64_t time);

/* The first time not before `time` at which the value is this one; TIMELINE_NEVER. */
uint64_t timeline_next(const struct timeline *timeline, uint64_t time, uint64_t value);

/* Whether there is an entry in (after, until]; with a value other than 0, if so wanted. */
bool timeline_changes(const struct timeline *timeline, uint64_t after, uint64_t until, bool to_a_value);

#endif
