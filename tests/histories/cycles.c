#include "histories/cycles.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "histories/graph.h"

#define NOBODY UINT32_MAX

/* Kinds of edges. Real time goes over nodes of its own, one for each return, in the order of time: every invocation is
 * behind every earlier return, and there are only so many edges as transactions. */
enum {
    WW = 1,
    WR = 2,
    RW = 4,
    RT = 8
};

/* A value that was written. Only keys that are no data keys have versions: a data key has those of its stamp. */
struct written {
    uint64_t value;
    uint32_t transaction;
    uint32_t key;
    bool is_final; /* what the transaction leaves */
};

struct check {
    struct history history; /* settled, in its own order */
    struct written *writes; /* by value */
    size_t write_count;
    uint32_t *successors; /* per version: who overwrote it; NOBODY */
    struct graph graph;   /* transactions, then returns */
    struct history_opinion *opinion;
    enum history_verdict verdict;
};

/* --- messages --- */

static bool refuse(struct check *check, size_t index, const char *name, const char *what, unsigned key, uint64_t value)
{
    const struct history_transaction *transaction = &check->history.transactions[index];

    check->verdict = history_conclude(check->opinion, HISTORY_REFUSED,
                                      "%s: transaction %zu (client %u, %s, %s) %s: key %u, value %" PRIu64, name, index,
                                      transaction->client, history_level_name(transaction),
                                      status_code(transaction->outcome), what, key, value);
    return false;
}

static bool give_up(struct check *check, size_t index, const char *what, unsigned key)
{
    check->verdict = history_conclude(check->opinion, HISTORY_UNDECIDED, "transaction %zu (client %u) %s: key %u",
                                      index, check->history.transactions[index].client, what, key);
    return false;
}

/* --- what was written --- */

static bool is_data_key(const struct check *check, unsigned key)
{
    return check->history.has_stamps && key % 2 == 1;
}

static bool is_applied(const struct history_transaction *transaction)
{
    return transaction->outcome == STATUS_OK;
}

/* The last write of a key among the first `end` steps; NULL. */
static const struct history_step *last_write(const struct history_transaction *transaction, unsigned key, unsigned end)
{
    for (unsigned i = end; i > 0; i--) {
        const struct history_step *step = &transaction->steps[i - 1];

        if (history_step_writes(step) && step->key == key)
            return step;
    }
    return NULL;
}

static const struct history_step *final_write(const struct history_transaction *transaction, unsigned key)
{
    return last_write(transaction, key, transaction->step_count);
}

/* The first read of a key from the store; NULL. */
static const struct history_step *store_read(const struct history_transaction *transaction, unsigned key)
{
    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];

        if (step->key != key || step->kind == HISTORY_COUNT)
            continue;
        return step->kind == HISTORY_GET ? step : NULL;
    }
    return NULL;
}

static int compare_writes(const void *left, const void *right)
{
    uint64_t a = ((const struct written *)left)->value;
    uint64_t b = ((const struct written *)right)->value;

    return a < b ? -1 : a > b;
}

static bool collect_writes(struct check *check)
{
    const struct history *history = &check->history;

    check->writes = malloc((history->count * HISTORY_STEPS_MAX + 1) * sizeof(*check->writes));
    REQUIRE(check->writes != NULL);
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *transaction = &history->transactions[i];

        for (unsigned j = 0; j < transaction->step_count; j++) {
            const struct history_step *step = &transaction->steps[j];

            if (step->kind == HISTORY_PUT)
                check->writes[check->write_count++] = (struct written){
                    step->value, (uint32_t)i, step->key, final_write(transaction, step->key) == step};
        }
    }
    qsort(check->writes, check->write_count, sizeof(*check->writes), compare_writes);
    for (size_t i = 1; i < check->write_count; i++) {
        if (check->writes[i].value == check->writes[i - 1].value)
            return give_up(check, check->writes[i].transaction, "writes a value that is not its own",
                           check->writes[i].key);
    }
    return true;
}

static const struct written *find_write(const struct check *check, uint64_t value)
{
    const struct written wanted = {.value = value};

    return bsearch(&wanted, check->writes, check->write_count, sizeof(wanted), compare_writes);
}

/* --- whether the history is one for this checker --- */

static bool step_is_allowed(struct check *check, size_t index, const struct history_step *step)
{
    const struct history_transaction *transaction = &check->history.transactions[index];

    if (step->kind == HISTORY_COUNT)
        return give_up(check, index, "counts keys", step->key);
    if (is_data_key(check, step->key))
        return (store_read(transaction, step->key - 1) != NULL &&
                (!history_step_writes(step) || final_write(transaction, step->key - 1) != NULL)) ||
               give_up(check, index, "has no stamp", step->key);
    if (!history_step_writes(step) || !is_applied(transaction))
        return true;
    if (step->kind == HISTORY_DEL)
        return give_up(check, index, "deletes a key without a stamp", step->key);
    if (store_read(transaction, step->key) == NULL)
        return give_up(check, index, "has not read what it writes", step->key);
    if (check->history.has_stamps && final_write(transaction, step->key + 1) == NULL)
        return give_up(check, index, "writes a stamp alone", step->key);
    return true;
}

static bool steps_are_allowed(struct check *check)
{
    for (size_t i = 0; i < check->history.count; i++) {
        for (unsigned j = 0; j < check->history.transactions[i].step_count; j++) {
            if (!step_is_allowed(check, i, &check->history.transactions[i].steps[j]))
                return false;
        }
    }
    return true;
}

/* --- versions: 0..key_count - 1 are those of the beginning, then the writes in their order --- */

static size_t version_of(const struct check *check, unsigned key, uint64_t value)
{
    if (value == 0)
        return key;
    return check->history.key_count + (size_t)(find_write(check, value) - check->writes);
}

static uint32_t writer_of(const struct check *check, size_t version)
{
    if (version < check->history.key_count)
        return NOBODY;
    return check->writes[version - check->history.key_count].transaction;
}

/* Whether somebody committed what was read, and left it so. */
static bool can_be_read(struct check *check, size_t index, unsigned key, uint64_t value)
{
    const struct written *write;

    if (value == 0)
        return true;
    write = find_write(check, value);
    if (write == NULL || write->key != key)
        return refuse(check, index, "garbage", "reads what nobody wrote there", key, value);
    if (write->transaction == index)
        return refuse(check, index, "internal", "reads what it writes later", key, value);
    if (!is_applied(&check->history.transactions[write->transaction]))
        return refuse(check, index, "G1a", "reads what was not committed", key, value);
    if (!write->is_final)
        return refuse(check, index, "G1b", "reads what its writer had overwritten before COMMIT", key, value);
    return true;
}

static void add_edge(struct check *check, uint32_t source, uint32_t target, uint32_t kind, unsigned key)
{
    if (source != NOBODY && target != NOBODY && source != target)
        graph_add(&check->graph, source, target, kind, key);
}

static bool add_version(struct check *check, size_t index, unsigned key)
{
    const struct history_step *read = store_read(&check->history.transactions[index], key);
    size_t version;

    if (!can_be_read(check, index, key, read->value))
        return false;
    version = version_of(check, key, read->value);
    if (check->successors[version] != NOBODY)
        return refuse(check, index, "lost update", "overwrites what another one has read and overwritten", key,
                      read->value);
    check->successors[version] = (uint32_t)index;
    add_edge(check, writer_of(check, version), (uint32_t)index, WW, key);
    return true;
}

static bool add_versions(struct check *check)
{
    size_t count = check->history.key_count + check->write_count;

    check->successors = malloc((count + 1) * sizeof(*check->successors));
    REQUIRE(check->successors != NULL);
    memset(check->successors, 0xff, (count + 1) * sizeof(*check->successors));
    for (size_t i = 0; i < check->history.count; i++) {
        const struct history_transaction *transaction = &check->history.transactions[i];

        for (unsigned key = 0; is_applied(transaction) && key < check->history.key_count; key++) {
            if (!is_data_key(check, key) && final_write(transaction, key) != NULL && !add_version(check, i, key))
                return false;
        }
    }
    return true;
}

/* --- reads --- */

static void add_read(struct check *check, size_t index, unsigned key, uint64_t value)
{
    size_t version = version_of(check, key, value);

    add_edge(check, writer_of(check, version), (uint32_t)index, WR, key);
    add_edge(check, (uint32_t)index, check->successors[version], RW, key);
}

/* What the writer of a stamp left in the key that it stamps. */
static uint64_t stamped_value(const struct check *check, unsigned key, uint64_t stamp)
{
    const struct history_step *write;

    if (stamp == 0)
        return 0;
    write = final_write(&check->history.transactions[find_write(check, stamp)->transaction], key);
    return write == NULL || write->kind == HISTORY_DEL ? 0 : write->value;
}

/* A data key that is as its stamp says tells nothing new. Else it is of another version: that of its writer's stamp. */
static bool add_data_read(struct check *check, size_t index, unsigned key, uint64_t value)
{
    const struct history_step *stamp = store_read(&check->history.transactions[index], key - 1);
    const struct history_transaction *writer;

    if (!can_be_read(check, index, key - 1, stamp->value))
        return false;
    if (value == stamped_value(check, key, stamp->value))
        return true;
    if (value == 0)
        return refuse(check, index, "fractured read", "does not find what its stamp says", key, value);
    if (!can_be_read(check, index, key, value))
        return false;
    writer = &check->history.transactions[find_write(check, value)->transaction];
    add_read(check, index, key - 1, final_write(writer, key - 1)->value);
    return true;
}

static bool add_reads_of(struct check *check, size_t index)
{
    const struct history_transaction *transaction = &check->history.transactions[index];

    for (unsigned i = 0; i < transaction->step_count; i++) {
        const struct history_step *step = &transaction->steps[i];
        const struct history_step *own = last_write(transaction, step->key, i);

        if (history_step_writes(step))
            continue;
        if (own != NULL && step->value != (own->kind == HISTORY_PUT ? own->value : 0))
            return refuse(check, index, "internal", "does not see its own write", step->key, step->value);
        if (own != NULL)
            continue;
        if (is_data_key(check, step->key)) {
            if (!add_data_read(check, index, step->key, step->value))
                return false;
            continue;
        }
        if (!can_be_read(check, index, step->key, step->value))
            return false;
        add_read(check, index, step->key, step->value);
    }
    return true;
}

static bool add_reads(struct check *check)
{
    for (size_t i = 0; i < check->history.count; i++) {
        if (!add_reads_of(check, i))
            return false;
    }
    return true;
}

/* --- real time --- */

struct moment {
    uint64_t time_ns;
    uint32_t transaction;
    bool is_return;
};

/* At the same nanosecond invocations come first: nothing is claimed then. */
static int compare_moments(const void *left, const void *right)
{
    const struct moment *a = left;
    const struct moment *b = right;

    if (a->time_ns != b->time_ns)
        return a->time_ns < b->time_ns ? -1 : 1;
    return (int)a->is_return - (int)b->is_return;
}

static void add_real_time(struct check *check)
{
    const struct history *history = &check->history;
    struct moment *moments = malloc((2 * history->count + 1) * sizeof(*moments));
    uint32_t last_return = NOBODY;

    REQUIRE(moments != NULL);
    for (size_t i = 0; i < history->count; i++) {
        const struct history_transaction *transaction = &history->transactions[i];

        moments[2 * i] = (struct moment){transaction->invoked_ns, (uint32_t)i, false};
        moments[2 * i + 1] = (struct moment){history_returned_ns(transaction), (uint32_t)i, true};
    }
    qsort(moments, 2 * history->count, sizeof(*moments), compare_moments);
    for (size_t i = 0; i < 2 * history->count; i++) {
        uint32_t transaction = moments[i].transaction;
        uint32_t node = (uint32_t)history->count + transaction;

        if (!moments[i].is_return) {
            add_edge(check, last_return, transaction, RT, 0);
            continue;
        }
        add_edge(check, transaction, node, RT, 0);
        add_edge(check, last_return, node, RT, 0);
        last_return = node;
    }
    free(moments);
}

/* --- cycles --- */

static const char *kind_name(uint32_t kind)
{
    return kind == WW ? "ww" : kind == WR ? "wr" : kind == RW ? "rw" : "rt";
}

/* "12 -rw(key 3)-> 17 -rt-> 12"; what lies between two nodes of real time is left out. */
static void describe(struct check *check, const char *name, const struct graph_edge *cycle, size_t length)
{
    char *reason = check->opinion->reason;
    size_t used = (size_t)snprintf(reason, HISTORY_REASON_BYTES, "%s:", name);

    for (size_t i = 0; i < length && used < HISTORY_REASON_BYTES - 128; i++) {
        const struct graph_edge *edge = &cycle[i];

        if (edge->source < check->history.count)
            used += (size_t)snprintf(reason + used, HISTORY_REASON_BYTES - used, " transaction %u (client %u)",
                                     edge->source, check->history.transactions[edge->source].client);
        if (edge->kind != RT)
            used += (size_t)snprintf(reason + used, HISTORY_REASON_BYTES - used, " -%s of key %u->",
                                     kind_name(edge->kind), edge->note);
        else if (edge->target < check->history.count)
            used += (size_t)snprintf(reason + used, HISTORY_REASON_BYTES - used, " -rt->");
    }
    (void)snprintf(reason + used, HISTORY_REASON_BYTES - used, " and so on");
    check->verdict = HISTORY_REFUSED;
}

/* So that a cycle is described from a transaction on, and not from the middle of real time. */
static void turn_cycle(const struct check *check, struct graph_edge *cycle, size_t length)
{
    for (size_t i = 0; i < length && cycle[0].source >= check->history.count; i++) {
        struct graph_edge first = cycle[0];

        memmove(cycle, cycle + 1, (length - 1) * sizeof(*cycle));
        cycle[length - 1] = first;
    }
}

static bool has_no_cycle(struct check *check)
{
    static const struct {
        const char *name;
        uint32_t kinds;
        uint32_t one;
    } anomalies[] = {
        {"G0", WW, 0},
        {"G1c", WW | WR, 0},
        {"G-single", WW | WR, RW},
        {"G2", WW | WR | RW, 0},
        {"G0 over real time", WW | RT, 0},
        {"G1c over real time", WW | WR | RT, 0},
        {"G-single over real time", WW | WR | RT, RW},
        {"G2 over real time", WW | WR | RW | RT, 0},
    };
    struct graph_edge *cycle = malloc((check->graph.node_count + (size_t)1) * sizeof(*cycle));
    bool is_cyclic;
    size_t length;

    REQUIRE(cycle != NULL);
    is_cyclic = graph_cycle(&check->graph, WW | WR | RW | RT, 0, cycle) > 0;
    for (size_t i = 0; is_cyclic && i < sizeof(anomalies) / sizeof(anomalies[0]); i++) {
        length = graph_cycle(&check->graph, anomalies[i].kinds, anomalies[i].one, cycle);
        if (length > 0) {
            turn_cycle(check, cycle, length);
            describe(check, anomalies[i].name, cycle, length);
            break;
        }
    }
    free(cycle);
    return !is_cyclic;
}

/* Of deletions too, since who does not see the stamp does not see the key. */
static void forget_what_nobody_saw(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        struct history_transaction *transaction = &history->transactions[i];

        if (transaction->outcome == STATUS_OUTCOME_UNKNOWN)
            transaction->outcome = STATUS_ABORTED;
    }
}

enum history_verdict history_cycles(const struct history *history, struct history_opinion *opinion)
{
    struct check check = {.history = history_copy(history), .opinion = opinion, .verdict = HISTORY_ACCEPTED};

    REQUIRE(history->key_count <= HISTORY_KEYS_MAX && history->count < UINT32_MAX / 2);
    REQUIRE(!history->has_stamps || history->key_count % 2 == 0);
    opinion->reason[0] = '\0';
    history_settle(&check.history);
    forget_what_nobody_saw(&check.history);
    check.graph.node_count = 2 * (uint32_t)history->count;
    if (collect_writes(&check) && steps_are_allowed(&check) && add_versions(&check) && add_reads(&check)) {
        add_real_time(&check);
        graph_finish(&check.graph);
        (void)has_no_cycle(&check);
    }
    opinion->effort = check.graph.edge_count;
    graph_deinit(&check.graph);
    free(check.writes);
    free(check.successors);
    free(check.history.transactions);
    return check.verdict;
}
