/* One connection, from its seat to its end. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "protocol/message.h"
#include "protocol/reply.h"
#include "server/control.h"
#include "session/connection.h"
#include "session/linger.h"
#include "worker_internal.h"

static void serve_client(struct worker *worker, int descriptor);
static void serve_control(struct worker *worker, int descriptor);
static void serve(struct worker *worker, int descriptor);
static void refuse(struct worker *worker, int descriptor, bool has_place);
static void name_connection(const struct worker *worker, int descriptor, const struct address *peer);
static void tell_end(enum connection_end end, int error, const struct server_config *config);

void worker_serve(struct worker *worker, int descriptor, const struct address *peer)
{
    const struct scoreboard *scoreboard = &worker->inheritance->scoreboard;
    const struct server_config *config = worker->inheritance->config;

    if (scoreboard_spare_leave(scoreboard, worker->number) < config->spare_workers_min)
        worker_call_master(worker);
    name_connection(worker, descriptor, peer);
    if (worker->is_control)
        serve_control(worker, descriptor);
    else
        serve_client(worker, descriptor);
    diagnostic_clear_connection();
    (void)close(descriptor);
    if (scoreboard_spare_join(scoreboard, worker->number) > config->spare_workers_max)
        worker_call_master(worker);
}

static void serve_client(struct worker *worker, int descriptor)
{
    const struct scoreboard *scoreboard = &worker->inheritance->scoreboard;
    bool has_place = worker_has_place(worker);
    unsigned seat;

    if (has_place && scoreboard_seat_take(scoreboard, worker->number, &seat)) {
        serve(worker, descriptor);
        scoreboard_seat_leave(scoreboard, seat); /* before the client sees the end, and perhaps comes again */
    } else {
        refuse(worker, descriptor, has_place);
    }
}

static void serve_control(struct worker *worker, int descriptor)
{
    const struct scoreboard *scoreboard = &worker->inheritance->scoreboard;
    bool has_place = worker_has_place(worker);
    struct control_service service = {
        .inheritance = worker->inheritance,
        .session = worker->store_session,
        .descriptor = descriptor,
        .stop = &worker_orders.stop,
    };
    unsigned seat = 0;

    service.is_refused = !has_place || !scoreboard_control_take(scoreboard, worker->number, &seat);
    worker_signals_begin_serving(descriptor);
    control_serve(&service);
    worker_signals_end_serving();
    if (!service.is_refused)
        scoreboard_control_leave(scoreboard, seat);
}

static struct session_config session_config_of(const struct worker *worker)
{
    const struct inheritance *inheritance = worker->inheritance;

    return (struct session_config){
        .store = inheritance->store,
        .store_session = worker->store_session,
        .last_transaction_id = &inheritance->scoreboard.common->last_transaction_id,
        .counters = worker->counters,
        .isolation = inheritance->config->isolation,
        .command_bytes_max = inheritance->config->command_bytes_max,
        .lock_timeout_ms = inheritance->config->lock_timeout_ms,
        .reads_bytes_max = inheritance->config->reads_bytes_max,
        .framing = inheritance->config->framing,
        .dialect = inheritance->config->dialect,
        .write_stats = statistics_write,
        .stats_context = (void *)(uintptr_t)inheritance,
    };
}

static void serve(struct worker *worker, int descriptor)
{
    const struct server_config *config = worker->inheritance->config;
    const struct session_config session_config = session_config_of(worker);
    const struct connection_config connection_config = {
        .descriptor = descriptor,
        .idle_timeout_ms = config->idle_timeout_ms,
        .write_timeout_ms = config->write_timeout_ms,
        .stop = &worker_orders.stop,
    };
    struct session session;
    enum connection_end end;
    int error;

    atomic_fetch_add(&worker->line->accepted, 1);
    diagnostic_debug("accepted");
    session_init(&session, &session_config);
    worker_signals_begin_serving(descriptor);
    end = connection_serve(&session, &connection_config);
    error = errno;
    worker_signals_end_serving();
    session_deinit(&session);
    atomic_fetch_add(&worker->line->finished, 1);
    tell_end(end, error, config);
}

/* Its time is limited, so that those who are not served cost little. */
static void refuse(struct worker *worker, int descriptor, bool has_place)
{
    struct write_watch watch = {0};
    struct buffer output;
    struct message message;

    atomic_fetch_add(&worker->line->refused, 1);
    session_counter_add(&worker->counters->errors[STATUS_TOO_MANY_CLIENTS], 1);
    diagnostic_debug("refused: too many clients");
    buffer_init(&output);
    message_init(&message);
    if (has_place)
        message_add(&message, "Too many clients: the limit is %u (--max-clients)",
                    worker->inheritance->config->clients_max);
    else
        message_add(&message, "Too many clients: the store has no place for another");
    reply_error(&output, worker->inheritance->config->dialect, STATUS_TOO_MANY_CLIENTS, message_bytes(&message));
    if (!output.failed)
        (void)send(descriptor, output.data, output.size, MSG_NOSIGNAL | MSG_DONTWAIT);
    buffer_deinit(&output);
    linger(descriptor, &watch, LINGER_QUIET_MS, &worker_orders.stop);
}

/* For this process's lines in the log. */
static void name_connection(const struct worker *worker, int descriptor, const struct address *peer)
{
    uint64_t number = atomic_fetch_add(&worker->inheritance->scoreboard.common->last_connection, 1) + 1;
    struct ucred credentials = {.pid = 0};
    socklen_t size = sizeof credentials;
    char text[ADDRESS_TEXT_BYTES];

    if (peer->socket.any.sa_family == AF_UNIX) {
        (void)getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size);
        (void)snprintf(text, sizeof text, "pid %d", (int)credentials.pid);
    } else {
        address_format(peer, text);
    }
    diagnostic_set_connection(number, bytes_from_string(text));
}

static void tell_end(enum connection_end end, int error, const struct server_config *config)
{
    switch (end) {
    case CONNECTION_ENDED_BY_CLIENT:
        diagnostic_debug("ended by the client");
        break;
    case CONNECTION_ENDED_BY_COMMAND:
        diagnostic_debug("ended by a command, a browser's request, or for want of private memory");
        break;
    case CONNECTION_STOPPED:
        diagnostic_debug("ended with the server");
        break;
    case CONNECTION_IDLE:
        diagnostic_info("closed: no byte came for %u ms (--idle-timeout)", config->idle_timeout_ms);
        break;
    case CONNECTION_NOT_READING:
        diagnostic_info("closed: the client took less than %u KiB of its replies in %u ms (--write-timeout)",
                        (unsigned)(WRITE_WATCH_BYTES >> 10), config->write_timeout_ms);
        break;
    case CONNECTION_GONE:
        diagnostic_info("closed: the client went away while its command waited for a key; the command was not run");
        break;
    case CONNECTION_FAILED:
    default:
        diagnostic_debug("failed: %s", strerror(error));
        break;
    }
}
