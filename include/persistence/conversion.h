/* Taking over a segment that another build made, by copying: its pairs are read
 * by the reader of its format (format_4.h) and put into a new segment, which then
 * takes its name. */
#ifndef HAUSKV_PERSISTENCE_CONVERSION_H
#define HAUSKV_PERSISTENCE_CONVERSION_H

#include "store/shared_store.h"

/* Takes over the store of that name as shared_store_restore does; one of another layout that this build has a reader for is copied.
 * The old segment keeps its name, and is owned, until the new one is whole. STATUS_DENIED: as shared_store_restore, or it is of
 * another layout and damaged: then a dump saves what can be read. STATUS_OUT_OF_MEMORY: the data does not fit options->bytes (0: as
 * many as it has), or the system has not so much for both at once. It is kept unless STATUS_OK; conversion_reason has the sentence.
 * Only a new master calls it. */
enum status conversion_restore(const struct shared_store_options *options, struct store **result,
                               struct shared_store_restart *restart);

/* The sentence that goes with the last conversion_restore of this process that failed. */
const char *conversion_reason(void);

#endif
