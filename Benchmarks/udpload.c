// The load of the UDP benchmarks: one server and three kinds of client, each one epoll thread.
//
//   udpload server --listen ADDR:PORT      PORT sends back each datagram · +1 the same, in bursts · +2 tells who asks · 53 as PORT
//   udpload echo   --to ADDR:PORT --flows N --window W --size BYTES --seconds S [--burst K]
//   udpload query  --to ADDR:PORT --concurrency N --seconds S --source ADDR --sources N
//   udpload peer   --to ADDR:PORT
//
// ADDR:PORT of a client is the server's first port. Every client prints one line of JSON.
//
// `echo` keeps W datagrams under way on each of N flows, each flow from a port of its own: whoever is in between sets the pace, and
// what is lost is lost because it was dropped, not because it was sent too early. With --burst a flow's window is of bursts: K datagrams
// sent with one call by the kernel's segmentation (UDP_SEGMENT), and received as such (UDP_GRO). Without, neither end asks for bursts,
// so that what is between pays for those it makes. `query` asks 53 one question from each port of each address in turn.
// IPv4 only. Linux only. Build: cc -O2 -o udpload udpload.c

#define _GNU_SOURCE
#include <netinet/udp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum { PLAIN, BURSTS, PEER, QUESTIONS, BEHAVIOURS };
#define PROGRAM "udpload"
#include "load.h"
enum { BATCH = 64, EVENTS = 256, SPACE = 65536, MAX_FLOWS = 4096, MAX_WINDOW = 64, QUESTION = 40, FIRST_PORT = 1024, LAST_PORT = 65535 };

// A flow that hears nothing for this long takes what is under way for lost, and sends anew. A question is given up after a second.
static const uint64_t SILENCE = 100000000ull;
static const uint64_t PATIENCE = 1000000000ull;
// What is still under way at the end may take this long to come.
static const uint64_t STRAGGLERS = 200000000ull;
static const double WARM_UP = 0.2;

// User and system time of this process. The kernel's work for a packet that is sent, up to the next queue, is the sender's.
static double used_seconds(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

// ---- Arguments

struct options {
    struct sockaddr_in address, source;
    int count, window, size, burst, sources;
    double seconds;
};

static struct options parse_options(int argc, char **argv) {
    struct options o = {.count = 1, .window = 1, .size = 64, .burst = 1, .sources = 1, .seconds = 3};
    bool addressed = false;
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i];
        if (++i >= argc) usage("an option lacks its value");
        if (!strcmp(name, "--listen") || !strcmp(name, "--to")) {
            o.address = parse_address(argv[i], true);
            addressed = true;
        } else if (!strcmp(name, "--source")) {
            o.source = parse_address(argv[i], false);
        } else if (!strcmp(name, "--flows") || !strcmp(name, "--concurrency")) {
            o.count = (int)number(argv[i], 1, MAX_FLOWS);
        } else if (!strcmp(name, "--window")) {
            o.window = (int)number(argv[i], 1, MAX_WINDOW);
        } else if (!strcmp(name, "--size")) {
            o.size = (int)number(argv[i], 1, 1472);
        } else if (!strcmp(name, "--burst")) {
            o.burst = (int)number(argv[i], 1, 64);
        } else if (!strcmp(name, "--sources")) {
            o.sources = (int)number(argv[i], 1, 200);
        } else if (!strcmp(name, "--seconds")) {
            o.seconds = number(argv[i], 0.1, 600);
        } else {
            usage("unknown option");
        }
    }
    if (!addressed) usage("--listen or --to is missing");
    if (o.burst * o.size > 65000) usage("a burst holds 65000 bytes at the most");
    return o;
}

static struct sockaddr_in behaviour_address(const struct options *o, int behaviour) {
    struct sockaddr_in result = o->address;
    result.sin_port = htons(behaviour == QUESTIONS ? 53 : (uint16_t)(ntohs(result.sin_port) + behaviour));
    return result;
}

static int open_socket(bool takes_bursts) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (fd < 0) die("socket");
    if (takes_bursts && setsockopt(fd, IPPROTO_UDP, UDP_GRO, &one, sizeof one) < 0) die("UDP_GRO");
    return fd;
}

// The ends must not be where datagrams are lost.
static void make_room(int fd) {
    int bytes = 8 << 20;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) < 0) setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static void watch(int ep, int fd, uint32_t data) {
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = data};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event) < 0) die("epoll_ctl");
}

// ---- Datagrams, many with one call

struct batch {
    struct mmsghdr headers[BATCH];
    struct iovec parts[BATCH];
    struct sockaddr_in names[BATCH];
    _Alignas(8) char controls[BATCH][CMSG_SPACE(sizeof(int))];
    uint16_t segments[BATCH];
};

static struct batch batch;
static char space[BATCH][SPACE];

static int receive(int fd) {
    for (int i = 0; i < BATCH; i++) {
        batch.parts[i] = (struct iovec){space[i], SPACE};
        batch.headers[i].msg_hdr = (struct msghdr){.msg_name = &batch.names[i],
                                                   .msg_namelen = sizeof batch.names[i],
                                                   .msg_iov = &batch.parts[i],
                                                   .msg_iovlen = 1,
                                                   .msg_control = batch.controls[i],
                                                   .msg_controllen = sizeof batch.controls[i]};
    }
    int count = recvmmsg(fd, batch.headers, BATCH, 0, NULL);
    for (int i = 0; i < count; i++) {
        batch.segments[i] = 0;
        struct cmsghdr *control = CMSG_FIRSTHDR(&batch.headers[i].msg_hdr);
        if (!control || control->cmsg_type != UDP_GRO) continue;
        int segment;
        memcpy(&segment, CMSG_DATA(control), sizeof segment);
        if ((unsigned)segment < batch.headers[i].msg_len) batch.segments[i] = (uint16_t)segment;
    }
    return count;
}

// How many datagrams the place of a batch holds.
static unsigned datagrams(int i) {
    return batch.segments[i] ? (batch.headers[i].msg_len + batch.segments[i] - 1) / batch.segments[i] : 1;
}

static void set_segment(struct msghdr *header, char *control_space, uint16_t segment) {
    header->msg_control = control_space;
    header->msg_controllen = CMSG_SPACE(sizeof segment);
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    *control = (struct cmsghdr){.cmsg_level = IPPROTO_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
    memcpy(CMSG_DATA(control), &segment, sizeof segment);
}

// ---- Server

static void send_back(int fd, int count) {
    for (int i = 0; i < count; i++) {
        struct msghdr *header = &batch.headers[i].msg_hdr;
        batch.parts[i].iov_len = batch.headers[i].msg_len;
        header->msg_control = NULL;
        header->msg_controllen = 0;
        if (batch.segments[i]) set_segment(header, batch.controls[i], batch.segments[i]);
    }
    for (int sent = 0; sent < count;) {
        int n = sendmmsg(fd, batch.headers + sent, (unsigned)(count - sent), 0);
        // One that cannot be sent is a loss that the client counts.
        sent += n > 0 ? n : 1;
    }
}

static void tell_addresses(int fd, int count) {
    for (int i = 0; i < count; i++) {
        char text[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &batch.names[i].sin_addr, text, sizeof text);
        sendto(fd, text, strlen(text), 0, (struct sockaddr *)&batch.names[i], sizeof batch.names[i]);
    }
}

static _Noreturn void run_server(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC), sockets[BEHAVIOURS];
    if (ep < 0) die("epoll_create1");
    for (int i = 0; i < BEHAVIOURS; i++) {
        sockets[i] = open_socket(i == BURSTS);
        make_room(sockets[i]);
        struct sockaddr_in address = behaviour_address(o, i);
        if (bind(sockets[i], (struct sockaddr *)&address, sizeof address) < 0) die("bind");
        watch(ep, sockets[i], (uint32_t)i);
    }
    printf("{\"listening\": true}\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[BEHAVIOURS];
        int n = epoll_wait(ep, events, BEHAVIOURS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            int which = (int)events[i].data.u32, count = receive(sockets[which]);
            if (count <= 0) continue;
            if (which == PEER) tell_addresses(sockets[which], count);
            else send_back(sockets[which], count);
        }
    }
}

// ---- Echo

struct flow {
    int fd;
    unsigned under_way;
    uint64_t heard;
};

static struct flow flows[MAX_FLOWS];
static char payload[SPACE];

// Sends `count` datagrams, or bursts. Returns how many datagrams the kernel took.
static unsigned say(struct flow *f, const struct options *o, unsigned count) {
    static struct mmsghdr messages[BATCH];
    static struct iovec part;
    static _Alignas(8) char control[CMSG_SPACE(sizeof(uint16_t))];
    part = (struct iovec){payload, (size_t)o->size * (size_t)o->burst};
    unsigned sent = 0;
    if (count > BATCH) count = BATCH;
    for (unsigned i = 0; i < count; i++) {
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
        if (o->burst > 1) set_segment(&messages[i].msg_hdr, control, (uint16_t)o->size);
    }
    int n = sendmmsg(f->fd, messages, count, 0);
    if (n > 0) sent = (unsigned)(n * o->burst);
    f->under_way += sent;
    return sent;
}

static int run_echo(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in to = behaviour_address(o, o->burst > 1 ? BURSTS : PLAIN);
    uint64_t sent = 0, received = 0, measured = 0, silences = 0, swept = now();
    unsigned window = (unsigned)(o->window * o->burst);
    for (int i = 0; i < o->count; i++) {
        flows[i].fd = open_socket(o->burst > 1);
        make_room(flows[i].fd);
        if (connect(flows[i].fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
        watch(ep, flows[i].fd, (uint32_t)i);
        flows[i].heard = now();
        sent += say(&flows[i], o, (unsigned)o->window);
    }
    uint64_t from = now() + (uint64_t)(WARM_UP * 1e9), until = from + (uint64_t)(o->seconds * 1e9), time, began = 0, ended = 0;
    double used = 0;
    while ((time = now()) < until + STRAGGLERS) {
        bool goes_on = time < until;
        if (!began && time >= from) began = time, measured = received, used = used_seconds();
        if (!ended && !goes_on) ended = time, measured = received - measured, used = used_seconds() - used;
        if (!goes_on && received >= sent) break;
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 10);
        for (int i = 0; i < n; i++) {
            struct flow *f = &flows[events[i].data.u32];
            int count = receive(f->fd);
            unsigned got = 0;
            for (int j = 0; j < count; j++) got += datagrams(j);
            received += got;
            // Late ones were taken for lost.
            f->under_way -= got < f->under_way ? got : f->under_way;
            f->heard = time;
            if (goes_on) sent += say(f, o, (window - f->under_way) / (unsigned)o->burst);
        }
        if (!goes_on || time - swept < SILENCE / 10) continue;
        swept = time;
        for (int i = 0; i < o->count; i++) {
            struct flow *f = &flows[i];
            if (time - f->heard < SILENCE) continue;
            silences += f->under_way > 0;
            f->under_way = 0;
            f->heard = time;
            sent += say(f, o, (unsigned)o->window);
        }
    }
    double seconds = (double)(ended - began) / 1e9;
    double per_second = (double)measured / seconds;
    printf("{\"mode\": \"echo\", \"per_second\": %.1f, \"gbit\": %.4f, \"sent\": %llu, \"lost\": %llu, \"loss\": %.6f, \"silences\": %llu, "
           "\"client_busy\": %.3f}\n",
           per_second, per_second * o->size * 8 / 1e9, (unsigned long long)sent, (unsigned long long)(sent - received),
           (double)(sent - received) / (double)sent, (unsigned long long)silences, used / seconds);
    return measured ? 0 : 1;
}

// ---- Questions

struct question {
    int fd;
    uint64_t asked;
};

static struct question questions[MAX_FLOWS];
static uint64_t next_endpoint, busy_ports;

// The next address and port: each is used once before the first comes again.
static struct sockaddr_in endpoint(const struct options *o) {
    const uint64_t ports = LAST_PORT - FIRST_PORT + 1;
    struct sockaddr_in from = o->source;
    uint64_t i = next_endpoint++;
    from.sin_family = AF_INET;
    from.sin_port = htons((uint16_t)(FIRST_PORT + i % ports));
    from.sin_addr.s_addr = htonl(ntohl(from.sin_addr.s_addr) + (uint32_t)(i / ports % (uint64_t)o->sources));
    return from;
}

static bool ask(int ep, const struct options *o, struct question *q, uint32_t index, const struct sockaddr_in *to) {
    q->fd = open_socket(false);
    for (;;) {
        struct sockaddr_in from = endpoint(o);
        if (bind(q->fd, (struct sockaddr *)&from, sizeof from) == 0) break;
        if (errno != EADDRINUSE) die("bind");
        busy_ports++;
    }
    if (connect(q->fd, (const struct sockaddr *)to, sizeof *to) < 0) die("connect");
    watch(ep, q->fd, index);
    q->asked = now();
    return send(q->fd, payload, QUESTION, 0) == QUESTION;
}

static int compare(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int run_query(const struct options *o) {
    enum { KEPT = 1 << 22 };
    uint32_t *latencies = malloc(KEPT * sizeof *latencies);
    if (!latencies) die("malloc");
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in to = behaviour_address(o, QUESTIONS);
    uint64_t answered = 0, asked = 0, lost = 0, measured = 0, swept = now(), began = 0, time;
    double used = 0;
    for (int i = 0; i < o->count; i++) asked++, ask(ep, o, &questions[i], (uint32_t)i, &to);
    uint64_t from = now() + (uint64_t)(WARM_UP * 1e9), until = from + (uint64_t)(o->seconds * 1e9);
    while ((time = now()) < until) {
        if (!began && time >= from) began = time, measured = answered, used = used_seconds();
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 10);
        uint64_t woken = now();
        for (int i = 0; i < n; i++) {
            uint32_t index = events[i].data.u32;
            struct question *q = &questions[index];
            char answer[QUESTION + 1];
            ssize_t got = recv(q->fd, answer, sizeof answer, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got == QUESTION) {
                if (began && answered - measured < KEPT) latencies[answered - measured] = (uint32_t)((woken - q->asked) / 1000);
                answered++;
            } else {
                lost++;
            }
            close(q->fd);
            asked++;
            if (!ask(ep, o, q, index, &to)) fprintf(stderr, "udpload: send: %s\n", strerror(errno));
        }
        if (time - swept < PATIENCE / 10) continue;
        swept = time;
        for (int i = 0; i < o->count; i++) {
            if (time < questions[i].asked + PATIENCE) continue;
            close(questions[i].fd);
            lost++, asked++;
            ask(ep, o, &questions[i], (uint32_t)i, &to);
        }
    }
    double seconds = (double)(time - began) / 1e9;
    measured = answered - measured;
    used = used_seconds() - used;
    size_t kept = measured < KEPT ? measured : KEPT;
    qsort(latencies, kept, sizeof *latencies, compare);
    printf("{\"mode\": \"query\", \"per_second\": %.1f, \"p50_us\": %u, \"p99_us\": %u, \"sent\": %llu, \"lost\": %llu, \"loss\": %.6f, "
           "\"busy_ports\": %llu, \"client_busy\": %.3f}\n",
           (double)measured / seconds, kept ? latencies[kept / 2] : 0, kept ? latencies[kept * 99 / 100] : 0, (unsigned long long)asked,
           (unsigned long long)lost, (double)lost / (double)asked, (unsigned long long)busy_ports, used / seconds);
    return measured ? 0 : 1;
}

static int run_peer(const struct options *o) {
    int fd = open_socket(false);
    struct sockaddr_in to = behaviour_address(o, PEER);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) < 0) die("connect");
    int ep = epoll_create1(EPOLL_CLOEXEC);
    watch(ep, fd, 0);
    for (int attempt = 0; attempt < 20; attempt++) {
        if (send(fd, "who", 3, 0) < 0 && errno != ECONNREFUSED) die("send");
        struct epoll_event event;
        epoll_wait(ep, &event, 1, 250);
        char text[64];
        ssize_t got = recv(fd, text, sizeof text - 1, 0);
        if (got <= 0) continue;
        text[got] = 0;
        printf("{\"mode\": \"peer\", \"seen\": \"%s\"}\n", text);
        return 0;
    }
    fprintf(stderr, "udpload: no answer\n");
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("a mode is missing");
    struct options o = parse_options(argc, argv);
    memset(payload, 'c', sizeof payload);
    if (!strcmp(argv[1], "server")) run_server(&o);
    if (!strcmp(argv[1], "echo")) return run_echo(&o);
    if (!strcmp(argv[1], "query")) return run_query(&o);
    if (!strcmp(argv[1], "peer")) return run_peer(&o);
    usage("unknown mode");
}
