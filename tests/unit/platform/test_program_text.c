/* Which text may move, decided by made-up program headers; what becomes of it shows
 * tests/server/test_program_text.c. */
#include <criterion/criterion.h>

#include "platform/program_text.h"

#define BLOCK PROGRAM_TEXT_BLOCK_BYTES
#define BASE (4096 * BLOCK)

#define TEXT(address, size) \
    { \
        .p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_vaddr = (address), .p_filesz = (size), .p_memsz = (size) \
    }
#define DATA(address, size) \
    { \
        .p_type = PT_LOAD, .p_flags = PF_R | PF_W, .p_vaddr = (address), .p_filesz = (size), .p_memsz = (size) + 4096 \
    }

#define COUNT(headers) (sizeof(headers) / sizeof *(headers))

#define FINDS(headers, base, text) program_text_find((headers), COUNT(headers), (base), (text))

#define assert_stays(base, ...) \
    do { \
        const ElfW(Phdr) headers[] = {__VA_ARGS__}; \
        struct program_text untouched = {.start = 1, .bytes = 2, .block_bytes = 3}; \
        cr_assert_not(FINDS(headers, (base), &untouched)); \
        cr_assert_eq(untouched.start, 1); \
        cr_assert_eq(untouched.bytes, 2); \
        cr_assert_eq(untouched.block_bytes, 3); \
    } while (0)

#define assert_moves(base, start_, bytes_, block_bytes_, ...) \
    do { \
        const ElfW(Phdr) headers[] = {__VA_ARGS__}; \
        struct program_text text = {0}; \
        cr_assert(FINDS(headers, (base), &text)); \
        cr_assert_eq(text.start, (start_)); \
        cr_assert_eq(text.bytes, (bytes_)); \
        cr_assert_eq(text.block_bytes, (block_bytes_)); \
    } while (0)

Test(program_text, alone_in_a_block_moves)
{
    assert_moves(BASE, BASE, 5000, BLOCK, TEXT(0, 5000), DATA(2 * BLOCK - 4096, 4096));
}

Test(program_text, rounds_up_to_whole_blocks)
{
    assert_moves(BASE, BASE, BLOCK, BLOCK, TEXT(0, BLOCK), DATA(BLOCK, 1));
    assert_moves(BASE, BASE, BLOCK + 1, 2 * BLOCK, TEXT(0, BLOCK + 1), DATA(2 * BLOCK, 1));
}

Test(program_text, begins_where_its_segment_does)
{
    assert_moves(BASE, BASE + 3 * BLOCK, 100, BLOCK, DATA(2 * BLOCK, BLOCK - 4096), TEXT(3 * BLOCK, 100));
}

/* Only the sum of both counts. */
Test(program_text, address_decides_and_not_the_base)
{
    assert_moves(BASE + 4096, BASE + BLOCK, 100, BLOCK, TEXT(BLOCK - 4096, 100));
}

Test(program_text, within_a_block_stays)
{
    assert_stays(BASE + 4096, TEXT(0, 5000), DATA(2 * BLOCK, 4096));
    assert_stays(BASE, TEXT(4096, 5000), DATA(2 * BLOCK, 4096));
}

/* As a dynamic program has it, when chance puts its text at the begin of a block. */
Test(program_text, with_data_in_its_block_stays)
{
    assert_stays(BASE, TEXT(0, 5000), DATA(BLOCK - 4096, 1));
    assert_stays(BASE, DATA(BLOCK - 1, 1), TEXT(BLOCK, 100));
    assert_stays(BASE, TEXT(0, BLOCK + 1), DATA(BLOCK + 4096, 1));
}

Test(program_text, two_of_them_stay)
{
    assert_stays(BASE, TEXT(0, 5000), TEXT(2 * BLOCK, 5000));
}

Test(program_text, none_stays)
{
    struct program_text text;

    assert_stays(BASE, DATA(0, 5000));
    assert_stays(BASE, TEXT(0, 0));
    cr_assert_not(program_text_find(NULL, 0, BASE, &text));
}

Test(program_text, that_can_be_written_stays)
{
    ElfW(Phdr) headers[] = {TEXT(0, 5000)};
    struct program_text text;

    cr_assert(FINDS(headers, BASE, &text));
    headers[0].p_flags |= PF_W;
    cr_assert_not(FINDS(headers, BASE, &text));
}

/* Memory behind the file's part is the program's to fill. */
Test(program_text, that_is_longer_than_its_file_stays)
{
    ElfW(Phdr) headers[] = {TEXT(0, 5000)};
    struct program_text text;

    headers[0].p_memsz++;
    cr_assert_not(FINDS(headers, BASE, &text));
}

/* What is not loaded takes no room and runs nothing. */
Test(program_text, other_headers_do_not_count)
{
    ElfW(Phdr) headers[] = {TEXT(0, 5000), TEXT(4096, 100), DATA(8192, 100)};
    struct program_text text;

    headers[1].p_type = PT_NOTE;
    headers[2].p_type = PT_GNU_RELRO;
    cr_assert(FINDS(headers, BASE, &text));
}
