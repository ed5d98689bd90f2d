/* Sleeping until a word in shared memory changes. The word says what is true;
 * a wake-up says only that it is worth looking again. Each word has one sleeper
 * at most, so that no stopped process takes a wake-up that was another's.
 * Source: futex(2). */
#ifndef HAUSKV_PLATFORM_FUTEX_H
#define HAUSKV_PLATFORM_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

#define FUTEX_NO_DEADLINE UINT64_MAX

/* Sleeps while *word is `expected`, at most until deadline_ns of CLOCK_MONOTONIC; may return early, as after a signal.
 * Any process that maps the word. */
void futex_wait(const _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);

/* Wakes who sleeps on the word. Never waits. */
void futex_wake(const _Atomic uint32_t *word);

#endif
