/* How a process shows that it gets on while it holds a lock for long: it counts
 * turns of its loops in a word that others look at. Who uses the processor with a
 * lock in its hands and shows nothing is taken for one that spins.
 *
 * So a turn is noted only in a loop whose number of turns is settled before it
 * begins (the writes of a commit, the pages of a shard): never in one that
 * follows references until they end, which is what a damaged segment makes
 * endless.
 *
 * The word has a count and, in its lowest byte, the part of the data (1 to
 * PROGRESS_PART_MAX) that the turn was about; 0: none in particular. */
#ifndef HAUSKV_PLATFORM_PROGRESS_H
#define HAUSKV_PLATFORM_PROGRESS_H

#include <stdatomic.h>
#include <stdint.h>

#define PROGRESS_PART_MAX 255u
#define PROGRESS_NO_PART 0u

/* Where this process counts; at first in private memory, where nobody looks. Inherited by fork. */
extern _Atomic uint64_t *progress_word;

/* From now on it counts there, which outlives the process's last loop; it may lie in shared memory, and no other process
 * counts there meanwhile. */
void progress_show(_Atomic uint64_t *word);

/* One turn, about that part. A plain load and store. */
static inline void progress_note(unsigned part)
{
    uint64_t count = atomic_load_explicit(progress_word, memory_order_relaxed) / (PROGRESS_PART_MAX + 1);

    atomic_store_explicit(progress_word, (count + 1) * (PROGRESS_PART_MAX + 1) + part, memory_order_relaxed);
}

static inline unsigned progress_part(uint64_t word)
{
    return (unsigned)(word % (PROGRESS_PART_MAX + 1));
}

#endif
