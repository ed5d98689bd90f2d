/* What a transaction remembers to have read. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "transaction/read_set.h"

static struct read_set set;

static void forget_all(void)
{
    read_set_deinit(&set);
}

TestSuite(read_set, .fini = forget_all);

static void add(uint64_t hash, const char *key, bool was_there)
{
    cr_assert_eq(read_set_add(&set, hash, bytes_from_string(key), was_there), STATUS_OK);
}

/* NULL if it is not remembered, asserts that it is so only once. */
static const struct read_entry *entry_of(const char *key)
{
    const struct read_entry *found = NULL;

    for (size_t i = 0; i < set.capacity; i++)
        if (set.entries[i].key_size != 0 && bytes_equal(read_set_key(&set, &set.entries[i]), bytes_from_string(key))) {
            cr_assert_null(found, "%s stands twice", key);
            found = &set.entries[i];
        }
    return found;
}

Test(read_set, remembers_whether_a_key_was_there)
{
    add(1, "there", true);
    add(2, "absent", false);

    cr_assert_eq(entry_of("there")->was_there, 1);
    cr_assert_eq(entry_of("absent")->was_there, 0);
    cr_assert_null(entry_of("never read"));
}

Test(read_set, the_first_answer_counts)
{
    add(1, "k", false);
    add(1, "k", true);

    cr_assert_eq(set.count, 1);
    cr_assert_eq(entry_of("k")->was_there, 0);
}

Test(read_set, keys_of_one_hash_are_kept_apart)
{
    char key[16];

    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        add(77, key, i % 2 == 0);
    }
    cr_assert_eq(set.count, 300);
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(key, sizeof(key), "%u", i);
        cr_assert_eq(entry_of(key)->was_there, i % 2 == 0);
    }
}

Test(read_set, grows_with_what_is_read)
{
    char key[16];

    for (uint64_t i = 0; i < 50000; i++) {
        (void)snprintf(key, sizeof(key), "%u", (unsigned)i);
        add(i * 0x9e3779b97f4a7c15u, key, true);
    }
    cr_assert_eq(set.count, 50000);
    for (uint64_t i = 0; i < 50000; i += 4999) {
        (void)snprintf(key, sizeof(key), "%u", (unsigned)i);
        cr_assert_eq(entry_of(key)->hash, i * 0x9e3779b97f4a7c15u);
    }
}

Test(read_set, cleared_it_knows_nothing_and_begins_anew)
{
    add(1, "k", true);
    read_set_clear(&set);
    cr_assert_null(entry_of("k"));
    cr_assert_eq(set.count, 0);
    cr_assert_gt(set.capacity, 0, "a little memory is kept");

    add(1, "k", false);
    cr_assert_eq(entry_of("k")->was_there, 0);
}

Test(read_set, cleared_it_keeps_no_great_memory)
{
    static unsigned char key[1024];

    for (unsigned i = 0; i < 1000; i++) {
        memcpy(key, &i, sizeof(i));
        cr_assert_eq(read_set_add(&set, i, bytes_from(key, sizeof(key)), true), STATUS_OK);
    }
    read_set_clear(&set);

    cr_assert_eq(set.capacity, 0);
    cr_assert_eq(set.keys_capacity, 0);
}

Test(read_set, a_limit_of_keys_is_one_for_new_keys_only)
{
    enum status status = STATUS_OK;
    uint32_t count = 0;

    while (status == STATUS_OK && count <= READ_SET_BYTES_MAX / sizeof(struct read_entry)) {
        status = read_set_add(&set, count, bytes_from(&count, sizeof(count)), true);
        count += status == STATUS_OK;
    }
    cr_assert_eq(status, STATUS_TOO_LARGE);
    cr_assert_eq(set.count, count);
    for (uint32_t known = 0; known < 10; known++)
        cr_assert_eq(read_set_add(&set, known, bytes_from(&known, sizeof(known)), true), STATUS_OK);
    cr_assert_eq(set.count, count);
}

Test(read_set, a_limit_is_a_limit)
{
    static unsigned char key[1024];
    enum status status = STATUS_OK;
    unsigned count = 0;

    while (status == STATUS_OK && count <= READ_SET_BYTES_MAX / sizeof(key)) {
        memcpy(key, &count, sizeof(count));
        status = read_set_add(&set, count, bytes_from(key, sizeof(key)), true);
        count += status == STATUS_OK;
    }
    cr_assert_eq(status, STATUS_TOO_LARGE);
    cr_assert_eq(set.count, count);
    cr_assert_leq(set.keys_capacity, READ_SET_BYTES_MAX);
    cr_assert_eq(read_set_add(&set, 0, bytes_from((unsigned char[1024]){0}, sizeof(key)), true), STATUS_OK,
                 "what is remembered already needs no memory");
}

/* --- a budget --- */

static enum status add_number(struct read_set *to, uint64_t number)
{
    return read_set_add(to, number * UINT64_C(0x9e3779b97f4a7c15), bytes_from(&number, sizeof number), true);
}

Test(read_set, sets_of_one_budget_have_no_more_together)
{
    struct read_budget budget = {.bytes_max = (size_t)1 << 20};
    struct read_set sets[8] = {{.entries = NULL}};
    enum status status = STATUS_OK;
    uint64_t count = 0;

    for (unsigned i = 0; i < 8; i++)
        sets[i].budget = &budget;
    for (; status == STATUS_OK && count < 1000000; count += status == STATUS_OK)
        status = add_number(&sets[count % 8], count);
    cr_assert_eq(status, STATUS_TOO_LARGE);
    cr_assert_gt(count, 10000);
    cr_assert_leq(budget.bytes, budget.bytes_max);
    cr_assert_eq(add_number(&sets[0], 0), STATUS_OK, "what is remembered already needs no memory");

    read_set_deinit(&sets[7]);
    for (uint64_t number = 0; number < 100; number++)
        cr_assert_eq(add_number(&sets[7], number), STATUS_OK, "it has its budget still, and there is room again");
    for (unsigned i = 0; i < 8; i++)
        read_set_clear(&sets[i]);
    cr_assert_leq(budget.bytes, (size_t)8 * 65536);
    for (unsigned i = 0; i < 8; i++)
        read_set_deinit(&sets[i]);
    cr_assert_eq(budget.bytes, 0);
}

/* Long keys: their bytes are what is too much, and the index has grown before. */
Test(read_set, a_set_that_grew_in_part_goes_on)
{
    struct read_budget budget = {.bytes_max = 64 * sizeof(struct read_entry) + 4096};
    struct read_set one = {.budget = &budget};
    unsigned char key[1024] = "";

    for (unsigned char i = 0; i < 4; i++) {
        key[0] = i;
        cr_assert_eq(read_set_add(&one, i, bytes_from(key, sizeof key), true), STATUS_OK);
    }
    key[0] = 4;
    cr_assert_eq(read_set_add(&one, 4, bytes_from(key, sizeof key), true), STATUS_TOO_LARGE);
    cr_assert_eq(one.count, 4);
    cr_assert_eq(budget.bytes, budget.bytes_max);
    read_set_deinit(&one);
}
