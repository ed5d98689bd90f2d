/* What happened to some transactions on HISTORY_KEYS keys, and whether a
 * strictly serializable store can have answered so.
 *
 * Every written value is a number of its own (0 stands for an absent key), and
 * the store tells at what time of its clock a transaction read and committed
 * (store_session_times). So nothing has to be searched:
 *
 *   H1  no two commits have the same time; one that wrote a value has a time.
 *   H2  replayed in the order of their times, committed SERIALIZABLE
 *       transactions and single commands read what the state then is.
 *   H3  every SERIALIZABLE transaction, committed or not, and every single
 *       read, reads the state at its snapshot, own writes on top.
 *   H4  real time agrees: if A returned before B was invoked, B's snapshot is
 *       not before A's time and B's commit is after it.
 *   H5  READ COMMITTED reads can be placed, in their order, at times between
 *       what had returned before and what was invoked after, and before the
 *       transaction's own commit; so can a commit that changed nothing (a DEL
 *       of what was absent).
 *   H6  a conflict is of a SERIALIZABLE transaction that wrote and that read
 *       what the conflict names from the store, and that did change between the
 *       snapshot and the return (a key read as absent: it was there then; a
 *       range: an insert or a delete).
 *
 * H3 makes reads of transactions that fail count too; H2 and H4 are strict
 * serializability. */
#ifndef HAUSKV_TESTS_HISTORY_H
#define HAUSKV_TESTS_HISTORY_H

#include "store/store.h"

#define HISTORY_KEYS 8u
#define HISTORY_STEPS_MAX 10u
#define HISTORY_RANGE HISTORY_KEYS /* as a conflict's key: a scanned range */
#define HISTORY_DAMAGED UINT64_MAX /* as a value that was read: nobody wrote such bytes */
#define HISTORY_REASON_BYTES 1024u

enum history_step_kind {
    HISTORY_GET,
    HISTORY_PUT,
    HISTORY_DEL,
    HISTORY_COUNT
};

struct history_step {
    enum history_step_kind kind;
    unsigned key;
    uint64_t value; /* read or written; 0: absent. COUNT: how many keys */
};

struct history_transaction {
    uint64_t invoked_ns; /* before BEGIN was sent */
    uint64_t returned_ns; /* after COMMIT or ROLLBACK had answered */
    struct store_times times;
    enum isolation isolation;
    bool is_single;      /* one step, committed with it */
    enum status outcome; /* OK: committed. ABORTED: rolled back at will. CONFLICT. OUT_OF_MEMORY: not applied */
    unsigned conflict_key;
    unsigned client;
    unsigned step_count; /* steps that succeeded */
    struct history_step steps[HISTORY_STEPS_MAX];
};

struct history {
    struct history_transaction *transactions; /* in any order */
    size_t count;
    size_t capacity;
};

struct history_figures {
    size_t committed_writers;
    size_t readers; /* committed, without a write */
    size_t singles;
    size_t read_committed;
    size_t conflicts;
    size_t rolled_back;
    size_t out_of_memory;
    size_t reads; /* each was checked */
    size_t overlapping; /* SERIALIZABLE writers that committed although others committed since their snapshot */
};

/* Private memory of the test, not shared. */
bool history_check(const struct history *history, struct history_figures *figures, char reason[HISTORY_REASON_BYTES]);

#endif
