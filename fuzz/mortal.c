#include "mortal.h"

#include "platform/contract.h"
#include "platform/futex.h"
#include "segment/process_table.h"
#include "transaction/engine.h"
#include "transaction/key_lock.h"

static _Thread_local struct mortal *self; /* NULL: this thread lives for ever */

static void death_point(void)
{
    if (self == NULL)
        return;
    if (self->watch != NULL)
        self->watch(self->context);
    if (self->points_left == 0 || --self->points_left > 0)
        return;
    self->has_died = true;
    longjmp(self->end, 1);
}

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp): the linker wants these names.
 * The types are the headers' own, so that a change there is noticed here. */
#define DEATH_POINT(function, type, parameters, arguments) \
    __typeof__(function) __real_##function, __wrap_##function; \
    type __wrap_##function parameters \
    { \
        type result; \
\
        death_point(); \
        result = __real_##function arguments; \
        death_point(); \
        return result; \
    }
#define DEATH_POINT_VOID(function, parameters, arguments) \
    __typeof__(function) __real_##function, __wrap_##function; \
    void __wrap_##function parameters \
    { \
        death_point(); \
        __real_##function arguments; \
        death_point(); \
    }
#include "death_point.def"
#undef DEATH_POINT
#undef DEATH_POINT_VOID
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp) */

static void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0) {
    }
}

/* A dead thread comes back here, holding what it held, and its end hands that on. */
static void *mortal_live(void *context)
{
    struct mortal *mortal = context;

    self = mortal;
    if (setjmp(mortal->end) == 0) {
        for (wait_for(&mortal->begun); mortal->task != NULL; wait_for(&mortal->begun)) {
            mortal->task(mortal->context);
            (void)sem_post(&mortal->ended);
        }
    }
    self = NULL;
    (void)sem_post(&mortal->ended);
    return NULL;
}

void mortal_begin(struct mortal *mortal, void (*watch)(void *context))
{
    int error = sem_init(&mortal->begun, 0, 0) | sem_init(&mortal->ended, 0, 0);

    REQUIRE(error == 0);
    mortal->has_died = false;
    mortal->is_alive = true;
    mortal->watch = watch;
    error = pthread_create(&mortal->thread, NULL, mortal_live, mortal);
    REQUIRE(error == 0);
}

/* The kernel hands its mutexes on before it lets itself be joined. */
static void bury(struct mortal *mortal)
{
    int error = pthread_join(mortal->thread, NULL);

    REQUIRE(error == 0);
    (void)sem_destroy(&mortal->begun);
    (void)sem_destroy(&mortal->ended);
    mortal->is_alive = false;
}

bool mortal_do(struct mortal *mortal, void (*task)(void *context), void *context, unsigned points)
{
    REQUIRE(mortal->is_alive && task != NULL);
    mortal->task = task;
    mortal->context = context;
    mortal->points_left = points;
    (void)sem_post(&mortal->begun);
    wait_for(&mortal->ended);
    mortal->points_left = 0;
    if (mortal->has_died)
        bury(mortal);
    return !mortal->has_died;
}

void mortal_end(struct mortal *mortal)
{
    if (!mortal->is_alive)
        return;
    mortal->task = NULL;
    (void)sem_post(&mortal->begun);
    bury(mortal);
}
