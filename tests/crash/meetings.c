#include "crash/meeting.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "support/process.h"
#include "support/store_random.h"
#include "transaction/key_lock.h"

#define MEETING_BYTES ((size_t)64 << 10)
#define VERDICT_SECONDS_MAX 20u /* of milliseconds' work: what does not end is wrong; busy machines stand still for seconds */

/* What the other knows between meeting and verdict. */
static unsigned others_transaction;
static pid_t others_process;
static bool has_met;

static void must(enum status status)
{
    REQUIRE(status == STATUS_OK);
}

static unsigned key_x(const struct scene *scene)
{
    return scene_key_in(scene, 0, 0);
}

static unsigned key_y(const struct scene *scene)
{
    return scene_key_in(scene, 1, 0);
}

static bool is_shard_free(const struct scene *scene, unsigned shard)
{
    uint32_t *word = (uint32_t *)(void *)&table_shard(&scene->engine->table, shard)->mutex;

    return __atomic_load_n(word, __ATOMIC_RELAXED) == 0;
}

static bool would_wait(const struct scene *scene)
{
    return !is_shard_free(scene, 0) || !is_shard_free(scene, 1);
}

/* The size of a key's value tells which one it is; 0: not there, -1: no answer. */
static int size_seen(struct participant *participant, unsigned transaction, const struct scene *scene, unsigned key)
{
    struct value_view view;
    enum status status = transaction_get(participant, transaction, scene_key(scene, key), &view);

    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? 0 : -1;
    transaction_get_done(participant, transaction);
    return (int)view.size;
}

static void others_begin(const struct scene *scene)
{
    must(transaction_begin(scene->author, ISOLATION_SERIALIZABLE, &others_transaction));
    has_met = true;
}

/* The others' values tell whose they are: every byte is the key's own. */
static void others_fill(unsigned char *data, size_t size, unsigned key)
{
    memset(data, (int)(key % UINT8_MAX) + 1, size);
}

static enum status others_put(const struct scene *scene, unsigned transaction, unsigned key, size_t size)
{
    unsigned char data[256];

    REQUIRE(size <= sizeof(data));
    others_fill(data, size, key);
    return transaction_put(scene->author, transaction, scene_key(scene, key), bytes_from(data, size));
}

static void x_and_y(struct scene *scene)
{
    scene_put(scene, key_x(scene), 10);
    scene_put(scene, key_y(scene), 10);
}

static const char *validity(const struct scene *scene)
{
    const char *reason;

    return segment_is_valid(scene->engine, &reason) ? NULL : reason;
}

/* --- what a LOCKING transaction has read stays so until it ends --- */

static int x_of_locking;

static bool is_key_lock_mutex_free(const struct scene *scene)
{
    uint32_t *word = (uint32_t *)(void *)&scene->engine->segment->header->key_lock_mutex;

    return __atomic_load_n(word, __ATOMIC_RELAXED) == 0;
}

static void x_to_be_written(struct scene *scene)
{
    scene_put(scene, key_x(scene), 10);
    scene_will_put(scene, key_x(scene), 20);
    scene->engine->lock_timeout_ms = 1; /* the writer waits in vain, or not at all */
}

static enum status writes_x(struct performer *performer)
{
    return scene_do(performer->scene, performer->participant, TRANSACTION_SINGLE, 0);
}

static void locks_x_if_it_can(struct scene *scene)
{
    if (!is_shard_free(scene, 0) || !is_key_lock_mutex_free(scene) || key_locks_exist(scene->engine))
        return;
    must(transaction_begin(scene->author, ISOLATION_LOCKING, &others_transaction));
    has_met = true;
    x_of_locking = size_seen(scene->author, others_transaction, scene, key_x(scene));
}

static const char *x_has_stayed(struct scene *scene, enum status act_answer)
{
    int x;

    if (!has_met)
        return act_answer == STATUS_OK ? validity(scene) : status_code(act_answer);
    x = size_seen(scene->author, others_transaction, scene, key_x(scene));
    must(transaction_commit(scene->author, others_transaction));
    if (x_of_locking != x)
        return "LOCKING reads a key twice, and finds two values";
    if ((act_answer == STATUS_OK) != (x == 20))
        return status_code(act_answer);
    return validity(scene);
}

/* --- a snapshot taken in the middle of a commit sees all of it or nothing --- */

static int x_at_meeting;

static void x_and_y_to_be_written(struct scene *scene)
{
    x_and_y(scene);
    scene_will_put(scene, key_x(scene), 20);
    scene_will_put(scene, key_y(scene), 20);
}

static void begins_and_writes(struct performer *performer)
{
    must(transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction));
    for (size_t i = 0; i < performer->scene->write_count; i++)
        must(scene_do(performer->scene, performer->participant, performer->transaction, i));
}

static enum status commits(struct performer *performer)
{
    return transaction_commit(performer->participant, performer->transaction);
}

static void reads_x_if_it_can(struct scene *scene)
{
    others_begin(scene);
    x_at_meeting = is_shard_free(scene, 0) ? size_seen(scene->author, others_transaction, scene, key_x(scene)) : 0;
}

static const char *sees_all_or_nothing(struct scene *scene, enum status act_answer)
{
    int x;
    int y;

    if (act_answer != STATUS_OK)
        return "the commit fails";
    if (!has_met)
        return NULL;
    x = size_seen(scene->author, others_transaction, scene, key_x(scene));
    y = size_seen(scene->author, others_transaction, scene, key_y(scene));
    transaction_rollback(scene->author, others_transaction);
    if (x_at_meeting != 0 && x_at_meeting != x)
        return "a snapshot changes under its reader";
    return x == y ? validity(scene) : "a snapshot sees half a commit";
}

/* Before it or after it, and so it stays. */
static const char *sees_the_same_x(struct scene *scene, enum status act_answer)
{
    int x;

    if (act_answer != STATUS_OK)
        return "the PUT fails";
    if (!has_met)
        return NULL;
    x = size_seen(scene->author, others_transaction, scene, key_x(scene));
    transaction_rollback(scene->author, others_transaction);
    if (x != 10 && x != 20)
        return "a snapshot sees what nobody wrote";
    return x_at_meeting == 0 || x_at_meeting == x ? validity(scene) : "a snapshot changes under its reader";
}

/* --- of two that each read what the other writes, one must lose --- */

static void reads_x_writes_y(struct performer *performer)
{
    must(transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction));
    (void)size_seen(performer->participant, performer->transaction, performer->scene, key_x(performer->scene));
    must(scene_do(performer->scene, performer->participant, performer->transaction, 0));
}

static void y_to_be_written(struct scene *scene)
{
    x_and_y(scene);
    scene_will_put(scene, key_y(scene), 20);
    others_begin(scene);
    (void)size_seen(scene->author, others_transaction, scene, key_y(scene));
    must(others_put(scene, others_transaction, key_x(scene), 30));
    has_met = false;
}

static char state_of(pid_t process)
{
    char path[64];
    char line[512];
    size_t size;
    const char *after_name;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    REQUIRE(file != NULL);
    size = fread(line, 1, sizeof(line) - 1, file);
    line[size] = '\0';
    (void)fclose(file);
    after_name = strrchr(line, ')');
    REQUIRE(after_name != NULL);
    return after_name[2];
}

/* Waits for a lock, or is done. Twice, so that a page being fetched is not taken for a lock; should it be, it is
 * another meeting, and no wrong verdict. */
static void wait_until_asleep_or_over(pid_t process)
{
    const struct timespec millisecond = {.tv_nsec = 1000L * 1000};

    for (int in_a_row = 0; in_a_row < 2;) {
        char state = state_of(process);

        in_a_row = state == 'S' || state == 'Z' ? in_a_row + 1 : 0;
        (void)nanosleep(&millisecond, NULL);
    }
}

static int others_commit(void *context)
{
    const struct scene *scene = context;

    return transaction_commit(scene->author, others_transaction) == STATUS_OK ? 0 : 1;
}

/* In a process of its own, which waits if it must until the stopped one goes on. */
static void commits_or_waits(struct scene *scene)
{
    others_process = process_start(others_commit, scene);
    wait_until_asleep_or_over(others_process);
    has_met = true;
}

static const char *one_loses(struct scene *scene, enum status act_answer)
{
    bool has_other_committed = process_wait(others_process) == 0;

    /* What the author's process side knows is old by now: only its slot is given back. */
    process_slot_release(scene->engine->segment, scene->author->slot_number);
    free(scene->author);
    scene->author = NULL;
    if (has_other_committed && act_answer == STATUS_OK)
        return "write skew: both commit";
    return has_other_committed || act_answer == STATUS_OK ? validity(scene) : "neither commits";
}

/* --- the horizon does not pass a transaction that begins meanwhile --- */

static enum status advances_horizon(struct performer *performer)
{
    horizon_advance(performer->scene->engine);
    return STATUS_OK;
}

static void begins_and_overwrites(struct scene *scene)
{
    others_begin(scene);
    must(others_put(scene, TRANSACTION_SINGLE, key_x(scene), 20));
}

/* The snapshot's x has 10 bytes, and everything that nobody needs is gone. */
static const char *reads_the_old_x(struct scene *scene, enum status act_answer)
{
    const char *fault = act_answer == STATUS_OK ? validity(scene) : "the act fails";
    int x;

    if (fault != NULL || !has_met)
        return fault;
    (void)engine_clean(scene->engine);
    must(others_put(scene, TRANSACTION_SINGLE, key_x(scene), 30));
    must(others_put(scene, TRANSACTION_SINGLE, scene_key_in(scene, 0, 1), 10));
    x = size_seen(scene->author, others_transaction, scene, key_x(scene));
    transaction_rollback(scene->author, others_transaction);
    return x == 10 ? validity(scene) : "what a snapshot needs was freed, or it was expired";
}

/* --- and not one that is beginning --- */

static enum status begins_and_reads_x(struct performer *performer)
{
    int x;

    must(transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction));
    x = size_seen(performer->participant, performer->transaction, performer->scene, key_x(performer->scene));
    return x == 10 || x == 20 ? STATUS_OK : STATUS_INTERNAL;
}

static void overwrites_and_cleans(struct scene *scene)
{
    if (would_wait(scene))
        return;
    must(others_put(scene, TRANSACTION_SINGLE, key_x(scene), 20));
    (void)engine_clean(scene->engine);
}

static const char *is_pinned(struct scene *scene, enum status act_answer)
{
    return act_answer == STATUS_OK ? validity(scene) : "what a snapshot needs was freed";
}

/* --- a single GET, which looks without the lock, gets the old value or the new one, whole, and keeps it --- */

#define NEW_X_BYTES 60u

/* What a GET or COUNT saw; in memory shared with the child, so that only what belongs to it is stepped. */
static struct got {
    unsigned char value[VALUE_COPIED_BYTES_MAX];
    size_t size;
    uint64_t time; /* as the GET says */
    uint64_t count; /* of keys */
    int sizes[2];   /* of x and y, as size_seen */
} *got;

/* When the old x is there: from, until. */
static uint64_t x_begins;
static uint64_t x_ends;

static uint64_t time_now(const struct scene *scene)
{
    return atomic_load(&scene->engine->segment->header->clock);
}

static void x_with_contents(struct scene *scene)
{
    x_and_y(scene);
    scene_put(scene, key_x(scene), 100);
    x_begins = time_now(scene);
    x_ends = TIME_INFINITE;
}

/* Notes what a GET answered, and ends it. */
static enum status got_note(struct participant *participant, unsigned transaction, enum status status,
                            const struct value_view *view)
{
    got->time = participant->times.snapshot;
    if (status != STATUS_OK)
        return status;
    got->size = view->size;
    memcpy(got->value, value_view_piece(view, 0).data, view->size <= sizeof(got->value) ? view->size : 0);
    if (view->copy == NULL)
        transaction_get_done(participant, transaction);
    return STATUS_OK;
}

static enum status gets_x(struct performer *performer)
{
    const struct scene *scene = performer->scene;
    struct participant *participant = performer->participant;
    unsigned transaction = performer->transaction; /* or TRANSACTION_SINGLE */
    struct value_view view;
    enum status status = transaction_get(participant, transaction, scene_key(scene, key_x(scene)), &view);

    return got_note(participant, transaction, status, &view);
}

/* With no pin: the value is copied, and then looked whether that counts. */
static enum status copies_x(struct performer *performer)
{
    const struct scene *scene = performer->scene;
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;
    enum status status = transaction_get_copy(performer->participant, scene_key(scene, key_x(scene)), copy, &view);

    return got_note(performer->participant, TRANSACTION_SINGLE, status, &view);
}

/* The first time, a function is looked for by the linker, for more instructions than a GET has. */
static void has_got_x(struct performer *performer)
{
    must(gets_x(performer));
}

static void has_copied_x(struct performer *performer)
{
    must(copies_x(performer));
}

static void begins_and_has_got_x(struct performer *performer)
{
    must(transaction_begin(performer->participant, ISOLATION_SERIALIZABLE, &performer->transaction));
    must(gets_x(performer));
}

static bool got_the_old_x(const struct scene *scene)
{
    const struct scene_value *expected = &scene->before[key_x(scene)];

    return got->size == expected->size &&
           store_content_is(bytes_from(got->value, got->size), expected->size, expected->number);
}

static bool got_the_new_x(const struct scene *scene)
{
    unsigned char expected[NEW_X_BYTES];

    others_fill(expected, NEW_X_BYTES, key_x(scene));
    return got->size == NEW_X_BYTES && memcmp(got->value, expected, NEW_X_BYTES) == 0;
}

static bool is_time_of_the_old_x(void)
{
    return got->time >= x_begins && got->time < x_ends;
}

/* Frees the old x, if it may, and writes over its memory. */
static void replaces_x(struct scene *scene)
{
    if (would_wait(scene))
        return;
    has_met = true;
    must(others_put(scene, TRANSACTION_SINGLE, key_x(scene), NEW_X_BYTES));
    x_ends = time_now(scene);
    (void)engine_clean(scene->engine);
    for (unsigned nth = 1; nth < 4; nth++) {
        must(others_put(scene, TRANSACTION_SINGLE, scene_key_in(scene, 0, nth), 10));
        must(others_put(scene, TRANSACTION_SINGLE, scene_key_in(scene, 0, 3 + nth), 100));
    }
}

/* And who begins now gets the new one. */
static const char *got_one_of_both(struct scene *scene, enum status act_answer)
{
    if (act_answer != STATUS_OK)
        return act_answer == STATUS_NOT_FOUND ? "a GET misses what is there" : "a GET fails";
    if (!got_the_old_x(scene) && !got_the_new_x(scene))
        return "a GET reads what was freed";
    if (got_the_old_x(scene) ? !is_time_of_the_old_x() : got->time < x_ends)
        return "what a GET got is not of the time that it says";
    if (has_met && size_seen(scene->author, TRANSACTION_SINGLE, scene, key_x(scene)) != NEW_X_BYTES)
        return "a GET gets what is over";
    return validity(scene);
}

/* --- or finds that it is there no more --- */

static void deletes_x(struct scene *scene)
{
    if (would_wait(scene))
        return;
    has_met = true;
    must(transaction_del(scene->author, TRANSACTION_SINGLE, scene_key(scene, key_x(scene))));
    x_ends = time_now(scene);
    (void)engine_clean(scene->engine);
    must(others_put(scene, TRANSACTION_SINGLE, scene_key_in(scene, 0, 1), 100));
}

static const char *got_it_or_not(struct scene *scene, enum status act_answer)
{
    if (act_answer != STATUS_NOT_FOUND && (act_answer != STATUS_OK || !got_the_old_x(scene)))
        return "a GET reads what was freed";
    if (act_answer == STATUS_OK ? !is_time_of_the_old_x() : got->time < x_ends)
        return "what a GET got is not of the time that it says";
    if (has_met && size_seen(scene->author, TRANSACTION_SINGLE, scene, key_x(scene)) != 0)
        return "a GET gets what was deleted";
    return validity(scene);
}

static enum status others_put_large(const struct scene *scene, unsigned nth, size_t size, int byte)
{
    unsigned char data[2 * CHUNK_BYTES];

    REQUIRE(size <= sizeof(data));
    memset(data, byte, size);
    return transaction_put(scene->author, TRANSACTION_SINGLE, scene_key(scene, scene_key_in(scene, 1, nth)),
                           bytes_from(data, size));
}

/* Every free chunk becomes part of a large value. One was put before: else the first of them is taken for blocks,
 * and keeps most of its bytes. */
static void others_fill_memory(const struct scene *scene, int byte)
{
    unsigned nth = 1;

    for (size_t size = 2 * CHUNK_BYTES; size >= CHUNK_BYTES; size -= CHUNK_BYTES)
        while (others_put_large(scene, nth, size, byte) == STATUS_OK)
            nth++;
}

/* The only version of its size, so its chunk goes with it; what then stands there makes no sense as a version. */
static void deletes_x_and_its_chunk(struct scene *scene)
{
    if (would_wait(scene))
        return;
    has_met = true;
    must(others_put_large(scene, 0, 2 * CHUNK_BYTES, UINT8_MAX));
    must(transaction_del(scene->author, TRANSACTION_SINGLE, scene_key(scene, key_x(scene))));
    x_ends = time_now(scene);
    (void)engine_clean(scene->engine);
    others_fill_memory(scene, UINT8_MAX);
}

/* --- and one whose page goes finds the key all the same --- */

/* Just before its page splits. */
static void x_on_a_full_page(struct scene *scene)
{
    scene_put(scene, key_x(scene), 100);
    for (unsigned nth = 1; nth < PAGE_ENTRIES_NORMAL; nth++)
        scene_put(scene, scene_key_in(scene, 0, nth), 1);
}

/* The split gives the page's chunk back, and one of the large values takes it: an empty page, for who looks. */
static void splits_the_page(struct scene *scene)
{
    if (would_wait(scene))
        return;
    must(others_put_large(scene, 0, 2 * CHUNK_BYTES, 0));
    must(others_put(scene, TRANSACTION_SINGLE, scene_key_in(scene, 0, (unsigned)PAGE_ENTRIES_NORMAL), 1));
    REQUIRE(atomic_load(&table_shard(&scene->engine->table, 0)->page_count) == 2);
    others_fill_memory(scene, 0);
}

static const char *got_the_old_one(struct scene *scene, enum status act_answer)
{
    if (act_answer != STATUS_OK)
        return act_answer == STATUS_NOT_FOUND ? "a GET misses what is there" : "a GET fails";
    return got_the_old_x(scene) ? validity(scene) : "a GET reads what is not of its snapshot";
}

/* --- and does not see half a commit, the later of two GETs less than the earlier --- */

static int copied_size(struct participant *participant, const struct scene *scene, unsigned key)
{
    unsigned char copy[VALUE_COPIED_BYTES_MAX];
    struct value_view view;
    enum status status = transaction_get_copy(participant, scene_key(scene, key), copy, &view);

    if (status != STATUS_OK)
        return -1;
    if (view.copy == NULL)
        transaction_get_done(participant, TRANSACTION_SINGLE);
    return (int)view.size;
}

static int others_copy_x_and_y(void *context)
{
    const struct scene *scene = context;

    got->sizes[0] = copied_size(scene->author, scene, key_x(scene));
    got->sizes[1] = copied_size(scene->author, scene, key_y(scene));
    return 0;
}

/* In a process of its own, as in commits_or_waits. */
static void copies_x_and_y(struct scene *scene)
{
    others_process = process_start(others_copy_x_and_y, scene);
    wait_until_asleep_or_over(others_process);
    has_met = true;
}

/* So many that the commit is a large one (LARGE_WRITES_MIN), whose locks GETs read through until it ticks. */
static void x_and_y_among_many(struct scene *scene)
{
    x_and_y_to_be_written(scene);
    for (unsigned nth = 1; nth < 3; nth++)
        for (unsigned shard = 0; shard < 2; shard++)
            scene_will_put(scene, scene_key_in(scene, shard, nth), 20);
}

static const char *copies_no_half(struct scene *scene, enum status act_answer)
{
    int x;
    int y;

    if (process_wait(others_process) != 0 || act_answer != STATUS_OK)
        return "a GET or the commit fails";
    x = got->sizes[0];
    y = got->sizes[1];
    if ((x != 10 && x != 20) || (y != 10 && y != 20))
        return "a GET gets neither the old nor the new";
    return x == 20 && y == 10 ? "two GETs see half a commit" : validity(scene);
}

/* --- and a COUNT does, which looks for what its transaction wrote --- */

static void x_on_a_full_page_to_be_written(struct scene *scene)
{
    x_on_a_full_page(scene);
    scene_will_put(scene, key_x(scene), 20);
}

static enum status counts(struct performer *performer)
{
    return transaction_count(performer->participant, performer->transaction, bytes_from(NULL, 0), &got->count);
}

/* And has counted, as has_got_x. */
static void begins_and_writes_and_has_counted(struct performer *performer)
{
    begins_and_writes(performer);
    must(counts(performer));
    got->count = 0;
}

static const char *counted_each_once(struct scene *scene, enum status act_answer)
{
    if (act_answer != STATUS_OK)
        return "a COUNT fails";
    if (got->count != PAGE_ENTRIES_NORMAL)
        return got->count > PAGE_ENTRIES_NORMAL ? "a COUNT counts a key twice" : "a COUNT misses a key";
    return validity(scene);
}

/* --- who expires an idle transaction never meets the next one in its place --- */

static void the_other_is_long_idle(struct scene *scene)
{
    x_and_y(scene);
    others_begin(scene);
    atomic_store(&scene->author->slot->transactions[others_transaction - 1].idle_since_ms, 0);
    has_met = false;
}

static enum status expires(struct performer *performer)
{
    const struct scene *scene = performer->scene;

    (void)transaction_expire(scene->engine, scene->author->slot_number, others_transaction - 1, 1);
    return STATUS_OK;
}

static void begins_anew_and_overwrites(struct scene *scene)
{
    transaction_rollback(scene->author, others_transaction);
    begins_and_overwrites(scene);
}

const struct meeting meetings[] = {
    {"locking_meets_put", x_to_be_written, NULL, writes_x, locks_x_if_it_can, x_has_stayed, 7},
    {"locking_meets_commit", x_to_be_written, begins_and_writes, commits, locks_x_if_it_can, x_has_stayed, 13},
    {"snapshot_meets_put", x_to_be_written, NULL, writes_x, reads_x_if_it_can, sees_the_same_x, 0},
    {"snapshot_meets_commit", x_and_y_to_be_written, begins_and_writes, commits, reads_x_if_it_can, sees_all_or_nothing,
     0},
    {"commit_meets_commit", y_to_be_written, reads_x_writes_y, commits, commits_or_waits, one_loses, 0},
    {"horizon_meets_begin", x_and_y, NULL, advances_horizon, begins_and_overwrites, reads_the_old_x, 1},
    {"begin_meets_horizon", x_and_y, NULL, begins_and_reads_x, overwrites_and_cleans, is_pinned, 7},
    {"get_meets_clean", x_with_contents, has_got_x, gets_x, replaces_x, got_one_of_both, 3},
    {"get_meets_del", x_with_contents, has_got_x, gets_x, deletes_x, got_it_or_not, 7},
    {"get_meets_split", x_on_a_full_page, has_got_x, gets_x, splits_the_page, got_the_old_one, 5},
    {"snapshot_get_meets_clean", x_with_contents, begins_and_has_got_x, gets_x, replaces_x, got_the_old_one, 7},
    {"copied_get_meets_put", x_with_contents, has_copied_x, copies_x, replaces_x, got_one_of_both, 1},
    {"copied_get_meets_del", x_with_contents, has_copied_x, copies_x, deletes_x, got_it_or_not, 5},
    {"copied_get_meets_reuse", x_with_contents, has_copied_x, copies_x, deletes_x_and_its_chunk, got_it_or_not, 3},
    {"copied_get_meets_split", x_on_a_full_page, has_copied_x, copies_x, splits_the_page, got_the_old_one, 3},
    {"commit_meets_copied_gets", x_and_y_to_be_written, begins_and_writes, commits, copies_x_and_y, copies_no_half, 0},
    {"large_commit_meets_copied_gets", x_and_y_among_many, begins_and_writes, commits, copies_x_and_y, copies_no_half, 0},
    {"count_meets_split", x_on_a_full_page_to_be_written, begins_and_writes_and_has_counted, counts, splits_the_page,
     counted_each_once, 17},
    {"expiry_meets_owner", the_other_is_long_idle, NULL, expires, begins_anew_and_overwrites, reads_the_old_x, 1},
};
const size_t meeting_count = sizeof(meetings) / sizeof(meetings[0]);

/* --- running --- */

struct run {
    const struct meeting *meeting;
    struct scene *scene;
    struct stepper_report *report;
};

static void act_run(void *context)
{
    struct run *run = context;
    const struct segment *segment = run->scene->engine->segment;
    struct performer performer = {.scene = run->scene, .report = run->report};

    must(performer_open(&performer));
    if (run->meeting->prepare != NULL)
        run->meeting->prepare(&performer);
    if (run->meeting->every == 0)
        stepper_begin_writes(segment->base, segment->bytes);
    else
        stepper_begin();
    atomic_store(&run->report->status, (int)run->meeting->act(&performer));
    atomic_store(&run->report->has_returned, 1);
    stepper_end(run->report);
}

/* In the long run, behind every instruction. */
static unsigned every_of(const struct meeting *meeting)
{
    return meeting->every > 1 && store_environment_number("HAUSKV_CRASH_LEVEL", 0) == 2 ? 1 : meeting->every;
}

/* Stops the child at the point-th point; STEPPER_FINISHED: it has no more. */
static enum stepper_outcome go_to(const struct run *run, pid_t child, long point, int *signal_number)
{
    const struct segment *segment = run->scene->engine->segment;
    enum stepper_outcome outcome = STEPPER_STEPPED;
    long steps = run->meeting->every == 0 ? point : point * every_of(run->meeting);

    for (*signal_number = 0; steps > 0 && outcome == STEPPER_STEPPED; steps--)
        outcome = run->meeting->every == 0
                      ? stepper_next_write(child, run->report, segment->base, segment->bytes, signal_number)
                      : stepper_step(child, run->report, signal_number);
    return outcome;
}

static enum stepper_outcome finish(const struct run *run, pid_t child, int *signal_number)
{
    const struct segment *segment = run->scene->engine->segment;
    enum stepper_outcome outcome = STEPPER_STEPPED;

    if (run->meeting->every != 0)
        return stepper_go_on(child, run->report, signal_number);
    while (outcome == STEPPER_STEPPED)
        outcome = stepper_next_write(child, run->report, segment->base, segment->bytes, signal_number);
    return outcome;
}

static void violation_note(struct encounter *encounter, const char *reason)
{
    if (encounter->violations++ == 0)
        (void)snprintf(encounter->first_violation, sizeof(encounter->first_violation), "met at point %ld: %s",
                       encounter->points, reason);
}

/* One run from the start. False: the operation was over before the point. */
static bool meet_at(struct run *run, long point, struct encounter *encounter)
{
    enum stepper_outcome outcome;
    const char *fault = NULL;
    int signal_number = 0;
    pid_t child;

    memset(run->report, 0, sizeof(*run->report));
    memset(got, 0, sizeof(*got));
    has_met = false;
    scene_open(run->scene, MEETING_BYTES, 2);
    run->meeting->arrange(run->scene);
    child = stepper_start(act_run, run);
    REQUIRE(child > 0);
    outcome = go_to(run, child, point, &signal_number);
    (void)alarm(VERDICT_SECONDS_MAX);
    if (outcome == STEPPER_STEPPED) {
        encounter->points++;
        run->meeting->meet(run->scene);
        outcome = finish(run, child, &signal_number);
        if (outcome == STEPPER_FINISHED)
            fault = run->meeting->verdict(run->scene, (enum status)atomic_load(&run->report->status));
        else
            fault = signal_number == SIGABRT ? "the stopped one breaks a contract" : "the stopped one dies";
        outcome = STEPPER_STEPPED;
    }
    stepper_kill(child);
    scene_close(run->scene);
    (void)alarm(0);
    if (fault != NULL)
        violation_note(encounter, fault);
    return outcome == STEPPER_STEPPED;
}

void meeting_run(const struct meeting *meeting, struct encounter *encounter)
{
    static struct scene scene;
    struct run run = {.meeting = meeting, .scene = &scene};

    memset(encounter, 0, sizeof(*encounter));
    run.report = process_shared_memory(sizeof(*run.report));
    got = process_shared_memory(sizeof(*got));
    for (long point = 0; encounter->violations == 0 && meet_at(&run, point, encounter);)
        point++;
    (void)munmap(got, sizeof(*got));
    (void)munmap(run.report, sizeof(*run.report));
}
