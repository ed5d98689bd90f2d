#include "schedules/performance.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING "(nothing)"

struct performance *performance_create_without_stage(const struct store_fixture *order_of)
{
    struct performance *performance = calloc(1, sizeof(*performance));

    REQUIRE(performance != NULL);
    performance->reference = reference_create(order_of);
    return performance;
}

struct performance *performance_create(struct stage *stage)
{
    struct performance *performance = performance_create_without_stage(stage_store(stage));

    performance->stage = stage;
    return performance;
}

void performance_destroy(struct performance *performance)
{
    reference_destroy(performance->reference);
    free(performance);
}

/* --- telling --- */

static void tell(struct performance *performance, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void tell(struct performance *performance, const char *format, ...)
{
    size_t used = strlen(performance->reason);
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(performance->reason + used, PERFORMANCE_REASON_BYTES - used, format, arguments);
    va_end(arguments);
}

static void tell_text(struct performance *performance, const char *text)
{
    for (; *text != '\0'; text++)
        tell(performance, *text == '\n' ? " | " : "%c", *text);
}

/* Everything up to an act, as it was forecast and as it was. */
static enum performance_verdict differ(struct performance *performance, const struct scenario *scenario,
                                       unsigned last, const char *what)
{
    const struct forecast *forecast = &performance->forecast;

    performance->reason[0] = '\0';
    tell(performance, "%s", what);
    for (unsigned i = 0; i <= last; i++) {
        const struct act *act = &forecast->acts[i];
        bool is_observer = act->actor == scenario->session_count;

        tell(performance, "\n  %s: ", is_observer ? "observer" : scenario->sessions[act->actor].name);
        tell_text(performance, act->is_death ? "(dies)" : act->lines);
        if (act->is_death)
            continue;
        tell(performance, " -> ");
        tell_text(performance, performance->replies[i][0] == '\0' ? NOTHING : performance->replies[i]);
        if (act->answered_by != i)
            tell(performance, "; was to wait");
        if (strcmp(act->reply, performance->replies[i]) != 0) {
            tell(performance, "; was to be ");
            tell_text(performance, act->answered_by == ACT_NEVER ? NOTHING : act->reply);
        }
    }
    return PERFORMANCE_DIFFERS;
}

/* --- comparing --- */

static size_t last_line_offset(const char *reply)
{
    const char *last = strrchr(reply, '\n');

    return last == NULL ? 0 : (size_t)(last + 1 - reply);
}

/* Where several things have changed a conflict may name any of them. */
static bool conflict_agrees(const struct scenario *scenario, const struct act *act, const char *reply)
{
    static const char begin[] = "{\"status\": \"Error\", \"mesg\": \"";
    size_t offset = last_line_offset(reply);
    const char *line = reply + offset;

    if (strstr(line, "\"code\": \"conflict\"") == NULL || offset != last_line_offset(act->reply) ||
        strncmp(reply, act->reply, offset) != 0 || strncmp(line, begin, strlen(begin)) != 0)
        return false;
    line += strlen(begin);
    for (unsigned i = 0; i < scenario->key_count; i++) {
        char name[SCENARIO_NAME_BYTES + 16];
        int size = snprintf(name, sizeof name, "The key %s has ", scenario->keys[i]);

        if ((act->conflict_keys >> i & 1) != 0 && strncmp(line, name, (size_t)size) == 0)
            return true;
    }
    return (act->conflict_keys >> scenario->key_count & 1) != 0 && strncmp(line, "Keys that were ", 15) == 0;
}

/* The first act whose reply is not as forecast; act_count: there is none. */
static unsigned first_difference(const struct performance *performance, const struct scenario *scenario)
{
    const struct forecast *forecast = &performance->forecast;

    for (unsigned i = 0; i < forecast->act_count; i++) {
        const struct act *act = &forecast->acts[i];
        const char *reply = performance->replies[i];

        if (act->answered_by != ACT_NEVER && strcmp(act->reply, reply) != 0 && !conflict_agrees(scenario, act, reply))
            return i;
    }
    return forecast->act_count;
}

/* --- playing --- */

static bool take_reply(struct performance *performance, unsigned number)
{
    const struct act *act = &performance->forecast.acts[number];

    return stage_receive(performance->stage, act->actor, act->line_count, performance->replies[number]);
}

/* The replies that the last act brings besides its own. NULL, or what is wrong. */
static const char *take_late_replies(struct performance *performance, unsigned now)
{
    const struct forecast *forecast = &performance->forecast;

    for (unsigned i = 0; i < now; i++) {
        if (forecast->acts[i].answered_by == now && !take_reply(performance, i))
            return "who waited was not served";
    }
    return NULL;
}

/* Whoever waits still does. Acts from before a death of their session wait no longer. */
static const char *check_silence(struct performance *performance, unsigned now)
{
    const struct forecast *forecast = &performance->forecast;
    bool is_dead[ACTORS_MAX] = {false};

    for (unsigned i = now + 1; i-- > 0;) {
        const struct act *act = &forecast->acts[i];
        bool waits = act->answered_by > now && !act->is_death && !is_dead[act->actor];

        if (waits && !stage_is_silent(performance->stage, act->actor, act->line_count)) {
            (void)take_reply(performance, i);
            return i == now ? "it did not wait" : "it did not wait long enough";
        }
        is_dead[act->actor] = is_dead[act->actor] || act->is_death;
    }
    return NULL;
}

static const char *do_act(struct performance *performance, unsigned now)
{
    const struct act *act = &performance->forecast.acts[now];
    const char *wrong = NULL;

    if (act->is_death)
        stage_kill(performance->stage, act->actor);
    else
        stage_send(performance->stage, act->actor, act->lines);
    if (act->answered_by == now && !take_reply(performance, now))
        wrong = "no reply came";
    if (wrong == NULL && performance->forecast.has_waits)
        wrong = take_late_replies(performance, now);
    if (wrong == NULL && performance->forecast.has_waits)
        wrong = check_silence(performance, now);
    return wrong;
}

/* Where several could go on at the same time, the replies must be those of one order or another. */
static bool agrees_with_another_order(struct performance *performance, const struct scenario *scenario,
                                      const struct casting *casting, const struct schedule *schedule)
{
    unsigned count = performance->forecast.choice_count;
    bool agrees = false;

    for (unsigned choices = 1; !agrees && choices < 1u << count; choices++)
        agrees = reference_forecast(performance->reference, scenario, casting, schedule, choices,
                                    &performance->forecast) &&
                 first_difference(performance, scenario) == performance->forecast.act_count;
    if (!agrees && count > 0)
        (void)reference_forecast(performance->reference, scenario, casting, schedule, 0, &performance->forecast);
    return agrees;
}

static void believe_forecast(struct performance *performance)
{
    for (unsigned i = 0; i < performance->forecast.act_count; i++)
        memcpy(performance->replies[i], performance->forecast.acts[i].reply,
               strlen(performance->forecast.acts[i].reply) + 1);
}

enum performance_verdict performance_play(struct performance *performance, const struct scenario *scenario,
                                          const struct casting *casting, const struct schedule *schedule)
{
    struct forecast *forecast = &performance->forecast;
    unsigned difference;

    if (!reference_forecast(performance->reference, scenario, casting, schedule, 0, forecast))
        return PERFORMANCE_IMPOSSIBLE;
    if (performance->stage == NULL) {
        believe_forecast(performance);
        return PERFORMANCE_AGREES;
    }
    stage_rewind(performance->stage);
    performance->is_complete = false;
    for (unsigned i = 0; i < forecast->act_count; i++)
        performance->replies[i][0] = '\0';
    for (unsigned i = 0; i < forecast->act_count; i++) {
        const char *wrong = do_act(performance, i);

        if (wrong != NULL)
            return differ(performance, scenario, i, wrong);
    }
    performance->is_complete = true;
    difference = first_difference(performance, scenario);
    if (difference == forecast->act_count || agrees_with_another_order(performance, scenario, casting, schedule))
        return PERFORMANCE_AGREES;
    return differ(performance, scenario, difference, "the reply differs");
}

const char *performance_reply(const struct performance *performance, unsigned session, unsigned step)
{
    const struct forecast *forecast = &performance->forecast;

    for (unsigned i = 0; i < forecast->act_count; i++) {
        if (forecast->acts[i].actor == session && forecast->acts[i].step == (int)step)
            return performance->replies[i];
    }
    return "";
}
