/* Variables that look like options and are none. */
#include "config_internal.h"

#define PREFIX "HAUSKV_"
#define NAME_BYTES_MAX 64u
/* So many letters may be wrong, missing or too many in what is taken for a misspelt option. */
#define TYPOS_MAX 2u

/* What stands behind the prefix; * at the end is for anything. */
static const char *const others[] = {
    "SERVER", "SCHEDULES", "SPECIFICATION", "TEST_*", "CRASH_*", /* of this project's tests */
    "SERVICE_*", "PORT_*", "ENV_*",                              /* of containers */
};

static bool is_of_others(struct bytes name);
static bool find_nearest(struct bytes name, char nearest[VARIABLE_BYTES]);
static unsigned distance(struct bytes left, struct bytes right);

bool config_refuse_strangers(char *const environment[], char reason[CONFIG_REASON_BYTES])
{
    for (unsigned i = 0; environment[i] != NULL; i++) {
        const char *entry = environment[i];
        const char *equals = strchr(entry, '=');
        struct bytes name = bytes_from(entry, equals == NULL ? 0 : (size_t)(equals - entry));
        char nearest[VARIABLE_BYTES];
        enum config_option option;

        if (!bytes_start_with(name, bytes_from_string(PREFIX)) || equals[1] == '\0' || option_of_variable(name, &option) || is_of_others(name))
            continue;
        if (find_nearest(name, nearest))
            return config_refuse(reason, "%s belongs to no option: is it meant to be %s?", quote_bytes(name).text, nearest);
        return config_refuse(reason, "%s belongs to no option", quote_bytes(name).text);
    }
    return true;
}

static bool is_of_others(struct bytes name)
{
    struct bytes rest = bytes_slice(name, sizeof PREFIX - 1, name.size - (sizeof PREFIX - 1));

    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct bytes pattern = bytes_from_string(others[i]);
        bool is_prefix = pattern.data[pattern.size - 1] == '*';

        if (is_prefix ? bytes_start_with(rest, bytes_slice(pattern, 0, pattern.size - 1)) : bytes_equal(rest, pattern))
            return true;
    }
    return false;
}

/* False: none is near. */
static bool find_nearest(struct bytes name, char nearest[VARIABLE_BYTES])
{
    unsigned smallest = TYPOS_MAX + 1;

    for (unsigned i = 0; i < CONFIG_OPTION_COUNT && name.size <= NAME_BYTES_MAX; i++) {
        char variable[VARIABLE_BYTES];
        unsigned typos;

        if (option_describe((enum config_option)i)->kind == KIND_WISH)
            continue;
        option_variable((enum config_option)i, variable);
        typos = distance(name, bytes_from_string(variable));
        if (typos < smallest) {
            smallest = typos;
            (void)snprintf(nearest, VARIABLE_BYTES, "%s", variable);
        }
    }
    return smallest <= TYPOS_MAX;
}

static unsigned least(unsigned left, unsigned right)
{
    return left < right ? left : right;
}

/* Levenshtein's, row by row. left has NAME_BYTES_MAX bytes at most. */
static unsigned distance(struct bytes left, struct bytes right)
{
    unsigned row[NAME_BYTES_MAX + 1];

    for (unsigned i = 0; i <= left.size; i++)
        row[i] = i;
    for (size_t j = 0; j < right.size; j++) {
        unsigned diagonal = row[0]++;

        for (size_t i = 0; i < left.size; i++) {
            unsigned replaced = diagonal + (left.data[i] != right.data[j]);

            diagonal = row[i + 1];
            row[i + 1] = least(replaced, least(row[i], diagonal) + 1);
        }
    }
    return row[left.size];
}
