#include "schedules/scenario.h"

#include <stdio.h>
#include <string.h>

#include "platform/contract.h"

/* One line for each level. What is not offered is played on the reference model only. */
static const struct {
    const char *name;
    bool is_offered;
} levels[ISOLATION_COUNT] = {
    [ISOLATION_SERIALIZABLE] = {"SERIALIZABLE", true},
    [ISOLATION_READ_COMMITTED] = {"READ COMMITTED", true},
    [ISOLATION_LOCKING] = {"LOCKING", true},
};

const char *level_name(enum isolation level)
{
    return levels[level].name;
}

bool level_is_offered(enum isolation level)
{
    return levels[level].is_offered;
}

struct casting casting_of_all(enum isolation level)
{
    struct casting casting;

    for (unsigned i = 0; i < SCENARIO_SESSIONS_MAX; i++)
        casting.levels[i] = level;
    return casting;
}

/* --- lines --- */

bool step_is_death(const struct scenario_step *step)
{
    return strcmp(step->lines, "DIE") == 0;
}

unsigned step_lines(const struct scenario_step *step, enum isolation level, char *lines, size_t size)
{
    unsigned count = 0;
    size_t used = 0;

    for (const char *line = step->lines; *line != '\0'; count++) {
        size_t length = strcspn(line, "\n");
        bool takes_level = length == strlen("START") &&
                           (strncmp(line, "START", length) == 0 || strncmp(line, "BEGIN", length) == 0);

        used += (size_t)snprintf(lines + used, size - used, "%s%.*s%s%s", count > 0 ? "\n" : "", (int)length, line,
                                 takes_level ? " " : "", takes_level ? level_name(level) : "");
        REQUIRE(used < size);
        line += length + (line[length] == '\n');
    }
    return count;
}

bool scenario_may_wait(const struct scenario *scenario, const struct casting *casting)
{
    for (unsigned i = 0; i < scenario->session_count; i++) {
        const struct scenario_session *session = &scenario->sessions[i];

        if (casting->levels[i] == ISOLATION_LOCKING)
            return true;
        for (unsigned j = 0; j < session->step_count; j++) {
            if (strstr(session->steps[j].lines, "LOCKING") != NULL)
                return true;
        }
    }
    return false;
}

/* --- keys --- */

static bool has_key(const char *line)
{
    static const char *const verbs[] = {"PUT ", "GET ", "DEL ", "EXISTS "};

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (strncmp(line, verbs[i], strlen(verbs[i])) == 0)
            return true;
    }
    return false;
}

static bool add_key(struct scenario *scenario, const char *key, size_t size)
{
    for (unsigned i = 0; i < scenario->key_count; i++) {
        if (strlen(scenario->keys[i]) == size && memcmp(scenario->keys[i], key, size) == 0)
            return true;
    }
    if (scenario->key_count == SCENARIO_KEYS_MAX || size >= SCENARIO_NAME_BYTES)
        return false;
    memcpy(scenario->keys[scenario->key_count], key, size);
    scenario->keys[scenario->key_count][size] = '\0';
    scenario->key_count++;
    return true;
}

static bool add_keys_of(struct scenario *scenario, const char *lines)
{
    bool fits = true;

    for (const char *line = lines; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        const char *key = line + strcspn(line, " ") + 1;

        if (has_key(line))
            fits = add_key(scenario, key, strcspn(key, " \n")) && fits;
        line += length + (line[length] == '\n');
    }
    return fits;
}

bool scenario_find_keys(struct scenario *scenario)
{
    bool fits;

    scenario->key_count = 0;
    fits = add_keys_of(scenario, scenario->setup);
    for (unsigned i = 0; i < scenario->session_count; i++) {
        for (unsigned j = 0; j < scenario->sessions[i].step_count; j++)
            fits = add_keys_of(scenario, scenario->sessions[i].steps[j].lines) && fits;
    }
    for (unsigned i = 0; i < scenario->final_count; i++)
        fits = add_keys_of(scenario, scenario->finals[i].lines) && fits;
    return fits;
}

/* --- schedules --- */

void schedule_first(struct schedule *schedule, const struct scenario *scenario)
{
    schedule->turn_count = 0;
    for (unsigned i = 0; i < scenario->session_count; i++) {
        for (unsigned j = 0; j < scenario->sessions[i].step_count; j++) {
            REQUIRE(schedule->turn_count < SCHEDULE_TURNS_MAX);
            schedule->turns[schedule->turn_count++] = (struct turn){.session = (unsigned char)i};
        }
    }
}

static void turns_swap(struct turn *left, struct turn *right)
{
    struct turn kept = *left;

    *left = *right;
    *right = kept;
}

/* The usual next permutation of a multiset: raise the last turn that can be raised, the rest as small as possible. */
bool schedule_next(struct schedule *schedule)
{
    struct turn *turns = schedule->turns;
    unsigned count = schedule->turn_count;
    unsigned pivot = count < 2 ? 0 : count - 1;
    unsigned successor = count;

    while (pivot > 0 && turns[pivot - 1].session >= turns[pivot].session)
        pivot--;
    if (pivot == 0)
        return false;
    do
        successor--;
    while (turns[successor].session <= turns[pivot - 1].session);
    turns_swap(&turns[pivot - 1], &turns[successor]);
    for (unsigned left = pivot, right = count - 1; left < right; left++, right--)
        turns_swap(&turns[left], &turns[right]);
    return true;
}

void schedule_add_death(struct schedule *schedule, unsigned point, unsigned session)
{
    REQUIRE(point <= schedule->turn_count && schedule->turn_count < SCHEDULE_TURNS_MAX);
    memmove(schedule->turns + point + 1, schedule->turns + point,
            (schedule->turn_count - point) * sizeof(struct turn));
    schedule->turns[point] = (struct turn){.session = (unsigned char)session, .is_death = true};
    schedule->turn_count++;
}

void schedule_describe(const struct schedule *schedule, const struct scenario *scenario, char *text, size_t size)
{
    unsigned next[SCENARIO_SESSIONS_MAX] = {0};
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < schedule->turn_count && used < size; i++) {
        const struct turn *turn = &schedule->turns[i];
        const struct scenario_session *session = &scenario->sessions[turn->session];
        const char *step = turn->is_death ? "DIE" : session->steps[next[turn->session]++].name;

        used += (size_t)snprintf(text + used, size - used, "%s%s.%s", i > 0 ? " " : "", session->name, step);
    }
}
