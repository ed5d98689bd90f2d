/* What signals do to a worker. They are blocked but where it waits for a
 * connection (both) and where it serves one (SIGTERM): so there is no moment
 * between looking at `stop` and waiting in which one could be missed. */
#include <errno.h>

#include "platform/signals.h"
#include "session/connection.h"
#include "worker_internal.h"

struct worker_orders worker_orders = {.stop = 0, .descriptor = -1};

static void obey(int signal_number)
{
    int saved_errno = errno;

    worker_orders.stop = 1;
    /* A retiring worker serves nobody. */
    if (signal_number == SIGTERM && worker_orders.descriptor >= 0)
        connection_interrupt(worker_orders.descriptor);
    errno = saved_errno;
}

void worker_signals_init(void)
{
    sigset_t waiting = signals_set((const int[]){SIGTERM, WORKER_RETIRE, 0});

    signals_handle(SIGTERM, obey, SIGNALS_INTERRUPT);
    signals_handle(WORKER_RETIRE, obey, SIGNALS_INTERRUPT);
    signals_restore(&waiting);
}

sigset_t worker_signals_waiting(void)
{
    return signals_set((const int[]){0});
}

void worker_signals_begin_serving(int descriptor)
{
    sigset_t term = signals_set((const int[]){SIGTERM, 0});

    worker_orders.descriptor = descriptor;
    signals_unblock(&term, NULL);
}

void worker_signals_end_serving(void)
{
    sigset_t term = signals_set((const int[]){SIGTERM, 0});

    signals_block(&term, NULL);
    worker_orders.descriptor = -1;
}
