/* What a server costs the machine, as the system tells it: a process with all
 * its threads, its children, and those of them that have ended. Servers have one
 * generation of children at most. */
#ifndef HAUSKV_TESTS_LOAD_PROCESS_TREE_H
#define HAUSKV_TESTS_LOAD_PROCESS_TREE_H

#include <stdint.h>
#include <sys/types.h>

/* Of all its processes, in bytes; each page that several have counts once. */
struct tree_memory {
    uint64_t own;         /* proportional share of what is not shared memory */
    uint64_t shared;      /* proportional share of shared memory that was touched */
    uint64_t page_tables; /* VmPTE */
    unsigned processes;
};

/* CPU time in ns since the process started. That of children that have ended is known to the system in ticks of 10 ms;
 * the others are exact. Does not count what children of children used. */
uint64_t tree_cpu_ns(pid_t process);

void tree_memory(pid_t process, struct tree_memory *memory);

/* The children that live: stores up to max of them and returns how many there are. */
unsigned tree_children(pid_t process, pid_t *children, unsigned max);

/* Bytes of a process that no other has in memory, without shared memory (of which it may happen to be the only one to
 * have touched a page). */
uint64_t process_private_bytes(pid_t process);

/* A line of a process's /proc files in bytes, such as "Private_Dirty" of smaps_rollup; 0 if there is none. */
uint64_t process_file_bytes(pid_t process, const char *file, const char *name);

/* The same of /proc/meminfo. */
uint64_t machine_bytes(const char *name);

#endif
