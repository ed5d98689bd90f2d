/* Histories: processes make random transactions on few keys at the same time
 * and write down what they see; afterwards their account must be one that a
 * strictly serializable store can have given (history_order.h). The other half of the
 * cases is proof that the check can fail.
 *
 *   HAUSKV_TEST_SEED=<seed>   another history (how processes meet is not repeated)
 *   HAUSKV_TEST_STEPS=<n>     n transactions in all */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model/history_client.h"
#include "support/process.h"
#include "support/store_fixture.h"
#include "support/store_flaw.h"

#define CLIENTS 4u

/* --- processes over the shared store --- */

struct variant {
    const char *name;
    size_t transactions; /* of all processes together */
    size_t value_bytes_max;
    size_t bytes; /* of shared memory */
    bool may_be_full; /* also where a process that is not scheduled keeps many large old values */
    enum history_habit habit;
};

/* One child's errand; in shared memory. */
struct errand {
    const struct variant *variant;
    struct store *store;
    struct history_transaction *transactions;
    size_t wanted;
    unsigned number;
    uint64_t seed;
    struct process_gate *gate;
    enum status status; /* that ended it, if it had to end */
    size_t count;
};

static size_t value_limit(const struct variant *variant, const struct store *store)
{
    size_t limit = store_value_bytes_max(store);

    return variant->value_bytes_max < limit ? variant->value_bytes_max : limit;
}

static void run_to_the_end(struct history_client *client, struct errand *errand)
{
    bool goes_on = true;

    while (goes_on && !history_client_is_done(client))
        goes_on = history_client_step(client, &errand->status);
    errand->count = client->count;
}

static int client_process(void *context)
{
    struct errand *errand = context;
    struct store_session *session;
    struct history_client client;

    errand->status = store_session_open(errand->store, &session);
    if (errand->status != STATUS_OK)
        return 1;
    history_client_init(&client, session, errand->number, value_limit(errand->variant, errand->store), errand->seed);
    client.transactions = errand->transactions;
    client.wanted = errand->wanted;
    client.may_be_full = errand->variant->may_be_full;
    client.habit = errand->variant->habit;
    client.yields = true;
    process_gate_wait(errand->gate);
    run_to_the_end(&client, errand);
    history_client_deinit(&client);
    store_session_close(session);
    return errand->count == errand->wanted ? 0 : 1;
}

static void run_processes(const struct variant *variant, struct store_fixture *fixture, struct history *history,
                          uint64_t seed)
{
    struct errand *errands = process_shared_memory(CLIENTS * sizeof(struct errand));
    struct process_gate *gate = process_shared_memory(sizeof(struct process_gate));
    pid_t children[CLIENTS];
    size_t share = history->count / CLIENTS;

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct errand errand = {.variant = variant, .store = fixture->store, .wanted = share, .number = i,
                                .seed = seed, .gate = gate, .transactions = history->transactions + i * share};

        errands[i] = errand;
        children[i] = process_start(client_process, &errands[i]);
    }
    process_gate_open(gate);
    for (unsigned i = 0; i < CLIENTS; i++) {
        int end = process_wait(children[i]);

        cr_assert_eq(end, 0, "%s: process %u ended with %#x after %zu transactions: %s", variant->name, i,
                     (unsigned)end, errands[i].count, status_code(errands[i].status));
    }
}

/* The parent reads every key, as the last transactions of the history. */
static void read_what_is_left(const struct variant *variant, struct store_fixture *fixture, struct history *history)
{
    struct store_session *session = store_fixture_session(fixture);
    struct history_client client;
    enum status status;

    history_client_init(&client, session, CLIENTS, value_limit(variant, fixture->store), 0);
    client.transactions = history->transactions + history->count;
    cr_assert(history_client_read_all(&client, &status), "%s: %s", variant->name, status_code(status));
    history->count += client.count;
    history_client_deinit(&client);
    store_session_close(session);
}

static double seconds_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void print_figures(const char *name, uint64_t seed, const struct history *history,
                          const struct history_figures *figures, double seconds)
{
    fprintf(stderr,
            "figures: %s, seed %" PRIu64 ": %zu transactions of %u processes in %.2f s: %zu wrote, %zu only read (%zu single, "
            "%zu READ COMMITTED), %zu conflicts, %zu rolled back, %zu out of memory; %zu reads agree; %zu committed "
            "over others\n",
            name, seed, history->count, CLIENTS, seconds, figures->committed_writers, figures->readers,
            figures->singles, figures->read_committed, figures->conflicts, figures->rolled_back,
            figures->out_of_memory, figures->reads, figures->overlapping);
}

static void is_strictly_serializable(const struct variant *variant)
{
    uint64_t seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    size_t wanted = (size_t)store_environment_number("HAUSKV_TEST_STEPS", variant->transactions) / CLIENTS * CLIENTS;
    struct history history = {
        .count = wanted,
        .capacity = wanted + HISTORY_KEYS,
        .key_count = HISTORY_KEYS,
        .seed = seed,
    };
    struct history_figures figures;
    char reason[HISTORY_REASON_BYTES];
    struct store_fixture fixture;
    const char *invalid;
    double begun = seconds_now();

    history.transactions = process_shared_memory(history.capacity * sizeof(struct history_transaction));
    store_fixture_open(&fixture, STORE_OF_SHARED_MEMORY, variant->bytes);
    run_processes(variant, &fixture, &history, seed);
    read_what_is_left(variant, &fixture, &history);
    begun = seconds_now() - begun;

    cr_assert(store_fixture_is_valid(&fixture, &invalid), "%s: invalid: %s", variant->name, invalid);
    cr_assert(history_check(&history, &figures, reason), "%s, seed %" PRIu64 ": %s", variant->name, seed, reason);
    print_figures(variant->name, seed, &history, &figures, begun);
    store_fixture_close(&fixture);
}

Test(histories, a_hundred_thousand_transactions_of_four_processes)
{
    static const struct variant variant = {"small values", 100000, 64, STORE_FIXTURE_BYTES, false,
                                           HISTORY_OF_EVERYTHING};

    is_strictly_serializable(&variant);
}

Test(histories, values_of_mixed_sizes)
{
    static const struct variant variant = {"mixed sizes", 6000, 1 << 20, 8 * STORE_FIXTURE_BYTES, true,
                                           HISTORY_OF_EVERYTHING};

    is_strictly_serializable(&variant);
}

Test(histories, memory_is_nearly_full)
{
    static const struct variant variant = {"little memory", 20000, 200000, (size_t)1 << 20, true,
                                           HISTORY_OF_EVERYTHING};

    is_strictly_serializable(&variant);
}

Test(histories, everybody_tries_a_write_skew)
{
    static const struct variant variant = {"write skew", 40000, 100000, STORE_FIXTURE_BYTES, true, HISTORY_OF_SKEW};

    is_strictly_serializable(&variant);
}

/* --- proof that the check can fail --- */

static void interleave(struct history_client clients[CLIENTS], uint64_t seed)
{
    struct store_random random = {seed};
    unsigned done = 0;
    enum status status;

    while (done < CLIENTS) {
        struct history_client *client = &clients[store_random_below(&random, CLIENTS)];

        if (history_client_is_done(client))
            continue;
        cr_assert(history_client_step(client, &status), "%s", status_code(status));
        done += history_client_is_done(client);
    }
}

/* A history of one process: four clients take random turns on the model, perhaps with a flaw. */
static struct history model_history(size_t count, size_t value_bytes_max, enum store_flaw flaw, uint64_t seed)
{
    struct history history = {
        .count = count,
        .capacity = count + HISTORY_KEYS,
        .key_count = HISTORY_KEYS,
        .seed = seed,
    };
    struct history_client clients[CLIENTS];
    struct store_session *sessions[CLIENTS];
    struct store_fixture fixture;
    struct store *store;
    enum status status;

    history.transactions = calloc(history.capacity, sizeof(struct history_transaction));
    store_fixture_open(&fixture, STORE_OF_MODEL, 0);
    store = store_flaw_create(fixture.store, flaw);
    for (unsigned i = 0; i < CLIENTS; i++) {
        cr_assert_eq(store_session_open(store, &sessions[i]), STATUS_OK);
        history_client_init(&clients[i], sessions[i], i, value_bytes_max, seed);
        clients[i].transactions = history.transactions + i * (count / CLIENTS);
        clients[i].wanted = count / CLIENTS;
    }
    interleave(clients, seed);
    clients[0].transactions = history.transactions + count;
    clients[0].count = 0;
    cr_assert(history_client_read_all(&clients[0], &status));
    history.count += clients[0].count;
    for (unsigned i = 0; i < CLIENTS; i++) {
        history_client_deinit(&clients[i]);
        store_session_close(sessions[i]);
    }
    store_flaw_destroy(store);
    store_fixture_close(&fixture);
    return history;
}

Test(history_check, believes_the_model)
{
    struct history history = model_history(20000, 2000, STORE_FLAW_NONE, 1);
    struct history_figures figures;
    char reason[HISTORY_REASON_BYTES];

    cr_assert(history_check(&history, &figures, reason), "%s", reason);
    print_figures("model", 1, &history, &figures, 0);
    cr_assert_gt(figures.conflicts, 0);
    cr_assert_gt(figures.overlapping, 0);
    free(history.transactions);
}

static void refuses_flaw(enum store_flaw flaw)
{
    struct history history = model_history(4000, 20000, flaw, 1);
    struct history_figures figures;
    char reason[HISTORY_REASON_BYTES];

    cr_assert_not(history_check(&history, &figures, reason), "believed: %s", store_flaw_description(flaw));
    fprintf(stderr, "%s\n    %s\n", store_flaw_description(flaw), reason);
    free(history.transactions);
}

Test(history_check, refuses_every_flawed_store)
{
    static const enum store_flaw flaws[] = {
        STORE_FLAW_NO_VALIDATION,     STORE_FLAW_ABSENT_NOT_VALIDATED, STORE_FLAW_DIRTY_WRITE,
        STORE_FLAW_ROLLBACK_COMMITS,  STORE_FLAW_COMMIT_DROPS,         STORE_FLAW_NEEDLESS_CONFLICT,
        STORE_FLAW_WRONG_CONFLICT_KEY, STORE_FLAW_DEL_IGNORED,         STORE_FLAW_VALUE_CUT,
        STORE_FLAW_COUNT_FORGETS_OWN,
    };

    for (size_t i = 0; i < sizeof(flaws) / sizeof(flaws[0]); i++)
        refuses_flaw(flaws[i]);
}

/* A good history in which one thing is changed. */
typedef bool (*mutation)(struct history *history, size_t index);

/* Applies a mutation to the first transaction after the middle that takes it, and sees it refused. */
static void refuses(mutation mutate, const char *expected)
{
    struct history history = model_history(4000, 64, STORE_FLAW_NONE, 3);
    struct history_figures figures;
    char reason[HISTORY_REASON_BYTES];
    size_t index = history.count / 2;

    cr_assert(history_check(&history, &figures, reason), "%s", reason);
    while (index < history.count && !mutate(&history, index))
        index++;
    cr_assert_lt(index, history.count, "the mutation fits nowhere");
    cr_assert_not(history_check(&history, &figures, reason), "believed");
    cr_assert_not_null(strstr(reason, expected), "refused, but for another reason: %s", reason);
    fprintf(stderr, "%s\n", reason);
    free(history.transactions);
}

/* The first step of that kind that reads from the store; NULL. */
static struct history_step *store_read(struct history_transaction *transaction, enum history_step_kind kind)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        struct history_step *step = &transaction->steps[i];

        if (step->kind == HISTORY_PUT || step->kind == HISTORY_DEL)
            return NULL;
        if (step->kind == kind)
            return step;
    }
    return NULL;
}

static bool is_serializable(const struct history_transaction *transaction)
{
    return !transaction->is_single && transaction->isolation == ISOLATION_SERIALIZABLE;
}

static bool has_written(const struct history_transaction *transaction)
{
    return transaction->outcome == STATUS_OK && transaction->times.commit != 0;
}

static bool read_another_value(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_step *step = store_read(transaction, HISTORY_GET);

    if (!is_serializable(transaction) || step == NULL)
        return false;
    step->value = step->value == 0 ? 1 : 0;
    return true;
}

Test(history_check, refuses_a_changed_read)
{
    refuses(read_another_value, "its snapshot");
}

static bool read_another_value_in_a_writer(struct history *history, size_t index)
{
    return has_written(&history->transactions[index]) && read_another_value(history, index);
}

Test(history_check, refuses_a_changed_read_of_a_writer)
{
    refuses(read_another_value_in_a_writer, "the state before its commit");
}

static bool read_another_value_in_a_failed_one(struct history *history, size_t index)
{
    return history->transactions[index].outcome != STATUS_OK && read_another_value(history, index);
}

Test(history_check, refuses_a_changed_read_of_a_transaction_that_failed)
{
    refuses(read_another_value_in_a_failed_one, "its snapshot");
}

static bool read_committed_read_another_value(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_step *step = store_read(transaction, HISTORY_GET);

    if (transaction->is_single || transaction->isolation != ISOLATION_READ_COMMITTED || step == NULL)
        return false;
    step->value = 1;
    return true;
}

Test(history_check, refuses_a_read_that_was_never_committed)
{
    refuses(read_committed_read_another_value, "at no time");
}

static bool counted_one_more(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_step *step = store_read(transaction, HISTORY_COUNT);

    if (!is_serializable(transaction) || step == NULL)
        return false;
    step->value++;
    return true;
}

Test(history_check, refuses_a_wrong_count)
{
    refuses(counted_one_more, "reads");
}

static struct history_transaction *commit_at(struct history *history, uint64_t time)
{
    for (size_t i = 0; i < history->count; i++) {
        if (history->transactions[i].times.commit == time)
            return &history->transactions[i];
    }
    return NULL;
}

/* Swaps the times of two commits, the second of which read what the first wrote. */
static bool swap_cause_and_effect(struct history *history, size_t index)
{
    struct history_transaction *second = &history->transactions[index];
    struct history_transaction *first = commit_at(history, second->times.snapshot);
    uint64_t time = second->times.commit;

    if (!is_serializable(second) || !has_written(second) || first == NULL)
        return false;
    second->times.commit = first->times.commit;
    first->times.commit = time;
    return true;
}

Test(history_check, refuses_swapped_cause_and_effect)
{
    refuses(swap_cause_and_effect, "committed before its snapshot");
}

static bool is_single_put(const struct history_transaction *transaction, unsigned key)
{
    return transaction->is_single && has_written(transaction) && transaction->steps[0].kind == HISTORY_PUT &&
           transaction->steps[0].key == key;
}

/* Swaps the times of two blind writes of one key with some others in between, which saw the first. */
static bool swap_commits(struct history *history, size_t index)
{
    struct history_transaction *second = &history->transactions[index];
    struct history_transaction *first = NULL;
    uint64_t time = second->times.commit;

    for (size_t i = 0; i < history->count && first == NULL; i++) {
        struct history_transaction *other = &history->transactions[i];

        if (is_single_put(other, second->steps[0].key) && other->times.commit + 30 < time)
            first = other;
    }
    if (first == NULL || !is_single_put(second, second->steps[0].key))
        return false;
    second->times.commit = first->times.commit;
    first->times.commit = time;
    return true;
}

Test(history_check, refuses_swapped_commits)
{
    refuses(swap_commits, "reads");
}

static bool share_a_commit_time(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];

    if (!transaction->is_single || !has_written(transaction) ||
        commit_at(history, transaction->times.commit + 1) == NULL)
        return false;
    transaction->times.commit++;
    return true;
}

Test(history_check, refuses_two_commits_at_one_time)
{
    refuses(share_a_commit_time, "same commit time");
}

static bool forget_the_commit_time(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];

    if (!transaction->is_single || !has_written(transaction) || transaction->steps[0].kind != HISTORY_PUT)
        return false;
    transaction->times.commit = 0;
    return true;
}

Test(history_check, refuses_a_write_without_a_commit_time)
{
    refuses(forget_the_commit_time, "no commit time");
}

/* A single DEL that says it found nothing, though it did. */
static bool forget_a_deletion(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];

    if (!transaction->is_single || !has_written(transaction) || transaction->steps[0].kind != HISTORY_DEL)
        return false;
    transaction->times.commit = 0;
    return true;
}

Test(history_check, refuses_a_lost_deletion)
{
    refuses(forget_a_deletion, "");
}

/* Somebody read what was rolled back. */
static bool roll_back_afterwards(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_transaction *next = commit_at(history, transaction->times.commit);

    for (size_t i = 0; i < history->count; i++) {
        struct history_step *step = store_read(&history->transactions[i], HISTORY_GET);

        if (!has_written(transaction) || next != transaction || step == NULL ||
            !is_serializable(&history->transactions[i]))
            continue;
        for (unsigned j = 0; j < transaction->step_count; j++) {
            if (transaction->steps[j].kind == HISTORY_PUT && transaction->steps[j].value == step->value) {
                transaction->outcome = STATUS_ABORTED;
                transaction->times.commit = 0;
                return true;
            }
        }
    }
    return false;
}

Test(history_check, refuses_a_dirty_read)
{
    refuses(roll_back_afterwards, "reads");
}

/* A reader is invoked later, when its snapshot is no longer the newest. */
static bool read_from_an_old_snapshot(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_transaction *next = commit_at(history, transaction->times.snapshot + 1);

    if (!is_serializable(transaction) || has_written(transaction) || transaction->outcome != STATUS_OK ||
        next == NULL || transaction->invoked_ns > next->returned_ns)
        return false;
    transaction->invoked_ns = next->returned_ns + 1;
    if (transaction->returned_ns < transaction->invoked_ns)
        transaction->returned_ns = transaction->invoked_ns;
    return true;
}

Test(history_check, refuses_an_old_snapshot)
{
    refuses(read_from_an_old_snapshot, "misses what had returned");
}

/* A writer returns before an earlier commit is even invoked. */
static bool commit_out_of_order(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_transaction *next = commit_at(history, transaction->times.commit + 1);

    if (!has_written(transaction) || !transaction->is_single || next == NULL)
        return false;
    transaction->invoked_ns = next->returned_ns + 1;
    transaction->returned_ns = next->returned_ns + 2;
    return true;
}

Test(history_check, refuses_commits_against_real_time)
{
    refuses(commit_out_of_order, "had returned");
}

static bool conflict_of_a_reader(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];

    if (!is_serializable(transaction) || transaction->outcome != STATUS_OK || transaction->step_count == 0)
        return false;
    for (unsigned i = 0; i < transaction->step_count; i++) {
        if (transaction->steps[i].kind != HISTORY_GET)
            return false;
    }
    transaction->outcome = STATUS_CONFLICT;
    transaction->conflict_key = transaction->steps[0].key;
    return true;
}

Test(history_check, refuses_a_conflict_of_a_reader)
{
    refuses(conflict_of_a_reader, "only read");
}

/* Names another key that the transaction read, one that did not change. */
static bool conflict_over_what_did_not_change(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    struct history_step *step = store_read(transaction, HISTORY_GET);

    if (transaction->outcome != STATUS_CONFLICT || step == NULL || step->key == transaction->conflict_key)
        return false;
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *other = &history->transactions[i];

        for (unsigned j = 0; j < other->step_count; j++) {
            bool is_write = other->steps[j].kind == HISTORY_PUT || other->steps[j].kind == HISTORY_DEL;

            if (other->times.commit > transaction->times.snapshot && is_write && other->steps[j].key == step->key &&
                other->invoked_ns < transaction->returned_ns)
                return false;
        }
    }
    transaction->conflict_key = step->key;
    return true;
}

Test(history_check, refuses_an_unjustified_conflict)
{
    refuses(conflict_over_what_did_not_change, "did not change in time");
}

static bool conflict_over_what_was_not_read(struct history *history, size_t index)
{
    struct history_transaction *transaction = &history->transactions[index];
    bool is_known[HISTORY_KEYS + 1] = {false};

    for (unsigned i = 0; i < transaction->step_count; i++)
        is_known[transaction->steps[i].key] = true;
    if (transaction->outcome != STATUS_CONFLICT)
        return false;
    for (unsigned key = 0; key < HISTORY_KEYS; key++) {
        if (!is_known[key]) {
            transaction->conflict_key = key;
            return true;
        }
    }
    return false;
}

Test(history_check, refuses_a_conflict_over_what_was_not_read)
{
    refuses(conflict_over_what_was_not_read, "did not read");
}

/* The last reads of all show something else than the last writes. */
static bool end_differently(struct history *history, size_t index)
{
    if (index != history->count - 1)
        return false;
    history->transactions[index].steps[0].value ^= 1;
    return true;
}

Test(history_check, refuses_another_end)
{
    refuses(end_differently, "its snapshot");
}
