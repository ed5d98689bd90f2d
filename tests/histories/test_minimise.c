/* Histories of a store with a mistake, made small: what is left is refused for
 * what is wrong, and is the same when it has been written to a file and read. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "histories/checkers.h"
#include "histories/history_file.h"
#include "histories/minimise.h"
#include "support/store_random.h"

#define CLIENTS 4u
#define KEYS 6u

/* Clients take random turns: step after step, on snapshots of one array. What breaks is that now and then a client
 * commits what it should not. */
struct simulation {
    struct store_random random;
    uint64_t values[KEYS];
    uint64_t changed_at[KEYS];
    uint64_t time;
    uint64_t clock_ns;
    bool has_stamps;
    uint64_t mistakes_one_in; /* of conflicts: is committed all the same */
};

struct simulated_client {
    uint64_t values[KEYS];
    uint64_t snapshot;
    bool is_open;
    struct history_transaction transaction;
};

static void simulate_begin(struct simulation *simulation, struct simulated_client *client, unsigned number)
{
    memcpy(client->values, simulation->values, sizeof(client->values));
    client->is_open = true;
    client->snapshot = simulation->time;
    client->transaction = (struct history_transaction){.client = number, .invoked_ns = ++simulation->clock_ns,
                                                       .has_times = true, .conflict_key = HISTORY_RANGE};
}

static void simulate_step(struct simulation *simulation, struct simulated_client *client, enum history_step_kind kind,
                          unsigned key)
{
    struct history_step *step = &client->transaction.steps[client->transaction.step_count++];

    *step = (struct history_step){.kind = kind, .key = key, .value = client->values[key]};
    if (kind == HISTORY_PUT)
        step->value = ++simulation->clock_ns;
    if (kind == HISTORY_DEL)
        step->value = 0;
    client->values[key] = step->value;
}

/* Reads a pair, or a key, and perhaps writes it; a pair's second key is sometimes deleted. */
static void simulate_use(struct simulation *simulation, struct simulated_client *client)
{
    struct store_random *random = &simulation->random;
    unsigned width = simulation->has_stamps ? 2 : 1;
    unsigned key = (unsigned)store_random_below(random, KEYS / width) * width;
    bool writes = store_random_one_in(random, 2);
    bool deletes = store_random_one_in(random, 3);

    for (unsigned i = 0; i < width; i++)
        simulate_step(simulation, client, HISTORY_GET, key + i);
    for (unsigned i = 0; i < width && writes; i++)
        simulate_step(simulation, client, i == 1 && deletes ? HISTORY_DEL : HISTORY_PUT, key + i);
}

static bool has_conflict(const struct simulation *simulation, const struct simulated_client *client)
{
    for (unsigned i = 0; i < client->transaction.step_count; i++) {
        if (simulation->changed_at[client->transaction.steps[i].key] > client->snapshot)
            return true;
    }
    return false;
}

static void simulate_end(struct simulation *simulation, struct simulated_client *client)
{
    struct history_transaction *transaction = &client->transaction;
    bool is_refused = history_transaction_writes(transaction) && has_conflict(simulation, client) &&
                      !store_random_one_in(&simulation->random, simulation->mistakes_one_in);

    transaction->times.snapshot = client->snapshot;
    transaction->outcome = is_refused ? STATUS_ABORTED : STATUS_OK;
    if (!is_refused && history_transaction_writes(transaction))
        transaction->times.commit = ++simulation->time;
    for (unsigned i = 0; i < transaction->step_count && !is_refused; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (!history_step_writes(step))
            continue;
        simulation->values[step->key] = step->value;
        simulation->changed_at[step->key] = simulation->time;
    }
    transaction->returned_ns = ++simulation->clock_ns;
    client->is_open = false;
}

static struct history simulated_history(size_t count, bool has_stamps, uint64_t mistakes_one_in, uint64_t seed)
{
    struct simulation simulation = {
        .random = {seed}, .has_stamps = has_stamps, .mistakes_one_in = mistakes_one_in};
    struct simulated_client clients[CLIENTS] = {0};
    struct history history = {.capacity = count, .key_count = KEYS, .has_stamps = has_stamps, .seed = seed};

    history.transactions = calloc(count, sizeof(*history.transactions));
    cr_assert_not_null(history.transactions);
    while (history.count < count) {
        unsigned number = (unsigned)store_random_below(&simulation.random, CLIENTS);
        struct simulated_client *client = &clients[number];

        if (!client->is_open) {
            simulate_begin(&simulation, client, number);
        } else if (client->transaction.step_count < 5) {
            simulate_use(&simulation, client);
        } else {
            simulate_end(&simulation, client);
            history.transactions[history.count++] = client->transaction;
        }
    }
    return history;
}

static void expect_same_after_file(const struct history *history, const struct checker *checker, const char *reason)
{
    struct history_opinion opinion;
    struct history read;
    const char *what = "";
    unsigned line = 0;
    FILE *file = tmpfile();

    cr_assert_not_null(file);
    history_write(history, file);
    rewind(file);
    cr_assert(history_read(&read, file, &line, &what), "line %u: %s", line, what);
    (void)fclose(file);
    cr_assert_eq(read.count, history->count);
    cr_assert_eq(checker->check(&read, &opinion), HISTORY_REFUSED);
    cr_assert_str_eq(opinion.reason, reason);
    free(read.transactions);
}

static void becomes_small(enum checker_number number, bool has_stamps, size_t wanted)
{
    const struct checker *checker = &checkers[number];
    struct history history = simulated_history(3000, has_stamps, 300, 1);
    struct history_opinion opinion;
    struct history smaller;
    unsigned checks;

    cr_assert_eq(checker->check(&history, &opinion), HISTORY_REFUSED, "%s", checker->name);
    smaller = history_minimise(&history, checker->check, &checks);
    cr_assert_eq(checker->check(&smaller, &opinion), HISTORY_REFUSED, "%s", checker->name);
    fprintf(stderr, "figures: minimised for %s%s: %zu transactions to %zu with %u checks: %s\n", checker->name,
            has_stamps ? ", with stamps" : "", history.count, smaller.count, checks, opinion.reason);
    cr_assert_leq(smaller.count, wanted);
    expect_same_after_file(&smaller, checker, opinion.reason);
    free(smaller.transactions);
    free(history.transactions);
}

Test(minimise, leaves_little_for_the_search)
{
    becomes_small(CHECKER_SEARCH, false, 4);
}

Test(minimise, leaves_little_for_the_search_with_deletions)
{
    becomes_small(CHECKER_SEARCH, true, 6);
}

Test(minimise, leaves_little_for_cycles)
{
    becomes_small(CHECKER_CYCLES, false, 4);
}

Test(minimise, leaves_little_for_cycles_with_stamps)
{
    becomes_small(CHECKER_CYCLES, true, 4);
}

Test(minimise, leaves_little_for_the_order)
{
    becomes_small(CHECKER_ORDER, true, 4);
}

Test(minimise, has_nothing_to_do_where_all_is_well)
{
    struct history history = simulated_history(3000, true, UINT64_MAX, 1);
    struct history_opinion opinion;

    for (unsigned i = 0; i < CHECKER_COUNT; i++)
        cr_assert_eq(checkers[i].check(&history, &opinion), HISTORY_ACCEPTED, "%s: %s", checkers[i].name,
                     opinion.reason);
    free(history.transactions);
}

/* Whatever is left out of a right history, it stays right: each checker is asked about many parts of one. */
struct inquiry {
    const struct checker *checker;
    unsigned parts;
    unsigned wrong_parts;
    struct history_opinion opinion; /* of the last wrong one */
};

static struct inquiry inquiry;

/* Claims to refuse the whole, and every third part, so that the minimiser goes on with it. */
static enum history_verdict ask_about_part(const struct history *history, struct history_opinion *opinion)
{
    if (inquiry.checker->check(history, opinion) == HISTORY_REFUSED) {
        inquiry.wrong_parts++;
        inquiry.opinion = *opinion;
    }
    return inquiry.parts++ % 3 == 0 ? HISTORY_REFUSED : HISTORY_ACCEPTED;
}

static void stays_right(enum checker_number number, bool has_stamps)
{
    struct history history = simulated_history(1500, has_stamps, UINT64_MAX, 2);
    struct history smaller;

    inquiry = (struct inquiry){.checker = &checkers[number]};
    smaller = history_minimise(&history, ask_about_part, NULL);
    cr_assert_eq(inquiry.wrong_parts, 0, "%s: %s", inquiry.checker->name, inquiry.opinion.reason);
    cr_assert_gt(inquiry.parts, 50);
    cr_assert_lt(smaller.count, history.count);
    free(smaller.transactions);
    free(history.transactions);
}

Test(minimise, makes_nothing_wrong_for_the_search)
{
    stays_right(CHECKER_SEARCH, true);
}

Test(minimise, makes_nothing_wrong_for_cycles)
{
    stays_right(CHECKER_CYCLES, false);
}

Test(minimise, makes_nothing_wrong_for_the_order)
{
    stays_right(CHECKER_ORDER, true);
}
