/* A session without a socket: session [--quick] [--keys N] [--depth N | --store] [--verb get|put] [--memory MIB]
 *
 * Bursts of lines with random keys are fed to one session in this process, over a store
 * like a server's: GET and PUT, at 1 thousand, 100 thousand and 1 million keys, 1, 16 and
 * 64 lines in a burst (--keys, --depth, --verb: only these; --store: the store alone). The time is that of a line,
 * from the bytes copied in (which for a server the system does) to those of the reply.
 * "store" is store_get and store_put with such keys, and no line around them.
 *
 * It is timed in slices of some thousand lines, those of all rows in turn, and told what
 * a tenth, half and nine tenths of a row's slices do not exceed: where others use the
 * machine too, the first is touched least. The requests of a slice are made before it,
 * in memory that is used again, as a server's is. --quick: few slices, fewer keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/in_process.h"
#include "load/protocol.h"
#include "load/spread.h"
#include "load/workload.h"
#include "platform/clock.h"
#include "platform/decimal.h"
#include "session/session.h"

#define SLICE_LINES 2048u
#define SLICES 1000u
#define QUICK_SLICES 20u
#define ROWS_MAX 8u
#define KEYS_MAX 10000000u
#define STORE_BYTES ((size_t)64 << 20)
#define STORE_BYTES_PER_KEY 256u /* about twice what is held; --memory says another limit */
#define STORE_MIB_MAX 65536u
#define GET_REPLY_BYTES (sizeof("{\"status\": \"Ok\", \"result\": \"\"}\n") - 1 + IN_PROCESS_VALUE_BYTES)
#define PUT_REPLY_BYTES (sizeof("{\"status\": \"Ok\"}\n") - 1)

struct row {
    bool is_put;
    unsigned depth; /* lines in a burst; 0: the store alone */
    double slices_ns[SLICES];
};

struct bench {
    struct store *store;
    struct store_session *store_session;
    struct session session;
    struct session_counters counters;
    _Atomic uint64_t last_transaction_id;
    uint64_t keys;
    uint64_t random;
    char value[IN_PROCESS_VALUE_BYTES];
    char key_texts[SLICE_LINES][IN_PROCESS_KEY_BYTES + 1];
    struct batch lines; /* of these keys; all of one length */
};

struct settings {
    uint64_t keys; /* 0: all of the table */
    unsigned depth; /* the same */
    uint64_t memory_mib; /* 0: as the keys may need */
    unsigned slices;
    bool only_store;
    bool without_get;
    bool without_put;
    bool is_quick;
};

static void bench_open(struct bench *bench, uint64_t keys, uint64_t memory_mib)
{
    size_t bytes = memory_mib > 0 ? (size_t)memory_mib << 20 : STORE_BYTES + keys * STORE_BYTES_PER_KEY;
    struct session_config config = {
        .last_transaction_id = &bench->last_transaction_id,
        .counters = &bench->counters,
        .isolation = ISOLATION_SERIALIZABLE,
        .command_bytes_max = (size_t)1 << 20,
    };

    memset(bench, 0, sizeof *bench);
    bench->keys = keys;
    bench->random = 88172645463325252u;
    memset(bench->value, 'w', sizeof bench->value);
    bench->store = in_process_store(bytes, &bench->store_session);
    (void)in_process_fill(bench->store_session, keys);
    config.store = bench->store;
    config.store_session = bench->store_session;
    session_init(&bench->session, &config);
}

static void bench_close(struct bench *bench)
{
    session_deinit(&bench->session);
    store_session_close(bench->store_session);
    shared_store_destroy(bench->store);
    buffer_deinit(&bench->lines.requests);
}

static unsigned lines_of(const struct row *row)
{
    return row->depth == 0 ? SLICE_LINES : SLICE_LINES / row->depth * row->depth;
}

static void prepare(struct bench *bench, const struct row *row)
{
    batch_clear(&bench->lines);
    for (unsigned i = 0; i < lines_of(row); i++) {
        struct bytes key = in_process_key(bench->key_texts[i], workload_random(&bench->random) % bench->keys);

        if (row->is_put)
            protocol_text.put(&bench->lines, key, bytes_from(bench->value, sizeof bench->value));
        else
            protocol_text.get(&bench->lines, key);
    }
    REQUIRE(!bench->lines.requests.failed);
}

/* Returns how many bytes were answered. */
static size_t converse(struct bench *bench, const struct row *row)
{
    struct bytes lines = buffer_bytes(&bench->lines.requests);
    size_t burst_bytes = lines.size / lines_of(row) * row->depth;
    size_t answered = 0;

    for (size_t offset = 0; offset < lines.size; offset += burst_bytes) {
        session_feed(&bench->session, bytes_slice(lines, offset, burst_bytes));
        answered += session_output(&bench->session).size;
        session_output_clear(&bench->session);
    }
    return answered;
}

static void operate(struct bench *bench, const struct row *row)
{
    char value[IN_PROCESS_VALUE_BYTES];

    for (unsigned i = 0; i < SLICE_LINES; i++) {
        if (row->is_put)
            in_process_put(bench->store_session, bench->key_texts[i], bench->value);
        else
            in_process_get(bench->store_session, bench->key_texts[i], value);
    }
}

/* Every reply is Ok: an Error, or a value of another size, is longer or shorter. */
static void check_answers(const struct row *row, size_t answered)
{
    size_t expected = row->depth == 0 ? 0 : lines_of(row) * (row->is_put ? PUT_REPLY_BYTES : GET_REPLY_BYTES);

    if (answered != expected) {
        (void)fprintf(stderr, "session: %zu bytes were answered in place of %zu\n", answered, expected);
        exit(1);
    }
}

/* ns per line. */
static double time_slice(struct bench *bench, const struct row *row)
{
    size_t answered = 0;
    uint64_t begin_ns;
    uint64_t took_ns;

    prepare(bench, row);
    begin_ns = clock_monotonic_ns();
    if (row->depth > 0)
        answered = converse(bench, row);
    else
        operate(bench, row);
    took_ns = clock_monotonic_ns() - begin_ns;
    check_answers(row, answered);
    return (double)took_ns / lines_of(row);
}

static void print_row(const struct bench *bench, struct row *row, unsigned slices, const char *pages)
{
    char depth[16] = "-";

    if (row->depth > 0)
        (void)snprintf(depth, sizeof depth, "%u", row->depth);
    (void)spread_of(row->slices_ns, slices); /* sorts them */
    printf("| %ju | %s | %s | %s | %.0f | %.0f | %.0f | %s |\n", (uintmax_t)bench->keys,
           row->depth > 0 ? "session" : "store", row->is_put ? "PUT" : "GET", depth,
           spread_percentile(row->slices_ns, slices, 0.1), spread_percentile(row->slices_ns, slices, 0.5),
           spread_percentile(row->slices_ns, slices, 0.9), pages);
}

static void play(struct bench *bench, struct row *rows, unsigned count, unsigned slices)
{
    for (unsigned slice = 0; slice < slices; slice++) {
        for (unsigned i = 0; i < count; i++)
            rows[i].slices_ns[slice] = time_slice(bench, &rows[i]);
    }
}

static unsigned choose_rows(const struct settings *settings, struct row rows[ROWS_MAX])
{
    static const unsigned depths[] = {0, 1, 16, 64};
    unsigned count = 0;

    for (unsigned i = 0; i < ROWS_MAX; i++) {
        unsigned depth = depths[i / 2];
        bool is_put = i % 2 == 1;

        if ((depth > 1 && settings->depth > 0) || (depth > 0 && settings->only_store))
            break;
        if (depth > 0 && settings->depth > 0)
            depth = settings->depth;
        if (is_put ? settings->without_put : settings->without_get)
            continue;
        rows[count].is_put = is_put;
        rows[count++].depth = depth;
    }
    return count;
}

static void measure_keys(const struct settings *settings, uint64_t keys)
{
    static struct bench bench;
    static struct row rows[ROWS_MAX];
    unsigned count = choose_rows(settings, rows);
    const char *pages;

    bench_open(&bench, keys, settings->memory_mib);
    play(&bench, rows, count, settings->slices);
    pages = in_process_has_huge_pages() ? "huge" : "small";
    for (unsigned i = 0; i < count; i++)
        print_row(&bench, &rows[i], settings->slices, pages);
    (void)fflush(stdout);
    bench_close(&bench);
}

static void measure(const struct settings *settings)
{
    static const uint64_t table[] = {1000, 100000, 1000000};
    size_t count = sizeof table / sizeof *table - (settings->is_quick ? 1 : 0);

    printf("Keys of %u bytes, values of %u; ns per line, in %u slices of %u lines.\n\n"
           "| keys | | | lines in a burst | p10 ns | p50 ns | p90 ns | pages of the store |\n"
           "| --: | --- | --- | --: | --: | --: | --: | --- |\n",
           IN_PROCESS_KEY_BYTES, IN_PROCESS_VALUE_BYTES, settings->slices, SLICE_LINES);
    if (settings->keys > 0) {
        measure_keys(settings, settings->keys);
        return;
    }
    for (size_t i = 0; i < count; i++)
        measure_keys(settings, table[i]);
}

/* Ends the program unless the next argument is a number from 1 to maximum. */
static uint64_t number_after(char **argument, uint64_t maximum)
{
    uint64_t number = 0;

    if (argument[1] == NULL || !decimal_read(bytes_from_string(argument[1]), &number) || number < 1 ||
        number > maximum) {
        (void)fprintf(stderr, "session: %s: a number from 1 to %ju\n", argument[0], (uintmax_t)maximum);
        exit(2);
    }
    return number;
}

static bool is_verb(const char *text)
{
    return strcmp(text, "get") == 0 || strcmp(text, "put") == 0;
}

int main(int count, char **arguments)
{
    struct settings settings = {.slices = SLICES};

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0) {
            settings.is_quick = true;
            settings.slices = QUICK_SLICES;
        } else if (strcmp(arguments[i], "--keys") == 0) {
            settings.keys = number_after(&arguments[i++], KEYS_MAX);
        } else if (strcmp(arguments[i], "--depth") == 0) {
            settings.depth = (unsigned)number_after(&arguments[i++], SLICE_LINES);
        } else if (strcmp(arguments[i], "--store") == 0) {
            settings.only_store = true;
        } else if (strcmp(arguments[i], "--memory") == 0) {
            settings.memory_mib = number_after(&arguments[i++], STORE_MIB_MAX);
        } else if (strcmp(arguments[i], "--verb") == 0 && i + 1 < count && is_verb(arguments[i + 1])) {
            settings.without_put = strcmp(arguments[++i], "get") == 0;
            settings.without_get = !settings.without_put;
        } else {
            (void)fprintf(stderr, "usage: session [--quick] [--keys N] [--depth N | --store] [--verb get|put] "
                                  "[--memory MIB]\n");
            return 2;
        }
    }
    measure(&settings);
    return 0;
}
