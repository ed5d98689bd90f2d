/* Several servers under the same load, in turn: A B C A B C ... All are started,
 * filled and connected before the first round, so that a turn consists of work
 * only; those whose turn it is not are idle. What two servers did in the same
 * round makes a pair, so that a machine that becomes slower or faster between
 * rounds changes no ratio.
 *
 * A round in which any run was starved (see starvation.h) counts for none of
 * them, and another takes its place, up to as many again. */
#ifndef HAUSKV_TESTS_LOAD_CONTEST_H
#define HAUSKV_TESTS_LOAD_CONTEST_H

#include <stdbool.h>
#include <stdint.h>

#include "load/server.h"
#include "load/spread.h"
#include "load/workload.h"

#define CONTENDERS_MAX 5u
#define ROUNDS_MAX 100u

struct contest_options {
    unsigned rounds;       /* to be kept, 1 to ROUNDS_MAX / 2 */
    uint64_t duration_ns;  /* of each run */
    uint64_t warm_up_ns;   /* before it, not measured */
    uint64_t memory_bytes; /* for each server; 0: what the keys may need */
    uint64_t seed;
    bool is_unix;
    bool keeps_starved; /* only counts them */
};

/* One server in one round. */
struct run {
    double operations_per_s;
    double p50_us;
    double p99_us;
    double p999_us;
    double server_us; /* CPU time per operation, all processes of the server */
    double generator; /* share of one CPU */
    uint64_t missing;
    uint64_t conflicts;
    uint64_t full;
};

struct contender {
    const struct server_kind *kind;
    struct run runs[ROUNDS_MAX]; /* those that were kept; the same index is the same round */
    struct run middle;           /* the median of each of their figures */
    struct server_memory memory; /* after the last round, all connected */
    bool has_huge_pages;         /* hauskv: its segment */
};

struct contest {
    struct workload workload;
    unsigned contender_count;
    struct contender contenders[CONTENDERS_MAX];
    unsigned rounds;    /* kept */
    unsigned discarded; /* rounds that were starved */
    bool keeps_starved; /* they are among those that were kept */
    double others_minimum; /* of all runs, discarded ones too: the share that other programs had of all CPUs */
    double others_maximum;
};

/* kinds: the contenders. False: one of them failed, standard error was told; nothing is left running. */
bool contest_run(struct contest *contest, const struct workload *workload,
                 const struct server_kind *const *kinds, unsigned kind_count,
                 const struct contest_options *options);

/* Operations per second of one contender over those of another, of each round. */
struct spread contest_ratio(const struct contest *contest, unsigned contender, unsigned other);

/* The same of operations per second of server CPU time: how much less of it one takes. */
struct spread contest_cpu_ratio(const struct contest *contest, unsigned contender, unsigned other);

/* The index of the contender of that name; contender_count if there is none. */
unsigned contest_find(const struct contest *contest, const char *name);

/* Memory for a workload's keys that is enough for any of the servers. */
uint64_t contest_memory(const struct workload *workload);

#endif
