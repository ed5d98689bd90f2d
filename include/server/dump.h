/* All pairs as text, and back: the way across versions and machines. A dump has
 * one line per pair, the strict JSON form of PUT:
 *
 *     {"key": "k", "value": "v"}
 *
 * in SCAN's order, which has no meaning, from one snapshot. */
#ifndef HAUSKV_SERVER_DUMP_H
#define HAUSKV_SERVER_DUMP_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "store/store.h"

/* Writes every pair of the store (which is a shared_store) to stream; others may go on meanwhile. False: standard error
 * was told why. *pairs is how many were written. */
bool dump_write(struct store *store, FILE *stream, uint64_t *pairs);

/* Puts every pair of the file into the store. The file is read twice, so it is no pipe: a line that is no pair is named
 * by its number before anything is put. *pairs is how many keys are new. False: standard error was told why; if pairs
 * did not fit, or *stop became other than 0 (as a signal handler stores it), those before are in the store. Nobody else
 * is in the store. */
bool dump_load(struct store *store, const char *path, const volatile sig_atomic_t *stop, uint64_t *pairs);

#endif
