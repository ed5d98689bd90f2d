/* Three sessions of the shared-memory store against the reference model, reply
 * by reply. Each session has a thread, which may die in any operation, also in
 * the middle of its COMMIT, of the repair of what another left, or of the clean-up
 * behind one; then all of its transactions are gone, but a commit whose record
 * said COMMITTED has happened. Who would wait for a key is told at once that it
 * waited too long.
 *
 * FUZZ_TRACE=1 in the environment of a replay prints the operations.
 *
 * Input: the size of the store (1 byte), then operations of 3 bytes and more:
 * what (1 byte), who (1: session, transaction, whether to die), on which key and
 * with what (1), and of one that dies, when (1). */
#include "harness.h"

#include <stdio.h>
#include <stdlib.h>

#include "model/model_store.h"
#include "model/reply.h"
#include "mortal.h"
#include "private_store.h"
#include "segment/process_table.h"
#include "support/store_buffer.h"
#include "support/store_random.h"

#define SESSIONS 3u
#define TRANSACTIONS 3u /* of a session at a time; 0 is for single commands */
#define SHARD_COUNT 4u
#define OPERATIONS_MAX 120u
#define VALUE_BYTES_MAX ((size_t)9000)

/* The levels that a transaction may have. */
static const enum isolation isolations[] = {
    ISOLATION_SERIALIZABLE,
    ISOLATION_SERIALIZABLE,
    ISOLATION_READ_COMMITTED,
    ISOLATION_LOCKING,
    ISOLATION_LOCKING,
};

enum operation_kind { BEGIN, GET, ASK, PUT, DEL, SCAN, COUNT, COMMIT, ROLLBACK, EXPIRE, REOPEN, LEAVE, TIDY };

/* By the first byte of an operation: what is more interesting is there more often. */
static const enum operation_kind kinds[] = {
    BEGIN, BEGIN, BEGIN, GET,    GET,    GET,    ASK,      PUT,    PUT,    PUT,   PUT,
    DEL,   DEL,   SCAN,  COUNT,  COMMIT, COMMIT, ROLLBACK, EXPIRE, REOPEN, LEAVE, TIDY,
};

/* A session of both stores; its thread works on the engine. */
struct player {
    struct mortal mortal;
    struct store_session *engine; /* NULL: there was no memory for it, or it died */
    struct store_session *model;
    const struct commit_record *record; /* the engine's */
    bool has_committed;                 /* the record said so during this operation */
    bool is_open[TRANSACTIONS + 1];
    bool is_locking[TRANSACTIONS + 1];
    bool must_roll_back[TRANSACTIONS + 1]; /* a command failed */
    store_transaction engine_number[TRANSACTIONS + 1];
    store_transaction model_number[TRANSACTIONS + 1];
    struct operation *operation; /* under way */
};

struct operation {
    enum operation_kind kind;
    unsigned transaction;
    uint8_t detail;
    enum isolation isolation;
    unsigned death_points; /* dies at that one; 0: lives */
    struct bytes key;
    struct bytes value;
    uint64_t cursor;
    unsigned limit;
    unsigned char key_data[STORE_KEY_BYTES_MAX];
};

static struct store *engine;
static struct store *model;
static struct player players[SESSIONS];
static struct reply engine_reply;
static struct reply model_reply;
static uint64_t operations_done;
static bool locks_were_asked_for;

/* --- doing --- */

static void do_operation(struct store_session *session, store_transaction *number, const struct operation *operation,
                         struct reply *reply)
{
    reply_reset(reply);
    switch (operation->kind) {
    case BEGIN:
        reply->status = store_begin(session, operation->isolation, number);
        break;
    case GET:
        reply->status = store_buffer_get(&reply->value, session, *number, operation->key);
        break;
    case ASK:
        reply->status = store_get(session, *number, operation->key, NULL);
        break;
    case PUT:
        reply->status = store_put(session, *number, operation->key, operation->value);
        break;
    case DEL:
        reply->status = store_del(session, *number, operation->key);
        break;
    case SCAN:
        reply->number = operation->cursor;
        reply->status = store_keys_scan(&reply->keys, session, *number, &reply->number, operation->key,
                                        operation->limit);
        break;
    case COUNT:
        reply->status = store_count(session, *number, operation->key, &reply->number);
        break;
    case COMMIT:
        reply->status = store_commit(session, *number, &reply->conflict_key);
        break;
    case ROLLBACK:
        store_rollback(session, *number);
        break;
    case EXPIRE:
    case REOPEN:
    case LEAVE:
    case TIDY:
        break;
    }
}

/* The tasks of a session's thread. */

static void open_engine_session(void *context)
{
    struct player *player = context;
    enum status status = store_session_open(engine, &player->engine);

    ENSURE(status == STATUS_OK || status == STATUS_TOO_MANY_CLIENTS);
}

static void close_engine_session(void *context)
{
    struct player *player = context;

    store_session_close(player->engine);
    player->engine = NULL;
}

static void do_engine_operation(void *context)
{
    struct player *player = context;

    do_operation(player->engine, &player->engine_number[player->operation->transaction], player->operation,
                 &engine_reply);
}

static void tidy_engine(void *context)
{
    (void)context;
    (void)shared_store_tidy(engine);
}

static void watch_commit(void *context)
{
    struct player *player = context;

    if (player->record != NULL && atomic_load(&player->record->word) != 0)
        player->has_committed = true;
}

/* --- sessions --- */

static void forget_transactions(struct player *player)
{
    memset(player->is_open, 0, sizeof(player->is_open));
    memset(player->is_locking, 0, sizeof(player->is_locking));
    memset(player->must_roll_back, 0, sizeof(player->must_roll_back));
}

/* The session in both stores is new; a thread that dies in the attempt is followed by another. */
static void player_open(struct player *player, unsigned death_points)
{
    enum status status;

    player->engine = NULL;
    player->record = NULL;
    mortal_begin(&player->mortal, watch_commit);
    if (!mortal_do(&player->mortal, open_engine_session, player, death_points)) {
        player->engine = NULL;
        mortal_begin(&player->mortal, watch_commit);
        (void)mortal_do(&player->mortal, open_engine_session, player, 0);
    }
    if (player->engine == NULL) {
        mortal_end(&player->mortal);
        return;
    }
    player->record = &shared_store_session_slot(player->engine)->commit;
    status = store_session_open(model, &player->model);
    ENSURE(status == STATUS_OK);
}

/* The engine's session is gone already, or its thread is. The keys that a dead one has are its own until somebody tidies
 * up, which the model does not know. */
static void player_forget(struct player *player)
{
    bool has_left = player->engine != NULL;

    mortal_end(&player->mortal);
    store_session_close(player->model);
    player->engine = NULL;
    player->record = NULL;
    player->model = NULL;
    forget_transactions(player);
    while (has_left && locks_were_asked_for && shared_store_tidy(engine)) {
    }
}

static void player_close(struct player *player)
{
    if (player->engine == NULL)
        return;
    (void)mortal_do(&player->mortal, close_engine_session, player, 0);
    player_forget(player);
}

/* --- choosing --- */

/* Short texts, and some of all lengths with NULs inside. */
static struct bytes key_fill(unsigned char data[STORE_KEY_BYTES_MAX], unsigned number)
{
    size_t size = 2;

    data[0] = 'k';
    data[1] = (unsigned char)('A' + number);
    if (number % 8 == 7) {
        size = 2 + (size_t)number * 41 % (STORE_KEY_BYTES_MAX - 1);
        memset(data + 2, 0, size - 2);
    }
    return bytes_from(data, size);
}

static struct bytes value_choose(uint8_t detail)
{
    static const size_t sizes[] = {0, 8, 40, 150, 700, 2000, 4100, VALUE_BYTES_MAX};
    static unsigned char content[VALUE_BYTES_MAX];
    size_t size = sizes[detail / 32];

    store_content_fill(content, size, operations_done);
    return bytes_from(content, size);
}

static void range_choose(struct operation *operation)
{
    static const char *const prefixes[] = {"", "k", "kA", "no"};

    operation->key = bytes_from_string(prefixes[operation->detail % 4]);
    operation->limit = 1u + operation->detail / 4 % 8u * 3u;
    operation->cursor = (uint64_t)(operation->detail / 32) << 61;
}

/* What a session may not do now is turned into what it may. */
static void kind_correct(const struct player *player, struct operation *operation)
{
    bool is_open = player->is_open[operation->transaction];
    bool is_single = operation->transaction == STORE_SINGLE;
    bool is_ending = operation->kind == COMMIT || operation->kind == ROLLBACK || operation->kind == EXPIRE;

    if (operation->kind >= REOPEN)
        return;
    if (is_single && (is_ending || operation->kind == BEGIN))
        operation->kind = GET;
    else if (!is_single && !is_open)
        operation->kind = BEGIN;
    else if (!is_single && operation->kind == BEGIN)
        operation->kind = PUT;
    if (!is_single && player->must_roll_back[operation->transaction])
        operation->kind = ROLLBACK;
}

static void operation_choose(struct operation *operation, struct input *input, struct player **player)
{
    uint8_t what = input_byte(input);
    uint8_t who = input_byte(input);

    memset(operation, 0, sizeof(*operation));
    *player = &players[who % 4 % SESSIONS];
    operation->kind = kinds[what % (sizeof(kinds) / sizeof(kinds[0]))];
    operation->transaction = who / 4 % (TRANSACTIONS + 1);
    operation->detail = input_byte(input);
    if (who >= 0xc0)
        operation->death_points = 1u + input_byte(input);
    kind_correct(*player, operation);
    operation->key = key_fill(operation->key_data, operation->detail % 24);
    operation->isolation = isolations[operation->detail % (sizeof(isolations) / sizeof(isolations[0]))];
    if (operation->kind == BEGIN && operation->isolation == ISOLATION_LOCKING)
        locks_were_asked_for = true;
    if (operation->kind == PUT)
        operation->value = value_choose(operation->detail);
    else if (operation->kind == SCAN || operation->kind == COUNT)
        range_choose(operation);
}

/* --- telling --- */

static void trace(const struct player *player, const struct operation *operation)
{
    static const char *const names[] = {
        [BEGIN] = "BEGIN",   [GET] = "GET",       [ASK] = "ASK",           [PUT] = "PUT",       [DEL] = "DEL",
        [SCAN] = "SCAN",     [COUNT] = "COUNT",   [COMMIT] = "COMMIT",     [ROLLBACK] = "ROLLBACK",
        [EXPIRE] = "EXPIRE", [REOPEN] = "REOPEN", [LEAVE] = "LEAVE",       [TIDY] = "TIDY",
    };
    static int is_wanted = -1;

    if (is_wanted < 0)
        is_wanted = getenv("FUZZ_TRACE") != NULL;
    if (is_wanted == 0)
        return;
    (void)fprintf(stderr, "session %d, transaction %u: %s, key %c of %zu bytes, value of %zu bytes, level %d, dies at %u\n",
                  (int)(player - players), operation->transaction, names[operation->kind],
                  operation->key.size > 1 ? operation->key.data[1] : ' ', operation->key.size, operation->value.size,
                  (int)operation->isolation, operation->death_points);
}

static void difference_print(const char *difference)
{
    (void)fprintf(stderr, "%s: the engine says %s, the model %s\n", difference, status_message(engine_reply.status),
                  status_message(model_reply.status));
}

/* --- comparing --- */

static void check_replies(const struct player *player)
{
    const char *difference = reply_difference(&engine_reply, &model_reply, player->model);

    if (difference != NULL)
        difference_print(difference);
    ENSURE(difference == NULL);
}

/* Keeps in mind what the operation did to its transaction. */
static void follow(struct player *player, const struct operation *operation)
{
    enum status status = engine_reply.status;
    bool has_failed = status != STATUS_OK && status != STATUS_NOT_FOUND;

    if (operation->kind == BEGIN) {
        player->is_open[operation->transaction] = !has_failed;
        player->is_locking[operation->transaction] = operation->isolation == ISOLATION_LOCKING;
        player->must_roll_back[operation->transaction] = false;
    } else if (operation->kind == COMMIT || operation->kind == ROLLBACK) {
        player->is_open[operation->transaction] = false;
        player->must_roll_back[operation->transaction] = false;
    } else if (has_failed && operation->transaction != STORE_SINGLE) {
        player->must_roll_back[operation->transaction] = true;
    }
}

static void roll_back_engine(void *context)
{
    struct player *player = context;

    store_rollback(player->engine, player->engine_number[player->operation->transaction]);
}

/* The engine was full and did nothing: nothing is done in the model either, and the transaction ends in both. Keeping a key
 * needs memory, too. */
static bool was_full(struct player *player, const struct operation *operation)
{
    unsigned transaction = operation->transaction;
    bool is_write = operation->kind == PUT || operation->kind == COMMIT ||
                    (operation->kind == DEL && transaction != STORE_SINGLE);
    bool is_locking_read = (operation->kind == GET || operation->kind == ASK) && player->is_locking[transaction];

    if (engine_reply.status != STATUS_OUT_OF_MEMORY || (!is_write && !is_locking_read))
        return false;
    if (transaction == STORE_SINGLE)
        return true;
    if (operation->kind != COMMIT)
        (void)mortal_do(&player->mortal, roll_back_engine, player, 0);
    store_rollback(player->model, player->model_number[transaction]);
    player->is_open[transaction] = false;
    return true;
}

static void do_model_operation(struct player *player, const struct operation *operation)
{
    do_operation(player->model, &player->model_number[operation->transaction], operation, &model_reply);
}

/* A thread died in it: it has happened if the record said so, else not. */
static void die(struct player *player, const struct operation *operation)
{
    if (player->has_committed) {
        do_model_operation(player, operation);
        ENSURE(model_reply.status == STATUS_OK);
    }
    player_forget(player);
}

static void command_step(struct player *player, struct operation *operation)
{
    player->operation = operation;
    player->has_committed = false;
    if (!mortal_do(&player->mortal, do_engine_operation, player, operation->death_points)) {
        die(player, operation);
        return;
    }
    if (was_full(player, operation))
        return;
    do_model_operation(player, operation);
    check_replies(player);
    follow(player, operation);
}

static void expire_step(struct player *player, const struct operation *operation)
{
    bool was_open = shared_store_expire(player->engine, player->engine_number[operation->transaction]);

    ENSURE(was_open == model_store_expire(player->model, player->model_number[operation->transaction]));
}

static void step(struct player *player, struct operation *operation)
{
    if (player->engine == NULL)
        player_open(player, operation->death_points);
    if (player->engine == NULL)
        return;
    switch (operation->kind) {
    case EXPIRE:
        expire_step(player, operation);
        break;
    case REOPEN:
        player->has_committed = false;
        if (mortal_do(&player->mortal, close_engine_session, player, operation->death_points))
            player_forget(player);
        else
            die(player, operation);
        break;
    case LEAVE:
        player_forget(player);
        break;
    case TIDY:
        if (!mortal_do(&player->mortal, tidy_engine, player, operation->death_points))
            player_forget(player);
        break;
    default:
        command_step(player, operation);
        break;
    }
}

/* With nobody inside: what the dead left is put in order, everything is valid, and every key has its value. */
static void check_at_the_end(void)
{
    struct operation operation = {.kind = GET};

    for (unsigned i = 0; i < SESSIONS; i++)
        player_close(&players[i]);
    while (shared_store_tidy(engine)) {
    }
    private_store_check(engine);
    player_open(&players[0], 0);
    if (players[0].engine == NULL)
        return;
    for (unsigned number = 0; number < 24; number++) {
        operation.key = key_fill(operation.key_data, number);
        command_step(&players[0], &operation);
    }
    operation.kind = COUNT;
    operation.key = bytes_from(NULL, 0);
    command_step(&players[0], &operation);
    player_close(&players[0]);
    private_store_check(engine);
}

/* --- beginning and end --- */

static uint64_t engine_hash(void *context, struct bytes key)
{
    (void)context;
    return shared_store_hash(engine, key);
}

static void stores_open(uint8_t size)
{
    static const size_t kibibytes[] = {256, 128, 96, 1024};
    struct model_store_options options = {.hash = engine_hash, .shard_count = SHARD_COUNT};

    engine = private_store_create(kibibytes[size % 4] << 10, SHARD_COUNT);
    options.value_bytes_max = store_value_bytes_max(engine);
    model = model_store_create(&options);
    model_store_offer_locking(model, NULL, NULL);
    memset(players, 0, sizeof(players));
    operations_done = 0;
    locks_were_asked_for = false;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct input input = input_from(data, size);

    stores_open(input_byte(&input));
    while (!input_is_empty(&input) && operations_done++ < OPERATIONS_MAX) {
        struct operation operation;
        struct player *player;

        operation_choose(&operation, &input, &player);
        trace(player, &operation);
        step(player, &operation);
    }
    check_at_the_end();
    model_store_destroy(model);
    shared_store_destroy(engine);
    return 0;
}
