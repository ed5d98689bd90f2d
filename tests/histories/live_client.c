#include "histories/live_client.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define LINES_MAX (HISTORY_STEPS_MAX + 2u)
#define KILL_DELAY_MAX_NS 250000u

/* Now and then a client leaves and comes back. */
#define LEAVE_ONE_IN 500u

enum line_kind {
    LINE_START,
    LINE_STEP,
    LINE_COMMIT,
    LINE_ROLLBACK
};

struct line {
    enum line_kind kind;
    struct history_step step;
    unsigned batch; /* lines of one batch are sent together, before the first reply is read */
};

enum fate {
    FATE_NONE,
    FATE_KILL,   /* the worker is killed when it has a batch */
    FATE_HANG_UP /* the client does not wait for the replies to the last batch */
};

/* A transaction as it is meant to be. */
struct script {
    const struct live_level *level; /* NULL: a single command */
    struct line lines[LINES_MAX];
    unsigned line_count;
    unsigned batch_count;
    enum fate fate;
    unsigned fate_batch;
    uint64_t kill_delay_ns;
    pid_t worker; /* to be killed */
};

struct answer {
    enum status status;
    uint64_t value; /* of a GET; HISTORY_DAMAGED if it is none that was put */
    uint64_t number;
    bool has_times;
    struct store_times times;
    unsigned conflict_key;
};

/* --- connections --- */

static void connect_if_needed(struct live_client *client)
{
    if (client->connection.descriptor >= 0 && store_random_one_in(&client->random, LEAVE_ONE_IN))
        client_close(&client->connection);
    if (client->connection.descriptor < 0)
        client_connect(&client->connection, client->round->server);
}

static _Noreturn void give_up(const struct live_client *client, const char *what)
{
    driver_fail(client->round->server, "client %u: %s", client->number, what);
}

/* --- values: a number, and sometimes something behind it, so that one that was cut or mixed up is seen --- */

static uint64_t new_value(struct live_client *client)
{
    return (uint64_t)(client->number + 1) << 40 | (uint64_t)client->round->number << 24 | ++client->values_written;
}

static size_t tail_bytes(uint64_t value)
{
    return value % 16 == 0 ? value % 1999 : 0;
}

static uint64_t value_from(const char *text)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    size_t size = strspn(end, ".");

    return end > text && end[size] == '"' && size == tail_bytes(value) ? value : HISTORY_DAMAGED;
}

/* --- lines --- */

static void format_key(const struct live_client *client, unsigned key, char text[32])
{
    (void)snprintf(text, 32, "round%u.%u", client->round->number, key);
}

static void append_step(struct live_client *client, const struct history_step *step)
{
    char key[32];

    format_key(client, step->key, key);
    switch (step->kind) {
    case HISTORY_GET:
        text_format(&client->lines, "GET %s\n", key);
        break;
    case HISTORY_PUT:
        text_format(&client->lines, "PUT %s %" PRIu64, key, step->value);
        text_append_repeated(&client->lines, '.', tail_bytes(step->value));
        text_append_string(&client->lines, "\n");
        break;
    case HISTORY_DEL:
        text_format(&client->lines, "DEL %s\n", key);
        break;
    case HISTORY_COUNT:
        text_format(&client->lines, "COUNT round%u.\n", client->round->number);
        break;
    }
}

static void append_line(struct live_client *client, const struct script *script, const struct line *line)
{
    if (line->kind == LINE_STEP)
        append_step(client, &line->step);
    else if (line->kind == LINE_START)
        text_format(&client->lines, "START %s\n", script->level->option);
    else
        text_append_string(&client->lines, line->kind == LINE_COMMIT ? "COMMIT\n" : "ROLLBACK\n");
}

static bool send_lines(struct live_client *client)
{
    bool is_sent = client_try_send(&client->connection, text_bytes(&client->lines));

    text_clear(&client->lines);
    return is_sent;
}

/* --- answers --- */

static enum status status_from(const char *reply)
{
    const char *code = strstr(reply, "\"code\": \"");
    unsigned status = STATUS_OK + 1;

    if (strncmp(reply, "{\"status\": \"Ok\"", 15) == 0)
        return STATUS_OK;
    for (; code != NULL && status < STATUS_COUNT; status++) {
        const char *name = status_code((enum status)status);

        if (strncmp(code + 9, name, strlen(name)) == 0 && code[9 + strlen(name)] == '"')
            return (enum status)status;
    }
    return STATUS_INTERNAL;
}

/* UINT32_MAX: a key that nobody has. */
static unsigned conflict_key_from(const struct live_client *client, const char *reply)
{
    const char *name = strstr(reply, "The key ");
    char key[32];

    if (strstr(reply, "Keys that were scanned") != NULL)
        return HISTORY_RANGE;
    for (unsigned i = 0; name != NULL && i < client->round->plan->key_count; i++) {
        format_key(client, i, key);
        if (strncmp(name + 8, key, strlen(key)) == 0 && name[8 + strlen(key)] == ' ')
            return i;
    }
    return UINT32_MAX;
}

static struct answer answer_from(const struct live_client *client, const char *reply)
{
    struct answer answer = {.status = status_from(reply), .conflict_key = HISTORY_RANGE};
    const char *result = strstr(reply, "\"result\": ");
    const char *times = strstr(reply, "\"times\": [");
    char *end;

    if (answer.status == STATUS_CONFLICT)
        answer.conflict_key = conflict_key_from(client, reply);
    if (result != NULL && result[10] == '"')
        answer.value = value_from(result + 11);
    else if (result != NULL)
        answer.number = strtoull(result + 10, NULL, 10);
    if (times != NULL) {
        answer.has_times = true;
        answer.times.snapshot = strtoull(times + 10, &end, 10);
        answer.times.commit = strtoull(end + 1, NULL, 10);
    }
    return answer;
}

/* --- what is to be done --- */

static struct line *add_line(struct script *script, enum line_kind kind)
{
    struct line *line = &script->lines[script->line_count++];

    INVARIANT(script->line_count <= LINES_MAX);
    *line = (struct line){.kind = kind};
    return line;
}

static void add_step(struct live_client *client, struct script *script, enum history_step_kind kind, unsigned key)
{
    struct line *line = add_line(script, LINE_STEP);

    line->step = (struct history_step){.kind = kind, .key = key};
    if (kind == HISTORY_PUT)
        line->step.value = new_value(client);
}

static unsigned any_key(struct live_client *client)
{
    return (unsigned)store_random_below(&client->random, client->round->plan->key_count);
}

static void add_read(struct live_client *client, struct script *script)
{
    bool counts = client->round->plan->habit == LIVE_COUNT && store_random_one_in(&client->random, 12);

    add_step(client, script, counts ? HISTORY_COUNT : HISTORY_GET, counts ? 0 : any_key(client));
}

static void add_write(struct live_client *client, struct script *script, unsigned key)
{
    add_step(client, script, store_random_one_in(&client->random, 4) ? HISTORY_DEL : HISTORY_PUT, key);
}

/* Up to 4 reads and 1 or 2 writes, or 2 to 5 reads. */
static void choose_blind_steps(struct live_client *client, struct script *script)
{
    struct store_random *random = &client->random;
    bool only_reads = store_random_one_in(random, 3);
    uint64_t writes = only_reads ? 0 : 1 + store_random_below(random, 2);
    uint64_t reads = only_reads ? 2 + store_random_below(random, 4) : store_random_below(random, 5);

    while (reads + writes > 0) {
        if (store_random_below(random, reads + writes) < writes) {
            add_write(client, script, any_key(client));
            writes--;
        } else {
            add_read(client, script);
            reads--;
        }
    }
}

/* Up to 3 pairs are read, then 1 or 2 of them written, the stamp always with a value. */
static void choose_stamped_steps(struct live_client *client, struct script *script)
{
    struct store_random *random = &client->random;
    unsigned pair_count = client->round->plan->key_count / 2;
    unsigned pairs[3];
    unsigned reads = 1 + (unsigned)store_random_below(random, 3);
    unsigned writes = store_random_one_in(random, 3) ? 0 : 1 + (unsigned)store_random_below(random, 2);

    for (unsigned i = 0; i < reads; i++) {
        bool is_new = true;

        pairs[i] = (unsigned)store_random_below(random, pair_count);
        for (unsigned j = 0; j < i; j++)
            is_new = is_new && pairs[j] != pairs[i];
        if (!is_new) {
            reads = i;
            break;
        }
        add_step(client, script, HISTORY_GET, 2 * pairs[i]);
        add_step(client, script, HISTORY_GET, 2 * pairs[i] + 1);
    }
    for (unsigned i = 0; i < writes && i < reads; i++) {
        add_step(client, script, HISTORY_PUT, 2 * pairs[i]);
        add_write(client, script, 2 * pairs[i] + 1);
    }
}

static void choose_single(struct live_client *client, struct script *script)
{
    bool reads = store_random_one_in(&client->random, 2);

    if (client->round->plan->habit == LIVE_STAMPS)
        add_step(client, script, HISTORY_GET, any_key(client) / 2 * 2);
    else if (reads)
        add_read(client, script);
    else
        add_write(client, script, any_key(client));
}

static const struct live_level *choose_level(struct live_client *client)
{
    const struct live_level *levels = client->round->plan->levels;
    uint64_t weights = levels[0].weight;
    uint64_t chosen;

    for (unsigned i = 1; i < LIVE_LEVELS_MAX && levels[i].option != NULL; i++)
        weights += levels[i].weight;
    chosen = store_random_below(&client->random, weights);
    while (chosen >= levels->weight)
        chosen -= (levels++)->weight;
    return levels;
}

/* One by one; all at once; or what is read first, so that the client knows what it read before it sends COMMIT. */
static void choose_batches(struct live_client *client, struct script *script)
{
    bool is_patient = store_random_one_in(&client->random, 3);
    bool reads_first = client->round->plan->habit == LIVE_STAMPS;
    unsigned batch = 0;

    for (unsigned i = 0; i < script->line_count; i++) {
        struct line *line = &script->lines[i];
        bool is_read = line->kind == LINE_START || (line->kind == LINE_STEP && !history_step_writes(&line->step));

        if (i > 0 && (is_patient || (reads_first && batch == 0 && !is_read)))
            batch++;
        line->batch = batch;
    }
    script->batch_count = batch + 1;
}

static bool deletes(const struct script *script)
{
    for (unsigned i = 0; i < script->line_count; i++) {
        if (script->lines[i].kind == LINE_STEP && script->lines[i].step.kind == HISTORY_DEL)
            return true;
    }
    return false;
}

static bool is_unlucky(struct live_client *client, unsigned one_in)
{
    return one_in > 0 && store_random_one_in(&client->random, one_in);
}

/* A deletion that may still happen can only be seen where it has a stamp. */
static void choose_fate(struct live_client *client, struct script *script)
{
    const struct live_plan *plan = client->round->plan;
    int nobody = 0;

    if (script->lines[script->line_count - 1].kind == LINE_COMMIT && is_unlucky(client, plan->hang_up_one_in) &&
        (plan->habit == LIVE_STAMPS || !deletes(script))) {
        script->fate = FATE_HANG_UP;
        script->fate_batch = script->batch_count - 1;
    } else if (is_unlucky(client, plan->kill_one_in) &&
               (!plan->takes_turns ||
                atomic_compare_exchange_strong(&client->round->turn, &nobody, (int)client->number + 1))) {
        script->fate = FATE_KILL;
        script->fate_batch = (unsigned)store_random_below(&client->random, script->batch_count);
        if (store_random_one_in(&client->random, 2))
            script->fate_batch = script->batch_count - 1;
        script->kill_delay_ns = store_random_below(&client->random, KILL_DELAY_MAX_NS);
        script->worker = client_worker(&client->connection);
    }
}

static void choose_script(struct live_client *client, struct script *script)
{
    *script = (struct script){.fate = FATE_NONE};
    if (store_random_one_in(&client->random, 4)) {
        choose_single(client, script);
        choose_batches(client, script);
        return;
    }
    script->level = choose_level(client);
    (void)add_line(script, LINE_START);
    if (client->round->plan->habit == LIVE_STAMPS)
        choose_stamped_steps(client, script);
    else
        choose_blind_steps(client, script);
    (void)add_line(script, store_random_one_in(&client->random, 15) ? LINE_ROLLBACK : LINE_COMMIT);
    choose_batches(client, script);
}

/* --- what comes of it --- */

static struct history_transaction *current(const struct live_client *client)
{
    return &client->transactions[client->count];
}

static void begin(struct live_client *client, const struct script *script)
{
    *current(client) = (struct history_transaction){
        .client = client->number,
        .is_single = script->level == NULL,
        .isolation = script->level == NULL ? ISOLATION_SERIALIZABLE : script->level->claimed,
        .outcome = STATUS_OK,
        .conflict_key = HISTORY_RANGE,
        .invoked_ns = clock_monotonic_ns(),
    };
}

static void finish(struct live_client *client)
{
    current(client)->returned_ns = clock_monotonic_ns();
    client->count++;
}

static void note_step(struct history_transaction *transaction, const struct history_step *step)
{
    transaction->steps[transaction->step_count++] = *step;
}

/* The connection has ended, or the client leaves, and no reply has come to the lines from `first` on. What was sent in
 * the last batch may have happened. */
static void end_unknown(struct live_client *client, const struct script *script, unsigned first, unsigned batches_sent)
{
    struct history_transaction *transaction = current(client);
    bool would_commit = script->lines[script->line_count - 1].kind != LINE_ROLLBACK;

    if (batches_sent < script->batch_count || !would_commit || transaction->outcome != STATUS_OK) {
        transaction->outcome = STATUS_ABORTED;
        return;
    }
    for (unsigned i = first; i < script->line_count; i++) {
        if (script->lines[i].kind == LINE_STEP && history_step_writes(&script->lines[i].step))
            note_step(transaction, &script->lines[i].step);
    }
    transaction->outcome = history_transaction_writes(transaction) ? STATUS_OUTCOME_UNKNOWN : STATUS_ABORTED;
}

static bool may_fail_so(enum status status)
{
    return status == STATUS_DEADLOCK || status == STATUS_TIMEOUT || status == STATUS_LOCK_TIMEOUT ||
           status == STATUS_OUT_OF_MEMORY || status == STATUS_CONFLICT;
}

/* A failure of the transaction; the first one counts, and makes all that follow `aborted`. */
static void note_failure(struct live_client *client, const struct line *line, enum status status, const char *reply)
{
    struct history_transaction *transaction = current(client);
    bool is_a_consequence = status == STATUS_ABORTED && transaction->outcome != STATUS_OK;

    if (transaction->outcome == STATUS_OK && may_fail_so(status))
        transaction->outcome = status;
    else if (!is_a_consequence)
        driver_fail(client->round->server, "client %u: line %u was answered %s", client->number, (unsigned)line->kind,
                    reply);
}

static void note_reply(struct live_client *client, const struct line *line, const char *reply)
{
    struct history_transaction *transaction = current(client);
    struct answer answer = answer_from(client, reply);
    struct history_step step = line->step;
    bool is_absent = line->kind == LINE_STEP && step.kind == HISTORY_GET && answer.status == STATUS_NOT_FOUND;

    if (answer.status != STATUS_OK && !is_absent) {
        note_failure(client, line, answer.status, reply);
        transaction->conflict_key = answer.conflict_key;
    } else if (line->kind == LINE_STEP) {
        if (step.kind == HISTORY_GET)
            step.value = is_absent ? 0 : answer.value;
        else if (step.kind == HISTORY_COUNT)
            step.value = answer.number;
        note_step(transaction, &step);
    } else if (line->kind == LINE_ROLLBACK && transaction->outcome == STATUS_OK) {
        transaction->outcome = STATUS_ABORTED;
    }
    transaction->has_times = answer.has_times;
    transaction->times = answer.times;
}

/* --- one transaction --- */

static void kill_worker(struct live_client *client, const struct script *script)
{
    uint64_t begin_ns = clock_monotonic_ns();

    while (clock_monotonic_ns() - begin_ns < script->kill_delay_ns) {
    }
    if (kill(script->worker, SIGKILL) != 0)
        give_up(client, "its worker is gone already");
    client->has_killed = true;
    atomic_fetch_add(&client->round->kills, 1);
}

static void send_batch(struct live_client *client, const struct script *script, unsigned batch)
{
    for (unsigned i = 0; i < script->line_count; i++) {
        if (script->lines[i].batch == batch)
            append_line(client, script, &script->lines[i]);
    }
    if (!send_lines(client) && !client->has_killed)
        give_up(client, "cannot send");
    if (script->fate == FATE_KILL && batch == script->fate_batch)
        kill_worker(client, script);
}

/* Reads the replies to a batch; *next is the first line without one. False: the connection has ended. */
static bool read_batch(struct live_client *client, const struct script *script, unsigned batch, unsigned *next)
{
    for (; *next < script->line_count && script->lines[*next].batch == batch; ++*next) {
        const char *reply = client_read_line(&client->connection);

        if (reply == NULL && !client->has_killed)
            give_up(client, "the connection ended, and nobody had killed the worker");
        if (reply == NULL)
            return false;
        note_reply(client, &script->lines[*next], reply);
    }
    return true;
}

/* A transaction that failed before its last batch still has to be ended. */
static void end_failed(struct live_client *client, const struct script *script)
{
    static const struct line rollback = {.kind = LINE_ROLLBACK};
    const char *reply;

    append_line(client, script, &rollback);
    (void)send_lines(client);
    reply = client_read_line(&client->connection);
    if (reply == NULL && !client->has_killed)
        give_up(client, "the connection ended, and nobody had killed the worker");
    if (reply != NULL)
        note_reply(client, &rollback, reply);
}

static void hang_up(struct live_client *client, const struct script *script, unsigned next)
{
    client_close(&client->connection);
    atomic_fetch_add(&client->round->hang_ups, 1);
    end_unknown(client, script, next, script->batch_count);
    current(client)->is_pending = current(client)->outcome == STATUS_OUTCOME_UNKNOWN;
}

static void run_script(struct live_client *client, const struct script *script)
{
    struct history_transaction *transaction = current(client);
    bool has_failed = false;
    unsigned next = 0;

    begin(client, script);
    for (unsigned batch = 0; batch < script->batch_count && !has_failed; batch++) {
        send_batch(client, script, batch);
        if (script->fate == FATE_HANG_UP && batch == script->fate_batch) {
            hang_up(client, script, next);
            break;
        }
        if (!read_batch(client, script, batch, &next)) {
            end_unknown(client, script, next, batch + 1);
            break;
        }
        has_failed = transaction->outcome != STATUS_OK && batch + 1 < script->batch_count;
        if (has_failed)
            end_failed(client, script);
    }
    finish(client);
}

/* So that whoever reads the clock afterwards knows that it is past the unknown outcome. */
static void pass_turn_on(struct live_client *client)
{
    struct script script = {.batch_count = 1};

    client_connect(&client->connection, client->round->server);
    add_step(client, &script, HISTORY_PUT, any_key(client));
    run_script(client, &script);
    atomic_store(&client->round->turn, 0);
}

void live_client_step(struct live_client *client)
{
    struct script script;

    connect_if_needed(client);
    client->has_killed = false;
    choose_script(client, &script);
    choose_fate(client, &script);
    run_script(client, &script);
    if (script.fate != FATE_KILL)
        return;
    if (!client->has_killed) /* the transaction had failed before */
        kill_worker(client, &script);
    while (client_read_line(&client->connection) != NULL) {
    }
    client_close(&client->connection);
    if (client->round->plan->takes_turns)
        pass_turn_on(client);
}

unsigned live_client_read_all(struct live_client *client)
{
    static const struct live_level serializable = {"SERIALIZABLE", ISOLATION_SERIALIZABLE, 1};
    unsigned width = client->round->plan->habit == LIVE_STAMPS ? 2 : 1;
    size_t begun = client->count;

    connect_if_needed(client);
    for (unsigned key = 0; key < client->round->plan->key_count; key += width) {
        struct script script = {.level = &serializable, .batch_count = 1};

        (void)add_line(&script, LINE_START);
        for (unsigned i = 0; i < width; i++)
            add_step(client, &script, HISTORY_GET, key + i);
        (void)add_line(&script, LINE_COMMIT);
        run_script(client, &script);
    }
    return (unsigned)(client->count - begun);
}

void live_client_init(struct live_client *client, struct live_round *round, unsigned number,
                      struct history_transaction *transactions)
{
    *client = (struct live_client){
        .round = round,
        .number = number,
        .random.state = round->seed + number * (uint64_t)1000003 + round->number * (uint64_t)7919,
        .connection.descriptor = -1,
        .transactions = transactions,
    };
}

void live_client_deinit(struct live_client *client)
{
    if (client->connection.descriptor >= 0)
        client_close(&client->connection);
    text_deinit(&client->lines);
}

bool live_server_offers(const struct server *server, const char *option)
{
    struct client client;
    char line[64];
    bool is_offered;

    (void)snprintf(line, sizeof(line), "START %s", option);
    client_connect(&client, server);
    is_offered = status_from(client_say(&client, line)) == STATUS_OK;
    client_close(&client);
    return is_offered;
}
