#include "schedules/specification.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 512u

/* A file being read. */
struct reading {
    struct specification *specification;
    struct scenario_session *session; /* whose steps come; NULL: none yet */
    bool has_level[ISOLATION_COUNT];
    char wrong[128]; /* empty: nothing so far */
};

static bool complain(struct reading *reading, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool complain(struct reading *reading, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reading->wrong, sizeof reading->wrong, format, arguments);
    va_end(arguments);
    return false;
}

/* --- texts --- */

static char *trimmed(char *text)
{
    size_t size;

    text += strspn(text, " \t");
    size = strlen(text);
    while (size > 0 && strchr(" \t\n", text[size - 1]) != NULL)
        text[--size] = '\0';
    return text;
}

/* If text begins with word: what follows, trimmed; else NULL. */
static char *behind(char *text, const char *word)
{
    size_t size = strlen(word);

    return strncmp(text, word, size) == 0 ? trimmed(text + size) : NULL;
}

static bool copy_text(struct reading *reading, char *target, size_t size, const char *source)
{
    if (strlen(source) >= size)
        return complain(reading, "too long: %.64s", source);
    memcpy(target, source, strlen(source) + 1);
    return true;
}

/* Lines of one turn are separated by " | " in the file. */
static bool copy_lines(struct reading *reading, char *target, size_t size, const char *source)
{
    char *place = target;

    if (!copy_text(reading, target, size, source))
        return false;
    while ((place = strstr(place, " | ")) != NULL) {
        *place = '\n';
        memmove(place + 1, place + 3, strlen(place + 3) + 1);
    }
    return true;
}

/* --- steps --- */

static bool read_step(struct reading *reading, struct scenario_step *steps, unsigned *count, unsigned limit, char *line)
{
    char *colon = strchr(line, ':');
    struct scenario_step *step = &steps[*count];

    if (colon == NULL)
        return complain(reading, "neither a step nor anything else: %.64s", line);
    if (*count == limit)
        return complain(reading, "too many steps");
    *colon = '\0';
    (*count)++;
    return copy_text(reading, step->name, sizeof step->name, trimmed(line)) &&
           copy_lines(reading, step->lines, sizeof step->lines, trimmed(colon + 1));
}

static bool read_session(struct reading *reading, const char *name)
{
    struct scenario *scenario = &reading->specification->scenario;

    if (scenario->session_count == SCENARIO_SESSIONS_MAX)
        return complain(reading, "too many sessions");
    reading->session = &scenario->sessions[scenario->session_count++];
    return copy_text(reading, reading->session->name, sizeof reading->session->name, name);
}

static bool read_setup(struct reading *reading, const char *line)
{
    struct scenario *scenario = &reading->specification->scenario;
    size_t used = strlen(scenario->setup);

    if (used > 0)
        scenario->setup[used++] = '\n';
    return copy_lines(reading, scenario->setup + used, sizeof scenario->setup - used, line);
}

/* --- names --- */

static bool find_step(const struct scenario_step *steps, unsigned count, const char *name, unsigned *step)
{
    for (*step = 0; *step < count; (*step)++) {
        if (strcmp(steps[*step].name, name) == 0)
            return true;
    }
    return false;
}

/* "a.read": a step of a session; "final.n": a final. */
static bool find_name(const struct scenario *scenario, const char *text, struct reply_name *name)
{
    const char *dot = strchr(text, '.');

    if (dot == NULL)
        return false;
    for (name->session = 0; name->session < scenario->session_count; name->session++) {
        const struct scenario_session *session = &scenario->sessions[name->session];

        if (strncmp(session->name, text, (size_t)(dot - text)) == 0 && session->name[dot - text] == '\0')
            return find_step(session->steps, session->step_count, dot + 1, &name->step);
    }
    return strncmp(text, "final.", 6) == 0 && find_step(scenario->finals, scenario->final_count, dot + 1, &name->step);
}

/* --- outcomes --- */

static bool read_term(struct reading *reading, char *text, bool begins_alternative)
{
    struct specification *specification = reading->specification;
    struct term *term = &specification->terms[specification->term_count];
    char *relation = strstr(text, "==");

    if (specification->term_count == SPECIFICATION_TERMS_MAX)
        return complain(reading, "too many terms");
    term->is_equal = relation != NULL;
    if (relation == NULL)
        relation = strstr(text, "!=");
    if (relation == NULL)
        return complain(reading, "neither == nor != in %.64s", text);
    *relation = '\0';
    if (!find_name(&specification->scenario, trimmed(text), &term->left))
        return complain(reading, "no such step: %.64s", trimmed(text));
    term->begins_alternative = begins_alternative;
    term->has_name = find_name(&specification->scenario, trimmed(relation + 2), &term->right);
    specification->term_count++;
    return copy_text(reading, term->word, sizeof term->word, trimmed(relation + 2));
}

/* Terms joined by &&; several such lines are alternatives. */
static bool read_outcome(struct reading *reading, char *text)
{
    bool begins_alternative = true;

    while (text != NULL) {
        char *next = strstr(text, "&&");

        if (next != NULL)
            *next = '\0';
        if (!read_term(reading, text, begins_alternative))
            return false;
        begins_alternative = false;
        text = next == NULL ? NULL : next + 2;
    }
    return true;
}

static int words_compare(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* The keys of a SCAN, which come in any order: sorted, with commas; "none". */
static void name_keys(const char *keys, char word[SPECIFICATION_VALUE_BYTES])
{
    char copy[ACT_REPLY_BYTES];
    char *names[SCENARIO_KEYS_MAX] = {NULL};
    size_t count = 0;
    size_t used = 0;
    char *rest = NULL;

    (void)snprintf(copy, sizeof copy, "%.*s", (int)strcspn(keys, "]"), keys);
    for (char *name = strtok_r(copy, "\", ", &rest); name != NULL; name = strtok_r(NULL, "\", ", &rest)) {
        REQUIRE(count < SCENARIO_KEYS_MAX);
        names[count++] = name;
    }
    qsort(names, count, sizeof names[0], words_compare);
    (void)snprintf(word, SPECIFICATION_VALUE_BYTES, "none");
    for (size_t i = 0; i < count && used < SPECIFICATION_VALUE_BYTES; i++)
        used += (size_t)snprintf(word + used, SPECIFICATION_VALUE_BYTES - used, "%s%s", i > 0 ? "," : "", names[i]);
}

static void name_reply(const char *reply, char word[SPECIFICATION_VALUE_BYTES])
{
    static const char result[] = "\"result\": ";
    static const char keys[] = "\"keys\": [";
    static const char code[] = "\"code\": \"";
    const char *last = strrchr(reply, '\n');
    const char *line = last == NULL ? reply : last + 1;
    const char *value;

    if (*line == '\0')
        (void)snprintf(word, SPECIFICATION_VALUE_BYTES, "nothing");
    else if ((value = strstr(line, code)) != NULL)
        (void)snprintf(word, SPECIFICATION_VALUE_BYTES, "%.*s", (int)strcspn(value + strlen(code), "\""),
                       value + strlen(code));
    else if ((value = strstr(line, keys)) != NULL)
        name_keys(value + strlen(keys), word);
    else if ((value = strstr(line, result)) != NULL)
        (void)snprintf(word, SPECIFICATION_VALUE_BYTES, "%.*s",
                       (int)strcspn(value + strlen(result) + (value[strlen(result)] == '"'), "\"}"),
                       value + strlen(result) + (value[strlen(result)] == '"'));
    else
        (void)snprintf(word, SPECIFICATION_VALUE_BYTES, "ok");
}

static bool term_holds(const struct term *term, const struct performance *performance)
{
    char left[SPECIFICATION_VALUE_BYTES];
    char right[SPECIFICATION_VALUE_BYTES];

    name_reply(performance_reply(performance, term->left.session, term->left.step), left);
    memcpy(right, term->word, sizeof right);
    if (term->has_name)
        name_reply(performance_reply(performance, term->right.session, term->right.step), right);
    return (strcmp(left, right) == 0) == term->is_equal;
}

bool specification_shows(const struct specification *specification, const struct performance *performance)
{
    bool holds = false;

    for (unsigned i = 0; i < specification->term_count; i++) {
        const struct term *term = &specification->terms[i];

        if (term->begins_alternative && holds)
            return true;
        holds = (term->begins_alternative || holds) && term_holds(term, performance);
    }
    return holds;
}

/* --- the rest of a file --- */

static bool read_permutation(struct reading *reading, char *text)
{
    struct specification *specification = reading->specification;
    struct schedule *schedule = &specification->permutations[specification->permutation_count];
    unsigned next[SCENARIO_SESSIONS_MAX] = {0};
    char *rest = NULL;

    if (strcmp(text, "all") == 0) {
        specification->has_all_permutations = true;
        return true;
    }
    if (specification->permutation_count++ == SPECIFICATION_PERMUTATIONS_MAX)
        return complain(reading, "too many permutations");
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        struct reply_name name;

        if (!find_name(&specification->scenario, word, &name) ||
            name.session == specification->scenario.session_count || name.step != next[name.session])
            return complain(reading, "not the next step of a session: %.64s", word);
        next[name.session]++;
        schedule->turns[schedule->turn_count++] = (struct turn){.session = (unsigned char)name.session};
    }
    return true;
}

/* True: the line is one of a level. */
static bool read_level(struct reading *reading, char *line)
{
    for (unsigned level = 0; level < ISOLATION_COUNT; level++) {
        const char *name = level_name((enum isolation)level);
        const char *verdict = behind(line, name);

        if (verdict == NULL || *verdict != ':')
            continue;
        verdict += 1 + strspn(verdict + 1, " ");
        reading->specification->is_allowed[level] = strcmp(verdict, "allowed") == 0;
        reading->has_level[level] = true;
        if (!reading->specification->is_allowed[level] && strcmp(verdict, "forbidden") != 0)
            (void)complain(reading, "neither allowed nor forbidden: %.64s", verdict);
        return true;
    }
    return false;
}

static bool read_line(struct reading *reading, char *line)
{
    struct scenario *scenario = &reading->specification->scenario;
    char *rest;

    if (*line == '\0' || *line == '#')
        return true;
    if (read_level(reading, line))
        return reading->wrong[0] == '\0';
    if ((rest = behind(line, "anomaly:")) != NULL)
        return copy_text(reading, scenario->title, sizeof scenario->title, rest);
    if ((rest = behind(line, "setup:")) != NULL)
        return read_setup(reading, rest);
    if ((rest = behind(line, "session ")) != NULL)
        return read_session(reading, rest);
    if ((rest = behind(line, "final ")) != NULL)
        return read_step(reading, scenario->finals, &scenario->final_count, SCENARIO_FINALS_MAX, rest);
    if ((rest = behind(line, "permutations:")) != NULL)
        return read_permutation(reading, rest);
    if ((rest = behind(line, "shown:")) != NULL)
        return read_outcome(reading, rest);
    if (reading->session == NULL)
        return complain(reading, "a step in front of the first session");
    return read_step(reading, reading->session->steps, &reading->session->step_count, SCENARIO_STEPS_MAX, line);
}

static bool is_whole(struct reading *reading)
{
    const struct specification *specification = reading->specification;

    for (unsigned level = 0; level < ISOLATION_COUNT; level++) {
        if (!reading->has_level[level])
            return complain(reading, "nothing is said of %s", level_name((enum isolation)level));
    }
    if (!specification->has_all_permutations && specification->permutation_count == 0)
        return complain(reading, "no permutations");
    if (specification->term_count == 0)
        return complain(reading, "nothing says when it shows");
    return scenario_find_keys(&reading->specification->scenario) || complain(reading, "too many keys");
}

bool specification_read(struct specification *specification, const char *path,
                        char reason[SPECIFICATION_REASON_BYTES])
{
    struct reading reading = {.specification = specification};
    char line[LINE_BYTES];
    unsigned number = 0;
    FILE *file = fopen(path, "re");

    memset(specification, 0, sizeof(*specification));
    if (file == NULL) {
        (void)snprintf(reason, SPECIFICATION_REASON_BYTES, "%.100s: it cannot be read", path);
        return false;
    }
    while (reading.wrong[0] == '\0' && fgets(line, sizeof line, file) != NULL) {
        number++;
        (void)read_line(&reading, trimmed(line));
    }
    (void)fclose(file);
    if (reading.wrong[0] == '\0')
        (void)is_whole(&reading);
    (void)snprintf(reason, SPECIFICATION_REASON_BYTES, "%.100s, line %u: %s", path, number, reading.wrong);
    return reading.wrong[0] == '\0';
}

/* --- playing --- */

static unsigned waits_of(const struct forecast *forecast)
{
    unsigned waits = 0;

    for (unsigned i = 0; i < forecast->act_count; i++)
        waits += !forecast->acts[i].is_death && forecast->acts[i].answered_by != i;
    return waits;
}

static void fail(const struct specification *specification, const struct schedule *schedule, const char *what,
                 struct specification_result *result)
{
    char order[512];

    schedule_describe(schedule, &specification->scenario, order, sizeof order);
    if (result->is_as_promised)
        (void)snprintf(result->reason, sizeof result->reason, "%s: %s", order, what);
    result->is_as_promised = false;
}

static void play_permutation(const struct specification *specification, struct performance *performance,
                             enum isolation level, const struct schedule *schedule,
                             struct specification_result *result)
{
    struct casting casting = casting_of_all(level);
    bool shows;

    switch (performance_play(performance, &specification->scenario, &casting, schedule)) {
    case PERFORMANCE_IMPOSSIBLE:
        result->impossible++;
        return;
    case PERFORMANCE_DIFFERS:
        fail(specification, schedule, performance->reason, result);
        result->differing++;
        break;
    case PERFORMANCE_AGREES:
    default:
        break;
    }
    shows = specification_shows(specification, performance);
    result->schedules++;
    result->shown += shows;
    result->waits += waits_of(&performance->forecast);
    if (shows && !specification->is_allowed[level])
        fail(specification, schedule, "the anomaly shows, but is forbidden", result);
}

static bool may_go_on(const struct performance *performance, bool goes_on, const struct specification_result *result)
{
    return result->is_as_promised || (goes_on && performance->is_complete);
}

void specification_play(const struct specification *specification, struct performance *performance,
                        enum isolation level, bool goes_on, struct specification_result *result)
{
    struct schedule schedule;

    memset(result, 0, sizeof(*result));
    result->is_as_promised = true;
    for (unsigned i = 0; may_go_on(performance, goes_on, result) && i < specification->permutation_count; i++)
        play_permutation(specification, performance, level, &specification->permutations[i], result);
    schedule_first(&schedule, &specification->scenario);
    if (specification->has_all_permutations) {
        do
            play_permutation(specification, performance, level, &schedule, result);
        while (may_go_on(performance, goes_on, result) && schedule_next(&schedule));
    }
    if (result->is_as_promised && specification->is_allowed[level] && result->shown == 0) {
        (void)snprintf(result->reason, sizeof result->reason, "the anomaly is allowed, but never shows");
        result->is_as_promised = false;
    }
}
