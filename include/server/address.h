/* Where sockets are bound: an IPv4 or IPv6 address with a port, or a path. The
 * text of one is what a client would type: 127.0.0.1:9888, [::1]:9888, /run/x. */
#ifndef HAUSKV_SERVER_ADDRESS_H
#define HAUSKV_SERVER_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define ADDRESS_TEXT_BYTES 128u

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_un local;
    } socket;
    socklen_t size;
};

/* Of a host as inet_ntop(3) writes it. False: it is none. */
bool address_of_host(const char *host, uint16_t port, struct address *address);

/* Of a path, shorter than sun_path is long. */
void address_of_path(const char *path, struct address *address);

/* The address that a socket has; 0 or the number of the error. */
int address_of_socket(int descriptor, struct address *address);

/* 0 for a path. */
uint16_t address_port(const struct address *address);
/* Not for a path. */
void address_set_port(struct address *address, uint16_t port);

void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES]);

#endif
