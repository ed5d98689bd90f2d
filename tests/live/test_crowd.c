/* Many connections, one after the other and at the same time: whatever they do,
 * nothing of them is left when they have gone. For a long run:
 *   SOAK_CONNECTIONS=100000 SOAK_CROWD=1000 build/tests/live --filter crowd/'*' */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <criterion/criterion.h>

#include "live/live_support.h"
#include "support/process.h"
#include "support/store_random.h"

#define VISITORS 8u
#define CONNECTIONS_USUAL 4000u
#define VISITS_SPARE_MAX 8u
#define CROWD_USUAL 200u
#define CROWD_MAX 1000u
#define SPARE_MAX 32u
#define CHILDREN_MAX 2048u

/* What the master may have more of its own after all: a page here and there, but nothing that grows with connections. */
#define MASTER_KIB_MORE 256u
/* The same for the segment, 4 chunks: how many places for processes it has had to make depends on how many of them met,
 * and a worker that comes may meet one that has not quite gone. One byte lost per visit would show in a long run. */
#define USED_BYTES_MORE ((uint64_t)64 << 10)

TestSuite(crowd, .timeout = 3600);

/* --- what a server holds --- */

struct holdings {
    uint64_t used_bytes;
    unsigned descriptors; /* of that process of the server that has most */
    unsigned processes;
    unsigned long master_kib;
};

static unsigned descriptor_count(pid_t process)
{
    char path[64];
    DIR *folder;
    const struct dirent *entry;
    unsigned count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)process);
    folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        count += entry->d_name[0] != '.';
    if (folder != NULL)
        (void)closedir(folder);
    return count;
}

static struct holdings look(const struct server *server, struct client *observer)
{
    static pid_t children[CHILDREN_MAX];
    unsigned count = server_children(server, children, CHILDREN_MAX);
    struct holdings holdings = {
        .used_bytes = client_statistic(observer, "memory.used_bytes"),
        .descriptors = descriptor_count(server->process),
        .processes = count + 1,
        .master_kib = private_memory_kib(server, server->process),
    };

    for (unsigned i = 0; i < count && i < CHILDREN_MAX; i++) {
        unsigned of_child = descriptor_count(children[i]);

        holdings.descriptors = of_child > holdings.descriptors ? of_child : holdings.descriptors;
    }
    return holdings;
}

static bool is_no_more(struct holdings holdings, struct holdings than)
{
    return holdings.used_bytes <= than.used_bytes + USED_BYTES_MORE && holdings.descriptors <= than.descriptors &&
           holdings.processes <= than.processes && holdings.master_kib <= than.master_kib + MASTER_KIB_MORE;
}

static void print(const char *when, struct holdings holdings)
{
    fprintf(stderr,
            "figures: crowd, %s: %" PRIu64 " bytes of the segment in use, %u processes, %u descriptors in one at most, %lu KiB "
            "of the master's own\n",
            when, holdings.used_bytes, holdings.processes, holdings.descriptors, holdings.master_kib);
}

/* --- one after the other --- */

struct visits {
    const struct server *server;
    unsigned count; /* of each visitor */
};

static void leave_with_reset(struct client *client)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};

    (void)setsockopt(client->descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    client_close(client);
}

static void visit(const struct server *server, unsigned number)
{
    struct client client;

    client_connect_to(&client, server, server->listeners[number % server->listener_count]);
    switch (number % 7) {
    case 0: /* says nothing */
        break;
    case 1:
        client_expect(&client, "PUT a 1", REPLY_OK);
        break;
    case 2: /* leaves transactions open */
        client_expect(&client, "START", REPLY_OK);
        client_expect(&client, "PUT b 1", REPLY_OK);
        client_send_text(&client, "BEGIN\nBEGIN\nPUT c 1\n");
        break;
    case 3:
        client_send_text(&client, "PUT half a li");
        break;
    case 4: /* does not take its replies */
        client_send_text(&client, "STATS\nHELP\nSTATS\nHELP\n");
        break;
    case 5:
        client_expect(&client, "QUIT", REPLY_OK);
        client_expect_end(&client);
        break;
    default:
        client_expect_error(&client, "\xff", "invalid_utf8");
        leave_with_reset(&client);
        return;
    }
    client_close(&client);
}

static int visit_often(void *context)
{
    const struct visits *visits = context;

    for (unsigned i = 0; i < visits->count; i++)
        visit(visits->server, i);
    return 0;
}

static void have_visitors(const struct server *server, unsigned connections)
{
    struct visits visits = {server, connections / VISITORS};
    pid_t visitors[VISITORS];

    for (unsigned i = 0; i < VISITORS; i++)
        visitors[i] = process_start(visit_often, &visits);
    for (unsigned i = 0; i < VISITORS; i++)
        cr_assert_eq(process_wait(visitors[i]), 0);
}

/* Some may have gone before anybody accepted them. */
static void wait_for_the_end_of_visits(struct client *observer, unsigned connections)
{
    eventually(client_statistic(observer, "connections.accepted") == connections + 1);
    eventually(client_statistic(observer, "connections.open") == 1);
    eventually(client_statistic(observer, "workers.spare") <= VISITS_SPARE_MAX);
}

Test(crowd, connections_leave_nothing_behind)
{
    unsigned connections = (unsigned)store_environment_number("SOAK_CONNECTIONS", CONNECTIONS_USUAL);
    unsigned first = connections / 10 / VISITORS * VISITORS;
    unsigned rest = (connections - first) / VISITORS * VISITORS;
    struct server server;
    struct client observer;
    struct holdings before;

    server_start(&server, "--min-spare", "4", "--max-spare", "8");
    client_connect(&observer, &server);
    have_visitors(&server, first);
    wait_for_the_end_of_visits(&observer, first);
    before = look(&server, &observer);
    before.processes = 1 + VISITS_SPARE_MAX + 1 + 1; /* the master, the spare ones, the observer's, the housekeeper */
    print("after a tenth of the visits", before);

    have_visitors(&server, rest);

    wait_for_the_end_of_visits(&observer, first + rest);
    eventually(is_no_more(look(&server, &observer), before));
    fprintf(stderr, "figures: crowd: %u connections came and went\n", first + rest);
    print("after all of them", look(&server, &observer));
    cr_assert_eq(client_statistic(&observer, "connections.refused"), 0);
    cr_assert_eq(client_statistic(&observer, "transactions.open"), 0);
    client_close(&observer);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- at the same time --- */

static void connect_all(struct client *clients, unsigned count, const struct server *server)
{
    for (unsigned i = 0; i < count; i++)
        client_connect(&clients[i], server);
}

/* Everybody asks before anybody is listened to. */
static void expect_all_are_served(struct client *clients, unsigned count)
{
    char lines[64];
    char reply[64];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(lines, sizeof lines, "START\nPUT crowd%u %u\nGET crowd%u\n", i, i, i);
        client_send_text(&clients[i], lines);
    }
    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(reply, sizeof reply, REPLY_VALUE("%u"), i);
        client_expect_ok_times(&clients[i], 2);
        client_expect(&clients[i], NULL, reply);
    }
    for (unsigned i = 0; i < count; i++)
        client_expect(&clients[i], "COMMIT", REPLY_OK);
}

static int compare_processes(const void *left, const void *right)
{
    pid_t left_process = *(const pid_t *)left;
    pid_t right_process = *(const pid_t *)right;

    return (left_process > right_process) - (left_process < right_process);
}

static void expect_a_process_each(struct client *clients, unsigned count)
{
    static pid_t workers[CROWD_MAX];

    for (unsigned i = 0; i < count; i++) {
        workers[i] = client_worker(&clients[i]);
        cr_assert(driver_process_lives(workers[i]));
    }
    qsort(workers, count, sizeof *workers, compare_processes);
    for (unsigned i = 1; i < count; i++)
        cr_assert_neq(workers[i - 1], workers[i]);
}

/* They come, are served and go, all but the first. */
static struct holdings have_crowd(const struct server *server, struct client *clients, unsigned count)
{
    struct holdings holdings;

    connect_all(clients + 1, count - 1, server);
    expect_all_are_served(clients, count);
    expect_a_process_each(clients, count);
    cr_assert_eq(client_statistic(&clients[0], "connections.open"), count);
    holdings = look(server, &clients[0]);
    for (unsigned i = 1; i < count; i++)
        client_close(&clients[i]);
    eventually(client_statistic(&clients[0], "connections.open") == 1);
    eventually(client_statistic(&clients[0], "workers.spare") == SPARE_MAX);
    eventually(look(server, &clients[0]).processes == 1 + SPARE_MAX + 1 + 1);
    return holdings;
}

Test(crowd, everybody_has_a_process_and_afterwards_the_pool_is_small_again)
{
    static struct client clients[CROWD_MAX];
    unsigned count = (unsigned)store_environment_number("SOAK_CROWD", CROWD_USUAL);
    struct server server;
    struct holdings first;
    struct holdings afterwards;
    struct holdings second;

    cr_assert(count > SPARE_MAX && count <= CROWD_MAX);
    /* Every open transaction that writes has at least a chunk, 16 KiB, of the segment for it. */
    server_start(&server, "--memory", "64m");
    client_connect(&clients[0], &server);
    first = have_crowd(&server, clients, count);
    afterwards = look(&server, &clients[0]);
    second = have_crowd(&server, clients, count);

    fprintf(stderr, "figures: crowd: %u clients at once, each with a process of its own, twice\n", count);
    print("while the first was there", first);
    print("when it had gone", afterwards);
    print("while the second was there", second);
    print("when it had gone", look(&server, &clients[0]));
    cr_assert_leq(second.used_bytes, first.used_bytes + USED_BYTES_MORE);
    eventually(is_no_more(look(&server, &clients[0]), afterwards));
    cr_assert_eq(client_statistic(&clients[0], "connections.refused"), 0);
    client_close(&clients[0]);
    server_expect_unharmed(&server, 0);
    server_stop(&server);
}

/* --- who is asked for the next one --- */

/* How many descriptors the process watches by epoll(7): proc(5), /proc/[pid]/fdinfo. */
static unsigned watched_count(pid_t process)
{
    char path[64];
    DIR *folder;
    const struct dirent *entry;
    unsigned count = 0;

    (void)snprintf(path, sizeof path, "/proc/%d/fdinfo", (int)process);
    folder = opendir(path);
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        char file_path[sizeof path + sizeof entry->d_name];
        char line[128];
        FILE *file;

        (void)snprintf(file_path, sizeof file_path, "%s/%s", path, entry->d_name);
        file = fopen(file_path, "r");
        while (file != NULL && fgets(line, sizeof line, file) != NULL)
            count += strncmp(line, "tfd:", 4) == 0;
        if (file != NULL)
            (void)fclose(file);
    }
    if (folder != NULL)
        (void)closedir(folder);
    return count;
}

/* The system goes through all that watch for each connection that comes. */
Test(crowd, who_serves_does_not_watch_for_connections)
{
    struct server server;
    struct client client;
    pid_t worker;

    server_start(&server);
    for (unsigned i = 0; i < 3; i++) {
        client_connect(&client, &server);
        worker = client_worker(&client);
        cr_assert_eq(watched_count(worker), 0);
        client_close(&client);
        eventually(watched_count(worker) == server.listener_count + 1); /* and the control socket */
    }
    server_stop(&server);
}
