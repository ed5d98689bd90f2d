/* Where a server listens on this machine: a port of 127.0.0.1, or a Unix socket. */
#ifndef HAUSKV_TESTS_LOAD_ENDPOINT_H
#define HAUSKV_TESTS_LOAD_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#define ENDPOINT_PATH_BYTES 108u

struct endpoint {
    uint16_t port;                  /* 0: the Unix socket */
    char path[ENDPOINT_PATH_BYTES]; /* "": the port */
};

/* A port that nobody has at the moment; 0 if there is none. */
uint16_t endpoint_free_port(void);

/* A connected socket without delay, which does not wait; the caller closes it. -1: errno says why not. */
int endpoint_connect(const struct endpoint *endpoint);

/* Listens; waiting is for the caller. -1: errno says why not. */
int endpoint_listen(const struct endpoint *endpoint);

#endif
