/* Limits of control groups, from the group of this process up to the root of
 * what is mounted. A group that cannot be seen (a container shows its own as the
 * root) sets no limit; the root then does. */
#include "server/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 4096u
#define MEMBERSHIP "/proc/self/cgroup"

/* The files of one version that tell of one resource. */
struct resource {
    const char *controller; /* of version 1; NULL: version 2 */
    const char *limit;
    const char *used;
    const char *statistics; /* with what is used but could be had back; NULL: nothing could */
    const char *reclaimable[2];
};

static const struct resource memory_2 = {
    NULL, "memory.max", "memory.current", "memory.stat", {"inactive_file", "active_file"},
};
static const struct resource memory_1 = {
    "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat",
    {"total_inactive_file", "total_active_file"},
};
static const struct resource processes_2 = {NULL, "pids.max", "pids.current", NULL, {NULL, NULL}};
static const struct resource processes_1 = {"pids", "pids.max", "pids.current", NULL, {NULL, NULL}};

static uint64_t left_of(const char *root, const struct resource *resource);
static bool find_group(const char *root, const char *controller, char path[LINE_BYTES]);
static uint64_t left_in(const char *root, const struct resource *resource, const char *group);
static bool read_number(const char *folder, const char *name, uint64_t *number);
static uint64_t read_statistic(const char *folder, const char *name, const char *key);

static uint64_t smaller(uint64_t left, uint64_t right)
{
    return left < right ? left : right;
}

uint64_t cgroup_memory_left_bytes(const char *root)
{
    return smaller(left_of(root, &memory_1), left_of(root, &memory_2));
}

uint64_t cgroup_processes_left(const char *root)
{
    return smaller(left_of(root, &processes_1), left_of(root, &processes_2));
}

static uint64_t left_of(const char *root, const struct resource *resource)
{
    char group[LINE_BYTES];
    uint64_t left = CGROUP_UNLIMITED;

    if (!find_group(root, resource->controller, group))
        return left;
    for (;;) {
        char *last = strrchr(group, '/');

        left = smaller(left, left_in(root, resource, group));
        if (last == NULL)
            return left;
        *last = '\0';
    }
}

/* Whether one of the names, which are separated by commas, is this. */
static bool names_controller(const char *names, const char *controller)
{
    size_t size = strlen(controller);

    while (*names != '\0') {
        size_t name_size = strcspn(names, ",");

        if (name_size == size && strncmp(names, controller, size) == 0)
            return true;
        names += name_size + (names[name_size] == ',');
    }
    return false;
}

/* Lines are "0::/a/b" in version 2 and "4:memory:/a/b" in version 1; stores "/a/b", and "" for "/". */
static bool find_group(const char *root, const char *controller, char path[LINE_BYTES])
{
    char name[PATH_MAX];
    char line[LINE_BYTES];
    bool found = false;
    FILE *file;

    (void)snprintf(name, sizeof name, "%s%s", root, MEMBERSHIP);
    file = fopen(name, "re");
    if (file == NULL)
        return false;
    while (!found && fgets(line, sizeof line, file) != NULL) {
        char *rest = line;
        const char *id = strsep(&rest, ":");
        const char *names = strsep(&rest, ":");

        if (names == NULL || rest == NULL)
            continue;
        found = controller == NULL ? strcmp(id, "0") == 0 && names[0] == '\0' : names_controller(names, controller);
        if (!found)
            continue;
        rest[strcspn(rest, "\n")] = '\0';
        (void)snprintf(path, LINE_BYTES, "%s", strcmp(rest, "/") == 0 ? "" : rest);
    }
    (void)fclose(file);
    return found;
}

static uint64_t left_in(const char *root, const struct resource *resource, const char *group)
{
    char folder[PATH_MAX];
    uint64_t limit;
    uint64_t used;
    uint64_t reclaimable = 0;
    int size = snprintf(folder, sizeof folder, "%s/sys/fs/cgroup/%s%s", root,
                        resource->controller == NULL ? "" : resource->controller, group);

    if (size < 0 || (size_t)size >= sizeof folder || !read_number(folder, resource->limit, &limit) ||
        !read_number(folder, resource->used, &used))
        return CGROUP_UNLIMITED;
    for (unsigned i = 0; resource->statistics != NULL && i < 2; i++)
        reclaimable += read_statistic(folder, resource->statistics, resource->reclaimable[i]);
    used = used > reclaimable ? used - reclaimable : 0;
    return limit > used ? limit - used : 0;
}

static FILE *open_in(const char *folder, const char *name)
{
    char path[PATH_MAX];
    int size = snprintf(path, sizeof path, "%s/%s", folder, name);

    return size < 0 || (size_t)size >= sizeof path ? NULL : fopen(path, "re");
}

/* False for "max" too: that is no limit. */
static bool read_number(const char *folder, const char *name, uint64_t *number)
{
    char line[64];
    char *end = line;
    FILE *file = open_in(folder, name);

    if (file == NULL)
        return false;
    if (fgets(line, sizeof line, file) != NULL)
        *number = strtoull(line, &end, 10);
    (void)fclose(file);
    return end != line;
}

/* Of lines "key number"; 0 if it is not there. */
static uint64_t read_statistic(const char *folder, const char *name, const char *key)
{
    char line[256];
    size_t size = strlen(key);
    uint64_t number = 0;
    FILE *file = open_in(folder, name);

    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, key, size) == 0 && line[size] == ' ')
            number = strtoull(line + size + 1, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return number;
}
