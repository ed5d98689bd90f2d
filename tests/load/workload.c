#include "load/workload.h"

#include <stdlib.h>

const struct workload workload_default = {
    .connections = 50,
    .depth = 1,
    .key_bytes = 16,
    .value_bytes = 64,
    .keys = 100000,
    .transaction_puts = 4,
    .trips = 5,
};

bool workload_is_valid(const struct workload *workload)
{
    const unsigned *weights = workload->weights;
    unsigned short_ones = weights[OPERATION_GET] + weights[OPERATION_PUT] + weights[OPERATION_TRANSACTION];
    bool has_one = short_ones + weights[OPERATION_READ_WRITE] > 0;
    bool read_write_is_alone = weights[OPERATION_READ_WRITE] == 0 || (short_ones == 0 && workload->depth == 1);
    bool has_room_for_key = workload->key_bytes >= 1 && workload->key_bytes <= WORKLOAD_KEY_BYTES_MAX;
    bool has_clients = workload->connections >= 1 && workload->depth >= 1;
    bool has_data = workload->keys >= 1 && workload->value_bytes >= 1;
    bool has_trips = workload->trips == 4 || workload->trips == 5;

    return has_one && read_write_is_alone && has_room_for_key && has_clients && has_data && has_trips;
}

void request_maker_init(struct request_maker *maker, const struct workload *workload,
                        const struct protocol *protocol, uint64_t seed)
{
    REQUIRE(workload_is_valid(workload));
    *maker = (struct request_maker){
        .workload = workload,
        .protocol = protocol,
        .value = malloc(workload->value_bytes),
        .random = seed * 2 + 1,
    };
    REQUIRE(maker->value != NULL);
    for (size_t i = 0; i < workload->value_bytes; i++)
        maker->value[i] = (unsigned char)('a' + workload_random(&maker->random) % 26);
}

void request_maker_deinit(struct request_maker *maker)
{
    free(maker->value);
}

uint64_t workload_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct bytes workload_key(const struct workload *workload, uint64_t number, char text[WORKLOAD_KEY_BYTES_MAX])
{
    size_t digits = workload->key_bytes > 12 ? 12 : workload->key_bytes;

    memset(text, 'k', workload->key_bytes - digits);
    for (size_t i = workload->key_bytes; i > workload->key_bytes - digits; i--) {
        text[i - 1] = (char)('0' + number % 10);
        number /= 10;
    }
    return bytes_from(text, workload->key_bytes);
}

static uint64_t pick_key(struct request_maker *maker)
{
    return workload_random(&maker->random) % maker->workload->keys;
}

static enum operation pick_operation(struct request_maker *maker)
{
    const unsigned *weights = maker->workload->weights;
    unsigned sum = weights[OPERATION_GET] + weights[OPERATION_PUT] + weights[OPERATION_TRANSACTION];
    uint64_t pick;

    if (sum == weights[OPERATION_GET])
        return OPERATION_GET;
    if (sum == weights[OPERATION_PUT])
        return OPERATION_PUT;
    pick = workload_random(&maker->random) % sum;
    if (pick < weights[OPERATION_GET])
        return OPERATION_GET;
    return pick < weights[OPERATION_GET] + weights[OPERATION_PUT] ? OPERATION_PUT : OPERATION_TRANSACTION;
}

static void add_put(struct request_maker *maker, struct batch *batch)
{
    char text[WORKLOAD_KEY_BYTES_MAX];

    maker->protocol->put(batch, workload_key(maker->workload, pick_key(maker), text),
                         bytes_from(maker->value, maker->workload->value_bytes));
}

static void add_operation(struct request_maker *maker, struct batch *batch)
{
    char text[WORKLOAD_KEY_BYTES_MAX];

    switch (pick_operation(maker)) {
    case OPERATION_GET:
        maker->protocol->get(batch, workload_key(maker->workload, pick_key(maker), text));
        break;
    case OPERATION_PUT:
        add_put(maker, batch);
        break;
    default:
        maker->protocol->begin(batch);
        for (unsigned i = 0; i < maker->workload->transaction_puts; i++)
            add_put(maker, batch);
        maker->protocol->commit(batch);
        break;
    }
}

static bool add_read_write(struct request_maker *maker, unsigned step, uint64_t key_number, struct batch *batch)
{
    const struct workload *workload = maker->workload;
    char text[WORKLOAD_KEY_BYTES_MAX];

    return maker->protocol->read_then_write(batch, workload->trips, step, workload_key(workload, key_number, text),
                                            bytes_from(maker->value, workload->value_bytes));
}

bool request_maker_step(struct request_maker *maker, unsigned step, uint64_t *key_number, unsigned *operations,
                        struct batch *batch)
{
    const struct workload *workload = maker->workload;

    if (workload->weights[OPERATION_READ_WRITE] > 0) {
        if (step == 0) {
            *key_number = pick_key(maker);
            *operations = 1;
        }
        return add_read_write(maker, step, *key_number, batch);
    }
    if (step > 0)
        return false;
    *operations = workload->depth;
    for (unsigned i = 0; i < workload->depth; i++)
        add_operation(maker, batch);
    return true;
}
