/* Sentences for people. */
#include "protocol/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void message_add(struct message *message, const char *format, ...)
{
    size_t room = sizeof(message->text) - message->size;
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(message->text + message->size, room, format, arguments);
    va_end(arguments);
    ENSURE(size >= 0 && (size_t)size < room);
    message->size += (size_t)size;
}

void message_add_bytes(struct message *message, struct bytes bytes)
{
    REQUIRE(bytes.size <= sizeof(message->text) - message->size);
    if (bytes.size > 0)
        memcpy(message->text + message->size, bytes.data, bytes.size);
    message->size += bytes.size;
}
