/* The segment's birth, its mapping, and the chunks' owners. */
#include "segment/segment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "header.h"
#include "huge_pages.h"
#include "ownership.h"
#include "platform/file.h"
#include "segment/allocator.h"
#include "segment/process_table.h"

/* A commit word is a time and a bit. No clock comes there by counting commits. */
#define CLOCK_MAX (UINT64_MAX >> 2)

_Static_assert(sizeof(((struct segment *)NULL)->huge_pages) == HUGE_PAGES_TEXT_BYTES, "what was had fits");

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static void header_init(struct segment *segment, const struct segment_layout *layout, size_t root_bytes,
                        uint64_t fingerprint)
{
    struct segment_header *header = segment->header;

    header->fingerprint = fingerprint_compute(fingerprint);
    header->bytes = segment->bytes;
    header->root_offset = layout->root_offset;
    header->root_bytes = root_bytes;
    header->owners_offset = layout->owners_offset;
    header->infos_offset = layout->infos_offset;
    header->chunks_offset = layout->chunks_offset;
    header->format_version = SEGMENT_FORMAT_VERSION;
    header->chunk_count = layout->chunk_count;
    header->master_pid = (uint32_t)getpid();
    siphash_key_random(header->hash_key);
    robust_mutex_init(&header->slots_mutex);
    robust_mutex_init(&header->key_lock_mutex);
    atomic_store(&header->chunks_free_at_most, layout->chunk_count);
    atomic_store(&header->chunks_free_lowest, layout->chunk_count);
    atomic_store(&header->clock, 1);
    atomic_store(&header->horizon, 0);
    atomic_store(&header->horizon_due, 1);
    /* No magic: see segment_publish. */
}

static void handle_init(struct segment *segment, const struct segment_layout *layout)
{
    segment->header = (struct segment_header *)(void *)segment->base;
    segment->root = segment->base + layout->root_offset;
    segment->owners = (_Atomic uint32_t *)(void *)(segment->base + layout->owners_offset);
    segment->infos = (struct chunk_info *)(void *)(segment->base + layout->infos_offset);
    segment->chunks_offset = layout->chunks_offset;
    segment->chunk_count = layout->chunk_count;
    segment->claim_hint = 1;
    size_classes_init(&segment->classes);
}

/* --- birth --- */

/* What an earlier server left under the names, if that is wanted and nobody uses it. */
static enum status discard_existing(const struct segment_names *names, bool is_fresh, char reason[SEGMENT_REASON_BYTES])
{
    struct owned_files files;
    enum status status = ownership_take(names, &files, reason);
    int error = 0;

    if (status != STATUS_OK)
        return status == STATUS_NOT_FOUND ? STATUS_OK : status;
    if (!is_fresh)
        status = segment_refuse(reason, STATUS_DENIED, "the segment of an earlier server exists; --fresh discards it", 0);
    else
        error = name_remove(names->path, files.named);
    if (is_fresh && error == 0)
        error = name_remove(names->keep, files.kept >= 0 ? files.kept : files.named);
    if (error != 0)
        status = segment_refuse(reason, STATUS_INTERNAL, "cannot remove the old segment", error);
    if (status == STATUS_OK)
        (void)unlink(names->passing);
    ownership_drop(&files);
    return status;
}

/* Of several starts that find no segment, one gets the second name. What is behind it has no magic yet: where its maker
 * dies, the next one knows that it was never finished. */
static enum status names_claim(const struct segment *segment, char reason[SEGMENT_REASON_BYTES])
{
    int error = file_link(segment->descriptor, segment->names.keep);

    if (error == 0 && name_target_of(segment->names.path, segment->descriptor) != NAME_IS_FREE) {
        (void)name_remove(segment->names.keep, segment->descriptor);
        error = EEXIST;
    }
    if (error == EEXIST)
        return segment_refuse(reason, STATUS_DENIED, "another server is just taking the name", 0);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot name the new segment", error);
}

static enum status file_fill(struct segment *segment, char reason[SEGMENT_REASON_BYTES])
{
    int error;

    segment->mapped_bytes = round_up(segment->bytes, huge_pages_file_page_bytes(segment->descriptor));
    huge_pages_fill(segment->descriptor, segment->mapped_bytes);
    error = file_reserve(segment->descriptor, segment->mapped_bytes);
    if (error == ENOSPC || error == ENOMEM || error == EFBIG)
        return segment_refuse(reason, STATUS_OUT_OF_MEMORY, "the system has not so much shared memory", error);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot reserve the segment", error);
}

/* The file, locked and of its full size. It has the second name only, or none where it is to replace another. */
static enum status file_make(struct segment *segment, const struct segment_options *options,
                             char reason[SEGMENT_REASON_BYTES])
{
    enum status status = names_make(&segment->names, options, reason);
    int error;

    if (status == STATUS_OK)
        status = names_check_directory(&segment->names, options, reason);
    if (status == STATUS_OK && !options->is_replacement)
        status = discard_existing(&segment->names, options->is_fresh, reason);
    if (status != STATUS_OK)
        return status;
    error = file_create_nameless(segment->names.directory, 0600, &segment->descriptor);
    if (error != 0)
        return segment_refuse(reason, STATUS_INTERNAL, "cannot create the segment", error);
    status = ownership_begin(segment->descriptor, reason);
    if (status == STATUS_OK && !options->is_replacement)
        status = names_claim(segment, reason);
    if (status == STATUS_OK)
        status = file_fill(segment, reason);
    if (status != STATUS_OK) {
        segment_unlink(segment);
        (void)file_close(&segment->descriptor);
    }
    return status;
}

enum status segment_publish(struct segment *segment, char reason[SEGMENT_REASON_BYTES])
{
    int error;

    segment->header->magic = SEGMENT_MAGIC;
    if (segment->descriptor < 0)
        return STATUS_OK;
    error = file_link(segment->descriptor, segment->names.path);
    if (error == EEXIST)
        return segment_refuse(reason, STATUS_DENIED, "something has just taken the segment's name", 0);
    return error == 0 ? STATUS_OK : segment_refuse(reason, STATUS_INTERNAL, "cannot name the new segment", error);
}

enum status segment_replace(struct segment *segment, const struct segment *old, char reason[SEGMENT_REASON_BYTES])
{
    int error;

    atomic_store(&segment->header->is_clean, SEGMENT_IS_COPY);
    segment->header->magic = SEGMENT_MAGIC;
    /* The second name first, and by replacing: so one of the two leads to one of the two files at every moment. */
    error = name_replace(&segment->names, segment->names.keep, segment->descriptor);
    if (error == 0)
        error = name_replace(&segment->names, segment->names.path, segment->descriptor);
    if (error == 0) {
        atomic_store(&segment->header->is_clean, 0);
        return STATUS_OK;
    }
    if (name_target_of(segment->names.keep, segment->descriptor) == NAME_IS_OURS)
        (void)name_replace(&segment->names, segment->names.keep, old->descriptor);
    return segment_refuse(reason, STATUS_INTERNAL, "cannot give the new segment the old one's name", error);
}

static enum status map(struct segment *segment, int sharing, char reason[SEGMENT_REASON_BYTES])
{
    void *base = huge_pages_map(segment->descriptor, segment->mapped_bytes, sharing);
    void *scratch;

    if (base == MAP_FAILED)
        return segment_refuse(reason, STATUS_OUT_OF_MEMORY, "cannot map the segment", errno);
    /* One byte per unit, touched by a rebuild only, which must not need to ask for memory. */
    scratch = mmap(NULL, segment->bytes / REFERENCE_UNIT_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED) {
        munmap(base, segment->mapped_bytes);
        return segment_refuse(reason, STATUS_OUT_OF_MEMORY, "cannot map a rebuild's scratch memory", errno);
    }
    segment->base = base;
    segment->scratch = scratch;
    (void)madvise(base, segment->mapped_bytes, MADV_HUGEPAGE); /* for mounts that give them where they are advised */
    return STATUS_OK;
}

enum status segment_create(const struct segment_options *options, size_t root_bytes, uint64_t fingerprint,
                           struct segment **result, char reason[SEGMENT_REASON_BYTES])
{
    struct segment_layout layout;
    struct segment *segment;
    enum status status;

    if (!layout_compute(options->bytes, root_bytes, &layout))
        return segment_refuse(reason, STATUS_TOO_LARGE, "the segment's size is out of range", 0);
    segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return segment_refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->bytes = layout.bytes;
    segment->mapped_bytes = segment->bytes;
    segment->descriptor = -1;
    segment->guard = -1;
    status = options->name == NULL ? STATUS_OK : file_make(segment, options, reason);
    if (status != STATUS_OK)
        goto free_handle;
    status = map(segment, MAP_SHARED, reason);
    if (status != STATUS_OK)
        goto close_object;
    handle_init(segment, &layout);
    header_init(segment, &layout, root_bytes, fingerprint);
    if (options->name == NULL)
        segment->header->magic = SEGMENT_MAGIC;
    huge_pages_describe(segment->descriptor, segment->base, segment->mapped_bytes, segment->huge_pages);
    *result = segment;
    return STATUS_OK;

close_object:
    segment_unlink(segment);
    (void)file_close(&segment->descriptor);
free_handle:
    free(segment);
    return status;
}

/* --- what exists --- */

/* For who looks and owns nothing. */
static enum status file_open_to_look(const struct segment_names *names, int *descriptor,
                                     char reason[SEGMENT_REASON_BYTES])
{
    int error = names_open(names, FILE_READ_WRITE, descriptor);

    if (error == ENOENT)
        return segment_refuse(reason, STATUS_NOT_FOUND, "there is no segment of that name", 0);
    if (error != 0)
        return segment_refuse(reason, STATUS_DENIED, "cannot open the segment", error);
    return ownership_check(*descriptor, names->path, reason);
}

static enum status file_attach(struct segment *segment, const struct segment_options *options,
                               enum segment_access access, uint64_t fingerprint, char reason[SEGMENT_REASON_BYTES])
{
    struct file_header found;
    enum status status = names_make(&segment->names, options, reason);

    if (status == STATUS_OK && access == SEGMENT_TAKE_OVER)
        status = names_check_directory(&segment->names, options, reason);
    if (status == STATUS_OK)
        status = access == SEGMENT_TAKE_OVER ? ownership_take_over(&segment->names, &segment->descriptor, reason)
                                             : file_open_to_look(&segment->names, &segment->descriptor, reason);
    if (status != STATUS_OK)
        return status;
    if (!file_header_read(segment->descriptor, &found))
        return segment_refuse(reason, STATUS_INTERNAL, "cannot read the segment", 0);
    status = file_header_check(&found, fingerprint, reason);
    if (status != STATUS_OK)
        return status;
    segment->bytes = found.header.bytes;
    segment->mapped_bytes = round_up(segment->bytes, huge_pages_file_page_bytes(segment->descriptor));
    return STATUS_OK;
}

enum status segment_attach(const struct segment_options *options, enum segment_access access, uint64_t fingerprint,
                           struct segment **result, char reason[SEGMENT_REASON_BYTES])
{
    struct segment *segment = calloc(1, sizeof(*segment));
    const struct segment_header *header;
    struct segment_layout layout;
    enum status status;

    REQUIRE(options->name != NULL);
    if (segment == NULL)
        return segment_refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->descriptor = -1;
    segment->guard = -1;
    status = file_attach(segment, options, access, fingerprint, reason);
    if (status == STATUS_OK)
        status = map(segment, access == SEGMENT_TAKE_OVER ? MAP_SHARED : MAP_PRIVATE, reason);
    if (status != STATUS_OK) {
        if (access == SEGMENT_TAKE_OVER && segment->descriptor >= 0)
            (void)segment_names_leave(segment);
        (void)file_close(&segment->descriptor);
        free(segment);
        return status;
    }
    header = (const struct segment_header *)(void *)segment->base;
    layout = layout_of(header->chunk_count, header->root_bytes);
    handle_init(segment, &layout);
    if (access == SEGMENT_TAKE_OVER)
        huge_pages_describe(segment->descriptor, segment->base, segment->mapped_bytes, segment->huge_pages);
    *result = segment;
    return STATUS_OK;
}

enum status segment_own(const struct segment_options *options, struct segment **result, char reason[SEGMENT_REASON_BYTES])
{
    struct segment *segment = calloc(1, sizeof(*segment));
    enum status status;

    if (segment == NULL)
        return segment_refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->descriptor = -1;
    segment->guard = -1;
    status = names_make(&segment->names, options, reason);
    if (status == STATUS_OK)
        status = names_check_directory(&segment->names, options, reason);
    if (status == STATUS_OK)
        status = ownership_take_over(&segment->names, &segment->descriptor, reason);
    if (status != STATUS_OK) {
        free(segment);
        return status;
    }
    *result = segment;
    return STATUS_OK;
}

void segment_disown(struct segment *segment)
{
    if (name_target_of(segment->names.path, segment->descriptor) == NAME_IS_OURS)
        (void)name_remove(segment->names.keep, segment->descriptor);
    (void)file_close(&segment->descriptor);
    free(segment);
}

size_t segment_bytes_for(size_t bytes, size_t root_bytes)
{
    struct segment_layout layout;

    return layout_compute(bytes, root_bytes, &layout) ? layout.bytes : 0;
}

void segment_take_over(struct segment *segment)
{
    segment->header->master_pid = (uint32_t)getpid();
}

int segment_file_open(const struct segment_options *options, enum file_access access, int *descriptor)
{
    struct segment_names names;
    char reason[SEGMENT_REASON_BYTES];

    if (names_make(&names, options, reason) != STATUS_OK)
        return ENAMETOOLONG;
    return names_open(&names, access, descriptor);
}

bool segment_is_of_another_layout(const struct segment_options *options, uint64_t fingerprint, uint32_t *format_version)
{
    char reason[SEGMENT_REASON_BYTES];
    struct segment_names names;
    struct file_header found;
    int descriptor = -1;
    bool is_read = names_make(&names, options, reason) == STATUS_OK &&
                   file_open_to_look(&names, &descriptor, reason) == STATUS_OK && file_header_read(descriptor, &found);

    (void)file_close(&descriptor);
    if (!is_read || found.header.magic != SEGMENT_MAGIC)
        return false;
    *format_version = found.header.format_version;
    return found.header.format_version != SEGMENT_FORMAT_VERSION ||
           found.header.fingerprint != fingerprint_compute(fingerprint);
}

void segment_end_orphans(const struct segment_options *options)
{
    char reason[SEGMENT_REASON_BYTES];
    struct segment_names names;
    struct owned_files files;

    if (names_make(&names, options, reason) == STATUS_OK && ownership_take(&names, &files, reason) == STATUS_OK)
        ownership_drop(&files);
}

bool segment_is_in_use(const struct segment_options *options)
{
    char reason[SEGMENT_REASON_BYTES];
    struct segment_names names;
    int descriptor = -1;
    bool is_in_use = names_make(&names, options, reason) == STATUS_OK &&
                     file_open_to_look(&names, &descriptor, reason) == STATUS_OK &&
                     ownership_has_master(descriptor);

    (void)file_close(&descriptor);
    return is_in_use;
}

void segment_detach(struct segment *segment)
{
    munmap(segment->scratch, segment->bytes / REFERENCE_UNIT_BYTES);
    munmap(segment->base, segment->mapped_bytes);
    (void)file_close(&segment->guard);
    (void)file_close(&segment->descriptor);
    free(segment);
}

void segment_discard(const struct segment_options *options)
{
    struct segment_names names;
    char reason[SEGMENT_REASON_BYTES];

    if (names_make(&names, options, reason) != STATUS_OK)
        return;
    (void)unlink(names.path);
    (void)unlink(names.keep);
    (void)unlink(names.passing);
}

void segment_let_pages_go(const struct segment *segment)
{
    (void)madvise(segment->base, segment->mapped_bytes, MADV_DONTNEED); /* shared: nothing is lost */
}

/* The second name last: while it is there, a start that finds no other knows whose it is. */
void segment_unlink(const struct segment *segment)
{
    if (segment->descriptor < 0)
        return;
    (void)name_remove(segment->names.path, segment->descriptor);
    (void)name_remove(segment->names.keep, segment->descriptor);
    if (segment->guard >= 0)
        (void)name_remove(segment->names.keep, segment->guard);
}

/* For statistics only: two at once may miss the lower of their two numbers. */
static void lowest_note(struct segment_header *header, uint32_t free_count)
{
    if (free_count < atomic_load_explicit(&header->chunks_free_lowest, memory_order_relaxed))
        atomic_store_explicit(&header->chunks_free_lowest, free_count, memory_order_relaxed);
}

/* Looks at the owners from `from` to before `to` for a free chunk and takes it. */
static struct chunk_ref claim_between(struct segment *segment, uint32_t from, uint32_t to, uint32_t word)
{
    struct chunk_ref chunk = {0};

    for (uint32_t number = from; number < to; number++) {
        uint32_t owner = atomic_load_explicit(&segment->owners[number], memory_order_relaxed);

        if (owner == 0 && atomic_compare_exchange_strong(&segment->owners[number], &owner, word)) {
            lowest_note(segment->header, atomic_fetch_sub(&segment->header->chunks_free_at_most, 1) - 1);
            segment->claim_hint = number + 1;
            chunk.number = number;
            return chunk;
        }
    }
    return chunk;
}

struct chunk_ref chunk_claim(struct segment *segment, enum chunk_kind kind, unsigned size_class, unsigned owner)
{
    uint32_t word = chunk_owner_word(kind, size_class, owner);
    uint32_t hint = segment->claim_hint;
    struct chunk_ref chunk = {0};

    REQUIRE(kind > CHUNK_FREE && kind < CHUNK_KIND_COUNT && owner <= CHUNK_OWNER_MAX);
    if (atomic_load_explicit(&segment->header->chunks_free_at_most, memory_order_relaxed) == 0)
        return chunk;
    chunk = claim_between(segment, hint, segment->chunk_count + 1, word);
    if (chunk_ref_is_none(chunk))
        chunk = claim_between(segment, 1, hint, word);
    return chunk;
}

void chunk_release(struct segment *segment, struct chunk_ref chunk)
{
    REQUIRE(chunk_ref_is_inside(segment, chunk));
    REQUIRE(chunk_owner_kind(chunk_owner(segment, chunk)) != CHUNK_FREE);
    atomic_fetch_add(&segment->header->chunks_free_at_most, 1);
    atomic_store_explicit(&segment->owners[chunk.number], 0, memory_order_release);
    /* Low numbers first keeps the touched part of a large segment small. */
    if (chunk.number < segment->claim_hint)
        segment->claim_hint = chunk.number;
}

uint32_t segment_chunks_used(const struct segment *segment)
{
    uint32_t used = 0;

    for (uint32_t number = 1; number <= segment->chunk_count; number++)
        used += atomic_load_explicit(&segment->owners[number], memory_order_relaxed) != 0;
    return used;
}

bool segment_header_is_valid(const struct segment *segment, const char **reason)
{
    const struct segment_header *header = segment->header;

    *reason = NULL;
    if (header->magic != SEGMENT_MAGIC)
        *reason = "wrong magic";
    else if (header->format_version != SEGMENT_FORMAT_VERSION)
        *reason = "other format version";
    else if (header->bytes != segment->bytes || header->chunk_count != segment->chunk_count ||
             header->chunks_offset != segment->chunks_offset)
        *reason = "header and mapping disagree";
    else if (atomic_load(&header->clock) < 1 || atomic_load(&header->clock) > CLOCK_MAX)
        *reason = "the clock is out of range";
    else if (atomic_load(&header->horizon) > atomic_load(&header->clock))
        *reason = "horizon is in the future";
    for (uint32_t number = 1; *reason == NULL && number <= segment->chunk_count; number++) {
        uint32_t word = atomic_load_explicit(&segment->owners[number], memory_order_relaxed);
        enum chunk_kind kind = chunk_owner_kind(word);

        if (kind >= CHUNK_KIND_COUNT || (kind == CHUNK_FREE && word != 0))
            *reason = "a chunk's owner is no owner";
        else if (chunk_owner_class(word) >= (kind == CHUNK_BLOCK ? segment->classes.count : 1))
            *reason = "a chunk's size class is none";
    }
    return *reason == NULL;
}
