#include "load/contest.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/generator.h"
#include "load/loader.h"
#include "load/starvation.h"

/* One server, its connections, and its turn. */
struct lane {
    struct load_server server;
    struct generator *generator;
};

static bool prepare(struct lane *lane, struct contest *contest, unsigned contender,
                    const struct contest_options *options);
static bool play_rounds(struct lane *lanes, struct contest *contest, const struct contest_options *options);
static bool take_turn(struct lane *lane, const struct contest_options *options, struct run *run,
                      struct machine_shares *shares);
static void note_others(struct contest *contest, double others);
static void finish(struct lane *lane, struct contender *contender);
static void find_middle(struct contender *contender, unsigned rounds);
static bool has_huge_pages(const struct load_server *server);

bool contest_run(struct contest *contest, const struct workload *workload,
                 const struct server_kind *const *kinds, unsigned kind_count,
                 const struct contest_options *options)
{
    struct lane *lanes = calloc(CONTENDERS_MAX, sizeof *lanes);
    bool is_done = true;

    REQUIRE(lanes != NULL && kind_count <= CONTENDERS_MAX && options->rounds >= 1 && options->rounds <= ROUNDS_MAX / 2);
    memset(contest, 0, sizeof *contest);
    contest->workload = *workload;
    contest->contender_count = kind_count;
    contest->keeps_starved = options->keeps_starved;
    contest->others_minimum = 1;
    for (unsigned i = 0; i < kind_count && is_done; i++) {
        contest->contenders[i].kind = kinds[i];
        is_done = prepare(&lanes[i], contest, i, options);
    }
    is_done = is_done && play_rounds(lanes, contest, options);
    for (unsigned i = 0; i < kind_count; i++)
        finish(&lanes[i], &contest->contenders[i]);
    for (unsigned i = 0; i < kind_count; i++)
        find_middle(&contest->contenders[i], contest->rounds);
    free(lanes);
    return is_done;
}

uint64_t contest_memory(const struct workload *workload)
{
    uint64_t data = workload->keys * (workload->key_bytes + workload->value_bytes + 128);

    return ((uint64_t)256 << 20) + data * 2;
}

static bool fill(const struct load_server *server, const struct workload *workload)
{
    struct request_maker maker;
    struct loader loader;
    bool is_filled = loader_open(&loader, server->kind->protocol, &server->endpoint);

    request_maker_init(&maker, workload, server->kind->protocol, 1);
    for (uint64_t i = 0; i < workload->keys && is_filled; i++) {
        char text[WORKLOAD_KEY_BYTES_MAX];

        is_filled = loader_put(&loader, workload_key(workload, i, text),
                               bytes_from(maker.value, workload->value_bytes));
    }
    is_filled = is_filled && loader_flush(&loader) && loader.full == 0 && loader.failed == 0;
    request_maker_deinit(&maker);
    loader_close(&loader);
    return is_filled;
}

static bool prepare(struct lane *lane, struct contest *contest, unsigned contender,
                    const struct contest_options *options)
{
    const struct workload *workload = &contest->workload;
    const struct server_kind *kind = contest->contenders[contender].kind;
    const struct server_needs needs = {
        .connections = workload->connections,
        .value_bytes = workload->value_bytes,
        .memory_bytes = options->memory_bytes > 0 ? options->memory_bytes : contest_memory(workload),
        .is_unix = options->is_unix,
    };
    char reason[GENERATOR_REASON_BYTES];

    if (!load_server_start(&lane->server, kind, &needs))
        return false;
    if (kind->program != NULL && !fill(&lane->server, workload)) {
        (void)fprintf(stderr, "%s: cannot be filled with %ju keys\n", kind->name, (uintmax_t)workload->keys);
        return false;
    }
    lane->generator = generator_open(workload, kind->protocol, &lane->server.endpoint, options->seed, reason);
    if (lane->generator == NULL)
        (void)fprintf(stderr, "%s: %s\n", kind->name, reason);
    return lane->generator != NULL;
}

static bool play_rounds(struct lane *lanes, struct contest *contest, const struct contest_options *options)
{
    while (contest->rounds < options->rounds && contest->discarded <= options->rounds) {
        bool is_kept = true;

        for (unsigned i = 0; i < contest->contender_count; i++) {
            struct run *run = &contest->contenders[i].runs[contest->rounds];

            struct machine_shares shares;

            if (!take_turn(&lanes[i], options, run, &shares))
                return false;
            note_others(contest, shares.others);
            is_kept = is_kept && !is_starved(&shares);
        }
        contest->discarded += !is_kept;
        contest->rounds += is_kept || options->keeps_starved;
    }
    return true;
}

static void note_others(struct contest *contest, double others)
{
    if (others < contest->others_minimum)
        contest->others_minimum = others;
    if (others > contest->others_maximum)
        contest->others_maximum = others;
}

static bool take_turn(struct lane *lane, const struct contest_options *options, struct run *run,
                      struct machine_shares *shares)
{
    static struct generator_result result;
    struct machine_time before;
    struct machine_time after;

    if (!generator_run(lane->generator, options->warm_up_ns, &result))
        goto report;
    machine_time_take(&before, lane->server.process);
    if (!generator_run(lane->generator, options->duration_ns, &result))
        goto report;
    machine_time_take(&after, lane->server.process);
    *shares = machine_time_between(&before, &after);
    *run = (struct run){
        .operations_per_s = result.operations_per_s,
        .p50_us = histogram_percentile(&result.times, 0.5) / 1e3,
        .p99_us = histogram_percentile(&result.times, 0.99) / 1e3,
        .p999_us = histogram_percentile(&result.times, 0.999) / 1e3,
        .server_us = (double)shares->server_ns / 1e3 / (double)(result.operations > 0 ? result.operations : 1),
        .generator = shares->generator,
        .missing = result.missing,
        .conflicts = result.conflicts,
        .full = result.full,
    };
    if (result.missing + result.full > 0)
        (void)fprintf(stderr, "%s: %ju keys were missing, %ju writes found no memory\n", lane->server.kind->name,
                      (uintmax_t)result.missing, (uintmax_t)result.full);
    return true;

report:
    (void)fprintf(stderr, "%s: %s\n", lane->server.kind->name, generator_reason(lane->generator));
    return false;
}

static void finish(struct lane *lane, struct contender *contender)
{
    if (lane->server.process > 0) {
        load_server_memory(&lane->server, &contender->memory);
        contender->has_huge_pages = has_huge_pages(&lane->server);
    }
    if (lane->generator != NULL)
        generator_close(lane->generator);
    if (lane->server.process > 0)
        load_server_stop(&lane->server);
}

/* Not whether they were asked for, but whether any process has its shared memory in them. */
static bool has_huge_pages(const struct load_server *server)
{
    pid_t children[8];
    unsigned count = tree_children(server->process, children, 8);
    uint64_t bytes = 0;

    for (unsigned i = 0; i < count && i < 8; i++)
        bytes += process_file_bytes(children[i], "smaps_rollup", "ShmemPmdMapped") +
                 process_file_bytes(children[i], "smaps_rollup", "Shared_Hugetlb");
    return bytes > 0;
}

static double median_of(const struct contender *contender, unsigned rounds, size_t figure)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < rounds; i++)
        memcpy(&values[i], (const char *)&contender->runs[i] + figure, sizeof values[i]);
    return spread_of(values, rounds).median;
}

static void find_middle(struct contender *contender, unsigned rounds)
{
    struct run *middle = &contender->middle;

    middle->operations_per_s = median_of(contender, rounds, offsetof(struct run, operations_per_s));
    middle->p50_us = median_of(contender, rounds, offsetof(struct run, p50_us));
    middle->p99_us = median_of(contender, rounds, offsetof(struct run, p99_us));
    middle->p999_us = median_of(contender, rounds, offsetof(struct run, p999_us));
    middle->server_us = median_of(contender, rounds, offsetof(struct run, server_us));
    middle->generator = median_of(contender, rounds, offsetof(struct run, generator));
    for (unsigned i = 0; i < rounds; i++) {
        middle->missing += contender->runs[i].missing;
        middle->conflicts += contender->runs[i].conflicts;
        middle->full += contender->runs[i].full;
    }
}

struct spread contest_ratio(const struct contest *contest, unsigned contender, unsigned other)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < contest->rounds; i++)
        values[i] = contest->contenders[contender].runs[i].operations_per_s /
                    contest->contenders[other].runs[i].operations_per_s;
    return spread_of(values, contest->rounds);
}

struct spread contest_cpu_ratio(const struct contest *contest, unsigned contender, unsigned other)
{
    double values[ROUNDS_MAX];

    for (unsigned i = 0; i < contest->rounds; i++)
        values[i] = contest->contenders[other].runs[i].server_us /
                    contest->contenders[contender].runs[i].server_us;
    return spread_of(values, contest->rounds);
}

unsigned contest_find(const struct contest *contest, const char *name)
{
    for (unsigned i = 0; i < contest->contender_count; i++) {
        if (strcmp(contest->contenders[i].kind->name, name) == 0)
            return i;
    }
    return contest->contender_count;
}
