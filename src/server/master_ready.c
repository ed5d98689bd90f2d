/* Telling the outside that the server serves. */
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "master_internal.h"
#include "platform/file.h"

/* Somebody who waits for these lines reads; one who does not must not hold us up. */
#define READER_WAIT_MS 1000

static void write_to_reader(const char *text, size_t size);

/* With as few writes as a pipe takes whole. */
void master_say_ready(const struct listeners *listeners)
{
    char text[PIPE_BUF];
    size_t size = 0;

    for (unsigned i = 0; i < listeners->count; i++) {
        char address[ADDRESS_TEXT_BYTES];
        char line[ADDRESS_TEXT_BYTES + 16];
        size_t line_size;

        address_format(&listeners->list[i].address, address);
        line_size = (size_t)snprintf(line, sizeof line, "ready: %s\n", address);
        if (size + line_size > sizeof text) {
            write_to_reader(text, size);
            size = 0;
        }
        memcpy(text + size, line, line_size);
        size += line_size;
    }
    write_to_reader(text, size);
}

static void write_to_reader(const char *text, size_t size)
{
    struct pollfd writable = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&writable, 1, READER_WAIT_MS) == 1)
        (void)file_write(STDERR_FILENO, bytes_from(text, size));
}
