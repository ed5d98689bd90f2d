/* The segment's birth, its mapping, and the chunks' owners. */
#include "segment/segment.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "platform/clock.h"
#include "platform/file.h"
#include "huge_pages.h"
#include "leftovers.h"
#include "segment/allocator.h"
#include "segment/process_table.h"

#define SEGMENT_MAGIC 0x31766b7375616825u /* "%hauskv1", little endian */
#define CHUNK_COUNT_MIN 4u
/* A commit word is a time and a bit. No clock comes there by counting commits. */
#define CLOCK_MAX (UINT64_MAX >> 2)
#define LEFTOVERS_WAIT_MS 2000u
#define LEFTOVERS_POLL_US 20000u

_Static_assert(sizeof(((struct segment *)NULL)->huge_pages) == HUGE_PAGES_TEXT_BYTES, "what was had fits");

struct segment_layout {
    size_t root_offset;
    size_t owners_offset;
    size_t infos_offset;
    size_t chunks_offset;
    size_t bytes; /* the chunks included */
    uint32_t chunk_count;
};

static size_t round_up(size_t value, size_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static struct segment_layout layout_of(uint32_t chunk_count, size_t root_bytes)
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

/* As many chunks as fit behind the header, the root and the arrays about them. */
static bool layout_compute(size_t bytes, size_t root_bytes, struct segment_layout *layout)
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

/* Two builds that lay out shared memory differently must not meet in one segment. */
static uint64_t fingerprint_compute(uint64_t upper_layers)
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

static int lock_within(int descriptor, uint64_t wait_ms)
{
    uint64_t end_ms = clock_monotonic_ms() + wait_ms;
    int error = file_lock(descriptor);

    while (error == EWOULDBLOCK && clock_monotonic_ms() < end_ms) {
        (void)usleep(LEFTOVERS_POLL_US);
        error = file_lock(descriptor);
    }
    return error;
}

/* The processes of a server that just died hold its segment until they noticed: they get a moment. What is left then
 * cannot notice any more (it was stopped), and is ended. */
static int object_lock(int descriptor, uint32_t master)
{
    bool master_is_dead = master != 0 && kill((pid_t)master, 0) != 0 && errno == ESRCH;
    int error = lock_within(descriptor, master_is_dead ? LEFTOVERS_WAIT_MS : 0);

    if (error == EWOULDBLOCK && master_is_dead && leftovers_end(descriptor) > 0)
        error = lock_within(descriptor, LEFTOVERS_WAIT_MS);
    return error;
}

/* Only a regular file of ours that nobody else can open. */
static enum status object_check(int descriptor, char reason[SEGMENT_REASON_BYTES])
{
    struct file_identity identity;
    int error = file_identify(descriptor, &identity);

    if (error != 0)
        return refuse(reason, STATUS_INTERNAL, "cannot look at the segment's file", error);
    if (!identity.is_regular || identity.owner != geteuid())
        return refuse(reason, STATUS_DENIED, "the segment's file belongs to another user or is no file", 0);
    if (identity.permissions != 0600)
        return refuse(reason, STATUS_DENIED, "the segment's file has another mode than 0600", 0);
    return STATUS_OK;
}

/* Whether the path still leads to what was opened: another master may have replaced it before we had its lock. */
static bool object_is_current(const struct segment *segment, int descriptor)
{
    struct file_identity ours;
    struct stat current;

    return file_identify(descriptor, &ours) == 0 && lstat(segment->path, &current) == 0 &&
           current.st_dev == ours.device && current.st_ino == ours.inode;
}

static enum status object_own(const struct segment *segment, int descriptor, char reason[SEGMENT_REASON_BYTES])
{
    uint32_t master = object_master(descriptor);
    int error = object_lock(descriptor, master);

    if (error == 0 && !object_is_current(segment, descriptor))
        return refuse(reason, STATUS_DENIED, "another server has just replaced the segment", 0);
    if (error == EWOULDBLOCK) {
        (void)snprintf(reason, SEGMENT_REASON_BYTES, "%s is in use by the server with pid %u", segment->path, master);
        return STATUS_DENIED;
    }
    return error == 0 ? STATUS_OK : refuse(reason, STATUS_INTERNAL, "cannot lock the segment", error);
}

/* Removes an existing object, if that was asked for and nobody uses it. */
static enum status object_discard(const struct segment *segment, bool is_fresh, char reason[SEGMENT_REASON_BYTES])
{
    enum status status;
    int descriptor;
    int error = file_open(segment->path, FILE_READ_WRITE, &descriptor);

    if (error != 0)
        return refuse(reason, STATUS_DENIED, "a segment of that name exists and cannot be opened", error);
    status = object_check(descriptor, reason);
    if (status == STATUS_OK)
        status = object_own(segment, descriptor, reason);
    if (status == STATUS_OK && !is_fresh)
        status = refuse(reason, STATUS_DENIED, "the segment of an earlier server exists; --fresh discards it", 0);
    if (status == STATUS_OK && unlink(segment->path) != 0)
        status = refuse(reason, STATUS_INTERNAL, "cannot remove the old segment", errno);
    (void)file_close(&descriptor);
    return status;
}

static enum status path_make(char path[SEGMENT_PATH_BYTES_MAX], const struct segment_options *options,
                             char reason[SEGMENT_REASON_BYTES])
{
    const char *directory = options->directory == NULL ? SEGMENT_DIRECTORY : options->directory;
    int length;

    if (strlen(options->name) > SEGMENT_NAME_BYTES_MAX || strchr(options->name, '/') != NULL)
        return refuse(reason, STATUS_TOO_LARGE, "the segment's name is too long or has a slash", 0);
    length = snprintf(path, SEGMENT_PATH_BYTES_MAX, "%s/hauskv-%s", directory, options->name);
    if (length < 0 || (size_t)length >= SEGMENT_PATH_BYTES_MAX)
        return refuse(reason, STATUS_TOO_LARGE, "the segment's path is too long", 0);
    return STATUS_OK;
}

static enum status object_create(struct segment *segment, const struct segment_options *options,
                                 char reason[SEGMENT_REASON_BYTES])
{
    enum status status = path_make(segment->path, options, reason);
    int error;

    if (status != STATUS_OK)
        return status;
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
    segment->mapped_bytes = round_up(segment->bytes, huge_pages_file_page_bytes(segment->descriptor));
    if (error == 0) {
        huge_pages_fill(segment->descriptor, segment->mapped_bytes);
        error = file_reserve(segment->descriptor, segment->mapped_bytes);
    }
    if (error == 0)
        return STATUS_OK;
    (void)unlink(segment->path);
    (void)file_close(&segment->descriptor);
    if (error == ENOSPC || error == ENOMEM || error == EFBIG)
        return refuse(reason, STATUS_OUT_OF_MEMORY, "the system has not so much shared memory", error);
    return refuse(reason, STATUS_INTERNAL, "cannot reserve the segment", error);
}

static enum status map(struct segment *segment, int sharing, char reason[SEGMENT_REASON_BYTES])
{
    void *base = huge_pages_map(segment->descriptor, segment->mapped_bytes, sharing);
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
        return refuse(reason, STATUS_TOO_LARGE, "the segment's size is out of range", 0);
    segment = calloc(1, sizeof(*segment));
    if (segment == NULL)
        return refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->bytes = layout.bytes;
    segment->mapped_bytes = segment->bytes;
    segment->descriptor = -1;
    status = options->name == NULL ? STATUS_OK : object_create(segment, options, reason);
    if (status != STATUS_OK)
        goto free_handle;
    status = map(segment, MAP_SHARED, reason);
    if (status != STATUS_OK)
        goto close_object;
    handle_init(segment, &layout);
    header_init(segment, &layout, root_bytes, fingerprint);
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

/* Whether a header that was read from a file of that size is one of this build. */
static const char *header_foreign(const struct segment_header *header, uint64_t file_bytes, uint64_t fingerprint)
{
    struct segment_layout layout;

    if (header->magic != SEGMENT_MAGIC)
        return "the file is no segment (wrong magic)";
    if (header->format_version != SEGMENT_FORMAT_VERSION)
        return "the segment has another format version";
    if (header->fingerprint != fingerprint_compute(fingerprint))
        return "the segment was made by a build with another layout";
    if (header->root_bytes > SEGMENT_BYTES_MAX || header->chunk_count > SEGMENT_BYTES_MAX / CHUNK_BYTES)
        return "the segment's header is damaged";
    layout = layout_of(header->chunk_count, header->root_bytes);
    if (header->bytes != layout.bytes || header->bytes > file_bytes || header->root_offset != layout.root_offset ||
        header->owners_offset != layout.owners_offset || header->infos_offset != layout.infos_offset ||
        header->chunks_offset != layout.chunks_offset || header->chunk_count < CHUNK_COUNT_MIN)
        return "the segment's header is damaged";
    return NULL;
}

static enum status object_open(struct segment *segment, const struct segment_options *options,
                               enum segment_access access, uint64_t fingerprint, char reason[SEGMENT_REASON_BYTES])
{
    struct segment_header header;
    const char *foreign;
    uint64_t file_bytes = 0;
    size_t read_bytes = 0;
    enum status status = path_make(segment->path, options, reason);
    int error;

    if (status != STATUS_OK)
        return status;
    error = file_open(segment->path, FILE_READ_WRITE, &segment->descriptor);
    if (error == ENOENT)
        return refuse(reason, STATUS_NOT_FOUND, "there is no segment of that name", 0);
    if (error != 0)
        return refuse(reason, STATUS_DENIED, "cannot open the segment", error);
    status = object_check(segment->descriptor, reason);
    if (status == STATUS_OK && access == SEGMENT_TAKE_OVER)
        status = object_own(segment, segment->descriptor, reason);
    if (status != STATUS_OK)
        return status;
    /* object_master may have read already: from the begin again. */
    if (lseek(segment->descriptor, 0, SEEK_SET) != 0 ||
        file_read(segment->descriptor, &header, sizeof(header), &read_bytes) != 0 || read_bytes < sizeof(header) ||
        file_size(segment->descriptor, &file_bytes) != 0)
        return refuse(reason, STATUS_DENIED, "the file is too short for a segment", 0);
    if (access == SEGMENT_TAKE_OVER && header.magic == 0 && atomic_load(&header.clock) == 0) {
        /* Its master died before it was born: nobody ever put anything into it. */
        (void)unlink(segment->path);
        return refuse(reason, STATUS_NOT_FOUND, "the segment was never finished", 0);
    }
    foreign = header_foreign(&header, file_bytes, fingerprint);
    if (foreign != NULL)
        return refuse(reason, STATUS_DENIED, foreign, 0);
    segment->bytes = header.bytes;
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
        return refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->descriptor = -1;
    status = object_open(segment, options, access, fingerprint, reason);
    if (status == STATUS_OK)
        status = map(segment, access == SEGMENT_TAKE_OVER ? MAP_SHARED : MAP_PRIVATE, reason);
    if (status != STATUS_OK) {
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

bool segment_is_of_another_layout(const struct segment_options *options, uint64_t fingerprint, uint32_t *format_version)
{
    char path[SEGMENT_PATH_BYTES_MAX];
    char reason[SEGMENT_REASON_BYTES];
    struct segment_header header;
    size_t size = 0;
    int descriptor = -1;
    bool is_read = path_make(path, options, reason) == STATUS_OK && file_open(path, FILE_READ, &descriptor) == 0 &&
                   file_read(descriptor, &header, sizeof(header), &size) == 0 && size == sizeof(header);

    (void)file_close(&descriptor);
    if (!is_read || header.magic != SEGMENT_MAGIC)
        return false;
    *format_version = header.format_version;
    return header.format_version != SEGMENT_FORMAT_VERSION || header.fingerprint != fingerprint_compute(fingerprint);
}

enum status segment_own(const struct segment_options *options, struct segment **result, char reason[SEGMENT_REASON_BYTES])
{
    struct segment *segment = calloc(1, sizeof(*segment));
    enum status status;
    int error;

    if (segment == NULL)
        return refuse(reason, STATUS_INTERNAL, "no private memory", 0);
    segment->descriptor = -1;
    status = path_make(segment->path, options, reason);
    error = status == STATUS_OK ? file_open(segment->path, FILE_READ_WRITE, &segment->descriptor) : 0;
    if (error != 0)
        status = refuse(reason, error == ENOENT ? STATUS_NOT_FOUND : STATUS_DENIED, "cannot open the segment", error);
    if (status == STATUS_OK)
        status = object_check(segment->descriptor, reason);
    if (status == STATUS_OK)
        status = object_own(segment, segment->descriptor, reason);
    if (status != STATUS_OK) {
        segment_disown(segment);
        return status;
    }
    *result = segment;
    return STATUS_OK;
}

void segment_disown(struct segment *segment)
{
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

bool segment_is_in_use(const struct segment_options *options)
{
    char path[SEGMENT_PATH_BYTES_MAX];
    char reason[SEGMENT_REASON_BYTES];
    int descriptor = -1;
    bool is_in_use;

    if (path_make(path, options, reason) != STATUS_OK || file_open(path, FILE_READ_WRITE, &descriptor) != 0)
        return false;
    is_in_use = file_lock(descriptor) == EWOULDBLOCK;
    (void)file_close(&descriptor);
    return is_in_use;
}

int segment_rename(struct segment *segment, const char *name)
{
    struct segment_options options = {.name = name};
    char directory[SEGMENT_PATH_BYTES_MAX];
    char path[SEGMENT_PATH_BYTES_MAX];
    char reason[SEGMENT_REASON_BYTES];
    char *slash;

    (void)snprintf(directory, sizeof(directory), "%s", segment->path);
    slash = strrchr(directory, '/');
    REQUIRE(slash != NULL);
    *slash = '\0';
    options.directory = directory;
    if (path_make(path, &options, reason) != STATUS_OK)
        return ENAMETOOLONG;
    if (rename(segment->path, path) != 0)
        return errno;
    memcpy(segment->path, path, sizeof(path));
    return 0;
}

void segment_detach(struct segment *segment)
{
    munmap(segment->scratch, segment->bytes / REFERENCE_UNIT_BYTES);
    munmap(segment->base, segment->mapped_bytes);
    (void)file_close(&segment->descriptor);
    free(segment);
}

void segment_discard(const struct segment_options *options)
{
    char path[SEGMENT_PATH_BYTES_MAX];
    char reason[SEGMENT_REASON_BYTES];

    if (path_make(path, options, reason) == STATUS_OK)
        (void)unlink(path);
}

void segment_let_pages_go(const struct segment *segment)
{
    (void)madvise(segment->base, segment->mapped_bytes, MADV_DONTNEED); /* shared: nothing is lost */
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
