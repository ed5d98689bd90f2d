/* A session on the reference model, spoken to line by line. Between the two is
 * a store that can be told to fail, and that hands values out byte by byte. */
#ifndef HAUSKV_TESTS_UNIT_SESSION_CONVERSATION_H
#define HAUSKV_TESTS_UNIT_SESSION_CONVERSATION_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "model/model_store.h"
#include "session/session.h"

#define VALUE_BYTES_MAX ((size_t)4 << 20)

enum operation {
    OPERATION_NONE,
    OPERATION_BEGIN,
    OPERATION_GET,
    OPERATION_PUT,
    OPERATION_DEL,
    OPERATION_SCAN,
    OPERATION_COUNT,
    OPERATION_COMMIT
};

struct brittle_store {
    struct store base;
    struct store *inner;
    enum operation failing; /* the next such operation answers failure, and it alone */
    enum status failure;
    int open_count; /* transactions that the session opened and has not ended */
    struct buffer *hints;     /* keys that will be asked for, `!` for every PUT, a space behind each; NULL: nobody listens */
    const struct waiter *waiter; /* asked where a failing operation answers STATUS_LOCK_TIMEOUT */
    store_transaction touched; /* the last one */
    struct buffer *exhausted; /* the next value that is read finds no memory in it; NULL: it does */
};

struct brittle_session {
    struct store_session base;
    struct brittle_store *store;
    struct store_session *inner;
};

static inline struct brittle_session *brittle(const struct store_session *session)
{
    return (struct brittle_session *)(uintptr_t)session;
}

static inline enum status brittle_failure(struct store_session *session, enum operation operation)
{
    struct brittle_store *store = brittle(session)->store;

    if (store->failing != operation)
        return STATUS_OK;
    store->failing = OPERATION_NONE;
    if (store->failure == STATUS_LOCK_TIMEOUT)
        (void)waiter_goes_on(store->waiter);
    return store->failure;
}

static inline enum status brittle_begin(struct store_session *session, enum isolation isolation,
                                        store_transaction *number)
{
    enum status status = brittle_failure(session, OPERATION_BEGIN);

    if (status == STATUS_OK)
        status = store_begin(brittle(session)->inner, isolation, number);
    brittle(session)->store->open_count += status == STATUS_OK;
    return status;
}

static inline void write_byte_by_byte(void *context, struct bytes piece)
{
    const struct store_sink *sink = context;

    for (size_t i = 0; i < piece.size; i++)
        sink->write(sink->context, bytes_slice(piece, i, 1));
}

static inline enum status brittle_get(struct store_session *session, store_transaction number, struct bytes key,
                                      const struct store_sink *sink)
{
    struct store_sink slicer = {.write = write_byte_by_byte, .context = (void *)(uintptr_t)sink};
    enum status status = brittle_failure(session, OPERATION_GET);

    if (brittle(session)->store->exhausted != NULL)
        brittle(session)->store->exhausted->failed = true;
    brittle(session)->store->exhausted = NULL;
    return status != STATUS_OK ? status
                               : store_get(brittle(session)->inner, number, key, sink == NULL ? NULL : &slicer);
}

static inline enum status brittle_put(struct store_session *session, store_transaction number, struct bytes key,
                                      struct bytes value)
{
    enum status status = brittle_failure(session, OPERATION_PUT);

    if (brittle(session)->store->hints != NULL)
        buffer_append_string(brittle(session)->store->hints, "! ");
    return status != STATUS_OK ? status : store_put(brittle(session)->inner, number, key, value);
}

static inline enum status brittle_del(struct store_session *session, store_transaction number, struct bytes key)
{
    enum status status = brittle_failure(session, OPERATION_DEL);

    return status != STATUS_OK ? status : store_del(brittle(session)->inner, number, key);
}

static inline enum status brittle_scan(struct store_session *session, store_transaction number,
                                       struct store_scan *scan)
{
    enum status status = brittle_failure(session, OPERATION_SCAN);

    return status != STATUS_OK ? status : store_scan(brittle(session)->inner, number, scan);
}

static inline enum status brittle_count(struct store_session *session, store_transaction number, struct bytes prefix,
                                        uint64_t *count)
{
    enum status status = brittle_failure(session, OPERATION_COUNT);

    return status != STATUS_OK ? status : store_count(brittle(session)->inner, number, prefix, count);
}

static inline void brittle_touch(struct store_session *session, store_transaction number)
{
    brittle(session)->store->touched = number;
}

static inline void brittle_set_waiter(struct store_session *session, const struct waiter *waiter)
{
    brittle(session)->store->waiter = waiter;
}

static inline void brittle_prefetch(struct store_session *session, struct bytes key)
{
    struct buffer *hints = brittle(session)->store->hints;

    if (hints == NULL)
        return;
    buffer_append(hints, key);
    buffer_append_string(hints, " ");
}

static inline void brittle_rollback(struct store_session *session, store_transaction number)
{
    brittle(session)->store->open_count--;
    store_rollback(brittle(session)->inner, number);
}

static inline enum status brittle_commit(struct store_session *session, store_transaction number,
                                         struct bytes *conflict_key)
{
    enum status status = brittle_failure(session, OPERATION_COMMIT);

    if (status != STATUS_OK) {
        brittle_rollback(session, number);
        return status;
    }
    brittle(session)->store->open_count--;
    return store_commit(brittle(session)->inner, number, conflict_key);
}

static inline size_t brittle_value_bytes_max(const struct store *store)
{
    return store_value_bytes_max(((const struct brittle_store *)store)->inner);
}

static const struct store_operations brittle_operations = {
    .begin = brittle_begin,
    .get = brittle_get,
    .put = brittle_put,
    .del = brittle_del,
    .scan = brittle_scan,
    .count = brittle_count,
    .commit = brittle_commit,
    .rollback = brittle_rollback,
    .touch = brittle_touch,
    .set_waiter = brittle_set_waiter,
    .prefetch = brittle_prefetch,
    .value_bytes_max = brittle_value_bytes_max,
};

/* A server's part that its conversations share. */
struct house {
    struct store *model;
    _Atomic uint64_t last_transaction_id;
};

struct conversation {
    struct house *house;
    struct brittle_store store;
    struct brittle_session store_session;
    struct session_counters counters;
    struct session_config config;
    struct session session;
    char *reply; /* of the last say, as a string */
};

static inline uint64_t simple_hash(void *context, struct bytes key)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    (void)context;
    for (size_t i = 0; i < key.size; i++)
        hash = (hash ^ key.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static inline void house_open(struct house *house)
{
    static const struct model_store_options options = {
        .hash = simple_hash,
        .shard_count = 4,
        .value_bytes_max = VALUE_BYTES_MAX,
    };

    memset(house, 0, sizeof(*house));
    house->model = model_store_create(&options);
}

static inline void house_close(struct house *house)
{
    model_store_destroy(house->model);
}

/* Everything as a server has it by default. */
static inline void conversation_prepare(struct conversation *talk, struct house *house)
{
    memset(talk, 0, sizeof(*talk));
    talk->house = house;
    talk->store.base.operations = &brittle_operations;
    talk->store.inner = house->model;
    talk->store_session.base.operations = &brittle_operations;
    talk->store_session.store = &talk->store;
    cr_assert_eq(store_session_open(house->model, &talk->store_session.inner), STATUS_OK);
    talk->config = (struct session_config){
        .store = &talk->store.base,
        .store_session = &talk->store_session.base,
        .last_transaction_id = &house->last_transaction_id,
        .counters = &talk->counters,
        .isolation = ISOLATION_SERIALIZABLE,
        .command_bytes_max = (size_t)1 << 20,
    };
}

static inline void conversation_open(struct conversation *talk, struct house *house)
{
    conversation_prepare(talk, house);
    session_init(&talk->session, &talk->config);
}

static inline void conversation_close(struct conversation *talk)
{
    session_deinit(&talk->session);
    store_session_close(talk->store_session.inner);
    cr_expect_eq(talk->store.open_count, 0, "a transaction was left open in the store");
    free(talk->reply);
}

/* What the session has answered since the last time; a string of the conversation's. */
static inline const char *conversation_take(struct conversation *talk)
{
    struct bytes output = session_output(&talk->session);

    cr_assert(session_is_valid(&talk->session));
    talk->reply = realloc(talk->reply, output.size + 1);
    cr_assert_not_null(talk->reply);
    if (output.size > 0)
        memcpy(talk->reply, output.data, output.size);
    talk->reply[output.size] = '\0';
    session_output_clear(&talk->session);
    return talk->reply;
}

static inline const char *conversation_feed(struct conversation *talk, struct bytes bytes)
{
    session_feed(&talk->session, bytes);
    return conversation_take(talk);
}

/* Nothing comes for a while, or the input has ended. */
static inline void conversation_fall_silent(struct conversation *talk)
{
    if (session_serve(&talk->session, SIZE_MAX) != SESSION_HOLDING)
        return;
    session_silence(&talk->session);
    (void)session_serve(&talk->session, SIZE_MAX);
}

/* Says one line (without its end) and returns the reply without its end. */
static inline const char *say(struct conversation *talk, const char *line)
{
    size_t size;

    session_feed(&talk->session, bytes_from_string(line));
    conversation_feed(talk, bytes_from_string("\n"));
    size = strlen(talk->reply);
    if (size > 0 && talk->reply[size - 1] == '\n')
        talk->reply[size - 1] = '\0';
    return talk->reply;
}

static inline bool reply_has_code(const char *reply, const char *code)
{
    char end[64];
    size_t size = (size_t)snprintf(end, sizeof end, "\", \"code\": \"%s\"}", code);
    size_t reply_size = strlen(reply);

    return strncmp(reply, "{\"status\": \"Error\", \"mesg\": \"", 29) == 0 && reply_size > size &&
           strcmp(reply + reply_size - size, end) == 0;
}

#define OK "{\"status\": \"Ok\"}"

/* Overwrites what is there with a string, without its NUL. */
static inline void place(void *target, const char *string)
{
    struct bytes bytes = bytes_from_string(string);

    memcpy(target, bytes.data, bytes.size);
}

/* The next operation of that kind fails. */
static inline void store_will_fail(struct conversation *talk, enum operation operation, enum status failure)
{
    talk->store.failing = operation;
    talk->store.failure = failure;
}

#define expect_reply(talk, line, wanted) \
    do { \
        const char *answer_ = say((talk), (line)); \
        cr_assert_str_eq(answer_, (wanted), "%s: answered %s, not %s", (line), answer_, (wanted)); \
    } while (0)

#define expect_ok(talk, line) expect_reply((talk), (line), OK)

#define expect_error(talk, line, code) \
    do { \
        const char *answer_ = say((talk), (line)); \
        cr_assert(reply_has_code(answer_, (code)), "%s: answered %s, not %s", (line), answer_, (code)); \
    } while (0)

#define expect_value(talk, line, value) expect_reply((talk), (line), "{\"status\": \"Ok\", \"result\": \"" value "\"}")
#define expect_absent(talk, line) \
    expect_reply((talk), (line), "{\"status\": \"Error\", \"mesg\": \"Key not found\", \"code\": \"not_found\"}")
#define expect_begun(talk, line, id) expect_reply((talk), (line), "{\"status\": \"Ok\", \"transaction_id\": " id "}")

#endif
