/* The shared scoreboard. Everything is sequentially consistent: it is touched
 * twice per connection, not per command. */
#include "server/scoreboard.h"

#include <errno.h>
#include <sys/mman.h>

#include "platform/contract.h"
#include "platform/progress.h"

#define BITS_PER_WORD 64u

static size_t round_up_to_line(size_t bytes)
{
    return (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
}

static unsigned spare_words(const struct scoreboard *scoreboard)
{
    return (scoreboard->worker_max + BITS_PER_WORD - 1) / BITS_PER_WORD;
}

static uint64_t bit_of(unsigned number)
{
    return (uint64_t)1 << number % BITS_PER_WORD;
}

int scoreboard_create(struct scoreboard *scoreboard, unsigned worker_max, unsigned client_max)
{
    size_t lines_offset = sizeof(struct scoreboard_common);
    size_t counts_offset = lines_offset + worker_max * sizeof(struct scoreboard_line);
    size_t spare_offset = counts_offset + worker_max * sizeof(struct scoreboard_counts);
    size_t seats_offset;
    unsigned char *base;

    REQUIRE(worker_max > 0 && client_max > 0);
    scoreboard->worker_max = worker_max;
    scoreboard->client_max = client_max;
    seats_offset = spare_offset + round_up_to_line(spare_words(scoreboard) * sizeof(uint64_t));
    scoreboard->bytes = seats_offset + round_up_to_line(client_max * sizeof(uint32_t));
    base = mmap(NULL, scoreboard->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return errno;
    scoreboard->common = (struct scoreboard_common *)(void *)base;
    scoreboard->lines = (struct scoreboard_line *)(void *)(base + lines_offset);
    scoreboard->counts = (struct scoreboard_counts *)(void *)(base + counts_offset);
    scoreboard->spare = (_Atomic uint64_t *)(void *)(base + spare_offset);
    scoreboard->seats = (_Atomic uint32_t *)(void *)(base + seats_offset);
    return 0;
}

void scoreboard_destroy(struct scoreboard *scoreboard)
{
    (void)munmap(scoreboard->common, scoreboard->bytes);
}

void scoreboard_enroll(const struct scoreboard *scoreboard, unsigned number, uint64_t birth)
{
    struct scoreboard_line *line = &scoreboard->lines[number];

    REQUIRE(number < scoreboard->worker_max && birth != 0 && atomic_load(&line->birth) == 0);
    atomic_store(&line->is_up, 0);
    atomic_store(&line->birth, birth);
    (void)scoreboard_spare_join(scoreboard, number);
}

static void roll_back_open(struct session_counters *counters)
{
    uint64_t open = atomic_load_explicit(&counters->transactions_open, memory_order_relaxed);

    session_counter_add(&counters->transactions_rolled_back, open);
    session_counter_add(&counters->transactions_open, (uint64_t)0 - open);
}

void scoreboard_discharge(const struct scoreboard *scoreboard, unsigned number)
{
    struct scoreboard_line *line = &scoreboard->lines[number];

    REQUIRE(number < scoreboard->worker_max);
    (void)scoreboard_spare_leave(scoreboard, number);
    for (unsigned seat = 0; seat < scoreboard->client_max; seat++) {
        if (atomic_load(&scoreboard->seats[seat]) == number + 1)
            scoreboard_seat_leave(scoreboard, seat);
    }
    for (unsigned seat = 0; seat < SCOREBOARD_CONTROLS_MAX; seat++) {
        if (atomic_load(&scoreboard->common->control_seats[seat]) == number + 1)
            scoreboard_control_leave(scoreboard, seat);
    }
    roll_back_open(&scoreboard->counts[number].session);
    atomic_store(&line->pid, 0);
    atomic_store(&line->is_up, 0);
    atomic_store(&line->birth, 0);
}

unsigned scoreboard_spare_join(const struct scoreboard *scoreboard, unsigned number)
{
    (void)atomic_fetch_or(&scoreboard->spare[number / BITS_PER_WORD], bit_of(number));
    return scoreboard_spare_count(scoreboard);
}

unsigned scoreboard_spare_leave(const struct scoreboard *scoreboard, unsigned number)
{
    (void)atomic_fetch_and(&scoreboard->spare[number / BITS_PER_WORD], ~bit_of(number));
    return scoreboard_spare_count(scoreboard);
}

bool scoreboard_is_spare(const struct scoreboard *scoreboard, unsigned number)
{
    return (atomic_load(&scoreboard->spare[number / BITS_PER_WORD]) & bit_of(number)) != 0;
}

unsigned scoreboard_spare_count(const struct scoreboard *scoreboard)
{
    unsigned count = 0;

    for (unsigned i = 0; i < spare_words(scoreboard); i++)
        count += (unsigned)__builtin_popcountll(atomic_load(&scoreboard->spare[i]));
    return count;
}

unsigned scoreboard_spare_next(const struct scoreboard *scoreboard, unsigned number)
{
    while (number < scoreboard->worker_max) {
        uint64_t from_here = atomic_load(&scoreboard->spare[number / BITS_PER_WORD]) >> number % BITS_PER_WORD;

        if (from_here != 0)
            return number + (unsigned)__builtin_ctzll(from_here);
        number += BITS_PER_WORD - number % BITS_PER_WORD;
    }
    return scoreboard->worker_max;
}

/* Where each worker begins to look there are enough seats for all but a few, so
 * nearly always the first one is free. */
bool scoreboard_seat_take(const struct scoreboard *scoreboard, unsigned number, unsigned *seat)
{
    unsigned first = number % scoreboard->client_max;

    for (unsigned i = 0; i < scoreboard->client_max; i++) {
        unsigned candidate = (first + i) % scoreboard->client_max;
        uint32_t nobody = 0;

        if (atomic_load(&scoreboard->seats[candidate]) == 0 &&
            atomic_compare_exchange_strong(&scoreboard->seats[candidate], &nobody, number + 1)) {
            *seat = candidate;
            return true;
        }
    }
    return false;
}

void scoreboard_seat_leave(const struct scoreboard *scoreboard, unsigned seat)
{
    REQUIRE(seat < scoreboard->client_max);
    atomic_store(&scoreboard->seats[seat], 0);
}

bool scoreboard_control_take(const struct scoreboard *scoreboard, unsigned number, unsigned *seat)
{
    for (unsigned candidate = 0; candidate < SCOREBOARD_CONTROLS_MAX; candidate++) {
        uint32_t nobody = 0;

        if (atomic_compare_exchange_strong(&scoreboard->common->control_seats[candidate], &nobody, number + 1)) {
            *seat = candidate;
            return true;
        }
    }
    return false;
}

void scoreboard_control_leave(const struct scoreboard *scoreboard, unsigned seat)
{
    REQUIRE(seat < SCOREBOARD_CONTROLS_MAX);
    atomic_store(&scoreboard->common->control_seats[seat], 0);
}

/* The sum of two numbers that only grow is another when one of them is. */
uint64_t scoreboard_progress(const struct scoreboard *scoreboard, pid_t pid)
{
    unsigned number = 0;
    uint64_t progress;

    while (number < scoreboard->worker_max && atomic_load(&scoreboard->lines[number].pid) != pid)
        number++;
    if (pid == 0 || number == scoreboard->worker_max)
        return 0;
    progress = atomic_load(&scoreboard->lines[number].progress);
    for (unsigned verb = 0; verb < VERB_TOTAL; verb++)
        progress += atomic_load(&scoreboard->counts[number].session.commands[verb]) * (PROGRESS_PART_MAX + 1);
    return progress;
}

void scoreboard_sum(const struct scoreboard *scoreboard, struct scoreboard_sums *sums)
{
    *sums = (struct scoreboard_sums){.spare = scoreboard_spare_count(scoreboard)};
    for (unsigned number = 0; number < scoreboard->worker_max; number++) {
        const struct scoreboard_line *line = &scoreboard->lines[number];

        sums->workers += atomic_load(&line->birth) != 0;
        sums->accepted += atomic_load(&line->accepted);
        sums->refused += atomic_load(&line->refused);
        sums->finished += atomic_load(&line->finished);
    }
    for (unsigned seat = 0; seat < scoreboard->client_max; seat++)
        sums->open += atomic_load(&scoreboard->seats[seat]) != 0;
}
