/* The servers that are compared, as children of this program: a name of its own,
 * a port that is free, nothing on disk, gone with this program. */
#ifndef HAUSKV_TESTS_LOAD_SERVER_H
#define HAUSKV_TESTS_LOAD_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "load/endpoint.h"
#include "load/process_tree.h"
#include "load/protocol.h"

/* What the load will ask of it. */
struct server_needs {
    unsigned connections;
    size_t value_bytes;
    uint64_t memory_bytes; /* for data: --memory, maxmemory, -m; 0: Redis without a limit, the others 1 GiB */
    bool is_unix;          /* a Unix socket in place of a port */
};

struct load_server;

struct server_kind {
    const char *name;
    const char *program; /* NULL: a part of this one */
    const struct protocol *protocol;
    bool has_transactions;
    unsigned threads; /* memcached's -t */
    void (*add_arguments)(struct load_server *server);
};

#define LOAD_ARGUMENTS_MAX 48u
#define LOAD_NAME_BYTES 32u

struct load_server {
    const struct server_kind *kind;
    struct server_needs needs;
    struct endpoint endpoint;
    pid_t process; /* 0: it does not live */
    char name[LOAD_NAME_BYTES];
    unsigned argument_count;
    char *arguments[LOAD_ARGUMENTS_MAX]; /* owned; ends with NULL */
};

struct server_memory {
    struct tree_memory tree;
    uint64_t segment; /* bytes of hauskv's segment that have storage; it is reserved whole. 0: there is none */
};

/* hauskv, redis, memcached (1 thread), memcached-4, echo; NULL for any other name. */
const struct server_kind *server_kind_find(const char *name);
/* All of them, for --help; ends with NULL. */
const char *const *server_kind_names(void);
/* Whether its program is there. hauskv's is the one beside this program (build/hauskv-server), or $HAUSKV_SERVER. */
bool server_kind_is_there(const struct server_kind *kind);
/* The first line that its program says of its version; the caller frees it. */
char *server_kind_version(const struct server_kind *kind);

/* Returns when it takes connections. False: standard error was told why not, nothing is left of it. */
bool load_server_start(struct load_server *server, const struct server_kind *kind, const struct server_needs *needs);
/* SIGTERM, and waits for its end. */
void load_server_stop(struct load_server *server);

void load_server_memory(const struct load_server *server, struct server_memory *memory);

/* What is used altogether: its processes' own memory, and the segment or what they touched of shared memory. */
uint64_t server_memory_sum(const struct server_memory *memory);

#endif
