#include "survival/storm_client.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "live/live_support.h"
#include "support/server_driver.h"
#include "support/store_random.h"
#include "transaction/engine.h"

/* A client gives up on a reply after so long: its worker may be stopped for good, and holds nothing. */
#define SILENCE_MS 1500u

/* Now and then one leaves by itself: a server is not to think that all its workers die of their first client. */
#define LEAVE_ONE_IN 500u

struct storm_client {
    struct storm *storm;
    struct storm_ledger *ledger;
    unsigned number;
    struct store_random random;
    struct client connection; /* descriptor -1: none */
    pid_t worker;
    struct text lines;
    uint64_t sent_us;
    uint64_t sent_before_us; /* the lines before those */
    unsigned sent_birth;
    bool is_new; /* the connection has not answered yet */
};

static uint64_t now_us(void)
{
    return clock_monotonic_ns() / 1000;
}

/* --- connections --- */

static void hang_up(struct storm_client *client)
{
    client_close(&client->connection);
    client->worker = 0;
}

static void pause_ms(unsigned ms)
{
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)ms * 1000 * 1000}, NULL);
}

static bool try_connect(struct storm_client *client)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)atomic_load(&client->storm->port)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;

    memset(&client->connection, 0, sizeof client->connection);
    client->connection.descriptor = -1;
    if (descriptor < 0)
        return false;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        (void)close(descriptor);
        return false;
    }
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    client->connection.descriptor = descriptor;
    client->is_new = true;
    return true;
}

/* Whether somebody did something to this client's worker, or to the whole server, so that a long wait says nothing. */
static bool is_struck(const struct storm_client *client)
{
    unsigned count = atomic_load(&client->storm->victim_count);

    if (client->worker == 0 || atomic_load(&client->storm->birth) != client->sent_birth || client->sent_birth % 2 == 1)
        return true;
    for (unsigned i = count < 256 ? 0 : count - 256; i < count; i++) {
        if (atomic_load(&client->storm->victims[i % STORM_VICTIMS]) == client->worker)
            return true;
    }
    return false;
}

static bool send_lines(struct storm_client *client)
{
    bool is_sent;

    client->sent_before_us = client->sent_us;
    client->sent_us = now_us();
    client->sent_birth = atomic_load(&client->storm->birth);
    is_sent = client_try_send(&client->connection, text_bytes(&client->lines));
    text_clear(&client->lines);
    return is_sent;
}

/* NULL: the connection has ended, or the server is silent. */
static const char *read_reply(struct storm_client *client)
{
    bool is_late;
    const char *reply = client_read_line_within(&client->connection, SILENCE_MS, &is_late);
    uint64_t passed_us = now_us() - client->sent_us;

    client->ledger->silences += is_late;
    if (reply != NULL && !client->is_new && passed_us > client->ledger->stall_us && !is_struck(client))
        client->ledger->stall_us = passed_us;
    return reply;
}

/* Asks who serves it. */
static bool meet(struct storm_client *client)
{
    const char *reply;
    const char *pid;
    uint64_t passed_us;

    text_append_string(&client->lines, "STATS\n");
    if (!send_lines(client) || (reply = read_reply(client)) == NULL)
        return false;
    pid = strstr(reply, "\"worker_pid\": ");
    client->worker = pid == NULL ? 0 : (pid_t)strtol(pid + 14, NULL, 10);
    if (client->worker == 0)
        driver_fail(NULL, "client %u: STATS answers %s", client->number, reply);
    passed_us = now_us() - client->sent_us;
    if (passed_us > client->ledger->connect_us && !is_struck(client))
        client->ledger->connect_us = passed_us;
    client->is_new = false;
    return true;
}

static bool has_connection(struct storm_client *client)
{
    if (client->connection.descriptor >= 0)
        return true;
    if (try_connect(client) && meet(client)) {
        client->ledger->reconnects++;
        return true;
    }
    hang_up(client);
    pause_ms(2);
    return false;
}

/* --- work --- */

/* Memory is full, and this process did not get to its next lines for so long that its transaction was ended. */
static bool may_be_ended(const struct storm_client *client, const char *reply)
{
    return strstr(reply, "\"code\": \"timeout\"") != NULL &&
           now_us() - client->sent_before_us >= (uint64_t)RECLAIM_IDLE_MS * 1000;
}

/* False: no reply, or it was ended. */
static bool read_ok(struct storm_client *client, unsigned times)
{
    for (unsigned i = 0; i < times; i++) {
        const char *reply = read_reply(client);

        if (reply == NULL || may_be_ended(client, reply))
            return false;
        if (strcmp(reply, REPLY_OK) != 0)
            driver_fail(NULL, "client %u: answered %s, %ju us after its lines and %ju us after those before", client->number, reply,
                        (uintmax_t)(now_us() - client->sent_us), (uintmax_t)(now_us() - client->sent_before_us));
    }
    return true;
}

static bool read_coins(struct storm_client *client, int64_t *coins)
{
    const char begin[] = "{\"status\": \"Ok\", \"result\": \"";
    const char *reply = read_reply(client);

    if (reply == NULL)
        return false;
    if (strncmp(reply, begin, sizeof begin - 1) != 0)
        driver_fail(NULL, "client %u: an account answers %s", client->number, reply);
    *coins = strtoll(reply + sizeof begin - 1, NULL, 10);
    return true;
}

/* Whether it was seen to the end. */
static bool audit(struct storm_client *client)
{
    int64_t sum = 0;

    text_append_string(&client->lines, "START\n");
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++)
        text_format(&client->lines, "GET account%u\n", i);
    text_append_string(&client->lines, "COMMIT\n");
    if (!send_lines(client) || !read_ok(client, 1))
        return false;
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++) {
        int64_t coins;

        if (!read_coins(client, &coins))
            return false;
        sum += coins;
    }
    if (sum != (int64_t)STORM_ACCOUNTS * STORM_COINS_AT_FIRST)
        driver_fail(NULL, "client %u: a transaction saw %" PRId64 " coins in all", client->number, sum);
    client->ledger->audits++;
    return read_ok(client, 1);
}

/* Of many sizes. */
static void twin_put(struct storm_client *client, const char *twin, unsigned which, uint64_t number)
{
    text_format(&client->lines, "PUT %s%u %" PRIu64, twin, which, number);
    text_append_repeated(&client->lines, '0', (size_t)number % 3000);
    text_append_string(&client->lines, "\n");
}

/* Twins are written or deleted together, unread, in READ COMMITTED: nothing keeps what such a commit has published in one
 * shard before it comes to the next. */
static bool write_twins(struct storm_client *client)
{
    unsigned which = (unsigned)store_random_below(&client->random, STORM_TWINS);
    uint64_t number = store_random_below(&client->random, 1000000);

    text_append_string(&client->lines, "START READ COMMITTED\n");
    for (unsigned i = 0; i < 2; i++) {
        if (number % 3 == 0)
            text_format(&client->lines, "DEL %s%u\n", i == 0 ? "elder" : "younger", which);
        else
            twin_put(client, i == 0 ? "elder" : "younger", which, number);
    }
    text_append_string(&client->lines, "COMMIT\n");
    if (!send_lines(client) || !read_ok(client, 4))
        return false;
    client->ledger->commits++;
    return true;
}

/* In one snapshot. */
static bool compare_twins(struct storm_client *client)
{
    struct text elder = {0};
    bool is_seen;

    text_append_string(&client->lines, "START\n");
    for (unsigned which = 0; which < STORM_TWINS; which++)
        text_format(&client->lines, "GET elder%u\nGET younger%u\n", which, which);
    text_append_string(&client->lines, "COMMIT\n");
    is_seen = send_lines(client) && read_ok(client, 1);
    for (unsigned which = 0; is_seen && which < STORM_TWINS; which++) {
        const char *reply = read_reply(client);

        text_clear(&elder);
        if (reply != NULL)
            text_append_string(&elder, reply);
        is_seen = reply != NULL && (reply = read_reply(client)) != NULL;
        if (is_seen && !bytes_equal(text_bytes(&elder), bytes_from_string(reply)))
            driver_fail(NULL, "client %u: one of twins %u answers %.80s", client->number, which, reply);
    }
    text_deinit(&elder);
    return is_seen && read_ok(client, 1);
}

static unsigned char *new_outcome(struct storm_client *client, unsigned *number)
{
    *number = atomic_load(&client->ledger->count);
    if (*number == STORM_RECORDS_MAX)
        return NULL;
    atomic_fetch_add(&client->ledger->count, 1);
    return &client->ledger->outcomes[*number];
}

static bool put_record(struct storm_client *client)
{
    unsigned number;
    unsigned char *outcome = new_outcome(client, &number);

    if (outcome == NULL)
        return audit(client);
    text_format(&client->lines, "PUT %u.%u %u.%u 0 0 0\n", client->number, number, client->number, number);
    *outcome = OUTCOME_UNKNOWN;
    if (!send_lines(client) || !read_ok(client, 1))
        return false;
    *outcome = OUTCOME_DONE;
    client->ledger->commits++;
    return true;
}

/* What is not acknowledged and no conflict is unknown. */
static bool read_commit(struct storm_client *client, unsigned char *outcome)
{
    const char *reply = read_reply(client);

    if (reply == NULL)
        return false;
    if (strcmp(reply, REPLY_OK) == 0) {
        *outcome = OUTCOME_DONE;
        client->ledger->commits++;
    } else if (strstr(reply, "\"code\": \"conflict\"") != NULL) {
        *outcome = OUTCOME_REFUSED;
        client->ledger->conflicts++;
    } else {
        driver_fail(NULL, "client %u: COMMIT answers %s", client->number, reply);
    }
    return true;
}

static bool transfer(struct storm_client *client)
{
    unsigned source = (unsigned)store_random_below(&client->random, STORM_ACCOUNTS);
    unsigned target = (source + 1 + (unsigned)store_random_below(&client->random, STORM_ACCOUNTS - 1)) % STORM_ACCOUNTS;
    int64_t amount = 1 + (int64_t)store_random_below(&client->random, 99);
    unsigned number;
    unsigned char *outcome = new_outcome(client, &number);
    int64_t source_coins;
    int64_t target_coins;

    if (outcome == NULL)
        return audit(client);
    text_format(&client->lines, "START\nGET account%u\nGET account%u\n", source, target);
    if (!send_lines(client) || !read_ok(client, 1) || !read_coins(client, &source_coins) ||
        !read_coins(client, &target_coins))
        return false;
    text_format(&client->lines, "PUT account%u %" PRId64 "\nPUT account%u %" PRId64 "\n", source,
                source_coins - amount, target, target_coins + amount);
    text_format(&client->lines, "PUT %u.%u %u.%u %u %u %" PRId64 "\nCOMMIT\n", client->number, number, client->number,
                number, source, target, amount);
    *outcome = OUTCOME_UNKNOWN;
    return send_lines(client) && read_ok(client, 3) && read_commit(client, outcome);
}

static void work(struct storm_client *client)
{
    static bool (*const kinds[])(struct storm_client *client) = {audit,    put_record, put_record,  put_record,   transfer,
                                                                transfer, transfer,   write_twins, compare_twins};
    bool is_whole = kinds[store_random_below(&client->random, sizeof kinds / sizeof kinds[0])](client);

    if (is_whole && !store_random_one_in(&client->random, LEAVE_ONE_IN))
        return;
    text_clear(&client->lines);
    hang_up(client);
}

int storm_client_run(void *context)
{
    const struct storm_client_job *job = context;
    struct storm_client client = {
        .storm = job->storm,
        .ledger = &job->storm->ledgers[job->number],
        .number = job->number,
        .random = {job->storm->seed * STORM_CLIENTS + job->number},
        .connection = {.descriptor = -1},
    };

    while (atomic_load(&job->storm->is_over) == 0) {
        if (has_connection(&client))
            work(&client);
    }
    for (unsigned i = 0; i < atomic_load(&client.ledger->count); i++)
        client.ledger->unknown += client.ledger->outcomes[i] == OUTCOME_UNKNOWN;
    hang_up(&client);
    text_deinit(&client.lines);
    return 0;
}

/* The number that a text begins with, and what must follow it; goes behind both. */
static bool take_number(const char **text, const char *follower, long *number)
{
    char *end;

    *number = strtol(*text, &end, 10);
    if (end == *text || strncmp(end, follower, strlen(follower)) != 0)
        return false;
    *text = end + strlen(follower);
    return true;
}

bool storm_record_read(const char *reply, unsigned client, unsigned number, struct storm_record *record)
{
    const char begin[] = "{\"status\": \"Ok\", \"result\": \"";
    const char *text = reply + sizeof begin - 1;
    long said[5];

    if (strncmp(reply, begin, sizeof begin - 1) != 0 || !take_number(&text, ".", &said[0]) ||
        !take_number(&text, " ", &said[1]) || !take_number(&text, " ", &said[2]) ||
        !take_number(&text, " ", &said[3]) || !take_number(&text, "\"}", &said[4]) || *text != '\0')
        return false;
    record->source = (unsigned)said[2];
    record->target = (unsigned)said[3];
    record->amount = said[4];
    return said[0] == (long)client && said[1] == (long)number && record->source < STORM_ACCOUNTS &&
           record->target < STORM_ACCOUNTS;
}
