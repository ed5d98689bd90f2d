/* A small store in a known state, an operation about to happen, and what must
 * be there before and after it. The stepper's tests are written with these words:
 *
 *     scene_put(scene, key, 40);        is there before
 *     scene_will_put(scene, key, 80);   the operation's write: there after it
 *
 * A scene lives in private memory; the segment that it speaks of is shared by
 * fork. Whatever goes wrong while a scene is set is a contract. */
#ifndef HAUSKV_TESTS_CRASH_SCENE_H
#define HAUSKV_TESTS_CRASH_SCENE_H

#include "transaction/transaction.h"

#define SCENE_KEYS 1024u
#define SCENE_WRITES_MAX 64u
#define SCENE_KEY_BYTES 8u
#define SCENE_REASON_BYTES 256u

struct scene_value {
    bool is_present;
    size_t size;
    uint64_t number; /* names the contents: store_content_fill */
};

struct scene_write {
    enum redo_kind kind;
    struct bytes key;
    struct bytes value; /* private memory */
};

struct scene {
    struct engine *engine;
    struct participant *author; /* sets the scene, in the test's process */
    struct participant *bystander; /* lives on and does nothing, until it intrudes; in the test's process */
    struct participant *witness; /* reads an old snapshot, in the test's process; NULL: none */
    unsigned witness_number;
    unsigned witness_of_phantoms; /* another transaction of it, of the same snapshot */
    bool may_witness_expire;
    struct participant *locker; /* has a LOCKING transaction with a key, and may wait for another; in the test's process; NULL: none */
    unsigned locker_number;
    bool has_key_locks; /* the operation's process has keys: whoever writes them before it is drained would wait */
    bool is_full; /* OUT_OF_MEMORY is an answer to whoever uses the store further, until something is deleted */
    struct scene_value before[SCENE_KEYS];
    struct scene_value after[SCENE_KEYS];
    struct scene_value witnessed[SCENE_KEYS];
    struct scene_write writes[SCENE_WRITES_MAX];
    size_t write_count;
    uint64_t number;
    char key_text[SCENE_KEYS][SCENE_KEY_BYTES];
    unsigned key_shard[SCENE_KEYS];
    bool is_touched[SCENE_KEYS];
};

/* An empty store of that size. */
void scene_open(struct scene *scene, size_t bytes, unsigned shard_count);
void scene_close(struct scene *scene);

/* The number of the nth key that falls into a shard. */
unsigned scene_key_in(const struct scene *scene, unsigned shard, unsigned nth);
struct bytes scene_key(const struct scene *scene, unsigned key);

/* What is there before; done at once. */
void scene_put(struct scene *scene, unsigned key, size_t size);
void scene_del(struct scene *scene, unsigned key);
/* As scene_put; false where there is no memory, nothing changed. */
bool scene_put_if_it_fits(struct scene *scene, unsigned key, size_t size);

/* What the operation writes, if it commits; only noted. The scene_will_*_not forms: it tries, but its answer is no. */
void scene_will_put(struct scene *scene, unsigned key, size_t size);
void scene_will_del(struct scene *scene, unsigned key);
void scene_tries_to_put(struct scene *scene, unsigned key, size_t size);

/* As if `key` had been put: somebody else's write that the child itself does before it begins. */
void scene_note(struct scene *scene, unsigned key, size_t size);

/* From now on somebody reads what is there now. */
void scene_witness(struct scene *scene);

/* From now on somebody's LOCKING transaction has a key. */
void scene_lock(struct scene *scene, unsigned key);
/* Makes it wait for another key, as if its process slept in the middle of a command. Any process, while nobody else is inside. */
void scene_locker_waits(const struct scene *scene, unsigned key);

/* The operation becomes history: what is after is before. */
void scene_settle(struct scene *scene);

/* The child's side: does write i in a transaction or singly. */
enum status scene_do(const struct scene *scene, struct participant *participant, unsigned transaction, size_t i);

/* Who comes after a death. */
enum scene_heir {
    HEIR_DRAINS_SLOTS,  /* a living process: first the slots of the dead, then every shard */
    HEIR_TAKES_SHARDS,  /* a living process: first the shards, downwards, then the slots */
    HEIR_RESTARTS,      /* a new server: everybody is dead */
    HEIR_COUNT
};

/* Recovers. NULL, or what is wrong. */
const char *scene_recover(struct engine *engine, enum scene_heir heir);

/* The bystander, who lives on while nobody drained the dead, writes to the shards that the operation writes to, and
 * then dies holding every shard: what he wrote, noted in `expected`, is there for good. The copy is in shared memory.
 * NULL, or what is wrong. */
const char *scene_intrude(const struct scene *scene, struct engine *copy, struct scene_value *expected);

/* The bystander goes on beside a process that stands still, where that holds no lock: he overwrites what the operation writes
 * there, which is noted in `expected`, and frees all that is over. What the stopped one has published already may be gone
 * then. NULL, or what is wrong. */
const char *scene_overtake(const struct scene *scene, struct engine *copy, struct scene_value *expected);

/* What a dump of the dead shows (persistence/format_4.h), before anybody recovered: exactly what is expected, and nothing that is
 * damaged. The copy is only read. NULL, or what is wrong. */
const char *scene_salvage(const struct scene *scene, const struct engine *copy, const struct scene_value *expected);

/* Everything that must be true of a recovered copy: it is whole, holds what is expected, the witness still reads the
 * past, and it can be used further. After HEIR_RESTARTS there is no witness. NULL, or what is wrong (a static buffer).
 */
const char *scene_check(const struct scene *scene, struct engine *copy, enum scene_heir heir, bool is_after,
                        const struct scene_value *expected);

#endif
