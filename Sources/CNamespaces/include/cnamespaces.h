// Starts a command in a network namespace of its own, with a way in for whoever is to serve that namespace from outside.
//
// This is C and not Swift, because of what happens between `fork` and `exec`: there only calls may be made that are safe in a
// signal handler, and Swift's runtime makes others. Whatever needs memory or thought is done before, and comes in the plan.

#ifndef CNAMESPACES_H
#define CNAMESPACES_H

#include "csockets.h"

// How far the child came, in this order.
enum cn_step {
    CN_NAMESPACE = 1, // unshare(2)
    CN_IDENTITY = 2,  // the user is himself in the user namespace too
    CN_NETWORK = 3,   // the interface lo, its addresses and routes
    CN_RULES = 4,     // nft; `error` is its exit status, or -1
    CN_SOCKETS = 5,   // made, to be passed on
    CN_READY = 6,     // all is there, and the sockets come with this report
    CN_EXECUTE = 7,   // the command cannot be started
};

struct cn_report {
    int32_t step;
    int32_t error; // an errno, unless said otherwise; 0: none
};

// An unbound socket that is to be made inside.
struct cn_socket {
    int32_t family;   // AF_INET, AF_INET6
    int32_t type;     // SOCK_STREAM, SOCK_DGRAM, SOCK_RAW
    int32_t protocol; // 0: the type's own
};

// More do not fit into one message (SCM_MAX_FD in the kernel's net/scm.h).
#define CN_MOST_SOCKETS 253

struct cn_plan {
    // Lines for /proc/self/uid_map and gid_map; NULL: no user namespace, which takes CAP_SYS_ADMIN.
    const char *user_map;
    const char *group_map;
    // Of lo, each with a route that makes every destination of its family local.
    const struct cs_endpoint *addresses;
    int32_t address_count;
    // The program, a descriptor of what it is to load, and one for what it complains of.
    const char *nft;
    int32_t rules;
    int32_t complaints;
    const struct cn_socket *sockets;
    int32_t socket_count;
    // With NULL at the end. The first one is looked for in PATH, as execvp(3) does.
    char *const *arguments;
    // Signals that the caller wants to have blocked from before the start. The command finds everything as it was.
    const sigset_t *blocked;
};

// Forks. The child prepares the namespace, reports to `*channel`, and waits there for the word to execute the command.
// Returns its process identifier, or a negated errno.
pid_t cn_start(const struct cn_plan *plan, int *channel);

// Waits for the next report. Returns how many descriptors came with it, at most CN_MOST_SOCKETS; -ENODATA when the child has
// ended, or has become the command; or a negated errno.
int cn_receive(int channel, struct cn_report *report, int *descriptors);

// Gives the word.
int cn_execute(int channel);

#endif
