/* Real deaths: processes work on one store and are killed at random moments, one, two or three at once, by SIGKILL,
 * SIGSEGV or SIGABRT, also while they recover from each other's deaths; the kernel passes their locks on. What was
 * answered OK is there, what was not sent is not, and every transaction is there as a whole or not at all. Now and then all are
 * killed at once, and the store is restarted: that is never refused.
 *
 *   HAUSKV_TEST_SEED=<seed>   other choices (how processes meet is not repeated)
 *   HAUSKV_TEST_STEPS=<n>     n rounds of killing */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "platform/clock.h"
#include "store/shared_store.h"
#include "support/process.h"
#include "support/store_buffer.h"
#include "support/store_random.h"
#include "transaction/engine.h"

#define WORKERS 4u
#define HOUSEKEEPER WORKERS /* one more process, which drains the slots of the dead */
#define PROCESSES (WORKERS + 1)
#define ACCOUNTS 24u
#define FIRST_BALANCE 1000u
#define STORM_BYTES ((size_t)1 << 20)
#define ROUNDS 1000u
#define RESTART_ONE_IN 10u /* rounds */
#define TWINS 8u
#define LOCK_TIMEOUT_MS 1000u

/* Numbers are sent before COMMIT and answered after it; what the store holds is one of the two. */
struct receipt {
    _Atomic uint64_t sent;
    _Atomic uint64_t answered;
};

struct storm {
    struct store *store;
    uint64_t seed;
    struct receipt receipts[WORKERS];
    _Atomic uint64_t commits;
    _Atomic uint64_t drained;
    _Atomic uint64_t sums_seen;
    _Atomic uint64_t starts;
    _Atomic uint64_t twins_written;
    uint64_t restarts;
    uint64_t commits_finished; /* by restarts */
    _Atomic int violation; /* the first thing that a worker found wrong */
    _Atomic int status;    /* what the store then answered */
};

enum violation {
    VIOLATION_NONE,
    VIOLATION_NO_SESSION,
    VIOLATION_RECEIPT,
    VIOLATION_SUM,
    VIOLATION_PAIR,
    VIOLATION_TWINS,
    VIOLATION_STATUS
};

struct worker {
    struct storm *storm;
    unsigned number;
    struct store_session *session;
    struct store_random random;
    struct store_buffer seen;
    store_transaction transaction;
    uint64_t began_ms; /* the transaction */
};

static struct storm *storm;

static void violation_note(struct storm *of, enum violation violation, enum status status)
{
    int none = VIOLATION_NONE;

    if (atomic_compare_exchange_strong(&of->violation, &none, (int)violation))
        atomic_store(&of->status, (int)status);
}

/* --- numbers as values, with a tail of any length so that versions have all sizes --- */

static struct bytes name_of(const char *kind, unsigned number, char text[32])
{
    return bytes_from(text, (size_t)snprintf(text, 32, "%s %u", kind, number));
}

static enum status number_put(struct worker *worker, const char *kind, unsigned which, uint64_t number)
{
    unsigned char value[sizeof(number) + 600] = {0};
    char text[32];

    memcpy(value, &number, sizeof(number));
    return store_put(worker->session, worker->transaction, name_of(kind, which, text),
                     bytes_from(value, sizeof(number) + store_random_below(&worker->random, 600)));
}

/* An absent key is 0. */
static enum status number_get(struct worker *worker, const char *kind, unsigned which, uint64_t *number)
{
    char text[32];
    enum status status =
        store_buffer_get(&worker->seen, worker->session, worker->transaction, name_of(kind, which, text));

    *number = 0;
    if (status == STATUS_OK)
        memcpy(number, worker->seen.data, sizeof(*number));
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* --- what a worker does until it is killed --- */

static enum status transfer(struct worker *worker)
{
    unsigned source = (unsigned)store_random_below(&worker->random, ACCOUNTS);
    unsigned target = (source + 1 + (unsigned)store_random_below(&worker->random, ACCOUNTS - 1)) % ACCOUNTS;
    uint64_t amount = store_random_below(&worker->random, 10);
    uint64_t source_balance;
    uint64_t target_balance;
    enum status status = number_get(worker, "account", source, &source_balance);

    if (status == STATUS_OK)
        status = number_get(worker, "account", target, &target_balance);
    if (status == STATUS_OK)
        status = number_put(worker, "account", source, source_balance - amount);
    if (status == STATUS_OK)
        status = number_put(worker, "account", target, target_balance + amount);
    return status;
}

/* Both of a pair are there or none; each commit turns it round. */
static enum status pair_turn(struct worker *worker)
{
    unsigned which = (unsigned)store_random_below(&worker->random, 8);
    char text[32];
    uint64_t left;
    uint64_t right;
    enum status status = number_get(worker, "left", which, &left);

    if (status == STATUS_OK)
        status = number_get(worker, "right", which, &right);
    if (status != STATUS_OK)
        return status;
    if (left != right)
        violation_note(worker->storm, VIOLATION_PAIR, STATUS_OK);
    if (left != 0) {
        status = store_del(worker->session, worker->transaction, name_of("left", which, text));
        return status != STATUS_OK ? status
                                   : store_del(worker->session, worker->transaction, name_of("right", which, text));
    }
    left = store_random_next(&worker->random) | 1;
    status = number_put(worker, "left", which, left);
    return status != STATUS_OK ? status : number_put(worker, "right", which, left);
}

/* Where memory is short, who is idle in a transaction for RECLAIM_IDLE_MS loses it: on a busy machine a worker may have
 * stood still for so long. */
static bool has_stood_still(const struct worker *worker, enum status status)
{
    return status == STATUS_TIMEOUT && clock_monotonic_ms() - worker->began_ms >= RECLAIM_IDLE_MS;
}

static enum status begin(struct worker *worker, enum isolation isolation)
{
    worker->began_ms = clock_monotonic_ms();
    return store_begin(worker->session, isolation, &worker->transaction);
}

/* A whole transaction. */
static enum status turn(struct worker *worker)
{
    struct receipt *receipt = &worker->storm->receipts[worker->number];
    uint64_t next = atomic_load(&receipt->answered) + 1;
    enum status status = begin(worker, ISOLATION_SERIALIZABLE);

    if (status != STATUS_OK)
        return status;
    status = store_random_one_in(&worker->random, 2) ? transfer(worker) : pair_turn(worker);
    if (status == STATUS_OK)
        status = number_put(worker, "receipt", worker->number, next);
    if (status == STATUS_OK && !store_random_one_in(&worker->random, 16)) {
        atomic_store(&receipt->sent, next);
        status = store_commit(worker->session, worker->transaction, NULL);
        if (status == STATUS_OK) {
            atomic_store(&receipt->answered, next);
            atomic_fetch_add(&worker->storm->commits, 1);
        } else {
            atomic_store(&receipt->sent, next - 1);
        }
    } else {
        store_rollback(worker->session, worker->transaction);
    }
    worker->transaction = STORE_SINGLE;
    return status == STATUS_CONFLICT || status == STATUS_OUT_OF_MEMORY || has_stood_still(worker, status) ? STATUS_OK
                                                                                                          : status;
}

/* Twins are written or deleted together and not read before, by levels that pin nothing: what such a commit has published in
 * one shard may be overwritten and freed before it comes to the next. */
static enum status twins_write(struct worker *worker)
{
    bool is_locking = store_random_one_in(&worker->random, 2);
    unsigned which = (unsigned)store_random_below(&worker->random, TWINS);
    uint64_t number = store_random_one_in(&worker->random, 3) ? 0 : store_random_next(&worker->random) | 1;
    enum status status = begin(worker, is_locking ? ISOLATION_LOCKING : ISOLATION_READ_COMMITTED);
    static const char *const kinds[] = {"elder", "younger"};
    char text[32];

    for (unsigned i = 0; status == STATUS_OK && i < 2; i++)
        status = number != 0 ? number_put(worker, kinds[i], which, number)
                             : store_del(worker->session, worker->transaction, name_of(kinds[i], which, text));
    if (status == STATUS_OK) {
        status = store_commit(worker->session, worker->transaction, NULL);
        atomic_fetch_add(&worker->storm->twins_written, status == STATUS_OK);
    } else if (worker->transaction != STORE_SINGLE) {
        store_rollback(worker->session, worker->transaction);
    }
    worker->transaction = STORE_SINGLE;
    return status == STATUS_OUT_OF_MEMORY || status == STATUS_LOCK_TIMEOUT || has_stood_still(worker, status) ? STATUS_OK
                                                                                                             : status;
}

/* In one snapshot. */
static bool twins_are_equal(struct worker *worker)
{
    enum status status = begin(worker, ISOLATION_SERIALIZABLE);
    uint64_t elder = 0;
    uint64_t younger = 0;

    for (unsigned which = 0; status == STATUS_OK && elder == younger && which < TWINS; which++) {
        status = number_get(worker, "elder", which, &elder);
        if (status == STATUS_OK)
            status = number_get(worker, "younger", which, &younger);
    }
    store_rollback(worker->session, worker->transaction);
    worker->transaction = STORE_SINGLE;
    return status != STATUS_OK ? has_stood_still(worker, status) : elder == younger;
}

/* One snapshot over all accounts. */
static bool sum_is_right(struct worker *worker)
{
    uint64_t sum = 0;
    enum status status = begin(worker, ISOLATION_SERIALIZABLE);

    for (unsigned account = 0; status == STATUS_OK && account < ACCOUNTS; account++) {
        uint64_t balance;

        status = number_get(worker, "account", account, &balance);
        sum += balance;
    }
    store_rollback(worker->session, worker->transaction);
    worker->transaction = STORE_SINGLE;
    atomic_fetch_add(&worker->storm->sums_seen, 1);
    return has_stood_still(worker, status) || (status == STATUS_OK && sum == (uint64_t)ACCOUNTS * FIRST_BALANCE);
}

/* What the one before, who was killed, was answered is there; what it had sent may be. */
static bool receipt_is_right(struct worker *worker)
{
    struct receipt *receipt = &worker->storm->receipts[worker->number];
    uint64_t answered = atomic_load(&receipt->answered);
    uint64_t sent = atomic_load(&receipt->sent);
    uint64_t stored;

    if (number_get(worker, "receipt", worker->number, &stored) != STATUS_OK || (stored != answered && stored != sent))
        return false;
    atomic_store(&receipt->answered, stored);
    atomic_store(&receipt->sent, stored);
    return true;
}

/* A new slot may need a chunk, and old data, which a descheduled reader pins, may fill all of them for a while. */
static enum status session_open(struct worker *worker)
{
    enum status status = store_session_open(worker->storm->store, &worker->session);

    while (status == STATUS_TOO_MANY_CLIENTS && atomic_load(&worker->storm->violation) == VIOLATION_NONE) {
        (void)sched_yield();
        status = store_session_open(worker->storm->store, &worker->session);
    }
    return status;
}

static int worker_process(void *context)
{
    struct worker *worker = context;
    enum status status;

    atomic_fetch_add(&worker->storm->starts, 1);
    status = session_open(worker);
    if (status != STATUS_OK)
        violation_note(worker->storm, VIOLATION_NO_SESSION, status);
    else if (!receipt_is_right(worker))
        violation_note(worker->storm, VIOLATION_RECEIPT, status);
    while (atomic_load(&worker->storm->violation) == VIOLATION_NONE) {
        status = store_random_one_in(&worker->random, 3) ? twins_write(worker) : turn(worker);
        if (status != STATUS_OK)
            violation_note(worker->storm, VIOLATION_STATUS, status);
        if (store_random_one_in(&worker->random, 8) && !sum_is_right(worker))
            violation_note(worker->storm, VIOLATION_SUM, STATUS_OK);
        if (store_random_one_in(&worker->random, 8) && !twins_are_equal(worker))
            violation_note(worker->storm, VIOLATION_TWINS, STATUS_OK);
    }
    return 0;
}

static int housekeeper_process(void *context)
{
    struct worker *worker = context;
    struct engine *engine = shared_store_engine(worker->storm->store);
    const struct timespec pause = {.tv_nsec = 200L * 1000};

    while (atomic_load(&worker->storm->violation) == VIOLATION_NONE) {
        atomic_fetch_add(&worker->storm->drained, slots_drain_dead(engine));
        (void)engine_clean(engine);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* --- the killer --- */

static pid_t processes[PROCESSES];

static void start(unsigned number, struct store_random *random)
{
    struct worker worker = {.storm = storm, .number = number, .random = {store_random_next(random)}};

    processes[number] = process_start(number == HOUSEKEEPER ? housekeeper_process : worker_process, &worker);
}

static int random_signal(struct store_random *random)
{
    static const int signals[] = {SIGKILL, SIGSEGV, SIGABRT};

    return signals[store_random_below(random, 3)];
}

static void pause_us(uint64_t us)
{
    const struct timespec delay = {.tv_nsec = (long)us * 1000};

    (void)nanosleep(&delay, NULL);
}

/* One to three of them at once, then others in their place. */
static void kill_some(struct store_random *random)
{
    unsigned first = (unsigned)store_random_below(random, PROCESSES);
    unsigned count = 1 + (unsigned)store_random_below(random, 3);

    pause_us(store_random_below(random, 3000));
    for (unsigned i = 0; i < count; i++)
        (void)kill(processes[(first + i) % PROCESSES], random_signal(random));
    for (unsigned i = 0; i < count; i++) {
        unsigned number = (first + i) % PROCESSES;

        (void)process_wait(processes[number]);
        start(number, random);
    }
}

static void assert_restarts(void)
{
    struct engine *engine = shared_store_engine(storm->store);
    struct engine_restart report = {0};
    const char *reason = NULL;

    cr_assert(segment_is_repairable(engine, &reason), "a restart is refused: %s", reason);
    cr_assert(segment_repair(engine, &report));
    cr_assert(segment_is_valid(engine, &reason), "a restart leaves: %s", reason);
    storm->restarts++;
    storm->commits_finished += report.commits_finished;
}

/* As kill -9 of the whole server. Two stand still before, wherever they are, while the others go on. */
static void kill_all_and_restart(struct store_random *random)
{
    pause_us(store_random_below(random, 1000));
    (void)kill(processes[0], SIGSTOP);
    (void)kill(processes[1], SIGSTOP);
    pause_us(store_random_below(random, 2000));
    for (unsigned number = 0; number < PROCESSES; number++)
        (void)kill(processes[number], SIGKILL);
    for (unsigned number = 0; number < PROCESSES; number++)
        (void)process_wait(processes[number]);
    assert_restarts();
    for (unsigned number = 0; number < PROCESSES; number++)
        start(number, random);
}

static void assert_whole(void)
{
    struct engine *engine = shared_store_engine(storm->store);
    struct worker reader = {.storm = storm};
    const char *reason;

    (void)slots_drain_dead(engine);
    cr_assert_eq(store_session_open(storm->store, &reader.session), STATUS_OK);
    cr_assert(sum_is_right(&reader), "the sum is wrong at the end");
    cr_assert(twins_are_equal(&reader), "twins differ at the end");
    for (reader.number = 0; reader.number < WORKERS; reader.number++)
        cr_assert(receipt_is_right(&reader), "what worker %u was answered is not there", reader.number);
    store_session_close(reader.session);
    for (unsigned shard = 0; shard < shared_store_shard_count(storm->store); shard++) {
        cr_assert_eq(shard_acquire(engine, shard), STATUS_OK);
        shard_release(engine, shard);
    }
    cr_assert(shared_store_is_valid(storm->store, &reason), "invalid: %s", reason);
    store_buffer_deinit(&reader.seen);
}

static void accounts_open(void)
{
    const struct shared_store_options options = {
        .bytes = STORM_BYTES, .shard_count = 4, .lock_timeout_ms = LOCK_TIMEOUT_MS};
    struct worker author = {.storm = storm};

    cr_assert_eq(shared_store_create(&options, &storm->store), STATUS_OK);
    cr_assert_eq(store_session_open(storm->store, &author.session), STATUS_OK);
    for (unsigned account = 0; account < ACCOUNTS; account++)
        cr_assert_eq(number_put(&author, "account", account, FIRST_BALANCE), STATUS_OK);
    store_session_close(author.session);
    store_buffer_deinit(&author.seen);
}

Test(storm, whoever_is_killed_loses_nothing_and_leaves_nothing_half_done, .timeout = 600)
{
    const struct rlimit no_core = {0, 0};
    uint64_t rounds = store_environment_number("HAUSKV_TEST_STEPS", ROUNDS);
    struct store_random random = {store_environment_number("HAUSKV_TEST_SEED", 1)};

    (void)setrlimit(RLIMIT_CORE, &no_core);
    storm = process_shared_memory(sizeof(*storm));
    storm->seed = random.state;
    accounts_open();
    for (unsigned number = 0; number < PROCESSES; number++)
        start(number, &random);
    for (uint64_t round = 0; round < rounds && atomic_load(&storm->violation) == VIOLATION_NONE; round++)
        if (store_random_one_in(&random, RESTART_ONE_IN))
            kill_all_and_restart(&random);
        else
            kill_some(&random);
    for (unsigned number = 0; number < PROCESSES; number++)
        (void)process_kill(processes[number]);
    fprintf(stderr, "figures: storm in the engine, seed %" PRIu64 ": %" PRIu64 " starts, %" PRIu64 " commits, %" PRIu64 " sums, ", storm->seed,
            atomic_load(&storm->starts), atomic_load(&storm->commits), atomic_load(&storm->sums_seen));
    fprintf(stderr, "%" PRIu64 " slots drained by the housekeeper, %" PRIu64 " twins written, %" PRIu64 " restarts, which finished %" PRIu64 " commits\n",
            atomic_load(&storm->drained), atomic_load(&storm->twins_written), storm->restarts, storm->commits_finished);
    cr_assert_eq(atomic_load(&storm->violation), VIOLATION_NONE, "a worker saw violation %d, %s",
                 atomic_load(&storm->violation), status_code((enum status)atomic_load(&storm->status)));
    assert_whole();
    shared_store_destroy(storm->store);
}
