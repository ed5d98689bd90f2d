/* Threads that can die in the middle of a task, as processes do. To a robust
 * mutex the end of a thread is what the end of a process is: whoever locks it
 * next inherits it. So a death costs a fuzz target microseconds, and happens at
 * a point that the input names: a death point is each call, and each return, of
 * the functions of death_point.def. (At every single machine instruction:
 * tests/crash.) What the dead had in private memory is not freed.
 *
 * One thread at a time works: the one that calls waits. */
#ifndef HAUSKV_FUZZ_MORTAL_H
#define HAUSKV_FUZZ_MORTAL_H

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdbool.h>

struct mortal {
    pthread_t thread;
    sem_t begun;
    sem_t ended;
    void (*task)(void *context); /* NULL: end */
    void *context;
    unsigned points_left; /* dies at the last of them; 0: does not die */
    bool has_died;
    bool is_alive;
    jmp_buf end;
    void (*watch)(void *context); /* called with the task's context at each death point of its tasks; may be NULL */
};

void mortal_begin(struct mortal *mortal, void (*watch)(void *context));

/* Runs a task in the thread; it dies at the points-th death point, if there are
 * so many and points is not 0. False: it did, and is no more. */
bool mortal_do(struct mortal *mortal, void (*task)(void *context), void *context, unsigned points);

/* The thread ends, whatever it holds. Nothing if it did already. */
void mortal_end(struct mortal *mortal);

#endif
