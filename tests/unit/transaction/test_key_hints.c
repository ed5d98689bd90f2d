/* Keys that were looked at ahead, and their hashes. */
#include <criterion/criterion.h>
#include <string.h>

#include "transaction/key_hints.h"

#define NO_HASH UINT64_C(99)

static struct key_hints hints;

static void add(const char *key, uint64_t hash)
{
    key_hints_add(&hints, bytes_from_string(key), hash);
}

static uint64_t take(const char *key)
{
    uint64_t hash = NO_HASH;

    cr_assert_eq(key_hints_take(&hints, bytes_from_string(key), &hash), hash != NO_HASH);
    return hash;
}

static uint64_t hash_of_age(unsigned age)
{
    uint64_t hash = NO_HASH;

    cr_assert_eq(key_hints_hash(&hints, age, &hash), hash != NO_HASH);
    return hash;
}

Test(key_hints, nothing_is_known_at_first)
{
    cr_assert_eq(take("a"), NO_HASH);
    cr_assert_eq(hash_of_age(0), NO_HASH);
}

Test(key_hints, are_taken_in_order_and_once)
{
    add("a", 1);
    add("b", 2);
    add("c", 3);

    cr_assert_eq(take("a"), 1);
    cr_assert_eq(take("a"), NO_HASH);
    cr_assert_eq(take("b"), 2);
    cr_assert_eq(take("c"), 3);
    cr_assert_eq(take("c"), NO_HASH);
}

Test(key_hints, those_before_the_one_that_is_taken_are_gone)
{
    add("a", 1);
    add("b", 2);

    cr_assert_eq(take("b"), 2);
    cr_assert_eq(take("a"), NO_HASH);
}

Test(key_hints, another_key_is_not_taken_and_takes_nothing_away)
{
    add("ab", 1);

    cr_assert_eq(take("ac"), NO_HASH);
    cr_assert_eq(take("a"), NO_HASH);
    cr_assert_eq(take("abc"), NO_HASH);
    cr_assert_eq(take("ab"), 1);
}

Test(key_hints, what_stands_behind_a_key_is_not_looked_at)
{
    uint64_t hash = NO_HASH;

    add("ab", 1);
    cr_assert(key_hints_take(&hints, bytes_slice(bytes_from_string("abc"), 0, 2), &hash));
    cr_assert_eq(hash, 1);
}

Test(key_hints, only_the_newest_are_kept)
{
    static const char *const keys[] = {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"};

    for (size_t count = KEY_HINT_COUNT; count <= sizeof(keys) / sizeof(keys[0]); count++) {
        hints = (struct key_hints){0};
        for (size_t i = 0; i < count; i++)
            add(keys[i], i);
        for (size_t i = 0; i < count - KEY_HINT_COUNT; i++)
            cr_assert_eq(take(keys[i]), NO_HASH, "%s", keys[i]);
        for (size_t i = count - KEY_HINT_COUNT; i < count; i++)
            cr_assert_eq(take(keys[i]), i);
    }
}

Test(key_hints, the_newest_of_more_than_are_kept_takes_all_away)
{
    static const char *const keys[] = {"0", "1", "2", "3", "4"};

    cr_assert_eq(sizeof(keys) / sizeof(keys[0]), KEY_HINT_COUNT + 1);
    for (size_t i = 0; i <= KEY_HINT_COUNT; i++)
        add(keys[i], i);
    cr_assert_eq(take(keys[KEY_HINT_COUNT]), KEY_HINT_COUNT);
    for (size_t i = 0; i <= KEY_HINT_COUNT; i++)
        cr_assert_eq(take(keys[i]), NO_HASH, "%s", keys[i]);
}

Test(key_hints, of_a_key_that_is_too_long_only_the_hash_is_known)
{
    char key[KEY_HINT_BYTES_MAX + 2];

    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    add(key, 1);
    cr_assert_eq(hash_of_age(0), 1);
    cr_assert_eq(take(key), NO_HASH);
    cr_assert_eq(take("k"), NO_HASH);

    key[KEY_HINT_BYTES_MAX] = '\0';
    add(key, 2);
    cr_assert_eq(take(key), 2);
}

Test(key_hints, the_longest_keys_leave_the_others_as_they_are)
{
    static const unsigned char bytes[KEY_HINT_BYTES_MAX + 1] = {0};
    struct bytes key = bytes_from(bytes, KEY_HINT_BYTES_MAX);

    for (unsigned i = 1; i <= KEY_HINT_COUNT + 1; i++)
        key_hints_add(&hints, key, i);
    for (unsigned age = 0; age < KEY_HINT_COUNT; age++)
        cr_assert_eq(hash_of_age(age), KEY_HINT_COUNT + 1 - age);
}

Test(key_hints, hashes_are_known_by_age_taken_or_not)
{
    add("a", 1);
    cr_assert_eq(hash_of_age(1), NO_HASH);
    add("b", 2);
    add("c", 3);
    cr_assert_eq(take("b"), 2);

    cr_assert_eq(hash_of_age(0), 3);
    cr_assert_eq(hash_of_age(1), 2);
    cr_assert_eq(hash_of_age(2), 1);
    cr_assert_eq(hash_of_age(3), NO_HASH);
}
