/* Memory between two pages that nobody may touch: who reads or writes before its begin or behind its end dies of
 * SIGSEGV. */
#ifndef HAUSKV_TESTS_SUPPORT_GUARDED_MEMORY_H
#define HAUSKV_TESTS_SUPPORT_GUARDED_MEMORY_H

#include <stddef.h>

struct guarded_memory {
    unsigned char *begin; /* where a page begins */
    unsigned char *end;   /* behind the last byte, where a page ends */
};

/* At least so many bytes, whole pages, zeroed. It goes with the test's process. */
struct guarded_memory guarded_memory(size_t bytes);

#endif
