#include "histories/history_file.h"

#include <inttypes.h>
#include <stdlib.h>

#define LINE_BYTES 4096u
#define WORDS_MAX 128u

/* A line, cut into its words. */
struct words {
    char *words[WORDS_MAX + 1]; /* NULL behind the last */
    unsigned count;
    unsigned next;
};

static const char *const level_names[ISOLATION_COUNT] = {
    [ISOLATION_SERIALIZABLE] = "serializable",
    [ISOLATION_READ_COMMITTED] = "read-committed",
    [ISOLATION_LOCKING] = "locking",
};

static const char *const step_names[] = {
    [HISTORY_GET] = "get",
    [HISTORY_PUT] = "put",
    [HISTORY_DEL] = "del",
    [HISTORY_COUNT] = "count",
};

/* --- writing --- */

static void write_outcome(const struct history_transaction *transaction, FILE *file)
{
    if (transaction->is_pending)
        (void)fputs("pending", file);
    else
        (void)fputs(status_code(transaction->outcome), file);
    if (transaction->outcome == STATUS_CONFLICT && transaction->conflict_key == HISTORY_RANGE)
        (void)fputs(" over range", file);
    else if (transaction->outcome == STATUS_CONFLICT)
        (void)fprintf(file, " over %u", transaction->conflict_key);
    if (transaction->has_times)
        (void)fprintf(file, " times %" PRIu64 " %" PRIu64, transaction->times.snapshot, transaction->times.commit);
}

static void write_step(const struct history_step *step, FILE *file)
{
    (void)fprintf(file, " | %s", step_names[step->kind]);
    if (step->kind != HISTORY_COUNT)
        (void)fprintf(file, " %u", step->key);
    if (step->kind != HISTORY_DEL)
        (void)fprintf(file, " %" PRIu64, step->value);
}

static void write_transaction(const struct history_transaction *transaction, FILE *file)
{
    (void)fprintf(file, "%u %" PRIu64 " %" PRIu64 " %s ", transaction->client, transaction->invoked_ns,
                  transaction->returned_ns,
                  transaction->is_single ? "single" : level_names[transaction->isolation]);
    write_outcome(transaction, file);
    for (unsigned i = 0; i < transaction->step_count; i++)
        write_step(&transaction->steps[i], file);
    (void)fputc('\n', file);
}

static int compare_invocations(const void *left, const void *right)
{
    uint64_t a = ((const struct history_transaction *)left)->invoked_ns;
    uint64_t b = ((const struct history_transaction *)right)->invoked_ns;

    return a < b ? -1 : a > b;
}

void history_write(const struct history *history, FILE *file)
{
    struct history sorted = history_copy(history);

    qsort(sorted.transactions, sorted.count, sizeof(*sorted.transactions), compare_invocations);
    (void)fprintf(file, "keys %u\nseed %" PRIu64 "\n", history->key_count, history->seed);
    if (history->has_stamps)
        (void)fputs("stamps\n", file);
    (void)fputs("# client invoked_ns returned_ns level outcome [times snapshot commit] | steps\n", file);
    for (size_t i = 0; i < sorted.count; i++)
        write_transaction(&sorted.transactions[i], file);
    free(sorted.transactions);
}

bool history_write_file(const struct history *history, const char *path, const char *comment)
{
    FILE *file = fopen(path, "we");
    const char *line = comment;
    bool is_written;

    if (file == NULL)
        return false;
    while (*line != '\0') {
        int size = (int)strcspn(line, "\n");

        (void)fprintf(file, "# %.*s\n", size, line);
        line += size + (line[size] == '\n');
    }
    history_write(history, file);
    is_written = ferror(file) == 0;
    return fclose(file) == 0 && is_written;
}

/* --- reading --- */

static void split(struct words *words, char *line)
{
    char *rest = line;
    char *word;

    *words = (struct words){.count = 0};
    while ((word = strsep(&rest, " \t\n")) != NULL && *word != '#') {
        if (*word != '\0' && words->count < WORDS_MAX)
            words->words[words->count++] = word;
    }
}

static const char *next_word(struct words *words)
{
    return words->next < words->count ? words->words[words->next++] : "";
}

static bool next_is(struct words *words, const char *word)
{
    if (words->next == words->count || strcmp(words->words[words->next], word) != 0)
        return false;
    words->next++;
    return true;
}

static bool read_number(struct words *words, uint64_t *number)
{
    const char *word = next_word(words);
    char *end;

    *number = strtoull(word, &end, 10);
    return *word >= '0' && *word <= '9' && *end == '\0';
}

static bool read_small(struct words *words, unsigned *number, unsigned end)
{
    uint64_t wide;

    if (!read_number(words, &wide) || wide >= end)
        return false;
    *number = (unsigned)wide;
    return true;
}

static bool read_level(struct words *words, struct history_transaction *transaction)
{
    transaction->is_single = next_is(words, "single");
    for (unsigned level = 0; !transaction->is_single && level < ISOLATION_COUNT; level++) {
        if (next_is(words, level_names[level])) {
            transaction->isolation = (enum isolation)level;
            return true;
        }
    }
    return transaction->is_single;
}

static bool read_outcome(struct words *words, struct history_transaction *transaction)
{
    const char *word = next_word(words);
    unsigned status = 0;

    transaction->is_pending = strcmp(word, "pending") == 0;
    if (transaction->is_pending)
        word = status_code(STATUS_OUTCOME_UNKNOWN);
    while (status < STATUS_COUNT && strcmp(status_code((enum status)status), word) != 0)
        status++;
    if (status == STATUS_COUNT)
        return false;
    transaction->outcome = (enum status)status;
    transaction->conflict_key = HISTORY_RANGE;
    return !next_is(words, "over") || next_is(words, "range") ||
           read_small(words, &transaction->conflict_key, HISTORY_KEYS_MAX);
}

static bool read_times(struct words *words, struct history_transaction *transaction)
{
    transaction->has_times = next_is(words, "times");
    return !transaction->has_times || (read_number(words, &transaction->times.snapshot) &&
                                       read_number(words, &transaction->times.commit));
}

static bool read_step(const struct history *history, struct words *words, struct history_transaction *transaction)
{
    struct history_step *step = &transaction->steps[transaction->step_count];
    const char *word;
    unsigned kind = 0;

    if (!next_is(words, "|") || transaction->step_count == HISTORY_STEPS_MAX)
        return false;
    word = next_word(words);
    while (kind <= HISTORY_COUNT && strcmp(word, step_names[kind]) != 0)
        kind++;
    if (kind > HISTORY_COUNT)
        return false;
    *step = (struct history_step){.kind = (enum history_step_kind)kind};
    transaction->step_count++;
    return (step->kind == HISTORY_COUNT || read_small(words, &step->key, history->key_count)) &&
           (step->kind == HISTORY_DEL || read_number(words, &step->value));
}

static bool read_transaction(const struct history *history, struct words *words,
                             struct history_transaction *transaction, const char **what)
{
    *transaction = (struct history_transaction){.step_count = 0};
    *what = "client, invoked_ns, returned_ns";
    if (!read_small(words, &transaction->client, UINT32_MAX) || !read_number(words, &transaction->invoked_ns) ||
        !read_number(words, &transaction->returned_ns))
        return false;
    *what = "level: serializable, read-committed, locking or single";
    if (!read_level(words, transaction))
        return false;
    *what = "outcome, or its times";
    if (!read_outcome(words, transaction) || !read_times(words, transaction))
        return false;
    *what = "step";
    while (words->next < words->count) {
        if (!read_step(history, words, transaction))
            return false;
    }
    return true;
}

static struct history_transaction *add_transaction(struct history *history)
{
    if (history->count == history->capacity) {
        history->capacity = 2 * history->capacity + 64;
        history->transactions =
            realloc(history->transactions, history->capacity * sizeof(*history->transactions));
        REQUIRE(history->transactions != NULL);
    }
    return &history->transactions[history->count++];
}

static bool read_line(struct history *history, struct words *words, const char **what)
{
    *what = "keys";
    if (next_is(words, "keys"))
        return read_small(words, &history->key_count, HISTORY_KEYS_MAX + 1) && history->key_count > 0;
    *what = "seed";
    if (next_is(words, "seed"))
        return read_number(words, &history->seed);
    if (next_is(words, "stamps")) {
        *what = "stamps: the number of keys must be even";
        history->has_stamps = true;
        return history->key_count % 2 == 0;
    }
    *what = "there must be a line 'keys N' first";
    return history->key_count > 0 && read_transaction(history, words, add_transaction(history), what);
}

bool history_read(struct history *history, FILE *file, unsigned *line, const char **what)
{
    char text[LINE_BYTES];
    struct words words;

    *history = (struct history){.count = 0};
    for (*line = 1; fgets(text, sizeof(text), file) != NULL; ++*line) {
        split(&words, text);
        if (words.count > 0 && !read_line(history, &words, what)) {
            free(history->transactions);
            return false;
        }
    }
    *what = "there is no line 'keys N'";
    return history->key_count > 0;
}
