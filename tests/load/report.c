#include "load/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "load/starvation.h"

#define MEBIBYTE ((double)(1u << 20))

/* Beyond that the generator, not the server, may be what limits. */
#define GENERATOR_IS_BUSY 0.95

static const char *name_of(enum operation operation)
{
    static const char *const names[OPERATION_COUNT] = {"get", "put", "transaction", "read-write"};

    return names[operation];
}

static void describe_workload(FILE *output, const struct workload *workload)
{
    (void)fprintf(output, "%u connections, depth %u, %ju keys of %zu bytes, values of %zu bytes:",
                  workload->connections, workload->depth, (uintmax_t)workload->keys, workload->key_bytes,
                  workload->value_bytes);
    for (unsigned i = 0; i < OPERATION_COUNT; i++) {
        if (workload->weights[i] > 0)
            (void)fprintf(output, " %s %u", name_of((enum operation)i), workload->weights[i]);
    }
    if (workload->weights[OPERATION_TRANSACTION] > 0)
        (void)fprintf(output, " (of %u PUTs)", workload->transaction_puts);
    if (workload->weights[OPERATION_READ_WRITE] > 0)
        (void)fprintf(output, " (hauskv in %u trips)", workload->trips);
    (void)fprintf(output, "\n\n");
}

static void report_contender(FILE *output, const struct contender *contender)
{
    const struct run *run = &contender->middle;

    (void)fprintf(output, "| %s | %.0f | %.1f | %.1f | %.1f | %.2f | %.0f%%%s | ", contender->kind->name,
                  run->operations_per_s, run->p50_us, run->p99_us, run->p999_us, run->server_us, run->generator * 100,
                  run->generator > GENERATOR_IS_BUSY ? " (limits)" : "");
    (void)fprintf(output, "%.1f | %.1f | %.1f | %u |", (double)contender->memory.tree.own / MEBIBYTE,
                  (double)contender->memory.segment / MEBIBYTE,
                  (double)contender->memory.tree.page_tables / MEBIBYTE, contender->memory.tree.processes);
    if (run->conflicts > 0)
        (void)fprintf(output, " %ju conflicts", (uintmax_t)run->conflicts);
    if (run->missing + run->full > 0)
        (void)fprintf(output, " INVALID: %ju keys missing, %ju writes without memory", (uintmax_t)run->missing,
                      (uintmax_t)run->full);
    (void)fprintf(output, " |\n");
}

static void report_spread(FILE *output, const char *what, struct spread spread)
{
    (void)fprintf(output, "%s %.3f (%.3f to %.3f)", what, spread.median, spread.minimum, spread.maximum);
}

void report_contest(FILE *output, const char *name, const struct contest *contest)
{
    (void)fprintf(output, "### %s\n\n", name);
    describe_workload(output, &contest->workload);
    (void)fprintf(output, "| server | operations/s | p50 us | p99 us | p99.9 us | server CPU us/op | generator's CPU | "
                          "own MiB | segment MiB | page tables MiB | processes | remarks |\n"
                          "| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n");
    for (unsigned i = 0; i < contest->contender_count; i++)
        report_contender(output, &contest->contenders[i]);
    (void)fprintf(output, "\n%u rounds kept, %u starved%s; others had %.0f %% to %.0f %% of the CPUs%s.",
                  contest->rounds, contest->discarded, contest->keeps_starved ? " (and kept)" : "",
                  contest->others_minimum * 100, contest->others_maximum * 100,
                  contest->contenders[0].has_huge_pages ? "; the segment has huge pages" : "");
    for (unsigned i = 1; i < contest->contender_count && contest->rounds > 0; i++) {
        (void)fprintf(output, " %s/%s:", contest->contenders[0].kind->name, contest->contenders[i].kind->name);
        report_spread(output, " operations/s", contest_ratio(contest, 0, i));
        report_spread(output, ", operations per CPU second", contest_cpu_ratio(contest, 0, i));
        (void)fprintf(output, ".");
    }
    if (contest->rounds == 0)
        (void)fprintf(output, " NOT MEASURED: the machine was busy elsewhere all the time.");
    (void)fprintf(output, "\n\n");
    (void)fflush(output);
}

static void report_processor(FILE *output)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "re");

    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "model name", 10) == 0 && strchr(line, ':') != NULL) {
            (void)fprintf(output, ", %s", strtok(strchr(line, ':') + 2, "\n"));
            break;
        }
    }
    (void)fclose(file);
}

void report_machine(FILE *output, const struct server_kind *const *kinds, unsigned kind_count)
{
    struct utsname system;

    (void)uname(&system);
    (void)fprintf(output, "%ld CPUs", sysconf(_SC_NPROCESSORS_ONLN));
    report_processor(output);
    (void)fprintf(output, ", %s %s.\n", system.sysname, system.release);
    for (unsigned i = 0; i < kind_count; i++) {
        char *version = server_kind_version(kinds[i]);

        (void)fprintf(output, "%s%s", i == 0 ? "" : "; ", version);
        free(version);
    }
    (void)fprintf(output, ".\nA round is discarded if others had more than %.0f %% of all CPU time or the hypervisor "
                          "withheld more than %.0f %%.\n\n", STARVATION_OTHERS_MAX * 100, STARVATION_STOLEN_MAX * 100);
    (void)fflush(output);
}

static void add_spread(cJSON *object, const char *name, struct spread spread)
{
    cJSON *values = cJSON_AddObjectToObject(object, name);

    cJSON_AddNumberToObject(values, "minimum", spread.minimum);
    cJSON_AddNumberToObject(values, "median", spread.median);
    cJSON_AddNumberToObject(values, "maximum", spread.maximum);
}

static void add_run(cJSON *object, const struct run *run)
{
    cJSON_AddNumberToObject(object, "operations_per_s", run->operations_per_s);
    cJSON_AddNumberToObject(object, "p50_us", run->p50_us);
    cJSON_AddNumberToObject(object, "p99_us", run->p99_us);
    cJSON_AddNumberToObject(object, "p999_us", run->p999_us);
    cJSON_AddNumberToObject(object, "server_cpu_us_per_operation", run->server_us);
    cJSON_AddNumberToObject(object, "generator_cpu_share", run->generator);
    cJSON_AddNumberToObject(object, "conflicts", (double)run->conflicts);
    cJSON_AddNumberToObject(object, "missing", (double)run->missing);
    cJSON_AddNumberToObject(object, "out_of_memory", (double)run->full);
}

static void add_contender(cJSON *list, const struct contender *contender, unsigned rounds)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *runs;

    cJSON_AddItemToArray(list, object);
    cJSON_AddStringToObject(object, "server", contender->kind->name);
    add_run(cJSON_AddObjectToObject(object, "median"), &contender->middle);
    runs = cJSON_AddArrayToObject(object, "runs");
    for (unsigned i = 0; i < rounds; i++) {
        cJSON *run = cJSON_CreateObject();

        cJSON_AddItemToArray(runs, run);
        add_run(run, &contender->runs[i]);
    }
    cJSON_AddNumberToObject(object, "own_bytes", (double)contender->memory.tree.own);
    cJSON_AddNumberToObject(object, "segment_bytes", (double)contender->memory.segment);
    cJSON_AddNumberToObject(object, "page_table_bytes", (double)contender->memory.tree.page_tables);
    cJSON_AddNumberToObject(object, "processes", contender->memory.tree.processes);
    cJSON_AddBoolToObject(object, "has_huge_pages", contender->has_huge_pages);
}

static void add_workload(cJSON *object, const struct workload *workload)
{
    cJSON *weights;

    cJSON_AddNumberToObject(object, "connections", workload->connections);
    cJSON_AddNumberToObject(object, "depth", workload->depth);
    cJSON_AddNumberToObject(object, "keys", (double)workload->keys);
    cJSON_AddNumberToObject(object, "key_bytes", (double)workload->key_bytes);
    cJSON_AddNumberToObject(object, "value_bytes", (double)workload->value_bytes);
    cJSON_AddNumberToObject(object, "transaction_puts", workload->transaction_puts);
    cJSON_AddNumberToObject(object, "trips", workload->trips);
    weights = cJSON_AddObjectToObject(object, "mix");
    for (unsigned i = 0; i < OPERATION_COUNT; i++)
        cJSON_AddNumberToObject(weights, name_of((enum operation)i), workload->weights[i]);
}

struct cJSON *report_contest_json(const char *name, const struct contest *contest)
{
    cJSON *object = cJSON_CreateObject();
    cJSON *servers;
    cJSON *ratios;

    cJSON_AddStringToObject(object, "setting", name);
    add_workload(cJSON_AddObjectToObject(object, "workload"), &contest->workload);
    cJSON_AddNumberToObject(object, "rounds_kept", contest->rounds);
    cJSON_AddNumberToObject(object, "rounds_starved", contest->discarded);
    cJSON_AddBoolToObject(object, "keeps_starved_rounds", contest->keeps_starved);
    cJSON_AddNumberToObject(object, "others_share_minimum", contest->others_minimum);
    cJSON_AddNumberToObject(object, "others_share_maximum", contest->others_maximum);
    servers = cJSON_AddArrayToObject(object, "servers");
    for (unsigned i = 0; i < contest->contender_count; i++)
        add_contender(servers, &contest->contenders[i], contest->rounds);
    ratios = cJSON_AddObjectToObject(object, "ratios");
    for (unsigned i = 1; i < contest->contender_count; i++) {
        cJSON *ratio = cJSON_AddObjectToObject(ratios, contest->contenders[i].kind->name);

        add_spread(ratio, "operations_per_s", contest_ratio(contest, 0, i));
        add_spread(ratio, "operations_per_cpu_second", contest_cpu_ratio(contest, 0, i));
    }
    return object;
}

bool report_write_json(const struct cJSON *object, const char *path)
{
    char *text = cJSON_Print(object);
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && text != NULL && fprintf(file, "%s\n", text) > 0;

    if (file != NULL)
        is_written = fclose(file) == 0 && is_written;
    if (!is_written)
        (void)fprintf(stderr, "%s: %s\n", path, strerror(errno));
    cJSON_free(text);
    return is_written;
}

void report_goal_head(FILE *output, unsigned starved)
{
    if (starved > 0)
        (void)fprintf(output, "The machine was busy elsewhere in %u rounds that were kept: these figures mean nothing."
                              "\n\n", starved);
    (void)fprintf(output, "| setting | against | at least | aim | measured (range) | met |\n"
                          "| --- | --- | --: | --: | --: | --- |\n");
}

static const char *judge(const struct goal *goal, double measured)
{
    bool is_enough = goal->is_smaller_better ? measured <= goal->at_least : measured >= goal->at_least;
    bool is_aim = goal->is_smaller_better ? measured <= goal->aim : measured >= goal->aim;

    if (is_aim)
        return "aim";
    return is_enough ? "yes" : "**no**";
}

void report_goal(FILE *output, const struct goal *goal, const struct spread *spread, const char *remark)
{
    (void)fprintf(output, "| %s | %s | %g%s | %g%s | ", goal->setting, goal->against, goal->at_least, goal->unit,
                  goal->aim, goal->unit);
    if (spread->median <= 0)
        (void)fprintf(output, "not measured | - |\n");
    else
        (void)fprintf(output, "%.3g%s (%.3g to %.3g) | %s%s%s |\n", spread->median, goal->unit, spread->minimum,
                      spread->maximum, judge(goal, spread->median), remark == NULL ? "" : ", ",
                      remark == NULL ? "" : remark);
    (void)fflush(output);
}
