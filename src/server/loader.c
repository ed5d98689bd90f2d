/* Loading, in a child that the master knows. */
#include "server/loader.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/diagnostic.h"
#include "platform/signals.h"
#include "server/control.h"
#include "server/dump.h"
#include "store/shared_store.h"

/* Exit statuses. */
#define LOADED 0
#define NOT_LOADED 1

static volatile sig_atomic_t is_told_to_stop;

static _Noreturn void loader_run(const struct inheritance *inheritance);
static void tell_what_stays(const struct inheritance *inheritance);

bool loader_begin(struct loader *loader, const struct inheritance *inheritance)
{
    pid_t pid = inheritance_fork(inheritance, "hauskv-loader");

    if (pid == 0)
        loader_run(inheritance);
    if (pid < 0) {
        diagnostic_error("Cannot fork a process to load %s: %s", inheritance->config->load_path, strerror(errno));
        return false;
    }
    loader->pid = pid;
    return true;
}

static void stop(int signal_number)
{
    (void)signal_number;
    is_told_to_stop = 1;
}

static void loader_run(const struct inheritance *inheritance)
{
    const char *path = inheritance->config->load_path;
    struct listeners listeners = inheritance->listeners;
    struct control_listener control = inheritance->control;
    sigset_t term = signals_set((const int[]){SIGTERM, 0});
    uint64_t pairs;
    bool is_loaded;

    signals_handle(SIGTERM, stop, SIGNALS_INTERRUPT);
    signals_unblock(&term, NULL);
    listeners_close(&listeners);
    control_close(&control);
    shared_store_count_deaths(inheritance->store);
    is_loaded = dump_load(inheritance->store, path, &is_told_to_stop, &pairs);
    if (is_loaded)
        diagnostic_info("Loaded %s: %" PRIu64 " new keys", path, pairs);
    _exit(is_loaded ? LOADED : NOT_LOADED);
}

enum loader_end loader_reaped(struct loader *loader, const struct inheritance *inheritance, pid_t pid, int status)
{
    if (loader->pid == 0 || loader->pid != pid)
        return LOADER_NOT_MINE;
    loader->pid = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == LOADED)
        return LOADER_DONE;
    tell_what_stays(inheritance);
    return WIFSIGNALED(status) ? LOADER_DIED : LOADER_FAILED;
}

static void tell_what_stays(const struct inheritance *inheritance)
{
    const struct server_config *config = inheritance->config;

    if (inheritance->has_new_store)
        diagnostic_error("Loading %s failed: nothing of it is kept", config->load_path);
    else
        diagnostic_error("Loading %s failed: the segment hauskv-%s keeps what was there, and what of the file had been "
                         "loaded by then",
                         config->load_path, config->name);
}
