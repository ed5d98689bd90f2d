/* hauskv-server: options, then the master. */
#include <fcntl.h>
#include <unistd.h>

#include "server/config.h"
#include "server/inspect.h"
#include "server/master.h"

/* Whoever starts us may have closed them. Then a segment that we open would be where our words to the operator go. They
 * are opened the wrong way round, so that a report that goes nowhere fails and is not taken for written. */
static bool hold_standard_descriptors(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        int mode = descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY;

        if (fcntl(descriptor, F_GETFD) == -1 && open("/dev/null", mode) != descriptor)
            return false;
    }
    return true;
}

int main(int argc, char *argv[])
{
    static struct server_config config;

    if (!hold_standard_descriptors())
        return 1;
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
