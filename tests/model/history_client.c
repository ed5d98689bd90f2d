#include "model/history_client.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "transaction/engine.h"

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static struct bytes key_of(unsigned number, char text[16])
{
    return bytes_from(text, (size_t)snprintf(text, 16, "key %u", number));
}

/* A value's size follows from its number, so a reader can tell one that was cut. */
static size_t size_of_value(const struct history_client *client, uint64_t number)
{
    struct store_random random = {number};
    size_t room = client->value_bytes_max - HISTORY_VALUE_BYTES_MIN;
    size_t end = room;

    for (uint64_t halvings = store_random_below(&random, 12); halvings > 0 && end > 64; halvings--)
        end /= 2;
    return HISTORY_VALUE_BYTES_MIN + (size_t)store_random_below(&random, end + 1);
}

static uint64_t number_of_value(const struct history_client *client)
{
    struct bytes seen = store_buffer_bytes(&client->seen);
    uint64_t number;

    if (seen.size < sizeof(number))
        return HISTORY_DAMAGED;
    memcpy(&number, seen.data, sizeof(number));
    return store_content_is(seen, size_of_value(client, number), number) ? number : HISTORY_DAMAGED;
}

/* --- one step --- */

static void let_others_run(struct history_client *client, unsigned one_in)
{
    if (client->yields && store_random_one_in(&client->random, one_in))
        sched_yield();
}

/* What a value stands on must stay as it is until its last piece was given. */
static void write_seen(void *context, struct bytes piece)
{
    struct history_client *client = context;

    let_others_run(client, 4);
    store_buffer_append(&client->seen, piece);
}

static enum status do_get(struct history_client *client, struct history_step *step)
{
    struct store_sink sink = {.write = write_seen, .context = client};
    enum status status;
    char text[16];

    client->seen.size = 0;
    status = store_get(client->session, client->transaction, key_of(step->key, text), &sink);
    step->value = status == STATUS_OK ? number_of_value(client) : 0;
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

static enum status do_put(struct history_client *client, struct history_step *step)
{
    char text[16];
    size_t size;

    step->value = (uint64_t)(client->number + 1) << 40 | ++client->values_written;
    size = size_of_value(client, step->value);
    store_content_fill(client->content, size, step->value);
    return store_put(client->session, client->transaction, key_of(step->key, text), bytes_from(client->content, size));
}

static enum status do_step(struct history_client *client, struct history_step *step)
{
    char text[16];

    switch (step->kind) {
    case HISTORY_GET:
        return do_get(client, step);
    case HISTORY_PUT:
        return do_put(client, step);
    case HISTORY_DEL:
        return store_del(client->session, client->transaction, key_of(step->key, text));
    case HISTORY_COUNT:
        return store_count(client->session, client->transaction, bytes_from_string("key "), &step->value);
    }
    return STATUS_INTERNAL;
}

/* --- a transaction --- */

static struct history_transaction *current(const struct history_client *client)
{
    return &client->transactions[client->count];
}

static void choose_step(struct history_client *client, struct history_step *step)
{
    struct store_random *random = &client->random;

    memset(step, 0, sizeof(*step));
    step->key = (unsigned)store_random_below(random, HISTORY_KEYS);
    if (store_random_below(random, 100) < client->reads_percent)
        step->kind = store_random_one_in(random, 15) ? HISTORY_COUNT : HISTORY_GET;
    else
        step->kind = store_random_one_in(random, 4) ? HISTORY_DEL : HISTORY_PUT;
}

static void choose_skew_step(struct history_client *client, struct history_step *step)
{
    const struct history_transaction *transaction = current(client);

    memset(step, 0, sizeof(*step));
    step->kind = transaction->step_count == 0 ? HISTORY_GET : HISTORY_PUT;
    step->key = transaction->step_count == 0 ? (unsigned)store_random_below(&client->random, 2)
                                             : 1 - transaction->steps[0].key;
}

/* Where memory is short, who is idle in a transaction for RECLAIM_IDLE_MS loses it: on a busy machine a client may have
 * stood still for so long. */
static bool has_stood_still(const struct history_client *client)
{
    const struct history_transaction *last = client->count == 0 ? NULL : &client->transactions[client->count - 1];

    return last != NULL && last->outcome == STATUS_TIMEOUT &&
           last->returned_ns - last->invoked_ns >= (uint64_t)RECLAIM_IDLE_MS * 1000000u;
}

static bool is_expected(const struct history_client *client, enum status status)
{
    switch (status) {
    case STATUS_OK:
    case STATUS_CONFLICT:
        return true;
    case STATUS_OUT_OF_MEMORY:
        return client->may_be_full;
    case STATUS_TIMEOUT:
        return client->may_be_full && has_stood_still(client);
    default:
        return false;
    }
}

static void finish(struct history_client *client, enum status outcome)
{
    struct history_transaction *transaction = current(client);

    transaction->returned_ns = now_ns();
    transaction->times = store_session_times(client->session);
    transaction->has_times = true;
    transaction->outcome = outcome;
    client->is_open = false;
    client->count++;
}

static void start(struct history_client *client, bool is_single, enum isolation isolation)
{
    struct history_transaction *transaction = current(client);

    memset(transaction, 0, sizeof(*transaction));
    transaction->client = client->number;
    transaction->is_single = is_single;
    transaction->isolation = isolation;
    transaction->conflict_key = HISTORY_RANGE;
    transaction->invoked_ns = now_ns();
}

static enum status run_single(struct history_client *client, const struct history_step *wanted)
{
    struct history_transaction *transaction = current(client);
    struct history_step *step = &transaction->steps[0];
    enum status status;

    start(client, true, ISOLATION_SERIALIZABLE);
    *step = *wanted;
    client->transaction = STORE_SINGLE;
    status = do_step(client, step);
    transaction->step_count = status == STATUS_OK ? 1 : 0;
    finish(client, status);
    return status;
}

static enum status begin(struct history_client *client)
{
    static const unsigned mixes[] = {0, 50, 50, 70, 100}; /* per cent of reads */
    struct store_random *random = &client->random;
    bool is_skew = client->habit == HISTORY_OF_SKEW;
    enum isolation isolation =
        !is_skew && store_random_one_in(random, 5) ? ISOLATION_READ_COMMITTED : ISOLATION_SERIALIZABLE;

    client->reads_percent = mixes[store_random_below(random, sizeof(mixes) / sizeof(mixes[0]))];
    client->steps_wanted = is_skew ? 2 : 1 + (unsigned)store_random_below(random, HISTORY_STEPS_MAX);
    client->rolls_back = !is_skew && store_random_one_in(random, 15);
    client->is_open = true;
    start(client, false, isolation);
    return store_begin(client->session, isolation, &client->transaction);
}

static void remember_conflict(struct history_transaction *transaction, struct bytes key)
{
    char text[16];

    transaction->conflict_key = key.size == 0 ? HISTORY_RANGE : UINT32_MAX;
    for (unsigned number = 0; number < HISTORY_KEYS; number++) {
        if (bytes_equal(key, key_of(number, text)))
            transaction->conflict_key = number;
    }
}

static enum status end(struct history_client *client)
{
    struct bytes conflict_key = bytes_from(NULL, 0);
    enum status status;

    if (client->rolls_back) {
        store_rollback(client->session, client->transaction);
        finish(client, STATUS_ABORTED);
        return STATUS_OK;
    }
    status = store_commit(client->session, client->transaction, &conflict_key);
    remember_conflict(current(client), conflict_key);
    finish(client, status);
    return status;
}

static enum status next_step(struct history_client *client)
{
    struct history_transaction *transaction = current(client);
    struct history_step *step = &transaction->steps[transaction->step_count];
    enum status status;

    if (client->habit == HISTORY_OF_SKEW)
        choose_skew_step(client, step);
    else
        choose_step(client, step);
    status = do_step(client, step);
    if (status == STATUS_OK) {
        transaction->step_count++;
        return status;
    }
    store_rollback(client->session, client->transaction);
    finish(client, status);
    return status;
}

bool history_client_step(struct history_client *client, enum status *status)
{
    struct history_step single;

    if (!client->is_open && client->habit == HISTORY_OF_EVERYTHING && store_random_one_in(&client->random, 3)) {
        client->reads_percent = 40;
        choose_step(client, &single);
        *status = run_single(client, &single);
    } else if (!client->is_open) {
        *status = begin(client);
    } else if (current(client)->step_count == client->steps_wanted) {
        *status = end(client);
    } else {
        *status = next_step(client);
    }
    let_others_run(client, 8);
    return is_expected(client, *status);
}

bool history_client_read_all(struct history_client *client, enum status *status)
{
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        struct history_step step = {HISTORY_GET, key, 0};

        *status = run_single(client, &step);
        if (*status != STATUS_OK)
            return false;
    }
    return true;
}

void history_client_init(struct history_client *client, struct store_session *session, unsigned number,
                         size_t value_bytes_max, uint64_t seed)
{
    REQUIRE(value_bytes_max >= HISTORY_VALUE_BYTES_MIN);
    memset(client, 0, sizeof(*client));
    client->session = session;
    client->number = number;
    client->value_bytes_max = value_bytes_max;
    client->random.state = seed + number * (uint64_t)1000003;
    client->content = malloc(value_bytes_max + sizeof(uint64_t));
    REQUIRE(client->content != NULL);
}

void history_client_deinit(struct history_client *client)
{
    free(client->content);
    store_buffer_deinit(&client->seen);
}
