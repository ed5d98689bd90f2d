/* Waiting for the dead. Each is looked at before it is reaped: until then nobody
 * else is given its number, so a lock that still carries it can be passed on. */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "master_internal.h"
#include "platform/diagnostic.h"
#include "store/shared_store.h"

static bool find_dead(pid_t *pid);
static bool loader_has_ended(struct master *master, pid_t pid, int status);
static void tell_end(const char *who, pid_t pid, int status);

void master_reap(struct master *master)
{
    pid_t pid;
    int status;

    if (!master->has_dead)
        return;
    master->has_dead = false;
    while (find_dead(&pid)) {
        shared_store_bury(master->inheritance.store, pid);
        if (waitpid(pid, &status, 0) != pid)
            continue;
        if (housekeeper_reaped(&master->housekeeper, pid, status)) {
            if (WIFSIGNALED(status) || WEXITSTATUS(status) != 0)
                tell_end("The housekeeper", pid, status);
        } else if (loader_has_ended(master, pid, status)) {
            continue;
        } else if (pool_reaped(master->pool, pid, status) == POOL_DIED) {
            tell_end("A worker", pid, status);
            if (master->phase == MASTER_STARTING)
                master_stop(master, MASTER_FAILED);
        }
    }
}

/* While it loads, nothing else is begun; what it had to do before anybody is served is done then, or the start has failed. */
static bool loader_has_ended(struct master *master, pid_t pid, int status)
{
    enum loader_end end = loader_reaped(&master->loader, &master->inheritance, pid, status);

    if (end == LOADER_NOT_MINE)
        return false;
    if (end == LOADER_DIED)
        tell_end("The loader", pid, status);
    master->has_failed_to_load = end != LOADER_DONE;
    if (end == LOADER_DONE && master->inheritance.has_new_store)
        shared_store_mark_loading(master->inheritance.store, false);
    if (master->phase != MASTER_LOADING)
        return true;
    if (end == LOADER_DONE)
        master->phase = MASTER_STARTING;
    else
        master_stop(master, MASTER_FAILED);
    return true;
}

static bool find_dead(pid_t *pid)
{
    siginfo_t information = {.si_pid = 0};
    int result;

    do {
        result = waitid(P_ALL, 0, &information, WEXITED | WNOHANG | WNOWAIT);
    } while (result != 0 && errno == EINTR);
    *pid = information.si_pid;
    return result == 0 && information.si_pid != 0;
}

static void tell_end(const char *who, pid_t pid, int status)
{
    if (WIFSIGNALED(status))
        diagnostic_error("%s, pid %d, was killed by signal %d (%s)", who, (int)pid, WTERMSIG(status),
                         strsignal(WTERMSIG(status)));
    else
        diagnostic_error("%s, pid %d, ended with status %d", who, (int)pid, WEXITSTATUS(status));
}
