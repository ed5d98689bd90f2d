/* A transaction's writes before COMMIT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine_fixture.h"
#include "support/store_random.h"

static struct segment *segment;
static struct transaction_log own_log;
static uint32_t used_before;

static void open_log(void)
{
    engine_open((size_t)4 << 20, 1);
    segment = engine->segment;
    used_before = segment_chunks_used(segment);
}

static void transaction_log_is_whole(void)
{
    transaction_log_deinit(&own_log, segment);
    leave_chunks_free(leave_no_chunk_free());
    cr_assert_eq(segment_chunks_used(segment), used_before, "the log kept chunks");
    engine_close();
}

TestSuite(transaction_log, .init = open_log, .timeout = 120);

/* --- sentences --- */

static enum status append(enum redo_kind kind, struct bytes key, struct bytes value)
{
    return transaction_log_append(&own_log, segment, me->slot_number, kind, table_hash(&engine->table, key), key, value);
}

static void note_put(const char *key, const char *value)
{
    cr_assert_eq(append(REDO_PUT, text(key), text(value)), STATUS_OK);
}

static void note_del(const char *key)
{
    cr_assert_eq(append(REDO_DEL, text(key), bytes_from(NULL, 0)), STATUS_OK);
}

static bool find(struct bytes key, struct log_write *write)
{
    return transaction_log_find(&own_log, segment, table_hash(&engine->table, key), key, write);
}

static void assert_value(const struct log_write *write, struct bytes value)
{
    cr_assert_eq(write->value_size, value.size);
    for (size_t offset = 0; offset < value.size;) {
        struct bytes piece = transaction_log_piece(&own_log, segment, write->value_position + offset, value.size - offset);

        cr_assert_gt(piece.size, 0);
        cr_assert_eq(memcmp(piece.data, value.data + offset, piece.size), 0);
        offset += piece.size;
    }
}

static void assert_put(const char *key, const char *value)
{
    struct log_write write;

    cr_assert(find(text(key), &write), "%s", key);
    cr_assert_eq(write.kind, REDO_PUT);
    cr_assert(write.key.data != NULL && bytes_equal(write.key, text(key)));
    assert_value(&write, text(value));
}

static void assert_del(const char *key)
{
    struct log_write write;

    cr_assert(find(text(key), &write), "%s", key);
    cr_assert_eq(write.kind, REDO_DEL);
    cr_assert_eq(write.value_size, 0);
}

/* --- writes --- */

WHOLE_TEST(transaction_log, an_empty_log_knows_nothing_and_takes_nothing)
{
    struct log_write write;

    cr_assert_not(find(text("k"), &write));
    cr_assert_eq(segment_chunks_used(segment), used_before);
}

WHOLE_TEST(transaction_log, the_newest_write_of_a_key_counts)
{
    note_put("k", "1");
    note_put("l", "other");
    assert_put("k", "1");
    note_put("k", "2");
    assert_put("k", "2");
    note_put("k", "longer than before");
    assert_put("k", "longer than before");
    note_del("k");
    assert_del("k");
    note_put("k", "");
    assert_put("k", "");
    assert_put("l", "other");
    cr_assert_eq(own_log.count, 2);
}

WHOLE_TEST(transaction_log, a_del_can_be_the_first_write)
{
    note_del("k");
    assert_del("k");
    note_put("k", "v");
    assert_put("k", "v");
    cr_assert_eq(own_log.count, 1);
}

WHOLE_TEST(transaction_log, values_run_over_chunks)
{
    size_t sizes[] = {1, CHUNK_BYTES - 100, CHUNK_BYTES, CHUNK_BYTES * 3 + 5, CHUNK_BYTES * 10};
    unsigned char *value = malloc(CHUNK_BYTES * 10);
    char key[] = "key a";

    cr_assert_not_null(value);
    for (size_t i = 0; i < 5; i++, key[4]++) {
        store_content_fill(value, sizes[i], i);
        cr_assert_eq(append(REDO_PUT, text(key), bytes_from(value, sizes[i])), STATUS_OK);
    }
    key[4] = 'a';
    for (size_t i = 0; i < 5; i++, key[4]++) {
        struct log_write write;

        store_content_fill(value, sizes[i], i);
        cr_assert(find(text(key), &write));
        assert_value(&write, bytes_from(value, sizes[i]));
    }
    free(value);
}

WHOLE_TEST(transaction_log, keys_of_every_size_stand_in_one_piece)
{
    static unsigned char key[KEY_BYTES_MAX];
    struct log_write write;

    memset(key, 'k', sizeof(key));
    for (size_t size = 1; size <= sizeof(key); size++)
        cr_assert_eq(append(REDO_PUT, bytes_from(key, size), bytes_from(&size, sizeof(size))), STATUS_OK);
    for (size_t size = 1; size <= sizeof(key); size++) {
        cr_assert(find(bytes_from(key, size), &write));
        cr_assert(bytes_equal(write.key, bytes_from(key, size)));
        assert_value(&write, bytes_from(&size, sizeof(size)));
    }
    cr_assert_eq(own_log.count, sizeof(key));
}

WHOLE_TEST(transaction_log, a_value_that_grows_again_and_again_takes_a_small_multiple)
{
    static unsigned char value[20000];

    for (size_t size = 1; size <= sizeof(value); size++)
        cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, size)), STATUS_OK);

    cr_assert_leq(own_log.end, sizeof(value) * 5);
}

WHOLE_TEST(transaction_log, a_value_that_outgrows_its_room_gets_twice_as_much)
{
    static const unsigned char value[201];
    uint64_t end;

    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, 100)), STATUS_OK);
    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, 101)), STATUS_OK);
    end = own_log.end;
    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, 200)), STATUS_OK);
    cr_assert_eq(own_log.end, end);
    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, 201)), STATUS_OK);
    cr_assert_gt(own_log.end, end);
}

/* --- order --- */

WHOLE_TEST(transaction_log, sorted_writes_ascend_and_are_complete)
{
    struct log_write *writes = calloc(3000, sizeof(*writes));
    char key[16];

    cr_assert_not_null(writes);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof(key), "key %u", i);
        note_put(key, key);
    }
    transaction_log_sorted(&own_log, segment, writes);
    for (unsigned i = 0; i < 3000; i++) {
        cr_assert(i == 0 || writes[i].hash > writes[i - 1].hash);
        assert_value(&writes[i], writes[i].key);
    }
    free(writes);
}

/* --- memory --- */

WHOLE_TEST(transaction_log, without_memory_it_stays_as_it_was)
{
    static unsigned char value[CHUNK_BYTES * 4];
    uint64_t end;

    note_put("k", "v");
    end = own_log.end;
    (void)leave_no_chunk_free();
    leave_chunks_free(3);

    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, sizeof(value))), STATUS_OUT_OF_MEMORY);
    cr_assert_eq(append(REDO_PUT, text("l"), bytes_from(value, sizeof(value))), STATUS_OUT_OF_MEMORY);
    assert_put("k", "v");
    cr_assert_eq(own_log.count, 1);
    cr_assert_eq(own_log.end, end);
    cr_assert_eq(segment_chunks_used(segment), segment->chunk_count - 3);
    note_put("l", "fits still");
    assert_put("l", "fits still");
}

WHOLE_TEST(transaction_log, doubling_gives_way_where_memory_is_short)
{
    static unsigned char value[CHUNK_BYTES * 3];

    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, CHUNK_BYTES * 2)), STATUS_OK);
    (void)leave_no_chunk_free();
    leave_chunks_free(3);

    cr_assert_eq(append(REDO_PUT, text("k"), bytes_from(value, CHUNK_BYTES * 2 + 1)), STATUS_OK);
}

WHOLE_TEST(transaction_log, cleared_it_gives_all_chunks_back_and_begins_anew)
{
    struct log_write write;

    cr_assert_eq(append(REDO_PUT, text("k"), text("v")), STATUS_OK);
    transaction_log_clear(&own_log, segment);
    cr_assert_eq(segment_chunks_used(segment), used_before);
    cr_assert_not(find(text("k"), &write));

    note_put("l", "again");
    assert_put("l", "again");
    cr_assert_not(find(text("k"), &write));
}

WHOLE_TEST(transaction_log, its_chunks_belong_to_its_slot)
{
    note_put("k", "v");

    cr_assert_eq(chunk_owner(segment, (struct chunk_ref){own_log.chunks[0]}),
                 chunk_owner_word(CHUNK_LOG, 0, me->slot_number));
}
