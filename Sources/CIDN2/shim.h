// The system's header, found wherever the compiler looks for one.
#include <idn2.h>
