#include "load/goals.h"

#include <stdlib.h>

#include <cjson/cJSON.h>

#include "load/picture.h"
#include "load/report.h"

#define AGAINST_MAX 3u

struct opponent {
    const char *name;
    double at_least; /* hauskv's operations per second over the opponent's; 0: no goal, for comparison only */
    double aim;
};

struct setting {
    const char *name;
    unsigned connections;
    unsigned depth;
    enum operation operation;
    unsigned trips;
    struct opponent against[AGAINST_MAX];
};

static const struct setting settings[] = {
    {"50 connections, PUT", 50, 1, OPERATION_PUT, 5, {{"redis", 0.85, 1.0}, {"echo", 0.85, 0.95}}},
    {"50 connections, GET", 50, 1, OPERATION_GET, 5, {{"redis", 0.70, 0.85}, {"echo", 0.85, 0.95}}},
    {"1 connection, PUT", 1, 1, OPERATION_PUT, 5, {{"redis", 1.05, 1.3}}},
    {"1 connection, GET", 1, 1, OPERATION_GET, 5, {{"redis", 1.05, 1.3}}},
    {"200 connections, PUT", 200, 1, OPERATION_PUT, 5, {{"redis", 0.75, 1.0}}},
    {"200 connections, GET", 200, 1, OPERATION_GET, 5, {{"redis", 0.75, 1.0}}},
    {"1000 connections, PUT", 1000, 1, OPERATION_PUT, 5, {{"redis", 0.5, 0.7}}},
    {"1000 connections, GET", 1000, 1, OPERATION_GET, 5, {{"redis", 0.5, 0.7}}},
    {"pipeline 16, PUT", 50, 16, OPERATION_PUT, 5, {{"redis", 1.5, 2}, {"echo", 0.7, 0.85}}},
    {"pipeline 16, GET", 50, 16, OPERATION_GET, 5, {{"redis", 1.5, 2}, {"echo", 0.7, 0.85}}},
    {"pipeline 64, PUT", 50, 64, OPERATION_PUT, 5, {{"redis", 2.5, 3.5}, {"memcached-4", 3, 4}, {"echo", 0.5, 0.65}}},
    {"pipeline 64, GET", 50, 64, OPERATION_GET, 5, {{"redis", 2.5, 3.5}, {"memcached-4", 3, 4}, {"echo", 0.5, 0.65}}},
    {"4-PUT transaction in one send", 50, 1, OPERATION_TRANSACTION, 5, {{"redis", 0.9, 1.2}}},
    {"read, then write, 5 round trips", 50, 1, OPERATION_READ_WRITE, 5, {{"redis", 0.7, 0.9}}},
    {"read, then write, hauskv in 4 trips", 50, 1, OPERATION_READ_WRITE, 4, {{"redis", 0, 0}}},
};

#define SETTING_COUNT (sizeof settings / sizeof *settings)

static bool run_setting(const struct setting *setting, const struct contest_options *options,
                        struct contest *contest);
static void print_goals(const struct contest *contests);
static bool draw(const struct contest *contests, const char *folder);

bool goals_run(const struct contest_options *options, struct cJSON *list, const char *picture_folder)
{
    struct contest *contests = calloc(SETTING_COUNT, sizeof *contests);
    bool is_done = true;

    REQUIRE(contests != NULL);
    for (size_t i = 0; i < SETTING_COUNT && is_done; i++) {
        is_done = run_setting(&settings[i], options, &contests[i]);
        if (!is_done)
            break;
        report_contest(stdout, settings[i].name, &contests[i]);
        if (list != NULL)
            (void)cJSON_AddItemToArray(list, report_contest_json(settings[i].name, &contests[i]));
    }
    print_goals(contests);
    if (is_done && picture_folder != NULL)
        is_done = draw(contests, picture_folder);
    free(contests);
    return is_done;
}

/* An opponent that is not installed is left out, and its goal not measured. */
static bool run_setting(const struct setting *setting, const struct contest_options *options,
                        struct contest *contest)
{
    const struct server_kind *kinds[AGAINST_MAX + 1] = {server_kind_find("hauskv")};
    struct workload workload = workload_default;
    unsigned count = 1;

    for (unsigned i = 0; i < AGAINST_MAX && setting->against[i].name != NULL; i++) {
        const struct server_kind *kind = server_kind_find(setting->against[i].name);

        if (server_kind_is_there(kind))
            kinds[count++] = kind;
    }
    workload.connections = setting->connections;
    workload.depth = setting->depth;
    workload.weights[setting->operation] = 1;
    workload.trips = setting->trips;
    return contest_run(contest, &workload, kinds, count, options);
}

static void print_goal(const struct setting *setting, const struct opponent *opponent,
                       const struct contest *contest)
{
    const struct goal goal = {setting->name, opponent->name, opponent->at_least, opponent->aim, "x", false};
    unsigned other = contest_find(contest, opponent->name);
    struct spread spread = {0};

    if (other < contest->contender_count)
        spread = contest_ratio(contest, 0, other);
    report_goal(stdout, &goal, &spread, contest->contenders[0].has_huge_pages ? "huge pages" : "no huge pages");
}

static void print_goals(const struct contest *contests)
{
    unsigned starved = 0;

    for (size_t i = 0; i < SETTING_COUNT; i++)
        starved += contests[i].keeps_starved ? contests[i].discarded : 0;
    report_goal_head(stdout, starved);
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        for (unsigned j = 0; j < AGAINST_MAX && settings[i].against[j].name != NULL; j++) {
            if (settings[i].against[j].at_least > 0)
                print_goal(&settings[i], &settings[i].against[j], &contests[i]);
        }
    }
    printf("\n");
}

static bool draw(const struct contest *contests, const char *folder)
{
    struct picture picture = {
        .title = "Operations per second: hauskv over the other",
        .x_label = "",
        .y_label = "ratio, median of the rounds",
        .columns = {"redis", "memcached-4", "echo"},
        .is_by_name = true,
    };

    if (!picture_begin(&picture, folder, "goals"))
        return false;
    for (size_t i = 0; i < SETTING_COUNT; i++) {
        double values[PICTURE_COLUMNS_MAX];

        for (unsigned j = 0; picture.columns[j] != NULL; j++) {
            unsigned contender = contest_find(&contests[i], picture.columns[j]);

            values[j] = -1;
            if (contender < contests[i].contender_count)
                values[j] = contest_ratio(&contests[i], 0, contender).median;
        }
        picture_add(&picture, settings[i].name, values);
    }
    return picture_end(&picture);
}
