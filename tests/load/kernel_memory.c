#include "load/kernel_memory.h"

#include <stdio.h>

#include "load/process_tree.h"

void kernel_memory_take(struct kernel_memory *memory, pid_t server)
{
    kernel_memory_take_machine(memory);
    kernel_memory_take_server(memory, server);
}

void kernel_memory_take_machine(struct kernel_memory *memory)
{
    memory->bytes[MEMORY_KERNEL_STACKS] = (double)machine_bytes("KernelStack");
    memory->bytes[MEMORY_SLAB] = (double)machine_bytes("Slab");
    memory->bytes[MEMORY_PER_CPU] = (double)machine_bytes("Percpu");
    memory->bytes[MEMORY_AVAILABLE] = (double)machine_bytes("MemAvailable");
}

void kernel_memory_take_server(struct kernel_memory *memory, pid_t server)
{
    struct tree_memory tree;

    tree_memory(server, &tree);
    memory->bytes[MEMORY_OWN] = (double)tree.own;
    memory->bytes[MEMORY_PAGE_TABLES] = (double)tree.page_tables;
}

struct kernel_memory kernel_memory_since(const struct kernel_memory *before, pid_t server)
{
    struct kernel_memory now;

    kernel_memory_take(&now, server);
    return kernel_memory_between(before, &now);
}

struct kernel_memory kernel_memory_between(const struct kernel_memory *before, const struct kernel_memory *now)
{
    struct kernel_memory more;

    for (unsigned kind = 0; kind < MEMORY_KIND_COUNT; kind++)
        more.bytes[kind] = now->bytes[kind] - before->bytes[kind];
    more.bytes[MEMORY_AVAILABLE] = -more.bytes[MEMORY_AVAILABLE];
    return more;
}

double kernel_memory_sum(const struct kernel_memory *memory)
{
    double sum = 0;

    for (unsigned kind = 0; kind < MEMORY_AVAILABLE; kind++)
        sum += memory->bytes[kind];
    return sum;
}

void kernel_memory_print(const struct kernel_memory *memory, const char *what, unsigned count)
{
    const double *bytes = memory->bytes;
    double unit = 1024.0 * count;

    printf("| %s | %.1f | %.1f | %.1f | %.1f | %.1f | **%.1f** | %.1f |\n", what, bytes[MEMORY_OWN] / unit,
           bytes[MEMORY_PAGE_TABLES] / unit, bytes[MEMORY_KERNEL_STACKS] / unit, bytes[MEMORY_SLAB] / unit,
           bytes[MEMORY_PER_CPU] / unit, kernel_memory_sum(memory) / unit, bytes[MEMORY_AVAILABLE] / unit);
}
