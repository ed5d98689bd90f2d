#include "schedules/triple.h"

#include <stdio.h>
#include <string.h>

#define PERMUTATIONS 6u

static const struct {
    const char *word;
    const char *line;    /* without the value of a PUT */
    enum command mirror; /* x and y change their names */
} commands[COMMAND_TOTAL] = {
    [COMMAND_START] = {"S", "START", COMMAND_START},
    [COMMAND_COMMIT] = {"C", "COMMIT", COMMAND_COMMIT},
    [COMMAND_ROLLBACK] = {"R", "ROLLBACK", COMMAND_ROLLBACK},
    [COMMAND_GET_X] = {"Gx", "GET x", COMMAND_GET_Y},
    [COMMAND_GET_Y] = {"Gy", "GET y", COMMAND_GET_X},
    [COMMAND_PUT_X] = {"Px", "PUT x", COMMAND_PUT_Y},
    [COMMAND_PUT_Y] = {"Py", "PUT y", COMMAND_PUT_X},
    [COMMAND_DEL_X] = {"Dx", "DEL x", COMMAND_DEL_Y},
    [COMMAND_DEL_Y] = {"Dy", "DEL y", COMMAND_DEL_X},
    [COMMAND_EXISTS_X] = {"Ex", "EXISTS x", COMMAND_EXISTS_Y},
    [COMMAND_EXISTS_Y] = {"Ey", "EXISTS y", COMMAND_EXISTS_X},
    [COMMAND_COUNT_ALL] = {"N", "COUNT", COMMAND_COUNT_ALL},
    [COMMAND_SCAN_ALL] = {"L", "SCAN 0", COMMAND_SCAN_ALL},
};

static const unsigned char permutations[PERMUTATIONS][TRIPLE_SESSIONS] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

/* --- the committed ones --- */

static unsigned char command_of(const char *word, size_t size)
{
    unsigned command = 0;

    while (command < COMMAND_TOTAL &&
           (strlen(commands[command].word) != size || strncmp(commands[command].word, word, size) != 0))
        command++;
    REQUIRE(command < COMMAND_TOTAL);
    return (unsigned char)command;
}

static void script_read(unsigned char script[SCRIPT_COMMANDS], const char *text)
{
    for (unsigned i = 0; i < SCRIPT_COMMANDS; i++) {
        size_t size = strcspn(text, " ");

        script[i] = command_of(text, size);
        text += size + (text[size] == ' ');
    }
    REQUIRE(*text == '\0');
}

unsigned committed_triples(struct committed_triple triples[COMMITTED_TRIPLES_MAX])
{
    static const struct {
        const char *name;
        bool has_keys;
        const char *scripts[TRIPLE_SESSIONS];
    } texts[] = {
#define TRIPLE(name, has_keys, a, b, c) {(name), (has_keys), {(a), (b), (c)}},
#include "schedules/triples.def"
#undef TRIPLE
    };
    unsigned count = (unsigned)(sizeof texts / sizeof texts[0]);

    REQUIRE(count <= COMMITTED_TRIPLES_MAX);
    for (unsigned i = 0; i < count; i++) {
        triples[i].name = texts[i].name;
        triples[i].triple.has_keys = texts[i].has_keys;
        for (unsigned j = 0; j < TRIPLE_SESSIONS; j++)
            script_read(triples[i].triple.scripts[j], texts[i].scripts[j]);
    }
    return count;
}

/* --- the rest --- */

static unsigned char choose_data(struct store_random *random)
{
    static const unsigned char usual[] = {COMMAND_GET_X, COMMAND_GET_Y, COMMAND_PUT_X, COMMAND_PUT_Y};

    if (!store_random_one_in(random, 3))
        return usual[store_random_below(random, sizeof usual)];
    return (unsigned char)(COMMAND_DEL_X + store_random_below(random, COMMAND_TOTAL - COMMAND_DEL_X));
}

static void script_choose(unsigned char script[SCRIPT_COMMANDS], struct store_random *random)
{
    uint64_t shape = store_random_below(random, 20);

    for (unsigned i = 0; i < SCRIPT_COMMANDS; i++)
        script[i] = choose_data(random);
    if (shape < 14) { /* a transaction */
        script[0] = COMMAND_START;
        script[3] = shape < 12 ? COMMAND_COMMIT : COMMAND_ROLLBACK;
    } else if (shape < 16) { /* and a single command, before or after it */
        script[shape == 14 ? 0 : 1] = COMMAND_START;
        script[shape == 14 ? 2 : 3] = COMMAND_COMMIT;
    } else if (shape < 18) { /* anything */
        for (unsigned i = 0; i < SCRIPT_COMMANDS; i++)
            script[i] = (unsigned char)store_random_below(random, COMMAND_TOTAL);
    }
}

void triple_choose(struct triple *triple, struct store_random *random)
{
    triple->has_keys = store_random_one_in(random, 2);
    for (unsigned i = 0; i < TRIPLE_SESSIONS; i++)
        script_choose(triple->scripts[i], random);
}

/* --- which are the same --- */

/* Session permutation[i] gets the script of session i. */
static struct triple triple_renamed(const struct triple *triple, const unsigned char *permutation, bool is_mirrored)
{
    struct triple renamed = *triple;

    for (unsigned i = 0; i < TRIPLE_SESSIONS; i++) {
        for (unsigned j = 0; j < SCRIPT_COMMANDS; j++) {
            unsigned char command = triple->scripts[i][j];

            renamed.scripts[permutation[i]][j] =
                is_mirrored ? (unsigned char)commands[command].mirror : command;
        }
    }
    return renamed;
}

static int triples_compare(const struct triple *left, const struct triple *right)
{
    if (left->has_keys != right->has_keys)
        return left->has_keys ? 1 : -1;
    return memcmp(left->scripts, right->scripts, sizeof left->scripts);
}

bool triples_are_equal(const struct triple *left, const struct triple *right)
{
    return triples_compare(left, right) == 0;
}

struct triple triple_canonical(const struct triple *triple)
{
    struct triple first = *triple;

    for (unsigned i = 0; i < 2 * PERMUTATIONS; i++) {
        struct triple renamed = triple_renamed(triple, permutations[i / 2], i % 2 == 1);

        if (triples_compare(&renamed, &first) < 0)
            first = renamed;
    }
    return first;
}

void triple_symmetries(const struct triple *triple, struct symmetries *symmetries)
{
    symmetries->count = 0;
    for (unsigned i = 0; i < 2 * PERMUTATIONS; i++) {
        struct triple renamed = triple_renamed(triple, permutations[i / 2], i % 2 == 1);

        if (triples_are_equal(&renamed, triple))
            memcpy(symmetries->session[symmetries->count++], permutations[i / 2], TRIPLE_SESSIONS);
    }
}

bool schedule_is_first_of_its_kind(const struct schedule *schedule, const struct symmetries *symmetries)
{
    for (unsigned i = 1; i < symmetries->count; i++) {
        unsigned turn = 0;

        while (turn < schedule->turn_count &&
               symmetries->session[i][schedule->turns[turn].session] == schedule->turns[turn].session)
            turn++;
        if (turn < schedule->turn_count &&
            symmetries->session[i][schedule->turns[turn].session] < schedule->turns[turn].session)
            return false;
    }
    return true;
}

/* --- as scenarios --- */

static void step_make(struct scenario_step *step, unsigned session, unsigned number, unsigned char command)
{
    bool has_value = command == COMMAND_PUT_X || command == COMMAND_PUT_Y;

    (void)snprintf(step->name, sizeof step->name, "%u", number + 1);
    if (has_value)
        (void)snprintf(step->lines, sizeof step->lines, "%s %c%u", commands[command].line, 'a' + (int)session,
                       number + 1);
    else
        (void)snprintf(step->lines, sizeof step->lines, "%s", commands[command].line);
}

void triple_scenario(const struct triple *triple, struct scenario *scenario)
{
    bool found;

    memset(scenario, 0, sizeof(*scenario));
    triple_describe(triple, scenario->title, sizeof scenario->title);
    if (triple->has_keys)
        (void)snprintf(scenario->setup, sizeof scenario->setup, "PUT x 0\nPUT y 0");
    scenario->session_count = TRIPLE_SESSIONS;
    for (unsigned i = 0; i < TRIPLE_SESSIONS; i++) {
        struct scenario_session *session = &scenario->sessions[i];

        session->name[0] = (char)('a' + (int)i);
        session->step_count = SCRIPT_COMMANDS;
        for (unsigned j = 0; j < SCRIPT_COMMANDS; j++)
            step_make(&session->steps[j], i, j, triple->scripts[i][j]);
    }
    scenario->final_count = 1;
    (void)snprintf(scenario->finals[0].lines, sizeof scenario->finals[0].lines, "GET x\nGET y\nCOUNT");
    found = scenario_find_keys(scenario);
    REQUIRE(found);
}

void schedule_choose(struct schedule *schedule, const struct scenario *scenario, struct store_random *random)
{
    schedule_first(schedule, scenario);
    for (unsigned i = schedule->turn_count; i > 1; i--) {
        unsigned other = (unsigned)store_random_below(random, i);
        struct turn kept = schedule->turns[i - 1];

        schedule->turns[i - 1] = schedule->turns[other];
        schedule->turns[other] = kept;
    }
}

void triple_describe(const struct triple *triple, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s:", triple->has_keys ? "x and y" : "nothing");

    for (unsigned i = 0; i < TRIPLE_SESSIONS; i++) {
        for (unsigned j = 0; j < SCRIPT_COMMANDS && used < size; j++)
            used += (size_t)snprintf(text + used, size - used, "%s%s", j == 0 && i > 0 ? " | " : " ",
                                     commands[triple->scripts[i][j]].word);
    }
}
