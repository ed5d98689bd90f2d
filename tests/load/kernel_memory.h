/* What a server and its connections cost the machine altogether, the system's own
 * memory included. What processes have is asked from the server's own; what the
 * system has for them (stacks, sockets, descriptors) is known only for the whole
 * machine, so other programs that come and go disturb it. Shared memory and page
 * cache are not counted. */
#ifndef HAUSKV_TESTS_LOAD_KERNEL_MEMORY_H
#define HAUSKV_TESTS_LOAD_KERNEL_MEMORY_H

#include <sys/types.h>

enum memory_kind {
    MEMORY_OWN,         /* the server's: pages that are not shared memory, proportionally */
    MEMORY_PAGE_TABLES, /* the server's */
    MEMORY_KERNEL_STACKS,
    MEMORY_SLAB, /* sockets of both ends, processes, descriptors */
    MEMORY_PER_CPU,
    MEMORY_AVAILABLE, /* not part of the sum but its check: how much less of it there is */
    MEMORY_KIND_COUNT
};

struct kernel_memory {
    double bytes[MEMORY_KIND_COUNT];
};

void kernel_memory_take(struct kernel_memory *memory, pid_t server);

/* Its two halves, for who has something to do in between. What the machine has comes first: for each process that is
 * looked at in /proc, it keeps something more. */
void kernel_memory_take_machine(struct kernel_memory *memory);
void kernel_memory_take_server(struct kernel_memory *memory, pid_t server);

/* How much more there is of each than before; now, or when `now` was taken. */
struct kernel_memory kernel_memory_since(const struct kernel_memory *before, pid_t server);
struct kernel_memory kernel_memory_between(const struct kernel_memory *before, const struct kernel_memory *now);

double kernel_memory_sum(const struct kernel_memory *memory);

/* Prints each kind in KiB, divided by count. */
void kernel_memory_print(const struct kernel_memory *memory, const char *what, unsigned count);

#endif
