/* The server's own text on huge pages: where its workers have it, and that it serves wherever that cannot be had. What
 * the system says of a worker is compared to what the test finds out by itself, never to what the server thinks. */
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "platform/program_text.h"
#include "support/server_driver.h"

#define PONG "{\"status\": \"Ok\", \"result\": \"PONG\"}"
#define HEADERS_MAX 32u

#ifndef PR_SET_MDWE /* of Linux 6.3 */
#define PR_SET_MDWE 65
#define PR_MDWE_REFUSE_EXEC_GAIN 1UL
#endif

TestSuite(program_text, .timeout = 120);

/* What /proc/PID/smaps tells of a process's first executable mapping, which is its program's. */
struct text_mapping {
    uintptr_t start;
    bool is_anonymous;
    uint64_t huge_kib;
    uint64_t private_kib;
};

static bool is_text(const char *line, struct text_mapping *mapping)
{
    char permissions[8];
    char path[256] = "";

    if (sscanf(line, "%*s %7s %*s %*s %*s %255s", permissions, path) < 1 || permissions[2] != 'x' || path[0] == '[')
        return false;
    mapping->start = strtoul(line, NULL, 16);
    mapping->is_anonymous = path[0] == '\0';
    return true;
}

static void read_field(const char *line, struct text_mapping *mapping)
{
    const char *value = strchr(line, ':');

    cr_assert_not_null(value, "no line of a mapping: %s", line);
    if (strncmp(line, "AnonHugePages:", strlen("AnonHugePages:")) == 0)
        mapping->huge_kib = strtoul(value + 1, NULL, 10);
    if (strncmp(line, "Private_", strlen("Private_")) == 0)
        mapping->private_kib += strtoul(value + 1, NULL, 10);
}

static struct text_mapping text_of(pid_t process)
{
    struct text_mapping mapping = {0};
    bool is_there = false;
    char line[512];
    FILE *smaps;

    (void)snprintf(line, sizeof line, "/proc/%d/smaps", (int)process);
    smaps = fopen(line, "r");
    cr_assert_not_null(smaps);
    while (!is_there && fgets(line, sizeof line, smaps) != NULL)
        is_there = is_text(line, &mapping);
    cr_assert(is_there);
    while (fgets(line, sizeof line, smaps) != NULL && strncmp(line, "VmFlags:", strlen("VmFlags:")) != 0)
        read_field(line, &mapping);
    (void)fclose(smaps);
    return mapping;
}

/* Starts a server, is answered, and looks at who answered. */
static struct text_mapping text_of_a_worker(struct server *server)
{
    struct text_mapping mapping;
    struct client client;

    server_start(server, "--log-level", "info");
    client_connect(&client, server);
    client_expect(&client, "PING", PONG);
    mapping = text_of(client_worker(&client));
    client_close(&client);
    return mapping;
}

/* --- what there should be --- */

static bool is_linked_for_it(const struct server *server)
{
    ElfW(Phdr) headers[HEADERS_MAX];
    struct program_text text;
    ElfW(Ehdr) first;
    char path[64];
    int file;

    (void)snprintf(path, sizeof path, "/proc/%d/exe", (int)server->process);
    file = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_eq(pread(file, &first, sizeof first, 0), (ssize_t)sizeof first);
    cr_assert_leq(first.e_phnum, HEADERS_MAX);
    cr_assert_eq(pread(file, headers, first.e_phnum * sizeof *headers, (off_t)first.e_phoff),
                 (ssize_t)(first.e_phnum * sizeof *headers));
    (void)close(file);
    return program_text_find(headers, first.e_phnum, 0, &text);
}

static bool system_gives_huge_pages(void)
{
    size_t bytes = PROGRAM_TEXT_BLOCK_BYTES;
    unsigned char *space = mmap(NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *aligned = space + (bytes - (uintptr_t)space % bytes) % bytes;
    bool is_given;

    cr_assert_neq(space, MAP_FAILED);
    aligned[0] = 1;
    is_given = madvise(aligned, bytes, 25 /* MADV_COLLAPSE */) == 0;
    munmap(space, 2 * bytes);
    return is_given;
}

/* NULL: it should be on huge pages. */
static const char *reason_against(const struct server *server, const struct text_mapping *mapping)
{
    if (!is_linked_for_it(server))
        return "the server is not linked for huge pages of its text (no static libraries, or sanitizers)";
    if (mapping->start % PROGRAM_TEXT_BLOCK_BYTES != 0)
        return "this system does not load programs at a multiple of 2 MiB";
    if (!system_gives_huge_pages())
        return "the system gives no huge pages to who asks";
    return NULL;
}

static void expect_huge(const struct server *server, const struct text_mapping *mapping)
{
    cr_assert(mapping->is_anonymous);
    cr_assert_neq(mapping->huge_kib, 0);
    cr_assert_eq(mapping->huge_kib % (PROGRAM_TEXT_BLOCK_BYTES >> 10), 0);
    cr_assert_eq(mapping->private_kib, 0, "all processes of the server share it");
    cr_assert(server_has_said(server, "Program text: " PROGRAM_TEXT_ON_HUGE_PAGES));
}

static void expect_small(const struct server *server, const struct text_mapping *mapping, const char *words)
{
    cr_assert_not(mapping->is_anonymous);
    cr_assert_eq(mapping->huge_kib, 0);
    cr_assert(server_has_said(server, "Program text: small pages"));
    cr_assert(server_has_said(server, words), "not said: %s", words);
}

Test(program_text, is_on_huge_pages_where_the_system_gives_them)
{
    struct server server;
    struct text_mapping mapping = text_of_a_worker(&server);
    const char *reason = reason_against(&server, &mapping);

    if (reason == NULL)
        expect_huge(&server, &mapping);
    else
        expect_small(&server, &mapping, "Program text: small pages");
    server_stop(&server);
    if (reason != NULL)
        cr_skip_test("%s", reason);
}

/* --- where it cannot be had, though all else is right --- */

static void skip_where_it_never_moves(void)
{
    struct server server;
    struct text_mapping mapping = text_of_a_worker(&server);
    const char *reason = reason_against(&server, &mapping);

    server_stop(&server);
    if (reason != NULL)
        cr_skip_test("%s", reason);
}

static void expect_that_it_stays(const char *words)
{
    struct server server;
    struct text_mapping mapping = text_of_a_worker(&server);

    expect_small(&server, &mapping, words);
    server_stop(&server);
}

Test(program_text, stays_where_it_was_without_huge_pages)
{
    skip_where_it_never_moves();
    cr_assert_eq(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);

    expect_that_it_stays("small pages, there were no others");
}

Test(program_text, stays_where_it_was_if_nothing_may_become_executable)
{
    skip_where_it_never_moves();
    if (prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0)
        cr_skip_test("the system cannot refuse to make memory executable (Linux before 6.3)");

    expect_that_it_stays("small pages, the system refuses to move it");
}

/* Whoever moves a mapping to a place of his choice is killed; realloc(3) goes where the system likes. */
static void kill_whoever_moves_memory(void)
{
    struct sock_filter lines[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mremap, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[3])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MREMAP_FIXED, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {.len = sizeof lines / sizeof *lines, .filter = lines};

    cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter, 0, 0) != 0)
        cr_skip_test("the system has no filters of system calls");
}

Test(program_text, rehearsal_dies_in_place_of_the_server)
{
    skip_where_it_never_moves();
    kill_whoever_moves_memory();

    expect_that_it_stays("small pages, the system refuses to move it");
}
