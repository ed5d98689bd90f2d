/* The sources together: which one wins, what options owe one another, and what the operator gets to read. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "config_sources.h"
#include "support/process.h"

static struct server_config config;

/* A file with this text, gone when the test ends. */
static char path_of_file[] = "/tmp/hauskv-test-config-XXXXXX";

static void a_file_says(const char *text)
{
    int file = mkstemp(path_of_file);

    cr_assert(file != -1 && write(file, text, strlen(text)) == (ssize_t)strlen(text) && close(file) == 0);
}

static void remove_file(void)
{
    (void)unlink(path_of_file);
}

/* config_load in a process of its own: how it ended and what it printed, on standard error or on both. */
struct load {
    char *const *flags;
    char *const *environment;
    bool is_output_wanted;
    const char *output_path; /* standard output, if not NULL */
};

static char printed[16384];

static int load_in_child(void *context)
{
    const struct load *load = context;
    static struct server_config loaded;
    int output = load->output_path == NULL ? STDERR_FILENO : open(load->output_path, O_WRONLY);

    if (dup2(load->is_output_wanted || load->output_path != NULL ? output : open("/dev/null", O_WRONLY),
             STDOUT_FILENO) == -1)
        return 99;
    switch (config_load(&loaded, count_words(load->flags), load->flags, load->environment)) {
    case CONFIG_RUN:
        return config_is_valid(&loaded) ? 42 : 98;
    case CONFIG_EXIT_0:
        return 0;
    case CONFIG_EXIT_1:
        return 1;
    case CONFIG_EXIT_2:
        return 2;
    }
    return 97;
}

static int loading_ends_with(char *const flags[], char *const environment[])
{
    struct load load = {.flags = flags, .environment = environment, .is_output_wanted = true};

    return process_run_captured(load_in_child, &load, printed, sizeof printed);
}

#define cr_assert_refused(flags, environment, line)                \
    do {                                                           \
        cr_assert_eq(loading_ends_with((flags), (environment)), 2); \
        cr_assert_str_eq(printed, line "\n");                      \
    } while (0)

/* All sources, in this process. */
static void load(char *const flags[], char *const environment[])
{
    cr_assert_eq(config_load(&config, count_words(flags), flags, environment), CONFIG_RUN);
}

Test(config, defaults)
{
    load(NO_FLAGS, NO_ENVIRONMENT);
    cr_assert_eq(config.addresses.count, 2);
    cr_assert_str_eq(config.addresses.text[0], "127.0.0.1");
    cr_assert_str_eq(config.addresses.text[1], "::1");
    cr_assert_eq(config.ports.count, 1);
    cr_assert_eq(config.ports.number[0], 9888);
    cr_assert_eq(config.socket_paths.count, 0);
    cr_assert_str_eq(config.name, "default");
    cr_assert_eq(config.memory_bytes, (size_t)256 << 20);
    cr_assert_str_eq(config.segment_directory, "");
    cr_assert_not(config.is_fresh);
    cr_assert_eq(config.clients_max, 1000);
    cr_assert_eq(config.spare_workers_min, 8);
    cr_assert_eq(config.spare_workers_max, 32);
    cr_assert_eq(config.command_bytes_max, (size_t)1 << 20);
    cr_assert_eq(config.reads_bytes_max, (size_t)64 << 20);
    cr_assert_eq(config.transaction_timeout_ms, 300000);
    cr_assert_eq(config.idle_timeout_ms, 0);
    cr_assert_eq(config.write_timeout_ms, 60000);
    cr_assert_eq(config.lock_timeout_ms, 10000);
    cr_assert_eq(config.snapshot_timeout_ms, 60000);
    cr_assert_eq(config.isolation, ISOLATION_SERIALIZABLE);
    cr_assert_eq(config.framing, FRAMING_LINE);
    cr_assert_eq(config.dialect, DIALECT_DEFAULT);
    cr_assert_eq(config.log_level, DIAGNOSTIC_INFO);
    cr_assert_not(config.is_insecure);
    cr_assert_str_eq(config.file_path, "");
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        cr_assert(config_is_default(&config, (enum config_option)i));
}

Test(config, flags_take_their_value_with_and_without_equals)
{
    cr_assert_accepted(flags_say(&config, FLAGS("--max-clients", "7", "--name=x", "--fresh", "--insecure=no", "--")));
    cr_assert_eq(config.clients_max, 7);
    cr_assert_str_eq(config.name, "x");
    cr_assert(config.is_fresh);
    cr_assert_not(config.is_insecure);
    cr_assert_eq(config.origins[CONFIG_NAME].source, CONFIG_FROM_FLAG);
    cr_assert(config_is_default(&config, CONFIG_MEMORY));
}

Test(config, the_last_of_a_flag_holds_but_all_must_be_valid)
{
    cr_assert_accepted(flags_say(&config, FLAGS("--max-clients", "7", "--max-clients", "8")));
    cr_assert_eq(config.clients_max, 8);
    cr_assert_reason(flags_say(&config, FLAGS("--max-clients", "x", "--max-clients", "8")),
                     "--max-clients: 'x' is not a number");
}

Test(config, a_list_of_flags_replaces_the_default)
{
    cr_assert_accepted(flags_say(&config, FLAGS("--port", "8000", "--bind", "127.0.0.9", "--port", "8080")));
    cr_assert_eq(config.ports.count, 2);
    cr_assert_eq(config.ports.number[0], 8000);
    cr_assert_eq(config.ports.number[1], 8080);
    cr_assert_eq(config.addresses.count, 1);
}

Test(config, variables_are_named_after_the_flags)
{
    cr_assert_accepted(environment_says(
        &config, ENVIRONMENT("PATH=/bin", "HAUSKV_MAX_CLIENTS=7", "HAUSKV_TRANSACTION_TIMEOUT=1h", "HAUSKV_FRESH=yes",
                             "HAUSKV_UNIX=/a,/b c , /d", "HAUSKV_BIND=::1", "HAUSKV_CONFIG=/etc/a, b.conf")));
    cr_assert_eq(config.clients_max, 7);
    cr_assert_eq(config.transaction_timeout_ms, 3600000);
    cr_assert(config.is_fresh);
    cr_assert_eq(config.socket_paths.count, 3);
    cr_assert_str_eq(config.socket_paths.text[0], "/a");
    cr_assert_str_eq(config.socket_paths.text[1], "/b c");
    cr_assert_str_eq(config.socket_paths.text[2], "/d");
    cr_assert_eq(config.addresses.count, 1);
    cr_assert_str_eq(config.file_path, "/etc/a, b.conf");
    cr_assert_eq(config.origins[CONFIG_MAX_CLIENTS].source, CONFIG_FROM_ENVIRONMENT);
}

Test(config, other_variables_and_empty_ones_mean_nothing)
{
    cr_assert_accepted(environment_says(
        &config, ENVIRONMENT("HAUSKV_SERVER=/bin/x", "HAUSKV_TEST_SEED=1", "HAUSKV_CRASH_ONLY=x", "HAUSKV_SCHEDULES=2",
                             "HAUSKV_SPECIFICATION=x", "HAUSKV_PORT=", "HAUSKV_MEMORY=", "HAUSKV_NOBODY=", "hauskv_port=1",
                             "HAUSKVPORT=1", "HAUSKV_PORT", "HAUSKV_NOBODY", "", "=", "=HAUSKV_X=1")));
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        cr_assert(config_is_default(&config, (enum config_option)i));
    cr_assert_eq(config.ports.number[0], 9888);
}

/* Kubernetes and Docker set them for a service called hauskv. */
Test(config, variables_of_containers_mean_nothing)
{
    cr_assert_accepted(environment_says(
        &config, ENVIRONMENT("HAUSKV_SERVICE_HOST=10.0.0.1", "HAUSKV_SERVICE_PORT=9888", "HAUSKV_SERVICE_PORT_TEXT=9888",
                             "HAUSKV_PORT=tcp://10.0.0.1:9888", "HAUSKV_PORT_9888_TCP=tcp://10.0.0.1:9888",
                             "HAUSKV_PORT_9888_TCP_ADDR=10.0.0.1", "HAUSKV_NAME=/web/hauskv", "HAUSKV_ENV_PATH=/bin")));
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        cr_assert(config_is_default(&config, (enum config_option)i));
}

Test(config, misspelt_variables_are_refused)
{
    cr_assert_reason(environment_says(&config, ENVIRONMENT("PATH=/bin", "HAUSKV_MAX_CLIENT=1")),
                     "HAUSKV_MAX_CLIENT belongs to no option: is it meant to be HAUSKV_MAX_CLIENTS?");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_MAX_CLIENTSS=1")),
                     "HAUSKV_MAX_CLIENTSS belongs to no option: is it meant to be HAUSKV_MAX_CLIENTS?");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_BNID=::1")),
                     "HAUSKV_BNID belongs to no option: is it meant to be HAUSKV_BIND?");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_PORTS=1")),
                     "HAUSKV_PORTS belongs to no option: is it meant to be HAUSKV_PORT?");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_PERSISTENCE=on")), "HAUSKV_PERSISTENCE belongs to no option");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_HELP=yes")), "HAUSKV_HELP belongs to no option");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_X\x1b=1")), "HAUSKV_X\\x1b belongs to no option");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_=1")), "HAUSKV_ belongs to no option");
}

Test(config, of_a_variable_given_twice_the_first_holds_as_getenv_has_it)
{
    cr_assert_accepted(environment_says(&config, ENVIRONMENT("HAUSKV_PORT=1", "HAUSKV_PORT=2")));
    cr_assert_eq(config.ports.count, 1);
    cr_assert_eq(config.ports.number[0], 1);
}

Test(config, bad_variables_are_refused)
{
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_PORT=1,,2")), "HAUSKV_PORT: the value is empty");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_IDLE_TIMEOUT=soon")),
                     "HAUSKV_IDLE_TIMEOUT: 'soon' is not a duration such as 500ms, 60s, 5m, 1h or 0");
    cr_assert_reason(environment_says(&config, ENVIRONMENT("HAUSKV_MAX_CLIENTS=1,2")),
                     "HAUSKV_MAX_CLIENTS: '1,2' is not a number");
}

Test(config, a_flag_wins_over_the_environment_over_the_file_over_the_default, .fini = remove_file)
{
    a_file_says("max-clients = 1\nmin-spare = 1\nmax-spare = 1\nport = 1\nport = 11\nfresh = yes\n");
    load(FLAGS("--config", path_of_file, "--max-clients", "3", "--port", "3", "--fresh=no"),
         ENVIRONMENT("HAUSKV_MAX_CLIENTS=2", "HAUSKV_MAX_SPARE=2", "HAUSKV_PORT=2,22", "HAUSKV_BIND=::1"));
    cr_assert_eq(config.clients_max, 3);
    cr_assert_eq(config.origins[CONFIG_MAX_CLIENTS].source, CONFIG_FROM_FLAG);
    cr_assert_eq(config.spare_workers_max, 2);
    cr_assert_eq(config.origins[CONFIG_MAX_SPARE].source, CONFIG_FROM_ENVIRONMENT);
    cr_assert_eq(config.spare_workers_min, 1);
    cr_assert_eq(config.origins[CONFIG_MIN_SPARE].source, CONFIG_FROM_FILE);
    cr_assert_eq(config.origins[CONFIG_MIN_SPARE].line, 2);
    cr_assert_eq(config.origins[CONFIG_NAME].source, CONFIG_FROM_DEFAULT);
    cr_assert_eq(config.ports.count, 1);
    cr_assert_eq(config.ports.number[0], 3);
    cr_assert_eq(config.addresses.count, 1);
    cr_assert_not(config.is_fresh);
    cr_assert_str_eq(config.file_path, path_of_file);
}

Test(config, the_environment_may_name_the_file, .fini = remove_file)
{
    char variable[64];

    a_file_says("max-clients = 1\n");
    (void)snprintf(variable, sizeof variable, "HAUSKV_CONFIG=%s", path_of_file);
    load(NO_FLAGS, ENVIRONMENT(variable));
    cr_assert_eq(config.clients_max, 1);
    cr_assert_eq(config.origins[CONFIG_CONFIG].source, CONFIG_FROM_ENVIRONMENT);
    load(FLAGS("--config", "/dev/null"), ENVIRONMENT(variable));
    cr_assert_eq(config.clients_max, 1000);
}

Test(config, what_is_overridden_must_be_valid_all_the_same, .fini = remove_file)
{
    char expected[256];

    a_file_says("port = x\n");
    cr_assert_eq(loading_ends_with(FLAGS("--port=1", "--config", path_of_file), NO_ENVIRONMENT), 2);
    (void)snprintf(expected, sizeof expected, "hauskv-server: %s:1: port: 'x' is not a port; try --help\n",
                   path_of_file);
    cr_assert_str_eq(printed, expected);
    cr_assert_refused(FLAGS("--port=1"), ENVIRONMENT("HAUSKV_PORT=x"),
                      "hauskv-server: HAUSKV_PORT: 'x' is not a port; try --help");
}

Test(config, mistakes_get_one_line_and_exit_2)
{
    cr_assert_refused(FLAGS("--bogus"), NO_ENVIRONMENT, "hauskv-server: unknown option '--bogus'; try --help");
    cr_assert_refused(FLAGS("--bogus=1", "--port", "x"), NO_ENVIRONMENT,
                      "hauskv-server: unknown option '--bogus=1'; try --help");
    cr_assert_refused(FLAGS("-p", "1"), NO_ENVIRONMENT, "hauskv-server: unknown option '-p'; try --help");
    cr_assert_refused(FLAGS("-port", "1"), NO_ENVIRONMENT, "hauskv-server: unknown option '-port'; try --help");
    cr_assert_refused(FLAGS("--memor", "1g"), NO_ENVIRONMENT, "hauskv-server: unknown option '--memor'; try --help");
    cr_assert_refused(FLAGS("--max", "1"), NO_ENVIRONMENT, "hauskv-server: unknown option '--max'; try --help");
    cr_assert_refused(FLAGS("--Port", "1"), NO_ENVIRONMENT, "hauskv-server: unknown option '--Port'; try --help");
    cr_assert_refused(FLAGS("--=1"), NO_ENVIRONMENT, "hauskv-server: unknown option '--=1'; try --help");
    cr_assert_refused(FLAGS("--port"), NO_ENVIRONMENT, "hauskv-server: --port: the value is missing; try --help");
    cr_assert_refused(FLAGS("--port="), NO_ENVIRONMENT, "hauskv-server: --port: the value is empty; try --help");
    cr_assert_refused(FLAGS("--port", ""), NO_ENVIRONMENT, "hauskv-server: --port: the value is empty; try --help");
    cr_assert_refused(FLAGS("--help=me"), NO_ENVIRONMENT, "hauskv-server: --help: takes no value; try --help");
    cr_assert_refused(FLAGS("--port", "x", "--help"), NO_ENVIRONMENT,
                      "hauskv-server: --port: 'x' is not a port; try --help");
    cr_assert_refused(FLAGS("--max-clients", "many"), NO_ENVIRONMENT,
                      "hauskv-server: --max-clients: 'many' is not a number; try --help");
    cr_assert_refused(FLAGS("serve"), NO_ENVIRONMENT, "hauskv-server: unexpected argument 'serve'; try --help");
    cr_assert_refused(FLAGS("--fresh", "no"), NO_ENVIRONMENT, "hauskv-server: unexpected argument 'no'; try --help");
    cr_assert_refused(FLAGS("--", "--help"), NO_ENVIRONMENT,
                      "hauskv-server: unexpected argument '--help'; try --help");
    cr_assert_refused(FLAGS("-"), NO_ENVIRONMENT, "hauskv-server: unexpected argument '-'; try --help");
    cr_assert_refused(FLAGS(""), NO_ENVIRONMENT, "hauskv-server: unexpected argument ''; try --help");
    cr_assert_refused(FLAGS("--config", "/nonexistent"), NO_ENVIRONMENT,
                      "hauskv-server: /nonexistent: cannot be read: No such file or directory; try --help");
    cr_assert_refused(FLAGS("a\nb"), NO_ENVIRONMENT, "hauskv-server: unexpected argument 'a\\x0ab'; try --help");
}

Test(config, anything_but_loopback_needs_insecure, .fini = remove_file)
{
    char expected[256];

    cr_assert_refused(FLAGS("--bind", "::1", "--bind", "0.0.0.0"), NO_ENVIRONMENT,
                      "hauskv-server: --bind: '0.0.0.0' is not a loopback address, and there is no authentication: "
                      "--insecure allows it; try --help");
    cr_assert_refused(NO_FLAGS, ENVIRONMENT("HAUSKV_BIND=::"),
                      "hauskv-server: HAUSKV_BIND: '::' is not a loopback address, and there is no authentication: "
                      "--insecure allows it; try --help");
    a_file_says("\nbind = ::ffff:127.0.0.1\n");
    (void)snprintf(expected, sizeof expected,
                   "hauskv-server: %s:2: bind: '::ffff:127.0.0.1' is not a loopback address, and there is no "
                   "authentication: --insecure allows it; try --help\n",
                   path_of_file);
    cr_assert_eq(loading_ends_with(FLAGS("--config", path_of_file), NO_ENVIRONMENT), 2);
    cr_assert_str_eq(printed, expected);
    load(FLAGS("--bind=127.255.255.254"), NO_ENVIRONMENT);
    load(FLAGS("--bind=0.0.0.0", "--insecure"), NO_ENVIRONMENT);
    load(FLAGS("--bind=192.0.2.1"), ENVIRONMENT("HAUSKV_INSECURE=1"));
}

Test(config, spares_are_ordered_and_a_default_gives_way)
{
    load(FLAGS("--max-spare", "4"), NO_ENVIRONMENT);
    cr_assert_eq(config.spare_workers_min, 4);
    load(FLAGS("--min-spare", "50"), NO_ENVIRONMENT);
    cr_assert_eq(config.spare_workers_max, 50);
    load(FLAGS("--min-spare", "5", "--max-spare", "5"), NO_ENVIRONMENT);
    cr_assert_refused(FLAGS("--min-spare", "6", "--max-spare", "5"), NO_ENVIRONMENT,
                      "hauskv-server: --min-spare: 6 is more than max-spare, 5; try --help");
    cr_assert_refused(FLAGS("--max-spare", "5"), ENVIRONMENT("HAUSKV_MIN_SPARE=6"),
                      "hauskv-server: HAUSKV_MIN_SPARE: 6 is more than max-spare, 5; try --help");
}

Test(config, no_more_processes_are_wanted_than_there_can_be)
{
    load(FLAGS("--max-clients", "16000", "--min-spare", "368"), NO_ENVIRONMENT);
    cr_assert_refused(FLAGS("--max-clients", "16000", "--min-spare", "369"), NO_ENVIRONMENT,
                      "hauskv-server: --max-clients: 16000 and min-spare, 369, are more than the 16368 processes that there "
                      "can be; try --help");
    cr_assert_refused(FLAGS("--max-clients", "60000"), NO_ENVIRONMENT,
                      "hauskv-server: --max-clients: '60000' is more than 16000; try --help");
}

Test(config, validity_names_its_parts)
{
    load(NO_FLAGS, NO_ENVIRONMENT);
    cr_assert(config_is_valid(&config));
    config.isolation = ISOLATION_COUNT;
    cr_assert_not(config_is_valid(&config));
    config.isolation = ISOLATION_LOCKING;
    config.framing = FRAMING_COUNT;
    cr_assert_not(config_is_valid(&config));
    config.framing = FRAMING_AUTO;
    config.dialect = DIALECT_COUNT;
    cr_assert_not(config_is_valid(&config));
    config.dialect = DIALECT_MESSAGES;
    config.reads_bytes_max = CONFIG_READS_BYTES_MIN - 1;
    cr_assert_not(config_is_valid(&config));
    config.reads_bytes_max = CONFIG_READS_BYTES_MAX + 1;
    cr_assert_not(config_is_valid(&config));
    config.reads_bytes_max = CONFIG_READS_BYTES_MAX;
    cr_assert(config_is_valid(&config));
    config.lock_timeout_ms = CONFIG_DURATION_MS_MAX + 1;
    cr_assert_not(config_is_valid(&config));
    config.lock_timeout_ms = CONFIG_DURATION_MS_MAX;
    cr_assert(config_is_valid(&config));
    config.snapshot_timeout_ms = CONFIG_DURATION_MS_MAX + 1;
    cr_assert_not(config_is_valid(&config));
    config.snapshot_timeout_ms = CONFIG_DURATION_MS_MAX;
    cr_assert(config_is_valid(&config));
    config.lock_holder_timeout_ms = CONFIG_DURATION_MS_MAX + 1;
    cr_assert_not(config_is_valid(&config));
    config.lock_holder_timeout_ms = CONFIG_DURATION_MS_MAX;
    cr_assert(config_is_valid(&config));
    config.spare_workers_min = config.spare_workers_max + 1;
    cr_assert_not(config_is_valid(&config));
    config.spare_workers_min = 1;
    config.addresses.count = 0;
    cr_assert_not(config_is_valid(&config));
    config.addresses.count = CONFIG_LIST_MAX + 1;
    cr_assert_not(config_is_valid(&config));
    config.addresses.count = 1;
    cr_assert(config_is_valid(&config));
    (void)snprintf(config.addresses.text[0], CONFIG_ADDRESS_BYTES, "192.0.2.1");
    cr_assert_not(config_is_valid(&config));
    config.is_insecure = true;
    cr_assert(config_is_valid(&config));
}

Test(config, help_names_every_option)
{
    static const char *const names[] = {
#define OPTION(option, name, ...) name,
#include "server/option.def"
#undef OPTION
    };

    cr_assert_eq(loading_ends_with(FLAGS("--help"), NO_ENVIRONMENT), 0);
    cr_assert(strncmp(printed, "Usage: hauskv-server [OPTION]...\n", 33) == 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char line[64];

        (void)snprintf(line, sizeof line, "\n  --%s ", names[i]);
        cr_assert(strstr(printed, line) != NULL, "%s", names[i]);
    }
    cr_assert(strstr(printed, "--max-clients NUMBER        connections at the same time [1000]\n") != NULL);
}

Test(config, help_and_version_want_nothing_else_to_be_right)
{
    char *const bad[] = {"HAUSKV_PORT=x", "HAUSKV_CONFIG=/nonexistent", NULL};

    cr_assert_eq(loading_ends_with(FLAGS("--help", "--bogus"), bad), 0);
    cr_assert_eq(loading_ends_with(FLAGS("--version", "serve"), bad), 0);
    cr_assert_str_eq(printed, "hauskv-server " SERVER_VERSION "\n");
}

Test(config, check_config_says_whether_it_is_valid, .fini = remove_file)
{
    char expected[256];

    a_file_says("max-clients = 1\n");
    cr_assert_eq(loading_ends_with(FLAGS("--check-config", "--config", path_of_file), NO_ENVIRONMENT), 0);
    cr_assert_str_eq(printed, "hauskv-server: the configuration is valid\n");
    cr_assert_refused(FLAGS("--check-config", "--min-spare=2", "--max-spare=1"), NO_ENVIRONMENT,
                      "hauskv-server: --min-spare: 2 is more than max-spare, 1; try --help");
    cr_assert_eq(unlink(path_of_file), 0);
    (void)snprintf(expected, sizeof expected,
                   "hauskv-server: %s: cannot be read: No such file or directory; try --help\n", path_of_file);
    cr_assert_eq(loading_ends_with(FLAGS("--check-config", "--config", path_of_file), NO_ENVIRONMENT), 2);
    cr_assert_str_eq(printed, expected);
}

Test(config, a_full_output_is_a_run_time_failure)
{
    struct load load_to_full = {.flags = FLAGS("--help"), .environment = NO_ENVIRONMENT, .output_path = "/dev/full"};

    cr_assert_eq(process_run_captured(load_in_child, &load_to_full, printed, sizeof printed), 1);
    cr_assert_str_eq(printed, "hauskv-server: cannot write to standard output: No space left on device\n");
}

/* Everything that a file can say. */
static bool are_equal(const struct server_config *left, const struct server_config *right)
{
#define OPTION(option, name, kind, member, ...)                                                               \
    if (CONFIG_##option < CONFIG_CONFIG && memcmp(&left->member, &right->member, sizeof left->member) != 0) { \
        fprintf(stderr, "%s differs\n", name);                                                                \
        return false;                                                                                         \
    }
#include "server/option.def"
#undef OPTION
    return true;
}

/* As the file that config_print makes of it is read again. */
static void read_what_is_printed(const struct server_config *from, struct server_config *to)
{
    char reason[CONFIG_REASON_BYTES] = "";
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);

    cr_assert_not_null(stream);
    config_print(from, stream);
    cr_assert_eq(fclose(stream), 0);
    config_init(to);
    cr_assert(config_read_text(to, bytes_from(text, size), "printed", reason) && config_reconcile(to, reason), "%s\n%s",
              reason, text);
    free(text);
}

Test(config, what_is_printed_reads_as_the_same)
{
    struct server_config again;

    load(FLAGS("--bind=127.0.0.1", "--bind=2001:db8::1", "--insecure", "--port=0", "--port=0", "--port=65535",
               "--unix=my sock;et=#", "--unix= /a ;b ", "--unix=\"q\\\\\"", "--unix=#\xff\xc3 #", "--unix=/b", "--name=x", "--memory=1048577", "--segment-dir=/d", "--segment-on-disk",
               "--fresh",
               "--discard", "--load=/dump", "--max-clients=3", "--min-spare=2", "--max-spare=3",
               "--lock-holder-timeout=3s", "--lock-timeout=4ms", "--snapshot-timeout=5ms", "--max-reads=1025k", "--inspect=other", "--dump"),
         ENVIRONMENT("HAUSKV_MAX_COMMAND=59m", "HAUSKV_TRANSACTION_TIMEOUT=1501ms", "HAUSKV_IDLE_TIMEOUT=90m",
                     "HAUSKV_WRITE_TIMEOUT=596h", "HAUSKV_ISOLATION=read-committed", "HAUSKV_LOG_LEVEL=error",
                     "HAUSKV_FRAMING=auto", "HAUSKV_DIALECT=echo", "HAUSKV_CONFIG=/dev/null"));
    read_what_is_printed(&config, &again);
    cr_assert(are_equal(&config, &again));
    for (unsigned i = 0; i < CONFIG_CONFIG; i++)
        cr_assert_eq(again.origins[i].source, CONFIG_FROM_FILE);
}

Test(config, printed_defaults_stay_defaults)
{
    struct server_config again;

    load(NO_FLAGS, NO_ENVIRONMENT);
    read_what_is_printed(&config, &again);
    cr_assert(are_equal(&config, &again));
    cr_assert(config_is_default(&again, CONFIG_BIND));
    cr_assert(config_is_default(&again, CONFIG_MEMORY));
}

Test(config, a_default_that_gave_way_does_so_again)
{
    struct server_config again;

    load(FLAGS("--min-spare=50"), NO_ENVIRONMENT);
    read_what_is_printed(&config, &again);
    cr_assert_eq(again.spare_workers_max, 50);
    cr_assert(are_equal(&config, &again));
}

Test(config, the_longest_values_can_be_printed_and_read)
{
    char socket_path[CONFIG_SOCKET_PATH_BYTES] = "";
    char directory[CONFIG_DIRECTORY_BYTES] = "/";
    char name[CONFIG_NAME_BYTES] = "";
    char file_path[4000];
    struct server_config again;

    memset(socket_path, 's', sizeof socket_path - 1);
    memset(directory + 1, 'd', sizeof directory - 2);
    memset(name, 'n', sizeof name - 1);
    memset(file_path, '/', sizeof file_path);
    memcpy(file_path + sizeof file_path - 9, "dev/null", 9);
    load(FLAGS("--unix", socket_path, "--segment-dir", directory, "--name", name, "--config", file_path),
         NO_ENVIRONMENT);
    read_what_is_printed(&config, &again);
    cr_assert(are_equal(&config, &again));
}

Test(config, every_path_is_printed_so_that_it_reads_as_the_same)
{
    static const char bytes[] = " \"\\#;=:,'x[\xc3\xa9\xff$%{";
    unsigned seed = 20261201;
    char path[40];
    struct server_config again;

    fprintf(stderr, "seed %u\n", seed);
    srandom(seed);
    for (unsigned round = 0; round < 5000; round++) {
        size_t size = 1 + (size_t)random() % (sizeof path - 1);

        for (size_t i = 0; i < size - 1; i++)
            path[i] = bytes[(size_t)random() % (sizeof bytes - 1)];
        path[size - 1] = '\0';
        if (size == 1)
            continue;
        load(FLAGS("--load", path, "--unix", path), NO_ENVIRONMENT);
        cr_assert_str_eq(config.load_path, path);
        read_what_is_printed(&config, &again);
        cr_assert_str_eq(again.load_path, path);
        cr_assert_str_eq(again.socket_paths.text[0], path);
    }
}

Test(config, longest_path_is_printed_so_that_it_reads_as_the_same)
{
    char path[CONFIG_FILE_PATH_BYTES];
    struct server_config again;

    memset(path, '"', sizeof path);
    path[sizeof path - 1] = '\0';
    load(FLAGS("--load", path), NO_ENVIRONMENT);
    read_what_is_printed(&config, &again);
    cr_assert_str_eq(again.load_path, path);
}

Test(config, print_config_tells_where_each_value_came_from, .fini = remove_file)
{
    char expected[256];

    a_file_says("\nname = x\n");
    cr_assert_eq(loading_ends_with(FLAGS("--config", path_of_file, "--print-config", "--port=2", "--port=1"),
                                   ENVIRONMENT("HAUSKV_IDLE_TIMEOUT=90s")),
                 0);
    cr_assert(strstr(printed, "\n# from the command line, --port\nport = 2\nport = 1\n") != NULL);
    cr_assert(strstr(printed, "\n# from the environment, HAUSKV_IDLE_TIMEOUT\nidle-timeout = 90s\n") != NULL);
    cr_assert(strstr(printed, "\n# the default\n#bind = 127.0.0.1\n#bind = ::1\n") != NULL);
    cr_assert(strstr(printed, "\n# the default\n#unix =\n") != NULL);
    (void)snprintf(expected, sizeof expected, "\n# from %s, line 2\nname = x\n", path_of_file);
    cr_assert(strstr(printed, expected) != NULL);
    (void)snprintf(expected, sizeof expected, "\n# from the command line, --config\n#config = %s\n", path_of_file);
    cr_assert(strstr(printed, expected) != NULL);
}

Test(config, print_config_prints_a_file_that_config_accepts, .fini = remove_file)
{
    char first[sizeof printed];

    cr_assert_eq(loading_ends_with(FLAGS("--print-config", "--port=1", "--memory=64m"), NO_ENVIRONMENT), 0);
    a_file_says(printed);
    cr_assert_eq(loading_ends_with(FLAGS("--print-config", "--config", path_of_file), NO_ENVIRONMENT), 0);
    memcpy(first, printed, sizeof first);
    cr_assert(strstr(first, "\nport = 1\n") != NULL && strstr(first, "\nmemory = 64m\n") != NULL);
    cr_assert_eq(loading_ends_with(FLAGS("--check-config", "--config", path_of_file), NO_ENVIRONMENT), 0);
}
