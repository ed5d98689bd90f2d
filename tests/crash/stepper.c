#include "crash/stepper.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/ucontext.h>
#include <sys/wait.h>
#include <unistd.h>

#include "segment/process_table.h"

#ifndef __has_feature
#define __has_feature(name) 0
#endif

const char *stepper_is_impossible(void)
{
#if !defined(__x86_64__)
    return "single steps need x86-64";
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || __has_feature(address_sanitizer)
    return "a sanitizer's instructions would be stepped too";
#else
    return "";
#endif
}

pid_t stepper_start(void (*body)(void *context), void *context)
{
    int status;
    pid_t child = fork();

    REQUIRE(child >= 0);
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)alarm(0);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(EXIT_FAILURE);
        body(context);
        _exit(EXIT_SUCCESS);
    }
    if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGSTOP) {
        if (WIFSTOPPED(status))
            stepper_kill(child);
        return -1;
    }
    (void)ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_EXITKILL);
    return child;
}

void stepper_begin(void)
{
    (void)raise(SIGSTOP);
}

void stepper_end(struct stepper_report *report)
{
    atomic_store(&report->is_finished, 1);
    (void)raise(SIGSTOP);
}

enum stepper_outcome stepper_step(pid_t child, const struct stepper_report *report, int *signal_number)
{
    int status;

    *signal_number = 0;
    if (atomic_load(&report->is_finished) != 0)
        return STEPPER_FINISHED;
    if (ptrace(PTRACE_SINGLESTEP, child, NULL, NULL) != 0 || waitpid(child, &status, __WALL) != child)
        return STEPPER_DIED;
    if (WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP)
        return STEPPER_STEPPED;
    if (WIFSTOPPED(status))
        *signal_number = WSTOPSIG(status);
    else if (WIFSIGNALED(status))
        *signal_number = WTERMSIG(status);
    return STEPPER_DIED;
}

/* --- writes --- */

#if defined(__x86_64__)
#define TRAP_FLAG 0x100

static unsigned char *guarded;
static size_t guarded_size;

/* A write to guarded memory: let this one instruction do it. */
static void write_begins(int signal_number, siginfo_t *information, void *context)
{
    ucontext_t *state = context;

    (void)signal_number;
    (void)information;
    (void)mprotect(guarded, guarded_size, PROT_READ | PROT_WRITE);
    state->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void write_ends(int signal_number, siginfo_t *information, void *context)
{
    ucontext_t *state = context;

    (void)signal_number;
    (void)information;
    (void)mprotect(guarded, guarded_size, PROT_READ);
    state->uc_mcontext.gregs[REG_EFL] &= ~TRAP_FLAG;
}

void stepper_begin_writes(unsigned char *base, size_t size)
{
    struct sigaction begin = {.sa_sigaction = write_begins, .sa_flags = SA_SIGINFO};
    struct sigaction end = {.sa_sigaction = write_ends, .sa_flags = SA_SIGINFO};

    guarded = base;
    guarded_size = size;
    (void)sigaction(SIGSEGV, &begin, NULL);
    (void)sigaction(SIGTRAP, &end, NULL);
    (void)mprotect(base, size, PROT_READ);
    stepper_begin();
}
#else
void stepper_begin_writes(unsigned char *base, size_t size)
{
    (void)base;
    (void)size;
    stepper_begin();
}
#endif

static bool is_guarded(pid_t child, const unsigned char *base, size_t size)
{
    siginfo_t information;
    const unsigned char *address;

    if (ptrace(PTRACE_GETSIGINFO, child, NULL, &information) != 0)
        return false;
    address = information.si_addr;
    return address >= base && address < base + size;
}

enum stepper_outcome stepper_next_write(pid_t child, const struct stepper_report *report, const unsigned char *base,
                                        size_t size, int *signal_number)
{
    int deliver = *signal_number;
    int status;

    for (;;) {
        *signal_number = 0;
        if (ptrace(PTRACE_CONT, child, NULL, (void *)(intptr_t)deliver) != 0 ||
            waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status))
            return STEPPER_DIED;
        if (WSTOPSIG(status) == SIGSTOP && atomic_load(&report->is_finished) != 0)
            return STEPPER_FINISHED;
        *signal_number = WSTOPSIG(status);
        if (*signal_number == SIGTRAP)
            return STEPPER_STEPPED; /* delivered when the child goes on */
        if (*signal_number != SIGSEGV || !is_guarded(child, base, size))
            return STEPPER_DIED;
        deliver = SIGSEGV;
    }
}

enum stepper_outcome stepper_go_on(pid_t child, const struct stepper_report *report, int *signal_number)
{
    int status;

    *signal_number = 0;
    if (atomic_load(&report->is_finished) != 0)
        return STEPPER_FINISHED;
    if (ptrace(PTRACE_CONT, child, NULL, NULL) != 0 || waitpid(child, &status, __WALL) != child ||
        !WIFSTOPPED(status))
        return STEPPER_DIED;
    *signal_number = WSTOPSIG(status);
    return *signal_number == SIGSTOP && atomic_load(&report->is_finished) != 0 ? STEPPER_FINISHED : STEPPER_DIED;
}

void stepper_kill(pid_t child)
{
    pid_t ended;

    (void)kill(child, SIGKILL);
    do
        ended = waitpid(child, NULL, __WALL);
    while (ended == -1 && errno == EINTR);
}

/* --- mutexes --- */

static void mutex_bury(struct robust_mutex *mutex, pid_t dead_thread)
{
    uint32_t *word = (uint32_t *)(void *)mutex;

    if ((*word & FUTEX_TID_MASK) == (uint32_t)dead_thread)
        *word = (*word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
}

/* Whose number stands in a mutex counts only where it says "closed" (INT_MAX - 1 in glibc). */
static void mutex_scrub(struct robust_mutex *mutex)
{
    if (mutex->mutex.__data.__owner != INT32_MAX - 1)
        mutex->mutex.__data.__owner = 0;
    mutex->mutex.__data.__nusers = 0;
    memset(&mutex->mutex.__data.__list, 0, sizeof(mutex->mutex.__data.__list));
}

void stepper_bury(const struct engine *copy, pid_t dead_thread)
{
    unsigned slots = process_slot_count(copy->segment);

    mutex_bury(&copy->segment->header->slots_mutex, dead_thread);
    mutex_bury(&copy->segment->header->key_lock_mutex, dead_thread);
    for (unsigned shard = 0; shard < copy->table.shard_count; shard++)
        mutex_bury(&table_shard(&copy->table, shard)->mutex, dead_thread);
    for (unsigned slot = 0; slot < slots; slot++)
        mutex_bury(&process_slot_at(copy->segment, slot)->life, dead_thread);
}

void stepper_scrub(const struct engine *copy)
{
    unsigned slots = process_slot_count(copy->segment);

    mutex_scrub(&copy->segment->header->slots_mutex);
    mutex_scrub(&copy->segment->header->key_lock_mutex);
    for (unsigned shard = 0; shard < copy->table.shard_count; shard++) {
        mutex_scrub(&table_shard(&copy->table, shard)->mutex);
        atomic_store(&table_shard(&copy->table, shard)->changes, 0);
    }
    for (unsigned number = 0; number < slots; number++) {
        struct process_slot *slot = process_slot_at(copy->segment, number);

        mutex_scrub(&slot->life);
        atomic_store(&slot->pid, 0);
        for (unsigned i = 0; i < SLOT_TRANSACTIONS_MAX; i++)
            atomic_store(&slot->transactions[i].idle_since_ms, 0);
    }
}

void engine_view_open(struct engine_view *view, const struct engine *like, unsigned char *base)
{
    const struct segment *segment = like->segment;
    ptrdiff_t root_offset = segment->root - segment->base;
    ptrdiff_t owners_offset = (unsigned char *)segment->owners - segment->base;
    ptrdiff_t infos_offset = (unsigned char *)segment->infos - segment->base;
    ptrdiff_t shards_offset = (unsigned char *)like->table.shards - segment->base;
    ptrdiff_t directory_offset = (unsigned char *)like->table.directory - segment->base;

    view->engine = *like;
    view->segment = *segment;
    view->engine.segment = &view->segment;
    view->engine.table.segment = &view->segment;
    view->engine.table.shards = (struct shard *)(void *)(base + shards_offset);
    view->engine.table.directory = (_Atomic uint32_t *)(void *)(base + directory_offset);
    view->segment.base = base;
    view->segment.header = (struct segment_header *)(void *)base;
    view->segment.root = base + root_offset;
    view->segment.owners = (_Atomic uint32_t *)(void *)(base + owners_offset);
    view->segment.infos = (struct chunk_info *)(void *)(base + infos_offset);
    view->segment.claim_hint = 1;
}
