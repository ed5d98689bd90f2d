#include "survival/survival_support.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/process.h"

#define CHILDREN_MAX 4096u

/* --- processes --- */

/* Stopped before it is looked at: the master must not fork between the look and the kill. */
void server_kill_all(struct server *server)
{
    static pid_t children[CHILDREN_MAX];
    unsigned count;

    process_stop(server->process);
    count = server_children(server, children, CHILDREN_MAX);
    for (unsigned i = 0; i < count; i++)
        (void)kill(children[i], SIGSTOP);
    for (unsigned i = 0; i < count; i++)
        (void)kill(children[i], SIGKILL);
    server_signal(server, SIGKILL);
    (void)server_wait(server);
    for (unsigned i = 0; i < count; i++)
        eventually(!driver_process_lives(children[i]));
    eventually(!server_segment_is_locked(server));
}

static bool read_line_of(pid_t process, const char *file, char *line, size_t size)
{
    char path[64];
    FILE *stream;
    bool is_read;

    (void)snprintf(path, sizeof path, "/proc/%d/%s", (int)process, file);
    stream = fopen(path, "re");
    if (stream == NULL)
        return false;
    is_read = fgets(line, (int)size, stream) != NULL;
    (void)fclose(stream);
    return is_read;
}

pid_t server_child_named(const struct server *server, const char *name)
{
    pid_t children[CHILDREN_MAX];
    unsigned count = server_children(server, children, CHILDREN_MAX);
    char line[64];

    for (unsigned i = 0; i < count && i < CHILDREN_MAX; i++) {
        if (!read_line_of(children[i], "comm", line, sizeof line))
            continue;
        line[strcspn(line, "\n")] = '\0';
        if (strcmp(line, name) == 0)
            return children[i];
    }
    return 0;
}

pid_t server_housekeeper(const struct server *server)
{
    return server_child_named(server, "hauskv-keeper");
}

/* The state's letter, see proc(5); 0: there is no such process. */
static char state_of(pid_t process, int *parent)
{
    char line[1024];
    const char *behind_command;

    if (!read_line_of(process, "stat", line, sizeof line))
        return 0;
    behind_command = strrchr(line, ')');
    if (behind_command == NULL || strlen(behind_command) < 5) /* ") S 1" */
        return 0;
    *parent = (int)strtol(behind_command + 4, NULL, 10);
    return behind_command[2];
}

bool process_is_stopped(pid_t process)
{
    int parent;
    char state = state_of(process, &parent);

    return state == 'T' || state == 't';
}

bool server_has_child(const struct server *server, pid_t process)
{
    int parent = 0;

    return state_of(process, &parent) != 0 && parent == server->process;
}

/* build/hauskv-server, as seen from build/tests/<program>. */
static void find_server(char path[PATH_MAX])
{
    const char *told = getenv("HAUSKV_SERVER");
    ssize_t size = told == NULL ? readlink("/proc/self/exe", path, PATH_MAX - 32) : 0;

    if (told != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", told);
        return;
    }
    path[size < 0 ? 0 : size] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');

        if (slash != NULL)
            *slash = '\0';
    }
    (void)strcat(path, "/hauskv-server");
}

pid_t server_launch_writing(int output, int errors, const char *const *arguments)
{
    const char *list[64] = {"hauskv-server"};
    char path[PATH_MAX];
    pid_t test = getpid();
    pid_t child;

    for (unsigned i = 0; i < 62 && arguments[i] != NULL; i++)
        list[i + 1] = arguments[i];
    find_server(path);
    child = fork();
    if (child < 0)
        driver_fail(NULL, "cannot fork");
    if (child > 0)
        return child;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != test)
        _exit(126);
    (void)dup2(output, STDOUT_FILENO);
    (void)dup2(errors, STDERR_FILENO);
    (void)execv(path, (char *const *)(uintptr_t)list);
    _exit(127);
}

pid_t server_launch(int errors, const char *const *arguments)
{
    return server_launch_writing(errors, errors, arguments);
}

struct text descriptor_read_all(int descriptor)
{
    struct text text = {0};
    char piece[65536];
    ssize_t size;

    (void)lseek(descriptor, 0, SEEK_SET);
    while ((size = read(descriptor, piece, sizeof piece)) > 0)
        text_append(&text, bytes_from(piece, (size_t)size));
    text_append(&text, bytes_from("", 1));
    text.size--;
    (void)close(descriptor);
    return text;
}

struct run server_run_with(const char *const *arguments)
{
    int output = memfd_create("output", MFD_CLOEXEC);
    int errors = memfd_create("errors", MFD_CLOEXEC);
    struct run run = {.exit_status = process_wait(server_launch_writing(output, errors, arguments))};

    run.output = descriptor_read_all(output);
    run.errors = descriptor_read_all(errors);
    return run;
}

void run_deinit(struct run *run)
{
    text_deinit(&run->output);
    text_deinit(&run->errors);
}

/* --- segments --- */

struct segment_file segment_file_map(const struct server *server)
{
    struct segment_file file = {.size = 0};
    char path[PATH_MAX];
    struct stat status;
    void *bytes = MAP_FAILED;
    int descriptor;

    (void)snprintf(path, sizeof path, "/dev/shm/hauskv-%s", server->name);
    descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (descriptor >= 0 && fstat(descriptor, &status) == 0) {
        file.size = (size_t)status.st_size;
        bytes = mmap(NULL, file.size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    }
    if (bytes == MAP_FAILED)
        driver_fail(server, "cannot map the segment %s", path);
    (void)close(descriptor);
    file.bytes = bytes;
    return file;
}

void segment_file_unmap(struct segment_file *file)
{
    (void)munmap(file->bytes, file->size);
    file->bytes = NULL;
}

struct segment_header *segment_file_header(const struct segment_file *file)
{
    return (struct segment_header *)(void *)file->bytes;
}

uint64_t segment_file_sum(const struct server *server)
{
    const unsigned char key[SIPHASH_KEY_BYTES] = {0};
    struct segment_file file = segment_file_map(server);
    uint64_t sum = siphash(key, bytes_from(file.bytes, file.size));

    segment_file_unmap(&file);
    return sum;
}

uint32_t segment_file_find_chunk(const struct segment_file *file, enum chunk_kind kind)
{
    const struct segment_header *header = segment_file_header(file);
    const uint32_t *owners = (const uint32_t *)(const void *)(file->bytes + header->owners_offset);

    for (uint32_t number = 1; number <= header->chunk_count; number++) {
        if (chunk_owner_kind(owners[number]) == kind)
            return number;
    }
    driver_fail(NULL, "the segment has no chunk of kind %d", (int)kind);
}

unsigned char *segment_file_chunk(const struct segment_file *file, uint32_t number)
{
    return file->bytes + segment_file_header(file)->chunks_offset + (size_t)(number - 1) * CHUNK_BYTES;
}

void write_file(char *path, size_t path_size, struct bytes contents)
{
    const char *folder = getenv("TMPDIR");
    int descriptor;

    (void)snprintf(path, path_size, "%s/hauskv-survival-XXXXXX", folder == NULL ? "/tmp" : folder);
    descriptor = mkstemp(path);
    if (descriptor < 0 || write(descriptor, contents.data, contents.size) != (ssize_t)contents.size ||
        close(descriptor) != 0)
        driver_fail(NULL, "cannot write %s", path);
}
