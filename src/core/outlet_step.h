/*
 * core/outlet_step.h — what the parts of the outlet's decision share; not for other modules.
 *
 * A step holds the input and the decision being built; step->out->next is the row as it stands so
 * far.  Every change of state goes through step_go, which asserts that the walk is legal.
 */
#ifndef EV_CORE_OUTLET_STEP_H
#define EV_CORE_OUTLET_STEP_H

#include "core/outlet.h"

/* Where the energy of a message went. */
enum credit { CREDIT_NONE, CREDIT_SESSION, CREDIT_RECENT, CREDIT_UNASSIGNED };

struct outlet_step {
	const struct outlet_input *in;
	const struct outlet_rules *rules;
	int64_t now_ns;
	struct outlet_decision *out;
	bool earlier; /* in->at_ns is before the row's since */
};

/* The parts, by kind of input; each finishes step->out. */
void outlet_decide_device(struct outlet_step *s);
void outlet_decide_event(struct outlet_step *s);
void outlet_decide_timer(struct outlet_step *s);
void outlet_decide_person(struct outlet_step *s);

/* Energy first: credits the message once, to where design section 3 says, and says where. */
enum credit outlet_credit(struct outlet_step *s, bool ends_session);

/* The verdict, and whether the row is to be stored. */
void step_verdict(struct outlet_step *s, enum verdict v, enum reason r);
void step_go(struct outlet_step *s, enum outlet_state to);

/* A session begins: the event's session and tag, from CablePlugged. */
void step_start(struct outlet_step *s, const struct charging_event *e);
/* Charging → ChargingFinished with what was reported; puts the event. */
void step_finish(struct outlet_step *s);
/* The denial walk: Charging → ChargingFinished → CablePlugged, as if it had never been. */
void step_deny_session(struct outlet_step *s);
/* Takes the session out of the row; an ended one is kept for late energy. */
void step_clear_session(struct outlet_step *s);
void step_remember_refused(struct outlet_step *s, const struct ev_uuid *session_id);

/* Puts an event; its eventId comes from the input's identity and its place. */
struct charging_event *step_event(struct outlet_step *s, enum outlet_state state);
/* The row's session as an event with its running sum; nothing if the row has none. */
void step_session_event(struct outlet_step *s, enum outlet_state state);
void step_recent_event(struct outlet_step *s, const struct ended_session *e);

/* A command; tag and session of the row where it has one. */
struct device_command *step_command(struct outlet_step *s, enum outlet_state change);
/* A denial, if devices are told of denials. */
void step_tell_denied(struct outlet_step *s, enum outlet_state denial, const struct rfid_tag *tag,
		      int64_t period_start_ns, int64_t period_end_ns);
/* The command of the present state again: Charging, or AppRequestsStop if a stop is under way. */
void step_repeat_command(struct outlet_step *s);

/* Of the ended sessions that left the row the one of that id, or NULL. */
struct ended_session *step_find_recent(struct outlet_step *s, const struct ev_uuid *id);
bool step_is_row_session(const struct outlet *o, const struct ev_uuid *id);

/* How long ago the input was received; no peer's clock can make it overflow. */
static inline int64_t step_age(const struct outlet_step *s)
{
	int64_t age;

	if (__builtin_sub_overflow(s->now_ns, s->in->at_ns, &age))
		return s->in->at_ns < 0 ? INT64_MAX : INT64_MIN;
	return age;
}

static inline int64_t later_of(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

#endif
