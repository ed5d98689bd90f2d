#include "header.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "platform/file.h"
#include "segment/process_table.h"

#define CHUNK_COUNT_MIN 4u

enum status segment_refuse(char reason[SEGMENT_REASON_BYTES], enum status status, const char *what, int error)
{
    if (error != 0)
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s: %s", what, strerror(error));
    else
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s", what);
    return status;
}

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

struct segment_layout layout_of(uint32_t chunk_count, size_t root_bytes)
{
    struct segment_layout layout = {.chunk_count = chunk_count};
    size_t infos_bytes = ((size_t)chunk_count + 1) * sizeof(struct chunk_info);

    layout.root_offset = round_up(sizeof(struct segment_header), 64);
    layout.owners_offset = layout.root_offset + round_up(root_bytes, 64);
    layout.infos_offset = layout.owners_offset + round_up(((size_t)chunk_count + 1) * sizeof(uint32_t), 64);
    layout.chunks_offset = round_up(layout.infos_offset + infos_bytes, CHUNK_BYTES);
    layout.bytes = layout.chunks_offset + (size_t)chunk_count * CHUNK_BYTES;
    return layout;
}

bool layout_compute(size_t bytes, size_t root_bytes, struct segment_layout *layout)
{
    uint32_t chunk_count = (uint32_t)(bytes / CHUNK_BYTES);

    if (bytes > SEGMENT_BYTES_MAX || root_bytes > bytes)
        return false;
    while (chunk_count >= CHUNK_COUNT_MIN && layout_of(chunk_count, root_bytes).bytes > bytes) {
        size_t excess = layout_of(chunk_count, root_bytes).bytes - bytes;
        uint32_t chunks_over = (uint32_t)(excess / (CHUNK_BYTES + sizeof(uint32_t) + sizeof(struct chunk_info)));

        chunk_count -= chunks_over > 0 ? chunks_over : 1;
    }
    *layout = layout_of(chunk_count, root_bytes);
    return chunk_count >= CHUNK_COUNT_MIN;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

uint64_t fingerprint_compute(uint64_t upper_layers)
{
    const uint64_t parts[] = {
        upper_layers,
        CHUNK_BYTES,
        sizeof(struct segment_header),
        sizeof(struct chunk_info),
        sizeof(struct process_slot),
        sizeof(struct key_lock),
        sizeof(struct robust_mutex),
        _Alignof(struct robust_mutex),
        offsetof(struct process_slot, commit),
        REFERENCE_UNIT_BYTES,
    };
    uint64_t hash = SEGMENT_FORMAT_VERSION;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        hash = mix(hash, parts[i]);
    return hash;
}

bool file_header_read(int descriptor, struct file_header *found)
{
    memset(found, 0, sizeof(*found));
    return file_size(descriptor, &found->file_bytes) == 0 && lseek(descriptor, 0, SEEK_SET) == 0 &&
           file_read(descriptor, &found->header, sizeof(found->header), &found->read_bytes) == 0;
}

static bool is_zero(const struct file_header *found)
{
    const unsigned char *bytes = (const unsigned char *)&found->header;

    for (size_t i = 0; i < found->read_bytes; i++)
        if (bytes[i] != 0)
            return false;
    return true;
}

bool file_header_is_unfinished(const struct file_header *found)
{
    const struct segment_header *header = &found->header;

    return is_zero(found) ||
           (found->read_bytes == sizeof(*header) && header->magic == 0 && atomic_load(&header->clock) <= 1);
}

bool file_header_is_copy(const struct file_header *found)
{
    return found->header.magic == SEGMENT_MAGIC && atomic_load(&found->header.is_clean) == SEGMENT_IS_COPY;
}

bool file_header_is_loading(const struct file_header *found)
{
    return found->header.magic == SEGMENT_MAGIC && found->header.format_version == SEGMENT_FORMAT_VERSION &&
           atomic_load(&found->header.is_clean) == SEGMENT_IS_LOADING;
}

/* A segment, but of a build that lays memory out differently: both are named, for people look for the right program. */
static enum status refuse_layout(const struct segment_header *header, uint64_t fingerprint,
                                 char reason[SEGMENT_REASON_BYTES])
{
    bool is_other_format = header->format_version != SEGMENT_FORMAT_VERSION;

    (void)snprintf(reason, SEGMENT_REASON_BYTES,
                   "the segment has another %s: it is of format %u (layout %016" PRIx64 "), this program has format %u (layout "
                   "%016" PRIx64 "). It is kept. %s; --fresh discards it",
                   is_other_format ? "format version" : "layout", header->format_version, header->fingerprint,
                   SEGMENT_FORMAT_VERSION, fingerprint,
                   is_other_format ? "The build that made it can serve it, or save it with --inspect NAME --dump"
                                   : "--inspect NAME --dump saves its pairs, and the build that made it can serve it");
    return STATUS_DENIED;
}

enum status file_header_check(const struct file_header *found, uint64_t fingerprint, char reason[SEGMENT_REASON_BYTES])
{
    const char damaged[] = "the segment's header is damaged; it is kept (--fresh discards it)";
    const struct segment_header *header = &found->header;
    struct segment_layout layout;

    if (found->read_bytes < sizeof(*header) && file_header_is_unfinished(found))
        return segment_refuse(reason, STATUS_DENIED,
                              "the file is too short for a segment: its start died before it was made (the next start makes "
                              "it anew)", 0);
    if (found->read_bytes < sizeof(*header))
        return segment_refuse(reason, STATUS_DENIED,
                              "the file is too short for a segment, but not empty; it is kept (--fresh discards it)", 0);
    if (header->magic != SEGMENT_MAGIC)
        return segment_refuse(reason, STATUS_DENIED,
                              "the file is no segment (wrong magic); it is kept (--fresh discards it)", 0);
    if (header->format_version != SEGMENT_FORMAT_VERSION || header->fingerprint != fingerprint_compute(fingerprint))
        return refuse_layout(header, fingerprint_compute(fingerprint), reason);
    if (header->root_bytes > SEGMENT_BYTES_MAX || header->chunk_count > SEGMENT_BYTES_MAX / CHUNK_BYTES)
        return segment_refuse(reason, STATUS_DENIED, damaged, 0);
    layout = layout_of(header->chunk_count, header->root_bytes);
    if (header->bytes != layout.bytes || header->bytes > found->file_bytes || header->root_offset != layout.root_offset ||
        header->owners_offset != layout.owners_offset || header->infos_offset != layout.infos_offset ||
        header->chunks_offset != layout.chunks_offset || header->chunk_count < CHUNK_COUNT_MIN)
        return segment_refuse(reason, STATUS_DENIED, damaged, 0);
    return STATUS_OK;
}
