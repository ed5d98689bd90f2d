/* The options, from text into their members and back. */
#include <arpa/inet.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <strings.h>

#include "segment/segment.h"
#include "table/version.h"

#include "config_internal.h"

static const struct option_description descriptions[CONFIG_OPTION_COUNT] = {
#define OPTION(option, name, kind, member, minimum, maximum, default_text, argument, help) \
    [CONFIG_##option] = {name, KIND_##kind, minimum, maximum, default_text, argument, help},
#include "server/option.def"
#undef OPTION
};

/* Every kind is of one type. */
#define TYPE_ADDRESSES struct config_addresses
#define TYPE_PORTS struct config_ports
#define TYPE_SOCKET_PATHS struct config_socket_paths
#define TYPE_SWITCH bool
#define TYPE_NAME char[CONFIG_NAME_BYTES]
#define TYPE_DIRECTORY char[CONFIG_DIRECTORY_BYTES]
#define TYPE_FILE_PATH char[CONFIG_FILE_PATH_BYTES]
#define TYPE_SIZE size_t
#define TYPE_NUMBER unsigned
#define TYPE_DURATION unsigned
#define TYPE_ISOLATION enum isolation
#define TYPE_FRAMING enum framing
#define TYPE_DIALECT enum dialect
#define TYPE_LOG_LEVEL enum diagnostic_level
#define TYPE_WISH bool
#define OPTION(option, name, kind, member, ...)                                                                 \
    _Static_assert(_Generic(&((struct server_config *)NULL)->member, __typeof__(TYPE_##kind) *: 1, default: 0), \
                   "the member of " name " is of its kind's type");
#include "server/option.def"
#undef OPTION

_Static_assert(sizeof "hauskv-" - 1 + CONFIG_NAME_BYTES - 1 <= SEGMENT_NAME_BYTES_MAX, "any name fits the segment's");
_Static_assert(CONFIG_MEMORY_BYTES_MAX <= SEGMENT_BYTES_MAX, "any memory is one that a segment can have");
/* With the small chunks of the engine's second tests no server runs. */
_Static_assert(CHUNK_BYTES < 16384 || CONFIG_COMMAND_BYTES_MAX <= VALUE_BYTES_MAX, "any line's value fits the store");

/* A value on its way into a member. */
struct mention {
    const struct option_description *option;
    const char *text; /* not empty */
    bool is_first;    /* of its source: a list starts anew */
    char *complaint;
};

struct choice {
    const char *name; /* the end has none */
    unsigned value;
};

static const struct choice isolations[] = {
    {"serializable", ISOLATION_SERIALIZABLE},
    {"read-committed", ISOLATION_READ_COMMITTED},
    {"locking", ISOLATION_LOCKING},
    {NULL, 0},
};

static const struct choice framings[] = {
    {"line", FRAMING_LINE},
    {"auto", FRAMING_AUTO},
    {NULL, 0},
};

static const struct choice dialects[] = {
    {"default", DIALECT_DEFAULT},
    {"echo", DIALECT_ECHO},
    {"messages", DIALECT_MESSAGES},
    {NULL, 0},
};

static const struct choice log_levels[] = {
    {"debug", DIAGNOSTIC_DEBUG}, {"info", DIAGNOSTIC_INFO}, {"warning", DIAGNOSTIC_WARNING},
    {"error", DIAGNOSTIC_ERROR}, {NULL, 0},
};

/* The first of each value is the one that is printed. */
static const struct choice switches[] = {
    {"yes", true}, {"no", false}, {"on", true}, {"off", false}, {"true", true}, {"false", false},
    {"1", true},   {"0", false},  {NULL, 0},
};

static void *member_of(struct server_config *config, enum config_option option);
static const void *member_inside(const struct server_config *config, enum config_option option);
static bool set_member(void *member, const struct mention *mention);
static char *trimmed(char *text);
static bool add_address(struct config_addresses *addresses, const struct mention *mention);
static bool add_port(struct config_ports *ports, const struct mention *mention);
static bool add_socket_path(struct config_socket_paths *paths, const struct mention *mention);
static bool list_has_room(unsigned *count, const struct mention *mention);
static bool set_name(char *name, const struct mention *mention);
static bool set_directory(char *path, const struct mention *mention);
static bool set_path(char *path, const struct mention *mention);
static bool has_good_length(const struct mention *mention);
static bool set_size(size_t *size, const struct mention *mention);
static bool set_number(unsigned *number, const struct mention *mention);
static bool set_duration(unsigned *duration_ms, const struct mention *mention);
static bool is_in_range(uint64_t number, const struct unit *units, const struct mention *mention);
static bool choose(const struct choice *choices, unsigned *value, const struct mention *mention);
static const char *choice_name(const struct choice *choices, unsigned value);
static bool complain(const struct mention *mention, const char *format, ...) __attribute__((format(printf, 2, 3)));

const struct option_description *option_describe(enum config_option option)
{
    REQUIRE((unsigned)option < CONFIG_OPTION_COUNT);
    return &descriptions[option];
}

bool option_of_variable(struct bytes name, enum config_option *option)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        char variable[VARIABLE_BYTES];

        option_variable((enum config_option)i, variable);
        if (descriptions[i].kind == KIND_WISH || !bytes_equal(name, bytes_from_string(variable)))
            continue;
        *option = (enum config_option)i;
        return true;
    }
    return false;
}

bool option_is_path(enum config_option option)
{
    enum option_kind kind = descriptions[option].kind;

    return kind == KIND_SOCKET_PATHS || kind == KIND_DIRECTORY || kind == KIND_FILE_PATH;
}

bool option_find(struct bytes name, enum config_option *option)
{
    for (unsigned i = 0; i < CONFIG_OPTION_COUNT; i++) {
        if (bytes_equal(bytes_from_string(descriptions[i].name), name)) {
            *option = (enum config_option)i;
            return true;
        }
    }
    return false;
}

void option_variable(enum config_option option, char variable[VARIABLE_BYTES])
{
    int size = snprintf(variable, VARIABLE_BYTES, "HAUSKV_%s", option_describe(option)->name);

    INVARIANT(size > 0 && (unsigned)size < VARIABLE_BYTES);
    for (char *character = variable; *character != '\0'; character++) {
        if (*character == '-')
            *character = '_';
        else
            *character = (char)toupper((unsigned char)*character);
    }
}

bool option_set(struct server_config *config, enum config_option option, struct config_origin origin, const char *text,
                char complaint[COMPLAINT_BYTES])
{
    struct mention mention = {
        .option = option_describe(option),
        .text = text,
        .is_first = config->origins[option].source != origin.source,
    };

    mention.complaint = complaint;
    config->origins[option] = origin;
    if (text[0] == '\0')
        return complain(&mention, "the value is empty");
    return set_member(member_of(config, option), &mention);
}

static bool set_member(void *member, const struct mention *mention)
{
    unsigned value = 0;

    switch (mention->option->kind) {
    case KIND_ADDRESSES:
        return add_address(member, mention);
    case KIND_PORTS:
        return add_port(member, mention);
    case KIND_SOCKET_PATHS:
        return add_socket_path(member, mention);
    case KIND_NAME:
        return set_name(member, mention);
    case KIND_DIRECTORY:
        return set_directory(member, mention);
    case KIND_FILE_PATH:
        return set_path(member, mention);
    case KIND_SIZE:
        return set_size(member, mention);
    case KIND_NUMBER:
        return set_number(member, mention);
    case KIND_DURATION:
        return set_duration(member, mention);
    case KIND_ISOLATION:
        if (!choose(isolations, &value, mention))
            return false;
        *(enum isolation *)member = (enum isolation)value;
        return true;
    case KIND_FRAMING:
        if (!choose(framings, &value, mention))
            return false;
        *(enum framing *)member = (enum framing)value;
        return true;
    case KIND_DIALECT:
        if (!choose(dialects, &value, mention))
            return false;
        *(enum dialect *)member = (enum dialect)value;
        return true;
    case KIND_LOG_LEVEL:
        if (!choose(log_levels, &value, mention))
            return false;
        *(enum diagnostic_level *)member = (enum diagnostic_level)value;
        return true;
    case KIND_SWITCH:
    case KIND_WISH:
        if (!choose(switches, &value, mention))
            return false;
        *(bool *)member = value != 0;
        return true;
    }
    contract_failed("invariant", "every kind can be set", __FILE__, __LINE__);
}

bool option_set_all(struct server_config *config, enum config_option option, struct config_origin origin,
                    const char *text, char complaint[COMPLAINT_BYTES])
{
    enum option_kind kind = option_describe(option)->kind;
    bool is_list = kind == KIND_ADDRESSES || kind == KIND_PORTS || kind == KIND_SOCKET_PATHS;
    char *copy = is_list ? strdup(text) : NULL;
    char *rest = copy;
    bool is_set = true;

    if (!is_list)
        return option_set(config, option, origin, text, complaint);
    if (copy == NULL) {
        (void)snprintf(complaint, COMPLAINT_BYTES, "out of memory");
        return false;
    }
    while (is_set && rest != NULL)
        is_set = option_set(config, option, origin, trimmed(strsep(&rest, ",")), complaint);
    free(copy);
    return is_set;
}

static char *trimmed(char *text)
{
    size_t size = strlen(text);

    while (size > 0 && text[size - 1] == ' ')
        text[--size] = '\0';
    return text + strspn(text, " ");
}

unsigned option_value_count(const struct server_config *config, enum config_option option)
{
    const void *member = member_inside(config, option);

    switch (option_describe(option)->kind) {
    case KIND_ADDRESSES:
        return ((const struct config_addresses *)member)->count;
    case KIND_PORTS:
        return ((const struct config_ports *)member)->count;
    case KIND_SOCKET_PATHS:
        return ((const struct config_socket_paths *)member)->count;
    case KIND_NAME:
    case KIND_DIRECTORY:
    case KIND_FILE_PATH:
        return *(const char *)member != '\0';
    default:
        return 1;
    }
}

void option_value(const struct server_config *config, enum config_option option, unsigned i,
                  char text[VALUE_TEXT_BYTES])
{
    const void *member = member_inside(config, option);
    char number[UNIT_TEXT_BYTES];
    const char *value = number;

    REQUIRE(i < option_value_count(config, option));
    switch (option_describe(option)->kind) {
    case KIND_ADDRESSES:
        value = ((const struct config_addresses *)member)->text[i];
        break;
    case KIND_PORTS:
        unit_print(((const struct config_ports *)member)->number[i], plain_units, number);
        break;
    case KIND_SOCKET_PATHS:
        value = ((const struct config_socket_paths *)member)->text[i];
        break;
    case KIND_NAME:
    case KIND_DIRECTORY:
    case KIND_FILE_PATH:
        value = member;
        break;
    case KIND_SIZE:
        unit_print(*(const size_t *)member, size_units, number);
        break;
    case KIND_NUMBER:
        unit_print(*(const unsigned *)member, plain_units, number);
        break;
    case KIND_DURATION:
        unit_print(*(const unsigned *)member, duration_units, number);
        break;
    case KIND_ISOLATION:
        value = choice_name(isolations, *(const enum isolation *)member);
        break;
    case KIND_FRAMING:
        value = choice_name(framings, *(const enum framing *)member);
        break;
    case KIND_DIALECT:
        value = choice_name(dialects, *(const enum dialect *)member);
        break;
    case KIND_LOG_LEVEL:
        value = choice_name(log_levels, *(const enum diagnostic_level *)member);
        break;
    case KIND_SWITCH:
    case KIND_WISH:
        value = choice_name(switches, *(const bool *)member);
        break;
    }
    (void)snprintf(text, VALUE_TEXT_BYTES, "%s", value);
}

static void *member_of(struct server_config *config, enum config_option option)
{
    switch (option) {
#define OPTION(option, name, kind, member, ...) \
    case CONFIG_##option:                       \
        return &config->member;
#include "server/option.def"
#undef OPTION
    case CONFIG_OPTION_COUNT:
        break;
    }
    contract_failed("invariant", "every option has a member", __FILE__, __LINE__);
}

static const void *member_inside(const struct server_config *config, enum config_option option)
{
    /* Only the type changes: the member is read. */
    return member_of((struct server_config *)(uintptr_t)config, option);
}

/* Lists. */

static bool add_address(struct config_addresses *addresses, const struct mention *mention)
{
    unsigned char address[sizeof(struct in6_addr)];
    int family = strchr(mention->text, ':') == NULL ? AF_INET : AF_INET6;
    char text[CONFIG_ADDRESS_BYTES];

    if (inet_pton(family, mention->text, address) != 1)
        return complain(mention, "'%s' is not an IPv4 or IPv6 address", quote(mention->text).text);
    if (!list_has_room(&addresses->count, mention))
        return false;
    if (inet_ntop(family, address, text, sizeof text) == NULL)
        contract_failed("invariant", "every address can be written", __FILE__, __LINE__);
    for (unsigned i = 0; i < addresses->count; i++) {
        if (strcmp(addresses->text[i], text) == 0)
            return complain(mention, "'%s' is given twice", text);
    }
    (void)snprintf(addresses->text[addresses->count++], CONFIG_ADDRESS_BYTES, "%s", text);
    return true;
}

static bool add_port(struct config_ports *ports, const struct mention *mention)
{
    uint64_t number;

    if (!unit_parse(mention->text, plain_units, &number))
        return complain(mention, "'%s' is not a port", quote(mention->text).text);
    if (!is_in_range(number, plain_units, mention) || !list_has_room(&ports->count, mention))
        return false;
    for (unsigned i = 0; i < ports->count; i++) {
        if (number != 0 && ports->number[i] == number)
            return complain(mention, "'%s' is given twice", mention->text);
    }
    ports->number[ports->count++] = (uint16_t)number;
    return true;
}

static bool add_socket_path(struct config_socket_paths *paths, const struct mention *mention)
{
    char path[CONFIG_SOCKET_PATH_BYTES];

    if (!set_path(path, mention) || !list_has_room(&paths->count, mention))
        return false;
    for (unsigned i = 0; i < paths->count; i++) {
        if (strcmp(paths->text[i], path) == 0)
            return complain(mention, "'%s' is given twice", quote(path).text);
    }
    (void)snprintf(paths->text[paths->count++], CONFIG_SOCKET_PATH_BYTES, "%s", path);
    return true;
}

static bool list_has_room(unsigned *count, const struct mention *mention)
{
    if (mention->is_first)
        *count = 0;
    return *count < CONFIG_LIST_MAX || complain(mention, "it is given more than %u times", CONFIG_LIST_MAX);
}

/* Text. */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text);
    size_t end_size = strlen(end);

    return size >= end_size && strcmp(text + size - end_size, end) == 0;
}

static bool set_name(char *name, const struct mention *mention)
{
    size_t good = strspn(mention->text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");

    if (mention->text[good] != '\0')
        return complain(mention, "'%s' has other characters than letters, digits and . _ -", quote(mention->text).text);
    if (!has_good_length(mention))
        return false;
    if (ends_with(mention->text, ".control"))
        return complain(mention, "'%s' ends as the control socket of another server does", quote(mention->text).text);
    (void)snprintf(name, CONFIG_NAME_BYTES, "%s", mention->text);
    return true;
}

static bool set_directory(char *path, const struct mention *mention)
{
    if (mention->text[0] != '/')
        return complain(mention, "'%s' does not begin with /", quote(mention->text).text);
    return set_path(path, mention);
}

/* Control characters would tear the lines of messages. */
static bool set_path(char *path, const struct mention *mention)
{
    const char *text = mention->text;
    size_t size = strlen(text);

    for (size_t i = 0; i < size; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return complain(mention, "'%s' has control characters", quote(text).text);
    }
    if (!has_good_length(mention))
        return false;
    memcpy(path, text, size + 1);
    return true;
}

static bool has_good_length(const struct mention *mention)
{
    size_t size = strlen(mention->text);

    if (size <= mention->option->maximum)
        return true;
    return complain(mention, "'%s' is longer than %ju bytes", quote(mention->text).text,
                    (uintmax_t)mention->option->maximum);
}

/* Numbers. */

static bool set_size(size_t *size, const struct mention *mention)
{
    uint64_t number;

    if (!config_parse_size(mention->text, &number))
        return complain(mention, "'%s' is not a size such as 4096, 64k, 256m or 1g", quote(mention->text).text);
    if (!is_in_range(number, size_units, mention))
        return false;
    *size = (size_t)number;
    return true;
}

static bool set_number(unsigned *number, const struct mention *mention)
{
    uint64_t wide;

    if (!unit_parse(mention->text, plain_units, &wide))
        return complain(mention, "'%s' is not a number", quote(mention->text).text);
    if (!is_in_range(wide, plain_units, mention))
        return false;
    *number = (unsigned)wide;
    return true;
}

static bool set_duration(unsigned *duration_ms, const struct mention *mention)
{
    uint64_t wide_ms;

    if (!config_parse_duration(mention->text, &wide_ms))
        return complain(mention, "'%s' is not a duration such as 500ms, 60s, 5m, 1h or 0", quote(mention->text).text);
    if (!is_in_range(wide_ms, duration_units, mention))
        return false;
    *duration_ms = (unsigned)wide_ms;
    return true;
}

static bool is_in_range(uint64_t number, const struct unit *units, const struct mention *mention)
{
    const struct option_description *option = mention->option;
    char limit[UNIT_TEXT_BYTES];

    if (number >= option->minimum && number <= option->maximum)
        return true;
    unit_print(number < option->minimum ? option->minimum : option->maximum, units, limit);
    return complain(mention, "'%s' is %s than %s", quote(mention->text).text,
                    number < option->minimum ? "less" : "more", limit);
}

/* Choices. */

static bool choose(const struct choice *choices, unsigned *value, const struct mention *mention)
{
    char names[128] = "";
    size_t size = 0;

    for (const struct choice *choice = choices; choice->name != NULL; choice++) {
        if (strcasecmp(choice->name, mention->text) == 0) {
            *value = choice->value;
            return true;
        }
        size += (size_t)snprintf(names + size, sizeof names - size, "%s%s", size == 0 ? "" : ", ", choice->name);
        INVARIANT(size < sizeof names);
    }
    return complain(mention, "'%s' is none of %s", quote(mention->text).text, names);
}

static const char *choice_name(const struct choice *choices, unsigned value)
{
    while (choices->name != NULL && choices->value != value)
        choices++;
    ENSURE(choices->name != NULL);
    return choices->name;
}

static bool complain(const struct mention *mention, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(mention->complaint, COMPLAINT_BYTES, format, arguments);
    va_end(arguments);
    return false;
}
