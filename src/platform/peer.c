/* poll(2), and for TCP on this machine the socket of the other end, by sock_diag(7). */
#include "platform/peer.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/sockios.h>

#define ANSWER_BYTES_MAX 1024u

union end {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
};

struct request {
    struct nlmsghdr header;
    struct inet_diag_req_v2 body;
};

static bool is_open_at_peer(int descriptor);
static bool has_no_process(int netlink, const union end *local, const union end *remote);
static bool ask(int netlink, const union end *local, const union end *remote);

bool peer_is_gone(int descriptor)
{
    struct pollfd end = {.fd = descriptor, .events = POLLRDHUP};

    if (poll(&end, 1, 0) <= 0)
        return false;
    if ((end.revents & (POLLERR | POLLHUP)) != 0)
        return true;
    return (end.revents & POLLRDHUP) != 0 && !is_open_at_peer(descriptor);
}

size_t peer_untaken_bytes(int descriptor)
{
    int untaken = 0;

    return ioctl(descriptor, SIOCOUTQ, &untaken) == 0 && untaken > 0 ? (size_t)untaken : 0;
}

/* False is certain. */
static bool is_open_at_peer(int descriptor)
{
    union end local = {.any.sa_family = AF_UNSPEC};
    union end remote = {.any.sa_family = AF_UNSPEC};
    socklen_t local_size = sizeof local;
    socklen_t remote_size = sizeof remote;
    bool is_closed;
    int netlink;

    if (getsockname(descriptor, &local.any, &local_size) != 0 || getpeername(descriptor, &remote.any, &remote_size) != 0 ||
        (remote.any.sa_family != AF_INET && remote.any.sa_family != AF_INET6))
        return true;
    netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        return true;
    is_closed = has_no_process(netlink, &remote, &local);
    (void)close(netlink);
    return !is_closed;
}

/* Whether the system has a socket with these two addresses that no process has open: it is still closing it. That it has none
 * says nothing, as it may be another machine's, or of other addresses before they were translated. */
static bool has_no_process(int netlink, const union end *local, const union end *remote)
{
    unsigned char answer[ANSWER_BYTES_MAX];
    struct inet_diag_msg message;
    struct nlmsghdr header;
    ssize_t size;

    if (!ask(netlink, local, remote))
        return false;
    size = recv(netlink, answer, sizeof answer, MSG_DONTWAIT); /* the system has answered inside of send(2) */
    if (size < (ssize_t)(NLMSG_HDRLEN + sizeof message))
        return false;
    memcpy(&header, answer, sizeof header);
    memcpy(&message, answer + NLMSG_HDRLEN, sizeof message);
    return header.nlmsg_type == SOCK_DIAG_BY_FAMILY && message.idiag_inode == 0;
}

static void set_end(const union end *end, __be16 *port, __be32 address[4])
{
    if (end->any.sa_family == AF_INET) {
        *port = end->ip4.sin_port;
        address[0] = end->ip4.sin_addr.s_addr;
    } else {
        *port = end->ip6.sin6_port;
        memcpy(address, &end->ip6.sin6_addr, sizeof end->ip6.sin6_addr);
    }
}

static bool ask(int netlink, const union end *local, const union end *remote)
{
    struct request request = {
        .header = {.nlmsg_len = sizeof request, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
        .body = {.sdiag_family = (uint8_t)local->any.sa_family, .sdiag_protocol = IPPROTO_TCP, .idiag_states = UINT32_MAX},
    };
    struct inet_diag_sockid *id = &request.body.id;

    set_end(local, &id->idiag_sport, id->idiag_src);
    set_end(remote, &id->idiag_dport, id->idiag_dst);
    id->idiag_cookie[0] = INET_DIAG_NOCOOKIE;
    id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    return send(netlink, &request, sizeof request, 0) == (ssize_t)sizeof request;
}
