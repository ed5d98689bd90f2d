/* A worker's end of the control socket. What is to be sent is collected in
 * private memory and goes out in pieces; while one waits, no lock is held. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/peer.h"
#include "protocol/buffer.h"
#include "server/control.h"
#include "server/dump.h"
#include "server/report.h"
#include "server/salvage.h"
#include "session/write_watch.h"
#include "store/shared_store.h"

#define SHARDS_NAMED_MAX 16u

struct answer {
    const struct control_service *service;
    struct buffer piece; /* of output, not sent yet */
    bool has_failed;     /* whoever asked is gone, or does not read: nothing can be sent any more */
    bool is_stuck;       /* it was late in reading */
    uint64_t sent_bytes; /* of output */
    struct write_watch watch;
};

static bool is_stopped(const struct answer *answer)
{
    return *answer->service->stop != 0;
}

/* Waits until something can be sent. False: whoever asked is late or gone. The end of its input is its end, ours is none. */
static bool wait_until_writable(struct answer *answer, size_t sent)
{
    const struct write_look look = {
        .now_ms = clock_monotonic_ms(),
        .taken = (int64_t)sent - (int64_t)peer_untaken_bytes(answer->service->descriptor),
        .limit_ms = answer->service->inheritance->config->write_timeout_ms,
        .is_stopping = is_stopped(answer),
    };
    struct pollfd descriptor = {.fd = answer->service->descriptor, .events = POLLOUT | POLLRDHUP};
    int left_ms = write_watch_left_ms(&answer->watch, &look);

    answer->is_stuck = left_ms == 0;
    if (answer->is_stuck)
        return false;
    if (poll(&descriptor, 1, left_ms) < 0)
        return errno == EINTR;
    return (descriptor.revents & POLLRDHUP) == 0;
}

static bool send_all(struct answer *answer, struct bytes bytes)
{
    size_t sent = 0;

    write_watch_end(&answer->watch);
    while (!answer->has_failed && sent < bytes.size) {
        ssize_t size = send(answer->service->descriptor, bytes.data + sent, bytes.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size > 0)
            sent += (size_t)size;
        else if (errno == EAGAIN)
            answer->has_failed = !wait_until_writable(answer, sent);
        else if (errno != EINTR)
            answer->has_failed = true;
    }
    return !answer->has_failed;
}

/* Bytes of output, behind the line that says how many. */
static bool send_piece(struct answer *answer, struct bytes piece)
{
    char line[CONTROL_LINE_BYTES];
    int size = snprintf(line, sizeof line, "output %zu\n", piece.size);

    if (piece.size == 0)
        return true;
    answer->sent_bytes += piece.size;
    return send_all(answer, bytes_from(line, (size_t)size)) && send_all(answer, piece);
}

static bool flush(struct answer *answer)
{
    bool is_sent = send_piece(answer, buffer_bytes(&answer->piece));

    buffer_truncate(&answer->piece, 0);
    return is_sent;
}

/* False: no more is wanted, or it is time to stop. */
static bool answer_write(void *context, struct bytes bytes)
{
    struct answer *answer = context;

    if (is_stopped(answer))
        return false;
    if (bytes.size >= CONTROL_PIECE_BYTES)
        return flush(answer) && send_piece(answer, bytes);
    buffer_append(&answer->piece, bytes);
    if (answer->piece.failed)
        return false;
    return answer->piece.size < CONTROL_PIECE_BYTES || flush(answer);
}

/* The last line: without it, the answer is not whole. */
static void answer_end(struct answer *answer, int exit_status, const char *words)
{
    char line[CONTROL_LINE_BYTES];
    int size = snprintf(line, sizeof line, "end %d %.200s\n", exit_status, words);

    if (flush(answer))
        (void)send_all(answer, bytes_from(line, (size_t)size));
}

/* --- what can be asked for --- */

static void answer_with_report(struct answer *answer)
{
    const struct inheritance *inheritance = answer->service->inheritance;
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    if (stream != NULL) {
        report_write(stream, inheritance->config->name, shared_store_engine(inheritance->store), true);
        (void)fprintf(stream, "valid: not asked while others are inside\n");
    }
    if (stream == NULL || fclose(stream) != 0)
        answer_end(answer, 1, "The server has no private memory for the report");
    else if (answer_write(answer, bytes_from(text, size)))
        answer_end(answer, 0, "");
    free(text);
}

/* "N pairs", and which shards are missing. */
static void dump_describe(const struct dump_result *result, char words[CONTROL_LINE_BYTES])
{
    size_t size = (size_t)snprintf(words, CONTROL_LINE_BYTES, "%" PRIu64 " pairs", result->pairs);
    unsigned named = 0;

    for (unsigned shard = 0; shard < 64; shard++) {
        if ((result->shards_missing >> shard & 1) == 0)
            continue;
        if (named < SHARDS_NAMED_MAX)
            size += (size_t)snprintf(words + size, CONTROL_LINE_BYTES - size, "%s%u",
                                     named == 0 ? "; missing are those of the shards that are set aside: " : ", ", shard);
        named++;
    }
    if (named > SHARDS_NAMED_MAX)
        (void)snprintf(words + size, CONTROL_LINE_BYTES - size, " and %u more", named - SHARDS_NAMED_MAX);
}

static void answer_with_dump(struct answer *answer)
{
    const struct dump_sink sink = {.write = answer_write, .context = answer};
    struct dump_result result;
    char words[CONTROL_LINE_BYTES];
    enum status status = dump_write(answer->service->inheritance->store, answer->service->session, &sink, &result);
    const char *why = status_message(status);

    if (status == STATUS_OK) {
        dump_describe(&result, words);
        answer_end(answer, result.shards_missing == 0 ? SALVAGE_WHOLE : SALVAGE_PART, words);
        return;
    }
    if (is_stopped(answer))
        why = "the server is ending";
    else if (status == STATUS_DENIED)
        why = "no private memory";
    (void)snprintf(words, sizeof words, "The dump ended early, after %" PRIu64 " pairs: %s", result.pairs, why);
    answer_end(answer, 1, words);
}

/* --- the conversation --- */

/* Only the server's own user, and who may do everything anyway. The socket's mode says the same; but a directory may have been
 * given away. */
static bool is_allowed(const struct control_service *service, struct ucred *peer)
{
    socklen_t size = sizeof *peer;

    return getsockopt(service->descriptor, SOL_SOCKET, SO_PEERCRED, peer, &size) == 0 &&
           (peer->uid == geteuid() || peer->uid == 0);
}

/* The line without its end. False: none came in time. */
static bool receive_request(const struct answer *answer, char line[CONTROL_LINE_BYTES])
{
    struct pollfd descriptor = {.fd = answer->service->descriptor, .events = POLLIN};
    uint64_t begun_ms = clock_monotonic_ms();
    size_t size = 0;

    while (size < CONTROL_LINE_BYTES && !is_stopped(answer)) {
        uint64_t waited_ms = clock_monotonic_ms() - begun_ms;
        ssize_t received;
        char *end;

        if (waited_ms >= CONTROL_ANSWER_MS)
            return false;
        if (poll(&descriptor, 1, (int)(CONTROL_ANSWER_MS - waited_ms)) <= 0)
            continue;
        received = recv(descriptor.fd, line + size, CONTROL_LINE_BYTES - size, MSG_DONTWAIT);
        if (received == 0 || (received < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        size += received > 0 ? (size_t)received : 0;
        end = memchr(line, '\n', size);
        if (end != NULL) {
            *end = '\0';
            return true;
        }
    }
    return false;
}

void control_serve(const struct control_service *service)
{
    struct answer answer = {.service = service};
    char line[CONTROL_LINE_BYTES];
    struct ucred peer = {.pid = 0};

    buffer_init(&answer.piece);
    if (!is_allowed(service, &peer)) {
        diagnostic_warning("Refused the control connection of another user, uid %u", (unsigned)peer.uid);
        answer_end(&answer, 1, "Only the server's own user is answered");
    } else if (service->is_refused) {
        answer_end(&answer, 1, "Too many look at this server already");
    } else if (receive_request(&answer, line)) {
        if (strcmp(line, CONTROL_GREETING "inspect") == 0)
            answer_with_report(&answer);
        else if (strcmp(line, CONTROL_GREETING "dump") == 0)
            answer_with_dump(&answer);
        else
            answer_end(&answer, 1, "This server does not know that request");
    }
    if (answer.is_stuck && !is_stopped(&answer))
        diagnostic_info("closed a control connection after %" PRIu64 " bytes: it took no more (--write-timeout)",
                        answer.sent_bytes);
    buffer_deinit(&answer.piece);
}
