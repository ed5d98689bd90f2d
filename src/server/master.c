/* The master's loop: it sleeps until a signal, a child's death or the pool's
 * event wakes it, looks at what there may be to do, and sleeps again. */
#include "server/master.h"

#include <poll.h>

#include "master_internal.h"
#include "platform/clock.h"
#include "platform/diagnostic.h"
#include "store/shared_store.h"

static void go_on(struct master *master);
static void load(struct master *master);
static void begin(struct master *master);
static int keep_up(struct master *master);
static int wind_up(struct master *master);
static void sleep_until_called(struct master *master, int limit_ms);
static bool has_ended(const struct master *master);

int master_run(const struct server_config *config)
{
    static struct master master;

    if (!master_open(&master, config))
        return MASTER_FAILED;
    if (config->load_path[0] != '\0')
        load(&master);
    while (!has_ended(&master))
        go_on(&master);
    master_close(&master);
    if (master.exit_status == MASTER_DONE)
        diagnostic_info("Stopped");
    return master.exit_status;
}

static bool has_ended(const struct master *master)
{
    return master->phase == MASTER_STOPPING && !master_has_children(master);
}

bool master_has_children(const struct master *master)
{
    return master->pool->count > 0 || master->housekeeper.pid != 0 || master->loader.pid != 0;
}

static void load(struct master *master)
{
    master->phase = MASTER_LOADING;
    if (master->inheritance.has_new_store)
        shared_store_mark_loading(master->inheritance.store, true);
    if (!loader_begin(&master->loader, &master->inheritance)) {
        master->has_failed_to_load = true;
        master_stop(master, MASTER_FAILED);
    }
}

static void go_on(struct master *master)
{
    int limit_ms = -1;

    master_take_orders(master);
    master_reap(master);
    if (master->phase == MASTER_STOPPING)
        limit_ms = wind_up(master);
    else if (master->phase == MASTER_LOADING)
        limit_ms = names_watch(&master->names, &master->inheritance);
    else
        limit_ms = keep_up(master);
    if (master->phase == MASTER_STARTING)
        begin(master);
    if (!has_ended(master))
        sleep_until_called(master, limit_ms);
}

/* Keeps as many children as there should be; returns when to look again at latest. */
static int keep_up(struct master *master)
{
    int housekeeper_ms = housekeeper_watch(&master->housekeeper, &master->inheritance);
    int names_ms = names_watch(&master->names, &master->inheritance);
    int limit_ms = names_ms < housekeeper_ms ? names_ms : housekeeper_ms;
    int pool_ms;

    pool_balance(master->pool);
    pool_ms = pool_wait_ms(master->pool);
    return pool_ms >= 0 && pool_ms < limit_ms ? pool_ms : limit_ms;
}

static void begin(struct master *master)
{
    if (master->pool->count == 0) {
        diagnostic_error("There is no worker to begin with");
        master_stop(master, MASTER_FAILED);
    } else if (pool_is_up(master->pool)) {
        master->phase = MASTER_SERVING;
        master_say_ready(&master->inheritance.listeners);
    }
}

static int wind_up(struct master *master)
{
    uint64_t now_ms = clock_monotonic_ms();

    if (now_ms < master->stop_by_ms)
        return (int)(master->stop_by_ms - now_ms);
    if (!master->has_killed)
        diagnostic_warning("%u workers have not ended after %u ms: killing what is left", master->pool->count,
                           MASTER_STOP_MS);
    master_kill(master);
    return (int)MASTER_STOP_MS;
}

static void sleep_until_called(struct master *master, int limit_ms)
{
    struct pollfd events[] = {
        {.fd = master->inheritance.signals, .events = POLLIN},
        {.fd = master->inheritance.pool_event, .events = POLLIN},
    };

    if (poll(events, sizeof events / sizeof *events, limit_ms) == 0)
        master->has_dead = true; /* nobody called */
}
