/*
 * core/outlet_timer.c — timers and people as inputs.
 *
 * Each names its request or session; if the row has moved on, or something was reported, it is a
 * duplicate (design section 3).
 */
#include <assert.h>

#include "core/outlet_step.h"

static bool charges(const struct outlet *o, const struct ev_uuid *session_id)
{
	return o->state == OUTLET_CHARGING && step_is_row_session(o, session_id);
}

static void moved_on(struct outlet_step *s)
{
	step_verdict(s, VERDICT_DUPLICATE, REASON_MOVED_ON);
	s->out->write = false;
}

static void on_request_lapsed(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->state != OUTLET_CABLE_PLUGGED || o->request.status != REQUEST_WAITING ||
	    !identity_eq(&o->request.event_id, &s->in->lapsed.event_id)) {
		moved_on(s);
		return;
	}
	o->request.status = REQUEST_LAPSED;
	step_tell_denied(s, OUTLET_APP_DENIES_CHARGING, &o->request.tag, o->request.period_start_ns,
			 o->request.period_end_ns);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_command_lapsed(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (!charges(o, &s->in->command.session_id) || o->reported || o->acknowledged) {
		moved_on(s);
		return;
	}
	if (s->in->command.acknowledged) {
		o->acknowledged = true; /* the timer has done its work */
		step_verdict(s, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO);
		return;
	}
	step_deny_session(s);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_stop_timeout(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (!charges(o, &s->in->stop.session_id) || o->stop_at_ns == 0) {
		moved_on(s);
		return;
	}
	if (o->stop_repeated) {
		step_finish(s);
	} else {
		o->stop_repeated = true;
		step_repeat_command(s);
	}
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

void outlet_decide_timer(struct outlet_step *s)
{
	/* A timer's instant is when it is decided; it is never earlier than the row. */
	s->earlier = false;
	if (s->in->kind == OUTLET_IN_REQUEST_LAPSED)
		on_request_lapsed(s);
	else if (s->in->kind == OUTLET_IN_COMMAND_LAPSED)
		on_command_lapsed(s);
	else
		on_stop_timeout(s);
}

static void on_operator_finish(struct outlet_step *s)
{
	if (!charges(&s->out->next, &s->in->finish.session_id)) {
		moved_on(s);
		return;
	}
	step_command(s, OUTLET_APP_REQUESTS_STOP);
	step_finish(s);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

/*
 * Unassigned energy becomes a session's.  The row's sums stay as they are: the App adds the item by
 * its identity, so that a sum put later cannot count it twice.
 */
static void on_attach(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	const struct ev_uuid *id = &s->in->attach.session_id;
	const struct ended_session *ended = step_find_recent(s, id);
	struct charging_event *e;

	/* Negative only as a damaged file has it. */
	if ((ended == NULL && !step_is_row_session(o, id)) || s->in->attach.mwh < 0 ||
	    s->in->attach.mwh > o->unassigned_mwh) {
		step_verdict(s, VERDICT_REFUSED, REASON_UNKNOWN_SESSION);
		s->out->write = false;
		return;
	}
	o->unassigned_mwh -= s->in->attach.mwh;
	if (ended != NULL) {
		step_recent_event(s, ended);
	} else {
		o->reported = true; /* the App takes no denial of a session with energy */
		step_session_event(s, o->state);
	}
	e = &s->out->events[s->out->n_events - 1];
	e->has_item = true;
	e->item_id = s->in->attach.item_id;
	e->item_mwh = s->in->attach.mwh;
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

/* Nobody will answer a request at an outlet that is out of service or retired. */
static void withdraw_request(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (outlet_shown_state(o) != OUTLET_DEVICE_REQUESTS_CHARGING)
		return;
	o->request.status = REQUEST_WITHDRAWN;
	step_tell_denied(s, OUTLET_DEVICE_DENIES_CHARGING, &o->request.tag,
			 o->request.period_start_ns, o->request.period_end_ns);
}

static void on_service(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->out_of_service == s->in->service.out) {
		moved_on(s);
		return;
	}
	o->out_of_service = s->in->service.out;
	if (o->out_of_service)
		withdraw_request(s);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_retire(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->state == OUTLET_CHARGING) {
		step_verdict(s, VERDICT_REFUSED, REASON_CHARGING);
		s->out->write = false;
	} else if (o->retired) {
		moved_on(s);
	} else {
		o->retired = true;
		withdraw_request(s);
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
	}
}

void outlet_decide_person(struct outlet_step *s)
{
	s->earlier = false;
	if (s->in->kind == OUTLET_IN_OPERATOR_FINISH)
		on_operator_finish(s);
	else if (s->in->kind == OUTLET_IN_ATTACH)
		on_attach(s);
	else if (s->in->kind == OUTLET_IN_SERVICE)
		on_service(s);
	else
		on_retire(s);
}

/* A stored instant may be any: what cannot be reckoned never comes. */
static int64_t after(int64_t at_ns, int64_t delay_ns)
{
	int64_t due_ns;

	return __builtin_add_overflow(at_ns, delay_ns, &due_ns) ? INT64_MAX : due_ns;
}

bool outlet_next_timer(const struct outlet *o, const struct outlet_rules *rules,
		       int64_t *out_due_ns, struct outlet_input *out_in)
{
	*out_in = (struct outlet_input){ .kind = OUTLET_IN_COUNT };
	if (outlet_shown_state(o) == OUTLET_DEVICE_REQUESTS_CHARGING) {
		*out_due_ns = after(o->request.at_ns, rules->request_timeout_ns);
		out_in->kind = OUTLET_IN_REQUEST_LAPSED;
		out_in->lapsed.event_id = o->request.event_id;
	} else if (o->state == OUTLET_CHARGING && o->stop_at_ns != 0) {
		*out_due_ns = after(o->stop_at_ns,
				    rules->stop_timeout_ns * (o->stop_repeated ? 2 : 1));
		out_in->kind = OUTLET_IN_STOP_TIMEOUT;
		out_in->stop.session_id = o->session_id;
	} else if (o->state == OUTLET_CHARGING && !o->reported && !o->acknowledged && !o->foreign) {
		*out_due_ns = after(o->start_ns, rules->command_timeout_ns);
		out_in->kind = OUTLET_IN_COMMAND_LAPSED;
		out_in->command.session_id = o->session_id;
	} else {
		return false;
	}
	out_in->at_ns = *out_due_ns;
	return true;
}
