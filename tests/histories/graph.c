#include "histories/graph.h"

#include <stdlib.h>
#include <string.h>

#include "platform/contract.h"

#define NO_NODE UINT32_MAX
#define UNSEEN 0u

/* Tarjan's search for strongly connected components, without recursion. */
struct components {
    const struct graph *graph;
    uint32_t kinds;
    uint32_t *order;      /* in which nodes were met, from 1; UNSEEN */
    uint32_t *low;        /* the first of them that can be reached */
    uint32_t *component;  /* NO_NODE: not known yet */
    size_t *next_edges;
    uint32_t *path;       /* from the root to the node in hand */
    uint32_t *open;       /* nodes whose component is not complete */
    uint32_t path_count;
    uint32_t open_count;
    uint32_t met;
    uint32_t count;
};

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);

    REQUIRE(memory != NULL);
    return memory;
}

/* --- building --- */

void graph_add(struct graph *graph, uint32_t source, uint32_t target, uint32_t kind, uint32_t note)
{
    REQUIRE(source < graph->node_count && target < graph->node_count);
    if (graph->edge_count == graph->edge_capacity) {
        graph->edge_capacity = 2 * graph->edge_capacity + 64;
        graph->edges = realloc(graph->edges, graph->edge_capacity * sizeof(*graph->edges));
        REQUIRE(graph->edges != NULL);
    }
    graph->edges[graph->edge_count++] = (struct graph_edge){source, target, kind, note};
}

/* By counting: as long as there are edges. */
void graph_finish(struct graph *graph)
{
    struct graph_edge *sorted = room(graph->edge_count, sizeof(*sorted));
    size_t *next = room(graph->node_count + (size_t)1, sizeof(*next));

    graph->first_edges = room(graph->node_count + (size_t)1, sizeof(*graph->first_edges));
    for (size_t i = 0; i < graph->edge_count; i++)
        graph->first_edges[graph->edges[i].source + 1]++;
    for (uint32_t node = 0; node < graph->node_count; node++)
        graph->first_edges[node + 1] += graph->first_edges[node];
    memcpy(next, graph->first_edges, (graph->node_count + (size_t)1) * sizeof(*next));
    for (size_t i = 0; i < graph->edge_count; i++)
        sorted[next[graph->edges[i].source]++] = graph->edges[i];
    free(next);
    free(graph->edges);
    graph->edges = sorted;
}

void graph_deinit(struct graph *graph)
{
    free(graph->edges);
    free(graph->first_edges);
}

/* --- components --- */

static void components_init(struct components *components, const struct graph *graph, uint32_t kinds)
{
    *components = (struct components){
        .graph = graph,
        .kinds = kinds,
        .order = room(graph->node_count, sizeof(uint32_t)),
        .low = room(graph->node_count, sizeof(uint32_t)),
        .component = room(graph->node_count, sizeof(uint32_t)),
        .next_edges = room(graph->node_count, sizeof(size_t)),
        .path = room(graph->node_count, sizeof(uint32_t)),
        .open = room(graph->node_count, sizeof(uint32_t)),
    };
    memset(components->component, 0xff, graph->node_count * sizeof(uint32_t));
}

static void components_deinit(struct components *components)
{
    free(components->order);
    free(components->low);
    free(components->component);
    free(components->next_edges);
    free(components->path);
    free(components->open);
}

static void enter_node(struct components *components, uint32_t node)
{
    components->order[node] = components->low[node] = ++components->met;
    components->next_edges[node] = components->graph->first_edges[node];
    components->path[components->path_count++] = node;
    components->open[components->open_count++] = node;
}

static void leave_node(struct components *components, uint32_t node)
{
    components->path_count--;
    if (components->path_count > 0) {
        uint32_t parent = components->path[components->path_count - 1];

        if (components->low[node] < components->low[parent])
            components->low[parent] = components->low[node];
    }
    if (components->low[node] != components->order[node])
        return;
    while (components->component[node] == NO_NODE)
        components->component[components->open[--components->open_count]] = components->count;
    components->count++;
}

/* One edge of the node in hand; false: there is none left. */
static bool follow_edge(struct components *components, uint32_t node)
{
    const struct graph *graph = components->graph;
    size_t at = components->next_edges[node]++;
    uint32_t target;

    if (at == graph->first_edges[node + 1])
        return false;
    target = graph->edges[at].target;
    if ((graph->edges[at].kind & components->kinds) == 0)
        return true;
    if (components->order[target] == UNSEEN)
        enter_node(components, target);
    else if (components->component[target] == NO_NODE && components->order[target] < components->low[node])
        components->low[node] = components->order[target];
    return true;
}

static void components_find(struct components *components)
{
    for (uint32_t root = 0; root < components->graph->node_count; root++) {
        if (components->order[root] != UNSEEN)
            continue;
        enter_node(components, root);
        while (components->path_count > 0) {
            uint32_t node = components->path[components->path_count - 1];

            if (!follow_edge(components, node))
                leave_node(components, node);
        }
    }
}

/* --- cycles --- */

/* Looks for ways inside of components, one after the other. */
struct pathfinder {
    const struct components *components;
    uint32_t kinds;
    uint32_t *queue;
    uint32_t queue_count;
    const struct graph_edge **arrivals; /* per node: the edge over which it was reached first */
};

static void spread(struct pathfinder *finder, uint32_t source, uint32_t target)
{
    const struct graph *graph = finder->components->graph;
    const uint32_t *component = finder->components->component;

    finder->queue[finder->queue_count++] = source;
    for (uint32_t at = 0; at < finder->queue_count && finder->arrivals[target] == NULL; at++) {
        uint32_t node = finder->queue[at];

        for (size_t i = graph->first_edges[node]; i < graph->first_edges[node + 1]; i++) {
            const struct graph_edge *edge = &graph->edges[i];

            if ((edge->kind & finder->kinds) == 0 || finder->arrivals[edge->target] != NULL ||
                edge->target == source || component[edge->target] != component[source])
                continue;
            finder->arrivals[edge->target] = edge;
            finder->queue[finder->queue_count++] = edge->target;
        }
    }
}

static void forget_ways(struct pathfinder *finder)
{
    while (finder->queue_count > 0)
        finder->arrivals[finder->queue[--finder->queue_count]] = NULL;
}

/* The shortest way from one node to another, as edges; 0: there is none. */
static size_t shortest_way(struct pathfinder *finder, uint32_t source, uint32_t target, struct graph_edge *way)
{
    const struct graph_edge *edge;
    size_t length = 0;

    spread(finder, source, target);
    for (edge = finder->arrivals[target]; edge != NULL; edge = finder->arrivals[edge->source])
        length++;
    edge = finder->arrivals[target];
    for (size_t i = length; i > 0; i--, edge = finder->arrivals[edge->source])
        way[i - 1] = *edge;
    forget_ways(finder);
    return length;
}

/* The cycle that an edge closes; 0: none. */
static size_t cycle_over(struct pathfinder *finder, const struct graph_edge *edge, struct graph_edge *cycle)
{
    const uint32_t *component = finder->components->component;
    size_t length;

    if (component[edge->source] != component[edge->target] || edge->source == edge->target)
        return 0;
    length = shortest_way(finder, edge->target, edge->source, cycle + 1);
    cycle[0] = *edge;
    return length == 0 ? 0 : length + 1;
}

size_t graph_cycle(const struct graph *graph, uint32_t kinds, uint32_t one, struct graph_edge *cycle)
{
    struct components components;
    struct pathfinder finder = {.components = &components, .kinds = kinds};
    size_t length = 0;

    components_init(&components, graph, kinds | one);
    components_find(&components);
    finder.queue = room(graph->node_count, sizeof(*finder.queue));
    finder.arrivals = room(graph->node_count, sizeof(struct graph_edge *));
    for (size_t i = 0; i < graph->edge_count && length == 0 && components.count < graph->node_count; i++) {
        if ((graph->edges[i].kind & (one == 0 ? kinds : one)) != 0)
            length = cycle_over(&finder, &graph->edges[i], cycle);
    }
    free(finder.queue);
    free(finder.arrivals);
    components_deinit(&components);
    return length;
}
