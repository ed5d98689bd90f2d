/* What was measured, for people (Markdown), for programs (JSON) and as a picture
 * (gnuplot). */
#ifndef HAUSKV_TESTS_LOAD_REPORT_H
#define HAUSKV_TESTS_LOAD_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "load/contest.h"

struct cJSON;

/* A table with a line per server, then the ratios of the first server to each of the others. */
void report_contest(FILE *output, const char *name, const struct contest *contest);

/* Processors, kernel, versions of the servers: what a figure is worth nothing without. */
void report_machine(FILE *output, const struct server_kind *const *kinds, unsigned kind_count);

/* The same as members of an object, which the caller owns. */
struct cJSON *report_contest_json(const char *name, const struct contest *contest);

/* Writes the text of an object into a file; false: standard error was told why not. */
bool report_write_json(const struct cJSON *object, const char *path);

/* One row of the table of goals. `measured` that is 0 has not been measured. */
struct goal {
    const char *setting;
    const char *against;
    double at_least;
    double aim;
    const char *unit;     /* "x", "ns", "KiB", ... */
    bool is_smaller_better;
};

/* starved: how many rounds are among the figures though they should not be; the reader is warned. */
void report_goal_head(FILE *output, unsigned starved);
/* spread: its median is what counts. remark: NULL for none. */
void report_goal(FILE *output, const struct goal *goal, const struct spread *spread, const char *remark);

#endif
