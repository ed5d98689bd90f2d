#include "schedules/stage.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#include "session/connection.h"
#include "store/shared_store.h"
#include "support/process.h"
#include "support/server_driver.h"

#define COMMAND_BYTES_MAX ((size_t)1 << 20)

struct actor {
    struct client client; /* STAGE_DIRECT: none */
    pid_t process;
    struct store_session *store; /* STAGE_DIRECT only */
    struct session_counters counters;
    struct session session;
};

struct stage {
    enum stage_kind kind;
    unsigned actor_count;
    struct store_fixture fixture;
    struct store *store;                   /* the fixture's, or one with a flaw */
    _Atomic uint64_t *last_transaction_id; /* shared by all processes */
    unsigned deaths;
    struct server server;
    char socket_path[64];
    struct actor actors[ACTORS_MAX];
};

/* --- a session, wherever it is --- */

static void session_open_for(const struct stage *stage, struct actor *actor)
{
    struct session_config config = {
        .store = stage->store,
        .last_transaction_id = stage->last_transaction_id,
        .counters = &actor->counters,
        .isolation = ISOLATION_SERIALIZABLE,
        .command_bytes_max = COMMAND_BYTES_MAX,
    };
    enum status status = store_session_open(stage->store, &actor->store);

    REQUIRE(status == STATUS_OK);
    config.store_session = actor->store;
    session_init(&actor->session, &config);
}

static void session_close_for(struct actor *actor)
{
    session_deinit(&actor->session);
    store_session_close(actor->store);
}

/* --- actors with a process --- */

struct role {
    const struct stage *stage;
    int descriptor;
    int other_end;
};

/* What a child inherited would keep the connections of others open. */
static void close_other_ends(const struct role *role)
{
    (void)close(role->other_end);
    for (unsigned i = 0; i < role->stage->actor_count; i++) {
        if (role->stage->actors[i].client.descriptor > 0)
            (void)close(role->stage->actors[i].client.descriptor);
    }
}

static int play_role(void *context)
{
    const struct role *role = context;
    const struct connection_config config = {.descriptor = role->descriptor};
    struct actor actor;
    enum connection_end end;

    close_other_ends(role);
    memset(&actor, 0, sizeof actor);
    session_open_for(role->stage, &actor);
    end = connection_serve(&actor.session, &config);
    session_close_for(&actor);
    return end == CONNECTION_ENDED_BY_CLIENT ? 0 : 1;
}

static void actor_start(const struct stage *stage, struct actor *actor)
{
    int ends[2];
    struct role role = {.stage = stage};
    int made = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);

    REQUIRE(made == 0);
    role.descriptor = ends[0];
    role.other_end = ends[1];
    actor->process = process_start(play_role, &role);
    (void)close(ends[0]);
    actor->client = (struct client){.descriptor = ends[1]};
}

static void actor_connect(const struct stage *stage, struct actor *actor)
{
    client_connect_to(&actor->client, &stage->server, stage->socket_path);
    actor->process = client_worker(&actor->client);
}

static void actor_open(const struct stage *stage, struct actor *actor)
{
    switch (stage->kind) {
    case STAGE_DIRECT:
        session_open_for(stage, actor);
        break;
    case STAGE_PROCESSES:
        actor_start(stage, actor);
        break;
    case STAGE_SERVER:
    default:
        actor_connect(stage, actor);
        break;
    }
}

static void actor_close(const struct stage *stage, struct actor *actor)
{
    if (stage->kind == STAGE_DIRECT) {
        session_close_for(actor);
        return;
    }
    client_close(&actor->client);
    if (stage->kind == STAGE_PROCESSES)
        (void)process_wait(actor->process);
}

void stage_kill(struct stage *stage, unsigned number)
{
    struct actor *actor = &stage->actors[number];

    REQUIRE(stage->kind != STAGE_DIRECT);
    stage->deaths++;
    if (stage->kind == STAGE_SERVER) {
        int killed = kill(actor->process, SIGKILL);

        REQUIRE(killed == 0);
        while (client_read_line(&actor->client) != NULL) {
        }
    } else {
        (void)process_kill(actor->process);
    }
    client_close(&actor->client);
    if (stage->kind == STAGE_PROCESSES && stage->deaths % 2 == 0)
        (void)shared_store_tidy(stage->fixture.store);
    actor_open(stage, actor);
}

/* --- opening and closing --- */

static void server_open(struct stage *stage)
{
    struct shared_store_options options = {.name = stage->server.name};
    struct shared_store_restart restart;
    enum status status;

    (void)snprintf(stage->socket_path, sizeof stage->socket_path, "/tmp/hauskv-stage-%d", (int)getpid());
    (void)unlink(stage->socket_path);
    server_start(&stage->server, "--unix", stage->socket_path, "--lock-timeout", "0");
    status = shared_store_attach(&options, true, &stage->fixture.store, &restart);
    REQUIRE(status == STATUS_OK);
    stage->fixture.kind = STORE_OF_SHARED_MEMORY;
}

struct stage *stage_open(enum stage_kind kind, unsigned actor_count, enum store_flaw flaw)
{
    struct stage *stage = calloc(1, sizeof(*stage));

    REQUIRE(stage != NULL && actor_count <= ACTORS_MAX);
    REQUIRE(kind != STAGE_SERVER || flaw == STORE_FLAW_NONE);
    stage->kind = kind;
    stage->actor_count = actor_count;
    stage->last_transaction_id = process_shared_memory(sizeof(*stage->last_transaction_id));
    if (kind == STAGE_SERVER)
        server_open(stage);
    else
        store_fixture_open(&stage->fixture, STORE_OF_SHARED_MEMORY, STORE_FIXTURE_BYTES);
    stage->store = flaw == STORE_FLAW_NONE ? stage->fixture.store : store_flaw_create(stage->fixture.store, flaw);
    for (unsigned i = 0; i < actor_count; i++)
        actor_open(stage, &stage->actors[i]);
    return stage;
}

bool stage_close(struct stage *stage, const char **reason)
{
    bool is_whole = true;

    *reason = "";
    for (unsigned i = 0; i < stage->actor_count; i++)
        actor_close(stage, &stage->actors[i]);
    if (stage->kind != STAGE_SERVER)
        is_whole = store_fixture_is_valid(&stage->fixture, reason);
    if (stage->store != stage->fixture.store)
        store_flaw_destroy(stage->store);
    store_fixture_close(&stage->fixture);
    if (stage->kind == STAGE_SERVER && server_count_said(&stage->server, " error [") > stage->deaths) {
        is_whole = false;
        *reason = "the server has complained";
    }
    if (stage->kind == STAGE_SERVER)
        server_stop(&stage->server);
    free(stage);
    return is_whole;
}

enum stage_kind stage_kind(const struct stage *stage)
{
    return stage->kind;
}

const struct store_fixture *stage_store(const struct stage *stage)
{
    return &stage->fixture;
}

void stage_rewind(const struct stage *stage)
{
    atomic_store(stage->last_transaction_id, 0);
}

/* --- speaking --- */

void stage_send(struct stage *stage, unsigned number, const char *lines)
{
    struct actor *actor = &stage->actors[number];
    char text[ACT_LINES_BYTES + 1];
    int size = snprintf(text, sizeof text, "%s\n", lines);

    REQUIRE(size > 0 && (size_t)size < sizeof text);
    if (stage->kind == STAGE_DIRECT)
        session_feed(&actor->session, bytes_from(text, (size_t)size));
    else
        client_send_text(&actor->client, text); /* at once: it is served as a whole */
}

static bool receive_directly(struct actor *actor, char reply[ACT_REPLY_BYTES])
{
    struct bytes output = session_output(&actor->session);

    if (output.size == 0 || output.size > ACT_REPLY_BYTES)
        return false;
    memcpy(reply, output.data, output.size - 1);
    reply[output.size - 1] = '\0';
    session_output_clear(&actor->session);
    return true;
}

bool stage_receive(struct stage *stage, unsigned number, unsigned line_count, char reply[ACT_REPLY_BYTES])
{
    struct client *client = &stage->actors[number].client;
    size_t used = 0;

    reply[0] = '\0';
    if (stage->kind == STAGE_DIRECT)
        return receive_directly(&stage->actors[number], reply);
    for (unsigned i = 0; i < line_count; i++) {
        bool is_late;
        const char *line = client_read_line_within(client, DRIVER_PATIENCE_MS, &is_late);

        if (line == NULL)
            return false;
        used += (size_t)snprintf(reply + used, ACT_REPLY_BYTES - used, "%s%s", i > 0 ? "\n" : "", line);
        REQUIRE(used < ACT_REPLY_BYTES);
    }
    return true;
}

static unsigned count_lines(struct bytes bytes)
{
    unsigned count = 0;

    for (size_t i = 0; i < bytes.size; i++)
        count += bytes.data[i] == '\n';
    return count;
}

/* Whether the replies to that many lines are there, or the end is. */
static bool has_answered(const struct client *client, unsigned line_count)
{
    char bytes[ACT_REPLY_BYTES];
    ssize_t size = recv(client->descriptor, bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    unsigned count = count_lines(bytes_from(client->input + client->input_begin, client->input_end - client->input_begin));

    return size == 0 || count + count_lines(bytes_from(bytes, size < 0 ? 0 : (size_t)size)) >= line_count;
}

/* Over a Unix socket the system counts what the other side has not read. */
static bool is_taken(const struct client *client)
{
    int untaken_bytes = 0;

    return ioctl(client->descriptor, SIOCOUTQ, &untaken_bytes) == 0 && untaken_bytes == 0;
}

/* The letter behind the name in /proc/PID/stat; Z where there is no process. */
static int state_of(pid_t process)
{
    char path[64];
    char text[512];
    const char *after_name;
    size_t size = 0;
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    if (file != NULL) {
        size = fread(text, 1, sizeof text - 1, file);
        (void)fclose(file);
    }
    text[size] = '\0';
    after_name = strrchr(text, ')');
    return after_name == NULL || after_name[1] == '\0' ? 'Z' : (unsigned char)after_name[2];
}

/* Twice in a row, so that somebody's short wait for a shard is not taken for one for a key. */
static void wait_until_asleep(pid_t process)
{
    int in_a_row = 0;

    while (in_a_row < 2) {
        int state = state_of(process);

        in_a_row = state == 'S' || state == 'Z' ? in_a_row + 1 : 0;
        (void)sched_yield();
    }
}

/* All the others stand still, so a process that took its lines and sleeps either waits for a key or has answered. What it
 * answered to the lines before the one that waits it has sent. */
bool stage_is_silent(const struct stage *stage, unsigned number, unsigned line_count)
{
    const struct actor *actor = &stage->actors[number];

    REQUIRE(stage->kind != STAGE_DIRECT);
    while (!is_taken(&actor->client) && !has_answered(&actor->client, line_count))
        (void)sched_yield();
    if (!has_answered(&actor->client, line_count))
        wait_until_asleep(actor->process);
    return !has_answered(&actor->client, line_count);
}
