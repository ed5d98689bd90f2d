/* The names of a segment's file, and where they lead; private to this layer.
 *
 *     hauskv-NAME          for people, and for the next start
 *     .hauskv-NAME.keep    the second link, while a server lives: a start that finds no hauskv-NAME looks here
 *     hauskv-NAME~new      for the moment in which a name is given to another file; no server's own, as --name takes no tilde
 *
 * Only a master that has the record lock of the file behind a name gives that name away. */
#ifndef HAUSKV_SEGMENT_NAMES_H
#define HAUSKV_SEGMENT_NAMES_H

#include "segment/segment.h"

enum name_target { NAME_IS_FREE, NAME_IS_OURS, NAME_IS_ANOTHERS };

/* STATUS_TOO_LARGE and a sentence: too long, or no file name. */
enum status names_make(struct segment_names *names, const struct segment_options *options,
                       char reason[SEGMENT_REASON_BYTES]);

/* The directory keeps data in memory, or the options insist on it. STATUS_DENIED; STATUS_INTERNAL: there is none. */
enum status names_check_directory(const struct segment_names *names, const struct segment_options *options,
                                  char reason[SEGMENT_REASON_BYTES]);

/* Opens what hauskv-NAME leads to, or the second name where there is no hauskv-NAME. 0 or the number of the error. */
int names_open(const struct segment_names *names, enum file_access access, int *descriptor);

/* Whether a path leads to the open file. What cannot be looked at is another's. */
enum name_target name_target_of(const char *path, int descriptor);

/* Removes the name if it leads to the open file. 0 or the number of the error; 0 too where it leads elsewhere. */
int name_remove(const char *path, int descriptor);

/* Makes a name of the segment lead to the open file, whatever it led to before, in one step. 0 or the number of the error. */
int name_replace(const struct segment_names *names, const char *path, int descriptor);

#endif
