/* A table in an anonymous segment, used by this process alone, so without its
 * locks; the test keeps the clock and the horizon. */
#ifndef HAUSKV_TESTS_UNIT_TABLE_FIXTURE_H
#define HAUSKV_TESTS_UNIT_TABLE_FIXTURE_H

#include <criterion/criterion.h>

#include "table/table.h"

struct table_fixture {
    struct segment *segment;
    struct table table;
};

/* The hash key is the same in every run. */
void table_fixture_open(struct table_fixture *fixture, size_t bytes, unsigned shard_count);
/* Asserts that the table is whole. */
void table_fixture_close(struct table_fixture *fixture);
void assert_table_valid(const struct table_fixture *fixture);

/* The number of the one key, the same every time: "key 17". */
struct bytes key_number(unsigned number);

/* Steps of a commit at the next tick. False: out of memory, nothing changed. */
bool table_put(struct table_fixture *fixture, struct bytes key, struct bytes value);
/* The key must be there. */
void table_del(struct table_fixture *fixture, struct bytes key);

/* What a reader at this time finds; NULL: nothing. */
const struct version *table_see(const struct table_fixture *fixture, struct bytes key, uint64_t time);
void assert_sees(const struct table_fixture *fixture, struct bytes key, uint64_t time, struct bytes value);
void assert_sees_nothing(const struct table_fixture *fixture, struct bytes key, uint64_t time);

/* "value of key 17". Good until the next call. */
struct bytes value_of(struct bytes key);

uint64_t clock_now(const struct table_fixture *fixture);
/* Raises the horizon and cleans every shard; returns how many versions went. */
unsigned clean_up_to(struct table_fixture *fixture, uint64_t horizon);

/* A test at whose end everything must be whole. Not by .fini: assertions and even crashes there do not count (seen in
 * Criterion 2.4.1). */
#define WHOLE_TEST(suite, name) \
    static void name(void);     \
    Test(suite, name)           \
    {                           \
        name();                 \
        suite##_is_whole();     \
    }                           \
    static void name(void)

#endif
