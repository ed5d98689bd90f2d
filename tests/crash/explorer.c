#include "crash/explorer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/process.h"

#define BATCH_STATES 128u
#define INSTRUCTIONS_MAX 5000000L
#define CHECK_SECONDS_MAX 60u /* of a millisecond's work: what does not end is wrong; busy machines stand still for seconds */

/* Copies waiting to be recovered and checked, in memory shared with the checker. */
struct batch_entry {
    long step;         /* of the operation */
    long recover_step; /* of the recoverer; -1: level one */
    bool is_after;
    enum scene_heir heir; /* who comes after this death */
};

struct batch_progress {
    unsigned done;
    char reason[SCENE_REASON_BYTES];
};

struct batch {
    unsigned char *images;
    struct batch_entry entries[BATCH_STATES];
    unsigned count;
    struct batch_progress *progress;
};

/* Hashes of states, open addressing. */
struct seen_set {
    uint64_t *hashes;
    size_t capacity;
    size_t count;
};

struct explorer {
    const struct operation *operation;
    struct scene *scene;
    struct exploration *result;
    unsigned level_two_every;
    size_t image_bytes; /* of the segment, rounded to pages */
    unsigned char *last;     /* what the segment was at the last step */
    unsigned char *scrubbed;
    unsigned char *second;   /* the segment of the recoverer; shared */
    unsigned char *intruded; /* a copy for two deaths; shared */
    struct batch batches[2]; /* of each level */
    struct seen_set seen[2];
    struct stepper_report *report;
    struct stepper_report *second_report;
    enum scene_heir second_heir; /* how the recoverer of level two goes */
};

/* --- memory --- */

static void *private_memory(size_t size)
{
    void *memory = calloc(1, size);

    REQUIRE(memory != NULL);
    return memory;
}

static size_t image_bytes_of(const struct engine *engine)
{
    return (engine->segment->bytes + 4095) / 4096 * 4096;
}

static void batch_init(struct batch *batch, size_t image_bytes)
{
    batch->images = process_shared_memory(BATCH_STATES * image_bytes);
    batch->progress = process_shared_memory(sizeof(*batch->progress));
    batch->count = 0;
}

static void batch_deinit(struct batch *batch, size_t image_bytes)
{
    (void)munmap(batch->images, BATCH_STATES * image_bytes);
    (void)munmap(batch->progress, sizeof(*batch->progress));
}

static bool seen_add(struct seen_set *set, uint64_t hash);

static void seen_grow(struct seen_set *set)
{
    struct seen_set grown = {.capacity = set->capacity == 0 ? 4096 : set->capacity * 2};

    grown.hashes = private_memory(grown.capacity * sizeof(uint64_t));
    for (size_t i = 0; i < set->capacity; i++)
        if (set->hashes[i] != 0)
            (void)seen_add(&grown, set->hashes[i]);
    free(set->hashes);
    *set = grown;
}

/* Whether it is new. */
static bool seen_add(struct seen_set *set, uint64_t hash)
{
    hash |= 1;
    if (set->count * 2 >= set->capacity)
        seen_grow(set);
    for (size_t place = (size_t)(hash >> 1) & (set->capacity - 1);; place = (place + 1) & (set->capacity - 1)) {
        if (set->hashes[place] == hash)
            return false;
        if (set->hashes[place] == 0) {
            set->hashes[place] = hash;
            set->count++;
            return true;
        }
    }
}

/* Four lanes, since one multiplication has to wait for the last. */
static uint64_t hash_of(const unsigned char *image, size_t size)
{
    uint64_t lanes[4] = {1, 2, 3, 4};
    uint64_t hash = 0;

    for (size_t i = 0; i + 32 <= size; i += 32)
        for (unsigned lane = 0; lane < 4; lane++) {
            uint64_t word;

            memcpy(&word, image + i + 8 * (size_t)lane, sizeof(word));
            lanes[lane] = (lanes[lane] ^ word) * 0x9e3779b97f4a7c15u;
            lanes[lane] ^= lanes[lane] >> 29;
        }
    for (unsigned lane = 0; lane < 4; lane++)
        hash = (hash ^ lanes[lane]) * 0xff51afd7ed558ccdu ^ lanes[lane] >> 31;
    return hash;
}

/* --- checking --- */

static void violation_note(struct explorer *explorer, const struct batch_entry *entry, const char *reason)
{
    struct exploration *result = explorer->result;

    result->violations++;
    if (entry->recover_step < 0)
        (void)snprintf(result->first_violation, sizeof(result->first_violation), "death at instruction %ld (%s): %s",
                       entry->step, entry->is_after ? "committed" : "not committed", reason);
    else
        (void)snprintf(result->first_violation, sizeof(result->first_violation),
                       "death at instruction %ld (%s), of the recoverer behind its write %ld: %s", entry->step,
                       entry->is_after ? "committed" : "not committed", entry->recover_step, reason);
}

/* A second death can only be noted where the operation writes, and only where a write finds memory. */
static bool is_intruded(const struct explorer *explorer, const struct batch_entry *entry)
{
    const struct scene *scene = explorer->scene;

    return entry->recover_step < 0 && !scene->is_full && !scene->has_key_locks && scene->write_count > 0;
}

/* Behind a death of level two others would recover first. */
static bool is_overtaken(const struct explorer *explorer, const struct batch_entry *entry)
{
    return entry->recover_step < 0 && explorer->operation->is_overtaken;
}

/* Who else was there between the death and the recovery; NULL: nobody. */
typedef const char *(*somebody)(const struct scene *scene, struct engine *copy, struct scene_value *expected);

static const char *heir_check(const struct explorer *explorer, const struct batch_entry *entry, unsigned char *image,
                              enum scene_heir heir, somebody was_there)
{
    static struct scene_value expected[SCENE_KEYS];
    const struct scene *scene = explorer->scene;
    struct engine_view copy;
    const char *reason = NULL;

    memcpy(expected, entry->is_after ? scene->after : scene->before, sizeof(expected));
    engine_view_open(&copy, scene->engine, image);
    if (was_there != NULL)
        reason = was_there(scene, &copy.engine, expected);
    if (reason == NULL && heir == HEIR_RESTARTS)
        reason = scene_salvage(scene, &copy.engine, expected);
    if (reason == NULL)
        reason = scene_recover(&copy.engine, heir);
    return reason != NULL ? reason : scene_check(scene, &copy.engine, heir, entry->is_after, expected);
}

/* Each state is recovered up to four times, each in a copy of its own: by a restart, by a restart after others went on beside
 * a process that only stood still, by a living heir after somebody else came in between and died too, and by a living heir at
 * once. */
static const char *state_check(const struct explorer *explorer, const struct batch_entry *entry, unsigned char *image)
{
    size_t size = explorer->scene->engine->segment->bytes;
    const char *reason;

    memcpy(explorer->scrubbed, image, size);
    reason = heir_check(explorer, entry, explorer->scrubbed, HEIR_RESTARTS, NULL);
    if (reason == NULL && is_overtaken(explorer, entry)) {
        memcpy(explorer->scrubbed, image, size);
        reason = heir_check(explorer, entry, explorer->scrubbed, HEIR_RESTARTS, scene_overtake);
    }
    if (reason != NULL || entry->heir == HEIR_RESTARTS)
        return reason;
    memcpy(explorer->intruded, image, size);
    if (is_intruded(explorer, entry))
        reason = heir_check(explorer, entry, explorer->intruded, entry->heir, scene_intrude);
    return reason != NULL ? reason : heir_check(explorer, entry, image, entry->heir, NULL);
}

/* One process for many states; if it dies of one, the next goes on behind it. */
static void batch_check_from(const struct explorer *explorer, const struct batch *batch)
{
    for (unsigned i = batch->progress->done; i < batch->count; i++) {
        const char *reason;

        (void)alarm(CHECK_SECONDS_MAX);
        reason = state_check(explorer, &batch->entries[i], batch->images + i * explorer->image_bytes);
        if (reason != NULL) {
            (void)snprintf(batch->progress->reason, sizeof(batch->progress->reason), "%s", reason);
            _exit(EXIT_FAILURE);
        }
        batch->progress->done = i + 1;
    }
    _exit(EXIT_SUCCESS);
}

static void must_wait(pid_t child, int *status)
{
    pid_t ended;

    do
        ended = waitpid(child, status, 0);
    while (ended == -1 && errno == EINTR);
    REQUIRE(ended == child);
}

static void batch_check(struct explorer *explorer, struct batch *batch)
{
    batch->progress->done = 0;
    for (unsigned i = 0; i < batch->count; i++)
        explorer->result->recoveries +=
            1 + (batch->entries[i].heir != HEIR_RESTARTS) + is_intruded(explorer, &batch->entries[i]) +
            is_overtaken(explorer, &batch->entries[i]);
    while (batch->progress->done < batch->count && explorer->result->violations == 0) {
        char reason[64];
        int status;
        pid_t checker = fork();

        REQUIRE(checker >= 0);
        if (checker == 0)
            batch_check_from(explorer, batch);
        must_wait(checker, &status);
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
            break;
        (void)snprintf(reason, sizeof(reason), "who recovers and checks dies of signal %d", WTERMSIG(status));
        violation_note(explorer, &batch->entries[batch->progress->done],
                       WIFSIGNALED(status) ? reason : batch->progress->reason);
        batch->progress->done++;
    }
    batch->count = 0;
}

/* --- states --- */

static void level_two(struct explorer *explorer, const struct batch *first, unsigned i);

static void batch_finish(struct explorer *explorer, unsigned level)
{
    struct batch *batch = &explorer->batches[level];

    for (unsigned i = 0; level == 0 && explorer->level_two_every != 0 && i < batch->count; i++) {
        long state = explorer->result->states - batch->count + i;

        if (state % explorer->level_two_every == 0 && explorer->result->violations == 0)
            level_two(explorer, batch, i);
    }
    batch_check(explorer, batch);
}

/* Copies the segment as the child's death would leave it, unless that was seen. */
static bool state_add(struct explorer *explorer, unsigned level, pid_t child, const unsigned char *base,
                      const struct batch_entry *entry)
{
    struct batch *batch = &explorer->batches[level];
    unsigned char *image = batch->images + batch->count * explorer->image_bytes;
    size_t size = explorer->scene->engine->segment->bytes;
    struct engine_view view;
    uint64_t hash;

    memcpy(image, base, size);
    engine_view_open(&view, explorer->scene->engine, image);
    stepper_bury(&view.engine, child);
    memcpy(explorer->scrubbed, image, size);
    engine_view_open(&view, explorer->scene->engine, explorer->scrubbed);
    stepper_scrub(&view.engine);
    hash = hash_of(explorer->scrubbed, size) + (entry->is_after ? 0x5bd1e995u : 0);
    if (!seen_add(&explorer->seen[level], hash))
        return false;
    batch->entries[batch->count++] = *entry;
    return true;
}

/* --- level two --- */

static void recoverer_run(void *context)
{
    struct explorer *explorer = context;
    struct engine_view copy;

    engine_view_open(&copy, explorer->scene->engine, explorer->second);
    stepper_begin_writes(explorer->second, explorer->image_bytes);
    atomic_store(&explorer->second_report->status,
                 scene_recover(&copy.engine, explorer->second_heir) == NULL ? STATUS_OK : STATUS_UNAVAILABLE);
    stepper_end(explorer->second_report);
}

static void level_two(struct explorer *explorer, const struct batch *first, unsigned i)
{
    struct batch_entry entry = first->entries[i];
    enum scene_heir heir = (enum scene_heir)(entry.step % HEIR_COUNT);
    size_t size = explorer->scene->engine->segment->bytes;
    enum stepper_outcome outcome = STEPPER_STEPPED;
    int signal_number = 0;
    pid_t child;

    memcpy(explorer->second, first->images + i * explorer->image_bytes, size);
    memcpy(explorer->last, explorer->second, size);
    memset(explorer->second_report, 0, sizeof(*explorer->second_report));
    entry.heir = heir;
    explorer->second_heir = heir;
    explorer->result->states_gone_on_from++;
    child = stepper_start(recoverer_run, explorer);
    REQUIRE(child > 0);
    for (entry.recover_step = 0; entry.recover_step < INSTRUCTIONS_MAX; entry.recover_step++) {
        outcome = stepper_next_write(child, explorer->second_report, explorer->second, explorer->image_bytes,
                                     &signal_number);
        if (outcome != STEPPER_STEPPED)
            break;
        if (memcmp(explorer->last, explorer->second, size) == 0)
            continue;
        memcpy(explorer->last, explorer->second, size);
        /* The next heir goes another way, if there still is one: behind half a restart only a restart comes. */
        if (heir != HEIR_RESTARTS)
            entry.heir = heir == HEIR_DRAINS_SLOTS ? HEIR_TAKES_SHARDS : HEIR_DRAINS_SLOTS;
        if (state_add(explorer, 1, child, explorer->second, &entry)) {
            explorer->result->recoverer_states++;
            if (explorer->batches[1].count == BATCH_STATES)
                batch_finish(explorer, 1);
        }
    }
    explorer->result->recoverer_writes += entry.recover_step;
    stepper_kill(child);
    batch_finish(explorer, 1);
    if (outcome != STEPPER_FINISHED)
        violation_note(explorer, &entry, signal_number == SIGABRT ? "the recoverer breaks a contract"
                                                                  : "the recoverer dies or does not end");
    else if (atomic_load(&explorer->second_report->status) != STATUS_OK)
        violation_note(explorer, &entry, "recovery answers unavailable");
}

/* --- level one --- */

enum status performer_open(struct performer *performer)
{
    enum status status = participant_open(performer->scene->engine, &performer->participant);

    if (status != STATUS_OK)
        return status;
    atomic_store(&performer->report->word, atomic_load(&performer->participant->slot->commit.word));
    atomic_store(&performer->report->slot, performer->participant->slot_number + 1);
    return STATUS_OK;
}

static void operation_run(void *context)
{
    struct explorer *explorer = context;
    struct performer performer = {.scene = explorer->scene, .report = explorer->report};
    enum status status;

    if (!explorer->operation->opens_itself) {
        status = performer_open(&performer);
        REQUIRE(status == STATUS_OK);
    }
    if (explorer->operation->prepare != NULL)
        explorer->operation->prepare(&performer);
    if (performer.participant != NULL)
        atomic_store(&explorer->report->word, atomic_load(&performer.participant->slot->commit.word));
    stepper_begin();
    status = explorer->operation->act(&performer);
    atomic_store(&explorer->report->status, (int)status);
    atomic_store(&explorer->report->has_returned, 1);
    stepper_end(explorer->report);
}

static bool is_committed(const struct explorer *explorer)
{
    const struct segment *segment = explorer->scene->engine->segment;
    unsigned slot = atomic_load(&explorer->report->slot);
    uint64_t word = slot == 0 ? 0 : atomic_load(&process_slot_at(segment, slot - 1)->commit.word);

    return word != 0 && word != atomic_load(&explorer->report->word);
}

/* The state behind a step, if it is another than behind the last one. */
static void state_visit(struct explorer *explorer, pid_t child, struct batch_entry *entry)
{
    const struct segment *segment = explorer->scene->engine->segment;
    const struct stepper_report *report = explorer->report;
    bool was_after = entry->is_after;
    bool has_succeeded = atomic_load(&report->has_returned) != 0 && atomic_load(&report->status) == STATUS_OK;
    bool is_same = entry->step > 0 && memcmp(explorer->last, segment->base, segment->bytes) == 0;

    entry->is_after = was_after || has_succeeded || is_committed(explorer);
    if (is_same && entry->is_after == was_after)
        return;
    if (explorer->operation->stores_nothing && entry->step > 0 && !is_same)
        violation_note(explorer, entry, "it stores in shared memory");
    entry->heir = explorer->result->states % 2 == 0 ? HEIR_DRAINS_SLOTS : HEIR_TAKES_SHARDS;
    if (state_add(explorer, 0, child, segment->base, entry)) {
        explorer->result->states++;
        if (explorer->batches[0].count == BATCH_STATES)
            batch_finish(explorer, 0);
    }
    memcpy(explorer->last, segment->base, segment->bytes); /* level two had it meanwhile */
}

static const char *end_check(const struct explorer *explorer, enum stepper_outcome outcome, int signal_number)
{
    enum status answer = (enum status)atomic_load(&explorer->report->status);

    if (explorer->result->violations > 0)
        return NULL; /* it was not let to its end */
    if (outcome != STEPPER_FINISHED)
        return signal_number == SIGABRT ? "the operation breaks a contract" : "the operation dies or does not end";
    return answer == explorer->operation->answer ? NULL : status_code(answer);
}

static void level_one(struct explorer *explorer)
{
    struct batch_entry entry = {.recover_step = -1};
    enum stepper_outcome outcome = STEPPER_STEPPED;
    const char *fault;
    int signal_number = 0;
    pid_t child = stepper_start(operation_run, explorer);

    REQUIRE(child > 0);
    while (outcome == STEPPER_STEPPED && entry.step < INSTRUCTIONS_MAX && explorer->result->violations == 0) {
        state_visit(explorer, child, &entry);
        outcome = stepper_step(child, explorer->report, &signal_number);
        entry.step += outcome == STEPPER_STEPPED;
    }
    explorer->result->instructions = entry.step;
    stepper_kill(child);
    batch_finish(explorer, 0);
    fault = end_check(explorer, outcome, signal_number);
    if (fault != NULL)
        violation_note(explorer, &entry, fault);
}

static void explorer_init(struct explorer *explorer, struct scene *scene)
{
    explorer->scene = scene;
    explorer->image_bytes = image_bytes_of(scene->engine);
    explorer->last = private_memory(explorer->image_bytes);
    explorer->scrubbed = private_memory(explorer->image_bytes);
    explorer->second = process_shared_memory(explorer->image_bytes);
    explorer->intruded = process_shared_memory(explorer->image_bytes);
    explorer->report = process_shared_memory(sizeof(*explorer->report));
    explorer->second_report = process_shared_memory(sizeof(*explorer->second_report));
    batch_init(&explorer->batches[0], explorer->image_bytes);
    batch_init(&explorer->batches[1], explorer->image_bytes);
}

static void explorer_deinit(struct explorer *explorer)
{
    for (unsigned level = 0; level < 2; level++) {
        batch_deinit(&explorer->batches[level], explorer->image_bytes);
        free(explorer->seen[level].hashes);
    }
    (void)munmap(explorer->second, explorer->image_bytes);
    (void)munmap(explorer->intruded, explorer->image_bytes);
    (void)munmap(explorer->report, sizeof(*explorer->report));
    (void)munmap(explorer->second_report, sizeof(*explorer->second_report));
    free(explorer->last);
    free(explorer->scrubbed);
}

void explore(const struct operation *operation, unsigned level_two_every, struct exploration *exploration)
{
    static struct scene scene;
    struct explorer explorer = {
        .operation = operation,
        .result = exploration,
        .level_two_every = level_two_every,
    };

    memset(exploration, 0, sizeof(*exploration));
    scene_open(&scene, operation->bytes, operation->shard_count);
    operation->arrange(&scene);
    if (scene.author != NULL)
        participant_close(scene.author);
    scene.author = NULL;
    explorer_init(&explorer, &scene);
    level_one(&explorer);
    explorer_deinit(&explorer);
    scene_close(&scene);
}

/* --- a death for a scene --- */

static void writes_commit(void *context)
{
    struct explorer *explorer = context;
    const struct scene *scene = explorer->scene;
    struct performer performer = {.scene = explorer->scene, .report = explorer->report};
    enum status status = performer_open(&performer);

    if (status == STATUS_OK)
        status = transaction_begin(performer.participant, ISOLATION_SERIALIZABLE, &performer.transaction);
    for (size_t i = 0; status == STATUS_OK && i < scene->write_count; i++)
        status = scene_do(scene, performer.participant, performer.transaction, i);
    REQUIRE(status == STATUS_OK);
    stepper_begin();
    (void)transaction_commit(performer.participant, performer.transaction);
    stepper_end(explorer->report);
}

void explorer_die_at_commit_point(struct scene *scene)
{
    struct explorer explorer = {.scene = scene};
    enum stepper_outcome outcome = STEPPER_STEPPED;
    int signal_number;
    pid_t child;

    explorer.report = process_shared_memory(sizeof(*explorer.report));
    child = stepper_start(writes_commit, &explorer);
    REQUIRE(child > 0);
    while (outcome == STEPPER_STEPPED && !is_committed(&explorer))
        outcome = stepper_step(child, explorer.report, &signal_number);
    REQUIRE(outcome == STEPPER_STEPPED);
    stepper_kill(child);
    scene_settle(scene);
    (void)munmap(explorer.report, sizeof(*explorer.report));
}
