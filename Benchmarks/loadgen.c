// The load of the benchmarks: one server with six behaviours, and six kinds of client, each one epoll thread.
//
//   loadgen server --listen ADDR:PORT              PORT source · +1 sink · +2 echo · +3 answer-and-close · +4 peer's address
//                                                  +5 SOCKS5, behind which it is itself again
//   loadgen bulk   --to ADDR:PORT --streams N --seconds S [--upload] [--via ADDR:PORT]
//   loadgen rr     --to ADDR:PORT --connections N --seconds S [--via ADDR:PORT]
//   loadgen crc    --to ADDR:PORT --concurrency N --seconds S [--source ADDR] [--ports A-B] [--socks] [--via ADDR:PORT]
//   loadgen idle   --to ADDR:PORT --connections N --hold S [--via ADDR:PORT]
//   loadgen slow   --via ADDR:PORT --connections N --hold S [--source ADDR] [--sources N]
//   loadgen peer   --to ADDR:PORT [--via ADDR:PORT]
//
// ADDR:PORT of a client is the server's first port; each client adds the offset of the behaviour it needs. With --via it asks the
// SOCKS5 proxy there for it, with --socks the server's own SOCKS5 port.
// Every client prints one line of JSON and ends by itself; `idle` prints its line once all connections are open, then holds them.
// `slow` does so too, sends a byte a second on each, half of them SOCKS5 and half HTTP that never become whole, and prints a second
// line when all have been ended or the time is over. They come from N addresses in turn, the first of which is --source.
// IPv4 only. Linux only. Build: cc -O2 -o loadgen loadgen.c

#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOURCE, SINK, ECHO, ANSWER_AND_CLOSE, PEER, SOCKS, BEHAVIOURS };
#define PROGRAM "loadgen"
#include "load.h"
enum { GREETING = 3, METHOD = 2, REQUEST = 10 };
enum { MESSAGE = 64, BLOCK = 256 * 1024, EVENTS = 256, MAX_CONNECTIONS = 16384, OPENING_AT_ONCE = 128, BACKLOG = 4096 };

// A connection without progress for this long is an error, and is given up.
static const uint64_t PATIENCE = 5000000000ull;
// The first retransmission of a SYN comes after one second: a cycle this long has lost one.
static const uint64_t STALLED = 900000000ull;

static char block[BLOCK];

// ---- Small things

static void raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static void set_flag(int fd, int level, int name) {
    int one = 1;
    if (setsockopt(fd, level, name, &one, sizeof one) < 0) die("setsockopt");
}

// Ends by RST: nothing stays in TIME_WAIT on this side, so that the next run finds every port free.
static void end_by_reset(int fd) {
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

static void watch(int ep, int operation, int fd, uint32_t events, void *data) {
    struct epoll_event event = {.events = events, .data.ptr = data};
    if (epoll_ctl(ep, operation, fd, &event) < 0) die("epoll_ctl");
}

// ---- Latencies: logarithmic buckets of nanoseconds, 64 to each power of two (1.6 % wide)

enum { SUB = 64, SUB_BITS = 6, BUCKETS = (64 - SUB_BITS + 1) * SUB };
struct histogram { uint64_t count, longest, buckets[BUCKETS]; };

static void record(struct histogram *h, uint64_t ns) {
    unsigned index = (unsigned)ns;
    if (ns >= SUB) {
        unsigned exponent = 63 - (unsigned)__builtin_clzll(ns);
        index = (exponent - SUB_BITS + 1) * SUB + (unsigned)((ns >> (exponent - SUB_BITS)) & (SUB - 1));
    }
    h->buckets[index]++;
    h->count++;
    if (ns > h->longest) h->longest = ns;
}

// The middle of the bucket below which a `part` (0…1) of the values lies, in microseconds.
static double percentile(const struct histogram *h, double part) {
    uint64_t rank = (uint64_t)(part * (double)h->count), seen = 0;
    if (rank >= h->count) rank = h->count ? h->count - 1 : 0;
    for (unsigned i = 0; i < BUCKETS; i++) {
        seen += h->buckets[i];
        if (seen <= rank) continue;
        if (i < SUB) return i / 1e3;
        unsigned shift = i / SUB - 1;
        return ((double)((uint64_t)(SUB + i % SUB) << shift) + (double)(1ull << shift) / 2) / 1e3;
    }
    return 0;
}

// ---- Arguments

struct options {
    struct sockaddr_in address, source, via;
    int count;
    double seconds, warmup;
    bool upload, socks;
    int first_port, last_port, sources;
};

static struct options parse_options(int argc, char **argv) {
    struct options o = {.count = 1, .sources = 1, .seconds = 3, .warmup = 0.3};
    bool addressed = false;
    for (int i = 2; i < argc; i++) {
        const char *name = argv[i];
        if (!strcmp(name, "--upload")) {
            o.upload = true;
            continue;
        }
        if (!strcmp(name, "--socks")) {
            o.socks = true;
            continue;
        }
        if (++i >= argc) usage("an option lacks its value");
        if (!strcmp(name, "--listen") || !strcmp(name, "--to")) {
            o.address = parse_address(argv[i], true);
            addressed = true;
        } else if (!strcmp(name, "--via")) {
            o.via = parse_address(argv[i], true);
        } else if (!strcmp(name, "--sources")) {
            o.sources = (int)number(argv[i], 1, 250);
        } else if (!strcmp(name, "--source")) {
            o.source = parse_address(argv[i], false);
        } else if (!strcmp(name, "--streams") || !strcmp(name, "--connections") || !strcmp(name, "--concurrency")) {
            o.count = (int)number(argv[i], 1, MAX_CONNECTIONS);
        } else if (!strcmp(name, "--seconds") || !strcmp(name, "--hold")) {
            o.seconds = number(argv[i], 0.1, 600);
        } else if (!strcmp(name, "--warmup")) {
            o.warmup = number(argv[i], 0, 60);
        } else if (!strcmp(name, "--ports")) {
            if (sscanf(argv[i], "%d-%d", &o.first_port, &o.last_port) != 2 || o.first_port < 1 || o.last_port > 65535 ||
                o.first_port > o.last_port)
                usage("--ports A-B expected");
        } else {
            usage("unknown option");
        }
    }
    if (!addressed && strcmp(argv[1], "slow")) usage("--listen or --to is missing");
    if (!strcmp(argv[1], "slow") && !o.via.sin_family) usage("--via is missing");
    if (o.socks && o.via.sin_family) usage("--socks and --via exclude each other");
    return o;
}

static struct sockaddr_in behaviour_address(const struct options *o, int behaviour) {
    struct sockaddr_in result = o->address;
    result.sin_port = htons((uint16_t)(ntohs(result.sin_port) + behaviour));
    return result;
}

// Where to connect to: to the proxy that is to be asked for `target`, or there.
static struct sockaddr_in first_hop(const struct options *o, const struct sockaddr_in *target) {
    return o->via.sin_family ? o->via : o->socks ? behaviour_address(o, SOCKS) : *target;
}

static bool is_asked_for(const struct options *o) { return o->socks || o->via.sin_family; }

// ---- Server

struct peer {
    int fd, behaviour, first_port;
    bool listening;
    unsigned got;
    struct sockaddr_in from;
};

static void drop(struct peer *p) {
    close(p->fd);
    free(p);
}

static void tell_address(int fd, const struct sockaddr_in *from) {
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &from->sin_addr, text, sizeof text);
    if (write(fd, text, strlen(text)) < 0) fprintf(stderr, "loadgen: peer left: %s\n", strerror(errno));
}

static void accept_some(int ep, const struct peer *listener) {
    for (int i = 0; i < 64; i++) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        int fd = accept4(listener->fd, (struct sockaddr *)&from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == ECONNABORTED || errno == EINTR) continue;
            if (errno == EAGAIN) return;
            die("accept");
        }
        if (listener->behaviour == PEER) {
            tell_address(fd, &from);
            close(fd);
            continue;
        }
        set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
        struct peer *p = calloc(1, sizeof *p);
        if (!p) die("calloc");
        *p = (struct peer){.fd = fd, .behaviour = listener->behaviour, .first_port = listener->first_port, .from = from};
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLRDHUP | (p->behaviour == SOURCE ? EPOLLOUT : EPOLLIN), p);
    }
}

// SOCKS5 without authentication, for a port of this server: from then on the connection is as if it had been made there.
static bool negotiate(int ep, struct peer *p) {
    static const char no_authentication[METHOD] = {5, 0}, granted[REQUEST] = {5, 0, 0, 1};
    unsigned char message[REQUEST];
    size_t expected = p->got == 0 ? GREETING : REQUEST;
    // All that our clients and peers send comes in one piece.
    ssize_t n = recv(p->fd, message, expected, 0);
    if (n < 0) return errno == EAGAIN;
    if ((size_t)n != expected || message[0] != 5) return false;
    p->got += (unsigned)n;
    if (expected == GREETING) return send(p->fd, no_authentication, METHOD, MSG_NOSIGNAL) == METHOD;
    p->behaviour = (message[8] << 8 | message[9]) - p->first_port;
    if (message[3] != 1 || p->behaviour < 0 || p->behaviour >= SOCKS) return false;
    p->got = 0;
    if (send(p->fd, granted, REQUEST, MSG_NOSIGNAL) != REQUEST) return false;
    if (p->behaviour == PEER) tell_address(p->fd, &p->from);
    if (p->behaviour == SOURCE) watch(ep, EPOLL_CTL_MOD, p->fd, EPOLLRDHUP | EPOLLOUT, p);
    return p->behaviour != PEER;
}

// Whether the connection goes on.
static bool serve(int ep, struct peer *p, uint32_t events) {
    char message[4096];
    ssize_t n;
    if (events & EPOLLERR) return false;
    switch (p->behaviour) {
    case SOCKS: return negotiate(ep, p);
    case SOURCE:
        if (events & EPOLLRDHUP) return false;
        n = send(p->fd, block, BLOCK, MSG_NOSIGNAL);
        return n > 0 || errno == EAGAIN;
    case SINK:
        n = recv(p->fd, block, BLOCK, 0);
        return n > 0 || (n < 0 && errno == EAGAIN);
    case ECHO:
        n = recv(p->fd, message, sizeof message, 0);
        if (n < 0) return errno == EAGAIN;
        // A client that has more under way than its window takes is not one of ours.
        return n > 0 && send(p->fd, message, (size_t)n, MSG_NOSIGNAL) == n;
    default:
        n = recv(p->fd, message, MESSAGE - p->got, 0);
        if (n < 0) return errno == EAGAIN;
        p->got += (unsigned)n;
        if (n > 0 && p->got < MESSAGE) return true;
        if (p->got == MESSAGE && send(p->fd, block, MESSAGE, MSG_NOSIGNAL) < 0) perror("loadgen: answer");
        return false;
    }
}

static _Noreturn void run_server(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    if (ep < 0) die("epoll_create1");
    struct peer listeners[BEHAVIOURS];
    for (int i = 0; i < BEHAVIOURS; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) die("socket");
        set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
        struct sockaddr_in address = behaviour_address(o, i);
        if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) die("bind");
        if (listen(fd, BACKLOG) < 0) die("listen");
        listeners[i] = (struct peer){.fd = fd, .behaviour = i, .first_port = ntohs(o->address.sin_port), .listening = true};
        watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN, &listeners[i]);
    }
    printf("{\"listening\": true}\n");
    fflush(stdout);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, -1);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            struct peer *p = events[i].data.ptr;
            if (p->listening) accept_some(ep, p);
            else if (!serve(ep, p, events[i].events)) drop(p);
        }
    }
}

// ---- Clients

struct connection {
    int fd;
    enum { CLOSED, CONNECTING, GREETED, ASKED, WAITING, OPEN } state;
    unsigned got;
    uint64_t began;
};

static struct connection connections[MAX_CONNECTIONS];
static uint64_t errors;

static int begin_connecting(const struct sockaddr_in *to, const struct sockaddr_in *source, int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) die("socket");
    set_flag(fd, IPPROTO_TCP, TCP_NODELAY);
    if (source && (source->sin_family || port)) {
        struct sockaddr_in local = *source;
        local.sin_family = AF_INET;
        local.sin_port = htons((uint16_t)port);
        set_flag(fd, SOL_SOCKET, SO_REUSEADDR);
        // Without it the kernel would take the port at bind, and one address would reach no further than its port range.
        if (!port) set_flag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
        if (bind(fd, (struct sockaddr *)&local, sizeof local) < 0) goto failed;
    }
    if (connect(fd, (const struct sockaddr *)to, sizeof *to) < 0 && errno != EINPROGRESS) goto failed;
    return fd;
failed:;
    int error = errno;
    close(fd);
    return -error;
}

static bool connected(int fd) {
    int error = 0;
    socklen_t length = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

static void give_up(struct connection *c) {
    errors++;
    end_by_reset(c->fd);
    close(c->fd);
    c->state = CLOSED;
}

static bool say(struct connection *c) {
    c->state = WAITING;
    return send(c->fd, block, MESSAGE, MSG_NOSIGNAL) == MESSAGE;
}

static bool greet(struct connection *c) {
    static const char greeting[GREETING] = {5, 1, 0};
    c->state = GREETED;
    return send(c->fd, greeting, GREETING, MSG_NOSIGNAL) == GREETING;
}

// 1: the proxy has said yes; 0: its answer is not here; -1: something is wrong.
static int negotiate_as_client(struct connection *c, const struct sockaddr_in *target) {
    char answer[REQUEST], request[REQUEST] = {5, 1, 0, 1};
    for (;;) {
        ssize_t expected = c->state == GREETED ? METHOD : REQUEST, got = recv(c->fd, answer, (size_t)expected, 0);
        if (got < 0 && errno == EAGAIN) return 0;
        if (got != expected || answer[1] != 0) return -1;
        if (c->state == ASKED) return 1;
        memcpy(request + 4, &target->sin_addr, 4);
        memcpy(request + 8, &target->sin_port, 2);
        if (send(c->fd, request, REQUEST, MSG_NOSIGNAL) != REQUEST) return -1;
        c->state = ASKED;
    }
}

// Opens `count` connections to `target`, with a bounded number under way so that no accept queue overflows; with `exchange`, one
// request and its answer on each. Returns how many are open; those that failed count as errors.
static int open_all(int ep, const struct options *o, const struct sockaddr_in *target, int count, bool exchange) {
    struct sockaddr_in to = first_hop(o, target);
    int begun = 0, under_way = 0, open = 0;
    uint64_t progress = now();
    while ((begun < count || under_way > 0) && now() - progress < PATIENCE) {
        while (begun < count && under_way < OPENING_AT_ONCE) {
            struct connection *c = &connections[begun++];
            int fd = begin_connecting(&to, NULL, 0);
            if (fd < 0) {
                errors++;
                continue;
            }
            end_by_reset(fd);
            *c = (struct connection){.fd = fd, .state = CONNECTING};
            watch(ep, EPOLL_CTL_ADD, fd, EPOLLOUT, c);
            under_way++;
        }
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 100);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            bool is_open = false;
            if (c->state == CONNECTING && connected(c->fd)) {
                progress = now();
                if (is_asked_for(o)) {
                    if (greet(c)) {
                        watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
                        continue;
                    }
                    give_up(c);
                } else {
                    is_open = true;
                }
            } else if (c->state == GREETED || c->state == ASKED) {
                int step = negotiate_as_client(c, target);
                if (step == 0) continue;
                if (step < 0) give_up(c);
                is_open = step > 0;
            }
            if (is_open) {
                if (exchange && send(c->fd, block, MESSAGE, MSG_NOSIGNAL) == MESSAGE) {
                    c->state = WAITING;
                    watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
                    continue;
                }
                c->state = OPEN;
            } else if (c->state == WAITING) {
                char message[MESSAGE];
                ssize_t got = recv(c->fd, message, MESSAGE - c->got, 0);
                if (got > 0 && (c->got += (unsigned)got) < MESSAGE) continue;
                if (got > 0) c->state = OPEN;
                else give_up(c);
            } else if (c->state != CLOSED) {
                give_up(c);
            }
            under_way--;
            if (c->state != OPEN) continue;
            open++;
            // Quiet until the caller says what it waits for.
            watch(ep, EPOLL_CTL_MOD, c->fd, 0, c);
        }
    }
    for (int i = 0; i < begun; i++)
        if (connections[i].state != CLOSED && connections[i].state != OPEN) give_up(&connections[i]);
    return open;
}

static int run_bulk(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in target = behaviour_address(o, o->upload ? SINK : SOURCE);
    int open = open_all(ep, o, &target, o->count, false), alive = open;
    for (int i = 0; i < o->count; i++)
        if (connections[i].state == OPEN) watch(ep, EPOLL_CTL_MOD, connections[i].fd, o->upload ? EPOLLOUT : EPOLLIN, &connections[i]);

    uint64_t total = 0, before = 0, began = now(), measured_from = began + (uint64_t)(o->warmup * 1e9);
    uint64_t until = measured_from + (uint64_t)(o->seconds * 1e9), time = began;
    bool measuring = false;
    while (alive > 0 && (time = now()) < until) {
        if (!measuring && time >= measured_from) {
            measuring = true;
            measured_from = time;
            before = total;
        }
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 50);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            ssize_t moved = o->upload ? send(c->fd, block, BLOCK, MSG_NOSIGNAL) : recv(c->fd, block, BLOCK, 0);
            if (moved > 0) {
                total += (uint64_t)moved;
            } else if (moved == 0 || errno != EAGAIN) {
                give_up(c);
                alive--;
            }
        }
    }
    double seconds = (double)(time - measured_from) / 1e9;
    uint64_t bytes = measuring ? total - before : 0;
    printf("{\"mode\": \"bulk\", \"streams\": %d, \"bytes\": %llu, \"seconds\": %.6f, \"gbit\": %.4f, \"total_bytes\": %llu, \"errors\": %llu}\n",
           open, (unsigned long long)bytes, measuring ? seconds : 0.0, measuring ? (double)bytes * 8 / seconds / 1e9 : 0.0,
           (unsigned long long)total, (unsigned long long)errors);
    return open ? 0 : 1;
}

static void print_latencies(const char *mode, int count, const struct histogram *h, double seconds) {
    printf("{\"mode\": \"%s\", \"connections\": %d, \"count\": %llu, \"per_second\": %.1f, \"p50_us\": %.2f, \"p99_us\": %.2f, "
           "\"p999_us\": %.2f, \"max_us\": %.2f, \"errors\": %llu",
           mode, count, (unsigned long long)h->count, seconds > 0 ? (double)h->count / seconds : 0.0, percentile(h, 0.5),
           percentile(h, 0.99), percentile(h, 0.999), (double)h->longest / 1e3, (unsigned long long)errors);
}

static bool ask(struct connection *c) {
    c->got = 0;
    c->began = now();
    return send(c->fd, block, MESSAGE, MSG_NOSIGNAL) == MESSAGE;
}

static int run_request_response(const struct options *o) {
    static struct histogram latencies;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in target = behaviour_address(o, ECHO);
    int open = open_all(ep, o, &target, o->count, false), alive = open;
    uint64_t measured_from = now() + (uint64_t)(o->warmup * 1e9), until = measured_from + (uint64_t)(o->seconds * 1e9);
    uint64_t time = now(), progress = time;
    bool measuring = false;
    for (int i = 0; i < o->count; i++) {
        if (connections[i].state != OPEN) continue;
        watch(ep, EPOLL_CTL_MOD, connections[i].fd, EPOLLIN, &connections[i]);
        if (!ask(&connections[i])) give_up(&connections[i]), alive--;
    }
    while (alive > 0 && (time = now()) < until) {
        if (!measuring && time >= measured_from) {
            measuring = true;
            measured_from = time;
            memset(&latencies, 0, sizeof latencies);
        }
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 50);
        if (n > 0) progress = now();
        else if (now() - progress > PATIENCE) {
            errors += (uint64_t)alive;
            break;
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            char message[MESSAGE];
            ssize_t got = recv(c->fd, message, MESSAGE - c->got, 0);
            if (got < 0 && errno == EAGAIN) continue;
            if (got > 0 && (c->got += (unsigned)got) < MESSAGE) continue;
            if (got > 0) record(&latencies, now() - c->began);
            if (got <= 0 || !ask(c)) give_up(c), alive--;
        }
    }
    print_latencies("rr", open, &latencies, measuring ? (double)(time - measured_from) / 1e9 : 0);
    printf("}\n");
    return open ? 0 : 1;
}

static int run_connect_request_close(const struct options *o) {
    static struct histogram cycles;
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in target = behaviour_address(o, ANSWER_AND_CLOSE), to = first_hop(o, &target);
    int ports = o->first_port ? o->last_port - o->first_port + 1 : 0, next_port = 0;
    if (ports && ports < o->count) usage("--ports must hold at least as many ports as --concurrency");

    uint64_t begun = now(), measured_from = begun + (uint64_t)(o->warmup * 1e9), until = measured_from + (uint64_t)(o->seconds * 1e9);
    uint64_t time = begun, swept = begun, completed = begun, gap = 0, longest = 0, stalled = 0, busy_ports = 0;
    bool measuring = false;
    int idle = o->count;
    while ((time = now()) < until) {
        if (!measuring && time >= measured_from) {
            measuring = true;
            measured_from = time;
            memset(&cycles, 0, sizeof cycles);
        }
        // `idle` bounds the attempts: a slot that finds its port still busy is tried again on the next turn.
        for (int i = 0, attempts = idle; idle > 0 && attempts > 0 && i < o->count; i++) {
            struct connection *c = &connections[i];
            if (c->state != CLOSED) continue;
            attempts--;
            int port = ports ? o->first_port + next_port++ % ports : 0;
            uint64_t began = now();
            int fd = begin_connecting(&to, &o->source, port);
            if (fd < 0) {
                if (ports && (fd == -EADDRINUSE || fd == -EADDRNOTAVAIL)) busy_ports++;
                else errors++;
                continue;
            }
            *c = (struct connection){.fd = fd, .state = CONNECTING, .began = began};
            idle--;
            // Edge-triggered, both ways at once: one registration for the whole cycle.
            watch(ep, EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLOUT | EPOLLET, c);
        }
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, idle > 0 ? 1 : 50);
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->state == CONNECTING) {
                if (!connected(c->fd) || !(is_asked_for(o) ? greet(c) : say(c))) {
                    give_up(c), idle++;
                    continue;
                }
            }
            if (c->state == GREETED || c->state == ASKED) {
                int step = negotiate_as_client(c, &target);
                if (step > 0 && !say(c)) step = -1;
                if (step < 0) give_up(c), idle++;
                if (step <= 0) continue;
            }
            char message[MESSAGE + 1];
            ssize_t got;
            while ((got = recv(c->fd, message, sizeof message, 0)) > 0) c->got += (unsigned)got;
            if (got < 0 && errno == EAGAIN) continue;
            if (got < 0 || c->got != MESSAGE) {
                give_up(c), idle++;
                continue;
            }
            close(c->fd);
            c->state = CLOSED;
            idle++;
            uint64_t end = now(), cycle = end - c->began;
            record(&cycles, cycle);
            if (cycle > longest) longest = cycle;
            if (cycle >= STALLED) stalled++;
            if (end - completed > gap) gap = end - completed;
            completed = end;
        }
        if (time - swept < SECOND / 10) continue;
        swept = time = now();
        for (int i = 0; i < o->count; i++)
            if (connections[i].state != CLOSED && time - connections[i].began > PATIENCE) give_up(&connections[i]), stalled++, idle++;
    }
    double seconds = measuring ? (double)(time - measured_from) / 1e9 : 0;
    time = now();
    if (time - completed > gap) gap = time - completed;
    // A cycle still under way at the end may be one that stalls.
    for (int i = 0; i < o->count; i++) {
        if (connections[i].state == CLOSED) continue;
        uint64_t age = time - connections[i].began;
        if (age > longest) longest = age;
        if (age >= STALLED) stalled++;
    }
    print_latencies("crc", o->count, &cycles, seconds);
    printf(", \"longest_gap_ms\": %.3f, \"longest_cycle_ms\": %.3f, \"stalled\": %llu, \"busy_ports\": %llu}\n", (double)gap / 1e6,
           (double)longest / 1e6, (unsigned long long)stalled, (unsigned long long)busy_ports);
    return cycles.count ? 0 : 1;
}

static int run_idle(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in target = behaviour_address(o, ECHO);
    int open = open_all(ep, o, &target, o->count, true);
    printf("{\"mode\": \"idle\", \"ready\": true, \"connections\": %d, \"errors\": %llu}\n", open, (unsigned long long)errors);
    fflush(stdout);
    uint64_t until = now() + (uint64_t)(o->seconds * 1e9);
    while (now() < until) usleep(20000);
    return open ? 0 : 1;
}

// Bytes of a handshake, for as long as anybody listens: a greeting and a request for the longest name, or a head with the longest field.
static char slow_byte(bool http, unsigned place) {
    static const char socks[] = {5, 1, 0, 5, 1, 0, 3, (char)255}, head[] = "CONNECT 10.0.0.1:443 HTTP/1.1\r\nX-Slow: ";
    if (http) return place < sizeof head - 1 ? head[place] : 'a';
    return place < sizeof socks ? socks[place] : 'a';
}

static int run_slow(const struct options *o) {
    static uint64_t due[MAX_CONNECTIONS];
    int ep = epoll_create1(EPOLL_CLOEXEC), begun = 0, under_way = 0, open = 0, gone = 0;
    uint64_t shortest = UINT64_MAX, longest = 0, started = now(), until = 0;
    bool told = false;
    for (uint64_t time = started; !told || (gone < open && time < until); time = now()) {
        while (begun < o->count && under_way < OPENING_AT_ONCE) {
            struct sockaddr_in source = o->source;
            source.sin_addr.s_addr = htonl(ntohl(source.sin_addr.s_addr) + (uint32_t)(begun % o->sources));
            struct connection *c = &connections[begun++];
            int fd = begin_connecting(&o->via, &source, 0);
            if (fd < 0) {
                errors++;
                continue;
            }
            *c = (struct connection){.fd = fd, .state = CONNECTING, .began = time};
            watch(ep, EPOLL_CTL_ADD, fd, EPOLLOUT, c);
            under_way++;
        }
        struct epoll_event events[EVENTS];
        int n = epoll_wait(ep, events, EVENTS, 10);
        time = now();
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (c->state == CONNECTING) {
                under_way--;
                if (!connected(c->fd)) {
                    give_up(c);
                    continue;
                }
                c->state = OPEN;
                c->began = time;
                open++;
                // Spread over the second, or all would send in the same moment.
                due[c - connections] = time + (uint64_t)(open % 1000) * (SECOND / 1000);
                watch(ep, EPOLL_CTL_MOD, c->fd, EPOLLIN | EPOLLRDHUP, c);
                continue;
            }
            char answer[4096];
            ssize_t got;
            while ((got = recv(c->fd, answer, sizeof answer, 0)) > 0) continue;
            if (got < 0 && errno == EAGAIN) continue;
            uint64_t age = time - c->began;
            if (age < shortest) shortest = age;
            if (age > longest) longest = age;
            gone++;
            end_by_reset(c->fd);
            close(c->fd);
            c->state = CLOSED;
        }
        for (int i = 0; i < begun; i++) {
            struct connection *c = &connections[i];
            if (c->state != OPEN || due[i] > time) continue;
            due[i] += SECOND;
            char byte = slow_byte(i / o->sources % 2, c->got++);
            // Whether it arrives is told by the next event.
            if (send(c->fd, &byte, 1, MSG_NOSIGNAL) < 0 && errno == EAGAIN) c->got--;
        }
        if (!told && begun == o->count && under_way == 0) {
            told = true;
            until = time + (uint64_t)(o->seconds * 1e9);
            printf("{\"mode\": \"slow\", \"ready\": true, \"connections\": %d, \"seconds\": %.3f, \"errors\": %llu}\n", open,
                   (double)(time - started) / 1e9, (unsigned long long)errors);
            fflush(stdout);
        }
        if (!told && time - started > 60 * SECOND) usage("the connections could not be opened within a minute");
    }
    printf("{\"mode\": \"slow\", \"gone\": %d, \"left\": %d, \"shortest\": %.3f, \"longest\": %.3f}\n", gone, open - gone,
           gone ? (double)shortest / 1e9 : 0.0, (double)longest / 1e9);
    return open ? 0 : 1;
}

static int run_peer(const struct options *o) {
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct sockaddr_in target = behaviour_address(o, PEER);
    char text[64] = "";
    size_t length = 0;
    if (open_all(ep, o, &target, 1, false) != 1) return 1;
    watch(ep, EPOLL_CTL_MOD, connections[0].fd, EPOLLIN, &connections[0]);
    for (uint64_t until = now() + PATIENCE; now() < until;) {
        ssize_t got = recv(connections[0].fd, text + length, sizeof text - 1 - length, 0);
        if (got > 0) {
            length += (size_t)got;
        } else if (got == 0) {
            printf("{\"mode\": \"peer\", \"seen\": \"%s\"}\n", text);
            return 0;
        } else if (errno != EAGAIN) {
            break;
        }
        struct epoll_event event;
        epoll_wait(ep, &event, 1, 50);
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc < 2) usage("a mode is missing");
    struct options o = parse_options(argc, argv);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    memset(block, 'c', sizeof block);
    if (!strcmp(argv[1], "server")) run_server(&o);
    if (!strcmp(argv[1], "bulk")) return run_bulk(&o);
    if (!strcmp(argv[1], "rr")) return run_request_response(&o);
    if (!strcmp(argv[1], "crc")) return run_connect_request_close(&o);
    if (!strcmp(argv[1], "idle")) return run_idle(&o);
    if (!strcmp(argv[1], "slow")) return run_slow(&o);
    if (!strcmp(argv[1], "peer")) return run_peer(&o);
    usage("unknown mode");
}
