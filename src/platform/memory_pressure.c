/* One line of /proc. */
#include "platform/memory_pressure.h"

#include <stdio.h>
#include <stdlib.h>

#include "platform/file.h"

#define ADJUSTMENT_FILE "/proc/self/oom_score_adj"

int memory_pressure_adjustment(void)
{
    char text[16] = "";
    size_t size = 0;
    int descriptor;

    if (file_open(ADJUSTMENT_FILE, FILE_READ, &descriptor) != 0)
        return 0;
    (void)file_read(descriptor, text, sizeof text - 1, &size);
    (void)file_close(&descriptor);
    text[size] = '\0';
    return (int)strtol(text, NULL, 10);
}

bool memory_pressure_adjust(int adjustment)
{
    char text[16];
    int descriptor;
    bool is_set;

    if (adjustment < MEMORY_PRESSURE_MIN)
        adjustment = MEMORY_PRESSURE_MIN;
    if (adjustment > MEMORY_PRESSURE_MAX)
        adjustment = MEMORY_PRESSURE_MAX;
    if (file_open(ADJUSTMENT_FILE, FILE_READ_WRITE, &descriptor) != 0)
        return false;
    (void)snprintf(text, sizeof text, "%d", adjustment);
    is_set = file_write(descriptor, bytes_from_string(text)) == 0;
    (void)file_close(&descriptor);
    return is_set;
}
