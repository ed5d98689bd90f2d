/* Dumps of segments that something has damaged: what can be read is, and what is
 * missing is told of. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <criterion/criterion.h>

#include "support/process.h"
#include "survival/storm_client.h"
#include "survival/survival_support.h"
#include "table/table.h"

TestSuite(salvage, .timeout = 120);

#define KEYS 1000u
#define LARGE_BYTES 50000u

static void put_keys(const struct server *server)
{
    struct client client;
    struct text lines = {0};

    client_connect(&client, server);
    for (unsigned i = 0; i < KEYS; i++)
        text_format(&lines, "PUT key%04u value%u\n", i, i);
    client_send(&client, text_bytes(&lines));
    client_expect_ok_times(&client, KEYS);
    text_clear(&lines);
    text_format(&lines, "PUT large ");
    text_append_repeated(&lines, 'l', LARGE_BYTES);
    client_expect_bytes(&client, text_bytes(&lines), REPLY_OK);
    client_expect(&client, "DEL key0000", REPLY_OK);
    text_deinit(&lines);
    client_close(&client);
}

/* 1000 pairs are left: key0001 to key0999 and a large one, over four shards. */
static void leave(struct server *server, struct segment_file *file)
{
    server_start(server, "--discard=no", "--memory", "16m");
    put_keys(server);
    server_signal(server, SIGTERM);
    cr_assert_eq(server_wait(server), 0);
    *file = segment_file_map(server);
}

static void forget(struct server *server, struct segment_file *file)
{
    segment_file_unmap(file);
    server_unlink_segment(server);
    server_forget(server);
}

static unsigned count_lines(const struct text *text)
{
    unsigned count = 0;

    for (size_t i = 0; i < text->size; i++)
        count += text->data[i] == '\n';
    return count;
}

static struct run dump_of(const struct server *server)
{
    return server_run("--inspect", server->name, "--dump");
}

/* Every line is one of a pair that was put. */
static void expect_no_wrong_line(const struct text *output)
{
    for (const char *line = output->data; *line != '\0'; line = strchr(line, '\n') + 1) {
        unsigned key = 0;
        unsigned value = 0;

        if (strncmp(line, "{\"key\": \"large\", \"value\": \"lll", 30) == 0)
            continue;
        /* NOLINTNEXTLINE(cert-err34-c): what is no number is no line that was put */
        cr_assert_eq(sscanf(line, "{\"key\": \"key%4u\", \"value\": \"value%u\"}\n", &key, &value), 2, "%.60s", line);
        cr_assert_eq(key, value);
        cr_assert_neq(key, 0, "it was deleted");
    }
}

/* The dump has that many lines, all true, that status, and its errors say this. */
static void expect_dump(const struct server *server, int exit_status, unsigned lines, const char *words)
{
    struct run run = dump_of(server);

    cr_assert_eq(run.exit_status, exit_status, "%s", run.errors.data);
    cr_assert_eq(count_lines(&run.output), lines, "%u: %s", count_lines(&run.output), run.errors.data);
    expect_no_wrong_line(&run.output);
    cr_assert_not_null(strstr(run.errors.data, words), "%s", run.errors.data);
    run_deinit(&run);
}

static unsigned char *version_of(const struct segment_file *file, const char *key)
{
    unsigned char *found = memmem(file->bytes, file->size, key, strlen(key));

    cr_assert_not_null(found);
    return found - sizeof(struct version);
}

static void store_32(unsigned char *place, uint32_t word)
{
    memcpy(place, &word, sizeof word);
}

static void store_64(unsigned char *place, uint64_t word)
{
    memcpy(place, &word, sizeof word);
}

static struct shard *shard_of(const struct segment_file *file, unsigned shard)
{
    return (struct shard *)(void *)(file->bytes + segment_file_header(file)->root_offset + sizeof(struct table_root)) + shard;
}

Test(salvage, whole_segment_is_dumped_whole)
{
    struct server server;
    struct segment_file file;
    uint64_t sum;

    leave(&server, &file);
    sum = segment_file_sum(&server);

    expect_dump(&server, 0, KEYS, "1000 pairs");

    cr_assert_eq(segment_file_sum(&server), sum, "it was changed");
    forget(&server, &file);
}

Test(salvage, bad_value_size_costs_its_pair)
{
    struct server server;
    struct segment_file file;

    leave(&server, &file);
    store_32(version_of(&file, "key0777") + offsetof(struct version, value_size), 0x7fffffff);

    expect_dump(&server, 3, KEYS - 1, "lost: key0777: its value's size is impossible");
    expect_dump(&server, 3, KEYS - 1, "999 pairs could be read, 1 or more could not");

    store_32(version_of(&file, "key0777") + offsetof(struct version, value_size), 3000);
    expect_dump(&server, 3, KEYS - 1, "lost: key0777: its value's size does not fit its place");
    forget(&server, &file);
}

Test(salvage, lost_part_of_a_large_value_costs_its_pair)
{
    struct server server;
    struct segment_file file;
    uint32_t *owners;

    leave(&server, &file);
    owners = (uint32_t *)(void *)(file.bytes + segment_file_header(&file)->owners_offset);
    owners[segment_file_find_chunk(&file, CHUNK_VALUE)] = 0;

    expect_dump(&server, 3, KEYS - 1, "lost: large: a part of its value is lost");

    forget(&server, &file);
}

Test(salvage, overwritten_key_costs_its_pair)
{
    struct server server;
    struct segment_file file;

    leave(&server, &file);
    /* Whatever shards these keys are of. */
    for (unsigned char bits = 1; bits < 20; bits++) {
        unsigned char *place = version_of(&file, "ey0777") - 1 + sizeof(struct version);
        unsigned char first = *place;

        *place ^= bits;
        expect_dump(&server, 3, KEYS - 1, "999 pairs could be read, 1 or more could not");
        *place = first;
    }

    forget(&server, &file);
}

Test(salvage, quarantined_shard_is_named_and_the_others_are_dumped)
{
    struct server server;
    struct segment_file file;

    leave(&server, &file);
    atomic_store(&shard_of(&file, 2)->is_set_aside, 1);

    expect_dump(&server, 3, KEYS, "shard 2: it was quarantined");

    forget(&server, &file);
}

/* A living server serves and dumps the others. */
Test(salvage, quarantined_shard_of_a_living_server_is_named)
{
    struct server server;
    struct server next;
    struct segment_file file;
    unsigned lost;
    unsigned lost_of_two;

    leave(&server, &file);
    lost = (unsigned)atomic_load(&shard_of(&file, 2)->key_count);
    lost_of_two = lost + (unsigned)atomic_load(&shard_of(&file, 3)->key_count);
    atomic_store(&shard_of(&file, 2)->is_set_aside, 1);
    server_start(&next, "--name", server.name, "--discard=no");
    expect_dump(&next, 3, KEYS - lost, "; missing are those of the shards that are set aside: 2");
    server_stop(&next);

    atomic_store(&shard_of(&file, 3)->is_set_aside, 1); /* the last one */
    server_start(&next, "--name", server.name, "--discard=no");
    expect_dump(&next, 3, KEYS - lost_of_two, "; missing are those of the shards that are set aside: 2, 3");
    server_stop(&next);

    expect_dump(&server, 3, KEYS, "shard 2: it was quarantined"); /* a dead one has nothing to lose */
    forget(&server, &file);
}

/* What is said twice over is found out. */
Test(salvage, damaged_words_cost_nothing)
{
    struct server server;
    struct segment_file file;
    struct segment_header *header;
    struct segment_header saved;
    struct table_root root;
    struct table_root *root_place;

    leave(&server, &file);
    header = segment_file_header(&file);
    memcpy(&saved, header, sizeof saved);
    root_place = (struct table_root *)(void *)(file.bytes + header->root_offset);
    root = *root_place;

    header->bytes = UINT64_MAX;
    expect_dump(&server, 3, KEYS, "words of the header are damaged");
    memcpy(header, &saved, sizeof saved);
    header->root_offset += 64;
    expect_dump(&server, 3, KEYS, "words of the header are damaged");
    memcpy(header, &saved, sizeof saved);
    header->chunk_count = 7;
    header->chunks_offset = 0;
    expect_dump(&server, 3, KEYS, "words of the header are damaged");
    memcpy(header, &saved, sizeof saved);
    header->magic = 0;
    expect_dump(&server, 3, KEYS, "words of the header are damaged");
    memcpy(header, &saved, sizeof saved);
    header->hash_key[3] ^= 0xff;
    expect_dump(&server, 3, KEYS, "the hash key is damaged");
    memcpy(header, &saved, sizeof saved);
    atomic_store(&header->clock, 3);
    expect_dump(&server, 3, KEYS, "impossible times");
    memcpy(header, &saved, sizeof saved);
    atomic_store(&header->slot_blocks[0], UINT32_MAX);
    expect_dump(&server, 3, KEYS, "blocks of slots are damaged");
    memcpy(header, &saved, sizeof saved);
    root_place->shard_count = 3;
    expect_dump(&server, 3, KEYS, "the table's root is damaged");
    root_place->shard_count = 64;
    expect_dump(&server, 3, KEYS, "the table's root is damaged");
    *root_place = root;

    expect_dump(&server, 0, KEYS, "1000 pairs");
    forget(&server, &file);
}

/* Whose a chunk is, is said by its owner's word, and proved by the keys in it. */
Test(salvage, damaged_owners_cost_nothing)
{
    struct server server;
    struct segment_file file;
    uint32_t *owners;
    uint32_t number;

    leave(&server, &file);
    owners = (uint32_t *)(void *)(file.bytes + segment_file_header(&file)->owners_offset);

    number = segment_file_find_chunk(&file, CHUNK_BLOCK);
    owners[number] = 0;
    expect_dump(&server, 3, KEYS, "pairs lie in a chunk that is said to be another's");
    owners[number] = UINT32_MAX;
    expect_dump(&server, 3, KEYS, "pairs lie in a chunk that is said to be another's");
    for (number = 1; number <= segment_file_header(&file)->chunk_count; number++)
        if (chunk_owner_kind(owners[number]) == CHUNK_PAGE)
            owners[number] = 0;
    expect_dump(&server, 3, KEYS, "headers of pages are damaged");
    forget(&server, &file);
}

static uint32_t page_of(const struct segment_file *file, unsigned shard)
{
    const struct segment_header *header = segment_file_header(file);
    const uint32_t *owners = (const uint32_t *)(const void *)(file->bytes + header->owners_offset);

    for (uint32_t number = 1; number <= header->chunk_count; number++)
        if (owners[number] == chunk_owner_word(CHUNK_PAGE, 0, shard))
            return number;
    driver_fail(NULL, "shard %u has no page", shard);
}

Test(salvage, directory_and_pages_vouch_for_each_other)
{
    struct server server;
    struct segment_file file;
    struct segment_header *header;
    struct table_root *root;
    uint32_t *directory;
    struct page *page;
    uint32_t page_number;

    leave(&server, &file);
    header = segment_file_header(&file);
    root = (struct table_root *)(void *)(file.bytes + header->root_offset);
    directory = (uint32_t *)(void *)shard_of(&file, root->shard_count);
    page_number = page_of(&file, 1);
    page = (struct page *)(void *)segment_file_chunk(&file, page_number);

    /* The directory of shard 1. */
    memset(directory + ((size_t)(root->shard_count + 1) << root->directory_depth), 0xff,
           sizeof(uint32_t) << root->directory_depth);
    expect_dump(&server, 3, KEYS, "shard 1: entries of its directory are damaged; their page was found without");
    for (size_t i = 0; i < (size_t)1 << root->directory_depth; i++)
        directory[((size_t)(root->shard_count + 1) << root->directory_depth) + i] = page_number;
    expect_dump(&server, 0, KEYS, "1000 pairs");

    /* The page's header. */
    page->depth = 17;
    expect_dump(&server, 3, KEYS, "shard 1: headers of pages are damaged");
    page->depth = 0;
    atomic_store(&page->replaced_by, UINT64_MAX);
    expect_dump(&server, 3, KEYS, "shard 1: headers of pages are damaged");
    atomic_store(&page->replaced_by, (uint64_t)page_number << 32 | page_number); /* a circle */
    expect_dump(&server, 3, KEYS, "shard 1: headers of pages are damaged");
    atomic_store(&page->replaced_by, 0);
    forget(&server, &file);
}

static uint64_t keys_of(const struct segment_file *file, unsigned shard)
{
    return atomic_load(&shard_of(file, shard)->key_count);
}

Test(salvage, lost_page_is_told_of)
{
    struct server server;
    struct segment_file file;
    unsigned lost;
    char words[96];
    unsigned char *page;

    leave(&server, &file);
    lost = (unsigned)keys_of(&file, 1);
    page = segment_file_chunk(&file, page_of(&file, 1));

    (void)snprintf(words, sizeof words, "shard 1: keys that it counted are not there (%u)", lost);
    memset(page, 0, CHUNK_BYTES);
    expect_dump(&server, 3, KEYS - lost, words);
    memset(page, 0xff, CHUNK_BYTES);
    expect_dump(&server, 3, KEYS - lost, "shard 1: entries name no pair of this shard");
    (void)snprintf(words, sizeof words, "%u pairs could be read, ", KEYS - lost);
    expect_dump(&server, 3, KEYS - lost, words);
    forget(&server, &file);
}

Test(salvage, chain_that_is_a_circle_ends)
{
    struct server server;
    struct segment_file file;
    unsigned char *version;

    leave(&server, &file);
    version = version_of(&file, "key0777");
    store_32(version + offsetof(struct version, older), (uint32_t)((size_t)(version - file.bytes) / REFERENCE_UNIT_BYTES));

    expect_dump(&server, 0, KEYS, "1000 pairs"); /* what is older is no matter */

    store_64(version + offsetof(struct version, end), 1);
    expect_dump(&server, 3, KEYS, "impossible times");
    forget(&server, &file);
}

Test(salvage, file_that_was_cut_is_read_as_far_as_it_goes)
{
    struct server server;
    struct segment_file file;
    char path[128];
    struct run run;
    size_t chunks_offset;

    leave(&server, &file);
    chunks_offset = (size_t)segment_file_header(&file)->chunks_offset;
    segment_file_unmap(&file);
    (void)snprintf(path, sizeof path, "/dev/shm/hauskv-%s", server.name);

    cr_assert_eq(truncate(path, (off_t)(chunks_offset + 6 * CHUNK_BYTES)), 0);
    run = dump_of(&server);
    cr_assert_neq(run.exit_status, 0);
    expect_no_wrong_line(&run.output);
    cr_assert_not_null(strstr(run.errors.data, "the file is shorter than the segment"), "%s", run.errors.data);
    run_deinit(&run);
    cr_assert_eq(truncate(path, 1000), 0);
    expect_dump(&server, 1, 0, "so damaged that nothing can be found");
    cr_assert_eq(truncate(path, 0), 0);
    expect_dump(&server, 1, 0, "the segment's file is empty");
    server_unlink_segment(&server);
    server_forget(&server);
}

Test(salvage, pairs_of_another_build_are_dumped_and_another_format_is_named)
{
    struct server server;
    struct segment_file file;
    struct run run;

    leave(&server, &file);
    segment_file_header(&file)->fingerprint ^= 0x1234;
    expect_dump(&server, 0, KEYS, "1000 pairs");
    run = server_run("--inspect", server.name);
    cr_assert_not_null(strstr(run.output.data, "readable: all; --dump writes 1000 pairs"), "%s", run.output.data);
    run_deinit(&run);

    segment_file_header(&file)->format_version = 7;
    expect_dump(&server, 1, 0, "the segment is of format 7; this program reads format 4");
    forget(&server, &file);
}

static int compare_lines(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

/* In place; the order of a dump has no meaning. */
static size_t sort_lines(struct text *text, char *lines[], size_t max)
{
    size_t count = 0;

    for (char *line = strtok(text->data, "\n"); line != NULL && count < max; line = strtok(NULL, "\n"))
        lines[count++] = line;
    qsort(lines, count, sizeof *lines, compare_lines);
    return count;
}

#define LINES_MAX 100000u

static void expect_same_lines(struct text *left, struct text *right)
{
    char **left_lines = malloc(LINES_MAX * sizeof *left_lines);
    char **right_lines = malloc(LINES_MAX * sizeof *right_lines);
    size_t count = sort_lines(left, left_lines, LINES_MAX);

    cr_assert_eq(sort_lines(right, right_lines, LINES_MAX), count);
    for (size_t i = 0; i < count; i++)
        cr_assert_str_eq(left_lines[i], right_lines[i]);
    free(left_lines);
    free(right_lines);
}

static int64_t coins_of(const struct text *dump)
{
    int64_t sum = 0;

    for (const char *found = dump->data; (found = strstr(found, "{\"key\": \"account")) != NULL; found++)
        sum += strtoll(strstr(found, "\"value\": \"") + 10, NULL, 10);
    return sum;
}

#define STORM_ROUNDS 8u
#define CLIENTS 3u

/* Killed at whatever instruction: what a dump of the dead shows is what the restart finds. */
Test(salvage, of_a_killed_server_loses_nothing_and_halves_nothing)
{
    struct storm *storm = process_shared_memory(sizeof *storm);
    struct storm_client_job jobs[CLIENTS];
    struct server server;
    struct client client;
    char name[SERVER_NAME_BYTES];
    char line[64];

    server_start(&server, "--memory", "64m", "--bind", "127.0.0.1", "--discard=no");
    memcpy(name, server.name, sizeof name);
    storm->seed = clock_monotonic_ns();
    fprintf(stderr, "storm seed %ju\n", (uintmax_t)storm->seed);
    client_connect(&client, &server);
    for (unsigned i = 0; i < STORM_ACCOUNTS; i++) {
        (void)snprintf(line, sizeof line, "PUT account%u %d", i, STORM_COINS_AT_FIRST);
        client_expect(&client, line, REPLY_OK);
    }
    client_close(&client);
    for (unsigned round = 0; round < STORM_ROUNDS; round++) {
        pid_t clients[CLIENTS];
        struct run dead;
        struct run living;

        atomic_store(&storm->port, server_port(&server, 0));
        for (unsigned i = 0; i < CLIENTS; i++) {
            jobs[i] = (struct storm_client_job){storm, i};
            clients[i] = process_start(storm_client_run, &jobs[i]);
        }
        (void)usleep(20000 + round * 3000);
        server_kill_all(&server);
        for (unsigned i = 0; i < CLIENTS; i++)
            (void)process_kill(clients[i]);
        server_forget(&server);
        dead = server_run("--inspect", name, "--dump");
        server_start(&server, "--name", name, "--memory", "64m", "--bind", "127.0.0.1", "--discard=no");
        living = server_run("--inspect", name, "--dump");
        cr_assert_eq(dead.exit_status, 0, "%s", dead.errors.data);
        cr_assert_eq(living.exit_status, 0, "%s", living.errors.data);
        cr_assert_eq(coins_of(&dead.output), (int64_t)STORM_ACCOUNTS * STORM_COINS_AT_FIRST);
        expect_same_lines(&dead.output, &living.output);
        run_deinit(&dead);
        run_deinit(&living);
    }
    server_kill(&server);
}
