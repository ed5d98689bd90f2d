/* One line of /proc: see proc_pid_stat(5). */
#include "server/process_look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"

/* Fields, counted from the state, which stands behind the command's closing parenthesis; the command may contain
 * anything. */
#define FIELD_USER_TICKS 11u
#define FIELD_SYSTEM_TICKS 12u

static uint64_t ms_of_ticks(uint64_t ticks)
{
    long per_second = sysconf(_SC_CLK_TCK);

    return per_second <= 0 ? 0 : ticks * 1000 / (uint64_t)per_second;
}

static void fields_read(char *fields, struct process_look *look)
{
    uint64_t ticks = 0;
    char *rest = fields;

    look->is_stopped = fields[0] == 'T' || fields[0] == 't';
    look->is_running = fields[0] == 'R';
    for (unsigned i = 0; i <= FIELD_SYSTEM_TICKS; i++) {
        const char *field = strsep(&rest, " ");

        if (field == NULL)
            break;
        if (i == FIELD_USER_TICKS || i == FIELD_SYSTEM_TICKS)
            ticks += strtoull(field, NULL, 10);
    }
    look->processor_ms = ms_of_ticks(ticks);
}

bool process_look(pid_t pid, struct process_look *look)
{
    char path[64];
    char text[512];
    char *behind_command;
    size_t size = 0;
    int descriptor;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_open(path, FILE_READ, &descriptor) != 0)
        return false;
    (void)file_read(descriptor, text, sizeof text - 1, &size);
    (void)file_close(&descriptor);
    text[size] = '\0';
    behind_command = strrchr(text, ')');
    if (behind_command == NULL || behind_command[1] != ' ')
        return false;
    fields_read(behind_command + 2, look);
    return true;
}
