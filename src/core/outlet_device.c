/* core/outlet_device.c — decisions about device messages; design section 3, first table. */
#include <assert.h>

#include "core/outlet_step.h"

/*
 * Credited energy that found its session in the row, when the state stays: the running sum goes
 * out, except while a stop is under way (the final event carries it).
 */
static void put_sum(struct outlet_step *s, enum credit credit)
{
	struct outlet *o = &s->out->next;

	if (credit != CREDIT_SESSION)
		return;
	o->end_ns = later_of(o->has_end ? o->end_ns : o->start_ns, s->in->at_ns);
	o->has_end = true;
	if (o->state == OUTLET_CHARGING_FINISHED)
		step_session_event(s, OUTLET_CHARGING_FINISHED);
	else if (o->stop_at_ns == 0 || s->rules->report_while_stopping)
		step_session_event(s, OUTLET_CHARGING);
}

static void nothing_more(struct outlet_step *s, enum credit credit, enum reason why)
{
	put_sum(s, credit);
	step_verdict(s, VERDICT_DUPLICATE, why);
}

/* The device lost power, or the cable was drawn: the session ends with what was reported. */
static void end_by_cable(struct outlet_step *s, enum outlet_state to)
{
	struct outlet *o = &s->out->next;

	step_finish(s);
	if (to == OUTLET_CABLE_PLUGGED)
		step_command(s, OUTLET_APP_REQUESTS_STOP);
	step_go(s, to);
	step_clear_session(s);
	o->since_ns = s->in->at_ns;
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void go_by_cable(struct outlet_step *s, enum outlet_state to, enum credit credit)
{
	struct outlet *o = &s->out->next;
	bool was_finished = o->state == OUTLET_CHARGING_FINISHED;

	put_sum(s, credit);
	step_go(s, to);
	if (was_finished || to == OUTLET_AVAILABLE)
		step_clear_session(s);
	o->since_ns = s->in->at_ns;
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_cable_plugged(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	bool charging = o->state == OUTLET_CHARGING && !s->earlier;
	enum credit credit = outlet_credit(s, charging);

	if (s->earlier) {
		nothing_more(s, credit, REASON_EARLIER);
	} else if (charging) {
		end_by_cable(s, OUTLET_CABLE_PLUGGED);
	} else if (o->state != OUTLET_CABLE_PLUGGED) {
		go_by_cable(s, OUTLET_CABLE_PLUGGED, credit);
	} else if (o->request.status == REQUEST_WAITING) {
		o->request.status = REQUEST_WITHDRAWN;
		o->since_ns = s->in->at_ns;
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
	} else {
		nothing_more(s, credit, REASON_NOTHING_TO_DO);
	}
}

static void on_available(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	bool charging = o->state == OUTLET_CHARGING && !s->earlier;
	bool finished = o->state == OUTLET_CHARGING_FINISHED && !s->earlier;
	enum credit credit = outlet_credit(s, charging || finished);

	if (s->earlier)
		nothing_more(s, credit, REASON_EARLIER);
	else if (charging)
		end_by_cable(s, OUTLET_AVAILABLE);
	else if (o->state == OUTLET_AVAILABLE)
		nothing_more(s, credit, REASON_NOTHING_TO_DO);
	else
		go_by_cable(s, OUTLET_AVAILABLE, credit);
}

static void refuse_request(struct outlet_step *s, enum reason why)
{
	const struct device_message *m = &s->in->device;

	step_tell_denied(s, OUTLET_DEVICE_DENIES_CHARGING, &m->tag, m->period_start_ns,
			 m->period_end_ns);
	step_verdict(s, VERDICT_REFUSED, why);
}

static void put_request(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	struct charging_event *e = step_event(s, OUTLET_DEVICE_REQUESTS_CHARGING);

	e->tag = o->request.tag;
	e->period_start_ns = o->request.period_start_ns;
	e->has_period_end = true;
	e->period_end_ns = o->request.period_end_ns;
	if (!identity_is_none(&o->request.event_id))
		e->event_id = o->request.event_id;
	else
		o->request.event_id = e->event_id;
}

static void begin_request(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	const struct device_message *m = &s->in->device;

	o->request = (struct outlet_request){
		.status = REQUEST_WAITING,
		.tag = m->tag,
		.period_start_ns = m->period_start_ns,
		.period_end_ns = m->period_end_ns,
		.at_ns = s->in->at_ns,
	};
	o->since_ns = later_of(o->since_ns, s->in->at_ns);
	put_request(s);
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void request_while_plugged(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->request.status != REQUEST_WAITING) {
		begin_request(s);
	} else if (rfid_tag_eq(&o->request.tag, &s->in->device.tag)) {
		put_request(s);
		step_verdict(s, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO);
	} else {
		refuse_request(s, REASON_OTHER_REQUEST);
	}
}

static void request_while_charging(struct outlet_step *s)
{
	if (rfid_tag_eq(&s->out->next.tag, &s->in->device.tag)) {
		step_repeat_command(s);
		step_verdict(s, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO);
	} else {
		refuse_request(s, REASON_OTHER_SESSION);
	}
}

static bool is_too_old(const struct outlet_step *s)
{
	return step_age(s) > s->rules->request_timeout_ns;
}

/* Would the request be fit if only a plug message came first? */
static bool waits_for_plug(const struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;

	return (o->state == OUTLET_AVAILABLE || o->state == OUTLET_CHARGING_FINISHED) &&
	       !o->out_of_service && !o->retired && !s->earlier && !is_too_old(s) && !s->in->waited;
}

/* The plug that a parked request waited for is later than it, and does not make it void. */
static bool is_earlier_request(const struct outlet_step *s)
{
	return s->earlier && !(s->in->parked && s->out->next.state == OUTLET_CABLE_PLUGGED);
}

static void on_request(struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;

	if (s->in->device.tag.n == 0) {
		step_verdict(s, VERDICT_REJECTED, REASON_EMPTY_TAG);
		return;
	}
	if (waits_for_plug(s)) {
		step_verdict(s, VERDICT_LATER, REASON_WAITING);
		return;
	}
	outlet_credit(s, false);
	if (is_earlier_request(s))
		step_verdict(s, VERDICT_REFUSED, REASON_EARLIER);
	else if (is_too_old(s))
		step_verdict(s, VERDICT_REFUSED, REASON_TOO_OLD);
	else if (o->out_of_service || o->retired)
		refuse_request(s, o->retired ? REASON_RETIRED : REASON_OUT_OF_SERVICE);
	else if (o->state == OUTLET_CABLE_PLUGGED)
		request_while_plugged(s);
	else if (o->state == OUTLET_CHARGING)
		request_while_charging(s);
	else
		refuse_request(s, REASON_NO_CABLE);
}

/* A device that charges without a session is told to stop, at most once a minute. */
static void stop_stray(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	struct device_command *c;

	/* Reckoned from now, as all else of time: a stored instant may be any. */
	if (o->stray_stop_ns != 0 &&
	    o->stray_stop_ns > s->now_ns - s->rules->stray_stop_interval_ns)
		return;
	o->stray_stop_ns = s->now_ns;
	c = step_command(s, OUTLET_APP_REQUESTS_STOP);
	if (!c->has_session)
		c->tag = s->in->device.tag;
}

static bool is_foreign_tag(const struct outlet_step *s)
{
	const struct rfid_tag *tag = &s->in->device.tag;

	return tag->n > 0 && !rfid_tag_eq(tag, &s->out->next.tag);
}

static void report_of_session(struct outlet_step *s, enum credit credit)
{
	struct outlet *o = &s->out->next;

	s->out->foreign_tag = is_foreign_tag(s);
	if (s->out->foreign_tag) {
		put_sum(s, credit);
	} else {
		o->reported = true;
		put_sum(s, CREDIT_SESSION);
	}
	step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_report(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	enum credit credit = outlet_credit(s, false);

	if (o->state == OUTLET_CHARGING && !s->earlier) {
		report_of_session(s, credit);
		return;
	}
	if (s->earlier) {
		nothing_more(s, credit, REASON_EARLIER);
		return;
	}
	put_sum(s, credit);
	stop_stray(s);
	if (credit == CREDIT_NONE)
		step_verdict(s, VERDICT_DUPLICATE, REASON_NOTHING_TO_DO);
	else
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
}

static void on_stop(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	bool charging = o->state == OUTLET_CHARGING && !s->earlier;
	bool foreign = charging && is_foreign_tag(s);
	bool refused = foreign && s->rules->stop_requires_tag;
	enum credit credit = outlet_credit(s, charging && !refused);

	s->out->foreign_tag = foreign;
	if (refused) {
		step_verdict(s, VERDICT_REFUSED, REASON_FOREIGN_TAG);
	} else if (charging) {
		step_finish(s);
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
	} else {
		nothing_more(s, credit, s->earlier ? REASON_EARLIER : REASON_NOTHING_TO_DO);
	}
}

static void on_denial(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;
	enum credit credit = outlet_credit(s, false);

	if (o->state == OUTLET_CHARGING && !s->earlier && !o->reported) {
		step_deny_session(s);
		step_verdict(s, VERDICT_APPLIED, REASON_NONE);
	} else {
		nothing_more(s, credit, s->earlier ? REASON_EARLIER : REASON_NOTHING_TO_DO);
	}
}

void outlet_decide_device(struct outlet_step *s)
{
	const struct outlet *o = &s->out->next;
	int64_t sum;

	if (s->in->seen || outlet_knows_identity(o, &s->in->id)) {
		step_verdict(s, VERDICT_DUPLICATE, REASON_REPEATED);
		s->out->write = false;
		return;
	}
	if (__builtin_add_overflow(o->total_energy_mwh, s->in->device.energy_mwh, &sum)) {
		step_verdict(s, VERDICT_REJECTED, REASON_TOTAL_OVERFLOW);
		return;
	}
	switch (s->in->device.change) {
	case OUTLET_CABLE_PLUGGED:
		on_cable_plugged(s);
		return;
	case OUTLET_AVAILABLE:
		on_available(s);
		return;
	case OUTLET_DEVICE_REQUESTS_CHARGING:
		on_request(s);
		return;
	case OUTLET_CHARGING:
		on_report(s);
		return;
	case OUTLET_DEVICE_REQUESTS_STOP:
	case OUTLET_CHARGING_FINISHED:
		on_stop(s);
		return;
	case OUTLET_DEVICE_DENIES_CHARGING:
		on_denial(s);
		return;
	case OUTLET_APP_REQUESTS_CHARGING:
	case OUTLET_APP_DENIES_CHARGING:
	case OUTLET_APP_REQUESTS_STOP:
	case OUTLET_STATE_COUNT:
		break;
	}
	step_verdict(s, VERDICT_REJECTED, REASON_BAD_STATE);
}
