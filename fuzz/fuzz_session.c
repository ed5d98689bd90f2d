/* A conversation with a session over a real store of its own: every reply is a
 * line of JSON, there is one for each line that is not blank (unless the client
 * speaks Telnet, whose answers are apart), and the store is valid at the end. The same bytes in small pieces get the same replies. With
 * FRAMING_AUTO, where pieces and silence do matter, all but the count and the
 * comparison holds.
 *
 * Input: the limit of a line, the isolation that is the default, the dialect and
 * the framing (1 byte), the size of the pieces (1 byte), then the conversation. */
#include "harness.h"

#include "json_check.h"
#include "private_store.h"
#include "session/session.h"

#define STORE_BYTES ((size_t)256 << 10)
#define SHARD_COUNT 4u
#define OUTPUT_BYTES_SMALL 100u
#define FRAMING_AUTO_FROM 0xc0u

struct conversation {
    struct store *store;
    struct store_session *store_session;
    struct session_counters counters;
    _Atomic uint64_t last_transaction_id;
    struct session session;
    struct buffer replies;
};

static void conversation_open(struct conversation *conversation, uint8_t settings)
{
    static const size_t limits[] = {(size_t)1 << 20, 12, 40, 300};
    static const enum isolation isolations[] = {ISOLATION_SERIALIZABLE, ISOLATION_LOCKING};
    struct session_config config = {.counters = &conversation->counters};
    enum status status;

    memset(conversation, 0, sizeof(*conversation));
    conversation->store = private_store_create(STORE_BYTES, SHARD_COUNT);
    status = store_session_open(conversation->store, &conversation->store_session);
    REQUIRE(status == STATUS_OK);
    config.store = conversation->store;
    config.store_session = conversation->store_session;
    config.last_transaction_id = &conversation->last_transaction_id;
    config.isolation = isolations[settings / 4 % 2];
    config.dialect = (enum dialect)(settings / 8 % DIALECT_COUNT);
    config.framing = settings >= FRAMING_AUTO_FROM ? FRAMING_AUTO : FRAMING_LINE;
    config.command_bytes_max = limits[settings % 4];
    session_init(&conversation->session, &config);
    buffer_init(&conversation->replies);
}

static void conversation_close(struct conversation *conversation)
{
    ENSURE(session_is_valid(&conversation->session));
    session_deinit(&conversation->session);
    store_session_close(conversation->store_session);
    private_store_close(conversation->store);
    buffer_deinit(&conversation->replies);
}

static void take_replies(struct conversation *conversation)
{
    ENSURE(session_is_valid(&conversation->session));
    buffer_append(&conversation->replies, session_output(&conversation->session));
    session_output_clear(&conversation->session);
}

static void say_at_once(struct conversation *conversation, struct bytes bytes)
{
    session_feed(&conversation->session, bytes);
    take_replies(conversation);
}

/* As a connection does it, with a small buffer on its way out. */
static enum session_state serve_piece(struct conversation *conversation)
{
    enum session_state state;

    do {
        state = session_serve(&conversation->session, OUTPUT_BYTES_SMALL);
        if (state != SESSION_HOLDING)
            take_replies(conversation);
    } while (state == SESSION_FULL);
    if (session_is_large(&conversation->session))
        session_shrink(&conversation->session);
    return state;
}

static enum session_state fall_silent(struct conversation *conversation)
{
    session_silence(&conversation->session);
    return serve_piece(conversation);
}

/* Under FRAMING_AUTO there is silence behind every piece that ends in a small letter. */
static void say_in_pieces(struct conversation *conversation, struct bytes bytes, size_t piece_bytes)
{
    enum session_state state = SESSION_WAITING;

    while (bytes.size > 0 && state != SESSION_CLOSING) {
        size_t room;
        unsigned char *target = session_room(&conversation->session, &room);
        size_t size = piece_bytes < bytes.size ? piece_bytes : bytes.size;

        ENSURE(room > 0);
        size = size < room ? size : room;
        memcpy(target, bytes.data, size);
        session_received(&conversation->session, size);
        state = serve_piece(conversation);
        if (state == SESSION_HOLDING && bytes.data[size - 1] >= 'a' && bytes.data[size - 1] <= 'z')
            state = fall_silent(conversation);
        bytes = bytes_slice(bytes, size, bytes.size - size);
    }
    if (state == SESSION_HOLDING)
        state = fall_silent(conversation);
    ENSURE(state != SESSION_HOLDING);
}

static bool is_blank(struct bytes line)
{
    for (size_t i = 0; i < line.size; i++) {
        bool is_line_end = line.data[i] == '\r' && i + 1 == line.size;

        if (line.data[i] != ' ' && line.data[i] != '\t' && !is_line_end)
            return false;
    }
    return true;
}

/* Takes the next line, without its LF, off text; false: there is none that has an end. */
static bool take_line(struct bytes *text, struct bytes *line)
{
    const unsigned char *end = text->size == 0 ? NULL : memchr(text->data, '\n', text->size);
    size_t size;

    if (end == NULL)
        return false;
    size = (size_t)(end - text->data);
    *line = bytes_slice(*text, 0, size);
    *text = bytes_slice(*text, size + 1, text->size - size - 1);
    return true;
}

/* Blank lines over the limit are answered, too. */
static size_t count_requests(struct bytes text, size_t command_bytes_max)
{
    struct bytes line;
    size_t count = 0;

    while (take_line(&text, &line)) {
        size_t size = line.size > 0 && line.data[line.size - 1] == '\r' ? line.size - 1 : line.size;

        count += !is_blank(line) || size > command_bytes_max;
    }
    return count;
}

#define IAC 0xffu
#define TELNET_ANSWER_SIZE 3u

/* Takes Telnet's answers, of which replies have no byte, out of them. */
static void drop_telnet(struct buffer *replies)
{
    size_t kept = 0;

    for (size_t i = 0; i < replies->size; i++) {
        if (replies->data[i] != IAC) {
            replies->data[kept++] = replies->data[i];
            continue;
        }
        ENSURE(replies->size - i >= TELNET_ANSWER_SIZE && replies->data[i + 1] >= 251 && replies->data[i + 1] != IAC);
        i += TELNET_ANSWER_SIZE - 1;
    }
    buffer_truncate(replies, kept);
}

/* Every line is a reply; returns how many there are. */
static size_t check_replies(struct conversation *conversation)
{
    struct bytes replies;
    struct bytes line;
    size_t count = 0;

    drop_telnet(&conversation->replies);
    replies = buffer_bytes(&conversation->replies);
    while (take_line(&replies, &line)) {
        json_check_reply(line);
        count++;
    }
    ENSURE(replies.size == 0);
    return count;
}

/* Its questions are answered too, and its commands may drop lines. */
static bool speaks_telnet(struct bytes said)
{
    return said.size > 0 && memchr(said.data, IAC, said.size) != NULL;
}

static void converse_in_bursts(struct bytes said, uint8_t settings, size_t piece_bytes)
{
    static struct conversation conversation;

    conversation_open(&conversation, settings);
    say_in_pieces(&conversation, said, piece_bytes == 0 ? SIZE_MAX : piece_bytes);
    (void)check_replies(&conversation);
    conversation_close(&conversation);
}

static void converse_in_lines(struct bytes said, uint8_t settings, size_t piece_bytes)
{
    static struct conversation at_once;
    static struct conversation in_pieces;
    size_t count;
    size_t wanted;

    conversation_open(&at_once, settings);
    say_at_once(&at_once, said);
    if (piece_bytes > 0) {
        conversation_open(&in_pieces, settings);
        say_in_pieces(&in_pieces, said, piece_bytes);
        ENSURE(bytes_equal(buffer_bytes(&at_once.replies), buffer_bytes(&in_pieces.replies)));
        conversation_close(&in_pieces);
    }
    count = check_replies(&at_once);
    wanted = count_requests(said, at_once.session.config.command_bytes_max);
    if (!speaks_telnet(said))
        ENSURE(at_once.session.is_closing ? count <= wanted : count == wanted);
    conversation_close(&at_once);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct input input = input_from(data, size);
    uint8_t settings = input_byte(&input);
    size_t piece_bytes = input_byte(&input);

    if (settings >= FRAMING_AUTO_FROM)
        converse_in_bursts(input.rest, settings, piece_bytes);
    else
        converse_in_lines(input.rest, settings, piece_bytes);
    return 0;
}
