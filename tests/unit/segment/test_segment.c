/* The segment's birth, its names, and the chunks that change hands. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "segment_fixture.h"
#include "support/process.h"

#define CHILDREN 4u
#define CHUNKS 64u

static struct segment *segment;
static char reason[SEGMENT_REASON_BYTES];

static void open_segment(void)
{
    segment = segment_of_chunks(CHUNKS);
}

static void segment_is_whole(void)
{
    assert_header_valid(segment);
    segment_detach(segment);
}

TestSuite(segment, .init = open_segment, .timeout = 120);
TestSuite(segment_birth);

/* --- sentences --- */

static struct chunk_ref claimed(unsigned owner)
{
    return chunk_claim(segment, CHUNK_LOG, 0, owner);
}

static uint32_t claim_all(unsigned owner)
{
    uint32_t count = 0;

    while (!chunk_ref_is_none(claimed(owner)))
        count++;
    return count;
}

static uint32_t owned_by(unsigned owner)
{
    uint32_t count = 0;

    for (uint32_t number = 1; number <= segment->chunk_count; number++)
        count += chunk_owner(segment, (struct chunk_ref){number}) == chunk_owner_word(CHUNK_LOG, 0, owner);
    return count;
}

static enum status create(const char *name, size_t bytes, bool is_fresh, struct segment **result)
{
    struct segment_options options = {.name = name, .bytes = bytes, .is_fresh = is_fresh};

    enum status status;

    reason[0] = '\0';
    status = segment_create(&options, FIXTURE_ROOT_BYTES, FIXTURE_FINGERPRINT, result, reason);
    return status == STATUS_OK ? segment_publish(*result, reason) : status;
}

/* A name that no other test has. */
static const char *own_name(void)
{
    static char name[SEGMENT_NAME_BYTES_MAX];

    (void)snprintf(name, sizeof(name), "unit-test-%d", (int)getpid());
    return name;
}

/* --- huge pages --- */

#define HUGE_BYTES ((size_t)2 << 20)

static uint64_t mapped_huge_kib(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *rollup = fopen("/proc/self/smaps_rollup", "r");

    cr_assert_not_null(rollup);
    while (fgets(line, sizeof(line), rollup) != NULL)
        if (strncmp(line, "ShmemPmdMapped:", strlen("ShmemPmdMapped:")) == 0)
            kib = strtoull(line + strlen("ShmemPmdMapped:"), NULL, 10);
    (void)fclose(rollup);
    return kib;
}

/* Asks for one in the plainest way that there is. */
static bool system_gives_huge_pages(void)
{
    unsigned char *space = mmap(NULL, 2 * HUGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *aligned = space + (HUGE_BYTES - (uintptr_t)space % HUGE_BYTES) % HUGE_BYTES;
    bool is_given;

    cr_assert_neq(space, MAP_FAILED);
    cr_assert_neq(mmap(aligned, HUGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                  MAP_FAILED);
    aligned[0] = 1;
    is_given = madvise(aligned, HUGE_BYTES, 25 /* MADV_COLLAPSE */) == 0;
    munmap(space, 2 * HUGE_BYTES);
    return is_given;
}

Test(segment_huge_pages, fill_a_segment_where_the_system_gives_them)
{
    struct segment *named = NULL;
    uint64_t huge_kib;

    cr_assert_eq(create(own_name(), 5 * HUGE_BYTES + HUGE_BYTES / 2, true, &named), STATUS_OK, "%s", reason);
    huge_kib = mapped_huge_kib();
    segment_unlink(named);
    cr_assert_eq((uintptr_t)named->base % HUGE_BYTES, 0);
    if (!system_gives_huge_pages()) {
        cr_assert_str_eq(named->huge_pages, "none");
        segment_detach(named);
        cr_skip_test("the system gives no huge pages to who asks");
    }
    cr_assert_eq(huge_kib, 5 * HUGE_BYTES >> 10);
    cr_assert_str_eq(named->huge_pages, "transparent, 10 of 11 MiB");
    segment_detach(named);
}

/* A process that looks finds them at an address of its own. */
Test(segment_huge_pages, are_mapped_by_those_that_look)
{
    struct segment_options options = {.name = own_name()};
    struct segment *named = NULL;
    struct segment *joined = NULL;
    uint64_t kib_of_one;

    cr_assert_eq(create(own_name(), 4 * HUGE_BYTES, true, &named), STATUS_OK, "%s", reason);
    kib_of_one = mapped_huge_kib();
    cr_assert_eq(segment_attach(&options, SEGMENT_AS_IT_LIES, FIXTURE_FINGERPRINT, &joined, reason), STATUS_OK, "%s", reason);
    segment_unlink(named);
    cr_assert_eq((uintptr_t)joined->base % HUGE_BYTES, 0);
    cr_assert_str_eq(joined->huge_pages, "", "not its own: not looked at");
    assert_header_valid(joined);
    for (size_t offset = 0; offset < joined->mapped_bytes; offset += HUGE_BYTES)
        (void)*(volatile unsigned char *)(joined->base + offset);
    cr_assert_eq(mapped_huge_kib(), 2 * kib_of_one);
    segment_detach(joined);
    segment_detach(named);
}

Test(segment_huge_pages, are_none_in_a_small_segment)
{
    struct segment *small = NULL;

    cr_assert_eq(create(own_name(), HUGE_BYTES / 2, true, &small), STATUS_OK, "%s", reason);
    segment_unlink(small);
    cr_assert_str_eq(small->huge_pages, "none");
    assert_header_valid(small);
    segment_detach(small);
}

/* Else there would be none, whatever the system gives. */
Test(segment_huge_pages, begin_where_a_segment_does)
{
    const char *const names[] = {NULL, own_name()};

    for (size_t i = 0; i < 2; i++) {
        struct segment *large = NULL;

        cr_assert_eq(create(names[i], HUGE_BYTES, true, &large), STATUS_OK, "%s", reason);
        segment_unlink(large);
        cr_assert_eq(large->bytes, HUGE_BYTES);
        cr_assert_eq((uintptr_t)large->base % HUGE_BYTES, 0);
        segment_detach(large);
    }
}

/* --- birth --- */

WHOLE_TEST(segment, begins_with_all_chunks_free)
{
    cr_assert_geq(segment->chunk_count, CHUNKS);
    cr_assert_eq(segment_chunks_used(segment), 0);
    cr_assert_eq(atomic_load(&segment->header->chunks_free_at_most), segment->chunk_count);
}

WHOLE_TEST(segment, root_is_zeroed_and_apart_from_the_rest)
{
    for (size_t i = 0; i < FIXTURE_ROOT_BYTES; i++)
        cr_assert_eq(segment->root[i], 0);
    memset(segment->root, 0xff, FIXTURE_ROOT_BYTES);
    cr_assert_eq(segment_chunks_used(segment), 0);
}

WHOLE_TEST(segment, chunks_lie_one_behind_the_other_up_to_the_end)
{
    struct chunk_ref first = {1};
    struct chunk_ref last = {segment->chunk_count};

    cr_assert_eq((size_t)(chunk_at(segment, first) - segment->base) % CHUNK_BYTES, 0);
    cr_assert_eq(chunk_at(segment, last) + CHUNK_BYTES, segment->base + segment->bytes);
    cr_assert_leq(segment->bytes, bytes_for_chunks(CHUNKS));
}

Test(segment_birth, never_takes_more_than_it_may)
{
    for (size_t bytes = bytes_for_chunks(8); bytes < bytes_for_chunks(12); bytes += 61) {
        struct segment *other = NULL;

        cr_assert_eq(create(NULL, bytes, false, &other), STATUS_OK, "%zu: %s", bytes, reason);
        cr_assert_leq(other->bytes, bytes);
        cr_assert_leq((size_t)(other->infos + other->chunk_count + 1) - (size_t)other->base, other->chunks_offset);
        segment_detach(other);
    }
}

Test(segment_birth, refuses_sizes_out_of_range)
{
    struct segment *none = NULL;

    cr_assert_eq(create(NULL, 0, false, &none), STATUS_TOO_LARGE);
    cr_assert_eq(create(NULL, sizeof(struct segment_header), false, &none), STATUS_TOO_LARGE);
    cr_assert_eq(create(NULL, SEGMENT_BYTES_MAX + 1, false, &none), STATUS_TOO_LARGE);
    cr_assert_eq(create(NULL, SIZE_MAX, false, &none), STATUS_TOO_LARGE);
    cr_assert_null(none);
    cr_assert_neq(reason[0], '\0');
}

Test(segment_birth, refuses_names_that_are_no_file_names)
{
    char name[SEGMENT_NAME_BYTES_MAX + 2];
    struct segment *none = NULL;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_eq(create(name, bytes_for_chunks(8), false, &none), STATUS_TOO_LARGE);
    cr_assert_eq(create("a/b", bytes_for_chunks(8), false, &none), STATUS_TOO_LARGE);
    cr_assert_null(none);
}

Test(segment_birth, a_name_has_one_segment)
{
    struct segment *named = NULL;
    struct segment *second = NULL;
    struct stat file;

    cr_assert_eq(create(own_name(), bytes_for_chunks(8), false, &named), STATUS_OK, "%s", reason);
    cr_assert_eq(create(own_name(), bytes_for_chunks(8), false, &second), STATUS_DENIED);
    cr_assert_eq(create(own_name(), bytes_for_chunks(8), true, &second), STATUS_DENIED, "in use, so not even fresh");
    cr_assert_eq(stat(named->names.path, &file), 0);
    cr_assert_eq(file.st_mode & 07777, 0600);
    segment_unlink(named);
    cr_assert_neq(stat(named->names.path, &file), 0);
    segment_detach(named);
}

Test(segment_birth, a_segment_that_was_left_is_discarded_only_when_told)
{
    struct segment *named = NULL;
    struct segment *second = NULL;

    cr_assert_eq(create(own_name(), bytes_for_chunks(8), false, &named), STATUS_OK, "%s", reason);
    cr_assert_not(chunk_ref_is_none(chunk_claim(named, CHUNK_LOG, 0, 0)));
    segment_detach(named);

    cr_assert_eq(create(own_name(), bytes_for_chunks(8), false, &second), STATUS_DENIED);
    cr_assert_eq(create(own_name(), bytes_for_chunks(8), true, &second), STATUS_OK, "%s", reason);
    cr_assert_eq(segment_chunks_used(second), 0);
    segment_unlink(second);
    segment_detach(second);
}

static enum status attach(enum segment_access access)
{
    struct segment_options options = {.name = own_name()};
    struct segment *attached = NULL;

    return segment_attach(&options, access, FIXTURE_FINGERPRINT, &attached, reason);
}

static void assert_object_is_denied(const char *expected)
{
    struct segment *none = NULL;

    cr_assert_eq(create(own_name(), bytes_for_chunks(8), true, &none), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
    cr_assert_eq(attach(SEGMENT_TAKE_OVER), STATUS_DENIED);
    cr_assert_eq(attach(SEGMENT_AS_IT_LIES), STATUS_DENIED);
    cr_assert_not_null(strstr(reason, expected), "%s", reason);
}

Test(segment_birth, takes_and_discards_nothing_but_a_file_of_its_own)
{
    struct segment *named = NULL;
    struct stat object;
    char path[SEGMENT_PATH_BYTES_MAX];

    cr_assert_eq(create(own_name(), bytes_for_chunks(8), false, &named), STATUS_OK, "%s", reason);
    (void)snprintf(path, sizeof(path), "%s", named->names.path);
    segment_detach(named);
    cr_assert_eq(chmod(path, 0644), 0);
    assert_object_is_denied("has another mode than 0600 (0644)");
    cr_assert_not_null(strstr(reason, "chmod 600"), "%s", reason);
    segment_discard(&(struct segment_options){.name = own_name()});

    cr_assert_eq(mkfifo(path, 0600), 0);
    assert_object_is_denied("is no file");
    cr_assert_eq(stat(path, &object), 0, "it is left where it was");
    cr_assert_eq(unlink(path), 0);
}

/* --- chunks --- */

WHOLE_TEST(segment, claimed_chunk_has_its_owner_and_kind)
{
    struct chunk_ref chunk = chunk_claim(segment, CHUNK_BLOCK, 5, 17);
    uint32_t word = chunk_owner(segment, chunk);

    cr_assert_eq(chunk_owner_kind(word), CHUNK_BLOCK);
    cr_assert_eq(chunk_owner_class(word), 5);
    cr_assert_eq(chunk_owner_owner(word), 17);
    cr_assert_eq(segment_chunks_used(segment), 1);
}

WHOLE_TEST(segment, every_chunk_is_given_once_and_then_none)
{
    cr_assert_eq(claim_all(1), segment->chunk_count);

    cr_assert_eq(owned_by(1), segment->chunk_count);
    cr_assert_eq(atomic_load(&segment->header->chunks_free_at_most), 0);
    cr_assert(chunk_ref_is_none(claimed(2)));
}

WHOLE_TEST(segment, released_chunk_is_had_again)
{
    struct chunk_ref released = {segment->chunk_count / 2};

    (void)claim_all(1);
    chunk_release(segment, released);

    cr_assert_eq(claimed(2).number, released.number);
    cr_assert(chunk_ref_is_none(claimed(2)));
}

WHOLE_TEST(segment, chunks_behind_and_before_the_hint_are_found)
{
    (void)claim_all(1);
    segment->claim_hint = segment->chunk_count / 2;
    atomic_store(&segment->owners[1], 0);
    atomic_store(&segment->owners[segment->chunk_count], 0);
    atomic_store(&segment->header->chunks_free_at_most, 2);

    cr_assert_eq(claimed(2).number, segment->chunk_count);
    cr_assert_eq(claimed(2).number, 1);
    cr_assert(chunk_ref_is_none(claimed(2)));
}

/* A process that died between taking a chunk and the count leaves the count too high, never too low. */
WHOLE_TEST(segment, a_count_of_free_chunks_that_is_too_high_is_only_a_hint)
{
    (void)claim_all(1);
    atomic_store(&segment->header->chunks_free_at_most, 3);

    cr_assert(chunk_ref_is_none(claimed(2)));
}

static int claims_and_releases(void *context)
{
    unsigned owner = *(const unsigned *)context;

    for (unsigned round = 0; round < 2000; round++) {
        struct chunk_ref first = claimed(owner);
        struct chunk_ref second = claimed(owner);

        if (chunk_ref_is_none(first) || chunk_ref_is_none(second) || first.number == second.number)
            return 1;
        memset(chunk_at(segment, first), (int)owner, CHUNK_BYTES);
        if (chunk_owner_owner(chunk_owner(segment, first)) != owner || *chunk_at(segment, first) != owner)
            return 2;
        chunk_release(segment, first);
        chunk_release(segment, second);
    }
    return (int)(claimed(owner).number == 0);
}

WHOLE_TEST(segment, processes_never_get_the_same_chunk)
{
    pid_t children[CHILDREN];

    for (unsigned i = 0; i < CHILDREN; i++) {
        unsigned owner = i + 1;

        children[i] = process_start(claims_and_releases, &owner);
    }
    for (unsigned i = 0; i < CHILDREN; i++)
        cr_assert_eq(process_wait(children[i]), 0);
    for (unsigned i = 0; i < CHILDREN; i++)
        cr_assert_eq(owned_by(i + 1), 1);
    cr_assert_eq(atomic_load(&segment->header->chunks_free_at_most), segment->chunk_count - CHILDREN);
}

static int releases_twice(void *context)
{
    struct chunk_ref chunk = claimed(1);

    (void)context;
    chunk_release(segment, chunk);
    chunk_release(segment, chunk);
    return 0;
}

static int releases_what_is_outside(void *context)
{
    (void)context;
    chunk_release(segment, (struct chunk_ref){segment->chunk_count + 1});
    return 0;
}

WHOLE_TEST(segment, release_of_what_is_not_owned_is_a_broken_contract)
{
    char output[512];

    cr_assert_eq(process_run_captured(releases_twice, NULL, output, sizeof(output)), PROCESS_SIGNAL(SIGABRT));
    cr_assert_eq(process_run_captured(releases_what_is_outside, NULL, output, sizeof(output)),
                 PROCESS_SIGNAL(SIGABRT));
}

WHOLE_TEST(segment, block_outside_the_chunks_has_no_chunk)
{
    cr_assert(chunk_ref_is_none(block_chunk(segment, (struct block_ref){0})));
    cr_assert(chunk_ref_is_none(block_chunk(segment, (struct block_ref){UINT32_MAX})));
    cr_assert_eq(block_chunk(segment, (struct block_ref){(uint32_t)(segment->chunks_offset / REFERENCE_UNIT_BYTES)})
                     .number,
                 1);
}
