/* Sentences for the tests of config: what a source says, and what comes of it. */
#ifndef HAUSKV_TESTS_UNIT_SERVER_CONFIG_SOURCES_H
#define HAUSKV_TESTS_UNIT_SERVER_CONFIG_SOURCES_H

#include <criterion/criterion.h>

#include "server/config.h"

/* Lists of words: flags(&config, FLAGS("--port", "1")). */
#define FLAGS(...) ((char *[]){"hauskv-server", __VA_ARGS__, NULL})
#define NO_FLAGS ((char *[]){"hauskv-server", NULL})
#define ENVIRONMENT(...) ((char *[]){__VA_ARGS__, NULL})
#define NO_ENVIRONMENT ((char *[]){NULL})

static inline int count_words(char *const *words)
{
    int count = 0;

    while (words[count] != NULL)
        count++;
    return count;
}

/* On top of the defaults. The reason, or "" if there was nothing to refuse. */
static inline const char *flags_say(struct server_config *config, char *const flags[])
{
    static char reason[CONFIG_REASON_BYTES];

    config_init(config);
    return config_read_arguments(config, count_words(flags), flags, reason) ? "" : reason;
}

static inline const char *environment_says(struct server_config *config, char *const environment[])
{
    static char reason[CONFIG_REASON_BYTES];

    config_init(config);
    return config_read_environment(config, environment, reason) ? "" : reason;
}

static inline const char *file_says(struct server_config *config, const char *text)
{
    static char reason[CONFIG_REASON_BYTES];

    config_init(config);
    return config_read_text(config, bytes_from_string(text), "a.conf", reason) ? "" : reason;
}

/* The reason that a source gives, in one line. */
#define cr_assert_reason(said, expected) cr_assert_str_eq((said), (expected))
#define cr_assert_accepted(said) cr_assert_str_eq((said), "")

#endif
