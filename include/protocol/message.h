/* A reply's "mesg": a sentence for a person, put together where something is
 * refused. Nobody should parse it. */
#ifndef HAUSKV_PROTOCOL_MESSAGE_H
#define HAUSKV_PROTOCOL_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "platform/bytes.h"

/* Room for the longest key and a sentence around it. */
#define MESSAGE_BYTES_MAX 1536u

struct message {
    size_t size; /* 0: nobody said anything; the status has words of its own */
    char text[MESSAGE_BYTES_MAX];
};

static inline void message_init(struct message *message)
{
    message->size = 0;
}

static inline bool message_is_empty(const struct message *message)
{
    return message->size == 0;
}

static inline struct bytes message_bytes(const struct message *message)
{
    return bytes_from(message->text, message->size);
}

/* Appends text as printf(3) would; it must fit. */
void message_add(struct message *message, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Appends bytes as they are, which are UTF-8; they must fit. */
void message_add_bytes(struct message *message, struct bytes bytes);

#endif
