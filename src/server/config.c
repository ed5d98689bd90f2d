/* The four sources, in their order. */
#include "server/config.h"

#include <errno.h>
#include <getopt.h>

#include "config_internal.h"

/* Where a value came from, for a reason. */
#define ORIGIN_BYTES 256u

static bool read_sources(struct server_config *config, int argc, char *const argv[], char *const environment[],
                         char reason[CONFIG_REASON_BYTES]);
static enum config_outcome fulfil_wishes(const struct server_config *config);
static bool take_argument(struct server_config *config, const char *word, int found,
                          char reason[CONFIG_REASON_BYTES]);
static bool is_set_by_container(enum config_option option, const char *value);
static const char *variable_value(const char *entry, enum config_option option);
static bool is_loopback(const char *address);
static void name_origin(const struct server_config *config, enum config_option option, char name[ORIGIN_BYTES]);

enum config_outcome config_load(struct server_config *config, int argc, char *const argv[],
                                char *const environment[])
{
    char reason[CONFIG_REASON_BYTES];

    if (!read_sources(config, argc, argv, environment, reason)) {
        (void)fprintf(stderr, SERVER_PROGRAM ": %s; try --help\n", reason);
        return CONFIG_EXIT_2;
    }
    return fulfil_wishes(config);
}

static bool read_sources(struct server_config *config, int argc, char *const argv[], char *const environment[],
                         char reason[CONFIG_REASON_BYTES])
{
    char path[CONFIG_FILE_PATH_BYTES];

    /* Which file is it? The command line knows, or the environment. */
    config_init(config);
    if (!config_read_arguments(config, argc, argv, reason))
        return false;
    if (config->wishes.help || config->wishes.version)
        return true;
    if (config_is_default(config, CONFIG_CONFIG) && !config_read_environment(config, environment, reason))
        return false;
    memcpy(path, config->file_path, sizeof path);

    config_init(config);
    return (path[0] == '\0' || config_read_file(config, path, reason)) &&
           config_read_environment(config, environment, reason) &&
           config_read_arguments(config, argc, argv, reason) && config_reconcile(config, reason);
}

static enum config_outcome fulfil_wishes(const struct server_config *config)
{
    const struct config_wishes *wishes = &config->wishes;

    if (wishes->help)
        config_print_help(stdout);
    else if (wishes->version)
        (void)puts(SERVER_PROGRAM " " SERVER_VERSION);
    else if (wishes->print_config)
        config_print(config, stdout);
    else if (wishes->check_config)
        (void)puts(SERVER_PROGRAM ": the configuration is valid");
    else
        return CONFIG_RUN;
    if (fflush(stdout) == 0 && ferror(stdout) == 0)
        return CONFIG_EXIT_0;
    (void)fprintf(stderr, SERVER_PROGRAM ": cannot write to standard output: %s\n", strerror(errno));
    return CONFIG_EXIT_1;
}

void config_init(struct server_config *config)
{
    const struct config_origin origin = {.source = CONFIG_FROM_DEFAULT};
    char complaint[COMPLAINT_BYTES];

    memset(config, 0, sizeof *config);
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        enum config_option option = (enum config_option)i;
        const char *text = option_describe(option)->default_text;
        bool is_set = text[0] == '\0' || option_set_all(config, option, origin, text, complaint);

        INVARIANT(is_set);
    }
    ENSURE(config_is_valid(config));
}

bool config_read_environment(struct server_config *config, char *const environment[],
                             char reason[CONFIG_REASON_BYTES])
{
    const struct config_origin origin = {.source = CONFIG_FROM_ENVIRONMENT};

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        enum config_option option = (enum config_option)i;
        char complaint[COMPLAINT_BYTES];
        char variable[VARIABLE_BYTES];
        const char *value = NULL;

        if (option_describe(option)->kind == KIND_WISH)
            continue;
        for (unsigned entry = 0; value == NULL && environment[entry] != NULL; entry++)
            value = variable_value(environment[entry], option);
        if (value == NULL || value[0] == '\0' || is_set_by_container(option, value) || option_set_all(config, option, origin, value, complaint))
            continue;
        option_variable(option, variable);
        return config_refuse(reason, "%s: %s", variable, complaint);
    }
    return config_refuse_strangers(environment, reason);
}

/* Of a service called hauskv: of Kubernetes and Docker the one, of Docker the other. */
static bool is_set_by_container(enum config_option option, const char *value)
{
    return (option == CONFIG_PORT && strncmp(value, "tcp://", 6) == 0) || (option == CONFIG_NAME && value[0] == '/');
}

/* The value, if the entry is the option's variable. */
static const char *variable_value(const char *entry, enum config_option option)
{
    char variable[VARIABLE_BYTES];
    size_t size;

    option_variable(option, variable);
    size = strlen(variable);
    return strncmp(entry, variable, size) == 0 && entry[size] == '=' ? entry + size + 1 : NULL;
}

bool config_read_arguments(struct server_config *config, int argc, char *const argv[],
                           char reason[CONFIG_REASON_BYTES])
{
    struct option flags[CONFIG_OPTION_COUNT + 1] = {0};

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        const struct option_description *option = option_describe((enum config_option)i);

        flags[i].name = option->name;
        flags[i].has_arg = option->kind == KIND_WISH     ? no_argument
                           : option->kind == KIND_SWITCH ? optional_argument
                                                         : required_argument;
    }
    optind = 0; /* begin anew */
    for (;;) {
        int next = optind == 0 ? 1 : optind;
        /* "+": what is no option ends them; ":": say what is missing and print nothing. */
        int found = getopt_long(argc, argv, "+:", flags, NULL);

        if (found == -1)
            break;
        if (!take_argument(config, argv[next], found, reason))
            return false;
        if (config->wishes.help || config->wishes.version)
            return true;
    }
    if (optind < argc)
        return config_refuse(reason, "unexpected argument '%s'", quote(argv[optind]).text);
    return true;
}

/* What getopt_long found in a word and the one behind it. It takes abbreviations, which the next version may have to
 * understand in another way: so the name is looked up here. */
static bool take_argument(struct server_config *config, const char *word, int found, char reason[CONFIG_REASON_BYTES])
{
    const struct config_origin origin = {.source = CONFIG_FROM_FLAG};
    char complaint[COMPLAINT_BYTES];
    enum config_option option;

    if (strncmp(word, "--", 2) != 0 || !option_find(bytes_from(word + 2, strcspn(word + 2, "=")), &option))
        return config_refuse(reason, "unknown option '%s'", quote(word).text);
    if (found == ':')
        return config_refuse(reason, "--%s: the value is missing", option_describe(option)->name);
    if (found == '?')
        return config_refuse(reason, "--%s: takes no value", option_describe(option)->name);
    if (!option_set(config, option, origin, optarg == NULL ? "yes" : optarg, complaint))
        return config_refuse(reason, "--%s: %s", option_describe(option)->name, complaint);
    return true;
}

bool config_reconcile(struct server_config *config, char reason[CONFIG_REASON_BYTES])
{
    char origin[ORIGIN_BYTES];

    if (config->spare_workers_min > config->spare_workers_max) {
        if (config_is_default(config, CONFIG_MAX_SPARE)) {
            config->spare_workers_max = config->spare_workers_min;
        } else if (config_is_default(config, CONFIG_MIN_SPARE)) {
            config->spare_workers_min = config->spare_workers_max;
        } else {
            name_origin(config, CONFIG_MIN_SPARE, origin);
            return config_refuse(reason, "%s: %u is more than max-spare, %u", origin, config->spare_workers_min,
                                 config->spare_workers_max);
        }
    }
    if (config->clients_max + config->spare_workers_min > CONFIG_PROCESSES_MAX) {
        name_origin(config, CONFIG_MAX_CLIENTS, origin);
        return config_refuse(reason, "%s: %u and min-spare, %u, are more than the %u processes that there can be", origin,
                             config->clients_max, config->spare_workers_min, CONFIG_PROCESSES_MAX);
    }
    for (unsigned i = 0; i < config->addresses.count && !config->is_insecure; i++) {
        if (!is_loopback(config->addresses.text[i])) {
            name_origin(config, CONFIG_BIND, origin);
            return config_refuse(reason, "%s: '%s' is not a loopback address, and there is no authentication: "
                                 "--insecure allows it", origin, config->addresses.text[i]);
        }
    }
    if (config->is_dump && config->inspect_name[0] == '\0') {
        name_origin(config, CONFIG_DUMP, origin);
        return config_refuse(reason, "%s: goes with --inspect only", origin);
    }
    ENSURE(config_is_valid(config));
    return true;
}

bool config_is_valid(const struct server_config *config)
{
    bool lists_fit = config->addresses.count <= CONFIG_LIST_MAX && config->ports.count <= CONFIG_LIST_MAX &&
                     config->socket_paths.count <= CONFIG_LIST_MAX;
    bool somebody_can_come = config->addresses.count > 0 && config->ports.count > 0;
    bool has_name = config->name[0] != '\0';
    bool directory_is_absolute = config->segment_directory[0] == '\0' || config->segment_directory[0] == '/';
    bool spares_are_ordered =
        config->spare_workers_min >= 1 && config->spare_workers_min <= config->spare_workers_max;
    bool has_room = config->clients_max >= 1 &&
                    config->clients_max + config->spare_workers_min <= CONFIG_PROCESSES_MAX && config->memory_bytes > 0 && config->command_bytes_max > 0 &&
                    config->command_bytes_max <= CONFIG_COMMAND_BYTES_MAX &&
                    config->reads_bytes_max >= CONFIG_READS_BYTES_MIN &&
                    config->reads_bytes_max <= CONFIG_READS_BYTES_MAX;
    bool times_fit = config->transaction_timeout_ms <= CONFIG_DURATION_MS_MAX &&
                     config->idle_timeout_ms <= CONFIG_DURATION_MS_MAX &&
                     config->write_timeout_ms <= CONFIG_DURATION_MS_MAX &&
                     config->lock_holder_timeout_ms <= CONFIG_DURATION_MS_MAX &&
                     config->lock_timeout_ms <= CONFIG_DURATION_MS_MAX &&
                     config->snapshot_timeout_ms <= CONFIG_DURATION_MS_MAX;
    bool choices_exist = (unsigned)config->isolation < ISOLATION_COUNT &&
                         (unsigned)config->framing < FRAMING_COUNT && (unsigned)config->dialect < DIALECT_COUNT &&
                         (unsigned)config->log_level < DIAGNOSTIC_LEVEL_COUNT;
    bool is_closed_to_others = true;

    for (unsigned i = 0; lists_fit && i < config->addresses.count; i++)
        is_closed_to_others = is_closed_to_others && is_loopback(config->addresses.text[i]);
    return lists_fit && somebody_can_come && has_name && directory_is_absolute && spares_are_ordered && has_room &&
           times_fit && choices_exist && (is_closed_to_others || config->is_insecure);
}

static bool is_loopback(const char *address)
{
    return strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0;
}

static void name_origin(const struct server_config *config, enum config_option option, char name[ORIGIN_BYTES])
{
    const struct config_origin *origin = &config->origins[option];
    char variable[VARIABLE_BYTES];

    option_variable(option, variable);
    switch (origin->source) {
    case CONFIG_FROM_FILE:
        (void)snprintf(name, ORIGIN_BYTES, "%s:%u: %s", quote(config->file_path).text, origin->line,
                       option_describe(option)->name);
        break;
    case CONFIG_FROM_ENVIRONMENT:
        (void)snprintf(name, ORIGIN_BYTES, "%s", variable);
        break;
    default:
        (void)snprintf(name, ORIGIN_BYTES, "--%s", option_describe(option)->name);
        break;
    }
}
