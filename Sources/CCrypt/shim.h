// The system's header, found wherever the compiler looks for one, and the size of a structure that Swift sees only in part.
#ifndef CLEARWAY_CCRYPT_H
#define CLEARWAY_CCRYPT_H

#include <crypt.h>

static const int cc_room = sizeof(struct crypt_data);

#endif
