/* An engine in anonymous memory, one participant `me` of this process, and the
 * words that the sentences of the tests are made of. */
#ifndef HAUSKV_TESTS_UNIT_ENGINE_FIXTURE_H
#define HAUSKV_TESTS_UNIT_ENGINE_FIXTURE_H

#include <criterion/criterion.h>

#include "transaction/transaction.h"

/* The engine that the test has open; children inherit it. */
extern struct engine *engine;
extern struct participant *me;

/* The hash key is the same in every run. */
void engine_open(size_t bytes, unsigned shard_count);
/* Closes `me` and asserts before and after that everything is whole. */
void engine_close(void);
void assert_engine_valid(void);

struct participant *a_participant(void);

struct bytes text(const char *string);
/* The shard that a key belongs to. */
unsigned shard_of(const char *key);
/* The number-th of the keys of a shard; good until the test ends. */
const char *key_in(unsigned shard, unsigned number);

unsigned begun_as(struct participant *participant, enum isolation isolation);
unsigned begun(struct participant *participant);
void put(struct participant *participant, unsigned number, const char *key, const char *value);
/* A value of that many bytes. */
enum status put_large(struct participant *participant, unsigned number, const char *key, size_t size);
void del(struct participant *participant, unsigned number, const char *key);
void assert_reads(struct participant *participant, unsigned number, const char *key, const char *expected);
void assert_absent(struct participant *participant, unsigned number, const char *key);
void assert_commits(struct participant *participant, unsigned number);
uint64_t count_of(struct participant *participant, unsigned number);

uint64_t clock_now(void);
uint64_t horizon_now(void);

/* Takes what is free, so that nothing is; returns how many chunks. They belong to me's slot. */
uint32_t leave_no_chunk_free(void);
/* Gives `count` of them back. */
void leave_chunks_free(uint32_t count);

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
