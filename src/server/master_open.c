/* What is there before the first fork, and goes after the last child. The order
 * is that of what a failing start may touch: sockets first, data last. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "master_internal.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/file.h"
#include "platform/signals.h"
#include "server/limits.h"
#include "store/shared_store.h"

static int open_signals(void);
static bool open_store(struct inheritance *inheritance, const struct server_config *config);
static bool open_scoreboard(struct inheritance *inheritance, const struct server_config *config);

bool master_open(struct master *master, const struct server_config *config)
{
    struct inheritance *inheritance = &master->inheritance;

    memset(master, 0, sizeof *master);
    inheritance->config = config;
    inheritance->master = getpid();
    inheritance->started_ms = clock_monotonic_ms();
    housekeeper_watch_init(&master->housekeeper);
    inheritance->signals = open_signals();
    inheritance->pool_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inheritance->signals < 0 || inheritance->pool_event < 0) {
        diagnostic_error("Cannot begin: %s", strerror(errno));
        goto close_events;
    }
    if (!listeners_open(&inheritance->listeners, config))
        goto close_events;
    if (!limits_check(config, inheritance->listeners.count) || !open_store(inheritance, config))
        goto close_listeners;
    if (!open_scoreboard(inheritance, config))
        goto close_store;
    if (pool_init(&master->pool, inheritance))
        return true;
    diagnostic_error("There is no private memory to begin with");
    scoreboard_destroy(&inheritance->scoreboard);

close_store:
    shared_store_unlink(inheritance->store);
    shared_store_destroy(inheritance->store);
close_listeners:
    listeners_shut(&inheritance->listeners);
    listeners_close(&inheritance->listeners);
close_events:
    (void)file_close(&inheritance->pool_event);
    (void)file_close(&inheritance->signals);
    return false;
}

void master_close(struct master *master)
{
    struct inheritance *inheritance = &master->inheritance;

    pool_deinit(&master->pool);
    scoreboard_destroy(&inheritance->scoreboard);
    shared_store_unlink(inheritance->store);
    shared_store_destroy(inheritance->store);
    listeners_close(&inheritance->listeners);
    (void)file_close(&inheritance->pool_event);
    (void)file_close(&inheritance->signals);
}

static bool is_ignored(int signal_number)
{
    struct sigaction action;

    return sigaction(signal_number, NULL, &action) == 0 && action.sa_handler == SIG_IGN;
}

/* Signals become something to read. SIGHUP stays ignored for nohup(1). */
static int open_signals(void)
{
    const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, is_ignored(SIGHUP) ? 0 : SIGHUP, 0};
    sigset_t set = signals_set(numbers);

    signals_ignore_failed_writes();
    signals_set_default(SIGCHLD); /* where it is ignored, children vanish unreaped */
    signals_block(&set, NULL);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

static bool open_store(struct inheritance *inheritance, const struct server_config *config)
{
    struct shared_store_options options = {
        .name = config->name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
        .is_fresh = config->is_fresh,
    };
    struct shared_store_statistics statistics;
    struct memory_limits limits;

    memory_limits_find(&limits, config);
    if (!memory_choose(config, &limits, &options.bytes))
        return false;
    if (shared_store_create(&options, &inheritance->store) != STATUS_OK) {
        diagnostic_error("Cannot make the segment hauskv-%s of %zu bytes: %s", config->name, options.bytes,
                         shared_store_reason());
        return false;
    }
    shared_store_statistics(inheritance->store, &statistics);
    diagnostic_info("Segment hauskv-%s: %zu bytes, %u shards; huge pages: %s", config->name, options.bytes,
                    statistics.shards, statistics.huge_pages);
    return true;
}

static bool open_scoreboard(struct inheritance *inheritance, const struct server_config *config)
{
    int error = scoreboard_create(&inheritance->scoreboard, pool_worker_max(config), config->clients_max);

    if (error != 0)
        diagnostic_error("Cannot make the scoreboard: %s", strerror(error));
    return error == 0;
}
