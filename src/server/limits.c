/* Descriptors and processes. */
#include "server/limits.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "server/cgroup.h"
#include "server/pool.h"

/* Of any process, besides the listening sockets: standard ones, segment, epoll, connection, a few to spare. */
#define DESCRIPTORS_BESIDE_LISTENERS 16u

/* The master, a housekeeper and one worker. */
#define PROCESSES_MIN 3u

struct process_limit {
    uint64_t count;
    const char *source;
};

static bool check_descriptors(unsigned listener_count);
static bool check_processes(const struct server_config *config);
static struct process_limit tightest_process_limit(void);

bool limits_check(const struct server_config *config, unsigned listener_count)
{
    return check_descriptors(listener_count) && check_processes(config);
}

static bool check_descriptors(unsigned listener_count)
{
    rlim_t needed = listener_count + DESCRIPTORS_BESIDE_LISTENERS;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return true;
    limit.rlim_cur = limit.rlim_max < needed ? limit.rlim_max : needed;
    if (limit.rlim_cur == needed && setrlimit(RLIMIT_NOFILE, &limit) == 0)
        return true;
    diagnostic_error("A process of the server needs %ju files and may have only %ju (ulimit -n)", (uintmax_t)needed,
                     (uintmax_t)limit.rlim_cur);
    return false;
}

static bool check_processes(const struct server_config *config)
{
    uint64_t needed = (uint64_t)pool_worker_max(config) + 2; /* master and housekeeper */
    struct process_limit allowed = tightest_process_limit();

    if (allowed.count >= needed)
        return true;
    if (allowed.count < PROCESSES_MIN) {
        diagnostic_error("The server needs %u processes at least and may have only %ju (%s)", PROCESSES_MIN,
                         (uintmax_t)allowed.count, allowed.source);
        return false;
    }
    diagnostic_warning("--max-clients %u can need %ju processes, but there can be only %ju (%s): the others wait",
                       config->clients_max, (uintmax_t)needed, (uintmax_t)allowed.count, allowed.source);
    return true;
}

static uint64_t read_setting(const char *path)
{
    char line[32];
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return number;
    if (fgets(line, sizeof line, file) != NULL)
        number = strtoull(line, NULL, 10);
    (void)fclose(file);
    return number;
}

/* Root is not bound by the limit per user. */
static uint64_t user_process_limit(void)
{
    struct rlimit limit;

    if (geteuid() == 0 || getrlimit(RLIMIT_NPROC, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

static struct process_limit tightest_process_limit(void)
{
    const struct process_limit limits[] = {
        {user_process_limit(), "ulimit -u"},
        {read_setting("/proc/sys/kernel/pid_max"), "kernel.pid_max"},
        {read_setting("/proc/sys/kernel/threads-max"), "kernel.threads-max"},
        {cgroup_processes_left(""), "pids.max of the control group"},
    };
    struct process_limit tightest = limits[0];

    for (size_t i = 1; i < sizeof limits / sizeof *limits; i++) {
        if (limits[i].count < tightest.count)
            tightest = limits[i];
    }
    return tightest;
}
