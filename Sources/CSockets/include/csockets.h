// The system calls and constants that Swift cannot see: variadic calls, macros, GNU extensions.
//
// Every function returns a value >= 0, or a negated errno. No logic lives here: a function is one call, with its
// arguments laid out the way the kernel wants them. `static inline`, so that a call costs what it costs in C.

#ifndef CSOCKETS_H
#define CSOCKETS_H

// No _GNU_SOURCE here: swift-system reads the same headers without it, and where structures then differ (fd_set), the
// compiler refuses both modules or not, by the order in which it meets them. What is hidden so is declared below.
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <malloc.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern int accept4(int, struct sockaddr *, socklen_t *, int);
extern int pipe2(int *, int);
extern int memfd_create(const char *, unsigned);
extern int unshare(int);
extern int setns(int, int);
extern int sched_getaffinity(pid_t, size_t, cpu_set_t *);
#define CS_F_SETPIPE_SZ 1031
#define CS_F_GETPIPE_SZ 1032
#define CS_SPLICE_F_MOVE 1
#define CS_SPLICE_F_NONBLOCK 2
#define CS_SPLICE_F_MORE 4

// The kernel headers that define these cannot be included beside netinet/in.h.
#define CS_SO_ORIGINAL_DST 80
#define CS_IP6T_SO_ORIGINAL_DST 80
#define CS_IPV6_TRANSPARENT 75
#define CS_SO_NETNS_COOKIE 71
#define CS_IP_BIND_ADDRESS_NO_PORT 24

// Enumerators and macros that Swift imports as one type here and another there.
static const int cs_level_socket = SOL_SOCKET, cs_level_ip = IPPROTO_IP, cs_level_ipv6 = IPPROTO_IPV6, cs_level_tcp = IPPROTO_TCP;
static const int cs_nonblocking = SOCK_NONBLOCK, cs_more = MSG_MORE, cs_clone_newnet = 0x40000000;

#define CS_RESULT(call)                                                                                                \
    ({                                                                                                                 \
        __typeof__(call) cs_value = (call);                                                                            \
        cs_value < 0 ? -(__typeof__(call))errno : cs_value;                                                            \
    })

// ---- addresses -------------------------------------------------------------------------------------------------

// An IPv4 or IPv6 endpoint in one fixed shape, bytes in network order, port in host order.
struct cs_endpoint {
    uint8_t bytes[16]; // IPv4: the first four
    uint32_t scope;    // IPv6 zone, 0 if none
    uint16_t port;
    uint8_t family; // 4 or 6; 0: none
    uint8_t unused;
};

static inline socklen_t cs_to_sockaddr(const struct cs_endpoint *from, struct sockaddr_storage *to) {
    memset(to, 0, sizeof(struct sockaddr_in6));
    if (from->family == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)to;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(from->port);
        memcpy(&v4->sin_addr, from->bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(from->port);
    v6->sin6_scope_id = from->scope;
    memcpy(&v6->sin6_addr, from->bytes, 16);
    return sizeof *v6;
}

// A mapped IPv4 address (::ffff:a.b.c.d) comes out as IPv4: it is what the peer of a dual-stack socket means.
static inline void cs_from_sockaddr(const struct sockaddr_storage *from, struct cs_endpoint *to) {
    memset(to, 0, sizeof *to);
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)from;
        to->family = 4;
        to->port = ntohs(v4->sin_port);
        memcpy(to->bytes, &v4->sin_addr, 4);
    } else if (from->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;
        to->port = ntohs(v6->sin6_port);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
            to->family = 4;
            memcpy(to->bytes, (const uint8_t *)&v6->sin6_addr + 12, 4);
        } else {
            to->family = 6;
            to->scope = v6->sin6_scope_id;
            memcpy(to->bytes, &v6->sin6_addr, 16);
        }
    }
}

// ---- sockets ---------------------------------------------------------------------------------------------------

static inline int cs_socket_stream(int family, int flags) {
    return CS_RESULT(socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
}
static inline int cs_socket_datagram(int family) { return CS_RESULT(socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }
static inline int cs_close(int fd) { return CS_RESULT(close(fd)); }
static inline int cs_bind(int fd, const struct cs_endpoint *address) {
    struct sockaddr_storage raw;
    socklen_t length = cs_to_sockaddr(address, &raw);
    return CS_RESULT(bind(fd, (struct sockaddr *)&raw, length));
}
static inline int cs_connect(int fd, const struct cs_endpoint *address) {
    struct sockaddr_storage raw;
    socklen_t length = cs_to_sockaddr(address, &raw);
    return CS_RESULT(connect(fd, (struct sockaddr *)&raw, length));
}
// Frees a socket of the connection it had: it can connect again.
static inline int cs_disconnect(int fd) {
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    return CS_RESULT(connect(fd, &nobody, sizeof nobody));
}
// Lets the kernel choose the first sequence number of the next connection anew. Needs CAP_NET_ADMIN.
static inline int cs_forget_sequence(int fd) {
    int on = 1, off = -1, sending = 2, zero = 0;
    // The queue that the number belongs to stays chosen: once is enough for a socket's life.
    if (setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &zero, sizeof zero) == 0)
        return 0;
    if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) < 0)
        return -errno;
    if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, &sending, sizeof sending) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &zero, sizeof zero) < 0)
        return -errno;
    return CS_RESULT(setsockopt(fd, IPPROTO_TCP, TCP_REPAIR, &off, sizeof off));
}
// How much the peer has not acknowledged yet, an end that was sent included.
static inline int cs_unacknowledged(int fd, int *bytes) { return CS_RESULT(ioctl(fd, TIOCOUTQ, bytes)); }
static inline int cs_listen(int fd, int backlog) { return CS_RESULT(listen(fd, backlog)); }
static inline int cs_accept(int fd, struct cs_endpoint *peer) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    raw.ss_family = AF_UNSPEC;
    int accepted = CS_RESULT(accept4(fd, (struct sockaddr *)&raw, &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (accepted >= 0)
        cs_from_sockaddr(&raw, peer);
    return accepted;
}
static inline int cs_local_address(int fd, struct cs_endpoint *address) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    int result = CS_RESULT(getsockname(fd, (struct sockaddr *)&raw, &length));
    if (result == 0)
        cs_from_sockaddr(&raw, address);
    return result;
}
static inline int cs_peer_address(int fd, struct cs_endpoint *address) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    int result = CS_RESULT(getpeername(fd, (struct sockaddr *)&raw, &length));
    if (result == 0)
        cs_from_sockaddr(&raw, address);
    return result;
}
// Where a connection was going before NAT changed it. IPv6 sockets with a mapped address ask at the IPv4 level.
static inline int cs_original_destination(int fd, int ipv6, struct cs_endpoint *address) {
    struct sockaddr_storage raw;
    socklen_t length = sizeof raw;
    memset(&raw, 0, sizeof raw);
    int result = ipv6 ? CS_RESULT(getsockopt(fd, IPPROTO_IPV6, CS_IP6T_SO_ORIGINAL_DST, &raw, &length))
                      : CS_RESULT(getsockopt(fd, IPPROTO_IP, CS_SO_ORIGINAL_DST, &raw, &length));
    if (result == 0)
        cs_from_sockaddr(&raw, address);
    return result;
}
static inline int cs_set_option(int fd, int level, int name, int value) {
    return CS_RESULT(setsockopt(fd, level, name, &value, sizeof value));
}
static inline int cs_get_option(int fd, int level, int name, int *value) {
    socklen_t length = sizeof *value;
    return CS_RESULT(getsockopt(fd, level, name, value, &length));
}
static inline int cs_bind_device(int fd, const char *name) {
    return CS_RESULT(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)));
}
// A number that names the network namespace of a socket, and no other one before the next boot.
static inline int cs_namespace_cookie(int fd, uint64_t *cookie) {
    socklen_t length = sizeof *cookie;
    return CS_RESULT(getsockopt(fd, SOL_SOCKET, CS_SO_NETNS_COOKIE, cookie, &length));
}
// After this, close() answers with RST in place of FIN and discards what was not sent.
static inline int cs_reset_on_close(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    return CS_RESULT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
}
// 1: the peer has sent its end, or is gone; asked now, whatever an epoll instance has told or not. Source: poll(2) POLLRDHUP.
static inline int cs_peer_has_ended(int fd) {
    struct pollfd entry = {.fd = fd, .events = 0x2000};
    return poll(&entry, 1, 0) > 0;
}
static inline int cs_shutdown(int fd, int how) { return CS_RESULT(shutdown(fd, how)); }
// By number and not by glibc's functions, which are cancellation points: in a process with threads each would change the
// thread's state twice. It shows in a profile where little else of ours does.
static inline ssize_t cs_receive(int fd, void *bytes, size_t count) {
    return CS_RESULT(syscall(SYS_recvfrom, fd, bytes, count, 0, NULL, NULL));
}
// What a receive would give, left where it is.
static inline ssize_t cs_peek(int fd, void *bytes, size_t count) {
    return CS_RESULT(syscall(SYS_recvfrom, fd, bytes, count, MSG_PEEK, NULL, NULL));
}
static inline ssize_t cs_send(int fd, const void *bytes, size_t count, int flags) {
    return CS_RESULT(syscall(SYS_sendto, fd, bytes, count, MSG_NOSIGNAL | flags, NULL, 0));
}
static inline int cs_socketpair(int *pair) {
    return CS_RESULT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair));
}
// An abstract Unix address: it lives in the network namespace and dies with the socket.
static inline int cs_bind_abstract(int fd, const char *name) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(name);
    if (length > sizeof address.sun_path - 1)
        return -ENAMETOOLONG;
    memcpy(address.sun_path + 1, name, length);
    return CS_RESULT(bind(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
}
static inline int cs_socket_unix_datagram(void) { return CS_RESULT(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)); }
// One datagram to a Unix socket named by path, or by an abstract name written with a leading '@' (systemd's notation).
static inline ssize_t cs_send_unix(int fd, const char *path, const void *bytes, size_t count) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0 || length >= sizeof address.sun_path)
        return -EINVAL;
    memcpy(address.sun_path, path, length);
    if (path[0] == '@')
        address.sun_path[0] = 0;
    return CS_RESULT(sendto(fd, bytes, count, MSG_NOSIGNAL, (struct sockaddr *)&address,
                            (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length)));
}

// ---- pipes and splice ------------------------------------------------------------------------------------------

static inline int cs_pipe(int *ends) { return CS_RESULT(pipe2(ends, O_CLOEXEC | O_NONBLOCK)); }
static inline int cs_pipe_blocking(int *ends) { return CS_RESULT(pipe2(ends, O_CLOEXEC)); }
static inline int cs_set_pipe_size(int fd, int bytes) { return CS_RESULT(fcntl(fd, CS_F_SETPIPE_SZ, bytes)); }
static inline int cs_pipe_size(int fd) { return CS_RESULT(fcntl(fd, CS_F_GETPIPE_SZ)); }
static inline int cs_set_nonblocking(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 ? -errno : CS_RESULT(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}
static inline ssize_t cs_splice(int from, int to, size_t count, int more) {
    return CS_RESULT(syscall(SYS_splice, from, NULL, to, NULL, count,
                             CS_SPLICE_F_MOVE | CS_SPLICE_F_NONBLOCK | (more ? CS_SPLICE_F_MORE : 0)));
}

// ---- epoll, eventfd, signalfd ----------------------------------------------------------------------------------

// struct epoll_event is packed on x86-64, which Swift cannot express.
struct cs_event {
    uint64_t payload;
    uint32_t events;
};

static inline int cs_epoll_create(void) { return CS_RESULT(epoll_create1(EPOLL_CLOEXEC)); }
static inline int cs_epoll_control(int epoll, int operation, int fd, uint32_t events, uint64_t payload) {
    struct epoll_event event = {.events = events, .data = {.u64 = payload}};
    return CS_RESULT(epoll_ctl(epoll, operation, fd, &event));
}
#define CS_EPOLL_BATCH 256
static inline int cs_epoll_wait(int epoll, struct cs_event *out, int most, int milliseconds) {
    struct epoll_event raw[CS_EPOLL_BATCH];
    int count = (int)syscall(SYS_epoll_pwait, epoll, raw, most < CS_EPOLL_BATCH ? most : CS_EPOLL_BATCH, milliseconds, NULL, 0);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        out[i].payload = raw[i].data.u64;
        out[i].events = raw[i].events;
    }
    return count;
}
static const uint32_t cs_epoll_in = EPOLLIN, cs_epoll_out = EPOLLOUT, cs_epoll_rdhup = EPOLLRDHUP, cs_epoll_hup = EPOLLHUP,
                      cs_epoll_err = EPOLLERR, cs_epoll_pri = EPOLLPRI, cs_epoll_edge = EPOLLET;

static inline int cs_eventfd(void) { return CS_RESULT(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }
static inline int cs_signalfd(const sigset_t *set) { return CS_RESULT(signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK)); }
static inline ssize_t cs_read(int fd, void *bytes, size_t count) { return CS_RESULT(read(fd, bytes, count)); }
static inline ssize_t cs_write(int fd, const void *bytes, size_t count) { return CS_RESULT(write(fd, bytes, count)); }
static inline int cs_open(const char *path, int flags, int mode) { return CS_RESULT(open(path, flags | O_CLOEXEC, mode)); }
static inline int cs_memfd(const char *name) { return CS_RESULT(memfd_create(name, 0)); }

// ---- process ---------------------------------------------------------------------------------------------------

static inline int cs_raise_descriptor_limit(uint64_t *soft, uint64_t *hard) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    limit.rlim_cur = limit.rlim_max;
    int result = CS_RESULT(setrlimit(RLIMIT_NOFILE, &limit));
    getrlimit(RLIMIT_NOFILE, &limit);
    *soft = limit.rlim_cur;
    *hard = limit.rlim_max;
    return result;
}
// Whether this program got permissions by its file that whoever started it need not have.
static inline int cs_is_secure_execution(void) { return getauxval(AT_SECURE) != 0; }
// The effective capabilities of this thread as one 64-bit set.
static inline int cs_effective_capabilities(uint64_t *set) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    *set = (uint64_t)data[0].effective | (uint64_t)data[1].effective << 32;
    return 0;
}
// This thread, and what it starts, may do nothing any more that needs a capability.
static inline int cs_drop_capabilities(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2] = {{0}};
    return CS_RESULT((int)syscall(SYS_capset, &header, data));
}
// Lets programs that this one starts have the capability too, when no root user passes it on.
static inline int cs_pass_capability_on(int capability) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[2];
    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    data[capability / 32].inheritable |= 1u << capability % 32;
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    return CS_RESULT(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0));
}
static inline int cs_unshare(int flags) { return CS_RESULT(unshare(flags)); }
static inline int cs_setns(int fd, int flags) { return CS_RESULT(setns(fd, flags)); }
extern int posix_spawn_file_actions_addclosefrom_np(posix_spawn_file_actions_t *, int);
// The child keeps no descriptor from this number on.
static inline int cs_spawn_close_from(posix_spawn_file_actions_t *actions, int first) {
    return -posix_spawn_file_actions_addclosefrom_np(actions, first);
}
// Readable once the process has ended.
static inline int cs_pidfd_open(pid_t pid) { return CS_RESULT((int)syscall(SYS_pidfd_open, pid, 0)); }
static inline int64_t cs_thread_id(void) { return syscall(SYS_gettid); }
static inline void cs_name_thread(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }
static inline int cs_exited(int status) { return WIFEXITED(status); }
static inline int cs_exit_status(int status) { return WEXITSTATUS(status); }
static inline int cs_stopped(int status) { return WIFSTOPPED(status); }
static inline int cs_term_signal(int status) { return WTERMSIG(status); }

static inline uint64_t cs_monotonic_nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
static inline uint64_t cs_realtime_microseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

// Gives freed memory back to the system; 1 when there was any. Source: malloc_trim(3).
static inline int cs_malloc_trim(void) { return malloc_trim(0); }

// At the end, as it builds on what stands here.
#include "cdatagrams.h"

#endif
