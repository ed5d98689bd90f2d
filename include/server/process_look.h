/* What /proc tells of a process at this moment. */
#ifndef HAUSKV_SERVER_PROCESS_LOOK_H
#define HAUSKV_SERVER_PROCESS_LOOK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_look {
    bool is_stopped;       /* by SIGSTOP or a debugger */
    bool is_running;       /* or would, had it a processor */
    uint64_t processor_ms; /* used so far */
};

/* False: there is none of that number. */
bool process_look(pid_t pid, struct process_look *look);

#endif
