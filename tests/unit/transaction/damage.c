#include "../../../src/table/table_internal.h" /* before the fixture's `engine` */

#include "damage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/process.h"

#define REASON_BYTES 256u

static damage_check checker;
static unsigned char *saved;
static char *said; /* shared with the child that checks */

void damage_init(damage_check check)
{
    checker = check;
    saved = malloc(engine->segment->bytes);
    cr_assert_not_null(saved);
    memcpy(saved, engine->segment->base, engine->segment->bytes);
    said = process_shared_memory(REASON_BYTES);
}

void damage_deinit(void)
{
    free(saved);
}

static int checks(void *context)
{
    const char *found = "";
    bool is_whole = checker(engine, &found);

    (void)context;
    (void)snprintf(said, REASON_BYTES, "%s", is_whole ? "whole" : found);
    return is_whole ? 0 : 1;
}

int damage_checked(void)
{
    return process_run(checks, NULL);
}

const char *damage_reason(void)
{
    return said;
}

static void assert_seen(const struct damage *damage)
{
    int end;

    damage->run();
    end = damage_checked();
    memcpy(engine->segment->base, saved, engine->segment->bytes);
    cr_expect_eq(end, 1, "%s: %s", damage->name, end == 0 ? "not seen" : "the check crashed");
    if (end == 1)
        cr_expect_str_eq(said, damage->expected, "%s: seen as \"%s\"", damage->name, said);
}

void assert_damages_seen(const struct damage *damages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_seen(&damages[i]);
}

struct block_ref ref_of(const char *key)
{
    uint64_t hash = table_hash(&engine->table, text(key));
    struct block_ref ref = table_find(&engine->table, shard_of(key), hash, text(key));

    REQUIRE(!block_ref_is_none(ref));
    return ref;
}

struct version *version_of(const char *key)
{
    return version_at(engine->segment, ref_of(key));
}

struct version *older_of(const struct version *version)
{
    return version_at(engine->segment, (struct block_ref){atomic_load(&version->older)});
}

struct page *page_of(const char *key)
{
    return table_page_of(&engine->table, shard_of(key), table_hash(&engine->table, text(key)));
}

_Atomic uint32_t *directory(unsigned shard)
{
    return directory_of(&engine->table, shard);
}

_Atomic uint32_t *directory_node(size_t node)
{
    return engine->table.directory + node;
}

_Atomic uint32_t *directory_end_of_first_page(unsigned shard)
{
    size_t count = (size_t)1 << engine->table.directory_depth;
    _Atomic uint32_t *first = directory(shard);
    size_t index = 0;

    while (index + 1 < count && atomic_load(&first[index + 1]) == atomic_load(first))
        index++;
    return &first[index];
}

uint32_t chunk_named(const _Atomic uint32_t *entry)
{
    return atomic_load(entry) & ((1u << DIRECTORY_NUMBER_BITS) - 1);
}

void directory_set_depth(_Atomic uint32_t *entry, uint32_t depth)
{
    atomic_store(entry, depth << DIRECTORY_NUMBER_BITS | chunk_named(entry));
}
