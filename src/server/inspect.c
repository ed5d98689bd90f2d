/* Looking at a segment: a living server is asked, what a dead one left is looked at here. */
#include "server/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/diagnostic.h"
#include "server/control.h"
#include "server/report.h"
#include "server/salvage.h"
#include "store/shared_store.h"

/* Whoever reads a part of it must not take it for the whole. */
static int report_finish(int exit_status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return exit_status;
    diagnostic_error("The report cannot be written: %s", strerror(errno));
    return 1;
}

/* Repairs and checks a copy that only this process sees, as a restart would. */
static int copy_examine(const struct shared_store_options *options)
{
    struct shared_store_restart restart;
    struct store *store;

    if (shared_store_attach(options, true, &store, &restart) != STATUS_OK) {
        printf("valid: no\n");
        diagnostic_error("%s: %s", options->name, shared_store_reason());
        (void)salvage_report(stdout, options->directory, options->name);
        return 1;
    }
    if (restart.shards_set_aside > 0) {
        printf("valid: no; a restart serves %" PRIu64 " keys and sets %u shards aside: %s\n", restart.keys,
               restart.shards_set_aside, restart.damage);
        shared_store_destroy(store);
        return 1;
    }
    if (restart.was_loading) {
        printf("valid: yes, but the load into it was interrupted at %" PRIu64 " keys: a restart removes it\n", restart.keys);
        shared_store_destroy(store);
        return 0;
    }
    printf("valid: yes; a restart finds %" PRIu64 " keys, finishes %u commits and ends %u sessions of the dead\n",
           restart.keys, restart.commits_finished, restart.sessions_ended);
    shared_store_destroy(store);
    return 0;
}

/* The segment as it lies, and whether a restart would take it. */
static int report(const struct shared_store_options *options)
{
    struct shared_store_restart restart;
    struct store *store;
    enum status status = shared_store_attach(options, false, &store, &restart);

    if (status != STATUS_OK) {
        diagnostic_error("%s: %s", options->name, shared_store_reason());
        if (status != STATUS_NOT_FOUND)
            (void)salvage_report(stdout, options->directory, options->name);
        return report_finish(1);
    }
    report_write(stdout, options->name, shared_store_engine(store), false);
    shared_store_destroy(store);
    return report_finish(copy_examine(options));
}

int inspect_run(const struct server_config *config)
{
    const struct control_place place = {config->segment_directory, config->inspect_name};
    const struct shared_store_options options = {
        .name = config->inspect_name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
    };
    int exit_status = 1;

    /* The socket of a dead server answers nobody, but one of its processes that was stopped may have it open still. */
    if (shared_store_is_in_use(&options)) {
        enum control_answer answer = control_ask(&place, config->is_dump ? "dump" : "inspect", &exit_status);

        if (answer == CONTROL_ANSWERED)
            return exit_status;
        if (answer == CONTROL_FAILED)
            return 1;
        if (shared_store_is_in_use(&options)) {
            diagnostic_error("%s: a server has this segment and cannot be asked: it is just starting or ending, was stopped, "
                             "lost its control socket, or is of an earlier version (then its own program looks at it)",
                             options.name);
            return 1;
        }
    }
    return config->is_dump ? salvage_dump(options.directory, options.name) : report(&options);
}
