/* The loader: a child that puts the pairs of --load into the store before
 * anybody is served, so that the master stays small, hears its signals and,
 * whatever the file, lives. It ends when the master tells it to, or dies. */
#ifndef HAUSKV_SERVER_LOADER_H
#define HAUSKV_SERVER_LOADER_H

#include "server/inheritance.h"

struct loader {
    pid_t pid; /* 0: none, or it has ended */
};

enum loader_end {
    LOADER_NOT_MINE,
    LOADER_DONE,
    LOADER_FAILED, /* standard error was told what became of what it had loaded */
    LOADER_DIED    /* by a signal; the same */
};

/* Forks it; false: standard error was told why there is none. The master. */
bool loader_begin(struct loader *loader, const struct inheritance *inheritance);

/* A child was reaped, with that status of waitpid(2). */
enum loader_end loader_reaped(struct loader *loader, const struct inheritance *inheritance, pid_t pid, int status);

#endif
