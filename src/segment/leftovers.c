#include "leftovers.h"

#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "platform/diagnostic.h"

#define PATH_BYTES 64u
#define LINE_BYTES 512u

static bool line_of_file(const char *path, char *line)
{
    FILE *file = fopen(path, "re");
    bool is_read = file != NULL && fgets(line, LINE_BYTES, file) != NULL;

    if (file != NULL)
        (void)fclose(file);
    return is_read;
}

/* As inheritance_fork names them. */
static bool is_child_of_a_server(long pid)
{
    char path[PATH_BYTES];
    char name[LINE_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    return line_of_file(path, name) &&
           (strcmp(name, "hauskv-worker\n") == 0 || strcmp(name, "hauskv-keeper\n") == 0);
}

/* A line of maps is: addresses permissions offset major:minor inode path; see proc(5). */
static bool maps_file(long pid, const struct stat *wanted)
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    bool is_mapped = false;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
    file = fopen(path, "re");
    while (file != NULL && !is_mapped && fgets(line, sizeof(line), file) != NULL) {
        char *field = line;
        unsigned long numbers[3] = {0};

        for (unsigned i = 0; i < 3 && field != NULL; i++)
            field = strchr(field + 1, ' ');
        if (field == NULL)
            continue;
        numbers[0] = strtoul(field, &field, 16);
        numbers[1] = *field == ':' ? strtoul(field + 1, &field, 16) : 0;
        numbers[2] = strtoul(field, NULL, 10);
        is_mapped = numbers[0] == major(wanted->st_dev) && numbers[1] == minor(wanted->st_dev) &&
                    numbers[2] == wanted->st_ino;
    }
    if (file != NULL)
        (void)fclose(file);
    return is_mapped;
}

unsigned leftovers_end(int descriptor)
{
    struct stat wanted;
    const struct dirent *entry;
    unsigned ended = 0;
    DIR *directory;

    if (fstat(descriptor, &wanted) != 0)
        return 0;
    directory = opendir("/proc");
    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid <= 1 || !is_child_of_a_server(pid) || !maps_file(pid, &wanted) || kill((pid_t)pid, SIGKILL) != 0)
            continue;
        diagnostic_warning("Ended process %ld, which a dead server had left behind", pid);
        ended++;
    }
    (void)closedir(directory);
    return ended;
}
