/* Is there an order of the transactions that explains what they read, and in
 * which none stands before one that had returned before it was invoked? That is
 * strict serializability; nothing that the server says of its own order is used.
 *
 * The search is Wing and Gong's ("Testing and verifying concurrent objects",
 * 1993) over whole transactions instead of operations, with Lowe's memory
 * ("Testing for linearizability", 2017): a configuration - which transactions
 * are in the order, and what the store then holds - is never entered twice.
 * Clients do one transaction after the other, so the set is a number for each.
 *
 *   S1  the next one in the order is one that was invoked before every other
 *       that is not in it had returned.
 *   S2  one that was not applied takes its place in the order like one that only
 *       reads. An unknown outcome is tried both ways; one that is pending may
 *       stand anywhere after its invocation.
 *   S3  one that changes nothing, and fits, is taken at once and nothing else is
 *       tried: whatever can follow can follow after it, too.
 *
 * READ COMMITTED transactions are held to the same. */
#ifndef HAUSKV_TESTS_SEARCH_H
#define HAUSKV_TESTS_SEARCH_H

#include "support/history.h"

/* Configurations that a search may visit; beyond, it is undecided. */
#define SEARCH_CONFIGURATIONS_MAX 2000000u

/* Clients, and transactions that are pending, each of which is one more. Beyond, it is undecided. */
#define SEARCH_LANES_MAX 64u

/* A history_checker; its effort is the number of configurations. */
enum history_verdict history_search(const struct history *history, struct history_opinion *opinion);

#endif
