/* From an address to the inode of the socket that listens there
 * (/proc/net/tcp, tcp6), from that to the processes that have it open
 * (/proc/PID/fd), and from those to their common ancestor. */
#include "server/socket_owner.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATE_LISTENING 0x0au
#define LINE_BYTES 512u
#define PATH_BYTES 64u
#define LINK_BYTES 64u

/* Which sockets are looked for. */
enum wanted {
    WANTED_LISTENING,
    WANTED_ANY
};

static uint64_t find_inode(enum wanted wanted, uint16_t port, bool is_ipv6);
static uint64_t read_table(const char *table, enum wanted wanted, uint16_t port);
static bool read_line(const char *line, enum wanted wanted, uint16_t port, uint64_t *inode);
static pid_t find_holder(uint64_t inode);
static bool holds(pid_t process, const char *socket_link);
static pid_t parent_of(pid_t process);

void socket_owner_describe(const struct address *address, char text[SOCKET_OWNER_BYTES])
{
    bool is_ipv6 = address->socket.any.sa_family == AF_INET6;
    uint16_t port = address_port(address);
    uint64_t inode = find_inode(WANTED_LISTENING, port, is_ipv6);

    /* A client whose own port it is by chance is in the way as well. */
    if (inode == 0)
        inode = find_inode(WANTED_ANY, port, is_ipv6);
    socket_owner_describe_process(inode == 0 ? 0 : find_holder(inode), text);
}

void socket_owner_describe_process(pid_t process, char text[SOCKET_OWNER_BYTES])
{
    char path[PATH_BYTES];
    char name[32] = "";
    FILE *file;

    (void)snprintf(path, sizeof path, "/proc/%d/comm", (int)process);
    file = process <= 0 ? NULL : fopen(path, "re");
    if (file != NULL) {
        if (fgets(name, sizeof name, file) != NULL)
            name[strcspn(name, "\n")] = '\0';
        (void)fclose(file);
    }
    if (process <= 0)
        (void)snprintf(text, SOCKET_OWNER_BYTES, "another process");
    else
        (void)snprintf(text, SOCKET_OWNER_BYTES, "pid %d%s%s%s", (int)process, name[0] == '\0' ? "" : " (", name,
                       name[0] == '\0' ? "" : ")");
}

/* 0 if there is none. An IPv6 socket may have the port for IPv4 too. */
static uint64_t find_inode(enum wanted wanted, uint16_t port, bool is_ipv6)
{
    static const char *const tables[] = {"/proc/net/tcp", "/proc/net/tcp6"};
    uint64_t inode = read_table(tables[is_ipv6], wanted, port);

    return inode != 0 ? inode : read_table(tables[!is_ipv6], wanted, port);
}

static uint64_t read_table(const char *table, enum wanted wanted, uint16_t port)
{
    FILE *file = fopen(table, "re");
    char line[LINE_BYTES];
    uint64_t inode = 0;

    while (file != NULL && inode == 0 && fgets(line, sizeof line, file) != NULL)
        (void)read_line(line, wanted, port, &inode);
    if (file != NULL)
        (void)fclose(file);
    return inode;
}

/* "  0: 0100007F:26A0 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 12345 ..." */
static bool read_line(const char *line, enum wanted wanted, uint16_t port, uint64_t *inode)
{
    unsigned line_port;
    unsigned state;
    uint64_t found;

    /* NOLINTNEXTLINE(cert-err34-c): the kernel's numbers fit */
    if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f:] %x %*s %*s %*s %*u %*u %" SCNu64, &line_port, &state,
               &found) != 3)
        return false;
    if (line_port != port || (wanted == WANTED_LISTENING && state != STATE_LISTENING))
        return false;
    *inode = found;
    return true;
}

/* The process that has the socket and whose parent has not; 0: none that can be seen. */
static pid_t find_holder(uint64_t inode)
{
    DIR *processes = opendir("/proc");
    const struct dirent *entry;
    char socket_link[LINK_BYTES];
    pid_t holder = 0;
    pid_t parent;

    (void)snprintf(socket_link, sizeof socket_link, "socket:[%" PRIu64 "]", inode);
    while (processes != NULL && holder == 0 && (entry = readdir(processes)) != NULL) {
        pid_t process = isdigit((unsigned char)entry->d_name[0]) ? (pid_t)strtol(entry->d_name, NULL, 10) : 0;

        if (process > 0 && holds(process, socket_link))
            holder = process;
    }
    if (processes != NULL)
        (void)closedir(processes);
    while (holder > 0 && (parent = parent_of(holder)) > 0 && holds(parent, socket_link))
        holder = parent;
    return holder;
}

static bool holds(pid_t process, const char *socket_link)
{
    char folder[PATH_BYTES];
    DIR *descriptors;
    const struct dirent *entry;
    bool found = false;

    (void)snprintf(folder, sizeof folder, "/proc/%d/fd", (int)process);
    descriptors = opendir(folder);
    if (descriptors == NULL)
        return false;
    while (!found && (entry = readdir(descriptors)) != NULL) {
        char link[LINK_BYTES];
        ssize_t size = readlinkat(dirfd(descriptors), entry->d_name, link, sizeof link - 1);

        link[size < 0 ? 0 : size] = '\0';
        found = strcmp(link, socket_link) == 0;
    }
    (void)closedir(descriptors);
    return found;
}

/* 0 if it cannot be found out. */
static pid_t parent_of(pid_t process)
{
    char path[PATH_BYTES];
    char line[LINE_BYTES];
    const char *after_name;
    FILE *file;
    char *end;

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)process);
    file = fopen(path, "re");
    if (file == NULL)
        return 0;
    after_name = fgets(line, sizeof line, file) == NULL ? NULL : strrchr(line, ')');
    (void)fclose(file);
    if (after_name == NULL || strlen(after_name) < 4)
        return 0;
    return (pid_t)strtol(after_name + 3, &end, 10); /* ") S 4711": behind the state */
}
