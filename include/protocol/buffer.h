/* Private memory that grows: bytes come in at the end and go out whole or from
 * the front. What finds no memory is not appended, not even in part, and the
 * buffer says so until it is cut back, so that a writer may append many pieces
 * and ask once. Any process; one thread. */
#ifndef HAUSKV_PROTOCOL_BUFFER_H
#define HAUSKV_PROTOCOL_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"

struct buffer {
    unsigned char *data; /* NULL while capacity is 0 */
    size_t size;
    size_t capacity;
    bool failed; /* an append found no memory */
};

bool buffer_is_valid(const struct buffer *buffer);

/* Empty, without memory. */
void buffer_init(struct buffer *buffer);
void buffer_deinit(struct buffer *buffer);

/* Makes room for more bytes behind the last one; grows by doubling. False, and
 * nothing changed, if there is no memory: that is not a failed append. */
bool buffer_reserve(struct buffer *buffer, size_t more);

/* Makes the capacity exactly this, which must hold what is inside; 0 gives all
 * memory back. False, and nothing changed, if there is no memory. */
bool buffer_resize(struct buffer *buffer, size_t capacity);

void buffer_append(struct buffer *buffer, struct bytes bytes);
void buffer_append_string(struct buffer *buffer, const char *string);

/* Puts bytes between the first offset bytes and the others. */
void buffer_insert(struct buffer *buffer, size_t offset, struct bytes bytes);

/* Cuts back to the first size bytes, and forgets a failed append. */
void buffer_truncate(struct buffer *buffer, size_t size);

/* Drops the first size bytes; the others move to the front. */
void buffer_drop_front(struct buffer *buffer, size_t size);

static inline struct bytes buffer_bytes(const struct buffer *buffer)
{
    return bytes_from(buffer->data, buffer->size);
}

#endif
