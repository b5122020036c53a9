/*
 * service/outlet_turn.h — one input on its way: load, decide, commit; not for other modules.
 *
 * The caller fills `in`, and the dead letter that a rejection would leave.  outlet_turn_run decides
 * again on a conflict, from a fresh load.
 */
#ifndef EV_SERVICE_OUTLET_TURN_H
#define EV_SERVICE_OUTLET_TURN_H

#include "service/outlet_service.h"

#define TURN_PUTS_MAX 8

struct outlet_turn {
	struct outlet_service *s;
	struct ev_uuid outlet_id;
	struct outlet_input in;
	struct dead_letter letter; /* put if the verdict is rejected; its reason is filled in */
	bool no_letter;            /* a rejection leaves no dead letter (it is one already) */
	bool is_parked;            /* the input waits in the store: take it out when decided */
	struct unassigned_item attach_item; /* OUTLET_IN_ATTACH */
	bool is_replay;                     /* the dead letter of in.id is replayed by this */

	bool found; /* the outlet exists */
	struct outlet cur;
	struct outlet_decision d;
	size_t n_puts;
	struct keyed_put puts[TURN_PUTS_MAX];
};

/* EV_OK: t->d holds what was decided (also for an unknown outlet: rejected, or a denial put). */
EV_NODISCARD ev_err outlet_turn_run(struct outlet_turn *t);

/* Tries again what waits for a change of this outlet. */
EV_NODISCARD ev_err outlet_turn_retry_parked(struct outlet_service *s,
					     const struct ev_uuid *outlet_id);

/* Decides a parked input again; waited: its time is over. */
EV_NODISCARD ev_err outlet_turn_parked(struct outlet_service *s, const struct parked_input *p,
				       bool waited);

#endif
