#include "session/id_set.h"

#include <criterion/criterion.h>

static struct id_set set;

static void add(uint64_t id)
{
    cr_assert(id_set_reserve(&set));
    id_set_add(&set, id);
}

Test(id_set, holds_what_was_added_and_nothing_else)
{
    id_set_init(&set);
    cr_assert(id_set_is_empty(&set));
    cr_assert_not(id_set_contains(&set, 1));
    for (uint64_t id = 1; id <= 2000; id += id % 3 + 1)
        add(id);
    cr_assert(id_set_is_valid(&set));

    for (uint64_t id = 0, member = 1; id <= 2100; id++) {
        bool is_member = id == member && id <= 2000;

        cr_assert_eq(id_set_contains(&set, id), is_member, "%ju", (uintmax_t)id);
        if (is_member)
            member += member % 3 + 1;
    }
    id_set_deinit(&set);
}

Test(id_set, reaches_the_largest_ids)
{
    id_set_init(&set);
    add(1);
    add(64);
    add(UINT64_MAX - 1);
    add(UINT64_MAX);

    cr_assert(id_set_contains(&set, UINT64_MAX));
    cr_assert(id_set_contains(&set, 64));
    cr_assert_not(id_set_contains(&set, 0));
    cr_assert_not(id_set_contains(&set, 63));
    cr_assert_not(id_set_contains(&set, UINT64_MAX - 2));
    id_set_deinit(&set);
}

Test(id_set, takes_two_bits_for_an_id_of_a_busy_connection)
{
    id_set_init(&set);
    for (uint64_t id = 1; id <= 1000000; id++)
        add(id);

    cr_assert(id_set_is_valid(&set));
    cr_assert_leq(set.capacity * sizeof(struct id_block), 1000000 / 2);
    id_set_deinit(&set);
}

Test(id_set, takes_no_more_ranges_than_it_may)
{
    id_set_init(&set);
    for (uint64_t block = 0; block < ID_SET_BLOCKS_MAX; block++) {
        cr_assert(id_set_takes(&set, block * 64 + 1));
        add(block * 64 + 1);
    }
    cr_assert(id_set_is_valid(&set));
    cr_assert_leq(set.capacity * sizeof(struct id_block), (size_t)1 << 20);

    cr_assert(id_set_takes(&set, ID_SET_BLOCKS_MAX * 64 - 1), "there is room in the last one");
    add(ID_SET_BLOCKS_MAX * 64 - 1);
    cr_assert_not(id_set_takes(&set, ID_SET_BLOCKS_MAX * 64));
    cr_assert_not(id_set_takes(&set, UINT64_MAX));
    cr_assert(id_set_reserve(&set));
    cr_assert_leq(set.capacity * sizeof(struct id_block), (size_t)1 << 20);
    cr_assert(id_set_contains(&set, 1));
    id_set_deinit(&set);
}
