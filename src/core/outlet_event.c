/* core/outlet_event.c — events of the App Backend; design section 3, second table. */
#include "base/time.h"
#include "core/outlet_step.h"

static void put_denial(struct outlet_step *s)
{
	const struct charging_event *in = &s->in->event;
	struct charging_event *e = step_event(s, OUTLET_DEVICE_DENIES_CHARGING);

	e->has_session = true;
	e->session_id = in->session_id;
	e->tag = in->tag;
	e->period_start_ns = in->period_start_ns;
	e->has_period_end = true;
	e->period_end_ns = s->now_ns;
}

/* A repeat of a refused start must not start either: the session is remembered. */
static void refuse_start(struct outlet_step *s, enum reason why)
{
	put_denial(s);
	step_remember_refused(s, &s->in->event.session_id);
	step_verdict(s, VERDICT_REFUSED, why);
}

static void on_live_session(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (s->in->event.state == OUTLET_APP_REQUESTS_STOP && o->stop_at_ns == 0) {
		o->stop_at_ns = s->now_ns;
		step_repeat_command(s);
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
		return;
	}
	step_repeat_command(s);
	step_verdict(s, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO);
}

/* True if the session is one the row knows, and was dealt with. */
static bool on_known_session(struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;
	const struct ev_uuid *id = &s->in->event.session_id;
	const struct ended_session *ended;

	if (step_is_row_session(o, id)) {
		if (o->state == OUTLET_CHARGING) {
			on_live_session(s);
			return true;
		}
		step_session_event(s, OUTLET_CHARGING_FINISHED);
		step_verdict(s, VERDICT_DUPLICATE, REASON_ENDED);
		return true;
	}
	ended = step_find_recent(s, id);
	if (ended != NULL) {
		step_recent_event(s, ended);
		step_verdict(s, VERDICT_DUPLICATE, REASON_ENDED);
		return true;
	}
	for (unsigned i = 0; i < o->n_refused; i++) {
		if (!ev_uuid_eq(&o->refused[i], id))
			continue;
		put_denial(s);
		step_verdict(s, VERDICT_DUPLICATE, REASON_MOVED_ON);
		return true;
	}
	return false;
}

static bool is_young(const struct outlet_step *s)
{
	return step_age(s) < s->rules->request_timeout_ns;
}

/*
 * A start is as old as its session, whenever its event came: put once more by a stalled process, or
 * late, it does not become young again (docs/decisions/0011).
 */
static bool is_young_start(const struct outlet_step *s)
{
	int64_t age;

	if (__builtin_sub_overflow(s->now_ns, s->in->event.period_start_ns, &age))
		return s->in->event.period_start_ns > 0;
	return is_young(s) && age < s->rules->request_timeout_ns;
}

/* Times on the stream count to the millisecond. */
static bool is_answer_to(const struct outlet_request *r, const struct charging_event *e)
{
	return r->status == REQUEST_WAITING && rfid_tag_eq(&r->tag, &e->tag) &&
	       ev_time_floor_ms(r->period_start_ns) == ev_time_floor_ms(e->period_start_ns);
}

static void start(struct outlet_step *s)
{
	step_start(s, &s->in->event);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_start(struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;

	if (o->retired || o->out_of_service)
		refuse_start(s, o->retired ? REASON_RETIRED : REASON_OUT_OF_SERVICE);
	else if (o->state == OUTLET_CHARGING)
		refuse_start(s, REASON_OTHER_SESSION);
	else if (o->state != OUTLET_CABLE_PLUGGED)
		refuse_start(s, REASON_NO_CABLE);
	else if (!is_young_start(s))
		refuse_start(s, REASON_TOO_OLD);
	else
		start(s);
}

static void on_approval(struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;
	bool plugged = o->state == OUTLET_CABLE_PLUGGED;

	/* The original stores no request: after it wrote the row, youth stands for the match. */
	if (plugged && (is_answer_to(&o->request, &s->in->event) || (o->foreign && is_young(s))))
		start(s);
	else if (o->state == OUTLET_CHARGING)
		refuse_start(s, REASON_OTHER_SESSION);
	else
		refuse_start(s, plugged ? REASON_NOT_WAITING : REASON_NO_CABLE);
}

static void on_app_denial(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->state != OUTLET_CABLE_PLUGGED || !is_answer_to(&o->request, &s->in->event)) {
		step_verdict(s, VERDICT_DUPLICATE, REASON_NOT_WAITING);
		s->out->write = false;
		return;
	}
	o->request.status = REQUEST_ANSWERED;
	step_tell_denied(s, OUTLET_APP_DENIES_CHARGING, &o->request.tag, o->request.period_start_ns,
			 o->request.period_end_ns);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_unknown_stop(struct outlet_step *s)
{
	if (s->in->waited)
		step_verdict(s, VERDICT_REJECTED, REASON_UNKNOWN_SESSION);
	else
		step_verdict(s, VERDICT_LATER, REASON_WAITING);
}

static bool is_session_event(enum outlet_state state)
{
	return state == OUTLET_APP_REQUESTS_CHARGING || state == OUTLET_CHARGING ||
	       state == OUTLET_APP_REQUESTS_STOP;
}

void outlet_decide_event(struct outlet_step *s)
{
	const struct charging_event *e = &s->in->event;

	if (e->initiator != INITIATOR_APP_BACKEND) {
		step_verdict(s, VERDICT_REJECTED, REASON_BAD_EVENT);
	} else if (e->state == OUTLET_APP_DENIES_CHARGING) {
		on_app_denial(s);
	} else if (!is_session_event(e->state)) {
		step_verdict(s, VERDICT_REJECTED, REASON_BAD_EVENT);
	} else if (!e->has_session) {
		step_verdict(s, VERDICT_REJECTED, REASON_NO_SESSION_ID);
	} else if (on_known_session(s)) {
		return;
	} else if (e->state == OUTLET_APP_REQUESTS_CHARGING) {
		on_start(s);
	} else if (e->state == OUTLET_CHARGING) {
		on_approval(s);
	} else {
		on_unknown_stop(s);
	}
}
