/* Bytes that grow. */
#include "protocol/buffer.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN ((size_t)1 << 10)

bool buffer_is_valid(const struct buffer *buffer)
{
    bool memory_is_there = (buffer->data != NULL) == (buffer->capacity > 0);
    bool size_fits = buffer->size <= buffer->capacity;

    return memory_is_there && size_fits;
}

void buffer_init(struct buffer *buffer)
{
    memset(buffer, 0, sizeof(*buffer));
}

void buffer_deinit(struct buffer *buffer)
{
    free(buffer->data);
    buffer_init(buffer);
}

bool buffer_resize(struct buffer *buffer, size_t capacity)
{
    unsigned char *data;

    REQUIRE(capacity >= buffer->size);
    if (capacity == 0) {
        buffer_deinit(buffer);
        return true;
    }
    data = realloc(buffer->data, capacity);
    if (data == NULL)
        return false;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
}

bool buffer_reserve(struct buffer *buffer, size_t more)
{
    size_t capacity = buffer->capacity < CAPACITY_MIN ? CAPACITY_MIN : buffer->capacity;
    size_t needed;

    if (more <= buffer->capacity - buffer->size)
        return true;
    if (!size_add(buffer->size, more, &needed))
        return false;
    while (capacity < needed) {
        if (!size_multiply(capacity, 2, &capacity))
            return false;
    }
    return buffer_resize(buffer, capacity);
}

void buffer_append(struct buffer *buffer, struct bytes bytes)
{
    if (buffer->failed || bytes.size == 0)
        return;
    if (!buffer_reserve(buffer, bytes.size)) {
        buffer->failed = true;
        return;
    }
    memcpy(buffer->data + buffer->size, bytes.data, bytes.size);
    buffer->size += bytes.size;
}

void buffer_append_string(struct buffer *buffer, const char *string)
{
    buffer_append(buffer, bytes_from_string(string));
}

void buffer_insert(struct buffer *buffer, size_t offset, struct bytes bytes)
{
    size_t behind = buffer->size - offset;

    REQUIRE(offset <= buffer->size);
    buffer_append(buffer, bytes);
    if (buffer->failed || bytes.size == 0)
        return;
    memmove(buffer->data + offset + bytes.size, buffer->data + offset, behind);
    memcpy(buffer->data + offset, bytes.data, bytes.size);
}

void buffer_truncate(struct buffer *buffer, size_t size)
{
    REQUIRE(size <= buffer->size);
    buffer->size = size;
    buffer->failed = false;
}

void buffer_drop_front(struct buffer *buffer, size_t size)
{
    REQUIRE(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size > 0 && size > 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
}
