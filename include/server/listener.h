/* The listening sockets: opened by the master before anything else, so that a
 * start that must fail does so before any data is touched; inherited by the
 * workers, who accept. None of them waits. */
#ifndef HAUSKV_SERVER_LISTENER_H
#define HAUSKV_SERVER_LISTENER_H

#include <stdbool.h>
#include <sys/stat.h>

#include "server/address.h"
#include "server/config.h"

#define LISTENERS_MAX (CONFIG_LIST_MAX * CONFIG_LIST_MAX + CONFIG_LIST_MAX)

struct listener {
    int descriptor;
    struct address address; /* as bound: the port is never 0 */
    dev_t device;           /* of a path's file, to tell whether it is still ours */
    ino_t inode;
};

/* The control socket (control.h), which is none of those above. */
struct control_listener {
    struct listener listener; /* its descriptor is -1 while it is not open */
    int directory;            /* a path that is too long for a socket's address begins here; -1: it is not */
};

struct listeners {
    unsigned count;
    struct listener list[LISTENERS_MAX];
};

/* Listens on every address at every port, and on every path. Port 0 is a free
 * one, the same for all addresses where there is such a one. Where ::1 was not
 * asked for and is missing, a warning is all. The socket file of a dead server
 * is replaced. False: standard error was told why (and who has the port or
 * path), and nothing is open. The master. */
bool listeners_open(struct listeners *listeners, const struct server_config *config);

/* Listens on one path, of which only this user can open the socket. The file of a dead server is replaced; a process that
 * is just ending gets wait_ms to do so. False: as above. The master. */
bool listener_open_path(struct listener *listener, const struct address *address, unsigned wait_ms);

/* As listeners_shut, for one of them. */
void listener_shut(const struct listener *listener);

/* Nobody can connect any more, whoever still has the sockets open, and those who
 * wait to be accepted are refused; the paths are gone. The master. */
void listeners_shut(const struct listeners *listeners);

/* Closes this process's descriptors. Any process. */
void listeners_close(struct listeners *listeners);

#endif
