#include "orphans.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "platform/file.h"

#define PATH_BYTES 64u
#define LINE_BYTES 512u

/* A line of maps is: addresses permissions offset major:minor inode path; see proc(5). Who maps it privately, or only
 * reads, can do no harm. */
static bool line_is_of(const char *line, const struct file_identity *wanted)
{
    const char *permissions = strchr(line, ' ');
    char *field = permissions == NULL ? NULL : strchr(permissions + 1, ' ');
    unsigned long numbers[3] = {0};

    if (field == NULL || field - permissions < 5 || permissions[2] != 'w' || permissions[4] != 's')
        return false;
    field = strchr(field + 1, ' ');
    if (field == NULL)
        return false;
    numbers[0] = strtoul(field, &field, 16);
    numbers[1] = *field == ':' ? strtoul(field + 1, &field, 16) : 0;
    numbers[2] = strtoul(field, NULL, 10);
    return numbers[0] == major(wanted->device) && numbers[1] == minor(wanted->device) && numbers[2] == wanted->inode;
}

static bool maps_identity(long pid, const struct file_identity *wanted)
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    bool is_mapped = false;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%ld/maps", pid);
    file = fopen(path, "re");
    while (file != NULL && !is_mapped && fgets(line, sizeof(line), file) != NULL)
        is_mapped = line_is_of(line, wanted);
    if (file != NULL)
        (void)fclose(file);
    return is_mapped;
}

bool process_maps_file(pid_t pid, int descriptor)
{
    struct file_identity wanted;

    return pid > 0 && file_identify(descriptor, &wanted) == 0 && maps_identity(pid, &wanted);
}

/* The descriptor first, then the look that counts: it is of the process that the descriptor names, or of none. */
static bool end_if_it_maps(long pid, const struct file_identity *wanted)
{
    int process = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    bool is_ended = process >= 0 && maps_identity(pid, wanted) &&
                    syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0) == 0;

    (void)file_close(&process);
    return is_ended;
}

unsigned orphans_end(int descriptor)
{
    struct file_identity wanted;
    const struct dirent *entry;
    unsigned ended = 0;
    DIR *directory;

    if (file_identify(descriptor, &wanted) != 0)
        return 0;
    directory = opendir("/proc");
    if (directory == NULL)
        return 0;
    while ((entry = readdir(directory)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);

        if (pid <= 1 || pid == getpid() || !maps_identity(pid, &wanted) || !end_if_it_maps(pid, &wanted))
            continue;
        diagnostic_warning("Ended process %ld, which a dead server had left behind in its segment", pid);
        ended++;
    }
    (void)closedir(directory);
    return ended;
}
