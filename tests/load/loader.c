#include "load/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH_REPLIES 256u
#define BATCH_BYTES ((size_t)256 << 10)
#define INPUT_BYTES ((size_t)64 << 10)
#define PATIENCE_MS 60000

static bool flush_if_many(struct loader *loader);
static bool take_in(struct loader *loader);
static bool wait_for(const struct loader *loader, short events);
static void judge_all(struct loader *loader);

bool loader_open(struct loader *loader, const struct protocol *protocol, const struct endpoint *endpoint)
{
    *loader = (struct loader){.protocol = protocol, .descriptor = endpoint_connect(endpoint)};
    buffer_init(&loader->batch.requests);
    buffer_init(&loader->input);
    return loader->descriptor >= 0;
}

void loader_close(struct loader *loader)
{
    if (loader->descriptor >= 0)
        (void)close(loader->descriptor);
    buffer_deinit(&loader->batch.requests);
    buffer_deinit(&loader->input);
}

bool loader_put(struct loader *loader, struct bytes key, struct bytes value)
{
    loader->protocol->put(&loader->batch, key, value);
    return flush_if_many(loader);
}

bool loader_get(struct loader *loader, struct bytes key)
{
    loader->protocol->get(&loader->batch, key);
    return flush_if_many(loader);
}

bool loader_del(struct loader *loader, struct bytes key)
{
    loader->protocol->del(&loader->batch, key);
    return flush_if_many(loader);
}

static bool flush_if_many(struct loader *loader)
{
    if (loader->batch.replies < BATCH_REPLIES && loader->batch.requests.size < BATCH_BYTES)
        return true;
    return loader_flush(loader);
}

/* Sends what there is room for; 0: nothing, or it failed for good and *has_failed says so. */
static size_t send_some(const struct loader *loader, struct bytes requests, bool *has_failed)
{
    ssize_t size = send(loader->descriptor, requests.data, requests.size, MSG_NOSIGNAL | MSG_DONTWAIT);

    *has_failed = size < 0 && errno != EAGAIN && errno != EINTR;
    return size > 0 ? (size_t)size : 0;
}

bool loader_flush(struct loader *loader)
{
    struct bytes rest = buffer_bytes(&loader->batch.requests);
    bool has_failed = false;

    buffer_truncate(&loader->input, 0); /* what loader_ask left there */
    while (loader->batch.replies > 0) {
        if (rest.size > 0) {
            size_t sent = send_some(loader, rest, &has_failed);

            rest = bytes_slice(rest, sent, rest.size - sent);
        }
        if (has_failed || !wait_for(loader, (short)(rest.size > 0 ? POLLIN | POLLOUT : POLLIN)) || !take_in(loader))
            return false;
        judge_all(loader);
    }
    batch_clear(&loader->batch);
    return true;
}

static bool wait_for(const struct loader *loader, short events)
{
    struct pollfd descriptor = {.fd = loader->descriptor, .events = events};

    return poll(&descriptor, 1, PATIENCE_MS) > 0;
}

/* False: the connection has ended. Nothing to take in is no failure. */
static bool take_in(struct loader *loader)
{
    struct buffer *input = &loader->input;
    ssize_t size;

    if (!buffer_reserve(input, INPUT_BYTES))
        return false;
    size = recv(loader->descriptor, input->data + input->size, input->capacity - input->size, MSG_DONTWAIT);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR;
    input->size += (size_t)size;
    return size > 0;
}

static void judge_all(struct loader *loader)
{
    struct bytes rest = buffer_bytes(&loader->input);
    size_t scanned = 0;
    size_t size = 0;

    while (loader->batch.replies > 0 && rest.size > 0) {
        enum reply_kind kind = loader->protocol->judge(rest, &scanned, &size);

        if (kind == REPLY_INCOMPLETE)
            break;
        loader->missing += kind == REPLY_MISSING;
        loader->full += kind == REPLY_FULL;
        loader->failed += kind == REPLY_FAILED || kind == REPLY_CONFLICT;
        loader->batch.replies--;
        rest = bytes_slice(rest, size, rest.size - size);
        scanned = 0;
    }
    buffer_drop_front(&loader->input, loader->input.size - rest.size);
}

static bool ends_with(const struct buffer *input, struct bytes end)
{
    return input->size >= end.size && memcmp(input->data + input->size - end.size, end.data, end.size) == 0;
}

const char *loader_ask(struct loader *loader, const char *line, const char *end)
{
    struct bytes rest = bytes_from_string(line);
    bool has_failed = false;

    buffer_truncate(&loader->input, 0);
    while (rest.size > 0 && !has_failed) {
        size_t sent = send_some(loader, rest, &has_failed);

        rest = bytes_slice(rest, sent, rest.size - sent);
    }
    while (!has_failed && !ends_with(&loader->input, bytes_from_string(end)))
        has_failed = !wait_for(loader, POLLIN) || !take_in(loader);
    if (has_failed)
        return NULL;
    buffer_append(&loader->input, bytes_from("", 1));
    return (const char *)loader->input.data;
}
