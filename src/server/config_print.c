/* The configuration as a file, and --help. */
#include <string.h>

#include "config_internal.h"

static void print_option(const struct server_config *config, enum config_option option, FILE *stream);
static void print_origin(const struct server_config *config, enum config_option option, FILE *stream);
static void print_usage(const struct option_description *option, FILE *stream);

void config_print(const struct server_config *config, FILE *stream)
{
    (void)fputs("# " SERVER_PROGRAM " " SERVER_VERSION ". What nobody has set is a comment.\n", stream);
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        enum config_option option = (enum config_option)i;

        if (option_describe(option)->kind != KIND_WISH)
            print_option(config, option, stream);
    }
}

/* A file does not name another one, so --config never is more than a comment. */
static void print_option(const struct server_config *config, enum config_option option, FILE *stream)
{
    bool is_comment = config_is_default(config, option) || option == CONFIG_CONFIG;
    const char *name = option_describe(option)->name;
    unsigned count = option_value_count(config, option);

    print_origin(config, option, stream);
    if (count == 0)
        (void)fprintf(stream, "#%s =\n", name);
    for (unsigned i = 0; i < count; i++) {
        char value[VALUE_TEXT_BYTES];

        option_value(config, option, i, value);
        if (is_comment)
            (void)fprintf(stream, "#%s = %s\n", name, quote(value).text);
        else
            config_line_print(name, value, stream);
    }
}

static void print_origin(const struct server_config *config, enum config_option option, FILE *stream)
{
    const struct config_origin *origin = &config->origins[option];
    char variable[VARIABLE_BYTES];

    switch (origin->source) {
    case CONFIG_FROM_DEFAULT:
        (void)fputs("\n# the default\n", stream);
        break;
    case CONFIG_FROM_FILE:
        (void)fprintf(stream, "\n# from %s, line %u\n", quote(config->file_path).text, origin->line);
        break;
    case CONFIG_FROM_ENVIRONMENT:
        option_variable(option, variable);
        (void)fprintf(stream, "\n# from the environment, %s\n", variable);
        break;
    case CONFIG_FROM_FLAG:
        (void)fprintf(stream, "\n# from the command line, --%s\n", option_describe(option)->name);
        break;
    }
}

void config_print_help(FILE *stream)
{
    (void)fputs("Usage: " SERVER_PROGRAM " [OPTION]...\n"
                "An in-memory key/value server with real transactions, for nc, telnet and programs.\n\n",
                stream);
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++)
        print_usage(option_describe((enum config_option)i), stream);
    (void)fputs("\nA SIZE is in bytes, or with k, m or g; a TIME in seconds, or with ms, s, m or h; 0 is off.\n"
                "A flag wins over the environment, that over the file. The environment has HAUSKV_MAX_CLIENTS\n"
                "for --max-clients and so on, lists with commas; the file `max-clients = 1000`, lists in several\n"
                "lines. What one of them says of a list replaces what the lower one said.\n",
                stream);
}

static void print_usage(const struct option_description *option, FILE *stream)
{
    char flag[40];
    bool has_default = option->default_text[0] != '\0' && option->kind != KIND_SWITCH;

    (void)snprintf(flag, sizeof flag, "--%s%s%s", option->name, option->argument[0] == '\0' ? "" : " ",
                   option->argument);
    (void)fprintf(stream, "  %-27s %s%s%s%s\n", flag, option->help, has_default ? " [" : "",
                  has_default ? option->default_text : "", has_default ? "]" : "");
}
