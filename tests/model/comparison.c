/* An operation is data: it is chosen once, then done on both sides, and the two
 * replies are compared. The choice uses nothing that an engine answered but
 * statuses that the model shares, so the sequence is the same for a given seed. */
#include "model/comparison.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/model_store.h"
#include "model/reply.h"
#include "store/shared_store.h"
#include "support/store_buffer.h"
#include "support/store_random.h"
#include "transaction/engine.h"

#define TRANSACTIONS_TRIED_MAX (STORE_TRANSACTIONS_MAX + 1)
#define LINES_KEPT 40u
#define LINE_BYTES 160u

enum operation_kind { BEGIN, GET, ASK, PUT, DEL, SCAN, COUNT, COMMIT, ROLLBACK, EXPIRE, REOPEN, OPERATION_COUNT };

struct operation {
    enum operation_kind kind;
    unsigned session;
    unsigned slot; /* 0: single; else the place of a transaction in `open` */
    enum isolation isolation;
    unsigned char key_data[STORE_KEY_BYTES_MAX];
    struct bytes key; /* or prefix */
    unsigned key_number;
    uint64_t content;
    size_t size;
    uint64_t cursor;
    unsigned limit;
};

/* One of the two stores, with what was opened in it. */
struct side {
    struct store_fixture fixture;
    struct store *store; /* what the operations go to: the fixture's, or one with a flaw */
    struct store_session *sessions[COMPARISON_SESSIONS_MAX];
    store_transaction transactions[COMPARISON_SESSIONS_MAX][TRANSACTIONS_TRIED_MAX + 1];
    struct reply reply;
};

/* What both sides agree on about a transaction. */
struct open_transaction {
    bool is_open;
    bool must_roll_back; /* a command failed */
    bool is_expired;
    uint64_t cursor; /* where its last SCAN ended; that of slot 0 is of single ones */
};

struct comparison {
    const struct comparison_mix *mix;
    enum store_flaw flaw;
    struct store_random random;
    struct side engine;
    struct side model;
    struct open_transaction open[COMPARISON_SESSIONS_MAX][TRANSACTIONS_TRIED_MAX + 1];
    size_t value_bytes_max;
    unsigned char *content;
    char lines[LINES_KEPT][LINE_BYTES];
    struct comparison_result *result;
};

/* --- choosing --- */

/* Most keys are short texts; some are one byte long, some have NULs and any length up to the limit. */
static struct bytes key_fill(unsigned char data[STORE_KEY_BYTES_MAX], unsigned number)
{
    size_t size;

    if (number % 16 == 7) {
        memset(data, 0, STORE_KEY_BYTES_MAX);
        size = (size_t)snprintf((char *)data, STORE_KEY_BYTES_MAX, "long %u", number) + 1 + number * 37 % 1000;
    } else if (number % 128 == 3) {
        data[0] = (unsigned char)(number / 128);
        data[1] = '\0';
        size = number < 128 ? 1 : 2;
    } else {
        size = (size_t)snprintf((char *)data, STORE_KEY_BYTES_MAX, "key:%u", number);
    }
    return bytes_from(data, size);
}

static size_t choose_size(struct comparison *comparison)
{
    struct store_random *random = &comparison->random;
    size_t limit = comparison->value_bytes_max;
    static const size_t usual[] = {0, 16, 64, 300, 4096, 40000};
    size_t end = usual[store_random_below(random, sizeof(usual) / sizeof(usual[0]))];

    if (store_random_one_in(random, 40))
        end = limit;
    end = end < limit ? end : limit;
    return (size_t)store_random_below(random, end + 1);
}

static struct bytes choose_prefix(struct comparison *comparison, unsigned char *data)
{
    static const char *const prefixes[] = {"", "", "key:", "key:1", "long ", "nothing"};
    const char *prefix =
        prefixes[store_random_below(&comparison->random, sizeof(prefixes) / sizeof(prefixes[0]))];

    memcpy(data, prefix, strlen(prefix));
    return bytes_from(data, strlen(prefix));
}

static enum operation_kind choose_kind(struct comparison *comparison)
{
    const struct comparison_weights *weights = &comparison->mix->weights;
    const unsigned of_kind[OPERATION_COUNT] = {
        [BEGIN] = weights->begin,   [GET] = weights->get,       [ASK] = (weights->get + 3) / 4,
        [PUT] = weights->put,       [DEL] = weights->del,       [SCAN] = weights->scan,
        [COUNT] = weights->count,   [COMMIT] = weights->commit, [ROLLBACK] = weights->rollback,
        [EXPIRE] = weights->expire, [REOPEN] = weights->reopen,
    };
    unsigned sum = 0;
    uint64_t place;
    unsigned kind = 0;

    for (unsigned i = 0; i < OPERATION_COUNT; i++)
        sum += of_kind[i];
    place = store_random_below(&comparison->random, sum);
    while (place >= of_kind[kind])
        place -= of_kind[kind++];
    return (enum operation_kind)kind;
}

/* A random open transaction of a session; 0 if there is none. */
static unsigned choose_slot(struct comparison *comparison, unsigned session)
{
    const struct open_transaction *open = comparison->open[session];
    unsigned count = 0;
    unsigned slot = 0;
    uint64_t wanted;

    for (unsigned i = 1; i <= TRANSACTIONS_TRIED_MAX; i++)
        count += open[i].is_open;
    if (count == 0)
        return 0;
    wanted = 1 + store_random_below(&comparison->random, count);
    while (wanted > 0)
        wanted -= open[++slot].is_open;
    return slot;
}

/* A place for a new transaction; 0 if the mix wants no more. */
static unsigned choose_free_slot(const struct comparison *comparison, unsigned session)
{
    for (unsigned slot = 1; slot <= comparison->mix->transaction_count; slot++) {
        if (!comparison->open[session][slot].is_open)
            return slot;
    }
    return 0;
}

static void choose_cursor(struct comparison *comparison, struct operation *operation)
{
    struct store_random *random = &comparison->random;
    unsigned char data[STORE_KEY_BYTES_MAX];
    struct bytes key = key_fill(data, (unsigned)store_random_below(random, comparison->mix->key_count));

    switch (store_random_below(random, 5)) {
    case 0:
        operation->cursor = 0;
        break;
    case 1:
        operation->cursor = store_random_next(random);
        break;
    case 2:
        operation->cursor = store_fixture_hash(&comparison->engine.fixture, key) + store_random_below(random, 2);
        break;
    default:
        operation->cursor = comparison->open[operation->session][operation->slot].cursor;
        break;
    }
    operation->limit = 1 + (unsigned)store_random_below(random, store_random_one_in(random, 10) ? 1000 : 20);
}

/* An operation of a transaction that is not to be: turned into one that is allowed. */
static void choose_slot_for(struct comparison *comparison, struct operation *operation)
{
    bool is_single = store_random_below(&comparison->random, 100) < comparison->mix->single_percent;
    struct open_transaction *open;

    operation->slot = choose_slot(comparison, operation->session);
    open = &comparison->open[operation->session][operation->slot];
    if (operation->kind == BEGIN || operation->slot == 0) {
        bool is_ending = operation->kind == COMMIT || operation->kind == ROLLBACK || operation->kind == EXPIRE;

        operation->slot = choose_free_slot(comparison, operation->session);
        if (operation->kind == BEGIN && operation->slot == 0)
            operation->kind = GET;
        else if (is_ending)
            operation->kind = BEGIN;
        else if (operation->kind != BEGIN)
            operation->slot = 0;
        return;
    }
    if (open->must_roll_back)
        operation->kind = ROLLBACK;
    else if (is_single && operation->kind < COMMIT)
        operation->slot = 0;
}

static enum isolation choose_isolation(struct comparison *comparison)
{
    unsigned locking_percent = comparison->mix->locking_percent;

    if (locking_percent > 0 && store_random_below(&comparison->random, 100) < locking_percent)
        return ISOLATION_LOCKING;
    return store_random_below(&comparison->random, 4) < 3 ? ISOLATION_SERIALIZABLE : ISOLATION_READ_COMMITTED;
}

static void choose(struct comparison *comparison, struct operation *operation)
{
    struct store_random *random = &comparison->random;

    operation->kind = choose_kind(comparison);
    operation->session = (unsigned)store_random_below(random, comparison->mix->session_count);
    operation->isolation = choose_isolation(comparison);
    operation->slot = 0;
    if (operation->kind != REOPEN)
        choose_slot_for(comparison, operation);
    operation->key_number = (unsigned)store_random_below(random, comparison->mix->key_count);
    operation->key = key_fill(operation->key_data, operation->key_number);
    operation->content = store_random_next(random);
    operation->size = choose_size(comparison);
    if (operation->kind == SCAN || operation->kind == COUNT)
        operation->key = choose_prefix(comparison, operation->key_data);
    if (operation->kind == SCAN)
        choose_cursor(comparison, operation);
}

/* --- doing --- */

static void do_put(const struct comparison *comparison, struct side *side, struct store_session *session,
                   store_transaction transaction, const struct operation *operation)
{
    store_content_fill(comparison->content, operation->size, operation->content);
    side->reply.status =
        store_put(session, transaction, operation->key, bytes_from(comparison->content, operation->size));
}

static void do_scan(struct side *side, struct store_session *session, store_transaction transaction,
                    const struct operation *operation)
{
    side->reply.number = operation->cursor;
    side->reply.status = store_keys_scan(&side->reply.keys, session, transaction, &side->reply.number, operation->key,
                                         operation->limit);
}

static void do_reopen(struct side *side, unsigned session)
{
    store_session_close(side->sessions[session]);
    side->reply.status = store_session_open(side->store, &side->sessions[session]);
}

static void do_expire(const struct comparison *comparison, struct side *side, struct store_session *session,
                      store_transaction transaction)
{
    bool is_ignored = side == &comparison->engine && comparison->flaw == STORE_FLAW_EXPIRY_IGNORED;

    side->reply.was_open =
        is_ignored || store_fixture_expire(&side->fixture, store_flaw_inner_session(session), transaction);
}

static void do_operation(const struct comparison *comparison, struct side *side, const struct operation *operation)
{
    struct store_session *session = side->sessions[operation->session];
    store_transaction *transaction = &side->transactions[operation->session][operation->slot];
    struct reply *reply = &side->reply;

    reply_reset(reply);
    switch (operation->kind) {
    case BEGIN:
        reply->status = store_begin(session, operation->isolation, transaction);
        break;
    case GET:
        reply->status = store_buffer_get(&reply->value, session, *transaction, operation->key);
        break;
    case ASK:
        reply->status = store_get(session, *transaction, operation->key, NULL);
        break;
    case PUT:
        do_put(comparison, side, session, *transaction, operation);
        break;
    case DEL:
        reply->status = store_del(session, *transaction, operation->key);
        break;
    case SCAN:
        do_scan(side, session, *transaction, operation);
        break;
    case COUNT:
        reply->status = store_count(session, *transaction, operation->key, &reply->number);
        break;
    case COMMIT:
        reply->status = store_commit(session, *transaction, &reply->conflict_key);
        break;
    case ROLLBACK:
        store_rollback(session, *transaction);
        break;
    case EXPIRE:
        do_expire(comparison, side, session, *transaction);
        break;
    case REOPEN:
        do_reopen(side, operation->session);
        break;
    case OPERATION_COUNT:
        break;
    }
}

/* --- telling --- */

static void describe(const struct comparison *comparison, const struct operation *operation, char line[LINE_BYTES])
{
    static const char *const names[OPERATION_COUNT] = {
        [BEGIN] = "BEGIN", [GET] = "GET",     [ASK] = "ASK",       [PUT] = "PUT",           [DEL] = "DEL",
        [SCAN] = "SCAN",   [COUNT] = "COUNT", [COMMIT] = "COMMIT", [ROLLBACK] = "ROLLBACK", [EXPIRE] = "EXPIRE",
        [REOPEN] = "REOPEN",
    };
    static const char *const levels[ISOLATION_COUNT] = {
        [ISOLATION_SERIALIZABLE] = "SERIALIZABLE",
        [ISOLATION_READ_COMMITTED] = "READ COMMITTED",
        [ISOLATION_LOCKING] = "LOCKING",
    };
    char detail[LINE_BYTES / 2] = "";

    if (operation->kind == BEGIN)
        snprintf(detail, sizeof(detail), "%s", levels[operation->isolation]);
    else if (operation->kind == SCAN)
        snprintf(detail, sizeof(detail), "%#" PRIx64 " '%.*s' %u", operation->cursor, (int)operation->key.size,
                 (const char *)operation->key.data, operation->limit);
    else if (operation->kind == COUNT)
        snprintf(detail, sizeof(detail), "'%.*s'", (int)operation->key.size, (const char *)operation->key.data);
    else if (operation->kind == PUT)
        snprintf(detail, sizeof(detail), "key %u, %zu bytes of %#" PRIx64, operation->key_number, operation->size,
                 operation->content);
    else if (operation->kind < COMMIT)
        snprintf(detail, sizeof(detail), "key %u", operation->key_number);
    snprintf(line, LINE_BYTES, "%6u  session %u transaction %u  %s %s", comparison->result->steps, operation->session,
             operation->slot, names[operation->kind], detail);
}

/* Adds to the reason as long as there is room. */
static void tell(struct comparison *comparison, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct comparison *comparison, const char *format, ...)
{
    char *reason = comparison->result->reason;
    size_t used = strlen(reason);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason + used, COMPARISON_REASON_BYTES - used, format, arguments);
    va_end(arguments);
}

static void tell_last_operations(struct comparison *comparison)
{
    unsigned steps = comparison->result->steps;

    for (unsigned step = steps > LINES_KEPT ? steps - LINES_KEPT + 1 : 1; step <= steps; step++)
        tell(comparison, "\n%s", comparison->lines[step % LINES_KEPT]);
}

static void tell_bytes(struct comparison *comparison, const char *name, const struct side *side)
{
    const struct reply *reply = &side->reply;

    tell(comparison, "\n%s: %s, value of %zu bytes, %zu keys, cursor or count %#" PRIx64 ", conflict key of %zu bytes",
         name, status_code(reply->status), reply->value.size, reply->keys.count, reply->number,
         reply->conflict_key.size);
}

static bool mismatch(struct comparison *comparison, const char *what)
{
    comparison->result->agrees = false;
    tell(comparison, "%s", what);
    tell_bytes(comparison, "engine", &comparison->engine);
    tell_bytes(comparison, "model ", &comparison->model);
    tell_last_operations(comparison);
    return false;
}

/* --- comparing --- */

static bool replies_agree(struct comparison *comparison, const struct operation *operation)
{
    const char *difference = reply_difference(&comparison->engine.reply, &comparison->model.reply,
                                              comparison->model.sessions[operation->session]);

    return difference == NULL || mismatch(comparison, difference);
}

/* The engine was full and did nothing; so nothing is done in the model either. */
static bool was_full(struct comparison *comparison, const struct operation *operation)
{
    bool is_write = operation->kind == PUT || operation->kind == COMMIT ||
                    (operation->kind == DEL && operation->slot != 0);

    if (comparison->engine.reply.status != STATUS_OUT_OF_MEMORY || !comparison->mix->may_be_full || !is_write)
        return false;
    if (operation->kind == COMMIT) {
        struct side *model = &comparison->model;

        store_rollback(model->sessions[operation->session],
                       model->transactions[operation->session][operation->slot]);
    }
    comparison->result->full++;
    return true;
}

/* Keeps in mind what the operation did to its transaction. */
static void follow(struct comparison *comparison, const struct operation *operation)
{
    struct open_transaction *open = &comparison->open[operation->session][operation->slot];
    enum status status = comparison->engine.reply.status;
    bool has_failed = status != STATUS_OK && status != STATUS_NOT_FOUND;

    if (operation->kind == BEGIN) {
        memset(open, 0, sizeof(*open));
        open->is_open = !has_failed;
    } else if (operation->kind == COMMIT || operation->kind == ROLLBACK) {
        open->is_open = false;
        comparison->result->commits += operation->kind == COMMIT && !has_failed;
        comparison->result->conflicts += status == STATUS_CONFLICT;
    } else if (operation->kind == REOPEN) {
        memset(comparison->open[operation->session], 0, sizeof(comparison->open[operation->session]));
    } else if (operation->kind == EXPIRE) {
        open->is_expired = true;
    } else if (has_failed && operation->slot != 0 && !open->is_expired) {
        open->must_roll_back = true;
    } else if (operation->kind == SCAN && !has_failed) {
        open->cursor = comparison->engine.reply.number;
    }
}

static bool check_everything(struct comparison *comparison)
{
    const char *reason;

    if (store_fixture_is_valid(&comparison->engine.fixture, &reason))
        return true;
    comparison->result->agrees = false;
    tell(comparison, "the store is not valid: %s", reason);
    tell_last_operations(comparison);
    return false;
}

static bool step(struct comparison *comparison)
{
    struct operation operation;

    comparison->result->steps++;
    choose(comparison, &operation);
    describe(comparison, &operation, comparison->lines[comparison->result->steps % LINES_KEPT]);
    do_operation(comparison, &comparison->engine, &operation);
    if (!was_full(comparison, &operation)) {
        do_operation(comparison, &comparison->model, &operation);
        if (!replies_agree(comparison, &operation))
            return false;
    }
    follow(comparison, &operation);
    return comparison->result->steps % comparison->mix->steps_per_check != 0 || check_everything(comparison);
}

/* At the end every key is read and the store checked once more, with nothing open. */
static bool check_all_keys(struct comparison *comparison)
{
    struct operation operation = {.kind = REOPEN};

    for (operation.session = 0; operation.session < comparison->mix->session_count; operation.session++) {
        do_operation(comparison, &comparison->engine, &operation);
        do_operation(comparison, &comparison->model, &operation);
    }
    operation.session = 0;
    operation.kind = GET;
    for (unsigned number = 0; number < comparison->mix->key_count; number++) {
        operation.key_number = number;
        operation.key = key_fill(operation.key_data, number);
        do_operation(comparison, &comparison->engine, &operation);
        do_operation(comparison, &comparison->model, &operation);
        if (!replies_agree(comparison, &operation))
            return false;
    }
    operation.kind = COUNT;
    operation.key = bytes_from(NULL, 0);
    do_operation(comparison, &comparison->engine, &operation);
    do_operation(comparison, &comparison->model, &operation);
    comparison->result->keys_at_end = comparison->engine.reply.number;
    return replies_agree(comparison, &operation) && check_everything(comparison);
}

/* --- opening --- */

static void open_sessions(const struct comparison *comparison, struct side *side)
{
    for (unsigned i = 0; i < comparison->mix->session_count; i++) {
        enum status status = store_session_open(side->store, &side->sessions[i]);

        REQUIRE(status == STATUS_OK);
    }
}

static void close_side(const struct comparison *comparison, struct side *side)
{
    for (unsigned i = 0; i < comparison->mix->session_count; i++)
        store_session_close(side->sessions[i]);
    if (side->store != side->fixture.store)
        store_flaw_destroy(side->store);
    store_fixture_close(&side->fixture);
    reply_deinit(&side->reply);
}

static void open_stores(struct comparison *comparison, enum store_kind kind)
{
    struct side *engine = &comparison->engine;
    struct side *model = &comparison->model;

    store_fixture_open(&engine->fixture, kind, comparison->mix->bytes);
    store_fixture_open_model_of(&model->fixture, &engine->fixture);
    engine->store = comparison->flaw == STORE_FLAW_NONE ? engine->fixture.store
                                                        : store_flaw_create(engine->fixture.store, comparison->flaw);
    model->store = model->fixture.store;
    model_store_offer_locking(model->fixture.store, NULL, NULL);
    if (kind == STORE_OF_MODEL)
        model_store_offer_locking(engine->fixture.store, NULL, NULL);
    else
        shared_store_engine(engine->fixture.store)->lock_timeout_ms = 1;
    open_sessions(comparison, engine);
    open_sessions(comparison, model);
}

static void size_limit(struct comparison *comparison)
{
    size_t limit = store_value_bytes_max(comparison->engine.fixture.store);

    comparison->value_bytes_max = comparison->mix->value_bytes_max < limit ? comparison->mix->value_bytes_max : limit;
    comparison->content = malloc(comparison->value_bytes_max + 1);
    REQUIRE(comparison->content != NULL);
}

void comparison_run(const struct comparison_mix *mix, enum store_kind kind, enum store_flaw flaw, uint64_t seed,
                    struct comparison_result *result)
{
    struct comparison *comparison = calloc(1, sizeof(*comparison));
    bool goes_on = true;

    REQUIRE(comparison != NULL && mix->session_count <= COMPARISON_SESSIONS_MAX);
    REQUIRE(mix->transaction_count <= TRANSACTIONS_TRIED_MAX);
    memset(result, 0, sizeof(*result));
    result->agrees = true;
    comparison->mix = mix;
    comparison->flaw = flaw;
    comparison->random.state = seed;
    comparison->result = result;
    open_stores(comparison, kind);
    size_limit(comparison);
    while (goes_on && result->steps < mix->steps)
        goes_on = step(comparison);
    if (goes_on)
        check_all_keys(comparison);
    close_side(comparison, &comparison->engine);
    close_side(comparison, &comparison->model);
    free(comparison->content);
    free(comparison);
}
