// What the programs that make load have in common. Whoever includes this has said before what it is called (PROGRAM), and how many
// ports of its server, from the first on, do something each (BEHAVIOURS).

#ifndef LOAD_H
#define LOAD_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const uint64_t SECOND = 1000000000ull;

static void die(const char *what) {
    fprintf(stderr, PROGRAM ": %s: %s\n", what, strerror(errno));
    exit(1);
}

static void usage(const char *why) {
    fprintf(stderr, PROGRAM ": %s (see the head of " PROGRAM ".c)\n", why);
    exit(64);
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static struct sockaddr_in parse_address(const char *text, bool with_port) {
    struct sockaddr_in result = {.sin_family = AF_INET};
    char host[64] = "";
    int port = 0;
    if (with_port) {
        if (sscanf(text, "%63[0-9.]:%d", host, &port) != 2 || port < 1 || port > 65535 - BEHAVIOURS) usage("ADDR:PORT expected");
    } else {
        snprintf(host, sizeof host, "%s", text);
    }
    if (inet_pton(AF_INET, host, &result.sin_addr) != 1) usage("bad IPv4 address");
    result.sin_port = htons((uint16_t)port);
    return result;
}

static double number(const char *text, double least, double most) {
    char *end;
    double value = strtod(text, &end);
    if (*end || end == text || !(value >= least && value <= most)) usage("number out of range");
    return value;
}

#endif
