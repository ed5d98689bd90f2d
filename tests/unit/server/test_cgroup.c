/* Against folders that look like / does in a control group. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "server/cgroup.h"

static char root[64];

static void set_up(void)
{
    (void)snprintf(root, sizeof root, "/tmp/hauskv-cgroup-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static void tear_down(void)
{
    char command[128];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", root);
    cr_assert_eq(system(command), 0); /* NOLINT(cert-env33-c): a name of our own */
}

TestSuite(cgroup, .init = set_up, .fini = tear_down);

/* Makes the file and the folders above it. */
static void write_file(const char *name, const char *text)
{
    char path[256];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')) != NULL; slash++) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "we");
    cr_assert_not_null(file, "%s", path);
    (void)fputs(text, file);
    (void)fclose(file);
}

Test(cgroup, where_there_is_none_there_is_no_limit)
{
    cr_assert_eq(cgroup_memory_left_bytes(root), CGROUP_UNLIMITED);
    cr_assert_eq(cgroup_processes_left(root), CGROUP_UNLIMITED);
}

Test(cgroup, version_2_leaves_what_is_not_used)
{
    write_file("/proc/self/cgroup", "0::/box\n");
    write_file("/sys/fs/cgroup/box/memory.max", "1000000\n");
    write_file("/sys/fs/cgroup/box/memory.current", "400000\n");
    write_file("/sys/fs/cgroup/box/pids.max", "100\n");
    write_file("/sys/fs/cgroup/box/pids.current", "40\n");

    cr_assert_eq(cgroup_memory_left_bytes(root), 600000);
    cr_assert_eq(cgroup_processes_left(root), 60);
}

Test(cgroup, cached_files_can_be_had_back)
{
    write_file("/proc/self/cgroup", "0::/box\n");
    write_file("/sys/fs/cgroup/box/memory.max", "1000000\n");
    write_file("/sys/fs/cgroup/box/memory.current", "400000\n");
    write_file("/sys/fs/cgroup/box/memory.stat", "anon 100000\nactive_file 100000\ninactive_file 200000\n");

    cr_assert_eq(cgroup_memory_left_bytes(root), 900000);
}

Test(cgroup, max_is_no_limit)
{
    write_file("/proc/self/cgroup", "0::/box\n");
    write_file("/sys/fs/cgroup/box/memory.max", "max\n");
    write_file("/sys/fs/cgroup/box/memory.current", "400000\n");

    cr_assert_eq(cgroup_memory_left_bytes(root), CGROUP_UNLIMITED);
}

Test(cgroup, tightest_of_those_around_counts)
{
    write_file("/proc/self/cgroup", "0::/a/b/c\n");
    write_file("/sys/fs/cgroup/a/b/c/pids.max", "1000\n");
    write_file("/sys/fs/cgroup/a/b/c/pids.current", "1\n");
    write_file("/sys/fs/cgroup/a/pids.max", "50\n");
    write_file("/sys/fs/cgroup/a/pids.current", "20\n");

    cr_assert_eq(cgroup_processes_left(root), 30);
}

Test(cgroup, over_its_limit_nothing_is_left)
{
    write_file("/proc/self/cgroup", "0::/\n");
    write_file("/sys/fs/cgroup/pids.max", "10\n");
    write_file("/sys/fs/cgroup/pids.current", "20\n");

    cr_assert_eq(cgroup_processes_left(root), 0);
}

Test(cgroup, version_1_has_a_folder_per_controller)
{
    write_file("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/box\n3:pids:/box\n");
    write_file("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000000\n");
    write_file("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "400000\n");
    write_file("/sys/fs/cgroup/memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 50000\n");
    write_file("/sys/fs/cgroup/pids/box/pids.max", "max\n");

    cr_assert_eq(cgroup_memory_left_bytes(root), 650000);
    cr_assert_eq(cgroup_processes_left(root), CGROUP_UNLIMITED);
}

Test(cgroup, group_that_a_container_hides_is_looked_for_at_the_root)
{
    write_file("/proc/self/cgroup", "4:memory:/docker/0123456789\n");
    write_file("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
    write_file("/sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n");

    cr_assert_eq(cgroup_memory_left_bytes(root), 900000);
}
