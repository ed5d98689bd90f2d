/* Runs the same random operations against a store and the reference model, in
 * one process, and compares reply by reply: status, value, keys in order,
 * cursor, count, and whether a conflict names something that changed. What
 * they do follows from the seed alone, so a mismatch can be seen again. */
#ifndef HAUSKV_TESTS_COMPARISON_H
#define HAUSKV_TESTS_COMPARISON_H

#include "support/store_fixture.h"
#include "support/store_flaw.h"

#define COMPARISON_SESSIONS_MAX 8u
#define COMPARISON_REASON_BYTES 8192u

/* How often each operation is chosen, relative to the sum. */
struct comparison_weights {
    unsigned begin;
    unsigned get;
    unsigned put;
    unsigned del;
    unsigned scan;
    unsigned count;
    unsigned commit;
    unsigned rollback;
    unsigned expire;
    unsigned reopen; /* closes a session and opens another */
};

struct comparison_mix {
    const char *name;
    unsigned session_count;
    unsigned transaction_count; /* open at a time per session; over STORE_TRANSACTIONS_MAX: BEGIN meets its limit */
    unsigned key_count;
    unsigned single_percent; /* of the operations are single commands */
    size_t value_bytes_max;  /* most are much smaller */
    /* Of the transactions are LOCKING. Nobody is waited for: who would have to is answered STATUS_LOCK_TIMEOUT. */
    unsigned locking_percent;
    struct comparison_weights weights;
    unsigned steps;
    unsigned steps_per_check; /* store_fixture_is_valid runs every so many steps */
    size_t bytes;             /* of shared memory */
    bool may_be_full;         /* STATUS_OUT_OF_MEMORY is an answer to a write; it must change nothing */
};

struct comparison_result {
    bool agrees;
    unsigned steps; /* done; on a mismatch the last one is it */
    unsigned commits;
    unsigned conflicts;
    unsigned full;
    uint64_t keys_at_end;
    char reason[COMPARISON_REASON_BYTES]; /* on a mismatch: what, and the last operations */
};

/* flaw is planted between the test and the store; STORE_FLAW_NONE for none. */
void comparison_run(const struct comparison_mix *mix, enum store_kind kind, enum store_flaw flaw, uint64_t seed,
                    struct comparison_result *result);

#endif
