#include "protocol/buffer.h"

#include <criterion/criterion.h>

static struct buffer buffer;

static void expect_content(const char *wanted)
{
    cr_assert(buffer_is_valid(&buffer));
    cr_assert(bytes_equal(buffer_bytes(&buffer), bytes_from_string(wanted)), "it holds \"%.*s\", not \"%s\"",
              (int)buffer.size, (const char *)buffer.data, wanted);
}

Test(buffer, has_no_memory_before_the_first_byte)
{
    buffer_init(&buffer);

    cr_assert(buffer_is_valid(&buffer));
    cr_assert_eq(buffer.capacity, 0);
    cr_assert_null(buffer.data);
}

Test(buffer, keeps_what_is_appended_while_it_grows)
{
    buffer_init(&buffer);
    for (unsigned i = 0; i < 100000; i++)
        buffer_append(&buffer, bytes_from(&(unsigned char){(unsigned char)i}, 1));

    cr_assert_eq(buffer.size, 100000);
    for (unsigned i = 0; i < 100000; i++)
        cr_assert_eq(buffer.data[i], (unsigned char)i);
    cr_assert_leq(buffer.capacity, 200000);
    buffer_deinit(&buffer);
}

Test(buffer, inserts_in_the_middle_and_at_both_ends)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "ad");
    buffer_insert(&buffer, 1, bytes_from_string("bc"));
    buffer_insert(&buffer, 0, bytes_from_string("<"));
    buffer_insert(&buffer, 5, bytes_from_string(">"));
    buffer_insert(&buffer, 3, bytes_from_string(""));

    expect_content("<abcd>");
    buffer_deinit(&buffer);
}

Test(buffer, drops_from_either_end)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abcdef");
    buffer_truncate(&buffer, 5);
    buffer_drop_front(&buffer, 2);

    expect_content("cde");
    buffer_drop_front(&buffer, 3);
    expect_content("");
    buffer_deinit(&buffer);
}

Test(buffer, appends_nothing_that_finds_no_memory_and_says_so)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abc");
    /* No such bytes exist; they are never read because no memory can be had for them. */
    buffer_append(&buffer, (struct bytes){buffer.data, SIZE_MAX});
    buffer_append_string(&buffer, "def");

    cr_assert(buffer.failed);
    expect_content("abc");
    buffer_truncate(&buffer, 2);
    buffer_append_string(&buffer, "z");
    cr_assert_not(buffer.failed);
    expect_content("abz");
    buffer_deinit(&buffer);
}

Test(buffer, inserts_nothing_that_finds_no_memory)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abc");
    buffer_insert(&buffer, 1, (struct bytes){buffer.data, SIZE_MAX});

    cr_assert(buffer.failed);
    expect_content("abc");
    buffer_deinit(&buffer);
}

#ifndef __has_feature
#define __has_feature(name) 0
#endif

/* The sanitizers end a program that asks for so much. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && !__has_feature(address_sanitizer) && \
    !__has_feature(thread_sanitizer) && !__has_feature(memory_sanitizer)
Test(buffer, keeps_what_it_has_where_there_is_no_memory_for_more)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abc");

    cr_assert_not(buffer_reserve(&buffer, SIZE_MAX / 4));
    cr_assert_not(buffer_resize(&buffer, SIZE_MAX / 2));
    expect_content("abc");
    buffer_deinit(&buffer);
}
#endif

Test(buffer, refuses_sizes_that_overflow)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abc");

    cr_assert_not(buffer_reserve(&buffer, SIZE_MAX));
    cr_assert_not(buffer_reserve(&buffer, SIZE_MAX - 2));
    cr_assert_not(buffer_reserve(&buffer, SIZE_MAX - 3)); /* the sum does not, its double does */
    expect_content("abc");
    buffer_deinit(&buffer);
}

Test(buffer, gives_all_memory_back)
{
    buffer_init(&buffer);
    buffer_append_string(&buffer, "abc");
    buffer_truncate(&buffer, 0);

    cr_assert(buffer_resize(&buffer, 0));
    cr_assert(buffer_is_valid(&buffer));
    cr_assert_eq(buffer.capacity, 0);
}
