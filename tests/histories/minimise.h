/* Makes a history that a checker refuses smaller, so that a person can see what
 * is wrong: delta debugging (Zeller and Hildebrandt, "Simplifying and isolating
 * failure-inducing input", 2002) over whole keys, the beginnings of keys, whole
 * transactions, and their steps.
 *
 * None of this makes a wrong history of a right one:
 *   - a key is left out with all its steps, in all transactions; with its stamp;
 *   - a step is left out unless it is a write of which something is left to be
 *     read: its value, or, if it may be the last to delete before that, the
 *     key's absence;
 *   - a key begins later: its first versions are left out with all who wrote or
 *     read them, and the last of these becomes the absence that it begins with.
 *     Only where whoever wrote the key had read it, so that the order of its
 *     versions is known.
 *
 * Conflicts are taken for roll-backs; where it is a conflict that is wrong, the
 * history stays as it is. */
#ifndef HAUSKV_TESTS_MINIMISE_H
#define HAUSKV_TESTS_MINIMISE_H

#include "support/history.h"

/* A smaller history that the checker refuses too; the given one must be refused. In private memory: free its
 * `transactions`. *checks (may be NULL): how often the checker was asked. */
struct history history_minimise(const struct history *history, history_checker checker, unsigned *checks);

#endif
