/* The program's own text on huge pages. */
#include "platform/program_text.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "platform/file.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* of Linux 6.1; the headers of Debian 12 lack it */
#endif

#define BLOCK_BYTES PROGRAM_TEXT_BLOCK_BYTES
#define PAGE_BYTES ((size_t)4096)
#define ROLLUP_BYTES_MAX 4096u

/* Also the exit status of a rehearsal. */
enum outcome {
    MOVED,
    NOT_ALONE,
    NO_HUGE_PAGES,
    REFUSED
};

static bool find_own_text(struct program_text *text);
static enum outcome rehearse(const struct program_text *text);
static enum outcome move(const struct program_text *text);

const char *program_text_to_huge_pages(void)
{
    static const char *const words[] = {
        [MOVED] = PROGRAM_TEXT_ON_HUGE_PAGES,
        [NOT_ALONE] = "small pages, it is not alone in blocks of 2 MiB",
        [NO_HUGE_PAGES] = "small pages, there were no others",
        [REFUSED] = "small pages, the system refuses to move it",
    };
    struct program_text text;
    enum outcome outcome = NOT_ALONE;

    if (find_own_text(&text))
        outcome = rehearse(&text);
    if (outcome == MOVED)
        outcome = move(&text);
    return words[outcome];
}

/* --- what to move --- */

static bool is_alone(const ElfW(Phdr) *headers, size_t count, const ElfW(Phdr) *executable, size_t block_bytes)
{
    for (size_t i = 0; i < count; i++) {
        const ElfW(Phdr) *header = &headers[i];
        bool is_before = header->p_vaddr + header->p_memsz <= executable->p_vaddr;
        bool is_behind = header->p_vaddr >= executable->p_vaddr + block_bytes;

        if (header->p_type == PT_LOAD && header != executable && !is_before && !is_behind)
            return false;
    }
    return true;
}

/* NULL: there is none, or more than one. */
static const ElfW(Phdr) *only_executable(const ElfW(Phdr) *headers, size_t count)
{
    const ElfW(Phdr) *executable = NULL;

    for (size_t i = 0; i < count; i++) {
        if (headers[i].p_type != PT_LOAD || (headers[i].p_flags & PF_X) == 0)
            continue;
        if (executable != NULL)
            return NULL;
        executable = &headers[i];
    }
    return executable;
}

bool program_text_find(const ElfW(Phdr) *headers, size_t count, uintptr_t base, struct program_text *text)
{
    const ElfW(Phdr) *executable = only_executable(headers, count);
    size_t block_bytes;

    if (executable == NULL || (executable->p_flags & PF_W) != 0 || executable->p_memsz == 0 ||
        executable->p_filesz != executable->p_memsz || (base + executable->p_vaddr) % BLOCK_BYTES != 0)
        return false;
    block_bytes = (executable->p_memsz + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (!is_alone(headers, count, executable, block_bytes))
        return false;
    text->start = base + executable->p_vaddr;
    text->bytes = executable->p_filesz;
    text->block_bytes = block_bytes;
    return true;
}

#define LOOK_NO_FURTHER 1
#define LOOK_NO_FURTHER_FOUND 2

/* The first object that is shown is the program itself (dl_iterate_phdr(3)). */
static int look_at_first(struct dl_phdr_info *info, size_t size, void *text)
{
    (void)size;
    return program_text_find(info->dlpi_phdr, info->dlpi_phnum, info->dlpi_addr, text) ? LOOK_NO_FURTHER_FOUND
                                                                                       : LOOK_NO_FURTHER;
}

/* Where pages have another size, huge ones have too. */
static bool find_own_text(struct program_text *text)
{
    return sysconf(_SC_PAGESIZE) == (long)PAGE_BYTES && dl_iterate_phdr(look_at_first, text) == LOOK_NO_FURTHER_FOUND;
}

/* --- moving it --- */

/* A child goes the whole way first: a system that refuses it by killing, or half-way, kills the child. */
static enum outcome rehearse(const struct program_text *text)
{
    pid_t parent = getpid();
    pid_t child = fork();
    int status;

    if (child == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
            _exit(REFUSED);
        (void)prctl(PR_SET_DUMPABLE, 0); /* its death is not worth a core */
        _exit((int)move(text));
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) > REFUSED)
        return REFUSED;
    return (enum outcome)WEXITSTATUS(status);
}

/* MAP_FAILED, or whole blocks at a multiple of their size. */
static unsigned char *map_blocks(size_t bytes)
{
    unsigned char *space = mmap(NULL, bytes + BLOCK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (space == MAP_FAILED)
        return MAP_FAILED;
    before = (BLOCK_BYTES - (uintptr_t)space % BLOCK_BYTES) % BLOCK_BYTES;
    if (before > 0)
        munmap(space, before);
    munmap(space + before + bytes, BLOCK_BYTES - before);
    return space + before;
}

/* Of everything that this process has mapped. */
static uint64_t mapped_huge_bytes(void)
{
    char text[ROLLUP_BYTES_MAX] = "";
    const char *field;
    int descriptor;
    size_t size;

    if (file_open("/proc/self/smaps_rollup", FILE_READ, &descriptor) != 0)
        return 0;
    (void)file_read(descriptor, text, sizeof(text) - 1, &size);
    (void)file_close(&descriptor);
    field = strstr(text, "AnonHugePages:");
    return field == NULL ? 0 : strtoull(field + strlen("AnonHugePages:"), NULL, 10) << 10;
}

/* Where the system gives huge pages at the first touch, they are seen. Elsewhere MADV_COLLAPSE makes them, or fails; it
 * waits for every processor, more than a second where others keep them busy, so it is not the way to find out. */
static bool become_huge(unsigned char *blocks, size_t bytes)
{
    uint64_t earlier_bytes = mapped_huge_bytes();

    (void)madvise(blocks, bytes, MADV_HUGEPAGE);
    for (size_t offset = 0; offset < bytes; offset += BLOCK_BYTES)
        *(volatile unsigned char *)(blocks + offset) = 0;
    return mapped_huge_bytes() == earlier_bytes + bytes || madvise(blocks, bytes, MADV_COLLAPSE) == 0;
}

/* From the text's last page to the end of its blocks: fails if anything is mapped there, of which the headers know
 * nothing. */
static bool reserve_rest(const struct program_text *text)
{
    size_t text_bytes = (text->bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    size_t rest_bytes = text->block_bytes - text_bytes;
    void *wanted = (void *)(text->start + text_bytes);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    void *rest;

    if (rest_bytes == 0)
        return true;
    rest = mmap(wanted, rest_bytes, PROT_NONE, flags, -1, 0);
    if (rest == MAP_FAILED)
        return false;
    if (rest == wanted)
        return true;
    munmap(rest, rest_bytes); /* Linux before 4.17 takes the address for a wish */
    return false;
}

/* mremap(2) checks the request, unmaps the text, and only then moves the copy. Sealed memory, too many mappings and the
 * like fail before that. What may fail behind it is memory for the kernel's own books of a few pages; there would be no
 * text to return to then, so the process would end with SIGSEGV: at its start, with no data, no child and no client,
 * and only if that memory was there for the rehearsal. */
static enum outcome move(const struct program_text *text)
{
    void *home = (void *)text->start;
    unsigned char *copy = map_blocks(text->block_bytes);
    enum outcome outcome = NO_HUGE_PAGES;

    if (copy == MAP_FAILED)
        return outcome;
    if (!become_huge(copy, text->block_bytes))
        goto unmap_copy;
    memcpy(copy, home, text->bytes);
    __builtin___clear_cache((char *)copy, (char *)copy + text->bytes);
    outcome = REFUSED;
    if (mprotect(copy, text->block_bytes, PROT_READ | PROT_EXEC) != 0)
        goto unmap_copy;
    outcome = NOT_ALONE;
    if (!reserve_rest(text))
        goto unmap_copy;
    if (mremap(copy, text->block_bytes, text->block_bytes, MREMAP_MAYMOVE | MREMAP_FIXED, home) == home)
        return MOVED;
    outcome = REFUSED;

unmap_copy:
    munmap(copy, text->block_bytes);
    return outcome;
}
