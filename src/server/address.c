/* Addresses and their texts. */
#include "server/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "platform/contract.h"

bool address_of_host(const char *host, uint16_t port, struct address *address)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, host, &address->socket.ipv4.sin_addr) == 1) {
        address->socket.ipv4.sin_family = AF_INET;
        address->size = sizeof address->socket.ipv4;
    } else if (inet_pton(AF_INET6, host, &address->socket.ipv6.sin6_addr) == 1) {
        address->socket.ipv6.sin6_family = AF_INET6;
        address->size = sizeof address->socket.ipv6;
    } else {
        return false;
    }
    address_set_port(address, port);
    return true;
}

void address_of_path(const char *path, struct address *address)
{
    REQUIRE(strlen(path) < sizeof address->socket.local.sun_path);
    memset(address, 0, sizeof *address);
    address->socket.local.sun_family = AF_UNIX;
    memcpy(address->socket.local.sun_path, path, strlen(path));
    address->size = sizeof address->socket.local;
}

int address_of_socket(int descriptor, struct address *address)
{
    memset(address, 0, sizeof *address);
    address->size = sizeof address->socket;
    return getsockname(descriptor, &address->socket.any, &address->size) == 0 ? 0 : errno;
}

uint16_t address_port(const struct address *address)
{
    if (address->socket.any.sa_family == AF_INET)
        return ntohs(address->socket.ipv4.sin_port);
    return address->socket.any.sa_family == AF_INET6 ? ntohs(address->socket.ipv6.sin6_port) : 0;
}

void address_set_port(struct address *address, uint16_t port)
{
    REQUIRE(address->socket.any.sa_family == AF_INET || address->socket.any.sa_family == AF_INET6);
    if (address->socket.any.sa_family == AF_INET)
        address->socket.ipv4.sin_port = htons(port);
    else
        address->socket.ipv6.sin6_port = htons(port);
}

void address_format(const struct address *address, char text[ADDRESS_TEXT_BYTES])
{
    char host[INET6_ADDRSTRLEN] = "";

    if (address->socket.any.sa_family == AF_INET) {
        (void)inet_ntop(AF_INET, &address->socket.ipv4.sin_addr, host, sizeof host);
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "%s:%u", host, address_port(address));
    } else if (address->socket.any.sa_family == AF_INET6) {
        (void)inet_ntop(AF_INET6, &address->socket.ipv6.sin6_addr, host, sizeof host);
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "[%s]:%u", host, address_port(address));
    } else {
        (void)snprintf(text, ADDRESS_TEXT_BYTES, "%s", address->socket.local.sun_path);
    }
}
