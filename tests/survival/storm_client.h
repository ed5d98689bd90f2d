/* A client of the storm: a process of its own that moves money between accounts
 * and puts records, over one connection after the other, whatever happens to the
 * server, and writes down in shared memory what it knows of each outcome.
 *
 * Every transfer and every single PUT has a number, and leaves a record under
 * the key "<client>.<number>", so that afterwards everybody can see which of
 * them happened, and what the accounts must hold. */
#ifndef HAUSKV_TESTS_STORM_CLIENT_H
#define HAUSKV_TESTS_STORM_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define STORM_CLIENTS 16u
#define STORM_TWINS 4u
#define STORM_ACCOUNTS 10u
#define STORM_COINS_AT_FIRST 1000
#define STORM_RECORDS_MAX 200000u /* of each client; afterwards it only looks */
#define STORM_VICTIMS 65536u

/* What a client knows of what it wanted. */
enum storm_outcome {
    OUTCOME_NONE,    /* nothing was sent that could have an effect */
    OUTCOME_UNKNOWN, /* sent, and no reply came */
    OUTCOME_DONE,    /* acknowledged */
    OUTCOME_REFUSED  /* answered with a conflict */
};

struct storm_ledger {
    atomic_uint count; /* of numbers that were used */
    uint64_t commits;
    uint64_t conflicts;
    uint64_t audits;
    uint64_t reconnects;
    uint64_t unknown;
    uint64_t silences;       /* replies that did not come in time: a stopped worker */
    uint64_t stall_us;       /* the longest wait for a reply by a client whose own worker nobody touched */
    uint64_t connect_us;     /* the same for a connection's first reply */
    unsigned char outcomes[STORM_RECORDS_MAX];
};

struct storm {
    uint64_t seed;
    atomic_uint port;  /* of the present server */
    atomic_uint birth; /* counts servers; odd: there is none just now */
    atomic_int is_over;
    atomic_uint victim_count; /* processes that were killed or stopped, in order */
    _Atomic pid_t victims[STORM_VICTIMS];
    struct storm_ledger ledgers[STORM_CLIENTS];
};

struct storm_client_job {
    struct storm *storm;
    unsigned number;
};

/* A client's life, until the storm is over: a process_body. 0: nothing was wrong. */
int storm_client_run(void *context);

/* What a record says: whether it was a transfer and of what. False: that is no record. */
struct storm_record {
    unsigned source;
    unsigned target;
    int64_t amount; /* 0: a single PUT */
};

bool storm_record_read(const char *reply, unsigned client, unsigned number, struct storm_record *record);

#endif
