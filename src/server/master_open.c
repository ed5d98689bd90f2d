/* What is there before the first fork, and goes after the last child. The order
 * is that of what a failing start may touch: sockets first, data last. */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "master_internal.h"
#include "persistence/conversion.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/file.h"
#include "platform/memory_pressure.h"
#include "platform/program_text.h"
#include "platform/signals.h"
#include "server/control.h"
#include "server/limits.h"
#include "store/shared_store.h"

static int open_signals(void);
static void end_orphans(const struct server_config *config);
static bool open_store(struct inheritance *inheritance, const struct server_config *config);
static void lower_pressure(struct inheritance *inheritance);
static bool open_control(struct inheritance *inheritance, const struct server_config *config);
static void give_store_up(struct inheritance *inheritance);
static bool reserve_places(struct master *master);
static bool open_scoreboard(struct inheritance *inheritance, const struct server_config *config);

bool master_open(struct master *master, const struct server_config *config)
{
    struct inheritance *inheritance = &master->inheritance;

    memset(master, 0, sizeof *master);
    master->config = *config;
    inheritance->config = &master->config;
    inheritance->master = getpid();
    inheritance->started_ms = clock_monotonic_ms();
    housekeeper_watch_init(&master->housekeeper);
    inheritance->signals = open_signals();
    inheritance->pool_event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (inheritance->signals < 0 || inheritance->pool_event < 0) {
        diagnostic_error("Cannot begin: %s", strerror(errno));
        goto close_events;
    }
    diagnostic_info("Program text: %s", program_text_to_huge_pages());
    end_orphans(config);
    if (!listeners_open(&inheritance->listeners, config))
        goto close_events;
    if (!limits_check(config, inheritance->listeners.count) || !open_store(inheritance, config))
        goto close_listeners;
    if (!reserve_places(master))
        goto close_store;
    shared_store_let_pages_go(inheritance->store);
    lower_pressure(inheritance);
    if (!open_control(inheritance, config))
        goto close_store;
    if (!open_scoreboard(inheritance, &master->config))
        goto close_control;
    master->phase = MASTER_STARTING;
    master->pool = pool_create(inheritance);
    if (master->pool != NULL)
        return true;
    diagnostic_error("There is no private memory to begin with");
    scoreboard_destroy(&inheritance->scoreboard);

close_control:
    control_shut(&inheritance->control);
    control_close(&inheritance->control);
close_store:
    give_store_up(inheritance);
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
    bool is_half_loaded = master->has_failed_to_load && inheritance->has_new_store;

    pool_destroy(master->pool);
    scoreboard_destroy(&inheritance->scoreboard);
    /* Of a part of a file nobody may find that its server ended in order, even if this one dies before it is removed. */
    if (!master->has_killed && !is_half_loaded)
        shared_store_mark_clean(inheritance->store);
    if (inheritance->config->is_discard || is_half_loaded)
        shared_store_unlink(inheritance->store);
    else if (!names_leave(inheritance))
        master->exit_status = MASTER_FAILED;
    shared_store_destroy(inheritance->store);
    control_close(&inheritance->control);
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

/* The master's death would be everybody's. */
static void lower_pressure(struct inheritance *inheritance)
{
    inheritance->pressure_adjustment = memory_pressure_adjustment();
    if (!memory_pressure_adjust(inheritance->pressure_adjustment + INHERITANCE_MASTER_PRESSURE))
        diagnostic_debug("The system does not let the master rank lower than others when memory runs out");
}

/* A start that failed leaves behind what it found, and nothing that it made. */
static void give_store_up(struct inheritance *inheritance)
{
    if (inheritance->has_new_store)
        shared_store_unlink(inheritance->store);
    else
        (void)names_leave(inheritance);
    shared_store_destroy(inheritance->store);
}

static void say_what_was_found(const struct shared_store_restart *restart, const struct server_config *config,
                               uint64_t begun_ms)
{
    if (restart->was_converted) {
        diagnostic_info("Copied the segment hauskv-%s, which a build with another layout had made: %" PRIu64 " keys; %" PRIu64
                        " ms",
                        config->name, restart->keys, clock_monotonic_ms() - begun_ms);
        return;
    }
    diagnostic_info("Took over the segment hauskv-%s: %" PRIu64 " keys; its server %s; %u commits finished, %u sessions of "
                    "the dead ended%s; %" PRIu64 " ms",
                    config->name, restart->keys, restart->was_clean ? "had ended in order" : "had died",
                    restart->commits_finished, restart->sessions_ended,
                    restart->was_resized ? ", copied into the new size" : "", clock_monotonic_ms() - begun_ms);
    if (restart->shards_set_aside > 0)
        diagnostic_error("The segment hauskv-%s is damaged: %u of its shards are set aside, their keys answer `unavailable`, the rest "
                         "is served. --inspect %s --dump saves what can be read, --fresh begins anew. %s",
                         config->name, restart->shards_set_aside, config->name, restart->damage);
}

static enum status make_store(struct inheritance *inheritance, const struct server_config *config,
                              struct shared_store_options *options)
{
    struct memory_limits limits;

    inheritance->has_new_store = true;
    memory_limits_find(&limits, config);
    if (!memory_choose(config, &limits, &options->bytes))
        return STATUS_OUT_OF_MEMORY;
    if (shared_store_create(options, &inheritance->store) == STATUS_OK)
        return STATUS_OK;
    diagnostic_error("Cannot make the segment hauskv-%s of %zu bytes: %s", config->name, options->bytes,
                     shared_store_reason());
    return STATUS_INTERNAL;
}

/* Processes that a dead server left behind, stopped, have its sockets too: no port would be free before they are gone. */
static void end_orphans(const struct server_config *config)
{
    const struct shared_store_options options = {
        .name = config->name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
    };

    shared_store_end_orphans(&options);
}

/* Takes over what an earlier server left; makes a new one where there is none, or --fresh does not want it. */
static bool open_store(struct inheritance *inheritance, const struct server_config *config)
{
    struct shared_store_options options = {
        .name = config->name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
        .bytes = config_is_default(config, CONFIG_MEMORY) ? 0 : config->memory_bytes,
        .is_fresh = config->is_fresh,
        .may_be_on_disk = config->segment_may_be_on_disk,
        .lock_timeout_ms = config->lock_timeout_ms,
        .reads_bytes_max = config->reads_bytes_max,
        .snapshot_timeout_ms = config->snapshot_timeout_ms,
    };
    struct shared_store_statistics statistics;
    struct shared_store_restart restart;
    uint64_t begun_ms = clock_monotonic_ms();
    enum status status = STATUS_NOT_FOUND;

    if (!config->is_fresh)
        status = conversion_restore(&options, &inheritance->store, &restart);
    if (status == STATUS_OK) {
        say_what_was_found(&restart, config, begun_ms);
    } else if (status != STATUS_NOT_FOUND) {
        diagnostic_error("Cannot take over the segment hauskv-%s: %s", config->name, conversion_reason());
        return false;
    } else if (make_store(inheritance, config, &options) != STATUS_OK) {
        return false;
    }
    shared_store_statistics(inheritance->store, &statistics);
    diagnostic_info("Segment hauskv-%s: %" PRIu64 " bytes for data, %u shards; huge pages: %s", config->name,
                    statistics.limit_bytes, statistics.shards, statistics.huge_pages);
    return true;
}

/* As this server owns the segment, whoever else listens is ending, or has lost its segment's name to somebody's rm. */
static bool open_control(struct inheritance *inheritance, const struct server_config *config)
{
    const struct control_place place = {config->segment_directory, config->name};

    return control_open(&inheritance->control, &place);
}

/* Before anybody can fill the store. */
static bool reserve_places(struct master *master)
{
    struct store *store = master->inheritance.store;
    struct shared_store_statistics statistics;

    shared_store_statistics(store, &statistics);
    return places_choose(&master->config, statistics.limit_bytes) &&
           places_settle(&master->config, shared_store_reserve_places(store, places_needed(&master->config)));
}

static bool open_scoreboard(struct inheritance *inheritance, const struct server_config *config)
{
    int error = scoreboard_create(&inheritance->scoreboard, pool_worker_max(config), config->clients_max);

    if (error != 0)
        diagnostic_error("Cannot make the scoreboard: %s", strerror(error));
    return error == 0;
}
