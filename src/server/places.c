/* For how many clients there are places in the store. A place is small, and all
 * are reserved before anybody is served: whoever may connect can be served, even
 * when the store is full. */
#include "server/limits.h"

#include <inttypes.h>

#include "platform/diagnostic.h"
#include "server/pool.h"
#include "store/shared_store.h"

#define MEBIBYTE ((uint64_t)1 << 20)

/* Besides the workers': places that cannot be used again, for what a dead process left in them needs a damaged shard. */
#define PLACES_BESIDE_WORKERS 12u

/* Of the memory: a default gives way, an order may go further. */
#define SHARE_BY_DEFAULT 8u
#define SHARE_BY_ORDER 2u

_Static_assert(CONFIG_PROCESSES_MAX + SCOREBOARD_CONTROLS_MAX + PLACES_BESIDE_WORKERS <= SHARED_STORE_PLACES_MAX, "the store has so many");

unsigned places_needed(const struct server_config *config)
{
    return pool_worker_max(config) + PLACES_BESIDE_WORKERS;
}

static bool refuse(const struct server_config *config, uint64_t bytes)
{
    uint64_t least = (bytes * SHARE_BY_ORDER / MEBIBYTE + 2) * MEBIBYTE;

    diagnostic_error("--max-clients %u and --min-spare %u need %ju bytes for their processes, more than half of --memory: that "
                     "must be %ju MiB at least",
                     config->clients_max, config->spare_workers_min, (uintmax_t)bytes, (uintmax_t)(least / MEBIBYTE));
    return false;
}

bool places_choose(struct server_config *config, uint64_t limit_bytes)
{
    bool is_default = config_is_default(config, CONFIG_MAX_CLIENTS);
    uint64_t most = limit_bytes / SHARE_BY_ORDER / SHARED_STORE_PLACE_BYTES;
    uint64_t most_by_default = limit_bytes / SHARE_BY_DEFAULT / SHARED_STORE_PLACE_BYTES;
    unsigned others = places_needed(config) - config->clients_max;
    unsigned clients = config->clients_max;

    if (places_needed(config) <= (is_default ? most_by_default : most))
        return true;
    if (is_default)
        config->clients_max = most_by_default > others ? (unsigned)(most_by_default - others) : 1;
    if (places_needed(config) > most)
        return refuse(config, (uint64_t)places_needed(config) * SHARED_STORE_PLACE_BYTES);
    diagnostic_warning("%u clients in place of the default, %u, whose processes would take more than an eighth of the "
                       "memory (--max-clients, --memory)",
                       config->clients_max, clients);
    return true;
}

bool places_settle(struct server_config *config, unsigned places)
{
    unsigned clients = config->clients_max;

    if (places >= pool_worker_max(config))
        return true;
    if (places < 2) {
        diagnostic_error("The segment hauskv-%s is full, and has no place for a process that could serve: --memory SIZE, "
                         "with more than it has, makes room",
                         config->name);
        return false;
    }
    /* All of these may be clients': a control connection and a spare worker can do without. */
    if (config->spare_workers_min > places / 2)
        config->spare_workers_min = places / 2;
    config->clients_max = places - config->spare_workers_min;
    diagnostic_warning("%u clients in place of %u (--max-clients): the segment hauskv-%s is full, and has no more places. A "
                       "start with more --memory makes some, and so does deleting keys before the next start",
                       config->clients_max, clients, config->name);
    return true;
}
