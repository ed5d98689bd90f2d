/* SCAN and COUNT: the table page by page, in the order of the hash, at one
 * snapshot, with the transaction's own writes worked in. */
#include <stdlib.h>

#include "statement.h"
#include "transaction/transaction.h"

struct scan {
    struct statement statement;
    struct engine *engine;
    struct bytes prefix;
    struct log_write *own; /* the transaction's writes, ascending by hash */
    size_t own_count;
    struct key_list found; /* of the part of the page under way */
};

static enum status own_writes_load(struct scan *scan)
{
    const struct transaction *transaction = scan->statement.transaction;

    if (transaction == NULL || transaction->log.count == 0)
        return STATUS_OK;
    scan->own = calloc(transaction->log.count, sizeof(*scan->own));
    if (scan->own == NULL)
        return STATUS_INTERNAL;
    scan->own_count = transaction->log.count;
    transaction_log_sorted(&transaction->log, scan->engine->segment, scan->own);
    return STATUS_OK;
}

static enum status scan_begin(struct scan *scan, struct participant *participant, unsigned number,
                              struct bytes prefix)
{
    bool is_locking = number != TRANSACTION_SINGLE &&
                      participant->transactions[number - 1].isolation == ISOLATION_LOCKING;
    enum status status;

    *scan = (struct scan){.engine = participant->engine, .prefix = prefix};
    status = statement_begin(&scan->statement, participant, number, true);
    if (status != STATUS_OK)
        return status;
    status = is_locking ? STATUS_DENIED : own_writes_load(scan);
    if (status != STATUS_OK)
        statement_end(&scan->statement);
    return status;
}

static void scan_end(struct scan *scan)
{
    if (scan->statement.transaction == NULL)
        scan->statement.participant->times = (struct transaction_times){.snapshot = scan->statement.snapshot};
    free(scan->own);
    key_list_deinit(&scan->found);
    statement_end(&scan->statement);
}

/* A key that is there at the snapshot and has the prefix; of size 0 otherwise. */
static struct bytes entry_key(const struct scan *scan, uint64_t entry)
{
    const struct segment *segment = scan->engine->segment;
    struct block_ref version = version_visible_at(segment, entry_version(entry), scan->statement.snapshot);
    struct bytes key;

    if (block_ref_is_none(version))
        return bytes_from(NULL, 0);
    key = version_key(version_at(segment, version));
    return bytes_start_with(key, scan->prefix) ? key : bytes_from(NULL, 0);
}

/* Collects keys from `from` on, within its page, until at least `budget` are found and a tag is complete. *last is how
 * far it came. Holds the shard's lock only here; a copy of the page's entries orders them. The list may grow meanwhile:
 * that waits for nobody, and room for the longest keys, had it been made before, would still be first touched here. */
static enum status page_scan(struct scan *scan, uint64_t from, size_t budget, uint64_t *last)
{
    uint64_t entries[PAGE_ENTRIES];
    const struct table *table = &scan->engine->table;
    unsigned shard = table_shard_of(table, from);
    enum status status = shard_acquire(scan->engine, shard);
    const struct page *page;
    size_t count;

    if (status != STATUS_OK)
        return status;
    page = table_page_of(table, shard, from);
    count = page_collect(page, table_tag_of(table, from), entries);
    *last = table_page_last_hash(table, shard, page);
    INVARIANT(*last >= from); /* or the scan would go round */
    for (size_t i = 0; status == STATUS_OK && i < count; i++) {
        struct bytes key = entry_key(scan, entries[i]);
        uint64_t hash = key.size == 0 ? 0 : table_hash(table, key);

        if (key.size > 0 && hash >= from)
            status = key_list_add(&scan->found, hash, key);
        if (scan->found.count >= budget && (i + 1 == count || entry_tag(entries[i + 1]) != entry_tag(entries[i]))) {
            *last = table_tag_last_hash(table, shard, entry_tag(entries[i]));
            break;
        }
    }
    shard_release(scan->engine, shard);
    return status;
}

static int by_hash(const void *left, const void *right)
{
    uint64_t left_hash = ((const struct key_list_entry *)left)->hash;
    uint64_t right_hash = ((const struct key_list_entry *)right)->hash;

    return (left_hash > right_hash) - (left_hash < right_hash);
}

static void found_sort(struct scan *scan)
{
    if (scan->found.count > 1)
        qsort(scan->found.entries, scan->found.count, sizeof(*scan->found.entries), by_hash);
}

/* The entry of key among the first `count`, which are sorted; NULL if it is not found. */
static struct key_list_entry *found_at(const struct scan *scan, size_t count, uint64_t hash, struct bytes key)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (scan->found.entries[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < count && scan->found.entries[low].hash == hash; low++)
        if (bytes_equal(key_list_key(&scan->found, low), key))
            return &scan->found.entries[low];
    return NULL;
}

/* Works in the transaction's own writes with hash from..last. */
static enum status own_writes_merge(struct scan *scan, uint64_t from, uint64_t last)
{
    size_t count = scan->found.count;
    enum status status = STATUS_OK;

    for (size_t i = 0; status == STATUS_OK && i < scan->own_count && scan->own[i].hash <= last; i++) {
        const struct log_write *write = &scan->own[i];
        struct key_list_entry *entry;

        if (write->hash < from || !bytes_start_with(write->key, scan->prefix))
            continue;
        entry = found_at(scan, count, write->hash, write->key);
        if (entry != NULL && write->kind == REDO_DEL)
            entry->is_removed = 1;
        else if (entry == NULL && write->kind == REDO_PUT)
            status = key_list_add(&scan->found, write->hash, write->key);
    }
    found_sort(scan);
    return status;
}

/* Moves what was found into keys until that has `limit`, equal hashes all or none. True when the limit was reached. */
static enum status found_take(const struct scan *scan, struct key_list *keys, size_t limit, bool *is_full)
{
    enum status status = STATUS_OK;

    *is_full = false;
    for (size_t i = 0; status == STATUS_OK && i < scan->found.count; i++) {
        const struct key_list_entry *entry = &scan->found.entries[i];

        if (entry->is_removed != 0)
            continue;
        if (keys->count >= limit && keys->entries[keys->count - 1].hash != entry->hash)
            break;
        status = key_list_add(keys, entry->hash, key_list_key(&scan->found, i));
    }
    *is_full = keys->count >= limit;
    return status;
}

static void shards_note(struct scan *scan, uint64_t from, uint64_t to)
{
    const struct table *table = &scan->engine->table;
    struct transaction *transaction = scan->statement.transaction;

    if (transaction == NULL)
        return;
    for (unsigned shard = table_shard_of(table, from); shard <= table_shard_of(table, to); shard++)
        transaction->scanned_shards |= (uint64_t)1 << shard;
}

static enum status scan_run(struct scan *scan, uint64_t cursor, size_t limit, struct key_list *keys, uint64_t *next)
{
    uint64_t from = cursor;

    for (;;) {
        uint64_t last;
        bool is_full;
        enum status status;

        key_list_clear(&scan->found);
        status = page_scan(scan, from, limit - keys->count + scan->own_count, &last);
        if (status != STATUS_OK)
            return status;
        found_sort(scan);
        status = own_writes_merge(scan, from, last);
        if (status == STATUS_OK)
            status = found_take(scan, keys, limit, &is_full);
        if (status != STATUS_OK)
            return status;
        if (is_full)
            last = keys->entries[keys->count - 1].hash;
        if (is_full || last == UINT64_MAX) {
            shards_note(scan, cursor, last);
            *next = last + 1; /* 0 at the very end */
            return STATUS_OK;
        }
        from = last + 1;
    }
}

enum status transaction_scan(struct participant *participant, unsigned number, uint64_t cursor, struct bytes prefix,
                             size_t limit, struct key_list *keys, uint64_t *next)
{
    struct scan scan;
    enum status status;

    REQUIRE(limit >= 1 && keys->count == 0);
    status = scan_begin(&scan, participant, number, prefix);
    if (status != STATUS_OK)
        return status;
    status = scan_run(&scan, cursor, limit, keys, next);
    scan_end(&scan);
    return status;
}

/* The keys of one page at the snapshot. */
static uint64_t page_count_keys(const struct scan *scan, const struct page *page)
{
    uint64_t count = 0;

    for (size_t place = 0; place < PAGE_ENTRIES; place++) {
        uint64_t entry = atomic_load_explicit(&page->entries[place], memory_order_relaxed);

        if (!block_ref_is_none(entry_version(entry)))
            count += entry_key(scan, entry).size > 0;
    }
    return count;
}

/* One lock per page, so that nobody waits long. */
static enum status shard_walk_count(const struct scan *scan, unsigned shard, uint64_t *count)
{
    const struct table *table = &scan->engine->table;
    uint64_t from = table_shard_first_hash(table, shard);
    uint64_t last;

    do {
        enum status status = shard_acquire(scan->engine, shard);
        const struct page *page;

        if (status != STATUS_OK)
            return status;
        page = table_page_of(table, shard, from);
        last = table_page_last_hash(table, shard, page);
        INVARIANT(last >= from);
        *count += page_count_keys(scan, page);
        shard_release(scan->engine, shard);
        from = last + 1;
    } while (last != table_shard_last_hash(table, shard));
    return STATUS_OK;
}

/* A shard without insert or delete since the snapshot knows its count; others are walked. */
static enum status shard_count_keys(const struct scan *scan, unsigned number, uint64_t *count)
{
    const struct shard *shard = table_shard(&scan->engine->table, number);
    enum status status = shard_acquire(scan->engine, number);
    bool is_unchanged;

    if (status != STATUS_OK)
        return status;
    is_unchanged = atomic_load(&shard->membership_time) <= scan->statement.snapshot;
    if (is_unchanged && scan->prefix.size == 0)
        *count += atomic_load(&shard->key_count);
    shard_release(scan->engine, number);
    if (is_unchanged && scan->prefix.size == 0)
        return STATUS_OK;
    return shard_walk_count(scan, number, count);
}

/* Own writes change the count by what they change of the snapshot. */
static enum status own_writes_count(const struct scan *scan, uint64_t *count)
{
    const struct table *table = &scan->engine->table;

    for (size_t i = 0; i < scan->own_count; i++) {
        const struct log_write *write = &scan->own[i];
        unsigned shard = table_shard_of(table, write->hash);
        enum status status;
        bool was_there;

        if (!bytes_start_with(write->key, scan->prefix))
            continue;
        status = shard_acquire(scan->engine, shard);
        if (status != STATUS_OK)
            return status;
        was_there = !block_ref_is_none(version_visible_at(
            scan->engine->segment, table_find(table, shard, write->hash, write->key), scan->statement.snapshot));
        shard_release(scan->engine, shard);
        if (was_there && write->kind == REDO_DEL)
            --*count;
        else if (!was_there && write->kind == REDO_PUT)
            ++*count;
    }
    return STATUS_OK;
}

enum status transaction_count(struct participant *participant, unsigned number, struct bytes prefix, uint64_t *count)
{
    struct scan scan;
    enum status status = scan_begin(&scan, participant, number, prefix);

    if (status != STATUS_OK)
        return status;
    *count = 0;
    for (unsigned shard = 0; status == STATUS_OK && shard < scan.engine->table.shard_count; shard++)
        status = shard_count_keys(&scan, shard, count);
    if (status == STATUS_OK)
        status = own_writes_count(&scan, count);
    shards_note(&scan, 0, UINT64_MAX);
    scan_end(&scan);
    return status;
}
