/* A worker that spins with a shard's lock, for ever: a loop is planted where it
 * stands as soon as it has the lock. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/survival_support.h"
#include "table/table.h"
#include "transaction/engine.h"

#define STEPS_MAX 2000000u

TestSuite(spinning, .timeout = 120);

/* Whether a process holds the lock of one of the shards. */
static bool holds_a_shard(const struct segment_file *file, pid_t process)
{
    const unsigned char *root = file->bytes + segment_file_header(file)->root_offset;
    const struct shard *shards = (const struct shard *)(const void *)(root + sizeof(struct table_root));
    unsigned count = ((const struct table_root *)(const void *)root)->shard_count;

    for (unsigned i = 0; i < count; i++)
        if (robust_mutex_is_held_by(&shards[i].mutex, process))
            return true;
    return false;
}

/* The machine's shortest endless loop, and where the process would go on. */
#if defined(__x86_64__)
#define LOOP 0xfeebul
#define LOOP_MASK 0xfffful
#define PROGRAM_COUNTER(registers) ((registers).rip)
#elif defined(__aarch64__)
#define LOOP 0x14000000ul
#define LOOP_MASK 0xfffffffful
#define PROGRAM_COUNTER(registers) ((registers).pc)
#else
#define LOOP 0ul
#define LOOP_MASK 0ul
#define PROGRAM_COUNTER(registers) 0ul
#endif

static void plant_loop(pid_t process)
{
    struct user_regs_struct registers;
    struct iovec where = {&registers, sizeof registers};
    unsigned long word;
    void *place;

    cr_assert_eq(ptrace(PTRACE_GETREGSET, process, (void *)NT_PRSTATUS, &where), 0);
    place = (void *)PROGRAM_COUNTER(registers);
    errno = 0;
    word = (unsigned long)ptrace(PTRACE_PEEKTEXT, process, place, NULL);
    cr_assert_eq(errno, 0);
    word = (word & ~LOOP_MASK) | LOOP;
    cr_assert_eq(ptrace(PTRACE_POKETEXT, process, place, (void *)word), 0);
}

static void wait_for_stop(pid_t process)
{
    int status = 0;

    cr_assert_eq(waitpid(process, &status, __WALL), process);
    cr_assert(WIFSTOPPED(status));
}

static bool holds_a_lock(const struct segment_file *file, pid_t process)
{
    const struct segment_header *header = segment_file_header(file);

    return holds_a_shard(file, process) || robust_mutex_is_held_by(&header->slots_mutex, process) ||
           robust_mutex_is_held_by(&header->key_lock_mutex, process);
}

/* Who is stepped is stopped most of the time, and would be ended for that. Returns the housekeeper, which is in nobody's way. */
static pid_t watchers_stop(const struct server *server, const struct segment_file *file)
{
    pid_t housekeeper;

    eventually((housekeeper = server_housekeeper(server)) != 0);
    process_stop(server->process); /* or it would end a silent housekeeper */
    driver_process_stop(housekeeper);
    while (holds_a_lock(file, housekeeper)) {
        process_continue(housekeeper);
        driver_process_stop(housekeeper);
    }
    return housekeeper;
}

/* The client's worker takes the lock for its PUT, and keeps it. */
static pid_t make_it_spin(struct client *client, const struct segment_file *file, const char *line)
{
    pid_t worker = client_worker(client);
    pid_t housekeeper;
    unsigned steps = 0;

    if (LOOP_MASK == 0)
        cr_skip_test("not run: this processor's loop is not known here");
    if (ptrace(PTRACE_SEIZE, worker, NULL, NULL) != 0)
        cr_skip_test("not run: the system lets nobody look into other processes");
    cr_assert_eq(ptrace(PTRACE_INTERRUPT, worker, NULL, NULL), 0);
    wait_for_stop(worker);
    housekeeper = watchers_stop(client->server, file);
    client_send_text(client, line);
    for (; steps < STEPS_MAX && !holds_a_shard(file, worker); steps++) {
        cr_assert_eq(ptrace(PTRACE_SINGLESTEP, worker, NULL, NULL), 0);
        wait_for_stop(worker);
    }
    cr_assert(holds_a_shard(file, worker), "after %u steps", steps);
    plant_loop(worker);
    cr_assert_eq(ptrace(PTRACE_DETACH, worker, NULL, NULL), 0);
    process_continue(housekeeper);
    process_continue(client->server->process);
    return worker;
}

/* Every time that key's shard costs a process, until the shard is set aside; the others are served all the time. */
Test(spinning, worker_that_spins_is_ended_and_its_shard_is_set_aside)
{
    struct server server;
    struct segment_file file;
    struct client victim;
    struct client other;
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", "300ms", "--memory", "32m");
    file = segment_file_map(&server);
    client_connect(&other, &server);
    for (unsigned round = 1; round <= RECOVERY_DEATHS_MAX; round++) {
        client_connect(&victim, &server);
        worker = make_it_spin(&victim, &file, "PUT key 1\n");

        if (round < RECOVERY_DEATHS_MAX)
            client_expect(&other, "PUT key 2", REPLY_OK);
        else
            client_expect_error(&other, "PUT key 2", "unavailable");

        client_expect_end(&victim);
        client_close(&victim);
        eventually(!driver_process_lives(worker));
        eventually(server_count_said(&server, "spun for 300 ms with a lock") == round);
    }
    for (unsigned i = 0; i < 4; i++) {
        char line[32];

        (void)snprintf(line, sizeof line, "PUT other%u 1", i);
        if (strcmp(client_say(&other, line), REPLY_OK) == 0)
            break;
        cr_assert_lt(i, 3, "one shard of 8 is set aside");
    }
    client_close(&other);
    segment_file_unmap(&file);
    server_stop(&server);
}

/* 0 is off, for those that are stopped too. */
Test(spinning, timeout_0_kills_nobody)
{
    struct server server;
    struct segment_file file;
    struct client victim;
    struct client other;
    char line[64];
    pid_t worker;

    server_start(&server, "--lock-holder-timeout", "0", "--memory", "32m");
    file = segment_file_map(&server);
    client_connect(&victim, &server);
    client_connect(&other, &server);
    worker = make_it_spin(&victim, &file, "PUT key 1\n");
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(line, sizeof line, "PING");
        client_expect(&other, line, REPLY_PONG);
    }

    cr_assert(driver_process_lives(worker));
    cr_assert_eq(kill(worker, SIGKILL), 0);
    client_expect_end(&victim);
    client_expect(&other, "PUT key 2", REPLY_OK);
    client_close(&victim);
    client_close(&other);
    segment_file_unmap(&file);
    server_stop(&server);
}
