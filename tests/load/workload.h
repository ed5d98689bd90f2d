/* What clients ask for: keys, values and the mix of operations. A turn is what a
 * connection does between two looks at the clock: one send and its replies, or,
 * for a transaction that reads and then writes, one after the other. */
#ifndef HAUSKV_TESTS_LOAD_WORKLOAD_H
#define HAUSKV_TESTS_LOAD_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "load/protocol.h"

#define WORKLOAD_KEY_BYTES_MAX 250u /* what memcached takes */

enum operation {
    OPERATION_GET,
    OPERATION_PUT,
    OPERATION_TRANSACTION, /* begin, some PUTs and commit in one send */
    OPERATION_READ_WRITE,  /* read, then write, each line waiting for its reply */
    OPERATION_COUNT
};

struct workload {
    unsigned connections;
    unsigned depth; /* operations in one send */
    size_t key_bytes;
    size_t value_bytes;
    uint64_t keys;
    unsigned weights[OPERATION_COUNT]; /* OPERATION_READ_WRITE stands alone */
    unsigned transaction_puts;
    unsigned trips; /* of OPERATION_READ_WRITE, 4 or 5 */
};

/* 50 connections, depth 1, 100,000 keys of 16 bytes with values of 64, no operation. */
extern const struct workload workload_default;

bool workload_is_valid(const struct workload *workload);

/* What makes requests out of a workload; owns the value. */
struct request_maker {
    const struct workload *workload;
    const struct protocol *protocol;
    unsigned char *value;
    uint64_t random;
};

/* seed: the same one makes the same requests for every server. Values are letters. */
void request_maker_init(struct request_maker *maker, const struct workload *workload,
                        const struct protocol *protocol, uint64_t seed);
void request_maker_deinit(struct request_maker *maker);

/* Appends what one turn sends in this step, 0 first, and stores in *operations how many it will have done at its end.
 * False: the turn is over. *key_number is kept from step to step. */
bool request_maker_step(struct request_maker *maker, unsigned step, uint64_t *key_number, unsigned *operations,
                        struct batch *batch);

/* Writes the key of that number into text, which must have room for key_bytes. */
struct bytes workload_key(const struct workload *workload, uint64_t number, char text[WORKLOAD_KEY_BYTES_MAX]);

/* The next pseudo-random number; *state is not 0. */
uint64_t workload_random(uint64_t *state);

#endif
