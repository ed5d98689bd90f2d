/* Words to the operator, one line each, on standard error:
 *
 *     2026-01-31T12:00:00.250Z warning [4711] connection 17 from 127.0.0.1:51234: the message
 *
 * A diagnostic never blocks, whoever reads standard error and however slowly: a
 * line goes out whole, with one system call, or it is dropped and counted, and
 * the next line that does go out is preceded by one that tells how many were
 * lost. Only this process's own writes are made non-blocking, never the open
 * file, which it shares with its parent and perhaps a shell. How, per kind of
 * file, stands in diagnostic.c. Control characters appear as \xNN, so what a
 * client sent cannot forge a line or steer a terminal.
 *
 * Nothing here takes a lock or memory. errno is left as it was. SIGPIPE should
 * be ignored (signals_ignore_failed_writes): a reader that went away is then a
 * dropped line and not the end of the process. Never under a lock of the data. */
#ifndef HAUSKV_PLATFORM_DIAGNOSTIC_H
#define HAUSKV_PLATFORM_DIAGNOSTIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "platform/bytes.h"

/* A line with its line end; what is longer is cut and ends in "...". */
#define DIAGNOSTIC_LINE_BYTES_MAX 1024u
#define DIAGNOSTIC_PEER_BYTES_MAX 63u

enum diagnostic_level {
    DIAGNOSTIC_DEBUG,
    DIAGNOSTIC_INFO,
    DIAGNOSTIC_WARNING,
    DIAGNOSTIC_ERROR,
    DIAGNOSTIC_LEVEL_COUNT
};

/* Lines below lowest are not written by this process and those that it forks
 * from now on. The level at start is DIAGNOSTIC_INFO. */
void diagnostic_set_level(enum diagnostic_level lowest);

/* Finds the level called "debug", "info", "warning" or "error". False, and
 * *level untouched, for any other name. */
bool diagnostic_level_from_name(const char *name, enum diagnostic_level *level);

/* From now on this process's lines name the connection it serves. peer is
 * copied, and cut after DIAGNOSTIC_PEER_BYTES_MAX bytes; it may be empty. */
void diagnostic_set_connection(uint64_t number, struct bytes peer);

/* The process serves no connection (any more). */
void diagnostic_clear_connection(void);

/* Writes a line; format as in printf(3). Any process, not in signal handlers. */
void diagnostic_write(enum diagnostic_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define diagnostic_debug(...) diagnostic_write(DIAGNOSTIC_DEBUG, __VA_ARGS__)
#define diagnostic_info(...) diagnostic_write(DIAGNOSTIC_INFO, __VA_ARGS__)
#define diagnostic_warning(...) diagnostic_write(DIAGNOSTIC_WARNING, __VA_ARGS__)
#define diagnostic_error(...) diagnostic_write(DIAGNOSTIC_ERROR, __VA_ARGS__)

/* The same for signal handlers and broken contracts: the message is the pieces
 * one after the other. Async-signal-safe. */
void diagnostic_write_pieces(enum diagnostic_level level, const struct bytes *pieces, size_t piece_count);

/* How many lines this process dropped and has not told of yet. */
unsigned diagnostic_dropped_count(void);

#endif
