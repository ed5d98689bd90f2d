/* Processes that outlive their server, because they were stopped: who takes its segment over ends those that are the
 * dead one's, and nobody else. An heir gives them two seconds first, and so do these tests. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "segment_fixture.h"
#include "support/process.h"

/* A process that still has the segment's lock. */
struct holder {
    struct process_gate is_named;
    const char *process_name;
    bool maps_it;
    useconds_t leaves_after_us; /* 0: never */
    pid_t process;
};

static struct segment *segment;
static struct segment_options named;
static struct holder *holder;

static void open_segment(void)
{
    static char name[SEGMENT_NAME_BYTES_MAX];
    char reason[SEGMENT_REASON_BYTES] = "";

    (void)snprintf(name, sizeof(name), "leftovers-%d", (int)getpid());
    named = (struct segment_options){.name = name, .bytes = bytes_for_chunks(8)};
    cr_assert_eq(segment_create(&named, FIXTURE_ROOT_BYTES, FIXTURE_FINGERPRINT, &segment, reason), STATUS_OK, "%s",
                 reason);
    holder = process_shared_memory(sizeof(*holder));
}

TestSuite(leftovers, .init = open_segment, .timeout = 120);

/* --- sentences --- */

static int ends_at_once(void *context)
{
    (void)context;
    return 0;
}

/* A number that no process has: its owner has just gone. */
static uint32_t somebody_dead(void)
{
    pid_t child = process_start(ends_at_once, NULL);

    (void)process_wait(child);
    return (uint32_t)child;
}

static int holds_the_segment(void *context)
{
    (void)context;
    if (prctl(PR_SET_NAME, holder->process_name) != 0 ||
        (!holder->maps_it && munmap(segment->base, segment->mapped_bytes) != 0))
        return 1;
    process_gate_open(&holder->is_named);
    if (holder->leaves_after_us != 0)
        return usleep(holder->leaves_after_us);
    for (;;)
        (void)pause();
}

/* The segment stays, with one process that has its lock and its maker gone. */
static void leave_segment_to(const char *process_name, bool maps_it, uint32_t master)
{
    holder->process_name = process_name;
    holder->maps_it = maps_it;
    segment->header->master_pid = master;
    holder->process = process_start(holds_the_segment, NULL);
    process_gate_wait(&holder->is_named);
    segment_detach(segment);
}

static enum status take_over(void)
{
    char reason[SEGMENT_REASON_BYTES] = "";
    struct segment *taken = NULL;
    enum status status = segment_attach(&named, SEGMENT_TAKE_OVER, FIXTURE_FINGERPRINT, &taken, reason);

    if (status == STATUS_OK) {
        segment_unlink(taken);
        segment_detach(taken);
    }
    return status;
}

static void assert_holder_is_ended(void)
{
    cr_assert_eq(take_over(), STATUS_OK);
    cr_assert_eq(process_wait(holder->process), PROCESS_SIGNAL(SIGKILL));
}

static void assert_holder_is_left_alone(void)
{
    cr_assert_eq(take_over(), STATUS_DENIED, "somebody has its lock still");
    (void)process_kill(holder->process);
    cr_assert_eq(take_over(), STATUS_OK);
}

/* --- who is ended --- */

Test(leftovers, worker_of_a_dead_master_is_ended)
{
    leave_segment_to("hauskv-worker", true, somebody_dead());

    assert_holder_is_ended();
}

Test(leftovers, housekeeper_of_a_dead_master_is_ended)
{
    leave_segment_to("hauskv-keeper", true, somebody_dead());

    assert_holder_is_ended();
}

/* --- who is not --- */

Test(leftovers, process_of_another_name_is_left_alone)
{
    leave_segment_to("hauskv-server", true, somebody_dead());

    assert_holder_is_left_alone();
}

Test(leftovers, worker_that_does_not_map_the_segment_is_left_alone)
{
    leave_segment_to("hauskv-worker", false, somebody_dead());

    assert_holder_is_left_alone();
}

Test(leftovers, worker_of_a_living_master_is_left_alone)
{
    leave_segment_to("hauskv-worker", true, (uint32_t)getpid());
    errno = ESRCH; /* of some earlier search: it says nothing about this master */

    assert_holder_is_left_alone();
}

Test(leftovers, process_that_leaves_in_time_is_waited_for)
{
    holder->leaves_after_us = 300000;
    leave_segment_to("hauskv-server", true, somebody_dead());

    cr_assert_eq(take_over(), STATUS_OK);
    cr_assert_eq(process_wait(holder->process), 0);
}
