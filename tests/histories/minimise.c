#include "histories/minimise.h"

#include <stdlib.h>

/* Where it stops, however large the history still is. */
#define CHECKS_MAX 3000u
#define EFFORT_MAX 30000000u

#define NO_DEPTH UINT32_MAX

/* A PUT. */
struct writer {
    uint64_t value;
    size_t index; /* of the transaction */
    unsigned step;
};

struct minimiser {
    history_checker checker;
    unsigned checks;
    uint64_t effort;
    struct history best;      /* the smallest that was refused so far */
    struct history candidate; /* has room for it */
    bool *chosen;             /* per step of best, HISTORY_STEPS_MAX for each transaction: is in the candidate */
    size_t *pending;          /* of those, whose needs were not looked at */
    size_t pending_count;
    struct writer *writers; /* of best, by value */
    size_t writer_count;
    size_t *deletions; /* steps of best */
    size_t deletion_count;
    uint32_t *depths; /* per writer: how many versions of the key came before */
};

/* --- steps, numbered --- */

static size_t number_of(size_t index, unsigned step)
{
    return index * HISTORY_STEPS_MAX + step;
}

static const struct history_step *step_of(const struct minimiser *minimiser, size_t number)
{
    return &minimiser->best.transactions[number / HISTORY_STEPS_MAX].steps[number % HISTORY_STEPS_MAX];
}

/* --- trying --- */

static size_t size_of(const struct history *history)
{
    size_t size = history->count;

    for (size_t i = 0; i < history->count; i++)
        size += history->transactions[i].step_count;
    return size;
}

/* Without transactions that are empty now; one that writes nothing any more has no commit time either. */
static void tidy(struct history *history)
{
    size_t count = 0;

    for (size_t i = 0; i < history->count; i++) {
        if (!history_transaction_writes(&history->transactions[i]))
            history->transactions[i].times.commit = 0;
        if (history->transactions[i].step_count > 0)
            history->transactions[count++] = history->transactions[i];
    }
    history->count = count;
}

static bool may_go_on(const struct minimiser *minimiser)
{
    return minimiser->checks < CHECKS_MAX && minimiser->effort < EFFORT_MAX;
}

/* Whether the candidate is smaller than the best, and refused: then it is the best. */
static bool accept_candidate(struct minimiser *minimiser)
{
    struct history_opinion opinion = {.effort = 0};
    struct history former = minimiser->best;

    tidy(&minimiser->candidate);
    if (minimiser->candidate.count == 0 || size_of(&minimiser->candidate) >= size_of(&minimiser->best) ||
        !may_go_on(minimiser))
        return false;
    minimiser->checks++;
    if (minimiser->checker(&minimiser->candidate, &opinion) != HISTORY_REFUSED) {
        minimiser->effort += opinion.effort;
        return false;
    }
    minimiser->effort += opinion.effort;
    minimiser->best = minimiser->candidate;
    minimiser->candidate = former;
    return true;
}

static void begin_candidate(struct minimiser *minimiser)
{
    struct history *candidate = &minimiser->candidate;

    memcpy(candidate->transactions, minimiser->best.transactions,
           minimiser->best.count * sizeof(*candidate->transactions));
    candidate->count = minimiser->best.count;
}

static void drop_step(struct history_transaction *transaction, unsigned index)
{
    memmove(&transaction->steps[index], &transaction->steps[index + 1],
            (transaction->step_count - index - 1) * sizeof(transaction->steps[0]));
    transaction->step_count--;
}

/* --- keys --- */

static bool leave_keys_out(struct minimiser *minimiser)
{
    unsigned width = minimiser->best.has_stamps ? 2 : 1;
    bool has_shrunk = false;

    for (unsigned key = 0; key < minimiser->best.key_count; key += width) {
        begin_candidate(minimiser);
        for (size_t i = 0; i < minimiser->candidate.count; i++) {
            struct history_transaction *transaction = &minimiser->candidate.transactions[i];

            for (unsigned j = transaction->step_count; j > 0; j--) {
                const struct history_step *step = &transaction->steps[j - 1];

                if (step->kind == HISTORY_COUNT || step->key / width == key / width)
                    drop_step(transaction, j - 1);
            }
        }
        has_shrunk = accept_candidate(minimiser) || has_shrunk;
    }
    return has_shrunk;
}

/* --- who wrote what --- */

static int compare_writers(const void *left, const void *right)
{
    uint64_t a = ((const struct writer *)left)->value;
    uint64_t b = ((const struct writer *)right)->value;

    return a < b ? -1 : a > b;
}

static void find_writers(struct minimiser *minimiser)
{
    const struct history *history = &minimiser->best;

    minimiser->writer_count = 0;
    minimiser->deletion_count = 0;
    for (size_t i = 0; i < history->count; i++) {
        for (unsigned j = 0; j < history->transactions[i].step_count; j++) {
            const struct history_step *step = &history->transactions[i].steps[j];

            if (step->kind == HISTORY_PUT)
                minimiser->writers[minimiser->writer_count++] = (struct writer){step->value, i, j};
            else if (step->kind == HISTORY_DEL)
                minimiser->deletions[minimiser->deletion_count++] = number_of(i, j);
        }
    }
    qsort(minimiser->writers, minimiser->writer_count, sizeof(struct writer), compare_writers);
}

static const struct writer *writer_of(const struct minimiser *minimiser, uint64_t value)
{
    const struct writer wanted = {.value = value};

    return bsearch(&wanted, minimiser->writers, minimiser->writer_count, sizeof(wanted), compare_writers);
}

/* --- beginnings of keys --- */

static const struct history_step *first_step(const struct history_transaction *transaction, unsigned key)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (step->key == key && step->kind != HISTORY_COUNT)
            return step;
    }
    return NULL;
}

/* What a writer read of the key before; NULL: it did not. */
static const struct history_step *predecessor(const struct minimiser *minimiser, unsigned key, uint64_t value)
{
    const struct writer *writer = writer_of(minimiser, value);
    const struct history_step *first;

    if (writer == NULL)
        return NULL;
    first = first_step(&minimiser->best.transactions[writer->index], key);
    return first != NULL && first->kind == HISTORY_GET ? first : NULL;
}

/* How many versions of the key came before a value; NO_DEPTH: that cannot be told. */
static uint32_t depth_of(const struct minimiser *minimiser, unsigned key, uint64_t value)
{
    uint32_t depth = 0;

    for (; value != 0; depth++) {
        const struct history_step *before = predecessor(minimiser, key, value);

        if (before == NULL || depth > minimiser->writer_count)
            return NO_DEPTH;
        value = before->value;
    }
    return depth;
}

/* The largest depth; 0: there is no order of versions, or nothing to leave out. Fills depths for the key's writers. */
static uint32_t find_depths(struct minimiser *minimiser, unsigned key)
{
    uint32_t deepest = 0;

    find_writers(minimiser);
    for (size_t i = 0; i < minimiser->writer_count; i++) {
        const struct history_transaction *transaction =
            &minimiser->best.transactions[minimiser->writers[i].index];
        bool is_of_key = false;

        for (unsigned j = 0; j < transaction->step_count; j++)
            is_of_key = is_of_key || (transaction->steps[j].key == key && transaction->steps[j].kind == HISTORY_PUT &&
                                      transaction->steps[j].value == minimiser->writers[i].value);
        if (!is_of_key)
            continue;
        minimiser->depths[i] = depth_of(minimiser, key, minimiser->writers[i].value);
        if (minimiser->depths[i] == NO_DEPTH)
            return 0;
        if (minimiser->depths[i] > deepest)
            deepest = minimiser->depths[i];
    }
    return deepest;
}

static uint32_t known_depth(const struct minimiser *minimiser, uint64_t value)
{
    const struct writer *writer = writer_of(minimiser, value);

    return writer == NULL ? 0 : minimiser->depths[writer - minimiser->writers];
}

static bool deletes_key(const struct history *history, unsigned key)
{
    for (size_t i = 0; i < history->count; i++) {
        for (unsigned j = 0; j < history->transactions[i].step_count; j++) {
            if (history->transactions[i].steps[j].kind == HISTORY_DEL && history->transactions[i].steps[j].key == key)
                return true;
        }
    }
    return false;
}

/* Whether a step writes, or reads what the transaction itself wrote. */
static bool is_of_own_write(const struct history_transaction *transaction, unsigned index)
{
    for (unsigned i = 0; i <= index; i++) {
        if (history_step_writes(&transaction->steps[i]) && transaction->steps[i].key == transaction->steps[index].key)
            return true;
    }
    return false;
}

/* Lets a transaction forget the versions of a key up to a depth, and those of the key that it stamps. */
static void forget_versions(const struct minimiser *minimiser, struct history_transaction *transaction, unsigned key,
                            uint32_t depth)
{
    bool has_stamps = minimiser->best.has_stamps;
    uint32_t read_depth = NO_DEPTH;
    uint32_t written_depth = NO_DEPTH;

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (step->key != key)
            continue;
        if (step->kind == HISTORY_GET && read_depth == NO_DEPTH)
            read_depth = known_depth(minimiser, step->value);
        else if (step->kind == HISTORY_PUT)
            written_depth = known_depth(minimiser, step->value);
    }
    for (unsigned i = transaction->step_count; i > 0; i--) {
        struct history_step *step = &transaction->steps[i - 1];
        bool is_own = is_of_own_write(transaction, i - 1);
        uint32_t own_depth = is_own ? written_depth : read_depth;

        if (step->key != key && !(has_stamps && step->key == key + 1))
            continue;
        if (own_depth < depth || (own_depth == depth && is_own))
            drop_step(transaction, i - 1);
        else if (own_depth == depth)
            step->value = 0;
    }
}

static bool begin_key_later(struct minimiser *minimiser, unsigned key)
{
    bool has_shrunk = false;
    uint32_t deepest = deletes_key(&minimiser->best, key) ? 0 : find_depths(minimiser, key);

    for (uint32_t depth = deepest; depth > 0 && may_go_on(minimiser);) {
        begin_candidate(minimiser);
        for (size_t i = 0; i < minimiser->candidate.count; i++)
            forget_versions(minimiser, &minimiser->candidate.transactions[i], key, depth);
        if (accept_candidate(minimiser)) {
            has_shrunk = true;
            deepest = find_depths(minimiser, key);
            depth = depth < deepest ? depth : deepest;
        } else {
            depth /= 2;
        }
    }
    return has_shrunk;
}

static bool begin_keys_later(struct minimiser *minimiser)
{
    unsigned width = minimiser->best.has_stamps ? 2 : 1;
    bool has_shrunk = false;

    for (unsigned key = 0; key < minimiser->best.key_count; key += width)
        has_shrunk = begin_key_later(minimiser, key) || has_shrunk;
    return has_shrunk;
}

/* --- transactions and steps --- */

static void need(struct minimiser *minimiser, size_t number)
{
    if (minimiser->chosen[number])
        return;
    minimiser->chosen[number] = true;
    minimiser->pending[minimiser->pending_count++] = number;
}

/* A count needs all writes. */
static void need_all_writes(struct minimiser *minimiser)
{
    for (size_t i = 0; i < minimiser->best.count; i++) {
        for (unsigned j = 0; j < minimiser->best.transactions[i].step_count; j++) {
            if (history_step_writes(&minimiser->best.transactions[i].steps[j]))
                need(minimiser, number_of(i, j));
        }
    }
}

static bool is_last_write(const struct history_transaction *transaction, unsigned index)
{
    for (unsigned i = index + 1; i < transaction->step_count; i++) {
        if (history_step_writes(&transaction->steps[i]) && transaction->steps[i].key == transaction->steps[index].key)
            return false;
    }
    return true;
}

/* When the latest deletion was invoked that is sure to come before the reader. */
static uint64_t last_sure_deletion_ns(const struct minimiser *minimiser, const struct history_transaction *reader,
                                      unsigned key)
{
    uint64_t last_ns = 0;

    for (size_t i = 0; i < minimiser->deletion_count; i++) {
        size_t number = minimiser->deletions[i];
        const struct history_transaction *transaction = &minimiser->best.transactions[number / HISTORY_STEPS_MAX];

        if (step_of(minimiser, number)->key == key && transaction->outcome == STATUS_OK &&
            history_returned_ns(transaction) < reader->invoked_ns && transaction->invoked_ns > last_ns &&
            is_last_write(transaction, (unsigned)(number % HISTORY_STEPS_MAX)))
            last_ns = transaction->invoked_ns;
    }
    return last_ns;
}

/* An absence needs the deletions that may have been the last one before it: those that had not returned before another
 * was invoked that had returned before the reader was. */
static void need_deletions(struct minimiser *minimiser, size_t reader_number)
{
    const struct history_transaction *reader = &minimiser->best.transactions[reader_number / HISTORY_STEPS_MAX];
    unsigned key = step_of(minimiser, reader_number)->key;
    uint64_t last_ns = last_sure_deletion_ns(minimiser, reader, key);

    for (size_t i = 0; i < minimiser->deletion_count; i++) {
        size_t number = minimiser->deletions[i];
        const struct history_transaction *transaction = &minimiser->best.transactions[number / HISTORY_STEPS_MAX];

        if (step_of(minimiser, number)->key == key && transaction->invoked_ns <= history_returned_ns(reader) &&
            history_returned_ns(transaction) >= last_ns)
            need(minimiser, number);
    }
}

/* A deletion of what the server says was not there: as good as a read. */
static bool found_nothing(const struct minimiser *minimiser, size_t number)
{
    const struct history_transaction *transaction = &minimiser->best.transactions[number / HISTORY_STEPS_MAX];

    return step_of(minimiser, number)->kind == HISTORY_DEL && transaction->outcome == STATUS_OK &&
           transaction->has_times && transaction->times.commit == 0;
}

static void need_what_is_read(struct minimiser *minimiser, size_t number, bool *has_counted)
{
    const struct history_step *step = step_of(minimiser, number);
    const struct writer *writer = NULL;

    if (step->kind == HISTORY_COUNT && !*has_counted)
        need_all_writes(minimiser);
    else if ((step->kind == HISTORY_GET && step->value == 0) || found_nothing(minimiser, number))
        need_deletions(minimiser, number);
    else if (step->kind == HISTORY_GET)
        writer = writer_of(minimiser, step->value);
    if (writer != NULL)
        need(minimiser, number_of(writer->index, writer->step));
    *has_counted = *has_counted || step->kind == HISTORY_COUNT;
}

/* Adds what the chosen steps need. */
static void close_choice(struct minimiser *minimiser)
{
    bool has_counted = false;

    minimiser->pending_count = 0;
    for (size_t i = 0; i < minimiser->best.count * HISTORY_STEPS_MAX; i++) {
        if (minimiser->chosen[i])
            minimiser->pending[minimiser->pending_count++] = i;
    }
    while (minimiser->pending_count > 0)
        need_what_is_read(minimiser, minimiser->pending[--minimiser->pending_count], &has_counted);
}

/* Makes a candidate of what is chosen. */
static bool try_choice(struct minimiser *minimiser)
{
    close_choice(minimiser);
    begin_candidate(minimiser);
    for (size_t i = 0; i < minimiser->candidate.count; i++) {
        struct history_transaction *transaction = &minimiser->candidate.transactions[i];

        for (unsigned j = transaction->step_count; j > 0; j--) {
            if (!minimiser->chosen[number_of(i, j - 1)])
                drop_step(transaction, j - 1);
        }
    }
    return accept_candidate(minimiser);
}

/* A unit is a transaction, or one of the steps, numbered through. */
static size_t unit_count(const struct minimiser *minimiser, bool by_steps)
{
    return by_steps ? size_of(&minimiser->best) - minimiser->best.count : minimiser->best.count;
}

static bool leave_piece_out(struct minimiser *minimiser, bool by_steps, size_t begin, size_t end)
{
    size_t unit = 0;

    memset(minimiser->chosen, false, minimiser->best.count * HISTORY_STEPS_MAX);
    for (size_t i = 0; i < minimiser->best.count; i++) {
        for (unsigned j = 0; j < minimiser->best.transactions[i].step_count; j++, unit += by_steps)
            minimiser->chosen[number_of(i, j)] = unit < begin || unit >= end;
        unit += !by_steps;
    }
    return try_choice(minimiser);
}

static bool leave_pieces_out(struct minimiser *minimiser, bool by_steps)
{
    bool has_shrunk = false;

    for (size_t size = (unit_count(minimiser, by_steps) + 1) / 2; size > 0; size /= 2) {
        find_writers(minimiser);
        for (size_t end = unit_count(minimiser, by_steps); end > 0 && may_go_on(minimiser);) {
            size_t begin = end > size ? end - size : 0;

            if (leave_piece_out(minimiser, by_steps, begin, end)) {
                has_shrunk = true;
                find_writers(minimiser);
            }
            end = begin < unit_count(minimiser, by_steps) ? begin : unit_count(minimiser, by_steps);
        }
    }
    return has_shrunk;
}

/* --- all of it --- */

/* A conflict says something of what others did meanwhile, a roll-back does not. Whether it is refused without. */
static bool forget_conflicts(struct minimiser *minimiser)
{
    struct history_opinion opinion = {.effort = 0};

    for (size_t i = 0; i < minimiser->best.count; i++) {
        if (minimiser->best.transactions[i].outcome == STATUS_CONFLICT)
            minimiser->best.transactions[i].outcome = STATUS_ABORTED;
    }
    minimiser->checks++;
    return minimiser->checker(&minimiser->best, &opinion) == HISTORY_REFUSED;
}

static int compare_invocations(const void *left, const void *right)
{
    uint64_t a = ((const struct history_transaction *)left)->invoked_ns;
    uint64_t b = ((const struct history_transaction *)right)->invoked_ns;

    return a < b ? -1 : a > b;
}

struct history history_minimise(const struct history *history, history_checker checker, unsigned *checks)
{
    struct minimiser minimiser = {
        .checker = checker,
        .best = history_copy(history),
        .candidate = history_copy(history),
        .chosen = malloc(history->count * HISTORY_STEPS_MAX + 1),
        .pending = malloc((history->count * HISTORY_STEPS_MAX + 1) * sizeof(size_t)),
        .writers = malloc((history->count * HISTORY_STEPS_MAX + 1) * sizeof(struct writer)),
        .deletions = malloc((history->count * HISTORY_STEPS_MAX + 1) * sizeof(size_t)),
        .depths = calloc(history->count * HISTORY_STEPS_MAX + 1, sizeof(uint32_t)),
    };
    bool has_shrunk = true;

    REQUIRE(minimiser.chosen != NULL && minimiser.pending != NULL);
    REQUIRE(minimiser.writers != NULL && minimiser.deletions != NULL && minimiser.depths != NULL);
    qsort(minimiser.best.transactions, history->count, sizeof(*minimiser.best.transactions), compare_invocations);
    if (!forget_conflicts(&minimiser)) {
        memcpy(minimiser.best.transactions, history->transactions,
               history->count * sizeof(*minimiser.best.transactions));
        has_shrunk = false;
    }
    while (has_shrunk && may_go_on(&minimiser)) {
        has_shrunk = leave_keys_out(&minimiser);
        has_shrunk = begin_keys_later(&minimiser) || has_shrunk;
        has_shrunk = leave_pieces_out(&minimiser, false) || has_shrunk;
        has_shrunk = leave_pieces_out(&minimiser, true) || has_shrunk;
    }
    free(minimiser.candidate.transactions);
    free(minimiser.chosen);
    free(minimiser.pending);
    free(minimiser.writers);
    free(minimiser.deletions);
    free(minimiser.depths);
    if (checks != NULL)
        *checks = minimiser.checks;
    return minimiser.best;
}
