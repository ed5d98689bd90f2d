#include "load/server.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "load/echo.h"
#include "platform/clock.h"

#define START_PATIENCE_MS 20000u
#define LOOK_AGAIN_NS 5000000L
#define SPARE_CONNECTIONS 32u
#define DEFAULT_MEMORY ((uint64_t)1 << 30)

static void add_hauskv_arguments(struct load_server *server);
static void add_redis_arguments(struct load_server *server);
static void add_memcached_arguments(struct load_server *server);

static const struct server_kind kinds[] = {
    {"hauskv", "hauskv-server", &protocol_text, true, 0, add_hauskv_arguments},
    {"redis", "redis-server", &protocol_resp, true, 0, add_redis_arguments},
    {"memcached", "memcached", &protocol_memcached, false, 1, add_memcached_arguments},
    {"memcached-4", "memcached", &protocol_memcached, false, 4, add_memcached_arguments},
    {"echo", NULL, &protocol_text, false, 0, NULL},
};

static const char *const kind_names[] = {"hauskv", "redis", "memcached", "memcached-4", "echo", NULL};

static bool find_program(const char *program, char path[PATH_MAX]);
_Noreturn static void become_server(const struct load_server *server, pid_t parent);
static bool wait_until_ready(struct load_server *server);
static void forget(struct load_server *server);

const struct server_kind *server_kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

const char *const *server_kind_names(void)
{
    return kind_names;
}

bool server_kind_is_there(const struct server_kind *kind)
{
    char path[PATH_MAX];

    return kind->program == NULL || find_program(kind->program, path);
}

char *server_kind_version(const struct server_kind *kind)
{
    char command[PATH_MAX + 16];
    char path[PATH_MAX];
    char *line = calloc(1, 128);
    FILE *output;

    REQUIRE(line != NULL);
    if (kind->program == NULL || !find_program(kind->program, path)) {
        (void)snprintf(line, 128, "echo");
        return line;
    }
    (void)snprintf(command, sizeof command, "'%s' --version", path);
    output = popen(command, "re"); /* NOLINT(cert-env33-c): the program was found by us */
    if (output != NULL) {
        if (fgets(line, 128, output) != NULL)
            line[strcspn(line, "\n")] = '\0';
        (void)pclose(output);
    }
    return line;
}

/* The server to be measured lies where it was built, this program in a folder beside it. */
static bool find_hauskv(char path[PATH_MAX])
{
    const char *told = getenv("HAUSKV_SERVER");
    char *slash;
    ssize_t size;

    if (told != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", told);
        return access(path, X_OK) == 0;
    }
    size = readlink("/proc/self/exe", path, PATH_MAX - 32);
    if (size <= 0)
        return false;
    path[size] = '\0';
    for (unsigned i = 0; i < 2; i++) {
        slash = strrchr(path, '/');
        if (slash == NULL)
            return false;
        *slash = '\0';
    }
    (void)strcat(path, "/hauskv-server");
    return access(path, X_OK) == 0;
}

static bool find_program(const char *program, char path[PATH_MAX])
{
    const char *position = getenv("PATH");

    if (strcmp(program, "hauskv-server") == 0)
        return find_hauskv(path);
    while (position != NULL && *position != '\0') {
        size_t size = strcspn(position, ":");

        (void)snprintf(path, PATH_MAX, "%.*s/%s", (int)size, position, program);
        if (access(path, X_OK) == 0)
            return true;
        position += size + (position[size] == ':');
    }
    return false;
}

static void add(struct load_server *server, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct load_server *server, const char *format, ...)
{
    char *argument = NULL;
    va_list values;
    int size;

    REQUIRE(server->argument_count < LOAD_ARGUMENTS_MAX - 1);
    va_start(values, format);
    size = vasprintf(&argument, format, values);
    va_end(values);
    REQUIRE(size >= 0);
    server->arguments[server->argument_count++] = argument;
}

static void add_pair(struct load_server *server, const char *option, uint64_t value)
{
    add(server, "%s", option);
    add(server, "%" PRIu64, value);
}

static uint64_t memory_of(const struct load_server *server)
{
    return server->needs.memory_bytes > 0 ? server->needs.memory_bytes : DEFAULT_MEMORY;
}

static void add_hauskv_arguments(struct load_server *server)
{
    const struct server_needs *needs = &server->needs;

    add(server, "--name");
    add(server, "%s", server->name);
    add(server, "--discard");
    add(server, "--fresh");
    add(server, "--bind");
    add(server, "127.0.0.1");
    add_pair(server, "--port", needs->is_unix ? 0 : server->endpoint.port);
    if (needs->is_unix) {
        add(server, "--unix");
        add(server, "%s", server->endpoint.path);
    }
    add_pair(server, "--memory", memory_of(server));
    add_pair(server, "--max-clients", needs->connections + SPARE_CONNECTIONS);
    if (needs->value_bytes > ((size_t)1 << 20) - 1024)
        add_pair(server, "--max-command", needs->value_bytes + 1024);
}

static void add_redis_arguments(struct load_server *server)
{
    add(server, "--save");
    add(server, "%s", "");
    add(server, "--appendonly");
    add(server, "no");
    add(server, "--bind");
    add(server, "127.0.0.1");
    add_pair(server, "--port", server->endpoint.port);
    if (server->needs.is_unix) {
        add(server, "--unixsocket");
        add(server, "%s", server->endpoint.path);
    }
    add_pair(server, "--tcp-backlog", 4096);
    add_pair(server, "--maxclients", server->needs.connections + SPARE_CONNECTIONS);
    if (server->needs.memory_bytes > 0) {
        add_pair(server, "--maxmemory", server->needs.memory_bytes);
        add(server, "--maxmemory-policy");
        add(server, "noeviction");
    }
}

static void add_memcached_arguments(struct load_server *server)
{
    if (server->needs.is_unix) {
        add(server, "-s");
        add(server, "%s", server->endpoint.path);
    } else {
        add(server, "-l");
        add(server, "127.0.0.1");
        add_pair(server, "-p", server->endpoint.port);
    }
    add_pair(server, "-U", 0);
    add_pair(server, "-t", server->kind->threads);
    add_pair(server, "-b", 4096);
    add_pair(server, "-c", server->needs.connections + SPARE_CONNECTIONS);
    add_pair(server, "-m", memory_of(server) >> 20);
    if (server->needs.value_bytes > ((size_t)1 << 20) - 1024)
        add_pair(server, "-I", server->needs.value_bytes + 1024);
    if (geteuid() == 0) {
        add(server, "-u");
        add(server, "root");
    }
}

static void init(struct load_server *server, const struct server_kind *kind, const struct server_needs *needs)
{
    static unsigned count;

    memset(server, 0, sizeof *server);
    server->kind = kind;
    server->needs = *needs;
    (void)snprintf(server->name, sizeof server->name, "bench-%d-%u", (int)getpid(), count++);
    if (needs->is_unix)
        (void)snprintf(server->endpoint.path, sizeof server->endpoint.path, "/tmp/%.32s.socket", server->name);
    else
        server->endpoint.port = endpoint_free_port();
    if (kind->program == NULL)
        return;
    add(server, "%s", kind->program);
    kind->add_arguments(server);
}

bool load_server_start(struct load_server *server, const struct server_kind *kind, const struct server_needs *needs)
{
    pid_t parent = getpid();

    init(server, kind, needs);
    (void)fflush(NULL); /* or the child writes it again */
    server->process = fork();
    if (server->process == 0)
        become_server(server, parent);
    if (server->process < 0) {
        (void)fprintf(stderr, "%s: fork: %s\n", kind->name, strerror(errno));
        server->process = 0;
        forget(server);
        return false;
    }
    if (wait_until_ready(server))
        return true;
    (void)fprintf(stderr, "%s does not serve; run it by hand to see why:", kind->name);
    for (unsigned i = 0; i < server->argument_count; i++)
        (void)fprintf(stderr, " %s", server->arguments[i][0] == '\0' ? "''" : server->arguments[i]);
    (void)fprintf(stderr, "\n");
    load_server_stop(server);
    return false;
}

static void become_server(const struct load_server *server, pid_t parent)
{
    char path[PATH_MAX];
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        _exit(1);
    if (server->kind->program == NULL)
        _exit(echo_serve(&server->endpoint, server->needs.connections + 8, server->needs.value_bytes));
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++)
        (void)dup2(nowhere, descriptor);
    /* Redis writes nothing, but it wants to be somewhere where it could. */
    if (find_program(server->kind->program, path) && chdir("/tmp") == 0)
        (void)execv(path, server->arguments);
    _exit(127);
}

static bool wait_until_ready(struct load_server *server)
{
    const struct timespec pause = {.tv_nsec = LOOK_AGAIN_NS};
    uint64_t begin_ms = clock_monotonic_ms();

    while (clock_monotonic_ms() - begin_ms < START_PATIENCE_MS) {
        int descriptor = endpoint_connect(&server->endpoint);

        if (descriptor >= 0) {
            (void)close(descriptor);
            return true;
        }
        if (waitpid(server->process, NULL, WNOHANG) == server->process) {
            server->process = 0;
            return false;
        }
        (void)nanosleep(&pause, NULL);
    }
    return false;
}

void load_server_stop(struct load_server *server)
{
    if (server->process > 0) {
        (void)kill(server->process, SIGTERM);
        (void)waitpid(server->process, NULL, 0);
    }
    server->process = 0;
    forget(server);
}

static void forget(struct load_server *server)
{
    if (server->endpoint.path[0] != '\0')
        (void)unlink(server->endpoint.path);
    for (unsigned i = 0; i < server->argument_count; i++)
        free(server->arguments[i]);
    server->argument_count = 0;
}

void load_server_memory(const struct load_server *server, struct server_memory *memory)
{
    char path[PATH_MAX];
    struct stat status;

    memset(memory, 0, sizeof *memory);
    tree_memory(server->process, &memory->tree);
    (void)snprintf(path, sizeof path, "/dev/shm/hauskv-%s", server->name);
    if (stat(path, &status) == 0)
        memory->segment = (uint64_t)status.st_blocks * 512;
}

uint64_t server_memory_sum(const struct server_memory *memory)
{
    uint64_t shared = memory->segment > memory->tree.shared ? memory->segment : memory->tree.shared;

    return memory->tree.own + shared;
}
