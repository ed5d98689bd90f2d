/* One value at a time: what each option takes, and its exact words for what it does not. */
#include "config_sources.h"

static struct server_config config;

static bool size_is(const char *text, uint64_t expected)
{
    uint64_t size_bytes;

    return config_parse_size(text, &size_bytes) && size_bytes == expected;
}

static bool is_no_size(const char *text)
{
    uint64_t size_bytes = 42;

    return !config_parse_size(text, &size_bytes) && size_bytes == 42;
}

static bool duration_is(const char *text, uint64_t expected_ms)
{
    uint64_t duration_ms;

    return config_parse_duration(text, &duration_ms) && duration_ms == expected_ms;
}

static bool is_no_duration(const char *text)
{
    uint64_t duration_ms = 42;

    return !config_parse_duration(text, &duration_ms) && duration_ms == 42;
}

/* The reason for a flag with this value; "" if it is taken. */
static const char *flag_says(const char *name, const char *value)
{
    char word[8192];

    (void)snprintf(word, sizeof word, "--%s=%s", name, value);
    return flags_say(&config, FLAGS(word));
}

Test(config_value, sizes_are_bytes_or_take_a_unit_of_1024)
{
    cr_assert(size_is("0", 0));
    cr_assert(size_is("4096", 4096));
    cr_assert(size_is("1k", 1024));
    cr_assert(size_is("1K", 1024));
    cr_assert(size_is("256m", UINT64_C(256) << 20));
    cr_assert(size_is("256M", UINT64_C(256) << 20));
    cr_assert(size_is("64g", UINT64_C(64) << 30));
    cr_assert(size_is("64G", UINT64_C(64) << 30));
    cr_assert(size_is("18446744073709551615", UINT64_MAX));
}

Test(config_value, sizes_too_large_for_64_bits_are_the_largest)
{
    cr_assert(size_is("18446744073709551616", UINT64_MAX));
    cr_assert(size_is("99999999999999999999999999999999", UINT64_MAX));
    cr_assert(size_is("18014398509481983k", UINT64_C(18014398509481983) << 10));
    cr_assert(size_is("18014398509481984k", UINT64_MAX));
    cr_assert(size_is("17179869184g", UINT64_MAX));
}

Test(config_value, anything_else_is_no_size)
{
    static const char *const texts[] = {"",   "k",   "1kb",  "1KiB", "1t",  "1.5g", "-1",  "+1", " 1",
                                        "1 ", "1 k", "0x10", "1e3",  "010", "00",   "1kk", "1,000", "1k\n"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert(is_no_size(texts[i]), "'%s'", texts[i]);
}

Test(config_value, durations_are_seconds_or_take_a_unit)
{
    cr_assert(duration_is("0", 0));
    cr_assert(duration_is("0s", 0));
    cr_assert(duration_is("5", 5000));
    cr_assert(duration_is("250ms", 250));
    cr_assert(duration_is("60s", 60000));
    cr_assert(duration_is("5m", 300000));
    cr_assert(duration_is("2h", 7200000));
    cr_assert(duration_is("18446744073709551615ms", UINT64_MAX));
    cr_assert(duration_is("18446744073709552s", UINT64_MAX));
    cr_assert(duration_is("99999999999999999999h", UINT64_MAX));
}

Test(config_value, anything_else_is_no_duration)
{
    static const char *const texts[] = {"",    "s",   "ms",  "1S",  "1M",  "1d",  "1.5s",
                                        "-1s", "+1s", " 1s", "1 s", "01s", "1sm", "1us"};

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        cr_assert(is_no_duration(texts[i]), "'%s'", texts[i]);
}

Test(config_value, a_size_has_limits_that_are_named_with_a_unit)
{
    cr_assert_accepted(flag_says("memory", "1m"));
    cr_assert_eq(config.memory_bytes, (size_t)1 << 20);
    cr_assert_accepted(flag_says("memory", "64g"));
    cr_assert_eq(config.memory_bytes, (size_t)64 << 30);
    cr_assert_reason(flag_says("memory", "1023k"), "--memory: '1023k' is less than 1m");
    cr_assert_reason(flag_says("memory", "300"), "--memory: '300' is less than 1m");
    cr_assert_reason(flag_says("memory", "65g"), "--memory: '65g' is more than 64g");
    cr_assert_reason(flag_says("memory", "99999999999999999999"), "--memory: '99999999999999999999' is more than 64g");
    cr_assert_reason(flag_says("memory", "0"), "--memory: '0' is less than 1m");
    cr_assert_reason(flag_says("memory", "much"), "--memory: 'much' is not a size such as 4096, 64k, 256m or 1g");
}

Test(config_value, a_command_is_at_most_what_the_store_takes_as_a_value)
{
    cr_assert_accepted(flag_says("max-command", "59m"));
    cr_assert_eq(config.command_bytes_max, CONFIG_COMMAND_BYTES_MAX);
    cr_assert_accepted(flag_says("max-command", "16"));
    cr_assert_eq(config.command_bytes_max, 16);
    cr_assert_reason(flag_says("max-command", "15"), "--max-command: '15' is less than 16");
    cr_assert_reason(flag_says("max-command", "61865985"), "--max-command: '61865985' is more than 59m");
    cr_assert_reason(flag_says("max-reads", "1023k"), "--max-reads: '1023k' is less than 1m");
    cr_assert_reason(flag_says("max-reads", "5g"), "--max-reads: '5g' is more than 4g");
}

Test(config_value, numbers_have_limits)
{
    cr_assert_accepted(flag_says("max-clients", "1"));
    cr_assert_accepted(flag_says("max-clients", "16000"));
    cr_assert_eq(config.clients_max, 16000);
    cr_assert_reason(flag_says("max-clients", "0"), "--max-clients: '0' is less than 1");
    cr_assert_reason(flag_says("max-clients", "16001"), "--max-clients: '16001' is more than 16000");
    cr_assert_reason(flag_says("max-clients", "4294967297"), "--max-clients: '4294967297' is more than 16000");
    cr_assert_reason(flag_says("max-clients", "18446744073709551617"),
                     "--max-clients: '18446744073709551617' is more than 16000");
    cr_assert_reason(flag_says("max-clients", "1k"), "--max-clients: '1k' is not a number");
    cr_assert_reason(flag_says("max-clients", "-1"), "--max-clients: '-1' is not a number");
    cr_assert_reason(flag_says("min-spare", "0"), "--min-spare: '0' is less than 1");
    cr_assert_reason(flag_says("max-spare", "4097"), "--max-spare: '4097' is more than 4096");
}

Test(config_value, durations_fit_what_poll_takes)
{
    cr_assert_accepted(flag_says("idle-timeout", "596h"));
    cr_assert_eq(config.idle_timeout_ms, CONFIG_DURATION_MS_MAX);
    cr_assert_accepted(flag_says("write-timeout", "0"));
    cr_assert_eq(config.write_timeout_ms, 0);
    cr_assert_accepted(flag_says("transaction-timeout", "2"));
    cr_assert_eq(config.transaction_timeout_ms, 2000);
    cr_assert_reason(flag_says("idle-timeout", "597h"), "--idle-timeout: '597h' is more than 596h");
    cr_assert_reason(flag_says("transaction-timeout", "99999999999999999999"),
                     "--transaction-timeout: '99999999999999999999' is more than 596h");
    cr_assert_reason(flag_says("write-timeout", "1d"),
                     "--write-timeout: '1d' is not a duration such as 500ms, 60s, 5m, 1h or 0");
}

Test(config_value, ports_are_16_bits)
{
    cr_assert_accepted(flag_says("port", "0"));
    cr_assert_accepted(flag_says("port", "65535"));
    cr_assert_eq(config.ports.count, 1);
    cr_assert_eq(config.ports.number[0], 65535);
    cr_assert_reason(flag_says("port", "65536"), "--port: '65536' is more than 65535");
    cr_assert_reason(flag_says("port", "http"), "--port: 'http' is not a port");
    cr_assert_reason(flag_says("port", "8000,8080"), "--port: '8000,8080' is not a port");
    cr_assert_reason(flag_says("port", "08000"), "--port: '08000' is not a port");
}

Test(config_value, addresses_are_kept_in_one_way_of_writing)
{
    cr_assert_accepted(flag_says("bind", "127.1.2.3"));
    cr_assert_str_eq(config.addresses.text[0], "127.1.2.3");
    cr_assert_accepted(flag_says("bind", "0:0:0:0:0:0:0:1"));
    cr_assert_str_eq(config.addresses.text[0], "::1");
    cr_assert_accepted(flag_says("bind", "2001:DB8::00ff"));
    cr_assert_str_eq(config.addresses.text[0], "2001:db8::ff");
    cr_assert_accepted(flag_says("bind", "0000:0000:0000:0000:0000:FFFF:255.255.255.255"));
}

Test(config_value, names_of_machines_and_legacy_forms_are_no_addresses)
{
    static const char *const texts[] = {"localhost", "*",     "127.1", "127.0.0.256", "0x7f.0.0.1",
                                        "::1%lo",    "[::1]", "::1::", "127.0.0.1:80"};
    char expected[128];

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        (void)snprintf(expected, sizeof expected, "--bind: '%s' is not an IPv4 or IPv6 address", texts[i]);
        cr_assert_reason(flag_says("bind", texts[i]), expected);
    }
}

Test(config_value, a_list_says_nothing_twice)
{
    cr_assert_reason(flags_say(&config, FLAGS("--port", "1", "--port", "2", "--port", "1")),
                     "--port: '1' is given twice");
    cr_assert_reason(flags_say(&config, FLAGS("--bind", "::1", "--bind", "0::1")), "--bind: '::1' is given twice");
    cr_assert_reason(flags_say(&config, FLAGS("--unix", "/s", "--unix", "/s")), "--unix: '/s' is given twice");
}

Test(config_value, any_number_of_free_ports_may_be_asked_for)
{
    cr_assert_accepted(flags_say(&config, FLAGS("--port", "0", "--port", "0")));
    cr_assert_eq(config.ports.count, 2);
}

Test(config_value, a_list_has_at_most_16_members)
{
    char text[256] = "HAUSKV_PORT=1";

    for (unsigned port = 2; port <= CONFIG_LIST_MAX; port++)
        (void)snprintf(text + strlen(text), sizeof text - strlen(text), ",%u", port);
    cr_assert_accepted(environment_says(&config, ENVIRONMENT(text)));
    cr_assert_eq(config.ports.count, CONFIG_LIST_MAX);
    cr_assert_eq(config.ports.number[CONFIG_LIST_MAX - 1], CONFIG_LIST_MAX);
    (void)snprintf(text + strlen(text), sizeof text - strlen(text), ",17");
    cr_assert_reason(environment_says(&config, ENVIRONMENT(text)), "HAUSKV_PORT: it is given more than 16 times");
}

Test(config_value, a_socket_path_fits_the_system)
{
    char path[CONFIG_SOCKET_PATH_BYTES + 1];
    char expected[256];

    memset(path, 'p', sizeof path);
    path[CONFIG_SOCKET_PATH_BYTES - 1] = '\0';
    cr_assert_accepted(flag_says("unix", path));
    cr_assert_str_eq(config.socket_paths.text[0], path);
    path[CONFIG_SOCKET_PATH_BYTES - 1] = 'p';
    path[CONFIG_SOCKET_PATH_BYTES] = '\0';
    (void)snprintf(expected, sizeof expected, "--unix: '%s' is longer than 107 bytes", path);
    cr_assert_reason(flag_says("unix", path), expected);
}

Test(config_value, a_path_has_any_bytes_but_control_characters)
{
    static const char *const paths[] = {"my sockets/a=b;c#d:e, f", "/caf\xc3\xa9", " /s ", "/s ;b", "#s", "\"s\"", "/\xff"};

    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        cr_assert_accepted(flag_says("unix", paths[i]));
        cr_assert_str_eq(config.socket_paths.text[0], paths[i]);
    }
    cr_assert_reason(flag_says("unix", "/s\n"), "--unix: '/s\\x0a' has control characters");
    cr_assert_reason(flag_says("unix", "/s\x7f"), "--unix: '/s\\x7f' has control characters");
}

Test(config_value, the_segments_directory_is_absolute)
{
    char path[CONFIG_DIRECTORY_BYTES + 1];

    cr_assert_accepted(flag_says("segment-dir", "/dev/hugepages"));
    cr_assert_str_eq(config.segment_directory, "/dev/hugepages");
    cr_assert_reason(flag_says("segment-dir", "pages"), "--segment-dir: 'pages' does not begin with /");
    memset(path, '/', sizeof path);
    path[CONFIG_DIRECTORY_BYTES - 1] = '\0';
    cr_assert_accepted(flag_says("segment-dir", path));
    path[CONFIG_DIRECTORY_BYTES - 1] = '/';
    path[CONFIG_DIRECTORY_BYTES] = '\0';
    cr_assert(strstr(flag_says("segment-dir", path), "' is longer than 160 bytes") != NULL);
}

Test(config_value, a_name_is_one_of_a_file)
{
    cr_assert_accepted(flag_says("name", "Test_1.b-c"));
    cr_assert_str_eq(config.name, "Test_1.b-c");
    cr_assert_accepted(flag_says("name", "123456789012345678901234567890123456789012345678"));
    cr_assert_reason(flag_says("name", "1234567890123456789012345678901234567890123456789"),
                     "--name: '1234567890123456789012345678901234567890123456789' is longer than 48 bytes");
    cr_assert_reason(flag_says("name", "a/b"), "--name: 'a/b' has other characters than letters, digits and . _ -");
    cr_assert_reason(flag_says("name", "a b"), "--name: 'a b' has other characters than letters, digits and . _ -");
    cr_assert_reason(flag_says("name", "a.control"), "--name: 'a.control' ends as the control socket of another server does");
    cr_assert_reason(flag_says("name", "\xc3\xa4"),
                     "--name: '\xc3\xa4' has other characters than letters, digits and . _ -");
}

Test(config_value, choices_are_named_in_any_case)
{
    cr_assert_accepted(flag_says("isolation", "read-committed"));
    cr_assert_eq(config.isolation, ISOLATION_READ_COMMITTED);
    cr_assert_accepted(flag_says("isolation", "SERIALIZABLE"));
    cr_assert_eq(config.isolation, ISOLATION_SERIALIZABLE);
    cr_assert_accepted(flag_says("isolation", "locking"));
    cr_assert_eq(config.isolation, ISOLATION_LOCKING);
    cr_assert_reason(flag_says("isolation", "chaos"),
                     "--isolation: 'chaos' is none of serializable, read-committed, locking");
    cr_assert_accepted(flag_says("framing", "AUTO"));
    cr_assert_eq(config.framing, FRAMING_AUTO);
    cr_assert_accepted(flag_says("framing", "line"));
    cr_assert_eq(config.framing, FRAMING_LINE);
    cr_assert_reason(flag_says("framing", "burst"), "--framing: 'burst' is none of line, auto");
    cr_assert_accepted(flag_says("dialect", "echo"));
    cr_assert_eq(config.dialect, DIALECT_ECHO);
    cr_assert_accepted(flag_says("dialect", "Messages"));
    cr_assert_eq(config.dialect, DIALECT_MESSAGES);
    cr_assert_accepted(flag_says("dialect", "default"));
    cr_assert_eq(config.dialect, DIALECT_DEFAULT);
    cr_assert_reason(flag_says("dialect", "latin"), "--dialect: 'latin' is none of default, echo, messages");
    cr_assert_accepted(flag_says("log-level", "Debug"));
    cr_assert_eq(config.log_level, DIAGNOSTIC_DEBUG);
    cr_assert_accepted(flag_says("log-level", "warning"));
    cr_assert_eq(config.log_level, DIAGNOSTIC_WARNING);
    cr_assert_accepted(flag_says("log-level", "error"));
    cr_assert_eq(config.log_level, DIAGNOSTIC_ERROR);
    cr_assert_reason(flag_says("log-level", "loud"), "--log-level: 'loud' is none of debug, info, warning, error");
}

Test(config_value, a_switch_is_on_when_it_is_named_and_takes_yes_or_no)
{
    static const char *const words[][2] = {{"yes", "no"}, {"on", "off"}, {"true", "false"}, {"1", "0"}, {"YES", "No"}};

    cr_assert_accepted(flags_say(&config, FLAGS("--fresh")));
    cr_assert(config.is_fresh);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        cr_assert_accepted(flag_says("insecure", words[i][0]));
        cr_assert(config.is_insecure);
        cr_assert_accepted(flag_says("insecure", words[i][1]));
        cr_assert_not(config.is_insecure);
    }
    cr_assert_reason(flag_says("fresh", "maybe"),
                     "--fresh: 'maybe' is none of yes, no, on, off, true, false, 1, 0");
}

Test(config_value, no_option_takes_nothing)
{
    static const char *const names[] = {"bind", "port", "unix", "name", "memory", "segment-dir", "max-clients",
                                        "idle-timeout", "isolation", "framing", "dialect", "lock-timeout",
                                        "snapshot-timeout", "log-level", "config", "fresh"};
    char expected[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(expected, sizeof expected, "--%s: the value is empty", names[i]);
        cr_assert_reason(flag_says(names[i], ""), expected);
    }
}

Test(config_value, what_a_reason_quotes_cannot_forge_a_line_and_is_cut)
{
    char value[4097];
    const char *reason;

    cr_assert_reason(flag_says("port", "1\n\x1b[2J\xff\xc2\x85"),
                     "--port: '1\\x0a\\x1b[2J\\xff\\xc2\\x85' is not a port");
    memset(value, '\xff', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    reason = flag_says("port", value);
    cr_assert(strstr(reason, "\\xff...' is not a port") != NULL, "%s", reason);
    cr_assert_lt(strlen(reason), 200);
}
