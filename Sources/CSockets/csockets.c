// The functions live in the header so that Swift inlines them; this file gives the module an object to link.
#include "csockets.h"
