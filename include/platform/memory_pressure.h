/* Whom the system ends first when memory runs out: it adds an adjustment of each
 * process, -1000 (never) to 1000, in thousandths of all memory, to what the
 * process takes. Children inherit it. Raising one's own is always allowed, going
 * below what one was given needs CAP_SYS_RESOURCE. See proc_pid_oom_score_adj(5). */
#ifndef HAUSKV_PLATFORM_MEMORY_PRESSURE_H
#define HAUSKV_PLATFORM_MEMORY_PRESSURE_H

#include <stdbool.h>

#define MEMORY_PRESSURE_MIN (-1000)
#define MEMORY_PRESSURE_MAX 1000

/* The calling process's adjustment; 0 where the system does not tell. */
int memory_pressure_adjustment(void);

/* Sets it; what is out of range becomes the nearest that is not. False: the system refuses. */
bool memory_pressure_adjust(int adjustment);

#endif
