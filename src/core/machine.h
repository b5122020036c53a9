/*
 * core/machine.h — the state tables: which transitions are legal.
 *
 * Outlets: those of the original (vectors/state_machine.json), total over the states.  Sessions:
 * design section 2.  Where reality skips a step, `outlet_path` gives the legal way round.
 */
#ifndef EV_CORE_MACHINE_H
#define EV_CORE_MACHINE_H

#include "core/types.h"

bool outlet_may_go(enum outlet_state from, enum outlet_state to);
bool session_may_go(enum outlet_state from, enum outlet_state to);
bool session_may_be_born(enum outlet_state s);
bool session_is_live(enum outlet_state s); /* AppRequestsCharging, Charging, AppRequestsStop */

#define OUTLET_PATH_MAX 4
/*
 * The legal states to walk through, `to` last, when one message stands for several steps:
 * Charging → ChargingFinished → CablePlugged → Available, and ChargingFinished → CablePlugged →
 * Available.  A direct transition is a path of one.  Returns the number of steps, 0 if there is
 * no such walk.
 */
size_t outlet_path(enum outlet_state from, enum outlet_state to,
		   enum outlet_state out[OUTLET_PATH_MAX]);

/*
 * The original's error text, "outlet state must be in one of { A, B } in order to transition into
 * T" (facts/original-system.md section 8).  Writes at most cap bytes with NUL, returns the length.
 */
size_t outlet_transition_text(enum outlet_state target, char *out, size_t cap);

#endif
