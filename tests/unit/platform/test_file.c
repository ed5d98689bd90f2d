#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "platform/file.h"
#include "platform/signals.h"
#include "support/process.h"

#define MIB ((size_t)1024 * 1024)
#define PIECES 5u

static char folder[] = "/tmp/hauskv-test-file-XXXXXX";
static char path[sizeof folder + 16];
static char other_path[sizeof folder + 16];

static void create_folder(void)
{
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/file", folder);
    (void)snprintf(other_path, sizeof other_path, "%s/other", folder);
}

static void remove_folder(void)
{
    (void)unlink(path);
    (void)unlink(other_path);
    (void)rmdir(folder);
}

TestSuite(file, .init = create_folder, .fini = remove_folder, .timeout = 60);

static int created_file(void)
{
    int descriptor = -1;

    cr_assert_eq(file_create(path, 0600, &descriptor), 0);
    return descriptor;
}

static int opened_again(void)
{
    int descriptor = -1;

    cr_assert_eq(file_open(path, FILE_READ_WRITE, &descriptor), 0);
    return descriptor;
}

static void ignore_arrival(int signal_number)
{
    (void)signal_number;
}

/* From now on a signal arrives every 200 us. */
static void bombard(enum signals_interruption interruption)
{
    const struct itimerval interval = {{.tv_usec = 200}, {.tv_usec = 200}};

    signals_handle(SIGALRM, ignore_arrival, interruption);
    (void)setitimer(ITIMER_REAL, &interval, NULL);
}

struct inherited_lock {
    int descriptor;
    struct process_gate release;
};

static int keeps_an_inherited_lock(void *context)
{
    struct inherited_lock *lock = context;

    process_gate_wait(&lock->release);
    return 0;
}

static int reserves_under_fire(void *context)
{
    int *descriptor = context;

    bombard(SIGNALS_INTERRUPT);
    return file_reserve(*descriptor, 32 * MIB);
}

struct record_locker {
    struct process_gate release;
    struct process_gate is_locked;
    bool closes_another; /* descriptor of the same file */
};

static int locks_the_record(void *context)
{
    struct record_locker *locker = context;
    int descriptor = -1;
    int other = -1;

    if (file_open(path, FILE_READ_WRITE, &descriptor) != 0 || file_record_lock(descriptor) != 0 ||
        file_record_lock(descriptor) != 0)
        return 1;
    if (locker->closes_another && (file_open(path, FILE_READ, &other) != 0 || file_close(&other) != 0))
        return 2;
    process_gate_open(&locker->is_locked);
    process_gate_wait(&locker->release);
    return 0;
}

/* A pipe with the test at one end and a child at the other. */
struct conversation {
    int ends[2];
    struct process_gate ready;
};

static unsigned char expected_byte(size_t position)
{
    return (unsigned char)(position % 251);
}

static void expect_arrivals(struct conversation *conversation)
{
    signals_handle(SIGUSR1, ignore_arrival, SIGNALS_INTERRUPT);
    process_gate_open(&conversation->ready);
}

static int reads_all(void *context)
{
    struct conversation *conversation = context;
    unsigned char buffer[PIECES];
    size_t read_bytes = 0;

    expect_arrivals(conversation);
    if (file_read(conversation->ends[0], buffer, sizeof buffer, &read_bytes) != 0 || read_bytes != sizeof buffer)
        return 1;
    for (size_t i = 0; i < sizeof buffer; i++) {
        if (buffer[i] != expected_byte(i))
            return 2;
    }
    return 0;
}

static int writes_all(void *context)
{
    struct conversation *conversation = context;
    unsigned char *data = malloc(MIB);
    int error;

    if (data == NULL)
        return 99;
    for (size_t i = 0; i < MIB; i++)
        data[i] = expected_byte(i);
    expect_arrivals(conversation);
    error = file_write(conversation->ends[1], bytes_from(data, MIB));
    free(data);
    return error;
}

static struct conversation *begin_conversation(process_body body, pid_t *child)
{
    struct conversation *conversation = process_shared_memory(sizeof *conversation);

    cr_assert_eq(pipe2(conversation->ends, O_CLOEXEC), 0);
    *child = process_start(body, conversation);
    process_gate_wait(&conversation->ready);
    return conversation;
}

static void interrupt_its_wait(pid_t child)
{
    process_wait_until_asleep(child);
    cr_assert_eq(kill(child, SIGUSR1), 0);
}

Test(file, created_file_has_exactly_the_permissions_asked_for)
{
    struct file_identity identity;
    int descriptor = -1;

    (void)umask(0777);
    cr_assert_eq(file_create(path, 0640, &descriptor), 0);

    cr_assert_eq(file_identify(descriptor, &identity), 0);
    cr_assert_eq(identity.permissions, 0640);
    cr_assert_eq(identity.owner, geteuid());
    cr_assert(identity.is_regular);
}

Test(file, file_is_created_once)
{
    int descriptor = created_file();
    int second = 42;

    cr_assert_eq(file_create(path, 0600, &second), EEXIST);
    cr_assert_eq(second, 42);
    cr_assert_eq(file_close(&descriptor), 0);
}

Test(file, symbolic_link_is_neither_created_through_nor_opened)
{
    int descriptor = 42;

    cr_assert_eq(symlink(other_path, path), 0);

    cr_assert_eq(file_create(path, 0600, &descriptor), EEXIST);
    cr_assert_eq(file_open(path, FILE_READ, &descriptor), ELOOP);
    cr_assert_eq(descriptor, 42);
    cr_assert_eq(access(other_path, F_OK), -1);
}

Test(file, missing_file_is_not_opened)
{
    int descriptor = 42;

    cr_assert_eq(file_open(path, FILE_READ_WRITE, &descriptor), ENOENT);
    cr_assert_eq(descriptor, 42);
}

Test(file, file_opened_for_reading_is_not_written)
{
    int descriptor = created_file();
    int reader = -1;

    cr_assert_eq(file_open(path, FILE_READ, &reader), 0);

    cr_assert_eq(file_write(reader, bytes_from_string("x")), EBADF);
    cr_assert_eq(file_write(descriptor, bytes_from_string("x")), 0);
}

Test(file, fifo_is_opened_without_waiting_and_known_as_none_of_ours)
{
    struct file_identity identity;
    int descriptor = -1;

    cr_assert_eq(mkfifo(path, 0600), 0);
    cr_assert_eq(file_open(path, FILE_READ, &descriptor), 0);

    cr_assert_eq(file_identify(descriptor, &identity), 0);
    cr_assert_not(identity.is_regular);
}

Test(file, two_openings_of_one_file_have_one_identity)
{
    int first = created_file();
    int second = opened_again();
    struct file_identity left;
    struct file_identity right;

    cr_assert_eq(file_identify(first, &left), 0);
    cr_assert_eq(file_identify(second, &right), 0);
    cr_assert(left.device == right.device && left.inode == right.inode);
}

Test(file, reserved_file_has_its_size_and_storage)
{
    int descriptor = created_file();
    uint64_t size_bytes;
    struct stat status;

    cr_assert_eq(file_reserve(descriptor, MIB), 0);

    cr_assert_eq(file_size(descriptor, &size_bytes), 0);
    cr_assert_eq(size_bytes, MIB);
    cr_assert_eq(fstat(descriptor, &status), 0);
    cr_assert_geq(status.st_blocks * 512, (blkcnt_t)MIB);
}

Test(file, reserving_less_than_there_is_takes_nothing_away)
{
    int descriptor = created_file();
    uint64_t size_bytes;

    cr_assert_eq(file_reserve(descriptor, MIB), 0);
    cr_assert_eq(file_reserve(descriptor, 1), 0);

    cr_assert_eq(file_size(descriptor, &size_bytes), 0);
    cr_assert_eq(size_bytes, MIB);
}

Test(file, more_than_any_file_can_have_is_not_reserved)
{
    int descriptor = created_file();

    cr_assert_eq(file_reserve(descriptor, UINT64_MAX), EFBIG);
}

Test(file, shared_memory_is_reserved_under_a_rain_of_signals)
{
    int descriptor = memfd_create("hauskv-test", MFD_CLOEXEC);
    uint64_t size_bytes;

    cr_assert_neq(descriptor, -1);
    cr_assert_eq(process_run(reserves_under_fire, &descriptor), 0);

    cr_assert_eq(file_size(descriptor, &size_bytes), 0);
    cr_assert_eq(size_bytes, 32 * MIB);
}

Test(file, locked_file_is_locked_for_every_other_opening)
{
    int first = created_file();
    int second = opened_again();

    cr_assert_eq(file_lock(first), 0);
    cr_assert_eq(file_lock(first), 0);
    cr_assert_eq(file_lock(second), EWOULDBLOCK);

    cr_assert_eq(file_close(&first), 0);
    cr_assert_eq(file_lock(second), 0);
}

Test(file, lock_ends_with_the_last_process_that_inherited_it)
{
    struct inherited_lock *lock = process_shared_memory(sizeof *lock);
    pid_t heir;
    int second;

    lock->descriptor = created_file();
    second = opened_again();
    cr_assert_eq(file_lock(lock->descriptor), 0);
    heir = process_start(keeps_an_inherited_lock, lock);
    cr_assert_eq(file_close(&lock->descriptor), 0);

    cr_assert_eq(file_lock(second), EWOULDBLOCK);

    cr_assert_eq(process_kill(heir), PROCESS_SIGNAL(SIGKILL));
    cr_assert_eq(file_lock(second), 0);
}

Test(file, record_lock_is_its_process_own)
{
    struct record_locker *locker = process_shared_memory(sizeof *locker);
    int descriptor = created_file();
    pid_t holder = 0;
    pid_t process;

    cr_assert_not(file_is_record_locked(descriptor, &holder));
    process = process_start(locks_the_record, locker);
    process_gate_wait(&locker->is_locked);

    cr_assert_eq(file_record_lock(descriptor), EWOULDBLOCK);
    cr_assert(file_is_record_locked(descriptor, &holder));
    cr_assert_eq(holder, process);
    cr_assert_eq(file_lock(descriptor), 0, "the two locks know nothing of each other");

    cr_assert_eq(process_kill(process), PROCESS_SIGNAL(SIGKILL));
    cr_assert_not(file_is_record_locked(descriptor, NULL));
    cr_assert_eq(file_record_lock(descriptor), 0);
}

static int finds_it_locked(void *context)
{
    const int *descriptor = context;

    return file_is_record_locked(*descriptor, NULL) && file_record_lock(*descriptor) == EWOULDBLOCK ? 0 : 1;
}

Test(file, record_lock_is_not_inherited)
{
    int descriptor = created_file();

    cr_assert_eq(file_record_lock(descriptor), 0);
    cr_assert_eq(process_run(finds_it_locked, &descriptor), 0);
    cr_assert_eq(process_run(finds_it_locked, &descriptor), 0, "a child that ends takes nothing along");
}

/* Why a segment's file is opened once only. */
Test(file, record_lock_ends_when_its_process_closes_any_descriptor_of_the_file)
{
    struct record_locker *locker = process_shared_memory(sizeof *locker);
    int descriptor = created_file();
    pid_t process;

    locker->closes_another = true;
    process = process_start(locks_the_record, locker);
    process_gate_wait(&locker->is_locked);

    cr_assert_not(file_is_record_locked(descriptor, NULL));
    (void)process_kill(process);
}

Test(file, nameless_file_gets_names_until_it_has_lost_them_all)
{
    struct file_identity identity;
    int descriptor = -1;

    cr_assert_eq(file_create_nameless(folder, 0600, &descriptor), 0);
    cr_assert_eq(file_identify(descriptor, &identity), 0);
    cr_assert(identity.is_regular && identity.permissions == 0600 && identity.links == 0);

    cr_assert_eq(file_link(descriptor, path), 0);
    cr_assert_eq(file_link(descriptor, path), EEXIST);
    cr_assert_eq(file_link(descriptor, other_path), 0);
    cr_assert_eq(file_identify(descriptor, &identity), 0);
    cr_assert_eq(identity.links, 2);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(file_link(descriptor, path), 0);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(unlink(other_path), 0);
    cr_assert_eq(file_link(descriptor, path), ENOENT);
    cr_assert_eq(file_close(&descriptor), 0);
}

Test(file, nameless_file_needs_a_directory)
{
    int descriptor = -1;

    cr_assert_eq(file_create_nameless(path, 0600, &descriptor), ENOENT);
    cr_assert_eq(descriptor, -1);
}

Test(file, what_was_written_is_read_and_the_end_is_found)
{
    int descriptor = created_file();
    int reader = opened_again();
    char buffer[16] = {0};
    size_t read_bytes = 0;

    cr_assert_eq(file_write(descriptor, bytes_from_string("hello")), 0);

    cr_assert_eq(file_read(reader, buffer, 3, &read_bytes), 0);
    cr_assert_eq(read_bytes, 3);
    cr_assert_eq(file_read(reader, buffer + 3, 13, &read_bytes), 0);
    cr_assert_eq(read_bytes, 2);
    cr_assert_str_eq(buffer, "hello");
    cr_assert_eq(file_read(reader, buffer, 1, &read_bytes), 0);
    cr_assert_eq(read_bytes, 0);
}

Test(file, signal_does_not_interrupt_reading)
{
    pid_t reader;
    struct conversation *conversation = begin_conversation(reads_all, &reader);

    for (size_t i = 0; i < PIECES; i++) {
        const unsigned char byte = expected_byte(i);

        interrupt_its_wait(reader);
        process_wait_until_asleep(reader);
        cr_assert_eq(write(conversation->ends[1], &byte, 1), 1);
    }

    cr_assert_eq(process_wait(reader), 0);
}

Test(file, signal_does_not_interrupt_writing)
{
    static unsigned char data[MIB];
    pid_t writer;
    struct conversation *conversation = begin_conversation(writes_all, &writer);
    size_t read_bytes = 0;

    for (size_t i = 0; i < PIECES; i++) {
        interrupt_its_wait(writer);
        process_wait_until_asleep(writer);
        cr_assert_eq(file_read(conversation->ends[0], data + i, 1, &read_bytes), 0);
    }
    cr_assert_eq(file_read(conversation->ends[0], data + PIECES, MIB - PIECES, &read_bytes), 0);

    cr_assert_eq(process_wait(writer), 0);
    for (size_t i = 0; i < MIB; i++) {
        if (data[i] != expected_byte(i))
            cr_assert_fail("byte %zu", i);
    }
}

Test(file, full_disk_is_told)
{
    int descriptor = -1;

    cr_assert_eq(file_open("/dev/full", FILE_READ_WRITE, &descriptor), 0);

    cr_assert_eq(file_write(descriptor, bytes_from_string("x")), ENOSPC);
}

Test(file, closed_file_is_closed_once)
{
    int descriptor = created_file();
    int number = descriptor;

    cr_assert_eq(fcntl(number, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(file_close(&descriptor), 0);
    cr_assert_eq(descriptor, -1);
    cr_assert_eq(fcntl(number, F_GETFD), -1);
    cr_assert_eq(file_close(&descriptor), 0);
}
