#include "support/server_driver.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "support/process.h"

#define ARGUMENTS_MAX 64u
#define CHILDREN_MAX 4096u

/* Any address that a client connects to. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } socket;
    socklen_t size;
};

static void server_init(struct server *server, const char *const *arguments);
static void launch(struct server *server, const char *const *arguments);
_Noreturn static void become_server(const struct server *server, pid_t test, char *const *arguments);
static void read_listeners(struct server *server);
static bool is_ready(const struct server *server);
static bool has_ended(struct server *server, int *end);
static pid_t parent_of(pid_t process, char *state);
static void segment_path(const struct server *server, char path[PATH_MAX]);
static void segment_keep_path(const struct server *server, char path[PATH_MAX]);
static int connect_to(const char *text);
static bool take_in(struct client *client);
static void make_room(struct client *client);
static const char *take_line(struct client *client);
static const cJSON *statistic(const cJSON *reply, const char *path);

/* The server. */

void server_start_with(struct server *server, const char *const *arguments)
{
    int end;

    server_init(server, arguments);
    launch(server, arguments);
    for (uint64_t begin_ms = clock_monotonic_ms(); !is_ready(server);) {
        if (has_ended(server, &end))
            driver_fail(server, "the server ended with %#x in place of serving", (unsigned)end);
        driver_look_again_later(begin_ms, "the server is ready", __FILE__, __LINE__);
    }
    read_listeners(server);
}

int server_start_in_vain_with(struct server *server, const char *const *arguments)
{
    server_init(server, arguments);
    launch(server, arguments);
    return server_wait(server);
}

void server_stop(struct server *server)
{
    int end;

    server_signal(server, SIGTERM);
    end = server_wait(server);
    if (end != 0)
        driver_fail(server, "the server ended with %#x", (unsigned)end);
    server_forget(server);
}

void server_signal(const struct server *server, int signal_number)
{
    if (server->process <= 0 || kill(server->process, signal_number) != 0)
        driver_fail(server, "there is no server to signal");
}

int server_wait(struct server *server)
{
    uint64_t begin_ms = clock_monotonic_ms();
    int end;

    while (!has_ended(server, &end))
        driver_look_again_later(begin_ms, "the server has ended", __FILE__, __LINE__);
    return end;
}

void server_kill(struct server *server)
{
    static pid_t children[CHILDREN_MAX];
    unsigned count = server_children(server, children, CHILDREN_MAX);

    server_signal(server, SIGKILL);
    (void)server_wait(server);
    for (unsigned i = 0; i < count; i++)
        eventually(!driver_process_lives(children[i]));
    server_unlink_segment(server);
    server_forget(server);
}

void server_unlink_segment(const struct server *server)
{
    char path[PATH_MAX];

    segment_path(server, path);
    (void)unlink(path);
    (void)strcat(path, ".control");
    (void)unlink(path);
    segment_keep_path(server, path);
    (void)unlink(path);
}

bool server_has_segment(const struct server *server)
{
    char path[PATH_MAX];

    segment_path(server, path);
    if (access(path, F_OK) == 0)
        return true;
    segment_keep_path(server, path);
    return access(path, F_OK) == 0;
}

bool server_segment_is_locked(const struct server *server)
{
    char path[PATH_MAX];
    bool is_locked;
    int file;

    segment_path(server, path);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    is_locked = flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    (void)close(file);
    return is_locked;
}

void server_forget(struct server *server)
{
    (void)close(server->log);
    server->log = -1;
}

static const char *argument_after(const char *const *arguments, const char *option)
{
    for (; *arguments != NULL; arguments++) {
        if (strcmp(*arguments, option) == 0)
            return arguments[1];
    }
    return NULL;
}

static void server_init(struct server *server, const char *const *arguments)
{
    static atomic_uint count;
    const char *told = argument_after(arguments, "--name");
    char name[SERVER_NAME_BYTES];

    if (told != NULL)
        (void)snprintf(name, sizeof name, "%s", told);
    else
        (void)snprintf(name, sizeof name, "test-%d-%u", (int)getpid(), atomic_fetch_add(&count, 1));
    memset(server, 0, sizeof *server);
    memcpy(server->name, name, sizeof name);
    if (told == NULL)
        server_unlink_segment(server); /* of a test that had this process's number before, and crashed */
    server->log = memfd_create("server-log", MFD_CLOEXEC);
    if (server->log < 0 || fcntl(server->log, F_SETFL, O_APPEND) != 0)
        driver_fail(NULL, "cannot make a file for the log");
}

static void launch(struct server *server, const char *const *arguments)
{
    const char *list[ARGUMENTS_MAX] = {"hauskv-server"};
    unsigned count = 1;
    pid_t test = getpid();

    if (argument_after(arguments, "--name") == NULL) {
        list[count++] = "--name";
        list[count++] = server->name;
    }
    if (argument_after(arguments, "--port") == NULL) {
        list[count++] = "--port";
        list[count++] = "0";
    }
    if (argument_after(arguments, "--memory") == NULL) {
        list[count++] = "--memory";
        list[count++] = "16m";
    }
    list[count++] = "--discard"; /* a test that wants to restart says --discard=no */
    for (; *arguments != NULL && count < ARGUMENTS_MAX - 1; arguments++)
        list[count++] = *arguments;

    server->process = fork();
    if (server->process < 0)
        driver_fail(NULL, "cannot fork");
    if (server->process == 0)
        become_server(server, test, (char *const *)(uintptr_t)list);
}

/* build/hauskv-server, as seen from build/tests/<program>. */
static void find_server(char path[PATH_MAX])
{
    const char *told = getenv("HAUSKV_SERVER");
    char program[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", program, sizeof program - 1);
    char *end;

    if (told != NULL) {
        (void)snprintf(path, PATH_MAX, "%s", told);
        return;
    }
    program[size < 0 ? 0 : size] = '\0';
    for (int up = 0; up < 2; up++) {
        end = strrchr(program, '/');
        if (end != NULL)
            *end = '\0';
    }
    if (snprintf(path, PATH_MAX, "%s/hauskv-server", program) >= PATH_MAX)
        path[0] = '\0';
}

static void clear_environment(void)
{
    char name[128];

    for (char **entry = environ; *entry != NULL;) {
        size_t size = strcspn(*entry, "=");

        if (strncmp(*entry, "HAUSKV_", 7) == 0 && size < sizeof name) {
            memcpy(name, *entry, size);
            name[size] = '\0';
            (void)unsetenv(name);
            entry = environ;
        } else {
            entry++;
        }
    }
}

_Noreturn static void become_server(const struct server *server, pid_t test, char *const *arguments)
{
    struct rlimit no_core = {0, 0};
    sigset_t none;
    char path[PATH_MAX];

    find_server(path);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || getppid() != test)
        _exit(EXIT_FAILURE);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    clear_environment();
    (void)close(STDIN_FILENO);
    (void)open("/dev/null", O_RDONLY);
    (void)dup2(server->log, STDOUT_FILENO);
    (void)dup2(server->log, STDERR_FILENO);
    (void)execv(path, arguments);
    (void)dprintf(STDERR_FILENO, "cannot run %s: %s\n", path, strerror(errno));
    _exit(127);
}

static bool has_ended(struct server *server, int *end)
{
    int status;
    pid_t ended = waitpid(server->process, &status, WNOHANG);

    if (ended == 0 || (ended < 0 && errno == EINTR))
        return false;
    if (ended < 0)
        driver_fail(server, "cannot wait for the server");
    *end = WIFSIGNALED(status) ? PROCESS_SIGNAL(WTERMSIG(status)) : WEXITSTATUS(status);
    server->process = 0;
    return true;
}

static void segment_path(const struct server *server, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "/dev/shm/hauskv-%s", server->name);
}

static void segment_keep_path(const struct server *server, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "/dev/shm/.hauskv-%s.keep", server->name);
}

/* Its log. */

char *server_log(const struct server *server)
{
    struct stat status;
    char *text;
    ssize_t size;

    if (fstat(server->log, &status) != 0 || (text = malloc((size_t)status.st_size + 1)) == NULL)
        abort();
    size = pread(server->log, text, (size_t)status.st_size, 0);
    text[size < 0 ? 0 : size] = '\0';
    return text;
}

bool server_has_said(const struct server *server, const char *text)
{
    return server_count_said(server, text) > 0;
}

unsigned server_count_said(const struct server *server, const char *text)
{
    char *log = server_log(server);
    unsigned count = 0;

    for (const char *found = log; (found = strstr(found, text)) != NULL; found++)
        count++;
    free(log);
    return count;
}

void server_expect_said(const struct server *server, const char *text)
{
    uint64_t begin_ms = clock_monotonic_ms();

    while (!server_has_said(server, text)) {
        if (clock_monotonic_ms() - begin_ms > DRIVER_PATIENCE_MS)
            driver_fail(server, "the server never said '%s'", text);
        driver_look_again_later(begin_ms, text, __FILE__, __LINE__);
    }
}

/* The ready lines come last and with one write. */
static bool is_ready(const struct server *server)
{
    char *log = server_log(server);
    size_t size = strlen(log);
    bool is_whole = size > 0 && log[size - 1] == '\n' && strstr(log, "ready: ") != NULL;

    free(log);
    return is_whole;
}

static void read_listeners(struct server *server)
{
    char *log = server_log(server);
    char *rest = log;
    char *line;

    while ((line = strsep(&rest, "\n")) != NULL) {
        if (strncmp(line, "ready: ", 7) != 0 || server->listener_count == SERVER_LISTENERS_MAX)
            continue;
        (void)snprintf(server->listeners[server->listener_count], SERVER_ADDRESS_BYTES, "%s", line + 7);
        server->listener_count++;
    }
    free(log);
}

unsigned server_port(const struct server *server, unsigned listener)
{
    const char *colon = listener < server->listener_count ? strrchr(server->listeners[listener], ':') : NULL;

    if (colon == NULL)
        driver_fail(server, "listener %u has no port", listener);
    return (unsigned)strtoul(colon + 1, NULL, 10);
}

/* Its processes. */

/* 0 if there is no such process. */
static pid_t parent_of(pid_t process, char *state)
{
    char path[64];
    char line[1024];
    const char *after_name;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    after_name = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
    (void)fclose(file);
    if (after_name == NULL || strlen(after_name) < 4)
        return 0;
    *state = after_name[2]; /* ") S 4711" */
    return (pid_t)strtol(after_name + 3, NULL, 10);
}

unsigned server_children(const struct server *server, pid_t *children, unsigned max)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;
    char state = 'Z';

    if (processes == NULL)
        driver_fail(server, "there is no /proc");
    while ((entry = readdir(processes)) != NULL) {
        pid_t process = (pid_t)strtol(entry->d_name, NULL, 10);

        if (process <= 0 || parent_of(process, &state) != server->process || state == 'Z')
            continue;
        if (count < max)
            children[count] = process;
        count++;
    }
    (void)closedir(processes);
    return count;
}

bool driver_process_lives(pid_t process)
{
    char state = 'Z';

    return parent_of(process, &state) != 0 && state != 'Z' && state != 'X';
}

void driver_process_stop(pid_t process)
{
    char state = 'Z';

    if (kill(process, SIGSTOP) != 0)
        driver_fail(NULL, "there is no process %d to stop", (int)process);
    eventually(parent_of(process, &state) != 0 && state == 'T');
}

/* The clients. */

void client_connect(struct client *client, const struct server *server)
{
    if (server->listener_count == 0)
        driver_fail(server, "the server has no listener");
    client_connect_to(client, server, server->listeners[0]);
}

void client_connect_to(struct client *client, const struct server *server, const char *address)
{
    memset(client, 0, sizeof *client);
    client->server = server;
    client->descriptor = connect_to(address);
    if (client->descriptor < 0)
        driver_fail(server, "cannot connect to %s: %s", address, strerror(errno));
}

bool client_can_connect(const char *address)
{
    int descriptor = connect_to(address);

    if (descriptor >= 0)
        (void)close(descriptor);
    return descriptor >= 0;
}

void client_close(struct client *client)
{
    if (client->descriptor >= 0)
        (void)close(client->descriptor);
    free(client->input);
    memset(client, 0, sizeof *client);
    client->descriptor = -1;
}

static struct address address_of(const char *text)
{
    struct address address = {.size = 0};
    const char *colon = strrchr(text, ':');
    char host[SERVER_ADDRESS_BYTES];
    uint16_t port;

    if (text[0] == '/' || text[0] == '.' || colon == NULL) {
        address.socket.local.sun_family = AF_UNIX;
        (void)snprintf(address.socket.local.sun_path, sizeof address.socket.local.sun_path, "%s", text);
        address.size = sizeof address.socket.local;
        return address;
    }
    port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    if (text[0] == '[') {
        (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text - 2), text + 1);
        address.socket.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = port};
        (void)inet_pton(AF_INET6, host, &address.socket.ipv6.sin6_addr);
        address.size = sizeof address.socket.ipv6;
    } else {
        (void)snprintf(host, sizeof host, "%.*s", (int)(colon - text), text);
        address.socket.ipv4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = port};
        (void)inet_pton(AF_INET, host, &address.socket.ipv4.sin_addr);
        address.size = sizeof address.socket.ipv4;
    }
    return address;
}

static void allow_many_descriptors(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* -1, errno set, if nobody listens there. */
static int connect_to(const char *text)
{
    struct address address = address_of(text);
    int descriptor = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    int error;

    if (descriptor < 0 && errno == EMFILE) {
        allow_many_descriptors();
        descriptor = socket(address.socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    }
    if (descriptor < 0)
        return -1;
    while (connect(descriptor, &address.socket.any, address.size) != 0) {
        if (errno == EINTR)
            continue;
        error = errno;
        (void)close(descriptor);
        errno = error;
        return -1;
    }
    /* A line and its end may be two writes: the second would wait for the first one's acknowledgement, 40 ms. A Unix socket
     * has no such option and needs none. */
    (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return descriptor;
}

void client_send(struct client *client, struct bytes bytes)
{
    if (!client_try_send(client, bytes))
        driver_fail(client->server, "cannot send: %s", strerror(errno));
}

void client_send_text(struct client *client, const char *text)
{
    client_send(client, bytes_from_string(text));
}

/* As poll(2) for a while; false: time is over. */
static bool wait_for(const struct client *client, short events, unsigned limit_ms, short *happened)
{
    struct pollfd descriptor = {.fd = client->descriptor, .events = events};
    uint64_t begin_ms = clock_monotonic_ms();
    uint64_t passed_ms;
    int count;

    do {
        passed_ms = clock_monotonic_ms() - begin_ms;
        count = poll(&descriptor, 1, passed_ms >= limit_ms ? 0 : (int)(limit_ms - passed_ms));
    } while (count < 0 && errno == EINTR);
    *happened = descriptor.revents;
    return count > 0;
}

bool client_try_send(struct client *client, struct bytes bytes)
{
    bool input_may_come = true;
    short happened;

    while (bytes.size > 0) {
        ssize_t size = send(client->descriptor, bytes.data, bytes.size, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size > 0) {
            bytes = bytes_slice(bytes, (size_t)size, bytes.size - (size_t)size);
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return false;
        if (!wait_for(client, input_may_come ? POLLIN | POLLOUT : POLLOUT, DRIVER_PATIENCE_MS, &happened)) {
            errno = ETIMEDOUT;
            return false;
        }
        if (happened & POLLIN)
            input_may_come = take_in(client);
    }
    return true;
}

size_t client_send_without_reading(struct client *client, struct bytes bytes, unsigned limit_ms)
{
    size_t sent = 0;
    short happened;

    while (sent < bytes.size) {
        ssize_t size = send(client->descriptor, bytes.data + sent, bytes.size - sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (size > 0)
            sent += (size_t)size;
        else if (errno != EAGAIN && errno != EINTR)
            return sent;
        else if (!wait_for(client, POLLOUT, limit_ms, &happened))
            return sent;
    }
    return sent;
}

void client_end_input(struct client *client)
{
    (void)shutdown(client->descriptor, SHUT_WR);
}

/* Receives what is there or comes; false: that was the end. */
static bool take_in(struct client *client)
{
    ssize_t size;

    make_room(client);
    do {
        size = recv(client->descriptor, client->input + client->input_end,
                    client->input_capacity - client->input_end, 0);
    } while (size < 0 && errno == EINTR);
    if (size <= 0)
        return false;
    client->input_end += (size_t)size;
    return true;
}

static void make_room(struct client *client)
{
    size_t size = client->input_end - client->input_begin;

    if (client->input_begin > 0 && size <= client->input_begin) {
        memcpy(client->input, client->input + client->input_begin, size);
        client->input_begin = 0;
        client->input_end = size;
    }
    if (client->input_capacity - client->input_end >= 4096)
        return;
    client->input_capacity = 2 * client->input_capacity + 65536;
    client->input = realloc(client->input, client->input_capacity);
    if (client->input == NULL)
        abort();
}

const char *client_read_line_within(struct client *client, unsigned limit_ms, bool *is_late)
{
    uint64_t begin_ms = clock_monotonic_ms();
    const char *line;
    short happened;

    *is_late = false;
    while ((line = take_line(client)) == NULL) {
        uint64_t passed_ms = clock_monotonic_ms() - begin_ms;

        if (passed_ms > limit_ms || !wait_for(client, POLLIN, limit_ms - (unsigned)passed_ms, &happened)) {
            *is_late = true;
            return NULL;
        }
        if (take_in(client))
            continue;
        if (client->input_end > client->input_begin)
            driver_fail(client->server, "the connection ended inside of the reply '%.*s'",
                        (int)(client->input_end - client->input_begin), client->input + client->input_begin);
        return NULL;
    }
    return line;
}

const char *client_read_line(struct client *client)
{
    bool is_late;
    const char *line = client_read_line_within(client, DRIVER_PATIENCE_MS, &is_late);

    if (is_late)
        driver_fail(client->server, "no reply came, nor the end");
    return line;
}

const char *client_say(struct client *client, const char *line)
{
    const char *reply;
    char *whole;

    if (asprintf(&whole, "%s\n", line) < 0)
        abort();
    client_send_text(client, whole);
    free(whole);
    reply = client_read_line(client);
    if (reply == NULL)
        driver_fail(client->server, "%s: the connection ended in place of a reply", line);
    return reply;
}

void client_expect(struct client *client, const char *line, const char *reply)
{
    const char *answer = line == NULL ? client_read_line(client) : client_say(client, line);
    const char *said = line == NULL ? "(nothing)" : line;

    if (answer == NULL || strcmp(answer, reply) != 0)
        driver_fail(client->server, "%s: answered %s in place of %s", said, answer == NULL ? "(the end)" : answer, reply);
}

void client_expect_error(struct client *client, const char *line, const char *code)
{
    const char *answer = line == NULL ? client_read_line(client) : client_say(client, line);
    const char *said = line == NULL ? "(nothing)" : line;
    char end[64];
    size_t size = (size_t)snprintf(end, sizeof end, "\"code\": \"%s\"}", code);

    if (answer == NULL || strstr(answer, "\"status\": \"Error\"") == NULL || strlen(answer) < size ||
        strcmp(answer + strlen(answer) - size, end) != 0)
        driver_fail(client->server, "%s: answered %s in place of %s", said, answer == NULL ? "(the end)" : answer, code);
}

void client_expect_end(struct client *client)
{
    const char *line = client_read_line(client);

    if (line != NULL)
        driver_fail(client->server, "'%s' came in place of the end", line);
}

/* The next whole line of what was received; NULL: there is none. */
static const char *take_line(struct client *client)
{
    size_t size = client->input_end - client->input_begin;
    char *line;
    char *end;

    if (size == 0)
        return NULL; /* perhaps there is no memory yet */
    line = client->input + client->input_begin;
    end = memchr(line, '\n', size);
    if (end == NULL)
        return NULL;
    *end = '\0';
    client->input_begin += (size_t)(end - line) + 1;
    return line;
}

/* STATS. */

uint64_t client_statistic(struct client *client, const char *path)
{
    cJSON *reply = cJSON_Parse(client_say(client, "STATS"));
    const cJSON *value = statistic(reply, path);
    uint64_t number;

    if (!cJSON_IsNumber(value))
        driver_fail(client->server, "STATS has no number called %s", path);
    number = (uint64_t)value->valuedouble;
    cJSON_Delete(reply);
    return number;
}

char *client_statistic_text(struct client *client, const char *path)
{
    cJSON *reply = cJSON_Parse(client_say(client, "STATS"));
    const cJSON *value = statistic(reply, path);
    char *text;

    if (!cJSON_IsString(value))
        driver_fail(client->server, "STATS has no text called %s", path);
    text = strdup(value->valuestring);
    cJSON_Delete(reply);
    return text;
}

pid_t client_worker(struct client *client)
{
    return (pid_t)client_statistic(client, "worker_pid");
}

static const cJSON *statistic(const cJSON *reply, const char *path)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(reply, "result");
    char name[64];

    while (value != NULL && *path != '\0') {
        size_t size = strcspn(path, ".");

        (void)snprintf(name, sizeof name, "%.*s", (int)size, path);
        value = cJSON_GetObjectItemCaseSensitive(value, name);
        path += size + (path[size] == '.');
    }
    return value;
}

/* Failing. */

void driver_look_again_later(uint64_t begin_ms, const char *condition, const char *file, int line)
{
    const struct timespec pause = {.tv_nsec = 5L * 1000 * 1000};

    if (clock_monotonic_ms() - begin_ms > DRIVER_PATIENCE_MS)
        driver_fail(NULL, "%s:%d: it did not come to '%s'", file, line, condition);
    (void)nanosleep(&pause, NULL);
}

_Noreturn void driver_fail(const struct server *server, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    if (server != NULL && server->log >= 0)
        (void)fprintf(stderr, "The server %s has said:\n%s\n", server->name, server_log(server));
    (void)fflush(stderr);
    abort();
}
