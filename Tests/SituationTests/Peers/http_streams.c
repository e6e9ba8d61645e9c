// Both ends of HTTPStreamsTests.swift, for a hundred thousand connections in a minute.
//
//   http_streams say HOST PORT STREAMS    says each of the streams over a connection of its own, 64 at a time, and reads what it gets; prints
//                                         how often it saw each status, and how many of the streams nobody answered
//   http_streams hear HOST HEARD          prints its port, then answers whatever can be taken for a request, until standard input ends and no
//                                         connection is open; what it heard over each connection is in HEARD
//
// STREAMS has the length of a stream as four bytes, the lowest first, and the stream, as often as there are streams; HEARD has in front of each
// length how many requests that was taken for, in four bytes.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 4096, UNDER_WAY = 64, SILENCE = 10000 };

struct connection {
    char *bytes;
    size_t count, room;
    // Of `hear`: bytes that are done with, and for how many requests they were taken.
    size_t done;
    uint32_t requests;
    // Of `say`.
    size_t stream, length;
    int said;
};

static struct connection connections[MOST];
static int loop;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static socklen_t address(const char *host, int port, struct sockaddr_storage *to) {
    struct sockaddr_in *v4 = (void *)to;
    struct sockaddr_in6 *v6 = (void *)to;
    memset(to, 0, sizeof *to);
    if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        return sizeof *v6;
    }
    if (inet_pton(AF_INET, host, &v4->sin_addr) != 1) fail(host);
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    return sizeof *v4;
}

static void watch(int fd, uint32_t events, int change) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(loop, change, fd, &event) < 0) fail("epoll_ctl");
}

// Takes what has come; 0 at the end, of whatever kind, and -1 for now.
static int take(int fd) {
    struct connection *c = &connections[fd];
    for (;;) {
        if (c->room - c->count < 65536) {
            c->room = c->room * 2 + 65536;
            if (!(c->bytes = realloc(c->bytes, c->room))) fail("realloc");
        }
        ssize_t got = recv(fd, c->bytes + c->count, c->room - c->count, MSG_DONTWAIT);
        if (got > 0) {
            c->count += got;
        } else if (got < 0 && errno == EAGAIN) {
            return -1;
        } else {
            return 0;
        }
    }
}

// MARK: hear

// A line without its end; NULL: not all of it is there.
static const char *line(const char *at, const char *end, size_t *length, const char **next) {
    const char *feed = memchr(at, '\n', end - at);
    if (!feed) return NULL;
    *next = feed + 1;
    *length = feed - at;
    while (*length > 0 && at[*length - 1] == '\r') --*length;
    return at;
}

static int is_blank(const char *at, size_t length) {
    while (length > 0 && isspace((unsigned char)*at)) at++, length--;
    return length == 0;
}

// Takes whatever can be taken for a request: line feeds alone, blanks anywhere, folded lines, the last of several lengths, a chunked that stands
// anywhere, sizes of chunks in any notation. Where it ends; NULL: not all of it is there.
static const char *request(const char *at, const char *end) {
    const char *text, *next = at;
    size_t length;
    do {
        if (!(text = line(next, end, &length, &next))) return NULL;
    } while (is_blank(text, length));
    int chunked = 0, coding = 0;
    long long body = 0;
    for (;;) {
        if (!(text = line(next, end, &length, &next))) return NULL;
        if (length == 0) break;
        if (*text == ' ' || *text == '\t') {
            if (coding && memmem(text, length, "chunked", 7)) chunked = 1;
            continue;
        }
        const char *colon = memchr(text, ':', length), *name = text + length;
        if (colon) name = colon;
        while (name > text && isspace((unsigned char)name[-1])) name--;
        size_t named = name - text;
        coding = named == 17 && !strncasecmp(text, "transfer-encoding", 17);
        if (coding) {
            chunked = 0;
            for (const char *c = text; c + 7 <= text + length; c++) chunked |= !strncasecmp(c, "chunked", 7);
        } else if (named == 14 && !strncasecmp(text, "content-length", 14)) {
            body = 0;
            for (const char *c = colon ? colon + 1 : text + length; c < text + length; c++) {
                if (*c == ',') body = 0;
                if (isdigit((unsigned char)*c) && body < 1 << 30) body = body * 10 + (*c - '0');
            }
        }
    }
    if (!chunked) return body <= end - next ? next + body : NULL;
    for (;;) {
        if (!(text = line(next, end, &length, &next))) return NULL;
        char digits[24] = {0};
        memcpy(digits, text, length < 23 ? length : 23);
        long size = strtol(digits, NULL, 16);
        if (size <= 0) break;
        if (size > end - next) return NULL;
        next += size;
        if (!(text = line(next, end, &length, &next))) return NULL;
    }
    do {
        if (!(text = line(next, end, &length, &next))) return NULL;
    } while (length > 0);
    return next;
}

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Origin: 1\r\n\r\n";

static void hear(const char *host, const char *file) {
    FILE *heard = fopen(file, "wb");
    if (!heard) fail(file);
    struct sockaddr_storage own;
    socklen_t size = address(host, 0, &own);
    int listener = socket(own.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (listener < 0 || bind(listener, (void *)&own, size) < 0 || listen(listener, 1024) < 0) fail("listen");
    getsockname(listener, (void *)&own, &size);
    printf("%d\n", ntohs(((struct sockaddr_in *)&own)->sin_port));
    fflush(stdout);
    watch(listener, EPOLLIN, EPOLL_CTL_ADD);
    watch(0, EPOLLIN, EPOLL_CTL_ADD);
    int open = 0, goes_on = 1;
    while (goes_on || open > 0) {
        struct epoll_event events[64];
        int ready = epoll_wait(loop, events, 64, goes_on ? -1 : SILENCE);
        if (ready == 0) {
            fprintf(stderr, "%d connections do not end\n", open);
            exit(1);
        }
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == 0) {
                goes_on = 0;
                watch(0, 0, EPOLL_CTL_DEL);
                continue;
            }
            if (fd == listener) {
                int new;
                while ((new = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (new >= MOST) fail("too many connections");
                    connections[new].count = connections[new].done = connections[new].requests = 0;
                    watch(new, EPOLLIN, EPOLL_CTL_ADD);
                    open++;
                }
                continue;
            }
            struct connection *c = &connections[fd];
            int is_over = take(fd) == 0;
            const char *end;
            while ((end = request(c->bytes + c->done, c->bytes + c->count))) {
                c->done = end - c->bytes;
                c->requests++;
                send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL);
            }
            if (!is_over) continue;
            uint32_t lengths[2] = {c->requests, c->count};
            fwrite(lengths, 4, 2, heard);
            fwrite(c->bytes, 1, c->count, heard);
            close(fd);
            open--;
        }
    }
    if (fclose(heard) != 0) fail(file);
}

// MARK: say

static unsigned long statuses[1000];

static void count_statuses(const struct connection *c) {
    const char *at = c->bytes, *end = c->bytes + c->count;
    while (end - at >= 12) {
        if (!memcmp(at, "HTTP/1.1 ", 9)) {
            int status = atoi(at + 9);
            if (status > 0 && status < 1000) statuses[status]++;
        }
        if (!(at = memchr(at, '\n', end - at))) return;
        at++;
    }
}

static void say(const char *host, int port, const char *file) {
    FILE *input = fopen(file, "rb");
    if (!input) fail(file);
    fseek(input, 0, SEEK_END);
    size_t total = ftell(input), next = 0;
    rewind(input);
    char *streams = malloc(total + 1);
    if (!streams || fread(streams, 1, total, input) != total) fail(file);
    struct sockaddr_storage to;
    socklen_t size = address(host, port, &to);
    int open = 0;
    while (open > 0 || next < total) {
        while (open < UNDER_WAY && next < total) {
            uint32_t length;
            memcpy(&length, streams + next, 4);
            int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
            if (fd < 0 || fd >= MOST) fail("socket");
            if (connect(fd, (void *)&to, size) < 0 && errno != EINPROGRESS) fail("connect");
            struct connection *c = &connections[fd];
            c->count = c->said = 0;
            c->stream = next + 4;
            c->length = length;
            watch(fd, EPOLLOUT, EPOLL_CTL_ADD);
            next += 4 + length;
            open++;
        }
        struct epoll_event events[64];
        int ready = epoll_wait(loop, events, 64, SILENCE);
        if (ready == 0) {
            // Somebody waits for more than there is: the judge sees what was understood.
            printf("unanswered %d\n", open);
            break;
        }
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            struct connection *c = &connections[fd];
            if (!c->said) {
                // Small enough for a socket's buffer. What is refused in the meantime is not our affair.
                send(fd, streams + c->stream, c->length, MSG_NOSIGNAL);
                shutdown(fd, SHUT_WR);
                c->said = 1;
                watch(fd, EPOLLIN, EPOLL_CTL_MOD);
            }
            if (take(fd) < 0) continue;
            count_statuses(c);
            close(fd);
            open--;
        }
    }
    for (int status = 0; status < 1000; status++)
        if (statuses[status] > 0) printf("%d %lu\n", status, statuses[status]);
}

int main(int count, char **words) {
    signal(SIGPIPE, SIG_IGN);
    loop = epoll_create1(0);
    if (count == 4 && !strcmp(words[1], "hear")) {
        hear(words[2], words[3]);
    } else if (count == 5 && !strcmp(words[1], "say")) {
        say(words[2], atoi(words[3]), words[4]);
    } else {
        return 2;
    }
}
