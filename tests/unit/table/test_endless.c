/* What a damage made endless ends all the same: the process that walks it ends itself, so that its shard is to blame. */
#include <signal.h>
#include <unistd.h>

#include "../../../src/table/table_internal.h"
#include "support/process.h"
#include "table_fixture.h"

#define SECONDS_MAX 10u /* then one that walks for ever is ended by SIGALRM */

static struct table_fixture fixture;

/* Three versions of one key, each of which somebody may still see; one more key. */
static void open_table(void)
{
    table_fixture_open(&fixture, (size_t)4 << 20, 1);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(table_put(&fixture, key_number(1), bytes_from_string("value")));
    cr_assert(table_put(&fixture, key_number(2), bytes_from_string("value")));
}

TestSuite(endless, .init = open_table, .timeout = 60);

static struct block_ref newest(void)
{
    struct bytes key = key_number(1);

    return table_find(&fixture.table, 0, table_hash(&fixture.table, key), key);
}

static struct version *version(struct block_ref ref)
{
    return version_at(fixture.segment, ref);
}

static int sees(void *context)
{
    (void)context;
    (void)alarm(SECONDS_MAX);
    return (int)version_visible_at(fixture.segment, newest(), 0).units;
}

Test(endless, chain_that_leads_back_to_its_begin)
{
    struct block_ref middle = {atomic_load(&version(newest())->older)};

    cr_assert_eq(process_run(sees, NULL), 0, "the chain ends");
    atomic_store(&version(middle)->older, newest().units);
    cr_assert_eq(process_run(sees, NULL), PROCESS_SIGNAL(SIGABRT));
}

Test(endless, version_that_leads_to_itself)
{
    atomic_store(&version(newest())->older, newest().units);
    cr_assert_eq(process_run(sees, NULL), PROCESS_SIGNAL(SIGABRT));
}

static int cleans(void *context)
{
    (void)context;
    (void)alarm(SECONDS_MAX);
    return table_clean(&fixture.table, 0, UINT32_MAX) == 0;
}

/* The deleted version is looked for from the newest one on. */
Test(endless, chain_in_which_a_deleted_version_is_cut)
{
    struct block_ref middle;

    table_del(&fixture, key_number(1));
    for (unsigned i = 0; i < 3; i++)
        cr_assert(table_put(&fixture, key_number(1), bytes_from_string("value")));
    middle.units = atomic_load(&version(newest())->older);
    atomic_store(&fixture.segment->header->horizon, version(middle)->begin - 1);
    atomic_store(&version(middle)->older, newest().units);
    cr_assert_eq(process_run(cleans, NULL), PROCESS_SIGNAL(SIGABRT));
}

Test(endless, queue_of_what_ended)
{
    struct shard *shard = table_shard(&fixture.table, 0);
    struct block_ref first = {shard->garbage_head};

    atomic_store(&fixture.segment->header->horizon, clock_now(&fixture));
    version(first)->garbage_next = first.units;
    cr_assert_eq(process_run(cleans, NULL), PROCESS_SIGNAL(SIGABRT));
}
