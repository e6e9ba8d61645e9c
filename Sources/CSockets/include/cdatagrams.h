// UDP: many datagrams with one call, each with where it was going, and sending with a source that is not ours.
//
// As in csockets.h, every function returns a value >= 0, or a negated errno.

#ifndef CDATAGRAMS_H
#define CDATAGRAMS_H

#include "csockets.h"
#include <linux/errqueue.h>
#include <stdlib.h>
#include <sys/uio.h>

// Hidden without _GNU_SOURCE, or in kernel headers that cannot be included beside netinet/in.h.
#define CS_UDP_SEGMENT 103
#define CS_UDP_GRO 104
#define CS_IP_RECVORIGDSTADDR 20
#define CS_IPV6_RECVORIGDSTADDR 74
#define CS_IP_PKTINFO 8
#define CS_IPV6_PKTINFO 50
#define CS_IP_RECVERR 11
#define CS_IPV6_RECVERR 25
#define CS_IP_MTU_DISCOVER 10
#define CS_IPV6_MTU_DISCOVER 23
#define CS_PMTUDISC_DONT 0
#define CS_IPV6_CHECKSUM 7
static const int cs_level_udp = IPPROTO_UDP;

struct cs_in6_pktinfo {
    struct in6_addr ipi6_addr;
    unsigned int ipi6_ifindex;
};
struct cs_mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};

static inline int cs_socket_udp(int family) { return CS_RESULT(socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }
// A socket that sends a protocol's header as part of what it is given; the kernel makes IP's.
static inline int cs_socket_raw(int family, int protocol) {
    return CS_RESULT(socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

// ---- receiving -------------------------------------------------------------------------------------------------

// What one place of a batch holds: the largest datagram there is, or as much of a burst.
#define CS_DATAGRAM_SPACE 65536
// From one place to the next. An odd number of cache lines: at a power of two, all datagrams would compete for the same few.
#define CS_DATAGRAM_STRIDE (65536 + 19 * 64)
#define CS_CONTROL_SPACE 128

struct cs_batch {
    int capacity;
    // Places whose headers the last call has written to.
    int used;
    struct cs_mmsghdr *headers;
    struct iovec *parts;
    struct sockaddr_in6 *names;
    uint8_t *controls;
    // `capacity` places; only what was written becomes memory.
    uint8_t *bytes;
};

struct cs_datagram {
    struct cs_endpoint from;
    // Where it was going; family 0: the kernel did not say.
    struct cs_endpoint to;
    uint8_t *bytes;
    uint32_t length;
    // Not 0: several datagrams of this length, the last one may be shorter.
    uint16_t segment;
    // Something was cut off.
    uint8_t truncated;
};

static inline int cs_batch_make(struct cs_batch *batch, int capacity) {
    void *bytes = mmap(NULL, (size_t)capacity * CS_DATAGRAM_STRIDE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | 0x4000 /* MAP_NORESERVE */, -1, 0);
    memset(batch, 0, sizeof *batch);
    if (bytes == MAP_FAILED)
        return -errno;
    batch->capacity = capacity;
    batch->bytes = (uint8_t *)bytes;
    batch->headers = (struct cs_mmsghdr *)calloc((size_t)capacity, sizeof *batch->headers);
    batch->parts = (struct iovec *)calloc((size_t)capacity, sizeof *batch->parts);
    batch->names = (struct sockaddr_in6 *)calloc((size_t)capacity, sizeof *batch->names);
    batch->controls = (uint8_t *)calloc((size_t)capacity, CS_CONTROL_SPACE);
    if (!batch->headers || !batch->parts || !batch->names || !batch->controls)
        return -ENOMEM;
    for (int i = 0; i < capacity; i++) {
        struct msghdr *header = &batch->headers[i].msg_hdr;
        batch->parts[i].iov_base = batch->bytes + (size_t)i * CS_DATAGRAM_STRIDE;
        batch->parts[i].iov_len = CS_DATAGRAM_SPACE;
        header->msg_name = &batch->names[i];
        header->msg_iov = &batch->parts[i];
        header->msg_iovlen = 1;
        header->msg_control = batch->controls + (size_t)i * CS_CONTROL_SPACE;
    }
    batch->used = capacity;
    return 0;
}
// Also what was only half made.
static inline void cs_batch_free(struct cs_batch *batch) {
    if (batch->bytes)
        munmap(batch->bytes, (size_t)batch->capacity * CS_DATAGRAM_STRIDE);
    free(batch->headers);
    free(batch->parts);
    free(batch->names);
    free(batch->controls);
}
// Fills the first places of a batch.
static inline int cs_receive_batch(int fd, struct cs_batch *batch, int most) {
    if (most > batch->capacity)
        most = batch->capacity;
    // Most calls bring few: what the others would need is still there.
    for (int i = 0; i < batch->used; i++) {
        struct msghdr *header = &batch->headers[i].msg_hdr;
        header->msg_namelen = sizeof batch->names[i];
        header->msg_controllen = CS_CONTROL_SPACE;
    }
    int count = CS_RESULT((int)syscall(SYS_recvmmsg, fd, batch->headers, most, MSG_DONTWAIT, NULL));
    batch->used = count > 0 ? count : 0;
    return count;
}
// One place of a batch, which must have been filled.
static inline void cs_received(const struct cs_batch *batch, int index, struct cs_datagram *out) {
    struct msghdr *header = &batch->headers[index].msg_hdr;
    struct sockaddr_storage address;
    memcpy(&address, &batch->names[index], sizeof batch->names[index]);
    cs_from_sockaddr(&address, &out->from);
    memset(&out->to, 0, sizeof out->to);
    out->bytes = batch->bytes + (size_t)index * CS_DATAGRAM_STRIDE;
    out->length = batch->headers[index].msg_len;
    out->segment = 0;
    out->truncated = (header->msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control; control = CMSG_NXTHDR(header, control)) {
        size_t length = control->cmsg_len - CMSG_LEN(0);
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == CS_IP_RECVORIGDSTADDR && length >= sizeof(struct sockaddr_in)) {
            memcpy(&address, CMSG_DATA(control), sizeof(struct sockaddr_in));
            cs_from_sockaddr(&address, &out->to);
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == CS_IPV6_RECVORIGDSTADDR &&
                   length >= sizeof(struct sockaddr_in6)) {
            memcpy(&address, CMSG_DATA(control), sizeof(struct sockaddr_in6));
            cs_from_sockaddr(&address, &out->to);
        } else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == CS_UDP_GRO && length >= sizeof(int)) {
            int segment;
            memcpy(&segment, CMSG_DATA(control), sizeof segment);
            // A burst of one is no burst.
            if (segment > 0 && (uint32_t)segment < out->length)
                out->segment = (uint16_t)segment;
        }
    }
}

// Whether two places of a batch, which must have been filled, have the same sender.
static inline int cs_same_sender(const struct cs_batch *batch, int first, int second) {
    unsigned length = batch->headers[first].msg_hdr.msg_namelen;
    return length == batch->headers[second].msg_hdr.msg_namelen && !memcmp(&batch->names[first], &batch->names[second], length);
}

// ---- sending ---------------------------------------------------------------------------------------------------

// Puts one control message behind those that `header` has; there must be room.
static inline void cs_add_control(struct msghdr *header, int level, int type, const void *value, size_t size) {
    struct cmsghdr *control = (struct cmsghdr *)((uint8_t *)header->msg_control + header->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(control), value, size);
    header->msg_controllen += CMSG_SPACE(size);
}

// The parts as one datagram, or as several of `segment` bytes each. `to`: NULL on a connected socket. `from`: NULL, or the
// address to send from, which may be foreign when the socket is transparent; the port is the socket's.
static inline ssize_t cs_send_datagrams(int fd, struct iovec *parts, int count, const struct cs_endpoint *to,
                                        const struct cs_endpoint *from, uint16_t segment) {
    struct sockaddr_storage address;
    _Alignas(8) uint8_t controls[CMSG_SPACE(sizeof(struct cs_in6_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    if (to) {
        header.msg_namelen = cs_to_sockaddr(to, &address);
        header.msg_name = &address;
    }
    if (from || segment) {
        memset(controls, 0, sizeof controls);
        header.msg_control = controls;
    }
    if (from && from->family == 4) {
        struct in_pktinfo info = {0};
        memcpy(&info.ipi_spec_dst, from->bytes, 4);
        cs_add_control(&header, IPPROTO_IP, CS_IP_PKTINFO, &info, sizeof info);
    } else if (from) {
        struct cs_in6_pktinfo info = {0};
        memcpy(&info.ipi6_addr, from->bytes, 16);
        cs_add_control(&header, IPPROTO_IPV6, CS_IPV6_PKTINFO, &info, sizeof info);
    }
    if (segment)
        cs_add_control(&header, IPPROTO_UDP, CS_UDP_SEGMENT, &segment, sizeof segment);
    return CS_RESULT(syscall(SYS_sendmsg, fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL));
}

// ---- errors ----------------------------------------------------------------------------------------------------

static const uint8_t cs_told_by_this_host = 1;

struct cs_told_error {
    // What ICMP, or this host, said of a datagram that was sent; as a positive errno.
    int error;
    // 2: an ICMP message told it, 3: ICMPv6; or cs_told_by_this_host.
    uint8_t origin;
    // Where the datagram was going.
    struct cs_endpoint to;
};

// Takes what a socket with IP_RECVERR was told about one of its datagrams; -EAGAIN: nothing more.
static inline int cs_take_error(int fd, struct cs_told_error *out) {
    struct sockaddr_storage address;
    _Alignas(8) uint8_t controls[512];
    uint8_t byte;
    struct iovec part = {.iov_base = &byte, .iov_len = 1};
    struct msghdr header = {.msg_name = &address,
                            .msg_namelen = sizeof address,
                            .msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = controls,
                            .msg_controllen = sizeof controls};
    address.ss_family = AF_UNSPEC;
    ssize_t result = syscall(SYS_recvmsg, fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT);
    if (result < 0)
        return -errno;
    memset(out, 0, sizeof *out);
    cs_from_sockaddr(&address, &out->to);
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&header); control; control = CMSG_NXTHDR(&header, control)) {
        if ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == CS_IP_RECVERR) ||
            (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == CS_IPV6_RECVERR)) {
            struct sock_extended_err told;
            memcpy(&told, CMSG_DATA(control), sizeof told);
            out->error = (int)told.ee_errno;
            out->origin = told.ee_origin;
        }
    }
    return 0;
}

#endif
