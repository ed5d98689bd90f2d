/* The longest single GET beside a COMMIT of many writes, on the same store: beside_commit [--quick] [WRITES]. One process commits
 * new keys, then overwrites them; another GETs some of these keys all the time. What is shown is the longest GET that began
 * during each COMMIT, the median of the rounds and the longest of all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/spread.h"
#include "platform/clock.h"
#include "platform/decimal.h"
#include "support/process.h"
#include "transaction/transaction.h"

#define ROUNDS 5u
#define KEY_ROOM 32

struct meeting {
    _Atomic uint64_t is_committing;
    _Atomic uint64_t is_over;
    _Atomic uint64_t longest_ns;
    _Atomic uint64_t gets;
};

static struct engine *engine;
static struct meeting *meeting;
static uint64_t writes = 500000;

static void must(bool is_done, const char *what)
{
    if (!is_done) {
        (void)fprintf(stderr, "beside_commit: %s\n", what);
        exit(1);
    }
}

static struct bytes key_of(uint64_t number, char key[KEY_ROOM])
{
    return bytes_from(key, (size_t)snprintf(key, KEY_ROOM, "key%013ju", (uintmax_t)number));
}

static void get(struct participant *participant, uint64_t number)
{
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    char key[KEY_ROOM];
    struct value_view view;
    enum status status = transaction_get_copy(participant, key_of(number, key), copy, &view);

    must(status == STATUS_OK || status == STATUS_NOT_FOUND, "a GET fails");
    if (status == STATUS_OK && view.copy == NULL)
        transaction_get_done(participant, TRANSACTION_SINGLE);
}

static int read_on(void *context)
{
    struct participant *participant;

    (void)context;
    must(participant_open(engine, &participant) == STATUS_OK, "no slot");
    for (uint64_t i = 0; atomic_load(&meeting->is_over) == 0; i += 7919) {
        bool counts = atomic_load(&meeting->is_committing) != 0;
        uint64_t begin_ns = clock_monotonic_ns();
        uint64_t took_ns;

        get(participant, i % writes);
        took_ns = clock_monotonic_ns() - begin_ns;
        if (counts && took_ns > atomic_load(&meeting->longest_ns))
            atomic_store(&meeting->longest_ns, took_ns);
        atomic_fetch_add(&meeting->gets, counts);
    }
    participant_close(participant);
    return 0;
}

/* The COMMIT's time and the longest GET's, ms. */
static void commit_once(struct participant *participant, const char *value, double *commit_ms, double *get_ms)
{
    char key[KEY_ROOM];
    uint64_t begin_ns;
    unsigned number;

    must(transaction_begin(participant, ISOLATION_SERIALIZABLE, &number) == STATUS_OK, "no transaction");
    for (uint64_t i = 0; i < writes; i++)
        must(transaction_put(participant, number, key_of(i, key), bytes_from_string(value)) == STATUS_OK, "a PUT fails");
    atomic_store(&meeting->longest_ns, 0);
    atomic_store(&meeting->is_committing, 1);
    begin_ns = clock_monotonic_ns();
    must(transaction_commit(participant, number) == STATUS_OK, "a COMMIT fails");
    *commit_ms = (double)(clock_monotonic_ns() - begin_ns) / 1e6;
    atomic_store(&meeting->is_committing, 0);
    *get_ms = (double)atomic_load(&meeting->longest_ns) / 1e6;
}

static void say(const char *what, double commits_ms[ROUNDS], double gets_ms[ROUNDS])
{
    struct spread commits = spread_of(commits_ms, ROUNDS);
    struct spread gets = spread_of(gets_ms, ROUNDS);

    printf("| %s | %.0f | %.2f | %.2f |\n", what, commits.median, gets.median, gets.maximum);
}

int main(int count, char **arguments)
{
    struct engine_options options = {.bytes = (size_t)1 << 30};
    char reason[SEGMENT_REASON_BYTES];
    double commits_ms[2][ROUNDS];
    double gets_ms[2][ROUNDS];

    if (count > 1 && strcmp(arguments[1], "--quick") == 0) {
        writes = 5000;
    } else if (count > 1 && (!decimal_read(bytes_from_string(arguments[1]), &writes) || writes - 1 >= 2000000)) {
        (void)fprintf(stderr, "usage: beside_commit [--quick] [WRITES]\n");
        return 2;
    }
    meeting = process_shared_memory(sizeof *meeting);
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct participant *participant;
        pid_t reader;

        must(engine_create(&options, &engine, reason) == STATUS_OK, reason);
        must(participant_open(engine, &participant) == STATUS_OK, "no slot");
        atomic_store(&meeting->is_over, 0);
        reader = process_start(read_on, NULL);
        commit_once(participant, "first", &commits_ms[0][round], &gets_ms[0][round]);
        commit_once(participant, "second", &commits_ms[1][round], &gets_ms[1][round]);
        atomic_store(&meeting->is_over, 1);
        must(process_wait(reader) == 0, "the reader fails");
        participant_close(participant);
        engine_detach(engine);
    }
    printf("| COMMIT of %ju writes | ms | longest GET beside it, ms: median of %u | longest |\n| --- | --: | --: | --: |\n",
           (uintmax_t)writes, ROUNDS);
    say("new keys", commits_ms[0], gets_ms[0]);
    say("overwritten", commits_ms[1], gets_ms[1]);
    printf("\n%ju GETs in all\n", (uintmax_t)atomic_load(&meeting->gets));
    return 0;
}
