/* A segment's header and layout, as computed for a new one and as read from a file that may be anything; private to
 * this layer. */
#ifndef HAUSKV_SEGMENT_HEADER_H
#define HAUSKV_SEGMENT_HEADER_H

#include "segment/segment.h"

#define SEGMENT_MAGIC 0x31766b7375616825u /* "%hauskv1", little endian */

struct segment_layout {
    size_t root_offset;
    size_t owners_offset;
    size_t infos_offset;
    size_t chunks_offset;
    size_t bytes; /* the chunks included */
    uint32_t chunk_count;
};

struct segment_layout layout_of(uint32_t chunk_count, size_t root_bytes);

/* As many chunks as fit behind the header, the root and the arrays about them. False: too few. */
bool layout_compute(size_t bytes, size_t root_bytes, struct segment_layout *layout);

/* Two builds that lay out shared memory differently must not meet in one segment. */
uint64_t fingerprint_compute(uint64_t upper_layers);

/* What a file begins with, and how much there is. */
struct file_header {
    struct segment_header header; /* zero behind what there is */
    size_t read_bytes;
    uint64_t file_bytes;
};

/* False: the file cannot be read. */
bool file_header_read(int descriptor, struct file_header *found);

/* Whether the start that made it died before it was whole, so that nothing was ever stored: it is empty, it is zero as far as
 * it goes, or it has no magic yet and its clock says that nobody has committed. */
bool file_header_is_unfinished(const struct file_header *found);

/* Whether it is a copy into another size that did not come into its place. */
bool file_header_is_copy(const struct file_header *found);

/* Whether its server died while it loaded a file into it, before anybody was served from it. */
bool file_header_is_loading(const struct file_header *found);

/* STATUS_OK: a segment of this build that may be mapped. STATUS_DENIED and a sentence otherwise; see segment_attach. */
enum status file_header_check(const struct file_header *found, uint64_t fingerprint, char reason[SEGMENT_REASON_BYTES]);

/* Writes "what" and, if there is one, the error; returns status. */
enum status segment_refuse(char reason[SEGMENT_REASON_BYTES], enum status status, const char *what, int error);

#endif
