/* How the cost of an operation grows: scale [--quick] [--pictures FOLDER] AXIS...
 *
 *   keys         1 thousand to 10 million keys, GET and PUT
 *   values       values of 1 byte to 1 MiB, GET and PUT
 *   connections  1 to 10,000, GET
 *   hot          1 to 1,000 connections that write one key, and as many that write all
 *   transaction  1 to 10,000 PUTs in a transaction, sent in one piece
 *
 * Without AXIS: all. hauskv and Redis, where it is there. A table and a picture
 * each; --quick: short runs at a few points, which show that it works. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "load/contest.h"
#include "load/picture.h"
#include "load/report.h"
#include "load/server_list.h"

#define POINTS_MAX 16u
#define DESCRIPTORS_SPARE 200u
#define VARIANTS_MAX 2u
#define KINDS_MAX 2u
#define SERIES_MAX (VARIANTS_MAX * KINDS_MAX)

/* What is measured at each point; figures are per operation. */
struct variant {
    const char *name;
    void (*set)(struct workload *workload, uint64_t point);
};

struct axis {
    const char *name;
    const char *label;
    uint64_t points[POINTS_MAX]; /* ends with 0 */
    uint64_t quick_points[4];
    struct variant variants[VARIANTS_MAX];
    bool is_per_point; /* figures of cost are divided by the point: they are of a PUT, not of a transaction */
};

struct scale {
    bool is_quick;
    const char *folder;
    struct server_list servers;
};

/* Few connections and deep pipelines: what the wakeups cost is shared by many operations, and the table shows. */
static void set_keys(struct workload *workload, uint64_t keys)
{
    workload->keys = keys;
    workload->connections = 8;
    workload->depth = 64;
}

static void set_keys_get(struct workload *workload, uint64_t keys)
{
    set_keys(workload, keys);
    workload->weights[OPERATION_GET] = 1;
}

static void set_keys_put(struct workload *workload, uint64_t keys)
{
    set_keys(workload, keys);
    workload->weights[OPERATION_PUT] = 1;
}

/* As many keys as make 64 MiB of values, at least 16 and at most 100,000. */
static void set_values(struct workload *workload, uint64_t bytes)
{
    uint64_t keys = ((uint64_t)64 << 20) / bytes;

    workload->value_bytes = bytes;
    workload->keys = keys > 100000 ? 100000 : keys < 16 ? 16 : keys;
    workload->connections = 8;
}

static void set_values_get(struct workload *workload, uint64_t bytes)
{
    set_values(workload, bytes);
    workload->weights[OPERATION_GET] = 1;
}

static void set_values_put(struct workload *workload, uint64_t bytes)
{
    set_values(workload, bytes);
    workload->weights[OPERATION_PUT] = 1;
}

static void set_connections(struct workload *workload, uint64_t connections)
{
    workload->connections = (unsigned)connections;
    workload->weights[OPERATION_GET] = 1;
}

static void set_hot(struct workload *workload, uint64_t connections)
{
    workload->connections = (unsigned)connections;
    workload->depth = 16;
    workload->keys = 1;
    workload->weights[OPERATION_PUT] = 1;
}

static void set_spread(struct workload *workload, uint64_t connections)
{
    set_hot(workload, connections);
    workload->keys = workload_default.keys;
}

static void set_transaction(struct workload *workload, uint64_t puts)
{
    workload->connections = 8;
    workload->transaction_puts = (unsigned)puts;
    workload->weights[OPERATION_TRANSACTION] = 1;
}

static const struct axis axes[] = {
    {"keys", "keys", {1000, 10000, 100000, 1000000, 10000000}, {1000, 100000},
     {{"get", set_keys_get}, {"put", set_keys_put}}, false},
    {"values", "bytes of a value", {1, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576}, {1, 1024, 1048576},
     {{"get", set_values_get}, {"put", set_values_put}}, false},
    {"connections", "connections", {1, 10, 50, 100, 200, 500, 1000, 2000, 5000, 10000}, {1, 100},
     {{"get", set_connections}}, false},
    {"hot", "connections", {1, 2, 4, 8, 16, 50, 100, 200, 500, 1000}, {1, 50},
     {{"one key", set_hot}, {"all keys", set_spread}}, false},
    {"transaction", "PUTs in a transaction", {1, 3, 10, 30, 100, 300, 1000, 3000, 10000}, {1, 100, 10000},
     {{"transaction", set_transaction}}, true},
};

#define AXIS_COUNT (sizeof axes / sizeof *axes)

/* A figure of each server at each variant of a point; -1: there is none. */
struct series {
    unsigned count;
    char names[SERIES_MAX][64];
    double operations_per_s[SERIES_MAX];
    double server_us[SERIES_MAX];
    double p50_us[SERIES_MAX];
    double p99_us[SERIES_MAX];
};

static void find_names(const struct scale *scale, const struct axis *axis, struct series *series)
{
    series->count = 0;
    for (unsigned i = 0; i < VARIANTS_MAX && axis->variants[i].name != NULL; i++) {
        for (unsigned j = 0; j < scale->servers.count; j++)
            (void)snprintf(series->names[series->count++], sizeof series->names[0], "%s %s",
                           scale->servers.kinds[j]->name, axis->variants[i].name);
    }
}

/* kinds[from] to before kinds[to], in turn. */
static void measure_kinds(const struct scale *scale, const struct workload *workload, struct series *series, unsigned first,
                          unsigned from, unsigned to)
{
    static struct contest contest;
    const struct contest_options options = {
        .rounds = scale->is_quick ? 1 : 3,
        .duration_ns = scale->is_quick ? 100000000 : 1000000000,
        .warm_up_ns = scale->is_quick ? 20000000 : 200000000,
        .seed = 1,
        .keeps_starved = scale->is_quick,
    };

    if (!contest_run(&contest, workload, scale->servers.kinds + from, to - from, &options))
        exit(1);
    for (unsigned i = from; i < to; i++) {
        const struct run *run = &contest.contenders[i - from].middle;
        bool is_measured = contest.rounds > 0;

        series->operations_per_s[first + i] = is_measured ? run->operations_per_s : NAN;
        series->server_us[first + i] = is_measured ? run->server_us : NAN;
        series->p50_us[first + i] = is_measured ? run->p50_us : NAN;
        series->p99_us[first + i] = is_measured ? run->p99_us : NAN;
    }
}

/* All servers are connected at once, as far as descriptors go. */
static bool has_descriptors_for(uint64_t connections)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) != 0 || connections + DESCRIPTORS_SPARE <= limit.rlim_max;
}

static void measure_variant(const struct scale *scale, const struct variant *variant, uint64_t point,
                            struct series *series, unsigned first)
{
    struct workload workload = workload_default;

    variant->set(&workload, point);
    if (has_descriptors_for((uint64_t)workload.connections * scale->servers.count)) {
        measure_kinds(scale, &workload, series, first, 0, scale->servers.count);
        return;
    }
    for (unsigned i = 0; i < scale->servers.count; i++)
        measure_kinds(scale, &workload, series, first, i, i + 1);
}

static void print_point(const struct series *series, uint64_t point)
{
    printf("| %ju |", (uintmax_t)point);
    for (unsigned i = 0; i < series->count; i++) {
        if (isnan(series->server_us[i]))
            printf(" starved |");
        else
            printf(" %.0f; %.2f; %.0f; %.0f |", series->operations_per_s[i], series->server_us[i], series->p50_us[i],
                   series->p99_us[i]);
    }
    printf("\n");
    (void)fflush(stdout);
}

static void print_head(const struct axis *axis, const struct series *series)
{
    printf("## %s\n\nOperations/s; server CPU us per %s; p50 us; p99 us:\n\n| %s |", axis->name,
           axis->is_per_point ? "PUT" : "operation", axis->label);
    for (unsigned i = 0; i < series->count; i++)
        printf(" %s |", series->names[i]);
    printf("\n| --: |");
    for (unsigned i = 0; i < series->count; i++)
        printf(" --: |");
    printf("\n");
}

static void measure_axis(const struct scale *scale, const struct axis *axis)
{
    const uint64_t *points = scale->is_quick ? axis->quick_points : axis->points;
    struct picture picture = {
        .title = axis->is_per_point ? "Server CPU time of a PUT" : "Server CPU time of an operation",
        .y_label = "us",
        .x_label = axis->label,
    };
    struct series series;
    char name[64];

    find_names(scale, axis, &series);
    for (unsigned i = 0; i < series.count; i++)
        picture.columns[i] = series.names[i];
    (void)snprintf(name, sizeof name, "scale-%s", axis->name);
    if (!picture_begin(&picture, scale->folder, name))
        exit(1);
    print_head(axis, &series);
    for (unsigned i = 0; points[i] != 0; i++) {
        char x[32];

        for (unsigned j = 0; j < VARIANTS_MAX && axis->variants[j].name != NULL; j++)
            measure_variant(scale, &axis->variants[j], points[i], &series, j * scale->servers.count);
        for (unsigned j = 0; axis->is_per_point && j < series.count; j++)
            series.server_us[j] /= (double)points[i];
        print_point(&series, points[i]);
        (void)snprintf(x, sizeof x, "%ju", (uintmax_t)points[i]);
        picture_add(&picture, x, series.server_us);
    }
    printf("\n");
    if (!picture_end(&picture))
        exit(1);
}

static const struct axis *find_axis(const char *name)
{
    for (unsigned i = 0; i < AXIS_COUNT; i++) {
        if (strcmp(axes[i].name, name) == 0)
            return &axes[i];
    }
    (void)fprintf(stderr, "usage: scale [--quick] [--pictures FOLDER] [keys|values|connections|hot|transaction]...\n");
    exit(2);
}

static unsigned choose_all(const struct axis *chosen[AXIS_COUNT])
{
    for (unsigned i = 0; i < AXIS_COUNT; i++)
        chosen[i] = &axes[i];
    return AXIS_COUNT;
}

static void choose_servers(struct server_list *servers)
{
    char reason[SERVER_LIST_REASON_BYTES];

    if (!server_list_ask(servers, "hauskv", reason)) {
        (void)fprintf(stderr, "scale: %s\n", reason);
        exit(1);
    }
    server_list_add_present(servers, "redis", stdout);
}

int main(int count, char **arguments)
{
    struct scale scale = {.folder = "bench-results"};
    const struct axis *chosen[AXIS_COUNT];
    unsigned chosen_count = 0;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0)
            scale.is_quick = true;
        else if (strcmp(arguments[i], "--pictures") == 0 && i + 1 < count)
            scale.folder = arguments[++i];
        else if (chosen_count < AXIS_COUNT)
            chosen[chosen_count++] = find_axis(arguments[i]);
    }
    if (chosen_count == 0)
        chosen_count = choose_all(chosen);
    choose_servers(&scale.servers);
    report_machine(stdout, scale.servers.kinds, scale.servers.count);
    for (unsigned i = 0; i < chosen_count; i++)
        measure_axis(&scale, chosen[i]);
    return 0;
}
