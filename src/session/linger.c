/* Dropping what comes, as long as replies are under way. */
#include "session/linger.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>

#include "platform/clock.h"
#include "platform/peer.h"

struct lingering {
    int descriptor;
    struct write_watch *watch;
    unsigned write_timeout_ms;
    const volatile sig_atomic_t *stop;
    uint64_t taken_ms; /* since when all is taken; 0: it is not */
    uint64_t heard_ms; /* when something last came after that */
};

/* False: there is nothing more to wait for. */
static bool drop(struct lingering *lingering, int limit_ms);
static int left_ms(struct lingering *lingering, uint64_t now_ms);

void linger(int descriptor, struct write_watch *watch, unsigned write_timeout_ms, const volatile sig_atomic_t *stop)
{
    struct lingering lingering = {descriptor, watch, write_timeout_ms, stop, 0, 0};
    int limit_ms;

    if (shutdown(descriptor, SHUT_WR) != 0)
        return;
    write_watch_end(watch);
    do {
        limit_ms = left_ms(&lingering, clock_monotonic_ms());
    } while (limit_ms > 0 && drop(&lingering, limit_ms));
}

static uint64_t until(uint64_t end_ms, uint64_t now_ms)
{
    return end_ms <= now_ms ? 0 : end_ms - now_ms;
}

/* 0: the client has had its time. */
static int left_ms(struct lingering *lingering, uint64_t now_ms)
{
    size_t untaken = peer_untaken_bytes(lingering->descriptor);
    const struct write_look look = {
        .now_ms = now_ms,
        .taken = -(int64_t)untaken,
        .limit_ms = lingering->write_timeout_ms,
        .is_stopping = lingering->stop != NULL && *lingering->stop != 0,
    };
    uint64_t quiet_ms;
    uint64_t talk_ms;

    if (untaken > 0)
        return write_watch_left_ms(lingering->watch, &look);
    if (lingering->taken_ms == 0) {
        lingering->taken_ms = now_ms;
        lingering->heard_ms = now_ms;
    }
    quiet_ms = until(lingering->heard_ms + LINGER_QUIET_MS, now_ms);
    talk_ms = until(lingering->taken_ms + LINGER_TALK_MS, now_ms);
    return (int)(quiet_ms < talk_ms ? quiet_ms : talk_ms);
}

static bool drop(struct lingering *lingering, int limit_ms)
{
    unsigned char dropped[16384];
    struct pollfd readable = {.fd = lingering->descriptor, .events = POLLIN};
    ssize_t size;

    if (poll(&readable, 1, limit_ms) <= 0)
        return true; /* time is looked at again, and so is a signal that came */
    size = recv(lingering->descriptor, dropped, sizeof dropped, MSG_DONTWAIT);
    if (size > 0 && lingering->taken_ms != 0)
        lingering->heard_ms = clock_monotonic_ms();
    return size > 0 || (size < 0 && (errno == EAGAIN || errno == EINTR));
}
