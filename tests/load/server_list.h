/* Which servers take part. One that was asked for by name is never left out: what is measured without it answers a
 * question that nobody asked. Those that are only company may be missing, and are named. */
#ifndef HAUSKV_TESTS_LOAD_SERVER_LIST_H
#define HAUSKV_TESTS_LOAD_SERVER_LIST_H

#include <stdbool.h>
#include <stdio.h>

#include "load/contest.h"

#define SERVER_LIST_REASON_BYTES 256u

struct server_list {
    const struct server_kind *kinds[CONTENDERS_MAX];
    unsigned count;
};

/* Appends the servers of a list of names with commas. False: one of them cannot be had, or there is no name, or there
 * are more than CONTENDERS_MAX; the reason is a sentence, and the list is not to be used. */
bool server_list_ask(struct server_list *list, const char *names, char reason[SERVER_LIST_REASON_BYTES]);

/* Appends those of the names whose programs are there; the output is told of the others. All names are of servers, and
 * there is room for them. */
void server_list_add_present(struct server_list *list, const char *names, FILE *output);

#endif
