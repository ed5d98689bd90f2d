/* Damage to a segment, for tests of what claims to see it: each kind is done, one at a time, and must be seen without a
 * crash, whatever a damaged reference names. The check runs in a child; then the segment is put back as it was. */
#ifndef HAUSKV_TESTS_UNIT_DAMAGE_H
#define HAUSKV_TESTS_UNIT_DAMAGE_H

#include "engine_fixture.h"

#define CHUNK_IN_NOWHERE 0x07ffffffu /* the greatest that fits an entry of the directory */
#define UNITS_IN_NOWHERE 0xfffffff0u

/* A list is `#define DAMAGES(DAMAGE)` of DAMAGE(name, reason that the check gives, what is done); from it come
 * `DAMAGES(DAMAGE_FUNCTION)` and `static const struct damage damages[] = {DAMAGES(DAMAGE_ENTRY)};`. */
struct damage {
    const char *name;
    const char *expected;
    void (*run)(void);
};

#define DAMAGE_FUNCTION(name, expected, what) \
    static void damage_##name(void)           \
    {                                         \
        what;                                 \
    }
#define DAMAGE_ENTRY(name, expected, what) {#name, expected, damage_##name},

/* What checks a segment: true, or the reason why not. */
typedef bool (*damage_check)(const struct engine *engine, const char **reason);

/* Keeps the segment of the open engine as it is now, and what is to check it. */
void damage_init(damage_check check);
void damage_deinit(void);

/* Runs the check in a child; 0: it found nothing wrong, 1: something, else it crashed. */
int damage_checked(void);
/* What the last check that ran to its end said. */
const char *damage_reason(void);

void assert_damages_seen(const struct damage *damages, size_t count);

/* Where things are, of keys that are there. */
struct block_ref ref_of(const char *key);
struct version *version_of(const char *key);
struct version *older_of(const struct version *version);
struct page *page_of(const char *key);
/* The first place of a shard's directory, and the last one that names the same page as the first. */
_Atomic uint32_t *directory(unsigned shard);
_Atomic uint32_t *directory_end_of_first_page(unsigned shard);
/* A node of the directory, on any level, by its number. */
_Atomic uint32_t *directory_node(size_t node);
/* The chunk that an entry of the directory names. */
uint32_t chunk_named(const _Atomic uint32_t *entry);
/* Enters another depth there. */
void directory_set_depth(_Atomic uint32_t *entry, uint32_t depth);

#endif
