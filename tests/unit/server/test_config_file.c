/* The configuration file: what it may say, and the number of the line that it may not. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_sources.h"

static struct server_config config;

#define LINE_BYTES_MAX 16448

static const char *bytes_say(const void *data, size_t size)
{
    static char reason[CONFIG_REASON_BYTES];

    config_init(&config);
    return config_read_text(&config, bytes_from(data, size), "a.conf", reason) ? "" : reason;
}

/* A file with this text, gone when the test ends. */
static char path_of_file[] = "/tmp/hauskv-test-config-XXXXXX";

static const char *a_file_with(const void *data, size_t size)
{
    int file = mkstemp(path_of_file);

    cr_assert(file != -1 && write(file, data, size) == (ssize_t)size && close(file) == 0);
    return path_of_file;
}

static void remove_file(void)
{
    (void)unlink(path_of_file);
}

static const char *read_says(const char *path)
{
    static char reason[CONFIG_REASON_BYTES];

    config_init(&config);
    return config_read_file(&config, path, reason) ? "" : reason;
}

Test(config_file, every_option_has_its_name)
{
    cr_assert_accepted(file_says(&config, "bind = 127.0.0.2\nport = 1\nunix = /s\ninsecure = yes\nname = n\n"
                                          "memory = 2m\nsegment-dir = /d\nsegment-on-disk = yes\nfresh = yes\n"
                                          "max-clients = 3\nmin-spare = 4\n"
                                          "max-spare = 5\nmax-command = 6k\nmax-reads = 7m\ntransaction-timeout = 7s\n"
                                          "idle-timeout = 8m\nwrite-timeout = 9h\nisolation = read-committed\n"
                                          "log-level = debug\ndiscard = yes\nload = /d\nlock-holder-timeout = 10s\n"
                                          "inspect = i\ndump = yes\nlock-timeout = 11s\nsnapshot-timeout = 12s\nframing = auto\n"
                                          "dialect = messages\n"));
    cr_assert_str_eq(config.addresses.text[0], "127.0.0.2");
    cr_assert_eq(config.ports.number[0], 1);
    cr_assert_str_eq(config.socket_paths.text[0], "/s");
    cr_assert(config.is_insecure);
    cr_assert_str_eq(config.name, "n");
    cr_assert_eq(config.memory_bytes, 2 << 20);
    cr_assert_str_eq(config.segment_directory, "/d");
    cr_assert(config.segment_may_be_on_disk);
    cr_assert(config.is_fresh);
    cr_assert_eq(config.clients_max, 3);
    cr_assert_eq(config.spare_workers_min, 4);
    cr_assert_eq(config.spare_workers_max, 5);
    cr_assert_eq(config.command_bytes_max, 6 << 10);
    cr_assert_eq(config.reads_bytes_max, 7 << 20);
    cr_assert_eq(config.transaction_timeout_ms, 7000);
    cr_assert_eq(config.idle_timeout_ms, 8 * 60000);
    cr_assert_eq(config.write_timeout_ms, 9 * 3600000);
    cr_assert_eq(config.isolation, ISOLATION_READ_COMMITTED);
    cr_assert_eq(config.log_level, DIAGNOSTIC_DEBUG);
    cr_assert(config.is_discard);
    cr_assert_str_eq(config.load_path, "/d");
    cr_assert_eq(config.lock_holder_timeout_ms, 10000);
    cr_assert_str_eq(config.inspect_name, "i");
    cr_assert(config.is_dump);
    cr_assert_eq(config.lock_timeout_ms, 11000);
    cr_assert_eq(config.snapshot_timeout_ms, 12000);
    cr_assert_eq(config.framing, FRAMING_AUTO);
    cr_assert_eq(config.dialect, DIALECT_MESSAGES);
    for (unsigned i = 0; i < CONFIG_CONFIG; i++) {
        cr_assert_eq(config.origins[i].source, CONFIG_FROM_FILE);
        cr_assert(config.origins[i].line >= 1 && config.origins[i].line <= 28);
    }
    cr_assert_eq(config.origins[CONFIG_MEMORY].line, 6);
}

Test(config_file, white_space_comments_and_blank_lines_mean_nothing)
{
    cr_assert_accepted(file_says(&config, "\xef\xbb\xbf# comment\r\n\r\n  ; comment = 1\n\t max-clients=5  ; five\r\n"
                                          "\f\nname:n\n   \n#[section]\nmemory\t:\t2m"));
    cr_assert_eq(config.clients_max, 5);
    cr_assert_str_eq(config.name, "n");
    cr_assert_eq(config.memory_bytes, 2 << 20);
    cr_assert_eq(config.origins[CONFIG_MEMORY].line, 9);
}

Test(config_file, an_empty_one_changes_nothing)
{
    struct server_config defaults;

    config_init(&defaults);
    cr_assert_accepted(bytes_say(NULL, 0));
    cr_assert_arr_eq(&config, &defaults, sizeof config);
    cr_assert_accepted(file_says(&config, "\n"));
    cr_assert_arr_eq(&config, &defaults, sizeof config);
}

Test(config_file, lists_repeat)
{
    cr_assert_accepted(file_says(&config, "port = 1\nname = n\nport = 2\nunix = /a\nunix = /b c\nbind = 127.0.0.1\n"));
    cr_assert_eq(config.ports.count, 2);
    cr_assert_eq(config.ports.number[0], 1);
    cr_assert_eq(config.ports.number[1], 2);
    cr_assert_eq(config.socket_paths.count, 2);
    cr_assert_str_eq(config.socket_paths.text[1], "/b c");
    cr_assert_eq(config.addresses.count, 1);
    cr_assert_reason(file_says(&config, "port = 1, 2\n"), "a.conf:1: port: '1, 2' is not a port");
}

Test(config_file, of_other_options_the_last_line_holds_but_all_must_be_valid)
{
    cr_assert_accepted(file_says(&config, "max-clients = 1\nmax-clients = 2\n"));
    cr_assert_eq(config.clients_max, 2);
    cr_assert_eq(config.origins[CONFIG_MAX_CLIENTS].line, 2);
    cr_assert_reason(file_says(&config, "max-clients = 0\nmax-clients = 2\n"),
                     "a.conf:1: max-clients: '0' is less than 1");
}

Test(config_file, an_indented_line_does_not_go_on_with_the_one_before)
{
    cr_assert_accepted(file_says(&config, "unix = /a\n  name = n\n"));
    cr_assert_eq(config.socket_paths.count, 1);
    cr_assert_str_eq(config.name, "n");
    cr_assert_reason(file_says(&config, "unix = /a\n  /b\n"), "a.conf:2: neither 'name = value' nor a comment");
}

Test(config_file, unknown_names_are_refused)
{
    cr_assert_reason(file_says(&config, "\n# x\nmax_clients = 1\n"), "a.conf:3: unknown name 'max_clients'");
    cr_assert_reason(file_says(&config, "Port = 1\n"), "a.conf:1: unknown name 'Port'");
    cr_assert_reason(file_says(&config, "--port = 1\n"), "a.conf:1: unknown name '--port'");
    cr_assert_reason(file_says(&config, "= 1\n"), "a.conf:1: unknown name ''");
    cr_assert_reason(file_says(&config, "po\x1brt = 1\n"), "a.conf:1: unknown name 'po\\x1brt'");
}

Test(config_file, what_only_the_command_line_can_ask_for_is_refused)
{
    cr_assert_reason(file_says(&config, "config = b.conf\n"), "a.conf:1: 'config' has no place in a file");
    cr_assert_reason(file_says(&config, "\nhelp = yes\n"), "a.conf:2: 'help' has no place in a file");
    cr_assert_reason(file_says(&config, "check-config = no\n"), "a.conf:1: 'check-config' has no place in a file");
    cr_assert_reason(file_says(&config, "print-config = no\n"), "a.conf:1: 'print-config' has no place in a file");
    cr_assert_reason(file_says(&config, "version = 1\n"), "a.conf:1: 'version' has no place in a file");
}

Test(config_file, bad_values_are_refused_with_their_line)
{
    cr_assert_reason(file_says(&config, "port = 1\nport = x\n"), "a.conf:2: port: 'x' is not a port");
    cr_assert_reason(file_says(&config, "memory =\n"), "a.conf:1: memory: the value is empty");
    cr_assert_reason(file_says(&config, "name = 'n'\n"),
                     "a.conf:1: name: ''n'' has other characters than letters, digits and . _ -");
    cr_assert_reason(file_says(&config, "max-clients = 5# five\n"),
                     "a.conf:1: max-clients: '5# five' is not a number");
    cr_assert_reason(file_says(&config, "max-clients = # five\n"), "a.conf:1: max-clients: the value is empty");
    cr_assert_reason(file_says(&config, "port = 1\nport = 2\nport = 1\n"), "a.conf:3: port: '1' is given twice");
    cr_assert_reason(file_says(&config, "port = 1\rport = 2\n"), "a.conf:1: port: '1\\x0dport = 2' is not a port");
}

Test(config_file, sections_are_refused)
{
    cr_assert_reason(file_says(&config, "port = 1\n [server]\nname = n\n"), "a.conf:2: a section: there are none");
    cr_assert_reason(file_says(&config, "[\n"), "a.conf:1: a section: there are none");
}

Test(config_file, other_lines_are_refused)
{
    cr_assert_reason(file_says(&config, "fresh\n"), "a.conf:1: neither 'name = value' nor a comment");
    cr_assert_reason(file_says(&config, "port 1"), "a.conf:1: neither 'name = value' nor a comment");
    cr_assert_reason(file_says(&config, "port ;= 1"), "a.conf:1: neither 'name = value' nor a comment");
}

Test(config_file, the_first_bad_line_is_named)
{
    cr_assert_reason(file_says(&config, "\nbad\nport = x\n"), "a.conf:2: neither 'name = value' nor a comment");
    cr_assert_reason(file_says(&config, "\nport = x\nbad\n"), "a.conf:2: port: 'x' is not a port");
    cr_assert_reason(file_says(&config, "bad\n[section]\n"), "a.conf:1: neither 'name = value' nor a comment");
    cr_assert_reason(file_says(&config, "[section]\nbad\n"), "a.conf:1: a section: there are none");
    cr_assert_reason(file_says(&config, "port = x\nname = /\n"), "a.conf:1: port: 'x' is not a port");
}

Test(config_file, a_NUL_is_refused)
{
    cr_assert_reason(bytes_say("port = 1\n\0\n", 11), "a.conf:2: a NUL byte");
    cr_assert_reason(bytes_say("port = 1\0x", 10), "a.conf:1: a NUL byte");
    cr_assert_reason(bytes_say("#\0", 2), "a.conf:1: a NUL byte");
}

Test(config_file, a_line_has_a_longest_length)
{
    char text[LINE_BYTES_MAX + 8];

    memset(text, ' ', sizeof text);
    memcpy(text, "port = 1 ;", 10);
    text[LINE_BYTES_MAX - 1] = 'x';
    text[LINE_BYTES_MAX] = '\n';
    cr_assert_accepted(bytes_say(text, LINE_BYTES_MAX + 1));
    cr_assert_eq(config.ports.number[0], 1);
    cr_assert_accepted(bytes_say(text, LINE_BYTES_MAX));
    text[LINE_BYTES_MAX] = 'x';
    cr_assert_reason(bytes_say(text, LINE_BYTES_MAX + 1), "a.conf:1: longer than 16448 bytes");
    text[0] = '#';
    cr_assert_reason(bytes_say(text, LINE_BYTES_MAX + 1), "a.conf:1: longer than 16448 bytes");
}

Test(config_file, the_tail_of_a_long_line_is_never_taken_for_a_line)
{
    static char text[LINE_BYTES_MAX + 64];

    memset(text, '#', LINE_BYTES_MAX + 3);
    (void)snprintf(text + LINE_BYTES_MAX + 3, 32, "\nport = 5\n");
    cr_assert_reason(file_says(&config, text), "a.conf:1: longer than 16448 bytes");
}

Test(config_file, behind_white_space_both_signs_begin_a_comment)
{
    cr_assert_accepted(file_says(&config, "memory = 2m # comment\nmax-clients = 5\t;five ; five\nname = n #\nfresh = yes ;no"));
    cr_assert_eq(config.memory_bytes, 2 << 20);
    cr_assert_eq(config.clients_max, 5);
    cr_assert_str_eq(config.name, "n");
    cr_assert(config.is_fresh);
    cr_assert_reason(file_says(&config, "fresh = yes;no\n"), "a.conf:1: fresh: 'yes;no' is none of yes, no, on, off, true, false, 1, 0");
}

/* Whether it is the path's or a comment's, only who wrote it knows. */
Test(config_file, a_path_with_what_may_be_a_comment_is_refused)
{
    static const char *const lines[] = {"unix = /tmp/a ;b\n", "unix = /tmp/a # socket\n", "unix = ;b\n", "unix = # none\n",
                                        "segment-dir = /d\t;\n", "load = a #b\n"};

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *reason = file_says(&config, lines[i]);

        cr_assert(strncmp(reason, "a.conf:1: ", 10) == 0, "%s", lines[i]);
        cr_assert_not_null(strstr(reason, "is # or ; of the path, or a comment?"), "%s: %s", lines[i], reason);
    }
    cr_assert_accepted(file_says(&config, "unix = /tmp/a;b#c\n"));
    cr_assert_str_eq(config.socket_paths.text[0], "/tmp/a;b#c");
}

Test(config_file, what_stands_in_quotes_is_the_value)
{
    cr_assert_accepted(file_says(&config, "unix = \"/tmp/a ;b\"\nunix = \" \\\"\\\\#\\xc3\\xa9 \" # a socket\n"
                                          "memory = \"2m\"\nname = \"n\" ;\n"));
    cr_assert_str_eq(config.socket_paths.text[0], "/tmp/a ;b");
    cr_assert_str_eq(config.socket_paths.text[1], " \"\\#\xc3\xa9 ");
    cr_assert_eq(config.memory_bytes, 2 << 20);
    cr_assert_str_eq(config.name, "n");
    cr_assert_reason(file_says(&config, "memory = \"2m ;\"\n"),
                     "a.conf:1: memory: '2m ;' is not a size such as 4096, 64k, 256m or 1g");
    cr_assert_reason(file_says(&config, "unix = \"\"\n"), "a.conf:1: unix: the value is empty");
    cr_assert_reason(file_says(&config, "unix = \"/a\n"), "a.conf:1: unix: the closing double quote is missing");
    cr_assert_reason(file_says(&config, "unix = \"\n"), "a.conf:1: unix: the closing double quote is missing");
    cr_assert_reason(file_says(&config, "unix = \"/a\"b\n"), "a.conf:1: unix: something stands behind the closing double quote");
    cr_assert_reason(file_says(&config, "unix = \"/a\" b\n"), "a.conf:1: unix: something stands behind the closing double quote");
    cr_assert_reason(file_says(&config, "unix = \"/a\"#b\n"), "a.conf:1: unix: something stands behind the closing double quote");
}

Test(config_file, escapes_in_quotes_are_few)
{
    static const char *const values[] = {"\\n", "\\x", "\\x1", "\\x0g", "\\X41", "\\x00", "\\", "\\xAB"};
    char line[64];

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        (void)snprintf(line, sizeof line, "unix = \"/a%s", values[i]);
        cr_assert_not_null(strstr(file_says(&config, line), "in double quotes, a backslash stands before"), "%s", line);
    }
    cr_assert_reason(file_says(&config, "unix = \"/a\\x0a\"\n"), "a.conf:1: unix: '/a\\x0a' has control characters");
}

Test(config_file, every_longest_path_fits_a_line)
{
    char text[CONFIG_DIRECTORY_BYTES + 32];
    size_t size = (size_t)snprintf(text, sizeof text, "segment-dir = /");

    memset(text + size, 'd', CONFIG_DIRECTORY_BYTES - 2);
    cr_assert_accepted(bytes_say(text, size + CONFIG_DIRECTORY_BYTES - 2));
    cr_assert_eq(strlen(config.segment_directory), CONFIG_DIRECTORY_BYTES - 1);
}

Test(config_file, hostile_bytes_are_refused_or_mean_nothing)
{
    unsigned seed = 20251120;

    fprintf(stderr, "seed %u\n", seed);
    srandom(seed);
    for (unsigned round = 0; round < 20000; round++) {
        static const char alphabet[] = "port=1:;#[]\n\r \t\\\"'\0\xff\xef\xbb\xbfunixbd";
        char text[64];
        size_t size = (size_t)random() % sizeof text;
        const char *reason;

        for (size_t i = 0; i < size; i++)
            text[i] = alphabet[(size_t)random() % (sizeof alphabet - 1)];
        reason = bytes_say(text, size);
        cr_assert(reason[0] != '\0' || config_is_valid(&config));
        cr_assert(strchr(reason, '\n') == NULL);
    }
}

Test(config_file, a_file_is_read, .fini = remove_file)
{
    cr_assert_accepted(read_says(a_file_with("max-clients = 7\n", 16)));
    cr_assert_eq(config.clients_max, 7);
}

Test(config_file, a_bad_line_of_it_is_named_with_its_path, .fini = remove_file)
{
    char expected[128];

    (void)a_file_with("\nmax-clients = x\n", 17);
    (void)snprintf(expected, sizeof expected, "%s:2: max-clients: 'x' is not a number", path_of_file);
    cr_assert_reason(read_says(path_of_file), expected);
}

Test(config_file, one_of_a_mebibyte_is_read_and_no_larger_one, .fini = remove_file)
{
    char *text = malloc(CONFIG_FILE_BYTES_MAX);
    char expected[128];

    cr_assert_not_null(text);
    memset(text, '\n', CONFIG_FILE_BYTES_MAX);
    cr_assert_accepted(read_says(a_file_with(text, CONFIG_FILE_BYTES_MAX)));
    cr_assert_eq(truncate(path_of_file, (off_t)CONFIG_FILE_BYTES_MAX + 1), 0);
    (void)snprintf(expected, sizeof expected, "%s: a configuration file of more than 1048576 bytes", path_of_file);
    cr_assert_reason(read_says(path_of_file), expected);
    free(text);
}

Test(config_file, a_symbolic_link_is_followed, .fini = remove_file)
{
    char link[sizeof path_of_file + 5];

    (void)a_file_with("max-clients = 7\n", 16);
    (void)snprintf(link, sizeof link, "%s.link", path_of_file);
    cr_assert_eq(symlink(path_of_file, link), 0);
    cr_assert_accepted(read_says(link));
    cr_assert_eq(config.clients_max, 7);
    cr_assert_eq(unlink(link), 0);
}

Test(config_file, a_pipe_is_read_to_its_end)
{
    char path[64];
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(write(ends[1], "max-clients = 7\n", 16), 16);
    cr_assert_eq(close(ends[1]), 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", ends[0]);
    cr_assert_accepted(read_says(path));
    cr_assert_eq(config.clients_max, 7);
}

Test(config_file, one_that_cannot_be_read_is_refused)
{
    cr_assert_reason(read_says("/nonexistent/a.conf"),
                     "/nonexistent/a.conf: cannot be read: No such file or directory");
    cr_assert_reason(read_says("/"), "/: cannot be read: Is a directory");
    cr_assert_reason(read_says("/dev/zero"), "/dev/zero: a configuration file of more than 1048576 bytes");
}
