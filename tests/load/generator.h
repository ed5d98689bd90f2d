/* The load: many connections in a closed loop, one thread, epoll. A connection
 * sends a batch, waits for all its replies, notes how long that took, and sends
 * the next. The same for every server; the protocol alone differs.
 *
 * Time is measured from before the send until the last reply was taken in; of a
 * transaction with several trips, from the first send to the last reply. */
#ifndef HAUSKV_TESTS_LOAD_GENERATOR_H
#define HAUSKV_TESTS_LOAD_GENERATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "load/endpoint.h"
#include "load/histogram.h"
#include "load/workload.h"

#define GENERATOR_REASON_BYTES 256u

struct generator;

struct generator_result {
    uint64_t operations;
    double operations_per_s;
    uint64_t missing;   /* GETs of a key that is not there */
    uint64_t conflicts; /* transactions that were not applied; they are no operations */
    uint64_t full;      /* writes that found no memory */
    struct histogram times;
};

/* Connects all; when it returns, each was served one turn, so all are accepted. NULL: reason says why not. Workload,
 * protocol and endpoint must live as long. */
struct generator *generator_open(const struct workload *workload, const struct protocol *protocol,
                                 const struct endpoint *endpoint, uint64_t seed, char reason[GENERATOR_REASON_BYTES]);
void generator_close(struct generator *generator);

/* Works for that long, then waits until every turn that has begun is over, so that runs do not touch. False: a server
 * failed or answered something that it must not; see generator_reason. */
bool generator_run(struct generator *generator, uint64_t duration_ns, struct generator_result *result);

/* Every connection has one turn, all at once. */
bool generator_burst(struct generator *generator, struct generator_result *result);

const char *generator_reason(const struct generator *generator);

#endif
