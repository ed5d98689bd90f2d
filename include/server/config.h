/* What the operator wants, from four sources: a flag wins over the environment,
 * that over the configuration file, that over the default. option.def is the
 * one list of all options; flags, HAUSKV_* variables, the file, --help and
 * --print-config read it, so an option has the same name, the same values and
 * the same limits everywhere.
 *
 * Values. Sizes are bytes, or take k, m, g (1024, any case). Durations are
 * seconds, or take ms, s, m, h; 0 is off. Numbers are decimal. A switch is on
 * when it is named, and takes yes/no, on/off, true/false, 1/0 (--fresh=no takes
 * back what the file said).
 *
 * Lists (bind, port, unix) grow with each mention: --port 1 --port 2, two lines
 * of a file, HAUSKV_PORT=1,2. What one source says replaces what a lower one
 * said, as a whole. Of any other option the last mention in a source holds, as
 * Redis and PostgreSQL have it; the earlier ones must be valid all the same.
 *
 * An empty variable counts as one that is not set. HAUSKV_* variables that
 * belong to no option are refused, as a misspelt flag is, but for those of this
 * project's tests (HAUSKV_SERVER, _SCHEDULES, _SPECIFICATION, _TEST_*, _CRASH_*)
 * and those that Docker and Kubernetes set for a service called hauskv:
 * HAUSKV_SERVICE_*, HAUSKV_PORT_*, HAUSKV_ENV_*, and HAUSKV_PORT=tcp://... and
 * HAUSKV_NAME=/..., which are left alone.
 *
 * Once loaded, a configuration does not change; children inherit it by fork. It
 * owns no memory and points nowhere, so it may be copied. */
#ifndef HAUSKV_SERVER_CONFIG_H
#define HAUSKV_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "platform/bytes.h"
#include "platform/diagnostic.h"
#include "protocol/dialect.h"
#include "protocol/framing.h"
#include "transaction/isolation.h"

#define SERVER_PROGRAM "hauskv-server"
#define SERVER_VERSION "0.1.0"

/* The sizes of text include its NUL. */
#define CONFIG_LIST_MAX 16u /* members of a list */
#define CONFIG_ADDRESS_BYTES 46u
#define CONFIG_SOCKET_PATH_BYTES 108u /* what sockaddr_un takes */
#define CONFIG_NAME_BYTES 49u
#define CONFIG_DIRECTORY_BYTES 161u
#define CONFIG_FILE_PATH_BYTES 4096u
#define CONFIG_FILE_BYTES_MAX ((size_t)1 << 20)
#define CONFIG_REASON_BYTES 1024u
#define CONFIG_CLIENTS_MAX 16000u
#define CONFIG_PROCESSES_MAX 16368u /* clients and spare workers together: what has a place in the store */

#define CONFIG_MEMORY_BYTES_MIN ((size_t)1 << 20)
#define CONFIG_MEMORY_BYTES_MAX ((size_t)64 << 30)
/* A line of that length holds no value that is too large for the store (VALUE_BYTES_MAX), in whole MiB. */
#define CONFIG_COMMAND_BYTES_MAX ((size_t)59 << 20)
/* Eight transactions that have ended keep less than that. */
#define CONFIG_READS_BYTES_MIN ((size_t)1 << 20)
#define CONFIG_READS_BYTES_MAX ((size_t)4 << 30) /* what eight transactions can have at most */
#define CONFIG_DURATION_MS_MAX 2145600000u /* 596 h: whole hours that fit an int, which poll(2) takes */

/* The options, CONFIG_BIND to CONFIG_VERSION, in the order of option.def. */
enum config_option {
#define OPTION(option, ...) CONFIG_##option,
#include "server/option.def"
#undef OPTION
    CONFIG_OPTION_COUNT
};

/* Where a value came from; a later one wins. */
enum config_source {
    CONFIG_FROM_DEFAULT,
    CONFIG_FROM_FILE,
    CONFIG_FROM_ENVIRONMENT,
    CONFIG_FROM_FLAG
};

struct config_origin {
    enum config_source source;
    unsigned line; /* in the file, from 1; 0 for other sources */
};

struct config_addresses {
    unsigned count;
    char text[CONFIG_LIST_MAX][CONFIG_ADDRESS_BYTES]; /* IPv4 or IPv6 as inet_ntop(3) writes it: 127.0.0.1, ::1 */
};

struct config_ports {
    unsigned count;
    uint16_t number[CONFIG_LIST_MAX]; /* 0: a free one */
};

struct config_socket_paths {
    unsigned count;
    char text[CONFIG_LIST_MAX][CONFIG_SOCKET_PATH_BYTES];
};

/* What only the command line can ask for. */
struct config_wishes {
    bool help, version; /* reading stops at the first of these */
    bool check_config, print_config;
};

struct server_config {
    /* Every address is listened on at every port. Neither is empty; no address is there twice, no port but 0; only
     * loopback unless is_insecure. A machine without ::1 is worth no more than a warning if CONFIG_BIND is defaulted
     * (config_is_default). */
    struct config_addresses addresses;
    struct config_ports ports;
    struct config_socket_paths socket_paths; /* may be empty */

    char name[CONFIG_NAME_BYTES]; /* of the segment: letters, digits and ._- */
    size_t memory_bytes;          /* if CONFIG_MEMORY is defaulted, less will do where the system has not so much */
    char segment_directory[CONFIG_DIRECTORY_BYTES]; /* absolute; empty: POSIX shared memory */
    bool segment_may_be_on_disk;
    bool is_fresh;
    bool is_discard;                        /* after a clean end */
    char load_path[CONFIG_FILE_PATH_BYTES]; /* a dump to load; empty: none */

    unsigned clients_max;       /* 1 or more */
    unsigned spare_workers_min; /* 1 to spare_workers_max */
    unsigned spare_workers_max;
    size_t command_bytes_max; /* of a line without its end; a value of that size always fits the store */
    size_t reads_bytes_max;   /* of what a connection's transactions remember of their reads */

    unsigned transaction_timeout_ms; /* 0: none; so with the others */
    unsigned idle_timeout_ms;
    unsigned write_timeout_ms;
    unsigned lock_holder_timeout_ms;
    unsigned lock_timeout_ms;
    unsigned snapshot_timeout_ms;
    enum isolation isolation;

    enum framing framing;
    enum dialect dialect;

    char inspect_name[CONFIG_NAME_BYTES]; /* look at this segment instead of serving; empty: serve */
    bool is_dump;                         /* only with inspect_name */

    enum diagnostic_level log_level;
    bool is_insecure;
    char file_path[CONFIG_FILE_PATH_BYTES]; /* the configuration file; empty: none */
    struct config_wishes wishes;            /* config_load fulfils them */

    struct config_origin origins[CONFIG_OPTION_COUNT];
};

enum config_outcome {
    CONFIG_RUN,    /* serve */
    CONFIG_EXIT_0, /* what was asked for is printed */
    CONFIG_EXIT_1, /* it could not be printed; standard error says why */
    CONFIG_EXIT_2  /* one line on standard error has the reason */
};

/* For main, once: reads all sources and prints what there is to print. On
 * CONFIG_RUN *config is valid; else undefined. environment ends with NULL, as
 * environ(7) does. */
enum config_outcome config_load(struct server_config *config, int argc, char *const argv[],
                                char *const environment[]);

static inline bool config_is_default(const struct server_config *config, enum config_option option)
{
    return config->origins[option].source == CONFIG_FROM_DEFAULT;
}

/* Everything that the comments at the fields promise. */
bool config_is_valid(const struct server_config *config);

/* The parts of config_load, none of which prints. Where they return false,
 * reason has the sentence, in one line that names its source (but not "try
 * --help"), and *config is undefined. */

/* Every option's default. */
void config_init(struct server_config *config);

/* The text of a file: lines `name = value` (or `name: value`), blank ones, and comments, which begin with # or ; at the
 * start of a line or behind white space. A value may stand in double quotes, where a backslash stands before a quote or a
 * backslash, and before xNN for any byte. A path must, if it has # or ; at its beginning or behind white space, and if a
 * comment is behind it: which of both it is, nobody could tell. The first line that cannot be used is named by its number:
 * unknown names, sections, NUL, lines of more than 16,448 bytes and values out of range. file_name is for the reason. */
bool config_read_text(struct server_config *config, struct bytes text, const char *file_name,
                      char reason[CONFIG_REASON_BYTES]);

/* What a regular file or pipe says. */
bool config_read_file(struct server_config *config, const char *path, char reason[CONFIG_REASON_BYTES]);

/* The HAUSKV_* variables, lists separated by commas; see above for those that belong to no option. */
bool config_read_environment(struct server_config *config, char *const environment[],
                             char reason[CONFIG_REASON_BYTES]);

/* argv[0] is skipped. Names must be whole: an abbreviation is an unknown option. Resets and uses getopt_long(3). */
bool config_read_arguments(struct server_config *config, int argc, char *const argv[],
                           char reason[CONFIG_REASON_BYTES]);

/* What options owe one another, after all were read. A default gives way: --max-spare 4 alone lowers the default of
 * --min-spare, and --min-spare 50 raises that of --max-spare. More clients and spare workers than there can be processes
 * are refused. */
bool config_reconcile(struct server_config *config, char reason[CONFIG_REASON_BYTES]);

/* A file that config_read_text takes for the same configuration. Comments tell where each value came from; a default
 * stands there as a comment, since a defaulted address or size may give way to what the machine has. */
void config_print(const struct server_config *config, FILE *stream);

void config_print_help(FILE *stream);

/* One value: false, and the result untouched, for anything but digits (no needless leading zero) and perhaps a unit.
 * What is too much for the result is UINT64_MAX. */
bool config_parse_size(const char *text, uint64_t *size_bytes);
bool config_parse_duration(const char *text, uint64_t *duration_ms);

#endif
