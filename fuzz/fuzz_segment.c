/* A damaged segment. The input edits an image of one; a server that starts, or
 * somebody who looks, must refuse it or serve it, whatever it holds then: every
 * key can be listed and read, but for those of a shard that is set aside, others
 * can be written, and at the end all is valid. No crash, no endless loop.
 *
 * Input: the image (1 byte), who comes (1), then edits of 5 to 12 bytes: what and
 * where (1: see edit_apply), offset (2), value. */
#include "harness.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "private_store.h"
#include "segment_image.h"
#include "segment/process_table.h"
#include "transaction/engine.h"

#define DIRECTORY "/dev/shm"
#define EDITS_MAX 64u
#define SCANS_MAX 10000u
#define KEYS_MAX 60u /* more than an image has */

/* --- editing --- */

#define PLACE_OWNERS 3u /* see place_choose */

struct place {
    size_t offset;
    size_t size;
};

/* The index-th chunk of a kind in the image; the whole image if there is none. */
static struct place chunk_place(const struct segment_image *image, enum chunk_kind kind, unsigned index)
{
    const struct segment_header *header = (const struct segment_header *)(const void *)image->data;
    const _Atomic uint32_t *owners = (const _Atomic uint32_t *)(const void *)(image->data + header->owners_offset);

    for (unsigned round = 0; round < 2; round++) {
        for (uint32_t number = 1; number <= header->chunk_count; number++) {
            if (chunk_owner_kind(atomic_load(&owners[number])) == kind && index-- == 0)
                return (struct place){header->chunks_offset + (size_t)(number - 1) * CHUNK_BYTES, CHUNK_BYTES};
        }
    }
    return (struct place){0, image->size};
}

static struct place place_choose(const struct segment_image *image, unsigned place, unsigned index)
{
    const struct segment_header *header = (const struct segment_header *)(const void *)image->data;

    switch (place) {
    case 0:
        return (struct place){0, image->size};
    case 1:
        return (struct place){0, header->root_offset};
    case 2:
        return (struct place){header->root_offset, header->root_bytes};
    case PLACE_OWNERS:
        return (struct place){header->owners_offset, header->infos_offset - header->owners_offset};
    case 4:
        return chunk_place(image, CHUNK_SLOT, index);
    case 5:
        return chunk_place(image, CHUNK_PAGE, index);
    case 6:
        return chunk_place(image, CHUNK_BLOCK, index);
    default:
        return chunk_place(image, CHUNK_LOG, index);
    }
}

/* A chunk's owner that is of some kind, else any: byte by byte one is seldom made. */
static uint64_t owner_make(unsigned kind, uint64_t value)
{
    return chunk_owner_word((enum chunk_kind)(kind % CHUNK_KIND_COUNT), 0, (unsigned)(value & CHUNK_OWNER_MAX));
}

/* One byte, four, eight, or a word that is raised or lowered; words at their alignment. */
static void edit_apply(unsigned char *segment, const struct segment_image *image, struct input *input)
{
    static const size_t sizes[] = {1, 4, 8, 4};
    uint8_t what = input_byte(input);
    uint64_t offset = input_number(input, 2);
    unsigned operation = what / 8 % 4;
    size_t size = sizes[operation];
    struct place place = place_choose(image, what % 8, what / 32);
    size_t target = place.offset + (size_t)(offset * (place.size > UINT16_MAX ? 4 : 1) % place.size) / size * size;
    uint64_t value = input_number(input, operation == 3 ? 1 : size);
    uint32_t word;

    if (what % 8 == PLACE_OWNERS && operation == 1 && what / 32 != 0)
        value = owner_make(what / 32, value);
    if (target + size > image->size)
        return;
    if (operation == 3) {
        memcpy(&word, segment + target, sizeof(word));
        word += value < 128 ? (uint32_t)value : (uint32_t)value - 256u;
        memcpy(segment + target, &word, sizeof(word));
    } else {
        memcpy(segment + target, &value, size); /* little endian, as all of the segment */
    }
}

/* The file that somebody finds. */
static void file_write_image(const char *path, const unsigned char *data, size_t size)
{
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t written;

    REQUIRE(file >= 0);
    written = write(file, data, size);
    REQUIRE(written == (ssize_t)size);
    (void)close(file);
}

/* --- serving --- */

struct listing {
    struct store_session *session;
    uint64_t keys;
    size_t bytes;
};

static void piece_read(void *context, struct bytes piece)
{
    struct listing *listing = context;

    for (size_t i = 0; i < piece.size; i++)
        listing->bytes += piece.data[i] != 0;
}

static void key_list(void *context, struct bytes key)
{
    struct listing *listing = context;

    ENSURE(key.size >= 1 && key.size <= STORE_KEY_BYTES_MAX);
    listing->keys++;
    listing->bytes += key.data[key.size - 1];
}

static void key_get(void *context, struct bytes key)
{
    struct listing *listing = context;
    struct store_sink sink = {.write = piece_read, .context = listing};
    enum status status = store_get(listing->session, STORE_SINGLE, key, &sink);

    ENSURE(status == STATUS_OK);
}

static void list_keys(struct listing *listing, void (*each)(void *context, struct bytes key))
{
    struct store_scan scan = {.limit = 7, .key = each, .context = listing};
    unsigned scans = 0;

    do {
        uint64_t begin = scan.cursor;
        enum status status = store_scan(listing->session, STORE_SINGLE, &scan);

        ENSURE(status == STATUS_OK && ++scans < SCANS_MAX);
        ENSURE(scan.cursor == 0 || scan.cursor > begin);
    } while (scan.cursor != 0);
}

/* A part of the store that was found damaged refuses; nothing else does. */
static bool is_answer(enum status status, bool has_damage)
{
    return status == STATUS_OK || (has_damage && status == STATUS_UNAVAILABLE);
}

static void write_keys(struct store_session *session, store_transaction transaction, bool has_damage)
{
    static const unsigned char value[3000];

    for (unsigned key = 0; key < 30; key += 4) {
        char name[16];
        int size = snprintf(name, sizeof(name), "key %u", key);
        struct bytes bytes = bytes_from(name, (size_t)size);
        enum status status = key % 8 == 0 ? store_del(session, transaction, bytes)
                                          : store_put(session, transaction, bytes, bytes_from(value, (size_t)key * 100));

        ENSURE(is_answer(status, has_damage) || status == STATUS_OUT_OF_MEMORY);
    }
}

static void write_in_transaction(struct store_session *session, bool has_damage)
{
    store_transaction transaction;
    enum status status = store_begin(session, ISOLATION_SERIALIZABLE, &transaction);

    ENSURE(status == STATUS_OK);
    write_keys(session, transaction, has_damage);
    status = store_commit(session, transaction, NULL);
    ENSURE(is_answer(status, has_damage) || status == STATUS_OUT_OF_MEMORY);
}

static void read_all(struct listing *listing, uint64_t keys)
{
    uint64_t count = 0;
    enum status status = store_count(listing->session, STORE_SINGLE, bytes_from(NULL, 0), &count);

    ENSURE(status == STATUS_OK);
    list_keys(listing, key_list);
    ENSURE(count == keys && listing->keys == keys);
    list_keys(listing, key_get);
}

/* Those that the image had are there, or refused, or gone by the damage; and they cannot be counted. */
static void read_what_is_left(struct listing *listing, uint64_t keys)
{
    struct store_sink sink = {.write = piece_read, .context = listing};
    uint64_t count = 0;
    enum status status = store_count(listing->session, STORE_SINGLE, bytes_from(NULL, 0), &count);

    ENSURE(status == STATUS_UNAVAILABLE);
    count = 0;
    for (unsigned key = 0; key < KEYS_MAX; key++) {
        char name[16];
        int size = snprintf(name, sizeof(name), "key %u", key);

        status = store_get(listing->session, STORE_SINGLE, bytes_from(name, (size_t)size), &sink);
        ENSURE(is_answer(status, true) || status == STATUS_NOT_FOUND);
        count += status == STATUS_OK;
    }
    ENSURE(count <= keys);
}

static void serve(struct store *store, uint64_t keys, bool has_damage)
{
    struct listing listing = {0};
    enum status status = store_session_open(store, &listing.session);

    ENSURE(status == STATUS_OK || status == STATUS_TOO_MANY_CLIENTS);
    if (status != STATUS_OK)
        return;
    if (has_damage)
        read_what_is_left(&listing, keys);
    else
        read_all(&listing, keys);
    write_keys(listing.session, STORE_SINGLE, has_damage);
    write_in_transaction(listing.session, has_damage);
    (void)shared_store_tidy(store);
    store_session_close(listing.session);
    private_store_check(store);
}

/* --- coming --- */

enum guest { LOOKS, LOOKS_TOO, TAKES_OVER, RESIZES };

static enum status come(const struct shared_store_options *options, enum guest guest, struct store **store,
                        struct shared_store_restart *restart)
{
    if (guest == LOOKS || guest == LOOKS_TOO)
        return shared_store_attach(options, true, store, restart);
    return shared_store_restore(options, store, restart);
}

static void visit(const char *name, enum guest guest)
{
    struct shared_store_options options = {.name = name, .directory = DIRECTORY, .shard_count = SEGMENT_IMAGE_SHARDS};
    struct shared_store_restart restart;
    struct store *store = NULL;
    enum status status;

    if (guest == RESIZES)
        options.bytes = 2 * SEGMENT_IMAGE_BYTES;
    status = come(&options, guest, &store, &restart);
    if (status != STATUS_OK) {
        ENSURE(status == STATUS_DENIED || status == STATUS_NOT_FOUND || status == STATUS_OUT_OF_MEMORY);
        ENSURE(shared_store_reason()[0] != '\0');
        return;
    }
    serve(store, restart.keys, restart.shards_set_aside > 0);
    shared_store_destroy(store);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static unsigned char segment[SEGMENT_IMAGE_BYTES];
    struct input input = input_from(data, size);
    const struct segment_image *image = segment_image(input_byte(&input) % SEGMENT_IMAGE_COUNT);
    uint8_t who = input_byte(&input);
    size_t kept = who >= 0xf0 ? input_number(&input, 3) % image->size : image->size; /* of the file */
    char name[32];
    char path[sizeof(DIRECTORY) + sizeof(name) + 8];

    REQUIRE(image->size <= sizeof(segment));
    memcpy(segment, image->data, image->size);
    for (unsigned edits = 0; edits < EDITS_MAX && !input_is_empty(&input); edits++)
        edit_apply(segment, image, &input);
    (void)snprintf(name, sizeof(name), "fuzz-%d", fuzz_place());
    (void)snprintf(path, sizeof(path), DIRECTORY "/hauskv-%s", name);
    file_write_image(path, segment, kept);
    visit(name, (enum guest)(who % 4));
    segment_discard(&(struct segment_options){.name = name, .directory = DIRECTORY});
    return 0;
}
