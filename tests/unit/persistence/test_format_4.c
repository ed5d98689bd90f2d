/* The reader of format 4: it agrees with the engine as long as that writes
 * format 4, reads a committed image whatever the engine writes, and survives what
 * is no segment. Damage is in tests/survival/test_salvage.c and fuzz/fuzz_salvage.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "persistence/format_4.h"
#include "segment/process_table.h"
#include "store/shared_store.h"
#include "table/table.h"
#include "transaction/engine.h"

TestSuite(format_4);

#define IMAGE_KEYS 30u
#define IMAGE_LARGE_BYTES 40000u
#define IMAGE_BYTES_MAX ((size_t)600 << 10)

#define MAGIC 0x31766b7375616825u

static size_t image_value_bytes(unsigned key)
{
    return key == 7 ? IMAGE_LARGE_BYTES : (size_t)key % 3 * 1000;
}

#if SEGMENT_FORMAT_VERSION == 4

#include "../../../src/persistence/format_4_layout.h"

/* The frozen definitions are those of the engine. */
Test(format_4, is_what_the_engine_writes)
{
    cr_assert_eq(F4_HEADER_MAGIC, offsetof(struct segment_header, magic));
    cr_assert_eq(F4_HEADER_FINGERPRINT, offsetof(struct segment_header, fingerprint));
    cr_assert_eq(F4_HEADER_BYTES, offsetof(struct segment_header, bytes));
    cr_assert_eq(F4_HEADER_ROOT_OFFSET, offsetof(struct segment_header, root_offset));
    cr_assert_eq(F4_HEADER_ROOT_BYTES, offsetof(struct segment_header, root_bytes));
    cr_assert_eq(F4_HEADER_OWNERS_OFFSET, offsetof(struct segment_header, owners_offset));
    cr_assert_eq(F4_HEADER_INFOS_OFFSET, offsetof(struct segment_header, infos_offset));
    cr_assert_eq(F4_HEADER_CHUNKS_OFFSET, offsetof(struct segment_header, chunks_offset));
    cr_assert_eq(F4_HEADER_FORMAT_VERSION, offsetof(struct segment_header, format_version));
    cr_assert_eq(F4_HEADER_CHUNK_COUNT, offsetof(struct segment_header, chunk_count));
    cr_assert_eq(F4_HEADER_HASH_KEY, offsetof(struct segment_header, hash_key));
    cr_assert_eq(F4_HEADER_CLOCK, offsetof(struct segment_header, clock));
    cr_assert_eq(F4_HEADER_SLOT_BLOCKS, offsetof(struct segment_header, slot_blocks));
    cr_assert_geq(FORMAT_4_OWNED_BYTES, offsetof(struct segment_header, is_clean) + sizeof(uint32_t));
    cr_assert_eq(F4_INFO_BYTES, sizeof(struct chunk_info));
    cr_assert_eq(F4_ROOT_BYTES, sizeof(struct table_root));
    cr_assert_eq(F4_ROOT_SHARD_COUNT, offsetof(struct table_root, shard_count));
    cr_assert_eq(F4_ROOT_DIRECTORY_DEPTH, offsetof(struct table_root, directory_depth));
    cr_assert_eq(F4_SHARD_BYTES, sizeof(struct shard));
    cr_assert_eq(F4_SHARD_SET_ASIDE, offsetof(struct shard, is_set_aside));
    cr_assert_eq(F4_SHARD_KEY_COUNT, offsetof(struct shard, key_count));
    cr_assert_eq(F4_SHARD_COUNT_MAX, SHARD_COUNT_MAX);
    cr_assert_eq(F4_DIRECTORY_DEPTH_MAX, PAGE_DEPTH_MAX);
    cr_assert_eq(F4_UNIT_BYTES, REFERENCE_UNIT_BYTES);
    cr_assert_eq(F4_KIND_PAGE, CHUNK_PAGE);
    cr_assert_eq(F4_KIND_BLOCK, CHUNK_BLOCK);
    cr_assert_eq(F4_KIND_VALUE, CHUNK_VALUE);
    cr_assert_eq(F4_KIND_LOG, CHUNK_LOG);
    cr_assert_eq(F4_KIND_SLOT, CHUNK_SLOT);
    cr_assert_eq(F4_PAGE_REPLACED_BY, offsetof(struct page, replaced_by));
    cr_assert_eq(F4_PAGE_PREFIX, offsetof(struct page, prefix));
    cr_assert_eq(F4_PAGE_DEPTH, offsetof(struct page, depth));
    cr_assert_eq(F4_PAGE_ENTRIES, offsetof(struct page, entries));
    cr_assert_eq(F4_VERSION_BEGIN, offsetof(struct version, begin));
    cr_assert_eq(F4_VERSION_END, offsetof(struct version, end));
    cr_assert_eq(F4_VERSION_VALUE_SIZE, offsetof(struct version, value_size));
    cr_assert_eq(F4_VERSION_KEY_SIZE, offsetof(struct version, key_size));
    cr_assert_eq(F4_VERSION_BYTES, sizeof(struct version));
    cr_assert_eq(F4_KEY_BYTES_MAX, KEY_BYTES_MAX);
    cr_assert_eq(F4_SLOT_BYTES, sizeof(struct process_slot));
    cr_assert_eq(F4_SLOT_WORD, offsetof(struct process_slot, commit.word));
    cr_assert_eq(F4_SLOT_PENDING, offsetof(struct process_slot, commit.pending));
    cr_assert_eq(F4_SLOT_REDO_CHUNK, offsetof(struct process_slot, commit.redo_chunk));
    cr_assert_eq(F4_SLOT_REDO_COUNT, offsetof(struct process_slot, commit.redo_count));
    cr_assert_eq(F4_SLOT_REDO_BUILT_IN, offsetof(struct process_slot, commit.built_in));
    cr_assert_eq(F4_REDO_BUILT_IN, SLOT_REDO_BUILT_IN);
    cr_assert_eq(F4_REDO_BYTES, sizeof(struct redo_entry));
    cr_assert_eq(F4_REDO_CHUNK_ENTRIES, offsetof(struct redo_chunk, entries));
    cr_assert_eq(F4_REDO_PUT, REDO_PUT);
    cr_assert_eq(F4_REDO_DEL, REDO_DEL);
}

/* --- the same pairs as the engine --- */

struct comparison {
    struct store_session *session;
    const struct format_4 *segment;
    const struct format_4_pair *pair;
    size_t compared;
    uint64_t damages;
};

static void piece_compare(void *context, struct bytes piece)
{
    struct comparison *comparison = context;

    while (piece.size > 0) {
        struct bytes other = format_4_piece(comparison->segment, comparison->pair, comparison->compared);
        size_t size = other.size < piece.size ? other.size : piece.size;

        cr_assert_gt(size, 0);
        cr_assert_eq(memcmp(piece.data, other.data, size), 0);
        piece = bytes_slice(piece, size, piece.size - size);
        comparison->compared += size;
    }
}

static bool pair_compare(void *context, const struct format_4_pair *pair)
{
    struct comparison *comparison = context;
    const struct store_sink sink = {.write = piece_compare, .context = comparison};

    comparison->pair = pair;
    comparison->compared = 0;
    cr_assert_eq(store_get(comparison->session, STORE_SINGLE, pair->key, &sink), STATUS_OK);
    cr_assert_eq(comparison->compared, pair->value_size);
    return true;
}

static void damage_count(void *context, const struct format_4_damage *damage)
{
    ((struct comparison *)context)->damages++;
    fprintf(stderr, "shard %d: %s\n", damage->shard, damage->what);
}

static void assert_same_pairs(struct store *store, struct store_session *session)
{
    const struct segment *of_engine = shared_store_engine(store)->segment;
    struct format_4 segment;
    struct comparison comparison = {.session = session, .segment = &segment};
    const struct format_4_visitor visitor = {pair_compare, damage_count, &comparison};
    struct format_4_result result;
    uint64_t count = 0;

    cr_assert_eq(format_4_open(&segment, bytes_from(of_engine->base, of_engine->bytes)), FORMAT_4_OPENED);
    cr_assert_eq(segment.chunk_bytes, CHUNK_BYTES);
    result = format_4_read(&segment, &visitor);
    cr_assert_eq(result.damages, 0);
    cr_assert_not(result.is_memory_short);
    cr_assert_eq(store_count(session, STORE_SINGLE, bytes_from(NULL, 0), &count), STATUS_OK);
    cr_assert_eq(result.pairs, count);
}

static struct store *store_of(size_t bytes, unsigned shard_count)
{
    struct shared_store_options options = {.bytes = bytes, .shard_count = shard_count};
    struct store *store = NULL;

    cr_assert_eq(shared_store_create(&options, &store), STATUS_OK);
    return store;
}

static void put(struct store_session *session, unsigned key, size_t value_size)
{
    static unsigned char value[200000];
    char name[32];
    int size = snprintf(name, sizeof name, "key %u", key);

    memset(value, 'a' + (int)(key % 26), value_size);
    cr_assert_eq(store_put(session, STORE_SINGLE, bytes_from(name, (size_t)size), bytes_from(value, value_size)), STATUS_OK);
}

static void del(struct store_session *session, unsigned key)
{
    char name[32];
    int size = snprintf(name, sizeof name, "key %u", key);

    cr_assert_eq(store_del(session, STORE_SINGLE, bytes_from(name, (size_t)size)), STATUS_OK);
}

/* What the committed image was made of. Half of a commit is published when all its processes die: it puts `late` and `new`, and
 * deletes `gone`. */
static void image_fill(struct store *store)
{
    struct engine *engine = shared_store_engine(store);
    static const char *const late[] = {"late", "new", "gone"};
    struct store_session *session = NULL;
    struct process_slot *slot;
    uint64_t time;

    cr_assert_eq(store_session_open(store, &session), STATUS_OK);
    slot = process_slot_at(engine->segment, 0);
    for (unsigned key = 0; key < IMAGE_KEYS; key++)
        put(session, key, image_value_bytes(key));
    cr_assert_eq(store_put(session, STORE_SINGLE, bytes_from_string("late"), bytes_from_string("old")), STATUS_OK);
    cr_assert_eq(store_put(session, STORE_SINGLE, bytes_from_string("gone"), bytes_from_string("old")), STATUS_OK);
    del(session, 3);
    time = atomic_fetch_add(&engine->segment->header->clock, 1) + 1;
    for (unsigned i = 0; i < 3; i++) {
        struct bytes key = bytes_from_string(late[i]);
        uint64_t hash = table_hash(&engine->table, key);
        unsigned shard = table_shard_of(&engine->table, hash);
        bool is_put = strcmp(late[i], "gone") != 0;
        struct block_ref version = is_put ? table_reserve(&engine->table, shard, key, 9)
                                          : table_find(&engine->table, shard, hash, key);

        if (is_put)
            version_fill(engine->segment, version, 0, bytes_from_string("committed"));
        slot->commit.built_in[i] =
            (struct redo_entry){.version = version.units, .shard = (uint16_t)shard, .kind = is_put ? REDO_PUT : REDO_DEL};
    }
    atomic_store(&slot->commit.redo_count, 3);
    atomic_store(&slot->commit.pending, 3);
    atomic_store(&slot->commit.word, time << 1 | 1);
}

static void number_write(FILE *file, size_t number)
{
    for (unsigned i = 0; i < 4; i++)
        (void)fprintf(file, "%zu,", number >> 8 * i & 0xff);
}

static size_t run_of(const unsigned char *bytes, size_t left)
{
    size_t size = 1;

    while (size < left && bytes[size] == bytes[0])
        size++;
    return size;
}

/* Runs of one byte and pieces of others, but for zeros: offset, size and kind, each of four bytes, then the byte or the bytes. */
static void image_write(FILE *file, const unsigned char *bytes, size_t size)
{
    for (size_t offset = 0; offset < size;) {
        size_t run = run_of(bytes + offset, size - offset);
        size_t end = offset;

        if (run >= 16) {
            if (bytes[offset] != 0) {
                number_write(file, offset);
                number_write(file, run);
                number_write(file, 1);
                (void)fprintf(file, "%u,\n", bytes[offset]);
            }
            offset += run;
            continue;
        }
        while (end < size && run_of(bytes + end, size - end) < 16)
            end++;
        number_write(file, offset);
        number_write(file, end - offset);
        number_write(file, 0);
        for (; offset < end; offset++)
            (void)fprintf(file, "%u,%s", bytes[offset], offset % 32 == 31 ? "\n" : "");
        (void)fprintf(file, "\n");
    }
}

/* HAUSKV_TEST_IMAGE=FILE makes the committed image anew; nobody needs to. */
Test(format_4, image_is_written_where_it_is_asked_for)
{
    const char *path = getenv("HAUSKV_TEST_IMAGE");
    struct store *store;
    const struct segment *segment;
    FILE *file;

    if (path == NULL)
        cr_skip_test("nobody asks");
    store = store_of((size_t)600 << 10, 2);
    image_fill(store);
    segment = shared_store_engine(store)->segment;
    file = fopen(path, "we");
    cr_assert_not_null(file);
    image_write(file, segment->base, segment->bytes);
    cr_assert_eq(fclose(file), 0);
    fprintf(stderr, "%zu bytes\n", segment->bytes);
    shared_store_destroy(store);
}

/* All sizes of values, pages that split, versions that a snapshot keeps, keys that are gone and came back. */
Test(format_4, reads_the_pairs_that_the_engine_reads)
{
    struct store *store = store_of((size_t)32 << 20, 4);
    struct store_session *session = NULL;
    struct store_session *reader = NULL;
    store_transaction open;

    cr_assert_eq(store_session_open(store, &session), STATUS_OK);
    assert_same_pairs(store, session);
    for (unsigned key = 0; key < 20000; key++)
        put(session, key, key % 300);
    for (unsigned key = 0; key < 300; key++)
        put(session, key * 7, (size_t)key * key);
    assert_same_pairs(store, session);
    cr_assert_eq(store_session_open(store, &reader), STATUS_OK);
    cr_assert_eq(store_begin(reader, ISOLATION_SERIALIZABLE, &open), STATUS_OK);
    cr_assert_eq(store_get(reader, open, bytes_from_string("key 1"), NULL), STATUS_OK);
    for (unsigned key = 0; key < 20000; key += 3)
        del(session, key);
    for (unsigned key = 0; key < 20000; key += 4)
        put(session, key, 10);
    assert_same_pairs(store, session);
    store_session_close(reader);
    store_session_close(session);
    shared_store_destroy(store);
}

#endif

/* --- the committed image --- */

static const unsigned char image[] = {
#include "format_4_image.inc"
};

/* With chunks of 2,048 bytes. */
static const unsigned char image_of_small_chunks[] = {
#include "format_4_small_image.inc"
};

static size_t image_number(struct bytes *image_left)
{
    uint32_t number;

    cr_assert_geq(image_left->size, sizeof number);
    memcpy(&number, image_left->data, sizeof number);
    *image_left = bytes_slice(*image_left, sizeof number, image_left->size - sizeof number);
    return number;
}

static void image_unfold(struct bytes left, unsigned char *bytes)
{
    while (left.size > 0) {
        size_t offset = image_number(&left);
        size_t size = image_number(&left);
        bool is_run = image_number(&left) == 1;
        size_t used = is_run ? 1 : size;

        cr_assert(offset + size <= IMAGE_BYTES_MAX && used <= left.size);
        if (is_run)
            memset(bytes + offset, left.data[0], size);
        else
            memcpy(bytes + offset, left.data, size);
        left = bytes_slice(left, used, left.size - used);
    }
}

struct image_sums {
    const struct format_4 *segment;
    unsigned numbered;
    unsigned late;
};

static bool image_pair(void *context, const struct format_4_pair *pair)
{
    struct image_sums *sums = context;
    struct bytes piece = format_4_piece(sums->segment, pair, 0);
    unsigned key = 0;
    char name[32] = "";

    memcpy(name, pair->key.data, pair->key.size < sizeof name ? pair->key.size : 0);
    if (bytes_equal(pair->key, bytes_from_string("late")) || bytes_equal(pair->key, bytes_from_string("new"))) {
        cr_assert(bytes_equal(piece, bytes_from_string("committed")), "%.*s", (int)piece.size, (const char *)piece.data);
        sums->late++;
        return true;
    }
    /* NOLINTNEXTLINE(cert-err34-c): whatever else it is fails */
    cr_assert_eq(sscanf(name, "key %u", &key), 1, "%s", name);
    cr_assert_neq(key, 3);
    cr_assert_eq(pair->value_size, image_value_bytes(key));
    for (size_t offset = 0; offset < pair->value_size; offset += piece.size) {
        piece = format_4_piece(sums->segment, pair, offset);
        cr_assert_gt(piece.size, 0);
        for (size_t i = 0; i < piece.size; i++)
            cr_assert_eq(piece.data[i], 'a' + key % 26);
    }
    sums->numbered++;
    return true;
}

static void no_damage(void *context, const struct format_4_damage *damage)
{
    (void)context;
    cr_assert_fail("shard %d: %s", damage->shard, damage->what);
}

/* Whatever the engine's format is by now. */
static void reads_image(struct bytes folded, size_t chunk_bytes)
{
    unsigned char *bytes = calloc(1, IMAGE_BYTES_MAX);
    struct format_4 segment;
    struct image_sums sums = {.segment = &segment};
    const struct format_4_visitor visitor = {image_pair, no_damage, &sums};

    cr_assert_not_null(bytes);
    image_unfold(folded, bytes);
    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, IMAGE_BYTES_MAX)), FORMAT_4_OPENED);
    cr_assert_eq(segment.chunk_bytes, chunk_bytes);
    cr_assert_eq(format_4_read(&segment, &visitor).damages, 0);
    cr_assert_eq(sums.numbered, IMAGE_KEYS - 1);
    cr_assert_eq(sums.late, 2);
    free(bytes);
}

Test(format_4, reads_a_segment_of_the_first_build_that_kept_a_reader)
{
    reads_image(bytes_from(image, sizeof image), 16384);
}

Test(format_4, reads_a_segment_with_other_chunks)
{
    reads_image(bytes_from(image_of_small_chunks, sizeof image_of_small_chunks), 2048);
}

/* --- what is no segment --- */

Test(format_4, knows_what_is_none)
{
    static unsigned char bytes[65536];
    struct format_4 segment;

    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, 0)), FORMAT_4_NONE);
    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, 100)), FORMAT_4_NONE);
    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, sizeof bytes)), FORMAT_4_UNFINISHED);
    memset(bytes, 'x', sizeof bytes);
    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, sizeof bytes)), FORMAT_4_NONE);
    cr_assert_eq(format_4_version(bytes_from(bytes, sizeof bytes)), 0);
    memcpy(bytes, &(uint64_t){MAGIC}, sizeof(uint64_t));
    memcpy(bytes + 64, &(uint32_t){5}, sizeof(uint32_t));
    cr_assert_eq(format_4_open(&segment, bytes_from(bytes, sizeof bytes)), FORMAT_4_OTHER);
    cr_assert_eq(format_4_version(bytes_from(bytes, sizeof bytes)), 5);
}
