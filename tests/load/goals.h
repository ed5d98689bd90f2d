/* The goals for speed over sockets: each setting with whom it is compared to and
 * what must come out. */
#ifndef HAUSKV_TESTS_LOAD_GOALS_H
#define HAUSKV_TESTS_LOAD_GOALS_H

#include <stdbool.h>

#include "load/contest.h"

struct cJSON;

/* Runs all settings, prints each as it is done and the table of goals at the end, on standard output. list: an array
 * that gets all figures; NULL for none. picture_folder: NULL for none. False: a server failed, standard error was
 * told. */
bool goals_run(const struct contest_options *options, struct cJSON *list, const char *picture_folder);

#endif
