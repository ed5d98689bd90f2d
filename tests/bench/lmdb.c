/* The engine beside LMDB in one process: get, and put one per transaction, with
 * the same keys and values, in turn, with a thousand keys to ten million; and the
 * goals for the engine alone. LMDB has its fastest settings: no sync, a writable
 * map, a file in memory, a reader that is renewed in place of begun anew. Built
 * only where lmdb.h is.
 *
 * Keys are picked at random, evenly, in slices of some thousand: those of a slice
 * before its time begins, in memory that is used again, so that what is fetched for
 * an operation is the store's and not the bench's.
 *
 * A round counts if the process had the CPU for 98 % of each run; the others are
 * counted. --quick: 2 short rounds, counted whatever they had. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lmdb.h>

#include "load/in_process.h"
#include "load/memory_latency.h"
#include "load/report.h"
#include "load/workload.h"
#include "platform/clock.h"

#define SIZES 4u
#define SIZE_OF_GOALS 2u /* for the engine alone */
#define HOT_KEYS 1000u
#define KEYS_PER_GIB 4000000u
#define SLICE_KEYS 2048u
#define ROUNDS 5u
#define CPU_SHARE_MIN 0.98
#define LMDB_BYTES ((size_t)6 << 30)
#define MISS_BYTES ((size_t)128 << 20) /* about what the versions of all keys take */

enum figure {
    FIGURE_GET,
    FIGURE_HOT_GET,
    FIGURE_LMDB_GET,
    FIGURE_LMDB_HOT_GET,
    FIGURE_PUT,
    FIGURE_LMDB_PUT,
    FIGURE_MISS,
    FIGURE_COUNT
};

struct lmdb {
    MDB_env *environment;
    MDB_dbi table;
    MDB_txn *reader;
};

static const unsigned key_counts[SIZES] = {HOT_KEYS, 100000, 1000000, 10000000};

/* Both with that many keys. */
struct bench {
    unsigned key_count;
    struct store *store;
    struct store_session *session;
    struct lmdb lmdb;
    char keys[SLICE_KEYS][IN_PROCESS_KEY_BYTES + 1];
    uint64_t random;
    double times_ns[FIGURE_COUNT][ROUNDS];
    unsigned rounds;
    unsigned discarded;
    bool keeps_starved;
};

static void must(int error)
{
    if (error != MDB_SUCCESS) {
        (void)fprintf(stderr, "lmdb: %s\n", mdb_strerror(error));
        exit(1);
    }
}

/* Once open, the files need no names any more: nothing is left however this ends. */
static void remove_names(const char *folder)
{
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static void lmdb_open(struct lmdb *lmdb)
{
    char folder[] = "/dev/shm/bench-lmdb-XXXXXX";
    MDB_txn *transaction;

    if (mkdtemp(folder) == NULL) {
        perror(folder);
        exit(1);
    }
    must(mdb_env_create(&lmdb->environment));
    must(mdb_env_set_mapsize(lmdb->environment, LMDB_BYTES));
    must(mdb_env_open(lmdb->environment, folder, MDB_NOSYNC | MDB_WRITEMAP, 0600));
    remove_names(folder);
    must(mdb_txn_begin(lmdb->environment, NULL, 0, &transaction));
    must(mdb_dbi_open(transaction, NULL, 0, &lmdb->table));
    must(mdb_txn_commit(transaction));
}

/* A reader that is kept would keep old pages alive, so it is reset after each get. */
static void lmdb_open_reader(struct lmdb *lmdb)
{
    must(mdb_txn_begin(lmdb->environment, NULL, MDB_RDONLY, &lmdb->reader));
    mdb_txn_reset(lmdb->reader);
}

static void lmdb_close(struct lmdb *lmdb)
{
    mdb_txn_abort(lmdb->reader);
    mdb_env_close(lmdb->environment);
}

static MDB_val value_of(char *data, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = data};
}

static void lmdb_get(struct bench *bench, char *key, char *value)
{
    struct lmdb *lmdb = &bench->lmdb;
    MDB_val name = value_of(key, IN_PROCESS_KEY_BYTES);
    MDB_val found;

    must(mdb_txn_renew(lmdb->reader));
    must(mdb_get(lmdb->reader, lmdb->table, &name, &found));
    memcpy(value, found.mv_data, found.mv_size);
    mdb_txn_reset(lmdb->reader);
}

static void lmdb_put(struct bench *bench, char *key, char *value)
{
    struct lmdb *lmdb = &bench->lmdb;
    MDB_val name = value_of(key, IN_PROCESS_KEY_BYTES);
    MDB_val content = value_of(value, IN_PROCESS_VALUE_BYTES);
    MDB_txn *transaction;

    must(mdb_txn_begin(lmdb->environment, NULL, 0, &transaction));
    must(mdb_put(transaction, lmdb->table, &name, &content, 0));
    must(mdb_txn_commit(transaction));
}

static void engine_get(struct bench *bench, char *key, char *value)
{
    in_process_get(bench->session, key, value);
}

static void engine_put(struct bench *bench, char *key, char *value)
{
    in_process_put(bench->session, key, value);
}

static void lmdb_fill(struct lmdb *lmdb, unsigned key_count)
{
    char value[IN_PROCESS_VALUE_BYTES] = "value";
    MDB_txn *transaction;

    must(mdb_txn_begin(lmdb->environment, NULL, 0, &transaction));
    for (uint64_t i = 0; i < key_count; i++) {
        char text[IN_PROCESS_KEY_BYTES + 1];
        MDB_val name = value_of(text, IN_PROCESS_KEY_BYTES);
        MDB_val content = value_of(value, sizeof value);

        (void)in_process_key(text, i);
        must(mdb_put(transaction, lmdb->table, &name, &content, 0));
    }
    must(mdb_txn_commit(transaction));
}

/* Hot ones are spread over all keys: they are not neighbours. */
static void pick_keys(struct bench *bench, bool is_hot)
{
    uint64_t step = is_hot ? bench->key_count / HOT_KEYS : 1;

    for (size_t i = 0; i < SLICE_KEYS; i++)
        (void)in_process_key(bench->keys[i], workload_random(&bench->random) % (bench->key_count / step) * step);
}

static uint64_t cpu_ns(void)
{
    struct timespec used;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

typedef void (*operation)(struct bench *bench, char *key, char *value);

static uint64_t slice_ns(struct bench *bench, operation operate)
{
    char value[STORE_COPY_BYTES] = "other";
    uint64_t begin_ns = clock_monotonic_ns();

    for (size_t i = 0; i < SLICE_KEYS; i++)
        operate(bench, bench->keys[i], value);
    return clock_monotonic_ns() - begin_ns;
}

/* ns per operation; *is_kept becomes false if the process had to wait. */
static double time_of(struct bench *bench, operation operate, bool is_hot, unsigned slices, bool *is_kept)
{
    uint64_t cpu_begin_ns = cpu_ns();
    uint64_t begin_ns = clock_monotonic_ns();
    uint64_t sum_ns = 0;

    for (unsigned slice = 0; slice < slices; slice++) {
        pick_keys(bench, is_hot);
        sum_ns += slice_ns(bench, operate);
    }
    *is_kept = *is_kept && (double)(cpu_ns() - cpu_begin_ns) >= CPU_SHARE_MIN * (double)(clock_monotonic_ns() - begin_ns);
    return (double)sum_ns / slices / SLICE_KEYS;
}

static void play_round(struct bench *bench, unsigned slices)
{
    const operation operate[FIGURE_MISS] = {engine_get, engine_get, lmdb_get, lmdb_get, engine_put, lmdb_put};
    bool is_kept = true;

    for (unsigned figure = 0; figure < FIGURE_MISS; figure++) {
        bool is_hot = figure == FIGURE_HOT_GET || figure == FIGURE_LMDB_HOT_GET;

        bench->times_ns[figure][bench->rounds] =
            time_of(bench, operate[figure], is_hot, slices, &is_kept);
    }
    bench->times_ns[FIGURE_MISS][bench->rounds] = memory_latency_ns(MISS_BYTES);
    bench->discarded += !is_kept;
    bench->rounds += is_kept || bench->keeps_starved;
}

static struct spread spread_of_figure(const struct bench *bench, enum figure figure)
{
    double values[ROUNDS];

    memcpy(values, bench->times_ns[figure], sizeof values);
    return spread_of(values, bench->rounds);
}

static struct spread ratio(const struct bench *bench, enum figure ours, enum figure theirs)
{
    double values[ROUNDS];

    for (unsigned i = 0; i < bench->rounds; i++)
        values[i] = bench->times_ns[theirs][i] / bench->times_ns[ours][i];
    return spread_of(values, bench->rounds);
}

static void report_times(const struct bench *bench)
{
    static const char *const names[FIGURE_COUNT] = {
        "engine get", "engine get, hot keys", "LMDB get", "LMDB get, hot keys", "engine put", "LMDB put",
        "one cache miss",
    };

    printf("%s; %u keys, %u + %u bytes; %u rounds kept, %u starved\n\n", mdb_version(NULL, NULL, NULL),
           bench->key_count, IN_PROCESS_KEY_BYTES, IN_PROCESS_VALUE_BYTES, bench->rounds, bench->discarded);
    for (unsigned figure = 0; figure < FIGURE_COUNT; figure++) {
        struct spread spread = spread_of_figure(bench, (enum figure)figure);

        printf("%-22s %7.0f ns (%.0f to %.0f)\n", names[figure], spread.median, spread.minimum, spread.maximum);
    }
    printf("\n");
}

static void report_ratios(const struct bench *bench, const char *shared_pages)
{
    char get[64];
    char put[64];
    const struct goal get_goal = {get, "LMDB", 3, 5, "x", false};
    const struct goal put_goal = {put, "LMDB", 5, 10, "x", false};
    struct spread spread;

    (void)snprintf(get, sizeof get, "in-process get, %u keys", bench->key_count);
    (void)snprintf(put, sizeof put, "in-process put, one per transaction, %u keys", bench->key_count);
    spread = ratio(bench, FIGURE_GET, FIGURE_LMDB_GET);
    report_goal(stdout, &get_goal, &spread, shared_pages);
    spread = ratio(bench, FIGURE_PUT, FIGURE_LMDB_PUT);
    report_goal(stdout, &put_goal, &spread, shared_pages);
}

static void report_goals(const struct bench *benches, const char *shared_pages)
{
    const struct goal get_goal = {"in-process get, 1 M keys", "-", 300, 150, " ns", true};
    const struct goal hot_goal = {"in-process get, hot 1,000 of 1 M keys", "-", 70, 45, " ns", true};
    struct spread get = spread_of_figure(&benches[SIZE_OF_GOALS], FIGURE_GET);
    struct spread hot = spread_of_figure(&benches[SIZE_OF_GOALS], FIGURE_HOT_GET);
    unsigned starved = 0;

    for (unsigned i = 0; i < SIZES; i++)
        starved += benches[i].keeps_starved ? benches[i].discarded : 0;
    report_goal_head(stdout, starved);
    report_goal(stdout, &get_goal, &get, shared_pages);
    report_goal(stdout, &hot_goal, &hot, shared_pages);
    for (unsigned i = 0; i < SIZES; i++)
        report_ratios(&benches[i], shared_pages);
}

/* The page state is asked for while the store is there. */
static const char *run(struct bench *bench, bool is_quick)
{
    unsigned rounds = is_quick ? 2 : ROUNDS;
    const char *shared_pages;

    bench->keeps_starved = is_quick;
    bench->store = in_process_store((size_t)(bench->key_count / KEYS_PER_GIB + 1) << 30, &bench->session);
    (void)in_process_fill(bench->session, bench->key_count);
    lmdb_open(&bench->lmdb);
    lmdb_fill(&bench->lmdb, bench->key_count);
    lmdb_open_reader(&bench->lmdb);
    bench->random = 88172645463325252u;
    while (bench->rounds < rounds && bench->discarded <= 2 * rounds)
        play_round(bench, is_quick ? 25 : 500);
    shared_pages = in_process_has_huge_pages() ? "huge pages" : "no huge pages";
    report_times(bench);
    lmdb_close(&bench->lmdb);
    store_session_close(bench->session);
    shared_store_destroy(bench->store);
    return shared_pages;
}

int main(int count, char **arguments)
{
    bool is_quick = count > 1 && strcmp(arguments[1], "--quick") == 0;
    struct bench *benches = calloc(SIZES, sizeof *benches);
    const char *shared_pages = NULL;

    REQUIRE(benches != NULL);
    for (unsigned i = 0; i < SIZES; i++) {
        benches[i].key_count = key_counts[i];
        shared_pages = run(&benches[i], is_quick);
    }
    report_goals(benches, shared_pages);
    free(benches);
    return 0;
}
