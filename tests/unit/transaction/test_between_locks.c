/* What SCAN and COUNT find while others write between any two of their locks. Nobody has to be lucky to meet them: this
 * program's pthread_mutex_unlock is its own, and whenever a shard is given back, another participant comes in. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>

#include "engine_fixture.h"

#define KEYS 300u
#define KEYS_OF_A_VISIT 8000u /* enough for pages to split, and for the memory of the old ones to be something else */
#define VISITS 3u

static struct participant *other;
static unsigned visits_left;

static void open_engine(void)
{
    engine_open((size_t)16 << 20, 4);
    other = a_participant();
}

static void between_locks_is_whole(void)
{
    cr_assert_eq(visits_left, 0);
    participant_close(other);
    engine_close();
}

TestSuite(between_locks, .init = open_engine, .timeout = 120);

/* --- sentences --- */

static void put_keys(struct participant *participant, const char *kind, unsigned count)
{
    char key[48];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%s %u", kind, i);
        put(participant, TRANSACTION_SINGLE, key, "");
    }
}

static void del_keys(struct participant *participant, const char *kind, unsigned count)
{
    char key[48];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "%s %u", kind, i);
        del(participant, TRANSACTION_SINGLE, key);
    }
}

static void visit(void)
{
    static unsigned number;
    static bool is_inside;
    char kind[32];

    if (visits_left == 0 || is_inside)
        return;
    is_inside = true;
    visits_left--;
    (void)snprintf(kind, sizeof(kind), "visit %u", number++);
    put_keys(other, kind, KEYS_OF_A_VISIT);
    del_keys(other, "key", KEYS / 2);
    is_inside = false;
}

int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    static int (*unlock)(pthread_mutex_t *mutex);
    int result;

    if (unlock == NULL)
        *(void **)(void *)&unlock = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    result = unlock(mutex);
    visit();
    return result;
}

/* --- what is seen --- */

WHOLE_TEST(between_locks, count_is_of_its_snapshot)
{
    put_keys(me, "key", KEYS);
    visits_left = VISITS;

    cr_assert_eq(count_of(me, TRANSACTION_SINGLE), KEYS);
}

WHOLE_TEST(between_locks, count_of_a_prefix_is_of_its_snapshot)
{
    uint64_t count = 0;

    put_keys(me, "key", KEYS);
    put_keys(me, "no key", KEYS);
    visits_left = VISITS;

    cr_assert_eq(transaction_count(me, TRANSACTION_SINGLE, text("key"), &count), STATUS_OK);
    cr_assert_eq(count, KEYS);
}

WHOLE_TEST(between_locks, scan_is_of_its_snapshot)
{
    struct key_list keys = {0};
    uint64_t next = 1;

    put_keys(me, "key", KEYS);
    visits_left = VISITS;

    cr_assert_eq(transaction_scan(me, TRANSACTION_SINGLE, 0, bytes_from(NULL, 0), 10000, &keys, &next), STATUS_OK);
    cr_assert_eq(next, 0);
    cr_assert_eq(keys.count, KEYS);
    for (size_t i = 0; i < keys.count; i++)
        cr_assert(bytes_start_with(key_list_key(&keys, i), text("key ")));
    key_list_deinit(&keys);
}
