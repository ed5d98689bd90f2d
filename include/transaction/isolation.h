/* What a transaction is promised; see spec/protocol.md. */
#ifndef HAUSKV_TRANSACTION_ISOLATION_H
#define HAUSKV_TRANSACTION_ISOLATION_H

enum isolation {
    ISOLATION_SERIALIZABLE,   /* one snapshot; COMMIT conflicts if what was read has changed */
    ISOLATION_READ_COMMITTED, /* every read sees the latest commit; COMMIT never conflicts */
    ISOLATION_LOCKING,        /* keys read or written belong to the transaction until it ends */
    ISOLATION_COUNT
};

#endif
