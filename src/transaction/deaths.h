/* What a crash of this process is to be counted against; see deaths.c. */
#ifndef HAUSKV_TRANSACTION_DEATHS_H
#define HAUSKV_TRANSACTION_DEATHS_H

#include <stdatomic.h>
#include <stdint.h>

/* From now on a crash counts against that count, in shared memory; NULL: against the shards whose lock this process holds. */
void deaths_blame(_Atomic uint32_t *deaths);

#endif
