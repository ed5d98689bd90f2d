/* Waiting for a connection.
 *
 * Every worker has an epoll instance of its own over all listening sockets, with
 * EPOLLEXCLUSIVE: the system wakes one of those that wait. To find it, it goes
 * through all that watch, so a worker that serves does not watch: with thousands
 * of them each connection would cost as many steps. Watching is level
 * triggered, so a worker that begins to wait while connections are queued gets
 * one at once. One that is killed between being woken and accepting takes that
 * call with it; the worker that the master then forks looks at the queue.
 * Source: epoll_ctl(2); the kernel's fs/eventpoll.c, ep_poll_callback. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "worker_internal.h"

#define BACK_OFF_NS (100L * 1000 * 1000)

static bool watch(struct worker *worker);
static void unwatch(struct worker *worker);
static int accept_from(struct worker *worker, int listener, struct address *peer);
static bool is_passing(int error);
static void back_off(struct worker *worker, int error);

bool worker_wait_init(struct worker *worker)
{
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    return worker->epoll >= 0 && watch(worker);
}

int worker_wait(struct worker *worker, struct address *peer)
{
    const sigset_t waiting = worker_signals_waiting();
    struct epoll_event event;

    if (!worker->is_watching && !watch(worker)) {
        diagnostic_error("A worker cannot wait for connections any more: %s", strerror(errno));
        return -1;
    }
    while (worker_orders.stop == 0) {
        int descriptor;

        if (epoll_pwait(worker->epoll, &event, 1, -1, &waiting) <= 0)
            continue;
        descriptor = accept_from(worker, event.data.fd, peer);
        if (descriptor >= 0) {
            worker->is_control = event.data.fd == worker->inheritance->control.listener.descriptor;
            unwatch(worker);
            return descriptor;
        }
    }
    return -1;
}

static bool watch_one(const struct worker *worker, int listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.fd = listener};

    return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, listener, &event) == 0;
}

static bool watch(struct worker *worker)
{
    const struct listeners *listeners = &worker->inheritance->listeners;

    for (unsigned i = 0; i < listeners->count; i++) {
        if (!watch_one(worker, listeners->list[i].descriptor))
            return false;
    }
    worker->is_watching = watch_one(worker, worker->inheritance->control.listener.descriptor);
    return worker->is_watching;
}

/* Fails only for what is not watched. */
static void unwatch(struct worker *worker)
{
    const struct listeners *listeners = &worker->inheritance->listeners;

    for (unsigned i = 0; i < listeners->count; i++)
        (void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, listeners->list[i].descriptor, NULL);
    (void)epoll_ctl(worker->epoll, EPOLL_CTL_DEL, worker->inheritance->control.listener.descriptor, NULL);
    worker->is_watching = false;
}

static int accept_from(struct worker *worker, int listener, struct address *peer)
{
    int descriptor;

    memset(peer, 0, sizeof *peer);
    peer->size = sizeof peer->socket;
    descriptor = accept4(listener, &peer->socket.any, &peer->size, SOCK_CLOEXEC);
    if (descriptor >= 0)
        worker->is_backing_off = false;
    else if (!is_passing(errno))
        back_off(worker, errno);
    return descriptor;
}

/* Another worker was quicker, or the connection failed before it was accepted: see accept(2). */
static bool is_passing(int error)
{
    switch (error) {
    case EAGAIN:
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case ENETDOWN:
    case ENOPROTOOPT:
    case EHOSTDOWN:
    case ENONET:
    case EHOSTUNREACH:
    case ENETUNREACH:
        return true;
    default:
        return false;
    }
}

/* The connection stays in the queue, so trying at once would only burn time. EINVAL: the master shut the socket, and as
 * epoll_pwait(2) prefers events to signals, its SIGTERM arrives here. */
static void back_off(struct worker *worker, int error)
{
    const struct timespec pause = {.tv_nsec = BACK_OFF_NS};
    const sigset_t waiting = worker_signals_waiting();

    if (!worker->is_backing_off && error != EINVAL)
        diagnostic_warning("Cannot accept a connection, trying again: %s", strerror(error));
    worker->is_backing_off = true;
    (void)ppoll(NULL, 0, &pause, &waiting);
}
