/* How much of something the control groups of this process leave, version 1 or
 * 2, the tightest of the group and those around it. The master, at start. */
#ifndef HAUSKV_SERVER_CGROUP_H
#define HAUSKV_SERVER_CGROUP_H

#include <stdint.h>

#define CGROUP_UNLIMITED UINT64_MAX

/* root is "", or a folder in place of / for tests. CGROUP_UNLIMITED too where nothing can be found out. */
uint64_t cgroup_memory_left_bytes(const char *root);
uint64_t cgroup_processes_left(const char *root);

#endif
