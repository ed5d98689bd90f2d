/* The conversation. What a line does is in execute.c; here is the loop, and what
 * becomes of a transaction when its line fails. */
#include "session/session.h"

#include <malloc.h>
#ifdef HAUSKV_ANSWER_TIMES
#include <stdio.h>
#endif
#include <string.h>

#include "protocol/reply.h"
#include "protocol/request.h"
#include "session/execute.h"

#define OUTPUT_BYTES_KEPT ((size_t)32 << 10)

/* A line on its way to its reply. */
struct errand {
    struct request request;
    struct message *message; /* the session's */
    struct session_transaction *transaction; /* to which an error belongs; NULL: to none */
};

static bool next_line(struct session *session, struct line *line);
static void obey_telnet(struct session *session);
static void look_ahead(struct session *session);
static void answer(struct session *session, struct line *line);
static void answer_request(struct session *session, const struct line *line, struct bytes trimmed);
#ifdef HAUSKV_ANSWER_TIMES
static void answer_times(struct session *session, const struct errand *errand);
#endif
static void answer_too_long(struct session *session, const struct line *line);
static void answer_http(struct session *session);
static enum status refuse_tail(struct errand *errand);
static enum status refuse_ended(uint64_t id, struct errand *errand);
static enum status refuse_unsayable(struct errand *errand);
static bool names_transaction(const struct session *session, struct bytes trimmed, uint64_t *id, struct bytes *rest);
static bool is_no_command(enum status status);
static bool find_transaction(struct session *session, bool is_named, uint64_t id, struct errand *errand);
static void refuse(struct session *session, struct errand *errand, enum status status);
static bool wait_goes_on(void *context);

enum session_state session_serve(struct session *session, size_t output_bytes_max)
{
    struct line line;

    while (!session->is_closing) {
        if (session->output.size >= output_bytes_max)
            return SESSION_FULL;
        if (next_line(session, &line)) {
            look_ahead(session);
            answer(session, &line);
        } else if (telnet_has_more(&session->telnet)) {
            obey_telnet(session);
        } else {
            return framer_is_holding(&session->framer) ? SESSION_HOLDING : SESSION_WAITING;
        }
    }
    return SESSION_CLOSING;
}

/* Behind the last line there may be a burst's tail. */
static bool next_line(struct session *session, struct line *line)
{
    if (line_reader_next(&session->lines, line))
        return true;
    if (!framer_has_tail(&session->framer))
        return false;
    framer_tail_taken(&session->framer);
    return line_reader_finish(&session->lines, line);
}

/* What was received behind the last line has a command of Telnet in it. */
static void obey_telnet(struct session *session)
{
    if (buffer_reserve(&session->output, TELNET_ANSWER_BYTES))
        telnet_take(&session->telnet, &session->lines, &session->output);
    else
        session_close(session);
}

/* While this line is answered, the memory that the next ones of a burst will need is on its way. */
static void look_ahead(struct session *session)
{
    struct bytes line;

    while (line_reader_peek(&session->lines, &line)) {
        struct bytes key = request_likely_key(line);

        if (key.size >= 1 && key.size <= STORE_KEY_BYTES_MAX)
            store_prefetch(session->config.store_session, key);
    }
}

static void answer(struct session *session, struct line *line)
{
    struct bytes trimmed = request_trim(bytes_from(line->data, line->size));
    bool is_first = !session->has_begun;

    if (trimmed.size == 0 && !line->is_too_long)
        return;
    session->has_begun = true;
    if (!buffer_reserve(&session->output, REPLY_BYTES_SMALL)) {
        session_close(session); /* nothing runs whose outcome could not be told */
        return;
    }
    if (line->is_too_long ? request_outline_is_http(line->outline, is_first) : request_is_http(trimmed, is_first))
        answer_http(session);
    else if (line->is_too_long)
        answer_too_long(session, line);
    else
        answer_request(session, line, trimmed);
}

static void errand_init(struct errand *errand, struct session *session)
{
    errand->message = &session->message;
    message_init(errand->message);
    errand->request.verb = VERB_UNKNOWN;
    errand->transaction = NULL;
    session->reply_offset = session->output.size;
}

static void count_command(struct session *session, enum verb verb)
{
    if (verb != VERB_UNKNOWN)
        session_counter_add(&session->config.counters->commands[verb], 1);
}

static void answer_request(struct session *session, const struct line *line, struct bytes trimmed)
{
    unsigned char *text = line->data + (trimmed.data - line->data);
    struct bytes rest = trimmed;
    struct errand errand;
    enum status status;
    uint64_t id = 0;
    bool is_named;
    bool has_ended;

    errand_init(&errand, session);
    is_named = names_transaction(session, trimmed, &id, &rest);
    has_ended = !find_transaction(session, is_named, id, &errand);
    status = request_parse(text, rest.size, &errand.request, errand.message);
    count_command(session, errand.request.verb);
    if (line->is_unfinished && is_no_command(status))
        status = refuse_tail(&errand);
    if (status == STATUS_OK && has_ended)
        status = refuse_ended(id, &errand);
    else if (status == STATUS_OK)
        status = execute(session, &errand.request, errand.transaction, errand.message);
    if (session->output.failed)
        status = refuse_unsayable(&errand);
    if (status != STATUS_OK)
        refuse(session, &errand, status);
#ifdef HAUSKV_ANSWER_TIMES
    answer_times(session, &errand);
#endif
}

#ifdef HAUSKV_ANSWER_TIMES
/* A variant for tests (tests/histories): replies to what ends a transaction, and to single commands, say when it read
 * and committed. */
static void answer_times(struct session *session, const struct errand *errand)
{
    struct store_times times = store_session_times(session->config.store_session);
    enum verb verb = errand->request.verb;
    bool is_end = verb == VERB_COMMIT || verb == VERB_ROLLBACK;
    bool is_single = errand->transaction == NULL && verb != VERB_START && verb != VERB_BEGIN;
    char text[64];

    if (session->is_closing || !(is_end || is_single))
        return;
    buffer_truncate(&session->output, session->output.size - strlen("}\n"));
    (void)snprintf(text, sizeof(text), ", \"times\": [%ju, %ju]}\n", (uintmax_t)times.snapshot,
                   (uintmax_t)times.commit);
    buffer_append_string(&session->output, text);
}
#endif

/* Whether the line's last field is an id of this connection's; then *rest is the line before it. */
static bool names_transaction(const struct session *session, struct bytes trimmed, uint64_t *id, struct bytes *rest)
{
    struct bytes before;

    if (id_set_is_empty(&session->transactions.given) || !request_may_name(trimmed, id, &before) ||
        !session_transactions_gave(&session->transactions, *id))
        return false;
    *rest = before;
    return true;
}

/* What the parser says of a line that is none, or is only the beginning of one. */
static bool is_no_command(enum status status)
{
    return status == STATUS_SYNTAX || status == STATUS_UNKNOWN_COMMAND || status == STATUS_INVALID_UTF8;
}

/* Perhaps it was cut: then it matters little what is wrong with its beginning. */
static enum status refuse_tail(struct errand *errand)
{
    message_add(errand->message, "; no line end followed");
    return STATUS_SYNTAX;
}

static enum status refuse_ended(uint64_t id, struct errand *errand)
{
    message_add(errand->message, "Transaction %ju has ended, nothing was run", (uintmax_t)id);
    return STATUS_UNKNOWN_TRANSACTION;
}

/* Only what reads can have so long a reply: nothing that was changed goes untold. */
static enum status refuse_unsayable(struct errand *errand)
{
    message_init(errand->message);
    message_add(errand->message, "The server has no memory for this reply");
    return STATUS_INTERNAL;
}

static void answer_too_long(struct session *session, const struct line *line)
{
    struct errand errand;
    uint64_t id = 0;
    bool is_named;

    errand_init(&errand, session);
    is_named = request_outline_may_name(line->outline, &id) && session_transactions_gave(&session->transactions, id);
    (void)find_transaction(session, is_named, id, &errand);
    errand.request.verb = request_outline_verb(line->outline);
    count_command(session, errand.request.verb);
    message_add(errand.message, "Line of %ju bytes: the limit is %zu (--max-command)", (uintmax_t)line->bytes_total,
                session->config.command_bytes_max);
    refuse(session, &errand, STATUS_TOO_LARGE);
}

/* A page that a browser was made to send must not become data. */
static void answer_http(struct session *session)
{
    session_counter_add(&session->config.counters->errors[STATUS_SYNTAX], 1);
    reply_error(&session->output, session->config.dialect, STATUS_SYNTAX,
                bytes_from_string("This is not an HTTP server, the connection ends"));
    session_close(session);
}

/* The transaction that the line names, else START's, else none. False: it names
 * one that has ended. */
static bool find_transaction(struct session *session, bool is_named, uint64_t id, struct errand *errand)
{
    if (is_named)
        errand->transaction = session_transactions_find(&session->transactions, id);
    else
        errand->transaction = session_transactions_started(&session->transactions);
    return !is_named || errand->transaction != NULL;
}

/* The one rule for errors: after any but not_found and transaction_open, the
 * transaction that the line belongs to can only end. A START that fails opens
 * such a one, so that the lines behind it do not run on their own. (A COMMIT has
 * closed its transaction already.) */
static void refuse(struct session *session, struct errand *errand, enum status status)
{
    buffer_truncate(&session->output, session->reply_offset);
    reply_error(&session->output, session->config.dialect, status, message_bytes(errand->message));
    session_counter_add(&session->config.counters->errors[status], 1);
    if (status == STATUS_NOT_FOUND || status == STATUS_TRANSACTION_OPEN)
        return;
    if (errand->transaction != NULL)
        session_transaction_abort(&session->transactions, errand->transaction, status);
    if (errand->request.verb == VERB_START)
        session_transactions_start_aborted(&session->transactions);
    if (session->gives_up)
        session_close(session);
}

/* Its answers have three bytes, and no reply has an IAC. */
static bool ends_with_telnet(const struct buffer *output)
{
    return output->size >= 3 && output->data[output->size - 3] == 0xff;
}

bool session_is_valid(const struct session *session)
{
    bool lines_are_valid = line_reader_is_valid(&session->lines) && framer_is_valid(&session->framer);
    bool output_is_whole = buffer_is_valid(&session->output) && !session->output.failed &&
                           (session->output.size == 0 || session->output.data[session->output.size - 1] == '\n' ||
                            ends_with_telnet(&session->output));
    bool what_is_taken_was_there = session->output_taken <= session->output.size;
    bool transactions_are_valid = session_transactions_is_valid(&session->transactions);
    bool nothing_is_open_at_the_end =
        !session->is_closing || session_transactions_open_count(&session->transactions) == 0;

    return lines_are_valid && output_is_whole && what_is_taken_was_there && transactions_are_valid && nothing_is_open_at_the_end;
}

void session_init(struct session *session, const struct session_config *config)
{
    REQUIRE(config->store != NULL && config->isolation < ISOLATION_COUNT && config->dialect < DIALECT_COUNT);
    memset(session, 0, sizeof(*session));
    session->config = *config;
    line_reader_init(&session->lines, config->command_bytes_max);
    telnet_init(&session->telnet);
    framer_init(&session->framer, config->framing);
    buffer_init(&session->output);
    session->store_waiter = (struct waiter){.goes_on = wait_goes_on, .context = session};
    session_transactions_init(&session->transactions, config->store_session, config->counters,
                              config->last_transaction_id);
}

void session_deinit(struct session *session)
{
    session_transactions_deinit(&session->transactions);
    buffer_deinit(&session->output);
    line_reader_deinit(&session->lines);
}

unsigned char *session_room(struct session *session, size_t *size)
{
    *size = 0;
    if (framer_has_tail(&session->framer))
        return NULL; /* what comes next belongs to the next burst */
    return telnet_room(&session->telnet, &session->lines, size);
}

/* Whether a first burst has a command of Telnet in it. A later one has none, or the bytes are the client's own. */
static bool speaks_telnet(const struct session *session, size_t size)
{
    const struct buffer *inside = &session->lines.buffer;

    return framer_takes_telnet(&session->framer) && size > 0 && memchr(inside->data + inside->size, 0xff, size) != NULL;
}

void session_received(struct session *session, size_t size)
{
    const struct buffer *inside = &session->lines.buffer;

    if (session->framer.state != FRAMER_LINES && speaks_telnet(session, size))
        framer_choose_lines(&session->framer);
    if (session->framer.state == FRAMER_LINES) {
        telnet_received(&session->telnet, &session->lines, size);
        return;
    }
    line_reader_received(&session->lines, size);
    if (size > 0)
        framer_received(&session->framer, bytes_slice(buffer_bytes(inside), inside->size - size, size),
                        inside->size == inside->capacity);
}

/* Whether the tail could be run as it is. What is wrong with its meaning, such as an id of nobody, it will hear. */
static bool tail_is_command(const struct session *session)
{
    struct bytes tail = line_reader_rest(&session->lines);
    unsigned char copy[FRAMING_BURST_BYTES_MAX]; /* parsing changes it */
    struct request request;
    struct message message;
    struct bytes trimmed;
    uint64_t id;

    if (tail.size == 0 || tail.size > sizeof copy)
        return false;
    memcpy(copy, tail.data, tail.size);
    trimmed = request_trim(bytes_from(copy, tail.size));
    if (trimmed.size == 0)
        return false;
    message_init(&message);
    (void)names_transaction(session, trimmed, &id, &trimmed);
    return !is_no_command(request_parse(copy + (trimmed.data - copy), trimmed.size, &request, &message));
}

void session_silence(struct session *session)
{
    framer_silence(&session->framer, tail_is_command(session));
}

struct bytes session_output(const struct session *session)
{
    return bytes_slice(buffer_bytes(&session->output), session->output_taken, session->output.size - session->output_taken);
}

void session_output_clear(struct session *session)
{
    buffer_truncate(&session->output, 0);
    session->output_taken = 0;
}

void session_set_waiter(struct session *session, const struct waiter *waiter)
{
    session->waiter = waiter;
    store_set_waiter(session->config.store_session, waiter == NULL ? NULL : &session->store_waiter);
}

static bool wait_goes_on(void *context)
{
    struct session *session = context;

    session->gives_up = session->gives_up || !waiter_goes_on(session->waiter);
    return !session->gives_up;
}

struct bytes session_ready_output(const struct session *session)
{
    size_t end = session->framer.state == FRAMER_LINES ? session->reply_offset : session->output_taken;

    return bytes_slice(buffer_bytes(&session->output), session->output_taken, end - session->output_taken);
}

void session_output_taken(struct session *session, size_t size)
{
    REQUIRE(size <= session->output.size - session->output_taken);
    session->output_taken += size;
}

void session_feed(struct session *session, struct bytes bytes)
{
    while (bytes.size > 0 && !session->is_closing) {
        size_t size;
        unsigned char *room = session_room(session, &size);

        if (size == 0) {
            session_close(session);
            return;
        }
        if (size > bytes.size)
            size = bytes.size;
        memcpy(room, bytes.data, size);
        session_received(session, size);
        bytes = bytes_slice(bytes, size, bytes.size - size);
        (void)session_serve(session, SIZE_MAX);
    }
}

bool session_is_large(const struct session *session)
{
    return session->lines.buffer.capacity > LINE_READER_BYTES_MIN || session->output.capacity > OUTPUT_BYTES_KEPT;
}

void session_shrink(struct session *session)
{
    if (telnet_has_more(&session->telnet))
        return; /* it stands in the line reader's memory */
    line_reader_shrink(&session->lines);
    if (session->output.size == 0)
        (void)buffer_resize(&session->output, 0);
    (void)malloc_trim(0); /* pages, not only blocks: there may be thousands of such processes */
}

void session_close(struct session *session)
{
    session_transactions_rollback_all(&session->transactions);
    session->is_closing = true;
}
