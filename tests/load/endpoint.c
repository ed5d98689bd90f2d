#include "load/endpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_un local;
    } socket;
    socklen_t size;
};

static struct address address_of(const struct endpoint *endpoint)
{
    struct address address;

    memset(&address, 0, sizeof address);
    if (endpoint->path[0] != '\0') {
        address.socket.local.sun_family = AF_UNIX;
        memcpy(address.socket.local.sun_path, endpoint->path, ENDPOINT_PATH_BYTES);
        address.size = sizeof address.socket.local;
    } else {
        address.socket.ipv4.sin_family = AF_INET;
        address.socket.ipv4.sin_port = htons(endpoint->port);
        address.socket.ipv4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.size = sizeof address.socket.ipv4;
    }
    return address;
}

static int socket_for(const struct address *address, int flags)
{
    const int on = 1;
    int descriptor = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

    if (descriptor >= 0 && address->socket.any.sa_family == AF_INET) {
        (void)setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        (void)setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    }
    return descriptor;
}

static int give_up(int descriptor)
{
    int error = errno;

    (void)close(descriptor);
    errno = error;
    return -1;
}

uint16_t endpoint_free_port(void)
{
    const struct endpoint any = {.port = 0};
    struct address address = address_of(&any);
    int descriptor = socket_for(&address, 0);
    uint16_t port = 0;

    if (descriptor < 0)
        return 0;
    if (bind(descriptor, &address.socket.any, address.size) == 0 &&
        getsockname(descriptor, &address.socket.any, &address.size) == 0)
        port = ntohs(address.socket.ipv4.sin_port);
    (void)close(descriptor);
    return port;
}

int endpoint_connect(const struct endpoint *endpoint)
{
    const struct address address = address_of(endpoint);
    int descriptor = socket_for(&address, 0);

    if (descriptor < 0)
        return -1;
    if (connect(descriptor, &address.socket.any, address.size) != 0 || fcntl(descriptor, F_SETFL, O_NONBLOCK) != 0)
        return give_up(descriptor);
    return descriptor;
}

int endpoint_listen(const struct endpoint *endpoint)
{
    const struct address address = address_of(endpoint);
    int descriptor = socket_for(&address, SOCK_NONBLOCK);

    if (descriptor < 0)
        return -1;
    if (bind(descriptor, &address.socket.any, address.size) != 0 || listen(descriptor, BACKLOG) != 0)
        return give_up(descriptor);
    return descriptor;
}
