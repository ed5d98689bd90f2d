/* A slice: bytes that somebody else owns, with their number. Keys, values and
 * lines travel as slices from the socket to the segment; none of them ends in
 * NUL and U+0000 is legal inside. */
#ifndef HAUSKV_PLATFORM_BYTES_H
#define HAUSKV_PLATFORM_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "platform/contract.h"

struct bytes {
    const unsigned char *data; /* may be NULL only if size is 0 */
    size_t size;
};

static inline bool bytes_is_valid(struct bytes bytes)
{
    return bytes.data != NULL || bytes.size == 0;
}

static inline struct bytes bytes_from(const void *data, size_t size)
{
    struct bytes bytes = {data, size};

    REQUIRE(bytes_is_valid(bytes));
    return bytes;
}

/* The characters of a C string without its NUL. */
static inline struct bytes bytes_from_string(const char *string)
{
    return bytes_from(string, strlen(string));
}

/* 8 to 16 bytes, by two words that may overlap. */
static inline bool bytes_equal_in_words(const unsigned char *left, const unsigned char *right, size_t size)
{
    uint64_t words[4];

    memcpy(&words[0], left, sizeof(uint64_t));
    memcpy(&words[1], right, sizeof(uint64_t));
    memcpy(&words[2], left + size - sizeof(uint64_t), sizeof(uint64_t));
    memcpy(&words[3], right + size - sizeof(uint64_t), sizeof(uint64_t));
    return words[0] == words[1] && words[2] == words[3];
}

static inline bool bytes_are_few_words(struct bytes bytes)
{
    return bytes.size >= sizeof(uint64_t) && bytes.size <= 2 * sizeof(uint64_t);
}

/* Keys of these sizes are the commonest, and the call of a function costs more than to compare them. */
static inline bool bytes_equal(struct bytes left, struct bytes right)
{
    if (left.size != right.size)
        return false;
    if (left.size >= sizeof(uint64_t) && left.size <= 2 * sizeof(uint64_t))
        return bytes_equal_in_words(left.data, right.data, left.size);
    return left.size == 0 || memcmp(left.data, right.data, left.size) == 0;
}

static inline bool bytes_start_with(struct bytes bytes, struct bytes prefix)
{
    return bytes.size >= prefix.size && (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

/* Copies few bytes, 16 at a time: where the compiler knows that they are few, its own way (rep movs) takes longer to begin than
 * this does to end. The places do not overlap. */
static inline void bytes_copy_few(unsigned char *target, const unsigned char *source, size_t size)
{
    enum { STEP = 16 };

    if (size < STEP) {
        for (size_t i = 0; i < size; i++)
            target[i] = source[i];
        return;
    }
    for (size_t i = 0; i + STEP <= size; i += STEP)
        memcpy(target + i, source + i, STEP);
    memcpy(target + size - STEP, source + size - STEP, STEP);
}

/* The size bytes from offset on; both must lie inside. */
static inline struct bytes bytes_slice(struct bytes bytes, size_t offset, size_t size)
{
    REQUIRE(offset <= bytes.size && size <= bytes.size - offset);
    return bytes_from(bytes.data == NULL ? NULL : bytes.data + offset, size);
}

/* Sum and product that say when they do not fit: false and *result untouched. */
static inline bool size_add(size_t left, size_t right, size_t *result)
{
    if (left > SIZE_MAX - right)
        return false;
    *result = left + right;
    return true;
}

static inline bool size_multiply(size_t left, size_t right, size_t *result)
{
    if (right != 0 && left > SIZE_MAX / right)
        return false;
    *result = left * right;
    return true;
}

#endif
