/* Between the files of config: one option and one value of it, as text. */
#ifndef HAUSKV_SERVER_CONFIG_INTERNAL_H
#define HAUSKV_SERVER_CONFIG_INTERNAL_H

#include "server/config.h"

/* What an option's member is, and how its text reads. */
enum option_kind {
    KIND_ADDRESSES,
    KIND_PORTS,
    KIND_SOCKET_PATHS,
    KIND_SWITCH,
    KIND_NAME,
    KIND_DIRECTORY,
    KIND_FILE_PATH,
    KIND_SIZE,
    KIND_NUMBER,
    KIND_DURATION,
    KIND_ISOLATION,
    KIND_FRAMING,
    KIND_DIALECT,
    KIND_LOG_LEVEL,
    KIND_WISH /* a switch that only the command line has */
};

/* A line of option.def. */
struct option_description {
    const char *name;
    enum option_kind kind;
    uint64_t minimum;
    uint64_t maximum;
    const char *default_text;
    const char *argument;
    const char *help;
};

const struct option_description *option_describe(enum config_option option);

/* The option of that name; false, and *option untouched, where there is none. */
bool option_find(struct bytes name, enum config_option *option);

/* Its environment variable: HAUSKV_MAX_CLIENTS. */
#define VARIABLE_BYTES 40u
void option_variable(enum config_option option, char variable[VARIABLE_BYTES]);

/* The option of that variable; false, and *option untouched, where there is none. */
bool option_of_variable(struct bytes name, enum config_option *option);

/* What is wrong with a value; the caller puts the source before it. */
#define COMPLAINT_BYTES 400u

/* Gives the option a value, a list one more. False, and complaint filled, if it cannot have it. */
bool option_set(struct server_config *config, enum config_option option, struct config_origin origin, const char *text,
                char complaint[COMPLAINT_BYTES]);

/* The same with commas between the members of a list; any other option takes commas as they are. */
bool option_set_all(struct server_config *config, enum config_option option, struct config_origin origin,
                    const char *text, char complaint[COMPLAINT_BYTES]);

/* How many values it has: a list's members; of any other option 1 or, where it has none, 0. */
unsigned option_value_count(const struct server_config *config, enum config_option option);

/* Value number i, as option_set reads it. */
#define VALUE_TEXT_BYTES CONFIG_FILE_PATH_BYTES
void option_value(const struct server_config *config, enum config_option option, unsigned i,
                  char text[VALUE_TEXT_BYTES]);

/* Whether its values are paths, which may have any bytes but control characters. */
bool option_is_path(enum config_option option);

/* A line of a file. A path whose every byte is written as four fits one. */
#define CONFIG_LINE_BYTES_MAX ((size_t)16448)
#define CONFIG_LINE_BYTES_MAX_TEXT "16448"
struct config_line {
    struct bytes name;  /* empty: there is nothing but white space or a comment */
    struct bytes value; /* without white space at its ends, with its quotes and with a comment behind it */
};

/* Cuts it into its parts, which lie in it. NULL, or what is wrong with it. */
const char *config_line_cut(struct bytes line, struct config_line *parts);

/* What such a value stands for: without a comment, without quotes and their escapes. NULL, or what is wrong with it. */
const char *config_line_value(struct bytes text, bool is_path, char value[CONFIG_LINE_BYTES_MAX + 1]);

/* A line that reads as that name and value. */
void config_line_print(const char *name, const char *value, FILE *stream);

struct unit {
    const char *name;
    uint64_t factor;
};

/* From the largest to the smallest that is printed, then others; the end has no name. */
extern const struct unit size_units[];
extern const struct unit duration_units[];
extern const struct unit plain_units[];

/* Digits and one of the units; see config_parse_size. */
bool unit_parse(const char *text, const struct unit *units, uint64_t *number);

/* With the largest unit of which it is a multiple. */
#define UNIT_TEXT_BYTES 24u
void unit_print(uint64_t number, const struct unit *units, char text[UNIT_TEXT_BYTES]);

/* Refuses variables HAUSKV_* that belong to no option, and to nobody else who is known (config.h). */
bool config_refuse_strangers(char *const environment[], char reason[CONFIG_REASON_BYTES]);

/* Somebody's text for a message or a comment: cut to fit, with control characters and what is not UTF-8 as \xNN. It is
 * used in place: quote(text).text */
struct quoted {
    char text[132];
};
struct quoted quote(const char *text);
struct quoted quote_bytes(struct bytes bytes);

/* Fills in the reason and returns false. */
bool config_refuse(char reason[CONFIG_REASON_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
