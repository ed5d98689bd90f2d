#include "load/starvation.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "load/process_tree.h"
#include "platform/clock.h"

/* Fields of the first line of /proc/stat. */
#define FIELD_IDLE 3u
#define FIELD_WAITING_FOR_DISK 4u
#define FIELD_STOLEN 7u

static void read_stat(struct machine_time *time)
{
    uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
    char line[256] = "cpu";
    char *position = line + 3; /* behind "cpu" */
    FILE *file = fopen("/proc/stat", "re");

    if (file == NULL)
        return;
    (void)!fgets(line, sizeof line, file);
    (void)fclose(file);
    for (unsigned field = 0; field <= FIELD_STOLEN; field++) {
        uint64_t value_ns = strtoull(position, &position, 10) * tick_ns;

        if (field == FIELD_IDLE || field == FIELD_WAITING_FOR_DISK)
            time->idle_ns += value_ns;
        else if (field == FIELD_STOLEN)
            time->stolen_ns = value_ns;
    }
}

static uint64_t own_cpu_ns(void)
{
    struct timespec used;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

/* The clock is read last before and after, so that looking itself counts once. */
void machine_time_take(struct machine_time *time, pid_t server)
{
    *time = (struct machine_time){.server_ns = tree_cpu_ns(server)};
    read_stat(time);
    time->generator_ns = own_cpu_ns();
    time->clock_ns = clock_monotonic_ns();
}

struct machine_shares machine_time_between(const struct machine_time *before, const struct machine_time *after)
{
    double wall_ns = (double)(after->clock_ns - before->clock_ns);
    double all_ns = wall_ns * (double)sysconf(_SC_NPROCESSORS_ONLN);
    double server_ns = (double)(after->server_ns - before->server_ns);
    double generator_ns = (double)(after->generator_ns - before->generator_ns);
    double others_ns = all_ns - (double)(after->idle_ns - before->idle_ns) - server_ns - generator_ns;

    return (struct machine_shares){
        .others = others_ns > 0 ? others_ns / all_ns : 0,
        .stolen = (double)(after->stolen_ns - before->stolen_ns) / all_ns,
        .generator = generator_ns / wall_ns,
        .server_ns = after->server_ns - before->server_ns,
    };
}

bool is_starved(const struct machine_shares *shares)
{
    return shares->others > STARVATION_OTHERS_MAX || shares->stolen > STARVATION_STOLEN_MAX;
}
