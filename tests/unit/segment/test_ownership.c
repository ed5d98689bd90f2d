/* Who owns a segment's file: two locks, two names, and processes of a dead server that stay behind. A take-over gives those
 * two seconds before it ends them, and so do the tests of them. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment_fixture.h"
#include "support/process.h"

#define CONTENT 77u

/* A process that has the segment's flock. */
struct holder {
    struct process_gate is_named;
    const char *process_name;
    int protection; /* of its mapping; -1: it has none */
    useconds_t leaves_after_us; /* 0: never */
    pid_t process;
};

static struct segment_options named;
static char name_path[SEGMENT_PATH_BYTES_MAX];
static char keep_path[SEGMENT_PATH_BYTES_MAX];
static char passing_path[SEGMENT_PATH_BYTES_MAX];
static char reason[SEGMENT_REASON_BYTES];
static struct segment *segment;
static struct holder *holder;

static void choose_name(void)
{
    static char name[SEGMENT_NAME_BYTES_MAX];

    (void)snprintf(name, sizeof(name), "ownership-%d", (int)getpid());
    (void)snprintf(name_path, sizeof(name_path), "/dev/shm/hauskv-%s", name);
    (void)snprintf(keep_path, sizeof(keep_path), "/dev/shm/.hauskv-%s.keep", name);
    (void)snprintf(passing_path, sizeof(passing_path), "/dev/shm/hauskv-%s~new", name);
    named = (struct segment_options){.name = name, .bytes = bytes_for_chunks(8)};
    holder = process_shared_memory(sizeof(*holder));
}

TestSuite(ownership, .init = choose_name, .timeout = 120);

/* --- sentences --- */

static enum status make(const struct segment_options *options, struct segment **made)
{
    return segment_create(options, FIXTURE_ROOT_BYTES, FIXTURE_FINGERPRINT, made, reason);
}

static struct segment *a_segment(void)
{
    struct segment *made = NULL;

    cr_assert_eq(make(&named, &made), STATUS_OK, "%s", reason);
    cr_assert_eq(segment_publish(made, reason), STATUS_OK, "%s", reason);
    atomic_store(&made->header->clock, CONTENT);
    return made;
}

static enum status take_over(struct segment **taken)
{
    reason[0] = '\0';
    return segment_attach(&named, SEGMENT_TAKE_OVER, FIXTURE_FINGERPRINT, taken, reason);
}

static void assert_refused(const char *expected)
{
    struct segment *none = NULL;

    cr_assert_eq(take_over(&none), STATUS_DENIED, "%s", reason);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
}

static bool exists(const char *path)
{
    struct stat file;

    return lstat(path, &file) == 0;
}

static bool same_file(const char *one, const char *other)
{
    struct stat first;
    struct stat second;

    return stat(one, &first) == 0 && stat(other, &second) == 0 && first.st_ino == second.st_ino;
}

static void assert_taken_over_with_its_data(void)
{
    struct segment *taken = NULL;

    cr_assert_eq(take_over(&taken), STATUS_OK, "%s", reason);
    cr_assert_eq(atomic_load(&taken->header->clock), CONTENT);
    cr_assert(same_file(name_path, keep_path));
    segment_unlink(taken);
    segment_detach(taken);
    cr_assert_not(exists(name_path) || exists(keep_path));
}

static void assert_begins_anew(void)
{
    struct segment *none = NULL;

    cr_assert_eq(take_over(&none), STATUS_NOT_FOUND, "%s", reason);
    cr_assert_not(exists(name_path) || exists(keep_path));
    segment = a_segment();
    segment_unlink(segment);
    segment_detach(segment);
}

static void write_file(const char *path, const void *data, size_t bytes, off_t size)
{
    int descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(descriptor, 0);
    cr_assert_eq(write(descriptor, data, bytes), (ssize_t)bytes);
    cr_assert_eq(ftruncate(descriptor, size), 0);
    (void)close(descriptor);
}

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

/* --- who stays behind when a master dies --- */

static int holds_the_segment(void *context)
{
    (void)context;
    if (prctl(PR_SET_NAME, holder->process_name) != 0)
        return 1;
    if (holder->protection >= 0 ? mprotect(segment->base, segment->mapped_bytes, holder->protection) != 0
                                : munmap(segment->base, segment->mapped_bytes) != 0)
        return 1;
    process_gate_open(&holder->is_named);
    if (holder->leaves_after_us != 0)
        return usleep(holder->leaves_after_us);
    for (;;)
        (void)pause();
}

/* The segment stays, with one process that has its flock, and without its maker. */
static void leave_segment_to(const char *process_name, int protection, uint32_t master)
{
    segment = a_segment();
    holder->process_name = process_name;
    holder->protection = protection;
    segment->header->master_pid = master;
    holder->process = process_start(holds_the_segment, NULL);
    process_gate_wait(&holder->is_named);
}

static void assert_holder_is_ended(void)
{
    segment_detach(segment);
    assert_taken_over_with_its_data();
    cr_assert_eq(process_wait(holder->process), PROCESS_SIGNAL(SIGKILL));
}

static void assert_holder_is_left_alone(void)
{
    assert_refused("in use");
    (void)process_kill(holder->process);
    assert_taken_over_with_its_data();
}

Test(ownership, orphan_is_ended)
{
    leave_segment_to("hauskv-worker", PROT_READ | PROT_WRITE, somebody_dead());

    assert_holder_is_ended();
}

/* What counts is that it can store into the segment. */
Test(ownership, orphan_is_ended_whatever_it_is_called)
{
    leave_segment_to("anything", PROT_READ | PROT_WRITE, somebody_dead());

    assert_holder_is_ended();
}

Test(ownership, orphan_is_ended_whose_master_has_a_number_that_somebody_has_again)
{
    leave_segment_to("hauskv-keeper", PROT_READ | PROT_WRITE, (uint32_t)getppid());

    assert_holder_is_ended();
}

Test(ownership, process_that_does_not_map_the_segment_is_left_alone)
{
    leave_segment_to("hauskv-worker", -1, somebody_dead());
    segment_detach(segment);

    assert_holder_is_left_alone();
}

Test(ownership, process_that_only_reads_the_segment_is_left_alone)
{
    leave_segment_to("hauskv-worker", PROT_READ, somebody_dead());
    segment_detach(segment);

    assert_holder_is_left_alone();
}

Test(ownership, process_that_leaves_in_time_is_waited_for)
{
    holder->leaves_after_us = 300000;
    leave_segment_to("hauskv-server", PROT_READ | PROT_WRITE, somebody_dead());
    segment_detach(segment);

    assert_taken_over_with_its_data();
    cr_assert_eq(process_wait(holder->process), 0);
}

/* Its master lives and has the segment, and knows of no record lock. */
Test(ownership, server_of_an_older_build_is_refused_and_left_alone)
{
    char expected[64];

    leave_segment_to("hauskv-server", PROT_READ | PROT_WRITE, 0);
    segment->header->master_pid = (uint32_t)holder->process;
    segment_detach(segment);

    (void)snprintf(expected, sizeof(expected), "in use by the server with pid %d", (int)holder->process);
    assert_refused(expected);
    cr_assert_eq(kill(holder->process, 0), 0);
    assert_holder_is_left_alone();
}

/* --- a master that lives --- */

struct owner {
    struct process_gate is_ready;
    bool publishes;
    pid_t process;
};

static struct owner *owner;

static int owns_the_segment(void *context)
{
    struct segment *made = NULL;

    (void)context;
    if (make(&named, &made) != STATUS_OK || (owner->publishes && segment_publish(made, reason) != STATUS_OK))
        return 1;
    if (owner->publishes)
        atomic_store(&made->header->clock, CONTENT);
    process_gate_open(&owner->is_ready);
    for (;;)
        (void)pause();
}

static void a_master_owns_a_segment(bool publishes)
{
    owner = process_shared_memory(sizeof(*owner));
    owner->publishes = publishes;
    owner->process = process_start(owns_the_segment, NULL);
    process_gate_wait(&owner->is_ready);
}

static void assert_nobody_else_gets_it(void)
{
    struct segment_options fresh = named;
    struct segment *none = NULL;
    char expected[64];

    fresh.is_fresh = true;
    (void)snprintf(expected, sizeof(expected), "is in use by the server with pid %d", (int)owner->process);
    assert_refused(expected);
    cr_assert_eq(make(&named, &none), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
    cr_assert_eq(make(&fresh, &none), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
    cr_assert(segment_is_in_use(&named));
}

Test(ownership, living_master_is_the_only_one)
{
    a_master_owns_a_segment(true);

    assert_nobody_else_gets_it();
    (void)process_kill(owner->process);
    cr_assert_not(segment_is_in_use(&named));
    assert_taken_over_with_its_data();
}

Test(ownership, living_master_is_the_only_one_while_it_makes_the_segment)
{
    a_master_owns_a_segment(false);

    assert_nobody_else_gets_it();
    cr_assert_not(exists(name_path), "it is not whole");
    (void)process_kill(owner->process);
    assert_begins_anew();
}

Test(ownership, living_master_is_the_only_one_when_its_name_was_removed)
{
    a_master_owns_a_segment(true);
    cr_assert_eq(unlink(name_path), 0);

    assert_nobody_else_gets_it();
    cr_assert_not(exists(name_path), "it is not the loser's to restore");
    (void)process_kill(owner->process);
    assert_taken_over_with_its_data();
}

Test(ownership, living_master_is_the_only_one_when_another_file_has_its_name)
{
    a_master_owns_a_segment(true);
    cr_assert_eq(rename(name_path, passing_path), 0);
    write_file(name_path, "something", 9, 9);

    assert_refused("is in use by the server with pid");
    cr_assert_eq(unlink(name_path), 0);
    assert_nobody_else_gets_it();
    (void)process_kill(owner->process);
    assert_taken_over_with_its_data();
    cr_assert_not(exists(passing_path), "no server's own name");
}

/* --- what a start leaves that dies --- */

Test(ownership, file_that_was_never_finished_is_in_nobodys_way)
{
    struct segment_header header = {.magic = 0};

    write_file(name_path, "", 0, 0);
    assert_begins_anew();
    write_file(name_path, "", 0, 100);
    assert_begins_anew();
    write_file(name_path, "", 0, 1 << 20);
    assert_begins_anew();
    header.fingerprint = 5;
    atomic_store(&header.clock, 1);
    write_file(name_path, &header, sizeof(header), 1 << 20);
    assert_begins_anew();
    write_file(keep_path, "", 0, 0);
    assert_begins_anew();
}

/* Whichever name leads to it; it holds something, but nobody was served from it. */
static void leave_half_loaded_segment(void)
{
    segment = a_segment();
    atomic_store(&segment->header->clock, CONTENT + 1);
    atomic_store(&segment->header->is_clean, SEGMENT_IS_LOADING);
    segment_detach(segment);
}

Test(ownership, segment_whose_load_was_interrupted_is_in_nobodys_way)
{
    leave_half_loaded_segment();
    assert_begins_anew();
    leave_half_loaded_segment();
    cr_assert_eq(unlink(name_path), 0);
    assert_begins_anew();
}

Test(ownership, segment_whose_load_was_interrupted_gives_way_to_the_one_of_the_second_name)
{
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(unlink(name_path), 0);
    cr_assert_eq(rename(keep_path, passing_path), 0);
    leave_half_loaded_segment();
    cr_assert_eq(rename(passing_path, keep_path), 0);

    assert_taken_over_with_its_data();
}

Test(ownership, segment_whose_load_was_interrupted_leaves_the_second_name_to_the_one_of_the_first)
{
    leave_half_loaded_segment();
    cr_assert_eq(unlink(name_path), 0);
    cr_assert_eq(rename(keep_path, passing_path), 0);
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(rename(passing_path, keep_path), 0);

    assert_taken_over_with_its_data();
}

/* There, that word may mean something else. */
Test(ownership, segment_of_another_format_is_kept_though_it_seems_half_loaded)
{
    segment = a_segment();
    atomic_store(&segment->header->is_clean, SEGMENT_IS_LOADING);
    segment->header->format_version++;
    segment_detach(segment);
    assert_refused("format");
    cr_assert(exists(name_path));
    cr_assert_eq(unlink(name_path), 0);
}

Test(ownership, file_without_a_magic_that_may_hold_something_is_kept)
{
    struct segment_header header = {.magic = 0};

    write_file(name_path, "short", 5, 100);
    assert_refused("too short");
    cr_assert_not_null(strstr(reason, "--fresh"), "%s", reason);
    atomic_store(&header.clock, 2);
    write_file(name_path, &header, sizeof(header), 1 << 20);
    assert_refused("wrong magic");
    cr_assert(exists(name_path));
    cr_assert_eq(unlink(name_path), 0);
}

Test(ownership, file_that_was_never_finished_gives_way_to_the_segment_of_the_second_name)
{
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(unlink(name_path), 0);
    write_file(name_path, "", 0, 0);

    assert_taken_over_with_its_data();
}

Test(ownership, segment_that_has_only_its_second_name_is_found)
{
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(unlink(name_path), 0);

    assert_taken_over_with_its_data();
}

Test(ownership, two_segments_of_a_name_are_for_a_person_to_choose_from)
{
    struct segment_options fresh = named;

    fresh.is_fresh = true;
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(rename(name_path, passing_path), 0);
    cr_assert_eq(unlink(keep_path), 0);
    segment = a_segment();
    segment_detach(segment);
    cr_assert_eq(rename(passing_path, name_path), 0);

    assert_refused("there are two segments of that name");
    cr_assert(exists(name_path) && exists(keep_path) && !same_file(name_path, keep_path));
    cr_assert_eq(make(&fresh, &segment), STATUS_OK, "%s", reason);
    cr_assert_eq(segment_publish(segment, reason), STATUS_OK);
    cr_assert(same_file(name_path, keep_path));
    segment_unlink(segment);
    segment_detach(segment);
}

/* --- another size --- */

/* Of the segment. */
static struct segment *a_copy(void)
{
    struct segment_options options = named;
    struct segment *copy = NULL;

    options.is_replacement = true;
    options.bytes *= 2;
    cr_assert_eq(make(&options, &copy), STATUS_OK, "%s", reason);
    atomic_store(&copy->header->clock, CONTENT);
    return copy;
}

static enum status replace_by(struct segment *copy)
{
    const struct segment *old = segment;

    return segment_replace(copy, old, reason);
}

Test(ownership, copy_takes_both_names_at_once)
{
    struct segment *copy;

    segment = a_segment();
    copy = a_copy();
    cr_assert_eq(replace_by(copy), STATUS_OK, "%s", reason);
    cr_assert(same_file(name_path, keep_path));
    cr_assert_not(exists(passing_path));
    segment_unlink(segment);
    cr_assert(exists(name_path) && exists(keep_path), "they are another file's");
    segment_detach(segment);
    segment_detach(copy);
    assert_taken_over_with_its_data();
}

/* Its master died between the two names; `removed`: somebody removed the first one too. */
static void leave_copy_in_the_second_names_place(bool removed)
{
    char aside[SEGMENT_PATH_BYTES_MAX + 8];
    struct segment *copy;

    (void)snprintf(aside, sizeof(aside), "%s-aside", name_path);
    segment = a_segment();
    copy = a_copy();
    atomic_store(&copy->header->clock, removed ? CONTENT : CONTENT + 1);
    cr_assert_eq(link(name_path, aside), 0);
    cr_assert_eq(replace_by(copy), STATUS_OK, "%s", reason);
    cr_assert_eq(atomic_load(&copy->header->is_clean), 0, "it is in its place");
    atomic_store(&copy->header->is_clean, SEGMENT_IS_COPY);
    segment_detach(copy);
    segment_detach(segment);
    cr_assert_eq(rename(aside, name_path), 0);
    cr_assert_not(same_file(name_path, keep_path));
    if (removed)
        cr_assert_eq(unlink(name_path), 0);
}

Test(ownership, copy_in_the_second_names_place_gives_way)
{
    leave_copy_in_the_second_names_place(false);

    assert_taken_over_with_its_data();
}

Test(ownership, copy_in_the_second_names_place_is_as_good_as_the_segment)
{
    leave_copy_in_the_second_names_place(true);

    assert_taken_over_with_its_data();
}

/* --- names that vanish --- */

Test(ownership, names_that_were_removed_are_restored)
{
    segment = a_segment();
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_KEPT);

    cr_assert_eq(unlink(name_path), 0);
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_RESTORED);
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_KEPT);
    cr_assert_eq(unlink(keep_path), 0);
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_KEPT);
    cr_assert(same_file(name_path, keep_path));

    cr_assert_eq(segment_names_leave(segment), SEGMENT_NAMES_KEPT);
    cr_assert_not(exists(keep_path));
    segment_detach(segment);
    assert_taken_over_with_its_data();
}

Test(ownership, file_that_was_moved_away_is_linked_again)
{
    segment = a_segment();
    cr_assert_eq(rename(name_path, passing_path), 0);
    cr_assert_eq(unlink(keep_path), 0);

    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_RESTORED);
    cr_assert(same_file(name_path, passing_path) && same_file(name_path, keep_path));
    segment_unlink(segment);
    cr_assert(exists(passing_path), "that name is somebody's who moved it");
    segment_detach(segment);
    cr_assert_eq(unlink(passing_path), 0);
}

Test(ownership, name_of_another_file_is_left_to_it)
{
    segment = a_segment();
    cr_assert_eq(unlink(name_path), 0);
    write_file(name_path, "another", 7, 7);

    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_TAKEN);
    cr_assert_eq(segment_names_leave(segment), SEGMENT_NAMES_TAKEN);
    segment_unlink(segment);
    cr_assert(exists(name_path), "only its own file is removed");
    cr_assert_not(exists(keep_path));
    segment_detach(segment);
    cr_assert_eq(unlink(name_path), 0);
}

static void lose_both_names(void)
{
    segment = a_segment();
    memset(segment->root, 0x5a, FIXTURE_ROOT_BYTES);
    cr_assert_eq(unlink(name_path), 0);
    cr_assert_eq(unlink(keep_path), 0);
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_LOST);
}

static int is_refused(void *context)
{
    struct segment *none = NULL;

    (void)context;
    return take_over(&none) == STATUS_DENIED && make(&named, &none) == STATUS_DENIED && !exists(name_path) ? 0 : 1;
}

/* A file that has lost all its names gets none again, but nobody else shall begin meanwhile. */
Test(ownership, nobody_begins_beside_a_segment_that_has_lost_its_names)
{
    lose_both_names();

    cr_assert_eq(process_run(is_refused, NULL), 0);
    cr_assert_eq(unlink(keep_path), 0);
    cr_assert_eq(segment_names_look(segment), SEGMENT_NAMES_LOST);
    cr_assert_eq(process_run(is_refused, NULL), 0);
    segment_unlink(segment);
    cr_assert_not(exists(keep_path));
    segment_detach(segment);
}

Test(ownership, segment_that_has_lost_its_names_is_copied_at_the_end)
{
    struct segment *taken = NULL;

    lose_both_names();
    cr_assert_eq(segment_names_leave(segment), SEGMENT_NAMES_RESTORED);
    segment_detach(segment);

    cr_assert(exists(name_path) && !exists(keep_path));
    cr_assert_eq(take_over(&taken), STATUS_OK, "%s", reason);
    cr_assert_eq(atomic_load(&taken->header->clock), CONTENT);
    for (size_t i = 0; i < FIXTURE_ROOT_BYTES; i++)
        cr_assert_eq(taken->root[i], 0x5a);
    segment_unlink(taken);
    segment_detach(taken);
}

Test(ownership, segment_whose_name_was_given_away_is_copied_behind_the_second)
{
    lose_both_names();
    write_file(name_path, "another", 7, 7);

    cr_assert_eq(segment_names_leave(segment), SEGMENT_NAMES_TAKEN);
    segment_detach(segment);
    cr_assert_eq(unlink(name_path), 0);
    assert_taken_over_with_its_data();
}

Test(ownership, segment_whose_names_were_both_given_away_is_lost)
{
    lose_both_names();
    cr_assert_eq(unlink(keep_path), 0);
    write_file(name_path, "another", 7, 7);
    write_file(keep_path, "another", 7, 7);

    cr_assert_eq(segment_names_leave(segment), SEGMENT_NAMES_LOST);
    segment_unlink(segment);
    cr_assert(exists(name_path) && exists(keep_path));
    segment_detach(segment);
    segment_discard(&named);
}

/* --- where it may lie --- */

Test(ownership, directory_that_does_not_live_in_memory_is_refused)
{
    const char *folder = getenv("TMPDIR");
    struct segment *none = NULL;

    named.directory = "/proc";
    cr_assert_eq(make(&named, &none), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, "--segment-on-disk"), "%s", reason);
    assert_refused("--segment-on-disk");

    named.directory = folder == NULL ? "/tmp" : folder;
    named.may_be_on_disk = true;
    segment = a_segment();
    segment_unlink(segment);
    segment_detach(segment);
}

Test(ownership, layout_of_another_build_is_told_from_damage)
{
    uint32_t format_version = 0;

    segment = a_segment();
    cr_assert_not(segment_is_of_another_layout(&named, FIXTURE_FINGERPRINT, &format_version));
    segment->header->format_version = SEGMENT_FORMAT_VERSION + 1;
    segment_detach(segment);

    cr_assert(segment_is_of_another_layout(&named, FIXTURE_FINGERPRINT, &format_version));
    cr_assert_eq(format_version, SEGMENT_FORMAT_VERSION + 1);
    assert_refused("another format version: it is of format 5");
    cr_assert_not(exists(keep_path), "what is refused keeps one name");
    segment_discard(&named);
}
