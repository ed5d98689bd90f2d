/* The configuration file. inih tells names, values and comments apart. What it
 * would take for something else than the operator meant never reaches it: lines
 * that it would cut, sections, and white space at the beginning, which would
 * make a line go on with the value of the line before. */
#include <errno.h>
#include <fcntl.h>
#include <ini.h>
#include <stdlib.h>

#include "platform/file.h"

#include "config_internal.h"

struct reading {
    struct server_config *config;
    const char *file_name;
    struct bytes rest; /* what inih was not given yet */
    unsigned line;     /* the one that it was given last, from 1 */
    bool has_failed;   /* on that line */
    char *reason;
};

static bool read_whole_file(const char *path, unsigned char *buffer, size_t *size, char reason[CONFIG_REASON_BYTES]);
static char *next_line(char *line, int line_bytes, void *context);
static struct bytes take_line(struct reading *reading);
static struct bytes without_edges(struct bytes text);
static bool is_white(unsigned char character);
static int take_value(void *context, const char *section, const char *name, const char *value);
static void refuse_line(struct reading *reading, unsigned line, const char *complaint);

bool config_read_file(struct server_config *config, const char *path, char reason[CONFIG_REASON_BYTES])
{
    unsigned char *buffer = malloc(CONFIG_FILE_BYTES_MAX + 1);
    size_t size = 0;
    bool is_read;

    if (buffer == NULL)
        return config_refuse(reason, "out of memory");
    is_read = read_whole_file(path, buffer, &size, reason) &&
              config_read_text(config, bytes_from(buffer, size), path, reason);
    free(buffer);
    return is_read;
}

bool config_read_text(struct server_config *config, struct bytes text, const char *file_name,
                      char reason[CONFIG_REASON_BYTES])
{
    struct bytes byte_order_mark = bytes_from_string("\xef\xbb\xbf");
    struct reading reading = {.config = config, .file_name = file_name, .rest = text, .reason = reason};
    int bad_line;

    if (bytes_start_with(text, byte_order_mark))
        reading.rest = bytes_slice(text, byte_order_mark.size, text.size - byte_order_mark.size);
    bad_line = ini_parse_stream(next_line, &reading, take_value, &reading);
    if (bad_line < 0)
        return config_refuse(reason, "out of memory");
    /* The first bad line; inih goes on behind one that it does not understand, and another may have failed since. */
    if (bad_line > 0 && (!reading.has_failed || (unsigned)bad_line < reading.line))
        refuse_line(&reading, (unsigned)bad_line, "neither 'name = value' nor a comment");
    return !reading.has_failed;
}

/* Not file_open: a configuration file may well be a symbolic link, and a pipe is waited for. */
static bool read_whole_file(const char *path, unsigned char *buffer, size_t *size, char reason[CONFIG_REASON_BYTES])
{
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int error = file == -1 ? errno : file_read(file, buffer, CONFIG_FILE_BYTES_MAX + 1, size);

    (void)file_close(&file);
    if (error != 0)
        return config_refuse(reason, "%s: cannot be read: %s", quote(path).text, strerror(error));
    if (*size > CONFIG_FILE_BYTES_MAX)
        return config_refuse(reason, "%s: a configuration file of more than %zu bytes", quote(path).text,
                             CONFIG_FILE_BYTES_MAX);
    return true;
}

/* Gives inih the next line, or with NULL the end. It takes a buffer that is full for a line that was cut. */
static char *next_line(char *line, int line_bytes, void *context)
{
    struct reading *reading = context;
    size_t line_bytes_max = (size_t)line_bytes - 2;
    struct bytes given;
    char complaint[64];

    if (reading->has_failed || reading->rest.size == 0)
        return NULL;
    given = without_edges(take_line(reading));
    line[0] = '\0';
    if (given.size == 0)
        return line;
    if (given.size > line_bytes_max) {
        (void)snprintf(complaint, sizeof complaint, "longer than %zu bytes", line_bytes_max);
        refuse_line(reading, reading->line, complaint);
    } else if (memchr(given.data, '\0', given.size) != NULL) {
        refuse_line(reading, reading->line, "a NUL byte");
    } else if (given.data[0] == '[') {
        refuse_line(reading, reading->line, "a section: there are none");
    } else if (given.data[0] != '#' && given.data[0] != ';') {
        memcpy(line, given.data, given.size);
        line[given.size] = '\0';
    }
    return reading->has_failed ? NULL : line;
}

static struct bytes take_line(struct reading *reading)
{
    struct bytes rest = reading->rest;
    const unsigned char *end = memchr(rest.data, '\n', rest.size);
    size_t size = end == NULL ? rest.size : (size_t)(end - rest.data);
    size_t taken = end == NULL ? size : size + 1;

    reading->line++;
    reading->rest = bytes_slice(rest, taken, rest.size - taken);
    return bytes_slice(rest, 0, size);
}

static struct bytes without_edges(struct bytes text)
{
    while (text.size > 0 && is_white(text.data[0]))
        text = bytes_slice(text, 1, text.size - 1);
    while (text.size > 0 && is_white(text.data[text.size - 1]))
        text.size--;
    return text;
}

/* isspace(3), whatever the locale. */
static bool is_white(unsigned char character)
{
    return character == ' ' || (character >= '\t' && character <= '\r');
}

/* For inih: a name and its value. 0 makes the line a bad one. */
static int take_value(void *context, const char *section, const char *name, const char *value)
{
    struct reading *reading = context;
    struct config_origin origin = {.source = CONFIG_FROM_FILE, .line = reading->line};
    char complaint[COMPLAINT_BYTES];
    char named_complaint[CONFIG_REASON_BYTES];
    enum config_option option;

    INVARIANT(section[0] == '\0');
    if (reading->has_failed)
        return 0;
    if (!option_find(bytes_from_string(name), &option))
        (void)snprintf(named_complaint, sizeof named_complaint, "unknown name '%s'", quote(name).text);
    else if (option == CONFIG_CONFIG || option_describe(option)->kind == KIND_WISH)
        (void)snprintf(named_complaint, sizeof named_complaint, "'%s' has no place in a file", name);
    else if (!option_set(reading->config, option, origin, value, complaint))
        (void)snprintf(named_complaint, sizeof named_complaint, "%s: %s", name, complaint);
    else
        return 1;
    refuse_line(reading, reading->line, named_complaint);
    return 0;
}

static void refuse_line(struct reading *reading, unsigned line, const char *complaint)
{
    reading->has_failed = true;
    config_refuse(reading->reason, "%s:%u: %s", quote(reading->file_name).text, line, complaint);
}
