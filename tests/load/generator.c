#include "load/generator.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"

#define EVENTS_MAX 1024
#define INPUT_BYTES ((size_t)4 << 10)
#define WAITING_MAX 512 /* connections that are not yet answered: fewer than any server's queue holds */
#define PATIENCE_MS 60000 /* a server that says nothing for so long has failed */

struct client {
    int descriptor;
    bool is_blocked; /* a part of the batch waits for room */
    unsigned step;
    unsigned operations; /* of this turn */
    unsigned replies_left;
    size_t sent;
    size_t scanned;
    uint64_t key_number;
    uint64_t began_ns;
    uint64_t ended_ns; /* the last turn */
    uint64_t done;     /* operations of this run */
    bool has_failed_turn; /* it met a conflict */
    struct batch batch;
    struct buffer input;
};

struct generator {
    struct request_maker maker;
    struct generator_result *result;
    uint64_t end_ns;   /* no turn begins later */
    unsigned busy;     /* clients within a turn */
    unsigned count;
    int epoll;
    struct client *clients;
    char reason[GENERATOR_REASON_BYTES];
};

static bool connect_all(struct generator *generator, const struct endpoint *endpoint);
static bool begin_turns(struct generator *generator);
static bool serve_until(struct generator *generator, unsigned busy_max);
static bool begin_turn(struct generator *generator, struct client *client);
static bool next_step(struct generator *generator, struct client *client);
static bool send_rest(struct generator *generator, struct client *client);
static bool take_in(struct generator *generator, struct client *client);
static bool judge_all(struct generator *generator, struct client *client);
static bool end_turn(struct generator *generator, struct client *client);
static bool fail(struct generator *generator, const char *what, int error);

static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

struct generator *generator_open(const struct workload *workload, const struct protocol *protocol,
                                 const struct endpoint *endpoint, uint64_t seed, char reason[GENERATOR_REASON_BYTES])
{
    struct generator *generator = calloc(1, sizeof *generator);

    REQUIRE(generator != NULL);
    raise_descriptor_limit();
    generator->count = workload->connections;
    generator->clients = calloc(generator->count, sizeof *generator->clients);
    generator->epoll = epoll_create1(EPOLL_CLOEXEC);
    REQUIRE(generator->clients != NULL && generator->epoll >= 0);
    request_maker_init(&generator->maker, workload, protocol, seed);
    for (unsigned i = 0; i < generator->count; i++)
        generator->clients[i].descriptor = -1;
    if (connect_all(generator, endpoint))
        return generator;
    memcpy(reason, generator->reason, GENERATOR_REASON_BYTES);
    generator_close(generator);
    return NULL;
}

void generator_close(struct generator *generator)
{
    for (unsigned i = 0; i < generator->count; i++) {
        struct client *client = &generator->clients[i];

        if (client->descriptor >= 0)
            (void)close(client->descriptor);
        buffer_deinit(&client->batch.requests);
        buffer_deinit(&client->input);
    }
    request_maker_deinit(&generator->maker);
    (void)close(generator->epoll);
    free(generator->clients);
    free(generator);
}

const char *generator_reason(const struct generator *generator)
{
    return generator->reason;
}

static bool watch(const struct generator *generator, struct client *client, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = client};

    return epoll_ctl(generator->epoll, operation, client->descriptor, &event) == 0;
}

static bool connect_all(struct generator *generator, const struct endpoint *endpoint)
{
    static struct generator_result ignored;

    generator->result = &ignored;
    generator->end_ns = 0;
    for (unsigned i = 0; i < generator->count; i++) {
        struct client *client = &generator->clients[i];

        buffer_init(&client->batch.requests);
        buffer_init(&client->input);
        client->descriptor = endpoint_connect(endpoint);
        if (client->descriptor < 0)
            return fail(generator, "connect", errno);
        if (!watch(generator, client, EPOLL_CTL_ADD, EPOLLIN))
            return fail(generator, "epoll_ctl", errno);
        if (!begin_turn(generator, client) || !serve_until(generator, WAITING_MAX))
            return false;
    }
    return serve_until(generator, 0);
}

/* Each client's operations over its own time, to the end of its last turn: right for turns of any length. */
static double sum_of_rates(const struct generator *generator, uint64_t begin_ns)
{
    double sum = 0;

    for (unsigned i = 0; i < generator->count; i++) {
        const struct client *client = &generator->clients[i];

        sum += (double)client->done * 1e9 / (double)(client->ended_ns - begin_ns);
    }
    return sum;
}

bool generator_run(struct generator *generator, uint64_t duration_ns, struct generator_result *result)
{
    uint64_t begin_ns = clock_monotonic_ns();

    memset(result, 0, sizeof *result);
    generator->result = result;
    generator->end_ns = begin_ns + duration_ns;
    if (!begin_turns(generator) || !serve_until(generator, 0))
        return false;
    result->operations_per_s = sum_of_rates(generator, begin_ns);
    return true;
}

bool generator_burst(struct generator *generator, struct generator_result *result)
{
    uint64_t begin_ns = clock_monotonic_ns();

    memset(result, 0, sizeof *result);
    generator->result = result;
    generator->end_ns = 0;
    if (!begin_turns(generator) || !serve_until(generator, 0))
        return false;
    result->operations_per_s = sum_of_rates(generator, begin_ns);
    return true;
}

static bool begin_turns(struct generator *generator)
{
    for (unsigned i = 0; i < generator->count; i++) {
        generator->clients[i].done = 0;
        if (!begin_turn(generator, &generator->clients[i]))
            return false;
    }
    return true;
}

static bool serve(struct generator *generator, const struct epoll_event *event)
{
    struct client *client = event->data.ptr;

    if ((event->events & EPOLLOUT) != 0 && !send_rest(generator, client))
        return false;
    return (event->events & ~(uint32_t)EPOLLOUT) == 0 || take_in(generator, client);
}

/* Until no more than so many clients are within a turn. */
static bool serve_until(struct generator *generator, unsigned busy_max)
{
    static struct epoll_event events[EVENTS_MAX];

    while (generator->busy > busy_max) {
        int count = epoll_wait(generator->epoll, events, EVENTS_MAX, PATIENCE_MS);

        if (count == 0)
            return fail(generator, "no reply for a minute", 0);
        if (count < 0 && errno != EINTR)
            return fail(generator, "epoll_wait", errno);
        for (int i = 0; i < count; i++) {
            if (!serve(generator, &events[i]))
                return false;
        }
    }
    return true;
}

static bool begin_turn(struct generator *generator, struct client *client)
{
    client->step = 0;
    client->has_failed_turn = false;
    client->began_ns = clock_monotonic_ns();
    generator->busy++;
    return next_step(generator, client);
}

/* Sends the next step of the turn, or ends it if there is none. */
static bool next_step(struct generator *generator, struct client *client)
{
    batch_clear(&client->batch);
    if (!request_maker_step(&generator->maker, client->step, &client->key_number, &client->operations, &client->batch))
        return end_turn(generator, client);
    client->step++;
    client->replies_left = client->batch.replies;
    client->sent = 0;
    return send_rest(generator, client);
}

static bool send_rest(struct generator *generator, struct client *client)
{
    const struct buffer *requests = &client->batch.requests;
    bool is_blocked = false;

    while (client->sent < requests->size && !is_blocked) {
        ssize_t size = send(client->descriptor, requests->data + client->sent, requests->size - client->sent,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size > 0)
            client->sent += (size_t)size;
        else if (errno == EAGAIN)
            is_blocked = true;
        else if (errno != EINTR)
            return fail(generator, "send", errno);
    }
    if (is_blocked != client->is_blocked &&
        !watch(generator, client, EPOLL_CTL_MOD, is_blocked ? EPOLLIN | EPOLLOUT : EPOLLIN))
        return fail(generator, "epoll_ctl", errno);
    client->is_blocked = is_blocked;
    return true;
}

static bool take_in(struct generator *generator, struct client *client)
{
    struct buffer *input = &client->input;
    ssize_t size;

    if (input->size == input->capacity && !buffer_reserve(input, input->size > 0 ? input->size : INPUT_BYTES))
        return fail(generator, "no memory", 0);
    size = recv(client->descriptor, input->data + input->size, input->capacity - input->size, MSG_DONTWAIT);
    if (size == 0)
        return fail(generator, "the server closed a connection", 0);
    if (size < 0)
        return errno == EAGAIN || errno == EINTR || fail(generator, "recv", errno);
    input->size += (size_t)size;
    return judge_all(generator, client);
}

static bool note(struct generator *generator, struct client *client, enum reply_kind kind, struct bytes reply)
{
    char text[128];

    switch (kind) {
    case REPLY_FAILED:
        (void)snprintf(text, sizeof text, "unexpected reply: %.*s", (int)(reply.size < 100 ? reply.size : 100),
                       (const char *)reply.data);
        return fail(generator, text, 0);
    case REPLY_MISSING:
        generator->result->missing++;
        return true;
    case REPLY_FULL:
        generator->result->full++;
        return true;
    case REPLY_CONFLICT:
        generator->result->conflicts++;
        client->has_failed_turn = true;
        return true;
    default:
        return true;
    }
}

static bool judge_all(struct generator *generator, struct client *client)
{
    struct bytes rest = buffer_bytes(&client->input);
    enum reply_kind kind;
    size_t size = 0;

    while (client->replies_left > 0 && rest.size > 0) {
        kind = generator->maker.protocol->judge(rest, &client->scanned, &size);
        if (kind == REPLY_INCOMPLETE)
            break;
        if (!note(generator, client, kind, bytes_slice(rest, 0, size)))
            return false;
        client->scanned = 0;
        client->replies_left--;
        rest = bytes_slice(rest, size, rest.size - size);
    }
    if (client->replies_left == 0 && rest.size > 0)
        return fail(generator, "more replies than requests", 0);
    buffer_drop_front(&client->input, client->input.size - rest.size);
    return client->replies_left > 0 || next_step(generator, client);
}

static bool end_turn(struct generator *generator, struct client *client)
{
    struct generator_result *result = generator->result;
    uint64_t now_ns = clock_monotonic_ns();
    unsigned done = client->has_failed_turn && client->operations == 1 ? 0 : client->operations;

    generator->busy--;
    result->operations += done;
    client->done += done;
    client->ended_ns = now_ns;
    histogram_add(&result->times, now_ns - client->began_ns);
    return now_ns >= generator->end_ns || begin_turn(generator, client);
}

static bool fail(struct generator *generator, const char *what, int error)
{
    (void)snprintf(generator->reason, sizeof generator->reason, "%s%s%s", what, error == 0 ? "" : ": ",
                   error == 0 ? "" : strerror(error));
    return false;
}
