/* A process that gets no more private memory: what needs some is refused with STATUS_INTERNAL, and what it shares with
 * others stays whole. Each attempt is made by a child, which takes all that its allocator has first. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "support/process.h"

#define KEYS 2000u
#define LONG_KEY_BYTES 1000u

static struct participant *you; /* of the child */
static unsigned transaction;    /* the child's */

static void open_engine(void)
{
    char key[32];

    engine_open((size_t)4 << 20, 4);
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        put(me, TRANSACTION_SINGLE, key, "value");
    }
}

/* The child ended with its slot, as if it had been killed. */
static void private_memory_is_whole(void)
{
    (void)slots_drain_dead(engine);
    engine_close();
}

TestSuite(private_memory, .init = open_engine, .timeout = 120);

#ifndef __has_feature
#define __has_feature(name) 0
#endif

/* A sanitizer ends the process where malloc would return NULL, and has its memory from elsewhere. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer) || \
    __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define MEMORY_CAN_BE_EXHAUSTED false
#else
#define MEMORY_CAN_BE_EXHAUSTED true
#endif

/* --- the child --- */

static void touch_stack(void)
{
    volatile unsigned char pages[256 * 1024]; /* the stack cannot grow later either */

    for (size_t i = 0; i < sizeof(pages); i += 1024)
        pages[i] = 1;
}

static void limit_memory(rlim_t bytes)
{
    struct rlimit limit;

    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

static void take_all_memory(void)
{
    void *volatile taken;

    touch_stack();
    limit_memory(0);
    for (size_t size = (size_t)1 << 20; size > 0; size = size > 2048 ? size / 2 : size - 8)
        do
            taken = malloc(size);
        while (taken != NULL);
}

struct attempt {
    enum status (*prepare)(void); /* NULL: nothing */
    enum status (*make)(void);
};

static int is_refused(void *context)
{
    const struct attempt *attempt = context;
    enum status status;

    if (participant_open(engine, &you) != STATUS_OK ||
        transaction_begin(you, ISOLATION_SERIALIZABLE, &transaction) != STATUS_OK ||
        (attempt->prepare != NULL && attempt->prepare() != STATUS_OK))
        _exit(1);
    take_all_memory();
    status = attempt->make();
    limit_memory(RLIM_INFINITY); /* a tool that counts or checks has work to do at the end */
    _exit(status == STATUS_INTERNAL ? 0 : 2);
}

static void assert_refused(enum status (*prepare)(void), enum status (*make)(void))
{
    struct attempt attempt = {prepare, make};

    if (!MEMORY_CAN_BE_EXHAUSTED)
        cr_skip("private_memory: a sanitizer's allocator cannot be exhausted");
    cr_assert_eq(process_run(is_refused, &attempt), 0, "refused: 0, could not be prepared: 1, not refused: 2");
}

/* --- what is attempted --- */

static enum status get(const char *key)
{
    struct value_view view;
    enum status status = transaction_get(you, transaction, text(key), &view);

    if (status == STATUS_OK)
        transaction_get_done(you, transaction);
    return status;
}

static struct bytes long_key(unsigned number)
{
    static char key[LONG_KEY_BYTES];

    memset(key, 'k', sizeof(key));
    (void)snprintf(key, sizeof(key), "%u", number);
    return bytes_from(key, sizeof(key));
}

static enum status get_one(void)
{
    return get("key 1");
}

/* The few keys fit the entries that the first one made, their bytes do not. */
static enum status get_long_keys(void)
{
    enum status status = STATUS_NOT_FOUND;

    for (unsigned i = 0; status == STATUS_NOT_FOUND && i < 40; i++) {
        struct value_view view;

        status = transaction_get(you, transaction, long_key(i), &view);
    }
    return status;
}

static enum status get_many(void)
{
    enum status status = STATUS_OK;
    char key[32];

    for (unsigned i = 0; status == STATUS_OK && i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        status = get(key);
    }
    return status;
}

static enum status put_one(void)
{
    return transaction_put(you, transaction, text("new"), text("value"));
}

static enum status put_large_ones(void)
{
    static unsigned char value[CHUNK_BYTES];
    enum status status = STATUS_OK;

    for (unsigned i = 0; status == STATUS_OK && i < 16; i++)
        status = transaction_put(you, transaction, long_key(i), bytes_from(value, sizeof(value)));
    return status;
}

static enum status put_many(void)
{
    enum status status = STATUS_OK;
    char key[32];

    for (unsigned i = 0; status == STATUS_OK && i < KEYS; i++) {
        (void)snprintf(key, sizeof(key), "new %u", i);
        status = transaction_put(you, transaction, text(key), text("value"));
    }
    return status;
}

static enum status scan_with(size_t limit)
{
    struct key_list keys = {0};
    uint64_t next;

    return transaction_scan(you, transaction, 0, text(""), limit, &keys, &next);
}

static enum status scan_all(void)
{
    return scan_with(KEYS);
}

static enum status count_all(void)
{
    uint64_t count;

    return transaction_count(you, transaction, text(""), &count);
}

static enum status commit(void)
{
    return transaction_commit(you, transaction);
}

static enum status open_another(void)
{
    struct participant *another;

    return participant_open(engine, &another);
}

static enum status create_another(void)
{
    struct engine_options options = {.bytes = (size_t)1 << 20};
    struct engine *another;
    char reason[SEGMENT_REASON_BYTES];

    return engine_create(&options, &another, reason);
}

static enum status attach_another(void)
{
    struct engine_options options = {.name = "test-private-memory"};
    struct engine_restart report;
    struct engine *another;
    char reason[SEGMENT_REASON_BYTES];

    return engine_attach(&options, SEGMENT_PRIVATE, &another, &report, reason);
}

#define LARGE_VALUE_BYTES 400000u
#define PIECES 2u
#define PIECE_BYTES 100000u /* of the allocator's own, not mapped for itself */

static struct engine *target;
static void *pieces[PIECES];

static enum status create_a_target(void)
{
    static unsigned char value[LARGE_VALUE_BYTES];
    struct engine_options options = {.bytes = (size_t)4 << 20};
    char reason[SEGMENT_REASON_BYTES];

    for (unsigned i = 0; i < PIECES; i++)
        pieces[i] = malloc(PIECE_BYTES);
    return transaction_put(you, TRANSACTION_SINGLE, text("large"), bytes_from(value, sizeof(value))) == STATUS_OK
               ? engine_create(&options, &target, reason)
               : STATUS_INTERNAL;
}

static enum status copy_all(void)
{
    return engine_copy(engine, target);
}

/* There is enough for everything but the large value. */
static enum status copy_all_but_the_large(void)
{
    for (unsigned i = 0; i < PIECES; i++)
        free(pieces[i]);
    return engine_copy(engine, target);
}

/* --- sentences --- */

WHOLE_TEST(private_memory, is_needed_to_take_part)
{
    assert_refused(NULL, open_another);
}

WHOLE_TEST(private_memory, is_needed_for_an_engine)
{
    assert_refused(NULL, create_another);
    assert_refused(NULL, attach_another);
}

WHOLE_TEST(private_memory, is_needed_to_note_what_was_read)
{
    assert_refused(NULL, get_one);
    assert_refused(get_one, get_many);
}

WHOLE_TEST(private_memory, is_needed_to_note_the_bytes_of_keys_that_were_read)
{
    assert_refused(get_one, get_long_keys);
}

WHOLE_TEST(private_memory, is_needed_to_find_what_was_written)
{
    assert_refused(NULL, put_one);
    assert_refused(put_one, put_many);
}

WHOLE_TEST(private_memory, is_needed_to_list_the_chunks_of_a_log)
{
    assert_refused(put_one, put_large_ones);
}

WHOLE_TEST(private_memory, is_needed_to_scan)
{
    assert_refused(NULL, scan_all);
    assert_refused(put_one, scan_all);
}

WHOLE_TEST(private_memory, is_needed_to_count_with_own_writes)
{
    assert_refused(put_one, count_all);
}

/* Nothing of it is applied: see the keys below. */
WHOLE_TEST(private_memory, is_needed_to_commit)
{
    assert_refused(put_one, commit);
    (void)slots_drain_dead(engine);
    assert_absent(me, TRANSACTION_SINGLE, "new");
    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), KEYS);
}

WHOLE_TEST(private_memory, is_needed_to_copy_an_engine)
{
    assert_refused(create_a_target, copy_all);
}

WHOLE_TEST(private_memory, is_needed_to_copy_a_large_value)
{
    assert_refused(create_a_target, copy_all_but_the_large);
}
