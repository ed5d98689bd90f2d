/* hauskv beside Redis, memcached and the ceiling of one process per connection,
 * under the same load. See README.md; --help names the options. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "load/contest.h"
#include "load/goals.h"
#include "load/report.h"
#include "load/server_list.h"
#include "platform/decimal.h"

#define LIST_BYTES 256u

struct command_line {
    struct contest_options options;
    struct workload workload;
    struct server_list servers;
    bool is_goals;
    const char *json_path;
    const char *picture_folder;
};

enum option_value {
    OPTION_HELP,
    OPTION_GOALS,
    OPTION_QUICK,
    OPTION_SERVERS,
    OPTION_CONNECTIONS,
    OPTION_DEPTH,
    OPTION_KEYS,
    OPTION_KEY_BYTES,
    OPTION_VALUE_BYTES,
    OPTION_MIX,
    OPTION_PUTS,
    OPTION_TRIPS,
    OPTION_UNIX,
    OPTION_ROUNDS,
    OPTION_MILLISECONDS,
    OPTION_MEMORY,
    OPTION_SEED,
    OPTION_KEEP_STARVED,
    OPTION_JSON,
    OPTION_PICTURE
};

static const struct option option_list[] = {
    {"help", no_argument, NULL, OPTION_HELP},
    {"goals", no_argument, NULL, OPTION_GOALS},
    {"quick", no_argument, NULL, OPTION_QUICK},
    {"servers", required_argument, NULL, OPTION_SERVERS},
    {"connections", required_argument, NULL, OPTION_CONNECTIONS},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"keys", required_argument, NULL, OPTION_KEYS},
    {"key-bytes", required_argument, NULL, OPTION_KEY_BYTES},
    {"value-bytes", required_argument, NULL, OPTION_VALUE_BYTES},
    {"mix", required_argument, NULL, OPTION_MIX},
    {"puts", required_argument, NULL, OPTION_PUTS},
    {"trips", required_argument, NULL, OPTION_TRIPS},
    {"unix", no_argument, NULL, OPTION_UNIX},
    {"rounds", required_argument, NULL, OPTION_ROUNDS},
    {"milliseconds", required_argument, NULL, OPTION_MILLISECONDS},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"keep-starved", no_argument, NULL, OPTION_KEEP_STARVED},
    {"json", required_argument, NULL, OPTION_JSON},
    {"picture", required_argument, NULL, OPTION_PICTURE},
    {NULL, 0, NULL, 0},
};

static const char help[] =
    "hauskv-bench [OPTION...]: one setting; hauskv-bench --goals [OPTION...]: the table of goals\n"
    "  --servers LIST        hauskv,redis,memcached (1 thread),memcached-4,echo; default hauskv and what is there of\n"
    "                        redis,memcached,echo\n"
    "  --connections N       default 50\n"
    "  --depth N             operations in one send, default 1\n"
    "  --keys N              default 100000\n"
    "  --key-bytes N         default 16\n"
    "  --value-bytes N       default 64\n"
    "  --mix LIST            shares of get, put, transaction, or read-write alone: get=80,put=20; default get=1\n"
    "  --puts N              PUTs in a transaction, default 4\n"
    "  --trips N             round trips of hauskv's read-write, 4 or 5 (default)\n"
    "  --unix                Unix sockets in place of TCP\n"
    "  --rounds N            rounds to be kept, default 5\n"
    "  --milliseconds N      length of a run, default 1000; a fifth of that comes before as warm-up\n"
    "  --memory BYTES        of each server, default what the keys may need\n"
    "  --seed N              of the requests, default 1\n"
    "  --keep-starved        keep rounds in which the machine was busy elsewhere; they are counted all the same\n"
    "  --quick               2 rounds of 200 ms, starved or not: shows that it works, not how fast\n"
    "  --json FILE           all figures of all runs\n"
    "  --picture FOLDER      with --goals: data, gnuplot script and, where gnuplot is, picture\n";

_Noreturn static void refuse(const char *what, const char *value)
{
    (void)fprintf(stderr, "hauskv-bench: %s: '%s' (--help tells more)\n", what, value);
    exit(2);
}

static uint64_t number_of(const char *text)
{
    uint64_t number;

    if (!decimal_read(bytes_from_string(text), &number))
        refuse("not a number", text);
    return number;
}

static unsigned count_of(const char *text)
{
    uint64_t number = number_of(text);

    if (number > 1000000)
        refuse("too many", text);
    return (unsigned)number;
}

/* Calls take for each member of a list with commas. */
static void for_each(const char *list, void (*take)(struct command_line *line, char *member), struct command_line *line)
{
    char copy[LIST_BYTES];
    char *rest = NULL;

    (void)snprintf(copy, sizeof copy, "%s", list);
    for (char *member = strtok_r(copy, ",", &rest); member != NULL; member = strtok_r(NULL, ",", &rest))
        take(line, member);
}

static void ask_servers(struct command_line *line, const char *names)
{
    char reason[SERVER_LIST_REASON_BYTES];

    if (!server_list_ask(&line->servers, names, reason))
        refuse(reason, names);
}

/* hauskv is what the others are beside. */
static void choose_default_servers(struct command_line *line)
{
    ask_servers(line, "hauskv");
    server_list_add_present(&line->servers, "redis,memcached,echo", stdout);
}

static void take_share(struct command_line *line, char *share)
{
    static const char *const names[OPERATION_COUNT] = {"get", "put", "transaction", "read-write"};
    char *equals = strchr(share, '=');

    if (equals != NULL)
        *equals = '\0';
    for (unsigned i = 0; i < OPERATION_COUNT; i++) {
        if (strcmp(names[i], share) == 0) {
            line->workload.weights[i] = equals == NULL ? 1 : count_of(equals + 1);
            return;
        }
    }
    refuse("no such operation", share);
}

static void take_milliseconds(struct contest_options *options, uint64_t milliseconds)
{
    options->duration_ns = milliseconds * 1000000;
    options->warm_up_ns = options->duration_ns / 5;
}

static void take_workload_option(struct workload *workload, int option, const char *value)
{
    switch (option) {
    case OPTION_CONNECTIONS:
        workload->connections = count_of(value);
        break;
    case OPTION_DEPTH:
        workload->depth = count_of(value);
        break;
    case OPTION_KEYS:
        workload->keys = number_of(value);
        break;
    case OPTION_KEY_BYTES:
        workload->key_bytes = count_of(value);
        break;
    case OPTION_VALUE_BYTES:
        workload->value_bytes = number_of(value);
        break;
    case OPTION_PUTS:
        workload->transaction_puts = count_of(value);
        break;
    case OPTION_TRIPS:
        workload->trips = count_of(value);
        break;
    default:
        exit(2); /* getopt_long(3) has complained */
    }
}

static void take_run_option(struct command_line *line, int option, const char *value)
{
    switch (option) {
    case OPTION_UNIX:
        line->options.is_unix = true;
        break;
    case OPTION_ROUNDS:
        line->options.rounds = count_of(value);
        break;
    case OPTION_MILLISECONDS:
        take_milliseconds(&line->options, number_of(value));
        break;
    case OPTION_MEMORY:
        line->options.memory_bytes = number_of(value);
        break;
    case OPTION_SEED:
        line->options.seed = number_of(value);
        break;
    case OPTION_KEEP_STARVED:
        line->options.keeps_starved = true;
        break;
    case OPTION_QUICK:
        line->options.rounds = 2;
        line->options.keeps_starved = true;
        take_milliseconds(&line->options, 200);
        break;
    default:
        take_workload_option(&line->workload, option, value);
        break;
    }
}

static void take_option(struct command_line *line, int option, const char *value)
{
    switch (option) {
    case OPTION_HELP:
        (void)fputs(help, stdout);
        exit(0);
    case OPTION_GOALS:
        line->is_goals = true;
        break;
    case OPTION_SERVERS:
        ask_servers(line, value);
        break;
    case OPTION_MIX:
        for_each(value, take_share, line);
        break;
    case OPTION_JSON:
        line->json_path = value;
        break;
    case OPTION_PICTURE:
        line->picture_folder = value;
        break;
    default:
        take_run_option(line, option, value);
        break;
    }
}

static bool has_transactions(const struct command_line *line)
{
    const unsigned *weights = line->workload.weights;

    return weights[OPERATION_TRANSACTION] + weights[OPERATION_READ_WRITE] > 0;
}

static void read_command_line(struct command_line *line, int count, char **arguments)
{
    int option;

    *line = (struct command_line){.workload = workload_default, .options = {.rounds = 5, .seed = 1}};
    take_milliseconds(&line->options, 1000);
    while ((option = getopt_long(count, arguments, "", option_list, NULL)) >= 0)
        take_option(line, option, optarg);
    if (optind < count)
        refuse("no such option", arguments[optind]);
    if (line->options.rounds < 1 || line->options.rounds > ROUNDS_MAX / 2 || line->options.duration_ns == 0)
        refuse("1 to 50 rounds of 1 ms or longer", "--rounds, --milliseconds");
    if (line->servers.count == 0)
        choose_default_servers(line);
    if (!has_transactions(line) && line->workload.weights[OPERATION_PUT] == 0)
        line->workload.weights[OPERATION_GET] += line->workload.weights[OPERATION_GET] == 0;
    if (!workload_is_valid(&line->workload))
        refuse("a setting needs sizes of 1 or more, keys of up to 250 bytes, and read-write alone and at depth 1",
               "--connections, --depth, --keys, --key-bytes, --value-bytes, --mix, --trips");
}

/* Those that know no transactions cannot take part in them. */
static void drop_those_without_transactions(struct command_line *line)
{
    struct server_list *servers = &line->servers;
    unsigned count = 0;

    for (unsigned i = 0; i < servers->count; i++) {
        if (servers->kinds[i]->has_transactions)
            servers->kinds[count++] = servers->kinds[i];
        else
            printf("%s has no transactions and is left out.\n", servers->kinds[i]->name);
    }
    servers->count = count;
}

static bool run_setting(struct command_line *line, cJSON *list)
{
    static struct contest contest;

    if (has_transactions(line))
        drop_those_without_transactions(line);
    if (line->servers.count == 0 ||
        !contest_run(&contest, &line->workload, line->servers.kinds, line->servers.count, &line->options))
        return false;
    report_contest(stdout, line->options.is_unix ? "Unix sockets" : "TCP", &contest);
    (void)cJSON_AddItemToArray(list, report_contest_json(line->options.is_unix ? "unix" : "tcp", &contest));
    return true;
}

int main(int count, char **arguments)
{
    struct command_line line;
    cJSON *list = cJSON_CreateArray();
    bool is_done;

    read_command_line(&line, count, arguments);
    report_machine(stdout, line.servers.kinds, line.servers.count);
    is_done = line.is_goals ? goals_run(&line.options, list, line.picture_folder) : run_setting(&line, list);
    if (is_done && line.json_path != NULL)
        is_done = report_write_json(list, line.json_path);
    cJSON_Delete(list);
    return is_done ? 0 : 1;
}
