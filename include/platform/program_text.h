/* The program's own text on huge pages of 2 MiB.
 *
 * Each switch between processes finds the translations of addresses cold, and those of some hundred pages of text are a
 * good part of what is looked up again; on a huge page they are one (decision 12 in spec/decisions.md). File systems
 * give text no huge pages, so it is copied to anonymous memory, which is moved to where the text was: addresses stay,
 * and children share the copy. That needs a text that begins at a multiple of 2 MiB and is alone up to the next, as the
 * build file links the server where it can. Everywhere else, and where the system refuses anything of it, the program
 * stays as it was. */
#ifndef HAUSKV_PLATFORM_PROGRAM_TEXT_H
#define HAUSKV_PLATFORM_PROGRAM_TEXT_H

#include <link.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROGRAM_TEXT_BLOCK_BYTES ((size_t)2 << 20)

struct program_text {
    uintptr_t start;    /* a multiple of PROGRAM_TEXT_BLOCK_BYTES */
    size_t bytes;       /* what the file has of it */
    size_t block_bytes; /* the same, rounded up to whole blocks */
};

/* Finds in the program headers of an object that is loaded at base its text: the one executable segment. False, and
 * *text untouched, if there is none or several, if it can be written to, if it does not begin with a block, or if
 * another segment has a part of its blocks. */
bool program_text_find(const ElfW(Phdr) *headers, size_t count, uintptr_t base, struct program_text *text);

#define PROGRAM_TEXT_ON_HUGE_PAGES "huge pages"

/* Moves the text of this program to huge pages if that can be had. For a process with one thread, before it has
 * anything to lose. It waits for a child, so SIGCHLD must not be ignored (then nothing moves). Returns what the text
 * lies on, in words for people: PROGRAM_TEXT_ON_HUGE_PAGES or "small pages", with the reason. */
const char *program_text_to_huge_pages(void);

#endif
