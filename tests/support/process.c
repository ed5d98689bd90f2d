#include "support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void must(bool succeeded, const char *what);
static pid_t start_writing_to(process_body body, void *context, int standard_error);
static size_t read_to_end(int source, char *output, size_t size);
static char state_of(pid_t process);

int process_run(process_body body, void *context)
{
    return process_wait(process_start(body, context));
}

int process_run_captured(process_body body, void *context, char *output, size_t size)
{
    int ends[2];
    pid_t child;

    must(pipe2(ends, O_CLOEXEC) == 0, "pipe2");
    child = start_writing_to(body, context, ends[1]);
    must(close(ends[1]) == 0, "close");
    output[read_to_end(ends[0], output, size - 1)] = '\0';
    must(close(ends[0]) == 0, "close");
    return process_wait(child);
}

pid_t process_start(process_body body, void *context)
{
    return start_writing_to(body, context, STDERR_FILENO);
}

int process_wait(pid_t child)
{
    int status;
    pid_t ended;

    do {
        ended = waitpid(child, &status, 0);
    } while (ended == -1 && errno == EINTR);
    must(ended == child, "waitpid");
    return WIFSIGNALED(status) ? PROCESS_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status);
}

int process_kill(pid_t child)
{
    must(kill(child, SIGKILL) == 0, "kill");
    return process_wait(child);
}

void process_stop(pid_t child)
{
    int status;

    must(kill(child, SIGSTOP) == 0, "kill");
    must(waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status), "waitpid");
}

void process_continue(pid_t child)
{
    must(kill(child, SIGCONT) == 0, "kill");
}

void process_wait_until_asleep(pid_t child)
{
    const struct timespec millisecond = {.tv_nsec = 1000L * 1000};
    int in_a_row = 0;

    /* Twice, so that a page being fetched is not taken for a lock waited for. */
    while (in_a_row < 2) {
        in_a_row = state_of(child) == 'S' ? in_a_row + 1 : 0;
        (void)nanosleep(&millisecond, NULL);
    }
}

void *process_shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    must(memory != MAP_FAILED, "mmap");
    return memory;
}

void process_gate_open(struct process_gate *gate)
{
    atomic_store(&gate->is_open, 1);
    (void)syscall(SYS_futex, &gate->is_open, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
}

void process_gate_wait(struct process_gate *gate)
{
    while (atomic_load(&gate->is_open) == 0)
        (void)syscall(SYS_futex, &gate->is_open, FUTEX_WAIT, 0, NULL, NULL, 0);
}

static pid_t start_writing_to(process_body body, void *context, int standard_error)
{
    pid_t parent = getpid();
    pid_t child = fork();

    must(child != -1, "fork");
    if (child != 0)
        return child;

    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(EXIT_FAILURE);
    /* Criterion handles these to report a crash of the test; a child's is expected. */
    (void)signal(SIGABRT, SIG_DFL);
    (void)signal(SIGSEGV, SIG_DFL);
    (void)dup2(standard_error, STDERR_FILENO);
    _exit(body(context));
}

static size_t read_to_end(int source, char *output, size_t size)
{
    size_t done = 0;

    for (;;) {
        char rest[256];
        bool has_room = done < size;
        ssize_t count = has_room ? read(source, output + done, size - done) : read(source, rest, sizeof rest);

        if (count > 0 && has_room)
            done += (size_t)count;
        else if (count == 0)
            return done;
        else
            must(count > 0 || errno == EINTR, "read");
    }
}

/* The letter behind the name, which is in parentheses and may hold anything. */
static char state_of(pid_t process)
{
    char path[64];
    char line[512];
    FILE *file;
    const char *after_name;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    must(file != NULL, path);
    must(fgets(line, sizeof line, file) != NULL, path);
    (void)fclose(file);
    after_name = strrchr(line, ')');
    must(after_name != NULL && after_name[1] == ' ', path);
    return after_name[2];
}

/* A test that cannot be set up fails loudly, also inside a child. */
static void must(bool succeeded, const char *what)
{
    if (succeeded)
        return;
    perror(what);
    abort();
}
