/* What every fuzz target gives, and what it may use. A target is one file,
 * fuzz_NAME.c, built twice: by AFL++ for campaigns, and plainly for replaying
 * inputs. A broken contract is a finding, and so are a crash and a hang. */
#ifndef HAUSKV_FUZZ_HARNESS_H
#define HAUSKV_FUZZ_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"

/* Runs one input, from the same beginning each time: what it does follows from
 * the bytes alone. Returns 0. */
int fuzz_one(const uint8_t *data, size_t size);

/* Names what a target leaves outside of its process: no other target that runs now has this number, and what one that was
 * killed left is written over by the next. */
int fuzz_place(void);

/* An input, read from the front. What is missing at its end reads as zeros. */
struct input {
    struct bytes rest;
};

static inline struct input input_from(const uint8_t *data, size_t size)
{
    return (struct input){.rest = bytes_from(data, size)};
}

static inline bool input_is_empty(const struct input *input)
{
    return input->rest.size == 0;
}

/* The next bytes, size of them or as many as there are. */
static inline struct bytes input_take(struct input *input, size_t size)
{
    size_t taken = size < input->rest.size ? size : input->rest.size;
    struct bytes bytes = bytes_slice(input->rest, 0, taken);

    input->rest = bytes_slice(input->rest, taken, input->rest.size - taken);
    return bytes;
}

/* A number of size bytes (up to 8), the lowest first. */
static inline uint64_t input_number(struct input *input, size_t size)
{
    struct bytes bytes = input_take(input, size);
    uint64_t number = 0;

    for (size_t i = bytes.size; i > 0; i--)
        number = number << 8 | bytes.data[i - 1];
    return number;
}

static inline uint8_t input_byte(struct input *input)
{
    return (uint8_t)input_number(input, 1);
}

#endif
