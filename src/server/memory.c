/* How large the segment can be. Asking here costs nothing; asking for more than
 * there is would cost a process, since a control group or a machine that is out
 * of memory kills instead of refusing. */
#include "server/limits.h"

#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "platform/diagnostic.h"
#include "server/cgroup.h"

#define MEBIBYTE ((uint64_t)1 << 20)
#define SHARED_MEMORY_DIRECTORY "/dev/shm"

struct tightest {
    uint64_t bytes;
    const char *source;
};

static const char *directory_of(const struct server_config *config);
static uint64_t discarded_bytes(const struct server_config *config);
static uint64_t more(uint64_t bytes, uint64_t added);
static uint64_t machine_bytes(void);
static struct tightest tightest_of(const struct memory_limits *limits, const struct server_config *config);
static bool settle_for_less(const struct server_config *config, const struct tightest *tightest, size_t *bytes);

void memory_limits_find(struct memory_limits *limits, const struct server_config *config)
{
    const char *directory = directory_of(config);
    uint64_t discarded = discarded_bytes(config);
    struct statfs file_system;

    *limits = (struct memory_limits){
        .directory_bytes = UINT64_MAX,
        .group_bytes = more(cgroup_memory_left_bytes(""), discarded),
        .machine_bytes = more(machine_bytes(), discarded),
    };
    if (statfs(directory, &file_system) != 0)
        return; /* making the segment will tell what is wrong */
    if (file_system.f_blocks > 0)
        limits->directory_bytes = more((uint64_t)file_system.f_bavail * (uint64_t)file_system.f_bsize, discarded);
    if (file_system.f_type == HUGETLBFS_MAGIC) {
        limits->group_bytes = UINT64_MAX; /* its pages are set aside already */
        limits->machine_bytes = UINT64_MAX;
    }
}

static const char *directory_of(const struct server_config *config)
{
    return config->segment_directory[0] == '\0' ? SHARED_MEMORY_DIRECTORY : config->segment_directory;
}

/* What --fresh gives back before it takes. */
static uint64_t discarded_bytes(const struct server_config *config)
{
    char path[CONFIG_DIRECTORY_BYTES + CONFIG_NAME_BYTES + 16];
    struct stat status;

    if (!config->is_fresh)
        return 0;
    (void)snprintf(path, sizeof path, "%s/hauskv-%s", directory_of(config), config->name);
    if (stat(path, &status) == 0)
        return (uint64_t)status.st_blocks * 512;
    (void)snprintf(path, sizeof path, "%s/.hauskv-%s.keep", directory_of(config), config->name);
    return stat(path, &status) == 0 ? (uint64_t)status.st_blocks * 512 : 0;
}

static uint64_t more(uint64_t bytes, uint64_t added)
{
    return bytes > UINT64_MAX - added ? UINT64_MAX : bytes + added;
}

static uint64_t machine_bytes(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    char line[128];
    uint64_t available_kib = UINT64_MAX / 4096;
    uint64_t swap_kib = 0;

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "MemAvailable:", 13) == 0)
            available_kib = strtoull(line + 13, NULL, 10);
        else if (strncmp(line, "SwapFree:", 9) == 0)
            swap_kib = strtoull(line + 9, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return (available_kib + swap_kib) * 1024;
}

bool memory_choose(const struct server_config *config, const struct memory_limits *limits, size_t *bytes)
{
    struct tightest tightest = tightest_of(limits, config);

    *bytes = config->memory_bytes;
    if (config_is_default(config, CONFIG_MEMORY))
        return settle_for_less(config, &tightest, bytes);
    if (config->memory_bytes <= tightest.bytes)
        return true;
    diagnostic_error("--memory %zu is more than there is: %ju bytes (%s)", config->memory_bytes,
                     (uintmax_t)tightest.bytes, tightest.source);
    return false;
}

static struct tightest tightest_of(const struct memory_limits *limits, const struct server_config *config)
{
    struct tightest tightest = {limits->machine_bytes, "free memory and swap of this machine"};

    if (limits->group_bytes < tightest.bytes)
        tightest = (struct tightest){limits->group_bytes, "left by memory.max of the control group"};
    if (limits->directory_bytes < tightest.bytes)
        tightest = (struct tightest){limits->directory_bytes,
                                     config->segment_directory[0] == '\0' ? "free in " SHARED_MEMORY_DIRECTORY
                                                                          : "free in --segment-dir"};
    return tightest;
}

/* An eighth stays free for everybody else. */
static bool settle_for_less(const struct server_config *config, const struct tightest *tightest, size_t *bytes)
{
    uint64_t fitting = (tightest->bytes - tightest->bytes / 8) / MEBIBYTE * MEBIBYTE;

    if (config->memory_bytes <= fitting) {
        diagnostic_info("%ju MiB of memory, the default (--memory)", (uintmax_t)(config->memory_bytes / MEBIBYTE));
        return true;
    }
    if (fitting < MEBIBYTE) {
        diagnostic_error("There is too little memory: %ju bytes (%s)", (uintmax_t)tightest->bytes, tightest->source);
        return false;
    }
    *bytes = (size_t)fitting;
    diagnostic_warning("%ju MiB of memory in place of the default, %ju MiB: there are %ju bytes (%s)",
                       (uintmax_t)(fitting / MEBIBYTE), (uintmax_t)(config->memory_bytes / MEBIBYTE),
                       (uintmax_t)tightest->bytes, tightest->source);
    return true;
}
