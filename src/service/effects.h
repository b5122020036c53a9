/*
 * service/effects.h — events that a commit put, on their way to the other backend.
 *
 * In one process (the pump) they are handed over at once; on aws they go to the stream instead.
 */
#ifndef EV_SERVICE_EFFECTS_H
#define EV_SERVICE_EFFECTS_H

#include "core/types.h"

struct effects {
	struct charging_event *events; /* owned */
	size_t first, n, cap;          /* events[first..first+n) are waiting */
};

void effects_init(struct effects *e);
void effects_deinit(struct effects *e);
void effects_clear(struct effects *e);
/* EV_NOMEM: nothing was added. */
EV_NODISCARD ev_err effects_add(struct effects *e, const struct charging_event *events, size_t n);
/* Takes the oldest; false if none waits. */
bool effects_take(struct effects *e, struct charging_event *out);

#endif
