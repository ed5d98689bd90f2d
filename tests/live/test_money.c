/* Many clients, each a process of its own, move money between accounts as fast
 * as they can. The sum that any transaction sees, at any time, is the same; what
 * was acknowledged is there, what was not is not, to the last coin; and who
 * meets nobody on an account meets no conflict. For a long run:
 *   SOAK_MONEY_CLIENTS=50 SOAK_MONEY_SECONDS=30 build/tests/live --filter money/'*' */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/process.h"
#include "support/store_random.h"

#define ACCOUNTS 10u
#define COINS_AT_FIRST 1000
#define TELLERS_MAX 200u
#define TELLERS_USUAL 8u
#define TRANSFERS_USUAL 2000u

/* What a teller did; its own process writes it, in memory shared with the test. */
struct ledger {
    uint64_t transfers;
    uint64_t conflicts;
    uint64_t sums; /* how often it saw all accounts at once */
    int64_t moved[ACCOUNTS]; /* by the transfers that were acknowledged */
};

/* How a teller chooses its accounts. */
enum custom {
    CUSTOM_SHARED,  /* any of the ten, and all of them are looked at now and then */
    CUSTOM_DISJOINT /* two of its own */
};

struct bank {
    enum custom custom;
    unsigned teller_count;
    unsigned transfers; /* of each teller; 0: until end_ms */
    uint64_t end_ms;
    uint64_t seed;
    const struct server *server;
    struct process_gate gate;
    struct ledger ledgers[TELLERS_MAX];
};

struct teller {
    struct bank *bank;
    struct ledger *ledger;
    unsigned number;
    struct client client;
    struct store_random random;
    struct text lines;
};

TestSuite(money, .timeout = 3600);

/* --- a teller --- */

static void account_name(char *name, size_t size, const struct teller *teller, unsigned account)
{
    if (teller->bank->custom == CUSTOM_DISJOINT)
        (void)snprintf(name, size, "account%u.%u", teller->number, account);
    else
        (void)snprintf(name, size, "account%u", account);
}

static void ask(struct teller *teller, unsigned account)
{
    char name[32];

    account_name(name, sizeof name, teller, account);
    text_format(&teller->lines, "GET %s\n", name);
}

static void put(struct teller *teller, unsigned account, int64_t coins)
{
    char name[32];

    account_name(name, sizeof name, teller, account);
    text_format(&teller->lines, "PUT %s %" PRId64 "\n", name, coins);
}

static void send_lines(struct teller *teller)
{
    client_send(&teller->client, text_bytes(&teller->lines));
    text_clear(&teller->lines);
}

static int64_t read_coins(struct teller *teller)
{
    return reply_integer(&teller->client, client_read_line(&teller->client));
}

/* All accounts as they are in the transaction that was begun. */
static void read_all(struct teller *teller, int64_t coins[ACCOUNTS])
{
    int64_t sum = 0;

    for (unsigned i = 0; i < ACCOUNTS; i++)
        sum += coins[i] = read_coins(teller);
    if (sum != (int64_t)ACCOUNTS * COINS_AT_FIRST)
        driver_fail(teller->bank->server, "a transaction saw %" PRId64 " coins in all", sum);
    teller->ledger->sums++;
}

/* Looks at all accounts; a transaction that only reads never conflicts. */
static void audit(struct teller *teller)
{
    int64_t coins[ACCOUNTS];

    text_append_string(&teller->lines, "START\n");
    for (unsigned i = 0; i < ACCOUNTS; i++)
        ask(teller, i);
    text_append_string(&teller->lines, "COMMIT\n");
    send_lines(teller);
    client_expect(&teller->client, NULL, REPLY_OK);
    read_all(teller, coins);
    client_expect(&teller->client, NULL, REPLY_OK);
}

/* Whether the COMMIT that was sent went well; the only other reply is a conflict that names an account. */
static bool is_committed(struct teller *teller)
{
    const char *reply = client_read_line(&teller->client);

    if (reply != NULL && strcmp(reply, REPLY_OK) == 0)
        return true;
    if (reply == NULL || strstr(reply, "\"code\": \"conflict\"") == NULL || strstr(reply, "The key account") == NULL)
        driver_fail(teller->bank->server, "COMMIT: answered %s", reply == NULL ? "(the end)" : reply);
    return false;
}

/* One attempt. wide: looks at all accounts first, and not only at the two. */
static bool transfer(struct teller *teller, unsigned source, unsigned target, int64_t amount, bool wide)
{
    int64_t coins[ACCOUNTS];

    text_append_string(&teller->lines, "START\n");
    for (unsigned i = 0; wide && i < ACCOUNTS; i++)
        ask(teller, i);
    if (!wide) {
        ask(teller, source);
        ask(teller, target);
    }
    send_lines(teller);
    client_expect(&teller->client, NULL, REPLY_OK);
    if (wide) {
        read_all(teller, coins);
    } else {
        coins[source] = read_coins(teller);
        coins[target] = read_coins(teller);
    }

    put(teller, source, coins[source] - amount);
    put(teller, target, coins[target] + amount);
    text_append_string(&teller->lines, "COMMIT\n");
    send_lines(teller);
    client_expect_ok_times(&teller->client, 2);
    return is_committed(teller);
}

/* Tries again until it is done. */
static void move_money(struct teller *teller)
{
    unsigned choice = teller->bank->custom == CUSTOM_DISJOINT ? 2 : ACCOUNTS;
    unsigned source = (unsigned)store_random_below(&teller->random, choice);
    unsigned target = (source + 1 + (unsigned)store_random_below(&teller->random, choice - 1)) % choice;
    int64_t amount = (int64_t)store_random_below(&teller->random, 100);
    bool wide = teller->bank->custom == CUSTOM_SHARED && store_random_one_in(&teller->random, 4);

    while (!transfer(teller, source, target, amount, wide))
        teller->ledger->conflicts++;
    teller->ledger->transfers++;
    teller->ledger->moved[source] -= amount;
    teller->ledger->moved[target] += amount;
}

static bool is_done(const struct teller *teller)
{
    if (teller->bank->transfers > 0)
        return teller->ledger->transfers == teller->bank->transfers;
    return clock_monotonic_ms() >= teller->bank->end_ms;
}

struct job {
    struct bank *bank;
    unsigned number;
};

static int work(void *context)
{
    const struct job *job = context;
    struct teller teller = {
        .bank = job->bank,
        .ledger = &job->bank->ledgers[job->number],
        .number = job->number,
        .random = {job->bank->seed * TELLERS_MAX + job->number},
    };

    client_connect(&teller.client, job->bank->server);
    process_gate_wait(&job->bank->gate);
    while (!is_done(&teller)) {
        move_money(&teller);
        if (job->bank->custom == CUSTOM_SHARED && store_random_one_in(&teller.random, 8))
            audit(&teller);
    }
    client_close(&teller.client);
    text_deinit(&teller.lines);
    return 0;
}

/* --- the bank --- */

static struct bank *open_bank(enum custom custom, const struct server *server)
{
    struct bank *bank = process_shared_memory(sizeof *bank);
    uint64_t seconds = store_environment_number("SOAK_MONEY_SECONDS", 0);

    bank->custom = custom;
    bank->server = server;
    bank->seed = store_environment_number("HAUSKV_TEST_SEED", 1);
    bank->teller_count = (unsigned)store_environment_number("SOAK_MONEY_CLIENTS", TELLERS_USUAL);
    bank->transfers = seconds > 0 ? 0 : TRANSFERS_USUAL;
    bank->end_ms = clock_monotonic_ms() + seconds * 1000;
    cr_assert_leq(bank->teller_count, TELLERS_MAX);
    return bank;
}

static void fill_accounts(struct bank *bank, struct client *client)
{
    struct teller teller = {.bank = bank};
    unsigned owners = bank->custom == CUSTOM_DISJOINT ? bank->teller_count : 1;
    unsigned accounts = bank->custom == CUSTOM_DISJOINT ? 2 : ACCOUNTS;

    for (teller.number = 0; teller.number < owners; teller.number++) {
        for (unsigned i = 0; i < accounts; i++)
            put(&teller, i, COINS_AT_FIRST);
    }
    client_send(client, text_bytes(&teller.lines));
    client_expect_ok_times(client, owners * accounts);
    text_deinit(&teller.lines);
}

static void let_them_work(struct bank *bank)
{
    pid_t tellers[TELLERS_MAX] = {0};

    for (unsigned i = 0; i < bank->teller_count; i++)
        tellers[i] = process_start(work, &(struct job){bank, i});
    process_gate_open(&bank->gate);
    for (unsigned i = 0; i < bank->teller_count; i++)
        cr_assert_eq(process_wait(tellers[i]), 0, "teller %u, HAUSKV_TEST_SEED=%" PRIu64, i, bank->seed);
}

static struct ledger total(const struct bank *bank)
{
    struct ledger sum = {.transfers = 0};

    for (unsigned i = 0; i < bank->teller_count; i++) {
        sum.transfers += bank->ledgers[i].transfers;
        sum.conflicts += bank->ledgers[i].conflicts;
        sum.sums += bank->ledgers[i].sums;
        for (unsigned account = 0; account < ACCOUNTS; account++)
            sum.moved[account] += bank->ledgers[i].moved[account];
    }
    return sum;
}

/* Every account holds what it had and what acknowledged transfers moved. */
static void check_accounts(const struct teller *owner, struct client *client, const struct ledger *moved,
                           unsigned accounts)
{
    char name[32];
    char line[64];
    char reply[96];

    for (unsigned i = 0; i < accounts; i++) {
        account_name(name, sizeof name, owner, i);
        (void)snprintf(line, sizeof line, "GET %s", name);
        (void)snprintf(reply, sizeof reply, REPLY_VALUE("%" PRId64), COINS_AT_FIRST + moved->moved[i]);
        client_expect(client, line, reply);
    }
}

static void print(const struct bank *bank, const char *what, const struct ledger *sum, uint64_t begin_ms)
{
    uint64_t passed_ms = clock_monotonic_ms() - begin_ms;

    fprintf(stderr,
            "figures: money, %s, HAUSKV_TEST_SEED=%" PRIu64 ": %u clients, %" PRIu64 " transfers and %" PRIu64
            " conflicts in %" PRIu64 ".%01" PRIu64 " s; all accounts were looked at %" PRIu64 " times\n",
            what, bank->seed, bank->teller_count, sum->transfers, sum->conflicts, passed_ms / 1000,
            passed_ms % 1000 / 100, sum->sums);
}

Test(money, sum_is_the_same_for_every_transaction)
{
    struct server server;
    struct client observer;
    struct bank *bank;
    struct ledger sum;
    uint64_t begin_ms = clock_monotonic_ms();

    server_start(&server);
    bank = open_bank(CUSTOM_SHARED, &server);
    client_connect(&observer, &server);
    fill_accounts(bank, &observer);
    let_them_work(bank);
    sum = total(bank);
    print(bank, "ten accounts for all", &sum, begin_ms);

    check_accounts(&(struct teller){.bank = bank}, &observer, &sum, ACCOUNTS);
    eventually(client_statistic(&observer, "connections.open") == 1);
    cr_assert_eq(client_statistic(&observer, "transactions.conflicts"), sum.conflicts);
    cr_assert_eq(client_statistic(&observer, "errors.conflict"), sum.conflicts);
    cr_assert_eq(client_statistic(&observer, "transactions.rolled_back"), 0);
    client_close(&observer);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

Test(money, disjoint_accounts_never_conflict)
{
    struct server server;
    struct client observer;
    struct bank *bank;
    struct ledger sum;
    uint64_t begin_ms = clock_monotonic_ms();

    server_start(&server);
    bank = open_bank(CUSTOM_DISJOINT, &server);
    client_connect(&observer, &server);
    fill_accounts(bank, &observer);
    let_them_work(bank);
    sum = total(bank);
    print(bank, "two accounts for each", &sum, begin_ms);

    cr_assert_eq(sum.conflicts, 0);
    cr_assert_eq(client_statistic(&observer, "transactions.conflicts"), 0);
    for (unsigned i = 0; i < bank->teller_count; i++)
        check_accounts(&(struct teller){.bank = bank, .number = i}, &observer, &bank->ledgers[i], 2);
    client_close(&observer);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}
