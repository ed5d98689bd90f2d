/* Child processes for tests: they die, hold, stop and are seen to wait, and the
 * test goes on. A child runs a function and ends with _exit; it never asserts
 * (its result does), and SIGKILL ends it should the test end first. */
#ifndef HAUSKV_TESTS_SUPPORT_PROCESS_H
#define HAUSKV_TESTS_SUPPORT_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What a child runs; its result, 0 to 255, is the exit status. */
typedef int (*process_body)(void *context);

/* How a process ended: its exit status, or PROCESS_SIGNAL(n) if signal n did it. */
#define PROCESS_SIGNAL(number) (0x100 + (number))

/* Runs body(context) in a child and waits for it; returns how it ended. */
int process_run(process_body body, void *context);

/* The same; what the child writes to standard error comes back as a string of
 * up to size - 1 bytes in output, what is more is thrown away. */
int process_run_captured(process_body body, void *context, char *output, size_t size);

pid_t process_start(process_body body, void *context);
int process_wait(pid_t child);
/* Kills the child with SIGKILL, waits for it and returns how it ended. */
int process_kill(pid_t child);

/* SIGSTOP and SIGCONT; the first returns when the child has stopped. */
void process_stop(pid_t child);
void process_continue(pid_t child);

/* Returns when the child sleeps in the kernel (waits for a lock, a pipe, ...).
 * For a child that does nothing else that sleeps. */
void process_wait_until_asleep(pid_t child);

/* Memory that the test and its children share, zeroed; never NULL. It goes with
 * the test's process. */
void *process_shared_memory(size_t size);

/* A gate in shared memory (all zero: shut). Once open it stays open. */
struct process_gate {
    atomic_int is_open;
};

void process_gate_open(struct process_gate *gate);
void process_gate_wait(struct process_gate *gate);

#endif
