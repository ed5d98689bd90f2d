#include "histories/search.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "support/store_random.h"

/* What one client did, or one pending transaction: a piece of search->transactions. */
struct lane {
    size_t first;
    size_t count;
    size_t done; /* of it are in the order */
};

/* A place in the order that is being built, and what was not tried at it yet. */
struct place {
    unsigned choices[SEARCH_LANES_MAX]; /* lanes whose next transaction may stand here */
    unsigned choice_count;
    unsigned next;   /* of choices */
    bool is_applied; /* the next one is tried as one that was applied */
    unsigned taken;  /* the lane that was taken last */
};

/* Every configuration that was visited: records of one size, found by their hash. */
struct memory {
    uint64_t *records;
    size_t record_words;
    uint32_t *table; /* record numbers, plus 1 */
    size_t table_capacity; /* a power of two */
    uint32_t count;
    uint32_t capacity;
};

struct search {
    struct history history; /* settled, its transactions lane by lane */
    struct lane lanes[SEARCH_LANES_MAX];
    unsigned lane_count;
    struct place *places; /* one for each transaction of the order, and one more */
    uint64_t *states;     /* what the store holds at each place */
    struct memory memory;
    size_t depth;
    size_t deepest; /* how many transactions were in the order at most */
    char *stuck;    /* what was in the way there */
    struct history_opinion *opinion;
};

static void *allocated(void *memory)
{
    REQUIRE(memory != NULL);
    return memory;
}

/* --- memory --- */

static uint64_t hash_of(const uint64_t *record, size_t words)
{
    uint64_t hash = words;

    for (size_t i = 0; i < words; i++) {
        struct store_random random = {hash ^ record[i]};

        hash = store_random_next(&random);
    }
    return hash;
}

static void memory_init(struct memory *memory, size_t record_words)
{
    memory->record_words = record_words;
    memory->table_capacity = 1024;
    memory->table = allocated(calloc(memory->table_capacity, sizeof(*memory->table)));
    memory->capacity = 512;
    memory->records = allocated(malloc(memory->capacity * record_words * sizeof(*memory->records)));
}

static void memory_deinit(struct memory *memory)
{
    free(memory->table);
    free(memory->records);
}

static uint32_t *memory_entry(const struct memory *memory, const uint64_t *record)
{
    size_t mask = memory->table_capacity - 1;
    size_t at = (size_t)hash_of(record, memory->record_words) & mask;

    for (; memory->table[at] != 0; at = (at + 1) & mask) {
        const uint64_t *other = memory->records + (memory->table[at] - 1) * memory->record_words;

        if (memcmp(other, record, memory->record_words * sizeof(*record)) == 0)
            break;
    }
    return &memory->table[at];
}

static void memory_grow(struct memory *memory)
{
    memory->capacity *= 2;
    memory->records =
        allocated(realloc(memory->records, memory->capacity * memory->record_words * sizeof(*memory->records)));
    free(memory->table);
    memory->table_capacity *= 2;
    memory->table = allocated(calloc(memory->table_capacity, sizeof(*memory->table)));
    for (uint32_t i = 0; i < memory->count; i++)
        *memory_entry(memory, memory->records + i * memory->record_words) = i + 1;
}

/* Whether the record at the end of records is new; then it stays. */
static bool memory_add(struct memory *memory)
{
    uint32_t *entry = memory_entry(memory, memory->records + memory->count * memory->record_words);

    if (*entry != 0)
        return false;
    *entry = ++memory->count;
    if (memory->count == memory->capacity)
        memory_grow(memory);
    return true;
}

/* --- lanes --- */

/* Pending ones behind all others, each for itself. */
static int compare_lanes(const void *left, const void *right)
{
    const struct history_transaction *a = left;
    const struct history_transaction *b = right;

    if (a->is_pending != b->is_pending)
        return (int)a->is_pending - (int)b->is_pending;
    return history_compare_clients(left, right);
}

static bool make_lanes(struct search *search)
{
    struct history *history = &search->history;

    qsort(history->transactions, history->count, sizeof(*history->transactions), compare_lanes);
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *transaction = &history->transactions[i];
        bool is_next = i > 0 && !transaction->is_pending && transaction[-1].client == transaction->client;

        if (!is_next && search->lane_count == SEARCH_LANES_MAX)
            return false;
        if (!is_next)
            search->lanes[search->lane_count++] = (struct lane){.first = i};
        search->lanes[search->lane_count - 1].count++;
    }
    return true;
}

/* The first transaction of a lane that is not in the order; NULL. */
static const struct history_transaction *next_of(const struct search *search, unsigned number)
{
    const struct lane *lane = &search->lanes[number];

    return lane->done == lane->count ? NULL : &search->history.transactions[lane->first + lane->done];
}

/* --- places --- */

static uint64_t *state_at(const struct search *search, size_t depth)
{
    return search->states + depth * search->history.key_count;
}

static bool changes_nothing(const struct history_transaction *transaction)
{
    if (transaction->outcome == STATUS_OUTCOME_UNKNOWN)
        return false;
    return transaction->outcome != STATUS_OK || !history_transaction_writes(transaction);
}

/* Whether a transaction can stand at the present place; what the store holds then goes to the next one's state. */
static bool fits(const struct search *search, const struct history_transaction *transaction, bool is_applied,
                 unsigned *wrong_step)
{
    const uint64_t *before = state_at(search, search->depth);
    uint64_t *after = state_at(search, search->depth + 1);
    size_t size = search->history.key_count * sizeof(*after);

    memcpy(after, before, size);
    if (!history_walk(&search->history, transaction, after, wrong_step))
        return false;
    if (!is_applied)
        memcpy(after, before, size);
    return true;
}

/* S1. Who returned first comes first: that is most often right. */
static void find_choices(struct search *search, struct place *place)
{
    uint64_t first_return_ns = UINT64_MAX;

    place->choice_count = 0;
    place->next = 0;
    place->is_applied = true;
    for (unsigned lane = 0; lane < search->lane_count; lane++) {
        const struct history_transaction *transaction = next_of(search, lane);

        if (transaction != NULL && history_returned_ns(transaction) < first_return_ns)
            first_return_ns = history_returned_ns(transaction);
    }
    for (unsigned lane = 0; lane < search->lane_count; lane++) {
        const struct history_transaction *transaction = next_of(search, lane);
        unsigned at = place->choice_count;

        if (transaction == NULL || transaction->invoked_ns > first_return_ns)
            continue;
        for (; at > 0 && history_returned_ns(next_of(search, place->choices[at - 1])) >
                             history_returned_ns(transaction); at--)
            place->choices[at] = place->choices[at - 1];
        place->choices[at] = lane;
        place->choice_count++;
    }
}

/* S3. */
static void prefer_what_changes_nothing(const struct search *search, struct place *place)
{
    for (unsigned i = 0; i < place->choice_count; i++) {
        const struct history_transaction *transaction = next_of(search, place->choices[i]);

        if (changes_nothing(transaction) && fits(search, transaction, false, NULL)) {
            place->choices[0] = place->choices[i];
            place->choice_count = 1;
            return;
        }
    }
}

/* For the message of a refusal: what the first transactions that do not fit would have to read. */
static void describe_place(const struct search *search, const struct place *place)
{
    size_t used = 0;

    search->stuck[0] = '\0';
    for (unsigned i = 0; i < place->choice_count && used < HISTORY_REASON_BYTES / 2; i++) {
        const struct history_transaction *transaction = next_of(search, place->choices[i]);
        const struct history_step *step;
        unsigned wrong = 0;

        if (fits(search, transaction, false, &wrong))
            continue;
        step = &transaction->steps[wrong];
        used += (size_t)snprintf(search->stuck + used, HISTORY_REASON_BYTES - used,
                                 "; the one that client %u invoked at %" PRIu64 " (%s) reads %" PRIu64 " of key %u",
                                 transaction->client, transaction->invoked_ns, history_level_name(transaction),
                                 step->value, step->key);
    }
}

static void enter_place(struct search *search)
{
    struct place *place = &search->places[search->depth];

    find_choices(search, place);
    if (search->depth > search->deepest) {
        search->deepest = search->depth;
        describe_place(search, place);
    }
    prefer_what_changes_nothing(search, place);
}

/* --- the search --- */

/* Whether the configuration behind the place is one that was not visited yet. */
static bool is_new(struct search *search)
{
    struct memory *memory = &search->memory;
    uint64_t *record = memory->records + memory->count * memory->record_words;

    for (unsigned lane = 0; lane < search->lane_count; lane++)
        record[lane] = search->lanes[lane].done;
    memcpy(record + search->lane_count, state_at(search, search->depth + 1),
           search->history.key_count * sizeof(*record));
    return memory_add(memory);
}

/* S2. Tries what is left at a place; true: one was taken, and leads to something new. */
static bool take_next(struct search *search, struct place *place)
{
    while (place->next < place->choice_count) {
        unsigned lane = place->choices[place->next];
        const struct history_transaction *transaction = next_of(search, lane);
        bool is_applied = place->is_applied && (transaction->outcome == STATUS_OK ||
                                                transaction->outcome == STATUS_OUTCOME_UNKNOWN);

        /* Behind an unknown outcome that was applied comes the same one that was not. */
        if (is_applied && transaction->outcome == STATUS_OUTCOME_UNKNOWN) {
            place->is_applied = false;
        } else {
            place->is_applied = true;
            place->next++;
        }
        if (!fits(search, transaction, is_applied, NULL))
            continue;
        search->lanes[lane].done++;
        if (is_new(search)) {
            place->taken = lane;
            return true;
        }
        search->lanes[lane].done--;
    }
    return false;
}

static enum history_verdict run(struct search *search)
{
    enter_place(search);
    while (search->depth < search->history.count) {
        if (search->memory.count >= SEARCH_CONFIGURATIONS_MAX)
            return history_conclude(search->opinion, HISTORY_UNDECIDED, "%u configurations were not enough",
                                    SEARCH_CONFIGURATIONS_MAX);
        if (take_next(search, &search->places[search->depth])) {
            search->depth++;
            enter_place(search);
        } else if (search->depth == 0) {
            return history_conclude(search->opinion, HISTORY_REFUSED,
                                    "no order explains what was read: of %zu transactions at most %zu go one after the "
                                    "other%s", search->history.count, search->deepest, search->stuck);
        } else {
            search->depth--;
            search->lanes[search->places[search->depth].taken].done--;
        }
    }
    return HISTORY_ACCEPTED;
}

static void search_init(struct search *search, const struct history *history, struct history_opinion *opinion)
{
    *search = (struct search){.history = history_copy(history), .opinion = opinion};
    REQUIRE(history->key_count >= 1 && history->key_count <= HISTORY_KEYS_MAX);
    history_settle(&search->history);
    search->places = allocated(malloc((history->count + 1) * sizeof(*search->places)));
    search->states = allocated(calloc((history->count + 2) * history->key_count, sizeof(*search->states)));
    search->stuck = allocated(calloc(1, HISTORY_REASON_BYTES));
    opinion->reason[0] = '\0';
    opinion->effort = 0;
}

static void search_deinit(struct search *search)
{
    free(search->history.transactions);
    free(search->places);
    free(search->states);
    free(search->stuck);
}

enum history_verdict history_search(const struct history *history, struct history_opinion *opinion)
{
    enum history_verdict verdict;
    struct search search;

    search_init(&search, history, opinion);
    if (make_lanes(&search)) {
        memory_init(&search.memory, search.lane_count + history->key_count);
        verdict = run(&search);
        opinion->effort = search.memory.count;
        memory_deinit(&search.memory);
    } else {
        verdict = history_conclude(opinion, HISTORY_UNDECIDED, "more than %u clients and pending transactions",
                                   SEARCH_LANES_MAX);
    }
    search_deinit(&search);
    return verdict;
}
