/* Runs a child one machine instruction at a time, and says what its death would
 * leave in shared memory.
 *
 * The child first prepares natively and calls stepper_begin; from there on every
 * stepper_step is one instruction, until it has called stepper_end. Between two
 * steps the child stands still, so the memory that it shares with the tracer is
 * what it would be had the child been killed there - but for the mutexes that it
 * holds, which the kernel would mark: stepper_bury does.
 *
 * stepper_next_write is the same in the large: the child runs natively, with the
 * shared memory read-only, and stops behind each instruction that writes to it.
 * An instruction that does not write leaves the state as it was, so nothing is
 * missed; what is gained is a factor of 50.
 *
 * Only for x86-64 without sanitizers: others would step through the wrong code.
 * Source: ptrace(2); kernel robust-futexes.rst. */
#ifndef HAUSKV_TESTS_CRASH_STEPPER_H
#define HAUSKV_TESTS_CRASH_STEPPER_H

#include <stdbool.h>
#include <sys/types.h>

#include "transaction/engine.h"

/* What child and tracer tell each other; in memory that both share. */
struct stepper_report {
    _Atomic int has_returned; /* the operation is over; its status: */
    _Atomic int status;
    _Atomic int is_finished; /* the child wants no more steps */
    _Atomic unsigned slot;   /* of the child's participant, plus 1; 0: it has none yet */
    _Atomic uint64_t word;   /* of its commit record when it got it */
};

enum stepper_outcome {
    STEPPER_STEPPED,
    STEPPER_FINISHED,
    STEPPER_DIED /* by a signal of its own making, or it exited */
};

/* Empty where stepping works, else why it does not. */
const char *stepper_is_impossible(void);

/* Starts body(context) in a child and returns when it called stepper_begin. Negative: it never did. */
pid_t stepper_start(void (*body)(void *context), void *context);
/* Called by the child. */
void stepper_begin(void);
void stepper_end(struct stepper_report *report);

/* One instruction. *signal_number is what the child died of (0: it exited). */
enum stepper_outcome stepper_step(pid_t child, const struct stepper_report *report, int *signal_number);

/* Called by the child in place of stepper_begin: its writes to this memory are what stepper_next_write stops at. */
void stepper_begin_writes(unsigned char *base, size_t size);

/* As stepper_step, up to the next write to base..base + size. *signal_number is 0 at first, then as it came back. */
enum stepper_outcome stepper_next_write(pid_t child, const struct stepper_report *report, const unsigned char *base,
                                        size_t size, int *signal_number);

/* Lets a child of stepper_begin run on natively until stepper_end. */
enum stepper_outcome stepper_go_on(pid_t child, const struct stepper_report *report, int *signal_number);

/* Ends and reaps the child, wherever it stands. */
void stepper_kill(pid_t child);

/* Marks every mutex in a copy of the segment that dead_thread holds, as the kernel would at its death. */
void stepper_bury(const struct engine *copy, pid_t dead_thread);

/* Zeroes in a copy what is no part of the state: owners' numbers and list links in mutexes, how often those of shards were
 * taken, clocks' readings. */
void stepper_scrub(const struct engine *copy);

/* A handle on a copy of `like`'s segment that lies at base. */
struct engine_view {
    struct engine engine;
    struct segment segment;
};
void engine_view_open(struct engine_view *view, const struct engine *like, unsigned char *base);

#endif
