/* core/outlet.c — the row, the shell of a decision, and what all its parts share. */
#include "core/outlet.h"

#include <assert.h>
#include <string.h>

#include "base/time.h"
#include "core/machine.h"
#include "core/outlet_step.h"

struct outlet_rules outlet_rules_default(void)
{
	return (struct outlet_rules){
		.request_timeout_ns = 60 * EV_NS_PER_S,
		.command_timeout_ns = 5 * EV_NS_PER_MIN,
		.command_expiry_ns = 4 * EV_NS_PER_MIN,
		.stop_timeout_ns = 60 * EV_NS_PER_S,
		.stray_stop_interval_ns = 60 * EV_NS_PER_S,
		.stop_requires_tag = false,
		.notify_denials = true,
	};
}

struct outlet outlet_new(const struct ev_uuid *id, int64_t max_power_mw, int64_t now_ns)
{
	return (struct outlet){
		.id = *id,
		.version = row_next_version(0, now_ns),
		.state = OUTLET_AVAILABLE,
		.start_ns = now_ns,
		.since_ns = now_ns,
		.max_power_mw = max_power_mw,
	};
}

enum outlet_state outlet_shown_state(const struct outlet *o)
{
	if (o->state == OUTLET_CABLE_PLUGGED && o->request.status == REQUEST_WAITING)
		return OUTLET_DEVICE_REQUESTS_CHARGING;
	if (o->state == OUTLET_CHARGING && o->stop_at_ns != 0)
		return OUTLET_APP_REQUESTS_STOP;
	return o->state;
}

bool outlet_knows_identity(const struct outlet *o, const struct identity *id)
{
	for (unsigned i = 0; i < o->n_ids; i++) {
		if (identity_eq(&o->ids[i], id))
			return true;
	}
	return false;
}

/* The inputs of devices are remembered; all 16 go into a block before the next one is taken in. */
static void remember_identity(struct outlet_decision *d, const struct identity *id)
{
	struct outlet *o = &d->next;

	if (o->n_ids == OUTLET_IDS_MAX) {
		memcpy(d->block, o->ids, sizeof(d->block));
		d->has_block = true;
		o->n_ids = 0;
	}
	o->ids[o->n_ids++] = *id;
}

static void decide_kind(struct outlet_step *s)
{
	switch (s->in->kind) {
	case OUTLET_IN_DEVICE:
		outlet_decide_device(s);
		return;
	case OUTLET_IN_EVENT:
		outlet_decide_event(s);
		return;
	case OUTLET_IN_REQUEST_LAPSED:
	case OUTLET_IN_COMMAND_LAPSED:
	case OUTLET_IN_STOP_TIMEOUT:
		outlet_decide_timer(s);
		return;
	case OUTLET_IN_OPERATOR_FINISH:
	case OUTLET_IN_ATTACH:
	case OUTLET_IN_SERVICE:
	case OUTLET_IN_RETIRE:
		outlet_decide_person(s);
		return;
	case OUTLET_IN_COUNT:
		break;
	}
	assert(false && "no such kind of input");
}

/*
 * The original leaves a session's fields in the row after its end, so they are believed only in
 * Charging and ChargingFinished.  It alone knows what it told the device: CommandLapsed is for
 * commands of ours.
 */
static void adopt_foreign(struct outlet *o)
{
	if (o->state == OUTLET_CHARGING) {
		o->reported = o->energy_mwh > 0;
		o->acknowledged = true;
	} else if (o->state != OUTLET_CHARGING_FINISHED) {
		o->has_session = false;
		o->session_id = (struct ev_uuid){ { 0 } };
		o->tag = (struct rfid_tag){ .n = 0 };
		o->has_end = false;
		o->end_ns = 0;
		o->energy_mwh = 0;
	}
}

void outlet_decide(const struct outlet *cur, const struct outlet_input *in,
		   const struct outlet_rules *rules, int64_t now_ns, struct outlet_decision *out)
{
	struct outlet_step s = { .in = in, .rules = rules, .now_ns = now_ns, .out = out };

	*out = (struct outlet_decision){ .next = *cur };
	out->next.version = row_next_version(cur->version, now_ns);
	if (cur->foreign)
		adopt_foreign(&out->next);
	s.earlier = in->at_ns < cur->since_ns;
	decide_kind(&s);
	if (!out->write) {
		assert(out->n_commands == 0 && out->credited_mwh == 0);
		out->next = *cur;
		return;
	}
	if (in->kind == OUTLET_IN_DEVICE)
		remember_identity(out, &in->id);
	out->next.foreign = false;
}

void step_verdict(struct outlet_step *s, enum verdict v, enum reason r)
{
	s->out->verdict = v;
	s->out->reason = r;
	s->out->write = v != VERDICT_LATER && v != VERDICT_REJECTED;
}

void step_go(struct outlet_step *s, enum outlet_state to)
{
	struct outlet *o = &s->out->next;
	enum outlet_state path[OUTLET_PATH_MAX];

	assert(outlet_path(outlet_shown_state(o), to, path) > 0);
	if (o->state == OUTLET_CABLE_PLUGGED)
		o->request = (struct outlet_request){ .status = REQUEST_NONE };
	o->state = to;
	o->stop_at_ns = 0;
	o->stop_repeated = false;
}

void step_start(struct outlet_step *s, const struct charging_event *e)
{
	struct outlet *o = &s->out->next;
	struct device_command *c;

	step_go(s, OUTLET_CHARGING);
	o->has_session = true;
	o->session_id = e->session_id;
	o->tag = e->tag;
	o->start_ns = s->now_ns;
	o->has_end = false;
	o->end_ns = 0;
	o->energy_mwh = 0;
	o->reported = false;
	o->acknowledged = false;
	o->total_sessions++;
	c = step_command(s, OUTLET_CHARGING);
	c->period_start_ns = e->period_start_ns;
	c->period_end_ns = e->has_period_end ? e->period_end_ns : s->now_ns;
	step_session_event(s, OUTLET_CHARGING);
}

void step_finish(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	step_go(s, OUTLET_CHARGING_FINISHED);
	o->end_ns = later_of(o->has_end ? o->end_ns : o->start_ns, s->in->at_ns);
	o->has_end = true;
	step_session_event(s, OUTLET_CHARGING_FINISHED);
}

void step_deny_session(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	step_session_event(s, OUTLET_DEVICE_DENIES_CHARGING);
	step_remember_refused(s, &o->session_id);
	step_go(s, OUTLET_CABLE_PLUGGED);
	o->total_sessions--;
	o->has_session = false;
	step_clear_session(s);
}

/* Puts the row's ended session in front of those that late energy may still correct. */
static void push_recent(struct outlet *o)
{
	if (o->n_recent < OUTLET_RECENT_MAX)
		o->n_recent++;
	memmove(&o->recent[1], &o->recent[0], (o->n_recent - 1) * sizeof(o->recent[0]));
	o->recent[0] = (struct ended_session){
		.id = o->session_id,
		.tag = o->tag,
		.since_ns = o->since_ns,
		.start_ns = o->start_ns,
		.end_ns = o->end_ns,
		.sum_mwh = o->energy_mwh,
	};
}

void step_clear_session(struct outlet_step *s)
{
	struct outlet *o = &s->out->next;

	if (o->has_session)
		push_recent(o);
	o->has_session = false;
	o->session_id = (struct ev_uuid){ { 0 } };
	o->tag = (struct rfid_tag){ .n = 0 };
	o->start_ns = s->now_ns;
	o->has_end = false;
	o->end_ns = 0;
	o->energy_mwh = 0;
	o->reported = false;
	o->acknowledged = false;
}

void step_remember_refused(struct outlet_step *s, const struct ev_uuid *session_id)
{
	struct outlet *o = &s->out->next;

	if (o->n_refused < OUTLET_REFUSED_MAX)
		o->n_refused++;
	memmove(&o->refused[1], &o->refused[0], (o->n_refused - 1) * sizeof(o->refused[0]));
	o->refused[0] = *session_id;
}

/* One input may put several events; each has its own identity, the same whenever it is decided. */
static struct identity derived_id(const struct identity *seed, unsigned place)
{
	struct identity id = *seed;

	id.b[15] = (uint8_t)(id.b[15] ^ (place + 1));
	return id;
}

struct charging_event *step_event(struct outlet_step *s, enum outlet_state state)
{
	struct outlet_decision *d = s->out;
	struct charging_event *e = &d->events[d->n_events];

	assert(d->n_events < OUTLET_EVENTS_MAX);
	*e = (struct charging_event){
		.initiator = INITIATOR_OUTLET_BACKEND,
		.outlet_id = d->next.id,
		.state = state,
		.has_event_id = true,
		.event_id = derived_id(&s->in->id, d->n_events),
	};
	d->n_events++;
	return e;
}

void step_session_event(struct outlet_step *s, enum outlet_state state)
{
	const struct outlet *o = &s->out->next;
	struct charging_event *e;

	/* Only a row that the original or a hand wrote can charge without a session. */
	if (!o->has_session)
		return;
	e = step_event(s, state);
	e->has_session = true;
	e->session_id = o->session_id;
	e->tag = o->tag;
	e->period_start_ns = o->start_ns;
	e->has_period_end = o->has_end;
	e->period_end_ns = o->end_ns;
	e->energy_mwh = o->energy_mwh;
}

void step_recent_event(struct outlet_step *s, const struct ended_session *ended)
{
	struct charging_event *e = step_event(s, OUTLET_CHARGING_FINISHED);

	e->has_session = true;
	e->session_id = ended->id;
	e->tag = ended->tag;
	e->period_start_ns = ended->start_ns;
	e->has_period_end = true;
	e->period_end_ns = ended->end_ns;
	e->energy_mwh = ended->sum_mwh;
}

struct device_command *step_command(struct outlet_step *s, enum outlet_state change)
{
	struct outlet_decision *d = s->out;
	const struct outlet *o = &d->next;
	struct device_command *c = &d->commands[d->n_commands];

	assert(d->n_commands < OUTLET_COMMANDS_MAX);
	*c = (struct device_command){
		.outlet_id = o->id,
		.version = o->version,
		.index = d->n_commands,
		.change = change,
		.tag = o->tag,
		.has_session = o->has_session,
		.session_id = o->session_id,
		.period_start_ns = o->start_ns,
		.period_end_ns = o->has_end ? o->end_ns : s->now_ns,
		.energy_mwh = o->energy_mwh,
		.created_ns = s->now_ns,
		.expires_ns = change == OUTLET_CHARGING ? s->now_ns + s->rules->command_expiry_ns
							: 0,
	};
	d->n_commands++;
	return c;
}

void step_tell_denied(struct outlet_step *s, enum outlet_state denial, const struct rfid_tag *tag,
		      int64_t period_start_ns, int64_t period_end_ns)
{
	struct device_command *c;

	if (!s->rules->notify_denials)
		return;
	c = step_command(s, denial);
	c->tag = *tag;
	c->has_session = false;
	c->session_id = (struct ev_uuid){ { 0 } };
	c->period_start_ns = period_start_ns;
	c->period_end_ns = period_end_ns;
	c->energy_mwh = 0;
	c->expires_ns = s->now_ns + s->rules->request_timeout_ns;
}

void step_repeat_command(struct outlet_step *s)
{
	step_command(s, outlet_shown_state(&s->out->next));
}

bool step_is_row_session(const struct outlet *o, const struct ev_uuid *id)
{
	return o->has_session && ev_uuid_eq(&o->session_id, id);
}

struct ended_session *step_find_recent(struct outlet_step *s, const struct ev_uuid *id)
{
	struct outlet *o = &s->out->next;

	for (unsigned i = 0; i < o->n_recent; i++) {
		if (ev_uuid_eq(&o->recent[i].id, id))
			return &o->recent[i];
	}
	return NULL;
}

struct charging_event outlet_unknown_denial(const struct charging_event *start,
					    const struct identity *seed, int64_t now_ns)
{
	struct charging_event e = *start;

	e.initiator = INITIATOR_OUTLET_BACKEND;
	e.state = OUTLET_DEVICE_DENIES_CHARGING;
	e.has_period_end = true;
	e.period_end_ns = now_ns;
	e.energy_mwh = 0;
	e.has_event_id = true;
	e.event_id = derived_id(seed, 0);
	e.has_item = false;
	return e;
}

/* A stop without a session is for a device that charges on its own, plugged or not. */
static bool stop_stands(const struct outlet *o, const struct device_command *c)
{
	if (!c->has_session)
		return o->state != OUTLET_CHARGING;
	if (o->state == OUTLET_CHARGING)
		return step_is_row_session(o, &c->session_id);
	return o->state != OUTLET_AVAILABLE;
}

bool outlet_command_stands(const struct outlet *o, const struct device_command *c, int64_t now_ns)
{
	if (c->expires_ns != 0 && now_ns >= c->expires_ns)
		return false;
	if (c->change == OUTLET_CHARGING)
		return o->state == OUTLET_CHARGING && o->stop_at_ns == 0 && c->has_session &&
		       step_is_row_session(o, &c->session_id);
	if (c->change == OUTLET_APP_REQUESTS_STOP)
		return stop_stands(o, c);
	/* A denial: unless that tag is asking again, or is charging by now. */
	if (o->state == OUTLET_CHARGING)
		return !rfid_tag_eq(&o->tag, &c->tag);
	return !(o->request.status == REQUEST_WAITING && rfid_tag_eq(&o->request.tag, &c->tag));
}
