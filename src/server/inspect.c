/* Looking at a segment: a living server is asked, what a dead one left is looked at here. */
#include "server/inspect.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "platform/diagnostic.h"
#include "server/control.h"
#include "server/dump.h"
#include "server/report.h"
#include "store/shared_store.h"

static bool line_write(void *context, struct bytes line)
{
    (void)context;
    return fwrite(line.data, 1, line.size, stdout) == line.size;
}

/* Whoever reads a part of it must not take it for the whole. */
static int output_finish(const char *what, int exit_status)
{
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return exit_status;
    diagnostic_error("The %s cannot be written: %s", what, strerror(errno));
    return 1;
}

static int dump(struct store *store)
{
    const struct dump_sink sink = {.write = line_write};
    struct store_session *session;
    uint64_t pairs = 0;
    enum status status = store_session_open(store, &session);

    if (status == STATUS_OK) {
        status = dump_write(session, &sink, &pairs);
        store_session_close(session);
    }
    if (output_finish("dump", 0) != 0)
        return 1;
    if (status == STATUS_OK)
        diagnostic_info("%" PRIu64 " pairs", pairs);
    else
        diagnostic_error("The dump ended early: %s", status_message(status));
    return status == STATUS_OK ? 0 : 1;
}

/* Repairs and checks a copy that only this process sees; with_dump writes its pairs. */
static int copy_examine(const struct shared_store_options *options, bool with_dump)
{
    struct shared_store_restart restart;
    struct store *store;
    int exit_status = 0;

    if (shared_store_attach(options, true, &store, &restart) != STATUS_OK) {
        if (!with_dump)
            printf("valid: no\n");
        diagnostic_error("%s: %s", options->name, shared_store_reason());
        return 1;
    }
    if (with_dump)
        exit_status = dump(store);
    else
        printf("valid: yes; a restart finds %" PRIu64 " keys, finishes %u commits and ends %u sessions of the dead\n",
               restart.keys, restart.commits_finished, restart.sessions_ended);
    shared_store_destroy(store);
    return exit_status;
}

/* The segment as it lies, and whether a restart would take it. */
static int report(const struct shared_store_options *options)
{
    struct shared_store_restart restart;
    struct store *store;

    if (shared_store_attach(options, false, &store, &restart) != STATUS_OK) {
        diagnostic_error("%s: %s", options->name, shared_store_reason());
        return 1;
    }
    report_write(stdout, options->name, shared_store_engine(store), false);
    shared_store_destroy(store);
    return output_finish("report", copy_examine(options, false));
}

int inspect_run(const struct server_config *config)
{
    const struct control_place place = {config->segment_directory, config->inspect_name};
    const struct shared_store_options options = {
        .name = config->inspect_name,
        .directory = config->segment_directory[0] == '\0' ? NULL : config->segment_directory,
    };
    int exit_status = 1;

    switch (control_ask(&place, config->is_dump ? "dump" : "inspect", &exit_status)) {
    case CONTROL_ANSWERED:
        return exit_status;
    case CONTROL_FAILED:
        return 1;
    case CONTROL_NOBODY:
    default:
        break;
    }
    if (shared_store_is_in_use(&options)) {
        diagnostic_error("%s: a server has this segment and cannot be asked: it is just starting or ending, was stopped, or is "
                         "of an earlier version (then its own program looks at it)",
                         options.name);
        return 1;
    }
    return config->is_dump ? copy_examine(&options, true) : report(&options);
}
