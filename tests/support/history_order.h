/* Checks a history by the server's own order: the store told at what time of
 * its clock a transaction read and committed (store_session_times, or the
 * `times` that a test build of the server answers). So next to nothing has to be
 * searched, and a history of a million transactions can be checked:
 *
 *   H1  no two commits have the same time; one that wrote a value has a time.
 *   H2  replayed in the order of their times, committed SERIALIZABLE and
 *       LOCKING transactions and single commands read what the state then is.
 *   H3  every SERIALIZABLE transaction, committed or not, and every single
 *       read, reads the state at its snapshot, own writes on top.
 *   H4  real time agrees: if A returned before B was invoked, B's snapshot is
 *       not before A's time and B's commit is after it.
 *   H5  what has no time of its own can be placed between what had returned
 *       before it was invoked and what was invoked after it had returned: READ
 *       COMMITTED reads one after the other, before the transaction's own
 *       commit; all reads of others (LOCKING ones that wrote nothing, those
 *       whose connection ended) at one time; a commit that changed nothing (a
 *       DEL of what was absent) at a time when that was so.
 *   H6  a conflict is of a SERIALIZABLE transaction that wrote and that read
 *       what the conflict names from the store, and that did change between the
 *       snapshot and the return (a key read as absent: it was there then; a
 *       range: an insert or a delete).
 *   H7  an unknown outcome happened if the clock shows a time that nobody was
 *       told, while it was on its way, and nobody read anything else afterwards;
 *       otherwise it did not.
 *
 * H3 makes reads of transactions that fail count too; H2 and H4 are strict
 * serializability. For H7 no two outcomes may be unknown at once: after one, a
 * single PUT must be answered before the next. Undecided is what breaks that. */
#ifndef HAUSKV_TESTS_HISTORY_ORDER_H
#define HAUSKV_TESTS_HISTORY_ORDER_H

#include "support/history.h"

struct history_figures {
    size_t committed_writers;
    size_t readers; /* committed, without a write */
    size_t singles;
    size_t read_committed;
    size_t locking;
    size_t conflicts;
    size_t deadlocks; /* and waits for a lock that took too long */
    size_t rolled_back; /* their connections' ends included */
    size_t out_of_memory;
    size_t unknown;
    size_t unknown_happened; /* of these */
    size_t reads; /* each was checked */
    size_t overlapping; /* SERIALIZABLE writers that committed although others committed since their snapshot */
};

/* figures may be NULL. Private memory of the test. The effort is the number of reads. */
enum history_verdict history_check_order(const struct history *history, struct history_figures *figures,
                                         struct history_opinion *opinion);

/* The same as a history_checker. */
enum history_verdict history_order(const struct history *history, struct history_opinion *opinion);

/* The same in short: whether it is accepted. */
bool history_check(const struct history *history, struct history_figures *figures, char reason[HISTORY_REASON_BYTES]);

#endif
