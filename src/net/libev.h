/* net/libev.h — <ev.h> with its two enumerators that base/err.h also names put out of the way. */
#ifndef EV_NET_LIBEV_H
#define EV_NET_LIBEV_H

#define EV_IO LIBEV_IO
#define EV_TIMEOUT LIBEV_TIMEOUT
#include <ev.h>
#undef EV_IO
#undef EV_TIMEOUT

#endif
