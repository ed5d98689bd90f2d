/* Who owns a segment's file: recipe W1 to W4 of src/transaction/README.md; private to this layer.
 *
 * The record lock says that a master lives. No child inherits it, so it goes with the master, at once. But it also goes when
 * the master closes any descriptor of that file: a master opens the file once, here, and nobody else in its process does.
 * The flock says that somebody is inside: children inherit it, and have it still when the master is dead. */
#ifndef HAUSKV_SEGMENT_OWNERSHIP_H
#define HAUSKV_SEGMENT_OWNERSHIP_H

#include "names.h"

/* The file of a segment that exists, owned, or -1: there is none. */
struct owned_files {
    int named; /* behind hauskv-NAME, or behind the second name where there is no hauskv-NAME */
    int kept;  /* behind the second name where that leads to another file; -1 else */
    bool is_found_by_keep;
};

/* Only a regular file of this user's that nobody else can open may be trusted. */
enum status ownership_check(int descriptor, const char *path, char reason[SEGMENT_REASON_BYTES]);

/* Whether a master lives that has the file, of any build. The orphans of a dead one get a moment; those that are still inside
 * then were stopped, and change nothing while they are. For a process that owns no segment: it gets the flock for an instant. */
bool ownership_has_master(int descriptor);

/* Makes the new and empty file the caller's, before it has a name: both locks. */
enum status ownership_begin(int descriptor, char reason[SEGMENT_REASON_BYTES]);

/* Owns all files of the names, or none: STATUS_DENIED if another master has one, or an older build's, or if somebody stays
 * inside whom it cannot end. Orphans of a dead master get a moment and are then ended. Nothing is removed. */
enum status ownership_take(const struct segment_names *names, struct owned_files *files,
                           char reason[SEGMENT_REASON_BYTES]);

/* Gives up what was owned and is not needed. */
void ownership_drop(struct owned_files *files);

/* The same, and then, for a take-over: a file that was never finished, or never wholly loaded, goes, and both names lead to the
 * segment's file. STATUS_NOT_FOUND: there is none, or no more. */
enum status ownership_take_over(const struct segment_names *names, int *descriptor, char reason[SEGMENT_REASON_BYTES]);

#endif
