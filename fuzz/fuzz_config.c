/* The configuration, from a file, from the environment and from flags. What is
 * taken must be valid, and printed and read again be the same; what is refused
 * has a reason of one line.
 *
 * Input: the source (1 byte), then the text of the file, or words that end with
 * a line end. */
#include "harness.h"

#include <stdlib.h>

#include "server/config.h"

#define WORDS_MAX 64
#define TEXT_BYTES_MAX ((size_t)16 << 10)

static void check_reason(const char *reason)
{
    size_t size = strnlen(reason, CONFIG_REASON_BYTES);

    ENSURE(size > 0 && size < CONFIG_REASON_BYTES);
    ENSURE(strchr(reason, '\n') == NULL);
}

/* What an earlier value left behind the end of a text, or of a list, is nobody's. */
static void clear_behind(char *text, size_t size)
{
    size_t used = strnlen(text, size);

    memset(text + used, 0, size - used);
}

/* Without where its values came from, and what never stands in a file. */
static void copy_meaning(struct server_config *copy, const struct server_config *config)
{
    memcpy(copy, config, sizeof(*copy)); /* with its padding, which config_init cleared */
    memset(copy->origins, 0, sizeof(copy->origins));
    memset(&copy->wishes, 0, sizeof(copy->wishes));
    memset(copy->file_path, 0, sizeof(copy->file_path));
    clear_behind(copy->name, sizeof(copy->name));
    clear_behind(copy->segment_directory, sizeof(copy->segment_directory));
    clear_behind(copy->load_path, sizeof(copy->load_path));
    clear_behind(copy->inspect_name, sizeof(copy->inspect_name));
    for (unsigned i = 0; i < CONFIG_LIST_MAX; i++) {
        if (i >= copy->addresses.count)
            copy->addresses.text[i][0] = '\0';
        if (i >= copy->ports.count)
            copy->ports.number[i] = 0;
        if (i >= copy->socket_paths.count)
            copy->socket_paths.text[i][0] = '\0';
        clear_behind(copy->addresses.text[i], CONFIG_ADDRESS_BYTES);
        clear_behind(copy->socket_paths.text[i], CONFIG_SOCKET_PATH_BYTES);
    }
}

static bool mean_the_same(const struct server_config *left, const struct server_config *right)
{
    static struct server_config copies[2];

    copy_meaning(&copies[0], left);
    copy_meaning(&copies[1], right);
    /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison,cert-exp42-c,cert-flp37-c): see copy_meaning */
    return memcmp(&copies[0], &copies[1], sizeof(copies[0])) == 0;
}

static void check_printed(const struct server_config *config)
{
    static struct server_config again;
    char reason[CONFIG_REASON_BYTES] = "";
    char *text = NULL;
    size_t size = 0;
    FILE *stream = open_memstream(&text, &size);
    bool is_read;

    REQUIRE(stream != NULL);
    config_print(config, stream);
    (void)fclose(stream);
    config_init(&again);
    is_read = config_read_text(&again, bytes_from(text, size), "printed", reason);
    ENSURE(is_read);
    is_read = config_reconcile(&again, reason);
    ENSURE(is_read);
    ENSURE(mean_the_same(config, &again));
    free(text);
}

/* Cuts text, which it changes, into words; returns how many. */
static int cut_words(char *text, size_t size, char *words[WORDS_MAX + 1])
{
    int count = 1;
    char *next = text;

    words[0] = text; /* of flags: the program */
    while (count < WORDS_MAX && next < text + size) {
        char *end = memchr(next, '\n', (size_t)(text + size - next));

        words[count++] = next;
        if (end == NULL)
            break;
        *end = '\0';
        next = end + 1;
    }
    words[count] = NULL;
    return count;
}

static bool read_source(struct server_config *config, unsigned source, char *text, size_t size,
                        char reason[CONFIG_REASON_BYTES])
{
    char *words[WORDS_MAX + 1];
    int count;

    if (source == 0)
        return config_read_text(config, bytes_from(text, size), "a.conf", reason);
    count = cut_words(text, size, words);
    if (source == 1)
        return config_read_environment(config, words + 1, reason);
    return config_read_arguments(config, count, words, reason);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static struct server_config config;
    struct input input = input_from(data, size);
    unsigned source = input_byte(&input) % 3;
    char reason[CONFIG_REASON_BYTES] = "";
    struct bytes bytes = input_take(&input, TEXT_BYTES_MAX);
    char *text = malloc(bytes.size + 1);
    bool is_taken;

    REQUIRE(text != NULL);
    if (bytes.size > 0)
        memcpy(text, bytes.data, bytes.size);
    text[bytes.size] = '\0';
    config_init(&config);
    is_taken = read_source(&config, source, text, bytes.size, reason);
    if (is_taken && !config.wishes.help && !config.wishes.version)
        is_taken = config_reconcile(&config, reason);
    free(text);
    if (!is_taken) {
        check_reason(reason);
        return 0;
    }
    if (config.wishes.help || config.wishes.version)
        return 0;
    ENSURE(config_is_valid(&config));
    check_printed(&config);
    return 0;
}
