/* The configuration file, line by line. What a line says stands in config_line.c. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "platform/file.h"

#include "config_internal.h"

struct reading {
    struct server_config *config;
    const char *file_name;
    struct bytes rest; /* what was not read yet */
    unsigned line;     /* the one that was read last, from 1 */
};

static bool read_whole_file(const char *path, unsigned char *buffer, size_t *size, char reason[CONFIG_REASON_BYTES]);
static struct bytes take_line(struct reading *reading);
static bool read_line(const struct reading *reading, struct bytes line, char reason[CONFIG_REASON_BYTES]);
static bool take_value(const struct reading *reading, const struct config_line *line, char reason[CONFIG_REASON_BYTES]);
static bool refuse_line(const struct reading *reading, const char *complaint, char reason[CONFIG_REASON_BYTES]);

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
    struct reading reading = {.config = config, .file_name = file_name, .rest = text};

    if (bytes_start_with(text, byte_order_mark))
        reading.rest = bytes_slice(text, byte_order_mark.size, text.size - byte_order_mark.size);
    while (reading.rest.size > 0) {
        struct bytes line = take_line(&reading);

        if (!read_line(&reading, line, reason))
            return false;
    }
    return true;
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

static bool read_line(const struct reading *reading, struct bytes line, char reason[CONFIG_REASON_BYTES])
{
    struct config_line parts;
    const char *complaint = config_line_cut(line, &parts);

    if (complaint != NULL)
        return refuse_line(reading, complaint, reason);
    return parts.name.size == 0 || take_value(reading, &parts, reason);
}

static bool take_value(const struct reading *reading, const struct config_line *line, char reason[CONFIG_REASON_BYTES])
{
    const struct config_origin origin = {.source = CONFIG_FROM_FILE, .line = reading->line};
    char complaint[COMPLAINT_BYTES];
    char named_complaint[CONFIG_REASON_BYTES];
    char value[CONFIG_LINE_BYTES_MAX + 1];
    const struct option_description *description;
    const char *unreadable;
    enum config_option option;

    if (!option_find(line->name, &option)) {
        (void)snprintf(named_complaint, sizeof named_complaint, "unknown name '%s'", quote_bytes(line->name).text);
        return refuse_line(reading, named_complaint, reason);
    }
    description = option_describe(option);
    unreadable = config_line_value(line->value, option_is_path(option), value);
    if (option == CONFIG_CONFIG || description->kind == KIND_WISH)
        (void)snprintf(named_complaint, sizeof named_complaint, "'%s' has no place in a file", description->name);
    else if (unreadable != NULL)
        (void)snprintf(named_complaint, sizeof named_complaint, "%s: %s", description->name, unreadable);
    else if (!option_set(reading->config, option, origin, value, complaint))
        (void)snprintf(named_complaint, sizeof named_complaint, "%s: %s", description->name, complaint);
    else
        return true;
    return refuse_line(reading, named_complaint, reason);
}

static bool refuse_line(const struct reading *reading, const char *complaint, char reason[CONFIG_REASON_BYTES])
{
    return config_refuse(reason, "%s:%u: %s", quote(reading->file_name).text, reading->line, complaint);
}
