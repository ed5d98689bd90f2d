#include "load/echo.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "protocol/buffer.h"

#define INPUT_BYTES ((size_t)16 << 10)

struct replies {
    struct bytes done;
    struct buffer value;
};

static void work(int listener, const struct replies *replies);
static void serve(int descriptor, const struct replies *replies);

static void make_replies(struct replies *replies, size_t value_bytes)
{
    replies->done = bytes_from_string("{\"status\": \"Ok\"}\n");
    buffer_init(&replies->value);
    buffer_append_string(&replies->value, "{\"status\": \"Ok\", \"result\": \"");
    for (size_t i = 0; i < value_bytes; i++)
        buffer_append_string(&replies->value, "v");
    buffer_append_string(&replies->value, "\"}\n");
}

int echo_serve(const struct endpoint *endpoint, unsigned worker_count, size_t value_bytes)
{
    struct replies replies;
    pid_t master = getpid();
    int listener = endpoint_listen(endpoint);

    if (listener < 0)
        return 1;
    make_replies(&replies, value_bytes);
    for (unsigned i = 0; i < worker_count; i++) {
        pid_t worker = fork();

        if (worker < 0)
            return 1;
        if (worker == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == master)
                work(listener, &replies);
            _exit(0);
        }
    }
    for (;;)
        (void)pause();
}

/* As a worker of the server does: who serves does not watch. -1: it cannot wait. */
static int wait_for_one(int epoll, int listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener};
    int descriptor = -1;

    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        return -1;
    while (descriptor < 0 && epoll_wait(epoll, &event, 1, -1) >= 0)
        descriptor = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    (void)epoll_ctl(epoll, EPOLL_CTL_DEL, listener, NULL);
    return descriptor;
}

static void work(int listener, const struct replies *replies)
{
    const struct sched_param no_priority = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int descriptor;

    (void)sched_setscheduler(0, SCHED_BATCH, &no_priority);
    if (epoll < 0)
        return;
    while ((descriptor = wait_for_one(epoll, listener)) >= 0) {
        serve(descriptor, replies);
        (void)close(descriptor);
    }
}

/* A line that is cut by the end of a read is answered with its end; *is_get is kept for it. */
static void answer(struct bytes input, bool *is_get, bool *is_line_begin, const struct replies *replies,
                   struct buffer *output)
{
    const unsigned char *line_feed;

    while (input.size > 0) {
        if (*is_line_begin)
            *is_get = input.data[0] == 'G';
        line_feed = memchr(input.data, '\n', input.size);
        *is_line_begin = line_feed != NULL;
        if (line_feed == NULL)
            return;
        buffer_append(output, *is_get ? buffer_bytes(&replies->value) : replies->done);
        input = bytes_slice(input, (size_t)(line_feed - input.data) + 1,
                            input.size - (size_t)(line_feed - input.data) - 1);
    }
}

static bool send_all(int descriptor, struct bytes output)
{
    while (output.size > 0) {
        ssize_t size = send(descriptor, output.data, output.size, MSG_NOSIGNAL);

        if (size <= 0)
            return false;
        output = bytes_slice(output, (size_t)size, output.size - (size_t)size);
    }
    return true;
}

static void serve(int descriptor, const struct replies *replies)
{
    unsigned char input[INPUT_BYTES];
    struct buffer output;
    bool is_get = false;
    bool is_line_begin = true;
    ssize_t size;

    buffer_init(&output);
    while ((size = recv(descriptor, input, sizeof input, 0)) > 0) {
        answer(bytes_from(input, (size_t)size), &is_get, &is_line_begin, replies, &output);
        if (!send_all(descriptor, buffer_bytes(&output)))
            break;
        buffer_truncate(&output, 0);
    }
    buffer_deinit(&output);
}
