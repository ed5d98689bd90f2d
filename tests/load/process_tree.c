#include "load/process_tree.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_BYTES 128u
#define PROCESSES_MAX 65536u

static uint64_t threads_cpu_ns(pid_t process);
static uint64_t ended_children_cpu_ns(pid_t process);
static void add_memory(pid_t process, struct tree_memory *memory);
static uint64_t line_bytes(const char *path, const char *name);
static void lines_bytes(const char *path, const char *const *names, uint64_t *bytes, unsigned count);

uint64_t tree_cpu_ns(pid_t process)
{
    static pid_t children[PROCESSES_MAX];
    unsigned count = tree_children(process, children, PROCESSES_MAX);
    uint64_t sum_ns = threads_cpu_ns(process) + ended_children_cpu_ns(process);

    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++)
        sum_ns += threads_cpu_ns(children[i]);
    return sum_ns;
}

void tree_memory(pid_t process, struct tree_memory *memory)
{
    static pid_t children[PROCESSES_MAX];
    unsigned count = tree_children(process, children, PROCESSES_MAX);

    memset(memory, 0, sizeof *memory);
    add_memory(process, memory);
    for (unsigned i = 0; i < count && i < PROCESSES_MAX; i++)
        add_memory(children[i], memory);
}

unsigned tree_children(pid_t process, pid_t *children, unsigned max)
{
    char path[PATH_BYTES];
    char number[16];
    unsigned count = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)process, (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fscanf(file, "%15s", number) == 1) {
        if (count < max)
            children[count] = (pid_t)strtol(number, NULL, 10);
        count++;
    }
    (void)fclose(file);
    return count;
}

static bool read_line(const char *path, char *line, size_t size)
{
    FILE *file = fopen(path, "re");
    bool is_read;

    if (file == NULL)
        return false;
    is_read = fgets(line, (int)size, file) != NULL;
    (void)fclose(file);
    return is_read;
}

/* schedstat of a process is that of its first thread only, so all of them are asked. */
static uint64_t threads_cpu_ns(pid_t process)
{
    char path[PATH_BYTES];
    char line[256];
    uint64_t sum_ns = 0;
    const struct dirent *entry;
    DIR *threads;

    (void)snprintf(path, sizeof path, "/proc/%d/task", (int)process);
    threads = opendir(path);
    if (threads == NULL)
        return 0;
    while ((entry = readdir(threads)) != NULL) {
        (void)snprintf(path, sizeof path, "/proc/%d/task/%.16s/schedstat", (int)process, entry->d_name);
        if (entry->d_name[0] != '.' && read_line(path, line, sizeof line))
            sum_ns += strtoull(line, NULL, 10);
    }
    (void)closedir(threads);
    return sum_ns;
}

/* Fields 16 and 17 of stat, in ticks; the name in field 2 may hold spaces. */
static uint64_t ended_children_cpu_ns(pid_t process)
{
    char path[PATH_BYTES];
    char line[1024];
    const char *position;
    char *next = NULL;
    uint64_t ticks;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    if (!read_line(path, line, sizeof line))
        return 0;
    position = strrchr(line, ')');
    for (unsigned field = 2; field < 16 && position != NULL; field++)
        position = strchr(position + 1, ' ');
    if (position == NULL)
        return 0;
    ticks = strtoull(position, &next, 10);
    ticks += strtoull(next, NULL, 10);
    return ticks * (1000000000u / (uint64_t)sysconf(_SC_CLK_TCK));
}

static void add_memory(pid_t process, struct tree_memory *memory)
{
    static const char *const names[] = {"Pss_Anon", "Pss_File", "Pss_Shmem"};
    uint64_t bytes[3] = {0};
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    lines_bytes(path, names, bytes, 3);
    memory->own += bytes[0] + bytes[1];
    memory->shared += bytes[2];
    memory->page_tables += process_file_bytes(process, "status", "VmPTE");
    memory->processes++;
}

uint64_t process_file_bytes(pid_t process, const char *file, const char *name)
{
    char path[PATH_BYTES];

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)process, file);
    return line_bytes(path, name);
}

uint64_t machine_bytes(const char *name)
{
    return line_bytes("/proc/meminfo", name);
}

/* "7f00-7f10 rw-s ..." begins a mapping; shared ones have an s. */
static bool begins_mapping(const char *line, bool *is_shared)
{
    unsigned long begin;
    unsigned long end;
    char modes[5];

    if (sscanf(line, "%lx-%lx %4s", &begin, &end, modes) != 3) /* NOLINT(cert-err34-c): the system's own form */
        return false;
    *is_shared = modes[3] == 's';
    return true;
}

uint64_t process_private_bytes(pid_t process)
{
    char path[PATH_BYTES];
    char line[512];
    bool is_shared = false;
    uint64_t bytes = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/smaps", (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (!begins_mapping(line, &is_shared) && !is_shared && strncmp(line, "Private_", 8) == 0)
            bytes += strtoull(strchr(line, ':') + 1, NULL, 10) * 1024;
    }
    (void)fclose(file);
    return bytes;
}

static uint64_t line_bytes(const char *path, const char *name)
{
    uint64_t bytes = 0;

    lines_bytes(path, &name, &bytes, 1);
    return bytes;
}

/* "Name:   123 kB"; making the file may be dear for the system, so it is read once. What it does not name stays. */
static void lines_bytes(const char *path, const char *const *names, uint64_t *bytes, unsigned count)
{
    char line[256];
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return;
    while (fgets(line, sizeof line, file) != NULL) {
        for (unsigned i = 0; i < count; i++) {
            size_t size = strlen(names[i]);

            if (strncmp(line, names[i], size) == 0 && line[size] == ':')
                bytes[i] = strtoull(line + size + 1, NULL, 10) * 1024;
        }
    }
    (void)fclose(file);
}
