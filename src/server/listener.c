/* Opening the listening sockets.
 *
 * Port 0: the system picks a port for the first address, and the others ask for
 * the same. Where one of them cannot have it, all begin again with another pick;
 * after PORT_ATTEMPTS_MAX of them each address gets a port of its own.
 *
 * What every connection needs (no delay, keepalive, urgent bytes in their place) is
 * set on the listening socket: Linux hands it down to the accepted ones, which saves
 * each of them six system calls. */
#include "server/listener.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "platform/file.h"
#include "server/socket_owner.h"

#define BACKLOG 4096 /* the system's own limit, net.core.somaxconn, may be lower */
#define PORT_ATTEMPTS_MAX 64u

/* A peer that vanished is found within two minutes: it answers nothing for 60 s, and then none of four questions. */
#define KEEPALIVE_IDLE_S 60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT 4

#define SOCKET_FILE_MODE 0600

/* How often it is looked whether a process that ends has ended. */
#define WAY_POLL_NS (20L * 1000 * 1000)

static bool open_port(struct listeners *listeners, const struct server_config *config, uint16_t port);
static bool open_free_port(struct listeners *listeners, const struct server_config *config);
static int open_hosts(struct listeners *listeners, const struct server_config *config, uint16_t port, bool is_shared,
                      struct address *failed);
static int open_tcp(const struct address *address, struct listener *listener);
static int open_local(const struct address *address, struct listener *listener);
static bool make_way(const struct address *address, unsigned wait_ms);
static void refuse_address(const struct address *address, int error);
static void close_from(struct listeners *listeners, unsigned first);

bool listeners_open(struct listeners *listeners, const struct server_config *config)
{
    listeners->count = 0;
    for (unsigned i = 0; i < config->ports.count; i++) {
        uint16_t port = config->ports.number[i];

        if (!(port == 0 ? open_free_port(listeners, config) : open_port(listeners, config, port)))
            goto close_all;
    }
    for (unsigned i = 0; i < config->socket_paths.count; i++) {
        struct address address;

        address_of_path(config->socket_paths.text[i], &address);
        if (!listener_open_path(&listeners->list[listeners->count], &address, 0))
            goto close_all;
        listeners->count++;
    }
    if (listeners->count > 0)
        return true;
    diagnostic_error("There is no address to listen on");

close_all:
    listeners_shut(listeners);
    listeners_close(listeners);
    return false;
}

static bool is_missing(int error)
{
    return error == EADDRNOTAVAIL || error == EAFNOSUPPORT;
}

static bool open_port(struct listeners *listeners, const struct server_config *config, uint16_t port)
{
    struct address failed;
    int error = open_hosts(listeners, config, port, true, &failed);

    if (error != 0)
        refuse_address(&failed, error);
    return error == 0;
}

static bool open_free_port(struct listeners *listeners, const struct server_config *config)
{
    unsigned first = listeners->count;
    struct address failed;
    int error = EADDRINUSE;

    for (unsigned attempt = 0; error == EADDRINUSE && attempt < PORT_ATTEMPTS_MAX; attempt++) {
        close_from(listeners, first);
        error = open_hosts(listeners, config, 0, true, &failed);
    }
    if (error == EADDRINUSE) {
        close_from(listeners, first);
        error = open_hosts(listeners, config, 0, false, &failed);
    }
    if (error != 0)
        refuse_address(&failed, error);
    return error == 0;
}

/* Every address at one port. Port 0: one that is free; is_shared: the same for all. Returns 0 or the number of the
 * error, with the address that failed; others may be open. */
static int open_hosts(struct listeners *listeners, const struct server_config *config, uint16_t port, bool is_shared,
                      struct address *failed)
{
    for (unsigned i = 0; i < config->addresses.count; i++) {
        struct listener *listener = &listeners->list[listeners->count];
        bool is_host = address_of_host(config->addresses.text[i], port, failed);
        int error;

        REQUIRE(is_host);
        error = open_tcp(failed, listener);
        if (is_missing(error) && config_is_default(config, CONFIG_BIND) && failed->socket.any.sa_family == AF_INET6) {
            diagnostic_warning("%s: this machine has no such address, going on without", config->addresses.text[i]);
            continue;
        }
        if (error != 0)
            return error;
        listeners->count++;
        if (is_shared)
            port = address_port(&listener->address);
    }
    return 0;
}

static bool set_option(int descriptor, int level, int option, int value)
{
    return setsockopt(descriptor, level, option, &value, sizeof value) == 0;
}

static bool set_tcp_options(int descriptor, int family)
{
    return set_option(descriptor, SOL_SOCKET, SO_REUSEADDR, 1) &&
           (family != AF_INET6 || set_option(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, 1)) &&
           set_option(descriptor, IPPROTO_TCP, TCP_NODELAY, 1) &&
           set_option(descriptor, SOL_SOCKET, SO_KEEPALIVE, 1) &&
           set_option(descriptor, SOL_SOCKET, SO_OOBINLINE, 1) && /* telnet's urgent bytes are parts of its commands */
           set_option(descriptor, IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S) &&
           set_option(descriptor, IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) &&
           set_option(descriptor, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT);
}

/* Returns 0 or the number of the error; then nothing is open. */
static int open_tcp(const struct address *address, struct listener *listener)
{
    int family = address->socket.any.sa_family;
    int error;

    memset(listener, 0, sizeof *listener);
    listener->descriptor = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->descriptor < 0)
        return errno;
    if (!set_tcp_options(listener->descriptor, family) ||
        bind(listener->descriptor, &address->socket.any, address->size) != 0 ||
        listen(listener->descriptor, BACKLOG) != 0)
        error = errno;
    else
        error = address_of_socket(listener->descriptor, &listener->address);
    if (error != 0)
        (void)file_close(&listener->descriptor);
    return error;
}

bool listener_open_path(struct listener *listener, const struct address *address, unsigned wait_ms)
{
    int error;

    if (!make_way(address, wait_ms))
        return false;
    error = open_local(address, listener);
    if (error != 0)
        refuse_address(address, error);
    return error == 0;
}

/* Nobody can connect before listen(2), so nobody meets another mode. */
static int open_local(const struct address *address, struct listener *listener)
{
    const char *path = address->socket.local.sun_path;
    struct stat status;
    int error;

    memset(listener, 0, sizeof *listener);
    listener->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener->descriptor < 0)
        return errno;
    if (bind(listener->descriptor, &address->socket.any, address->size) != 0) {
        error = errno;
        goto close_socket;
    }
    if (chmod(path, SOCKET_FILE_MODE) != 0 || stat(path, &status) != 0 || listen(listener->descriptor, BACKLOG) != 0) {
        error = errno;
        goto remove_file;
    }
    listener->address = *address;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    return 0;

remove_file:
    (void)unlink(path);
close_socket:
    (void)file_close(&listener->descriptor);
    return error;
}

/* Who listens behind a socket file, in the system's own words. */
static pid_t listening_process(int descriptor)
{
    struct ucred credentials = {.pid = 0};
    socklen_t size = sizeof credentials;

    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return 0;
    return credentials.pid;
}

/* Whether nobody listens any more; if somebody does, owner says who. */
static bool is_left_behind(const struct address *address, char owner[SOCKET_OWNER_BYTES])
{
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    bool has_died = descriptor >= 0 && connect(descriptor, &address->socket.any, address->size) != 0 &&
                    errno == ECONNREFUSED;

    socket_owner_describe_process(descriptor < 0 ? 0 : listening_process(descriptor), owner);
    (void)file_close(&descriptor);
    return has_died;
}

/* A socket file on which nobody listens any more is removed. False: something else is there, standard error was told. */
static bool make_way(const struct address *address, unsigned wait_ms)
{
    const struct timespec pause = {.tv_nsec = WAY_POLL_NS};
    const char *path = address->socket.local.sun_path;
    uint64_t begun_ms = clock_monotonic_ms();
    struct stat status;
    char owner[SOCKET_OWNER_BYTES];
    bool has_died;

    if (lstat(path, &status) != 0)
        return true; /* bind(2) tells what is wrong, if anything is */
    if (!S_ISSOCK(status.st_mode)) {
        diagnostic_error("Cannot listen on %s: the file exists and is no socket", path);
        return false;
    }
    while (!(has_died = is_left_behind(address, owner)) && clock_monotonic_ms() - begun_ms < wait_ms)
        (void)nanosleep(&pause, NULL);
    if (!has_died)
        diagnostic_error("Cannot listen on %s: %s does", path, owner);
    else if (unlink(path) == 0)
        diagnostic_info("Replacing %s, which a dead server left behind", path);
    return has_died;
}

static void refuse_address(const struct address *address, int error)
{
    char text[ADDRESS_TEXT_BYTES];
    char owner[SOCKET_OWNER_BYTES];

    address_format(address, text);
    if (error == EADDRINUSE && address_port(address) != 0) {
        socket_owner_describe(address, owner);
        diagnostic_error("Cannot listen on %s: %s has the port", text, owner);
    } else {
        diagnostic_error("Cannot listen on %s: %s", text, strerror(error));
    }
}

void listeners_shut(const struct listeners *listeners)
{
    for (unsigned i = 0; i < listeners->count; i++)
        listener_shut(&listeners->list[i]);
}

void listener_shut(const struct listener *listener)
{
    const char *path = listener->address.socket.local.sun_path;
    struct stat status;

    (void)shutdown(listener->descriptor, SHUT_RDWR);
    if (listener->address.socket.any.sa_family == AF_UNIX && lstat(path, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode)
        (void)unlink(path);
}

void listeners_close(struct listeners *listeners)
{
    close_from(listeners, 0);
}

static void close_from(struct listeners *listeners, unsigned first)
{
    while (listeners->count > first) {
        listeners->count--;
        (void)file_close(&listeners->list[listeners->count].descriptor);
    }
}
