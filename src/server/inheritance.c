/* Fork, and what every child does first. */
#include "server/inheritance.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "platform/memory_pressure.h"
#include "platform/signals.h"

pid_t inheritance_fork(const struct inheritance *inheritance, const char *process_name)
{
    sigset_t previous;
    pid_t pid;
    int error;

    signals_block_all(&previous);
    pid = fork();
    error = errno;
    if (pid != 0) {
        signals_restore(&previous);
        errno = error;
        return pid;
    }
    /* The master may have died before the system knew that we want to hear of it. */
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != inheritance->master)
        _exit(0);
    (void)prctl(PR_SET_NAME, process_name);
    (void)memory_pressure_adjust(inheritance->pressure_adjustment + INHERITANCE_CHILD_PRESSURE);
    (void)close(inheritance->signals);
    /* Ctrl-C and a lost terminal reach every process of the group; the children wait for the master's word. */
    signals_ignore(SIGINT);
    signals_ignore(SIGHUP);
    return 0;
}
