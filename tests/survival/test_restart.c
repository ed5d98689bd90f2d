/* Data that outlives its server: what the next one of the same name takes over,
 * what it refuses and keeps, in which sizes and how quickly:
 *   SOAK_RESTART_KEYS=1000000 build/tests/survival --filter restart/many'*' */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <linux/magic.h>

#include "segment/process_table.h"
#include "support/process.h"
#include "support/store_random.h"
#include "survival/survival_support.h"
#include "table/table.h"

#define KEYS 500u

/* The same server again; what --memory says must be the same for the segment to stay as it is. */
#define restart(server, ...) start_again((server), (const char *const[]){__VA_ARGS__, NULL})
#define restart_in_vain(server, ...) start_again_in_vain((server), (const char *const[]){__VA_ARGS__, NULL})

TestSuite(restart, .timeout = 120);
TestSuite(refusal, .timeout = 120);

static unsigned with_name(const char *list[16], const struct server *server, const char *const *arguments)
{
    unsigned count = 2;

    list[0] = "--name";
    list[1] = server->name;
    for (; *arguments != NULL && count < 15; arguments++)
        list[count++] = *arguments;
    list[count] = NULL;
    return count;
}

/* Old and new are the same struct: the name is copied first. */
static void start_again(struct server *server, const char *const *arguments)
{
    struct server old = *server;
    const char *list[16];

    (void)with_name(list, &old, arguments);
    server_start_with(server, list);
}

/* The exit status; the log is the failed start's from now on. */
static int start_again_in_vain(struct server *server, const char *const *arguments)
{
    struct server old = *server;
    const char *list[16];

    (void)with_name(list, &old, arguments);
    return server_start_in_vain_with(server, list);
}

static void put_keys(const struct server *server)
{
    struct client client;
    struct text lines = {0};

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++)
        text_format(&lines, "PUT key%u value%u\n", i, i);
    client_send(&client, text_bytes(&lines));
    client_expect_ok_times(&client, KEYS);
    client_close(&client);
    text_deinit(&lines);
}

static void expect_keys(const struct server *server)
{
    struct client client;
    char line[64];
    char reply[64];

    client_connect(&client, server);
    client_expect(&client, "COUNT key", REPLY_NUMBER("500"));
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(line, sizeof line, "GET key%u", i);
        (void)snprintf(reply, sizeof reply, REPLY_VALUE("value%u"), i);
        client_expect(&client, line, reply);
    }
    client_expect(&client, "PUT another 1", REPLY_OK);
    client_expect(&client, "DEL another", REPLY_OK);
    client_close(&client);
}

/* A server with data, all of whose processes were killed; its log is closed. */
static void leave_segment(struct server *server)
{
    server_start(server, "--discard=no");
    put_keys(server);
    server_kill_all(server);
    server_forget(server);
}

static void end_in_order(struct server *server)
{
    server_signal(server, SIGTERM);
    cr_assert_eq(server_wait(server), 0);
    server_forget(server);
}

static void clean_up(struct server *server)
{
    server_kill(server);
}

/* --- the same data --- */

Test(restart, finds_all_after_kill_9_of_every_process)
{
    struct server server;
    struct client holders[3];
    struct client observer;

    server_start(&server, "--discard=no");
    put_keys(&server);
    for (unsigned i = 0; i < 3; i++) {
        client_connect(&holders[i], &server);
        client_expect(&holders[i], "START", REPLY_OK);
        client_expect(&holders[i], i == 0 ? "DEL key1" : "PUT key0 never", REPLY_OK);
    }

    server_kill_all(&server);
    server_forget(&server);
    restart(&server, "--discard=no");

    cr_assert(server_has_said(&server, "500 keys; its server had died; 0 commits finished, "));
    cr_assert(server_has_said(&server, " sessions of the dead ended; "));
    expect_keys(&server);
    client_connect(&observer, &server);
    client_expect_error(&observer, "COMMIT", "no_transaction");
    client_close(&observer);
    for (unsigned i = 0; i < 3; i++)
        client_close(&holders[i]);
    clean_up(&server);
}

Test(restart, finds_all_after_an_end_in_order)
{
    struct server server;

    server_start(&server, "--discard=no");
    put_keys(&server);
    end_in_order(&server);
    cr_assert(server_has_segment(&server));

    restart(&server, "--discard=no");

    cr_assert(server_has_said(&server, "500 keys; its server had ended in order; 0 commits finished, 0 sessions"));
    expect_keys(&server);
    clean_up(&server);
}

Test(restart, finds_all_again_and_again)
{
    struct server server;

    leave_segment(&server);
    for (unsigned round = 0; round < 5; round++) {
        restart(&server, "--discard=no");
        cr_assert(server_has_said(&server, "its server had died"));
        expect_keys(&server);
        server_kill_all(&server);
        server_forget(&server);
    }
    server_unlink_segment(&server);
}

/* The children had a second to end by themselves: nothing may be in the way of an heir that comes at once. */
Test(restart, takes_over_at_once_from_a_killed_master)
{
    struct server server;
    struct client client;

    server_start(&server, "--discard=no");
    put_keys(&server);
    client_connect(&client, &server);
    client_expect(&client, "START", REPLY_OK);
    server_signal(&server, SIGKILL);
    (void)server_wait(&server);
    server_forget(&server);

    restart(&server, "--discard=no");

    expect_keys(&server);
    client_close(&client);
    clean_up(&server);
}

Test(restart, takes_over_other_options_freely)
{
    struct server server;

    leave_segment(&server);

    restart(&server, "--discard=no", "--max-clients", "3000", "--min-spare", "2", "--isolation", "read-committed");

    expect_keys(&server);
    clean_up(&server);
}

Test(restart, fresh_begins_empty)
{
    struct server server;
    struct client client;

    leave_segment(&server);

    restart(&server, "--discard=no", "--fresh");

    client_connect(&client, &server);
    client_expect(&client, "COUNT", REPLY_NUMBER("0"));
    client_close(&client);
    clean_up(&server);
}

/* So nothing of it is there when the machine comes up again. */
Test(restart, segment_lies_in_memory)
{
    struct server server;
    struct statfs found;
    char path[SERVER_NAME_BYTES + 32];

    server_start(&server, "--memory", "4m");
    (void)snprintf(path, sizeof path, "/dev/shm/hauskv-%s", server.name);
    cr_assert_eq(statfs(path, &found), 0);
    cr_assert_eq(found.f_type, TMPFS_MAGIC);
    server_stop(&server);
}

Test(restart, discard_leaves_nothing)
{
    struct server server;

    leave_segment(&server);

    restart(&server, "--discard");
    expect_keys(&server);
    end_in_order(&server);

    cr_assert_not(server_has_segment(&server));
}

/* --- time --- */

#define BATCH 1000u

static void put_many(const struct server *server, unsigned keys)
{
    struct client client;
    struct text lines = {0};

    client_connect(&client, server);
    for (unsigned begin = 0; begin < keys; begin += BATCH) {
        text_clear(&lines);
        for (unsigned i = begin; i < begin + BATCH; i++)
            text_format(&lines, "PUT many%u value%u\n", i, i);
        client_send(&client, text_bytes(&lines));
        client_expect_ok_times(&client, BATCH);
    }
    client_close(&client);
    text_deinit(&lines);
}

static void expect_many(const struct server *server, unsigned keys)
{
    struct client client;
    struct text lines = {0};
    char reply[64];

    client_connect(&client, server);
    for (unsigned begin = 0; begin < keys; begin += BATCH) {
        text_clear(&lines);
        for (unsigned i = begin; i < begin + BATCH; i++)
            text_format(&lines, "GET many%u\n", i);
        client_send(&client, text_bytes(&lines));
        for (unsigned i = begin; i < begin + BATCH; i++) {
            (void)snprintf(reply, sizeof reply, REPLY_VALUE("value%u"), i);
            client_expect(&client, NULL, reply);
        }
    }
    client_close(&client);
    text_deinit(&lines);
}

/* The time is from the start of the program to the first reply. */
Test(restart, many_keys_after_kill_9_of_every_process)
{
    unsigned keys = (unsigned)store_environment_number("SOAK_RESTART_KEYS", 20000) / BATCH * BATCH;
    struct server server;
    struct client client;
    uint64_t begin_ns;
    uint64_t passed_ns;
    char memory[32];
    char *log;
    const char *said;

    (void)snprintf(memory, sizeof memory, "%um", 16 + keys / 5000);
    server_start(&server, "--discard=no", "--memory", memory);
    put_many(&server, keys);
    server_kill_all(&server);
    server_forget(&server);

    begin_ns = clock_monotonic_ns();
    restart(&server, "--discard=no", "--memory", memory);
    client_connect(&client, &server);
    client_expect(&client, "GET many0", REPLY_VALUE("value0"));
    passed_ns = clock_monotonic_ns() - begin_ns;

    log = server_log(&server);
    said = strstr(log, "Took over");
    cr_assert_not_null(said);
    fprintf(stderr, "figures: restart, %u keys, --memory %s: serving %.1f ms after the start; %.*s\n", keys, memory,
            (double)passed_ns / 1e6, (int)strcspn(said, "\n"), said);
    free(log);
    client_close(&client);
    expect_many(&server, keys);
    clean_up(&server);
}

/* --- sizes --- */

static uint64_t limit_bytes(const struct server *server)
{
    struct client client;
    uint64_t bytes;

    client_connect(&client, server);
    bytes = client_statistic(&client, "memory.limit_bytes");
    client_close(&client);
    return bytes;
}

static void keeps_data_in_memory_of(const char *memory, uint64_t bytes_min, uint64_t bytes_max)
{
    struct server server;

    leave_segment(&server);

    restart(&server, "--discard=no", "--memory", memory);

    cr_assert(server_has_said(&server, "copied into the new size"));
    cr_assert_geq(limit_bytes(&server), bytes_min);
    cr_assert_leq(limit_bytes(&server), bytes_max);
    expect_keys(&server);
    server_kill_all(&server);
    server_forget(&server);
    restart(&server, "--discard=no", "--memory", memory);
    cr_assert_not(server_has_said(&server, "copied into the new size"));
    expect_keys(&server);
    clean_up(&server);
}

Test(restart, takes_more_memory)
{
    keeps_data_in_memory_of("80m", 70u << 20, 80u << 20);
}

Test(restart, takes_less_memory)
{
    keeps_data_in_memory_of("6m", 4u << 20, 6u << 20);
}

Test(restart, refuses_less_memory_than_the_data_needs)
{
    struct server server;
    struct client client;
    struct text line = {0};

    server_start(&server, "--discard=no");
    put_keys(&server);
    client_connect(&client, &server);
    for (unsigned i = 0; i < 10; i++) {
        text_clear(&line);
        text_format(&line, "PUT large%u ", i);
        text_append_repeated(&line, 'x', 1000000);
        client_expect_bytes(&client, text_bytes(&line), REPLY_OK);
    }
    client_close(&client);
    text_deinit(&line);
    end_in_order(&server);

    cr_assert_eq(restart_in_vain(&server, "--discard=no", "--memory", "8m"), 1);

    cr_assert(server_has_said(&server, "does not fit"));
    server_forget(&server);
    cr_assert(server_has_segment(&server));
    restart(&server, "--discard=no");
    expect_keys(&server);
    client_connect(&client, &server);
    client_expect(&client, "COUNT large", REPLY_NUMBER("10"));
    client_close(&client);
    clean_up(&server);
}

/* Asks for keys from a cursor on, counts each that is answered, and returns the next cursor. */
static uint64_t scan_some(const struct server *server, uint64_t cursor, unsigned seen[KEYS])
{
    struct client client;
    const char *text;
    char line[64];

    client_connect(&client, server);
    (void)snprintf(line, sizeof line, "SCAN %" PRIu64 " key 100\n", cursor);
    client_send(&client, bytes_from_string(line));
    text = strstr(client_read_line(&client), "\"cursor\": \"");
    cr_assert_not_null(text);
    cursor = strtoull(text + strlen("\"cursor\": \""), NULL, 10);
    while ((text = strstr(text, "\"key")) != NULL) {
        unsigned long number;

        text += strlen("\"key");
        if (*text == 's')
            continue; /* "keys" */
        number = strtoul(text, NULL, 10);
        cr_assert_lt(number, KEYS);
        seen[number]++;
    }
    client_close(&client);
    return cursor;
}

/* Another size has another number of shards. */
Test(restart, a_scan_goes_on_in_another_size)
{
    static const char *const sizes[] = {"32m", "8m", "256m"};
    static unsigned seen[KEYS];
    struct server server;
    uint64_t cursor;

    server_start(&server, "--discard=no", "--memory", "16m");
    put_keys(&server);
    cursor = scan_some(&server, 0, seen);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_neq(cursor, 0, "it ends too early");
        end_in_order(&server);
        restart(&server, "--discard=no", "--memory", sizes[i]);
        cursor = scan_some(&server, cursor, seen);
    }
    while (cursor != 0)
        cursor = scan_some(&server, cursor, seen);
    for (unsigned i = 0; i < KEYS; i++)
        cr_assert_eq(seen[i], 1, "key%u came %u times", i, seen[i]);
    clean_up(&server);
}

/* The copy is made under another name: that must not be another server's. */
Test(restart, another_size_touches_no_other_segment)
{
    struct server server;
    struct server other;
    struct client client;
    char name[SERVER_NAME_BYTES + 8];

    leave_segment(&server);
    (void)snprintf(name, sizeof name, "%s.new", server.name);
    server_start(&other, "--name", name, "--discard=no");
    put_keys(&other);
    end_in_order(&other);

    restart(&server, "--discard=no", "--memory", "20m");
    expect_keys(&server);
    clean_up(&server);

    restart(&other, "--discard=no");
    client_connect(&client, &other);
    client_expect(&client, "COUNT", REPLY_NUMBER("500"));
    client_close(&client);
    clean_up(&other);
}

/* --- what is refused --- */

static void refuses_and_keeps(struct server *server, const char *reason)
{
    uint64_t sum = segment_file_sum(server);
    struct run run;

    cr_assert_eq(restart_in_vain(server, "--discard=no"), 1);

    if (!server_has_said(server, reason))
        driver_fail(server, "the server has not said '%s'", reason);
    server_forget(server);
    cr_assert(server_has_segment(server));
    cr_assert_eq(segment_file_sum(server), sum, "it was changed");

    run = server_run("--inspect", server->name);
    cr_assert_eq(run.exit_status, 1, "--inspect: %s%s", run.output.data, run.errors.data);
    cr_assert_not_null(strstr(run.errors.data, reason), "--inspect: %s", run.errors.data);
    run_deinit(&run);
    cr_assert_eq(segment_file_sum(server), sum, "--inspect changed it");

    restart(server, "--discard=no", "--fresh");
    clean_up(server);
}

typedef void (*damage)(struct segment_file *file);

static void refuses_damage(damage do_damage, const char *reason)
{
    struct server server;
    struct segment_file file;

    leave_segment(&server);
    file = segment_file_map(&server);
    do_damage(&file);
    segment_file_unmap(&file);

    refuses_and_keeps(&server, reason);
}

static void asks_for_all(const struct server *server)
{
    unsigned refused = 0;
    unsigned found = 0;
    struct client client;
    char line[32];

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++) {
        const char *reply;

        (void)snprintf(line, sizeof line, "GET key%u\n", i);
        client_send(&client, bytes_from_string(line));
        reply = client_read_line(&client);
        refused += strstr(reply, "\"code\": \"unavailable\"") != NULL;
        found += strncmp(reply, REPLY_OK, strlen(REPLY_OK) - 1) == 0;
    }
    cr_assert_gt(refused, 0);
    cr_assert_gt(found, 0);
    cr_assert_eq(refused + found, KEYS, "%u and %u of %u", refused, found, KEYS);
    client_expect_error(&client, "COUNT", "unavailable");
    client_send(&client, bytes_from_string("STATS\n"));
    cr_assert_not_null(strstr(client_read_line(&client), "\"set_aside\": [0]"));
    client_close(&client);
}

static void says(struct server *server, const char *text)
{
    if (!server_has_said(server, text))
        driver_fail(server, "the server has not said '%s'", text);
}

/* Shard 0 is damaged: it is set aside, also by the next servers, whatever they were ended by, and the rest is served. */
static void serves_the_rest(damage do_damage, const char *reason)
{
    struct server server;
    struct segment_file file;
    struct run run;

    leave_segment(&server);
    file = segment_file_map(&server);
    do_damage(&file);
    segment_file_unmap(&file);

    run = server_run("--inspect", server.name);
    cr_assert_eq(run.exit_status, 1, "--inspect: %s%s", run.output.data, run.errors.data);
    cr_assert_not_null(strstr(run.output.data, reason), "--inspect: %s", run.output.data);
    run_deinit(&run);

    restart(&server, "--discard=no");
    says(&server, "1 of its shards are set aside");
    says(&server, reason);
    asks_for_all(&server);
    end_in_order(&server);

    cr_assert_eq(restart_in_vain(&server, "--discard=no", "--memory", "300m"), 1);
    says(&server, "shards are set aside and cannot be copied into another size");
    server_forget(&server);

    restart(&server, "--discard=no");
    says(&server, "shard 0: it was set aside before");
    asks_for_all(&server);
    clean_up(&server);
}

static void change_magic(struct segment_file *file)
{
    segment_file_header(file)->magic++;
}

static void change_format_version(struct segment_file *file)
{
    segment_file_header(file)->format_version++;
}

static void change_chunk_count(struct segment_file *file)
{
    segment_file_header(file)->chunk_count++;
}

static void change_horizon(struct segment_file *file)
{
    atomic_fetch_add(&segment_file_header(file)->horizon, (uint64_t)1 << 40);
}

static void change_owner(struct segment_file *file)
{
    uint32_t *owners = (uint32_t *)(void *)(file->bytes + segment_file_header(file)->owners_offset);

    owners[segment_file_find_chunk(file, CHUNK_BLOCK)] = UINT32_MAX;
}

/* The first entry of the first page that has one. */
static _Atomic uint64_t *first_entry(const struct segment_file *file)
{
    struct page *page =
        (struct page *)(void *)segment_file_chunk(file, segment_file_find_chunk(file, CHUNK_PAGE));
    size_t index = 0;

    while (index < PAGE_ENTRIES - 1 && entry_version(atomic_load(&page->entries[index])).units == 0)
        index++;
    return &page->entries[index];
}

static struct version *first_version(const struct segment_file *file)
{
    size_t offset = (size_t)entry_version(atomic_load(first_entry(file))).units * REFERENCE_UNIT_BYTES;

    return (struct version *)(void *)(file->bytes + offset);
}

static void change_entry(struct segment_file *file)
{
    atomic_fetch_or(first_entry(file), 0xfffffff0u);
}

static void change_entry_into_header(struct segment_file *file)
{
    atomic_store(first_entry(file), (atomic_load(first_entry(file)) & 0xffffffff00000000u) | 1);
}

static void change_version_size(struct segment_file *file)
{
    first_version(file)->value_size = 0xfffffff0u;
}

static void change_key_size(struct segment_file *file)
{
    first_version(file)->key_size = 0xffffu;
}

/* The shards have a number that the root tells; the directory follows them. Its deepest level, from the first shard on. */
static uint32_t *directory_of(const struct segment_file *file)
{
    unsigned char *root = file->bytes + segment_file_header(file)->root_offset;
    const struct table_root *table_root = (const struct table_root *)(const void *)root;

    return (uint32_t *)(void *)(root + sizeof(struct table_root) + table_root->shard_count * sizeof(struct shard)) +
           ((size_t)table_root->shard_count << table_root->directory_depth);
}

static void change_directory(struct segment_file *file)
{
    directory_of(file)[1] = 0xffff;
}

static void change_directory_to_block(struct segment_file *file)
{
    directory_of(file)[0] = segment_file_find_chunk(file, CHUNK_BLOCK);
}

static void change_shard_count(struct segment_file *file)
{
    struct table_root *root = (struct table_root *)(void *)(file->bytes + segment_file_header(file)->root_offset);

    root->shard_count = 3;
}

static void change_page_depth(struct segment_file *file)
{
    struct page *page =
        (struct page *)(void *)segment_file_chunk(file, segment_file_find_chunk(file, CHUNK_PAGE));

    page->depth = 77;
}

static struct process_slot *first_slot(const struct segment_file *file)
{
    return (struct process_slot *)(void *)segment_file_chunk(file, segment_file_find_chunk(file, CHUNK_SLOT));
}

static void change_commit_word(struct segment_file *file)
{
    atomic_store(&first_slot(file)->commit.word, 6);
}

/* Not any: who was killed before it came to its slot has left it empty and nobody's. */
static struct process_slot *claimed_slot(const struct segment_file *file)
{
    const struct segment_header *header = segment_file_header(file);

    for (unsigned block = 0; block < SEGMENT_SLOT_BLOCKS_MAX && atomic_load(&header->slot_blocks[block]) != 0; block++) {
        unsigned char *slots = segment_file_chunk(file, atomic_load(&header->slot_blocks[block]));

        for (unsigned i = 0; i < SLOTS_PER_BLOCK; i++) {
            struct process_slot *slot = (struct process_slot *)(void *)slots + i;

            if (atomic_load(&slot->claimed) != 0)
                return slot;
        }
    }
    driver_fail(NULL, "nobody had a slot");
}

static void change_redo_list(struct segment_file *file)
{
    struct process_slot *slot = claimed_slot(file);

    atomic_store(&slot->commit.redo_count, 1);
    slot->commit.built_in[0] = (struct redo_entry){.version = 3, .shard = 0, .kind = REDO_PUT};
    atomic_store(&slot->commit.pending, 1);
    atomic_store(&slot->commit.word, 2 * 2 + 1);
}

static void change_slot_block(struct segment_file *file)
{
    atomic_store(&segment_file_header(file)->slot_blocks[0], segment_file_find_chunk(file, CHUNK_PAGE));
}

Test(refusal, wrong_magic)
{
    refuses_damage(change_magic, "wrong magic");
}

Test(refusal, other_format_version)
{
    refuses_damage(change_format_version, "another format version: it is of format 5 ");
}

Test(refusal, chunk_count)
{
    refuses_damage(change_chunk_count, "header is damaged");
}

Test(refusal, horizon)
{
    refuses_damage(change_horizon, "cannot be trusted: horizon is in the future");
}

Test(refusal, chunk_owner)
{
    refuses_damage(change_owner, "cannot be trusted: a chunk's owner is no owner");
}

Test(refusal, page_entry_that_leads_outside)
{
    serves_the_rest(change_entry, "shard 0: ");
}

Test(refusal, page_entry_that_leads_into_the_header)
{
    serves_the_rest(change_entry_into_header, "shard 0: ");
}

Test(refusal, size_of_a_value)
{
    serves_the_rest(change_version_size, "shard 0: ");
}

Test(refusal, size_of_a_key)
{
    serves_the_rest(change_key_size, "shard 0: ");
}

Test(refusal, directory_that_leads_outside)
{
    serves_the_rest(change_directory, "shard 0: ");
}

Test(refusal, directory_that_leads_to_no_page)
{
    serves_the_rest(change_directory_to_block, "shard 0: ");
}

Test(refusal, root)
{
    refuses_damage(change_shard_count, "cannot be trusted: its table's root is damaged");
}

Test(refusal, depth_of_a_page)
{
    serves_the_rest(change_page_depth, "shard 0: ");
}

Test(refusal, commit_word)
{
    refuses_damage(change_commit_word, "cannot be trusted: a commit word");
}

Test(refusal, redo_list)
{
    serves_the_rest(change_redo_list, "shard 0: a committed log names what is no version");
}

Test(refusal, block_of_slots)
{
    refuses_damage(change_slot_block, "cannot be trusted: a block of slots");
}

static void path_of(const struct server *server, char path[SERVER_NAME_BYTES + 32])
{
    (void)snprintf(path, SERVER_NAME_BYTES + 32, "/dev/shm/hauskv-%s", server->name);
}

static void refuses_cut_at(off_t bytes, const char *reason)
{
    struct server server;
    char path[SERVER_NAME_BYTES + 32];

    leave_segment(&server);
    path_of(&server, path);
    cr_assert_eq(truncate(path, bytes), 0);

    refuses_and_keeps(&server, reason);
}

Test(refusal, truncated_in_the_data)
{
    refuses_cut_at(8 << 20, "header is damaged");
}

Test(refusal, truncated_in_the_header)
{
    refuses_cut_at(100, "too short");
}

Test(refusal, mode_that_lets_others_in)
{
    struct server server;
    char path[SERVER_NAME_BYTES + 32];

    leave_segment(&server);
    path_of(&server, path);
    cr_assert_eq(chmod(path, 0644), 0);

    cr_assert_eq(restart_in_vain(&server, "--discard=no"), 1);

    cr_assert(server_has_said(&server, "another mode than 0600 (0644)"));
    cr_assert(server_has_said(&server, "chmod 600 /dev/shm/hauskv-"));
    server_forget(&server);
    cr_assert_eq(restart_in_vain(&server, "--fresh"), 1, "it might be somebody else's");
    server_forget(&server);
    cr_assert_eq(chmod(path, 0600), 0);
    restart(&server, "--discard=no");
    expect_keys(&server);
    clean_up(&server);
}

Test(refusal, segment_of_another_user)
{
    struct server server;
    char path[SERVER_NAME_BYTES + 32];

    leave_segment(&server);
    path_of(&server, path);
    if (chown(path, 12345, (gid_t)-1) != 0) {
        server_unlink_segment(&server);
        cr_skip_test("not run: only root can give a segment away");
    }

    cr_assert_eq(restart_in_vain(&server, "--discard=no"), 1);

    cr_assert(server_has_said(&server, "belongs to another user (uid 12345, this is 0): run as that user, or take another --name"));
    cr_assert(server_has_segment(&server));
    server_forget(&server);
    server_unlink_segment(&server);
}

Test(refusal, segment_of_a_living_server)
{
    struct server server;
    struct server second;
    char pid[32];

    server_start(&server);
    put_keys(&server);
    (void)snprintf(pid, sizeof pid, "pid %d", (int)server.process);
    second = server;

    cr_assert_eq(restart_in_vain(&second, "--discard=no"), 1);
    cr_assert(server_has_said(&second, "is in use by the server with"));
    cr_assert(server_has_said(&second, pid));
    server_forget(&second);
    cr_assert_eq(restart_in_vain(&second, "--fresh"), 1);
    cr_assert(server_has_said(&second, "is in use by the server with"));
    server_forget(&second);

    expect_keys(&server);
    server_stop(&server);
}

/* A stopped process does not hear that its master is dead. The heir ends those that it can tell by their maps. */
Test(restart, takes_over_from_a_killed_master_with_a_stopped_worker)
{
    struct server server;
    struct client client;
    pid_t worker;
    pid_t heir;
    bool is_ended;

    server_start(&server, "--discard=no");
    put_keys(&server);
    client_connect(&client, &server);
    worker = client_worker(&client);
    cr_assert_eq(kill(worker, SIGSTOP), 0);
    eventually(process_is_stopped(worker));
    server_signal(&server, SIGKILL);
    (void)server_wait(&server);
    server_forget(&server);

    heir = server_launch(STDERR_FILENO, (const char *const[]){"--name", server.name, "--port", "0", NULL});
    eventually(!driver_process_lives(worker) || !driver_process_lives(heir));
    is_ended = !driver_process_lives(worker);
    (void)kill(worker, SIGKILL); /* where the test fails, it would stay for ever */
    (void)kill(heir, SIGTERM);
    (void)process_wait(heir);

    client_close(&client);
    server_unlink_segment(&server);
    cr_assert(is_ended);
}

/* A master that died while it made its segment has put nothing into it that could be lost. */
Test(restart, half_born_segment_is_in_nobodys_way)
{
    struct server server;
    struct segment_file file;
    struct client client;

    leave_segment(&server);
    file = segment_file_map(&server);
    memset(file.bytes, 0, file.size);
    segment_file_unmap(&file);

    restart(&server, "--discard=no");

    client_connect(&client, &server);
    client_expect(&client, "COUNT", REPLY_NUMBER("0"));
    client_close(&client);
    clean_up(&server);
}
