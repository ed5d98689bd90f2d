/* Where the control socket lies, and the master's end of it. */
#include "server/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "control_internal.h"
#include "platform/diagnostic.h"
#include "platform/file.h"
#include "segment/segment.h"

/* So long an earlier server, whose segment this one has already got, may take to let go of its socket. */
#define PREDECESSOR_WAIT_MS 2000u

bool control_address(const struct control_place *place, struct address *address, int *directory)
{
    const char *folder = place->segment_directory[0] == '\0' ? SEGMENT_DIRECTORY : place->segment_directory;
    char path[CONFIG_SOCKET_PATH_BYTES];
    int length = snprintf(path, sizeof path, "%s/hauskv-%s.control", folder, place->name);

    *directory = -1;
    if (length >= (int)sizeof path) {
        *directory = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (*directory < 0)
            return false;
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d/hauskv-%s.control", *directory, place->name);
    }
    address_of_path(path, address);
    return true;
}

bool control_open(struct control_listener *control, const struct control_place *place)
{
    struct address address;

    control->listener.descriptor = -1;
    if (!control_address(place, &address, &control->directory)) {
        diagnostic_error("Cannot open %s: %s", place->segment_directory, strerror(errno));
        return false;
    }
    if (listener_open_path(&control->listener, &address, PREDECESSOR_WAIT_MS))
        return true;
    (void)file_close(&control->directory);
    return false;
}

void control_shut(const struct control_listener *control)
{
    if (control->listener.descriptor >= 0)
        listener_shut(&control->listener);
}

void control_close(struct control_listener *control)
{
    (void)file_close(&control->listener.descriptor);
    (void)file_close(&control->directory);
}
