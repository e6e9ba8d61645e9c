#define _GNU_SOURCE
#include "cnamespaces.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/uio.h>

// The interface lo is the first one of every network namespace.
static const int loopback = 1;

// ---- the network inside ----------------------------------------------------------------------------------------

struct request {
    struct nlmsghdr header;
    char body[128];
};

static void begin(struct request *request, int type, int flags, const void *body, size_t size) {
    memset(request, 0, sizeof *request);
    request->header.nlmsg_type = (uint16_t)type;
    request->header.nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
    request->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(size);
    memcpy(NLMSG_DATA(&request->header), body, size);
}

static void add(struct request *request, int type, const void *value, size_t size) {
    struct rtattr *attribute = (struct rtattr *)((char *)request + NLMSG_ALIGN(request->header.nlmsg_len));
    attribute->rta_type = (uint16_t)type;
    attribute->rta_len = (uint16_t)RTA_LENGTH(size);
    memcpy(RTA_DATA(attribute), value, size);
    request->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(request->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static int ask(int netlink, const struct request *request) {
    if (send(netlink, request, request->header.nlmsg_len, 0) < 0)
        return errno;
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[512];
    } answer;
    ssize_t count = recv(netlink, &answer, sizeof answer, 0);
    if (count < 0)
        return errno;
    if ((size_t)count < sizeof answer.header + sizeof answer.error || answer.header.nlmsg_type != NLMSG_ERROR)
        return EPROTO;
    return -answer.error.error;
}

// Source: rtnetlink(7).
static int build_network(const struct cn_plan *plan) {
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (netlink < 0)
        return errno;
    struct request request;
    struct ifinfomsg link = {.ifi_index = loopback, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    begin(&request, RTM_NEWLINK, 0, &link, sizeof link);
    int error = ask(netlink, &request);
    for (int i = 0; i < plan->address_count && error == 0; i++) {
        const struct cs_endpoint *own = &plan->addresses[i];
        int ipv6 = own->family == 6;
        size_t size = ipv6 ? 16 : 4;
        // Without NODAD an address is there a little later, and no route may name it before.
        struct ifaddrmsg address = {
            .ifa_family = ipv6 ? AF_INET6 : AF_INET, .ifa_prefixlen = (uint8_t)(size * 8), .ifa_index = loopback,
            .ifa_flags = ipv6 ? IFA_F_NODAD : 0};
        begin(&request, RTM_NEWADDR, NLM_F_CREATE, &address, sizeof address);
        add(&request, IFA_LOCAL, own->bytes, size);
        add(&request, IFA_ADDRESS, own->bytes, size);
        if ((error = ask(netlink, &request)) != 0)
            break;
        struct rtmsg route = {
            .rtm_family = address.ifa_family, .rtm_table = RT_TABLE_LOCAL, .rtm_protocol = RTPROT_STATIC,
            .rtm_scope = RT_SCOPE_HOST, .rtm_type = RTN_LOCAL};
        begin(&request, RTM_NEWROUTE, NLM_F_CREATE, &route, sizeof route);
        add(&request, RTA_OIF, &loopback, sizeof loopback);
        add(&request, RTA_PREFSRC, own->bytes, size);
        error = ask(netlink, &request);
    }
    close(netlink);
    return error;
}

// ---- the rules inside ------------------------------------------------------------------------------------------

// Returns nft's exit status, or -1.
static int load_rules(const struct cn_plan *plan) {
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child == 0) {
        // A user who is not root keeps no capability over an exec that is not raised like this. Root keeps them anyway.
        cs_pass_capability_on(CAP_NET_ADMIN);
        char *const words[] = {"nft", "-f", "-", NULL}, *const variables[] = {"LC_ALL=C", NULL};
        if (dup2(plan->rules, 0) == 0 && dup2(plan->complaints, 1) == 1 && dup2(plan->complaints, 2) == 2)
            execve(plan->nft, words, variables);
        _exit(127);
    }
    int status = 0;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ---- the child -------------------------------------------------------------------------------------------------

static int write_file(const char *path, const char *text) {
    int file = open(path, O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return errno;
    ssize_t count = write(file, text, strlen(text));
    int error = count < 0 ? errno : 0;
    close(file);
    return error;
}

static int become_oneself(const struct cn_plan *plan) {
    // A program with capabilities of its file's does not own its files in /proc otherwise.
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    // Who cannot leave a group may map it: user_namespaces(7).
    int error = write_file("/proc/self/setgroups", "deny");
    if (error == 0)
        error = write_file("/proc/self/uid_map", plan->user_map);
    return error != 0 ? error : write_file("/proc/self/gid_map", plan->group_map);
}

static void report(int channel, int step, int error, const int *descriptors, int count) {
    struct cn_report report = {.step = step, .error = error};
    struct iovec bytes = {.iov_base = &report, .iov_len = sizeof report};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(CN_MOST_SOCKETS * sizeof(int))];
    } control;
    struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    }
    sendmsg(channel, &message, MSG_NOSIGNAL);
}

static void prepare(const struct cn_plan *plan, int channel) {
    int flags = CLONE_NEWNET | (plan->user_map ? CLONE_NEWUSER : 0);
    if (unshare(flags) < 0)
        return report(channel, CN_NAMESPACE, errno, NULL, 0);
    int error = plan->user_map ? become_oneself(plan) : 0;
    if (error != 0)
        return report(channel, CN_IDENTITY, error, NULL, 0);
    if ((error = build_network(plan)) != 0)
        return report(channel, CN_NETWORK, error, NULL, 0);
    if ((error = load_rules(plan)) != 0)
        return report(channel, CN_RULES, error, NULL, 0);
    int sockets[CN_MOST_SOCKETS];
    for (int i = 0; i < plan->socket_count; i++) {
        const struct cn_socket *wanted = &plan->sockets[i];
        sockets[i] = socket(wanted->family, wanted->type | SOCK_NONBLOCK | SOCK_CLOEXEC, wanted->protocol);
        if (sockets[i] < 0)
            return report(channel, CN_SOCKETS, errno, NULL, 0);
    }
    report(channel, CN_READY, 0, sockets, plan->socket_count);
    for (int i = 0; i < plan->socket_count; i++)
        close(sockets[i]);
}

pid_t cn_start(const struct cn_plan *plan, int *channel) {
    int ends[2];
    if (plan->socket_count > CN_MOST_SOCKETS)
        return -EINVAL;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    // A caller may ignore the ends of children, and then there would be nothing to wait for.
    struct sigaction plain = {.sa_handler = SIG_DFL}, before;
    sigset_t mask;
    sigaction(SIGCHLD, &plain, &before);
    sigprocmask(SIG_BLOCK, plan->blocked, &mask);
    pid_t child = fork();
    if (child < 0) {
        int error = errno;
        sigprocmask(SIG_SETMASK, &mask, NULL);
        sigaction(SIGCHLD, &before, NULL);
        close(ends[0]);
        close(ends[1]);
        return -error;
    }
    if (child > 0) {
        close(ends[1]);
        *channel = ends[0];
        return child;
    }
    close(ends[0]);
    prepare(plan, ends[1]);
    char word;
    // Nothing but an end when the preparation failed, or when the parent is gone.
    if (recv(ends[1], &word, 1, 0) != 1)
        _exit(127);
    sigaction(SIGCHLD, &before, NULL);
    sigprocmask(SIG_SETMASK, &mask, NULL);
    execvp(plan->arguments[0], plan->arguments);
    report(ends[1], CN_EXECUTE, errno, NULL, 0);
    _exit(127);
}

// ---- the parent ------------------------------------------------------------------------------------------------

int cn_receive(int channel, struct cn_report *report, int *descriptors) {
    struct iovec bytes = {.iov_base = report, .iov_len = sizeof *report};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(CN_MOST_SOCKETS * sizeof(int))];
    } control;
    struct msghdr message = {
        .msg_iov = &bytes, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t count;
    do
        count = recvmsg(channel, &message, MSG_CMSG_CLOEXEC);
    while (count < 0 && errno == EINTR);
    if (count < 0)
        return -errno;
    if (count != sizeof *report)
        return -ENODATA;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header == NULL || header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
        return 0;
    int number = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(descriptors, CMSG_DATA(header), (size_t)number * sizeof(int));
    return number;
}

int cn_execute(int channel) { return CS_RESULT((int)send(channel, "!", 1, MSG_NOSIGNAL)); }
