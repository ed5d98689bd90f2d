/* What a cache miss costs on this machine: the bound of everything that looks up one key at a time. */
#ifndef HAUSKV_TESTS_LOAD_MEMORY_LATENCY_H
#define HAUSKV_TESTS_LOAD_MEMORY_LATENCY_H

#include <stddef.h>

/* ns from the address of a random cache line to its content, in `bytes` of private memory on huge pages where the system
 * gives them: each line holds the number of the next. bytes is a multiple of 2 MiB. Ends the process without memory. */
double memory_latency_ns(size_t bytes);

#endif
