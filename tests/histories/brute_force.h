/* The definition of strict serializability, tried out: every order of the
 * transactions that real time allows, and every outcome of the unknown ones. For
 * histories of a few transactions; the other checkers are compared with it. */
#ifndef HAUSKV_TESTS_BRUTE_FORCE_H
#define HAUSKV_TESTS_BRUTE_FORCE_H

#include "support/history.h"

#define BRUTE_FORCE_TRANSACTIONS_MAX 8u

/* A history_checker; its effort is the number of orders begun. */
enum history_verdict history_brute_force(const struct history *history, struct history_opinion *opinion);

#endif
