/* The ids that were ever given to a connection. They only grow, and none is ever
 * forgotten: a stale id must stay an error and not become data. Memory: 16 bytes
 * for each range of 64 ids of which the connection has one, so up to twice 1 MiB in
 * all: there are no more than ID_SET_BLOCKS_MAX of them. One process. */
#ifndef HAUSKV_SESSION_ID_SET_H
#define HAUSKV_SESSION_ID_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A connection that is given all ids has four millions in so many; one of many that begin in turn, a few in each. */
#define ID_SET_BLOCKS_MAX ((size_t)65536)

struct id_block {
    uint64_t number; /* the ids from 64 * number on */
    uint64_t members;
};

struct id_set {
    struct id_block *blocks; /* in ascending order */
    size_t block_count;
    size_t capacity;
};

bool id_set_is_valid(const struct id_set *set);

void id_set_init(struct id_set *set);
void id_set_deinit(struct id_set *set);

/* Makes sure that the next id finds memory. False: there is none. */
bool id_set_reserve(struct id_set *set);

/* Whether an id that is larger than all the others may be added: it falls into the last range, or into one more. */
bool id_set_takes(const struct id_set *set, uint64_t id);

/* Adds it; room was reserved for it. */
void id_set_add(struct id_set *set, uint64_t id);

bool id_set_contains(const struct id_set *set, uint64_t id);
bool id_set_is_empty(const struct id_set *set);

#endif
