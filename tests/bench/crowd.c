/* What a connection costs while it says nothing, and how many connections at
 * once behave: crowd [--quick] [CONNECTIONS], default 10000. hauskv alone.
 *
 * First some connections of which each reads every key, so that its worker has
 * touched the whole segment; then all the connections, of which each reads one
 * key. Figures of memory are for both ends of a connection: the client's socket
 * is on the same machine. --quick: few connections, starved or not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "load/generator.h"
#include "load/kernel_memory.h"
#include "load/loader.h"
#include "load/report.h"
#include "load/server.h"
#include "load/starvation.h"
#include "platform/clock.h"
#include "platform/decimal.h"
#include "session/connection.h"

#define SEGMENT_BYTES ((uint64_t)256 << 20)
#define FILL_SHARE 0.8
#define ENTRY_BYTES 1100 /* about what a key with its value takes */
#define VALUE_BYTES 1024
#define ROUNDS 3u
#define MEBIBYTE ((double)(1u << 20))

struct crowd {
    unsigned connections;
    unsigned sample;
    unsigned rounds;
    bool keeps_starved;
};

struct live_round {
    double accepted_s;
    double answered_s;
    double memory_gib;
};

static const char memory_head[] = "| | own | page tables | kernel stacks | slab | per CPU | sum | less available |\n"
                                  "| --- | --: | --: | --: | --: | --: | --: | --: |\n";

_Noreturn static void give_up(const char *what)
{
    (void)fprintf(stderr, "crowd: %s\n", what);
    exit(1);
}

static void start(struct load_server *server, unsigned connections)
{
    const struct server_needs needs = {
        .connections = connections,
        .value_bytes = VALUE_BYTES,
        .memory_bytes = SEGMENT_BYTES,
    };

    if (!load_server_start(server, server_kind_find("hauskv"), &needs))
        give_up("no server");
}

static struct workload workload_of(unsigned connections, uint64_t keys)
{
    struct workload workload = workload_default;

    workload.connections = connections;
    workload.keys = keys;
    workload.value_bytes = VALUE_BYTES;
    workload.weights[OPERATION_GET] = 1;
    return workload;
}

static void fill(const struct load_server *server, const struct workload *workload)
{
    static unsigned char value[VALUE_BYTES];
    struct loader loader;
    bool is_filled = loader_open(&loader, server->kind->protocol, &server->endpoint);

    memset(value, 'v', sizeof value);
    for (uint64_t i = 0; i < workload->keys && is_filled; i++) {
        char text[WORKLOAD_KEY_BYTES_MAX];

        is_filled = loader_put(&loader, workload_key(workload, i, text), bytes_from(value, sizeof value));
    }
    if (!is_filled || !loader_flush(&loader) || loader.full + loader.failed > 0)
        give_up("the server cannot be filled");
    loader_close(&loader);
}

static int compare(const void *left, const void *right)
{
    uint64_t first = *(const uint64_t *)left;
    uint64_t second = *(const uint64_t *)right;

    return (first > second) - (first < second);
}

/* Of all children, the housekeeper among them, the median. */
static double private_kib(const struct load_server *server)
{
    static pid_t children[4096];
    static uint64_t bytes[4096];
    unsigned count = tree_children(server->process, children, 4096);
    unsigned middle;

    count = count < 4096 ? count : 4096;
    if (count == 0)
        return 0;
    for (unsigned i = 0; i < count; i++)
        bytes[i] = process_private_bytes(children[i]);
    qsort(bytes, count, sizeof *bytes, compare);
    middle = count / 2;
    return (double)bytes[middle] / 1024;
}

static bool has_huge_pages(const struct load_server *server)
{
    pid_t children[8];
    unsigned count = tree_children(server->process, children, 8);

    for (unsigned i = 0; i < count && i < 8; i++) {
        if (process_file_bytes(children[i], "smaps_rollup", "ShmemPmdMapped") > 0 ||
            process_file_bytes(children[i], "smaps_rollup", "Shared_Hugetlb") > 0)
            return true;
    }
    return false;
}

static void read_every_key(struct loader *loader, const struct workload *workload)
{
    for (uint64_t i = 0; i < workload->keys; i++) {
        char text[WORKLOAD_KEY_BYTES_MAX];

        if (!loader_get(loader, workload_key(workload, i, text)))
            give_up("a connection failed");
    }
    if (!loader_flush(loader) || loader->missing + loader->failed > 0)
        give_up("a key is missing");
}

static void connect_sample(struct loader *loaders, unsigned count, const struct load_server *server)
{
    for (unsigned i = 0; i < count; i++) {
        if (!loader_open(&loaders[i], server->kind->protocol, &server->endpoint) ||
            loader_ask(&loaders[i], "PING\n", "\n") == NULL)
            give_up("cannot connect");
    }
}

static void report_sample(const struct kernel_memory *fresh, const struct kernel_memory *touched, double fresh_kib,
                          double touched_kib, const char *remark, unsigned count)
{
    const struct goal memory = {"memory per idle connection, segment touched", "-", 160, 112, " KiB", true};
    const struct goal private = {"private pages of an idle worker", "-", 48, 24, " KiB", true};
    double per_connection = kernel_memory_sum(touched) / 1024 / count;
    struct spread spread = {per_connection, per_connection, per_connection};

    printf("KiB per connection, of %u:\n\n%s", count, memory_head);
    kernel_memory_print(fresh, "has said PING", count);
    kernel_memory_print(touched, "has read every key", count);
    printf("\nPrivate pages of a worker that waits (median): spare %.0f KiB, after every key %.0f KiB.\n\n", fresh_kib,
           touched_kib);
    report_goal_head(stdout, 0);
    report_goal(stdout, &memory, &spread, remark);
    spread = (struct spread){fresh_kib, touched_kib, touched_kib};
    report_goal(stdout, &private, &spread, "range: spare to after every key");
    printf("\n");
}

/* A worker gives memory back when its client has said nothing for a while: a connection is idle only then. */
static void let_rest(void)
{
    const struct timespec pause = {.tv_sec = 2 * CONNECTION_REST_MS / 1000 + 1};

    (void)nanosleep(&pause, NULL);
}

static void measure_idle(const struct crowd *crowd)
{
    uint64_t keys = (uint64_t)((double)SEGMENT_BYTES * FILL_SHARE / ENTRY_BYTES);
    const struct workload workload = workload_of(crowd->sample, keys);
    struct loader *loaders = calloc(crowd->sample, sizeof *loaders);
    struct kernel_memory before;
    struct kernel_memory fresh;
    struct kernel_memory touched;
    struct load_server server;
    double fresh_kib;

    REQUIRE(loaders != NULL);
    start(&server, crowd->sample);
    fill(&server, &workload);
    fresh_kib = private_kib(&server);
    kernel_memory_take(&before, server.process);
    connect_sample(loaders, crowd->sample, &server);
    fresh = kernel_memory_since(&before, server.process);
    for (unsigned i = 0; i < crowd->sample; i++)
        read_every_key(&loaders[i], &workload);
    let_rest();
    touched = kernel_memory_since(&before, server.process);
    report_sample(&fresh, &touched, fresh_kib, private_kib(&server),
                  has_huge_pages(&server) ? "huge pages" : "no huge pages", crowd->sample);
    for (unsigned i = 0; i < crowd->sample; i++)
        loader_close(&loaders[i]);
    load_server_stop(&server);
    free(loaders);
}

static double seconds_since(uint64_t begin_ns)
{
    return (double)(clock_monotonic_ns() - begin_ns) / 1e9;
}

/* At once: a long run that is ended before its time has said something. */
static void print_round(const struct live_round *round, const struct kernel_memory *memory,
                        const struct machine_shares *shares, unsigned connections)
{
    char what[128];

    (void)snprintf(what, sizeof what, "accepted in %.2f s, answered in %.2f s; others had %.0f %%%s", round->accepted_s,
                   round->answered_s, 100 * shares->others, is_starved(shares) ? ": starved" : "");
    kernel_memory_print(memory, what, connections);
    (void)fflush(stdout);
}

/* Whether the machine was not busy elsewhere. */
static bool play_live_round(const struct crowd *crowd, struct live_round *round)
{
    const struct workload workload = workload_of(crowd->connections, 1000);
    static struct generator_result result;
    char reason[GENERATOR_REASON_BYTES];
    struct generator *generator;
    struct kernel_memory memory_before;
    struct kernel_memory memory;
    struct machine_time before;
    struct machine_time after;
    struct machine_shares shares;
    struct load_server server;
    uint64_t begin_ns;

    start(&server, crowd->connections);
    fill(&server, &workload);
    kernel_memory_take(&memory_before, server.process);
    machine_time_take(&before, server.process);
    begin_ns = clock_monotonic_ns();
    generator = generator_open(&workload, server.kind->protocol, &server.endpoint, 1, reason);
    if (generator == NULL)
        give_up(reason);
    round->accepted_s = seconds_since(begin_ns);
    begin_ns = clock_monotonic_ns();
    if (!generator_burst(generator, &result))
        give_up(generator_reason(generator));
    round->answered_s = seconds_since(begin_ns);
    kernel_memory_take_machine(&memory);
    machine_time_take(&after, server.process);
    kernel_memory_take_server(&memory, server.process);
    memory = kernel_memory_between(&memory_before, &memory);
    round->memory_gib = (kernel_memory_sum(&memory) + (double)SEGMENT_BYTES) / (MEBIBYTE * 1024);
    shares = machine_time_between(&before, &after);
    print_round(round, &memory, &shares, crowd->connections);
    generator_close(generator);
    load_server_stop(&server);
    return !is_starved(&shares);
}

static void report_live(const struct live_round *rounds, unsigned count, unsigned starved, const struct crowd *crowd)
{
    const struct goal goals[] = {
        {"live connections: all accepted and answered once", "-", 6, 3.2, " s", true},
        {"live connections: all answered in one burst", "-", 1.5, 0.5, " s", true},
        {"live connections: memory, the segment of 256 MiB included", "-", 1.8, 1.4, " GiB", true},
    };
    double values[3][2 * ROUNDS];
    char remark[64];

    for (unsigned i = 0; i < count; i++) {
        values[0][i] = rounds[i].accepted_s;
        values[1][i] = rounds[i].answered_s;
        values[2][i] = rounds[i].memory_gib;
    }
    (void)snprintf(remark, sizeof remark, "%u connections", crowd->connections);
    printf("\n");
    report_goal_head(stdout, crowd->keeps_starved ? starved : 0);
    for (unsigned i = 0; i < 3; i++) {
        const struct spread spread = spread_of(values[i], count);

        report_goal(stdout, &goals[i], &spread, remark);
    }
}

static void measure_live(const struct crowd *crowd)
{
    struct live_round rounds[2 * ROUNDS];
    unsigned kept = 0;
    unsigned starved = 0;

    printf("%u live connections, KiB for each:\n\n%s", crowd->connections, memory_head);
    while (kept < crowd->rounds && starved <= crowd->rounds) {
        bool is_kept = play_live_round(crowd, &rounds[kept]);

        starved += !is_kept;
        kept += is_kept || crowd->keeps_starved;
    }
    report_live(rounds, kept, starved, crowd);
    printf("\n%u rounds kept, %u starved.\n", kept, starved);
}

int main(int count, char **arguments)
{
    struct crowd crowd = {.connections = 10000, .sample = 100, .rounds = ROUNDS};
    uint64_t number;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0) {
            crowd.sample = 10;
            crowd.connections = 1000;
            crowd.rounds = 1;
            crowd.keeps_starved = true;
        } else if (decimal_read(bytes_from_string(arguments[i]), &number) && number >= 1 && number <= 30000) {
            crowd.connections = (unsigned)number;
        } else {
            (void)fprintf(stderr, "usage: crowd [--quick] [CONNECTIONS]\n");
            return 2;
        }
    }
    measure_idle(&crowd);
    measure_live(&crowd);
    return 0;
}
