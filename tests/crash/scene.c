#include "crash/scene.h"

#include "transaction/key_lock.h"

#include <linux/futex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "persistence/format_4.h"
#include "support/process.h"
#include "support/store_random.h"

static char reason[SCENE_REASON_BYTES];

__attribute__((format(printf, 1, 2))) static const char *wrong(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    return reason;
}

/* What is wrong, with where it was seen in front. */
static const char *wrong_at(const char *place, const char *fault)
{
    char copy[SCENE_REASON_BYTES];

    (void)snprintf(copy, sizeof(copy), "%s", fault);
    return wrong("%s: %s", place, copy);
}

/* --- setting --- */

static void must(enum status status)
{
    REQUIRE(status == STATUS_OK);
}

void scene_open(struct scene *scene, size_t bytes, unsigned shard_count)
{
    struct engine_options options = {.bytes = bytes, .shard_count = shard_count};
    char why[SEGMENT_REASON_BYTES];

    memset(scene, 0, sizeof(*scene));
    must(engine_create(&options, &scene->engine, why));
    store_content_fill(scene->engine->segment->header->hash_key, SIPHASH_KEY_BYTES, 1);
    for (unsigned key = 0; key < SCENE_KEYS; key++) {
        (void)snprintf(scene->key_text[key], SCENE_KEY_BYTES, "key%u", key);
        scene->key_shard[key] =
            table_shard_of(&scene->engine->table, table_hash(&scene->engine->table, scene_key(scene, key)));
    }
    must(participant_open(scene->engine, &scene->author));
    must(participant_open(scene->engine, &scene->bystander));
}

void scene_close(struct scene *scene)
{
    if (scene->author != NULL)
        participant_close(scene->author);
    participant_close(scene->bystander);
    if (scene->witness != NULL)
        participant_close(scene->witness);
    if (scene->locker != NULL)
        participant_close(scene->locker);
    for (size_t i = 0; i < scene->write_count; i++)
        free((void *)(uintptr_t)scene->writes[i].value.data);
    engine_detach(scene->engine);
}

struct bytes scene_key(const struct scene *scene, unsigned key)
{
    return bytes_from_string(scene->key_text[key]);
}

unsigned scene_key_in(const struct scene *scene, unsigned shard, unsigned nth)
{
    unsigned key = 0;

    for (;; key++) {
        REQUIRE(key < SCENE_KEYS);
        if (scene->key_shard[key] == shard && nth-- == 0)
            return key;
    }
}

static struct bytes content(size_t size, uint64_t number)
{
    unsigned char *data = malloc(size + sizeof(uint64_t));

    REQUIRE(data != NULL);
    store_content_fill(data, size, number);
    return bytes_from(data, size);
}

void scene_note(struct scene *scene, unsigned key, size_t size)
{
    scene->number++;
    scene->before[key] = (struct scene_value){true, size, scene->number};
    scene->after[key] = scene->before[key];
    scene->is_touched[key] = true;
}

bool scene_put_if_it_fits(struct scene *scene, unsigned key, size_t size)
{
    struct bytes value = content(size, scene->number + 1);
    enum status status = transaction_put(scene->author, TRANSACTION_SINGLE, scene_key(scene, key), value);

    free((void *)(uintptr_t)value.data);
    if (status != STATUS_OK)
        return false;
    scene_note(scene, key, size);
    return true;
}

void scene_put(struct scene *scene, unsigned key, size_t size)
{
    bool has_fitted = scene_put_if_it_fits(scene, key, size);

    REQUIRE(has_fitted);
}

void scene_del(struct scene *scene, unsigned key)
{
    must(transaction_del(scene->author, TRANSACTION_SINGLE, scene_key(scene, key)));
    scene->before[key] = (struct scene_value){0};
    scene->after[key] = scene->before[key];
}

static void write_note(struct scene *scene, enum redo_kind kind, unsigned key, struct bytes value)
{
    REQUIRE(scene->write_count < SCENE_WRITES_MAX);
    scene->writes[scene->write_count++] =
        (struct scene_write){.kind = kind, .key = scene_key(scene, key), .value = value};
    scene->is_touched[key] = true;
}

void scene_tries_to_put(struct scene *scene, unsigned key, size_t size)
{
    write_note(scene, REDO_PUT, key, content(size, ++scene->number));
}

void scene_will_put(struct scene *scene, unsigned key, size_t size)
{
    scene_tries_to_put(scene, key, size);
    scene->after[key] = (struct scene_value){true, size, scene->number};
}

void scene_will_del(struct scene *scene, unsigned key)
{
    write_note(scene, REDO_DEL, key, bytes_from(NULL, 0));
    scene->after[key] = (struct scene_value){0};
}

void scene_witness(struct scene *scene)
{
    must(participant_open(scene->engine, &scene->witness));
    must(transaction_begin(scene->witness, ISOLATION_SERIALIZABLE, &scene->witness_number));
    must(transaction_begin(scene->witness, ISOLATION_SERIALIZABLE, &scene->witness_of_phantoms));
    memcpy(scene->witnessed, scene->before, sizeof(scene->before));
}

void scene_lock(struct scene *scene, unsigned key)
{
    struct value_view view;
    enum status status;

    must(participant_open(scene->engine, &scene->locker));
    must(transaction_begin(scene->locker, ISOLATION_LOCKING, &scene->locker_number));
    status = transaction_get(scene->locker, scene->locker_number, scene_key(scene, key), &view);
    if (status == STATUS_OK)
        transaction_get_done(scene->locker, scene->locker_number);
    REQUIRE(status == STATUS_OK || status == STATUS_NOT_FOUND);
    scene->has_key_locks = true;
}

void scene_locker_waits(const struct scene *scene, unsigned key)
{
    struct segment *segment = scene->engine->segment;
    struct key_lock *lock = key_lock_at(segment, scene->locker->slot->key_locks.free);

    REQUIRE(lock != NULL);
    lock->hash = table_hash(&scene->engine->table, scene_key(scene, key));
    lock->transaction = scene->locker_number - 1;
    lock->ticket = ++segment->header->key_lock_ticket;
    atomic_store(&lock->state, KEY_LOCK_WAITS);
    key_locks_rebuild(scene->engine);
}

void scene_settle(struct scene *scene)
{
    memcpy(scene->before, scene->after, sizeof(scene->after));
    for (size_t i = 0; i < scene->write_count; i++)
        free((void *)(uintptr_t)scene->writes[i].value.data);
    scene->write_count = 0;
}

enum status scene_do(const struct scene *scene, struct participant *participant, unsigned transaction, size_t i)
{
    const struct scene_write *write = &scene->writes[i];

    REQUIRE(i < scene->write_count);
    if (write->kind == REDO_DEL)
        return transaction_del(participant, transaction, write->key);
    return transaction_put(participant, transaction, write->key, write->value);
}

/* --- recovery --- */

static bool slots_recover(struct engine *engine)
{
    unsigned count = process_slot_count(engine->segment);

    for (unsigned number = 0; number < count; number++) {
        switch (process_slot_claim_number(engine->segment, number)) {
        case SLOT_INHERITED:
            if (slot_drain(engine, number) != STATUS_OK)
                return false;
            process_slot_mark_drained(engine->segment, number);
            process_slot_release(engine->segment, number);
            break;
        case SLOT_CLAIMED:
            process_slot_release(engine->segment, number);
            break;
        case SLOT_BUSY:
        case SLOT_NONE:
        default:
            break;
        }
    }
    return true;
}

static bool shards_recover(struct engine *engine)
{
    for (unsigned shard = engine->table.shard_count; shard-- > 0;) {
        if (shard_acquire(engine, shard) != STATUS_OK)
            return false;
        shard_release(engine, shard);
    }
    return true;
}

/* What a death while adding slots left is put right by the next to add some: participants come until one has to. */
static void slots_mutex_recover(struct engine *engine)
{
    const uint32_t *word = (const uint32_t *)(const void *)&engine->segment->header->slots_mutex;
    unsigned numbers[16];
    unsigned count = 0;

    while ((*word & FUTEX_OWNER_DIED) != 0 && count < 16 &&
           process_slot_claim(engine->segment, &numbers[count]) == SLOT_CLAIMED)
        count++;
    while (count > 0)
        process_slot_release(engine->segment, numbers[--count]);
}

static const char *restart(struct engine *engine)
{
    struct engine_restart report = {0};
    const char *refusal;

    if (!segment_is_repairable(engine, &refusal))
        return wrong("a restart refuses: %s", refusal);
    return segment_repair(engine, &report) ? NULL : "a restart meets a shard that is set aside";
}

const char *scene_recover(struct engine *engine, enum scene_heir heir)
{
    bool are_done;

    if (heir == HEIR_RESTARTS)
        return restart(engine);
    if (heir == HEIR_TAKES_SHARDS)
        are_done = shards_recover(engine) && slots_recover(engine);
    else
        are_done = slots_recover(engine) && shards_recover(engine);
    slots_mutex_recover(engine);
    are_done = key_locks_tidy(engine) && are_done;
    return are_done ? NULL : "recovery answers unavailable";
}

/* --- checks --- */

static bool view_is(const struct value_view *view, const struct scene_value *expected)
{
    unsigned char *data = malloc(view->size + 1);
    bool is_same;

    REQUIRE(data != NULL);
    for (size_t offset = 0; offset < view->size;) {
        struct bytes piece = value_view_piece(view, offset);

        memcpy(data + offset, piece.data, piece.size);
        offset += piece.size;
    }
    is_same = store_content_is(bytes_from(data, view->size), expected->size, expected->number);
    free(data);
    return is_same;
}

static const char *key_check(const struct scene *scene, struct participant *participant, unsigned transaction,
                             const struct scene_value *expected, unsigned key)
{
    struct value_view view;
    enum status status = transaction_get(participant, transaction, scene_key(scene, key), &view);
    bool is_same;

    if (status != STATUS_OK) {
        if (status == STATUS_NOT_FOUND && !expected->is_present)
            return NULL;
        return wrong("GET %s: %s", scene->key_text[key], status_code(status));
    }
    is_same = expected->is_present && view_is(&view, expected);
    transaction_get_done(participant, transaction);
    return is_same ? NULL : wrong("GET %s: %s", scene->key_text[key], expected->is_present ? "other" : "is there");
}

static unsigned key_number(struct bytes key)
{
    unsigned number = 0;

    for (size_t i = 3; i < key.size; i++)
        number = number * 10 + (unsigned)(key.data[i] - '0');
    return number < SCENE_KEYS ? number : 0;
}

static const char *scan_check(const struct scene *scene, struct participant *participant, unsigned transaction,
                              const struct scene_value *expected, uint64_t present)
{
    struct key_list keys = {0};
    struct bytes everything = {0};
    const char *fault = NULL;
    uint64_t next;
    uint64_t count = 0;

    if (transaction_scan(participant, transaction, 0, everything, SCENE_KEYS, &keys, &next) != STATUS_OK ||
        transaction_count(participant, transaction, everything, &count) != STATUS_OK)
        fault = wrong("SCAN or COUNT fails");
    else if (keys.count != present || count != present)
        fault = wrong("%zu keys scanned, %u counted, %u should be there", keys.count, (unsigned)count,
                      (unsigned)present);
    for (size_t i = 0; fault == NULL && i < keys.count; i++)
        if (!expected[key_number(key_list_key(&keys, i))].is_present)
            fault = wrong("SCAN finds %s", scene->key_text[key_number(key_list_key(&keys, i))]);
    key_list_deinit(&keys);
    return fault;
}

/* All keys, by GET, SCAN and COUNT. */
static const char *contents_check(const struct scene *scene, struct participant *participant, unsigned transaction,
                                  const struct scene_value *expected)
{
    uint64_t present = 0;

    for (unsigned key = 0; key < SCENE_KEYS; key++) {
        const char *fault = scene->is_touched[key]
                                ? key_check(scene, participant, transaction, &expected[key], key)
                                : NULL;

        if (fault != NULL)
            return fault;
        present += expected[key].is_present;
    }
    return scan_check(scene, participant, transaction, expected, present);
}

/* One that lives on: its private side is this process's, its public side the copy's. */
static struct participant *participant_in(const struct participant *original, struct engine *copy)
{
    static struct participant participant;

    participant = *original;
    participant.engine = copy;
    participant.slot = process_slot_at(copy->segment, participant.slot_number);
    for (unsigned i = 0; i < TRANSACTION_COUNT_MAX; i++) {
        memset(&participant.transactions[i].reads, 0, sizeof(participant.transactions[i].reads));
        memset(&participant.transactions[i].log, 0, sizeof(participant.transactions[i].log));
    }
    return &participant;
}

static const char *expiry_check(const struct scene *scene, struct participant *witness)
{
    struct value_view view;
    enum status status = transaction_get(witness, scene->witness_number, scene_key(scene, 0), &view);

    return status == STATUS_TIMEOUT ? NULL : wrong_at("the witness was to expire, but GET", status_code(status));
}

static unsigned fresh_key(const struct scene *scene, unsigned shard);

/* Keys have come or gone since its snapshot, so who counted must not commit. */
static const char *phantom_check(const struct scene *scene, struct participant *witness,
                                 const struct scene_value *expected)
{
    struct bytes everything = {0};
    bool have_keys_changed = false;
    uint64_t count;
    enum status status;

    for (unsigned key = 0; key < SCENE_KEYS; key++)
        have_keys_changed = have_keys_changed || expected[key].is_present != scene->witnessed[key].is_present;
    if (!have_keys_changed)
        return NULL;
    status = transaction_count(witness, scene->witness_of_phantoms, everything, &count);
    if (status == STATUS_OK)
        status = transaction_put(witness, scene->witness_of_phantoms, scene_key(scene, fresh_key(scene, 0)),
                                 bytes_from(NULL, 0));
    if (status == STATUS_OK)
        status = transaction_commit(witness, scene->witness_of_phantoms);
    return status == STATUS_CONFLICT ? NULL : wrong("a phantom: who counted may commit, %s", status_code(status));
}

/* The dead have no keys any more, so nobody waits; and when the locker goes, nobody has one. */
static const char *key_locks_check(const struct scene *scene, struct engine *copy, enum scene_heir heir)
{
    struct participant *locker;

    if (scene->locker != NULL && heir != HEIR_RESTARTS) {
        locker = participant_in(scene->locker, copy);
        if (locker->slot->key_locks.waiting != 0)
            return wrong("somebody waits still for a key of the dead");
        transaction_rollback(locker, scene->locker_number);
    }
    return key_locks_exist(copy) ? wrong("somebody has a key still") : NULL;
}

static const char *witness_check(const struct scene *scene, struct engine *copy, const struct scene_value *expected)
{
    struct participant *witness = participant_in(scene->witness, copy);
    const char *fault;

    if (scene->may_witness_expire)
        return expiry_check(scene, witness);
    fault = contents_check(scene, witness, scene->witness_number, scene->witnessed);
    if (fault != NULL)
        return wrong_at("the snapshot of old", fault);
    read_set_clear(&witness->transactions[scene->witness_number - 1].reads);
    return phantom_check(scene, witness, expected);
}

/* --- further use --- */

/* A key of each shard that nothing else touches. */
static unsigned fresh_key(const struct scene *scene, unsigned shard)
{
    unsigned nth = 0;

    while (scene->is_touched[scene_key_in(scene, shard, nth)])
        nth++;
    return scene_key_in(scene, shard, nth);
}

static enum status fresh_put(const struct scene *scene, struct participant *participant, unsigned transaction,
                             unsigned shard, unsigned round)
{
    static const unsigned char value[64] = "further use";

    return transaction_put(participant, transaction, scene_key(scene, fresh_key(scene, shard)),
                           bytes_from(value, 40 + round * 8));
}

static const char *single_commands(const struct scene *scene, struct participant *participant)
{
    unsigned shards = scene->engine->table.shard_count;
    struct value_view view;

    for (unsigned shard = 0; shard < shards; shard++) {
        struct bytes key = scene_key(scene, fresh_key(scene, shard));

        if (fresh_put(scene, participant, TRANSACTION_SINGLE, shard, 0) != STATUS_OK ||
            fresh_put(scene, participant, TRANSACTION_SINGLE, shard, 1) != STATUS_OK)
            return wrong("further PUT fails");
        if (transaction_get(participant, TRANSACTION_SINGLE, key, &view) != STATUS_OK)
            return wrong("further GET fails");
        transaction_get_done(participant, TRANSACTION_SINGLE);
        if (view.size != 48)
            return wrong("further GET gets something else");
        if (transaction_del(participant, TRANSACTION_SINGLE, key) != STATUS_OK ||
            transaction_get(participant, TRANSACTION_SINGLE, key, &view) != STATUS_NOT_FOUND)
            return wrong("further DEL fails");
    }
    return NULL;
}

static const char *transaction_over_all_shards(const struct scene *scene, struct participant *participant,
                                               bool is_deletion)
{
    unsigned shards = scene->engine->table.shard_count;
    unsigned number;
    enum status status = transaction_begin(participant, ISOLATION_SERIALIZABLE, &number);

    for (unsigned shard = 0; status == STATUS_OK && shard < shards; shard++)
        status = is_deletion
                     ? transaction_del(participant, number, scene_key(scene, fresh_key(scene, shard)))
                     : fresh_put(scene, participant, number, shard, 2);
    if (status == STATUS_OK)
        status = transaction_commit(participant, number);
    return status == STATUS_OK ? NULL : wrong("a further COMMIT: %s", status_code(status));
}

/* Where memory is full: what is deleted makes room. */
static const char *room_is_made(const struct scene *scene, struct participant *participant,
                                struct scene_value *expected)
{
    for (unsigned key = 0; key < SCENE_KEYS; key++) {
        if (!expected[key].is_present)
            continue;
        if (transaction_del(participant, TRANSACTION_SINGLE, scene_key(scene, key)) != STATUS_OK)
            return wrong("a DEL fails where memory is full");
        expected[key].is_present = false;
    }
    return NULL;
}

static const char *further_use(const struct scene *scene, struct participant *participant,
                               const struct scene_value *expected)
{
    static struct scene_value now[SCENE_KEYS];
    const char *fault = NULL;

    memcpy(now, expected, sizeof(now));
    if (scene->is_full)
        fault = room_is_made(scene, participant, now);
    if (fault == NULL)
        fault = single_commands(scene, participant);
    if (fault == NULL)
        fault = transaction_over_all_shards(scene, participant, false);
    if (fault == NULL)
        fault = transaction_over_all_shards(scene, participant, true);
    if (fault == NULL)
        fault = contents_check(scene, participant, TRANSACTION_SINGLE, now);
    return fault;
}

/* --- the intruder --- */

static size_t intrusion_size(unsigned shard)
{
    return 16 + 8 * (size_t)shard;
}

/* The key of a write that falls into the shard; SCENE_KEYS: none does. */
static unsigned written_key_in(const struct scene *scene, unsigned shard)
{
    for (size_t i = 0; i < scene->write_count; i++) {
        unsigned key = key_number(scene->writes[i].key);

        if (scene->key_shard[key] == shard)
            return key;
    }
    return SCENE_KEYS;
}

static int intruder(const struct scene *scene, struct engine *copy)
{
    unsigned char data[512];
    struct participant *participant = participant_in(scene->bystander, copy);
    bool has_done_all = true;

    for (unsigned shard = 0; has_done_all && shard < copy->table.shard_count; shard++) {
        unsigned key = written_key_in(scene, shard);

        store_content_fill(data, intrusion_size(shard), 1000 + key);
        if (key < SCENE_KEYS)
            has_done_all = transaction_put(participant, TRANSACTION_SINGLE, scene_key(scene, key),
                                           bytes_from(data, intrusion_size(shard))) == STATUS_OK;
    }
    for (unsigned shard = 0; has_done_all && shard < copy->table.shard_count; shard++)
        has_done_all = shard_acquire(copy, shard) == STATUS_OK;
    return has_done_all ? EXIT_SUCCESS : EXIT_FAILURE;
}

const char *scene_intrude(const struct scene *scene, struct engine *copy, struct scene_value *expected)
{
    int end;
    pid_t child = fork();

    REQUIRE(child >= 0);
    if (child == 0) {
        (void)alarm(60);
        _exit(intruder(scene, copy));
    }
    end = process_wait(child);
    if (end > EXIT_FAILURE)
        return wrong("who uses it before the slot is drained ends with %#x", (unsigned)end);
    if (end != EXIT_SUCCESS)
        return wrong("it cannot be used before the slot is drained");
    for (unsigned shard = 0; shard < copy->table.shard_count; shard++) {
        unsigned key = written_key_in(scene, shard);

        if (key < SCENE_KEYS)
            expected[key] = (struct scene_value){true, intrusion_size(shard), 1000 + key};
    }
    return NULL;
}

#define OVERTAKES 3u

static bool is_shard_free(const struct engine *engine, unsigned shard)
{
    return robust_mutex_is_free(&table_shard(&engine->table, shard)->mutex);
}

/* Several times, as the first of them only supersedes; the last is long, so that no chunk is kept for what goes before. */
static const char *overwrite(const struct scene *scene, struct participant *participant, unsigned key,
                             struct scene_value *expected)
{
    static unsigned char data[CHUNK_BYTES];

    for (unsigned i = 0; i < OVERTAKES; i++) {
        size_t size = i % 2 == 0 ? CHUNK_BYTES / 2 : 16;
        enum status status;

        *expected = (struct scene_value){true, size, 2000 + key + i * SCENE_KEYS};
        store_content_fill(data, size, expected->number);
        status = transaction_put(participant, TRANSACTION_SINGLE, scene_key(scene, key), bytes_from(data, size));
        if (status != STATUS_OK)
            return wrong("a PUT beside the stopped one: %s", status_code(status));
    }
    return NULL;
}

const char *scene_overtake(const struct scene *scene, struct engine *copy, struct scene_value *expected)
{
    struct participant *participant = participant_in(scene->bystander, copy);
    const char *fault = NULL;

    for (unsigned shard = 0; fault == NULL && !scene->has_key_locks && shard < copy->table.shard_count; shard++) {
        unsigned key = written_key_in(scene, shard);

        if (key < SCENE_KEYS && is_shard_free(copy, shard))
            fault = overwrite(scene, participant, key, &expected[key]);
    }
    horizon_advance(copy);
    for (unsigned shard = 0; fault == NULL && shard < copy->table.shard_count; shard++) {
        if (!is_shard_free(copy, shard) || shard_acquire(copy, shard) != STATUS_OK)
            continue;
        (void)table_clean(&copy->table, shard, UINT32_MAX);
        shard_release(copy, shard);
    }
    return fault;
}

/* --- a dump of the dead --- */

struct salvage {
    const struct scene *scene;
    const struct format_4 *segment;
    const struct scene_value *expected;
    const char *fault;
    bool is_seen[SCENE_KEYS];
};

static bool pair_is(const struct format_4 *segment, const struct format_4_pair *pair, const struct scene_value *expected)
{
    unsigned char *data = malloc(pair->value_size + 1);
    bool is_same;

    REQUIRE(data != NULL);
    for (size_t offset = 0; offset < pair->value_size;) {
        struct bytes piece = format_4_piece(segment, pair, offset);

        REQUIRE(piece.size > 0);
        memcpy(data + offset, piece.data, piece.size);
        offset += piece.size;
    }
    is_same = store_content_is(bytes_from(data, pair->value_size), expected->size, expected->number);
    free(data);
    return is_same;
}

static bool pair_check(void *context, const struct format_4_pair *pair)
{
    struct salvage *salvage = context;
    unsigned key = key_number(pair->key);

    if (!salvage->expected[key].is_present)
        salvage->fault = wrong("a dump shows %s", salvage->scene->key_text[key]);
    else if (salvage->is_seen[key])
        salvage->fault = wrong("a dump shows %s twice", salvage->scene->key_text[key]);
    else if (!pair_is(salvage->segment, pair, &salvage->expected[key]))
        salvage->fault = wrong("a dump shows another value of %s", salvage->scene->key_text[key]);
    salvage->is_seen[key] = true;
    return salvage->fault == NULL;
}

static void damage_note(void *context, const struct format_4_damage *damage)
{
    struct salvage *salvage = context;

    if (salvage->fault == NULL)
        salvage->fault = wrong("a dump finds damage: %s", damage->what);
}

const char *scene_salvage(const struct scene *scene, const struct engine *copy, const struct scene_value *expected)
{
    static struct salvage salvage;
    struct format_4 segment;
    const struct format_4_visitor visitor = {pair_check, damage_note, &salvage};

    salvage = (struct salvage){.scene = scene, .segment = &segment, .expected = expected};
    if (format_4_open(&segment, bytes_from(copy->segment->base, copy->segment->bytes)) != FORMAT_4_OPENED)
        return wrong("a dump finds no segment");
    if (format_4_read(&segment, &visitor).is_memory_short)
        return wrong("a dump has no private memory");
    for (unsigned key = 0; salvage.fault == NULL && key < SCENE_KEYS; key++)
        if (expected[key].is_present && !salvage.is_seen[key])
            salvage.fault = wrong("a dump lacks %s", scene->key_text[key]);
    return salvage.fault;
}

const char *scene_check(const struct scene *scene, struct engine *copy, enum scene_heir heir, bool is_after,
                        const struct scene_value *expected)
{
    bool is_witness_asked = scene->witness != NULL && heir != HEIR_RESTARTS && (!scene->may_witness_expire || is_after);
    const char *fault;
    struct participant *reader;

    if (!segment_is_valid(copy, &fault))
        return fault;
    fault = key_locks_check(scene, copy, heir);
    if (fault != NULL)
        return fault;
    if (participant_open(copy, &reader) != STATUS_OK)
        return wrong("nobody can open a session any more");
    fault = contents_check(scene, reader, TRANSACTION_SINGLE, expected);
    if (fault == NULL && is_witness_asked)
        fault = witness_check(scene, copy, expected);
    if (fault == NULL)
        fault = further_use(scene, reader, expected);
    participant_close(reader);
    if (fault == NULL && !segment_is_valid(copy, &fault))
        return wrong_at("after further use", fault);
    return fault;
}
