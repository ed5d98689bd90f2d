/* A directed graph whose edges are of several kinds, and a search for cycles of
 * some of them. Private memory; it aborts where the system has none. */
#ifndef HAUSKV_TESTS_GRAPH_H
#define HAUSKV_TESTS_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct graph_edge {
    uint32_t source;
    uint32_t target;
    uint32_t kind; /* one bit */
    uint32_t note; /* whatever the caller wants */
};

struct graph {
    uint32_t node_count;
    struct graph_edge *edges;
    size_t edge_count;
    size_t edge_capacity;
    size_t *first_edges; /* per node, after graph_finish, which sorts the edges by their source */
};

/* Zeroed is empty; set node_count. */
void graph_add(struct graph *graph, uint32_t source, uint32_t target, uint32_t kind, uint32_t note);
void graph_finish(struct graph *graph);
void graph_deinit(struct graph *graph);

/* Finds a cycle of edges of the kinds in `kinds`, and exactly one of kind `one` if that is not 0; as short as goes over
 * some edge. Writes its edges one behind the other to cycle, which has room for node_count + 1, and returns how many;
 * 0: there is none. */
size_t graph_cycle(const struct graph *graph, uint32_t kinds, uint32_t one, struct graph_edge *cycle);

#endif
