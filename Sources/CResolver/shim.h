// glibc's resolver, and its reader of DNS messages. Part of libc6, so that there is nothing to install for it.
#include <netinet/in.h>
#include <arpa/nameser.h>
#include <resolv.h>

/* For the calling thread: names are complete as they are, and nothing of resolv.conf's search list is appended to any. resolv.conf is
   read again, and not by itself until the next call: that would undo it (resolver(3); RES_NORELOAD: glibc's resolv/resolv_context.c).
   Returns 0, or -1 when the resolver cannot be used. `_res` is a macro that Swift cannot see. */
static inline int cr_take_names_whole(void) {
    if (res_init() != 0) return -1;
    _res.options |= RES_NORELOAD;
    _res.options &= ~(unsigned long)(RES_DEFNAMES | RES_DNSRCH);
    return 0;
}
