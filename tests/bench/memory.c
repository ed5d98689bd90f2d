/* Bytes per key: memory [--quick] [KEYS], default 1000000 keys of 16 bytes.
 *
 * The smallest limit (--memory, maxmemory with noeviction, -m) with which all keys
 * with values of 64 and of 16 bytes can be stored, and with which each can then be
 * overwritten once, found by bisection; what the servers say they use, and what
 * the system says they have. Then churn: values of mixed sizes are overwritten and
 * deleted again and again, and what is used is compared with what is stored. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load/loader.h"
#include "load/report.h"
#include "load/server.h"
#include "load/server_list.h"
#include "load/workload.h"
#include "platform/decimal.h"

#define MEBIBYTE ((uint64_t)1 << 20)
#define KEY_BYTES 16u
#define CHURN_VALUE_BYTES_MIN_LOG 4u  /* 16 bytes */
#define CHURN_VALUE_BYTES_MAX_LOG 12u /* to 8 KiB, each power of two as often as any other */
#define CHURN_KEYS_SHARE 10u          /* one key for so many of the load: they are larger */
#define CHURN_ROUNDS 10u
#define CHURN_LIMIT_PER_KEY 2800u     /* about twice what is stored */
#define CHURN_LIMIT_MIN (32 * MEBIBYTE)

struct load {
    uint64_t keys;
    size_t value_bytes;
    bool overwrites;
};

/* What is used for a load with a given limit. */
struct use {
    uint64_t said;     /* by the server: used_bytes, used_memory, bytes of slab pages */
    uint64_t resident; /* by the system: own memory and the segment */
};

_Noreturn static void give_up(const char *what)
{
    (void)fprintf(stderr, "memory: %s\n", what);
    exit(1);
}

static void start(struct load_server *server, const struct server_kind *kind, uint64_t limit)
{
    const struct server_needs needs = {.connections = 8, .value_bytes = 8192, .memory_bytes = limit};

    if (!load_server_start(server, kind, &needs))
        give_up("a server does not start");
}

static struct bytes key_of(uint64_t number, char text[WORKLOAD_KEY_BYTES_MAX])
{
    return workload_key(&workload_default, number, text);
}

static void open_loader(struct loader *loader, const struct load_server *server)
{
    if (!loader_open(loader, server->kind->protocol, &server->endpoint))
        give_up("cannot connect");
}

static bool put_all(struct loader *loader, const struct load *load, char content)
{
    char *value = malloc(load->value_bytes);

    REQUIRE(value != NULL);
    memset(value, content, load->value_bytes);
    for (uint64_t i = 0; i < load->keys && loader->full == 0; i++) {
        char text[WORKLOAD_KEY_BYTES_MAX];

        if (!loader_put(loader, key_of(i, text), bytes_from(value, load->value_bytes)))
            give_up("a connection failed");
    }
    free(value);
    if (!loader_flush(loader) || loader->failed > 0)
        give_up("a write failed");
    return loader->full == 0;
}

/* The number behind a name in the answer to a question; 0 if there is none. */
static uint64_t ask(struct loader *loader, const char *question, const char *end, const char *name)
{
    const char *answer = loader_ask(loader, question, end);
    const char *found = answer == NULL ? NULL : strstr(answer, name);

    return found == NULL ? 0 : strtoull(found + strlen(name), NULL, 10);
}

static uint64_t ask_used(struct loader *loader, const struct server_kind *kind)
{
    if (kind->protocol == &protocol_text)
        return ask(loader, "STATS\n", "\n", "\"used_bytes\": ");
    if (kind->protocol == &protocol_resp)
        return ask(loader, "INFO memory\r\n", "\r\n\r\n", "used_memory:");
    return ask(loader, "stats slabs\r\n", "END\r\n", "STAT total_malloced ");
}

/* memcached does not refuse, it forgets. */
static bool has_forgotten(struct loader *loader, const struct server_kind *kind)
{
    return kind->protocol == &protocol_memcached && ask(loader, "stats\r\n", "END\r\n", "STAT evictions ") > 0;
}

/* Whether the load fits; *use tells what it took if it did. */
static bool fits(const struct server_kind *kind, const struct load *load, uint64_t limit, struct use *use)
{
    struct load_server server;
    struct server_memory memory;
    struct loader loader;
    bool does_fit;

    start(&server, kind, limit);
    open_loader(&loader, &server);
    does_fit = put_all(&loader, load, 'a') && (!load->overwrites || put_all(&loader, load, 'b')) &&
               !has_forgotten(&loader, kind);
    if (does_fit) {
        load_server_memory(&server, &memory);
        use->resident = server_memory_sum(&memory);
        use->said = ask_used(&loader, kind);
    }
    loader_close(&loader);
    load_server_stop(&server);
    return does_fit;
}

/* In whole MiB, larger than one that is known not to do; 0: more than twice what any of the servers should need. */
static uint64_t smallest_limit(const struct server_kind *kind, const struct load *load, uint64_t too_small,
                               struct use *use)
{
    uint64_t least = too_small / MEBIBYTE;
    uint64_t most = least + 1;
    uint64_t end = load->keys * (KEY_BYTES + load->value_bytes + 256) / MEBIBYTE + 64;

    while (!fits(kind, load, most * MEBIBYTE, use)) {
        if (most >= end)
            return 0;
        least = most;
        most += 1 + most / 8;
    }
    while (most - least > 1) {
        uint64_t middle = least + (most - least) / 2;

        if (fits(kind, load, middle * MEBIBYTE, use))
            most = middle;
        else
            least = middle;
    }
    return most * MEBIBYTE;
}

static double per_key(uint64_t bytes, const struct load *load)
{
    return (double)bytes / (double)load->keys;
}

/* Bytes per key of the smallest limit. */
static double measure_load(const struct server_kind *kind, struct load load)
{
    struct use use = {0};
    struct use overwritten_use = {0};
    uint64_t limit;
    uint64_t overwritten;

    limit = smallest_limit(kind, &load, load.keys * (KEY_BYTES + load.value_bytes), &use);
    load.overwrites = true;
    overwritten = smallest_limit(kind, &load, limit - MEBIBYTE, &overwritten_use);
    printf("| %s | %u + %zu | %ju | %.1f | %.1f | %.1f | %.1f | %ju | %.1f |\n", kind->name, KEY_BYTES,
           load.value_bytes, (uintmax_t)(limit / MEBIBYTE), per_key(limit, &load),
           per_key(limit, &load) - (double)(KEY_BYTES + load.value_bytes), per_key(use.said, &load),
           per_key(use.resident, &load), (uintmax_t)(overwritten / MEBIBYTE), per_key(overwritten, &load));
    (void)fflush(stdout);
    return per_key(limit, &load);
}

/* Of the first server, hauskv, beside the others. */
static void report_goals(const double *bytes, unsigned count)
{
    double least = 0;
    struct spread spread = {bytes[0], bytes[0], bytes[0]};
    struct goal goal = {"bytes per key, 16 + 64, smallest limit", "less than both", 0, 120, " B", true};

    for (unsigned i = 1; i < count; i++) {
        if (bytes[i] > 0 && (least == 0 || bytes[i] < least))
            least = bytes[i];
    }
    goal.at_least = least;
    printf("\n");
    report_goal_head(stdout, 0);
    report_goal(stdout, &goal, &spread, "the aim is 40 B beside key and value");
    printf("\n");
}

static void measure_loads(const struct server_list *servers, uint64_t keys)
{
    static const size_t value_bytes[] = {64, 16};
    double bytes[CONTENDERS_MAX] = {0};

    printf("%ju keys; limits are the smallest that hold them, in whole MiB; the others are bytes per key:\n\n"
           "| server | key + value | limit MiB | limit | limit beside key and value | used, as it says | resident | "
           "limit MiB, overwritten once | limit |\n| --- | --- | --: | --: | --: | --: | --: | --: | --: |\n",
           (uintmax_t)keys);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned j = 0; j < servers->count; j++) {
            const struct load load = {.keys = keys, .value_bytes = value_bytes[i]};
            double measured = measure_load(servers->kinds[j], load);

            if (i == 0)
                bytes[j] = measured;
        }
    }
    report_goals(bytes, servers->count);
}

/* Churn. */

struct churn {
    unsigned *sizes; /* of each value; 0: the key is not there */
    uint64_t stored; /* bytes of keys and values that are there */
    uint64_t random;
};

static unsigned pick_size(struct churn *churn)
{
    uint64_t steps = CHURN_VALUE_BYTES_MAX_LOG - CHURN_VALUE_BYTES_MIN_LOG + 1;
    unsigned base = 1u << (CHURN_VALUE_BYTES_MIN_LOG + workload_random(&churn->random) % steps);

    return base + (unsigned)(workload_random(&churn->random) % base);
}

/* Writes a value of another size, or, once in ten times, deletes. */
static void change(struct churn *churn, struct loader *loader, uint64_t key, bool may_delete)
{
    static char value[2u << CHURN_VALUE_BYTES_MAX_LOG];
    char text[WORKLOAD_KEY_BYTES_MAX];
    unsigned *size = &churn->sizes[key];
    bool is_sent;

    churn->stored -= *size == 0 ? 0 : *size + KEY_BYTES;
    *size = may_delete && workload_random(&churn->random) % 10 == 0 ? 0 : pick_size(churn);
    churn->stored += *size == 0 ? 0 : *size + KEY_BYTES;
    memset(value, 'v', *size);
    is_sent = *size == 0 ? loader_del(loader, key_of(key, text))
                         : loader_put(loader, key_of(key, text), bytes_from(value, *size));
    if (!is_sent)
        give_up("a connection failed");
}

static void report_churn(const struct churn *churn, struct loader *loader, const struct load_server *server,
                         const char *when)
{
    struct server_memory memory;
    uint64_t resident;
    uint64_t said;

    if (!loader_flush(loader) || loader->failed > 0)
        give_up("a write failed");
    said = ask_used(loader, server->kind);
    load_server_memory(server, &memory);
    resident = memory.tree.own + (memory.segment > 0 ? said : 0);
    printf("| %s | %s | %.1f | %.1f | %.3f | %.1f |", server->kind->name, when,
           (double)churn->stored / (double)MEBIBYTE, (double)said / (double)MEBIBYTE,
           (double)said / (double)churn->stored, (double)resident / (double)MEBIBYTE);
    printf(" %ju refused%s |\n", (uintmax_t)loader->full,
           has_forgotten(loader, server->kind) ? ", keys were evicted" : "");
    (void)fflush(stdout);
}

static void churn_server(const struct server_kind *kind, uint64_t keys)
{
    struct churn churn = {.sizes = calloc(keys, sizeof(unsigned)), .random = 88172645463325252u};
    struct load_server server;
    struct loader loader;

    REQUIRE(churn.sizes != NULL);
    start(&server, kind, CHURN_LIMIT_MIN + keys * CHURN_LIMIT_PER_KEY);
    open_loader(&loader, &server);
    for (uint64_t i = 0; i < keys; i++)
        change(&churn, &loader, i, false);
    report_churn(&churn, &loader, &server, "filled");
    for (uint64_t i = 0; i < keys * CHURN_ROUNDS; i++)
        change(&churn, &loader, workload_random(&churn.random) % keys, true);
    report_churn(&churn, &loader, &server, "churned");
    loader_close(&loader);
    load_server_stop(&server);
    free(churn.sizes);
}

static void measure_churn(const struct server_list *servers, uint64_t keys)
{
    printf("%ju keys with values of %u bytes to %u KiB, a limit of about twice that; churned: overwritten (9 of 10) or "
           "deleted %u times each:\n\n"
           "| server | | stored MiB | used, as it says, MiB | used / stored | resident MiB | writes |\n"
           "| --- | --- | --: | --: | --: | --: | --- |\n",
           (uintmax_t)keys, 1u << CHURN_VALUE_BYTES_MIN_LOG, 2u << (CHURN_VALUE_BYTES_MAX_LOG - 10), CHURN_ROUNDS);
    for (unsigned i = 0; i < servers->count; i++)
        churn_server(servers->kinds[i], keys);
    printf("\nhauskv reserves its segment whole; its resident part is what it uses of it and its own memory.\n"
           "Where writes were refused or keys evicted, less is stored than it says.\n");
}

int main(int count, char **arguments)
{
    struct server_list servers = {.count = 0};
    char reason[SERVER_LIST_REASON_BYTES];
    uint64_t keys = 1000000;

    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--quick") == 0) {
            keys = 50000;
        } else if (!decimal_read(bytes_from_string(arguments[i]), &keys) || keys < 50000 || keys > 100000000) {
            (void)fprintf(stderr, "usage: memory [--quick] [KEYS]\n");
            return 2;
        }
    }
    if (!server_list_ask(&servers, "hauskv", reason))
        give_up(reason);
    server_list_add_present(&servers, "redis,memcached", stdout);
    measure_loads(&servers, keys);
    measure_churn(&servers, keys / CHURN_KEYS_SHARE);
    return 0;
}
