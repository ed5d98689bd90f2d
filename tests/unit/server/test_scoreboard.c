#include <criterion/criterion.h>

#include "server/scoreboard.h"
#include "support/process.h"

#define WORKERS 130u /* more than two words of bits */
#define CLIENTS 5u

static struct scoreboard board;

static void set_up(void)
{
    cr_assert_eq(scoreboard_create(&board, WORKERS, CLIENTS), 0);
}

static void tear_down(void)
{
    scoreboard_destroy(&board);
}

TestSuite(scoreboard, .init = set_up, .fini = tear_down);

static struct scoreboard_sums sums(void)
{
    struct scoreboard_sums result;

    scoreboard_sum(&board, &result);
    return result;
}

Test(scoreboard, is_empty_at_the_beginning)
{
    cr_assert_eq(sums().workers, 0);
    cr_assert_eq(sums().spare, 0);
    cr_assert_eq(sums().open, 0);
}

Test(scoreboard, lines_do_not_share_cache_lines)
{
    cr_assert_eq(sizeof(struct scoreboard_line), CACHE_LINE_BYTES);
    cr_assert_eq((uintptr_t)board.lines % CACHE_LINE_BYTES, 0);
}

Test(scoreboard, worker_counts_as_spare_from_before_its_birth)
{
    scoreboard_enroll(&board, 129, 7);

    cr_assert(scoreboard_is_spare(&board, 129));
    cr_assert_eq(atomic_load(&board.lines[129].birth), 7);
    cr_assert_eq(sums().workers, 1);
}

Test(scoreboard, coming_and_going_tells_how_many_are_left)
{
    for (unsigned number = 0; number < WORKERS; number++)
        cr_assert_eq(scoreboard_spare_join(&board, number), number + 1);
    cr_assert_eq(scoreboard_spare_join(&board, 3), WORKERS, "twice is as once");
    for (unsigned number = 0; number < WORKERS; number++)
        cr_assert_eq(scoreboard_spare_leave(&board, number), WORKERS - number - 1);
    cr_assert_eq(scoreboard_spare_leave(&board, 3), 0);
}

Test(scoreboard, names_those_that_are_spare_in_order)
{
    const unsigned spare[] = {0, 63, 64, 129};
    unsigned number = 0;

    cr_assert_eq(scoreboard_spare_next(&board, 0), WORKERS, "nobody is");
    for (unsigned i = 0; i < 4; i++)
        (void)scoreboard_spare_join(&board, spare[i]);
    for (unsigned i = 0; i < 4; i++, number++) {
        number = scoreboard_spare_next(&board, number);
        cr_assert_eq(number, spare[i]);
    }
    cr_assert_eq(scoreboard_spare_next(&board, number), WORKERS);
    cr_assert_eq(scoreboard_spare_next(&board, WORKERS + 1), WORKERS);
}

Test(scoreboard, there_are_as_many_seats_as_clients)
{
    unsigned seat;
    unsigned seats = 0;

    for (unsigned number = 100; number < 100 + CLIENTS; number++) {
        cr_assert(scoreboard_seat_take(&board, number, &seat));
        cr_assert_lt(seat, CLIENTS);
        seats |= 1u << seat;
    }
    cr_assert_eq(seats, (1u << CLIENTS) - 1);
    cr_assert_not(scoreboard_seat_take(&board, 1, &seat));
    cr_assert_eq(sums().open, CLIENTS);

    scoreboard_seat_leave(&board, 2);
    cr_assert(scoreboard_seat_take(&board, 1, &seat));
    cr_assert_eq(seat, 2);
}

Test(scoreboard, dead_worker_loses_its_seat_and_keeps_its_totals)
{
    unsigned seat;

    scoreboard_enroll(&board, 4, 1);
    scoreboard_enroll(&board, 5, 2);
    cr_assert(scoreboard_seat_take(&board, 4, &seat));
    cr_assert(scoreboard_seat_take(&board, 5, &seat));
    atomic_store(&board.lines[4].accepted, 3);
    atomic_store(&board.lines[4].refused, 2);
    atomic_store(&board.lines[4].finished, 1);
    (void)scoreboard_spare_leave(&board, 5);

    scoreboard_discharge(&board, 4);

    cr_assert_eq(atomic_load(&board.lines[4].birth), 0);
    cr_assert_eq(sums().workers, 1);
    cr_assert_eq(sums().spare, 0);
    cr_assert_eq(sums().open, 1);
    cr_assert_eq(sums().accepted, 3);
    cr_assert_eq(sums().refused, 2);
    cr_assert_eq(sums().finished, 1);
}

Test(scoreboard, what_a_dead_worker_had_open_counts_as_rolled_back)
{
    struct session_counters *counts = &board.counts[4].session;

    scoreboard_enroll(&board, 4, 1);
    session_counter_add(&counts->transactions_started, 5);
    session_counter_add(&counts->transactions_open, 3);
    session_counter_add(&counts->transactions_rolled_back, 2);
    session_counter_add(&counts->commands[VERB_TOTAL - 1], 7);

    scoreboard_discharge(&board, 4);

    cr_assert_eq(atomic_load(&counts->transactions_started), 5);
    cr_assert_eq(atomic_load(&counts->transactions_open), 0);
    cr_assert_eq(atomic_load(&counts->transactions_rolled_back), 5);
    cr_assert_eq(atomic_load(&counts->commands[VERB_TOTAL - 1]), 7);
}

static int take_seats_for_ever(void *context)
{
    unsigned number = *(const unsigned *)context;
    unsigned seat;

    while (scoreboard_spare_leave(&board, number) < WORKERS) {
        if (scoreboard_seat_take(&board, number, &seat))
            scoreboard_seat_leave(&board, seat);
        (void)scoreboard_spare_join(&board, number);
    }
    return 1;
}

/* Killed wherever they are; whatever they did last, nothing of it may stay. */
Test(scoreboard, kills_at_random_moments_leave_nothing)
{
    for (unsigned round = 0; round < 200; round++) {
        unsigned numbers[2] = {2 * round % WORKERS, (2 * round + 1) % WORKERS};
        pid_t children[2];

        for (unsigned i = 0; i < 2; i++) {
            scoreboard_enroll(&board, numbers[i], round + 1);
            children[i] = process_start(take_seats_for_ever, &numbers[i]);
        }
        for (unsigned i = 0; i < 2; i++) {
            (void)process_kill(children[i]);
            scoreboard_discharge(&board, numbers[i]);
        }
        cr_assert_eq(sums().workers, 0);
        cr_assert_eq(sums().spare, 0);
        cr_assert_eq(sums().open, 0);
    }
}

Test(scoreboard, control_seats_are_few_and_come_back)
{
    unsigned seat = 0;

    for (unsigned number = 0; number < SCOREBOARD_CONTROLS_MAX; number++)
        cr_assert(scoreboard_control_take(&board, number, &seat));
    cr_assert_not(scoreboard_control_take(&board, SCOREBOARD_CONTROLS_MAX, &seat));
    cr_assert_eq(sums().open, 0, "they are none of the clients'");

    scoreboard_control_leave(&board, 2);
    cr_assert(scoreboard_control_take(&board, 7, &seat));
    cr_assert_eq(seat, 2);
    scoreboard_discharge(&board, 7); /* it died */
    cr_assert(scoreboard_control_take(&board, 8, &seat));
    cr_assert_eq(seat, 2);
}
