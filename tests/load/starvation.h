/* Whether a run had the machine to itself.
 *
 * The rule, fixed beforehand: a run is discarded if other programs had more than
 * STARVATION_OTHERS_MAX of the machine's CPU time while it lasted, or if the
 * hypervisor withheld more than STARVATION_STOLEN_MAX of it. What others had is
 * what is left of all time of all CPUs without idle time, the server's and the
 * generator's own. */
#ifndef HAUSKV_TESTS_LOAD_STARVATION_H
#define HAUSKV_TESTS_LOAD_STARVATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STARVATION_OTHERS_MAX 0.10
#define STARVATION_STOLEN_MAX 0.02

/* Two looks at the machine; times are sums over all CPUs. */
struct machine_time {
    uint64_t clock_ns;
    uint64_t idle_ns;
    uint64_t stolen_ns;
    uint64_t server_ns;
    uint64_t generator_ns; /* this process */
};

struct machine_shares {
    double others;    /* of the time of all CPUs */
    double stolen;    /* the same */
    double generator; /* of one CPU: at 1 the generator is what limits */
    uint64_t server_ns;
};

void machine_time_take(struct machine_time *time, pid_t server);
struct machine_shares machine_time_between(const struct machine_time *before, const struct machine_time *after);
bool is_starved(const struct machine_shares *shares);

#endif
