/* The segment's birth, its mapping, and the chunks' owners. */
#include "segment/segment.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "segment/allocator.h"
#include "segment/process_table.h"

#define SEGMENT_MAGIC 0x31766b7375616825u /* "%hauskv1", little endian */
#define CHUNK_COUNT_MIN 4u
#define LEFTOVERS_WAIT_MS 2000u
#define LEFTOVERS_POLL_US 20000u

struct segment_layout {
    size_t root_offset;
    size_t owners_offset;
    size_t infos_offset;
    size_t chunks_offset;
    uint32_t chunk_count;
};

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* As many chunks as fit behind the header, the root and the arrays about them. */
static bool layout_compute(size_t bytes, size_t root_bytes, struct segment_layout *layout)
{
    size_t root_offset = round_up(sizeof(struct segment_header), 64);
    size_t fixed = root_offset + round_up(root_bytes, 64) + 2 * 64 + CHUNK_BYTES;
    size_t per_chunk = CHUNK_BYTES + sizeof(uint32_t) + sizeof(struct chunk_info);

    if (bytes > SEGMENT_BYTES_MAX || root_bytes > bytes || bytes < fixed + CHUNK_COUNT_MIN * per_chunk)
        return false;
    layout->root_offset = root_offset;
    layout->chunk_count = (uint32_t)((bytes - fixed) / per_chunk);
    layout->owners_offset = root_offset + round_up(root_bytes, 64);
    layout->infos_offset =
        layout->owners_offset + round_up((layout->chunk_count + 1) * sizeof(uint32_t), 64);
    layout->chunks_offset = round_up(
        layout->infos_offset + (layout->chunk_count + 1) * sizeof(struct chunk_info), CHUNK_BYTES);
    while (layout->chunks_offset + (size_t)layout->chunk_count * CHUNK_BYTES > bytes)
        layout->chunk_count--;
    return layout->chunk_count >= CHUNK_COUNT_MIN;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 29;
}

/* Two builds that lay out shared memory differently must not meet in one segment. */
static uint64_t fingerprint_compute(uint64_t upper_layers)
{
    const uint64_t parts[] = {
        upper_layers,
        CHUNK_BYTES,
        sizeof(struct segment_header),
        sizeof(struct chunk_info),
        sizeof(struct process_slot),
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
    atomic_store(&header->chunks_free_at_most, layout->chunk_count);
    atomic_store(&header->chunks_free_lowest, layout->chunk_count);
    atomic_store(&header->clock, 1);
    atomic_store(&header->horizon, 0);
    atomic_store(&header->horizon_due, 1);
    header->magic = SEGMENT_MAGIC; /* last: a half-born segment has none */
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

static enum status refuse(char reason[SEGMENT_REASON_BYTES], enum status status, const char *sentence, int error)
{
    if (error != 0)
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s: %s", sentence, strerror(error));
    else
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s", sentence);
    return status;
}

/* Whom the header of an existing object names; 0 if it is none of ours. */
static uint32_t object_master(int descriptor)
{
    struct segment_header header;
    size_t size = 0;

    if (file_read(descriptor, &header, sizeof(header), &size) != 0 || size < sizeof(header) ||
        header.magic != SEGMENT_MAGIC)
        return 0;
    return header.master_pid;
}

/* The processes of a server that just died hold its segment until they noticed: they get a moment. */
static int object_lock(int descriptor, uint32_t master)
{
    bool may_wait = master != 0 && kill((pid_t)master, 0) != 0 && errno == ESRCH;
    uint64_t end_ms = clock_monotonic_ms() + LEFTOVERS_WAIT_MS;
    int error = file_lock(descriptor);

    while (error == EWOULDBLOCK && may_wait && clock_monotonic_ms() < end_ms) {
        (void)usleep(LEFTOVERS_POLL_US);
        error = file_lock(descriptor);
    }
    return error;
}

/* Removes an existing object, if that was asked for and nobody uses it. */
static enum status object_discard(const struct segment *segment, bool is_fresh, char reason[SEGMENT_REASON_BYTES])
{
    struct file_identity identity;
    enum status status = STATUS_DENIED;
    uint32_t master;
    int descriptor;
    int error = file_open(segment->path, FILE_READ_WRITE, &descriptor);

    if (error != 0)
        return refuse(reason, STATUS_DENIED, "a segment of that name exists and cannot be opened", error);
    error = file_identify(descriptor, &identity);
    if (error != 0 || !identity.is_regular || identity.owner != geteuid() || identity.permissions != 0600) {
        (void)refuse(reason, STATUS_DENIED, "the segment's file belongs to another user or has a foreign mode", error);
        goto close_object;
    }
    master = object_master(descriptor);
    error = object_lock(descriptor, master);
    if (error == EWOULDBLOCK) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s is in use by the server with pid %u", segment->path, master);
        goto close_object;
    }
    if (error != 0 || !is_fresh) {
        (void)refuse(reason, STATUS_DENIED, "the segment of an earlier server exists; --fresh discards it", error);
        goto close_object;
    }
    status = unlink(segment->path) == 0 ? STATUS_OK
                                        : refuse(reason, STATUS_INTERNAL, "cannot remove the old segment", errno);
close_object:
    (void)file_close(&descriptor);
    return status;
}

/* Pages of a hugetlbfs come whole. */
static size_t page_bytes_of(int descriptor)
{
    struct statfs file_system;

    if (fstatfs(descriptor, &file_system) != 0 || file_system.f_bsize < 4096)
        return 4096;
    return (size_t)file_system.f_bsize;
}

static enum status object_create(struct segment *segment, const struct segment_options *options,
                                 char reason[SEGMENT_REASON_BYTES])
{
    const char *directory = options->directory == NULL ? SEGMENT_DIRECTORY : options->directory;
    int length = snprintf(segment->path, sizeof(segment->path), "%s/hauskv-%s", directory, options->name);
    enum status status = STATUS_OK;
    int error;

    if (length < 0 || (size_t)length >= sizeof(segment->path))
        return refuse(reason, STATUS_TOO_LARGE, "the segment's path is too long", 0);
    error = file_create(segment->path, 0600, &segment->descriptor);
    if (error == EEXIST) {
        status = object_discard(segment, options->is_fresh, reason);
        if (status != STATUS_OK)
            return status;
        error = file_create(segment->path, 0600, &segment->descriptor);
    }
    if (error != 0)
        return refuse(reason, error == EEXIST ? STATUS_DENIED : STATUS_INTERNAL, "cannot create the segment", error);
    error = file_lock(segment->descriptor);
    segment->mapped_bytes = round_up(segment->bytes, page_bytes_of(segment->descriptor));
    if (error == 0)
        error = file_reserve(segment->descriptor, segment->mapped_bytes);
    if (error == 0)
        return STATUS_OK;
    (void)unlink(segment->path);
    (void)file_close(&segment->descriptor);
    if (error == ENOSPC || error == ENOMEM || error == EFBIG)
        return refuse(reason, STATUS_OUT_OF_MEMORY, "the system has not so much shared memory", error);
    return refuse(reason, STATUS_INTERNAL, "cannot reserve the segment", error);
}

/* Whether the system gives huge pages to shared memory for which they are advised. */
static bool system_has_huge_shared_memory(void)
{
    char text[128] = "";
    size_t size = 0;
    int descriptor;

    if (file_open("/sys/kernel/mm/transparent_hugepage/shmem_enabled", FILE_READ, &descriptor) != 0)
        return false;
    (void)file_read(descriptor, text, sizeof(text) - 1, &size);
    (void)file_close(&descriptor);
    return strstr(text, "[advise]") != NULL || strstr(text, "[always]") != NULL ||
           strstr(text, "[within_size]") != NULL || strstr(text, "[force]") != NULL;
}

static const char *huge_pages_advise(const struct segment *segment, const struct segment_options *options)
{
    if (segment->descriptor >= 0 && page_bytes_of(segment->descriptor) > 4096)
        return "hugetlbfs";
    if (madvise(segment->base, segment->mapped_bytes, MADV_HUGEPAGE) != 0)
        return "none: the kernel has none";
    if (options->directory != NULL)
        return "advised: the directory's mount decides";
    return system_has_huge_shared_memory() ? "transparent" : "none: shmem_enabled does not allow them";
}

static enum status map(struct segment *segment, const struct segment_options *options,
                       char reason[SEGMENT_REASON_BYTES])
{
    int flags = segment->descriptor < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
    void *base = mmap(NULL, segment->mapped_bytes, PROT_READ | PROT_WRITE, flags, segment->descriptor, 0);
    void *scratch;

    if (base == MAP_FAILED)
        return refuse(reason, STATUS_OUT_OF_MEMORY, "cannot map the segment", errno);
    /* One byte per unit, touched by a rebuild only, which must not need to ask for memory. */
    scratch = mmap(NULL, segment->bytes / REFERENCE_UNIT_BYTES, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scratch == MAP_FAILED) {
        munmap(base, segment->mapped_bytes);
        return refuse(reason, STATUS_OUT_OF_MEMORY, "cannot map a rebuild's scratch memory", errno);
    }
    segment->base = base;
    segment->scratch = scratch;
    segment->huge_pages = huge_pages_advise(segment, options);
    return STATUS_OK;
}

enum status segment_create(const struct segment_options *options, size_t root_bytes, uint64_t fingerprint,
                           struct segment **result, char reason[SEGMENT_REASON_BYTES])
{
    struct segment_layout layout;
    struct segment *segment;
    enum status status;

    if (options->name != NULL && (strlen(options->name) > SEGMENT_NAME_BYTES_MAX || strchr(options->name, '/') != NULL))
        return refuse(reason, STATUS_TOO_LARGE, "the segment's name is too long or has a slash", 0);
    if (!layout_compute(options->bytes, root_bytes, &layout))
        return refuse(reason, STATUS_TOO_LARGE, "the segment's size is out of range", 0);
    segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->bytes = layout.chunks_offset + (size_t)layout.chunk_count * CHUNK_BYTES;
    segment->mapped_bytes = segment->bytes;
    segment->descriptor = -1;
    status = options->name == NULL ? STATUS_OK : object_create(segment, options, reason);
    if (status != STATUS_OK)
        goto free_handle;
    status = map(segment, options, reason);
    if (status != STATUS_OK)
        goto close_object;
    handle_init(segment, &layout);
    header_init(segment, &layout, root_bytes, fingerprint);
    *result = segment;
    return STATUS_OK;

close_object:
    segment_unlink(segment);
    (void)file_close(&segment->descriptor);
free_handle:
    free(segment);
    return status;
}

void segment_detach(struct segment *segment)
{
    munmap(segment->scratch, segment->bytes / REFERENCE_UNIT_BYTES);
    munmap(segment->base, segment->mapped_bytes);
    (void)file_close(&segment->descriptor);
    free(segment);
}

void segment_unlink(const struct segment *segment)
{
    if (segment->path[0] != '\0')
        (void)unlink(segment->path);
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
    else if (atomic_load(&header->horizon) > atomic_load(&header->clock))
        *reason = "horizon is in the future";
    for (uint32_t number = 1; *reason == NULL && number <= segment->chunk_count; number++) {
        uint32_t word = atomic_load_explicit(&segment->owners[number], memory_order_relaxed);
        enum chunk_kind kind = chunk_owner_kind(word);

        if (kind >= CHUNK_KIND_COUNT || (kind == CHUNK_FREE && word != 0))
            *reason = "a chunk's owner is no owner";
        else if (kind == CHUNK_BLOCK && chunk_owner_class(word) >= segment->classes.count)
            *reason = "a chunk's size class is none";
    }
    return *reason == NULL;
}
