/* What the tests of survival share, besides the driver: killing a whole server,
 * programs that run to their end, segments as files. No Criterion here; what a
 * test takes for granted and does not get ends the process, as in the driver. */
#ifndef HAUSKV_TESTS_SURVIVAL_SUPPORT_H
#define HAUSKV_TESTS_SURVIVAL_SUPPORT_H

#include "live/live_support.h"
#include "segment/segment.h"
#include "support/server_driver.h"

/* Kills all processes of the server with SIGKILL, so that none does anything after another's death; the segment stays, and is
 * nobody's. Its log can be read until server_forget. */
void server_kill_all(struct server *server);

/* The first child with that name; 0: there is none now. */
pid_t server_child_named(const struct server *server, const char *name);

/* The housekeeper's pid; 0: there is none now. */
pid_t server_housekeeper(const struct server *server);

/* Whether it is a child of the server still: a number may be another process's by now. */
bool server_has_child(const struct server *server, pid_t process);

/* Whether that process is stopped, by SIGSTOP or a debugger. */
bool process_is_stopped(pid_t process);

/* How a run of the server's program that does not serve went. */
struct run {
    int exit_status; /* or PROCESS_SIGNAL */
    struct text output; /* ends with a null byte that is not counted */
    struct text errors; /* the same */
};

/* Runs build/hauskv-server with exactly these arguments, to its end. */
#define server_run(...) server_run_with((const char *const[]){__VA_ARGS__, NULL})
struct run server_run_with(const char *const *arguments);
void run_deinit(struct run *run);

/* All that was written to a file, as a string; closes it. */
struct text descriptor_read_all(int descriptor);

/* Starts it and does not wait; standard output and error are `errors` (-1: this process's own). For servers that the
 * driver cannot start. */
pid_t server_launch(int errors, const char *const *arguments);
/* The same, with a standard output of its own. */
pid_t server_launch_writing(int output, int errors, const char *const *arguments);

/* The bytes of a segment's file, mapped: what is written goes there. It may belong to a living server. */
struct segment_file {
    unsigned char *bytes;
    size_t size;
};

struct segment_file segment_file_map(const struct server *server);
void segment_file_unmap(struct segment_file *file);
struct segment_header *segment_file_header(const struct segment_file *file);

/* A number that is another when a byte is. */
uint64_t segment_file_sum(const struct server *server);

/* The first chunk of that kind, its number; it must exist. */
uint32_t segment_file_find_chunk(const struct segment_file *file, enum chunk_kind kind);
unsigned char *segment_file_chunk(const struct segment_file *file, uint32_t number);

/* A file of the test's own, with these contents; the name is written to path. */
void write_file(char *path, size_t path_size, struct bytes contents);

#endif
