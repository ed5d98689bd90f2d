/* A segment outlives its server: taking over, refusing, resizing. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transaction/transaction.h"

#define BYTES ((size_t)8 << 20)
#define KEYS 2000u

static char name[SEGMENT_NAME_BYTES_MAX];
static char reason[SEGMENT_REASON_BYTES];
static struct engine_restart report;

static struct engine_options options_for(size_t bytes)
{
    return (struct engine_options){.name = name, .bytes = bytes};
}

static void name_make(void)
{
    (void)snprintf(name, sizeof(name), "test-restart-%d", (int)getpid());
}

static void name_remove(void)
{
    const struct segment_options options = {.name = name};

    segment_discard(&options);
}

TestSuite(restart, .init = name_make, .fini = name_remove, .timeout = 60);

static struct bytes numbered(char text[32], const char *word, unsigned number)
{
    (void)snprintf(text, 32, "%s%u", word, number);
    return bytes_from_string(text);
}

static void must(enum status status)
{
    if (status != STATUS_OK) {
        (void)fprintf(stderr, "unexpected: %s\n", status_code(status));
        _exit(1);
    }
}

static void fill(struct participant *participant)
{
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        char value[32];

        must(transaction_put(participant, TRANSACTION_SINGLE, numbered(key, "key", i), numbered(value, "value", i)));
    }
}

/* Many keys, of which some were only read, in more chunks than one. */
static void lock_keys(struct participant *participant)
{
    unsigned transaction;
    struct value_view view;

    must(transaction_begin(participant, ISOLATION_LOCKING, &transaction));
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];

        must(transaction_get(participant, transaction, numbered(key, "key", i), &view));
        transaction_get_done(participant, transaction);
    }
    must(transaction_put(participant, transaction, bytes_from_string("key1"), bytes_from_string("locked")));
}

/* A server and its worker in one: fills, opens transactions, takes the locks of a shard and of the keys and is killed. */
static void a_server_is_killed_with_its_data(void)
{
    pid_t child = fork();
    int state = 0;

    if (child == 0) {
        struct engine_options options = options_for(BYTES);
        struct participant *participant;
        struct engine *engine;
        unsigned transaction;

        must(engine_create(&options, &engine, reason));
        must(participant_open(engine, &participant));
        fill(participant);
        must(transaction_begin(participant, ISOLATION_SERIALIZABLE, &transaction));
        must(transaction_put(participant, transaction, bytes_from_string("never"), bytes_from_string("committed")));
        lock_keys(participant);
        must(shard_acquire(engine, 0));
        (void)robust_mutex_lock(&engine->segment->header->key_lock_mutex);
        (void)raise(SIGKILL);
    }
    cr_assert_eq(waitpid(child, &state, 0), child);
    cr_assert(WIFSIGNALED(state) && WTERMSIG(state) == SIGKILL);
}

static bool value_is(struct participant *participant, const char *key, const char *value)
{
    struct value_view view;
    bool is_equal;

    if (transaction_get(participant, TRANSACTION_SINGLE, bytes_from_string(key), &view) != STATUS_OK)
        return false;
    is_equal = bytes_equal(value_view_piece(&view, 0), bytes_from_string(value));
    transaction_get_done(participant, TRANSACTION_SINGLE);
    return is_equal;
}

static void assert_serves_everything(struct engine *engine)
{
    struct participant *participant;
    const char *what = NULL;

    cr_assert_eq(participant_open(engine, &participant), STATUS_OK);
    for (unsigned i = 0; i < KEYS; i++) {
        char key[32];
        char value[32];

        (void)numbered(key, "key", i);
        (void)numbered(value, "value", i);
        cr_assert(value_is(participant, key, value), "%s is not %s", key, value);
    }
    cr_assert_not(value_is(participant, "never", "committed"));
    cr_assert_eq(transaction_put(participant, TRANSACTION_SINGLE, bytes_from_string("new"), bytes_from_string("1")),
                 STATUS_OK);
    participant_close(participant);
    cr_assert(segment_is_valid(engine, &what), "%s", what);
}

Test(restart, finds_everything_that_was_committed)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    a_server_is_killed_with_its_data();
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    cr_assert_eq(report.keys, KEYS);
    cr_assert_eq(report.slots_drained, 1);
    cr_assert_not(report.was_clean);
    cr_assert_not(report.was_resized);
    assert_serves_everything(engine);
    engine_detach(engine);
}

Test(restart, knows_a_clean_end)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    a_server_is_killed_with_its_data();
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    engine_mark_clean(engine);
    engine_detach(engine);
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    cr_assert(report.was_clean);
    engine_detach(engine);
}

Test(restart, copies_into_more_memory_and_into_less)
{
    static const size_t sizes[] = {4 * BYTES, BYTES / 2};

    a_server_is_killed_with_its_data();
    for (size_t i = 0; i < 2; i++) {
        struct engine_options options = options_for(sizes[i]);
        struct engine *engine;

        cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
        cr_assert(report.was_resized);
        cr_assert_leq(engine->segment->bytes, sizes[i]);
        assert_serves_everything(engine);
        engine_detach(engine);
    }
}

Test(restart, refuses_less_memory_than_the_data_needs_and_keeps_it)
{
    struct engine_options little = options_for((size_t)112 << 10);
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    a_server_is_killed_with_its_data();
    cr_assert_eq(engine_restore(&little, &engine, &report, reason), STATUS_OUT_OF_MEMORY, "%s", reason);
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    assert_serves_everything(engine);
    engine_detach(engine);
}

Test(restart, refuses_a_segment_in_use)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;
    struct engine *second;

    cr_assert_eq(engine_create(&options, &engine, reason), STATUS_OK, "%s", reason);
    cr_assert_eq(engine_restore(&options, &second, &report, reason), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, "in use by the server with pid"));
    options.is_fresh = true;
    cr_assert_eq(engine_create(&options, &second, reason), STATUS_DENIED);
    engine_detach(engine);
}

Test(restart, finds_nothing_where_nothing_is)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_NOT_FOUND);
}

/* Offsets of one byte each that must not be believed, and the word in the refusal. */
static void assert_refused_when_damaged(size_t offset, unsigned char value, const char *word)
{
    struct engine_options options = options_for(BYTES);
    char path[256];
    unsigned char before = 0;
    struct engine *engine;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/hauskv-%s", SEGMENT_DIRECTORY, name);
    file = fopen(path, "r+b");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, (long)offset, SEEK_SET), 0);
    cr_assert_eq(fread(&before, 1, 1, file), 1);
    cr_assert_eq(fseek(file, (long)offset, SEEK_SET), 0);
    cr_assert_eq(fwrite(&value, 1, 1, file), 1);
    cr_assert_eq(fflush(file), 0);
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_DENIED, "byte %zu", offset);
    cr_assert_not_null(strstr(reason, word), "%s", reason);
    cr_assert_eq(fseek(file, (long)offset, SEEK_SET), 0);
    cr_assert_eq(fwrite(&before, 1, 1, file), 1);
    cr_assert_eq(fclose(file), 0);
}

Test(restart, refuses_what_cannot_be_trusted_and_keeps_it)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    a_server_is_killed_with_its_data();
    assert_refused_when_damaged(offsetof(struct segment_header, magic), 0, "magic");
    assert_refused_when_damaged(offsetof(struct segment_header, format_version), 77, "format version");
    assert_refused_when_damaged(offsetof(struct segment_header, fingerprint), 1, "layout");
    assert_refused_when_damaged(offsetof(struct segment_header, chunk_count) + 3, 1, "header is damaged");
    assert_refused_when_damaged(offsetof(struct segment_header, horizon) + 7, 1, "horizon");
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    assert_serves_everything(engine);
    engine_detach(engine);
}

Test(restart, looks_at_a_private_copy_and_changes_nothing)
{
    struct engine_options options = options_for(BYTES);
    struct engine *engine;

    a_server_is_killed_with_its_data();
    cr_assert_eq(engine_attach(&options, SEGMENT_PRIVATE, &engine, &report, reason), STATUS_OK, "%s", reason);
    assert_serves_everything(engine);
    engine_detach(engine);
    cr_assert_eq(engine_restore(&options, &engine, &report, reason), STATUS_OK, "%s", reason);
    cr_assert_eq(report.keys, KEYS, "the private copy's new key reached the segment");
    cr_assert_eq(report.slots_drained, 1);
    engine_detach(engine);
}
