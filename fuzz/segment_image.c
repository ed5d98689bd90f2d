#include "segment_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mortal.h"
#include "platform/file.h"
#include "segment/process_table.h"
#include "store/shared_store.h"
#include "support/store_random.h"
#include "transaction/engine.h"

#define IMAGE_PID 1u /* where a pid of ours would differ from run to run */
#define KEYS 24u
#define VALUE_BYTES_LARGE ((size_t)5000)

struct scene {
    struct store *store;
    struct store_session *session;
    unsigned points_passed;
};

static void put_key(struct store_session *session, store_transaction transaction, unsigned key, size_t value_size)
{
    unsigned char value[VALUE_BYTES_LARGE];
    char name[16];
    int size = snprintf(name, sizeof(name), "key %u", key);
    enum status status;

    store_content_fill(value, value_size, key);
    status = store_put(session, transaction, bytes_from(name, (size_t)size), bytes_from(value, value_size));
    REQUIRE(status == STATUS_OK);
}

static void del_key(struct store_session *session, store_transaction transaction, unsigned key)
{
    char name[16];
    int size = snprintf(name, sizeof(name), "key %u", key);
    enum status status = store_del(session, transaction, bytes_from(name, (size_t)size));

    REQUIRE(status == STATUS_OK);
}

static struct store_session *session_of(struct store *store)
{
    struct store_session *session = NULL;
    enum status status = store_session_open(store, &session);

    REQUIRE(status == STATUS_OK);
    return session;
}

static store_transaction begun(struct store_session *session, enum isolation isolation)
{
    store_transaction transaction = 0;
    enum status status = store_begin(session, isolation, &transaction);

    REQUIRE(status == STATUS_OK);
    return transaction;
}

static void fill(struct store *store)
{
    struct store_session *session = session_of(store);

    for (unsigned key = 0; key < KEYS; key++)
        put_key(session, STORE_SINGLE, key, key % 8 == 5 ? VALUE_BYTES_LARGE : (size_t)key * 3);
    for (unsigned key = 0; key < KEYS; key += 5)
        del_key(session, STORE_SINGLE, key);
    store_session_close(session);
}

/* A transaction that goes through all that a COMMIT can be. */
static void commit_large(void *context)
{
    struct scene *scene = context;
    store_transaction transaction;

    scene->session = session_of(scene->store);
    transaction = begun(scene->session, ISOLATION_READ_COMMITTED);
    for (unsigned key = 0; key < KEYS; key += 2)
        put_key(scene->session, transaction, key + 10, key % 8 == 4 ? 2500 : 40);
    del_key(scene->session, transaction, 1);
    del_key(scene->session, transaction, 2);
    (void)store_commit(scene->session, transaction, NULL);
}

static void count_point(void *context)
{
    ((struct scene *)context)->points_passed++;
}

/* Transactions that stay open: one has written, one keeps what is overwritten. */
static void leave_open(void *context)
{
    struct scene *scene = context;
    store_transaction writer;

    scene->session = session_of(scene->store);
    (void)begun(scene->session, ISOLATION_SERIALIZABLE);
    writer = begun(scene->session, ISOLATION_SERIALIZABLE);
    put_key(scene->session, writer, 50, 3000);
    for (unsigned key = 0; key < KEYS; key += 3)
        put_key(scene->session, STORE_SINGLE, key, 60);
    del_key(scene->session, STORE_SINGLE, 3);
}

/* Does it in a thread that dies at a point (0: at its end); returns how many points it passed. */
static unsigned do_and_die(struct store *store, void (*task)(void *context), unsigned point)
{
    struct scene scene = {.store = store};
    struct mortal mortal;

    mortal_begin(&mortal, count_point);
    (void)mortal_do(&mortal, task, &scene, point);
    mortal_end(&mortal);
    return scene.points_passed;
}

static void make_scene(struct store *store, unsigned number)
{
    static unsigned points; /* of the whole transaction */

    fill(store);
    if (number == 0)
        shared_store_mark_clean(store);
    else if (number == 1)
        (void)do_and_die(store, leave_open, 0);
    else if (number == 2)
        points = do_and_die(store, commit_large, 0);
    else
        (void)do_and_die(store, commit_large, points * (5 + number) / 12);
}

static void pids_replace(struct store *store)
{
    const struct segment *segment = shared_store_engine(store)->segment;

    segment->header->master_pid = IMAGE_PID;
    for (unsigned number = 0; number < process_slot_count(segment); number++) {
        struct process_slot *slot = process_slot_at(segment, number);

        if (atomic_load(&slot->pid) != 0)
            atomic_store(&slot->pid, IMAGE_PID);
    }
}

static void image_make(struct segment_image *image, unsigned number)
{
    struct shared_store_options options = {
        .bytes = SEGMENT_IMAGE_BYTES,
        .shard_count = SEGMENT_IMAGE_SHARDS,
    };
    struct store *store = NULL;
    enum status status = shared_store_create(&options, &store);
    const struct segment *segment;

    REQUIRE(status == STATUS_OK);
    segment = shared_store_engine(store)->segment;
    make_scene(store, number);
    pids_replace(store);
    image->size = segment->bytes;
    image->data = malloc(image->size);
    REQUIRE(image->data != NULL);
    memcpy(image->data, segment->base, image->size);
    shared_store_destroy(store);
}

const struct segment_image *segment_image(unsigned number)
{
    static struct segment_image images[SEGMENT_IMAGE_COUNT];

    REQUIRE(number < SEGMENT_IMAGE_COUNT);
    for (unsigned i = 0; images[SEGMENT_IMAGE_COUNT - 1].data == NULL && i < SEGMENT_IMAGE_COUNT; i++)
        image_make(&images[i], i);
    return &images[number];
}
