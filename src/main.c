/* hauskv-server: options, then the master. */
#include "server/config.h"
#include "server/inspect.h"
#include "server/master.h"

extern char **environ;

int main(int argc, char *argv[])
{
    static struct server_config config;

    switch (config_load(&config, argc, argv, environ)) {
    case CONFIG_RUN:
        break;
    case CONFIG_EXIT_0:
        return 0;
    case CONFIG_EXIT_1:
        return 1;
    case CONFIG_EXIT_2:
    default:
        return 2;
    }
    diagnostic_set_level(config.log_level);
    return config.inspect_name[0] != '\0' ? inspect_run(&config) : master_run(&config);
}
